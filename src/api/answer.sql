-- What the functions of routes share: answers, parameters, pages.

create function flowforge.answer(body jsonb, status integer default 200, headers text default '') returns flowforge.response
language sql immutable
return row(status, E'content-type: application/json\n' || headers, body::text)::flowforge.response;
comment on function flowforge.answer(jsonb, integer, text) is 'An answer in JSON.';

create function flowforge.object_of(request flowforge.request) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	if jsonb_typeof(request.json) is distinct from 'object' then
		raise exception using errcode = 'FF203', message = 'the body is not a JSON object',
			detail = format('It is %s.', coalesce(jsonb_typeof(request.json), 'empty')), hint = 'Send one JSON object.';
	end if;
	return request.json;
end
$$;
comment on function flowforge.object_of(flowforge.request) is 'The body, which must be a JSON object. Error: FF203.';

create function flowforge.integer_of(query jsonb, name text, fallback integer, low integer, high integer) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	given constant text := query ->> name;
begin
	if given is null then
		return fallback;
	elsif given ~ '^\d{1,9}$' and given::integer between low and high then
		return given::integer;
	end if;
	raise exception using errcode = 'FF204', message = format('%s must be a whole number from %s to %s', name, low, high),
		detail = format('It is "%s".', given), hint = format('Leave %s out for %s.', name, coalesce(fallback::text, 'no limit')), column = name;
end
$$;
comment on function flowforge.integer_of(jsonb, text, integer, integer, integer) is 'A whole number from the query string. Error: FF204.';

create function flowforge.time_of(query jsonb, name text) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	given constant text := query ->> name;
	result timestamptz;
begin
	result := case when given ~ '^\d{12,14}$' then to_timestamp(given::numeric / 1000) else given::timestamptz end;
	perform flowforge.id_floor(result);
	return result;
exception when data_exception then
	raise exception using errcode = 'FF204', message = format('%s is not a time', name), detail = format('It is "%s".', given),
		hint = 'Give it as 2026-01-31T12:00:00Z or in milliseconds since 1970.', column = name;
end
$$;
comment on function flowforge.time_of(jsonb, text) is
'A time that an id may carry, in ISO 8601 or milliseconds since 1970; null when not given. Error: FF204.';

create function flowforge.id_of(given text, name text) returns uuid
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.id(given);
exception when data_exception then
	raise exception using errcode = 'FF204', message = format('%s is not an id', name), detail = format('It is "%s".', given),
		hint = 'An id is a UUID or a ULID of 26 characters.', column = name;
end
$$;
comment on function flowforge.id_of(text, text) is 'An id from the path or the query string; null when not given. Error: FF204.';

create function flowforge.choice_of(query jsonb, name text, choices text[]) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	given constant text := query ->> name;
begin
	if given is null or given = any (choices) then
		return given;
	end if;
	raise exception using errcode = 'FF204', message = format('%s must be one of %s', name, array_to_string(choices, ', ')),
		detail = format('It is "%s".', given), hint = format('Leave %s out to see all.', name), column = name;
end
$$;
comment on function flowforge.choice_of(jsonb, text, text[]) is 'One of a few words from the query string. Error: FF204.';

-- Lists are pages: newest first, by id, between `low` (included) and `high` (excluded). A list reads one item more than it shows, to
-- know whether there is a next page.
create type flowforge.page as (low uuid, high uuid, size integer);
comment on type flowforge.page is 'The range of ids a page of a list looks at, and how many items it shows.';

create function flowforge.page_of(query jsonb) returns flowforge.page
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(flowforge.id_floor(flowforge.time_of(query, 'since')), '00000000-0000-0000-0000-000000000000'),
		least(
			coalesce(flowforge.id_floor(flowforge.time_of(query, 'until')), 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
			coalesce(flowforge.id_of(query ->> 'cursor', 'cursor'), 'ffffffff-ffff-ffff-ffff-ffffffffffff')),
		flowforge.integer_of(query, 'limit', 50, 1, 200)
$$;
comment on function flowforge.page_of(jsonb) is 'The page that limit, cursor, since and until in the query string ask for. Error: FF204.';

create function flowforge.page_answer(items jsonb[], size integer, cursor text default 'ulid') returns flowforge.response
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.answer(jsonb_build_object(
		'data', to_jsonb(coalesce(items[:size], '{}')),
		'next_cursor', case when cardinality(items) > size then items[size] ->> cursor end))
$$;
comment on function flowforge.page_answer(jsonb[], integer, text) is
'A page of a list; items holds one more than it shows when there is a next page, which begins after the member of the last item that cursor names.';

create function flowforge.problem(code text, message text, detail text, hint text) returns flowforge.response
language c stable strict as 'MODULE_PATHNAME', 'ff_sql_problem';
comment on function flowforge.problem(text, text, text, text) is
'An error as an answer: as if it had been raised, but what the function has written stays. code is an SQLSTATE.';

-- What nobody may keep: no cache on the way, and not the idempotency keys.
create function flowforge.secret_answer(body jsonb, status integer default 200) returns flowforge.response
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.answer(body, status, E'cache-control: no-store\n')
$$;
comment on function flowforge.secret_answer(jsonb, integer) is 'An answer that holds a secret, which is kept nowhere.';

-- What has names and is few is listed by name, all of it unless somebody asks for less; the cursor is the last name shown.
create function flowforge.named_size(query jsonb) returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.integer_of(query, 'limit', 1000, 1, 1000)
$$;
comment on function flowforge.named_size(jsonb) is 'How many items a page of a list by name shows. Error: FF204.';

-- --- ETags ---

-- "If-Match: *" means: whatever it is, as long as it is there.
create function flowforge.expected_etag(request flowforge.request) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select nullif(regexp_replace(btrim(request.headers ->> 'if-match'), '^W/', ''), '*')
$$;
comment on function flowforge.expected_etag(flowforge.request) is 'The state of what it changes that a request expects; null: any.';

create function flowforge.is_known_etag(request flowforge.request, etag text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(etag = any (string_to_array(replace(request.headers ->> 'if-none-match', 'W/', ''), ', ')), false)
$$;
comment on function flowforge.is_known_etag(flowforge.request, text) is 'Whether who asks has this state already.';

create function flowforge.check_etag(request flowforge.request, etag text, what text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	if flowforge.expected_etag(request) <> etag then
		raise exception using errcode = 'FF6A1', message = format('%s was changed meanwhile', what),
			detail = format('Its ETag is %s, If-Match says %s.', etag, flowforge.expected_etag(request)),
			hint = 'Read it again, and send what you want to change with the ETag it has now.';
	end if;
end
$$;
comment on function flowforge.check_etag(flowforge.request, text, text) is 'Raises FF6A1 when a request is about another state of what it changes.';

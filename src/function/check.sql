-- What is wrong with parts of a configuration, and the parts themselves: what checks of registrations are made of.

create function flowforge.check_expression(expression text) returns text
language c stable strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_function_check_expression';
comment on function flowforge.check_expression(text) is 'What is wrong with an expression, or null when nothing is.';

create function flowforge.check_duration(duration text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case when duration !~ '^(\d+(ms|us|ns|s|m|h|d|w))+$' and duration !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d' then
		format('"%s" is not a duration', duration)
	end
$$;
comment on function flowforge.check_duration(text) is 'What is wrong with a duration (30s, 1h30m) or an instant (ISO 8601), or null when nothing is.';

create function flowforge.check_span(span text, most interval) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when span !~ '^(\d{1,9}(ms|us|ns|s|m|h|d|w))+$' then format('"%s" is not a duration', span)
		when flowforge.duration(span) > most then format('"%s" is longer than %s', span, most)
	end
$$;
comment on function flowforge.check_span(text, interval) is 'What is wrong with a duration (30s, 1h30m) of at most so much, or null when nothing is.';

create function flowforge.check_event_name(name text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when name = '' then 'is empty'
		when octet_length(name) > 512 then 'is longer than 512 bytes'
		when name ~ '\*' and name !~ '^[^*]*[/.]\*$' then format('"%s" has a * that is not at the end after / or .', name)
	end
$$;
comment on function flowforge.check_event_name(text) is 'What is wrong with a trigger''s event name or pattern, or null when nothing is.';

create function flowforge.is_whole(value jsonb, low bigint, high bigint) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case when jsonb_typeof(value) = 'number' then (value #>> '{}')::numeric % 1 = 0 and (value #>> '{}')::numeric between low and high else false end
$$;
comment on function flowforge.is_whole(jsonb, bigint, bigint) is 'Whether a value is a whole number of a range.';

create function flowforge.is_id(id text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select octet_length(id) between 1 and 255 and id !~ '[\u0001-\u001f\u007f]'
$$;
comment on function flowforge.is_id(text) is 'Whether a text can be the id of an app or a function: 1 to 255 bytes without control characters.';

create function flowforge.setting(config jsonb, name text) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case when config -> name not in ('null', '[]') then config -> name end
$$;
comment on function flowforge.setting(jsonb, text) is 'A part of a configuration; null when absent, null or an empty list.';

create function flowforge.setting_list(config jsonb, name text) returns table (field text, value jsonb)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select format('%s[%s]', name, e.ordinality - 1), e.value
	from jsonb_array_elements(case jsonb_typeof(config -> name) when 'array' then config -> name else '[]' end) with ordinality e
	union all
	select name, config -> name where jsonb_typeof(config -> name) = 'object'
$$;
comment on function flowforge.setting_list(jsonb, text) is 'The elements of a list in a function''s configuration, or the one object that stands in its place.';

-- Ten thousand functions may be registered at once, so what follows looks at all of them together, a kind of problem at a time.
create function flowforge.listed_functions(payload jsonb) returns table (number bigint, config jsonb)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select e.ordinality, e.value
	from jsonb_array_elements(case jsonb_typeof(payload -> 'functions') when 'array' then payload -> 'functions' else '[]' end) with ordinality e
	where jsonb_typeof(e.value) = 'object'
$$;
comment on function flowforge.listed_functions(jsonb) is 'The functions of a registration, numbered from 1; what is no object is none.';

create function flowforge.listed_settings(payload jsonb, name text) returns table (number bigint, field text, value jsonb)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select f.number, format('%s[%s]', name, e.ordinality - 1), e.value
	from flowforge.listed_functions(payload) f
	cross join lateral jsonb_array_elements(case jsonb_typeof(f.config -> name) when 'array' then f.config -> name else '[]' end) with ordinality e
	union all
	select f.number, name, f.config -> name
	from flowforge.listed_functions(payload) f
	where jsonb_typeof(f.config -> name) = 'object'
$$;
comment on function flowforge.listed_settings(jsonb, text) is
'The elements of a list in the configuration of each function, or the one object that stands in its place.';

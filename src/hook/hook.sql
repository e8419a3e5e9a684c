-- A webhook: a path at which somebody else's server sends us something that becomes an event. Written by ff_create_hook. Paths are unique
-- among all tenants, since the path is all that a sender names.
create table flowforge.hook (
	tenant_id integer not null,
	path text not null unique,
	event text not null,
	verify text not null check (verify in ('none', 'standard', 'github', 'stripe', 'hmac', 'header')),
	secrets text[] not null,
	header text,
	transform jsonb,
	tolerance integer not null,
	created_at timestamptz not null default now(),
	changed_at timestamptz not null default now(),
	primary key (tenant_id, path)
);
comment on table flowforge.hook is 'Webhooks: paths whose requests become events. Holds secrets; flowforge.hooks shows the rest.';
select pg_catalog.pg_extension_config_dump('flowforge.hook', '');

-- Reads for whoever asks, who may not read secrets.
create view flowforge.hooks with (security_barrier = true) as
select h.tenant_id, h.path, '/hooks/' || h.path as url_path, h.event, h.verify, h.header, cardinality(h.secrets) as secrets, h.transform,
	make_interval(secs => h.tolerance) as tolerance, h.created_at, h.changed_at
from flowforge.hook h
where flowforge.sees_tenant(h.tenant_id);
comment on view flowforge.hooks is 'The webhooks: where they are served, what they become and how they are verified; how many secrets each has, never which.';

create function flowforge.hook_problem(
	verify text, secrets text[], header text, headers jsonb, body bytea, tolerance integer, at timestamptz default clock_timestamp()
) returns text
language c stable
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_sql_hook_problem';
comment on function flowforge.hook_problem(text, text[], text, jsonb, bytea, integer, timestamptz) is
'What keeps a webhook''s request from being genuine by a scheme, or null: headers have lower-case names, tolerance is in seconds.';

create function flowforge.hook_secret_problem(verify text, secret text) returns text
language c immutable strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_sql_hook_secret_problem';
comment on function flowforge.hook_secret_problem(text, text) is 'What is wrong with a secret of a scheme, or null when nothing is.';

create function flowforge.hook_body(content_type text, body bytea) returns jsonb
language c stable
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_sql_hook_body';
comment on function flowforge.hook_body(text, bytea) is
'What a webhook says: JSON as it is, a form as an object of its fields (or the JSON in its only field, payload), anything else as text. '
'Errors: FF203, FF204.';

create function flowforge.check_template(template jsonb) returns text
language plpgsql stable strict
set search_path = pg_catalog, pg_temp
as $$
declare
	problem text;
	place text;
begin
	perform @extschema@.ff_template_refs(template);
	return null;
exception when others then
	get stacked diagnostics problem = message_text, place = pg_exception_detail;
	if sqlstate !~ '^FF1' then
		raise;
	end if;
	return format('%s (%s)', problem, place);
end
$$;
comment on function flowforge.check_template(jsonb) is 'What is wrong with a template, or null when it can be read.';

create function flowforge.hook_settings_problem(path text, event text, verify text, secrets text[], header text, transform jsonb, tolerance interval) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when coalesce(path, '') !~ '^[A-Za-z0-9._~-]{1,200}$' then 'its path must have 1 to 200 letters, digits or any of . _ ~ -'
		when event is null or event ~* '^(inngest|flowforge)/' or octet_length(event) not between 1 and 512 then
			'its event needs a name of 1 to 512 bytes that does not begin with inngest/ or flowforge/'
		when verify is null or verify not in ('none', 'standard', 'github', 'stripe', 'hmac', 'header') then
			'verify must be one of none, standard, github, stripe, hmac, header'
		when verify = 'none' and cardinality(secrets) > 0 then 'it has a secret but verify is none'
		when verify <> 'none' and cardinality(secrets) = 0 then 'it needs a secret'
		when verify in ('hmac', 'header') and coalesce(header, '') !~ '^[a-z0-9!#$%&''*+.^_`|~-]{1,100}$' then 'it needs the name of a header'
		when verify not in ('hmac', 'header') and header is not null then 'a header is named only for verify hmac and header'
		when tolerance is null or tolerance not between '1 s' and '1 day' then 'tolerance must be from 1 s to 1 day'
		else coalesce((select min(flowforge.hook_secret_problem(verify, s)) from unnest(secrets) s), flowforge.check_template(transform))
	end
$$;
comment on function flowforge.hook_settings_problem(text, text, text, text[], text, jsonb, interval) is
'What is wrong with the arguments of ff_create_hook, or null when nothing is. Does not show the secrets.';

create function @extschema@.ff_create_hook(
	path text, event text, verify text default 'none', secret text default null, header text default null, transform jsonb default null,
	previous_secret text default null, tolerance interval default '5 min'
) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	secrets constant text[] := array_remove(array[secret, previous_secret], null);
	problem constant text := flowforge.hook_settings_problem(path, event, verify, secrets, lower(header), transform, tolerance);
begin
	perform flowforge.require_role('admin');
	if problem is not null then
		raise exception using errcode = 'FF312', message = format('the webhook "%s" cannot be made', path), detail = problem || '.',
			hint = 'For example: select ff_create_hook(''github'', ''github/push'', ''github'', ''the secret you gave GitHub'');';
	end if;
	insert into flowforge.hook as h (tenant_id, path, event, verify, secrets, header, transform, tolerance)
	values (tenant, path, event, verify, secrets, lower(header), transform, extract(epoch from tolerance)::integer)
	on conflict on constraint hook_path_key do update
	set event = excluded.event, verify = excluded.verify, secrets = excluded.secrets, header = excluded.header, transform = excluded.transform,
		tolerance = excluded.tolerance, changed_at = now()
	where h.tenant_id = excluded.tenant_id;
	if not found then
		raise exception using errcode = 'FF312', message = format('the webhook "%s" cannot be made', path), detail = 'The path is taken.',
			hint = 'Choose another path.';
	end if;
	perform flowforge.store_triggers(tenant, null, f.function_id)
	from flowforge.function f
	join flowforge.function_version v on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = f.version
	where f.tenant_id = tenant and f.kind = 'graph' and f.archived_at is null
		and v.config -> 'triggers' @> jsonb_build_array(jsonb_build_object('webhook', path));
	return '/hooks/' || path;
end
$$;
comment on function @extschema@.ff_create_hook(text, text, text, text, text, jsonb, text, interval) is
'Makes requests to POST /hooks/{path} events; a webhook of that path is replaced. Takes the path (one segment), the event''s name, how senders '
'prove who they are: none, standard (Standard Webhooks), github, stripe, hmac (a header with the HMAC-SHA-256 of the body, in hex or base64) or '
'header (a header that is the secret); their secret, and the previous one while it is replaced; the header''s name; how far a signed time may be '
'off; and a transform: a template over body, headers and query, such as {"name": "github/{{ headers.x-github-event }}", "data": "{{ body }}"}, that gives '
'{name, data, id, ts}, of which what is missing or null is as without it, or null for what is to be ignored. Without one the event''s data is the body ({"body": ...} when that is not an object). A delivery '
'that is repeated is received once, by its webhook-id, x-github-delivery, Stripe''s event id, or the transform''s id. Gives the path to send to. '
'Error: FF312.';
revoke execute on function @extschema@.ff_create_hook(text, text, text, text, text, jsonb, text, interval) from public;

create function @extschema@.ff_drop_hook(path text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	perform flowforge.require_role('admin');
	delete from flowforge.hook h where h.tenant_id = flowforge.current_tenant() and h.path = ff_drop_hook.path;
	if not found then
		raise exception using errcode = 'FF311', message = format('there is no webhook "%s"', path), hint = 'flowforge.hooks lists them.';
	end if;
end
$$;
comment on function @extschema@.ff_drop_hook(text) is 'Removes a webhook by its path. Error: FF311.';
revoke execute on function @extschema@.ff_drop_hook(text) from public;

create function flowforge.hook_delivery(hook flowforge.hook, headers jsonb, body jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case hook.verify
		when 'standard' then coalesce(headers ->> 'webhook-id', headers ->> 'svix-id')
		when 'github' then headers ->> 'x-github-delivery'
		when 'stripe' then case when jsonb_typeof(body -> 'id') = 'string' then body ->> 'id' end
	end
$$;
comment on function flowforge.hook_delivery(flowforge.hook, jsonb, jsonb) is 'The id by which a sender repeats a delivery; null when it has none.';

create function flowforge.hook_event(hook flowforge.hook, headers jsonb, query jsonb, body jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	made jsonb := '{}';
begin
	if hook.transform is not null then
		made := @extschema@.ff_render(hook.transform, jsonb_build_object('body', body, 'headers', headers, 'query', query));
		if made = 'null' then
			return null;
		elsif jsonb_typeof(made) <> 'object' then
			raise exception using errcode = 'FF314', message = 'the webhook''s transform does not give an event',
				detail = format('It gives %s.', jsonb_typeof(made)), hint = 'Let it give {"name": …, "data": {…}, "id": …, "ts": …}, or null.';
		end if;
	end if;
	made := coalesce((select jsonb_object_agg(m.key, m.value) from jsonb_each(made) m where m.value <> 'null'), '{}');
	return jsonb_strip_nulls(jsonb_build_object('name', coalesce(made -> 'name', to_jsonb(hook.event)),
			'id', coalesce(made -> 'id', to_jsonb(flowforge.hook_delivery(hook, headers, body))), 'ts', made -> 'ts', 'user', made -> 'user'))
		|| jsonb_build_object('data', coalesce(made -> 'data', case jsonb_typeof(body) when 'object' then body else jsonb_build_object('body', body) end));
end
$$;
comment on function flowforge.hook_event(flowforge.hook, jsonb, jsonb, jsonb) is
'The event a webhook''s request becomes; null for what its transform ignores. Errors: FF102 to FF110, FF314.';

create function flowforge.receive_hook(hook flowforge.hook, request flowforge.request) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	caller constant text := coalesce(current_setting('flowforge.tenant', true), '');
	event constant jsonb := flowforge.hook_event(hook, request.headers, request.query,
		flowforge.hook_body(request.headers ->> 'content-type', request.body));
	ids uuid[];
begin
	if event is null then
		return null;
	end if;
	perform set_config('flowforge.tenant', hook.tenant_id::text, true);
	ids := flowforge.ingest(event);
	perform set_config('flowforge.tenant', caller, true);
	return ids[1];
end
$$;
comment on function flowforge.receive_hook(flowforge.hook, flowforge.request) is 'Records the event of a verified request for the webhook''s tenant and gives its id.';

create function flowforge.api_hook(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	hook flowforge.hook;
	problem text;
	id uuid;
begin
	select h.* into hook from flowforge.hook h where h.path = request.params ->> 'path';
	if not found then
		raise exception using errcode = 'FF311', message = format('there is no webhook "%s"', request.params ->> 'path'),
			hint = 'Make it with ff_create_hook.';
	end if;
	problem := flowforge.hook_problem(hook.verify, hook.secrets, hook.header, request.headers, request.body, hook.tolerance);
	if problem is not null then
		raise exception using errcode = 'FF313', message = 'the request is not verified', detail = problem || '.',
			hint = 'The sender and ff_create_hook must have the same secret; the clocks of both must be right.';
	end if;
	id := flowforge.receive_hook(hook, request);
	return flowforge.answer(jsonb_build_object('id', id, 'ulid', flowforge.ulid(id), 'ignored', id is null));
end
$$;
comment on function flowforge.api_hook(flowforge.request) is 'POST /hooks/{path}: what somebody else''s server sends becomes an event.';

insert into flowforge.route (method, pattern, function, lane, headers, scope, style, tag, summary, request_schema, response_schema)
select 'POST', p.pattern, 'flowforge.api_hook', 'ingest', 'all', 'public', 'problem', 'hooks', 'Receive a webhook, verified as it says',
'{"description": "Whatever the sender sends: JSON, a form or text.", "contentMediaType": "*/*"}',
'{"type": "object", "required": ["id", "ulid", "ignored"], "properties": {
	"id": {"type": ["string", "null"], "format": "uuid", "description": "Of the event; that of the first delivery when this one repeats it."},
	"ulid": {"type": ["string", "null"]},
	"ignored": {"type": "boolean", "description": "The transform made no event of it."}}}'
from (values ('/hooks/{path}'), ('/api/v1/hooks/{path}')) as p (pattern);

-- What starts runs, over HTTP: webhooks and watched tables are listed, made and removed, schedules are listed.

create function flowforge.hook_json(hook flowforge.hooks) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('path', hook.path, 'url_path', hook.url_path, 'event', hook.event, 'verify', hook.verify, 'header', hook.header,
		'secrets', hook.secrets, 'transform', hook.transform, 'tolerance_s', extract(epoch from hook.tolerance)::integer,
		'created_at', hook.created_at, 'changed_at', hook.changed_at)
$$;
comment on function flowforge.hook_json(flowforge.hooks) is 'A webhook as the API shows it: without its secrets.';

create function flowforge.api_hooks(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	size constant integer := flowforge.named_size(request.query);
	after constant text := request.query ->> 'cursor';
begin
	return flowforge.page_answer(array(
		select flowforge.hook_json(h)
		from flowforge.hooks h
		where h.tenant_id = flowforge.current_tenant() and (after is null or h.path collate "C" > after)
		order by h.path collate "C"
		limit size + 1), size, 'path');
end
$$;
comment on function flowforge.api_hooks(flowforge.request) is 'GET /api/v1/hooks.';

create function flowforge.interval_of(request flowforge.request, name text, otherwise interval) returns interval
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	return coalesce((flowforge.body_member(request, name, 'string') #>> '{}')::interval, otherwise);
exception when data_exception then
	raise exception using errcode = 'FF203', message = format('%s is not a span of time', name),
		detail = format('It is %s.', flowforge.body_member(request, name, 'string')), hint = 'Write it like 5 min or 30 s.', column = name;
end
$$;
comment on function flowforge.interval_of(flowforge.request, text, interval) is 'A span of time from the body of a request. Error: FF203.';

create function flowforge.api_hook_create(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	hook_path constant text := flowforge.body_member(request, 'path', 'string') #>> '{}';
	known constant boolean := exists (select from flowforge.hooks h where h.tenant_id = flowforge.current_tenant() and h.path = hook_path);
begin
	perform @extschema@.ff_create_hook(hook_path, flowforge.body_member(request, 'event', 'string') #>> '{}',
		coalesce(flowforge.body_member(request, 'verify', 'string') #>> '{}', 'none'), flowforge.body_member(request, 'secret', 'string') #>> '{}',
		flowforge.body_member(request, 'header', 'string') #>> '{}', flowforge.body_member(request, 'transform', 'any'),
		flowforge.body_member(request, 'previous_secret', 'string') #>> '{}', flowforge.interval_of(request, 'tolerance', '5 min'));
	return flowforge.answer((
		select flowforge.hook_json(h) from flowforge.hooks h where h.tenant_id = flowforge.current_tenant() and h.path = hook_path),
		case when known then 200 else 201 end);
end
$$;
comment on function flowforge.api_hook_create(flowforge.request) is 'POST /api/v1/hooks: as ff_create_hook.';

create function flowforge.api_hook_drop(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	perform @extschema@.ff_drop_hook(request.params ->> 'path');
	return flowforge.answer(jsonb_build_object('path', request.params ->> 'path', 'result', 'removed'));
end
$$;
comment on function flowforge.api_hook_drop(flowforge.request) is 'DELETE /api/v1/hooks/{path}: as ff_drop_hook.';

create function flowforge.api_schedules(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	size constant integer := flowforge.named_size(request.query);
	after constant integer := flowforge.integer_of(request.query, 'cursor', null, 0, 999999999);
begin
	return flowforge.page_answer(array(
		select jsonb_build_object('id', s.schedule_id, 'name', s.name, 'function', s.function, 'event', s.event, 'data', s.data,
			'cron', s.cron, 'jitter_s', extract(epoch from s.jitter)::float8, 'catch_up', s.catch_up, 'last_at', s.last_at, 'next_run_at', s.next_run_at,
			'fired_by', s.fired_by, 'last_error', s.last_error)
		from flowforge.schedules s
		where s.tenant_id = flowforge.current_tenant() and (after is null or s.schedule_id > after)
		order by s.schedule_id
		limit size + 1), size, 'id');
end
$$;
comment on function flowforge.api_schedules(flowforge.request) is 'GET /api/v1/schedules.';

-- --- watched tables ---

create function flowforge.watch_json(watch flowforge.watches) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('table', (select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
			where c.oid = watch.table), 'event_name', watch.event_name, 'operations', watch.ops, 'events', watch.events, 'columns', watch.columns,
		'filter', watch.filter, 'key', watch.key, 'enabled', watch.enabled, 'filter_errors', watch.filter_errors,
		'last_filter_error', watch.last_filter_error)
$$;
comment on function flowforge.watch_json(flowforge.watches) is 'A watch of a table as the API shows it.';

create function flowforge.watches_of(target regclass) returns jsonb
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(flowforge.watch_json(w) order by w.table::text collate "C", w.event_name collate "C"), '[]')
	from flowforge.watches w
	where w.tenant_id = flowforge.current_tenant() and (target is null or w.table = target)
$$;
comment on function flowforge.watches_of(regclass) is 'The watches of a table, or of all, as the API shows them.';

create function flowforge.api_watches(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(jsonb_build_object('data', flowforge.watches_of(null)));
end
$$;
comment on function flowforge.api_watches(flowforge.request) is 'GET /api/v1/watches.';

-- Tables of people's own are in schemas that no rank may look into; who may watch one ff_watch decides.
create function flowforge.table_of(name text) returns regclass
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	result regclass;
begin
	begin
		result := to_regclass(case when cardinality(parse_ident(name)) = 1 then 'public.' else '' end || name);
	exception when data_exception or syntax_error_or_access_rule_violation then
		result := null;
	end;
	if result is null then
		raise exception using errcode = 'FF321', message = coalesce(format('there is no table "%s"', name), 'no table is named'),
			hint = 'Name it as in SQL: orders, which is public.orders, or shop.orders.', column = 'table';
	end if;
	return result;
end
$$;
comment on function flowforge.table_of(text) is 'A table by its name as in SQL, of the schema public unless it says another. Error: FF321.';

create function flowforge.texts_of(request flowforge.request, name text) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	given constant jsonb := flowforge.body_member(request, name, 'array');
begin
	if exists (select from jsonb_array_elements(given) e where jsonb_typeof(e.value) <> 'string') then
		raise exception using errcode = 'FF203', message = format('%s is not a list of texts', name), detail = format('It is %s.', given),
			hint = 'Write it like ["status"] or leave it out.', column = name;
	end if;
	return case when given is not null then array(select jsonb_array_elements_text(given)) end;
end
$$;
comment on function flowforge.texts_of(flowforge.request, text) is 'A list of texts from the body of a request; null when not given. Error: FF203.';

-- Over HTTP it is the gateway's role that asks: what it may watch is what an administrator has granted it.
create function flowforge.refuse_watcher(problem text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	raise exception using errcode = 'FF324', message = problem,
		hint = 'Grant the role of the gateway TRIGGER and SELECT on the table, or use ff_watch in SQL.';
end
$$;
comment on function flowforge.refuse_watcher(text) is 'Raises FF324.';

create function flowforge.api_watch_create(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	target constant regclass := flowforge.table_of(flowforge.body_member(request, 'table', 'string') #>> '{}');
	operations constant text[] := flowforge.texts_of(request, 'operations');
	name text;
begin
	name := @extschema@.ff_watch(target, coalesce(array_to_string(operations, ', '), 'insert, update, delete'),
		flowforge.body_member(request, 'event_name', 'string') #>> '{}', flowforge.texts_of(request, 'columns'),
		flowforge.body_member(request, 'filter', 'string') #>> '{}', flowforge.texts_of(request, 'key'));
	return flowforge.answer((select w.value from jsonb_array_elements(flowforge.watches_of(target)) w where w.value ->> 'event_name' = name), 201);
exception when insufficient_privilege then
	perform flowforge.refuse_watcher(sqlerrm);
end
$$;
comment on function flowforge.api_watch_create(flowforge.request) is 'POST /api/v1/watches: as ff_watch.';

create function flowforge.api_watch_drop(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	target constant regclass := flowforge.table_of(request.params ->> 'table');
begin
	return flowforge.answer(jsonb_build_object('table', request.params ->> 'table', 'removed',
		@extschema@.ff_unwatch(target, request.query ->> 'event_name')));
exception when insufficient_privilege then
	perform flowforge.refuse_watcher(sqlerrm);
end
$$;
comment on function flowforge.api_watch_drop(flowforge.request) is 'DELETE /api/v1/watches/{table}: as ff_unwatch.';

insert into flowforge.route_schema (name, schema) values
('Hook', '{
	"type": "object",
	"required": ["path", "url_path", "event", "verify", "header", "secrets", "transform", "tolerance_s", "created_at", "changed_at"],
	"properties": {
		"path": {"type": "string"},
		"url_path": {"type": "string", "description": "Where requests are sent to."},
		"event": {"type": "string"},
		"verify": {"enum": ["none", "standard", "github", "stripe", "hmac", "header"]},
		"header": {"type": ["string", "null"]},
		"secrets": {"type": "integer", "description": "How many it has; never which."},
		"transform": {},
		"tolerance_s": {"type": "integer", "description": "Seconds a signed time may be off."},
		"created_at": {"type": "string", "format": "date-time"},
		"changed_at": {"type": "string", "format": "date-time"}
	}
}'),
('Schedule', '{
	"type": "object", "required": ["id", "name", "function", "event", "cron", "last_at", "next_run_at", "fired_by", "last_error"],
	"properties": {
		"id": {"type": "integer"},
		"name": {"type": ["string", "null"], "description": "Of one made by ff_schedule."},
		"function": {"type": ["string", "null"], "description": "Of one that is a trigger of a function."},
		"event": {"type": ["string", "null"]},
		"data": {},
		"cron": {"type": "string"},
		"jitter_s": {"type": "number"},
		"catch_up": {"type": "string"},
		"last_at": {"type": ["string", "null"], "format": "date-time", "description": "The last instant that was dealt with."},
		"next_run_at": {"type": ["string", "null"], "format": "date-time"},
		"fired_by": {"enum": ["executor", "pg_cron"]},
		"last_error": {"type": ["string", "null"]}
	}
}'),
('Watch', '{
	"type": "object", "required": ["table", "event_name", "operations", "events", "columns", "filter", "key", "enabled", "filter_errors", "last_filter_error"],
	"properties": {
		"table": {"type": "string"},
		"event_name": {"type": "string"},
		"operations": {"type": "array", "items": {"enum": ["insert", "update", "delete"]}},
		"events": {"type": "array", "items": {"type": "string"}, "description": "The name of the event of each operation."},
		"columns": {"type": ["array", "null"], "items": {"type": "string"}},
		"filter": {"type": ["string", "null"]},
		"key": {"type": ["array", "null"], "items": {"type": "string"}},
		"enabled": {"type": "boolean"},
		"filter_errors": {"type": "integer", "description": "How often its filter could not be evaluated since the server started."},
		"last_filter_error": {"type": ["string", "null"]}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/hooks', 'flowforge.api_hooks', 'hooks:read', 'hooks', 'List webhooks',
'{"type": "object", "properties": {
	"limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {"next_cursor": {"type": ["string", "null"]}, "data": {"type": "array", "items": {"$ref": "#/components/schemas/Hook"}}}}'),
('POST', '/api/v1/hooks', 'flowforge.api_hook_create', 'hooks:manage', 'hooks', 'Make a webhook, or replace the one of that path',
'{"type": "object", "required": ["path", "event"], "properties": {
	"path": {"type": "string", "pattern": "^[A-Za-z0-9._~-]{1,200}$", "description": "It is served at /hooks/{path}."},
	"event": {"type": "string"},
	"verify": {"enum": ["none", "standard", "github", "stripe", "hmac", "header"], "default": "none"},
	"secret": {"type": ["string", "null"]},
	"previous_secret": {"type": ["string", "null"], "description": "Valid, too, while the secret is replaced."},
	"header": {"type": ["string", "null"], "description": "For hmac and header."},
	"transform": {"description": "A template over body, headers and query that gives {name, data, id, ts}, or null."},
	"tolerance": {"type": "string", "default": "5 min", "description": "How far a signed time may be off."}}}',
'{"$ref": "#/components/schemas/Hook"}'),
('DELETE', '/api/v1/hooks/{path}', 'flowforge.api_hook_drop', 'hooks:manage', 'hooks', 'Remove a webhook',
'{}', '{"type": "object", "required": ["path", "result"], "properties": {"path": {"type": "string"}, "result": {"const": "removed"}}}'),
('GET', '/api/v1/schedules', 'flowforge.api_schedules', 'schedules:read', 'schedules', 'List what is started by the time',
'{"type": "object", "properties": {
	"limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {"next_cursor": {"type": ["string", "null"]}, "data": {"type": "array", "items": {"$ref": "#/components/schemas/Schedule"}}}}'),
('GET', '/api/v1/watches', 'flowforge.api_watches', 'watches:read', 'watches', 'List watched tables',
'{}', '{"type": "object", "required": ["data"], "properties": {"data": {"type": "array", "items": {"$ref": "#/components/schemas/Watch"}}}}'),
('POST', '/api/v1/watches', 'flowforge.api_watch_create', 'watches:manage', 'watches', 'Watch a table: changes of its rows become events',
'{"type": "object", "required": ["table"], "properties": {
	"table": {"type": "string", "description": "As in SQL; without a schema it is of public."},
	"operations": {"type": "array", "items": {"enum": ["insert", "update", "delete"]}, "default": ["insert", "update", "delete"]},
	"event_name": {"type": ["string", "null"], "description": "By default TABLE/inserted, TABLE/updated and TABLE/deleted."},
	"columns": {"type": ["array", "null"], "items": {"type": "string"}, "description": "An update must change one of them."},
	"filter": {"type": ["string", "null"], "description": "An expression over new, old and op."},
	"key": {"type": ["array", "null"], "items": {"type": "string"}, "description": "By default the primary key."}}}',
'{"$ref": "#/components/schemas/Watch"}'),
('DELETE', '/api/v1/watches/{table}', 'flowforge.api_watch_drop', 'watches:manage', 'watches', 'Watch a table no longer',
'{"type": "object", "properties": {"event_name": {"type": "string", "description": "Only the watch of this name, as the list shows it."}}}',
'{"type": "object", "required": ["table", "removed"], "properties": {"table": {"type": "string"}, "removed": {"type": "integer"}}}');

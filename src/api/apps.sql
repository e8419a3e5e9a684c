-- Apps over HTTP: the protocol's /fn/register and /dev, and the API's own list.

create function flowforge.api_register(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(flowforge.register_app(
		jsonb_strip_nulls(jsonb_build_object('deployId', request.query -> 'deployId')) || flowforge.object_of(request)));
end
$$;
comment on function flowforge.api_register(flowforge.request) is 'POST and PUT /fn/register: an app tells its functions.';

-- A function's configuration as its app registered it: the address is kept apart from the versions.
create function flowforge.registered_config(config jsonb, url text) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_set(config, '{steps,step,runtime,url}', to_jsonb(url))
$$;
comment on function flowforge.registered_config(jsonb, text) is 'A version''s configuration with the address that calls go to now.';

create function flowforge.dev_functions() returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(jsonb_build_object('id', f.function, 'slug', f.function, 'name', f.name, 'triggers', coalesce(f.triggers, '[]'),
		'steps', jsonb_build_array(jsonb_build_object('id', 'step', 'name', 'step', 'uri', f.url))) order by f.function), '[]')
	from flowforge.functions f
	where f.tenant_id = flowforge.current_tenant() and f.archived_at is null
$$;
comment on function flowforge.dev_functions() is 'The functions as GET /dev shows them.';

create function flowforge.dev_handlers() returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('url', a.url, 'appName', a.name, 'sdk', a.sdk,
		'framework', a.framework, 'appVersion', a.app_version)) || jsonb_build_object('functions', coalesce((
			select jsonb_agg(flowforge.registered_config(v.config, f.url) order by f.slug)
			from flowforge.function f
			join flowforge.function_version v using (tenant_id, function_id, version)
			where f.tenant_id = a.tenant_id and f.app_id = a.app_id and f.archived_at is null), '[]')) order by a.name), '[]')
	from flowforge.app a
	where a.tenant_id = flowforge.current_tenant()
$$;
comment on function flowforge.dev_handlers() is 'What each app registered, as GET /dev shows it.';

create function flowforge.api_dev(request flowforge.request) returns flowforge.response
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	if flowforge.server_kind() <> 'dev' then
		raise exception using errcode = 'FF201', message = 'this server is not a development server',
			hint = 'With a signing key set, SDKs find it through INNGEST_BASE_URL.';
	end if;
	return flowforge.answer(jsonb_build_object('version', flowforge.version(), 'authed', false,
		'startOpts', '{"autodiscover": false, "urls": []}'::jsonb, 'functions', flowforge.dev_functions(),
		'handlers', flowforge.dev_handlers(), 'features', '{}'::jsonb));
end
$$;
comment on function flowforge.api_dev(flowforge.request) is 'GET /dev: how SDKs find a development server.';

create function flowforge.app_json(app flowforge.app) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('id', app.app_id, 'ulid', flowforge.ulid(app.app_id), 'name', app.name, 'url', app.url, 'sdk', app.sdk,
		'framework', app.framework, 'version', app.app_version, 'functions', (
			select count(*) from flowforge.function f
			where f.tenant_id = app.tenant_id and f.app_id = app.app_id and f.archived_at is null),
		'paused', exists (select from flowforge.pause p where p.tenant_id = app.tenant_id and p.app_id = app.app_id),
		'registered_at', app.registered_at, 'synced_at', case when app.checksum <> '' then app.synced_at end,
		'sync_error', app.sync_error, 'sync_failed_at', app.sync_failed_at)
$$;
comment on function flowforge.app_json(flowforge.app) is 'An app as the API shows it.';

create function flowforge.api_apps(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	size constant integer := flowforge.named_size(request.query);
	after constant text := request.query ->> 'cursor';
begin
	return flowforge.page_answer(array(
		select flowforge.app_json(a)
		from flowforge.app a
		where a.tenant_id = flowforge.current_tenant() and (after is null or a.name collate "C" > after)
		order by a.name collate "C"
		limit size + 1), size, 'name');
end
$$;
comment on function flowforge.api_apps(flowforge.request) is 'GET /api/v1/apps.';

create function flowforge.app_of(request flowforge.request) returns flowforge.app
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted constant uuid := flowforge.id_of(request.params ->> 'id', 'id');
	result flowforge.app;
begin
	select a.* into result from flowforge.app a where a.tenant_id = flowforge.current_tenant() and a.app_id = wanted;
	if not found then
		raise exception using errcode = 'FF201', message = format('app %s does not exist', wanted), hint = 'GET /api/v1/apps lists the apps.';
	end if;
	return result;
end
$$;
comment on function flowforge.app_of(flowforge.request) is 'The app that the path names. Error: FF201 no such app.';

create function flowforge.api_app(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(flowforge.app_json(flowforge.app_of(request)));
end
$$;
comment on function flowforge.api_app(flowforge.request) is 'GET /api/v1/apps/{id}.';

create function flowforge.sync_answer(url text) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	added constant record := flowforge.add_app(url);
begin
	return flowforge.answer(jsonb_build_object('ok', added.problem is null, 'modified', added.modified, 'error', added.problem, 'app', (
		select flowforge.app_json(a) from flowforge.app a where a.tenant_id = flowforge.current_tenant() and a.app_id = added.app)));
end
$$;
comment on function flowforge.sync_answer(text) is 'Asks the app at a URL which functions it serves and answers how that went.';

create function flowforge.api_app_add(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.sync_answer(flowforge.object_of(request) ->> 'url');
end
$$;
comment on function flowforge.api_app_add(flowforge.request) is 'POST /api/v1/apps.';

create function flowforge.api_app_sync(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.sync_answer((flowforge.app_of(request)).url);
end
$$;
comment on function flowforge.api_app_sync(flowforge.request) is 'POST /api/v1/apps/{id}/sync.';

create function flowforge.api_app_remove(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	app constant flowforge.app := flowforge.app_of(request);
begin
	perform flowforge.remove_app(app.app_id);
	return flowforge.answer(flowforge.app_json(app));
end
$$;
comment on function flowforge.api_app_remove(flowforge.request) is 'DELETE /api/v1/apps/{id}.';

insert into flowforge.route_schema (name, schema) values
('Registration', '{
	"type": "object", "required": ["url", "appName", "functions"],
	"properties": {
		"url": {"type": "string", "format": "uri", "description": "Where the app serves its functions."},
		"appName": {"type": "string", "maxLength": 255},
		"functions": {"type": "array", "items": {"$ref": "#/components/schemas/FunctionConfig"}},
		"sdk": {"type": "string"},
		"framework": {"type": "string"},
		"appVersion": {"type": "string"}
	}
}'),
('FunctionConfig', '{
	"type": "object", "required": ["id", "steps"],
	"description": "Keys not listed here are kept and have no effect.",
	"properties": {
		"id": {"type": "string", "maxLength": 255, "description": "app-function; unique among all apps."},
		"name": {"type": "string"},
		"triggers": {"type": "array", "maxItems": 10, "items": {"type": "object", "properties": {
			"event": {"type": "string", "description": "A name, or a pattern that ends in /* or .*"},
			"expression": {"type": "string"},
			"cron": {"type": "string"}}}},
		"steps": {"type": "object", "required": ["step"], "properties": {"step": {"type": "object", "required": ["runtime"], "properties": {
			"runtime": {"type": "object", "required": ["url"], "properties": {"type": {"const": "http"}, "url": {"type": "string", "format": "uri"}}},
			"retries": {"type": "object", "properties": {
				"attempts": {"type": "integer", "minimum": 0, "maximum": 20, "default": 4},
				"backoff": {"description": "fixed, linear, exponential, or a list of delays.", "type": ["string", "array", "null"]},
				"base": {"type": "string", "default": "1s"},
				"cap": {"type": "string", "default": "5m"},
				"jitter": {"type": "number", "minimum": 0, "maximum": 1}}}}}}},
		"timeouts": {"type": "object", "properties": {
			"start": {"type": "string", "description": "From being enqueued to the first call; then the run is cancelled."},
			"finish": {"type": "string", "description": "From the first call to the end; then the run is cancelled."},
			"step": {"type": "string", "description": "Of each call; then it is tried again."}}},
		"cancel": {"type": "array", "maxItems": 5, "items": {"type": "object", "required": ["event"], "properties": {
			"event": {"type": "string", "description": "It cancels the run."},
			"if": {"type": "string", "description": "Over event, the run''s own, and async, the one that comes."},
			"timeout": {"type": "string", "description": "After it the event does not count."}}}}
	}
}'),
('App', '{
	"type": "object",
	"required": ["id", "ulid", "name", "url", "sdk", "framework", "version", "functions", "paused", "registered_at", "synced_at", "sync_error", "sync_failed_at"],
	"properties": {
		"id": {"type": "string", "format": "uuid"},
		"ulid": {"type": "string"},
		"name": {"type": "string"},
		"url": {"type": "string"},
		"sdk": {"type": ["string", "null"]},
		"framework": {"type": ["string", "null"]},
		"version": {"type": ["string", "null"]},
		"functions": {"type": "integer", "description": "How many it serves."},
		"paused": {"type": "boolean"},
		"registered_at": {"type": "string", "format": "date-time"},
		"synced_at": {"type": ["string", "null"], "format": "date-time", "description": "When it last registered something new."},
		"sync_error": {"type": ["string", "null"], "description": "Why it did not say which functions it serves when it was asked last."},
		"sync_failed_at": {"type": ["string", "null"], "format": "date-time"}
	}
}'),
('Sync', '{
	"type": "object", "required": ["ok", "modified", "error", "app"],
	"properties": {
		"ok": {"type": "boolean"},
		"modified": {"type": "boolean", "description": "Whether its functions are others than before."},
		"error": {"type": ["string", "null"], "description": "Why it did not register."},
		"app": {"oneOf": [{"$ref": "#/components/schemas/App"}, {"type": "null"}]}
	}
}');

insert into flowforge.route (method, pattern, function, scope, style, tag, summary, request_schema, response_schema)
select method, '/fn/register', 'flowforge.api_register', 'functions:manage', 'sdk', 'sdk', 'Register an app and its functions',
'{"$ref": "#/components/schemas/Registration"}',
'{"type": "object", "required": ["ok", "modified", "app_id", "sync_id"], "properties": {
	"ok": {"const": true},
	"modified": {"type": "boolean", "description": "false when nothing had changed."},
	"app_id": {"type": "string", "format": "uuid"},
	"sync_id": {"type": "string", "description": "The deployId of the query string or the body, or a new id."}}}'
from unnest('{POST,PUT}'::text[]) as m (method);

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/dev', 'flowforge.api_dev', 'public', 'sdk', 'What a development server serves; 404 with a signing key',
'{}', '{"type": "object", "required": ["version", "authed", "startOpts", "functions", "handlers", "features"], "properties": {
	"version": {"type": "string"},
	"authed": {"type": "boolean"},
	"startOpts": {"type": "object"},
	"functions": {"type": "array", "items": {"type": "object"}},
	"handlers": {"type": "array", "items": {"$ref": "#/components/schemas/Registration"}},
	"features": {"type": "object"}}}'),
('GET', '/api/v1/apps', 'flowforge.api_apps', 'functions:read', 'functions', 'List apps, by name',
'{"type": "object", "properties": {
	"limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/App"}},
	"next_cursor": {"type": ["string", "null"]}}}'),
('GET', '/api/v1/apps/{id}', 'flowforge.api_app', 'functions:read', 'functions', 'One app, with the reason when it could not be asked for its functions',
'{}', '{"$ref": "#/components/schemas/App"}'),
('POST', '/api/v1/apps', 'flowforge.api_app_add', 'functions:manage', 'functions', 'Add the app at a URL: asks which functions it serves',
'{"type": "object", "required": ["url"], "properties": {"url": {"type": "string", "format": "uri"}}}',
'{"$ref": "#/components/schemas/Sync"}'),
('POST', '/api/v1/apps/{id}/sync', 'flowforge.api_app_sync', 'functions:manage', 'functions', 'Ask an app again which functions it serves',
'{"type": ["object", "null"], "description": "Nothing is needed."}', '{"$ref": "#/components/schemas/Sync"}'),
('DELETE', '/api/v1/apps/{id}', 'flowforge.api_app_remove', 'functions:manage', 'functions', 'Forget an app and archive its functions; their runs go on',
'{}', '{"$ref": "#/components/schemas/App"}');

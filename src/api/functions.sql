-- Functions over HTTP. {id} is a function's id, app-function. Whoever serves a function says what it does; here it is paused, taken out of use
-- and put back. ETag and If-Match guard what people change at the same time.

create function flowforge.function_json(f flowforge.functions) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('function', f.function, 'name', f.name, 'kind', f.kind, 'app', f.app, 'version', f.version, 'retries', f.retries,
		'url', f.url, 'triggers', coalesce(f.triggers, '[]'), 'paused', exists (
			select from flowforge.pause p where p.tenant_id = f.tenant_id and p.function_id = f.function_id),
		'archived_at', f.archived_at, 'filter_errors', f.filter_errors, 'last_filter_error', f.last_filter_error,
		'last_filter_error_at', f.last_filter_error_at)
$$;
comment on function flowforge.function_json(flowforge.functions) is 'A function as lists of the API show it.';

create function flowforge.api_functions(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted constant text := request.query ->> 'app';
	of_kind constant text := flowforge.choice_of(request.query, 'kind', '{sdk,graph,sql}');
	archived constant boolean := coalesce(flowforge.choice_of(request.query, 'archived', '{true,false}'), 'false')::boolean;
	searched constant text := lower(request.query ->> 'search');
	size constant integer := flowforge.named_size(request.query);
	after constant text := request.query ->> 'cursor';
begin
	return flowforge.page_answer(array(
		select flowforge.function_json(f)
		from flowforge.functions f
		where f.tenant_id = flowforge.current_tenant() and (wanted is null or f.app = wanted) and (of_kind is null or f.kind = of_kind)
			and (archived or f.archived_at is null) and (searched is null or strpos(lower(concat_ws(' ', f.function, f.name)), searched) > 0)
			and (after is null or f.function collate "C" > after)
		order by f.function collate "C"
		limit size + 1), size, 'function');
end
$$;
comment on function flowforge.api_functions(flowforge.request) is 'GET /api/v1/functions.';

-- --- one of them ---

create function flowforge.function_etag(f flowforge.function) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select format('"%s"', md5(concat_ws(' ', f.function_id, f.version, f.archived_at, quote_literal(f.name), (
		select concat_ws(' ', p.paused_at, quote_nullable(p.reason))
		from flowforge.pause p
		where p.tenant_id = f.tenant_id and p.function_id = f.function_id))))
$$;
comment on function flowforge.function_etag(flowforge.function) is 'Names the state of a function: another one after every change.';

-- How its runs went: of those made in the last day, the latest 10,000 that have ended, and all that have not.
create function flowforge.function_stats(f flowforge.function) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
	select jsonb_build_object('live', (
			select count(*) from flowforge.live_run l where l.tenant_id = f.tenant_id and l.function_id = f.function_id),
		'since', now() - interval '1 day', 'completed', count(*) filter (where e.status = 'completed'),
		'failed', count(*) filter (where e.status = 'failed'), 'cancelled', count(*) filter (where e.status = 'cancelled'),
		'last_run_at', max(e.created_at),
		'duration_ms', jsonb_build_object(
			'average', round(avg(e.ms)), 'p50', percentile_disc(0.5) within group (order by e.ms), 'p95', percentile_disc(0.95) within group (order by e.ms)))
	from (
		select d.status, r.created_at, flowforge.milliseconds(d.ended_at - coalesce(d.started_at, r.created_at)) as ms
		from flowforge.run r
		join flowforge.run_end d on d.tenant_id = r.tenant_id and d.run_id = r.run_id
		where r.tenant_id = f.tenant_id and r.function_id = f.function_id and r.run_id >= flowforge.id_floor(now() - interval '1 day')
			and d.run_id >= flowforge.id_floor(now() - interval '1 day')
		order by r.run_id desc
		limit 10000
	) e
$$;
comment on function flowforge.function_stats(flowforge.function) is 'How the runs of a function made in the last day went, and how many are live.';

-- What an app registered holds no secrets; where its runs are called is no part of it.
create function flowforge.function_detail(function integer) returns jsonb
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.function_json(v) || jsonb_build_object('etag', flowforge.function_etag(f), 'created_at', f.created_at, 'role', f.role,
		'pause', (
			select jsonb_build_object('reason', p.reason, 'paused_at', p.paused_at)
			from flowforge.pause p
			where p.tenant_id = f.tenant_id and p.function_id = f.function_id),
		'config', (
			select c.config - '{steps,triggers,graph}'::text[]
			from flowforge.function_version c
			where c.tenant_id = f.tenant_id and c.function_id = f.function_id and c.version = f.version),
		'versions', (
			select coalesce(jsonb_agg(jsonb_build_object('version', o.version, 'current', o.version = f.version, 'retries', o.retries,
				'created_at', o.created_at) order by o.version desc), '[]')
			from (
				select x.* from flowforge.function_version x
				where x.tenant_id = f.tenant_id and x.function_id = f.function_id and x.version > 0
				order by x.version desc
				limit 50
			) o),
		'stats', flowforge.function_stats(f))
	from flowforge.function f
	join flowforge.functions v on v.tenant_id = f.tenant_id and v.function_id = f.function_id
	where f.tenant_id = flowforge.current_tenant() and f.function_id = function_detail.function
$$;
comment on function flowforge.function_detail(integer) is 'A function as the API shows it alone, with its versions and how its runs went.';

create function flowforge.function_answer(function integer) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	detail constant jsonb := flowforge.function_detail(function);
begin
	return flowforge.answer(detail, 200, format(E'etag: %s\n', detail ->> 'etag'));
end
$$;
comment on function flowforge.function_answer(integer) is 'A function as the API shows it alone, with its ETag.';

create function flowforge.api_function(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	f constant flowforge.function := flowforge.function_named(request.params ->> 'id');
begin
	return flowforge.function_answer(f.function_id);
end
$$;
comment on function flowforge.api_function(flowforge.request) is 'GET /api/v1/functions/{id}.';

-- --- changing it ---

create function flowforge.lock_function(request flowforge.request) returns flowforge.function
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	f flowforge.function;
begin
	perform pg_advisory_xact_lock(hashtextextended('flowforge.register', flowforge.current_tenant()));
	f := flowforge.function_named(request.params ->> 'id');
	perform flowforge.check_etag(request, flowforge.function_etag(f), format('the function "%s"', f.slug));
	return f;
end
$$;
comment on function flowforge.lock_function(flowforge.request) is
'The function that the path names, in the state If-Match expects; apps that register wait until it is changed. Errors: FF013, FF6A1.';

-- What starts runs of it goes and comes with it. A workflow has its own ways: archive and publish.
create function flowforge.archive_function(f flowforge.function) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	if f.archived_at is not null then
		return;
	elsif f.kind = 'graph' then
		perform flowforge.archive_workflow(f.slug, null);
		return;
	end if;
	update flowforge.function u set archived_at = now() where u.tenant_id = f.tenant_id and u.function_id = f.function_id;
	perform flowforge.store_triggers(f.tenant_id, null, f.function_id);
	perform flowforge.store_schedules(f.tenant_id, null, f.function_id);
end
$$;
comment on function flowforge.archive_function(flowforge.function) is 'Takes a function out of use; its runs go on.';

create function flowforge.restore_function(f flowforge.function) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	if f.archived_at is null then
		return;
	elsif f.kind = 'graph' then
		raise exception using errcode = 'FF6A2', message = format('the workflow "%s" is not put back like this', f.slug),
			hint = format('Publish it again: POST /api/v1/workflows/%s/publish.', f.slug);
	end if;
	update flowforge.function u set archived_at = null where u.tenant_id = f.tenant_id and u.function_id = f.function_id;
	perform flowforge.store_triggers(f.tenant_id, null, f.function_id);
	perform flowforge.store_schedules(f.tenant_id, null, f.function_id);
end
$$;
comment on function flowforge.restore_function(flowforge.function) is 'Puts a function back that was taken out of use. Error: FF6A2 it is a workflow.';

create function flowforge.rename_function(f flowforge.function, name text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	if btrim(name) = '' or octet_length(name) > 255 then
		raise exception using errcode = 'FF203', message = 'a function''s name has 1 to 255 bytes', hint = 'Leave name out to keep the one it has.',
			column = 'name';
	elsif f.kind = 'graph' then
		raise exception using errcode = 'FF6A2', message = format('the name of the workflow "%s" is part of its definition', f.slug),
			hint = format('PUT /api/v1/workflows/%s changes it.', f.slug);
	end if;
	update flowforge.function u set name = rename_function.name where u.tenant_id = f.tenant_id and u.function_id = f.function_id;
end
$$;
comment on function flowforge.rename_function(flowforge.function, text) is 'Gives a function another name, until its app registers another. Errors: FF203, FF6A2.';

create function flowforge.api_function_change(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	name constant text := flowforge.body_member(request, 'name', 'string') #>> '{}';
	paused constant boolean := (flowforge.body_member(request, 'paused', 'boolean') #>> '{}')::boolean;
	archived constant boolean := (flowforge.body_member(request, 'archived', 'boolean') #>> '{}')::boolean;
	reason constant text := flowforge.body_member(request, 'reason', 'string') #>> '{}';
	f flowforge.function;
begin
	f := flowforge.lock_function(request);
	if name is not null then
		perform flowforge.rename_function(f, name);
	end if;
	if paused then
		perform @extschema@.ff_pause(f.slug, reason);
	elsif not paused then
		perform @extschema@.ff_resume(f.slug);
	end if;
	if archived then
		perform flowforge.archive_function(f);
	elsif not archived then
		perform flowforge.restore_function(f);
	end if;
	return flowforge.function_answer(f.function_id);
end
$$;
comment on function flowforge.api_function_change(flowforge.request) is 'PATCH /api/v1/functions/{id}.';

create function flowforge.api_function_archive(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	f constant flowforge.function := flowforge.lock_function(request);
begin
	perform flowforge.archive_function(f);
	return flowforge.function_answer(f.function_id);
end
$$;
comment on function flowforge.api_function_archive(flowforge.request) is 'DELETE /api/v1/functions/{id}.';

insert into flowforge.route_schema (name, schema) values
('Function', '{
	"type": "object", "required": ["function", "name", "kind", "app", "version", "retries", "url", "triggers", "paused", "archived_at",
		"filter_errors", "last_filter_error", "last_filter_error_at"],
	"properties": {
		"function": {"type": "string", "description": "Its id, app-function."},
		"name": {"type": "string"},
		"kind": {"enum": ["sdk", "graph", "sql"], "description": "Served by an app, a workflow, or a function of the database."},
		"app": {"type": ["string", "null"]},
		"version": {"type": "integer"},
		"retries": {"type": "integer", "description": "Of each step."},
		"url": {"type": "string"},
		"triggers": {"type": "array", "items": {"type": "object", "properties": {
			"event": {"type": "string"}, "expression": {"type": "string"}, "cron": {"type": "string"}}}},
		"paused": {"type": "boolean", "description": "By itself; its app, or everything, may be, too."},
		"archived_at": {"type": ["string", "null"], "format": "date-time", "description": "When its app stopped serving it, or somebody took it out of use."},
		"filter_errors": {"type": "integer", "description": "How often a filter of it could not be evaluated since the server started."},
		"last_filter_error": {"type": ["string", "null"]},
		"last_filter_error_at": {"type": ["string", "null"], "format": "date-time"}
	}
}'),
('FunctionDetail', '{
	"allOf": [{"$ref": "#/components/schemas/Function"}],
	"type": "object", "required": ["etag", "created_at", "role", "pause", "config", "versions", "stats"],
	"properties": {
		"etag": {"type": "string", "description": "For If-Match."},
		"created_at": {"type": "string", "format": "date-time"},
		"role": {"type": ["string", "null"], "description": "The database role its statements run as, if not its app''s."},
		"pause": {"type": ["object", "null"], "properties": {
			"reason": {"type": ["string", "null"]}, "paused_at": {"type": "string", "format": "date-time"}}},
		"config": {"type": ["object", "null"], "description": "What its current version says, but for its steps and triggers: limits, time-outs, schemas."},
		"versions": {"type": "array", "description": "The latest 50, newest first.", "items": {
			"type": "object", "required": ["version", "current", "retries", "created_at"], "properties": {
				"version": {"type": "integer"}, "current": {"type": "boolean"}, "retries": {"type": "integer"},
				"created_at": {"type": "string", "format": "date-time"}}}},
		"stats": {"type": "object", "description": "Of the runs made since then, the latest 10,000 that have ended.",
			"required": ["live", "since", "completed", "failed", "cancelled", "last_run_at", "duration_ms"], "properties": {
				"live": {"type": "integer", "description": "Runs that have not ended, whenever they were made."},
				"since": {"type": "string", "format": "date-time"},
				"completed": {"type": "integer"}, "failed": {"type": "integer"}, "cancelled": {"type": "integer"},
				"last_run_at": {"type": ["string", "null"], "format": "date-time"},
				"duration_ms": {"type": "object", "properties": {
					"average": {"type": ["number", "null"]}, "p50": {"type": ["number", "null"]}, "p95": {"type": ["number", "null"]}}}}}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/functions', 'flowforge.api_functions', 'functions:read', 'functions', 'List functions, by id',
'{"type": "object", "properties": {
	"app": {"type": "string"},
	"kind": {"enum": ["sdk", "graph", "sql"]},
	"archived": {"type": "boolean", "default": false, "description": "Those out of use, too."},
	"search": {"type": "string", "description": "In id and name."},
	"limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/Function"}},
	"next_cursor": {"type": ["string", "null"]}}}'),
('GET', '/api/v1/functions/{id}', 'flowforge.api_function', 'functions:read', 'functions', 'One function with its versions and how its runs went',
'{}', '{"$ref": "#/components/schemas/FunctionDetail"}'),
('PATCH', '/api/v1/functions/{id}', 'flowforge.api_function_change', 'functions:manage', 'functions',
'Change what the body says; 412 when If-Match is not its ETag',
'{"type": "object", "properties": {
	"name": {"type": "string", "minLength": 1, "maxLength": 255, "description": "Until its app registers another."},
	"paused": {"type": "boolean"},
	"reason": {"type": ["string", "null"], "description": "Of the pause."},
	"archived": {"type": "boolean", "description": "true: as DELETE; false: puts it back."}}}',
'{"$ref": "#/components/schemas/FunctionDetail"}'),
('DELETE', '/api/v1/functions/{id}', 'flowforge.api_function_archive', 'functions:manage', 'functions',
'Take a function out of use: nothing starts it any more, until its app registers a change or somebody puts it back', '{}',
'{"$ref": "#/components/schemas/FunctionDetail"}');

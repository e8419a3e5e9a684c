-- Whether the server works, for machines and for people.

create function flowforge.version() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select extversion from pg_extension where extname = 'flowforge'
$$;
comment on function flowforge.version() is 'The version of FlowForge installed in this database.';

create function flowforge.api_health(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(jsonb_build_object('status', 'ok', 'version', flowforge.version()));
end
$$;
comment on function flowforge.api_health(flowforge.request) is 'GET /health: the gateway reaches the database.';

create function flowforge.executor_list(whole boolean) returns jsonb
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(case when whole then to_jsonb(e) else jsonb_build_object('executor', e.executor, 'state', e.state) end order by e.executor), '[]')
	from flowforge.executors() e
$$;
comment on function flowforge.executor_list(boolean) is
'The executors of this database as the API shows them: whole, or no more than whether each works, for counters and errors are of all tenants.';

create function flowforge.api_ready(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	ready constant boolean := coalesce((select bool_and(e.state = 'working') from flowforge.executors() e), false);
	body constant jsonb := jsonb_build_object('status', case when ready then 'ready' else 'not ready' end, 'executors', flowforge.executor_list(false));
begin
	if ready then
		return flowforge.answer(body);
	end if;
	return flowforge.answer(body, 503, E'retry-after: 1\n');
end
$$;
comment on function flowforge.api_ready(flowforge.request) is 'GET /ready: every executor works; 503 otherwise.';

create function flowforge.api_status(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(jsonb_build_object(
		'items', (select jsonb_agg(jsonb_build_object('item', s.item, 'value', s.value)) from @extschema@.ff_status() s),
		'executors', flowforge.executor_list(flowforge.is_operator())));
end
$$;
comment on function flowforge.api_status(flowforge.request) is 'GET /api/v1/status.';

insert into flowforge.route_schema (name, schema) values
('Executor', '{
	"type": "object",
	"description": "Whoever asks is told its state; the operator of the server, in GET /api/v1/status, all of it.",
	"required": ["executor", "state"],
	"properties": {
		"executor": {"type": "integer"},
		"pid": {"type": ["integer", "null"]},
		"state": {"type": "string", "description": "starting, working, or why it idles."},
		"ready": {"type": "integer", "description": "Runs to be called now."},
		"in_flight": {"type": "integer", "description": "Calls under way."},
		"timers": {"type": "integer"},
		"commits": {"type": "integer"},
		"steps": {"type": "integer"},
		"runs_ended": {"type": "integer"},
		"errors": {"type": "integer"},
		"last_error": {"type": ["string", "null"]},
		"last_error_at": {"type": ["string", "null"], "format": "date-time"}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/health', 'flowforge.api_health', 'public', 'health', 'Whether the gateway and the database answer',
'{}', '{"type": "object", "required": ["status"], "properties": {
	"status": {"const": "ok"}, "version": {"type": "string", "description": "Of the extension; a gateway answers for itself, without it."}}}'),
('GET', '/ready', 'flowforge.api_ready', 'public', 'health', 'Whether the executors work; 503 when they do not',
'{}', '{"type": "object", "required": ["status", "executors"], "properties": {
	"status": {"enum": ["ready", "not ready"]},
	"executors": {"type": "array", "items": {"$ref": "#/components/schemas/Executor"}}}}'),
('GET', '/api/v1/status', 'flowforge.api_status', 'runs:read', 'health', 'Executors, backlog, what is in flight and due, the last error',
'{}', '{"type": "object", "required": ["items", "executors"], "properties": {
	"items": {"type": "array", "items": {"type": "object", "required": ["item", "value"], "properties": {
		"item": {"type": "string"}, "value": {"type": ["string", "null"]}}}},
	"executors": {"type": "array", "items": {"$ref": "#/components/schemas/Executor"}}}}');

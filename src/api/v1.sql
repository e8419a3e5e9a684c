-- The protocol's REST v1: what documentation, tests and tools of SDKs read from a server, and cancelling many runs at once. The same
-- things as under /api/v1, under the names those clients know.

create function flowforge.v1_answer(data jsonb, status integer default 200) returns flowforge.response
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.answer(jsonb_build_object('data', data, 'metadata', jsonb_build_object('fetched_at', now(), 'cached_until', null)), status)
$$;
comment on function flowforge.v1_answer(jsonb, integer) is 'The envelope of every answer of REST v1.';

create function flowforge.v1_run_json(run flowforge.runs) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('run_id', run.ulid, 'run_started_at', coalesce(run.started_at, run.created_at), 'ended_at', run.ended_at,
		'status', case when run.status in ('pending', 'running') then 'Running' else initcap(run.status) end,
		'output', coalesce(run.output, run.error), 'function_id', run.function, 'function_version', run.version,
		'event_id', flowforge.ulid(run.event_id), 'environment_id', run.tenant_id::text)
$$;
comment on function flowforge.v1_run_json(flowforge.runs) is 'A run as REST v1 shows it; a failed one''s error is its output.';

create function flowforge.v1_event_json(event flowforge.events) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('internal_id', event.ulid, 'id', coalesce(event.external_id, event.ulid), 'name', event.name, 'data', event.data,
		'user', coalesce(event.user_data, '{}'), 'ts', (extract(epoch from event.ts) * 1000)::bigint, 'v', event.v,
		'received_at', event.received_at)
$$;
comment on function flowforge.v1_event_json(flowforge.events) is 'An event as REST v1 shows it.';

create function flowforge.v1_events(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
	query constant jsonb := request.query || jsonb_strip_nulls(jsonb_build_object(
		'since', flowforge.time_of(request.query, 'received_after'), 'until', flowforge.time_of(request.query, 'received_before')));
	page constant flowforge.page := flowforge.page_of(query);
begin
	return flowforge.v1_answer(coalesce((
		select jsonb_agg(p.json order by p.event_id desc)
		from (
			select e.event_id, flowforge.v1_event_json(e) as json
			from flowforge.events e
			where e.tenant_id = flowforge.current_tenant() and e.event_id >= page.low and e.event_id < page.high
				and (query ->> 'name' is null or e.name = query ->> 'name')
			order by e.event_id desc
			limit page.size
		) p), '[]'));
end
$$;
comment on function flowforge.v1_events(flowforge.request) is 'GET /v1/events.';

create function flowforge.v1_event(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.v1_answer(flowforge.v1_event_json(flowforge.event_of(request)));
end
$$;
comment on function flowforge.v1_event(flowforge.request) is 'GET /v1/events/{id}.';

-- An event that nobody knows has started nothing: clients poll this for an event they have just sent.
create function flowforge.v1_event_runs(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted constant uuid := flowforge.id_of(request.params ->> 'id', 'id');
begin
	return flowforge.v1_answer(coalesce((
		select jsonb_agg(flowforge.v1_run_json(r) order by r.run_id)
		from flowforge.runs r
		where r.tenant_id = flowforge.current_tenant()
			and r.run_id = any (array(select flowforge.runs_of_events(flowforge.current_tenant(), array[wanted])))), '[]'));
end
$$;
comment on function flowforge.v1_event_runs(flowforge.request) is 'GET /v1/events/{id}/runs.';

create function flowforge.v1_run(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
begin
	return flowforge.v1_answer((
		select flowforge.v1_run_json(r) from flowforge.runs r where r.tenant_id = flowforge.current_tenant() and r.run_id = run));
end
$$;
comment on function flowforge.v1_run(flowforge.request) is 'GET /v1/runs/{id}.';

create function flowforge.v1_run_jobs(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
begin
	return flowforge.v1_answer(coalesce((
		select jsonb_agg(jsonb_build_object('id', flowforge.ulid(run) || '.' || i.step_id, 'kind', i.op, 'status', i.status,
			'attempt', i.attempt, 'run_at', i.due_at) order by i.due_at nulls first, i.step_id)
		from flowforge.steps i
		where i.tenant_id = flowforge.current_tenant() and i.run_id = run and i.ended_at is null), '[]'));
end
$$;
comment on function flowforge.v1_run_jobs(flowforge.request) is 'GET /v1/runs/{id}/jobs: what a run has under way, waits for or will try again.';

create function flowforge.v1_run_cancel(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
	result constant text := @extschema@.ff_cancel(run, 'cancelled over REST');
begin
	return flowforge.v1_answer(jsonb_build_object('run_id', flowforge.ulid(run), 'result', result),
		case result when 'cancelling' then 202 else 200 end);
end
$$;
comment on function flowforge.v1_run_cancel(flowforge.request) is 'DELETE /v1/runs/{id}.';

create function flowforge.metadata_problem(body jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when jsonb_typeof(body -> 'target') is distinct from 'object' then 'target is no object'
		when body #>> '{target,step_id}' is null and body -> 'target' ?| '{step_index,step_attempt,span_id}' then 'the target has no step_id'
		when exists (select from jsonb_each(body -> 'target') t where t.key in ('step_index', 'step_attempt') and t.value <> 'null'
			and t.value::text !~ '^-?\d{1,9}$') then 'step_index and step_attempt are whole numbers'
		when exists (select from jsonb_each(body -> 'target') t where t.key in ('step_id', 'span_id') and t.value <> 'null'
			and (jsonb_typeof(t.value) <> 'string' or octet_length(t.value #>> '{}') not between 1 and 512)) then 'step_id and span_id are texts of 1 to 512 bytes'
		when jsonb_typeof(body -> 'metadata') is distinct from 'array' then 'metadata is no list'
		when jsonb_array_length(body -> 'metadata') > 100 then 'there are more than 100 changes'
		else (
			select case
				when jsonb_typeof(m.value) <> 'object' then format('metadata[%s] is no object', m.ordinality - 1)
				when jsonb_typeof(m.value -> 'kind') is distinct from 'string' or octet_length(m.value ->> 'kind') not between 1 and 128 then
					format('metadata[%s].kind is no text of 1 to 128 bytes', m.ordinality - 1)
				when m.value ->> 'op' is null or m.value ->> 'op' not in ('set', 'merge', 'delete', 'add') then
					format('metadata[%s].op is not set, merge, delete or add', m.ordinality - 1)
				else format('metadata[%s].values is no object', m.ordinality - 1)
			end
			from jsonb_array_elements(body -> 'metadata') with ordinality m
			where jsonb_typeof(m.value) <> 'object' or jsonb_typeof(m.value -> 'kind') is distinct from 'string'
				or octet_length(m.value ->> 'kind') not between 1 and 128
				or m.value ->> 'op' is null or m.value ->> 'op' not in ('set', 'merge', 'delete', 'add')
				or jsonb_typeof(m.value -> 'values') is distinct from 'object'
			order by m.ordinality
			limit 1)
	end
$$;
comment on function flowforge.metadata_problem(jsonb) is 'What is wrong with a request to note metadata, or null.';

create function flowforge.v1_run_metadata(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant jsonb := flowforge.object_of(request);
	run constant uuid := flowforge.run_of(request);
	problem constant text := flowforge.metadata_problem(body);
	change jsonb;
begin
	if problem is not null then
		raise exception using errcode = 'FF204', message = problem,
			hint = 'Send {"target": {"step_id"?, "step_index"?, "step_attempt"?}, "metadata": [{"kind", "op", "values"}]}.';
	end if;
	for change in select m.value from jsonb_array_elements(body -> 'metadata') m loop
		perform flowforge.note_metadata(flowforge.current_tenant(), run, body -> 'target', change);
	end loop;
	return flowforge.v1_answer('{"ok": true}');
end
$$;
comment on function flowforge.v1_run_metadata(flowforge.request) is 'POST /v1/runs/{id}/metadata.';

insert into flowforge.route_schema (name, schema) values
('V1Metadata', '{
	"type": "object", "required": ["fetched_at", "cached_until"],
	"properties": {"fetched_at": {"type": "string", "format": "date-time"}, "cached_until": {"type": ["string", "null"], "format": "date-time"}}
}'),
('V1Run', '{
	"type": "object",
	"required": ["run_id", "run_started_at", "ended_at", "status", "output", "function_id", "function_version", "event_id", "environment_id"],
	"properties": {
		"run_id": {"type": "string", "description": "A ULID."},
		"run_started_at": {"type": "string", "format": "date-time"},
		"ended_at": {"type": ["string", "null"], "format": "date-time"},
		"status": {"enum": ["Running", "Completed", "Failed", "Cancelled"]},
		"output": {"description": "What it returned, or its error."},
		"function_id": {"type": "string", "description": "app-function"},
		"function_version": {"type": "integer"},
		"event_id": {"type": "string", "description": "The ULID of the event that started it."},
		"environment_id": {"type": "string"}
	}
}'),
('V1Event', '{
	"type": "object", "required": ["internal_id", "id", "name", "data", "user", "ts", "v", "received_at"],
	"properties": {
		"internal_id": {"type": "string", "description": "A ULID."},
		"id": {"type": "string", "description": "The id its sender gave it, or the same."},
		"name": {"type": "string"},
		"data": {"type": "object"},
		"user": {"type": "object"},
		"ts": {"type": "integer", "description": "Milliseconds since 1970."},
		"v": {"type": ["string", "null"]},
		"received_at": {"type": "string", "format": "date-time"}
	}
}');

insert into flowforge.route (method, pattern, function, scope, style, tag, summary, request_schema, response_schema)
select r.method, r.pattern, 'flowforge.' || r.function, r.scope, 'sdk', 'sdk', r.summary, r.request,
	jsonb_build_object('type', 'object', 'required', jsonb_build_array('data', 'metadata'), 'properties', jsonb_build_object(
		'data', r.data, 'metadata', '{"$ref": "#/components/schemas/V1Metadata"}'::jsonb))
from (values
('GET', '/v1/events', 'v1_events', 'events:read', 'List events, newest first (REST v1)',
'{"type": "object", "properties": {
	"name": {"type": "string"},
	"received_after": {"type": "string", "format": "date-time"},
	"received_before": {"type": "string", "format": "date-time"},
	"limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
	"cursor": {"type": "string", "description": "The internal_id of the last event of the page before."}}}'::jsonb,
'{"type": "array", "items": {"$ref": "#/components/schemas/V1Event"}}'::jsonb),
('GET', '/v1/events/{id}', 'v1_event', 'events:read', 'One event (REST v1)', '{}', '{"$ref": "#/components/schemas/V1Event"}'),
('GET', '/v1/events/{id}/runs', 'v1_event_runs', 'runs:read', 'The runs an event started (REST v1)', '{}',
'{"type": "array", "items": {"$ref": "#/components/schemas/V1Run"}}'),
('GET', '/v1/runs/{id}', 'v1_run', 'runs:read', 'One run (REST v1)', '{}', '{"$ref": "#/components/schemas/V1Run"}'),
('DELETE', '/v1/runs/{id}', 'v1_run_cancel', 'runs:manage', 'Cancel a run (REST v1)', '{}',
'{"type": "object", "required": ["run_id", "result"], "properties": {
	"run_id": {"type": "string"},
	"result": {"enum": ["cancelling", "already completed", "already failed", "already cancelled"]}}}'),
('POST', '/v1/runs/{id}/metadata', 'v1_run_metadata', 'runs:manage', 'Note scores and other metadata about a run or a step (REST v1)',
'{"type": "object", "required": ["target", "metadata"], "properties": {
	"target": {"type": "object", "description": "The run itself, unless a step is named.", "properties": {
		"step_id": {"type": ["string", "null"], "description": "As its function calls it."},
		"step_index": {"type": ["integer", "null"], "description": "Which of the steps of that name; from 0."},
		"step_attempt": {"type": ["integer", "null"]},
		"span_id": {"type": ["string", "null"]}}},
	"metadata": {"type": "array", "maxItems": 100, "items": {"type": "object", "required": ["kind", "op", "values"], "properties": {
		"kind": {"type": "string", "maxLength": 128, "examples": ["inngest.score", "userland.default"]},
		"op": {"enum": ["set", "merge", "delete", "add"]},
		"values": {"type": "object"}}}}}}',
'{"type": "object", "required": ["ok"], "properties": {"ok": {"const": true}}}'),
('GET', '/v1/runs/{id}/jobs', 'v1_run_jobs', 'runs:read', 'What a run has under way (REST v1)', '{}',
'{"type": "array", "items": {"type": "object", "required": ["id", "kind", "status", "attempt", "run_at"], "properties": {
	"id": {"type": "string"},
	"kind": {"type": "string"},
	"status": {"type": "string"},
	"attempt": {"type": ["integer", "null"]},
	"run_at": {"type": ["string", "null"], "format": "date-time"}}}}')
) as r (method, pattern, function, scope, summary, request, data);

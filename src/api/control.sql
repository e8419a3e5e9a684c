-- Control over HTTP: starting, repeating, pausing, explaining. Each route is the SQL function of the same name with its arguments from the body.

-- The member of a body that is an object or absent. What it says of its form is checked here, what it means by the function it is given to.
create function flowforge.body_member(request flowforge.request, name text, type text) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	given constant jsonb := case when coalesce(request.json, 'null') = 'null' then null else flowforge.object_of(request) -> name end;
begin
	if given is null or given = 'null' then
		return null;
	elsif type = 'any' or jsonb_typeof(given) = type then
		return given;
	end if;
	raise exception using errcode = 'FF203', message = format('%s is of type %s, not %s', name, jsonb_typeof(given), type),
		hint = format('Make it of type %s or leave it out.', type), column = name;
end
$$;
comment on function flowforge.body_member(flowforge.request, text, text) is
'A member of the body, of the type given (any for every type); null when it, or the body, is absent or null. Error: FF203.';

create function flowforge.api_run_retry(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
	result constant text := @extschema@.ff_retry(run);
begin
	return flowforge.answer(jsonb_build_object('id', run, 'ulid', flowforge.ulid(run), 'result', result), case result when 'retrying' then 202 else 200 end);
end
$$;
comment on function flowforge.api_run_retry(flowforge.request) is 'POST /api/v1/runs/{id}/retry.';

create function flowforge.api_run_replay(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
	copy constant uuid := @extschema@.ff_replay(run, flowforge.body_member(request, 'from_step', 'string') #>> '{}', flowforge.body_member(request, 'input', 'any'));
begin
	return flowforge.answer(jsonb_build_object('id', copy, 'ulid', flowforge.ulid(copy), 'replay_of', run), 201);
end
$$;
comment on function flowforge.api_run_replay(flowforge.request) is 'POST /api/v1/runs/{id}/replay.';

create function flowforge.api_run_resume(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
	result constant text := flowforge.resume_step(run, flowforge.body_member(request, 'step_id', 'string') #>> '{}',
		coalesce(flowforge.body_member(request, 'data', 'any'), '{}'), coalesce(flowforge.body_member(request, 'by', 'string') #>> '{}', 'api'), false);
begin
	return flowforge.answer(jsonb_build_object('id', run, 'ulid', flowforge.ulid(run), 'result', result), case result when 'resuming' then 202 else 200 end);
end
$$;
comment on function flowforge.api_run_resume(flowforge.request) is 'POST /api/v1/runs/{id}/resume.';

create function flowforge.api_run_explain(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
begin
	return flowforge.answer((
		select jsonb_build_object('id', run, 'ulid', flowforge.ulid(run), 'explanation', flowforge.say_causes(array_agg(c.sentence)), 'causes',
			jsonb_agg(to_jsonb(c)))
		from flowforge.run_causes(run) c));
end
$$;
comment on function flowforge.api_run_explain(flowforge.request) is 'GET /api/v1/runs/{id}/explain.';

-- A filter with its dry run; what was done with each run, and whether as many were found as the limit allows.
create function flowforge.bulk_answer(filter jsonb, results jsonb) returns flowforge.response
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.answer(jsonb_build_object('data', coalesce(results, '[]'), 'count', coalesce(jsonb_array_length(results), 0),
		'dry_run', filter @> '{"dry_run": true}', 'more', coalesce(jsonb_array_length(results), 0) = coalesce((filter ->> 'limit')::integer, 1000)))
$$;
comment on function flowforge.bulk_answer(jsonb, jsonb) is 'The answer of a route that handles many runs.';

create function flowforge.api_runs_cancel(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	filter constant jsonb := flowforge.object_of(request);
begin
	return flowforge.bulk_answer(filter, (
		select jsonb_agg(jsonb_build_object('id', w.run_id, 'ulid', flowforge.ulid(w.run_id), 'result', w.result)) from @extschema@.ff_cancel_where(filter) w));
end
$$;
comment on function flowforge.api_runs_cancel(flowforge.request) is 'POST /api/v1/runs/cancel.';

create function flowforge.api_runs_retry(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	filter constant jsonb := flowforge.object_of(request);
begin
	return flowforge.bulk_answer(filter, (
		select jsonb_agg(jsonb_build_object('id', w.run_id, 'ulid', flowforge.ulid(w.run_id), 'result', w.result)) from @extschema@.ff_retry_where(filter) w));
end
$$;
comment on function flowforge.api_runs_retry(flowforge.request) is 'POST /api/v1/runs/retry.';

create function flowforge.api_runs_replay(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	filter constant jsonb := flowforge.object_of(request);
begin
	return flowforge.bulk_answer(filter, (
		select jsonb_agg(jsonb_build_object('id', w.run_id, 'ulid', flowforge.ulid(w.run_id), 'result', w.result, 'replay', w.new_run_id))
		from @extschema@.ff_replay_where(filter) w));
end
$$;
comment on function flowforge.api_runs_replay(flowforge.request) is 'POST /api/v1/runs/replay.';

create function flowforge.api_function_run(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := @extschema@.ff_run(request.params ->> 'id', flowforge.body_member(request, 'input', 'any'),
		flowforge.body_member(request, 'idempotency_key', 'string') #>> '{}');
begin
	return flowforge.answer(jsonb_build_object('id', run, 'ulid', flowforge.ulid(run)), 201);
end
$$;
comment on function flowforge.api_function_run(flowforge.request) is 'POST /api/v1/functions/{id}/run.';

create function flowforge.api_pause(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	name constant text := request.params ->> 'id';
	reason constant text := flowforge.body_member(request, 'reason', 'string') #>> '{}';
begin
	return flowforge.answer(jsonb_build_object('id', name, 'result', case
		when request.path like '/api/v1/apps/%' then @extschema@.ff_pause_app(name, reason)
		else @extschema@.ff_pause(name, reason)
	end));
end
$$;
comment on function flowforge.api_pause(flowforge.request) is 'POST /api/v1/functions/{id}/pause and /api/v1/apps/{id}/pause.';

create function flowforge.api_resume(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	name constant text := request.params ->> 'id';
begin
	return flowforge.answer(jsonb_build_object('id', name, 'result', case
		when request.path like '/api/v1/apps/%' then @extschema@.ff_resume_app(name)
		else @extschema@.ff_resume(name)
	end));
end
$$;
comment on function flowforge.api_resume(flowforge.request) is 'POST /api/v1/functions/{id}/resume and /api/v1/apps/{id}/resume.';

insert into flowforge.route_schema (name, schema) values
('RunFilter', '{
	"type": "object", "description": "Every condition holds of the runs that are meant; at least one is needed.",
	"properties": {
		"function": {"type": "string"},
		"app": {"type": "string"},
		"event": {"type": "string", "description": "The name of the event that started it."},
		"status": {"type": "string"},
		"error": {"type": "string", "description": "The name of the error it failed with."},
		"if": {"type": "string", "description": "An expression over event."},
		"since": {"type": "string", "format": "date-time", "description": "Made then or later."},
		"until": {"type": "string", "format": "date-time", "description": "Made earlier."},
		"runs": {"type": "array", "items": {"type": "string"}},
		"limit": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 1000, "description": "The oldest first."},
		"dry_run": {"type": "boolean", "default": false, "description": "Only say what would be done."}
	}
}'),
('BulkResult', '{
	"type": "object", "required": ["data", "count", "dry_run", "more"],
	"properties": {
		"data": {"type": "array", "items": {"type": "object", "required": ["id", "ulid", "result"], "properties": {
			"id": {"type": "string", "format": "uuid"},
			"ulid": {"type": "string"},
			"result": {"type": "string", "description": "As for one run; would be … when it is a dry run."},
			"replay": {"type": ["string", "null"], "format": "uuid", "description": "The new run of one that was replayed."}}}},
		"count": {"type": "integer"},
		"dry_run": {"type": "boolean"},
		"more": {"type": "boolean", "description": "As many as the limit allows: there may be more."}
	}
}'),
('Paused', '{
	"type": "object", "required": ["id", "result"],
	"properties": {"id": {"type": "string"}, "result": {"enum": ["paused", "already paused", "resumed", "not paused"]}}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('POST', '/api/v1/runs/{id}/retry', 'flowforge.api_run_retry', 'runs:manage', 'runs', 'Make a run that failed or was cancelled go on',
'{"type": ["object", "null"]}',
'{"type": "object", "required": ["id", "ulid", "result"], "properties": {
	"id": {"type": "string", "format": "uuid"},
	"ulid": {"type": "string"},
	"result": {"enum": ["retrying", "already running"]}}}'),
('POST', '/api/v1/runs/{id}/resume', 'flowforge.api_run_resume', 'runs:manage', 'runs', 'Let a waiting step of a run go on, with data',
'{"type": ["object", "null"], "properties": {
	"step_id": {"type": "string", "description": "The step, by its id or its name. Without it: the only one that waits."},
	"data": {"description": "The data of the event, signal or approval it waits for; of a sleep, its result."},
	"by": {"type": "string", "description": "Who resumes it, and gives the approval."}}}',
'{"type": "object", "required": ["id", "ulid", "result"], "properties": {
	"id": {"type": "string", "format": "uuid"},
	"ulid": {"type": "string"},
	"result": {"enum": ["resuming", "already resuming", "already done", "already completed", "already failed", "already cancelled"]}}}'),
('POST', '/api/v1/runs/{id}/replay', 'flowforge.api_run_replay', 'runs:manage', 'runs', 'Run the function of a run again, as a new run',
'{"type": ["object", "null"], "properties": {
	"from_step": {"type": "string", "description": "The id or name of a finished step: what finished before it is kept."},
	"input": {"description": "The arguments of that step (a list), or, without one, the data of the event (an object)."}}}',
'{"type": "object", "required": ["id", "ulid", "replay_of"], "properties": {
	"id": {"type": "string", "format": "uuid", "description": "Of the new run."},
	"ulid": {"type": "string"},
	"replay_of": {"type": "string", "format": "uuid"}}}'),
('GET', '/api/v1/runs/{id}/explain', 'flowforge.api_run_explain', 'runs:read', 'runs', 'Why a run is not running', '{}',
'{"type": "object", "required": ["id", "ulid", "explanation", "causes"], "properties": {
	"id": {"type": "string", "format": "uuid"},
	"ulid": {"type": "string"},
	"explanation": {"type": "string", "description": "A sentence."},
	"causes": {"type": "array", "items": {"type": "object", "required": ["cause", "step_id", "since", "until", "sentence"], "properties": {
		"cause": {"type": "string", "examples": ["sleeping", "backing off", "app paused", "no executor"]},
		"step_id": {"type": ["string", "null"]},
		"since": {"type": ["string", "null"], "format": "date-time"},
		"until": {"type": ["string", "null"], "format": "date-time"},
		"sentence": {"type": ["string", "null"]}}}}}}'),
('POST', '/api/v1/runs/cancel', 'flowforge.api_runs_cancel', 'runs:manage', 'runs', 'Cancel the live runs that meet a filter',
'{"allOf": [{"$ref": "#/components/schemas/RunFilter"}], "type": "object", "properties": {"reason": {"type": "string"}}}',
'{"$ref": "#/components/schemas/BulkResult"}'),
('POST', '/api/v1/runs/retry', 'flowforge.api_runs_retry', 'runs:manage', 'runs', 'Retry the failed runs that meet a filter',
'{"$ref": "#/components/schemas/RunFilter"}', '{"$ref": "#/components/schemas/BulkResult"}'),
('POST', '/api/v1/runs/replay', 'flowforge.api_runs_replay', 'runs:manage', 'runs', 'Replay the ended runs that meet a filter',
'{"allOf": [{"$ref": "#/components/schemas/RunFilter"}], "type": "object", "properties": {"from_step": {"type": "string"}}}',
'{"$ref": "#/components/schemas/BulkResult"}'),
('POST', '/api/v1/functions/{id}/run', 'flowforge.api_function_run', 'runs:manage', 'functions', 'Start a run of a function',
'{"type": ["object", "null"], "properties": {
	"input": {"type": "object", "description": "The data its function sees."},
	"idempotency_key": {"type": "string", "description": "A repeat gives the first run."}}}',
'{"type": "object", "required": ["id", "ulid"], "properties": {"id": {"type": "string", "format": "uuid"}, "ulid": {"type": "string"}}}'),
('POST', '/api/v1/functions/{id}/pause', 'flowforge.api_pause', 'functions:manage', 'functions', 'Pause a function: its runs are kept and not called',
'{"type": ["object", "null"], "properties": {"reason": {"type": "string"}}}', '{"$ref": "#/components/schemas/Paused"}'),
('POST', '/api/v1/functions/{id}/resume', 'flowforge.api_resume', 'functions:manage', 'functions', 'End the pause of a function',
'{"type": ["object", "null"]}', '{"$ref": "#/components/schemas/Paused"}'),
('POST', '/api/v1/apps/{id}/pause', 'flowforge.api_pause', 'functions:manage', 'functions', 'Pause all functions of an app',
'{"type": ["object", "null"], "properties": {"reason": {"type": "string"}}}', '{"$ref": "#/components/schemas/Paused"}'),
('POST', '/api/v1/apps/{id}/resume', 'flowforge.api_resume', 'functions:manage', 'functions', 'End the pause of an app',
'{"type": ["object", "null"]}', '{"$ref": "#/components/schemas/Paused"}');

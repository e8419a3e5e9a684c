-- Runs over HTTP.

create function flowforge.run_json(run flowforge.runs) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('id', run.run_id, 'ulid', run.ulid, 'function', run.function, 'version', run.version,
		'status', run.status, 'event_id', run.event_id, 'event_name', run.event_name, 'parent_run_id', run.parent_run_id,
		'created_at', run.created_at, 'started_at', run.started_at, 'ended_at', run.ended_at, 'wake_at', run.wake_at)
$$;
comment on function flowforge.run_json(flowforge.runs) is 'A run as lists of the API show it: without its result.';

create function flowforge.run_detail(run flowforge.runs) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.run_json(run) || jsonb_build_object('output', run.output, 'error', run.error,
		'metadata', flowforge.metadata_json(run.tenant_id, run.run_id), 'event', (
		select flowforge.event_json(e) from flowforge.events e where e.tenant_id = run.tenant_id and e.event_id = run.event_id),
		'event_ids', flowforge.events_of_run(run.tenant_id, run.run_id, run.event_id))
$$;
comment on function flowforge.run_detail(flowforge.runs) is 'A run as the API shows it alone: with its event, the ids of all events of its batch, and its result.';

-- A model's calls are priced when they are made; one whose price nobody knew costs null, and is counted.
create function flowforge.run_cost(run flowforge.runs) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('model_calls', count(*), 'prompt_tokens', coalesce(sum(c.prompt_tokens), 0),
		'completion_tokens', coalesce(sum(c.completion_tokens), 0), 'usd', coalesce(sum(c.cost_usd), 0),
		'unpriced_calls', count(*) filter (where c.cost_usd is null))
	from flowforge.ai_calls c
	where c.tenant_id = run.tenant_id and c.run_id = run.run_id
$$;
comment on function flowforge.run_cost(flowforge.runs) is 'What a run''s calls to models have cost so far.';

create function flowforge.run_timing(run flowforge.runs) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('queued_ms', flowforge.milliseconds(coalesce(run.started_at, run.ended_at, now()) - run.created_at),
		'running_ms', flowforge.milliseconds(coalesce(run.ended_at, now()) - run.started_at),
		'total_ms', flowforge.milliseconds(coalesce(run.ended_at, now()) - run.created_at),
		'steps', count(s.step_id), 'steps_ms', coalesce(flowforge.milliseconds(sum(s.ended_at - s.started_at)), 0))
	from flowforge.step s
	where s.tenant_id = run.tenant_id and s.run_id = run.run_id
$$;
comment on function flowforge.run_timing(flowforge.runs) is 'How long a run waited and ran, until now if it has not ended, and what its finished steps took, added up.';

create function flowforge.run_steps(run uuid) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(jsonb_build_object('step_id', s.step_id, 'name', s.name, 'op', s.op, 'status', s.status,
		'attempt', s.attempt, 'output', s.output, 'error', s.error, 'detail', s.detail, 'started_at', s.started_at, 'ended_at', s.ended_at,
		'due_at', s.due_at) order by s.position nulls last, s.started_at, s.step_id), '[]')
	from flowforge.steps s
	where s.tenant_id = flowforge.current_tenant() and s.run_id = run
$$;
comment on function flowforge.run_steps(uuid) is 'The steps of a run as the API shows them: finished ones in the order they finished, then the others.';

-- Finished steps by the order in which they finished, so many a page; those that have not finished are few, and all on the last page.
create function flowforge.run_steps_page(run uuid, after integer, size integer) returns jsonb[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select array(
		select jsonb_build_object('position', s.position, 'step_id', s.step_id, 'name', s.name, 'op', s.op, 'status', s.status, 'attempt', s.attempt,
			'output', s.output, 'error', s.error, 'detail', s.detail, 'started_at', s.started_at, 'ended_at', s.ended_at, 'due_at', s.due_at)
		from (
			select f.*
			from flowforge.steps f
			where f.tenant_id = flowforge.current_tenant() and f.run_id = run and f.position > after
			order by f.position
			limit size + 1
		) s
		order by s.position
	)
$$;
comment on function flowforge.run_steps_page(uuid, integer, integer) is 'The finished steps of a run after a position, and one more than a page shows.';

create function flowforge.run_known(wanted uuid) returns uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	if exists (select from flowforge.run r where r.tenant_id = flowforge.current_tenant() and r.run_id = wanted) then
		return wanted;
	end if;
	raise exception using errcode = 'FF010', message = format('run %s does not exist', wanted),
		hint = 'GET /api/v1/runs lists the latest runs.';
end
$$;
comment on function flowforge.run_known(uuid) is 'The id of a run of the current tenant. Error: FF010 no such run.';

create function flowforge.run_of(request flowforge.request) returns uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.run_known(flowforge.id_of(request.params ->> 'id', 'id'));
end
$$;
comment on function flowforge.run_of(flowforge.request) is 'The id of the run that the path names. Error: FF010 no such run.';

-- What narrows the list leads the query: live runs are few among many, and how runs ended is kept apart from them.
create function flowforge.run_page(page flowforge.page, status text, slug text, event text) returns setof flowforge.runs
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
	tenant constant integer := flowforge.current_tenant();
begin
	if status is null then
		return query
		select r.*
		from flowforge.runs r
		where r.tenant_id = tenant and r.run_id >= page.low and r.run_id < page.high
			and (slug is null or r.function = slug) and (event is null or r.event_name = event)
		order by r.run_id desc
		limit page.size + 1;
	elsif status in ('pending', 'running', 'paused') then
		return query
		select r.*
		from flowforge.live_run l
		join flowforge.runs r on r.tenant_id = l.tenant_id and r.run_id = l.run_id
		where l.tenant_id = tenant and l.run_id >= page.low and l.run_id < page.high and r.status = run_page.status
			and (slug is null or r.function = slug) and (event is null or r.event_name = event)
		order by l.run_id desc
		limit page.size + 1;
	else
		return query
		select r.*
		from flowforge.run_end d
		join flowforge.runs r on r.tenant_id = d.tenant_id and r.run_id = d.run_id
		where d.tenant_id = tenant and d.run_id >= page.low and d.run_id < page.high and d.status = run_page.status
			and (slug is null or r.function = slug) and (event is null or r.event_name = event)
		order by d.run_id desc
		limit page.size + 1;
	end if;
end
$$;
comment on function flowforge.run_page(flowforge.page, text, text, text) is
'The runs of a page, newest first, and one more; filtered by status, function and event name where these are given.';

-- Payloads have no index: a search looks at so many runs and says where the next one goes on.
create function flowforge.search_page(page flowforge.page, status text, slug text, event text, search text) returns flowforge.response
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with looked_at as materialized (
		select r.run_id, r.ulid, r as run from flowforge.run_page((page.low, page.high, 1999)::flowforge.page, status, slug, event) r
	), met as materialized (
		select l.run_id, l.ulid, flowforge.run_json(l.run) as json
		from looked_at l
		left join flowforge.event e on e.tenant_id = (l.run).tenant_id and e.event_id = (l.run).event_id
		where strpos(lower(concat_ws(' ', e.data, (l.run).output, (l.run).error)), lower(search)) > 0
		order by l.run_id desc
		limit page.size
	)
	select flowforge.answer(jsonb_build_object('data', (select coalesce(jsonb_agg(m.json order by m.run_id desc), '[]') from met m),
		'next_cursor', case
			when (select count(*) from met) = page.size then (select m.ulid from met m order by m.run_id limit 1)
			when (select count(*) from looked_at) = 2000 then (select l.ulid from looked_at l order by l.run_id limit 1)
		end))
$$;
comment on function flowforge.search_page(flowforge.page, text, text, text, text) is
'The runs of a page whose event''s data, output or error has a text in it, whatever its case. Looks at 2,000 runs: a page may be short, or '
'empty, and yet have a next one.';

create function flowforge.api_runs(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	page constant flowforge.page := flowforge.page_of(request.query);
	status constant text := flowforge.choice_of(request.query, 'status', '{pending,running,paused,completed,failed,cancelled}');
	slug constant text := case when request.query ? 'workflow' then (
		select f.slug
		from flowforge.function f
		where f.tenant_id = flowforge.current_tenant()
			and f.function_id = (flowforge.find_workflow(request.query ->> 'workflow')).function_id)
	else request.query ->> 'function' end;
	search constant text := request.query ->> 'search';
begin
	if request.query ->> 'function' <> slug then
		return flowforge.page_answer('{}', page.size);
	elsif search <> '' then
		return flowforge.search_page(page, status, slug, request.query ->> 'event', search);
	end if;
	return flowforge.page_answer(array(
		select flowforge.run_json(r)
		from flowforge.run_page(page, status, slug, request.query ->> 'event') r
		order by r.run_id desc), page.size);
end
$$;
comment on function flowforge.api_runs(flowforge.request) is 'GET /api/v1/runs.';

create function flowforge.api_run(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
begin
	return flowforge.answer((
		select flowforge.run_detail(r) || jsonb_build_object('context', flowforge.run_context(r), 'timing', flowforge.run_timing(r),
			'cost', flowforge.run_cost(r))
		from flowforge.runs r
		where r.tenant_id = flowforge.current_tenant() and r.run_id = run));
end
$$;
comment on function flowforge.api_run(flowforge.request) is 'GET /api/v1/runs/{id}.';

create function flowforge.api_run_steps(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
	size constant integer := flowforge.named_size(request.query);
	after constant integer := flowforge.integer_of(request.query, 'cursor', -1, 0, 999999999);
	finished jsonb[];
begin
	if not request.query ?| '{limit,cursor}' then
		return flowforge.answer(jsonb_build_object('data', flowforge.run_steps(run), 'next_cursor', null));
	end if;
	finished := flowforge.run_steps_page(run, after, size);
	return flowforge.answer(jsonb_build_object('data', (
			select coalesce(jsonb_agg(f.step - 'position' order by f.ordinality), '[]') from unnest(finished[:size]) with ordinality f (step, ordinality))
		|| case when cardinality(finished) > size then '[]' else (
			select coalesce(jsonb_agg(s.value order by s.ordinality), '[]')
			from jsonb_array_elements(flowforge.run_steps(run)) with ordinality s
			where s.value -> 'ended_at' = 'null') end,
		'next_cursor', case when cardinality(finished) > size then finished[size] ->> 'position' end));
end
$$;
comment on function flowforge.api_run_steps(flowforge.request) is 'GET /api/v1/runs/{id}/steps.';

create function flowforge.api_run_events(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
	since constant integer := flowforge.integer_of(request.query, 'since', 0, 0, 999999999);
	size constant integer := flowforge.integer_of(request.query, 'limit', 1000, 1, 1000);
	messages constant jsonb[] := array(select flowforge.run_messages(run, since, size + 1));
begin
	return flowforge.answer(jsonb_build_object('data', to_jsonb(coalesce(messages[:size], '{}')),
		'next_since', case when cardinality(messages) > size then messages[size] -> 'seq' end));
end
$$;
comment on function flowforge.api_run_events(flowforge.request) is 'GET /api/v1/runs/{id}/events.';

create function flowforge.api_run_cancel(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
	result constant text := @extschema@.ff_cancel(run, request.json ->> 'reason');
begin
	return flowforge.answer(jsonb_build_object('id', run, 'ulid', flowforge.ulid(run), 'result', result),
		case result when 'cancelling' then 202 else 200 end);
end
$$;
comment on function flowforge.api_run_cancel(flowforge.request) is 'POST /api/v1/runs/{id}/cancel.';

insert into flowforge.route_schema (name, schema) values
('Run', '{
	"type": "object",
	"required": ["id", "ulid", "function", "version", "status", "event_id", "event_name", "parent_run_id", "created_at", "started_at", "ended_at", "wake_at"],
	"properties": {
		"id": {"type": "string", "format": "uuid"},
		"ulid": {"type": "string", "description": "The same id as SDKs show it."},
		"function": {"type": "string"},
		"version": {"type": "integer"},
		"status": {"enum": ["pending", "running", "paused", "completed", "failed", "cancelled"]},
		"event_id": {"type": "string", "format": "uuid"},
		"event_name": {"type": ["string", "null"]},
		"parent_run_id": {"type": ["string", "null"], "format": "uuid", "description": "The run that invoked this one."},
		"created_at": {"type": "string", "format": "date-time"},
		"started_at": {"type": ["string", "null"], "format": "date-time"},
		"ended_at": {"type": ["string", "null"], "format": "date-time"},
		"wake_at": {"type": ["string", "null"], "format": "date-time", "description": "Nothing is to be done before."}
	}
}'),
('RunDetail', '{
	"allOf": [{"$ref": "#/components/schemas/Run"}],
	"type": "object", "required": ["event", "event_ids", "output", "error", "metadata", "context", "timing", "cost"],
	"properties": {
		"context": {"type": ["object", "null"], "description": "Of a workflow: {input, node: output}."},
		"timing": {"type": "object", "required": ["queued_ms", "running_ms", "total_ms", "steps", "steps_ms"], "properties": {
			"queued_ms": {"type": "integer", "description": "Before its first call."},
			"running_ms": {"type": ["integer", "null"], "description": "Since; null before it."},
			"total_ms": {"type": "integer"},
			"steps": {"type": "integer", "description": "How many have finished."},
			"steps_ms": {"type": "integer", "description": "What they took, added up."}}},
		"cost": {"type": "object", "required": ["model_calls", "prompt_tokens", "completion_tokens", "usd", "unpriced_calls"], "properties": {
			"model_calls": {"type": "integer"},
			"prompt_tokens": {"type": "integer"},
			"completion_tokens": {"type": "integer"},
			"usd": {"type": "number", "description": "Dollars."},
			"unpriced_calls": {"type": "integer", "description": "Calls to models whose price is not known; usd is without them."}}},
		"event": {"oneOf": [{"$ref": "#/components/schemas/Event"}, {"type": "null"}]},
		"event_ids": {"type": "array", "items": {"type": "string", "format": "uuid"}, "description": "All its events, in order of arrival: several when it is a batch."},
		"output": {"description": "What the function returned."},
		"error": {"description": "Why it failed."},
		"metadata": {"type": "array", "description": "What its function noted about it.", "items": {"type": "object", "properties": {
			"scope": {"const": "run"}, "kind": {"type": "string"}, "values": {"type": "object"},
			"updatedAt": {"type": "string", "format": "date-time"}}}}
	}
}'),
('Step', '{
	"type": "object", "required": ["step_id", "name", "op", "status", "attempt", "output", "error", "detail", "started_at", "ended_at", "due_at"],
	"properties": {
		"step_id": {"type": "string"},
		"name": {"type": ["string", "null"]},
		"op": {"type": "string"},
		"status": {"enum": ["pending", "running", "sleeping", "waiting", "retrying", "completed", "failed", "skipped", "cancelled"]},
		"attempt": {"type": ["integer", "null"], "description": "From 0."},
		"output": {},
		"error": {},
		"detail": {"type": ["object", "null"], "description": "What else is known: input, metadata, usage; without secrets."},
		"started_at": {"type": ["string", "null"], "format": "date-time"},
		"ended_at": {"type": ["string", "null"], "format": "date-time"},
		"due_at": {"type": ["string", "null"], "format": "date-time", "description": "When a step that sleeps, waits or retries goes on at the latest."}
	}
}'),
('RunEvent', '{
	"type": "object", "required": ["run_id", "seq", "type", "at", "step_id", "name", "attempt", "data"],
	"properties": {
		"run_id": {"type": "string", "format": "uuid"},
		"seq": {"type": "integer", "description": "From 1, without a gap."},
		"type": {"type": "string", "examples": ["run.created", "step.completed", "run.completed"]},
		"at": {"type": "string", "format": "date-time"},
		"step_id": {"type": ["string", "null"]},
		"name": {"type": ["string", "null"]},
		"attempt": {"type": ["integer", "null"]},
		"data": {"type": ["object", "null"], "description": "Of the last event of a run it holds its output or error."}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/runs', 'flowforge.api_runs', 'runs:read', 'runs', 'List runs, newest first',
'{"type": "object", "properties": {
	"status": {"enum": ["pending", "running", "paused", "completed", "failed", "cancelled"]},
	"function": {"type": "string", "description": "Its id, app-function."},
	"workflow": {"type": "string", "description": "A workflow by its slug, id or name."},
	"search": {"type": "string", "maxLength": 200, "description": "Text in the event''s data, the output or the error, whatever its case. Each answer looks at 2,000 runs: one may be short, and yet have a next_cursor."},
	"event": {"type": "string", "description": "The name of the event that started it."},
	"since": {"type": "string", "format": "date-time"},
	"until": {"type": "string", "format": "date-time"},
	"limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/Run"}},
	"next_cursor": {"type": ["string", "null"]}}}'),
('GET', '/api/v1/runs/{id}', 'flowforge.api_run', 'runs:read', 'runs', 'One run with its event and result',
'{}', '{"$ref": "#/components/schemas/RunDetail"}'),
('GET', '/api/v1/runs/{id}/steps', 'flowforge.api_run_steps', 'runs:read', 'runs', 'The steps of a run',
'{"type": "object", "properties": {
	"limit": {"type": "integer", "minimum": 1, "maximum": 1000, "description": "Finished steps a page; the last one has those that have not finished, too. Without it: all."},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {
	"next_cursor": {"type": ["string", "null"]},
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/Step"}}}}'),
('GET', '/api/v1/runs/{id}/events', 'flowforge.api_run_events', 'runs:read', 'runs', 'The log of a run, oldest first',
'{"type": "object", "properties": {
	"since": {"type": "integer", "minimum": 0, "default": 0, "description": "Only events with a greater seq."},
	"limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000}}}',
'{"type": "object", "required": ["data", "next_since"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/RunEvent"}},
	"next_since": {"type": ["integer", "null"], "description": "since for the next page; null on the last one."}}}'),
('POST', '/api/v1/runs/{id}/cancel', 'flowforge.api_run_cancel', 'runs:manage', 'runs', 'Cancel a run',
'{"type": ["object", "null"], "properties": {"reason": {"type": "string"}}}',
'{"type": "object", "required": ["id", "ulid", "result"], "properties": {
	"id": {"type": "string", "format": "uuid"},
	"ulid": {"type": "string"},
	"result": {"enum": ["cancelling", "already completed", "already failed", "already cancelled"]}}}');

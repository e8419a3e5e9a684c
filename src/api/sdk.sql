-- What running functions ask the server for: state that is too large for a call, and signals.

create function flowforge.api_run_actions(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return (200, E'content-type: application/json\n', flowforge.run_call_steps(flowforge.run_of(request)))::flowforge.response;
end
$$;
comment on function flowforge.api_run_actions(flowforge.request) is 'GET /v0/runs/{id}/actions: the steps of a call that says use_api.';

create function flowforge.api_run_batch(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(flowforge.run_call_events(flowforge.run_of(request)));
end
$$;
comment on function flowforge.api_run_batch(flowforge.request) is 'GET /v0/runs/{id}/batch: the events of a call that says use_api.';

create function flowforge.api_signal(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant jsonb := flowforge.object_of(request);
	run uuid;
begin
	if jsonb_typeof(body -> 'signal') is distinct from 'string' then
		raise exception using errcode = 'FF030', message = 'the signal has no name',
			detail = format('signal is %s.', coalesce(jsonb_typeof(body -> 'signal'), 'missing')),
			hint = 'Send {"signal": "name", "data": anything}.';
	end if;
	run := @extschema@.ff_send_signal(body ->> 'signal', body -> 'data');
	if run is null then
		return flowforge.answer(jsonb_build_object('error', format('no run waits for the signal "%s"', body ->> 'signal'), 'status', 404), 404);
	end if;
	return flowforge.answer(jsonb_build_object('data', jsonb_build_object('run_id', flowforge.ulid(run))));
end
$$;
comment on function flowforge.api_signal(flowforge.request) is 'POST /v1/signals: a signal for the run that waits for it.';

-- A step that is reported is as good as committed: its row follows by the run's owner, which reads it before anything else happens to
-- the run. A call that is over, because it was given up or made again, reports in vain.
create function flowforge.api_checkpoint(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant jsonb := flowforge.object_of(request);
	run constant uuid := flowforge.run_of(request);
	generation constant bigint := case when jsonb_typeof(body -> 'generation_id') = 'number' then trunc((body ->> 'generation_id')::numeric) end;
begin
	perform flowforge.check_checkpoint(body -> 'steps');
	if not flowforge.call_is_live(run, flowforge.id_of(nullif(body ->> 'request_id', ''), 'request_id'), generation) then
		raise exception using errcode = 'FF041', message = format('the call of run %s that reports this is over', flowforge.ulid(run)),
			detail = 'It was given up, made again, or its run has ended.', hint = 'Stop; the run goes on without this call.';
	end if;
	perform flowforge.check_state(run, body -> 'steps');
	perform flowforge.post(flowforge.current_tenant(), run, 'checkpoint', jsonb_build_object('steps', body -> 'steps'));
	return flowforge.answer(jsonb_build_object('data', jsonb_build_object('run_id', flowforge.ulid(run))));
end
$$;
comment on function flowforge.api_checkpoint(flowforge.request) is
'POST /v1/checkpoint/{id}/async: steps that have finished while the call goes on. Errors: FF010, FF040, FF041 the call is over, FF042.';

insert into flowforge.route (method, pattern, function, scope, style, tag, summary, request_schema, response_schema) values
('GET', '/v0/runs/{id}/actions', 'flowforge.api_run_actions', 'runs:read', 'sdk', 'sdk', 'What the finished steps of a run left',
'{}', '{"type": "object", "description": "By step id, in the order in which they finished."}'),
('GET', '/v0/runs/{id}/batch', 'flowforge.api_run_batch', 'runs:read', 'sdk', 'sdk', 'The events of a run',
'{}', '{"type": "array", "items": {"type": "object", "required": ["id", "name", "data", "ts", "user"]}}'),
('POST', '/v1/checkpoint/{id}/async', 'flowforge.api_checkpoint', 'runs:manage', 'sdk', 'sdk', 'Report steps that finished while a call goes on',
'{"type": "object", "required": ["steps"], "properties": {
	"request_id": {"type": "string", "description": "x-request-id of the call."},
	"generation_id": {"type": "integer", "description": "x-inngest-generation-id of the call."},
	"steps": {"type": "array", "items": {"type": "object", "required": ["id", "op"]}}}}',
'{"type": "object", "required": ["data"]}'),
('POST', '/v1/signals', 'flowforge.api_signal', 'runs:manage', 'sdk', 'sdk', 'Send a signal to the run that waits for it',
'{"type": "object", "required": ["signal"], "properties": {"signal": {"type": "string", "maxLength": 512}, "data": {}}}',
'{"type": "object", "required": ["data"], "properties": {"data": {"type": "object", "required": ["run_id"], "properties": {
	"run_id": {"type": "string", "description": "A ULID."}}}}}');

-- The development server's GraphQL, as far as the tests and tools of SDKs ask: runs with their traces, events, functions, apps. Each
-- root field gives all there is as JSON, and the query says what of it is shown.

create function flowforge.graphql_fields(query text, variables jsonb, operation text) returns jsonb
language c stable
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_api_graphql_fields';
comment on function flowforge.graphql_fields(text, jsonb, text) is
'The fields a GraphQL query asks for: [{name, as, args, fields?}], with variables, fragments and directives resolved. Error: FF211.';

create function flowforge.graphql_show(value jsonb, fields jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	field jsonb;
	result jsonb := '{}';
begin
	if fields is null or coalesce(value, 'null') = 'null' then
		return value;
	elsif jsonb_typeof(value) = 'array' then
		return (select coalesce(jsonb_agg(flowforge.graphql_show(e.value, fields) order by e.ordinality), '[]')
			from jsonb_array_elements(value) with ordinality e);
	end if;
	for field in select f.value from jsonb_array_elements(fields) f loop
		if jsonb_typeof(value) is distinct from 'object' or not value ? (field ->> 'name') then
			raise exception using errcode = 'FF211', message = format('there is no field "%s" here', field ->> 'name'),
				detail = case jsonb_typeof(value)
					when 'object' then format('There are %s.', (select string_agg(k, ', ' order by k) from jsonb_object_keys(value) k))
					else format('There is %s.', value)
				end;
		end if;
		result := result || jsonb_build_object(field ->> 'as', flowforge.graphql_show(value -> (field ->> 'name'), field -> 'fields'));
	end loop;
	return result;
end
$$;
comment on function flowforge.graphql_show(jsonb, jsonb) is 'The fields of a value, or of each of a list, that a query asks for. Error: FF211.';

create function flowforge.graphql_span_type(op text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case op when 'wait' then 'WAIT_FOR_EVENT' when 'signal' then 'WAIT_FOR_SIGNAL' when 'ai' then 'AI_GATEWAY' else upper(op) end
$$;
comment on function flowforge.graphql_span_type(text) is 'What GraphQL calls a kind of step.';

create function flowforge.graphql_status(status text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when status = 'pending' then 'QUEUED'
		when status in ('sleeping', 'waiting') then 'WAITING'
		when status = 'retrying' then 'RUNNING'
		else upper(status)
	end
$$;
comment on function flowforge.graphql_status(text) is 'What GraphQL calls the status of a run or a step.';

-- A span is a run, one of its steps, or its end. Its output has an id of the run's ULID, a full stop and the step's id.
create function flowforge.graphql_span(run flowforge.runs, id text, name text, type text, status text, attempts integer,
	started timestamptz, ended timestamptz, has_output boolean) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('__typename', 'RunTraceSpan', 'runID', run.ulid, 'traceID', run.ulid, 'spanID', concat_ws('.', run.ulid, id),
		'parentSpanID', case when id is not null then run.ulid end, 'isRoot', id is null, 'isUserland', false, 'name', name,
		'functionID', run.function, 'status', flowforge.graphql_status(status), 'attempts', attempts, 'queuedAt', run.created_at,
		'startedAt', started, 'endedAt', ended, 'duration', (extract(epoch from ended - started) * 1000)::bigint,
		'outputID', case when has_output then concat_ws('.', run.ulid, id) end, 'stepType', type, 'stepOp', type, 'stepID', id,
		'stepInfo', null, 'metadata', flowforge.metadata_json(run.tenant_id, run.run_id, case when id is not null then array[id, name] end), 'childrenSpans', '[]'::jsonb)
$$;
comment on function flowforge.graphql_span(flowforge.runs, text, text, text, text, integer, timestamptz, timestamptz, boolean) is
'A span of a run''s trace.';

create function flowforge.graphql_trace(run flowforge.runs) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.graphql_span(run, null, run.function, null, run.status, 1, run.started_at, run.ended_at, run.ended_at is not null)
		|| jsonb_build_object('childrenSpans', coalesce((
			select jsonb_agg(flowforge.graphql_span(run, s.step_id, s.name, flowforge.graphql_span_type(s.op), s.status, s.attempt + 1,
				s.started_at, s.ended_at, s.ended_at is not null) order by s.position nulls last, s.started_at, s.step_id)
			from flowforge.steps s
			where s.tenant_id = run.tenant_id and s.run_id = run.run_id), '[]')
		|| case when run.ended_at is null then '[]' else jsonb_build_array(flowforge.graphql_span(run, 'finalization', 'Finalization',
			'FINALIZATION', run.status, 1, run.ended_at, run.ended_at, true)) end)
$$;
comment on function flowforge.graphql_trace(flowforge.runs) is 'The trace of a run: a span for it, in it one for each step, and one for its end.';

create function flowforge.graphql_function(slug text) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('__typename', 'Function', 'id', f.function, 'slug', f.function, 'name', f.name, 'url', f.url, 'appID', f.app,
		'isArchived', f.archived_at is not null, 'triggers', coalesce((
			select jsonb_agg(jsonb_build_object('__typename', 'FunctionTrigger', 'type', case when t.value ? 'cron' then 'CRON' else 'EVENT' end,
				'value', coalesce(t.value ->> 'cron', t.value ->> 'event'), 'condition', t.value ->> 'expression') order by t.ordinality)
			from jsonb_array_elements(f.triggers) with ordinality t), '[]'),
		'app', (select jsonb_build_object('__typename', 'App', 'id', a.app_id, 'externalID', a.name, 'name', a.name, 'url', a.url)
			from flowforge.app a where a.tenant_id = f.tenant_id and a.name = f.app))
	from flowforge.functions f
	where f.tenant_id = flowforge.current_tenant() and f.function = slug
$$;
comment on function flowforge.graphql_function(text) is 'A function as GraphQL shows it.';

create function flowforge.graphql_run(run flowforge.runs) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('__typename', 'FunctionRunV2', 'id', run.ulid, 'status', flowforge.graphql_status(run.status),
		'functionID', run.function, 'function', flowforge.graphql_function(run.function), 'eventName', run.event_name,
		'eventID', flowforge.ulid(run.event_id), 'queuedAt', run.created_at, 'startedAt', run.started_at,
		'endedAt', run.ended_at, 'finishedAt', run.ended_at, 'output', coalesce(run.output, run.error)::text, 'isBatch', cardinality(b.event_ids) > 1, 'hasAI', false)
	from flowforge.events_of_run(run.tenant_id, run.run_id, run.event_id) b (event_ids)
$$;
comment on function flowforge.graphql_run(flowforge.runs) is 'A run as GraphQL shows it, without its trace.';

create function flowforge.graphql_output(id text) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with output as (
		select s.output, s.error
		from flowforge.steps s
		where s.tenant_id = flowforge.current_tenant() and s.run_id = flowforge.id_of(split_part(id, '.', 1), 'outputID')
			and s.step_id = split_part(id, '.', 2)
		union all
		select r.output, r.error
		from flowforge.runs r
		where r.tenant_id = flowforge.current_tenant() and r.run_id = flowforge.id_of(split_part(id, '.', 1), 'outputID')
			and split_part(id, '.', 2) in ('', 'finalization')
	)
	select jsonb_build_object('__typename', 'RunTraceSpanOutput', 'input', null, 'data', case when o.error is null then o.output::text end,
		'error', case when o.error is not null then '{"stack": null, "cause": null}' || o.error || '{"__typename": "StepError"}' end)
	from output o
$$;
comment on function flowforge.graphql_output(text) is 'What a span left: data as JSON in a text, or an error; null when there is no such span.';

create function flowforge.graphql_event(event flowforge.events) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('__typename', 'EventV2', 'id', event.ulid, 'idempotencyKey', event.external_id, 'name', event.name,
		'payload', event.data::text, 'raw', (jsonb_strip_nulls(jsonb_build_object('id', coalesce(event.external_id, event.ulid),
			'name', event.name, 'user', coalesce(event.user_data, '{}'), 'ts', (extract(epoch from event.ts) * 1000)::bigint, 'v', event.v)
			) || jsonb_build_object('data', event.data))::text,
		'version', event.v, 'occurredAt', event.ts, 'receivedAt', event.received_at, 'createdAt', event.received_at, 'trigger', event.name,
		'type', 'EVENT', 'source', null, 'runs', r.runs, 'functionRuns', r.runs, 'totalRuns', jsonb_array_length(r.runs))
	from (
		select coalesce(jsonb_agg(flowforge.graphql_run(r) order by r.run_id), '[]') as runs
		from flowforge.runs r
		where r.tenant_id = event.tenant_id and r.run_id = any (array(select flowforge.runs_of_events(event.tenant_id, array[event.event_id])))
	) r
$$;
comment on function flowforge.graphql_event(flowforge.events) is 'An event as GraphQL shows it, with its runs.';

create function flowforge.graphql_events(query jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(flowforge.graphql_event(e) order by e.event_id desc), '[]')
	from (
		select e.*
		from flowforge.events e
		where e.tenant_id = flowforge.current_tenant()
			and (query ->> 'name' is null or e.name = query ->> 'name')
			and (coalesce(query ->> 'includeInternalEvents', 'false') = 'true' or e.name !~* '^(inngest|flowforge)/')
		order by e.event_id desc
		limit flowforge.integer_of(query, 'limit', 50, 0, 1000)
	) e
$$;
comment on function flowforge.graphql_events(jsonb) is 'The latest events that a query {name?, limit?, includeInternalEvents?} asks for.';

create function flowforge.graphql_run_of(args jsonb) returns flowforge.runs
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select r.*
	from flowforge.runs r
	where r.tenant_id = flowforge.current_tenant() and r.run_id = flowforge.id_of(args ->> 'runID', 'runID')
$$;
comment on function flowforge.graphql_run_of(jsonb) is 'The run that an argument runID names, or null.';

create function flowforge.graphql_event_of(id text) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.graphql_event(e)
	from flowforge.events e
	where e.tenant_id = flowforge.current_tenant() and e.event_id = flowforge.id_of(id, 'id')
$$;
comment on function flowforge.graphql_event_of(text) is 'The event of an id, or null.';

create function flowforge.graphql_root(field text, args jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	run flowforge.runs;
begin
	case field
		when '__typename' then
			return '"Query"';
		when 'run', 'runTrace' then
			run := flowforge.graphql_run_of(args);
			return case
				when run.run_id is null then 'null'
				when field = 'run' then flowforge.graphql_run(run) || jsonb_build_object('trace', flowforge.graphql_trace(run))
				else flowforge.graphql_trace(run)
			end;
		when 'runTrigger' then
			run := flowforge.graphql_run_of(args);
			return (
				select jsonb_build_object('__typename', 'RunTraceTrigger', 'eventName', min(e.name) filter (where b.position = 1),
					'IDs', jsonb_agg(e.ulid order by b.position), 'payloads', jsonb_agg(flowforge.graphql_event(e) ->> 'raw' order by b.position),
					'timestamp', min(e.ts) filter (where b.position = 1), 'isBatch', count(*) > 1, 'batchID', case when count(*) > 1 then run.ulid end,
					'cron', min(e.data ->> 'cron') filter (where b.position = 1))
				from unnest(flowforge.events_of_run(run.tenant_id, run.run_id, run.event_id)) with ordinality b (event_id, position)
				join flowforge.events e on e.tenant_id = run.tenant_id and e.event_id = b.event_id
				having count(*) > 0);
		when 'runTraceSpanOutputByID' then
			return flowforge.graphql_output(args ->> 'outputID');
		when 'stream' then
			return flowforge.graphql_events(args -> 'query');
		when 'events' then
			return flowforge.graphql_events('{"includeInternalEvents": true}' || coalesce(nullif(args -> 'query', 'null'), '{}'));
		when 'event' then
			return flowforge.graphql_event_of(args #>> '{query,eventId}');
		when 'eventV2' then
			return flowforge.graphql_event_of(args ->> 'id');
		when 'functions' then
			return (select coalesce(jsonb_agg(flowforge.graphql_function(f.function) order by f.function), '[]')
				from flowforge.functions f where f.tenant_id = flowforge.current_tenant() and f.archived_at is null);
		when 'functionBySlug' then
			return flowforge.graphql_function(args #>> '{query,functionSlug}');
		when 'apps' then
			return (select coalesce(jsonb_agg(jsonb_build_object('__typename', 'App', 'id', a.app_id, 'externalID', a.name, 'name', a.name,
				'url', a.url, 'sdkVersion', a.sdk, 'framework', a.framework, 'appVersion', a.app_version, 'error', a.sync_error,
				'connected', a.checksum <> '' and a.sync_error is null, 'functions', (
					select coalesce(jsonb_agg(flowforge.graphql_function(f.function) order by f.function), '[]')
					from flowforge.functions f where f.tenant_id = a.tenant_id and f.app = a.name and f.archived_at is null)) order by a.name), '[]')
				from flowforge.app a where a.tenant_id = flowforge.current_tenant());
		else
			raise exception using errcode = 'FF211', message = format('there is no field "%s" here', field),
				detail = 'There are apps, event, eventV2, events, functionBySlug, functions, run, runTrace, runTraceSpanOutputByID, runTrigger, stream.',
				hint = 'The API under /api/v1 shows all there is.';
	end case;
end
$$;
comment on function flowforge.graphql_root(text, jsonb) is 'What a field of the query itself is, with all it holds; null when there is no such thing. Error: FF211.';

create function flowforge.graphql(body jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_object_agg(f.value ->> 'as', coalesce(
		flowforge.graphql_show(flowforge.graphql_root(f.value ->> 'name', coalesce(f.value -> 'args', '{}')), f.value -> 'fields'), 'null')), '{}')
	from jsonb_array_elements(flowforge.graphql_fields(body ->> 'query', body -> 'variables', body ->> 'operationName')) f
$$;
comment on function flowforge.graphql(jsonb) is 'Answers a GraphQL request {query, variables?, operationName?}. Errors: FF211, FF204.';

-- GraphQL's clients look for errors in the answer, not at its status.
create function flowforge.api_graphql(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant jsonb := flowforge.object_of(request);
	detail text;
begin
	return flowforge.answer(jsonb_build_object('data', flowforge.graphql(body)));
exception when sqlstate 'FF211' or sqlstate 'FF204' then
	get stacked diagnostics detail = pg_exception_detail;
	return flowforge.answer(jsonb_build_object('data', null, 'errors', jsonb_build_array(
		jsonb_build_object('message', concat_ws('. ', sqlerrm, nullif(detail, '')), 'extensions', jsonb_build_object('code', sqlstate)))));
end
$$;
comment on function flowforge.api_graphql(flowforge.request) is 'POST /v0/gql.';

insert into flowforge.route (method, pattern, function, scope, style, tag, summary, request_schema, response_schema) values
('POST', '/v0/gql', 'flowforge.api_graphql', 'runs:read', 'sdk', 'sdk', 'The development server''s GraphQL, as far as tests and tools of SDKs ask',
'{"type": "object", "required": ["query"], "properties": {
	"query": {"type": "string", "examples": ["query ($runId: String!) { run(runID: $runId) { status trace { status outputID } } }"]},
	"variables": {"type": ["object", "null"]},
	"operationName": {"type": ["string", "null"]}}}',
'{"type": "object", "required": ["data"], "properties": {
	"data": {"type": ["object", "null"]},
	"errors": {"type": "array", "items": {"type": "object", "required": ["message"]}}}}');

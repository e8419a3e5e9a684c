-- Traces: the spans of runs and steps in the form of OTLP, and which runs' are to be exported (src/worker/export.c).

-- Runs that have ended and whose spans have not been taken yet: the exporter's cursor. Written by a run's owner with its end, while
-- flowforge.otlp_endpoint is set; deleted by executor 0 when the collector has them. A run that ends twice (ff_retry) is here twice.
create table flowforge.trace_due (
	tenant_id integer not null,
	run_id uuid not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
comment on table flowforge.trace_due is 'Ended runs whose spans the collector (flowforge.otlp_endpoint) does not have yet.';
create index trace_due_run on flowforge.trace_due (run_id);
select pg_catalog.pg_extension_config_dump('flowforge.trace_due', '');

-- The same as ff_trace_span of src/util/trace.c: what apps are told.
create function flowforge.trace_span(run uuid, step text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case when step = '' then substr(encode(uuid_send(run), 'hex'), 17)
		else encode(substr(sha256(uuid_send(run) || convert_to(step, 'UTF8')), 1, 8), 'hex') end
$$;
comment on function flowforge.trace_span(uuid, text) is 'The id of the span of a step, or, of the step '''', of the run itself, in hex.';

create function flowforge.trace_of(run uuid, meta jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(substr(meta ->> 'traceparent', 4, 32), encode(uuid_send(run), 'hex'))
$$;
comment on function flowforge.trace_of(uuid, jsonb) is 'The id of the trace a run belongs to, by its event''s meta: that of who sent the event, or the run''s own id; in hex.';

create function flowforge.otlp_time(at timestamptz) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select ((extract(epoch from at) * 1000000)::bigint * 1000)::text
$$;
comment on function flowforge.otlp_time(timestamptz) is 'A time as OTLP has it in JSON: nanoseconds since 1970, as text.';

create function flowforge.otlp_attributes(members jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(jsonb_build_object('key', m.key, 'value', case jsonb_typeof(m.value)
			when 'boolean' then jsonb_build_object('boolValue', m.value)
			when 'number' then case when m.value::numeric % 1 = 0 then jsonb_build_object('intValue', m.value::text) else jsonb_build_object('doubleValue', m.value) end
			else jsonb_build_object('stringValue', left(m.value #>> '{}', 1024))
		end) order by m.key), '[]')
	from jsonb_each(members) m
	where m.value <> 'null'
$$;
comment on function flowforge.otlp_attributes(jsonb) is 'An object as attributes of OTLP; members that are null are left out.';

create function flowforge.otlp_status(status text, error jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case status
		when 'completed' then '{"code": 1}'
		when 'failed' then jsonb_build_object('code', 2, 'message', left(coalesce(error ->> 'message', ''), 1024))
		else '{}'
	end
$$;
comment on function flowforge.otlp_status(text, jsonb) is 'How a span ended, as OTLP has it.';

-- Names and numbers, no payloads: who reads traces may not be who may read those.
create function flowforge.otlp_run_span(run flowforge.runs, meta jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_strip_nulls(jsonb_build_object('traceId', flowforge.trace_of(run.run_id, meta), 'spanId', flowforge.trace_span(run.run_id, ''),
		'parentSpanId', substr(meta ->> 'traceparent', 37, 16), 'traceState', meta ->> 'tracestate', 'name', run.function,
		'kind', case when run.parent_run_id is null then 5 else 1 end,
		'startTimeUnixNano', flowforge.otlp_time(run.created_at), 'endTimeUnixNano', flowforge.otlp_time(run.ended_at),
		'attributes', flowforge.otlp_attributes(jsonb_build_object('flowforge.run.id', run.ulid, 'flowforge.run.status', run.status,
			'flowforge.function', run.function, 'flowforge.function.version', run.version, 'flowforge.event.name', run.event_name,
			'flowforge.tenant.id', run.tenant_id, 'flowforge.parent_run.id', flowforge.ulid(run.parent_run_id),
			'flowforge.queued_ms', flowforge.milliseconds(run.started_at - run.created_at), 'error.type', run.error ->> 'name')),
		'status', flowforge.otlp_status(run.status, run.error)))
$$;
comment on function flowforge.otlp_run_span(flowforge.runs, jsonb) is 'The span of an ended run, as OTLP has it in JSON.';

-- Of a call to a model: the attributes of the semantic conventions for generative AI.
create function flowforge.otlp_model_attributes(asked jsonb, output jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('gen_ai.operation.name', 'chat', 'gen_ai.provider.name', output -> 'provider', 'gen_ai.request.model', coalesce(asked -> 'model', output -> 'model'),
		'gen_ai.response.model', output -> 'model', 'gen_ai.usage.input_tokens', output #> '{usage,prompt_tokens}',
		'gen_ai.usage.output_tokens', output #> '{usage,completion_tokens}', 'flowforge.cost_usd', output #> '{usage,cost_usd}')
$$;
comment on function flowforge.otlp_model_attributes(jsonb, jsonb) is 'What a span says of a call to a model, by what it was asked with and its output.';

create function flowforge.otlp_step_spans(run flowforge.runs, meta jsonb) returns setof jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('traceId', flowforge.trace_of(run.run_id, meta), 'spanId', flowforge.trace_span(run.run_id, s.step_id),
		'parentSpanId', flowforge.trace_span(run.run_id, ''), 'name', coalesce(nullif(s.name, ''), s.step_id),
		'kind', case when s.op in ('model', 'llm_call', 'http', 'http_request', 'webhook', 'fetch') then 3 else 1 end,
		'startTimeUnixNano', flowforge.otlp_time(s.started_at), 'endTimeUnixNano', flowforge.otlp_time(s.ended_at),
		'attributes', flowforge.otlp_attributes(jsonb_build_object('flowforge.run.id', run.ulid, 'flowforge.step.id', s.step_id, 'flowforge.step.op', s.op,
			'flowforge.step.status', s.status, 'flowforge.step.attempt', s.attempt, 'error.type', s.memo #>> '{error,name}')
			|| case when s.op in ('model', 'llm_call') then flowforge.otlp_model_attributes(s.detail -> 'input', s.memo -> 'data') else '{}' end),
		'status', flowforge.otlp_status(s.status, s.memo -> 'error'))
	from flowforge.step s
	where s.tenant_id = run.tenant_id and s.run_id = run.run_id
	order by s.position
	limit 1000
$$;
comment on function flowforge.otlp_step_spans(flowforge.runs, jsonb) is 'The spans of a run''s finished steps, the first 1,000.';

create function flowforge.otlp_document(spans jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('resourceSpans', jsonb_build_array(jsonb_build_object(
		'resource', jsonb_build_object('attributes', flowforge.otlp_attributes(jsonb_build_object('service.name', 'flowforge',
			'service.version', flowforge.version(), 'db.namespace', current_database()))),
		'scopeSpans', jsonb_build_array(jsonb_build_object('scope', jsonb_build_object('name', 'flowforge', 'version', flowforge.version()), 'spans', spans)))))
$$;
comment on function flowforge.otlp_document(jsonb) is 'Spans as a request of OTLP/HTTP in JSON.';

-- What is no longer kept is taken off, too.
create function flowforge.otlp_batch(size integer, out taken tid[], out document text) returns record
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	with due as materialized (
		select d.ctid as row, d.tenant_id, d.run_id from flowforge.trace_due d order by d.run_id limit size
	), ended as materialized (
		select r as run, e.meta
		from (select distinct d.tenant_id, d.run_id from due d) d
		join flowforge.runs r on r.tenant_id = d.tenant_id and r.run_id = d.run_id
		left join flowforge.event e on e.tenant_id = r.tenant_id and e.event_id = r.event_id
		where r.ended_at is not null
	), span as (
		select flowforge.otlp_run_span(x.run, x.meta) as span from ended x
		union all
		select s.span from ended x cross join lateral flowforge.otlp_step_spans(x.run, x.meta) as s (span)
	)
	select (select array_agg(d.row) from due d), (select flowforge.otlp_document(jsonb_agg(s.span))::text from span s having count(*) > 0)
$$;
comment on function flowforge.otlp_batch(integer) is
'The next runs to export: their rows in flowforge.trace_due, and their spans as a request of OTLP/HTTP; null when there are none.';
revoke execute on function flowforge.otlp_batch(integer) from public;

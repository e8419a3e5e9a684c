-- Cancelling many runs at once: those of a function that started in a span of time and whose event meets an expression.

-- Who cancelled what: a row a request, kept until it is deleted; written by POST /v1/cancellations.
create table flowforge.cancellation (
	tenant_id integer not null,
	cancellation_id uuid not null default flowforge.uuid7(),
	function_id integer not null,
	started_after timestamptz,
	started_before timestamptz not null,
	expression text,
	runs integer not null,
	created_at timestamptz not null default now(),
	primary key (tenant_id, cancellation_id)
);
comment on table flowforge.cancellation is 'A request to cancel the runs of a function that started in a span of time, and how many it found.';
select pg_catalog.pg_extension_config_dump('flowforge.cancellation', '');

create function flowforge.cancel_runs(tenant integer, function integer, started_after timestamptz, started_before timestamptz,
	expression text default null, reason text default null) returns integer
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	with posted as (
		select flowforge.post(tenant, l.run_id, 'cancel', jsonb_build_object('reason', reason))
		from flowforge.live_run l
		join flowforge.run r on r.tenant_id = l.tenant_id and r.run_id = l.run_id
		left join flowforge.events e on e.tenant_id = l.tenant_id and e.event_id = l.event_id
		where l.tenant_id = tenant and l.function_id = function and r.created_at < started_before
			and (cancel_runs.started_after is null or r.created_at >= cancel_runs.started_after)
			and (expression is null
				or @extschema@.ff_eval(expression, jsonb_build_object('event', flowforge.v1_event_json(e)), 'filter') = 'true')
	)
	select count(*)::integer from posted
$$;
comment on function flowforge.cancel_runs(integer, integer, timestamptz, timestamptz, text, text) is
'Asks the owners of the live runs of a function that started in a span of time, and whose event meets an expression, to cancel them; '
'gives how many these are.';

create function flowforge.cancellation_json(cancellation flowforge.cancellation) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('id', flowforge.ulid(cancellation.cancellation_id), 'environment_id', cancellation.tenant_id::text,
		'function_id', f.slug, 'started_after', cancellation.started_after, 'started_before', cancellation.started_before,
		'if', cancellation.expression, 'runs', cancellation.runs, 'created_at', cancellation.created_at)
	from flowforge.function f
	where f.tenant_id = cancellation.tenant_id and f.function_id = cancellation.function_id
$$;
comment on function flowforge.cancellation_json(flowforge.cancellation) is 'A cancellation as REST v1 shows it.';

create function flowforge.cancellation_problem(body jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when jsonb_typeof(body -> 'app_id') is distinct from 'string' then 'app_id is required'
		when jsonb_typeof(body -> 'function_id') is distinct from 'string' then 'function_id is required'
		when body ->> 'started_before' is null then 'started_before is required'
		when flowforge.time_of(body, 'started_before') > now() then 'started_before must be in the past'
		when flowforge.time_of(body, 'started_after') >= flowforge.time_of(body, 'started_before') then 'started_after must be before started_before'
		when jsonb_typeof(body -> 'if') not in ('string', 'null') then 'if must be an expression'
		else 'if: ' || flowforge.check_expression(body ->> 'if')
	end
$$;
comment on function flowforge.cancellation_problem(jsonb) is 'What is wrong with a request to cancel runs, or null.';

create function flowforge.v1_cancel(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant jsonb := flowforge.object_of(request);
	problem constant text := flowforge.cancellation_problem(body);
	tenant constant integer := flowforge.current_tenant();
	cancelled flowforge.function;
	made flowforge.cancellation;
begin
	if problem is not null then
		raise exception using errcode = 'FF204', message = problem,
			hint = 'Send {"app_id", "function_id", "started_before", "started_after"?, "if"?}; times are like 2026-01-31T09:00:00Z.';
	end if;
	select f.* into cancelled
	from flowforge.function f
	where f.tenant_id = tenant and f.slug = concat(body ->> 'app_id', '-', body ->> 'function_id');
	if not found then
		raise exception using errcode = 'FF013', message = format('there is no function "%s" in the app "%s"', body ->> 'function_id', body ->> 'app_id'),
			hint = 'GET /api/v1/functions lists them.';
	end if;
	made := row(tenant, flowforge.uuid7(), cancelled.function_id, flowforge.time_of(body, 'started_after'),
		flowforge.time_of(body, 'started_before'), body ->> 'if', 0, now());
	made.runs := flowforge.cancel_runs(tenant, made.function_id, made.started_after, made.started_before, made.expression, 'cancelled in bulk');
	insert into flowforge.cancellation select made.*;
	return flowforge.v1_answer(flowforge.cancellation_json(made));
end
$$;
comment on function flowforge.v1_cancel(flowforge.request) is 'POST /v1/cancellations.';

create function flowforge.v1_cancellations(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.v1_answer(coalesce((
		select jsonb_agg(flowforge.cancellation_json(c) order by c.cancellation_id desc)
		from flowforge.cancellation c
		where c.tenant_id = flowforge.current_tenant()), '[]'));
end
$$;
comment on function flowforge.v1_cancellations(flowforge.request) is 'GET /v1/cancellations.';

create function flowforge.v1_cancellation_delete(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted constant uuid := flowforge.id_of(request.params ->> 'id', 'id');
begin
	delete from flowforge.cancellation c where c.tenant_id = flowforge.current_tenant() and c.cancellation_id = wanted;
	if not found then
		raise exception using errcode = 'FF201', message = format('cancellation %s does not exist', wanted),
			hint = 'GET /v1/cancellations lists them.';
	end if;
	return flowforge.v1_answer('{"ok": true}');
end
$$;
comment on function flowforge.v1_cancellation_delete(flowforge.request) is
'DELETE /v1/cancellations/{id}: forgets a cancellation; the runs it cancelled stay so.';

insert into flowforge.route_schema (name, schema) values
('V1Cancellation', '{
	"type": "object",
	"required": ["id", "environment_id", "function_id", "started_after", "started_before", "if", "runs", "created_at"],
	"properties": {
		"id": {"type": "string", "description": "A ULID."},
		"environment_id": {"type": "string"},
		"function_id": {"type": "string", "description": "app-function"},
		"started_after": {"type": ["string", "null"], "format": "date-time"},
		"started_before": {"type": "string", "format": "date-time"},
		"if": {"type": ["string", "null"]},
		"runs": {"type": "integer", "description": "How many it found."},
		"created_at": {"type": "string", "format": "date-time"}
	}
}');

insert into flowforge.route (method, pattern, function, scope, style, tag, summary, request_schema, response_schema)
select r.method, r.pattern, 'flowforge.' || r.function, r.scope, 'sdk', 'sdk', r.summary, r.request,
	jsonb_build_object('type', 'object', 'required', jsonb_build_array('data', 'metadata'), 'properties', jsonb_build_object(
		'data', r.data, 'metadata', '{"$ref": "#/components/schemas/V1Metadata"}'::jsonb))
from (values
('POST', '/v1/cancellations', 'v1_cancel', 'runs:manage', 'Cancel the runs of a function that started in a span of time (REST v1)',
'{"type": "object", "required": ["app_id", "function_id", "started_before"], "properties": {
	"app_id": {"type": "string"},
	"function_id": {"type": "string", "description": "Without its app."},
	"started_before": {"type": "string", "format": "date-time", "description": "Not in the future."},
	"started_after": {"type": ["string", "null"], "format": "date-time"},
	"if": {"type": ["string", "null"], "description": "An expression over the run''s event."}}}'::jsonb,
'{"$ref": "#/components/schemas/V1Cancellation"}'::jsonb),
('GET', '/v1/cancellations', 'v1_cancellations', 'runs:read', 'List cancellations, newest first (REST v1)', '{}',
'{"type": "array", "items": {"$ref": "#/components/schemas/V1Cancellation"}}'),
('DELETE', '/v1/cancellations/{id}', 'v1_cancellation_delete', 'runs:manage', 'Forget a cancellation; what it cancelled stays so (REST v1)', '{}',
'{"type": "object", "required": ["ok"], "properties": {"ok": {"const": true}}}')
) as r (method, pattern, function, scope, summary, request, data);

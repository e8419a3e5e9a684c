-- What people read.
create view flowforge.run_event with (security_invoker = true) as
select r.tenant_id, r.run_id, 1 as seq, 'run.created'::text as type, r.created_at as at, null::text as step_id, null::text as name,
	null::integer as attempt, null::jsonb as data
from flowforge.run r
union all
select b.tenant_id, b.run_id, (b.seq + e.ordinality - 1)::integer, e.value ->> 't',
	to_timestamp((e.value ->> 'at')::numeric / 1000000), e.value ->> 's', e.value ->> 'n', (e.value ->> 'a')::integer, e.value -> 'd'
from flowforge.run_event_batch b
cross join lateral jsonb_array_elements(b.events) with ordinality e;
comment on view flowforge.run_event is 'The log of every run: seq counts from 1 without a gap within a run.';

-- A live run's state, wherever it is kept.
create view flowforge.live_run with (security_invoker = true) as
select h.slot, h.run_id, h.tenant_id, h.function_id, h.version, h.event_id, h.state, null::timestamptz as wake_at
from flowforge.run_hot h
union all
select p.slot, p.run_id, p.tenant_id, p.function_id, p.version, p.event_id, p.state, p.wake_at
from flowforge.run_parked p;
comment on view flowforge.live_run is 'The runs that have not ended, with the state their owner keeps.';

create view flowforge.runs with (security_invoker = true) as
select r.run_id, flowforge.ulid(r.run_id) as ulid, r.tenant_id, f.slug as function, r.version,
	case
		when e.status is not null then e.status
		when l.state -> 'paused' = 'true' then 'paused'
		when l.state -> 'start' is null and c.run_id is null then 'pending'
		else 'running'
	end as status,
	r.event_id, ev.name as event_name, r.parent_run_id, e.output, e.error, r.created_at,
	coalesce(e.started_at, to_timestamp((l.state ->> 'start')::numeric / 1000000), c.started_at) as started_at, e.ended_at, l.wake_at
from flowforge.run r
left join flowforge.function f on f.tenant_id = r.tenant_id and f.function_id = r.function_id
left join flowforge.event ev on ev.tenant_id = r.tenant_id and ev.event_id = r.event_id
left join flowforge.run_end e on e.tenant_id = r.tenant_id and e.run_id = r.run_id
left join flowforge.live_run l on l.slot = flowforge.slot(r.run_id) and l.tenant_id = r.tenant_id and l.run_id = r.run_id
left join (select c.run_id, min(c.started_at) as started_at from flowforge.calls() c group by c.run_id) c on c.run_id = r.run_id;
comment on view flowforge.runs is
'Every run: its function, status (pending, running, paused, completed, failed, cancelled), event, result and times; wake_at when nothing is to do before.';

create view flowforge.steps with (security_invoker = true) as
select s.tenant_id, s.run_id, s.step_id, s.name, s.op, s.status, s.attempt::integer as attempt,
	case when s.memo ? 'data' then s.memo -> 'data' when not s.memo ? 'error' then s.memo end as output,
	s.memo -> 'error' as error, s.started_at, s.ended_at, null::timestamptz as due_at, s.position, s.detail
from flowforge.step s
union all
select r.tenant_id, r.run_id, i.value ->> 'id', i.value ->> 'n', coalesce(i.value ->> 'ty', i.value ->> 'op'),
	case
		when c.run_id is not null then 'running'
		when i.value ->> 'op' = 'loop' then 'running'
		when i.value ->> 'op' = 'sleep' then case when i.value ? 'e' then 'retrying' else 'sleeping' end
		when i.value ->> 'op' in ('wait', 'invoke', 'signal', 'approval', 'lock') then 'waiting'
		when i.value ? 'due' then 'retrying'
		else 'pending'
	end,
	(i.value ->> 'a')::integer, null, i.value -> 'e', to_timestamp((i.value ->> 'at')::numeric / 1000000), null,
	to_timestamp((i.value ->> 'due')::numeric / 1000000), null, i.value -> 'in'
from flowforge.run r
join flowforge.live_run l on l.slot = flowforge.slot(r.run_id) and l.tenant_id = r.tenant_id and l.run_id = r.run_id
cross join lateral jsonb_array_elements(l.state -> 'items') i
left join flowforge.calls() c on c.run_id = l.run_id and c.step_id = i.value ->> 'id'
where i.value ->> 'id' <> '';
comment on view flowforge.steps is
'Every step: completed and failed ones, and of live runs also those pending, running, sleeping, waiting and retrying (with when they are due and the last error).';

create view flowforge.events with (security_invoker = true) as
select e.event_id, flowforge.ulid(e.event_id) as ulid, e.tenant_id, e.name, e.data, e.user_data, e.external_id, e.ts, e.received_at,
	e.v, e.meta
from flowforge.event e;
comment on view flowforge.events is 'Every event received.';

create view flowforge.functions with (security_invoker = true) as
select f.function_id, f.tenant_id, f.slug as function, f.name, a.name as app, f.version, v.retries, f.url, f.archived_at,
	(select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('event', t.event, 'expression', t.expression, 'cron', t.cron, 'next_run_at', (
		select s.next_run_at from flowforge.schedule s
		where s.tenant_id = t.tenant_id and s.function_id = t.function_id and s.cron = t.cron))) order by t.trigger_id)
	from flowforge.trigger t where t.tenant_id = f.tenant_id and t.function_id = f.function_id) as triggers,
	coalesce(fe.errors, 0) as filter_errors, fe.last_error as last_filter_error, fe.last_error_at as last_filter_error_at, f.kind
from flowforge.function f
left join flowforge.app a on a.tenant_id = f.tenant_id and a.app_id = f.app_id
join flowforge.function_version v on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = f.version
left join flowforge.filter_errors() fe on fe.tenant_id = f.tenant_id and fe.function_id = f.function_id;
comment on view flowforge.functions is
'Every function with its current version and triggers, and how often a filter of it could not be evaluated since the server started.';

-- What must hold between the rows of the engine at every instant, whatever is under way: a transaction leaves all of it true or all of it
-- undone. flowforge.fsck() gives a row for each place where it does not hold. Each function below looks at one part; they are stable, so
-- the one statement that calls them shows them all one snapshot. `low` is the first run whose rows retention has not begun to drop.

-- Retention drops the oldest day table by table: between two of them a day's runs may be there without their steps.
create function flowforge.fsck_low() returns uuid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with day as (
		select p.day, count(*) as tables
		from unnest('{run,run_batch,step,run_end,run_event_batch}'::text[]) t (parent)
		cross join lateral flowforge.partition_days(t.parent) p
		group by p.day
	)
	select coalesce(flowforge.id_floor((max(d.day) + 1)::timestamp at time zone 'UTC'), '00000000-0000-0000-0000-000000000000')
	from day d
	where d.tables < 5 and d.day < (now() at time zone 'UTC')::date - 1
$$;
comment on function flowforge.fsck_low() is 'The first run id whose rows are all still there: retention may be dropping what is below.';

create function flowforge.op_waits(op text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select op in ('sleep', 'wait', 'invoke', 'signal', 'approval', 'lock', 'loop')
$$;
comment on function flowforge.op_waits(text) is 'Whether a step of this kind waits for something; the others are done by calling somebody.';

create function flowforge.fsck_homes(low uuid) returns table (invariant text, run_id uuid, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with home as (
		select h.tenant_id, h.run_id, 'run_hot' as place, h.slot from flowforge.run_hot h
		union all
		select p.tenant_id, p.run_id, 'run_parked', p.slot from flowforge.run_parked p
		union all
		select e.tenant_id, e.run_id, 'run_end', null from flowforge.run_end e where e.run_id >= low
	)
	select 'a run has a driver', r.run_id, 'it has not ended and is neither in run_hot nor in run_parked'
	from flowforge.run r
	where r.run_id >= low and not exists (select from home h where h.tenant_id = r.tenant_id and h.run_id = r.run_id)
	union all
	select 'a run has one home', h.run_id, format('it is in %s', string_agg(h.place, ' and ' order by h.place))
	from home h
	group by h.run_id
	having count(*) > 1
	union all
	select 'a home has a run', h.run_id, format('it is in %s and there is no such run', h.place)
	from home h
	where not exists (select from flowforge.run r where r.tenant_id = h.tenant_id and r.run_id = h.run_id)
	union all
	select 'a run is there once', r.run_id, format('%s rows have its id', count(*))
	from flowforge.run r
	where r.run_id >= low
	group by r.run_id
	having count(*) > 1
	union all
	select 'a row is in its slot', s.run_id, format('its row in %s is in slot %s, it belongs to slot %s', s.place, s.slot, flowforge.slot(s.run_id))
	from (
		select h.run_id, h.place, h.slot from home h where h.slot is not null
		union all
		select i.run_id, 'inbox', i.slot from flowforge.inbox i
	) s
	where s.slot <> flowforge.slot(s.run_id)
$$;
comment on function flowforge.fsck_homes(uuid) is 'Part of flowforge.fsck: where runs are kept.';

create function flowforge.fsck_states(low uuid) returns table (invariant text, run_id uuid, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select 'a live run has its event', l.run_id, format('event %s does not exist', l.event_id)
	from flowforge.live_run l
	where not exists (select from flowforge.event e where e.tenant_id = l.tenant_id and e.event_id = l.event_id)
	union all
	select 'a live run has something to do', l.run_id, 'its state has no items'
	from flowforge.live_run l
	where l.state -> 'items' = '[]'
	union all
	select 'an item is there once', l.run_id, format('step %s is to be done %s times', coalesce(nullif(i.id, ''), '(the function)'), i.times)
	from flowforge.live_run l
	cross join lateral (
		select e.value ->> 'id' as id, count(*) as times from jsonb_array_elements(l.state -> 'items') e group by e.value ->> 'id' having count(*) > 1) i
	union all
	select 'a live run has its function', l.run_id, format('version %s of function %s does not exist', l.version, l.function_id)
	from flowforge.live_run l
	where not exists (
		select from flowforge.function_version v
		join flowforge.function f on f.tenant_id = v.tenant_id and f.function_id = v.function_id
		where v.tenant_id = l.tenant_id and v.function_id = l.function_id and v.version = l.version)
	union all
	select 'a runnable run has something to call', h.run_id, 'nothing in its state is due, and it is in run_hot'
	from flowforge.run_hot h
	where h.state -> 'items' <> '[]'
		and not exists (
			select from jsonb_array_elements(h.state -> 'items') i
			where not i.value ? 'due' and not flowforge.op_waits(i.value ->> 'op')
				or to_timestamp((i.value ->> 'due')::numeric / 1000000) <= clock_timestamp())
	union all
	select 'a parked run wakes when it must', p.run_id, format('it wakes at %s, its items are due at %s', p.wake_at, d.due)
	from flowforge.run_parked p
	left join flowforge.claim c on c.slot = p.slot and c.run_id = p.run_id
	cross join lateral (
		select case
				-- Whoever waits for room, or has just been given it, has things to do that are due; it may not sleep over what is no step.
				when c.run_id is not null then least(p.wake_at, coalesce(to_timestamp(least(min((i.value ->> 'due')::numeric)
					filter (where flowforge.op_waits(i.value ->> 'op')), (p.state ->> 'end')::numeric) / 1000000), 'infinity'))
				when bool_or(not i.value ? 'due' and not flowforge.op_waits(i.value ->> 'op')) then '-infinity'
				else coalesce(to_timestamp(least(min((i.value ->> 'due')::numeric), (p.state ->> 'end')::numeric) / 1000000), 'infinity')
			end as due
		from jsonb_array_elements(p.state -> 'items') i
	) d
	where p.wake_at <> d.due
	union all
	select 'a child knows its parent', l.run_id, format('it was invoked by step %s of run %s, its state says %s of %s', r.parent_step_id,
		flowforge.ulid(r.parent_run_id), coalesce(l.state ->> 'pstep', 'no step'), coalesce(l.state ->> 'parent', 'none'))
	from flowforge.live_run l
	join flowforge.run r on r.tenant_id = l.tenant_id and r.run_id = l.run_id
	where (flowforge.ulid(r.parent_run_id), r.parent_step_id) is distinct from (l.state ->> 'parent', l.state ->> 'pstep')
	union all
	select 'an invocation is answered', l.run_id, format('step %s waits for a run that is not live, and no message says how it ended', i.value ->> 'id')
	from flowforge.live_run l
	cross join lateral jsonb_array_elements(l.state -> 'items') i
	where i.value ->> 'op' = 'invoke'
		and not exists (
			select from flowforge.run c
			join flowforge.live_run cl on cl.slot = flowforge.slot(c.run_id) and cl.tenant_id = c.tenant_id and cl.run_id = c.run_id
			where c.tenant_id = l.tenant_id and c.parent_run_id = l.run_id and c.parent_step_id = i.value ->> 'id')
		and not exists (
			select from flowforge.inbox m
			where m.tenant_id = l.tenant_id and m.run_id = l.run_id and m.kind = 'invoked' and m.payload ->> 'step' = i.value ->> 'id')
$$;
comment on function flowforge.fsck_states(uuid) is 'Part of flowforge.fsck: what live runs have to do.';

-- What only shared memory knows is read after the snapshot: a call that was under way when the run had already ended has no one to answer.
create function flowforge.fsck_calls(low uuid) returns table (invariant text, run_id uuid, detail text)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select 'a finished run is not called', c.run_id, format('step %s is being called since %s, the run is %s', coalesce(nullif(c.step_id, ''), '(the function)'),
		c.started_at, e.status)
	from flowforge.calls() c
	join flowforge.run_end e on e.tenant_id = c.tenant_id and e.run_id = c.run_id
	where c.started_at < now()
$$;
comment on function flowforge.fsck_calls(uuid) is 'Part of flowforge.fsck: calls under way.';

create function flowforge.fsck_claims() returns table (invariant text, run_id uuid, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select 'a claim is of a live run', c.run_id, 'it has ended or never was'
	from flowforge.claim c
	where not exists (select from flowforge.live_run l where l.slot = c.slot and l.tenant_id = c.tenant_id and l.run_id = c.run_id)
	union all
	select 'a claim adds up', c.run_id, format('asked %s, granted %s, released %s', c.asked, c.granted, c.released)
	from flowforge.claim c
	where not (c.asked >= c.granted and c.granted >= c.released and c.asked > c.released)
	union all
	select 'a limited run has a claim', h.run_id, 'it has something to call and asks for no room'
	from flowforge.run_hot h
	join flowforge.function_version v on v.tenant_id = h.tenant_id and v.function_id = h.function_id and v.version = h.version
	where h.state is not null and exists (select from flowforge.concurrency_limits(v.config))
		and not exists (select from flowforge.claim c where c.slot = h.slot and c.run_id = h.run_id)
$$;
comment on function flowforge.fsck_claims() is 'Part of flowforge.fsck: what limited runs ask for and have.';

-- Calls are in shared memory, which is read after the snapshot: a claim that grew smaller since is no fault, one that was never that large is.
create function flowforge.fsck_room() returns table (invariant text, run_id uuid, detail text)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select 'no more is called than was granted', c.run_id, format('%s calls are under way, %s steps have been granted', count(*), max(w.granted - w.released))
	from flowforge.calls() c
	join flowforge.claim w on w.slot = flowforge.slot(c.run_id) and w.run_id = c.run_id
	where c.started_at < now()
	group by c.run_id
	having count(*) > max(w.granted - w.released)
$$;
comment on function flowforge.fsck_room() is 'Part of flowforge.fsck: calls of limited runs.';

-- What is known of queues is in shared memory. It is compared with the rows when nothing has come or gone while they were read.
create function flowforge.fsck_queues() returns table (invariant text, run_id uuid, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	before constant jsonb := (select jsonb_object_agg(q.tenant_id, to_jsonb(q) - 'refused') from flowforge.queue_depths() q where q.open = 0);
	counted constant jsonb := (
		select jsonb_object_agg(n.tenant_id, n.runs)
		from (select l.tenant_id, count(*) as runs from flowforge.live_run l where l.state -> 'start' is null group by l.tenant_id) n);
begin
	return query
	select 'a queue is as long as is known', null::uuid, format('tenant %s is known to have %s runs that have not begun, it has %s', q.tenant_id, q.depth,
		coalesce((counted ->> q.tenant_id::text)::bigint, 0))
	from flowforge.queue_depths() q
	where to_jsonb(q) - 'refused' = before -> q.tenant_id::text and q.depth <> coalesce((counted ->> q.tenant_id::text)::bigint, 0);
end
$$;
comment on function flowforge.fsck_queues() is 'Part of flowforge.fsck: how many runs of tenants with max_queued have not begun.';

create function flowforge.fsck_triggers() returns table (invariant text, run_id uuid, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select 'a trigger starts the current version', null::uuid, format('trigger %s starts version %s of function %s, which is %s', t.trigger_id, t.version,
		t.function_id, case when f.function_id is null then 'not there' when f.archived_at is not null then 'archived' else 'at version ' || f.version end)
	from flowforge.trigger t
	left join flowforge.function f on f.tenant_id = t.tenant_id and f.function_id = t.function_id
	where f.version is distinct from t.version or f.archived_at is not null
$$;
comment on function flowforge.fsck_triggers() is 'Part of flowforge.fsck: triggers.';

-- A key may name a run that is over: whoever wants it next takes it. A live run is without its key once another has taken its place, which it has been
-- told, and when it was started by name, or again: then another run may have the key.
create function flowforge.fsck_flows(low uuid) returns table (invariant text, run_id uuid, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select 'a singleton key has had a run', s.run_id, format('it has the key %s of function %s and there is no such run', s.key, s.function_id)
	from flowforge.flow_single s
	where s.run_id >= low and not exists (select from flowforge.run r where r.tenant_id = s.tenant_id and r.run_id = s.run_id)
	union all
	select 'a live run has its singleton key', l.run_id, format('no key of function %s names it', l.function_id)
	from flowforge.live_run l
	join flowforge.function_version v on v.tenant_id = l.tenant_id and v.function_id = l.function_id and v.version = l.version
		and jsonb_typeof(case when v.config ? 'graph' then v.config -> 'settings' else v.config end -> 'singleton') = 'object'
	join flowforge.event e on e.tenant_id = l.tenant_id and e.event_id = l.event_id and e.name not in ('inngest/function.invoked', 'inngest/deferred.schedule')
	where not exists (select from flowforge.flow_single s where s.tenant_id = l.tenant_id and s.run_id = l.run_id)
		and not exists (select from flowforge.inbox i where i.slot = l.slot and i.run_id = l.run_id and i.kind = 'cancel')
		and not exists (select from flowforge.run_event_batch b where b.tenant_id = l.tenant_id and b.run_id = l.run_id
			and (b.events @> '[{"t": "run.retried"}]' or b.events @> '[{"t": "run.replayed"}]'))
	union all
	select 'a rate limit is kept', null::uuid, format('%s starts of key %s of function %s within %s', w.starts, w.key, w.function_id, w.period)
	from (
		select f.key, f.function_id, f.period, f.most, sum(f.starts[p + 1]) as starts
		from flowforge.flow_rate f
		cross join lateral generate_series(1, cardinality(f.starts), 2) p
		where f.starts[p] > flowforge.microseconds(f.at) - extract(epoch from f.period) * 1000000
		group by f.tenant_id, f.function_id, f.key
	) w
	where w.starts > w.most
	union all
	select 'a skipped run was not started', r.run_id, format('flow control kept its event from starting it: %s', k.reason)
	from flowforge.run_skip k
	join flowforge.run r on r.tenant_id = k.tenant_id and r.event_id = k.event_id and r.function_id = k.function_id
	where r.run_id >= low
		and not exists (select from flowforge.run_event_batch b where b.tenant_id = r.tenant_id and b.run_id = r.run_id and b.events @> '[{"t": "run.replayed"}]')
$$;
comment on function flowforge.fsck_flows(uuid) is 'Part of flowforge.fsck: what flow control keeps of events and runs.';

create function flowforge.fsck_waits(low uuid) returns table (invariant text, run_id uuid, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with held as (
		select l.tenant_id, l.run_id, i.value ->> 'id' as step_id
		from flowforge.live_run l
		cross join lateral jsonb_array_elements(l.state -> 'items') i
		where i.value ->> 'op' = 'wait'
	), cancels as (
		select l.tenant_id, l.run_id, format('cancelOn[%s]', n) as step_id
		from flowforge.live_run l
		join flowforge.function_version v on v.tenant_id = l.tenant_id and v.function_id = l.function_id and v.version = l.version
		cross join lateral generate_series(0, (select count(*)::integer from flowforge.setting_list(v.config, 'cancel')) - 1) n
	)
	select 'a run can be cancelled by its events', c.run_id, format('no event would be told to %s', c.step_id)
	from cancels c
	where not exists (select from flowforge.wait w where w.tenant_id = c.tenant_id and w.run_id = c.run_id and w.step_id = c.step_id)
	union all
	select 'a wait is held by its run', w.run_id, format('the wait for %s of step %s is not in the state of a live run', w.event_name, w.step_id)
	from flowforge.wait w
	where not exists (
		select from held h where h.tenant_id = w.tenant_id and h.run_id = w.run_id and h.step_id = w.step_id
		union all
		select from cancels c where c.tenant_id = w.tenant_id and c.run_id = w.run_id and c.step_id = w.step_id)
	union all
	select 'a waiting step has its wait', h.run_id, format('step %s waits, but no event would be told to it', h.step_id)
	from held h
	where not exists (select from flowforge.wait w where w.tenant_id = h.tenant_id and w.run_id = h.run_id and w.step_id = h.step_id)
	union all
	select 'a message is handled', m.run_id, format('the message "%s" of %s is for a run that has ended or never was', m.kind,
		flowforge.id_time(m.inbox_id))
	from flowforge.inbox m
	where flowforge.id_time(m.inbox_id) < now() - interval '1 minute'
		and not exists (select from flowforge.live_run l where l.slot = flowforge.slot(m.run_id) and l.tenant_id = m.tenant_id and l.run_id = m.run_id)
$$;
comment on function flowforge.fsck_waits(uuid) is 'Part of flowforge.fsck: waits and messages.';

create function flowforge.fsck_signals() returns table (invariant text, run_id uuid, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with held as (
		select l.tenant_id, l.run_id, i.value ->> 'id' as step_id
		from flowforge.live_run l
		cross join lateral jsonb_array_elements(l.state -> 'items') i
		where i.value ->> 'op' = 'signal'
	)
	select 'a signal is awaited by its run', s.run_id, format('the signal "%s" is for step %s, which does not wait for one', s.name, s.step_id)
	from flowforge.signal s
	where not exists (select from held h where h.tenant_id = s.tenant_id and h.run_id = s.run_id and h.step_id = s.step_id)
	union all
	select 'an awaited signal would be told', h.run_id, format('step %s waits, but no signal would be told to it', h.step_id)
	from held h
	where not exists (select from flowforge.signal s where s.tenant_id = h.tenant_id and s.run_id = h.run_id and s.step_id = h.step_id)
		and not exists (
			select from flowforge.inbox m
			where m.tenant_id = h.tenant_id and m.run_id = h.run_id and m.kind = 'signal' and m.payload ->> 'step' = h.step_id)
$$;
comment on function flowforge.fsck_signals() is 'Part of flowforge.fsck: waits for signals.';

create function flowforge.fsck_steps(low uuid) returns table (invariant text, run_id uuid, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select 'a checkpoint has a run', s.run_id, format('step %s was checkpointed and there is no such run', s.step_id)
	from flowforge.step s
	where s.run_id >= low and not exists (select from flowforge.run r where r.tenant_id = s.tenant_id and r.run_id = s.run_id)
	union all
	select 'steps are numbered as they finished', s.run_id, format('%s steps have %s numbers from %s to %s', count(*), count(distinct s.position),
		min(s.position), max(s.position))
	from flowforge.step s
	where s.run_id >= low
	group by s.tenant_id, s.run_id
	having min(s.position) <> 1 or max(s.position) <> count(*) or count(distinct s.position) <> count(*)
	union all
	select 'a finished step is over', l.run_id, format('step %s has its checkpoint and is still to be done', s.step_id)
	from flowforge.live_run l
	cross join lateral jsonb_array_elements(l.state -> 'items') i
	join flowforge.step s on s.tenant_id = l.tenant_id and s.run_id = l.run_id and s.step_id = i.value ->> 'id'
	union all
	select 'a live run is handed its checkpoints', l.run_id, 'it has checkpoints, but its state says that it never had an answer'
	from flowforge.live_run l
	where coalesce((l.state ->> 'grp')::integer, 0) = 0
		and exists (select from flowforge.step s where s.tenant_id = l.tenant_id and s.run_id = l.run_id)
$$;
comment on function flowforge.fsck_steps(uuid) is 'Part of flowforge.fsck: checkpoints.';

create function flowforge.fsck_log(low uuid) returns table (invariant text, run_id uuid, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with batch as (
		select b.tenant_id, b.run_id, b.seq, b.seq + jsonb_array_length(b.events) as next, b.events -> -1 ->> 't' as last,
			lead(b.seq) over run is null as final, coalesce(lag(b.seq + jsonb_array_length(b.events)) over run, 2) as expected
		from flowforge.run_event_batch b
		where b.run_id >= low
		window run as (partition by b.tenant_id, b.run_id order by b.seq)
	)
	select 'the log has no gaps', b.run_id, format('event %s is written where event %s was to come', b.seq, b.expected)
	from batch b
	where b.seq <> b.expected or b.next = b.seq
	union all
	select 'the log goes on where the run is', l.run_id, format('the run has counted %s events, its log %s', coalesce((l.state ->> 'seq')::integer, 1),
		coalesce(b.next - 1, 1))
	from flowforge.live_run l
	left join batch b on b.tenant_id = l.tenant_id and b.run_id = l.run_id and b.final
	where coalesce((l.state ->> 'seq')::integer, 1) <> coalesce(b.next - 1, 1)
	union all
	select 'what is to be done is in the log', l.run_id, format('the log says nothing of step %s', i.value ->> 'id')
	from flowforge.live_run l
	cross join lateral jsonb_array_elements(l.state -> 'items') i
	where i.value ->> 'id' <> ''
		and not exists (
			select from flowforge.run_event_batch b
			where b.tenant_id = l.tenant_id and b.run_id = l.run_id and b.events @> jsonb_build_array(jsonb_build_object('s', i.value ->> 'id')))
	union all
	select 'the log ends as the run did', e.run_id, format('it is %s, the last event of its log is %s', e.status, coalesce(b.last, 'run.created'))
	from flowforge.run_end e
	left join batch b on b.tenant_id = e.tenant_id and b.run_id = e.run_id and b.final
	where e.run_id >= low and b.last is distinct from 'run.' || e.status
	union all
	select 'a log has a run', b.run_id, 'it has a log and there is no such run'
	from batch b
	where b.final and not exists (select from flowforge.run r where r.tenant_id = b.tenant_id and r.run_id = b.run_id)
$$;
comment on function flowforge.fsck_log(uuid) is 'Part of flowforge.fsck: the numbers of run events.';

create function flowforge.fsck_log_steps(low uuid) returns table (invariant text, run_id uuid, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with entry as (
		select b.tenant_id, b.run_id, b.seq + e.ordinality as seq, e.value ->> 's' as step_id, e.value ->> 't' as type,
			e.value #> '{d,steps}' as forgotten
		from flowforge.run_event_batch b
		cross join lateral jsonb_array_elements(b.events) with ordinality e
		where b.run_id >= low and e.value ->> 't' in ('step.completed', 'step.failed', 'step.skipped', 'run.retried')
	), told as (
		-- A retry forgets the steps it names: those that had failed, and those that gave locks, which the run's end has given back.
		select e.tenant_id, e.run_id, e.step_id
		from entry e
		where e.type <> 'run.retried' and not exists (
			select from entry r
			where r.tenant_id = e.tenant_id and r.run_id = e.run_id and r.type = 'run.retried' and r.seq > e.seq
				and r.forgotten ? e.step_id)
	)
	select 'what the log says is done has its checkpoint', t.run_id, format('the log says that step %s finished; it has no checkpoint', t.step_id)
	from told t
	where not exists (select from flowforge.step s where s.tenant_id = t.tenant_id and s.run_id = t.run_id and s.step_id = t.step_id)
	union all
	select 'a checkpoint is in the log', s.run_id, format('the log does not say that step %s finished', s.step_id)
	from flowforge.step s
	where s.run_id >= low and s.status <> 'cancelled' and not exists (select from told t where t.tenant_id = s.tenant_id and t.run_id = s.run_id and t.step_id = s.step_id)
	union all
	select 'a step finishes once', t.run_id, format('the log says %s times that step %s finished', count(*), t.step_id)
	from told t
	group by t.tenant_id, t.run_id, t.step_id
	having count(*) > 1
$$;
comment on function flowforge.fsck_log_steps(uuid) is 'Part of flowforge.fsck: what the log says of steps.';

-- Maintenance moves what the default partitions caught within minutes; two hours allow for a server that was down.
create function flowforge.fsck_partitions() returns table (invariant text, run_id uuid, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select 'a day has its partition', null::uuid, format('%s has kept %s rows for hours, the oldest of %s', d.partition, count(*), min(d.at))
	from (
		select 'event_default' as partition, e.received_at as at from flowforge.event_default e
		union all
		select 'run_default', flowforge.id_time(r.run_id) from flowforge.run_default r
		union all
		select 'run_batch_default', flowforge.id_time(b.run_id) from flowforge.run_batch_default b
		union all
		select 'step_default', flowforge.id_time(s.run_id) from flowforge.step_default s
		union all
		select 'run_end_default', flowforge.id_time(e.run_id) from flowforge.run_end_default e
		union all
		select 'run_event_batch_default', flowforge.id_time(b.run_id) from flowforge.run_event_batch_default b
	) d
	-- Runs that apps begin bring their ids along: of days before the first that has a partition, the default partition keeps the rows.
	where d.at < now() - interval '2 hours' and d.at >= (select min(p.day) from flowforge.partition_days('event') p)
	group by d.partition
	union all
	select 'a partition has its key', null, format('%s has no primary key', i.inhrelid::regclass)
	from pg_inherits i
	where i.inhparent in ('flowforge.event'::regclass, 'flowforge.run'::regclass, 'flowforge.run_batch'::regclass, 'flowforge.step'::regclass, 'flowforge.run_end'::regclass,
			'flowforge.run_event_batch'::regclass)
		and not exists (select from pg_index x where x.indrelid = i.inhrelid and x.indisprimary and x.indisvalid)
$$;
comment on function flowforge.fsck_partitions() is 'Part of flowforge.fsck: partitions.';

create function flowforge.fsck_locks() returns table (invariant text, run_id uuid, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select 'a lock is a live run''s', k.run_id, format('the run has a place in the queue for lock "%s" and is not live', k.key)
	from flowforge.lock k
	where not exists (select from flowforge.live_run l where l.slot = flowforge.slot(k.run_id) and l.tenant_id = k.tenant_id and l.run_id = k.run_id)
	union all
	select 'a lock is held by one run', null, format('%s runs hold lock "%s"', count(distinct k.run_id), k.key)
	from flowforge.lock k
	where k.granted_at is not null
	group by k.tenant_id, k.key
	having count(distinct k.run_id) > 1
	union all
	select 'a lock that is waited for is held', null, format('%s wait for lock "%s" and nobody holds it', count(*), k.key)
	from flowforge.lock k
	group by k.tenant_id, k.key
	having bool_and(k.granted_at is null)
	union all
	select 'a step that waits for a lock is in its queue', l.run_id, format('step %s has no place in the queue', i.value ->> 'id')
	from flowforge.live_run l
	cross join lateral jsonb_array_elements(l.state -> 'items') i
	where i.value ->> 'op' = 'lock'
		and not exists (select from flowforge.lock k where k.tenant_id = l.tenant_id and k.run_id = l.run_id and k.step_id = i.value ->> 'id')
$$;
comment on function flowforge.fsck_locks() is 'Part of flowforge.fsck: locks and who waits for them.';

create function flowforge.fsck_held() returns table (invariant text, run_id uuid, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with held as (
		select h.tenant_id, h.function_id, h.kind, h.key, e.event_id
		from flowforge.held_start h
		cross join lateral unnest(h.event_ids) e (event_id)
	)
	select 'what is held back has its events', null::uuid, format('event %s, which %s of function %s holds, does not exist', h.event_id, h.kind, h.function_id)
	from held h
	where not exists (select from flowforge.event e where e.tenant_id = h.tenant_id and e.event_id = h.event_id)
	union all
	select 'an event is held once', null, format('function %s holds event %s %s times', h.function_id, h.event_id, count(*))
	from held h
	group by h.tenant_id, h.function_id, h.event_id
	having count(*) > 1
	union all
	select 'what is held back has not started', r.run_id, format('it is a run of event %s, which %s of the function holds', h.event_id, h.kind)
	from held h
	cross join lateral flowforge.runs_of_events(h.tenant_id, array[h.event_id]) s
	join flowforge.run r on r.tenant_id = h.tenant_id and r.run_id = s and r.function_id = h.function_id
	union all
	select 'what is held back is looked at in time', null, format('%s "%s" of function %s is due at %s, at the latest at %s, and looked at at %s', h.kind, h.key,
		h.function_id, h.due_at, h.latest_at, h.look_at)
	from flowforge.held_start h
	where h.look_at > h.due_at or h.due_at > h.latest_at
	union all
	select 'a debounce holds one event', null, format('"%s" of function %s holds %s', h.key, h.function_id, cardinality(h.event_ids))
	from flowforge.held_start h
	where cardinality(h.event_ids) <> 1 and (h.kind = 'debounce' or cardinality(h.event_ids) = 0)
$$;
comment on function flowforge.fsck_held() is 'Part of flowforge.fsck: what flow control holds back.';

create function flowforge.fsck_run_batches(low uuid) returns table (invariant text, run_id uuid, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with batch as (
		select b.tenant_id, b.run_id, count(*) as events, count(distinct b.event_id) as distinct_events, min(b.position) as low, max(b.position) as high,
			(array_agg(b.event_id order by b.position))[1] as first
		from flowforge.run_batch b
		where b.run_id >= fsck_run_batches.low
		group by b.tenant_id, b.run_id
	)
	select 'a batch has a run', b.run_id, 'it has events and there is no such run'
	from batch b
	where not exists (select from flowforge.run r where r.tenant_id = b.tenant_id and r.run_id = b.run_id)
	union all
	select 'a batch has its events in order', b.run_id, format('it has %s events, %s of them different, with numbers from %s to %s', b.events, b.distinct_events, b.low, b.high)
	from batch b
	where b.events < 2 or b.distinct_events <> b.events or b.low <> 0 or b.high <> b.events - 1
	union all
	select 'the first event of a batch is its run''s', b.run_id, format('event %s is the first of the batch, the run has event %s', b.first, r.event_id)
	from batch b
	join flowforge.run r on r.tenant_id = b.tenant_id and r.run_id = b.run_id
	where r.event_id <> b.first
	union all
	select 'a live run has its event', b.run_id, format('event %s does not exist', b.event_id)
	from flowforge.run_batch b
	join flowforge.live_run l on l.slot = flowforge.slot(b.run_id) and l.tenant_id = b.tenant_id and l.run_id = b.run_id
	where not exists (select from flowforge.event e where e.tenant_id = b.tenant_id and e.event_id = b.event_id)
$$;
comment on function flowforge.fsck_run_batches(uuid) is 'Part of flowforge.fsck: runs of several events.';

create function flowforge.fsck() returns table (invariant text, run_id uuid, detail text)
language plpgsql volatile
set jit = off
set search_path = pg_catalog, pg_temp
as $$
declare
	low uuid;
begin
	-- Before the snapshot is taken, so that no partition is made or dropped between it and the reading.
	lock table flowforge.event, flowforge.run, flowforge.run_batch, flowforge.step, flowforge.run_end, flowforge.run_event_batch in access share mode;
	low := flowforge.fsck_low();
	return query
	select * from flowforge.fsck_homes(low)
	union all select * from flowforge.fsck_states(low)
	union all select * from flowforge.fsck_calls(low)
	union all select * from flowforge.fsck_claims()
	union all select * from flowforge.fsck_room()
	union all select * from flowforge.fsck_queues()
	union all select * from flowforge.fsck_triggers()
	union all select * from flowforge.fsck_flows(low)
	union all select * from flowforge.fsck_waits(low)
	union all select * from flowforge.fsck_signals()
	union all select * from flowforge.fsck_locks()
	union all select * from flowforge.fsck_held()
	union all select * from flowforge.fsck_run_batches(low)
	union all select * from flowforge.fsck_steps(low)
	union all select * from flowforge.fsck_log(low)
	union all select * from flowforge.fsck_log_steps(low)
	union all select * from flowforge.fsck_partitions();
end
$$;
comment on function flowforge.fsck() is
'Everything that must hold between the engine''s rows and does not: the invariant, the run, and what is wrong. Nothing on a sound '
'database, at any time, also while runs are in flight. It reads all tables in one snapshot and stops nobody; takes seconds for a million runs.';

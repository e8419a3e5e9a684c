create function @extschema@.ff_event_runs(event uuid) returns setof flowforge.runs
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('viewer');
	select r.* from flowforge.runs r
	where r.tenant_id = flowforge.current_tenant() and r.run_id = any (array(select flowforge.runs_of_events(flowforge.current_tenant(), array[event])))
	order by r.run_id
$$;
comment on function @extschema@.ff_event_runs(uuid) is 'The runs an event started, alone or with the others of a batch.';

create function flowforge.await_run(run uuid, timeout_ms bigint) returns boolean
language c volatile
as 'MODULE_PATHNAME', 'ff_run_await';
comment on function flowforge.await_run(uuid, bigint) is 'Blocks on the process latch until a run has ended; false after the time-out.';

create function @extschema@.ff_wait(run uuid, timeout interval default '1 minute') returns flowforge.runs
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
	result flowforge.runs;
begin
	perform flowforge.require_role('viewer');
	perform flowforge.await_run(run, (extract(epoch from timeout) * 1000)::bigint);
	select r.* into result from flowforge.runs r where r.tenant_id = flowforge.current_tenant() and r.run_id = run;
	return result;
end
$$;
comment on function @extschema@.ff_wait(uuid, interval) is
'Blocks until a run has ended, at most `timeout`, and gives the run as it then is. It waits without polling: the executor that '
'ends the run wakes it. Errors: FF010 no such run; FF011 when the run was started by this very transaction, which must commit first.';

create function @extschema@.ff_cancel(run uuid, reason text default null) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	ended text;
begin
	perform flowforge.require_role('member');
	if not exists (select from flowforge.run r where r.tenant_id = tenant and r.run_id = run) then
		raise exception using errcode = 'FF010', message = format('run %s does not exist', run),
			hint = 'select * from flowforge.runs lists the runs of this tenant.';
	end if;
	select e.status into ended from flowforge.run_end e where e.tenant_id = tenant and e.run_id = run;
	if found then
		return 'already ' || ended;
	end if;
	perform flowforge.post(tenant, run, 'cancel', jsonb_build_object('reason', reason));
	perform flowforge.audit('run.cancel', 'run:' || flowforge.ulid(run), null, jsonb_strip_nulls(jsonb_build_object('reason', reason)));
	return 'cancelling';
end
$$;
comment on function @extschema@.ff_cancel(uuid, text) is
'Asks the owner of a run to cancel it; takes effect when the caller''s transaction commits. Gives "cancelling", or "already '
'completed|failed|cancelled" when there was nothing left to do. Error: FF010 no such run.';

create function @extschema@.ff_status(out item text, out value text) returns setof record
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select 'version', (select extversion from pg_extension where extname = 'flowforge')
	union all
	select 'executor ' || e.executor, case when flowforge.is_operator()
		then format('pid %s, %s, %s ready, %s in flight, %s timers', coalesce(e.pid::text, '-'), e.state, e.ready, e.in_flight, e.timers) else e.state end
	from flowforge.executors() e
	union all
	select 'work', format('%s commits, %s steps, %s runs ended, %s errors', sum(e.commits), sum(e.steps), sum(e.runs_ended), sum(e.errors))
	from flowforge.executors() e
	having flowforge.is_operator()
	union all
	select 'runnable runs', count(*)::text from flowforge.run_hot
	union all
	select 'oldest runnable', coalesce((now() - flowforge.id_time(min(h.run_id::text)::uuid))::text, '-') from flowforge.run_hot h
	union all
	select 'queued runs', format('%s have not begun, %s of them wait for room', q.hot + q.parked, q.parked)
	from (select (select count(*) from flowforge.run_hot h where h.state is null) as hot,
		(select count(*) from flowforge.run_parked p where p.state is null) as parked) q
	union all
	select 'limited steps', format('%s have room, %s wait for it', coalesce(sum(c.granted - c.released), 0), coalesce(sum(c.asked - c.granted), 0)) from flowforge.claim c
	union all
	select 'refused calls', string_agg(format('%s %s', r.calls, r.quota), ', ' order by r.quota) from flowforge.refusals() r having count(*) > 0 and flowforge.is_operator()
	union all
	select 'parked runs', count(*)::text from flowforge.run_parked
	union all
	select 'next due', coalesce(min(p.wake_at)::text, '-') from flowforge.run_parked p
	union all
	select 'waits', count(*)::text from flowforge.wait
	union all
	select 'inbox', count(*)::text from flowforge.inbox
	union all
	select 'calls in flight', count(*)::text from flowforge.calls() c where flowforge.is_operator() or c.tenant_id = flowforge.current_tenant()
	union all
	select 'last error', coalesce((select format('%s (%s)', e.last_error, e.last_error_at) from flowforge.executors() e
		where e.last_error is not null order by e.last_error_at desc limit 1), '-')
	where flowforge.is_operator()
$$;
comment on function @extschema@.ff_status() is 'One screen for a DBA: executors, backlog, limits reached, what is in flight, what is due, the last error. Over HTTP tenants other than '
'the operator''s are told of their own runs and whether executors work.';

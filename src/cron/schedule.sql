-- Schedules: made from functions' triggers and by ff_schedule, fired by pg_cron's jobs and by the executor that keeps the clock.

create function flowforge.jitter_of(schedule flowforge.schedule, scheduled timestamptz) returns interval
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select schedule.jitter * ((hashtextextended(schedule.schedule_id || ' ' || extract(epoch from scheduled), 0) & 1048575) / 1048576.0)::double precision
$$;
comment on function flowforge.jitter_of(flowforge.schedule, timestamptz) is
'How long after its instant a schedule fires: below its jitter, and the same whenever it is asked.';

create function flowforge.next_fire(schedule flowforge.schedule) returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select t + flowforge.jitter_of(schedule, t) from flowforge.cron_times(schedule.cron, schedule.last_at, 'infinity', 1) t
$$;
comment on function flowforge.next_fire(flowforge.schedule) is 'When a schedule fires next: its next instant and the jitter.';

-- Late is what fires more than a minute after it should have: the server was down, or nobody kept the clock. What was missed may be many
-- instants, of which only `all` wants more than the last: the others look at the shortest time before now that holds one.
create function flowforge.due_since(schedule flowforge.schedule, at timestamptz) returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with bound as (
		select greatest(schedule.last_at, at - schedule.jitter - greatest(schedule.catch_up_window, interval '61 s')) as earliest
	)
	select case schedule.catch_up
		when 'all' then b.earliest
		when 'skip' then greatest(b.earliest, at - schedule.jitter - interval '61 s')
		else coalesce((
			select s.since
			from unnest(array[interval '61 s', '1 hour', '1 day']) l
			cross join lateral (select greatest(b.earliest, at - schedule.jitter - l) as since) s
			where exists (select from flowforge.cron_times(schedule.cron, s.since, at - schedule.jitter, 1))
			order by l
			limit 1), b.earliest)
	end
	from bound b
$$;
comment on function flowforge.due_since(flowforge.schedule, timestamptz) is
'From when on the instants of a schedule matter that have come since the last and that its catch-up policy may want.';

create function flowforge.due_times(schedule flowforge.schedule, since timestamptz, at timestamptz)
returns table (scheduled timestamptz, fire timestamptz, wanted boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with times as (
		select t as scheduled, t + flowforge.jitter_of(schedule, t) as fire
		from flowforge.cron_times(schedule.cron, since, at, 10000) t
	), due as (
		select t.scheduled, t.fire, t.fire < at - interval '1 min' as late
		from times t
		where t.scheduled < coalesce((select min(o.scheduled) from times o where o.fire > at), 'infinity')
	)
	select d.scheduled, d.fire, case schedule.catch_up
			when 'all' then true
			when 'skip' then not d.late
			else not d.late or (d.scheduled = max(d.scheduled) over () and bool_and(d.late) over ())
		end
	from due d
$$;
comment on function flowforge.due_times(flowforge.schedule, timestamptz, timestamptz) is
'The instants of a schedule that have come since a time, at most 10,000, and which of them its catch-up policy wants fired.';

create function flowforge.run_schedule(tenant integer, id integer, at timestamptz default clock_timestamp()) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	s flowforge.schedule;
	scheduled timestamptz[];
	fire timestamptz[];
	since timestamptz;
	latest timestamptz;
	started integer;
begin
	select * into s from flowforge.schedule x where x.tenant_id = tenant and x.schedule_id = id for update;
	if not found then
		return 0;
	end if;
	since := flowforge.due_since(s, at);
	select array_agg(d.scheduled order by d.scheduled) filter (where d.wanted), array_agg(d.fire order by d.scheduled) filter (where d.wanted),
		max(d.scheduled)
	into scheduled, fire, latest
	from flowforge.due_times(s, since, at) d;
	started := coalesce(flowforge.fire(tenant, s.schedule_id::text, s.cron, s.function_id, s.event, s.data, coalesce(scheduled, '{}'),
		coalesce(fire, '{}')), 0);
	s.last_at := coalesce(latest, since);
	update flowforge.schedule x
	set last_at = s.last_at, next_run_at = flowforge.next_fire(s), last_error = null
	where x.tenant_id = tenant and x.schedule_id = id;
	return started;
end
$$;
comment on function flowforge.run_schedule(integer, integer, timestamptz) is
'Fires what is due of a schedule at a time and gives how many runs were started (or events sent). Each instant is fired once, whoever calls '
'this and how often; what was missed is caught up as the schedule says. The body of its pg_cron job.';

-- A whole minute is left to pg_cron for a few seconds, if it has a job.
create function flowforge.clock_due(schedule flowforge.schedule) returns timestamptz
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case when schedule.job_id is null or extract(second from schedule.next_run_at) <> 0 then schedule.next_run_at
		else schedule.next_run_at + interval '5 s' end
$$;
comment on function flowforge.clock_due(flowforge.schedule) is 'When the executor that keeps the clock fires a schedule, if nobody has.';

create function flowforge.schedule_failed(tenant integer, id integer, at timestamptz, problem text) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	update flowforge.schedule s
	set last_error = problem, next_run_at = greatest(s.next_run_at, at + interval '1 min')
	where s.tenant_id = tenant and s.schedule_id = id
$$;
comment on function flowforge.schedule_failed(integer, integer, timestamptz, text) is
'Notes why a schedule could not be fired; it is tried again in a minute.';

create function flowforge.run_schedules(at timestamptz default clock_timestamp()) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	s flowforge.schedule;
begin
	for s in select x.* from flowforge.schedule x where x.next_run_at <= at order by x.next_run_at limit 1000 loop
		continue when flowforge.clock_due(s) > at;
		begin
			perform flowforge.run_schedule(s.tenant_id, s.schedule_id, at);
		exception when others then
			raise warning 'schedule %/% could not be fired: %', s.tenant_id, s.schedule_id, sqlerrm;
			perform flowforge.schedule_failed(s.tenant_id, s.schedule_id, at, sqlerrm);
		end;
	end loop;
	return (select min(flowforge.clock_due(x)) from flowforge.schedule x);
end
$$;
comment on function flowforge.run_schedules(timestamptz) is
'Fires what is due of all schedules at a time, but what pg_cron is about to fire itself, and gives when to look again; null when there is '
'nothing. An error of one schedule is noted in it and does not hold up the others.';

-- --- pg_cron's jobs ---

create function flowforge.job_name(schedule flowforge.schedule) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select format('flowforge %s/%s %s', schedule.tenant_id, schedule.schedule_id, coalesce(schedule.name,
		(select f.slug from flowforge.function f where f.tenant_id = schedule.tenant_id and f.function_id = schedule.function_id)))
$$;
comment on function flowforge.job_name(flowforge.schedule) is 'The name of a schedule''s job in cron.job.';

create function flowforge.job_times(schedule flowforge.schedule) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case when coalesce(upper(current_setting('cron.timezone', true)), 'GMT') in ('GMT', 'UTC', 'ETC/UTC')
		then flowforge.cron_utc(schedule.cron) else '* * * * *' end
$$;
comment on function flowforge.job_times(flowforge.schedule) is
'When a schedule''s job runs, in pg_cron''s time zone; every minute where that is not UTC, which does nothing when nothing is due.';

create function flowforge.drop_jobs(but_current boolean default false) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	if to_regclass('cron.job') is null then
		return;
	end if;
	execute $q$
		select cron.unschedule(j.jobid)
		from cron.job j
		where j.jobname ~ '^flowforge \d+/\d+ ' and j.command ~ '^select flowforge\.run_schedule\(' and j.database = current_database()
			and not ($1 and j.jobid in (select s.job_id from flowforge.schedule s where flowforge.job_name(s) = j.jobname))
	$q$ using but_current;
end
$$;
comment on function flowforge.drop_jobs(boolean) is 'Removes the schedules'' jobs from pg_cron, or only those whose schedule is gone.';

create function flowforge.sync_jobs() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	if to_regclass('cron.job') is null or not exists (select from pg_extension e where e.extname = 'pg_cron') then
		update flowforge.schedule s set job_id = null where s.job_id is not null;
		return;
	end if;
	execute $q$
		with missing as (
			select s.tenant_id, s.schedule_id, cron.schedule(flowforge.job_name(s), flowforge.job_times(s),
				format('select flowforge.run_schedule(%s, %s)', s.tenant_id, s.schedule_id)) as job_id
			from flowforge.schedule s
			where not exists (
				select from cron.job j
				where j.jobid = s.job_id and j.jobname = flowforge.job_name(s) and j.schedule = flowforge.job_times(s)
					and j.database = current_database())
		)
		update flowforge.schedule s
		set job_id = m.job_id
		from missing m
		where s.tenant_id = m.tenant_id and s.schedule_id = m.schedule_id
	$q$;
	perform flowforge.drop_jobs(true);
end
$$;
comment on function flowforge.sync_jobs() is
'Makes pg_cron''s jobs what the schedules say; without pg_cron in this database (extension pg_cron, cron.database_name) nothing but the '
'executor''s clock fires them. Called after every change, and by an executor every hour.';

-- --- functions' triggers ---

create function flowforge.wanted_schedules(tenant integer, app uuid, function integer default null)
returns table (function_id integer, cron text, jitter interval, catch_up text, catch_up_window interval)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select distinct on (f.function_id, t.value ->> 'cron') f.function_id, t.value ->> 'cron',
		coalesce(flowforge.duration(t.value ->> 'jitter'), '0'), coalesce(t.value ->> 'catchUp', 'last'),
		coalesce(flowforge.duration(t.value ->> 'catchUpWindow'), '1 day')
	from flowforge.function f
	join flowforge.function_version v on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = f.version
	cross join lateral jsonb_array_elements(case jsonb_typeof(v.config -> 'triggers') when 'array' then v.config -> 'triggers' else '[]' end) t
	where f.tenant_id = tenant and (f.app_id = app or f.function_id = function) and f.archived_at is null
		and coalesce(t.value -> 'cron', 'null') not in ('null', '[]')
$$;
comment on function flowforge.wanted_schedules(integer, uuid, integer) is 'The schedules that the triggers of an app''s functions ask for.';

create function flowforge.store_schedules(tenant integer, app uuid, function integer default null) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	changed boolean;
begin
	delete from flowforge.schedule s
	using flowforge.function f
	where f.tenant_id = tenant and (f.app_id = app or f.function_id = function) and s.tenant_id = tenant and s.function_id = f.function_id
		and (s.function_id, s.cron) not in (select w.function_id, w.cron from flowforge.wanted_schedules(tenant, app, function) w);
	changed := found;
	insert into flowforge.schedule as s (tenant_id, function_id, cron, jitter, catch_up, catch_up_window)
	select tenant, w.function_id, w.cron, w.jitter, w.catch_up, w.catch_up_window
	from flowforge.wanted_schedules(tenant, app, function) w
	on conflict (tenant_id, function_id, cron) do update
	set jitter = excluded.jitter, catch_up = excluded.catch_up, catch_up_window = excluded.catch_up_window, next_run_at = null
	where (s.jitter, s.catch_up, s.catch_up_window) is distinct from (excluded.jitter, excluded.catch_up, excluded.catch_up_window);
	changed := changed or found;
	if changed then
		update flowforge.schedule s set next_run_at = flowforge.next_fire(s) where s.tenant_id = tenant and s.next_run_at is null;
		perform flowforge.sync_jobs();
	end if;
end
$$;
comment on function flowforge.store_schedules(integer, uuid, integer) is
'Makes the schedules of an app''s functions what their triggers say. One that stays keeps what it has fired.';

-- --- ff_schedule ---

create function flowforge.schedule_problem(
	name text, cron text, event text, data jsonb, jitter interval, catch_up text, catch_up_window interval
) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when name is null or not flowforge.is_id(name) then 'its name must have 1 to 255 bytes and no control characters'
		when event is null or event ~* '^(inngest|flowforge)/' or octet_length(event) not between 1 and 512 then
			'its event needs a name of 1 to 512 bytes that does not begin with inngest/ or flowforge/'
		when jsonb_typeof(data) is distinct from 'object' then 'the event''s data must be a JSON object'
		when jitter is null or jitter not between '0' and '1 day' then 'jitter must be from 0 to 1 day'
		when catch_up is null or catch_up not in ('skip', 'last', 'all') then 'catch_up must be skip, last or all'
		when catch_up_window is null or catch_up_window not between '0' and '31 days' then 'catch_up_window must be from 0 to 31 days'
	end
$$;
comment on function flowforge.schedule_problem(text, text, text, jsonb, interval, text, interval) is
'What is wrong with the arguments of ff_schedule, or null when nothing is.';

create function @extschema@.ff_schedule(
	name text, cron text, event text, data jsonb default '{}', jitter interval default '0', catch_up text default 'last',
	catch_up_window interval default '1 day'
) returns timestamptz
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	problem constant text := flowforge.schedule_problem(name, cron, event, data, jitter, catch_up, catch_up_window);
	s flowforge.schedule;
begin
	perform flowforge.require_role('member');
	if problem is not null then
		raise exception using errcode = 'FF302', message = format('the schedule "%s" cannot be made', name), detail = problem || '.',
			hint = 'For example: select ff_schedule(''nightly'', ''TZ=Europe/Paris 0 3 * * *'', ''report/nightly'');';
	end if;
	perform flowforge.cron_times(coalesce(cron, ''), now(), 'infinity', 1);
	insert into flowforge.schedule as x (tenant_id, name, event, data, cron, jitter, catch_up, catch_up_window)
	values (tenant, name, event, data, cron, jitter, catch_up, catch_up_window)
	on conflict on constraint schedule_tenant_id_name_key do update
	set event = excluded.event, data = excluded.data, cron = excluded.cron, jitter = excluded.jitter, catch_up = excluded.catch_up,
		catch_up_window = excluded.catch_up_window, last_at = case when x.cron = excluded.cron then x.last_at else excluded.last_at end
	returning * into s;
	s.next_run_at := flowforge.next_fire(s);
	update flowforge.schedule x set next_run_at = s.next_run_at where x.tenant_id = s.tenant_id and x.schedule_id = s.schedule_id;
	perform flowforge.sync_jobs();
	return s.next_run_at;
end
$$;
comment on function @extschema@.ff_schedule(text, text, text, jsonb, interval, text, interval) is
'Sends an event by the time. Takes a name (a schedule of that name is replaced), a cron schedule (five fields, six with seconds first, or '
'@hourly, @daily, @weekly, @monthly, @yearly; after an optional TZ=Area/City, else in UTC), the event and its data, a jitter (each event is '
'sent up to so much later), and what to do about instants missed while the server was down: skip them, send the last of them, or all, in both '
'cases of those within catch_up_window. Gives when it fires next. pg_cron fires it where it is installed in this database, the executors '
'otherwise; each instant once. Errors: FF301, FF302.';
revoke execute on function @extschema@.ff_schedule(text, text, text, jsonb, interval, text, interval) from public;

create function @extschema@.ff_unschedule(name text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	perform flowforge.require_role('member');
	delete from flowforge.schedule s where s.tenant_id = flowforge.current_tenant() and s.name = ff_unschedule.name;
	if not found then
		raise exception using errcode = 'FF303', message = format('there is no schedule "%s"', name),
			hint = 'flowforge.schedules lists them; those of functions go with the function''s trigger.';
	end if;
	perform flowforge.sync_jobs();
end
$$;
comment on function @extschema@.ff_unschedule(text) is 'Removes a schedule made by ff_schedule, by its name. Error: FF303.';
revoke execute on function @extschema@.ff_unschedule(text) from public;

create view flowforge.schedules with (security_invoker = true) as
select s.tenant_id, s.schedule_id, s.name, f.slug as function, s.event, s.data, s.cron, s.jitter, s.catch_up, s.catch_up_window,
	s.last_at, s.next_run_at, case when s.job_id is null then 'executor' else 'pg_cron' end as fired_by, s.job_id, s.last_error
from flowforge.schedule s
left join flowforge.function f on f.tenant_id = s.tenant_id and f.function_id = s.function_id;
comment on view flowforge.schedules is
'Everything that is started by the time: functions with a cron trigger and the events of ff_schedule; the last instant that was dealt with, '
'when the next fires (jitter included), who fires it, and why it could not be fired the last time.';

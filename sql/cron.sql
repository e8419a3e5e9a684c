-- Schedules: when cron expressions are due, and what is fired at a given instant. Nothing here waits for the time to come.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;
set timezone = 'UTC';
create function pg_temp.next(cron text, after timestamptz, count integer default 3) returns text
language sql as $$
	select string_agg(to_char(t at time zone 'UTC', 'MM-DD HH24:MI:SS'), ', ' order by t) from flowforge.cron_times(cron, after, 'infinity', count) t
$$;

-- Fields, lists, ranges, steps, names, descriptors, seconds.
select c.cron, pg_temp.next(c.cron, '2026-01-30 10:07:30Z')
from unnest(array['* * * * *', '*/15 * * * *', '0 9 * * 1', '0 9-17/4 * * mon-fri', '5,10 0 1 jan,jul *', '0 0 * * 7', '@hourly', '@daily', '@weekly', '@monthly',
	'@yearly', '@annually', '@midnight', '*/20 * * * * *', '30 5 4 * * ?', '0 0 29 2 *', '0 0 L * *', '0 0 * * 5#2', '0 0 * * 5L', '0 0 13 * 5', '0 0 */10 * 1',
	'  TZ=Europe/Paris   0 9 * * 1 ', 'CRON_TZ=Asia/Kolkata 0 9 * * *', '10/20 * * * *']) with ordinality c (cron, n)
order by n;
-- What is wrong is said.
select c.cron, flowforge.check_cron(c.cron)
from unnest(array['', '* * * *', '* * * * * * *', '60 * * * *', '* 24 * * *', '* * 0 * *', '* * * 13 *', '* * * * 8', '*/0 * * * *', '5-1 * * * *', '1-2-3 * * * *',
	'a * * * *', '* * * foo *', ', * * * *', '0 0 30 2 *', '@every 5m', '@reboot', 'TZ=Mars/Olympus 0 0 * * *', 'TZ= 0 0 * * *', '0 0 * * 1#6', '-1 * * * *', '1e1 * * * *',
	E'0 0 * * *\n', '0 0 1W * *']) with ordinality c (cron, n)
order by n;
select flowforge.check_cron(repeat('1,', 200) || '1 * * * *') ~ 'it is longer than 255 bytes';
select * from flowforge.cron_times('nonsense', now(), 'infinity', 1);

-- Clocks go forward: what they skip runs once, when as much time has passed. Clocks go back: what they show twice runs once, the first time.
select pg_temp.next('TZ=Europe/Paris 30 2 * * *', '2026-03-28 00:00Z') as skipped, pg_temp.next('TZ=Europe/Paris 30 2 * * *', '2026-10-23 12:00Z') as repeated;
select pg_temp.next('TZ=Europe/Paris 0,30 1-3 * * *', '2026-03-28 23:30Z', 6) as forward, pg_temp.next('TZ=Europe/Paris 0,30 1-3 * * *', '2026-10-24 22:30Z', 7) as back;
-- With any hour it is time that passes that counts.
select pg_temp.next('TZ=Europe/Paris 30 * * * *', '2026-03-29 00:00Z', 3) as forward, pg_temp.next('TZ=Europe/Paris 30 * * * *', '2026-10-24 23:00Z', 4) as back;
-- Half an hour (Lord Howe), midnight (Havana), another hemisphere.
select pg_temp.next('TZ=Australia/Lord_Howe 45 1 * * *', '2026-04-03 20:00Z', 3) as back, pg_temp.next('TZ=Australia/Lord_Howe 15 2 * * *', '2026-10-02 20:00Z', 3) as forward,
	pg_temp.next('TZ=America/Havana 30 0 * * *', '2026-03-07 12:00Z', 3) as midnight;
-- Every day of twenty years has one instant, in zones with and without such days.
select z.zone, count(*), count(distinct (t at time zone z.zone)::date) as days, bool_and(t > before) as ascending
from unnest('{Europe/Paris,America/New_York,America/Havana,Africa/Casablanca,Asia/Kolkata,UTC}'::text[]) as z (zone)
cross join lateral (select t, lag(t, 1, '-infinity') over (order by t) as before
	from flowforge.cron_times('TZ=' || z.zone || ' 30 2 * * *', '2010-01-01 12:00Z', '2030-01-01 12:00Z', 100000) t) t
group by 1 order by 1;
-- What pg_cron is told, in UTC.
select c.cron, flowforge.cron_utc(c.cron)
from unnest(array['* * * * *', '0 9 * * 1-5', '0 0 L * *', 'TZ=Europe/Paris 0 9 * * 1', 'TZ=Asia/Kolkata 0,15 9 * * *', '*/10 * * * * *', 'TZ=Australia/Lord_Howe 0 12 * * *']) with ordinality c (cron, n)
order by n;

-- Functions with cron triggers have schedules; each fires once an instant, whoever looks and how often.
create function pg_temp.register(variadic functions jsonb[]) returns text
language sql as $$
	select ff_register_app('http://127.0.0.1:9/cron', 'cron', to_jsonb(functions)) ->> 'modified'
$$;
create function pg_temp.runs(wanted text) returns table (id text, data jsonb)
language sql as $$
	select e.external_id, e.data from flowforge.run r join flowforge.function f using (tenant_id, function_id) join flowforge.event e using (tenant_id, event_id)
	where f.slug = wanted order by e.ts
$$;
select pg_temp.register('{"id": "c-daily", "triggers": [{"cron": "TZ=Europe/Paris 0 9 * * *"}, {"event": "c/x"}]}', '{"id": "c-skip", "triggers": [{"cron": "0 * * * *", "catchUp": "skip"}]}',
	'{"id": "c-all", "triggers": [{"cron": "0 * * * *", "catchUp": "all", "catchUpWindow": "3h"}, {"cron": "30 12 * * *"}]}', '{"id": "c-last", "triggers": [{"cron": "0 * * * *"}]}');
select function, cron, catch_up, catch_up_window, next_run_at > now() as ahead, fired_by from flowforge.schedules order by 1, 2;
select function, jsonb_path_query_array(triggers, '$[*].keyvalue().key') from flowforge.functions where app = 'cron' order by 1;
-- As if it were another day.
update flowforge.schedule set last_at = '2023-06-01 00:00Z', next_run_at = '2023-06-01 00:00Z';
update flowforge.schedule s set next_run_at = flowforge.next_fire(s);
select flowforge.run_schedules('2023-06-01 00:30Z');
select count(*) from flowforge.run;
select flowforge.run_schedules('2023-06-01 01:00:02Z');
select flowforge.run_schedules('2023-06-01 01:00:02Z');
select flowforge.run_schedules('2023-06-01 00:59Z');
select f.slug, count(*) from flowforge.run r join flowforge.function f using (tenant_id, function_id) group by 1 order by 1;
select * from pg_temp.runs('c-all');
-- The server was down from 1:00 to 7:30.
select flowforge.run_schedules('2023-06-01 07:30Z');
select w.slug, array(select id from pg_temp.runs(w.slug)) as ids from unnest('{c-daily,c-skip,c-all,c-last}'::text[]) as w (slug);
-- Time goes on as if nothing had been.
select flowforge.run_schedules('2023-06-01 08:00:10Z');
select w.slug, array(select id from pg_temp.runs(w.slug)) as ids from unnest('{c-daily,c-skip,c-all,c-last}'::text[]) as w (slug);
-- Months later.
select flowforge.run_schedules('2023-09-01 12:00Z') > '2023-09-01 12:00Z';
select w.slug, array(select id from pg_temp.runs(w.slug)) as ids from unnest('{c-daily,c-skip,c-all,c-last}'::text[]) as w (slug);
-- A second's schedule that was down for a month does not go through every second of it; what is not due yet stays.
select ff_schedule('each', '* * * * * *', 'a/each', catch_up_window => '31 days'), ff_schedule('soon', '0 0 * * *', 'a/soon', jitter => '1 day', catch_up => p)
from unnest('{skip}'::text[]) p \gset
update flowforge.schedule set last_at = '2023-07-01 00:00Z', next_run_at = '2023-07-01 00:00:01Z' where name in ('each', 'soon');
select name, flowforge.due_since(s, '2023-08-01 00:00Z') from flowforge.schedule s where name in ('each', 'soon') order by 1;
select name, flowforge.run_schedule(tenant_id, schedule_id, '2023-08-01 00:00Z') from flowforge.schedule where name in ('each', 'soon') order by 1;
select name, last_at, next_run_at > '2023-08-01 00:00Z' as ahead from flowforge.schedules where name in ('each', 'soon') order by 1;
select ff_unschedule('each'), ff_unschedule('soon') \gset
-- A window of nothing still fires what is on time.
select ff_schedule('now', '* * * * *', 'a/now', catch_up => p, catch_up_window => '0') from unnest('{last}'::text[]) p \gset
update flowforge.schedule set last_at = '2023-07-01 00:00Z' where name = 'now';
select flowforge.run_schedule(tenant_id, schedule_id, '2023-07-01 00:03:00.5Z'), flowforge.run_schedule(tenant_id, schedule_id, '2023-07-01 00:04:00.2Z') from flowforge.schedule where name = 'now';
select last_at from flowforge.schedules where name = 'now';
select ff_unschedule('now') \gset
-- An instant that was fired is not fired again, even if the row has forgotten.
update flowforge.schedule set last_at = '2023-09-01 11:30Z', next_run_at = '2023-09-01 12:00Z';
select flowforge.run_schedule(tenant_id, schedule_id, '2023-09-01 12:00Z') from flowforge.schedule;
-- Registering again keeps what was fired; a trigger that goes takes its schedule along.
select pg_temp.register('{"id": "c-daily", "name": "d", "triggers": [{"cron": "TZ=Europe/Paris 0 9 * * *"}]}', '{"id": "c-all", "triggers": [{"cron": "0 * * * *", "jitter": "10s"}]}');
select function, cron, jitter, catch_up, last_at from flowforge.schedules order by 1;
select flowforge.run_schedule(1, 4711);
-- Jitter: within its bound, spread, and the same for the same instant.
select count(distinct j) > 50 as spread, min(j) >= '0' and max(j) < '10 s' as bounded
from flowforge.schedule s join flowforge.function f using (tenant_id, function_id), generate_series(now(), now() + interval '4 days', '1 hour') t, flowforge.jitter_of(s, t) j where f.slug = 'c-all';
select pg_temp.register('{"id": "c-bad", "triggers": [{"cron": "61 * * * *"}]}');
select pg_temp.register('{"id": "c-bad", "triggers": [{"cron": "0 * * * *", "jitter": "2d"}]}');
select pg_temp.register('{"id": "c-bad", "triggers": [{"cron": "0 * * * *", "catchUp": "some"}]}');
select pg_temp.register('{"id": "c-bad", "triggers": [{"cron": "0 * * * *", "catchUpWindow": "2026-01-01T00:00:00Z"}]}');

-- An app that is removed takes its schedules along.
select ff_register_app('http://127.0.0.1:9/gone', 'gone', '[{"id": "g-cron", "triggers": [{"cron": "@daily"}]}]') ->> 'app_id' as gone \gset
select count(*) from flowforge.schedules where function = 'g-cron';
select flowforge.remove_app(:'gone'), (select count(*) from flowforge.schedules where function = 'g-cron');
select count(*) from flowforge.schedules where function = 'g-cron';

-- ff_schedule sends an event, which starts whatever it triggers.
select ff_register_app('http://127.0.0.1:9/e', 'cronevent', '[{"id": "e-report", "triggers": [{"event": "report/*", "expression": "event.data.kind == ''nightly''"}]}]') ->> 'modified';
select ff_schedule('nightly', 'TZ=Europe/Paris 0 3 * * *', 'report/go', '{"kind": "nightly"}') > now();
update flowforge.schedule set last_at = '2023-06-01 00:00Z' where name = 'nightly';
update flowforge.schedule s set next_run_at = flowforge.next_fire(s) where name = 'nightly';
select flowforge.run_schedule(tenant_id, schedule_id, '2023-06-01 01:00Z') from flowforge.schedule where name = 'nightly';
select e.name, e.external_id, e.data, e.ts, r.run_id is not null as started from flowforge.event e left join flowforge.run r using (tenant_id, event_id) where e.name = 'report/go';
-- Replaced, it goes on from where it is; with other times it begins anew.
select ff_schedule('nightly', 'TZ=Europe/Paris 0 3 * * *', 'report/other') > now();
select event, data, last_at from flowforge.schedules where name = 'nightly';
select ff_schedule('nightly', '*/5 * * * *', 'report/other', jitter => '1 min') > now();
select cron, jitter, last_at > now() - interval '1 min' as anew from flowforge.schedules where name = 'nightly';
select ff_schedule('bad', 'x', 'a/b');
select ff_schedule('bad', null, 'a/b');
select ff_schedule('', '@daily', 'a/b');
select ff_schedule('bad', '@daily', 'inngest/x');
select ff_schedule('bad', '@daily', 'a/b', '[]');
select ff_schedule('bad', '@daily', 'a/b', jitter => '2 days');
select ff_schedule('bad', '@daily', 'a/b', catch_up => 'x');
select ff_schedule('bad', '@daily', 'a/b', catch_up_window => '-1 s');
select ff_unschedule('nightly');
select ff_unschedule('nightly');
-- An event that cannot be sent does not hold up the others, and the schedule says why.
select ff_schedule('broken', '* * * * *', 'a/b') > now();
select ff_schedule('whole', '* * * * *', 'a/c') > now();
update flowforge.schedule set event = 'a/b', data = '[1]', last_at = '2023-06-01 00:00Z', next_run_at = '2023-06-01 00:01Z' where name = 'broken';
update flowforge.schedule set last_at = '2023-06-01 00:00Z', next_run_at = '2023-06-01 00:01Z' where name = 'whole';
alter table flowforge.event add constraint object check (data <> '[1]');
select flowforge.run_schedules('2023-06-01 00:01Z');
select name, last_at, next_run_at, last_error from flowforge.schedules where name is not null order by name;
alter table flowforge.event drop constraint object;

-- pg_cron's jobs follow the schedules, and go with them.
set client_min_messages = warning;
create extension pg_cron;
reset client_min_messages;
select flowforge.sync_jobs();
select jobname, schedule, command, database = current_database() as here, active from cron.job order by jobname;
select name, function, fired_by from flowforge.schedules order by schedule_id;
select ff_schedule('soon', '*/10 8 1 1 *', 'a/d') > now(), ff_unschedule('whole'), ff_unschedule('broken');
select pg_temp.register('{"id": "c-all", "triggers": [{"cron": "0 * * * *"}]}');
select jobname, schedule, command from cron.job order by jobname;
-- A job's body is what it says; a minute that is due is left to pg_cron for five seconds.
update flowforge.schedule set last_at = '2023-06-01 00:00Z', next_run_at = '2023-06-01 00:00:30Z', cron = '30 0 0 * * *' where name = 'soon';
update flowforge.schedule set last_at = '2023-05-31 23:00Z', next_run_at = '2023-06-01 00:00Z', jitter = '0' where function_id is not null;
select flowforge.run_schedules('2023-06-01 00:00:03Z') as look_again;
select function, last_at from flowforge.schedules where function is not null;
select flowforge.run_schedules('2023-06-01 00:00:05Z') as look_again;
select function, last_at from flowforge.schedules where function is not null;
select command as body from cron.job where jobname ~ 'c-all' \gset
:body;
-- Jobs of others stay; ours go with the extension.
select cron.schedule('flowforge 1/1 theirs', '0 0 1 1 *', 'select 1') > 0;
drop extension flowforge cascade;
select jobname from cron.job;
drop extension pg_cron;
create extension flowforge;

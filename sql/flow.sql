-- Flow control as senders meet it: which events start a run, and what is said of those that do not.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;
\pset format unaligned
\pset tuples_only on
set timezone = 'UTC';

-- One function with some settings, started by the event flow/<name>.
create function pg_temp.function(name text, config jsonb) returns boolean
language sql as $$
	select (ff_register_app('http://127.0.0.1:9/api', 'flow-' || name, jsonb_build_array(jsonb_build_object('id', 'flow-' || name,
		'triggers', jsonb_build_array(jsonb_build_object('event', 'flow/' || name))) || config)) -> 'ok')::boolean
$$;
create function pg_temp.send(name text, variadic data jsonb[]) returns bigint
language sql as $$
	select count(*) from ff_send_events((select jsonb_agg(jsonb_build_object('name', 'flow/' || name, 'data', d)) from unnest(data) d))
$$;
create function pg_temp.runs(name text) returns text
language sql as $$
	select string_agg(e.data::text, ' ' order by r.run_id)
	from flowforge.runs r join flowforge.event e on e.tenant_id = r.tenant_id and e.event_id = r.event_id where r.function = 'flow-' || $1
$$;
-- What was skipped: whether the run it names is one of the function's, not which.
create function pg_temp.skips(name text) returns text
language sql as $$
	select string_agg(concat_ws(' ', e.data::text, s.reason, s.detail - 'run', (
			select 'because of ' || (select x.data::text from flowforge.event x where x.event_id = r.event_id)
			from flowforge.runs r where r.ulid = s.detail ->> 'run')), E'\n' order by s.event_id)
	from flowforge.skipped_runs s join flowforge.event e on e.event_id = s.event_id
	where s.function = 'flow-' || $1
$$;
-- There are no executors here: a run ends because we say so, as its owner would.
create function pg_temp.finish(name text, release boolean default true) returns bigint
language sql as $$
	with gone as (
		delete from flowforge.run_hot h using flowforge.functions f where f.function = 'flow-' || $1 and h.function_id = f.function_id
		returning h.tenant_id, h.run_id
	), ended as (
		insert into flowforge.run_end (tenant_id, run_id, status, ended_at) select g.tenant_id, g.run_id, 'cancelled', now() from gone g returning run_id
	), released as (
		delete from flowforge.flow_single s using gone g where release and s.run_id = g.run_id
	)
	select count(*) from ended
$$;

-- idempotency: one run a value, whichever way the value is written.
select pg_temp.function('once', '{"idempotency": "event.data.id"}');
select pg_temp.send('once', '{"id": 1}');
select pg_temp.send('once', '{"id": 1.0, "again": 1}'), pg_temp.send('once', '{"id": "1"}'), pg_temp.send('once', '{"id": 2}', '{"id": 3}', '{"id": 2, "again": 2}', '{"id": 1, "again": 3}');
select pg_temp.send('once', '{}'), pg_temp.send('once', '{"id": null}');
select pg_temp.runs('once');
select pg_temp.skips('once');
select count(*), bool_and(o.expires_at between now() + interval '23 h 59 min' and now() + interval '24 h 1 min') from flowforge.flow_once o;
-- A rolled back event has used nothing.
begin;
select pg_temp.send('once', '{"id": 4}');
rollback;
select pg_temp.send('once', '{"id": 4, "second": true}');
select pg_temp.runs('once');
-- After 24 hours a value counts anew.
update flowforge.flow_once set expires_at = now() - interval '1 s' where key = '1';
select pg_temp.send('once', '{"id": 1, "next day": true}'), pg_temp.send('once', '{"id": 1, "next day": "again"}');
select pg_temp.runs('once');
-- A long value is known by its digest.
select pg_temp.send('once', jsonb_build_object('id', repeat('x', 1000))), pg_temp.send('once', jsonb_build_object('id', repeat('x', 1000), 'again', true));
select key from flowforge.flow_once where key like 'sha256:%';
select detail ->> 'key' from flowforge.skipped_runs where function = 'flow-once' and detail ->> 'key' like 'sha256:%';

-- rateLimit: so many in a period, by key; the first ones of a call.
select pg_temp.function('rate', '{"rateLimit": {"limit": 2, "period": "1h", "key": "event.data.c"}}');
select pg_temp.send('rate', '{"c": "a", "n": 1}', '{"c": "b", "n": 2}', '{"c": "a", "n": 3}', '{"c": "a", "n": 4}'), pg_temp.send('rate', '{"c": "b", "n": 5}'), pg_temp.send('rate', '{"c": "b", "n": 6}');
select pg_temp.runs('rate');
select pg_temp.skips('rate');
-- Runs count as made at the instants that count.
select bool_and(exists (select from flowforge.flow_rate f cross join unnest(f.starts) u where to_timestamp(u / 1e6) = r.created_at)) from flowforge.runs r where r.function = 'flow-rate';
-- A higher limit holds at once, for what has been before, too.
select pg_temp.function('rate', '{"rateLimit": {"limit": 3, "period": "1h", "key": "event.data.c"}}');
select pg_temp.send('rate', '{"c": "a", "n": 7}', '{"c": "a", "n": 8}');
select pg_temp.runs('rate');
-- The oldest start leaves the window: there is room for one.
update flowforge.flow_rate set starts[1] = starts[1] - 3600000000 where key = '"a"';
select pg_temp.send('rate', '{"c": "a", "n": 9}', '{"c": "a", "n": 10}', '{"c": "a", "n": 11}');
select pg_temp.runs('rate');
select key, array_length(starts, 1), granted, most, period from flowforge.flow_rate order by key;
-- Shorthand, and the other name.
select pg_temp.function('short', '{"rate": "2/min"}');
select pg_temp.send('short', '{"n": 1}', '{"n": 2}', '{"n": 3}', '{"n": 4}');
select pg_temp.runs('short');
-- A high limit keeps 64 parts, and never lets more pass.
select pg_temp.function('many', '{"rateLimit": {"limit": 1000, "period": "24h"}}');
select count(*) from ff_send_events((select jsonb_agg(jsonb_build_object('name', 'flow/many', 'data', jsonb_build_object('n', n))) from generate_series(1, 700) n));
select count(*) from ff_send_events((select jsonb_agg(jsonb_build_object('name', 'flow/many', 'data', jsonb_build_object('n', n))) from generate_series(1, 700) n));
select (select count(*) from flowforge.runs where function = 'flow-many'), (select count(*) from flowforge.skipped_runs where function = 'flow-many');

-- What a rate grants, by hand: parts end after the instant, old starts are forgotten.
select t.granted, array_length(t.starts_after, 1), to_timestamp(t.starts_after[1] / 1e6) > t.at, to_timestamp(t.starts_after[1] / 1e6) <= t.at + interval '1 min'
from flowforge.rate_take(null, 5, 100, '64 min') t;
select t.granted, array_length(t.starts_after, 1) from flowforge.rate_take(array[0, 100], 5, 100, '64 min') t;
select t.granted from flowforge.rate_take(array[(extract(epoch from now()) * 1000000)::bigint, 98], 5, 100, '64 min') t;

-- singleton, skip: one live run a key.
select pg_temp.function('skip', '{"singleton": {"mode": "skip", "key": "event.data.c"}}');
select pg_temp.send('skip', '{"c": 1, "n": 1}', '{"c": 2, "n": 2}', '{"c": 1, "n": 3}'), pg_temp.send('skip', '{"c": 1, "n": 4}'), pg_temp.send('skip', '{"c": 3, "n": 5}');
select pg_temp.runs('skip');
select pg_temp.skips('skip');
select pg_temp.finish('skip');
select pg_temp.send('skip', '{"c": 1, "n": 6}'), pg_temp.send('skip', '{"c": 1, "n": 7}');
-- A row that its run has left behind holds nobody up.
select pg_temp.finish('skip', false);
select key from flowforge.flow_single order by key;
select pg_temp.send('skip', '{"c": 1, "n": 8}'), pg_temp.send('skip', '{"c": 1, "n": 9}');
select pg_temp.runs('skip');
-- Runs that are started by name start, and have no key.
select ff_run('flow-skip', '{"c": 1}') is not null, ff_run('flow-skip', '{"c": 7}') is not null;
select pg_temp.send('skip', '{"c": 7, "n": 10}');
select pg_temp.runs('skip');

-- A run that is retried has its key again, unless another run has.
select run_id as failed from flowforge.flow_single where key = '7' \gset
select pg_temp.finish('skip') > 0;
select ff_retry(:'failed');
select pg_temp.send('skip', '{"c": 7, "n": 11}');
select run_id = :'failed' from flowforge.flow_single where key = '7';
select pg_temp.finish('skip') > 0;
select pg_temp.send('skip', '{"c": 7, "n": 12}');
select ff_retry(:'failed');
select run_id = :'failed' from flowforge.flow_single where key = '7';
select pg_temp.runs('skip');

-- singleton, cancel: the new run starts and the old one is told to end.
select pg_temp.function('cancel', '{"singleton": {"mode": "cancel"}}');
select pg_temp.send('cancel', '{"n": 1}'), pg_temp.send('cancel', '{"n": 2}', '{"n": 3}');
select pg_temp.runs('cancel');
select pg_temp.skips('cancel');
select e.data, i.kind, regexp_replace(i.payload::text, '[0-9A-Z]{26}', '<run>') from flowforge.inbox i join flowforge.run r on r.run_id = i.run_id join flowforge.event e on e.event_id = r.event_id;
select e.data from flowforge.flow_single s join flowforge.run r on r.run_id = s.run_id join flowforge.event e on e.event_id = r.event_id where s.key = '';
-- When it has ended already nobody is told.
select pg_temp.finish('cancel', false);
select pg_temp.send('cancel', '{"n": 4}');
select count(*) from flowforge.inbox;
-- Twice in one transaction.
begin;
select pg_temp.send('cancel', '{"n": 5}');
select pg_temp.send('cancel', '{"n": 6}');
commit;
select count(*) from flowforge.inbox;
select e.data from flowforge.flow_single s join flowforge.run r on r.run_id = s.run_id join flowforge.event e on e.event_id = r.event_id where s.key = '';

-- What one rule refuses uses up nothing of the others.
select pg_temp.function('all', '{"idempotency": "event.data.id", "singleton": {"mode": "skip", "key": "event.data.c"}, "rateLimit": {"limit": 2, "period": "1h"}}');
select pg_temp.send('all', '{"id": 1, "c": 1}'), pg_temp.send('all', '{"id": 2, "c": 1}'), pg_temp.send('all', '{"id": 1, "c": 2}'), pg_temp.send('all', '{"id": 3, "c": 3}'), pg_temp.send('all', '{"id": 4, "c": 4}');
select pg_temp.runs('all');
select pg_temp.skips('all');
select o.key from flowforge.flow_once o join flowforge.functions f using (function_id) where f.function = 'flow-all' order by o.key;
select s.key from flowforge.flow_single s join flowforge.functions f using (function_id) where f.function = 'flow-all' order by s.key;
select f.starts[2] from flowforge.flow_rate f join flowforge.functions g using (function_id) where g.function = 'flow-all';

-- One event and two functions: each has rules of its own.
select ff_register_app('http://127.0.0.1:9/api', 'flow-two', '[{"id": "flow-two", "triggers": [{"event": "flow/two"}], "idempotency": "event.data.id"}, {"id": "flow-free", "triggers": [{"event": "flow/two"}]}]') -> 'ok';
select pg_temp.send('two', '{"id": 1}', '{"id": 1, "n": 2}'), pg_temp.send('two', '{"id": 1, "n": 3}');
select pg_temp.runs('two'), pg_temp.runs('free');

-- The API shows what an event did not start.
select ff_send_event('flow/two', '{"id": 1, "n": 4}') as event \gset
select jsonb_array_length(b -> 'data'), jsonb_path_query_array(b, '$.skipped[*].reason'), b #> '{skipped,0,detail,key}', b #> '{skipped,0,function}'
from (select convert_from(s.body, 'UTF8')::jsonb as b from flowforge.serve('GET', '/api/v1/events/' || :'event' || '/runs', '', '{}', null) s) x;

-- 5,000 events are one statement a table.
create extension if not exists pg_stat_statements;
select ff_register_app('http://127.0.0.1:9/api', 'flow-bulk', '[{"id": "flow-bulk", "triggers": [{"event": "flow/bulk"}], "idempotency": "event.data.id", "singleton": {"mode": "cancel", "key": "event.data.n % 1000"}, "rateLimit": {"limit": 3, "period": "1h", "key": "event.data.n % 100"}}]') -> 'ok';
select jsonb_agg(jsonb_build_object('name', 'flow/bulk', 'data', jsonb_build_object('id', n % 4000, 'n', n))) as bulk from generate_series(1, 5000) n \gset
select count(*) from ff_send_events('[{"name": "flow/bulk", "data": {"id": 1, "n": 1}}, {"name": "flow/bulk", "data": {"id": 2, "n": 2}}]');
select pg_stat_statements_reset() is not null;
select count(*) from ff_send_events(:'bulk');
select max(calls) from pg_stat_statements where query ~ 'flow_|run_skip|inbox|into flowforge.run ' and query !~ 'pg_stat_statements';
select count(*), count(distinct (e.data ->> 'n')::integer % 1000) from flowforge.runs r join flowforge.event e on e.event_id = r.event_id where r.function = 'flow-bulk';
select reason, count(*) from flowforge.skipped_runs where function = 'flow-bulk' group by reason order by reason;
-- A function without flow control asks nothing of it.
select pg_temp.function('none', '{}');
select pg_temp.send('none', '{}');
select pg_stat_statements_reset() is not null;
select pg_temp.send('none', '{}', '{}');
select count(*) from pg_stat_statements where query ~ 'flowforge.flow_|run_skip' and query !~ 'pg_stat_statements';

-- priority: seconds of head start, within bounds, for runs that are started by name, too.
select pg_temp.function('first', '{"priority": {"run": "event.data.p"}}');
select pg_temp.send('first', '{"p": 120}', '{"p": -5.5}', '{"p": 601}', '{"p": -1e30}', '{"p": "x"}', '{}');
select ff_run('flow-first', '{"p": 60}') is not null;
select e.data -> 'p', round(extract(epoch from flowforge.id_time(h.run_id) - h.rank), 1)
from flowforge.run_hot h join flowforge.functions f using (function_id) join flowforge.event e on e.event_id = h.event_id where f.function = 'flow-first' order by h.run_id;

-- What is over is forgotten.
update flowforge.flow_once set expires_at = now() - interval '1 s';
update flowforge.flow_rate set at = at - interval '3 days';
select pg_temp.finish('all', false), pg_temp.finish('bulk', false) > 0;
select flowforge.forget_flows();
select (select count(*) from flowforge.flow_once), (select count(*) from flowforge.flow_rate), (select count(*) from flowforge.flow_single s where not flowforge.is_live(s.tenant_id, s.run_id)),
	(select count(*) from flowforge.flow_single) > 0;
-- What was skipped is kept by days, as events are.
select flowforge.maintain('run_skip', 1, '30 days') >= 2;
select count(*) > 0 from only flowforge.run_skip_default;
select count(*) > 0 from flowforge.run_skip;
delete from flowforge.inbox;
select ff_register_app('http://127.0.0.1:9/api', a.name, '[]') -> 'ok' from flowforge.app a where a.name like 'flow-%';

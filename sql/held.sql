-- debounce and batchEvents: what is held back, when it starts, and with which events. There are no executors here: time passes because we
-- say so, and flowforge.start_due() is called as the executor that keeps the clock calls it.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;
\pset format unaligned
\pset tuples_only on
set timezone = 'UTC';

create function pg_temp.function(name text, config jsonb) returns boolean
language sql as $$
	select (ff_register_app('http://127.0.0.1:9/api', 'held-' || name, jsonb_build_array(jsonb_build_object('id', 'held-' || name,
		'triggers', jsonb_build_array(jsonb_build_object('event', 'held/' || name))) || config)) -> 'ok')::boolean
$$;
create function pg_temp.send(name text, variadic data jsonb[]) returns bigint
language sql as $$
	select count(*) from ff_send_events((select jsonb_agg(jsonb_build_object('name', 'held/' || name, 'data', d)) from unnest(data) d))
$$;
create function pg_temp.numbers(name text, first integer, last integer) returns bigint
language sql as $$
	select count(*) from ff_send_events((select jsonb_agg(jsonb_build_object('name', 'held/' || name, 'data', jsonb_build_object('n', i)) order by i)
		from generate_series(first, last) i))
$$;
create function pg_temp.n(events uuid[]) returns text
language sql as $$
	select string_agg(e.data ->> 'n', ' ' order by i.place) from unnest(events) with ordinality i (event_id, place) join flowforge.event e using (event_id)
$$;
-- The events of each run, oldest run first.
create function pg_temp.runs(name text) returns text
language sql as $$
	select string_agg(pg_temp.n(flowforge.events_of_run(r.tenant_id, r.run_id, r.event_id)), ' | ' order by r.run_id)
	from flowforge.runs r where r.function = 'held-' || $1
$$;
create function pg_temp.held(name text) returns text
language sql as $$
	select string_agg(concat_ws(' ', h.kind, nullif(s.key, ''), 'of', pg_temp.n(h.event_ids), 'in', extract(epoch from date_trunc('second', h.due_at - h.first_at))), E'\n'
		order by s.key)
	from flowforge.held_starts s
	join flowforge.function f on f.tenant_id = s.tenant_id and f.slug = s.function
	join flowforge.held_start h on h.tenant_id = f.tenant_id and h.function_id = f.function_id and h.kind = s.kind and h.key = s.key
	where s.function = 'held-' || $1
$$;
create function pg_temp.skips(name text) returns text
language sql as $$
	select string_agg(concat_ws(' ', s.reason, e.data ->> 'n', 'for', (select x.data ->> 'n' from flowforge.events x where x.ulid = s.detail ->> 'event')), ', ' order by s.event_id)
	from flowforge.skipped_runs s join flowforge.event e on e.event_id = s.event_id where s.function = 'held-' || $1
$$;
create function pg_temp.pass(span interval) returns integer
language sql as $$
	update flowforge.held_start h set first_at = h.first_at - span, due_at = h.due_at - span, latest_at = h.latest_at - span, look_at = h.look_at - span;
	select started from flowforge.start_due()
$$;

-- The latest event of each key wins after a quiet period.
select pg_temp.function('last', '{"debounce": {"period": "10s", "key": "event.data.k"}}');
select pg_temp.send('last', '{"n": 1, "k": "a"}', '{"n": 2, "k": "b"}', '{"n": 3, "k": "a"}');
select pg_temp.held('last');
select pg_temp.pass('6 s'), pg_temp.send('last', '{"n": 4, "k": "a"}');
select pg_temp.held('last');
-- b is due, a has been looked at and is not.
select pg_temp.pass('5 s'), pg_temp.runs('last');
select pg_temp.held('last'), look_at = due_at from flowforge.held_start;
select pg_temp.pass('6 s'), pg_temp.runs('last');
select pg_temp.skips('last');
select count(*) from flowforge.held_start;
select next_at is null from flowforge.start_due();
-- The timeout counts from the first event.
select pg_temp.function('bound', '{"debounce": {"period": "10s", "timeout": "25s"}}');
select pg_temp.numbers('bound', 1, 1), pg_temp.pass('9 s'), pg_temp.numbers('bound', 2, 2), pg_temp.pass('9 s'), pg_temp.numbers('bound', 3, 3);
select pg_temp.held('bound'), pg_temp.pass('6 s'), pg_temp.runs('bound');
select pg_temp.numbers('bound', 4, 4), pg_temp.pass('1 s'), pg_temp.runs('bound');
-- A rolled back event is held by nothing, and supersedes nothing.
select pg_temp.function('undo', '{"debounce": {"period": "2s"}}');
select pg_temp.numbers('undo', 1, 1);
begin;
select pg_temp.numbers('undo', 2, 2);
select pg_temp.held('undo');
rollback;
select pg_temp.held('undo'), pg_temp.skips('undo');
select pg_temp.pass('3 s'), pg_temp.runs('undo');
-- A long key is known by its digest.
select pg_temp.function('long', '{"debounce": {"period": "2s", "key": "event.data.k"}}');
select pg_temp.send('long', jsonb_build_object('n', 1, 'k', repeat('x', 100000)), jsonb_build_object('n', 2, 'k', repeat('x', 100000)), jsonb_build_object('n', 3, 'k', repeat('x', 100001)));
select count(*), bool_and(key ~ '^sha256:') from flowforge.held_starts where function = 'held-long';
select pg_temp.pass('3 s'), pg_temp.runs('long') in ('2 | 3', '3 | 2');
-- Rate limits come before: an event that may start nothing supersedes nothing.
select pg_temp.function('rated', '{"debounce": {"period": "2s"}, "rateLimit": {"limit": 2, "period": "1h"}}');
select pg_temp.numbers('rated', 1, 2), pg_temp.numbers('rated', 3, 3);
select pg_temp.held('rated'), pg_temp.skips('rated');
select pg_temp.pass('3 s'), pg_temp.runs('rated');
-- Singletons come after: what is held is refused when it is due, if a run is live then.
select pg_temp.function('single', '{"debounce": {"period": "2s"}, "singleton": {"mode": "skip"}}');
select pg_temp.numbers('single', 1, 1), pg_temp.pass('3 s'), pg_temp.numbers('single', 2, 2), pg_temp.pass('3 s');
select pg_temp.runs('single'), pg_temp.skips('single');

-- One run for many events: in the order in which they came, when they are enough.
select pg_temp.function('three', '{"batchEvents": {"maxSize": 3, "timeout": "10s"}}');
select pg_temp.numbers('three', 1, 1), pg_temp.numbers('three', 2, 2);
select pg_temp.held('three'), pg_temp.runs('three');
select pg_temp.numbers('three', 3, 3);
select pg_temp.held('three'), pg_temp.runs('three');
-- Or when the first has waited for long enough.
select pg_temp.numbers('three', 4, 4), pg_temp.pass('6 s'), pg_temp.numbers('three', 5, 5), pg_temp.pass('3 s');
select pg_temp.held('three'), pg_temp.pass('2 s'), pg_temp.runs('three');
-- One that is alone is a run like any other.
select pg_temp.numbers('three', 6, 6), pg_temp.pass('11 s'), pg_temp.runs('three'), count(*) from flowforge.run_batch b where b.position = 0;
-- A call makes as many batches as it holds; the time of the rest begins with it.
select pg_temp.numbers('three', 7, 7), pg_temp.pass('6 s'), pg_temp.numbers('three', 8, 14);
select pg_temp.held('three'), pg_temp.runs('three');
select pg_temp.pass('5 s'), pg_temp.held('three'), pg_temp.pass('6 s'), pg_temp.runs('three');
-- Which runs an event has started.
select f.event, pg_temp.n(flowforge.events_of_run(r.tenant_id, r.run_id, r.event_id))
from (select (e.data ->> 'n')::integer as event, e.event_id from flowforge.event e where e.name = 'held/three') f
cross join lateral ff_event_runs(f.event_id) r
where f.event in (5, 6, 7, 9) order by 1;
-- By key; what the filter does not want starts at once, alone.
select pg_temp.function('keyed', '{"batchEvents": {"maxSize": 2, "timeout": "10s", "key": "event.data.k", "if": "event.data.wanted"}}');
select pg_temp.send('keyed', '{"n": 1, "k": 1, "wanted": true}', '{"n": 2, "k": 2, "wanted": true}', '{"n": 3, "k": 1, "wanted": false}', '{"n": 4, "k": 1.0, "wanted": true}', '{"n": 5, "k": 1}');
select pg_temp.held('keyed'), pg_temp.runs('keyed') in ('4 5 | 1 4', '3 | 5 | 1 4', '1 4 | 3 | 5');
-- Events that are rolled back are in no batch, and a batch that they would have filled stays.
select pg_temp.function('undone', '{"batchEvents": {"maxSize": 2, "timeout": "10s"}}');
select pg_temp.numbers('undone', 1, 1);
begin;
select pg_temp.numbers('undone', 2, 4);
select pg_temp.held('undone'), pg_temp.runs('undone');
rollback;
select pg_temp.held('undone'), pg_temp.runs('undone');
select pg_temp.numbers('undone', 5, 5), pg_temp.runs('undone');

-- 5,000 events of a call.
select pg_temp.function('many', '{"batchEvents": {"maxSize": 100, "timeout": "10s"}}');
select pg_temp.numbers('many', 1, 30), pg_temp.numbers('many', 31, 5030);
select count(*), min(c), max(c) from (select count(*) as c from flowforge.run_batch b join flowforge.run r using (tenant_id, run_id)
	join flowforge.function f on f.function_id = r.function_id where f.slug = 'held-many' group by run_id) s;
select cardinality(event_ids), pg_temp.n(event_ids[29:]) from flowforge.held_start;
select bool_and(n = 1 + (rank - 1) * 100 + position) from (
	select b.position, (e.data ->> 'n')::integer as n, dense_rank() over (order by r.run_id) as rank
	from flowforge.run_batch b join flowforge.run r using (tenant_id, run_id) join flowforge.event e on e.event_id = b.event_id
	join flowforge.function f on f.function_id = r.function_id where f.slug = 'held-many') s;
select pg_temp.pass('11 s'), count(*) from flowforge.held_start;
select pg_temp.function('debounced', '{"debounce": {"period": "5s", "key": "event.data.n % 1000"}}');
select pg_temp.numbers('debounced', 1, 5000);
select count(*), min(n), max(n) from (select pg_temp.n(event_ids)::integer as n from flowforge.held_start) s;
select count(*) from flowforge.skipped_runs where function = 'held-debounced';
select pg_temp.pass('6 s'), pg_temp.pass('0 s'), pg_temp.pass('0 s'), pg_temp.pass('0 s'), pg_temp.pass('0 s'), count(*) from flowforge.held_start;

-- What is held starts with what the function is by then: smaller batches, none any more, or archived.
select pg_temp.function('changed', '{"batchEvents": {"maxSize": 10, "timeout": "10s"}}');
select pg_temp.numbers('changed', 1, 7);
select pg_temp.function('changed', '{"batchEvents": {"maxSize": 3, "timeout": "10s"}}');
select pg_temp.numbers('changed', 8, 8), pg_temp.runs('changed'), pg_temp.held('changed');
select pg_temp.pass('11 s'), pg_temp.runs('changed');
select pg_temp.function('changed', '{"batchEvents": {"maxSize": 10, "timeout": "10s"}}');
select pg_temp.numbers('changed', 9, 11);
select pg_temp.function('changed', '{}');
select pg_temp.numbers('changed', 12, 12), pg_temp.runs('changed');
select pg_temp.pass('11 s'), pg_temp.runs('changed');
select pg_temp.function('changed', '{"debounce": {"period": "10s"}}');
select pg_temp.numbers('changed', 13, 13);
select (ff_register_app('http://127.0.0.1:9/api', 'held-changed', '[]') -> 'ok')::boolean;
select pg_temp.numbers('changed', 14, 14), pg_temp.pass('11 s'), pg_temp.runs('changed');
select r.version = f.version, f.archived_at is not null from flowforge.runs r join flowforge.functions f on f.function = r.function
where r.function = 'held-changed' order by r.run_id desc limit 1;

-- What repeats a run has all its events; other input takes the place of all of them.
select r.run_id as run from flowforge.runs r where r.function = 'held-undone' \gset
select ff_replay(:'run') as copy, ff_replay(:'run', input => '{"n": "other"}') as other \gset
select pg_temp.n(flowforge.events_of_run(1, r.run_id, r.event_id)), l.state -> 'batch'
from flowforge.run r join flowforge.live_run l using (run_id) where r.run_id in (:'copy', :'other') order by r.run_id;
-- The API shows them: all of them to apps that fetch them, and their ids with the run.
select jsonb_path_query_array(flowforge.run_call_events(r.run_id), '$[*].data.n'), jsonb_array_length(flowforge.run_detail(r) -> 'event_ids'),
	flowforge.run_detail(r) -> 'event_ids' -> 0 = to_jsonb(r.event_id)
from flowforge.runs r where r.function = 'held-three' order by r.run_id limit 1;
select count(*) from flowforge.event e cross join lateral jsonb_array_elements(flowforge.started_runs(array[e.event_id]))
where e.name = 'held/three' and e.data ->> 'n' = '2';
-- Old days stay while something needs their events.
select flowforge.needs_events(flowforge.id_floor(now() - interval '1 hour'), flowforge.id_floor(now() + interval '1 hour'));
select flowforge.needs_events(flowforge.id_floor(now() - interval '2 days'), flowforge.id_floor(now() - interval '1 day'));
select * from flowforge.fsck_held() union all select * from flowforge.fsck_run_batches('00000000-0000-0000-0000-000000000000');

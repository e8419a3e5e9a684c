-- Events without executors for this database: what ff_send_event writes, and what it refuses.
select flowforge.register_app('{"url": "http://127.0.0.1:9/api/inngest", "appName": "shop", "framework": "test", "sdk": "js:v0", "v": "0.1", "functions": [
	{"id": "shop-all", "name": "All", "triggers": [{"event": "order/created"}], "steps": {"step": {"id": "step", "name": "step", "runtime": {"type": "http", "url": "http://127.0.0.1:9/api/inngest?fnId=shop-all&stepId=step"}}}},
	{"id": "shop-big", "name": "Big", "triggers": [{"event": "order/*", "expression": "event.data.total > 100"}, {"event": "order/created", "expression": "event.data.total > 100"}], "steps": {"step": {"id": "step", "name": "step", "runtime": {"type": "http", "url": "http://127.0.0.1:9/api/inngest?fnId=shop-big&stepId=step"}}}}]}') ->> 'ok' as registered;
begin;
select ff_send_event('order/created', '{"total": 1}') is not null as sent;
rollback;
select count(*) as after_rollback from flowforge.run;
select ff_send_event('order/created', '{"total": 500}') is not null as sent;
select function, status, event_name from flowforge.runs order by function;
-- A filter that does not pass starts nothing of its function; a pattern meets other names.
select ff_send_event('order/created', '{"total": 5}') is not null, ff_send_event('order/paid', '{"total": 101}') is not null;
select function, event_name, count(*) from flowforge.runs group by 1, 2 order by 1, 2;
-- The same id again: the first event's id, and nothing started.
select ff_send_event('order/created', '{}', 'once') = ff_send_event('order/created', '{}', 'once') as same_id;
select count(*) from flowforge.event where external_id = 'once';
-- Many at once, in order.
select count(*) from ff_send_events('[{"name": "order/created", "data": {"total": 1}}, {"name": "x/y"}, {"name": "order/paid", "data": {"total": 200}, "ts": 1700000000000}]');
select name, ts from flowforge.event where ts = '2023-11-14 22:13:20+00';
-- The deterministic ids of a seed, and a repeat of the request.
select flowforge.ulid(id) <> '' as seeded from unnest(flowforge.ingest('[{"name": "seed/a"}, {"name": "seed/b"}]', (extract(epoch from now()) * 1000)::bigint || ',3K/hRekIR9ZPLQ==')) id;
-- What is refused, and how.
select ff_send_event(null);
select ff_send_event('');
select ff_send_event(repeat('x', 600));
select ff_send_event('inngest/function.failed');
select ff_send_event('a/b', '[1]');
select ff_send_event('a/b', '{}', null, '"me"');
select ff_send_event('a/b', '{}', null, null, '1970-01-01');
select ff_send_event('a/b', jsonb_build_object('x', repeat('x', 600000)));
select ff_send_event('a/b', (repeat('{"a":', 100) || '1' || repeat('}', 100))::jsonb);
select * from ff_send_events('[{"data": {}}]');
select * from ff_send_events('[1]');
select * from ff_send_events('"x"');
select * from ff_send_events('[{"name": "a/b", "ts": "now"}]');
-- Waiting in the transaction that started the run would wait for ever; an unknown run is an error.
begin;
select ff_send_event('order/paid', '{"total": 1000, "wait": true}') is not null as sent;
select * from ff_wait((select r.run_id from flowforge.run r join flowforge.event e using (tenant_id, event_id) where e.data ? 'wait'));
rollback;
select ff_cancel('00000000-0000-0000-0000-000000000000');
-- The log can be neither changed nor deleted.
insert into flowforge.run_event_batch values (1, flowforge.uuid7(), 2, '[]');
update flowforge.run_event_batch set seq = 3;
delete from flowforge.run_event_batch;
-- Dropping the extension takes everything with it.
set client_min_messages = warning;
drop extension flowforge cascade;
select count(*) as left_behind from pg_namespace where nspname = 'flowforge';
create extension flowforge;

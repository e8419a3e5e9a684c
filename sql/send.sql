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
-- A repeated request with a seed, however old, is harmless and is given the same ids.
select flowforge.ingest('[{"name": "seed/old"}, {"name": "seed/old"}]', '1500000000000,3K/hRekIR9ZPLQ==') = flowforge.ingest('[{"name": "seed/old"}, {"name": "seed/old"}]', '1500000000000,3K/hRekIR9ZPLQ==') as same_ids;
select count(*), min(received_at - flowforge.id_time(event_id)) < '1 minute' as of_today from flowforge.event where name = 'seed/old';
-- What a sender might forge is taken away, what it leaves out is filled in.
select count(*) from flowforge.ingest('{"name": "forged/a", "data": {"_inngest": {"fn_id": "shop-all"}, "n": 1}, "ts": 0}');
select data, user_data, ts > now() - interval '1 minute' as now from flowforge.event where name = 'forged/a';
-- Sessions: what the sender wrote wins over what was taken over, null removes, five at most, in the order of bytes.
create temp table session_case as
select c.place, c.name, i.id[1] as event_id
from (values
	(1, 'none', '{}'),
	(2, 'null', 'null'),
	(3, 'written only', '{"sessions": {"a": "1"}}'),
	(4, 'taken over only', '{"propagated_sessions": {"a": "1"}}'),
	(5, 'numbers become text', '{"sessions": {"a": 42, "b": 1.5}}'),
	(6, 'written wins', '{"sessions": {"conv_id": "manual"}, "propagated_sessions": {"conv_id": "propagated", "org_id": "42"}}'),
	(7, 'null removes one', '{"sessions": {"a": null}, "propagated_sessions": {"a": "1", "b": "2"}}'),
	(8, 'null removes all', '{"sessions": null, "propagated_sessions": {"a": "1", "b": "2"}}'),
	(9, 'null removes the last', '{"sessions": {"a": null}, "propagated_sessions": {"a": "1"}}'),
	(10, 'five at most', '{"sessions": {"f": "9"}, "propagated_sessions": {"a": "1", "b": "1", "c": "1", "d": "1", "e": "1"}}'),
	(11, 'written ones need the room', '{"sessions": {"f": "9", "g": "9", "h": "9", "i": "9", "j": "9"}, "propagated_sessions": {"a": "1"}}'),
	(12, 'a hidden one takes no room', '{"sessions": {"a": "2", "f": "9"}, "propagated_sessions": {"a": "1", "b": "1", "c": "1", "d": "1", "e": "1"}}'),
	(13, 'nulls take no room', '{"sessions": {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": null}}'),
	(14, 'order of bytes', '{"propagated_sessions": {"Z": "1", "a": "1", "b": "1", "c": "1", "z": "1", "é": "1"}}'),
	(15, 'beyond the first plane', '{"propagated_sessions": {"a": "1", "b": "1", "c": "1", "d": "1", "\ue000": "5", "\ud83c\udf4e": "6"}}'),
	(16, 'the rest of meta is dropped', '{"sessions": {"a": 1}, "other": true}')
) as c (place, name, meta)
cross join lateral (select flowforge.ingest(jsonb_build_object('name', 'session/a', 'meta', c.meta::jsonb)) as id) i;
select c.place, c.name, e.meta -> 'sessions' as sessions from session_case c join flowforge.event e using (event_id) order by c.place;
\set SHOW_CONTEXT never
do $$
declare
	given text;
	detail text;
begin
	foreach given in array array['{"sessions": {"a": true}}', '{"sessions": {"a": ""}}', '{"sessions": {"": "1"}}', '{"sessions": ["a"]}', '{"sessions": "a"}', '[]', '7',
		'{"sessions": {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1}}', '{"propagated_sessions": {"a": null}}', '{"propagated_sessions": {"a": {}}}',
		format('{"sessions": {"%s": "1"}}', repeat('k', 129)), format('{"sessions": {"a": "%s"}}', repeat('i', 257))]
	loop
		begin
			perform flowforge.ingest(jsonb_build_object('name', 'session/bad', 'meta', given::jsonb));
			raise info 'accepted: %', given;
		exception when sqlstate 'FF009' then
			get stacked diagnostics detail = pg_exception_detail;
			raise info '%', detail;
		end;
	end loop;
end
$$;
\unset SHOW_CONTEXT
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
select ff_wait(null);
select ff_wait('00000000-0000-0000-0000-000000000000', null);
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

-- A number of milliseconds is whole; one that is written with a point or an exponent can be.
select * from ff_send_events('[{"name": "a/b", "ts": 1700000000000.9}]');
select count(*) from ff_send_events('[{"name": "a/exponent", "ts": 1.7e12}]');
select ts from flowforge.events where name = 'a/exponent';

-- An id may be as long as its event: it is known by its digest.
select string_agg(md5(i::text), '') as long from generate_series(1, 400) i \gset
select count(distinct flowforge.ingest(jsonb_build_object('name', 'long/id', 'id', :'long' || tail), null, false)) from unnest('{a,b,a}'::text[]) t (tail);
select count(*), min(length(external_id)) from flowforge.event where name = 'long/id';

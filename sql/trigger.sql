-- Triggers: which functions an event starts, batches of events, and filters that cannot be evaluated.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;
create function pg_temp.register(app text, variadic functions jsonb[]) returns text
language sql as $$
	select ff_register_app('http://127.0.0.1:9/' || app, app, to_jsonb(functions)) ->> 'ok'
$$;
create function pg_temp.fn(id text, variadic triggers jsonb[]) returns jsonb
language sql as $$
	select jsonb_build_object('id', id, 'triggers', to_jsonb(triggers))
$$;
create function pg_temp.started(variadic names text[]) returns table (event text, functions text)
language plpgsql as $$
declare
	sent uuid;
begin
	foreach event in array names loop
		sent := ff_send_event(event);
		select string_agg(f.slug, ' ' order by f.slug collate "C") into functions
		from flowforge.run r join flowforge.function f using (tenant_id, function_id)
		where r.event_id = sent;
		return next;
	end loop;
end
$$;

-- A pattern meets every name below its prefix, at any depth, and neither the prefix alone nor a longer word.
select pg_temp.register('glob', pg_temp.fn('g-order', '{"event": "order/*"}'), pg_temp.fn('g-user', '{"event": "app/user.*"}'),
	pg_temp.fn('g-app', '{"event": "app/*"}'), pg_temp.fn('g-exact', '{"event": "order/paid"}'));
select * from pg_temp.started('order/paid', 'order/a.b/c', 'order/', 'order', 'orders/paid', 'app/user.created', 'app/user', 'app/users.created',
	'app/user.', 'APP/user.x');

-- All functions an event meets run, each once, however many of its triggers match; all of it or nothing.
select pg_temp.register('many', pg_temp.fn('m-1', '{"event": "many/go"}', '{"event": "many/*"}', '{"event": "many/go", "expression": "event.data.n > 1"}'),
	pg_temp.fn('m-2', '{"event": "many/go", "expression": "event.data.n > 1"}'), pg_temp.fn('m-3', '{"event": "many/*"}'));
begin;
select ff_send_event('many/go', '{"n": 2}') as id \gset
select f.slug, count(*) from flowforge.run r join flowforge.function f using (tenant_id, function_id) where r.event_id = :'id' group by 1 order by 1;
rollback;
select count(*) as after_rollback from flowforge.run where event_id = :'id';
select * from pg_temp.started('many/go');

-- An error makes a filter false; the event goes on, and the function shows what is wrong.
select pg_temp.register('bad', pg_temp.fn('b-good', '{"event": "bad/go"}'), pg_temp.fn('b-bad', '{"event": "bad/go", "expression": "event.data.n / event.data.zero > 1"}'));
select * from pg_temp.started('bad/go');
select count(*) from ff_send_events('[{"name": "bad/go", "data": {"n": 1, "zero": 0}}, {"name": "bad/go", "data": {"n": 1, "zero": 0.1}}]');
select f.slug, count(*) from flowforge.run r join flowforge.function f using (tenant_id, function_id) where f.slug like 'b-%' group by 1 order by 1;
select function, filter_errors, last_filter_error, last_filter_error_at > now() - interval '1 min' as now from flowforge.functions where app = 'bad' order by 1;

-- A limit that is lowered later: what can no longer be read is false, and counted; what waits for the event, too. Raised again, all is as it was.
select ff_register_app('http://127.0.0.1:9/api', 'limit', '[{"id": "l-deep", "triggers": [{"event": "limit/go", "expression": "((((((((event.data.n)))))))) == 1"}],
	"cancel": [{"event": "limit/go", "if": "((((((((async.data.n)))))))) == 1"}]},
	{"id": "l-long", "triggers": [{"event": "limit/go", "expression": "event.data.n == 1 && event.data.n in [1, 11111111111111, 1111111111111, 111111111111111]"}]},
	{"id": "l-flat", "triggers": [{"event": "limit/go"}]}]') -> 'ok';
create function pg_temp.limits() returns table (slug text, runs bigint, cancelling bigint, errors bigint, why text)
language sql as $$
	select f.function, (select count(*) from flowforge.run r where r.tenant_id = 1 and r.function_id = f.function_id),
		(select count(*) from flowforge.inbox i join flowforge.run r using (tenant_id, run_id) where i.kind = 'event' and r.function_id = f.function_id),
		f.filter_errors, f.last_filter_error
	from flowforge.functions f where f.app = 'limit' order by 1
$$;
select ff_send_event('limit/go', '{"n": 1}') is not null;
select * from pg_temp.limits();
set flowforge.expression_depth_limit = 5;
select ff_send_event('limit/go', '{"n": 1}') is not null;
select * from pg_temp.limits();
reset flowforge.expression_depth_limit;
set flowforge.expression_source_limit = 64;
select ff_send_event('limit/go', '{"n": 1}') is not null;
select * from pg_temp.limits();
reset flowforge.expression_source_limit;
select ff_send_event('limit/go', '{"n": 1}') is not null;
select * from pg_temp.limits();
delete from flowforge.inbox;

-- Ids given by senders: within one call, and over calls. The order of the answer is the order of the events.
select array_agg(id order by n) as ids from ff_send_events('[{"name": "id/a", "id": "1"}, {"name": "id/a", "id": "2"}, {"name": "id/a", "id": "1"}, {"name": "id/b", "id": "1"}, {"name": "id/a"}, {"name": "id/a", "id": ""}]')
	with ordinality as s (id, n) \gset
select (:'ids'::uuid[])[1] = (:'ids'::uuid[])[3] as repeated, (select count(distinct u) from unnest(:'ids'::uuid[]) u) as different;
select array_agg(id order by n) = array[(:'ids'::uuid[])[2], (:'ids'::uuid[])[1]] as the_first_ones from ff_send_events('[{"name": "id/a", "id": "2"}, {"name": "id/a", "id": "1"}]') with ordinality as s (id, n);
select external_id, count(*) from flowforge.event where name = 'id/a' group by 1 order by 1;
-- A key that has expired is free again.
update flowforge.event_key set expires_at = now() - interval '1 s' where key like 'id:id/a:%';
select array_agg(id order by n) <> array[(:'ids'::uuid[])[2], (:'ids'::uuid[])[1]] as new_ones from ff_send_events('[{"name": "id/a", "id": "2"}, {"name": "id/a", "id": "1"}]') with ordinality as s (id, n);
select count(*) from flowforge.event where name = 'id/a' and external_id = '1';

-- 5,000 events with ids; a repeat of the whole call writes nothing.
select jsonb_agg(jsonb_build_object('name', 'batch/go', 'id', 'b' || i, 'data', jsonb_build_object('n', i))) as batch from generate_series(1, 5000) i \gset
select pg_temp.register('batch', pg_temp.fn('x-all', '{"event": "batch/*"}'), pg_temp.fn('x-even', '{"event": "batch/go", "expression": "event.data.n % 2 == 0"}'));
select array_agg(id order by n) as first from ff_send_events(:'batch') with ordinality s (id, n) \gset
select array_agg(id order by n) = :'first'::uuid[] as same from ff_send_events(:'batch') with ordinality s (id, n);
select count(*), count(distinct (data -> 'n')) from flowforge.event where name = 'batch/go';
select f.slug, count(*) from flowforge.run r join flowforge.function f using (tenant_id, function_id) where f.slug like 'x-%' group by 1 order by 1;
select count(*) from ff_send_events((select jsonb_agg('{"name": "a/b"}'::jsonb) from generate_series(1, 5001)));

-- The deterministic ids of a seed, as the protocol's vector has them, and a repeat of the request.
select pg_temp.register('seed', pg_temp.fn('s-all', '{"event": "seed/*"}'));
select (extract(epoch from now()) * 1000)::bigint || ',3K/hRekIR9ZPLQ==' as seed \gset
select flowforge.ingest('[{"name": "seed/a"}, {"name": "seed/b"}]', :'seed') as seeded \gset
select right(flowforge.ulid((:'seeded'::uuid[])[1]), 16) as first, right(flowforge.ulid((:'seeded'::uuid[])[2]), 16) as second;
select flowforge.ingest('[{"name": "seed/a"}, {"name": "seed/b"}]', :'seed') = :'seeded'::uuid[] as same;
select count(*) from flowforge.event where name like 'seed/%';
select count(*) from flowforge.run r join flowforge.function f using (tenant_id, function_id) where f.slug = 's-all';

-- Many functions of one event, found by what their filters demand: the same ones as if each filter were evaluated.
select pg_temp.register('index', variadic array(select pg_temp.fn('i-' || lpad(i::text, 3, '0'), jsonb_build_object('event', case when i % 7 = 0 then 'index/*' else 'index/go' end)
	|| case i % 5 when 0 then jsonb_build_object('expression', format('event.data.kind == ''k%s''', i % 20)) when 1 then jsonb_build_object('expression', format('event.data.n > %s && ''k%s'' == event.data["kind"]', i % 3, i % 20))
		when 2 then jsonb_build_object('expression', format('event.data.where.city == "c%s" and event.data.kind != ''k1''', i % 4)) when 3 then jsonb_build_object('expression', format('event.data.kind == ''k%s'' || event.data.n == %s', i % 20, i))
		else '{}' end) from generate_series(0, 199) i));
create temp table sent (data jsonb, id uuid);
insert into sent select d, ff_send_event('index/go', d) from unnest(array['{}', '{"kind": "k0"}', '{"kind": "k1", "n": 2}', '{"kind": "k6", "n": 0}', '{"kind": "k11", "n": 1, "where": {"city": "c2"}}', '{"kind": 5, "where": {"city": null}}',
	'{"kind": "", "n": 8}', '{"kind": ["k0"], "where": "c1"}', '{"kind": "k\u0001", "where": {"city": "c1"}}']::jsonb[]) d;
select s.data, count(*) as runs, count(*) filter (where f.started is distinct from f.should) as wrong, count(*) filter (where f.started) as started
from sent s cross join lateral (
	select exists (select from flowforge.run r where r.event_id = s.id and r.function_id = f.function_id) as started,
		t.expression is null or ff_eval(t.expression, jsonb_build_object('event', jsonb_build_object('data', s.data)), 'filter') = 'true' as should
	from flowforge.function f join flowforge.trigger t using (tenant_id, function_id) where f.slug like 'i-%') f
group by 1 order by 1;

-- A batch of 5,000 is one statement a table, whatever it holds: other names, ids, functions, awaited events. Events and runs need none.
create extension pg_stat_statements;
insert into flowforge.wait (tenant_id, event_name, match_path, match_key, run_id, step_id, event_id)
select 1, 'mix/' || i, '*', 0, flowforge.uuid7(), 'step', r.event_id from generate_series(1, 300) i, (select event_id from flowforge.run limit 1) r;
select pg_temp.register('mix', pg_temp.fn('mix-all', '{"event": "mix/*"}'), pg_temp.fn('mix-some', '{"event": "mix/7", "expression": "event.data.n > 0"}'));
select jsonb_agg(jsonb_build_object('name', 'mix/' || i, 'id', i::text, 'data', jsonb_build_object('n', i))) as batch from generate_series(1, 5000) i \gset
select pg_stat_statements_reset() is not null as reset;
select count(*) from ff_send_events(:'batch');
select t.relation collate "C" as relation, sum(s.calls) as statements
from pg_stat_statements s cross join lateral (select distinct m[1] || ' ' || m[2] from regexp_matches(s.query, '(into|from|join) flowforge\.(\w+)', 'g') m) t (relation)
where not s.toplevel group by 1 order by 1;
select count(*) as posted from flowforge.inbox;
drop extension pg_stat_statements;
delete from flowforge.wait;
delete from flowforge.inbox;
drop extension flowforge cascade;
create extension flowforge;

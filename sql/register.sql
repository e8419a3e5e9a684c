-- Registration: an app's functions become exactly what it says.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;

create function pg_temp.fn(id text, config jsonb default '{}', base text default 'http://localhost:3000/api/inngest') returns jsonb
language sql as $$
	select jsonb_build_object('id', id, 'triggers', '[{"event": "order/created"}]'::jsonb, 'steps', jsonb_build_object('step',
		jsonb_build_object('id', 'step', 'name', 'step', 'runtime', jsonb_build_object('type', 'http',
			'url', base || '?fnId=' || id || '&stepId=step')))) || config
$$;
create function pg_temp.app(name text, variadic functions jsonb[]) returns jsonb
language sql as $$
	select jsonb_build_object('url', 'http://localhost:3000/api/inngest', 'appName', name, 'sdk', 'js:v4.0.0', 'framework', 'express',
		'v', '0.1', 'deployType', 'ping', 'functions', to_jsonb(functions))
$$;
create function pg_temp.register(payload jsonb) returns jsonb
language sql as $$
	select flowforge.register_app(payload) - 'app_id' - 'sync_id'
$$;
create view pg_temp.functions as
select function, app, version, retries, archived_at is not null as archived, (select jsonb_agg(t - 'next_run_at') from jsonb_array_elements(triggers) t) as triggers
from flowforge.functions where app in ('shop', 'bank') order by function;

-- An app registers and its functions are there.
select pg_temp.register(pg_temp.app('shop', pg_temp.fn('shop-main', '{"retries": 7}'),
	pg_temp.fn('shop-cron', '{"triggers": [{"cron": "0 9 * * 1"}], "name": "Weekly"}')));
select * from pg_temp.functions;
select url from flowforge.functions where function = 'shop-main';

-- The same again changes nothing and writes nothing.
select xmin as before from flowforge.app where name = 'shop' \gset
select pg_temp.register(pg_temp.app('shop', pg_temp.fn('shop-main', '{"retries": 7}'),
	pg_temp.fn('shop-cron', '{"triggers": [{"cron": "0 9 * * 1"}], "name": "Weekly"}')));
select xmin::text = :'before' as untouched from flowforge.app where name = 'shop';

-- Only a changed function gets a new version; the other one keeps its own.
select pg_temp.register(pg_temp.app('shop',
	pg_temp.fn('shop-main', '{"triggers": [{"event": "order/*", "expression": "event.data.total > 10"}, {"event": "order/paid"}]}'),
	pg_temp.fn('shop-cron', '{"triggers": [{"cron": "0 9 * * 1"}], "name": "Weekly"}')));
select * from pg_temp.functions;

-- A version that has been published stays as it was.
select v.version, v.retries, v.config -> 'triggers' as triggers
from flowforge.function_version v join flowforge.function f using (tenant_id, function_id)
where f.slug = 'shop-main' order by v.version;

-- An app that moves to another address keeps its versions; calls go to the new one.
select pg_temp.register(pg_temp.app('shop',
	pg_temp.fn('shop-main', '{"triggers": [{"event": "order/*", "expression": "event.data.total > 10"}, {"event": "order/paid"}]}', 'http://shop:80/x'),
	pg_temp.fn('shop-cron', '{"triggers": [{"cron": "0 9 * * 1"}], "name": "Weekly"}', 'http://shop:80/x')));
select function, version, url from flowforge.functions where app = 'shop' order by function;

-- A function that is missing is archived: nothing starts it any more.
select pg_temp.register(pg_temp.app('shop', pg_temp.fn('shop-cron', '{"triggers": []}')));
select * from pg_temp.functions;

-- It lives again when its app registers it again.
select pg_temp.register(pg_temp.app('shop', pg_temp.fn('shop-main'), pg_temp.fn('shop-cron', '{"triggers": []}')));
select * from pg_temp.functions;

-- Another app cannot take a function, unless it has been archived.
\set SHOW_CONTEXT never
do $$
declare
	state text;
	said text;
	hint text;
begin
	perform pg_temp.register(pg_temp.app('bank', pg_temp.fn('shop-main')));
exception when others then
	get stacked diagnostics state = returned_sqlstate, said = message_text, hint = pg_exception_hint;
	raise info '% % (%)', state, said, hint;
end
$$;
select pg_temp.register(pg_temp.app('shop', pg_temp.fn('shop-cron')));
select pg_temp.register(pg_temp.app('bank', pg_temp.fn('shop-main')));
select function, app from pg_temp.functions;

-- What cannot be accepted is refused as a whole, with the field and the way out.
create view pg_temp.wrong as
select c.name, p.field, p.problem, p.fix
from (values
	(1, 'no name', '{"url": "http://a", "functions": []}'::jsonb),
	(2, 'no url', '{"appName": "a", "functions": []}'),
	(3, 'url of another kind', '{"appName": "a", "url": "ftp://a", "functions": []}'),
	(4, 'no functions', '{"appName": "a", "url": "http://a"}'),
	(5, 'functions not a list', '{"appName": "a", "url": "http://a", "functions": {}}'),
	(6, 'function not an object', '{"appName": "a", "url": "http://a", "functions": [1]}'),
	(7, 'not an object', '[]'),
	(10, 'two of one id', pg_temp.app('a', pg_temp.fn('a-f'), pg_temp.fn('a-f'))),
	(11, 'no id', pg_temp.app('a', pg_temp.fn('a-f') - 'id')),
	(12, 'empty id', pg_temp.app('a', pg_temp.fn(''))),
	(13, 'a number as id', pg_temp.app('a', pg_temp.fn('a-f', '{"id": 1}'))),
	(14, 'no url of a function', pg_temp.app('a', pg_temp.fn('a-f') - 'steps')),
	(15, 'served another way', pg_temp.app('a', jsonb_set(pg_temp.fn('a-f'), '{steps,step,runtime,type}', '"ws"'))),
	(16, 'too many retries', pg_temp.app('a', jsonb_set(pg_temp.fn('a-f'), '{steps,step,retries}', '{"attempts": 21}'))),
	(17, 'half a retry', pg_temp.app('a', jsonb_set(pg_temp.fn('a-f'), '{steps,step,retries}', '{"attempts": 1.5}'))),
	(20, 'too many triggers', pg_temp.app('a', pg_temp.fn('a-f', jsonb_build_object('triggers',
		(select jsonb_agg('{"event": "a/b"}'::jsonb) from generate_series(1, 11)))))),
	(21, 'a trigger of both kinds', pg_temp.app('a', pg_temp.fn('a-f', '{"triggers": [{"event": "a/b", "cron": "@daily"}]}'))),
	(22, 'a trigger of no kind', pg_temp.app('a', pg_temp.fn('a-f', '{"triggers": [{"expression": "1 == 1"}]}'))),
	(23, 'a bad pattern', pg_temp.app('a', pg_temp.fn('a-f', '{"triggers": [{"event": "a/*/b"}]}'))),
	(24, 'a bad schedule', pg_temp.app('a', pg_temp.fn('a-f', '{"triggers": [{"cron": "at nine"}, {"cron": "TZ=Moon/Base 0 9 * * 1"}]}'))),
	(25, 'an expression that is none', pg_temp.app('a', pg_temp.fn('a-f', '{"triggers": [{"event": "a/b", "expression": 7}]}'))),
	(30, 'too many cancels', pg_temp.app('a', pg_temp.fn('a-f', jsonb_build_object('cancel',
		(select jsonb_agg('{"event": "a/b"}'::jsonb) from generate_series(1, 6)))))),
	(31, 'a cancel without event', pg_temp.app('a', pg_temp.fn('a-f', '{"cancel": [{"timeout": "soon"}]}'))),
	(32, 'too much concurrency', pg_temp.app('a', pg_temp.fn('a-f', '{"concurrency": [{"limit": 1}, {"limit": 2}, {"limit": -3}]}'))),
	(32, 'negative concurrency', pg_temp.app('a', pg_temp.fn('a-f', '{"concurrency": -3}'))),
	(33, 'a scope that is none', pg_temp.app('a', pg_temp.fn('a-f', '{"concurrency": {"limit": 1, "scope": "galaxy"}}'))),
	(34, 'batches with the rest', pg_temp.app('a', pg_temp.fn('a-f', '{"batchEvents": {"maxSize": 10, "timeout": "5s"},
		"cancel": [{"event": "a/b"}], "debounce": {"period": "1s"}, "singleton": {"mode": "skip"}, "priority": {"run": "1"}}'))),
	(35, 'settings of another form', pg_temp.app('a', pg_temp.fn('a-f', '{"throttle": 5, "rateLimit": {"limit": "1", "period": "hourly"}}'))),
	(36, 'a mode that is none', pg_temp.app('a', pg_temp.fn('a-f', '{"singleton": {"mode": "once"}}'))),
	(37, 'batches with more', pg_temp.app('a', pg_temp.fn('a-f', '{"batchEvents": {"maxSize": 10}, "idempotency": "event.data.id", "rate": "1/m"}'))),
	(38, 'both names of one', pg_temp.app('a', pg_temp.fn('a-f', '{"rateLimit": {"limit": 1, "period": "1h"}, "rate": "60/min"}'))),
	(39, 'what cannot do without', pg_temp.app('a', pg_temp.fn('a-f', '{"rateLimit": {"key": "event.data.c"}, "throttle": {}, "debounce": {"key": null}, "batchEvents": {"timeout": "5s"},
		"concurrency": [{"key": "event.data.c"}]}'))),
	(47, 'what cannot do without it either', pg_temp.app('a', pg_temp.fn('a-f', '{"priority": {}, "singleton": {"key": "event.data.c"}}'))),
	(40, 'out of range', pg_temp.app('a', pg_temp.fn('a-f', '{"rateLimit": {"limit": 0, "period": "25h"}, "throttle": {"limit": 1, "period": "10ms", "burst": -1}, "debounce": {"period": "8d", "timeout": "32d"},
		"concurrency": 1000001}'))),
	(41, 'batches out of range', pg_temp.app('a', pg_temp.fn('a-f', '{"batchEvents": {"maxSize": 1001, "timeout": "11m"}}'))),
	(42, 'no rate', pg_temp.app('a', pg_temp.fn('a-f', '{"rateLimit": "often", "throttle": "10/0s", "debounce": "1/s"}'))),
	(46, 'rates out of range', pg_temp.app('a', pg_temp.fn('a-f', '{"rate": "0/min", "throttle": "1/25h", "debounce": "0s"}'))),
	(43, 'a rate that overflows', pg_temp.app('a', pg_temp.fn('a-f', '{"rateLimit": "99999999999999999999/min", "throttle": {"limit": 1, "period": "999999999w"}, "debounce": "999999999w999999999w"}'))),
	(44, 'quiet that never comes', pg_temp.app('a', pg_temp.fn('a-f', '{"debounce": {"period": "1m", "timeout": "59s"}}'))),
	(45, 'concurrency of another form', pg_temp.app('a', pg_temp.fn('a-f', '{"concurrency": ["5", {"limit": 2.5}], "idempotency": {"key": "event.data.id"}, "priority": "event.data.vip", "singleton": "skip"}')))
) as c (place, name, payload)
cross join lateral flowforge.registration_problems(c.payload) with ordinality p
order by c.place, p.ordinality;
select * from pg_temp.wrong;

select field from flowforge.registration_problems(pg_temp.app('a', pg_temp.fn(repeat('x', 256)), pg_temp.fn(repeat('é', 127)), pg_temp.fn(E'a\nb')));

-- An expression is compiled before it is accepted.
select field, fix from flowforge.registration_problems(pg_temp.app('a', pg_temp.fn('a-f', '{"triggers": [{"event": "a/b", "expression": "event.data. > 1"}],
	"idempotency": "event.data.id", "priority": {"run": "event.data.vip ? 120 : "}, "concurrency": {"limit": 1, "key": "\"constant\""}}')));

-- Shorthand is accepted, and what it stands for.
select c, (select count(*) from flowforge.registration_problems(pg_temp.app('a', pg_temp.fn('a-f', c::jsonb)))) as problems
from (values ('{"concurrency": 5, "rateLimit": "60/min", "throttle": "10s", "debounce": "2s"}'), ('{"rate": "10/1h30m", "throttle": "10/hour"}'), ('{"rate": "1/24h"}'),
		('{"concurrency": {"limit": 0, "scope": "env"}, "debounce": {"period": "7d", "timeout": "7d"}, "batchEvents": null, "priority": [], "singleton": null}')) as v (c);
select t, flowforge.rate_parts(t) from unnest('{60/min,10s,10/1m,5/sec,5/second,1/day,3/hour,2/2w,x,1/,/1s,1/0s,-1/s,1.5/s}'::text[]) t;

-- Everything a newer SDK may send is accepted.
select count(*) as problems from flowforge.registration_problems(pg_temp.app('a', pg_temp.fn('a-f', '{"concurrency": [{"limit": 5, "key": "event.data.customer", "scope": "fn"}],
	"throttle": {"limit": 10, "period": "1m", "burst": 2}, "rateLimit": {"limit": 1, "period": "1h30m", "key": "event.data.c"},
	"debounce": {"period": "5s", "timeout": "1m"}, "priority": {"run": "event.data.vip ? 120 : 0"}, "singleton": {"mode": "cancel"},
	"timeouts": {"start": "10m", "finish": "1h"}, "idempotency": null, "batchEvents": null, "novelty": {"some": "thing"},
	"cancel": [{"event": "a/cancelled", "if": "event.data.id == async.data.id", "timeout": "2030-01-31T12:00:00Z"}],
	"triggers": [{"event": "a/b"}, {"event": "app.user.*"}, {"cron": "TZ=Europe/Paris 0 9 * * MON", "jitter": "30s"}, {"cron": "@daily"}]}')));

-- Nothing of a refused app is stored, and the error says all.
do $$
declare
	state text;
	said text;
	detail text;
	hint text;
	field text;
begin
	perform pg_temp.register(pg_temp.app('refused', pg_temp.fn('refused-a'), pg_temp.fn('refused-b', '{"triggers": [{}], "cancel": [{}]}')));
exception when others then
	get stacked diagnostics state = returned_sqlstate, said = message_text, detail = pg_exception_detail, hint = pg_exception_hint, field = column_name;
	raise info '% % [%] (%) in %', state, said, detail, hint, field;
end
$$;
select count(*) as stored from flowforge.functions where function like 'refused%';

-- By hand: steps may be left out.
select ff_register_app('http://localhost:4000/fns', 'hand', '[{"id": "hand-a", "triggers": [{"event": "a/b"}]}]') - 'app_id' - 'sync_id' as registered;
select function, url, retries from flowforge.functions where app = 'hand';
select ff_register_app('http://localhost:4000/fns', 'hand', '[]') ->> 'modified' as modified;
select ff_register_app('http://localhost:4000/fns', 'bank', '[]') ->> 'modified' as modified;
select ff_register_app('http://localhost:4000/fns', 'shop', '[]') ->> 'modified' as modified;
select count(*) as triggers from flowforge.trigger t join flowforge.function f using (tenant_id, function_id) where f.slug ~ '^(shop|hand)-';

-- Names of members count whatever their case: the Python SDK writes appname. A deployment's id comes back as the id of the sync.
select pg_temp.register((pg_temp.app('snake', pg_temp.fn('snake-main')) - 'appName') || '{"appname": "snake", "URL": "http://nobody"}');
select name, url from flowforge.app where name = 'snake';
select flowforge.register_app(pg_temp.app('snake', pg_temp.fn('snake-main')) || '{"deployId": "d-1"}') ->> 'sync_id';
select convert_from(s.body, 'UTF8')::jsonb ->> 'sync_id'
from flowforge.serve('PUT', '/fn/register', 'deployId=d-2', '{}', convert_to(pg_temp.app('snake', pg_temp.fn('snake-main'))::text, 'UTF8')) s;

-- An app that does not answer is named with the reason, and kept over HTTP until it registers.
\set VERBOSITY terse
select ff_sync_app('http://127.0.0.1:9/api/inngest');
select ff_sync_app('ftp://127.0.0.1/api');
select ff_sync_app('');
create function pg_temp.api(method text, path text, body text default null) returns table (status integer, body jsonb)
language sql as $$
	select s.status, convert_from(s.body, 'UTF8')::jsonb from flowforge.serve(method, path, '', '{}', convert_to(body, 'UTF8')) s
$$;
select status, body -> 'ok' as ok, regexp_replace(body ->> 'error', 'after \d+ ms', 'after <n> ms') as error, body #>> '{app,name}' as name, body #> '{app,synced_at}' as synced,
	body #>> '{app,sync_error}' = body ->> 'error' as noted
from pg_temp.api('POST', '/api/v1/apps', '{"url": "http://127.0.0.1:9/api/inngest"}');
select status, body ->> 'detail' as detail, body ->> 'hint' as hint from pg_temp.api('POST', '/api/v1/apps', '{"uri": "http://127.0.0.1:9"}');
select app_id as placeholder from flowforge.app where url = 'http://127.0.0.1:9/api/inngest' \gset
select status, body -> 'ok' as ok from pg_temp.api('POST', '/api/v1/apps/' || :'placeholder' || '/sync');
select count(*) from flowforge.app where url = 'http://127.0.0.1:9/api/inngest';
select pg_temp.register(pg_temp.app('late', pg_temp.fn('late-main')) || '{"url": "http://127.0.0.1:9/api/inngest"}');
select name, sync_error, checksum <> '' as registered from flowforge.app where url = 'http://127.0.0.1:9/api/inngest';
select status, replace(body ->> 'detail', :'placeholder', '<uuid>') as detail from pg_temp.api('POST', '/api/v1/apps/' || :'placeholder' || '/sync');

-- An app that is removed takes its triggers with it; it may come back.
select app_id as late from flowforge.app where name = 'late' \gset
select status, body ->> 'name' as name from pg_temp.api('DELETE', '/api/v1/apps/' || :'late');
select status from pg_temp.api('DELETE', '/api/v1/apps/' || :'late');
select function, app, archived_at is not null as archived, triggers from flowforge.functions where function = 'late-main';
select pg_temp.register(pg_temp.app('late', pg_temp.fn('late-main')));
select function, app, archived_at is not null as archived, triggers from flowforge.functions where function = 'late-main';

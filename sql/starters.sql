-- What starts runs, over HTTP: webhooks, watched tables, schedules; and functions with the errors of their filters.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;
\pset format unaligned
\pset tuples_only on
set timezone = 'UTC';
create function pg_temp.req(method text, path text, body text default null, query text default '') returns text
language sql as $$
	select regexp_replace(s.status || ' ' || convert_from(s.body, 'UTF8'), '\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(\+00:00| UTC)', '<time>', 'g')
	from flowforge.serve(method, path, query, '{}', convert_to(body, 'UTF8')) s
$$;
-- A problem by its status, code, detail and hint.
create function pg_temp.refused(method text, path text, body text default null, query text default '') returns text
language sql as $$
	select concat_ws(' | ', left(r, 3), j ->> 'code', j ->> 'detail', j ->> 'hint') from pg_temp.req(method, path, body, query) r, lateral (select substr(r, 5)::jsonb as j) x
$$;

-- Webhooks: what is listed shows no secret.
delete from flowforge.hook;
select pg_temp.req('GET', '/api/v1/hooks');
select pg_temp.req('POST', '/api/v1/hooks', '{"path": "shop", "event": "shop/hook", "verify": "header", "header": "X-Token", "secret": "s3cret-s3cret", "transform": {"data": "{{ body.a }}"}, "tolerance": "30 s"}');
select pg_temp.req('POST', '/api/v1/hooks', '{"path": "open", "event": "open/hook"}');
select position('s3cret' in pg_temp.req('GET', '/api/v1/hooks')) as shown;
select jsonb_path_query_array(substr(pg_temp.req('GET', '/api/v1/hooks'), 5)::jsonb, '$.data[*].path');
select s.status, convert_from(s.body, 'UTF8')::jsonb -> 'ignored' from flowforge.serve('POST', '/hooks/shop', '', '{"x-token": "s3cret-s3cret"}', convert_to('{"a": {"n": 1}}', 'UTF8')) s;
select pg_temp.refused('POST', '/hooks/shop', '{"a": {"n": 1}}');
select data from flowforge.event where name = 'shop/hook';
-- Made again, it is replaced.
select pg_temp.req('POST', '/api/v1/hooks', '{"path": "shop", "event": "shop/other"}');
select pg_temp.refused('POST', '/api/v1/hooks', b) from unnest(array['{"event": "x"}', '{"path": "a/b", "event": "x"}', '{"path": "a"}', '{"path": "a", "event": 1}',
	'{"path": "a", "event": "x", "verify": "magic"}', '{"path": "a", "event": "x", "verify": "github"}', '{"path": "a", "event": "x", "tolerance": "soon"}',
	'{"path": "a", "event": "x", "transform": "{{ body. }}"}', '[]', null]) b;
select pg_temp.req('DELETE', '/api/v1/hooks/shop');
select pg_temp.refused('DELETE', '/api/v1/hooks/shop');
select pg_temp.refused('POST', '/hooks/shop', '{}');
select pg_temp.refused('GET', '/api/v1/hooks/open');
select pg_temp.req('DELETE', '/api/v1/hooks/open');

-- Watched tables.
create table public.starters (id integer primary key, status text, total integer);
create schema starters;
create table starters."Odd.name" (id integer);
select pg_temp.req('GET', '/api/v1/watches');
select pg_temp.req('POST', '/api/v1/watches', '{"table": "starters", "operations": ["insert", "update"], "event_name": "starters/changed", "columns": ["status"], "filter": "new.total > 1"}');
select pg_temp.req('POST', '/api/v1/watches', '{"table": "starters.\"Odd.name\""}');
insert into public.starters values (1, 'a', 1), (2, 'b', 2);
update public.starters set total = 3;
update public.starters set status = 'c' where id = 2;
select name, data -> 'op' as op, data -> 'key' as key from flowforge.event where name = 'starters/changed' order by event_id;
select jsonb_path_query_array(substr(pg_temp.req('GET', '/api/v1/watches'), 5)::jsonb, '$.data[*].table');
select pg_temp.refused('POST', '/api/v1/watches', b) from unnest(array['{}', '{"table": "nowhere"}', '{"table": "a b c"}', '{"table": "flowforge.run"}', '{"table": "starters", "operations": ["read"]}',
	'{"table": "starters", "operations": [1]}', '{"table": "starters", "operations": "insert"}', '{"table": "starters", "columns": ["nothing"]}', '{"table": "starters", "filter": "new.total >"}']) b;
-- Only what the gateway's role may watch.
set role flowforge_gateway;
select pg_temp.refused('POST', '/api/v1/watches', '{"table": "starters"}');
select pg_temp.refused('DELETE', '/api/v1/watches/starters');
reset role;
select pg_temp.refused('DELETE', '/api/v1/watches/starters', null, 'event_name=starters/other');
select pg_temp.req('DELETE', '/api/v1/watches/starters', null, 'event_name=starters/changed');
select pg_temp.refused('DELETE', '/api/v1/watches/starters');
select pg_temp.req('DELETE', '/api/v1/watches/starters.%22Odd.name%22');
select pg_temp.req('GET', '/api/v1/watches');
drop table public.starters;
drop schema starters cascade;

-- Schedules: those of functions and those of people.
select ff_register_app('http://127.0.0.1:9/api', 'starters', '[{"id": "starters-nightly", "triggers": [{"cron": "TZ=Europe/Paris 0 3 * * *"}]},
	{"id": "starters-filtered", "triggers": [{"event": "starters/go", "expression": "1 / event.data.n > 0"}]}]') -> 'ok';
select ff_schedule('starters', '@hourly', 'starters/tick', '{"a": 1}', '10 s') is not null;
select s - '{id,next_run_at,last_at}'::text[], (s -> 'next_run_at') is not null as next
from jsonb_array_elements(substr(pg_temp.req('GET', '/api/v1/schedules'), 5)::jsonb -> 'data') s
where s ->> 'name' = 'starters' or s ->> 'function' like 'starters%' order by 1;
select ff_unschedule('starters');

-- A function tells how often its filter could not be evaluated.
select ff_send_event('starters/go', '{"n": 0}') is not null, ff_send_event('starters/go', '{"n": 0}') is not null;
select f ->> 'function', f - '{url,function,name,app,version,retries,triggers,archived_at}'::text[]
from jsonb_array_elements(substr(pg_temp.req('GET', '/api/v1/functions', null, 'app=starters'), 5)::jsonb -> 'data') f;
select ff_register_app('http://127.0.0.1:9/api', 'starters', '[]') -> 'ok';

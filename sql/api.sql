-- The HTTP API as the gateway sees it: flowforge.serve answers everything and never raises.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;

-- Ids and times differ from run to run.
create function pg_temp.masked(text) returns text
language sql as $$
	select regexp_replace(regexp_replace(regexp_replace(regexp_replace(replace($1, flowforge.version(), '<version>'),
		'[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}', '<uuid>', 'g'),
		'\m0[0-9A-HJKMNP-TV-Z]{25}\M', '<ulid>', 'g'),
		'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*\+00:00', '<time>', 'g'), '(queued_ms|total_ms)": \d+', '\1": <ms>', 'g')
$$;
create function pg_temp.req(
	method text, path text, query text default '', headers jsonb default '{}', body text default null,
	out status integer, out headers text, out body text
) language sql as $$
	select s.status, pg_temp.masked(s.headers), pg_temp.masked(convert_from(s.body, 'UTF8'))
	from flowforge.serve(method, path, query, headers, convert_to(body, 'UTF8')) s
$$;
create function pg_temp.data(path text, query text default '') returns setof jsonb
language sql as $$
	select jsonb_array_elements(convert_from(s.body, 'UTF8')::jsonb -> 'data') from flowforge.serve('GET', path, query, '{}', null) s
$$;
\pset format unaligned
\pset tuples_only on
\pset fieldsep '\n'

-- Every answer says who gave it and under which id.
select * from pg_temp.req('GET', '/health');
select headers from pg_temp.req('GET', '/health', '', '{"x-request-id": "mine-1"}');
select headers from pg_temp.req('GET', '/health', '', '{"x-request-id": "a\nb: c"}');

-- Unknown paths and wrong methods.
select * from pg_temp.req('GET', '/nowhere');
select * from pg_temp.req('GET', 'health');
select status from pg_temp.req('GET', repeat('/x', 40));
select * from pg_temp.req('POST', '/health');
select * from pg_temp.req('OPTIONS', '/e/key');
select status, body from pg_temp.req('GET', '/api/v1/runs/%zz');
select status, body from pg_temp.req('GET', '/api/v1/runs/a%00b');
select status, body from pg_temp.req('GET', '/api/v1/runs/%ff');
select status, body from pg_temp.req('GET', '/api/v1/runs', 'limit=%');

-- Parameters of the wrong form.
select status, body from pg_temp.req('GET', '/api/v1/runs', 'limit=201');
select status, body from pg_temp.req('GET', '/api/v1/runs', 'limit=many');
select status, body from pg_temp.req('GET', '/api/v1/runs', 'status=done');
select status, body from pg_temp.req('GET', '/api/v1/runs', 'since=yesterday-ish');
select r.status, r.body::jsonb ->> 'code' as code from unnest('{since=infinity,until=-infinity,since=1950-01-01,until=200000-01-01}'::text[]) q, pg_temp.req('GET', '/api/v1/runs', q) r;
select status, body from pg_temp.req('GET', '/api/v1/runs', 'cursor=xyz');
select status, body from pg_temp.req('GET', '/api/v1/runs/xyz');
select status, body from pg_temp.req('GET', '/api/v1/runs/00000000000000000000000000');
select status, body from pg_temp.req('GET', '/api/v1/events/00000000000000000000000000');

-- Bodies that are not JSON: the place is told, nothing breaks.
select status, body from pg_temp.req('POST', '/e/key', '', '{}', '');
select status, body from pg_temp.req('POST', '/e/key', '', '{}', '{"name": "a/b", "data": {');
select status, body from pg_temp.req('POST', '/e/key', '', '{}', '{"name": "a/b" "data": {}}');
select status, body from pg_temp.req('POST', '/e/key', '', '{}', '{"name": "a/b", "data": {"x": "\u0000"}}');
select status, body from pg_temp.req('POST', '/e/key', '', '{}', '{"name": "a/b", "data": ' || repeat('[', 100) || repeat(']', 100) || '}');
select s.status, convert_from(s.body, 'UTF8') from flowforge.serve('POST', '/e/key', '', '{}', '\x7b2261223a22c3287d') s;
select s.status, convert_from(s.body, 'UTF8') from flowforge.serve('POST', '/e/key', '', '{}', '\x7b2261223a22007d') s;
select status, body from pg_temp.req('POST', '/api/v1/events', '', '{}', '[1]');
select status, body from pg_temp.req('POST', '/api/v1/events/batch', '', '{}', '{"name": "a/b"}');
select status, body from pg_temp.req('POST', '/api/v1/events', '', '{"content-type": "application/octet-stream"}', '{"name": "a/b"}');

-- Events that are refused.
select status, body from pg_temp.req('POST', '/e/key', '', '{}', '{"data": {}}');
select status, body from pg_temp.req('POST', '/e/key', '', '{}', '{"name": "inngest/function.finished"}');
select status, body from pg_temp.req('POST', '/e/key', '', '{}', '{"name": "a/b", "data": [1]}');
select status, body from pg_temp.req('POST', '/api/v1/events', '', '{}', '{"name": ""}');

-- An app registers.
select status, body from pg_temp.req('POST', '/fn/register', '', '{}', '{"url": "http://127.0.0.1:9/api", "appName": "api", "functions": [
	{"id": "api-one", "triggers": [{"event": "api/one"}], "steps": {"step": {"runtime": {"type": "http", "url": "http://127.0.0.1:9/api?fnId=api-one&stepId=step"}}}}]}');
select status, body from pg_temp.req('PUT', '/fn/register', '', '{}', '{"url": "http://127.0.0.1:9/api", "appName": "api", "functions": [{"id": "api-one"}]}');
select status, body from pg_temp.req('PUT', '/fn/register', '', '{"x-inngest-expected-server-kind": "cloud"}', '{}');
select status, body from pg_temp.req('PUT', '/fn/register', '', '{}', '7');
select d - 'app' from pg_temp.data('/api/v1/functions', 'app=api') d;
select pg_temp.masked((d - '{id,ulid}'::text[])::text) from pg_temp.data('/api/v1/apps') d where d ->> 'name' = 'api';
select jsonb_path_query(body::jsonb, '$.functions[*] ? (@.slug == "api-one")'), body::jsonb - '{version,functions,handlers}'::text[] from pg_temp.req('GET', '/dev');
select jsonb_path_query(body::jsonb, '$.handlers[*] ? (@.appName == "api")') from pg_temp.req('GET', '/dev');

-- It receives events; a seed makes their ids the same when they are sent again.
select status, body from pg_temp.req('POST', '/e/key', '', '{}', '{"name": "api/nobody"}');
select (extract(epoch from now()) * 1000)::bigint || ',3K/hRekIR9ZPLQ==' as seed \gset
select s.status, convert_from(s.body, 'UTF8')::jsonb -> 'ids' = jsonb_build_array(flowforge.ulid(flowforge.seed_id(:'seed', 1)), flowforge.ulid(flowforge.seed_id(:'seed', 2)))
from flowforge.serve('POST', '/e/key', '', jsonb_build_object('x-inngest-event-id-seed', :'seed'), convert_to('[{"name": "api/nobody"}, {"name": "api/nobody"}]', 'UTF8')) s;
select status, body from pg_temp.req('POST', '/e/key', '', '{"content-type": "application/x-www-form-urlencoded"}', '[]');
-- Forms are events too, for webhooks that send nothing else.
create function pg_temp.form(type text, body text, query text default '') returns text
language plpgsql as $$
declare
	answer jsonb;
	status integer;
begin
	select s.status, convert_from(s.body, 'UTF8') into status, answer
	from flowforge.serve('POST', '/e/key', query, jsonb_build_object('content-type', type), convert_to(body, 'UTF8')) s;
	if status <> 200 then
		return status || ' ' || (answer ->> 'error');
	end if;
	return (select format('%s %s%s%s%s', e.name, e.data, ' ' || e.external_id, ' v' || e.v, ' at ' || case when e.ts < '2021-01-01' then e.ts end)
		from flowforge.event e where e.event_id = flowforge.id(answer #>> '{ids,0}'));
end
$$;
create function pg_temp.parts(variadic parts text[]) returns text
language sql as $$
	select string_agg(E'--b-1\r\n' || part || E'\r\n', '' order by place) || E'--b-1--\r\n' from unnest(parts) with ordinality p (part, place)
$$;
create function pg_temp.part(name text, value text, more text default '') returns text
language sql as $$
	select format(E'Content-Disposition: form-data; name="%s"%s\r\n\r\n%s', name, more, value)
$$;
\set form application/x-www-form-urlencoded
\set parts 'multipart/form-data; boundary=b-1'
select pg_temp.form(:'form', 'From=%2B49&Body=Hello+w%C3%B6rld&Media=a&Media=b&empty=&=x', 'name=sms/received');
select pg_temp.form(:'form', 'name=form/sent&total=42&id=f-1&ts=1577836800000&v=2&data=%7B%22a%22%3A%5B1%5D%7D');
select pg_temp.form(:'form' || '; charset=utf-8', 'name=form/data&data=%7B%7D', 'name=all/data');
select pg_temp.form(:'form', ' {"name": "json/after-all", "data": {"a": 1}}');
select pg_temp.form(:'form', 'a=1&b=2');
select pg_temp.form(:'form', 'name=a/b&name=c/d');
select pg_temp.form(:'form', 'name=a/b&ts=soon');
select pg_temp.form(:'form', 'name=a/b&data=7');
select pg_temp.form(:'form', 'name=a/b&data=%7B');
select pg_temp.form(:'form', 'name=a/b&x=%ff');
select pg_temp.form(:'form', 'name=a/b&x=%00');
select pg_temp.form(:'form', 'name=a/b&x=%2');
select pg_temp.form(:'form', 'name=inngest/function.invoked');
select pg_temp.form(:'form', 'name=a/b&' || repeat('x=1&', 1000));
select pg_temp.form(:'parts', pg_temp.parts(pg_temp.part('name', 'parts/sent'), pg_temp.part('a', E'1\r\n2'), pg_temp.part('a', 'x--b-1'), pg_temp.part('é \"q\"', '')));
select pg_temp.form(:'parts', 'before' || E'\r\n' || pg_temp.parts(pg_temp.part('file', 'some text', E'; filename="a;name=b.txt"\r\nContent-Type: text/plain')) || 'after', 'name=file/sent');
select convert_from(s.body, 'UTF8')::jsonb ->> 'status' as status from flowforge.serve('POST', '/e/key', 'name=file/binary', '{"content-type": "Multipart/Form-Data; boundary=\"b-1\""}',
	convert_to(E'--b-1\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n', 'UTF8') || '\xff00fe'::bytea || convert_to(E'\r\n--b-1--', 'UTF8')) s;
select data from flowforge.event where name = 'file/binary';
select pg_temp.form('multipart/form-data', 'x', 'name=a/b');
select pg_temp.form('multipart/form-data; boundary=' || repeat('b', 71), 'x', 'name=a/b');
select pg_temp.form(:'parts', 'no parts', 'name=a/b');
select pg_temp.form(:'parts', E'--b-1\r\nContent-Disposition: form-data; name="a"\r\n\r\nnever ends', 'name=a/b');
select pg_temp.form(:'parts', pg_temp.parts('Content-Disposition: form-data; name="a"'), 'name=a/b');
select pg_temp.form(:'parts', pg_temp.parts(E'Content-Type: text/plain\r\n\r\n1'), 'name=a/b');
select pg_temp.form(:'parts', pg_temp.parts(E'Content-Disposition: attachment; name="a"\r\n\r\n1'), 'name=a/b');
select pg_temp.form(:'parts', pg_temp.parts(pg_temp.part('name', 'x', '; filename="a"')));
select pg_temp.form(:'parts', '--b-1--');
select status from pg_temp.req('POST', '/api/v1/events', '', jsonb_build_object('content-type', :'form'), 'name=a/b');

select status, body from pg_temp.req('POST', '/api/v1/events', '', '{}', '{"name": "api/one", "data": {"n": 1}, "user": {"id": 7}}');
select status, body from pg_temp.req('POST', '/api/v1/events', '', '{}', '{"name": "api/nobody", "id": "once"}');
select status, body from pg_temp.req('POST', '/api/v1/events/batch', '', '{}', '[{"name": "api/one", "ts": 1795200000000}, {"name": "api/nobody"}, {"name": "api/one"}]');
select status, body from pg_temp.req('POST', '/api/v1/events/batch', '', '{}', '[{"name": "api/one"}, {"nome": "api/one"}]');

-- Lists are pages, newest first.
select status, body from pg_temp.req('GET', '/api/v1/events', 'name=api/one&limit=1');
select d -> 'data', d -> 'user', d -> 'name' from pg_temp.data('/api/v1/events', 'name=api/one') d;
create temp table page as
select convert_from(s.body, 'UTF8')::jsonb as answer from flowforge.serve('GET', '/api/v1/runs', 'function=api-one&limit=2', '{}', null) s;
select jsonb_array_length(answer -> 'data'), answer -> 'next_cursor' = answer #> '{data,1,ulid}' from page;
select jsonb_array_length(convert_from(s.body, 'UTF8')::jsonb -> 'data'), convert_from(s.body, 'UTF8')::jsonb -> 'next_cursor'
from page, flowforge.serve('GET', '/api/v1/runs', 'function=api-one&limit=2&cursor=' || (answer ->> 'next_cursor'), '{}', null) s;
select count(*) from pg_temp.data('/api/v1/runs', 'function=api-one&event=api/one&since=2020-01-01T00:00:00Z');
select count(*) from pg_temp.data('/api/v1/runs', 'function=api-one&until=2020-01-01T00:00:00Z');
select count(*) from pg_temp.data('/api/v1/runs', 'function=api-one&until=1577836800000');
select count(*) from pg_temp.data('/api/v1/runs', 'function=api-one&status=failed');

-- One run, found by either form of its id. (What executors would write is written here.)
insert into flowforge.event (tenant_id, event_id, name, data, ts)
values (1, '01939c3c-7d2a-7000-8000-000000000001', 'api/made', '{"n": 2}', '2024-12-06T12:00:00Z');
insert into flowforge.run (tenant_id, run_id, function_id, version, event_id, created_at)
select 1, '01939c3c-7d2a-7000-8000-000000000002', f.function_id, 1, '01939c3c-7d2a-7000-8000-000000000001', '2024-12-06T12:00:00Z'
from flowforge.function f where f.slug = 'api-one';
insert into flowforge.run_event_batch (tenant_id, run_id, seq, events) values
(1, '01939c3c-7d2a-7000-8000-000000000002', 2, '[{"t": "run.started", "at": 1733486401000000},
	{"t": "step.completed", "at": 1733486402000000, "s": "abc", "n": "first", "a": 1, "d": {"took_ms": 5}}]');
insert into flowforge.step (tenant_id, run_id, step_id, position, op, name, status, attempt, memo, started_at, ended_at)
values (1, '01939c3c-7d2a-7000-8000-000000000002', 'abc', 1, 'run', 'first', 'completed', 1, '{"data": "one\ntwo"}',
	'2024-12-06T12:00:01Z', '2024-12-06T12:00:02Z');
\set run 01939c3c-7d2a-7000-8000-000000000002
select status, body from pg_temp.req('GET', '/api/v1/runs/' || :'run');
select a.body = b.body from pg_temp.req('GET', '/api/v1/runs/' || :'run') a, pg_temp.req('GET', '/api/v1/runs/' || flowforge.ulid(:'run')) b;
select status, body from pg_temp.req('GET', '/api/v1/runs/' || :'run' || '/steps');
select status, body from pg_temp.req('GET', '/api/v1/runs/' || :'run' || '/events');
select status, body from pg_temp.req('GET', '/api/v1/runs/' || :'run' || '/events', 'since=1&limit=1');
select status, body from pg_temp.req('GET', '/api/v1/events/01939c3c-7d2a-7000-8000-000000000001');
select jsonb_array_length(body::jsonb -> 'data') from pg_temp.req('GET', '/api/v1/events/01939c3c-7d2a-7000-8000-000000000001/runs');

-- A stream begins with a snapshot and goes on from its seq; a reader may begin anywhere, within a stored row too.
select headers, body from pg_temp.req('GET', '/api/v1/runs/' || :'run' || '/stream');
select headers, body from pg_temp.req('GET', '/api/v1/runs/' || :'run' || '/stream', '', '{"last-event-id": "2"}');
select headers, body from pg_temp.req('GET', '/api/v1/runs/' || :'run' || '/stream', 'since=3');
select headers, body from pg_temp.req('GET', '/api/v1/runs/' || :'run' || '/stream', 'since=99');
select status, body from pg_temp.req('GET', '/api/v1/runs/' || :'run' || '/stream', '', '{"last-event-id": "x"}');
select status, body from pg_temp.req('GET', '/api/v1/runs/00000000000000000000000000/stream');
select last_seq, pg_temp.masked(sse), final from flowforge.stream_read('{1}', array[:'run']::uuid[], '{0}');
select * from flowforge.stream_read('{1}', array[:'run']::uuid[], '{3}');
insert into flowforge.run_event_batch (tenant_id, run_id, seq, events) values
(1, :'run', 4, '[{"t": "run.completed", "at": 1733486403000000}]');
insert into flowforge.run_end (tenant_id, run_id, status, output, started_at, ended_at)
values (1, :'run', 'completed', '{"ok": null}', '2024-12-06T12:00:01Z', '2024-12-06T12:00:03Z');
select last_seq, pg_temp.masked(sse), final from flowforge.stream_read('{1,1}', array[:'run', '00000000-0000-7000-8000-000000000000']::uuid[], '{3,8}') order by last_seq desc;
select last_seq, sse, final from flowforge.stream_read('{1}', array[:'run']::uuid[], '{4}');
select headers from pg_temp.req('GET', '/api/v1/runs/' || :'run' || '/stream');

-- Cancelling asks the owner; a run that has ended stays as it is.
select status, body from pg_temp.req('POST', '/api/v1/runs/' || :'run' || '/cancel');
select status, body from pg_temp.req('POST', '/api/v1/runs/00000000000000000000000000/cancel', '', '{}', '{"reason": "test"}');
begin;
select status, r.body from page, pg_temp.req('POST', '/api/v1/runs/' || (answer #>> '{data,0,id}') || '/cancel', '', '{}', '{"reason": "test"}') r;
select kind, payload from flowforge.inbox where run_id = (select (answer #>> '{data,0,id}')::uuid from page);
rollback;

-- The pages for people escape what they show.
select ff_register_app('http://127.0.0.1:9/api', 'api <b>', '[{"id": "<script>alert(1)</script>", "triggers": [{"event": "a\"b''&"}]}]') ->> 'ok';
select status, position('<script' in body), body ~ '&lt;script&gt;alert\(1\)&lt;/script&gt;', body ~ 'a&quot;b&#39;&amp;' from pg_temp.req('GET', '/');
select headers from pg_temp.req('GET', '/');
select status, body ~ '/api/v1/runs/\{id\}/steps' from pg_temp.req('GET', '/api/docs');
select ff_register_app('http://127.0.0.1:9/api', 'api <b>', '[]') ->> 'ok';
select status in (200, 503), body::jsonb ? 'executors' from pg_temp.req('GET', '/ready');
select status, jsonb_typeof(body::jsonb -> 'items') from pg_temp.req('GET', '/api/v1/status');

-- A function that fails in a way that is not the caller's doing tells nothing of it.
create function public.api_broken(request flowforge.request) returns flowforge.response language plpgsql as $$
begin
	raise exception 'secret %', 1 / 0;
end
$$;
create function public.api_busy(request flowforge.request) returns flowforge.response language plpgsql as $$
begin
	raise lock_not_available;
end
$$;
insert into flowforge.route (method, pattern, function, scope, tag, summary, response_schema) values
('GET', '/broken', 'public.api_broken', 'public', 'test', 'Broken', '{}'),
('GET', '/busy', 'public.api_busy', 'public', 'test', 'Busy', '{}'),
('GET', '/absent', 'public.api_absent', 'public', 'test', 'Absent', '{}');
select * from pg_temp.req('GET', '/busy');
select status, body from pg_temp.req('GET', '/absent');
create or replace function public.api_broken(request flowforge.request) returns flowforge.response language plpgsql as $$
begin
	raise exception 'secret';
end
$$;
select status, body from pg_temp.req('GET', '/broken');
delete from flowforge.route where tag = 'test';
select status from pg_temp.req('GET', '/broken');
drop function public.api_broken, public.api_busy;

-- A request that fails leaves nothing behind and the transaction usable.
begin;
select status from pg_temp.req('POST', '/api/v1/events', '', '{}', '{"name": "api/in-transaction"}');
select status from pg_temp.req('POST', '/api/v1/events/batch', '', '{}', '[{"name": "api/in-transaction"}, {}]');
commit;
select count(*) from pg_temp.data('/api/v1/events', 'name=api/in-transaction');

-- CloudEvents are events: structured, in a batch, or binary, with attributes in headers.
create function pg_temp.cloud(headers jsonb, body text, path text default '/api/v1/events') returns text
language plpgsql as $$
declare
	answer record;
begin
	select s.status, convert_from(s.body, 'UTF8')::jsonb as json into answer
	from flowforge.serve('POST', path, '', headers, convert_to(body, 'UTF8')) s;
	return answer.status || ' ' || coalesce(answer.json ->> 'detail', (
		select string_agg(concat_ws(' ', e.name, e.external_id, e.ts, e.data), E'\n' order by e.event_id)
		from flowforge.events e where e.event_id in (select i::uuid from jsonb_array_elements_text(answer.json -> 'ids') i)));
end
$$;
\set cloud '{"content-type": "application/cloudevents+json; charset=utf-8"}'
\set batch '{"content-type": "application/cloudevents-batch+json"}'
select pg_temp.cloud(:'cloud', '{"specversion": "1.0", "id": "1", "source": "/shop", "type": "cloud/created", "time": "2026-01-31T09:00:00Z", "subject": "o1", "data": {"n": 1}}');
select pg_temp.cloud(:'cloud', '{"specversion": "1.0", "id": "1", "source": "/shop", "type": "cloud/created", "data": {"n": 2}}');
select pg_temp.cloud(:'cloud', '{"specversion": "1.0", "id": "2", "source": "/shop", "type": "cloud/text", "time": "2026-01-31T09:00:00Z", "data": "plain"}');
select pg_temp.cloud(:'cloud', '{"specversion": "1.0", "id": "3", "source": "/shop", "type": "cloud/bytes", "time": "2026-01-31T09:00:00Z", "data_base64": "AAE="}');
select pg_temp.cloud('{"ce-specversion": "1.0", "ce-id": "4", "ce-source": "/b", "ce-type": "cloud/binary", "ce-time": "2026-01-31T09:00:00Z", "ce-subject": "f%C3%BC%C3%9Fe 100%", "content-type": "application/json"}', '{"n": 4}');
select pg_temp.cloud('{"ce-specversion": "1.0", "ce-id": "5", "ce-source": "/b", "ce-type": "cloud/binary", "ce-time": "2026-01-31T09:00:00Z", "content-type": "image/png"}', 'PNG');
select pg_temp.cloud(:'batch', '[{"specversion": "1.0", "id": "6", "source": "/s", "type": "cloud/a", "time": "2026-01-31T09:00:00Z"}, {"specversion": "1.0", "id": "7", "source": "/s", "type": "cloud/b", "time": "2026-01-31T09:00:00Z"}]', '/api/v1/events/batch');
select pg_temp.cloud(:'batch', '[{"specversion": "1.0", "id": "8", "source": "/s", "type": "cloud/a"}, {"specversion": "1.0", "id": "9", "type": "cloud/b"}]', '/api/v1/events/batch');
select pg_temp.cloud(:'cloud', '{"specversion": "0.3", "id": "1", "source": "/shop", "type": "cloud/old"}');
select pg_temp.cloud(:'cloud', '{"specversion": "1.0", "id": "1", "source": "/shop", "type": "inngest/forged"}');
select pg_temp.cloud(:'cloud', '{"specversion": "1.0", "id": "1", "source": "/shop", "type": "cloud/late", "time": "late"}');
select pg_temp.cloud(:'cloud', '[]');
select pg_temp.cloud(:'batch', '{}', '/api/v1/events/batch');

-- Under an idempotency key a request is served once: repeats get the first answer, another request is refused, a failure may be tried again.
create function pg_temp.once(key text, body text, path text default '/api/v1/events', header text default 'idempotency-key') returns text
language sql as $$
	select s.status || ' ' || (s.headers ~ 'idempotency-replayed: true') || ' ' || coalesce((convert_from(s.body, 'UTF8')::jsonb ->> 'detail'),
		(convert_from(s.body, 'UTF8')::jsonb -> 'ids' ->> 0))
	from flowforge.serve('POST', path, '', jsonb_build_object(header, key), convert_to(body, 'UTF8')) s
$$;
select pg_temp.once('k-1', '{"name": "api/kept"}') as first \gset
select :'first' ~ '^200 false', pg_temp.once('k-1', '{"name": "api/kept"}') = replace(:'first', 'false', 'true');
select pg_temp.once('k-1', '{"name": "api/kept"}', header => 'x-idempotency-key') = replace(:'first', 'false', 'true');
select pg_temp.once('k-1', '{"name": "api/other"}');
select pg_temp.once('k-1', '{"name": "api/kept"}', '/api/v1/events/batch');
select count(*) from flowforge.events where name = 'api/kept';
select pg_temp.once('k-2', '{}');
select pg_temp.once('k-2', '{"name": "api/kept"}') ~ '^200 false';
select pg_temp.once('', '{}');
select pg_temp.once(repeat('k', 256), '{}');
update flowforge.request_key set expires_at = now() - interval '1 s' where key = 'k-1';
select pg_temp.once('k-1', '{"name": "api/later"}') ~ '^200 false';
select pg_temp.once('k-1', '{"name": "api/later"}') ~ '^200 true';

-- With a signing key, callers must prove who they are. The hash is the protocol's test vector.
alter system set flowforge.signing_key = 'signkey-prod-12345678';
alter system set flowforge.signing_key_fallback = 'signkey-prod-87654321';
alter system set flowforge.event_keys = 'first, second';
select pg_reload_conf(), pg_sleep(0.5);
\set good '{"authorization": "Bearer signkey-prod-b2ed992186a5cb19f6668aade821f502c1d00970dfd0e35128d51bac4649916c"}'
select * from pg_temp.req('GET', '/api/v1/runs', 'limit=1');
select status, body from pg_temp.req('GET', '/api/v1/runs', 'limit=1', '{"authorization": "Bearer signkey-prod-12345678"}');
select status from pg_temp.req('GET', '/api/v1/runs', 'limit=1', :'good');
select status from pg_temp.req('GET', '/api/v1/runs', 'limit=1', jsonb_build_object('authorization', 'bearer ' || flowforge.key_hash('signkey-prod-87654321')));
select status from pg_temp.req('GET', '/health');
select status, body from pg_temp.req('GET', '/dev');
select status, body from pg_temp.req('POST', '/e/third', '', '{}', '{"name": "api/nobody"}');
select status from pg_temp.req('POST', '/e/second', '', '{}', '{"name": "api/nobody"}');
select status from pg_temp.req('POST', '/e/', '', '{}', '{"name": "api/nobody"}');
select * from pg_temp.req('POST', '/fn/register', '', '{}', '{}');
select status, body from pg_temp.req('POST', '/fn/register', '', '{"x-inngest-expected-server-kind": "dev"}', '{}');
alter system reset flowforge.signing_key;
alter system reset flowforge.signing_key_fallback;
alter system reset flowforge.event_keys;
select pg_reload_conf(), pg_sleep(0.5);
select status from pg_temp.req('GET', '/dev');

-- The gateway's role can do this and nothing else.
\set SHOW_CONTEXT never
set role flowforge_gateway;
select status from flowforge.serve('GET', '/health', '', '{}', null);
select count(*) > 0 from flowforge.route;
select count(*) from flowforge.stream_read('{}', '{}', '{}');
select count(*) from flowforge.run;
select flowforge.register_app('{}');
reset role;

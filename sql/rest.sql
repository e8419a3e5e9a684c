-- What SDKs and their tools ask of the server beside sending events: invoking, looking at runs, cancelling many, the dev server's face.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;

-- Ids and times differ from run to run.
create function pg_temp.masked(text) returns text
language sql as $$
	select regexp_replace(regexp_replace(regexp_replace(replace($1, flowforge.version(), '<version>'),
		'[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}', '<uuid>', 'g'),
		'\m0[0-9A-HJKMNP-TV-Z]{25}\M', '<ulid>', 'g'),
		'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*\+00:00', '<time>', 'g')
$$;
create function pg_temp.req(
	method text, path text, query text default '', headers jsonb default '{}', body text default null,
	out status integer, out headers text, out body text
) language sql as $$
	select s.status, pg_temp.masked(s.headers), pg_temp.masked(convert_from(s.body, 'UTF8'))
	from flowforge.serve(method, path, query, headers, convert_to(body, 'UTF8')) s
$$;
\pset format unaligned
\pset tuples_only on
\pset fieldsep '\n'

select (ff_register_app('http://127.0.0.1:9/sdk', 'sdk', '[{"id": "sdk-one", "triggers": [{"event": "sdk/one"}]}]') -> 'modified');

-- One function by its id, whatever its triggers; what a caller might forge is replaced, a repeat starts nothing.
select status, body from pg_temp.req('POST', '/invoke/sdk-one', '', '{}', '{"name": "ignored", "data": {"n": 1, "_inngest": {"correlation_id": "forged"}}}');
select status, body from pg_temp.req('POST', '/invoke/sdk%2Done');
select status, body from pg_temp.req('POST', '/invoke/sdk-one', '', '{}', '{"id": "once"}');
select status, body from pg_temp.req('POST', '/invoke/sdk-one', '', '{}', '{"id": "once"}');
select e.name, e.data, e.external_id, count(r.run_id) as runs from flowforge.event e left join flowforge.run r using (tenant_id, event_id)
where e.name = 'inngest/function.invoked' group by e.event_id, 1, 2, 3 order by e.event_id;
select status, body from pg_temp.req('POST', '/invoke/sdk-none', '', '{}', '{}');
select status, body from pg_temp.req('POST', '/invoke/sdk-one', '', '{}', '{"data": 7}');
select status, body from pg_temp.req('POST', '/invoke/sdk-one', '', '{}', '[]');
select status, body from pg_temp.req('POST', '/invoke/');


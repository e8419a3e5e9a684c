-- What tools of SDKs ask of the server beside sending events: invoking, looking at runs, cancelling many, the dev server's face.
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


-- REST v1: the same things under the names those clients know. An event nobody knows has no runs, as one that is on its way.
select run_id as run, event_id as event from flowforge.runs where function = 'sdk-one' order by run_id limit 1 \gset
select status, regexp_replace(body, '"ts": \d+', '"ts": <ms>') from pg_temp.req('GET', '/v1/events/' || :'event');
select status, body from pg_temp.req('GET', '/v1/events/' || flowforge.ulid(:'event') || '/runs');
select status, body from pg_temp.req('GET', '/v1/events/01ARZ3NDEKTSV4RRFFQ69G5FAV/runs');
select status, body from pg_temp.req('GET', '/v1/events/01ARZ3NDEKTSV4RRFFQ69G5FAV');
select status, body from pg_temp.req('GET', '/v1/events/order-1');
select jsonb_array_length(convert_from(s.body, 'UTF8')::jsonb -> 'data') from flowforge.serve('GET', '/v1/events', 'name=inngest/function.invoked&limit=2', '{}', null) s;
select jsonb_array_length(convert_from(s.body, 'UTF8')::jsonb -> 'data') from flowforge.serve('GET', '/v1/events', 'name=inngest/function.invoked&cursor=' || flowforge.ulid(:'event'), '{}', null) s;
select status, body from pg_temp.req('GET', '/v1/events', 'received_after=soon');
select status, body from pg_temp.req('GET', '/v1/runs/' || :'run');
select status, body from pg_temp.req('GET', '/v1/runs/' || :'run' || '/jobs');
select status, body from pg_temp.req('GET', '/v1/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV');
select status, body from pg_temp.req('DELETE', '/v1/runs/' || :'run');
select status, body from pg_temp.req('DELETE', '/v1/runs/nonsense');

-- Cancelling many: a span of time and an expression over the event.
create function pg_temp.cancel(body jsonb) returns text
language sql as $$
	select s.status || ' ' || coalesce((convert_from(s.body, 'UTF8')::jsonb -> 'data' -> 'runs')::text, convert_from(s.body, 'UTF8'))
	from flowforge.serve('POST', '/v1/cancellations', '', '{}', convert_to((jsonb_build_object('app_id', 'sdk', 'function_id', 'one',
		'started_before', now()) || body)::text, 'UTF8')) s
$$;
delete from flowforge.inbox;
select count(*) from ff_send_events('[{"name": "sdk/one", "data": {"n": 1}}, {"name": "sdk/one", "data": {"n": 2}}, {"name": "sdk/one", "data": {"n": 2}}]');
select pg_temp.cancel('{"if": "event.data.n == 2"}');
select count(*), count(distinct run_id), min(kind) from flowforge.inbox;
select pg_temp.cancel('{"if": "event.data.n =="}');
select pg_temp.cancel('{"started_before": "2020-01-01T00:00:00Z"}');
select pg_temp.cancel('{"started_after": "2020-01-01T00:00:00Z", "if": null}');
select pg_temp.cancel('{"started_after": "2120-01-01T00:00:00Z"}');
select pg_temp.cancel('{"started_before": "2120-01-01T00:00:00Z"}');
select pg_temp.cancel('{"started_before": null}');
select pg_temp.cancel('{"started_before": "yesterday, or so"}');
select pg_temp.cancel('{"function_id": "two"}');
select pg_temp.cancel('{"app_id": 7}');
select pg_temp.cancel('{"if": 7}');
select status, body from pg_temp.req('POST', '/v1/cancellations', '', '{}', '[]');
select x.value - 'started_before' - 'created_at' - 'id'
from flowforge.serve('GET', '/v1/cancellations', '', '{}', null) s, jsonb_array_elements(convert_from(s.body, 'UTF8')::jsonb -> 'data') x;
select cancellation_id as one from flowforge.cancellation limit 1 \gset
select status, body from pg_temp.req('DELETE', '/v1/cancellations/' || :'one');
select status, body from pg_temp.req('DELETE', '/v1/cancellations/' || :'one');

-- GraphQL: what a query asks for becomes fields, with variables, fragments and directives resolved.
create function pg_temp.fields(query text, variables jsonb default null, operation text default null) returns text
language sql as $$
	select flowforge.graphql_fields(query, variables, operation)::text
$$;
select pg_temp.fields('{ a b: c { d } }');
select pg_temp.fields('query Q($x: [ID!]! = ["1"], $y: Int) { a(x: $x, y: $y, z: {k: [1, -2.5e1, true, null, WORD, "t\u00e9\n"]}) }', '{"y": 7}');
select pg_temp.fields('query { ...F ... on T { b } ... { c } } fragment F on T { a ...G } fragment G on T { g }');
select pg_temp.fields('query ($yes: Boolean = true) { a @include(if: $yes) b @skip(if: $yes) c @include(if: false) @other { d } ...F @skip(if: $yes) } fragment F on T { f }');
select pg_temp.fields('{ a { b { ...F } } } fragment F on T { f }');
select pg_temp.fields('query One { a } query Two { b }', null, 'Two');
select pg_temp.fields(E'# a comment, and commas\n{ a(t: """block "text" here"""), }');
\set VERBOSITY default
select pg_temp.fields('');
select pg_temp.fields('{ a ');
select pg_temp.fields('{ a(b: ) }');
select pg_temp.fields('{ a(b: "no end) }');
select pg_temp.fields('{ a(b: 1.2.3) }');
select pg_temp.fields('mutation { a }');
select pg_temp.fields('{ ...Nobody }');
select pg_temp.fields('query One { a }', null, 'Two');
select pg_temp.fields('{ ...F } fragment F on T { ...F }');
select pg_temp.fields(repeat('{ a ', 40));
select pg_temp.fields('{ ...A } ' || (select string_agg(format('fragment %s on T { %s }', chr(64 + i), repeat('...' || chr(65 + i) || ' ', 10)), ' ')
	from generate_series(1, 20) i) || ' fragment U on T { u }');
select pg_temp.fields('{ a(b: ' || repeat('[', 2000) || ') }');
\set VERBOSITY terse

-- What the development server is asked: runs with their trace, outputs, the stream, events, apps.
create function pg_temp.gql(query text, variables jsonb default '{}') returns text
language sql as $$
	select s.status || ' ' || pg_temp.masked(convert_from(s.body, 'UTF8'))
	from flowforge.serve('POST', '/v0/gql', '', '{}', convert_to(jsonb_build_object('query', query, 'variables', variables)::text, 'UTF8')) s
$$;
insert into flowforge.step (tenant_id, run_id, step_id, position, op, name, status, attempt, memo, started_at, ended_at) values
(1, :'run', 'aa', 1, 'run', 'first', 'completed', 1, '{"data": {"n": [1]}}', now(), now() + interval '2 s'),
(1, :'run', 'bb', 2, 'wait', 'second', 'completed', 0, 'null', now(), now()),
(1, :'run', 'cc', 3, 'run', 'third', 'failed', 0, '{"error": {"name": "Error", "message": "no"}}', now(), now());
select jsonb_build_object('runId', :'run', 'eventId', :'event', 'first', :'run' || '.aa', 'third', :'run' || '.cc') as ids \gset
select pg_temp.gql('query ($runId: String!) { run(runID: $runId) { status function { id app { name } } trace(preview: true) { status outputID
	childrenSpans { name stepType attempts duration status metadata { scope kind } childrenSpans { name } } } } }', :'ids');
select pg_temp.gql('query ($first: String!, $third: String!) { a: runTraceSpanOutputByID(outputID: $first) { data error { name } }
	b: runTraceSpanOutputByID(outputID: $third) { data error { name message stack cause } } }', :'ids');
select pg_temp.gql('query ($runId: String!) { runTrigger(runID: $runId) { eventName IDs cron } runTrace(runID: $runId) { name isRoot } }', :'ids');
select pg_temp.gql('{ stream(query: {limit: 1, includeInternalEvents: false}) { id trigger runs { id function { name } } } }');
select pg_temp.gql('query ($query: EventsQuery!) { events(query: $query) { name payload } }', '{"query": {"name": "sdk/one", "limit": 2}}');
select regexp_replace(pg_temp.gql('query ($eventId: ID!) { eventV2(id: $eventId) { idempotencyKey name raw } }', :'ids'), '\d{13}', '<ms>');
select pg_temp.gql('{ __typename functionBySlug(query: {functionSlug: "sdk-one"}) { __typename name triggers { type value condition } } }');
select pg_temp.gql('{ run(runID: "01ARZ3NDEKTSV4RRFFQ69G5FAV") { status } eventV2(id: "01ARZ3NDEKTSV4RRFFQ69G5FAV") { name } }');
select pg_temp.gql('{ run(runID: "nonsense") { status } }');
select pg_temp.gql('{ nothing }');
select pg_temp.gql('{ apps { nothing } }');
select pg_temp.gql('{ apps { name { nothing } } }');
select pg_temp.gql('{');
select status, body from pg_temp.req('POST', '/v0/gql', '', '{}', '{}');
select status, body from pg_temp.req('POST', '/v0/gql', '', '{}', '[]');

-- Metadata about runs and steps.
create function pg_temp.note(target jsonb, change jsonb) returns text
language sql as $$
	select s.status || coalesce(' ' || (convert_from(s.body, 'UTF8')::jsonb ->> 'error'), '')
	from flowforge.serve('POST', '/v1/runs/' || (select r.run_id from flowforge.runs r where function = 'sdk-one' order by run_id limit 1) || '/metadata',
		'', '{}', convert_to(jsonb_build_object('target', target, 'metadata', jsonb_build_array(change))::text, 'UTF8')) s
$$;
select pg_temp.note('{}', '{"kind": "inngest.score", "op": "merge", "values": {"good": {"value": 1}}}');
select pg_temp.note('{}', '{"kind": "inngest.score", "op": "merge", "values": {"fast": {"value": true}}}');
select pg_temp.note('{"step_id": "first"}', '{"kind": "userland.default", "op": "set", "values": {"tokens": 5, "model": "a"}}');
select pg_temp.note('{"step_id": "first"}', '{"kind": "userland.default", "op": "add", "values": {"tokens": 2.5, "cost": 1}}');
select pg_temp.note('{"step_id": "first"}', '{"kind": "userland.default", "op": "delete", "values": {"model": null}}');
select pg_temp.note('{"step_id": "first", "step_attempt": 1}', '{"kind": "userland.default", "op": "set", "values": {"try": 1}}');
select scope, step, kind, values from flowforge.run_metadata order by scope, kind;
select pg_temp.masked(pg_temp.gql('query ($runId: String!) { run(runID: $runId) { trace { metadata { scope kind values } childrenSpans { name metadata { scope values } } } } }', :'ids'));
select pg_temp.note('{}', jsonb_build_object('kind', 'k', 'op', 'set', 'values', jsonb_build_object('long', repeat('x', 65536))));
select pg_temp.note('{"step_index": 1}', '{}');
select pg_temp.note('{"step_id": 7}', '{}');
select pg_temp.note('{"step_id": "a", "step_index": 1.5}', '{}');
select pg_temp.note('[]', '{}');
select pg_temp.note('{}', '[]');
select pg_temp.note('{}', '{"op": "set", "values": {}}');
select pg_temp.note('{}', '{"kind": "k", "op": "multiply", "values": {}}');
select pg_temp.note('{}', '{"kind": "k", "op": "set", "values": 7}');
select status, body from pg_temp.req('POST', '/v1/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV/metadata', '', '{}', '{"target": {}, "metadata": []}');

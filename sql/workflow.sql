-- Workflows: drafts, publishing, versions, differences, triggers, test runs, roles, and functions of the database. What runs do is tested elsewhere.
\set VERBOSITY default
\set SHOW_CONTEXT never
\pset null ~
create function pg_temp.node(id text, config jsonb default '{"mapping": {"x": 1}}', type text default 'transform') returns jsonb
language sql as $$ select jsonb_build_object('id', id, 'type', type, 'position', '{"x": 0, "y": 0}'::jsonb, 'data', jsonb_build_object('config', config)) $$;
create function pg_temp.graph(variadic ids text[]) returns jsonb
language sql as $$
	select jsonb_build_object('nodes', jsonb_agg(pg_temp.node(i) order by n), 'edges', coalesce((
		select jsonb_agg(jsonb_build_object('id', format('e%s', k), 'source', ids[k], 'target', ids[k + 1]) order by k) from generate_series(1, cardinality(ids) - 1) k), '[]'))
	from unnest(ids) with ordinality u (i, n)
$$;
create view pg_temp.state as
select workflow, name, status, version, has_draft as draft, draft_version as next, split_part(rtrim(etag, '"'), '.', 2) as revision from flowforge.workflows;

-- a draft may be unfinished; its name makes the slug; documents keep what we do not know
select workflow, name, status, version, has_draft, draft_version, definition, settings, input_schema, triggers, created_by, role
from ff_workflow_create('  Order Flow!  '::text);
select workflow, name, status, version, has_draft, draft_version, definition, settings, input_schema, triggers, created_by, role
from ff_workflow_create('Order Flow!', '{"nodes": [], "viewport": {"zoom": 2}, "name": "not this one", "settings": {"max_concurrency": 3}}', 'What it is for');
select ff_workflow_create('Order Flow!');
select workflow from ff_workflow_create('order flow');
select ff_workflow_create('a' || chr(10)), 1;
select ff_workflow_create('bad', '[]');
select ff_workflow_create('bad', '{"nodes": {}}');
select ff_workflow_create('bad', '{"settings": []}');
select ff_workflow_create('bad', triggers => '{}');
select ff_workflow_create('bad', input_schema => '"x"');
select workflow from ff_workflow_create('Über');
select ff_workflow_delete('order-flow-2');

-- what keeps it from being published is told all at once, to people and to programs
select valid, jsonb_path_query_array(errors, '$[*].code') as errors from jsonb_to_record(ff_workflow_problems('order-flow')) r (valid boolean, errors jsonb);
select ff_workflow_publish('order-flow');
select revision from pg_temp.state where workflow = 'order-flow';
create function pg_temp.try_publish(workflow text) returns jsonb language plpgsql as $$
declare
	findings text;
	code text;
begin
	perform ff_workflow_publish(workflow);
	return '"published"';
exception when others then
	get stacked diagnostics findings = pg_datatype_name, code = returned_sqlstate;
	return jsonb_build_object('code', code, 'findings', (select jsonb_agg(f - 'hint') from jsonb_array_elements(findings::jsonb) f));
end
$$;
select name from ff_workflow_update('order-flow', pg_temp.graph('a'), input_schema => '{"type": "nothing"}', triggers => '[{"event": "order/*/x"}, {"cron": "every day"},
	{"event": "a", "cron": "@daily"}, {"webhook": "nowhere"}, 5, {"event": "order/created", "if": "event.data.total >"}, {"manual": true}]');
select jsonb_pretty(pg_temp.try_publish('order-flow'));

-- publishing freezes it, and its triggers start it
select ff_create_hook('orders', 'hook/order');
select name from ff_workflow_update('order-flow', input_schema => '{"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}',
	triggers => '[{"event": "order/created", "if": "event.data.total > 10"}, {"event": "order/paid"}, {"cron": "0 9 * * 1", "jitter": "30s"}, {"webhook": "orders"}, {"manual": true}]');
select * from pg_temp.state where workflow = 'order-flow';
select f.archived_at is not null as archived, f.version, f.kind from flowforge.function f where slug = 'order-flow';
select workflow, status, version, has_draft, published_at is not null as published from ff_workflow_publish('order-flow');
select f.archived_at is not null as archived, f.version, f.kind, v.retries, jsonb_object_keys(v.config) as config
from flowforge.function f join flowforge.function_version v using (tenant_id, function_id, version) where slug = 'order-flow' order by 5;
select kind, version, event, expression, cron from flowforge.trigger where function_id = flowforge.workflow_id_of('order-flow') order by trigger_id;
select cron, jitter, catch_up from flowforge.schedule where function_id = flowforge.workflow_id_of('order-flow');
-- a hook that is made anew for another event starts it by that
select ff_create_hook('orders', 'hook/other');
select event from flowforge.trigger where function_id = flowforge.workflow_id_of('order-flow') and event like 'hook/%';
-- a second publisher finds nothing left to do
select workflow, version, etag = lag from ff_workflow_publish('order-flow'), (select etag as lag from flowforge.workflows where workflow = 'order-flow') e;
update flowforge.function_version set config = '{}' where false;

-- runs: by event, by hand, with a key
select ff_send_event('order/created', '{"id": "o1", "total": 11}') is not null as sent;
select ff_send_event('order/created', '{"id": "o2", "total": 9}') is not null as sent;
select ff_workflow_run('order-flow', '{"id": "o3"}') is not null as started;
select ff_workflow_run('order-flow', '{"id": "o4"}', 'once') = ff_workflow_run('Order Flow!', '{"id": "o5"}', 'once') as same;
select ff_run('order-flow', '{"id": "o6"}') is not null as started;
select function, version, event_name, status from flowforge.runs where function = 'order-flow' order by run_id;
select ff_workflow_run('order-flow', '{"id": 3}');
select ff_run('order-flow', '{}');
select ff_workflow_run('order-flow', '[]');
select ff_workflow_run('nothing');
select ff_workflow_run('uber');
select ff_workflow_run(id::text) from flowforge.workflows where name = 'Über';

-- editing what is published makes the next version's draft; the version stays as it is
select workflow, status, version, has_draft, draft_version from ff_workflow_update('order-flow', pg_temp.graph('a', 'b'));
select jsonb_array_length(definition -> 'nodes') as working, (select jsonb_array_length(definition -> 'nodes') from ff_workflow_get('order-flow', 1)) as published
from ff_workflow_get('order-flow');
select ff_workflow_get('order-flow', 3);
select ff_workflow_get('nothing');
-- and takes it back when it is again the same
select version, has_draft, draft_version from ff_workflow_update('order-flow', pg_temp.graph('a'));
-- a name changes at once, the slug never
select workflow, name, version, has_draft from ff_workflow_update('order-flow', name => 'Orders', description => 'New');
select name from flowforge.functions where function = 'order-flow';
select ff_workflow_update('order-flow', name => 'Über');
select ff_workflow_update('order-flow', name => ' ');

-- whoever has not seen the last change does not overwrite it
select etag as seen from flowforge.workflows where workflow = 'order-flow' \gset
select has_draft from ff_workflow_update('order-flow', pg_temp.graph('a', 'b', 'c'), expected_etag => :'seen');
\set VERBOSITY terse
select ff_workflow_update('order-flow', pg_temp.graph('a', 'z'), expected_etag => :'seen') is null;
select ff_workflow_publish('order-flow', :'seen') is null;
select ff_workflow_archive('order-flow', :'seen') is null;
\set VERBOSITY default

-- test runs are of the draft as it is, and one snapshot serves all that are the same
select ff_workflow_run('order-flow', '{"id": "t1"}', draft => true) is not null as started;
select ff_workflow_run('order-flow', '{"id": "t2"}', draft => true) is not null as started;
select has_draft from ff_workflow_update('order-flow', pg_temp.graph('a', 'c'));
select ff_workflow_run('order-flow', '{"id": "t3"}', draft => true) is not null as started;
select has_draft from ff_workflow_update('order-flow', pg_temp.graph('a', 'b', 'c'));
select ff_workflow_run('order-flow', '{"id": "t4"}', 'key', draft => true) is not null as started;
select version, count(*) from flowforge.runs where function = 'order-flow' and version < 0 group by 1 order by 1 desc;
select ff_workflow_run('order-flow', '{}', draft => true);
select ff_workflow_run('uber', '{}', draft => true);
-- nothing else has changed by them
select version, event from flowforge.functions, jsonb_path_query(triggers, '$[*].event') event where function = 'order-flow';

-- versions and what is different between them
select version, has_draft from ff_workflow_update('order-flow', jsonb_set(pg_temp.graph('a', 'b', 'c'), '{nodes,0}',
	pg_temp.node('a', '{"mapping": {"x": 2, "y": "{{ input.id }}"}}') || '{"position": {"x": 99}}'), settings => '{"max_concurrency": 5}');
select jsonb_pretty(ff_workflow_diff('order-flow'));
select version from ff_workflow_publish('order-flow');
select version, current, name, nodes, edges from ff_workflow_versions('order-flow');
select ff_workflow_diff('order-flow', 2, 1) #> '{nodes,removed,0,id}' as back, ff_workflow_diff('order-flow', 1, 1) #> '{nodes,changed}' as same;
select ff_workflow_diff('order-flow', 1, 7);
select ff_workflow_diff('uber') #> '{nodes,added}' as everything;
select version, count(*) from flowforge.trigger where function_id = flowforge.workflow_id_of('order-flow') group by 1;

-- copies
select workflow, name, status, version, jsonb_array_length(triggers) as triggers, description from ff_workflow_duplicate('order-flow');
select name from ff_workflow_duplicate('order-flow');
select name from ff_workflow_duplicate('Orders (copy)');
select name, workflow from ff_workflow_duplicate('orders-copy', 'Another');
select ff_workflow_duplicate('orders-copy', 'Another');

-- out of use
\set VERBOSITY terse
select ff_workflow_delete('order-flow');
select status, version from ff_workflow_archive('order-flow');
select status from ff_workflow_archive('order-flow');
select count(*) from flowforge.trigger where function_id = flowforge.workflow_id_of('order-flow');
select count(*) from flowforge.schedule where function_id = flowforge.workflow_id_of('order-flow');
select ff_workflow_update('order-flow', '{"nodes": []}');
select ff_workflow_publish('order-flow');
select ff_workflow_run('order-flow', '{"id": "x"}');
select ff_run('order-flow', '{"id": "x"}');
-- an app cannot take its name while it is there
select ff_register_app('http://127.0.0.1:9/api', 'order', '[{"id": "order-flow"}]');
select ff_workflow_delete('order-flow');
select ff_workflow_get('order-flow');
-- its runs stay known, and a workflow of that name goes on with the versions
select count(*) from flowforge.runs where function = 'order-flow';
select workflow, status, version, draft_version from ff_workflow_create('Order Flow', pg_temp.graph('q'));
select ff_run('order-flow', '{}');
select version from ff_workflow_publish('order-flow');
select status from ff_workflow_archive('order-flow');
select ff_workflow_delete('order-flow');
select ff_register_app('http://127.0.0.1:9/api', 'order', '[{"id": "order-flow"}]') ->> 'ok' as taken;
select kind, version, role from flowforge.functions f join flowforge.function g using (function_id, kind, version) where function = 'order-flow';

-- roles: statements run as who made it; nobody else says what they are
create role wf_ann login;
create role wf_bob login;
grant execute on all functions in schema public to wf_ann, wf_bob;
set role wf_ann;
select workflow, role, created_by from ff_workflow_create('Ann''s', pg_temp.graph('a'));
reset role;
set role wf_bob;
\set VERBOSITY default
select ff_workflow_update('ann-s', '{"nodes": []}');
\set VERBOSITY terse
select ff_workflow_publish('ann-s');
select ff_workflow_run('ann-s', draft => true);
select ff_workflow_archive('ann-s');
select ff_workflow_delete('ann-s');
select ff_workflow_set_role('ann-s', 'wf_ann');
select role, created_by from ff_workflow_duplicate('ann-s');
reset role;
set role wf_ann;
select version from ff_workflow_publish('ann-s');
reset role;
set role wf_bob;
select ff_workflow_run('ann-s') is not null as anybody_may_run_what_is_published;
reset role;
select ff_workflow_set_role('ann-s', 'postgres');
select ff_workflow_set_role('ann-s', 'nobody');
select ff_workflow_set_role('nothing', null);
select ff_workflow_set_role('ann-s', null);
create role wf_nobody;
set role wf_nobody;
select ff_workflow_get('ann-s');
reset role;

-- functions of the database
create schema shop;
grant usage on schema shop to wf_ann;
create function shop.price(item text, amount integer) returns numeric language sql as $$ select amount * 1.5 $$;
create function shop.whole(input jsonb) returns jsonb language sql as $$ select input $$;
create function shop.now() returns timestamptz language sql as $$ select now() $$;
create function shop.several() returns setof integer language sql as $$ select 1 $$;
create function shop.unnamed(integer, text) returns integer language sql as $$ select 1 $$;
create function shop.hidden() returns integer language sql as $$ select 1 $$;
comment on function shop.price(text, integer) is 'What so many cost.';
revoke execute on function shop.hidden() from public;
set role wf_ann;
select ff_register_function('price', 'shop.price(text, integer)', '{"type": "object", "required": ["item"]}', '{"type": "number", "minimum": 0}');
select ff_register_function('whole', 'shop.whole(jsonb)');
select ff_register_function('now', 'shop.now()');
\set VERBOSITY default
select ff_register_function('several', 'shop.several()');
select ff_register_function('unnamed', 'shop.unnamed(integer, text)');
select ff_register_function('hidden', 'shop.hidden()');
select ff_register_function('bad', 'shop.whole(jsonb)', '{"type": "text"}');
select ff_register_function('', 'shop.whole(jsonb)');
select ff_register_function('bad', 'shop.whole(jsonb)', settings => '{"concurrency": -1, "throttle": {"limit": 1}}');
select ff_register_function('bad', 'shop.whole(jsonb)', settings => '{"debounce": "2s"}');
select ff_register_function('bad', 'shop.whole(jsonb)', settings => '[]');
select ff_register_function('limited', 'shop.whole(jsonb)', settings => '{"concurrency": 2, "throttle": "10s", "priority": {"run": "event.data.x"}}');
\set VERBOSITY terse
select ff_register_function('ann-s', 'shop.whole(jsonb)');
select ff_register_function('order-flow', 'shop.whole(jsonb)');
select ff_register_function('whole', 'shop.whole(jsonb)');
select ff_register_function('whole', 'shop.whole(jsonb)', '{"type": "object"}');
reset role;
select v.config -> 'settings' from flowforge.function_version v join flowforge.function f using (tenant_id, function_id) where f.slug = 'limited';
set role wf_bob;
select ff_register_function('whole', 'shop.whole(jsonb)');
select ff_unregister_function('whole');
reset role;
grant usage on schema shop to wf_bob;
set role wf_bob;
select ff_register_function('whole', 'shop.whole(jsonb)');
reset role;
select ff_register_function('super', 'shop.whole(jsonb)');
select f.function, f.version, g.role, v.config ->> 'function' as calls, v.config ->> 'description' as description, v.config #> '{graph,nodes,0,data,config}' as config
from flowforge.functions f join flowforge.function g using (function_id) join flowforge.function_version v on v.function_id = f.function_id and v.version = f.version
where f.kind = 'sql' order by 1;
select ff_workflow_problems('nothing');
select (ff_workflow_validate(v.config -> 'graph')) from flowforge.functions f join flowforge.function_version v using (function_id, version) where f.function = 'price';
select ff_run('price', '{"amount": 2}');
select ff_run('price', '{"item": "x", "amount": 2}') is not null as started;
select ff_unregister_function('price');
select ff_unregister_function('price');
select ff_schema_require('1', '{"type": "integer"}');
select ff_schema_require('"1"', '{"type": "integer"}');
drop owned by wf_ann, wf_bob, wf_nobody;
drop role wf_ann, wf_bob, wf_nobody;
drop schema shop cascade;

-- over HTTP: findings, ETags, keys
create function pg_temp.req(method text, path text, body jsonb default null, headers jsonb default '{}') returns table (status integer, etag text, body jsonb)
language sql as $$
	select s.status, substring(s.headers from 'etag: "[^.]*\.(\d+)"'), nullif(convert_from(s.body, 'UTF8'), '')::jsonb
	from flowforge.serve(method, split_part(path, '?', 1), split_part(path, '?', 2), headers, convert_to(body::text, 'UTF8')) s
$$;
select status, etag, body ->> 'workflow' as workflow, body ->> 'status' as is from pg_temp.req('POST', '/api/v1/workflows', '{"name": "Web", "definition": {"nodes": [], "edges": []}}');
select a.body ->> 'created_by' as by, b.body ->> 'created_by' as copied_by, pg_temp.req('DELETE', '/api/v1/workflows/' || (b.body ->> 'id')) is not null as gone,
	pg_temp.req('DELETE', '/api/v1/workflows/' || (a.body ->> 'id')) is not null as gone
from pg_temp.req('POST', '/api/v1/workflows', '{"name": "Nobody''s"}') a,
	pg_temp.req('POST', '/api/v1/workflows/' || (a.body ->> 'id') || '/duplicate', '{"created_by": "ann@example.com"}') b;
select status, body -> 'code' as code from pg_temp.req('POST', '/api/v1/workflows', '{"name": "Odd", "created_by": 1}');
select status, body -> 'code' as code, body -> 'hint' as hint from pg_temp.req('POST', '/api/v1/workflows', '{"name": "Web"}');
select status, body -> 'code' as code, body -> 'errors' as errors from pg_temp.req('POST', '/api/v1/workflows', '{"name": "Bad", "definition": []}');
select status, body -> 'detail' as detail, body -> 'errors' as errors from pg_temp.req('POST', '/api/v1/workflows/web/publish');
select status, body -> 'valid' as valid from pg_temp.req('POST', '/api/v1/workflows/web/validate', jsonb_build_object('definition', pg_temp.graph('a')));
select status, etag, body -> 'input_schema' as input from pg_temp.req('PUT', '/api/v1/workflows/web', jsonb_build_object('definition', pg_temp.graph('a'), 'input_schema', '{"required": ["x"]}'::jsonb));
select etag as seen from flowforge.workflows where workflow = 'web' \gset
select status, etag from pg_temp.req('PUT', '/api/v1/workflows/web', '{"description": "d"}', jsonb_build_object('if-match', :'seen'));
select status, body -> 'code' as code, body -> 'hint' as hint from pg_temp.req('PUT', '/api/v1/workflows/web', '{"description": "e"}', jsonb_build_object('if-match', :'seen'));
select status, etag from pg_temp.req('PUT', '/api/v1/workflows/web', '{"description": "e"}', '{"if-match": "*"}');
select status, body ->> 'version' as version from pg_temp.req('POST', '/api/v1/workflows/web/publish');
select etag as seen from flowforge.workflows where workflow = 'web' \gset
select status, body from pg_temp.req('GET', '/api/v1/workflows/web', headers => jsonb_build_object('if-none-match', :'seen'));
select status, body -> 'code' as code, body -> 'detail' as detail, body -> 'hint' as hint from pg_temp.req('PUT', '/api/v1/workflows/web', '{"version": 1, "description": "e"}');
select status, body -> 'code' as code from pg_temp.req('DELETE', '/api/v1/workflows/web');
select status, body -> 'detail' as detail, body -> 'errors' as errors from pg_temp.req('POST', '/api/v1/workflows/web/run', '{"input": {}}');
select a.status, a.body = b.body as same from pg_temp.req('POST', '/api/v1/workflows/web/run', '{"input": {"x": 1}}', '{"x-idempotency-key": "wk"}') a,
	pg_temp.req('POST', '/api/v1/workflows/web/run', '{"input": {"x": 1}}', '{"x-idempotency-key": "wk"}') b;
select status, body -> 'code' as code from pg_temp.req('GET', '/api/v1/workflows/none');
select status, body -> 'code' as code from pg_temp.req('GET', '/api/v1/workflows/web/diff?from=x');
select jsonb_array_length(a.body -> 'data') as first, jsonb_path_query_array(b.body, '$.data[*].name') as then
from pg_temp.req('GET', '/api/v1/workflows?limit=1') a, pg_temp.req('GET', '/api/v1/workflows?status=draft&search=copy&limit=2&cursor=' || (a.body ->> 'next_cursor')) b;
select status, body -> 'status' as is from pg_temp.req('POST', '/api/v1/workflows/web/archive');
select status, body -> 'result' as result from pg_temp.req('DELETE', '/api/v1/workflows/web');
select k.invariant, k.detail from flowforge.fsck() k join flowforge.run r using (run_id) join flowforge.function f using (tenant_id, function_id) where f.kind <> 'sdk' and exists (select from flowforge.run_hot h where h.run_id = r.run_id);

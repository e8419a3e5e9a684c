-- Every route is complete, and what it answers is what its schema says.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;

-- What is wrong with an answer by the schema of its route, which refers to the components of the document it is in.
create function pg_temp.wrong(given jsonb, wanted jsonb) returns text
language sql as $$
	select flowforge.findings_text(flowforge.schema_check(wanted || jsonb_build_object('components', jsonb_build_object('schemas', (
		select jsonb_object_agg(s.name, s.schema) from flowforge.route_schema s))), given), '$')
$$;

select plan(10 + (select count(*)::integer from flowforge.route where response_schema ->> 'contentMediaType' is null));

select is_empty('select pattern from flowforge.route where summary = '''' or summary ~ ''[.]$''', 'every route has a summary');
select is_empty('select pattern from flowforge.route where scope not in (''public'', ''event_key'', ''user'') and scope not in (select s.scope from flowforge.scopes() s)',
	'every route has a known scope');
select is_empty('select pattern from flowforge.route where response_schema = ''{}''', 'every route has a schema of its answer');
select is_empty('select pattern from flowforge.route where method in (''POST'', ''PUT'', ''PATCH'') and request_schema = ''{}''',
	'every route with a body has a schema of it');
select is_empty('select pattern from flowforge.route where to_regprocedure(function || ''(flowforge.request)'') is null',
	'every route has its function');
select is_empty($$
	select pattern from flowforge.route r join pg_proc p on p.oid = to_regprocedure(r.function || '(flowforge.request)')
	where p.prorettype <> 'flowforge.response'::regtype
$$, 'every function of a route answers a response');
select is_empty($$
	select pattern from flowforge.route where scope = 'public' and pattern not in ('/dev', '/health', '/ready', '/api/docs', '/api/openapi.json', '/v1/http/runs/{id}/output', '/hooks/{path}', '/api/v1/hooks/{path}', '/approve/{token}',
		'/api/v1/auth/login', '/api/v1/auth/verify-2fa', '/api/v1/auth/refresh')
$$, 'only these routes are open to everybody');
select is_empty('select pattern from flowforge.route where lane = ''ingest'' and method <> ''POST''', 'the ingest lane is for writing');

-- One request for each route, with something to show.
select is(ff_register_app('http://127.0.0.1:9/api', 'routes', '[{"id": "routes-a", "triggers": [{"event": "routes/a"}, {"cron": "@daily"}]}]') ->> 'ok',
	'true', 'an app registers');
select ff_send_event('routes/a', '{"n": 1}', 'routes-1', '{"id": 1}') as event \gset
select ff_create_hook('routes', 'routes/hook') as hook \gset
select run_id as run from flowforge.run where event_id = :'event' \gset
insert into flowforge.run_event_batch (tenant_id, run_id, seq, events)
values (1, :'run', 2, '[{"t": "step.completed", "at": 1733486402000000, "s": "abc", "n": "first", "a": 1, "d": {"took_ms": 5}}]');
insert into flowforge.step (tenant_id, run_id, step_id, position, op, name, status, attempt, memo, started_at, ended_at)
values (1, :'run', 'abc', 1, 'run', 'first', 'completed', 1, '{"data": 1}', now(), now());
insert into flowforge.approval (tenant_id, run_id, step_id, name, prompt, approvers, form, expires_at)
values (1, :'run', 'abc', 'ask', 'Ship it?', '["ann"]', '{"type": "object"}', now() + interval '1 day') returning approval_id as approval \gset
insert into flowforge.approval (tenant_id, run_id, step_id, name, prompt, expires_at)
values (1, :'run', 'abd', 'ask', 'Or not?', now() + interval '1 day') returning approval_id as other_approval \gset
insert into flowforge.approval (tenant_id, run_id, step_id, name, prompt, expires_at)
values (1, :'run', 'abe', 'ask', 'By a link?', now() + interval '1 day') returning approval_id as linked_approval \gset
select ff_approval_link(:'linked_approval') as link \gset
insert into flowforge.cancellation (tenant_id, function_id, started_before, runs)
select 1, function_id, now(), 0 from flowforge.function where slug = 'routes-a' returning cancellation_id as cancellation \gset
select app_id as app from flowforge.app where name = 'routes' \gset
insert into flowforge.signal (tenant_id, name, run_id, step_id) values (1, 'routes', :'run', 'def');

select id as workflow from ff_workflow_create('Routes', '{"nodes": [{"id": "a", "type": "transform", "data": {"config": {"mapping": {"x": 1}}}}], "edges": []}') \gset
create table public.routes_orders (id integer primary key);

create temp table request (method text, pattern text, path text, body text, headers jsonb default '{}');
insert into request values
('GET', '/health', '/health', null), ('GET', '/ready', '/ready', null), ('GET', '/dev', '/dev', null),
('POST', '/e/{key}', '/e/k', '[{"name": "routes/b"}]'),
('POST', '/hooks/{path}', :'hook', 'hello'), ('POST', '/api/v1/hooks/{path}', '/api/v1' || :'hook', '{"a": 1}'),
('POST', '/invoke/{slug}', '/invoke/routes-a', '{}'),
('POST', '/fn/register', '/fn/register', '{"url": "http://a", "appName": "routes-b", "functions": []}'),
('PUT', '/fn/register', '/fn/register', '{"url": "http://a", "appName": "routes-b", "functions": []}'),
('POST', '/api/v1/events', '/api/v1/events', '{"name": "routes/a"}'),
('POST', '/api/v1/events/batch', '/api/v1/events/batch', '[{"name": "routes/a"}]'),
('GET', '/api/v1/events', '/api/v1/events', null), ('GET', '/api/v1/events/{id}', '/api/v1/events/' || :'event', null),
('GET', '/api/v1/events/{id}/runs', '/api/v1/events/' || :'event' || '/runs', null),
('GET', '/api/v1/runs', '/api/v1/runs', null), ('GET', '/api/v1/runs/{id}', '/api/v1/runs/' || :'run', null),
('GET', '/api/v1/runs/{id}/steps', '/api/v1/runs/' || :'run' || '/steps', null),
('GET', '/api/v1/runs/{id}/events', '/api/v1/runs/' || :'run' || '/events', null),
('GET', '/v0/runs/{id}/actions', '/v0/runs/' || :'run' || '/actions', null),
('GET', '/v0/runs/{id}/batch', '/v0/runs/' || :'run' || '/batch', null),
('POST', '/v1/checkpoint', '/v1/checkpoint', '{"run_id": "01M7X48DDQY5A8AA99DVBKTVDC", "event": {"name": "inngest/http.request", "data": {"domain": "http://a", "path": "/b", "method": "GET"}}}'),
('POST', '/v1/checkpoint/{id}/steps', '/v1/checkpoint/' || :'run' || '/steps', '{"steps": []}'),
('POST', '/v1/checkpoint/{id}/async', '/v1/checkpoint/' || :'run' || '/async', '{"steps": []}'),
('POST', '/v1/signals', '/v1/signals', '{"signal": "routes", "data": 1}'),
('POST', '/api/v1/runs/{id}/cancel', '/api/v1/runs/' || :'run' || '/cancel', null),
('GET', '/api/v1/runs/{id}/explain', '/api/v1/runs/' || :'run' || '/explain', null),
('POST', '/api/v1/runs/{id}/retry', '/api/v1/runs/' || :'run' || '/retry', null),
('POST', '/api/v1/runs/{id}/resume', '/api/v1/runs/' || :'run' || '/resume', '{"step_id": "first"}'),
('POST', '/api/v1/runs/{id}/replay', '/api/v1/runs/' || :'run' || '/replay', '{"from_step": "first"}'),
('POST', '/api/v1/runs/cancel', '/api/v1/runs/cancel', '{"function": "routes-a", "dry_run": true}'),
('POST', '/api/v1/runs/retry', '/api/v1/runs/retry', '{"function": "routes-a"}'),
('POST', '/api/v1/runs/replay', '/api/v1/runs/replay', '{"function": "routes-a"}'),
('POST', '/api/v1/functions/{id}/run', '/api/v1/functions/routes-a/run', '{"input": {"n": 1}, "idempotency_key": "k"}'),
('POST', '/api/v1/functions/{id}/pause', '/api/v1/functions/routes-a/pause', '{"reason": "test"}'),
('POST', '/api/v1/functions/{id}/resume', '/api/v1/functions/routes-a/resume', null),
('POST', '/api/v1/apps/{id}/pause', '/api/v1/apps/routes/pause', null),
('POST', '/api/v1/apps/{id}/resume', '/api/v1/apps/routes/resume', null),
('GET', '/api/v1/audit', '/api/v1/audit', null), ('GET', '/api/v1/audit/verify', '/api/v1/audit/verify', null),
('GET', '/api/v1/approvals', '/api/v1/approvals', null), ('GET', '/api/v1/approvals/{id}', '/api/v1/approvals/' || :'approval', null),
('POST', '/api/v1/approvals/{id}/approve', '/api/v1/approvals/' || :'approval' || '/approve', '{"data": {}, "by": "ann"}'),
('POST', '/api/v1/approvals/{id}/reject', '/api/v1/approvals/' || :'other_approval' || '/reject', null),
('POST', '/approve/{token}', :'link', '{"approved": false}'),
('GET', '/api/v1/functions', '/api/v1/functions', null), ('GET', '/api/v1/catalog/steps', '/api/v1/catalog/steps', null),
('GET', '/api/v1/functions/{id}', '/api/v1/functions/routes-a', null), ('GET', '/api/v1/apps/{id}', '/api/v1/apps/' || :'app', null),
('GET', '/api/v1/tenant', '/api/v1/tenant', null), ('PATCH', '/api/v1/tenant', '/api/v1/tenant', '{"weight": 2}'),
('PATCH', '/api/v1/functions/{id}', '/api/v1/functions/routes-a', '{"name": "A"}'),
('GET', '/api/v1/catalog/functions', '/api/v1/catalog/functions', null), ('GET', '/api/v1/apps', '/api/v1/apps', null),
('DELETE', '/api/v1/functions/{id}', '/api/v1/functions/routes-a', null),
('POST', '/api/v1/apps', '/api/v1/apps', '{"url": "http://127.0.0.1:9/nobody"}'),
('POST', '/api/v1/apps/{id}/sync', '/api/v1/apps/' || :'app' || '/sync', null), ('DELETE', '/api/v1/apps/{id}', '/api/v1/apps/' || :'app', null),
('POST', '/v1/runs/{id}/metadata', '/v1/runs/' || :'run' || '/metadata',
	'{"target": {}, "metadata": [{"kind": "inngest.score", "op": "set", "values": {"good": {"value": 1}}}]}'),
('POST', '/v0/gql', '/v0/gql', '{"query": "{ apps { name } }"}'),
('GET', '/v1/events', '/v1/events', null), ('GET', '/v1/events/{id}', '/v1/events/' || :'event', null),
('GET', '/v1/events/{id}/runs', '/v1/events/' || :'event' || '/runs', null), ('GET', '/v1/runs/{id}', '/v1/runs/' || :'run', null),
('GET', '/v1/runs/{id}/jobs', '/v1/runs/' || :'run' || '/jobs', null), ('DELETE', '/v1/runs/{id}', '/v1/runs/' || :'run', null),
('POST', '/v1/cancellations', '/v1/cancellations',
	'{"app_id": "routes", "function_id": "a", "started_before": "2020-01-01T00:00:00Z"}'),
('GET', '/v1/cancellations', '/v1/cancellations', null), ('DELETE', '/v1/cancellations/{id}', '/v1/cancellations/' || :'cancellation', null),
('GET', '/api/v1/workflows', '/api/v1/workflows', null), ('POST', '/api/v1/workflows', '/api/v1/workflows', '{"name": "Routes 2", "triggers": [{"event": "x/y"}]}'),
('POST', '/api/v1/workflows/{id}/validate', '/api/v1/workflows/routes/validate', null),
('POST', '/api/v1/workflows/{id}/test-run', '/api/v1/workflows/routes/test-run', null),
('POST', '/api/v1/workflows/{id}/publish', '/api/v1/workflows/' || :'workflow' || '/publish', null),
('POST', '/api/v1/workflows/{id}/run', '/api/v1/workflows/routes/run', '{"input": {}}'),
('PUT', '/api/v1/workflows/{id}', '/api/v1/workflows/Routes', '{"definition": {"nodes": [{"id": "b"}], "edges": []}}'),
('GET', '/api/v1/workflows/{id}', '/api/v1/workflows/routes', null), ('GET', '/api/v1/workflows/{id}/versions', '/api/v1/workflows/routes/versions', null),
('GET', '/api/v1/workflows/{id}/diff', '/api/v1/workflows/routes/diff', null),
('POST', '/api/v1/workflows/{id}/duplicate', '/api/v1/workflows/routes/duplicate', null),
('POST', '/api/v1/workflows/{id}/archive', '/api/v1/workflows/routes-copy/archive', null),
('DELETE', '/api/v1/workflows/{id}', '/api/v1/workflows/routes-copy', null),
('GET', '/api/v1/hooks', '/api/v1/hooks', null), ('POST', '/api/v1/hooks', '/api/v1/hooks', '{"path": "routes-2", "event": "routes/hook"}'),
('DELETE', '/api/v1/hooks/{path}', '/api/v1/hooks/routes', null),
('GET', '/api/v1/schedules', '/api/v1/schedules', null),
('POST', '/api/v1/watches', '/api/v1/watches', '{"table": "routes_orders", "operations": ["insert"]}'),
('GET', '/api/v1/watches', '/api/v1/watches', null), ('DELETE', '/api/v1/watches/{table}', '/api/v1/watches/routes_orders', null),
('POST', '/api/v1/ws/ticket', '/api/v1/ws/ticket', null), ('GET', '/api/v1/status', '/api/v1/status', null), ('GET', '/api/openapi.json', '/api/openapi.json', null);


-- What signed-in users, keys and those who manage them do. A second factor needs a key to seal it with, which is not here.
set local flowforge.jwt_secret = 'a secret of the tests that is long enough';
select ff_user_create('route@example.com', 'correct horse battery', 'Route', 'admin') as user \gset
select ff_user_create('other@example.com', 'correct horse battery', 'Other', 'admin') as other_user \gset
select key, key_id from ff_key_create('routes', 'live', '{runs:read}') \gset
select flowforge.jwt(flowforge.user_claims(u) || jsonb_build_object('sid', flowforge.uuid7()), 'access', '1 hour') as access
from flowforge.user_account u where u.user_id = :'user' \gset
insert into flowforge.user_session (tenant_id, user_id, refresh_digest, address, expires_at) values (flowforge.current_tenant(), :'user', sha256('refresh'), '', now() + interval '1 day')
returning session_id as session \gset
select flowforge.jwt(flowforge.user_claims(u) || jsonb_build_object('sid', :'session'), 'refresh', '1 hour', 'refresh') as refresh
from flowforge.user_account u where u.user_id = :'user' \gset
insert into request values
('GET', '/api/v1/api-keys', '/api/v1/api-keys', null), ('POST', '/api/v1/api-keys', '/api/v1/api-keys', '{"name": "routes-2", "scopes": ["runs:read"]}'),
('GET', '/api/v1/users', '/api/v1/users', null), ('GET', '/api/v1/users/{id}', '/api/v1/users/' || :'user', null),
('POST', '/api/v1/users', '/api/v1/users', '{"email": "third@example.com", "name": "Third", "password": "correct horse battery"}'),
('PATCH', '/api/v1/users/{id}', '/api/v1/users/' || :'other_user', '{"name": "Another"}'),
('DELETE', '/api/v1/users/{id}', '/api/v1/users/' || :'other_user', null),
('POST', '/api/v1/auth/login', '/api/v1/auth/login', '{"email": "route@example.com", "password": "correct horse battery"}'),
('POST', '/api/v1/auth/verify-2fa', '/api/v1/auth/verify-2fa', '{"temp_token": "x", "code": "1"}'),
('POST', '/api/v1/auth/refresh', '/api/v1/auth/refresh', jsonb_build_object('refresh_token', :'refresh')::text);
insert into request
select v.*, jsonb_build_object('authorization', 'Bearer ' || :'key')
from (values ('POST', '/api/v1/auth/token', '/api/v1/auth/token', null)) v;
insert into request
select v.*, jsonb_build_object('authorization', 'Bearer ' || :'access')
from (values ('GET', '/api/v1/users/me', '/api/v1/users/me', null), ('PATCH', '/api/v1/users/me', '/api/v1/users/me', '{"name": "Me"}'),
	('POST', '/api/v1/users/me/2fa', '/api/v1/users/me/2fa', null),
	('POST', '/api/v1/users/me/2fa/confirm', '/api/v1/users/me/2fa/confirm', '{"code": "1"}'),
	('POST', '/api/v1/users/me/2fa/backup-codes', '/api/v1/users/me/2fa/backup-codes', '{"code": "1"}'),
	('POST', '/api/v1/users/me/2fa/disable', '/api/v1/users/me/2fa/disable', '{"code": "1"}'),
	('POST', '/api/v1/auth/logout', '/api/v1/auth/logout', '{}')) v;
insert into request values ('PUT', '/api/v1/secrets/{name}', '/api/v1/secrets/ROUTES', '{"value": "a value nobody reads"}'),
('GET', '/api/v1/secrets', '/api/v1/secrets', null), ('POST', '/api/v1/secrets/rotate', '/api/v1/secrets/rotate', '{}'),
('DELETE', '/api/v1/secrets/{name}', '/api/v1/secrets/ROUTES', null);
insert into request values ('DELETE', '/api/v1/api-keys/{id}', '/api/v1/api-keys/' || :'key_id', null);

create temp table answer as
select q.method, q.pattern, s.status, convert_from(s.body, 'UTF8')::jsonb as json
from request q, flowforge.serve(q.method, q.path, '', q.headers, convert_to(q.body, 'UTF8')) s;

-- The access token ended with the logout.
insert into answer
select 'POST', '/api/v1/users/me/password', s.status, convert_from(s.body, 'UTF8')::jsonb
from flowforge.user_account u, flowforge.serve('POST', '/api/v1/users/me/password', '', jsonb_build_object('authorization', 'Bearer '
	|| flowforge.jwt(flowforge.user_claims(u), 'access', '1 hour')),
	convert_to('{"current_password": "correct horse battery", "new_password": "staple battery horse"}', 'UTF8')) s
where u.user_id = :'user';

-- No call is under way here that a checkpoint could belong to, and nobody is asked for a second factor.
select is(
	case when a.json is null then 'not asked' when a.status = 409 or a.pattern like '%2fa%' then null else pg_temp.wrong(a.json, r.response_schema) end,
	null, format('%s %s answers what its schema says', r.method, r.pattern))
from flowforge.route r
left join answer a using (method, pattern)
where r.response_schema ->> 'contentMediaType' is null
order by r.pattern, r.method;
select is_empty('select method, pattern, status from answer where status not in (200, 201, 202)
	and pattern not in (''/ready'', ''/v1/checkpoint/{id}/async'', ''/v1/checkpoint/{id}/steps'')
	and pattern not like ''%2fa%''', 'none of them is an error');

select * from finish();
rollback;

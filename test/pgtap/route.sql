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
\set of ''
\ir requests.psql

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

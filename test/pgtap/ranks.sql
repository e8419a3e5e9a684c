-- What answers a request runs as the database role of who asks (src/api/rank.h). Every route is asked by every role and by keys of one scope, for
-- things of their own tenant and for another one's: no scope, no answer; never the other tenant's data, never a changed row of it, never a failure.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select no_plan();

-- --- what acts for its owner ---

-- Whoever adds a function that is SECURITY DEFINER says here why it may do more than who calls it. The reasons: "proof", it is open to
-- everybody and looks for the proof in the request itself; "account", the account of who asks, whose secrets no role may read; "accounts", those of
-- the tenant; "engine", writes what only the engine writes, after the same checks as the ff_* function of the same kind; "server", shows figures
-- of the server that belong to no tenant; "tables", looks at tables of people's own; "gateway", called by the gateway itself, which says for
-- whom; "audit", writes the audit log, which nobody else may.
create temp table definer (name text primary key, reason text);
insert into definer
select unnest(string_to_array(l.names, ' ')), l.reason
from (values
	('api_ready', 'server'), ('metrics server_kind', 'server'),
	('api_dev api_endpoint_output api_hook api_login api_verify_2fa api_refresh api_approve api_approve_page', 'proof'),
	('api_me api_me_change api_me_password api_2fa_setup api_2fa_confirm api_2fa_codes api_2fa_disable api_logout api_token api_ws_ticket', 'account'),
	('api_users api_user api_user_create api_user_change api_user_delete', 'accounts'),
	('ingest started_runs stream_next stream_answer invoke create_workflow update_workflow delete_workflow publish_workflow archive_workflow duplicate_workflow run_workflow test_workflow '
		'decide resume_step register_app add_app remove_app run_causes v1_cancel api_function_change api_function_archive v1_run_metadata '
		'api_endpoint_start api_endpoint_report api_checkpoint api_tenant_change', 'engine'),
	('table_of', 'tables'), ('serve stream_read feed_read stream_passes', 'gateway'), ('chain_audit audit_in audit audit_change', 'audit'), ('follow_tables', 'tables')) l (names, reason);
select set_eq($$select p.proname::text from pg_proc p where p.pronamespace = 'flowforge'::regnamespace and p.prosecdef$$, 'select name from definer',
	'of every function that acts for its owner it is said why');
select is_empty($$select p.oid::regprocedure from pg_proc p where p.prosecdef and p.pronamespace = 'flowforge'::regnamespace
	and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)$$, 'and its search path is pinned');
select set_eq($$select p.proname::text from pg_proc p where p.prosecdef and p.pronamespace = 'flowforge'::regnamespace
	and has_function_privilege('flowforge_http_nobody', p.oid, 'execute')$$,
	$$select name from definer where reason = 'proof' or name = 'api_ready'$$, 'who proves nothing may call what looks for the proof itself');
select set_eq($$select p.proname::text from pg_proc p where p.prosecdef and p.pronamespace = 'flowforge'::regnamespace
	and has_function_privilege('flowforge_http_sender', p.oid, 'execute') and not has_function_privilege('flowforge_http_nobody', p.oid, 'execute')$$,
	$$values ('ingest'), ('started_runs')$$, 'an event key sends');
select set_eq($$select p.proname::text from pg_proc p where p.prosecdef and p.pronamespace = 'flowforge'::regnamespace
	and has_function_privilege('flowforge_http_viewer', p.oid, 'execute') and not has_function_privilege('flowforge_http_nobody', p.oid, 'execute')$$,
	$$select name from definer where reason = 'account' or name in ('api_users', 'api_user', 'metrics', 'server_kind', 'run_causes', 'stream_next', 'stream_answer')$$, 'a viewer reads');
select is_empty($$select p.proname from pg_proc p join definer d on d.name = p.proname where p.pronamespace = 'flowforge'::regnamespace
	and (has_function_privilege('flowforge_viewer', p.oid, 'execute') or has_function_privilege('flowforge_admin', p.oid, 'execute'))$$,
	'and roles that are tied to a tenant may call none of it');
select set_eq($$select c.relname::text, a.privilege_type, r.rolname::text
	from pg_class c cross join lateral aclexplode(c.relacl) a join pg_roles r on r.oid = a.grantee
	where c.relnamespace = 'flowforge'::regnamespace and r.rolname like 'flowforge\_http\_%'$$,
	$$values ('route', 'SELECT', 'flowforge_http_nobody'), ('route_schema', 'SELECT', 'flowforge_http_nobody'), ('cancellation', 'SELECT', 'flowforge_http_viewer'),
		('wait', 'SELECT', 'flowforge_http_viewer'), ('inbox', 'SELECT', 'flowforge_http_viewer'), ('claim', 'SELECT', 'flowforge_http_viewer'), ('feed', 'SELECT', 'flowforge_http_viewer'),
		('feed_era', 'SELECT', 'flowforge_http_viewer'), ('cancellation', 'DELETE', 'flowforge_http_member')$$, 'these tables are theirs, besides what viewers read');
select is_empty($$select rolname from pg_roles where rolname like 'flowforge\_http\_%' and (rolsuper or rolbypassrls or rolcanlogin or rolcreaterole or rolcreatedb)$$,
	'policies bind them, and nobody logs in as one');

-- --- two tenants, and who asks ---

insert into flowforge.tenant (tenant_id, name) values (2, 'A'), (3, 'B');
set local flowforge.jwt_secret = 'a secret of the tests that is long enough';
set local flowforge.tenant = 3;
\set of b
\ir requests.psql
alter table request rename to request_b;
set local flowforge.tenant = 2;
\set of a
\ir requests.psql
alter table request rename to request_a;

create temp table asker (name text, role text, scope text, token text);
create procedure pg_temp.make_askers()
language plpgsql
as $$
declare
	level text;
	made uuid;
	s record;
begin
	foreach level in array '{viewer,member,admin}'::text[] loop
		made := ff_user_create(level || '@example.com', 'correct horse battery', level, level);
		insert into asker
		select level, level, null, flowforge.jwt(flowforge.user_claims(u) || jsonb_build_object('sid', flowforge.uuid7()), 'access', '1 hour')
		from flowforge.user_account u where u.user_id = made;
	end loop;
	for s in select * from flowforge.scopes() loop
		insert into asker select 'key ' || s.scope, s.role, s.scope, k.key from ff_key_create(s.scope, 'live', array[s.scope]) k;
	end loop;
end
$$;
call pg_temp.make_askers();

-- Words that only tenant 3 has, where people would look for them. Nobody judges the rows.
set local session_replication_role = replica;
update flowforge.event set data = data || '{"of": "word-of-b"}' where tenant_id = 3;
update flowforge.step set memo = '{"data": "word-of-b"}' where tenant_id = 3;
update flowforge.approval set prompt = 'word-of-b' where tenant_id = 3;
update flowforge.user_account set name = 'word-of-b' where tenant_id = 3;
update flowforge.api_key set name = 'word-of-b' where tenant_id = 3;
update flowforge.function set name = 'word-of-b' where tenant_id = 3;
update flowforge.workflow set description = 'word-of-b' where tenant_id = 3;
update flowforge.hook set event = 'word-of-b' where tenant_id = 3;
update flowforge.app set framework = 'word-of-b' where tenant_id = 3;
update flowforge.tenant set name = 'word-of-b' where tenant_id = 3;
set local session_replication_role = origin;

create function pg_temp.tables_of_tenants() returns setof regclass
language sql
as $$
	select c.oid::regclass from pg_class c
	where c.relnamespace = 'flowforge'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
		and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id')
	order by 1
$$;
create function pg_temp.fingerprint(tenant integer) returns text
language plpgsql
as $$
declare
	t regclass;
	part text;
	result text := '';
begin
	for t in select pg_temp.tables_of_tenants() loop
		execute format('select md5(string_agg(x::text, '','' order by x::text)) from %s x where tenant_id = %s', t, tenant) into part;
		result := result || t || ' ' || coalesce(part, '') || E'\n';
	end loop;
	return result || coalesce((select string_agg(w.name || w.enabled, ',' order by w.name) from flowforge.watch_trigger w where (w.settings ->> 'tenant')::integer = tenant), '');
end
$$;

-- Every id of tenant 3, in both spellings.
create temp table ids (id text);
create procedure pg_temp.gather_ids()
language plpgsql
as $$
declare
	c record;
begin
	for c in
		select a.attrelid::regclass as target, a.attname from pg_attribute a
		where a.attrelid in (select pg_temp.tables_of_tenants()) and a.atttypid = 'uuid'::regtype and not a.attisdropped
	loop
		execute format('insert into ids select unnest(array[%1$I::text, flowforge.ulid(%1$I)]) from %2$s where tenant_id = 3 and %1$I is not null', c.attname, c.target);
	end loop;
end
$$;
call pg_temp.gather_ids();
create temp table told_ids as select distinct id from ids where id <> '00000000-0000-0000-0000-000000000000' and id !~ '^0+$';

-- Asks, and takes everything back.
create temp table outcome (asker text, tenant integer, method text, pattern text, status integer, told text, changed boolean);
create procedure pg_temp.ask(a asker, tenant integer, method text, pattern text, path text, body text, before text)
language plpgsql
as $$
declare
	got integer;
	said text;
	changed boolean := false;
	asked constant text := concat(path, body);
begin
	begin
		select s.status, convert_from(s.body, 'UTF8') || s.headers into got, said
		from flowforge.serve(method, path, '', jsonb_build_object('authorization', 'Bearer ' || a.token), convert_to(body, 'UTF8')) s;
		-- What ends as an error is taken back.
		if got < 400 then
			changed := pg_temp.fingerprint(3) <> before;
		end if;
		raise exception using errcode = 'XX999';
	exception when sqlstate 'XX999' then
		null;
	end;
	insert into outcome
	select a.name, ask.tenant, ask.method, ask.pattern, got, case when position('word-of-b' in said) > 0 then 'a word'
		else (select min(i.id) from told_ids i where position(i.id in said) > 0 and position(i.id in asked) = 0) end, changed;
end
$$;
create procedure pg_temp.ask_everything()
language plpgsql
as $$
declare
	before constant text := pg_temp.fingerprint(3);
	q record;
begin
	for q in
		select a, r.tenant, method, pattern, r.path, r.body
		from asker a
		cross join (
			select 2 as tenant, method, pattern, path, body from request_a
			union all select 3, method, pattern, path, body from request_b) r
		join flowforge.route t using (method, pattern)
		where a.scope is null or (r.tenant = 3 and t.scope <> 'public')
		order by a.name, r.tenant
	loop
		call pg_temp.ask(q.a, q.tenant, q.method, q.pattern, q.path, q.body, before);
	end loop;
end
$$;

-- What the routes of the tests are, is all there are.
insert into request_a (method, pattern, path) values ('GET', '/', '/'), ('GET', '/api/docs', '/api/docs'), ('GET', '/metrics', '/metrics'),
	('GET', '/api/v1/stream', '/api/v1/stream'), ('GET', '/ws', '/ws'), ('GET', '/v1/http/runs/{id}/output', '/v1/http/runs/x/output');
insert into request_a (method, pattern, path)
select 'GET', replace(p.pattern, '{id}', '{id}'), replace(p.pattern, '{id}', r.run_id::text)
from (values ('/api/v1/runs/{id}/stream'), ('/ws/runs/{id}'), ('/v0/runs/{id}/actions')) p (pattern)
cross join (select r.run_id from flowforge.run r where r.tenant_id = 2 order by 1 limit 1) r
where not exists (select from request_a x where x.pattern = p.pattern);
insert into request_a (method, pattern, path, body) values ('POST', '/ws', '/ws', '{"subscribe": "all"}');
insert into request_b (method, pattern, path)
select a.method, a.pattern, case when a.pattern like '%{id}%' and a.pattern like '%runs%'
	then replace(a.pattern, '{id}', (select r.run_id::text from flowforge.run r where r.tenant_id = 3 order by 1 limit 1)) else a.path end
from request_a a where not exists (select from request_b b where b.pattern = a.pattern and b.method = a.method);
insert into request_a (method, pattern, path, body) values
('POST', '/api/v1/users/me/password', '/api/v1/users/me/password', '{"current_password": "correct horse battery", "new_password": "staple battery horse"}');
insert into request_b (method, pattern, path, body) select method, pattern, path, body from request_a where pattern = '/api/v1/users/me/password';
insert into request_a (method, pattern, path) select 'GET', '/approve/{token}', path from request_a where pattern = '/approve/{token}' limit 1;
insert into request_b (method, pattern, path) select 'GET', '/approve/{token}', path from request_b where pattern = '/approve/{token}' limit 1;
select is_empty($$select r.method, r.pattern from flowforge.route r where not exists (select from request_a a where a.method = r.method and a.pattern = r.pattern)
	or not exists (select from request_b b where b.method = r.method and b.pattern = r.pattern)$$, 'there is a request for every route');

call pg_temp.ask_everything();
create temp view answered as
select o.*, r.scope, a.role, coalesce(a.scope, '') as narrow, case r.scope when 'public' then true when 'user' then true else
	case when a.scope is null then exists (select from flowforge.scopes() s where s.scope = case r.scope when 'event_key' then 'events:send' else r.scope end
		and array_position('{viewer,member,admin}'::text[], s.role) <= array_position('{viewer,member,admin}'::text[], a.role))
	else a.scope in ('admin', case r.scope when 'event_key' then 'events:send' else r.scope end) end end as may
from outcome o join asker a on a.name = o.asker join flowforge.route r on r.method = o.method and r.pattern = o.pattern;

select cmp_ok((select count(*) from answered), '>', 2500::bigint, 'everybody asks for everything');
select is_empty('select asker, tenant, method, pattern, status from answered where not may and status <> 403', 'without the scope the answer is 403');
-- Nobody makes a user or a key that may do more than they; requests are decided by those who are asked.
select is_empty($$select asker, tenant, method, pattern, status from answered where may and status in (401, 403)
	and not (narrow <> '' and pattern ~ '^/api/v1/(users|api-keys)')
	and pattern <> '/api/v1/approvals/{id}/approve' and scope not in ('public', 'user')$$, 'with it the answer is another');
select is_empty('select asker, tenant, method, pattern, status from answered where status >= 500 and pattern <> ''/ready''', 'nothing fails');
select is_empty($$select asker, method, pattern, status, told from answered where told is not null and scope <> 'public'$$, 'nobody is told what is another tenant''s');
select is_empty($$select asker, method, pattern, status from answered where changed and scope <> 'public'$$, 'nobody changes a row of another tenant');
select is_empty($$select distinct pattern from answered where (changed or told is not null) and scope = 'public'
	and pattern not in ('/hooks/{path}', '/api/v1/hooks/{path}', '/approve/{token}', '/api/v1/auth/login', '/api/v1/auth/refresh')$$,
	'but by a proof that is in the request itself');
select set_eq($$select distinct pattern from answered where tenant = 3 and changed$$,
	$$values ('/hooks/{path}'), ('/api/v1/hooks/{path}'), ('/approve/{token}'), ('/api/v1/auth/login'), ('/api/v1/auth/refresh')$$, 'which the test sees');
select is_empty($$select pattern, method from answered where asker = 'admin' and tenant = 2 group by 1, 2 having min(status) >= 400
	and pattern not in ('/ready', '/ws', '/ws/runs/{id}', '/v1/checkpoint/{id}/steps', '/v1/checkpoint/{id}/async', '/v1/http/runs/{id}/output', '/api/v1/auth/verify-2fa',
		'/api/v1/auth/token', '/dev', '/api/v1/approvals/{id}/approve') and pattern not like '%/2fa%'
	-- What the requests before them would have made.
	and (method, pattern) not in (('DELETE', '/api/v1/watches/{table}'), ('DELETE', '/api/v1/workflows/{id}'), ('POST', '/api/v1/workflows/{id}/archive'),
		('POST', '/api/v1/workflows/{id}/run'), ('DELETE', '/api/v1/secrets/{name}'))$$, 'an admin is answered by all routes');

select is((select s.status from request_a a, flowforge.serve('GET', a.path, q.query, jsonb_build_object('authorization', 'Bearer ' || k.token), null) s
	where a.pattern = q.pattern and a.method = 'GET' limit 1), 200, format('a viewer asks %s with %s', q.pattern, substring(q.query from '^[^=]*')))
from asker k, (values ('/api/v1/runs/{id}/stream', 'since=0'), ('/api/v1/runs', 'search=a&status=running'), ('/api/v1/events', 'name=a'),
	('/api/v1/functions', 'search=a&archived=true'), ('/api/v1/approvals', 'status=pending'), ('/api/v1/stream', 'since=' || (select replace(flowforge.feed_text(flowforge.feed_now()), ':', '%3A')))) q (pattern, query)
where k.name = 'viewer';

-- --- a careless route ---

create function public.careless_read(request flowforge.request) returns flowforge.response
language sql volatile
as $$
	select (200, '', jsonb_build_object('tenants', (select jsonb_agg(distinct r.tenant_id) from flowforge.runs r), 'tables', (select jsonb_agg(distinct e.tenant_id) from flowforge.event e),
		'users', (select count(*) from flowforge.users u where u.email like '%b@example.com'), 'who', current_user, 'session', session_user = current_user)::text)::flowforge.response
$$;
create function public.careless_write(request flowforge.request) returns flowforge.response
language sql volatile
as $$
	with gone as (delete from flowforge.cancellation returning tenant_id)
	select (200, '', jsonb_build_object('gone', (select jsonb_agg(g.tenant_id) from gone g))::text)::flowforge.response
$$;
create function public.careless_try(request flowforge.request) returns flowforge.response
language plpgsql volatile
as $$
declare
	told text := 'done';
begin
	begin
		execute request.json ->> 'sql';
	exception when others then
		told := sqlstate;
	end;
	return (200, '', told)::flowforge.response;
end
$$;
insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/careless', 'public.careless_read', 'runs:read', 'test', 'Reads everything', '{}', '{"contentMediaType": "text/plain"}'),
('GET', '/careless/open', 'public.careless_read', 'public', 'test', 'Reads everything for everybody', '{}', '{"contentMediaType": "text/plain"}'),
('POST', '/careless/write', 'public.careless_write', 'runs:manage', 'test', 'Deletes everything', '{"type": "object"}', '{"contentMediaType": "text/plain"}'),
('POST', '/careless/try', 'public.careless_try', 'runs:read', 'test', 'Tries something', '{"type": "object"}', '{"contentMediaType": "text/plain"}'),
('POST', '/careless/definer', 'flowforge.api_user_create', 'runs:read', 'test', 'Makes users', '{"type": "object"}', '{"contentMediaType": "text/plain"}');
create function pg_temp.said(who text, method text, path text, body text default '{}', out status integer, out told text)
language sql
as $$
	select s.status, convert_from(s.body, 'UTF8')
	from flowforge.serve(method, path, '', coalesce((select jsonb_build_object('authorization', 'Bearer ' || a.token) from asker a where a.name = who), '{}'), convert_to(body, 'UTF8')) s
$$;
select is((pg_temp.said(l, 'GET', '/careless')).told::jsonb, jsonb_build_object('tenants', '[2]'::jsonb, 'tables', '[2]'::jsonb, 'users', 0,
	'who', 'flowforge_http_' || l, 'session', false), 'a route that does not look at tenants shows a ' || l || ' their own') from unnest('{viewer,member,admin}'::text[]) l;
select is((pg_temp.said(null, 'GET', '/careless/open')).status, 500, 'to everybody it shows nothing at all');
select is((pg_temp.said('member', 'POST', '/careless/write')).told::jsonb, '{"gone": [2]}', 'and it takes away no other tenant''s rows');
select is((select count(*) from flowforge.cancellation where tenant_id = 3), 1::bigint, 'which are still there');
select is((pg_temp.said('viewer', 'POST', '/careless/try', jsonb_build_object('sql', t.command)::text)).told, t.told, 'a viewer''s route cannot: ' || t.command)
from (values ('delete from flowforge.cancellation', '42501'), ('set local flowforge.tenant = 3', '42501'), ('set local role flowforge_http_admin', '42501'),
	('set local session authorization postgres', '42501'), ($$select set_config('flowforge.role', 'admin', true)$$, '42501'),
	('select * from flowforge.user_account', '42501'), ('select * from flowforge.api_key', '42501'), ('select * from flowforge.hook', '42501'),
	('select * from flowforge.audit', '42501'), ('select public.ff_run(''routes-a'')', '42501'), ($$select flowforge.ingest('[{"name": "a/b"}]', null, false)$$, '42501'),
	('select flowforge.create_workflow(''x'', ''{}'', '''', null, '''')', '42501'), ($$select flowforge.jwt('{}', 'access', '1 hour')$$, '42501'),
	('select flowforge.serve(''GET'', ''/careless'', '''', ''{}'', null)', '42501'), ('create table public.mine (a integer)', '42501'),
	('update flowforge.function set name = ''x''', '42501'), ('select 1', 'done')) t (command, told);
select is((pg_temp.said('viewer', 'POST', '/careless/definer')).status, 403, 'nor have what acts for its owner and is an admin''s answer');

-- --- figures of the server ---

set local flowforge.tenant = 1;
insert into asker select 'operator', 'viewer', 'runs:read', k.key from ff_key_create('operator', 'live', '{runs:read,metrics:read}') k;
set local flowforge.tenant = 2;
set local flowforge.auth = 'on';
create function pg_temp.figure(who text, name text) returns integer
language sql
return (regexp_match((pg_temp.said(who, 'GET', '/metrics')).told, '^flowforge_' || name || ' (\d+)$', 'n'))[1]::integer;
select isnt(pg_temp.figure('viewer', 'runs{status="running"}'), (select count(*)::integer from flowforge.run_hot), 'the figures of a tenant are of its own runs');
select is(pg_temp.figure('viewer', 'runs{status="running"}'), (select count(*)::integer from flowforge.run_hot h where h.tenant_id = 2), 'all of them');
select is(pg_temp.figure('operator', 'runs{status="running"}'), (select count(*)::integer from flowforge.run_hot), 'those of the operator are of all tenants');
select unalike((pg_temp.said('viewer', 'GET', '/metrics')).told, '%flowforge\_executor%', 'a tenant is told nothing of executors');
select alike((pg_temp.said('operator', 'GET', '/metrics')).told, '%flowforge_executor_errors_total%', 'the operator is');
select is((select array_agg(i ->> 'item' order by i ->> 'item') from jsonb_array_elements((pg_temp.said(w.name, 'GET', '/api/v1/status')).told::jsonb -> 'items') i
	where i ->> 'item' in ('work', 'last error', 'waits')), w.items, 'nor of what went wrong for others: ' || w.name)
from (values ('viewer', '{waits}'::text[]), ('operator', '{"last error",waits,work}')) w (name, items);

-- --- the way back ---

select is(current_user, session_user, 'who serves is who they were');
set local role flowforge_gateway;
select is((flowforge.serve('GET', '/health', '', '{}', null)).status, 200, 'the gateway has a request answered');
select is(current_user::text, 'flowforge_gateway', 'and is itself again');
select is((flowforge.serve('GET', '/careless/open', '', '{}', null)).status, 500, 'after an error, too');
select is(current_user::text, 'flowforge_gateway', 'it is');
reset role;
alter role flowforge_http_viewer bypassrls;
select is((pg_temp.said('viewer', 'GET', '/careless')).status, 503, 'a rank that no policy binds serves nobody');
alter role flowforge_http_viewer nobypassrls;
alter role flowforge_http_viewer rename to flowforge_http_lost;
select is((pg_temp.said('viewer', 'GET', '/careless')).status, 503, 'nor does one that is gone');

select * from finish();
rollback;

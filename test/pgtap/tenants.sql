-- Tenants: what a role that is tied to one sees, changes and calls of another one's is nothing. What there is is asked of the catalogue, so a
-- new table, view or ff_* function about which nothing is decided here fails the test.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select no_plan();

-- --- two tenants with one of everything, named alike ---

create role a_viewer login;
create role a_member login;
create role a_admin login;
create role b_admin login;
create role untied login;
create role bystander login;
grant create on schema public to a_member;
insert into flowforge.tenant (tenant_id, name) values (2, 'A'), (3, 'B');
select is(ff_grant('a_viewer', 2, 'viewer') || ff_grant('a_member', 2, 'member') || ff_grant('a_admin', 2, 'admin') || ff_grant('b_admin', 3, 'admin'),
	'viewermemberadminadmin', 'roles are tied');
grant flowforge_admin to untied;

create table public.watched (a integer primary key);
grant select, trigger, insert on public.watched to a_member, a_admin;
create function public.twice(n integer) returns integer language sql as 'select 2 * n';

create temp table made (tenant integer, run uuid, ended uuid, event uuid, approval uuid, function integer, key uuid);
grant select on made to public;
create procedure pg_temp.make(tenant integer)
language plpgsql
as $$
declare
	m made;
	wide record;
	columns text;
begin
	perform set_config('flowforge.tenant', tenant::text, true);
	perform ff_register_app('http://127.0.0.1:9/' || tenant, 'app', '[{"id": "app-f", "triggers": [{"event": "go"}, {"cron": "0 3 * * *"}]}]');
	perform ff_workflow_create('flow', '{"nodes": [{"id": "n", "type": "transform", "data": {"config": {"mapping": {"a": 1}}}}], "edges": []}');
	perform ff_workflow_publish('flow');
	perform ff_schedule('nightly', '0 3 * * *', 'night');
	perform ff_create_hook('hook' || tenant, 'hooked');
	perform ff_watch('public.watched', 'insert', 'watched');
	perform ff_set_model_price('*', 'm', 1, 1);
	insert into flowforge.ai_provider (tenant_id, name, format, base_url) values (tenant, 'p', 'openai', 'http://127.0.0.1:9');
	m.tenant := tenant;
	m.event := ff_send_event('go', '{}', 'the id');
	select r.run_id, f.function_id into m.run, m.function
	from flowforge.run r join flowforge.function f on f.tenant_id = r.tenant_id and f.function_id = r.function_id
	where r.tenant_id = make.tenant;
	m.ended := ff_run('app-f');
	delete from flowforge.run_hot h where h.run_id = m.ended;
	insert into flowforge.run_end (tenant_id, run_id, status, ended_at) values (tenant, m.ended, 'failed', now());
	insert into flowforge.approval (tenant_id, run_id, step_id, name, prompt, expires_at) values (tenant, m.run, 's', 's', '?', now() + interval '1 day')
	returning approval_id into m.approval;
	perform ff_pause('flow');
	m.key := (ff_key_create('of ' || tenant, 'ro', '{runs:read}')).key_id;
	perform ff_secret_set('SECRET' || tenant, 'a value of ' || tenant);
	perform ff_user_create('user' || tenant || '@example.com', 'correct horse battery', 'User');
	insert into made values (m.*);
	perform set_config('flowforge.tenant', '1', true);
end
$$;

-- A row for every table that has none of this tenant, which nobody judges: triggers, checks and references are off.
create function pg_temp.filler(target regclass, m made) returns text
language sql
as $$
	select format('insert into %s (%s) select %s where not exists (select from %1$s where tenant_id = %4$s)', target, string_agg(quote_ident(a.attname), ', '),
		string_agg(case a.attname
			when 'tenant_id' then m.tenant::text
			when 'run_id' then quote_literal(m.run)
			when 'event_id' then quote_literal(m.event)
			when 'function_id' then m.function::text
			when 'slot' then format('flowforge.slot(%L)', m.run)
			when 'op' then quote_literal('model')
			when 'events' then quote_literal('[{"t": "run.started", "at": 1}]')
			else quote_literal(case t.typcategory when 'N' then '1' when 'B' then 'true' when 'D' then '2026-01-01' when 'T' then '1 day' when 'A' then '{}'
				else case t.typname when 'uuid' then m.run::text when 'jsonb' then '{}' when 'xid8' then '1' when 'bytea' then '\x0' || m.tenant else 'x' || m.tenant end end)
		end, ', '), m.tenant)
	from pg_attribute a
	join pg_type t on t.oid = a.atttypid
	where a.attrelid = target and a.attnum > 0 and not a.attisdropped and (a.attnotnull and not a.atthasdef and a.attidentity = '' or a.attname = 'tenant_id')
$$;
create view pg_temp.tenants_table as
select c.oid::regclass as name, c.relispartition as part
from pg_class c
where c.relnamespace = 'flowforge'::regnamespace and c.relkind in ('r', 'p')
	and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id');
grant select on pg_temp.tenants_table to public;
create procedure pg_temp.fill()
language plpgsql
as $$
declare
	step record;
begin
	set constraints all immediate; -- no table with triggers that wait is altered
	for step in
		select format('alter table %s drop constraint %I', c.conrelid::regclass, c.conname) as command
		from pg_constraint c join pg_temp.tenants_table t on t.name = c.conrelid
		where c.contype = 'c' and not t.part
	loop
		execute step.command;
	end loop;
	set local session_replication_role = replica;
	for step in select pg_temp.filler(t.name, m) as command from pg_temp.tenants_table t, made m where not t.part loop
		execute step.command;
	end loop;
	set local session_replication_role = origin;
	set constraints all deferred;
end
$$;
call pg_temp.make(2);
call pg_temp.make(3);
call pg_temp.fill();

-- --- tables ---

select is_empty('select * from flowforge.unprotected_tables()', 'every table with rows of tenants has its policy, partitions too');
select set_eq($$select c.relname::text from pg_class c where c.relnamespace = 'flowforge'::regnamespace and c.relkind in ('r', 'p')
	and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id')$$,
	$$values ('feed_era'), ('login_try'), ('route'), ('route_schema'), ('step_type'), ('throttle')$$,
	'these tables have nothing of tenants: times of throttles are by a hash, tries to sign in by address');

savepoint dropped;
drop policy tenant on flowforge.event;
select cmp_ok(flowforge.maintain('event', 0, interval '0'), '>=', 0, 'a table may lose its policy');
select is_empty('select * from flowforge.unprotected_tables()', 'one that lost it gets it again by housekeeping');
rollback to dropped;

create temp table readable (name text);
insert into readable select unnest(string_to_array('ai_calls ai_providers api_keys app approval approvals event events function function_version functions '
	'held_start held_starts hooks live_run lock locks model_price pause run run_batch run_end run_event run_event_batch run_hot run_message '
	'run_metadata run_parked run_skip runs schedule schedules secrets skipped_runs step step_type steps tenant trigger users watches workflow workflows', ' '));
create temp table admins (name text);
insert into admins values ('audit'), ('audit_log'), ('audit_seal');
create temp table closed (name text);
insert into closed select unnest(string_to_array('ai_provider api_key approval_link audit_head cancellation claim event_key feed feed_era flow_once flow_rate flow_single hook '
	'inbox login_try request_key role_tenant route route_schema secret signal throttle ticket trace_due user_account user_session wait watch_trigger', ' '));

create temp view relation as
select c.oid, c.relname::text collate "default" as name, c.relispartition as part from pg_class c where c.relnamespace = 'flowforge'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f');
select set_eq('select name from relation where not part', 'select name from readable union all select name from admins union all select name from closed',
	'of every table and view it is decided whether tenants may read it');
select set_eq($$select r.name from relation r where has_any_column_privilege('flowforge_viewer', r.oid, 'select')$$, 'table readable', 'viewers read what they may read');
select set_eq($$select r.name from relation r where has_any_column_privilege('flowforge_member', r.oid, 'select')$$, 'table readable', 'members no more');
select set_eq($$select r.name from relation r where has_any_column_privilege('flowforge_admin', r.oid, 'select')$$, 'select name from readable union all select name from admins',
	'admins what was done, too');
select is_empty($$select r.name, g from relation r, unnest('{flowforge_viewer,flowforge_member,flowforge_admin}'::text[]) g
	where has_table_privilege(g, r.oid, 'insert, update, delete, truncate, references, trigger')
		or has_any_column_privilege(g, r.oid, 'insert, update, references')$$, 'nobody of a tenant writes a table');
select is_empty($$select s.oid::regclass from pg_class s where s.relnamespace = 'flowforge'::regnamespace
	and case s.relkind when 'S' then has_sequence_privilege('flowforge_admin', s.oid, 'usage, select, update') end$$, 'nor moves a sequence');

create function pg_temp.counts(target regclass, out own bigint, out others bigint)
language plpgsql
as $$
begin
	if not exists (select from pg_attribute a where a.attrelid = target and a.attname = 'tenant_id') then
		return;
	end if;
	execute format('select count(*) filter (where tenant_id = 2), count(*) filter (where tenant_id is distinct from 2 %s) from %s',
		case when target = 'flowforge.model_price'::regclass then 'and tenant_id <> 0' else '' end, target) into own, others;
end
$$;
create function pg_temp.all_counts() returns table (name text, own bigint, others bigint)
language sql
as $$
	select r.name, c.* from relation r cross join lateral pg_temp.counts(r.oid) c
$$;
grant select on relation, readable, admins, closed to public;
create temp table belongs as
select 'api_keys' as name, k.tenant_id, k.key_id::text as what from flowforge.api_key k union all select 'users', u.tenant_id, u.user_id::text from flowforge.user_account u
	union all select 'secrets', s.tenant_id, s.name from flowforge.secret s;
grant select on belongs to public;
select is_empty($$select name, own, others from pg_temp.all_counts() where name in (table readable union all table admins union all table closed) and name <> 'audit_log' and (own = 0 or others = 0)$$,
	'both tenants have something in every table and view');

set local role a_viewer;
select is(flowforge.current_tenant(), 2, 'a tied role works for its tenant');
select is_empty($$select t.* from relation r cross join lateral pg_temp.counts(r.oid) c cross join lateral (select r.name, c.*) t
	where r.name in (table readable) and r.name <> 'step_type' and (t.own = 0 or t.others > 0)$$, 'and sees its rows in every table and view, and no others');
select set_eq($$select 'api_keys', key_id::text from flowforge.api_keys union all select 'users', user_id::text from flowforge.users union all select 'secrets', name from flowforge.secrets$$,
	'select name, what from belongs where tenant_id = 2', 'its keys, users and secrets, too');
select throws_ok('select count(*) from flowforge.audit_log', '42501', null, 'but not what was done');
set local role a_admin;
select is_empty($$select t.* from relation r cross join lateral pg_temp.counts(r.oid) c cross join lateral (select r.name, c.*) t
	where r.name in (table admins) and (t.own = 0 or t.others > 0)$$, 'an admin sees what was done in its tenant, and nothing of others');
reset role;

-- Were everything granted to it, the policies would still stand.
savepoint granted;
grant all on all tables in schema flowforge to flowforge_viewer;
set local role a_viewer;
select is_empty('select * from pg_temp.all_counts() where others > 0', 'no table shows it a row of another tenant, whatever it is granted, nor does a partition');
reset role;
create function pg_temp.attack(target regclass) returns setof text
language plpgsql
as $$
declare
	changed bigint;
	word text;
begin
	foreach word in array array['update %s set tenant_id = tenant_id where tenant_id <> 2', 'delete from %s where tenant_id <> 2'] loop
		execute format(word, target);
		get diagnostics changed = row_count;
		if changed > 0 then
			return next format(word, target);
		end if;
	end loop;
	begin
		execute format('update %s set tenant_id = 3', target);
		get diagnostics changed = row_count;
		if changed > 0 then
			return next 'moves rows of ' || target;
		end if;
	exception when insufficient_privilege then
		null;
	end;
	begin
		execute (select pg_temp.filler(target, m) from made m where m.tenant = 3);
		return next 'adds to ' || target;
	exception when insufficient_privilege then
		null;
	end;
end
$$;
set local session_replication_role = replica; -- no trigger may be what refuses
set local role a_viewer;
select is_empty($$select a from pg_temp.tenants_table t, pg_temp.attack(t.name) a$$, 'nor can it change, take or add one');
rollback to granted;

-- --- what nobody leaves ---

set local session authorization a_viewer;
select throws_ok('set local flowforge.tenant = 3', '42501', null, 'a tied role cannot set the tenant');
select throws_ok($$select set_config('flowforge.tenant', '3', true)$$, '42501', null, 'by no function either');
set local role flowforge_viewer;
select is(flowforge.current_tenant(), 2, 'nor does it leave it as another role');
select is((select count(*) from flowforge.events where tenant_id <> 2), 0::bigint, 'nor see more');
reset session authorization;

set local session authorization untied;
select is((select count(*) from flowforge.events), 0::bigint, 'a role of the group that is tied to no tenant sees nothing');
select is((select count(*) from flowforge.api_keys) + (select count(*) from flowforge.users) + (select count(*) from flowforge.secrets) + (select count(*) from flowforge.audit_log), 0::bigint,
	'no keys, users and secrets either, nor what was done');
select throws_ok('select ff_cancel(gen_random_uuid())', 'FF641', null, 'and may do nothing');
select throws_ok($$select ff_send_event('a/b')$$, 'FF641', null, 'not even send');
reset session authorization;
set local role bystander;
select lives_ok($$select ff_send_event('a/b')$$, 'who has nothing to do with tenants sends events as ever');
select throws_ok('select ff_cancel(gen_random_uuid())', '42501', null, 'and does nothing else');
reset role;
grant execute on function ff_cancel(uuid, text) to bystander;
set local role bystander;
select throws_ok('select ff_cancel(gen_random_uuid())', 'FF010', null, 'but what it is granted by name');
select throws_ok($$select ff_cancel((select run from made where tenant = 3))$$, 'FF010', null, 'in the tenant of the setting');
reset role;
revoke execute on function ff_cancel(uuid, text) from bystander;

-- An index's function runs as the table's owner in whoever's session makes the index.
set local role a_member;
create function public.spy(n integer) returns integer language plpgsql immutable as $$
begin
	perform ff_cancel((select run from made where tenant = 3));
	return n;
end
$$;
create function public.look(n integer) returns integer language sql immutable as 'select count(*)::integer from flowforge.events where tenant_id <> 2';
create table public.trap (a integer);
insert into public.trap values (1);
reset role;
select throws_ok('create index on public.trap (public.spy(a))', 'FF641', null, 'the function of a member''s index has no more rights because a superuser makes it');
create materialized view public.seen as select public.look(1) as n with no data;
alter materialized view public.seen owner to a_member;
refresh materialized view public.seen;
select is((select n from public.seen), 0, 'and what is refreshed for a member shows the member''s rows');

-- --- functions ---

create temp table decided (function regprocedure, level text);
insert into decided
select p.oid::regprocedure, d.level
from (values
	('everybody', 'ff_eval ff_render ff_template_refs ff_schema_validate ff_schema_require ff_workflow_plan'),
	('sender', 'ff_send_event ff_send_events ff_send_signal'),
	('viewer', 'ff_event_runs ff_wait ff_explain ff_workflow_get ff_workflow_problems ff_workflow_versions ff_workflow_diff ff_workflow_validate'),
	('member', 'ff_run ff_retry ff_replay ff_cancel ff_cancel_where ff_retry_where ff_replay_where ff_pause ff_resume ff_approve ff_reject '
		'ff_workflow_create ff_workflow_update ff_workflow_publish ff_workflow_duplicate ff_workflow_archive ff_workflow_delete ff_workflow_run '
		'ff_pause_app ff_resume_app ff_workflow_set_role ff_register_function ff_unregister_function ff_schedule ff_unschedule ff_watch ff_unwatch'),
	('admin', 'ff_app_timeout ff_register_app ff_sync_app ff_set_app_role ff_set_ai_provider ff_set_model_price '
		'ff_create_hook ff_drop_hook ff_approval_link ff_set_tenant ff_pause_all ff_resume_all ff_key_create ff_key_revoke ff_user_create '
		'ff_user_set_password ff_audit_verify ff_secret_set ff_secret_delete ff_secret_rotate'),
	('nobody', 'ff_status ff_grant ff_revoke')
) d (level, names)
join pg_proc p on p.proname = any (string_to_array(d.names, ' '))
join pg_depend x on x.classid = 'pg_proc'::regclass and x.objid = p.oid and x.deptype = 'e'
join pg_extension e on e.oid = x.refobjid and x.refclassid = 'pg_extension'::regclass and e.extname = 'flowforge';
select set_eq($$select p.oid::regprocedure from pg_proc p
	join pg_depend x on x.classid = 'pg_proc'::regclass and x.objid = p.oid and x.deptype = 'e'
	join pg_extension e on e.oid = x.refobjid and x.refclassid = 'pg_extension'::regclass and e.extname = 'flowforge'
	where p.proname ~ '^ff_'$$, 'select function from decided', 'of every ff_ function it is decided who may call it');
select is_empty($$
	select d.function, g.name from decided d, (values ('bystander', 0), ('flowforge_viewer', 1), ('flowforge_member', 2), ('flowforge_admin', 3)) g (name, rank)
	where has_function_privilege(g.name, d.function, 'execute')
		<> (g.rank >= array_position('{everybody,viewer,member,admin,nobody}'::text[], replace(d.level, 'sender', 'everybody')) - 1)$$,
	'and that is who may');
select set_eq($$select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'flowforge'::regnamespace and has_function_privilege('flowforge_admin', p.oid, 'execute')$$,
	$$values ('flowforge.current_tenant()'), ('flowforge.visible_tenant()'), ('flowforge.sees_tenant(integer)'), ('flowforge.calls()'), ('flowforge.filter_errors()'),
		('flowforge.ulid(uuid)'), ('flowforge.slot(uuid)'), ('flowforge.workflow_etag(flowforge.workflow)'), ('flowforge.watch_settings(bytea)')$$,
	'of the inner functions tenants may call what views ask');
select is_empty($$select function from decided d join pg_proc p on p.oid = d.function
	where d.level in ('viewer', 'member', 'admin') and d.function::text !~ '^ff_workflow_validate' and not (p.prosecdef and p.proconfig @> '{"search_path=pg_catalog, pg_temp"}'
		and p.prosrc ~ format('flowforge\.require_role\(''%s''\)', d.level))$$,
	'what acts for its owner asks first whether the caller has the role');

-- What the members of tenant 2 try with what tenant 3 has, and what they are told.
create temp table tried (call text, told text);
insert into tried values
	('ff_cancel({run})', 'FF010'), ('ff_retry({ended})', 'FF010'), ('ff_replay({ended})', 'FF010'), ('ff_explain({run})', 'FF010'), ('ff_wait({run}, ''1 s'')', 'FF010'),
	('ff_event_runs({event})', 'nothing'), ('ff_resume({run}, ''s'')', 'FF010'), ('ff_resume(''hook3'')', 'FF013'), ('ff_approve({approval})', 'FF406'), ('ff_reject({approval})', 'FF406'),
	('ff_approval_link({approval})', 'FF406'), ('ff_drop_hook(''hook3'')', 'FF311'), ('ff_create_hook(''hook3'', ''mine'')', 'FF312'),
	('ff_cancel_where(jsonb_build_object(''runs'', jsonb_build_array({run})))', 'nothing'),
	('ff_retry_where(jsonb_build_object(''runs'', jsonb_build_array({ended})))', 'nothing'),
	('ff_replay_where(jsonb_build_object(''runs'', jsonb_build_array({ended})))', 'nothing'),
	('ff_workflow_get({workflow})', 'FF511'), ('ff_workflow_problems({workflow})', 'FF511'), ('ff_workflow_versions({workflow})', 'FF511'),
	('ff_workflow_diff({workflow})', 'FF511'), ('ff_workflow_update({workflow}, name => ''mine'')', 'FF511'), ('ff_workflow_publish({workflow})', 'FF511'),
	('ff_workflow_duplicate({workflow})', 'FF511'), ('ff_workflow_archive({workflow})', 'FF511'), ('ff_workflow_delete({workflow})', 'FF511'),
	('ff_workflow_run({workflow})', 'FF511'), ('ff_workflow_set_role({workflow}, null)', 'FF511'),
	('ff_pause_app({app})', 'FF063'), ('ff_resume_app({app})', 'FF063'), ('ff_app_timeout({app}, ''1 s'')', 'FF063'),
	('ff_set_tenant(3, name => ''mine'')', 'FF640'), ('ff_send_signal(''x3'')', 'nothing'),
	('ff_secret_delete(''SECRET3'')', 'FF6B1'), ('ff_secret_set(''SECRET3'', ''another value'')', 'done'), ('ff_secret_rotate()', 'done'),
	('ff_key_revoke({key}::text)', 'FF604'), ('ff_user_set_password(''user3@example.com'', ''staple battery horse'')', 'FF606'),
	('ff_user_create(''user3@example.com'', ''staple battery horse'', ''Mine'')', 'FF607'), ('ff_audit_verify(3)', 'FF640'),
	-- What tenant 3 has of the same name stays as it is.
	('ff_key_create(''of 3'', ''ro'', ''{runs:read}'')', 'done'), ('ff_user_create(''user4@example.com'', ''staple battery horse'', ''User'')', 'done'),
	('ff_pause_all()', 'done'), ('ff_resume_all()', 'done'), ('ff_run(''app-f'')', 'done'), ('ff_pause(''app-f'')', 'done'), ('ff_resume(''app-f'')', 'done'), ('ff_workflow_create(''flow 2'')', 'done'), ('ff_schedule(''nightly'', ''0 4 * * *'', ''x'')', 'done'),
	('ff_unschedule(''nightly'')', 'done'), ('ff_watch(''public.watched'', ''delete'', ''watched'')', 'done'), ('ff_unwatch(''public.watched'')', 'done'),
	('ff_set_app_role(''app'', null)', 'done'), ('ff_set_model_price(''*'', ''m'', 9, 9)', 'done'),
	('ff_register_app(''http://127.0.0.1:9/3'', ''app'', ''[{"id": "g", "triggers": [{"event": "go"}]}]'')', 'done'),
	('ff_register_function(''mine'', ''public.twice(integer)'')', 'done'), ('ff_unregister_function(''mine'')', 'FF013'), ('ff_sync_app(''not a url'')', 'FF204'),
	('ff_set_ai_provider(''p'', null, ''http://127.0.0.1:8'')', 'done'), ('ff_send_event(''go'', ''{}'', ''the id'')', 'done'), ('ff_send_events(''[{"name": "go", "id": "the id"}]'')', 'done');
select is_empty($$select d.function from decided d where d.level in ('sender', 'viewer', 'member', 'admin') and d.function::text !~ '^ff_workflow_validate'
	and not exists (select from tried t where split_part(t.call, '(', 1) = (select p.proname from pg_proc p where p.oid = d.function))$$, 'every one of them is tried');

create function pg_temp.fingerprint(tenant integer) returns text
language plpgsql
as $$
declare
	t regclass;
	part text;
	result text := '';
begin
	for t in select x.name from pg_temp.tenants_table x where not x.part order by 1 loop
		execute format('select md5(string_agg(x::text, '','' order by x::text)) from %s x where tenant_id = %s', t, tenant) into part;
		result := result || t || ' ' || coalesce(part, '') || E'\n';
	end loop;
	return result || (select string_agg(w.name || w.enabled, ',' order by w.name) from flowforge.watch_trigger w where (w.settings ->> 'tenant')::integer = tenant);
end
$$;
create function pg_temp.try(role name, call text) returns text
language plpgsql
as $$
declare
	m constant made := (select x from made x where x.tenant = 3);
	before constant text := pg_temp.fingerprint(3);
	told text;
	rows bigint;
	command constant text := 'select * from ' || replace(replace(replace(replace(replace(replace(replace(call, '{run}', quote_literal(m.run) || '::uuid'), '{ended}', quote_literal(m.ended) || '::uuid'),
		'{event}', quote_literal(m.event) || '::uuid'), '{key}', quote_literal(m.key) || '::uuid'), '{approval}', quote_literal(m.approval) || '::uuid'),
		'{workflow}', (select quote_literal(w.workflow_id) from flowforge.workflow w where w.tenant_id = 3)),
		'{app}', (select quote_literal(a.app_id) from flowforge.app a where a.tenant_id = 3)) || ' x where not (x is null)';
begin
	begin
		perform set_config('role', role, true);
		execute command;
		get diagnostics rows = row_count;
		told := case when rows = 0 then 'nothing' else 'done' end;
		perform set_config('role', 'none', true);
		if pg_temp.fingerprint(3) <> before then
			told := 'changed tenant 3';
		end if;
		raise exception using errcode = 'XX999';
	exception when sqlstate 'XX999' then
		null;
	when others then
		told := sqlstate;
	end;
	return told;
end
$$;
select is(pg_temp.try('a_admin', t.call), t.told, 'an admin of another tenant: ' || t.call) from tried t;
select is(pg_temp.try('a_member', t.call), case when d.level = 'admin' then '42501' else t.told end, 'a member: ' || t.call)
from tried t join lateral (select min(d.level) as level from decided d join pg_proc p on p.oid = d.function where p.proname = split_part(t.call, '(', 1)) d on true;
select is(pg_temp.try('a_viewer', t.call), case d.level when 'viewer' then t.told when 'sender' then 'FF640' else '42501' end, 'a viewer: ' || t.call)
from tried t join lateral (select min(d.level) as level from decided d join pg_proc p on p.oid = d.function where p.proname = split_part(t.call, '(', 1)) d on true;
select is(pg_temp.try('b_admin', 'ff_cancel({run})'), 'changed tenant 3', 'the test sees what its own admin changes');

-- --- ties ---

select throws_ok($$select ff_grant('postgres', 2, 'member')$$, 'FF642', null, 'a superuser is tied to nothing');
select throws_ok($$select ff_grant('flowforge_gateway', 2, 'member')$$, 'FF642', null, 'nor is the gateway');
select throws_ok($$select ff_grant('a_viewer', 2, 'owner')$$, 'FF642', null, 'there is no such role in a tenant');
select throws_ok($$select ff_grant('a_viewer', 99, 'viewer')$$, 'FF008', null, 'nor such a tenant');
select throws_ok($$select ff_grant('nobody_at_all', 2, 'viewer')$$, '42704', null, 'nor such a role');
set local role a_admin;
select throws_ok($$select ff_grant('bystander', 2, 'viewer')$$, '42501', null, 'an admin of a tenant ties nobody');
select throws_ok('select ff_set_tenant(2, weight => 9)', 'FF640', null, 'nor sets its share');
select is((ff_set_tenant(2, name => 'renamed')).name, 'renamed', 'but its name');
select throws_ok($$select ff_set_tenant(2, name => 'B')$$, 'FF071', null, 'unless that is taken');
reset role;
select is(ff_grant('a_viewer', 3, 'member'), 'member', 'a tied role is moved');
select is((select string_agg(tenant_id || ' ' || action, ', ' order by audit_id) from flowforge.audit where resource = 'role:a_viewer'),
	'2 role.grant, 2 role.revoke, 3 role.grant', 'which both tenants'' audit logs say');
set local role a_viewer;
select is((select string_agg(distinct tenant_id::text, ',') from flowforge.events), '3', 'and then sees the other tenant only');
reset role;
select ok(not pg_has_role('a_admin', 'flowforge_gateway', 'member') and pg_has_role('a_viewer', 'flowforge_member', 'member'), 'groups follow');
select is(ff_revoke('a_viewer'), 'revoked', 'a tie is ended');
select is(ff_revoke('a_viewer'), 'not tied', 'once');
select ok(not pg_has_role('a_viewer', 'flowforge_viewer', 'member'), 'with its groups');
set local role a_viewer;
select throws_ok('select count(*) from flowforge.events', '42501', null, 'and at once');
reset role;

-- While a request is served the principal's role counts for functions that act for their owner.
create function pg_temp.served(role text, actor text) returns text
language plpgsql
as $$
declare
	told text := 'done';
begin
	perform set_config('flowforge.role', role, true), set_config('flowforge.actor', actor, true);
	begin
		perform ff_run('f');
	exception when others then
		told := sqlstate;
	end;
	perform set_config('flowforge.role', '', true), set_config('flowforge.actor', '', true);
	return told;
end
$$;
select is(pg_temp.served('viewer', 'user:x'), 'FF640', 'who is served as a viewer runs nothing');
select is(pg_temp.served('', 'event-key'), 'FF640', 'nor who is served without a role');
select is(pg_temp.served('member', 'user:x'), 'FF013', 'but a member, in his tenant');

select * from finish();
rollback;

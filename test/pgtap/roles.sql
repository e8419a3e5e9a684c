-- Who may do what: the gateway's role answers requests and does nothing else; others can call nothing that acts for its owner.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select plan(14);

create role flowforge_test_nobody;
create temp view definers as
select p.oid, p.oid::regprocedure::text as function, p.proconfig
from pg_proc p
join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
join pg_extension e on d.refclassid = 'pg_extension'::regclass and e.oid = d.refobjid and e.extname = 'flowforge'
where p.prosecdef;

select has_role('flowforge_gateway', 'the gateway has a role');
select is((select rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication from pg_roles where rolname = 'flowforge_gateway'),
	false, 'it has no special rights');
select is((select rolconfig from pg_roles where rolname = 'flowforge_gateway'), '{log_parameter_max_length=0,log_parameter_max_length_on_error=0}',
	'what it passes on is not logged');
select ok(has_parameter_privilege('flowforge_gateway', 'flowforge.tenant', 'set'), 'it may say for which tenant it asks');
select ok(not has_parameter_privilege('flowforge_test_nobody', 'flowforge.tenant', 'set'), 'others may not');
select ok(has_function_privilege('flowforge_gateway', 'flowforge.serve(text,text,text,jsonb,bytea)', 'execute'), 'it may pass requests on');
select ok(has_function_privilege('flowforge_gateway', 'flowforge.stream_read(integer[],uuid[],integer[])', 'execute'), 'it may read streams');
select is(
	(select string_agg(c.relname, ', ') from pg_class c
	where c.relnamespace = 'flowforge'::regnamespace and c.relkind in ('r', 'p', 'v')
		and has_table_privilege('flowforge_gateway', c.oid, 'select, insert, update, delete, truncate, references, trigger')),
	'route', 'it may read the routes and no other table');
select ok(not has_table_privilege('flowforge_gateway', 'flowforge.route', 'insert, update, delete, truncate'), 'it may not change them');
select ok(not has_function_privilege('flowforge_test_nobody', 'flowforge.serve(text,text,text,jsonb,bytea)', 'execute'),
	'others may not pass requests on');
select ok(not has_function_privilege('flowforge_test_nobody', 'flowforge.stream_read(integer[],uuid[],integer[])', 'execute'), 'others may not read streams');
select is(
	(select string_agg(proname, ', ') from pg_proc
	where proname in ('ff_register_app', 'ff_sync_app', 'ask_app') and has_function_privilege('flowforge_test_nobody', oid, 'execute')),
	null, 'others may not say where calls go');
select is_empty('select function from definers where not proconfig @> ''{"search_path=pg_catalog, pg_temp"}''',
	'every function that acts for its owner has its search path pinned');
select is(
	(select string_agg(function, ', ' order by function) from definers where has_function_privilege('flowforge_test_nobody', oid, 'execute')
		and function !~ 'ff_send_(events?|signal)\('),
	null, 'everybody may call only ff_send_event, ff_send_events and ff_send_signal of these');

select * from finish();
rollback;

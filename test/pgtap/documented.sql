-- Everything people can call or read says what it is.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select plan(5);

create temp view nameless as
select p.oid::regprocedure::text as object
from pg_proc p
join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
join pg_extension e on d.refclassid = 'pg_extension'::regclass and e.oid = d.refobjid and e.extname = 'flowforge'
where obj_description(p.oid, 'pg_proc') is null and p.prorettype <> 'trigger'::regtype;

create temp view relations as
select c.oid, c.relname, c.relkind, obj_description(c.oid, 'pg_class') as comment
from pg_class c
where c.relnamespace = 'flowforge'::regnamespace and not c.relispartition;

select is_empty('select object from nameless where object like ''%ff\_%''', 'every ff_* function has a comment');
select is_empty('select object from nameless', 'every function of the extension has a comment');
select is_empty('select relname from relations where relkind in (''v'', ''m'') and comment is null', 'every view has a comment');
select is_empty('select relname from relations where relkind in (''r'', ''p'') and comment is null', 'every table has a comment');
select is_empty($$
	select r.function from flowforge.route r
	where obj_description(to_regprocedure(r.function || '(flowforge.request)'), 'pg_proc') is null
$$, 'every function that answers a route has a comment');

select * from finish();
rollback;

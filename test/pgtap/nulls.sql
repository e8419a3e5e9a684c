-- Whatever is null: a function of C answers or raises, and the server lives.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select plan(4);

create temp table called (function oid, arguments text, said text);
create function pg_temp.argument(type oid, is_null boolean) returns text
language sql as $$
	select case when is_null then 'null' else case format_type(type, null)
		when 'integer' then '1' when 'bigint' then '1' when 'boolean' then 'true' when 'jsonb' then quote_literal('{}') when 'bytea' then quote_literal('x')
		when 'uuid' then quote_literal('01890000-0000-7000-8000-000000000000') when 'text[]' then quote_literal('{a}')
		when 'timestamp with time zone' then 'now()' when 'interval' then quote_literal('1 s') when 'timestamp with time zone[]' then 'array[now()]'
		when 'text' then quote_literal('x') else 'null' end end || '::' || format_type(type, null)
$$;
-- Every argument null by itself, and all of them (which = 0).
create function pg_temp.call(function oid, types oid[], which integer) returns void
language plpgsql as $$
declare
	arguments constant text := (
		select string_agg(pg_temp.argument(t, which in (0, o)), ', ' order by o) from unnest(types) with ordinality u (t, o));
begin
	execute format('select %s(%s)', function::regproc, arguments);
	insert into called values (function, arguments, 'answered');
exception when others then
	insert into called values (function, arguments, sqlstate);
end
$$;
select count(pg_temp.call(p.oid, p.proargtypes::oid[], n)) as calls
from pg_proc p
join pg_language l on l.oid = p.prolang and l.lanname = 'c'
join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
join pg_extension e on d.refclassid = 'pg_extension'::regclass and e.oid = d.refobjid and e.extname = 'flowforge'
cross join generate_series(0, p.pronargs) n
where p.pronargs > 0 and not p.proisstrict \gset

select cmp_ok(:calls, '>', 30, 'functions that take nulls were called');
select is((select count(*) from called), (:calls)::bigint, 'and all came back');
select is_empty('select function::regprocedure, arguments from called where said = ''XX000''', 'none with an internal error');
select throws_ok('select ff_wait(null)', '22004', 'ff_wait needs a run and a time-out', 'to wait for no run is an error');

select * from finish();
rollback;

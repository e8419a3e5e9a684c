-- The extension installs, into an empty database, without a word.
create extension flowforge;
select extversion from pg_extension where extname = 'flowforge';
-- Everything people call is in the extension's schema and says what it does.
select p.proname, obj_description(p.oid) is not null as documented
from pg_proc p join pg_depend d on d.objid = p.oid and d.deptype = 'e'
join pg_extension e on e.oid = d.refobjid and e.extname = 'flowforge'
where p.pronamespace = 'public'::regnamespace
order by 1;

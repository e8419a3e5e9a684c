-- Watched tables: changes of their rows become events, in the same transaction. There is no table of watches: what is watched, and how, is
-- the argument of the triggers on the watched table, so it is renamed, dropped, dumped and restored with it.

-- Acts as whoever changes the table until it records the events: what columns are made JSON by may be anybody's function.
create function flowforge.watch() returns trigger
language c
as 'MODULE_PATHNAME', 'ff_watch_fire';
comment on function flowforge.watch() is 'Sends the events of a watched table; made a trigger by ff_watch.';
revoke execute on function flowforge.watch() from public;

create function flowforge.watch_settings(args bytea) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return convert_from(substring(args for octet_length(args) - 1), getdatabaseencoding())::jsonb;
exception when data_exception then
	return null;
end
$$;
comment on function flowforge.watch_settings(bytea) is 'What ff_watch wrote into a trigger''s argument; null when somebody else made the trigger.';

create view flowforge.watch_trigger as
select t.oid as trigger_id, t.tgrelid as table_id, t.tgname as name, t.tgenabled <> 'D' as enabled,
	case when t.tgtype & 4 <> 0 then 'insert' when t.tgtype & 8 <> 0 then 'delete' else 'update' end as op,
	s.settings
from pg_catalog.pg_trigger t
cross join lateral (select flowforge.watch_settings(t.tgargs) as settings) s
where t.tgfoid = 'flowforge.watch()'::pg_catalog.regprocedure and s.settings ? 'tenant';
comment on view flowforge.watch_trigger is
'The triggers of watched tables and their partitions, with what ff_watch was told: tenant, watch (its name), event, columns, filter, key, partition.';

create view flowforge.watches with (security_barrier = true) as
select (w.settings ->> 'tenant')::integer as tenant_id, w.table_id::pg_catalog.regclass as table, w.settings ->> 'watch' as event_name,
	pg_catalog.array_agg(w.op order by w.op) as ops, pg_catalog.array_agg(w.settings ->> 'event' order by w.op) as events,
	pg_catalog.min(w.settings ->> 'columns')::jsonb as columns, pg_catalog.min(w.settings ->> 'filter') as filter,
	pg_catalog.min(w.settings ->> 'key')::jsonb as key, pg_catalog.bool_and(w.enabled) as enabled,
	coalesce(pg_catalog.max(fe.errors), 0) as filter_errors, pg_catalog.max(fe.last_error) as last_filter_error
from flowforge.watch_trigger w
left join flowforge.filter_errors() fe
	on fe.tenant_id = (w.settings ->> 'tenant')::integer and fe.function_id = - (w.table_id::bigint & 2147483647)::integer
where not w.settings ? 'partition' and flowforge.sees_tenant((w.settings ->> 'tenant')::integer)
group by 1, 2, 3;
comment on view flowforge.watches is
'The watched tables: which changes are sent as which events, for which columns, by which filter (and how often it could not be evaluated for '
'this table since the server started), and the columns of the key.';

-- --- making the triggers ---

create function flowforge.make_watch(target regclass, op text, settings jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	-- Of tenant 1 it is the watch alone that names the trigger; tenants do not replace each other's.
	name constant text := format('flowforge_watch_%s_%s', left(md5(concat_ws('/', nullif(settings ->> 'tenant', '1'), settings ->> 'watch')), 12), op);
begin
	execute format('create or replace trigger %I after %s on %s referencing %s for each statement execute function flowforge.watch(%L)',
		name, op, target, case op when 'insert' then 'new table as new_rows' when 'delete' then 'old table as old_rows'
			else 'old table as old_rows new table as new_rows' end, settings::text);
end
$$;
comment on function flowforge.make_watch(regclass, text, jsonb) is 'Makes the trigger of one operation of a watch, or replaces it.';

create function flowforge.spread_watches(target regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	missing record;
begin
	for missing in
		select p.relid, w.op, w.settings || '{"partition": true}' as settings
		from flowforge.watch_trigger w
		cross join lateral pg_partition_tree(w.table_id) p
		join pg_class c on c.oid = p.relid and c.relkind in ('r', 'p')
		where w.table_id = target and not w.settings ? 'partition' and p.relid <> w.table_id and not exists (
			select from flowforge.watch_trigger o
			where o.table_id = p.relid and o.op = w.op and o.settings = w.settings || '{"partition": true}')
	loop
		perform flowforge.make_watch(missing.relid, missing.op, missing.settings);
	end loop;
end
$$;
comment on function flowforge.spread_watches(regclass) is
'Gives the partitions of a watched table its triggers: a statement that names a partition fires that one''s only.';

create function flowforge.drop_watches(target regclass, watch text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	old record;
	dropped text[] := '{}';
begin
	for old in
		select w.table_id::regclass as place, w.name, w.settings ->> 'watch' as watch
		from pg_partition_tree(target) p
		join flowforge.watch_trigger w on w.table_id = p.relid
		where (drop_watches.watch is null or w.settings ->> 'watch' = drop_watches.watch) and (p.relid = target) <> (w.settings ? 'partition')
			and (w.settings ->> 'tenant')::integer = flowforge.current_tenant()
		union
		select w.table_id::regclass, w.name, w.settings ->> 'watch'
		from flowforge.watch_trigger w
		where w.table_id = target and not w.settings ? 'partition' and (drop_watches.watch is null or w.settings ->> 'watch' = drop_watches.watch)
			and (w.settings ->> 'tenant')::integer = flowforge.current_tenant()
	loop
		execute format('drop trigger %I on %s', old.name, old.place);
		dropped := dropped || old.watch;
	end loop;
	return (select count(distinct d) from unnest(dropped) d);
end
$$;
comment on function flowforge.drop_watches(regclass, text) is
'Removes this tenant''s watch of a table and its partitions, or all of them; gives how many.';

-- --- what people call ---

create function flowforge.check_watcher(target regclass) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	caller constant text := flowforge.caller();
	relation pg_class;
begin
	select c.* into relation from pg_class c where c.oid = target;
	if relation.relkind not in ('r', 'p') or relation.relnamespace in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace,
			'flowforge'::regnamespace, 'pg_toast'::regnamespace) or relation.relkind is null then
		raise exception using errcode = 'FF321', message = format('"%s" cannot be watched', target),
			detail = 'Only tables of yours can be: not views, not foreign tables, not those of the system or of FlowForge.';
	elsif not (has_table_privilege(caller, target, 'trigger') and has_table_privilege(caller, target, 'select')) then
		raise exception using errcode = '42501', message = format('permission denied to watch %s', target),
			hint = format('The privileges TRIGGER and SELECT on it are needed: grant trigger, select on %s to %I.', target, caller);
	end if;
end
$$;
comment on function flowforge.check_watcher(regclass) is 'Raises FF321 for what cannot be watched and 42501 for who may not watch it.';

create function flowforge.watch_problem(target regclass, ops text[], event_name text, columns text[], filter text, key text[]) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when coalesce(cardinality(ops), 0) = 0 or not ops <@ '{insert,update,delete}' then 'events must be some of insert, update, delete'
		when event_name ~* '^(inngest|flowforge)/' or octet_length(event_name) not between 1 and 512 then
			'its event needs a name of 1 to 512 bytes that does not begin with inngest/ or flowforge/'
		when cardinality(columns) = 0 or columns is not null and not 'update' = any (ops) then
			'columns say which updates are sent: name some, and watch updates'
		else coalesce((
			select format('%s has no column %s', target, quote_ident(n))
			from unnest(columns || key) n
			where not exists (select from pg_attribute a where a.attrelid = target and a.attname = n and a.attnum > 0 and not a.attisdropped)
			limit 1), flowforge.check_expression(filter))
	end
$$;
comment on function flowforge.watch_problem(regclass, text[], text, text[], text, text[]) is
'What is wrong with the arguments of ff_watch, or null when nothing is.';

create function flowforge.primary_key(target regclass) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select array_agg(a.attname::text order by k.ordinality)
	from pg_index i
	cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, ordinality)
	join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
	where i.indrelid = target and i.indisprimary
$$;
comment on function flowforge.primary_key(regclass) is 'The columns of a table''s primary key; null when it has none.';

create function @extschema@.ff_watch(
	"table" regclass, events text default 'insert, update, delete', event_name text default null, columns text[] default null,
	filter text default null, key text[] default null
) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	target constant regclass := "table";
	ops constant text[] := regexp_split_to_array(lower(btrim(coalesce(events, ''))), '\s*,\s*|\s+or\s+');
	prefix constant text := (
		select case when n.nspname = 'public' then '' else n.nspname || '.' end || c.relname
		from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = target);
	settings jsonb;
	problem text;
begin
	perform flowforge.require_role('member');
	if target is null then
		raise exception using errcode = 'FF322', message = 'no table is named', hint = 'For example: select ff_watch(''orders'');';
	end if;
	perform flowforge.check_watcher(target);
	problem := flowforge.watch_problem(target, ops, event_name, columns, filter, key);
	if problem is not null then
		raise exception using errcode = 'FF322', message = format('%s cannot be watched so', target), detail = problem || '.',
			hint = 'For example: select ff_watch(''orders'', ''insert, update'', ''order/changed'', columns => ''{status}'', filter => ''new.total > 100'');';
	end if;
	settings := jsonb_strip_nulls(jsonb_build_object('tenant', flowforge.current_tenant(), 'watch', coalesce(event_name, prefix || '/*'),
		'columns', to_jsonb(columns), 'filter', filter, 'key', to_jsonb(coalesce(key, flowforge.primary_key(target)))));
	perform flowforge.drop_watches(target, settings ->> 'watch');
	perform flowforge.make_watch(target, o.op, settings || jsonb_build_object('event', coalesce(event_name,
		prefix || case o.op when 'insert' then '/inserted' when 'update' then '/updated' else '/deleted' end)))
	from unnest(ops) as o (op);
	perform flowforge.spread_watches(target);
	perform flowforge.audit('watch.create', 'watch:' || (settings ->> 'watch'), null, settings || jsonb_build_object('table', target::text, 'events', to_jsonb(ops)));
	return settings ->> 'watch';
end
$$;
comment on function @extschema@.ff_watch(regclass, text, text, text[], text, text[]) is
'Makes changes of a table''s rows events, in the transaction that changes them. Takes the table, which of insert, update and delete, and the event''s '
'name (by default TABLE/inserted, TABLE/updated and TABLE/deleted, before it the schema and a dot unless that is public); columns of which an update '
'must change one; a filter over new, old and op (an error in it is counted in flowforge.watches and lets nothing pass); and the columns that name a '
'row (by default the primary key). The event''s data is {op, schema, table, key, old, new, changed}; without old and new but with truncated when it '
'would be too large for an event. TRUNCATE sends nothing. A watch of the same event name is replaced. Partitions, also those to come, are watched along. '
'Needs the privileges TRIGGER and SELECT on the table, and execution of this function. Gives the event''s name. Errors: FF321, FF322, 42501.';
revoke execute on function @extschema@.ff_watch(regclass, text, text, text[], text, text[]) from public;

create function @extschema@.ff_unwatch("table" regclass, event_name text default null) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	removed bigint;
begin
	perform flowforge.require_role('member');
	perform flowforge.check_watcher("table");
	removed := flowforge.drop_watches("table", event_name);
	if removed = 0 then
		raise exception using errcode = 'FF323', message = format('%s is not watched%s', "table", ' for the event "' || event_name || '"'),
			hint = 'flowforge.watches lists what is.';
	end if;
	perform flowforge.audit('watch.delete', 'watch:' || coalesce(event_name, '*'), jsonb_build_object('table', "table"::text, 'watches', removed), null);
	return removed;
end
$$;
comment on function @extschema@.ff_unwatch(regclass, text) is
'Removes the watch of a table with this event name (as ff_watch gave it), or all of them. Gives how many. Errors: FF321, FF323, 42501.';
revoke execute on function @extschema@.ff_unwatch(regclass, text) from public;

-- --- tables change ---

create function flowforge.rename_in(names jsonb, old_name text, new_name text) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_agg(case when n.value = to_jsonb(old_name) then to_jsonb(new_name) else n.value end order by n.ordinality)
	from jsonb_array_elements(names) with ordinality n
$$;
comment on function flowforge.rename_in(jsonb, text, text) is 'A list of names in which one has become another; null for none.';

create function flowforge.watched_columns_gone(target regclass) returns table (place regclass, op text, settings jsonb, gone text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select w.table_id::regclass, w.op, w.settings, n.name
	from flowforge.watch_trigger w
	cross join lateral (
		select distinct e.value as name
		from jsonb_array_elements_text(coalesce(w.settings -> 'columns', '[]') || coalesce(w.settings -> 'key', '[]')) e
	) n
	where (w.table_id = target or w.table_id in (select p.relid from pg_partition_tree(target) p)) and not exists (
		select from pg_attribute a where a.attrelid = w.table_id and a.attname = n.name and a.attnum > 0 and not a.attisdropped)
$$;
comment on function flowforge.watched_columns_gone(regclass) is 'The columns that watches of a table name and the table has not.';

create function flowforge.follow_columns(target regclass, attnum integer) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	renamed constant text := (select a.attname from pg_attribute a where a.attrelid = target and a.attnum = follow_columns.attnum and not a.attisdropped);
	gone record;
begin
	for gone in select * from flowforge.watched_columns_gone(target) loop
		if attnum = 0 or renamed is null then
			raise exception using errcode = 'FF322', message = format('column "%s" of %s is watched', gone.gone, gone.place),
				detail = format('The watch "%s" names it.', gone.settings ->> 'watch'),
				hint = 'Remove the watch with ff_unwatch, or replace it with ff_watch, before the column is dropped.';
		end if;
		perform flowforge.make_watch(gone.place, gone.op, jsonb_strip_nulls(gone.settings || jsonb_build_object(
			'columns', flowforge.rename_in(gone.settings -> 'columns', gone.gone, renamed),
			'key', flowforge.rename_in(gone.settings -> 'key', gone.gone, renamed))));
	end loop;
end
$$;
comment on function flowforge.follow_columns(regclass, integer) is
'Makes the watches of a table name a column that was renamed as it is called now. Error: FF322 for one that was dropped.';

create function flowforge.follow_partitions(target regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	old record;
begin
	perform flowforge.spread_watches(a.relid) from pg_partition_ancestors(target) a;
	perform flowforge.spread_watches(target);
	for old in
		select w.name, w.table_id::regclass as place
		from flowforge.watch_trigger w
		where w.settings ? 'partition' and not exists (
			select from pg_partition_ancestors(w.table_id) a
			join flowforge.watch_trigger o on o.table_id = a.relid
			where o.op = w.op and o.settings || '{"partition": true}' = w.settings and not o.settings ? 'partition')
	loop
		execute format('drop trigger %I on %s', old.name, old.place);
	end loop;
end
$$;
comment on function flowforge.follow_partitions(regclass) is
'Watches the partitions that a watched table has got, and no longer those it has not.';

create function flowforge.follow_tables() returns event_trigger
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	command record;
begin
	if not exists (select from pg_trigger t where t.tgfoid = 'flowforge.watch()'::regprocedure) then
		return;
	end if;
	for command in
		select distinct c.objid::regclass as target, c.objsubid
		from pg_event_trigger_ddl_commands() c
		join pg_class r on r.oid = c.objid and r.relkind in ('r', 'p')
		where c.classid = 'pg_class'::regclass
	loop
		perform flowforge.follow_columns(command.target, command.objsubid);
		perform flowforge.follow_partitions(command.target);
	end loop;
end
$$;
comment on function flowforge.follow_tables() is 'Keeps the watches of tables right when tables change.';
revoke execute on function flowforge.follow_tables() from public;
create event trigger flowforge_watch on ddl_command_end when tag in ('CREATE TABLE', 'CREATE TABLE AS', 'ALTER TABLE')
	execute function flowforge.follow_tables();

-- Partitions of the insert-only tables are days of the UUIDv7 key. Default partitions catch what no day holds yet, so that nothing is
-- ever refused; flowforge.maintain makes days ahead, moves what the default caught, and drops what retention allows. Keys and indexes are
-- the partitions' own, not their parents': attaching would make them, and a restored dump would then make them a second time.
create table flowforge.event_default partition of flowforge.event (primary key (tenant_id, event_id)) default;
create table flowforge.run_default partition of flowforge.run (primary key (tenant_id, run_id)) default;
create index run_default_event on flowforge.run_default (tenant_id, event_id);
create table flowforge.run_batch_default partition of flowforge.run_batch (primary key (tenant_id, run_id, position)) default;
create index run_batch_default_event on flowforge.run_batch_default (event_id, tenant_id);
create table flowforge.step_default partition of flowforge.step (primary key (tenant_id, run_id, step_id)) default;
create table flowforge.run_end_default partition of flowforge.run_end (primary key (tenant_id, run_id)) default;
create table flowforge.run_event_batch_default partition of flowforge.run_event_batch (primary key (tenant_id, run_id, seq)) default;

create table flowforge.feed_default partition of flowforge.feed (primary key (feed_id)) default;
create index feed_default_xid on flowforge.feed_default (tenant_id, xid);

create table flowforge.run_skip_default partition of flowforge.run_skip (primary key (tenant_id, event_id, function_id)) default;

-- Where the server has it, LZ4: compressing the log of a run of a graph takes an eighth of its time with the built-in method. What is made
-- like these tables has it, too.
do $$
declare
	wide record;
begin
	if exists (select from pg_catalog.pg_settings s where s.name = 'default_toast_compression' and 'lz4' = any (s.enumvals)) then
		for wide in
			select a.attrelid::pg_catalog.regclass as name, a.attname
			from pg_catalog.pg_attribute a
			where a.attrelid = any ('{flowforge.event_default,flowforge.step_default,flowforge.run_end_default,flowforge.run_event_batch_default,flowforge.run_hot,flowforge.run_parked,flowforge.inbox}'::pg_catalog.regclass[])
				and a.atttypid = 'pg_catalog.jsonb'::pg_catalog.regtype
		loop
			execute pg_catalog.format('alter table %s alter column %I set compression lz4', wide.name, wide.attname);
		end loop;
	end if;
end
$$;

select pg_catalog.pg_extension_config_dump('flowforge.event_default', '');
select pg_catalog.pg_extension_config_dump('flowforge.run_default', '');
select pg_catalog.pg_extension_config_dump('flowforge.run_batch_default', '');
select pg_catalog.pg_extension_config_dump('flowforge.step_default', '');
select pg_catalog.pg_extension_config_dump('flowforge.run_end_default', '');
select pg_catalog.pg_extension_config_dump('flowforge.run_event_batch_default', '');
select pg_catalog.pg_extension_config_dump('flowforge.run_skip_default', '');

create function flowforge.partition_key(parent text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case when parent in ('event', 'run_skip') then 'event_id' when parent = 'feed' then 'feed_id' else 'run_id' end
$$;
comment on function flowforge.partition_key(text) is 'The column whose days are the partitions of one of FlowForge''s partitioned tables.';

create function flowforge.partition_days(parent text)
returns table (partition text, day date)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select c.relname::text, to_date(right(c.relname, 8), 'YYYYMMDD')
	from pg_inherits i
	join pg_class c on c.oid = i.inhrelid
	where i.inhparent = ('flowforge.' || parent)::regclass and c.relname ~ ('^' || parent || '_\d{8}$')
$$;
comment on function flowforge.partition_days(text) is 'The dated partitions of one of FlowForge''s partitioned tables.';

-- From one tenant of a slot to the next by the index, over all their runs at once.
create function flowforge.hot_tenants() returns table (slot smallint, tenant_id integer)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with recursive t as (
		select s.slot::smallint as slot, (select min(h.tenant_id) from flowforge.run_hot h where h.slot = s.slot) as tenant_id
		from generate_series(0, 63) as s (slot)
		union all
		select t.slot, (select min(h.tenant_id) from flowforge.run_hot h where h.slot = t.slot and h.tenant_id > t.tenant_id)
		from t
		where t.tenant_id is not null
	)
	select t.slot, t.tenant_id from t where t.tenant_id is not null
$$;
comment on function flowforge.hot_tenants() is 'The slots and tenants that have rows in run_hot, found without a look at all of them.';

create function flowforge.has_live_run(low uuid, high uuid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select exists (
		select from flowforge.hot_tenants() t
		where exists (select from flowforge.run_hot h where h.slot = t.slot and h.tenant_id = t.tenant_id and h.run_id >= low and h.run_id < high))
	or exists (
		select from generate_series(0, 63) as s (slot)
		where exists (select from flowforge.run_parked p where p.slot = s.slot and p.run_id >= low and p.run_id < high))
$$;
comment on function flowforge.has_live_run(uuid, uuid) is 'Whether a run with an id in [low, high) has not ended yet.';

create function flowforge.make_partition(parent text, day date) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
	key constant text := flowforge.partition_key(parent);
	low constant uuid := flowforge.id_floor(day::timestamp at time zone 'UTC');
	high constant uuid := flowforge.id_floor((day + 1)::timestamp at time zone 'UTC');
	child constant text := parent || to_char(day, '_YYYYMMDD');
begin
	-- The parent, so that no insert that has already chosen the default partition meets it with a narrower bound.
	execute format('lock table only flowforge.%I in access exclusive mode', parent);
	execute format('create table flowforge.%I (like flowforge.%I including all)', child, parent || '_default');
	-- The log's guard against DELETE must let the move pass.
	perform set_config('session_replication_role', 'replica', true);
	execute format(
		'with moved as (delete from flowforge.%I where %I >= $1 and %2$I < $2 returning *) insert into flowforge.%I select * from moved',
		parent || '_default', key, child) using low, high;
	perform set_config('session_replication_role', 'origin', true);
	perform flowforge.protect(format('flowforge.%I', child)::regclass);
	execute format('alter table flowforge.%I attach partition flowforge.%I for values from (%L) to (%L)', parent, child, low, high);
end
$$;
comment on function flowforge.make_partition(text, date) is 'Makes the partition of one day (UTC), moving into it what the default partition holds of that day.';

create function flowforge.caught_days(parent text) returns setof date
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return query execute format('select distinct (flowforge.id_time(d.%I) at time zone ''UTC'')::date from flowforge.%I d',
		flowforge.partition_key(parent), parent || '_default');
end
$$;
comment on function flowforge.caught_days(text) is 'The days (UTC) of what a default partition holds.';

create function flowforge.maintain(parent text, ahead integer, retention interval) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
	today constant date := (now() at time zone 'UTC')::date;
	missing date;
	old record;
	changed integer := 0;
begin
	-- Senders queue behind the lock: better to try again in a minute than to make them wait.
	perform set_config('lock_timeout', '200ms', true);
	for missing in
		select d::date from generate_series(today, today + ahead, interval '1 day') as d
		union
		select d from flowforge.caught_days(parent) as d where d < today
		except
		select p.day from flowforge.partition_days(parent) p
	loop
		perform flowforge.make_partition(parent, missing);
		changed := changed + 1;
	end loop;
	for old in
		select p.partition, p.day from flowforge.partition_days(parent) p
		where retention > interval '0' and p.day < today - ceil(extract(epoch from retention) / 86400)::integer
	loop
		-- An event's id may be a day off its run's: its sender may have given it the time.
		continue when flowforge.has_live_run(
			flowforge.id_floor((old.day - 1)::timestamp at time zone 'UTC'),
			flowforge.id_floor((old.day + 2)::timestamp at time zone 'UTC'));
		-- A run may be much younger than its event: the event was held back, or the run repeats another.
		continue when parent = 'event' and flowforge.needs_events(
			flowforge.id_floor(old.day::timestamp at time zone 'UTC'),
			flowforge.id_floor((old.day + 1)::timestamp at time zone 'UTC'));
		execute format('drop table flowforge.%I', old.partition);
		changed := changed + 1;
		if parent = 'run' then
			delete from flowforge.run_metadata m
			where m.run_id >= flowforge.id_floor(old.day::timestamp at time zone 'UTC')
				and m.run_id < flowforge.id_floor((old.day + 1)::timestamp at time zone 'UTC');
		end if;
	end loop;
	perform flowforge.protect_tables();
	return changed;
end
$$;
comment on function flowforge.maintain(text, integer, interval) is
'Makes the daily partitions of one table for today, `ahead` days more and the past days its default partition caught rows of, and drops '
'those older than `retention` that no live run needs. Gives how many it made and dropped. Executors call it; retention 0 keeps everything.';

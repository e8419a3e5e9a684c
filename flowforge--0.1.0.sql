\echo Use "create extension flowforge" to load this file. \quit
create schema flowforge;
comment on schema flowforge is 'FlowForge: tables, views and internal functions. The functions people call are named ff_* and are in the extension''s schema.';

create function flowforge.uuid7() returns uuid
language c volatile parallel safe as 'MODULE_PATHNAME', 'ff_sql_uuid7';
comment on function flowforge.uuid7() is 'A new time-ordered id (UUIDv7, RFC 9562).';

create function flowforge.ulid(id uuid) returns text
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_ulid';
comment on function flowforge.ulid(uuid) is 'The same 128 bits as a ULID: 26 characters of Crockford base32.';

create function flowforge.id(id text) returns uuid
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_id';
comment on function flowforge.id(text) is 'Reads an id written as a uuid or as a ULID.';

create function flowforge.slot(id uuid) returns smallint
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_slot';
comment on function flowforge.slot(uuid) is 'The slot (0 to 63) a run belongs to.';

create function flowforge.id_time(id uuid) returns timestamptz
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_id_time';
comment on function flowforge.id_time(uuid) is 'The time an id carries, to the millisecond.';

create function flowforge.id_floor(at timestamptz) returns uuid
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_id_floor';
comment on function flowforge.id_floor(timestamptz) is 'The smallest id of a time: a bound for ranges of ids.';

create function flowforge.jcs(value jsonb) returns text
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_jcs';
comment on function flowforge.jcs(jsonb) is 'A value as canonical JSON text (RFC 8785).';

create function flowforge.duration(duration text) returns interval
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_duration';
comment on function flowforge.duration(text) is 'Reads a duration such as 500ms, 10s or 1h30m.';

create function flowforge.sign(key text, body text, t bigint) returns text
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_sign';
comment on function flowforge.sign(text, text, bigint) is 'The signature header of a body at a time (seconds since 1970), as calls to apps carry it.';

create function flowforge.key_hash(key text) returns text
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_key_hash';
comment on function flowforge.key_hash(text) is 'The bearer an SDK derives from a signing key; null when the key is not hex.';
revoke all on function flowforge.sign(text, text, bigint) from public;
create function @extschema@.ff_eval(expression text, context jsonb, mode text default 'strict') returns jsonb
language c stable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_eval';
comment on function @extschema@.ff_eval(text, jsonb, text) is
'Evaluates an expression; the members of context are the names it may use. In mode strict, what is missing or wrong raises FF102 to '
'FF110. In mode filter, as in the filters of triggers and waits, a missing member is null, comparing with null by order is false, '
'and any other error gives false. An expression that cannot be read raises FF101, FF109 or FF110 in both.';
-- Tenants. One row per tenant; every other table of FlowForge carries the tenant's id. Written by administrators.
create table flowforge.tenant (
	tenant_id integer primary key check (tenant_id > 0),
	name text not null unique,
	created_at timestamptz not null default now()
);
comment on table flowforge.tenant is 'A tenant: the owner of apps, functions, events and runs. Tenant 1 always exists.';

insert into flowforge.tenant (tenant_id, name) values (1, 'default');
select pg_catalog.pg_extension_config_dump('flowforge.tenant', 'where tenant_id operator(pg_catalog.<>) 1');

create function flowforge.current_tenant() returns integer
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(nullif(current_setting('flowforge.tenant', true), '')::integer, 1)
$$;
comment on function flowforge.current_tenant() is 'The tenant this session works for: the setting flowforge.tenant, by default 1.';

-- The gateway logs in as this role; it may call the functions granted to it below and nothing else.
do $$
begin
	if not exists (select from pg_catalog.pg_roles where rolname = 'flowforge_gateway') then
		create role flowforge_gateway login noinherit;
	end if;
end
$$;
grant usage on schema flowforge to flowforge_gateway;
-- An app: a URL that serves functions. Written when an app registers (flowforge.register_app).
create table flowforge.app (
	tenant_id integer not null,
	app_id uuid not null default flowforge.uuid7(),
	name text not null,
	url text not null,
	sdk text,
	framework text,
	app_version text,
	checksum text not null,
	registered_at timestamptz not null default now(),
	synced_at timestamptz not null default now(),
	primary key (tenant_id, app_id),
	unique (tenant_id, name)
);
comment on table flowforge.app is 'An app: a URL that serves functions.';

create sequence flowforge.function_id_seq as integer;

-- A function: something that runs can be made of. `version` is the current one, `url` the address calls go to.
create table flowforge.function (
	tenant_id integer not null,
	function_id integer not null default nextval('flowforge.function_id_seq'),
	app_id uuid,
	slug text not null,
	name text not null,
	version integer not null default 1,
	url text not null,
	archived_at timestamptz,
	created_at timestamptz not null default now(),
	primary key (tenant_id, function_id),
	unique (tenant_id, slug)
);
comment on table flowforge.function is 'A function of a tenant; slug is unique (app-function for SDK functions).';

-- A published version never changes; runs name the version they started with.
create table flowforge.function_version (
	tenant_id integer not null,
	function_id integer not null,
	version integer not null,
	retries smallint not null check (retries between 0 and 20),
	config jsonb not null,
	created_at timestamptz not null default now(),
	primary key (tenant_id, function_id, version)
);
comment on table flowforge.function_version is 'An immutable version of a function: its configuration and the retries each step has.';

create sequence flowforge.trigger_id_seq as integer;

-- What starts runs of the current version of a function. Replaced as a whole when the function changes.
create table flowforge.trigger (
	tenant_id integer not null,
	trigger_id integer not null default nextval('flowforge.trigger_id_seq'),
	function_id integer not null,
	version integer not null,
	kind text not null check (kind in ('event', 'cron')),
	event text,
	expression text,
	cron text,
	primary key (tenant_id, trigger_id)
);
comment on table flowforge.trigger is 'What starts runs of a function: an event name (or a pattern ending in *) with an optional filter, or a cron schedule.';
create index trigger_event on flowforge.trigger (tenant_id, event) where event is not null;
create index trigger_function on flowforge.trigger (tenant_id, function_id);

-- Backends cache functions and triggers; any change to these tables makes all of them forget.
create function flowforge.forget_functions() returns trigger
language c as 'MODULE_PATHNAME', 'ff_function_forget';
create trigger forget after insert or update or delete or truncate on flowforge.function
	for each statement execute function flowforge.forget_functions();
create trigger forget after insert or update or delete or truncate on flowforge.function_version
	for each statement execute function flowforge.forget_functions();
create trigger forget after insert or update or delete or truncate on flowforge.trigger
	for each statement execute function flowforge.forget_functions();

select pg_catalog.pg_extension_config_dump('flowforge.app', '');
select pg_catalog.pg_extension_config_dump('flowforge.function', '');
select pg_catalog.pg_extension_config_dump('flowforge.function_id_seq', '');
select pg_catalog.pg_extension_config_dump('flowforge.function_version', '');
select pg_catalog.pg_extension_config_dump('flowforge.trigger', '');
select pg_catalog.pg_extension_config_dump('flowforge.trigger_id_seq', '');
-- Every event received. Insert-only; written by ff_send_event(s) in the sender's transaction.
create table flowforge.event (
	tenant_id integer not null,
	event_id uuid not null,
	name text not null,
	data jsonb not null,
	user_data jsonb,
	external_id text,
	v text,
	ts timestamptz not null,
	received_at timestamptz not null default clock_timestamp()
) partition by range (event_id);
comment on table flowforge.event is 'Every event received, insert-only. event_id is a UUIDv7; ranges of it are time ranges.';

-- Idempotency of the senders' event ids: a row here within its time means "already received".
create table flowforge.event_key (
	tenant_id integer not null,
	key text not null,
	event_id uuid not null,
	expires_at timestamptz not null,
	primary key (tenant_id, key)
);
comment on table flowforge.event_key is 'Event ids given by senders, kept for flowforge.event_dedupe_window.';
create index event_key_expiry on flowforge.event_key (expires_at);

-- A run's wait for an event. Written and deleted by the run's owner, read by senders of events. match_path and match_key
-- hold the equality the filter demands of the awaited event (path below it and a hash of the value); path '' demands nothing.
create table flowforge.wait (
	tenant_id integer not null,
	event_name text not null,
	match_path text collate "C" not null,
	match_key bigint not null,
	run_id uuid not null,
	step_id text not null,
	event_id uuid not null,
	expression text,
	primary key (tenant_id, run_id, step_id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
comment on table flowforge.wait is 'A run waiting for an event: name, the equality it demands, and the rest of its filter.';
create index wait_lookup on flowforge.wait (tenant_id, event_name, match_path, match_key);

select pg_catalog.pg_extension_config_dump('flowforge.event_key', '');
select pg_catalog.pg_extension_config_dump('flowforge.wait', '');

create function @extschema@.ff_send_event(
	name text, data jsonb default '{}', id text default null, user_data jsonb default null, ts timestamptz default null
) returns uuid
language c volatile security definer
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_send_event';
comment on function @extschema@.ff_send_event(text, jsonb, text, jsonb, timestamptz) is
'Records one event in the caller''s transaction, starts a run of each function it triggers and resolves waits for it. '
'Takes the name (at most 512 bytes), data (an object), an id that makes repeats harmless for flowforge.event_dedupe_window, '
'user data and the time it happened. Gives the event''s id. Errors: FF001 to FF008.';

create function @extschema@.ff_send_events(events jsonb) returns setof uuid
language c volatile security definer
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_send_events';
comment on function @extschema@.ff_send_events(jsonb) is
'Records an array of {name, data, id, user, ts (milliseconds since 1970), v}, at most 5,000, as ff_send_event does for one. '
'Gives their ids in order. Either all are recorded or none.';

create function flowforge.ingest(events jsonb, seed text default null, internal boolean default false) returns uuid[]
language c volatile
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_event_ingest';
comment on function flowforge.ingest(jsonb, text, boolean) is
'What POST /e/{key} does: records an event or an array of them. A seed (header x-inngest-event-id-seed) makes ids that repeat when the '
'request does; internal allows the reserved names. Gives the ids in order. Errors: FF001 to FF007.';
-- A run: one execution of one version of a function. Insert-only; written in the transaction that starts it.
create table flowforge.run (
	tenant_id integer not null,
	run_id uuid not null,
	function_id integer not null,
	version integer not null,
	event_id uuid not null,
	parent_run_id uuid,
	parent_step_id text,
	created_at timestamptz not null
) partition by range (run_id);
comment on table flowforge.run is 'A run: one execution of one version of a function, started by an event.';

-- The live runs that have something to call now: narrow, one index, deleted at the end. Written by the run's owner only (and
-- inserted by whoever starts the run). state is null until the first commit of the owner; src/run/README.md tells its form.
create table flowforge.run_hot (
	slot smallint not null,
	run_id uuid not null,
	tenant_id integer not null,
	function_id integer not null,
	version integer not null,
	event_id uuid not null,
	state jsonb,
	primary key (slot, run_id)
) with (
	fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
	autovacuum_analyze_scale_factor = 0.5, vacuum_truncate = off
);
comment on table flowforge.run_hot is 'Live runs with something to call now.';

-- The live runs with nothing to call before wake_at: sleeping, backing off, or waiting (wake_at is then the time-out).
create table flowforge.run_parked (
	slot smallint not null,
	run_id uuid not null,
	tenant_id integer not null,
	function_id integer not null,
	version integer not null,
	event_id uuid not null,
	state jsonb not null,
	wake_at timestamptz not null,
	primary key (slot, run_id)
) with (
	autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off
);
comment on table flowforge.run_parked is 'Live runs with nothing to call before wake_at.';
create index run_parked_wake on flowforge.run_parked (slot, wake_at);

-- A step that has finished: the checkpoint. memo is what the function is handed on every later call.
create table flowforge.step (
	tenant_id integer not null,
	run_id uuid not null,
	step_id text not null,
	position integer not null,
	op text not null,
	name text not null,
	status text not null,
	attempt smallint not null,
	memo jsonb,
	started_at timestamptz not null,
	ended_at timestamptz not null
) partition by range (run_id);
comment on table flowforge.step is 'The checkpoint of a finished step; position is the order of completion within the run.';

-- How a run ended. Insert-only.
create table flowforge.run_end (
	tenant_id integer not null,
	run_id uuid not null,
	status text not null check (status in ('completed', 'failed', 'cancelled')),
	output jsonb,
	error jsonb,
	started_at timestamptz,
	ended_at timestamptz not null
) partition by range (run_id);
comment on table flowforge.run_end is 'How a run ended: status, output, error.';

-- The log. A row holds the events of one run in one commit: seq is the first one's number, events an array of
-- {t: type, at: microseconds since 1970, s: step id, n: step name, a: attempt, d: data}. Number 1, run.created, is the run row itself.
create table flowforge.run_event_batch (
	tenant_id integer not null,
	run_id uuid not null,
	seq integer not null,
	events jsonb not null
) partition by range (run_id);
comment on table flowforge.run_event_batch is 'The log of runs as it is stored, several events a row; read the view flowforge.run_event.';

create function flowforge.refuse_change() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
	raise exception using errcode = 'FF020', message = format('%s is append-only', tg_table_name),
		detail = format('%s refused.', tg_op), hint = 'Old rows leave with their partition (flowforge.retention).';
end
$$;
create trigger append_only before update or delete on flowforge.run_event_batch
	for each row execute function flowforge.refuse_change();

-- Messages to a run's owner from everybody else. kind: cancel, event (a wait's event came), invoked (a child ended).
create table flowforge.inbox (
	slot smallint not null,
	inbox_id uuid not null default flowforge.uuid7(),
	tenant_id integer not null,
	run_id uuid not null,
	kind text not null,
	payload jsonb not null,
	primary key (slot, inbox_id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
comment on table flowforge.inbox is 'Messages to the executor that owns a run; it deletes what it has handled.';

select pg_catalog.pg_extension_config_dump('flowforge.run_hot', '');
select pg_catalog.pg_extension_config_dump('flowforge.run_parked', '');
select pg_catalog.pg_extension_config_dump('flowforge.inbox', '');
-- Partitions of the insert-only tables are days of the UUIDv7 key. Default partitions catch what no day holds yet, so that nothing is
-- ever refused; flowforge.maintain makes days ahead, moves what the default caught, and drops what retention allows. Keys and indexes are
-- the partitions' own, not their parents': attaching would make them, and a restored dump would then make them a second time.
create table flowforge.event_default partition of flowforge.event (primary key (tenant_id, event_id)) default;
create table flowforge.run_default partition of flowforge.run (primary key (tenant_id, run_id)) default;
create index run_default_event on flowforge.run_default (tenant_id, event_id);
create table flowforge.step_default partition of flowforge.step (primary key (tenant_id, run_id, step_id)) default;
create table flowforge.run_end_default partition of flowforge.run_end (primary key (tenant_id, run_id)) default;
create table flowforge.run_event_batch_default partition of flowforge.run_event_batch (primary key (tenant_id, run_id, seq)) default;

select pg_catalog.pg_extension_config_dump('flowforge.event_default', '');
select pg_catalog.pg_extension_config_dump('flowforge.run_default', '');
select pg_catalog.pg_extension_config_dump('flowforge.step_default', '');
select pg_catalog.pg_extension_config_dump('flowforge.run_end_default', '');
select pg_catalog.pg_extension_config_dump('flowforge.run_event_batch_default', '');

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

create function flowforge.has_live_run(low uuid, high uuid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select exists (
		select from generate_series(0, 63) as s (slot)
		where exists (select from flowforge.run_hot h where h.slot = s.slot and h.run_id >= low and h.run_id < high)
			or exists (select from flowforge.run_parked p where p.slot = s.slot and p.run_id >= low and p.run_id < high))
$$;
comment on function flowforge.has_live_run(uuid, uuid) is 'Whether a run with an id in [low, high) has not ended yet.';

create function flowforge.make_partition(parent text, day date) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
	key constant text := case parent when 'event' then 'event_id' else 'run_id' end;
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
	execute format('alter table flowforge.%I attach partition flowforge.%I for values from (%L) to (%L)', parent, child, low, high);
end
$$;
comment on function flowforge.make_partition(text, date) is 'Makes the partition of one day (UTC), moving into it what the default partition holds of that day.';

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
		where d::date not in (select p.day from flowforge.partition_days(parent) p)
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
		execute format('drop table flowforge.%I', old.partition);
		changed := changed + 1;
	end loop;
	return changed;
end
$$;
comment on function flowforge.maintain(text, integer, interval) is
'Makes the daily partitions of one table for today and `ahead` days more, and drops those older than `retention` that no live run '
'needs. Gives how many it made and dropped. Executors call it; retention 0 keeps everything.';
-- What only shared memory knows.
create function flowforge.calls(
	out executor integer, out tenant_id integer, out run_id uuid, out step_id text, out attempt integer, out started_at timestamptz
) returns setof record
language c volatile
as 'MODULE_PATHNAME', 'ff_slot_calls';
comment on function flowforge.calls() is
'The calls to apps that are under way in this database right now (step_id is empty for a call that asks the function what comes next).';

create function flowforge.executors(
	out executor integer, out pid integer, out state text, out ready integer, out in_flight integer, out timers integer,
	out commits bigint, out steps bigint, out runs_ended bigint, out errors bigint, out last_error text, out last_error_at timestamptz
) returns setof record
language c volatile
as 'MODULE_PATHNAME', 'ff_slot_executors';
comment on function flowforge.executors() is
'The executors of this database: process id, state (starting, working, or why it idles), backlog in memory, and counters since the server started.';

create function flowforge.post(tenant_id integer, run_id uuid, kind text, payload jsonb) returns void
language c volatile
as 'MODULE_PATHNAME', 'ff_slot_post';
comment on function flowforge.post(integer, uuid, text, jsonb) is 'Puts a message in the inbox of a run''s owner and wakes it at commit.';
-- What people read.
create view flowforge.run_event with (security_invoker = true) as
select r.tenant_id, r.run_id, 1 as seq, 'run.created'::text as type, r.created_at as at, null::text as step_id, null::text as name,
	null::integer as attempt, null::jsonb as data
from flowforge.run r
union all
select b.tenant_id, b.run_id, (b.seq + e.ordinality - 1)::integer, e.value ->> 't',
	to_timestamp((e.value ->> 'at')::numeric / 1000000), e.value ->> 's', e.value ->> 'n', (e.value ->> 'a')::integer, e.value -> 'd'
from flowforge.run_event_batch b
cross join lateral jsonb_array_elements(b.events) with ordinality e;
comment on view flowforge.run_event is 'The log of every run: seq counts from 1 without a gap within a run.';

-- A live run's state, wherever it is kept.
create view flowforge.live_run with (security_invoker = true) as
select h.slot, h.run_id, h.tenant_id, h.function_id, h.version, h.event_id, h.state, null::timestamptz as wake_at
from flowforge.run_hot h
union all
select p.slot, p.run_id, p.tenant_id, p.function_id, p.version, p.event_id, p.state, p.wake_at
from flowforge.run_parked p;
comment on view flowforge.live_run is 'The runs that have not ended, with the state their owner keeps.';

create view flowforge.runs with (security_invoker = true) as
select r.run_id, flowforge.ulid(r.run_id) as ulid, r.tenant_id, f.slug as function, r.version,
	case
		when e.status is not null then e.status
		when l.state -> 'start' is null and c.run_id is null then 'pending'
		else 'running'
	end as status,
	r.event_id, ev.name as event_name, r.parent_run_id, e.output, e.error, r.created_at,
	coalesce(e.started_at, to_timestamp((l.state ->> 'start')::numeric / 1000000), c.started_at) as started_at, e.ended_at, l.wake_at
from flowforge.run r
left join flowforge.function f on f.tenant_id = r.tenant_id and f.function_id = r.function_id
left join flowforge.event ev on ev.tenant_id = r.tenant_id and ev.event_id = r.event_id
left join flowforge.run_end e on e.tenant_id = r.tenant_id and e.run_id = r.run_id
left join flowforge.live_run l on l.slot = flowforge.slot(r.run_id) and l.run_id = r.run_id
left join (select c.run_id, min(c.started_at) as started_at from flowforge.calls() c group by c.run_id) c on c.run_id = r.run_id;
comment on view flowforge.runs is
'Every run: its function, status (pending, running, completed, failed, cancelled), event, result and times; wake_at when nothing is to do before.';

create view flowforge.steps with (security_invoker = true) as
select s.tenant_id, s.run_id, s.step_id, s.name, s.op, s.status, s.attempt::integer as attempt,
	case when s.memo ? 'data' then s.memo -> 'data' when not s.memo ? 'error' then s.memo end as output,
	s.memo -> 'error' as error, s.started_at, s.ended_at, null::timestamptz as due_at, s.position
from flowforge.step s
union all
select r.tenant_id, r.run_id, i.value ->> 'id', i.value ->> 'n', i.value ->> 'op',
	case
		when c.run_id is not null then 'running'
		when i.value ->> 'op' = 'sleep' then 'sleeping'
		when i.value ->> 'op' in ('wait', 'invoke') then 'waiting'
		when i.value ? 'due' then 'retrying'
		else 'pending'
	end,
	(i.value ->> 'a')::integer, null, i.value -> 'e', to_timestamp((i.value ->> 'at')::numeric / 1000000), null,
	to_timestamp((i.value ->> 'due')::numeric / 1000000), null
from flowforge.run r
join flowforge.live_run l on l.slot = flowforge.slot(r.run_id) and l.run_id = r.run_id
cross join lateral jsonb_array_elements(l.state -> 'items') i
left join flowforge.calls() c on c.run_id = l.run_id and c.step_id = i.value ->> 'id'
where i.value ->> 'id' <> '';
comment on view flowforge.steps is
'Every step: completed and failed ones, and of live runs also those pending, running, sleeping, waiting and retrying (with when they are due and the last error).';

create view flowforge.events with (security_invoker = true) as
select e.event_id, flowforge.ulid(e.event_id) as ulid, e.tenant_id, e.name, e.data, e.user_data, e.external_id, e.ts, e.received_at
from flowforge.event e;
comment on view flowforge.events is 'Every event received.';

create view flowforge.functions with (security_invoker = true) as
select f.function_id, f.tenant_id, f.slug as function, f.name, a.name as app, f.version, v.retries, f.url, f.archived_at,
	(select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('event', t.event, 'expression', t.expression, 'cron', t.cron)) order by t.trigger_id)
	from flowforge.trigger t where t.tenant_id = f.tenant_id and t.function_id = f.function_id) as triggers
from flowforge.function f
left join flowforge.app a on a.tenant_id = f.tenant_id and a.app_id = f.app_id
join flowforge.function_version v on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = f.version;
comment on view flowforge.functions is 'Every function with its current version and triggers.';
create function @extschema@.ff_event_runs(event uuid) returns setof flowforge.runs
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select r.* from flowforge.runs r
	where r.tenant_id = flowforge.current_tenant() and r.event_id = event
	order by r.run_id
$$;
comment on function @extschema@.ff_event_runs(uuid) is 'The runs an event started.';

create function flowforge.await_run(run uuid, timeout_ms bigint) returns boolean
language c volatile
as 'MODULE_PATHNAME', 'ff_run_await';
comment on function flowforge.await_run(uuid, bigint) is 'Blocks on the process latch until a run has ended; false after the time-out.';

create function @extschema@.ff_wait(run uuid, timeout interval default '1 minute') returns flowforge.runs
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	result flowforge.runs;
begin
	perform flowforge.await_run(run, (extract(epoch from timeout) * 1000)::bigint);
	select r.* into result from flowforge.runs r where r.tenant_id = flowforge.current_tenant() and r.run_id = run;
	return result;
end
$$;
comment on function @extschema@.ff_wait(uuid, interval) is
'Blocks until a run has ended, at most `timeout`, and gives the run as it then is. It waits without polling: the executor that '
'ends the run wakes it. Errors: FF010 no such run; FF011 when the run was started by this very transaction, which must commit first.';

create function @extschema@.ff_cancel(run uuid, reason text default null) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	ended text;
begin
	if not exists (select from flowforge.run r where r.tenant_id = tenant and r.run_id = run) then
		raise exception using errcode = 'FF010', message = format('run %s does not exist', run),
			hint = 'select * from flowforge.runs lists the runs of this tenant.';
	end if;
	select e.status into ended from flowforge.run_end e where e.tenant_id = tenant and e.run_id = run;
	if found then
		return 'already ' || ended;
	end if;
	perform flowforge.post(tenant, run, 'cancel', jsonb_build_object('reason', reason));
	return 'cancelling';
end
$$;
comment on function @extschema@.ff_cancel(uuid, text) is
'Asks the owner of a run to cancel it; takes effect when the caller''s transaction commits. Gives "cancelling", or "already '
'completed|failed|cancelled" when there was nothing left to do. Error: FF010 no such run.';

create function @extschema@.ff_status(out item text, out value text) returns setof record
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select 'version', (select extversion from pg_extension where extname = 'flowforge')
	union all
	select 'executor ' || e.executor, format('pid %s, %s, %s ready, %s in flight, %s timers', coalesce(e.pid::text, '-'), e.state, e.ready, e.in_flight, e.timers)
	from flowforge.executors() e
	union all
	select 'work', format('%s commits, %s steps, %s runs ended, %s errors', sum(e.commits), sum(e.steps), sum(e.runs_ended), sum(e.errors))
	from flowforge.executors() e
	union all
	select 'runnable runs', count(*)::text from flowforge.run_hot
	union all
	select 'oldest runnable', coalesce((now() - flowforge.id_time(min(h.run_id::text)::uuid))::text, '-') from flowforge.run_hot h
	union all
	select 'parked runs', count(*)::text from flowforge.run_parked
	union all
	select 'next due', coalesce(min(p.wake_at)::text, '-') from flowforge.run_parked p
	union all
	select 'waits', count(*)::text from flowforge.wait
	union all
	select 'inbox', count(*)::text from flowforge.inbox
	union all
	select 'calls in flight', count(*)::text from flowforge.calls()
	union all
	select 'last error', coalesce((select format('%s (%s)', e.last_error, e.last_error_at) from flowforge.executors() e
		where e.last_error is not null order by e.last_error_at desc limit 1), '-')
$$;
comment on function @extschema@.ff_status() is 'One screen for a DBA: executors, backlog, what is in flight, what is due, the last error.';
-- Registration: an app tells which functions it serves, and that set replaces the one it had. What arrives is checked as a whole
-- before anything is written; what is not known is kept in the function's configuration, so that a newer SDK is not refused.

create function flowforge.check_expression(expression text) returns text
language c stable strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_function_check_expression';
comment on function flowforge.check_expression(text) is 'What is wrong with an expression, or null when nothing is.';

create function flowforge.check_duration(duration text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case when duration !~ '^(\d+(ms|us|ns|s|m|h|d|w))+$' and duration !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d' then
		format('"%s" is not a duration', duration)
	end
$$;
comment on function flowforge.check_duration(text) is 'What is wrong with a duration (30s, 1h30m) or an instant (ISO 8601), or null when nothing is.';

create function flowforge.check_cron(cron text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with part as (
		select substring(cron from '^(?:CRON_)?TZ=(\S+)\s') as zone, regexp_replace(cron, '^(CRON_)?TZ=\S+\s+', '') as schedule
	)
	select case
		when p.zone is not null and not exists (select from pg_timezone_names z where z.name = p.zone) then
			format('"%s" is not a time zone', p.zone)
		when p.schedule !~* '^\s*(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[\d*,/-]+\s+[\d*,/-]+\s+[\d*,/?L-]+\s+[\w*,/-]+\s+[\w*,/?#-]+)\s*$' then
			format('"%s" is not a schedule', p.schedule)
	end
	from part p
$$;
comment on function flowforge.check_cron(text) is 'What is wrong with a cron schedule (five fields or @daily, after an optional TZ=Area/City), or null when nothing is.';

create function flowforge.check_event_name(name text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when name = '' then 'is empty'
		when octet_length(name) > 512 then 'is longer than 512 bytes'
		when name ~ '\*' and name !~ '^[^*]*[/.]\*$' then format('"%s" has a * that is not at the end after / or .', name)
	end
$$;
comment on function flowforge.check_event_name(text) is 'What is wrong with a trigger''s event name or pattern, or null when nothing is.';

create function flowforge.is_id(id text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select octet_length(id) between 1 and 255 and id !~ '[\u0001-\u001f\u007f]'
$$;
comment on function flowforge.is_id(text) is 'Whether a text can be the id of an app or a function: 1 to 255 bytes without control characters.';

-- A setting that is absent, null or an empty list is not there.
create function flowforge.setting(config jsonb, variadic path text[]) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case when config #> path not in ('null', '[]') then config #> path end
$$;
comment on function flowforge.setting(jsonb, text[]) is 'A part of a function''s configuration; null when absent, null or an empty list.';

create function flowforge.setting_list(config jsonb, name text) returns table (field text, value jsonb)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select format('%s[%s]', name, e.ordinality - 1), e.value
	from jsonb_array_elements(case jsonb_typeof(config -> name) when 'array' then config -> name else '[]' end) with ordinality e
	union all
	select name, config -> name where jsonb_typeof(config -> name) = 'object'
$$;
comment on function flowforge.setting_list(jsonb, text) is 'The elements of a list in a function''s configuration, or the one object that stands in its place.';

create function flowforge.config_texts(config jsonb) returns table (field text, kind text, value jsonb)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select t.field || '.' || k.key, k.kind, t.value -> k.key
	from flowforge.setting_list(config, 'triggers') t
	cross join (values ('event', 'event'), ('expression', 'expression'), ('cron', 'cron'), ('jitter', 'duration')) as k (key, kind)
	union all
	select c.field || '.' || k.key, k.kind, c.value -> k.key
	from flowforge.setting_list(config, 'cancel') c
	cross join (values ('event', 'event'), ('if', 'expression'), ('timeout', 'duration')) as k (key, kind)
	union all
	select c.field || '.key', 'expression', c.value -> 'key'
	from flowforge.setting_list(config, 'concurrency') c
	union all
	select k.field, k.kind, config #> string_to_array(k.field, '.')
	from (values
		('name', 'text'), ('idempotency', 'expression'), ('priority.run', 'expression'),
		('batchEvents.key', 'expression'), ('batchEvents.if', 'expression'), ('batchEvents.timeout', 'duration'),
		('rateLimit.key', 'expression'), ('rateLimit.period', 'duration'),
		('throttle.key', 'expression'), ('throttle.period', 'duration'),
		('debounce.key', 'expression'), ('debounce.period', 'duration'), ('debounce.timeout', 'duration'),
		('singleton.key', 'expression'), ('timeouts.start', 'duration'), ('timeouts.finish', 'duration')) as k (field, kind)
$$;
comment on function flowforge.config_texts(jsonb) is 'Every setting of a function that is text, and of what kind: event, expression, cron, duration or any text.';

create function flowforge.text_problems(config jsonb) returns table (field text, problem text, fix text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select c.field, c.problem, case c.kind
			when 'expression' then 'Write it like event.data.total > 100.'
			when 'duration' then 'Write it like 30s, 10m or 1h30m.'
			when 'cron' then 'Write it like 0 9 * * 1, @daily or TZ=Europe/Paris 0 9 * * 1.'
			when 'event' then 'Name an event like order/created, or all below a prefix like order/*.'
			else 'Make it a text or leave it out.'
		end
	from (
		select t.field, t.kind, case
			when jsonb_typeof(t.value) <> 'string' then format('is of type %s, not text', jsonb_typeof(t.value))
			when t.kind = 'expression' then flowforge.check_expression(t.value #>> '{}')
			when t.kind = 'duration' then flowforge.check_duration(t.value #>> '{}')
			when t.kind = 'cron' then flowforge.check_cron(t.value #>> '{}')
			when t.kind = 'event' then flowforge.check_event_name(t.value #>> '{}')
		end as problem
		from flowforge.config_texts(config) t
		where t.value <> 'null'
	) c
	where c.problem is not null
$$;
comment on function flowforge.text_problems(jsonb) is 'What is wrong with a function''s settings that are text.';

create function flowforge.number_problems(config jsonb) returns table (field text, problem text, fix text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	with numbers as (
		select c.field || '.limit' as field, c.value -> 'limit' as value, 0 as low, 1000000 as high
		from flowforge.setting_list(config, 'concurrency') c
		union all
		select k.field, config #> string_to_array(k.field, '.'), k.low, k.high
		from (values
			('steps.step.retries.attempts', 0, 20), ('batchEvents.maxSize', 1, 1000), ('rateLimit.limit', 1, 1000000000),
			('throttle.limit', 1, 1000000000), ('throttle.burst', 0, 1000000000)) as k (field, low, high)
	)
	select n.field, format('%s is not a whole number from %s to %s', n.value, n.low, n.high),
		format('Make it a number from %s to %s.', n.low, n.high)
	from numbers n
	where n.value <> 'null' and case
		when jsonb_typeof(n.value) <> 'number' then true
		else (n.value #>> '{}')::numeric % 1 <> 0 or (n.value #>> '{}')::numeric not between n.low and n.high
	end
$$;
comment on function flowforge.number_problems(jsonb) is 'What is wrong with a function''s settings that are numbers.';

create function flowforge.shape_problems(config jsonb) returns table (field text, problem text, fix text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select 'id', case when config ->> 'id' is null then 'is missing' else format('%s is not a usable id', config -> 'id') end,
		'Give the function an id of 1 to 255 bytes without control characters.'
	where jsonb_typeof(config -> 'id') is distinct from 'string' or not flowforge.is_id(config ->> 'id')
	union all
	select k.field, format('is of type %s, not %s', jsonb_typeof(config -> k.field), array_to_string(k.types, ' or ')),
		format('Make it of type %s or leave it out.', k.types[1])
	from (values
		('triggers', '{array}'::text[]), ('cancel', '{array}'), ('concurrency', '{array,object,number}'), ('batchEvents', '{object}'),
		('rateLimit', '{object}'), ('throttle', '{object}'), ('debounce', '{object}'), ('priority', '{object}'),
		('singleton', '{object}'), ('timeouts', '{object}')) as k (field, types)
	where jsonb_typeof(config -> k.field) <> all (k.types || 'null'::text)
	union all
	select k.field, format('has %s elements', jsonb_array_length(config -> k.field)), format('Use at most %s.', k.most)
	from (values ('triggers', 10), ('cancel', 5), ('concurrency', 2)) as k (field, most)
	where case jsonb_typeof(config -> k.field) when 'array' then jsonb_array_length(config -> k.field) > k.most end
	union all
	select t.field, 'needs either an event or a cron schedule', 'Give each trigger one of event and cron; use two triggers for both.'
	from flowforge.setting_list(config, 'triggers') t
	where (flowforge.setting(t.value, 'event') is null) = (flowforge.setting(t.value, 'cron') is null)
	union all
	select c.field || '.event', 'is missing', 'Name the event that cancels the run.'
	from flowforge.setting_list(config, 'cancel') c
	where flowforge.setting(c.value, 'event') is null
	union all
	select c.field || '.scope', format('%s is not a scope', c.value -> 'scope'), 'Use "fn", "env" or "account".'
	from flowforge.setting_list(config, 'concurrency') c
	where flowforge.setting(c.value, 'scope') not in ('"fn"', '"env"', '"account"')
	union all
	select 'singleton.mode', format('%s is not a mode', config #> '{singleton,mode}'), 'Use "skip" or "cancel".'
	where flowforge.setting(config, 'singleton', 'mode') not in ('"skip"', '"cancel"')
	union all
	select 'batchEvents', format('cannot be combined with %s', k.field), format('Remove batchEvents or %s.', k.field)
	from (values ('cancel'), ('debounce'), ('singleton'), ('priority')) as k (field)
	where flowforge.setting(config, 'batchEvents') is not null and flowforge.setting(config, k.field) is not null
$$;
comment on function flowforge.shape_problems(jsonb) is 'What is wrong with the form of a function''s configuration and with combinations of settings.';

create function flowforge.runtime_problems(config jsonb) returns table (field text, problem text, fix text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select 'steps.step.runtime.type', format('%s is not served', config #> '{steps,step,runtime,type}'), 'Serve the function over HTTP: type "http".'
	where coalesce(flowforge.setting(config, 'steps', 'step', 'runtime', 'type'), '"http"') <> '"http"'
	union all
	select 'steps.step.runtime.url', case
			when flowforge.setting(config, 'steps', 'step', 'runtime', 'url') is null then 'is missing'
			else format('%s is not an http or https URL', config #> '{steps,step,runtime,url}')
		end, 'Give the URL at which the app serves the function, like http://localhost:3000/api/inngest?fnId=app-function&stepId=step.'
	where coalesce(config #>> '{steps,step,runtime,url}', '') !~ '^https?://[^\s/?#]+[^\s]*$'
$$;
comment on function flowforge.runtime_problems(jsonb) is 'What is wrong with where a function''s configuration says it is called.';

create function flowforge.app_problems(payload jsonb) returns table (field text, problem text, fix text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select 'appName', case when payload ->> 'appName' is null then 'is missing' else format('%s is not a usable name', payload -> 'appName') end,
		'Give the app (the SDK''s client) an id of 1 to 255 bytes without control characters.'
	where jsonb_typeof(payload -> 'appName') is distinct from 'string' or not flowforge.is_id(payload ->> 'appName')
	union all
	select 'url', case when payload ->> 'url' is null then 'is missing' else format('%s is not an http or https URL', payload -> 'url') end,
		'Give the URL at which the app serves its functions.'
	where coalesce(payload ->> 'url', '') !~ '^https?://[^\s/?#]+[^\s]*$'
	union all
	select 'functions', case when payload -> 'functions' is null then 'is missing' else format('is of type %s, not a list', jsonb_typeof(payload -> 'functions')) end,
		'Give the list of functions; an empty one archives them all.'
	where jsonb_typeof(payload -> 'functions') is distinct from 'array'
	union all
	select s.field, 'is not an object', 'Give each function as {"id", "triggers", "steps"}.'
	from flowforge.setting_list(payload, 'functions') s
	where jsonb_typeof(s.value) <> 'object'
	union all
	select 'functions', format('%s have the same id "%s"', string_agg(s.field, ' and '), s.value ->> 'id'), 'Give each function an id of its own.'
	from flowforge.setting_list(payload, 'functions') s
	group by s.value ->> 'id'
	having count(*) > 1 and s.value ->> 'id' is not null
$$;
comment on function flowforge.app_problems(jsonb) is 'What is wrong with what an app registered, apart from its functions.';

create function flowforge.registration_problems(payload jsonb) returns table (field text, problem text, fix text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select p.field, p.problem, p.fix from flowforge.app_problems(payload) p
	union all
	select s.field || '.' || p.field, p.problem, p.fix
	from flowforge.setting_list(payload, 'functions') s
	cross join lateral (
		select * from flowforge.shape_problems(s.value)
		union all select * from flowforge.runtime_problems(s.value)
		union all select * from flowforge.number_problems(s.value)
		union all select * from flowforge.text_problems(s.value)
	) p
	where jsonb_typeof(payload -> 'functions') = 'array' and jsonb_typeof(s.value) = 'object'
$$;
comment on function flowforge.registration_problems(jsonb) is
'Everything that is wrong with what an app registered: where, what, and what to do about it. Nothing for what can be accepted.';

create function flowforge.check_registration(payload jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	problems text[];
	first record;
begin
	select array_agg(format('%s: %s', p.field, p.problem)) into problems from flowforge.registration_problems(payload) p;
	if problems is null then
		return;
	end if;
	select p.field, p.problem, p.fix, payload #>> array['functions', substring(p.field from '^functions\[(\d+)\]'), 'id'] as slug into first
	from flowforge.registration_problems(payload) p
	limit 1;
	raise exception using errcode = 'FF208',
		message = case when first.slug is null then problems[1] else format('function "%s": %s', first.slug, problems[1]) end,
		detail = array_to_string(problems, E'\n'), hint = first.fix, column = first.field;
end
$$;
comment on function flowforge.check_registration(jsonb) is 'Raises FF208 with the first problem of what an app registered; the detail lists them all.';

-- What the app's functions shall be. The address is not part of a version: in-flight runs go where the app is now.
create function flowforge.wanted_functions(payload jsonb)
returns table (slug text, name text, url text, retries smallint, config jsonb)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select f.value ->> 'id', coalesce(nullif(f.value ->> 'name', ''), f.value ->> 'id'), f.value #>> '{steps,step,runtime,url}',
		coalesce((f.value #>> '{steps,step,retries,attempts}')::numeric, 4)::smallint, f.value #- '{steps,step,runtime,url}'
	from jsonb_array_elements(payload -> 'functions') f
	order by f.value ->> 'id'
$$;
comment on function flowforge.wanted_functions(jsonb) is 'The functions an app registers, as they are to be stored.';

create function flowforge.check_owner(tenant integer, app uuid, payload jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	taken record;
begin
	select f.slug, coalesce(a.name, 'this database') as owner into taken
	from flowforge.wanted_functions(payload) w
	join flowforge.function f on f.tenant_id = tenant and f.slug = w.slug
	left join flowforge.app a on a.tenant_id = f.tenant_id and a.app_id = f.app_id
	where f.archived_at is null and f.app_id is distinct from app
	limit 1;
	if found then
		raise exception using errcode = 'FF209', message = format('the function "%s" belongs to the app "%s"', taken.slug, taken.owner),
			detail = format('The app "%s" registered a function of the same id.', payload ->> 'appName'),
			hint = 'Give one of them another id, or register the other app without it first.';
	end if;
end
$$;
comment on function flowforge.check_owner(integer, uuid, jsonb) is 'Raises FF209 when another app serves a function that this one registers.';

create function flowforge.archive_functions(tenant integer, app uuid, payload jsonb) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	update flowforge.function f
	set archived_at = now()
	where f.tenant_id = tenant and f.app_id = app and f.archived_at is null
		and not exists (select from flowforge.wanted_functions(payload) w where w.slug = f.slug);
$$;
comment on function flowforge.archive_functions(integer, uuid, jsonb) is 'Archives the functions an app no longer serves; their runs go on.';

create function flowforge.store_functions(tenant integer, app uuid, payload jsonb) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	insert into flowforge.function as f (tenant_id, app_id, slug, name, url)
	select tenant, app, w.slug, w.name, w.url
	from flowforge.wanted_functions(payload) w
	on conflict (tenant_id, slug) do update
	set app_id = excluded.app_id, name = excluded.name, url = excluded.url, archived_at = null;

	with changed as (
		select f.function_id, case when v.version is null then f.version else f.version + 1 end as version, w.retries, w.config
		from flowforge.wanted_functions(payload) w
		join flowforge.function f on f.tenant_id = tenant and f.slug = w.slug
		left join flowforge.function_version v
			on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = f.version
		where v.config is distinct from w.config
	), published as (
		insert into flowforge.function_version (tenant_id, function_id, version, retries, config)
		select tenant, c.function_id, c.version, c.retries, c.config
		from changed c
	)
	update flowforge.function f
	set version = c.version
	from changed c
	where f.tenant_id = tenant and f.function_id = c.function_id and f.version <> c.version;
$$;
comment on function flowforge.store_functions(integer, uuid, jsonb) is
'Stores the functions an app serves. One whose configuration changed gets a new version; one that was archived lives again.';

create function flowforge.store_triggers(tenant integer, app uuid) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	delete from flowforge.trigger t
	using flowforge.function f
	where f.tenant_id = tenant and f.app_id = app and t.tenant_id = tenant and t.function_id = f.function_id;

	insert into flowforge.trigger (tenant_id, function_id, version, kind, event, expression, cron)
	select tenant, f.function_id, f.version, case when t.value ->> 'event' is null then 'cron' else 'event' end,
		t.value ->> 'event', t.value ->> 'expression', t.value ->> 'cron'
	from flowforge.function f
	join flowforge.function_version v on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = f.version
	cross join lateral flowforge.setting_list(v.config, 'triggers') t
	where f.tenant_id = tenant and f.app_id = app and f.archived_at is null
	order by f.function_id, t.field;
$$;
comment on function flowforge.store_triggers(integer, uuid) is 'Makes the triggers of an app''s functions what their current versions say.';

create function flowforge.registration_checksum(payload jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select encode(sha256(convert_to(jsonb_build_array(payload -> 'functions', payload -> 'url', payload -> 'appVersion', payload -> 'sdk',
		payload -> 'framework')::text, 'UTF8')), 'hex')
$$;
comment on function flowforge.registration_checksum(jsonb) is 'Equal for registrations that would store the same.';

create function flowforge.registered_app(tenant integer, payload jsonb) returns uuid
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select a.app_id
	from flowforge.app a
	where a.tenant_id = tenant and a.name = payload ->> 'appName' and a.checksum = flowforge.registration_checksum(payload)
$$;
comment on function flowforge.registered_app(integer, jsonb) is 'The app that registered exactly this already, or null.';

create function flowforge.store_app(tenant integer, payload jsonb) returns uuid
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	insert into flowforge.app (tenant_id, name, url, sdk, framework, app_version, checksum)
	values (tenant, payload ->> 'appName', payload ->> 'url', payload ->> 'sdk', payload ->> 'framework', payload ->> 'appVersion',
		flowforge.registration_checksum(payload))
	on conflict (tenant_id, name) do update
	set url = excluded.url, sdk = excluded.sdk, framework = excluded.framework, app_version = excluded.app_version,
		checksum = excluded.checksum, synced_at = now()
	returning app_id
$$;
comment on function flowforge.store_app(integer, jsonb) is 'Stores an app and gives its id.';

-- Registrations of a tenant take turns: each sees what the one before it stored, and which functions are taken.
create function flowforge.replace_app(tenant integer, payload jsonb) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	app uuid;
begin
	perform flowforge.check_registration(payload);
	perform pg_advisory_xact_lock(hashtextextended('flowforge.register', tenant));
	if flowforge.registered_app(tenant, payload) is not null then
		return null;
	end if;
	app := flowforge.store_app(tenant, payload);
	perform flowforge.check_owner(tenant, app, payload);
	perform flowforge.archive_functions(tenant, app, payload);
	perform flowforge.store_functions(tenant, app, payload);
	perform flowforge.store_triggers(tenant, app);
	return app;
end
$$;
comment on function flowforge.replace_app(integer, jsonb) is
'Makes an app what it registered and gives its id; null when another session has just registered the same.';

create function flowforge.register_app(payload jsonb) returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	app uuid := flowforge.registered_app(tenant, payload);
	replaced uuid;
begin
	if app is null then
		replaced := flowforge.replace_app(tenant, payload);
		app := coalesce(replaced, flowforge.registered_app(tenant, payload));
	end if;
	return jsonb_build_object('ok', true, 'modified', replaced is not null, 'app_id', app, 'sync_id', flowforge.uuid7());
end
$$;
comment on function flowforge.register_app(jsonb) is
'What POST /fn/register does: takes {url, appName, functions, sdk, framework, appVersion}, makes the app''s functions exactly these in '
'one transaction and gives {ok, modified, app_id, sync_id}; writes nothing when nothing has changed. Errors: FF208, FF209.';

create function @extschema@.ff_register_app(
	url text, name text, functions jsonb, sdk text default null, framework text default null, version text default null
) returns jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.register_app(jsonb_strip_nulls(jsonb_build_object('url', url, 'appName', name, 'sdk', sdk, 'framework', framework,
		'appVersion', version)) || jsonb_build_object('functions', case jsonb_typeof(functions)
			when 'array' then coalesce((
				select jsonb_agg(case
					when jsonb_typeof(f.value) = 'object' then jsonb_build_object('steps', jsonb_build_object('step', jsonb_build_object(
						'runtime', jsonb_build_object('url', format('%s?fnId=%s&stepId=step', url, f.value ->> 'id'))))) || f.value
					else f.value
				end order by f.ordinality)
				from jsonb_array_elements(functions) with ordinality f), '[]')
			else functions
		end))
$$;
comment on function @extschema@.ff_register_app(text, text, jsonb, text, text, text) is
'Registers an app by hand: its URL, its name and its functions, a list of {id, triggers: [{event, expression} or {cron}], steps, …} in '
'which steps may be left out when the app''s URL serves them. The set replaces the one the app had: functions that are missing are '
'archived, their runs go on. Gives {ok, modified, app_id, sync_id}. Errors: FF208 with the field and how to mend it, FF209.';
revoke execute on function @extschema@.ff_register_app(text, text, jsonb, text, text, text) from public;
-- The HTTP API is rows of this table. The gateway asks which methods, patterns and lanes there are; flowforge.serve finds the row of
-- a request and calls its function; the OpenAPI document is made from the same rows. Written by the install script only.

create type flowforge.request as (
	method text, path text, params jsonb, query jsonb, headers jsonb, body bytea, json jsonb, request_id text
);
comment on type flowforge.request is
'What a route''s function is given: params from the path, query from the query string (both objects of text), headers (lower-case '
'names), the body as it came, the body as JSON (null when it is none), and the id of the request.';

create type flowforge.response as (status integer, headers text, body text);
comment on type flowforge.response is 'What a route''s function answers; headers are lines of "name: value".';

create table flowforge.route (
	method text not null check (method in ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')),
	pattern text not null check (pattern ~ '^/' and length(pattern) <= 200),
	function text not null,
	lane text not null default 'call' check (lane in ('ingest', 'call')),
	scope text not null,
	style text not null default 'problem' check (style in ('problem', 'sdk', 'event')),
	tag text not null,
	summary text not null,
	request_schema jsonb not null default '{}',
	response_schema jsonb not null,
	primary key (pattern, method)
);
comment on table flowforge.route is
'The HTTP API: which function(flowforge.request) returns flowforge.response answers a method and a path. A {name} in the pattern '
'matches one segment of the path. Every change is announced on the channel flowforge_route.';
comment on column flowforge.route.function is 'Qualified name of the function that answers.';
comment on column flowforge.route.lane is
'ingest: fast writes, which the gateway gathers into one transaction; call: everything else, each in a transaction of its own.';
comment on column flowforge.route.scope is
'public: anybody; event_key: whoever names an event key in the path; otherwise what a bearer token must allow.';
comment on column flowforge.route.style is
'How errors are told: problem (RFC 9457), sdk ({"error", "status"}) or event ({"ids", "status", "error"}).';
comment on column flowforge.route.request_schema is
'JSON Schema of the body, or, of methods without a body, of the query parameters; {} when there are none.';
comment on column flowforge.route.response_schema is
'JSON Schema of a successful answer; contentMediaType names its type where that is not JSON.';

-- Schemas that several routes refer to as #/components/schemas/NAME.
create table flowforge.route_schema (
	name text primary key,
	schema jsonb not null
);
comment on table flowforge.route_schema is 'JSON Schemas shared by routes: the components of the OpenAPI document.';

-- Backends cache the routes, gateways their patterns; any change makes all of them forget.
create function flowforge.forget_routes() returns trigger
language c as 'MODULE_PATHNAME', 'ff_api_forget';
comment on function flowforge.forget_routes() is 'Makes every backend read flowforge.route again and tells the gateways.';
create trigger forget after insert or update or delete or truncate on flowforge.route
	for each statement execute function flowforge.forget_routes();
grant select on flowforge.route to flowforge_gateway;
-- What the functions of routes share: answers, parameters, pages.

create function flowforge.server_kind() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case when coalesce(current_setting('flowforge.signing_key', true), '') = '' then 'dev' else 'cloud' end
$$;
comment on function flowforge.server_kind() is 'dev without a signing key (everybody may call), cloud with one.';

create function flowforge.answer(body jsonb, status integer default 200, headers text default '') returns flowforge.response
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select (status, E'content-type: application/json\n' || headers, body::text)::flowforge.response
$$;
comment on function flowforge.answer(jsonb, integer, text) is 'An answer in JSON.';

create function flowforge.object_of(request flowforge.request) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	if jsonb_typeof(request.json) is distinct from 'object' then
		raise exception using errcode = 'FF203', message = 'the body is not a JSON object',
			detail = format('It is %s.', coalesce(jsonb_typeof(request.json), 'empty')), hint = 'Send one JSON object.';
	end if;
	return request.json;
end
$$;
comment on function flowforge.object_of(flowforge.request) is 'The body, which must be a JSON object. Error: FF203.';

create function flowforge.integer_of(query jsonb, name text, fallback integer, low integer, high integer) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	given constant text := query ->> name;
begin
	if given is null then
		return fallback;
	elsif given ~ '^\d{1,9}$' and given::integer between low and high then
		return given::integer;
	end if;
	raise exception using errcode = 'FF204', message = format('%s must be a whole number from %s to %s', name, low, high),
		detail = format('It is "%s".', given), hint = format('Leave %s out for %s.', name, coalesce(fallback::text, 'no limit')), column = name;
end
$$;
comment on function flowforge.integer_of(jsonb, text, integer, integer, integer) is 'A whole number from the query string. Error: FF204.';

create function flowforge.time_of(query jsonb, name text) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	given constant text := query ->> name;
begin
	if given ~ '^\d{12,14}$' then
		return to_timestamp(given::numeric / 1000);
	end if;
	return given::timestamptz;
exception when data_exception then
	raise exception using errcode = 'FF204', message = format('%s is not a time', name), detail = format('It is "%s".', given),
		hint = 'Give it as 2026-01-31T12:00:00Z or in milliseconds since 1970.', column = name;
end
$$;
comment on function flowforge.time_of(jsonb, text) is
'A time from the query string, in ISO 8601 or milliseconds since 1970; null when not given. Error: FF204.';

create function flowforge.id_of(given text, name text) returns uuid
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.id(given);
exception when data_exception then
	raise exception using errcode = 'FF204', message = format('%s is not an id', name), detail = format('It is "%s".', given),
		hint = 'An id is a UUID or a ULID of 26 characters.', column = name;
end
$$;
comment on function flowforge.id_of(text, text) is 'An id from the path or the query string; null when not given. Error: FF204.';

create function flowforge.choice_of(query jsonb, name text, choices text[]) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	given constant text := query ->> name;
begin
	if given is null or given = any (choices) then
		return given;
	end if;
	raise exception using errcode = 'FF204', message = format('%s must be one of %s', name, array_to_string(choices, ', ')),
		detail = format('It is "%s".', given), hint = format('Leave %s out to see all.', name), column = name;
end
$$;
comment on function flowforge.choice_of(jsonb, text, text[]) is 'One of a few words from the query string. Error: FF204.';

-- Lists are pages: newest first, by id, between `low` (included) and `high` (excluded). A list reads one item more than it shows, to
-- know whether there is a next page.
create type flowforge.page as (low uuid, high uuid, size integer);
comment on type flowforge.page is 'The range of ids a page of a list looks at, and how many items it shows.';

create function flowforge.page_of(query jsonb) returns flowforge.page
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(flowforge.id_floor(flowforge.time_of(query, 'since')), '00000000-0000-0000-0000-000000000000'),
		least(
			coalesce(flowforge.id_floor(flowforge.time_of(query, 'until')), 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
			coalesce(flowforge.id_of(query ->> 'cursor', 'cursor'), 'ffffffff-ffff-ffff-ffff-ffffffffffff')),
		flowforge.integer_of(query, 'limit', 50, 1, 200)
$$;
comment on function flowforge.page_of(jsonb) is 'The page that limit, cursor, since and until in the query string ask for. Error: FF204.';

create function flowforge.page_answer(items jsonb[], size integer) returns flowforge.response
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.answer(jsonb_build_object(
		'data', to_jsonb(coalesce(items[:size], '{}')),
		'next_cursor', case when cardinality(items) > size then items[size] ->> 'ulid' end))
$$;
comment on function flowforge.page_answer(jsonb[], integer) is 'A page of a list; items holds one more than it shows when there is a next page.';
create function flowforge.serve(
	method text, path text, query text, headers jsonb, body bytea,
	out status integer, out headers text, out body bytea
)
language c volatile security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set jit = off
as 'MODULE_PATHNAME', 'ff_api_serve';
comment on function flowforge.serve(text, text, text, jsonb, bytea) is
'Answers one HTTP request: finds its route, checks who asks, calls the route''s function and turns errors into answers. path and '
'query are as they came, still percent-encoded; headers is an object of lower-case names. The gateway''s only way in.';
revoke execute on function flowforge.serve(text, text, text, jsonb, bytea) from public;
grant execute on function flowforge.serve(text, text, text, jsonb, bytea) to flowforge_gateway;
-- Whether the server works, for machines and for people.

create function flowforge.version() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select extversion from pg_extension where extname = 'flowforge'
$$;
comment on function flowforge.version() is 'The version of FlowForge installed in this database.';

create function flowforge.api_health(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(jsonb_build_object('status', 'ok', 'version', flowforge.version()));
end
$$;
comment on function flowforge.api_health(flowforge.request) is 'GET /health: the gateway reaches the database.';

create function flowforge.executor_list() returns jsonb
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(to_jsonb(e) order by e.executor), '[]') from flowforge.executors() e
$$;
comment on function flowforge.executor_list() is 'The executors of this database as the API shows them.';

create function flowforge.api_ready(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	ready constant boolean := coalesce((select bool_and(e.state = 'working') from flowforge.executors() e), false);
	body constant jsonb := jsonb_build_object('status', case when ready then 'ready' else 'not ready' end, 'executors', flowforge.executor_list());
begin
	if ready then
		return flowforge.answer(body);
	end if;
	return flowforge.answer(body, 503, E'retry-after: 1\n');
end
$$;
comment on function flowforge.api_ready(flowforge.request) is 'GET /ready: every executor works; 503 otherwise.';

create function flowforge.api_status(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(jsonb_build_object(
		'items', (select jsonb_agg(jsonb_build_object('item', s.item, 'value', s.value)) from @extschema@.ff_status() s),
		'executors', flowforge.executor_list()));
end
$$;
comment on function flowforge.api_status(flowforge.request) is 'GET /api/v1/status.';

insert into flowforge.route_schema (name, schema) values
('Executor', '{
	"type": "object",
	"required": ["executor", "pid", "state", "ready", "in_flight", "timers", "commits", "steps", "runs_ended", "errors", "last_error", "last_error_at"],
	"properties": {
		"executor": {"type": "integer"},
		"pid": {"type": ["integer", "null"]},
		"state": {"type": "string", "description": "starting, working, or why it idles."},
		"ready": {"type": "integer", "description": "Runs to be called now."},
		"in_flight": {"type": "integer", "description": "Calls under way."},
		"timers": {"type": "integer"},
		"commits": {"type": "integer"},
		"steps": {"type": "integer"},
		"runs_ended": {"type": "integer"},
		"errors": {"type": "integer"},
		"last_error": {"type": ["string", "null"]},
		"last_error_at": {"type": ["string", "null"], "format": "date-time"}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/health', 'flowforge.api_health', 'public', 'health', 'Whether the gateway and the database answer',
'{}', '{"type": "object", "required": ["status", "version"], "properties": {
	"status": {"const": "ok"}, "version": {"type": "string"}}}'),
('GET', '/ready', 'flowforge.api_ready', 'public', 'health', 'Whether the executors work; 503 when they do not',
'{}', '{"type": "object", "required": ["status", "executors"], "properties": {
	"status": {"enum": ["ready", "not ready"]},
	"executors": {"type": "array", "items": {"$ref": "#/components/schemas/Executor"}}}}'),
('GET', '/api/v1/status', 'flowforge.api_status', 'runs:read', 'health', 'Executors, backlog, what is in flight and due, the last error',
'{}', '{"type": "object", "required": ["items", "executors"], "properties": {
	"items": {"type": "array", "items": {"type": "object", "required": ["item", "value"], "properties": {
		"item": {"type": "string"}, "value": {"type": ["string", "null"]}}}},
	"executors": {"type": "array", "items": {"$ref": "#/components/schemas/Executor"}}}}');
-- Events over HTTP: the protocol's /e/{key} and the API's own routes.

create function flowforge.event_json(event flowforge.events) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('id', event.event_id, 'ulid', event.ulid, 'name', event.name, 'data', event.data, 'user', event.user_data,
		'external_id', event.external_id, 'ts', event.ts, 'received_at', event.received_at)
$$;
comment on function flowforge.event_json(flowforge.events) is 'An event as the API shows it.';

create function flowforge.started_runs(events uuid[]) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(jsonb_build_object('id', r.run_id, 'ulid', flowforge.ulid(r.run_id), 'function', f.slug,
		'event_id', r.event_id) order by r.run_id), '[]')
	from flowforge.run r
	join flowforge.function f on f.tenant_id = r.tenant_id and f.function_id = r.function_id
	where r.tenant_id = flowforge.current_tenant() and r.event_id = any (events)
$$;
comment on function flowforge.started_runs(uuid[]) is 'The runs that events started, as the API shows them to who sent the events.';

-- The hot one: no helper functions on the way.
create function flowforge.api_receive(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	ids constant uuid[] := flowforge.ingest(request.json, request.headers ->> 'x-inngest-event-id-seed', false);
	listed text;
begin
	select string_agg('"' || flowforge.ulid(i.id) || '"', ',' order by i.ordinality) into listed
	from unnest(ids) with ordinality as i (id, ordinality);
	return (200, E'content-type: application/json\naccess-control-allow-origin: *\n',
		'{"ids":[' || coalesce(listed, '') || '],"status":200}')::flowforge.response;
end
$$;
comment on function flowforge.api_receive(flowforge.request) is 'POST /e/{key}: events from an SDK or a webhook.';

create function flowforge.api_send_event(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	ids constant uuid[] := flowforge.ingest(jsonb_build_array(flowforge.object_of(request)), null, false);
begin
	return flowforge.answer(jsonb_build_object('id', ids[1], 'ulid', flowforge.ulid(ids[1]), 'ids', ids, 'runs', flowforge.started_runs(ids)));
end
$$;
comment on function flowforge.api_send_event(flowforge.request) is 'POST /api/v1/events.';

create function flowforge.api_send_events(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	ids uuid[];
begin
	if jsonb_typeof(request.json) is distinct from 'array' then
		raise exception using errcode = 'FF203', message = 'the body is not a JSON array',
			detail = format('It is %s.', coalesce(jsonb_typeof(request.json), 'empty')),
			hint = 'Send an array of events, or one event to /api/v1/events.';
	end if;
	ids := flowforge.ingest(request.json, null, false);
	return flowforge.answer(jsonb_build_object('ids', ids, 'runs', flowforge.started_runs(ids)));
end
$$;
comment on function flowforge.api_send_events(flowforge.request) is 'POST /api/v1/events/batch.';

create function flowforge.api_events(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
	page constant flowforge.page := flowforge.page_of(request.query);
	wanted constant text := request.query ->> 'name';
begin
	return flowforge.page_answer(array(
		select flowforge.event_json(e)
		from flowforge.events e
		where e.tenant_id = flowforge.current_tenant() and e.event_id >= page.low and e.event_id < page.high
			and (wanted is null or e.name = wanted)
		order by e.event_id desc
		limit page.size + 1), page.size);
end
$$;
comment on function flowforge.api_events(flowforge.request) is 'GET /api/v1/events.';

create function flowforge.api_event(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted constant uuid := flowforge.id_of(request.params ->> 'id', 'id');
	found_event flowforge.events;
begin
	select e.* into found_event from flowforge.events e where e.tenant_id = flowforge.current_tenant() and e.event_id = wanted;
	if not found then
		raise exception using errcode = 'FF201', message = format('event %s does not exist', wanted),
			hint = 'GET /api/v1/events lists the latest events.';
	end if;
	return flowforge.answer(flowforge.event_json(found_event));
end
$$;
comment on function flowforge.api_event(flowforge.request) is 'GET /api/v1/events/{id}.';

create function flowforge.api_event_runs(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted constant uuid := flowforge.id_of(request.params ->> 'id', 'id');
begin
	return flowforge.answer(jsonb_build_object('data', coalesce((
		select jsonb_agg(flowforge.run_json(r) order by r.run_id)
		from flowforge.runs r
		where r.tenant_id = flowforge.current_tenant() and r.event_id = wanted), '[]')));
end
$$;
comment on function flowforge.api_event_runs(flowforge.request) is 'GET /api/v1/events/{id}/runs.';

insert into flowforge.route_schema (name, schema) values
('NewEvent', '{
	"type": "object", "required": ["name"],
	"properties": {
		"name": {"type": "string", "maxLength": 512, "description": "Names that begin with inngest/ are reserved."},
		"data": {"type": "object", "default": {}},
		"id": {"type": "string", "description": "Makes repeats of the event harmless for a day."},
		"ts": {"type": "integer", "description": "When it happened, in milliseconds since 1970."},
		"user": {"type": "object"},
		"v": {"type": "string"}
	},
	"example": {"name": "order/created", "data": {"id": "o1", "total": 42}}
}'),
('StartedRun', '{
	"type": "object", "required": ["id", "ulid", "function", "event_id"],
	"properties": {
		"id": {"type": "string", "format": "uuid"},
		"ulid": {"type": "string"},
		"function": {"type": "string"},
		"event_id": {"type": "string", "format": "uuid"}
	}
}'),
('Event', '{
	"type": "object", "required": ["id", "ulid", "name", "data", "user", "external_id", "ts", "received_at"],
	"properties": {
		"id": {"type": "string", "format": "uuid"},
		"ulid": {"type": "string", "description": "The same id as SDKs show it."},
		"name": {"type": "string"},
		"data": {"type": "object"},
		"user": {"type": ["object", "null"]},
		"external_id": {"type": ["string", "null"], "description": "The id its sender gave it."},
		"ts": {"type": "string", "format": "date-time"},
		"received_at": {"type": "string", "format": "date-time"}
	}
}');

insert into flowforge.route (method, pattern, function, lane, scope, style, tag, summary, request_schema, response_schema) values
('POST', '/e/{key}', 'flowforge.api_receive', 'ingest', 'event_key', 'event', 'sdk', 'Receive events from an SDK or a webhook',
'{"oneOf": [{"$ref": "#/components/schemas/NewEvent"},
	{"type": "array", "maxItems": 5000, "items": {"$ref": "#/components/schemas/NewEvent"}}]}',
'{"type": "object", "required": ["ids", "status"], "properties": {
	"ids": {"type": "array", "items": {"type": "string"}, "description": "ULIDs, in the order of the events."},
	"status": {"type": "integer"}}}'),
('POST', '/api/v1/events', 'flowforge.api_send_event', 'ingest', 'events:send', 'problem', 'events', 'Send one event and learn which runs it started',
'{"$ref": "#/components/schemas/NewEvent"}',
'{"type": "object", "required": ["id", "ulid", "ids", "runs"], "properties": {
	"id": {"type": "string", "format": "uuid"},
	"ulid": {"type": "string"},
	"ids": {"type": "array", "items": {"type": "string", "format": "uuid"}},
	"runs": {"type": "array", "items": {"$ref": "#/components/schemas/StartedRun"}}}}'),
('POST', '/api/v1/events/batch', 'flowforge.api_send_events', 'ingest', 'events:send', 'problem', 'events', 'Send up to 5,000 events, all or none',
'{"type": "array", "maxItems": 5000, "items": {"$ref": "#/components/schemas/NewEvent"}}',
'{"type": "object", "required": ["ids", "runs"], "properties": {
	"ids": {"type": "array", "items": {"type": "string", "format": "uuid"}},
	"runs": {"type": "array", "items": {"$ref": "#/components/schemas/StartedRun"}}}}'),
('GET', '/api/v1/events', 'flowforge.api_events', 'call', 'events:read', 'problem', 'events', 'List events, newest first',
'{"type": "object", "properties": {
	"name": {"type": "string"},
	"since": {"type": "string", "format": "date-time"},
	"until": {"type": "string", "format": "date-time"},
	"limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}},
	"next_cursor": {"type": ["string", "null"]}}}'),
('GET', '/api/v1/events/{id}', 'flowforge.api_event', 'call', 'events:read', 'problem', 'events', 'One event',
'{}', '{"$ref": "#/components/schemas/Event"}'),
('GET', '/api/v1/events/{id}/runs', 'flowforge.api_event_runs', 'call', 'runs:read', 'problem', 'events', 'The runs an event started',
'{}', '{"type": "object", "required": ["data"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/Run"}}}}');
-- Runs over HTTP.

create function flowforge.run_json(run flowforge.runs) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('id', run.run_id, 'ulid', run.ulid, 'function', run.function, 'version', run.version,
		'status', run.status, 'event_id', run.event_id, 'event_name', run.event_name, 'parent_run_id', run.parent_run_id,
		'created_at', run.created_at, 'started_at', run.started_at, 'ended_at', run.ended_at, 'wake_at', run.wake_at)
$$;
comment on function flowforge.run_json(flowforge.runs) is 'A run as lists of the API show it: without its result.';

create function flowforge.run_detail(run flowforge.runs) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.run_json(run) || jsonb_build_object('output', run.output, 'error', run.error, 'event', (
		select flowforge.event_json(e) from flowforge.events e where e.tenant_id = run.tenant_id and e.event_id = run.event_id))
$$;
comment on function flowforge.run_detail(flowforge.runs) is 'A run as the API shows it alone: with its event and its result.';

create function flowforge.run_steps(run uuid) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(jsonb_build_object('step_id', s.step_id, 'name', s.name, 'op', s.op, 'status', s.status,
		'attempt', s.attempt, 'output', s.output, 'error', s.error, 'started_at', s.started_at, 'ended_at', s.ended_at,
		'due_at', s.due_at) order by s.position nulls last, s.started_at, s.step_id), '[]')
	from flowforge.steps s
	where s.tenant_id = flowforge.current_tenant() and s.run_id = run
$$;
comment on function flowforge.run_steps(uuid) is 'The steps of a run as the API shows them: finished ones in the order they finished, then the others.';

create function flowforge.run_of(request flowforge.request) returns uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted constant uuid := flowforge.id_of(request.params ->> 'id', 'id');
begin
	if exists (select from flowforge.run r where r.tenant_id = flowforge.current_tenant() and r.run_id = wanted) then
		return wanted;
	end if;
	raise exception using errcode = 'FF010', message = format('run %s does not exist', wanted),
		hint = 'GET /api/v1/runs lists the latest runs.';
end
$$;
comment on function flowforge.run_of(flowforge.request) is 'The id of the run that the path names. Error: FF010 no such run.';

-- What narrows the list leads the query: live runs are few among many, and how runs ended is kept apart from them.
create function flowforge.run_page(page flowforge.page, status text, slug text, event text) returns setof flowforge.runs
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
	tenant constant integer := flowforge.current_tenant();
begin
	if status is null then
		return query
		select r.*
		from flowforge.runs r
		where r.tenant_id = tenant and r.run_id >= page.low and r.run_id < page.high
			and (slug is null or r.function = slug) and (event is null or r.event_name = event)
		order by r.run_id desc
		limit page.size + 1;
	elsif status in ('pending', 'running') then
		return query
		select r.*
		from flowforge.live_run l
		join flowforge.runs r on r.tenant_id = l.tenant_id and r.run_id = l.run_id
		where l.tenant_id = tenant and l.run_id >= page.low and l.run_id < page.high and r.status = run_page.status
			and (slug is null or r.function = slug) and (event is null or r.event_name = event)
		order by l.run_id desc
		limit page.size + 1;
	else
		return query
		select r.*
		from flowforge.run_end d
		join flowforge.runs r on r.tenant_id = d.tenant_id and r.run_id = d.run_id
		where d.tenant_id = tenant and d.run_id >= page.low and d.run_id < page.high and d.status = run_page.status
			and (slug is null or r.function = slug) and (event is null or r.event_name = event)
		order by d.run_id desc
		limit page.size + 1;
	end if;
end
$$;
comment on function flowforge.run_page(flowforge.page, text, text, text) is
'The runs of a page, newest first, and one more; filtered by status, function and event name where these are given.';

create function flowforge.api_runs(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	page constant flowforge.page := flowforge.page_of(request.query);
	status constant text := flowforge.choice_of(request.query, 'status', '{pending,running,completed,failed,cancelled}');
begin
	return flowforge.page_answer(array(
		select flowforge.run_json(r)
		from flowforge.run_page(page, status, request.query ->> 'function', request.query ->> 'event') r
		order by r.run_id desc), page.size);
end
$$;
comment on function flowforge.api_runs(flowforge.request) is 'GET /api/v1/runs.';

create function flowforge.api_run(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
begin
	return flowforge.answer((
		select flowforge.run_detail(r) from flowforge.runs r where r.tenant_id = flowforge.current_tenant() and r.run_id = run));
end
$$;
comment on function flowforge.api_run(flowforge.request) is 'GET /api/v1/runs/{id}.';

create function flowforge.api_run_steps(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(jsonb_build_object('data', flowforge.run_steps(flowforge.run_of(request))));
end
$$;
comment on function flowforge.api_run_steps(flowforge.request) is 'GET /api/v1/runs/{id}/steps.';

create function flowforge.api_run_events(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
	since constant integer := flowforge.integer_of(request.query, 'since', 0, 0, 999999999);
	size constant integer := flowforge.integer_of(request.query, 'limit', 1000, 1, 1000);
	messages constant jsonb[] := array(select flowforge.run_messages(run, since, size + 1));
begin
	return flowforge.answer(jsonb_build_object('data', to_jsonb(coalesce(messages[:size], '{}')),
		'next_since', case when cardinality(messages) > size then messages[size] -> 'seq' end));
end
$$;
comment on function flowforge.api_run_events(flowforge.request) is 'GET /api/v1/runs/{id}/events.';

create function flowforge.api_run_cancel(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
	result constant text := @extschema@.ff_cancel(run, request.json ->> 'reason');
begin
	return flowforge.answer(jsonb_build_object('id', run, 'ulid', flowforge.ulid(run), 'result', result),
		case result when 'cancelling' then 202 else 200 end);
end
$$;
comment on function flowforge.api_run_cancel(flowforge.request) is 'POST /api/v1/runs/{id}/cancel.';

insert into flowforge.route_schema (name, schema) values
('Run', '{
	"type": "object",
	"required": ["id", "ulid", "function", "version", "status", "event_id", "event_name", "parent_run_id", "created_at", "started_at", "ended_at", "wake_at"],
	"properties": {
		"id": {"type": "string", "format": "uuid"},
		"ulid": {"type": "string", "description": "The same id as SDKs show it."},
		"function": {"type": "string"},
		"version": {"type": "integer"},
		"status": {"enum": ["pending", "running", "completed", "failed", "cancelled"]},
		"event_id": {"type": "string", "format": "uuid"},
		"event_name": {"type": ["string", "null"]},
		"parent_run_id": {"type": ["string", "null"], "format": "uuid", "description": "The run that invoked this one."},
		"created_at": {"type": "string", "format": "date-time"},
		"started_at": {"type": ["string", "null"], "format": "date-time"},
		"ended_at": {"type": ["string", "null"], "format": "date-time"},
		"wake_at": {"type": ["string", "null"], "format": "date-time", "description": "Nothing is to be done before."}
	}
}'),
('RunDetail', '{
	"allOf": [{"$ref": "#/components/schemas/Run"}],
	"type": "object", "required": ["event", "output", "error"],
	"properties": {
		"event": {"oneOf": [{"$ref": "#/components/schemas/Event"}, {"type": "null"}]},
		"output": {"description": "What the function returned."},
		"error": {"description": "Why it failed."}
	}
}'),
('Step', '{
	"type": "object", "required": ["step_id", "name", "op", "status", "attempt", "output", "error", "started_at", "ended_at", "due_at"],
	"properties": {
		"step_id": {"type": "string"},
		"name": {"type": ["string", "null"]},
		"op": {"type": "string"},
		"status": {"enum": ["pending", "running", "sleeping", "waiting", "retrying", "completed", "failed", "skipped", "cancelled"]},
		"attempt": {"type": ["integer", "null"], "description": "From 0."},
		"output": {},
		"error": {},
		"started_at": {"type": ["string", "null"], "format": "date-time"},
		"ended_at": {"type": ["string", "null"], "format": "date-time"},
		"due_at": {"type": ["string", "null"], "format": "date-time", "description": "When a step that sleeps, waits or retries goes on at the latest."}
	}
}'),
('RunEvent', '{
	"type": "object", "required": ["run_id", "seq", "type", "at", "step_id", "name", "attempt", "data"],
	"properties": {
		"run_id": {"type": "string", "format": "uuid"},
		"seq": {"type": "integer", "description": "From 1, without a gap."},
		"type": {"type": "string", "examples": ["run.created", "step.completed", "run.completed"]},
		"at": {"type": "string", "format": "date-time"},
		"step_id": {"type": ["string", "null"]},
		"name": {"type": ["string", "null"]},
		"attempt": {"type": ["integer", "null"]},
		"data": {"type": ["object", "null"], "description": "Of the last event of a run it holds its output or error."}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/runs', 'flowforge.api_runs', 'runs:read', 'runs', 'List runs, newest first',
'{"type": "object", "properties": {
	"status": {"enum": ["pending", "running", "completed", "failed", "cancelled"]},
	"function": {"type": "string", "description": "Its id, app-function."},
	"event": {"type": "string", "description": "The name of the event that started it."},
	"since": {"type": "string", "format": "date-time"},
	"until": {"type": "string", "format": "date-time"},
	"limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/Run"}},
	"next_cursor": {"type": ["string", "null"]}}}'),
('GET', '/api/v1/runs/{id}', 'flowforge.api_run', 'runs:read', 'runs', 'One run with its event and result',
'{}', '{"$ref": "#/components/schemas/RunDetail"}'),
('GET', '/api/v1/runs/{id}/steps', 'flowforge.api_run_steps', 'runs:read', 'runs', 'The steps of a run',
'{}', '{"type": "object", "required": ["data"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/Step"}}}}'),
('GET', '/api/v1/runs/{id}/events', 'flowforge.api_run_events', 'runs:read', 'runs', 'The log of a run, oldest first',
'{"type": "object", "properties": {
	"since": {"type": "integer", "minimum": 0, "default": 0, "description": "Only events with a greater seq."},
	"limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000}}}',
'{"type": "object", "required": ["data", "next_since"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/RunEvent"}},
	"next_since": {"type": ["integer", "null"], "description": "since for the next page; null on the last one."}}}'),
('POST', '/api/v1/runs/{id}/cancel', 'flowforge.api_run_cancel', 'runs:manage', 'runs', 'Cancel a run',
'{"type": ["object", "null"], "properties": {"reason": {"type": "string"}}}',
'{"type": "object", "required": ["id", "ulid", "result"], "properties": {
	"id": {"type": "string", "format": "uuid"},
	"ulid": {"type": "string"},
	"result": {"enum": ["cancelling", "already completed", "already failed", "already cancelled"]}}}');
-- Runs live: Server-Sent Events. A stream begins with a snapshot of the run, whose id is the seq of the last run event it reflects, or,
-- for a client that has been here before, with the run events after the one it saw last. What follows is read by the gateway with
-- flowforge.stream_read, for all its clients in one call, from a cursor for each run. Every message carries its seq as id.

create function flowforge.sse(type text, id integer, data jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select format(E'event: %s\nid: %s\ndata: %s\n\n', type, id, data)
$$;
comment on function flowforge.sse(text, integer, jsonb) is 'One message of an event stream, as the HTML standard has it.';

-- A run's log as messages. `batch` is the seq of the stored row that holds the message: a row may begin before a cursor and reach past
-- it, so a reader starts at the last row that begins at or before the message after its cursor.
create view flowforge.run_message with (security_invoker = true) as
select r.tenant_id, r.run_id, 1 as batch, 1 as seq, 'run.created'::text as type,
	jsonb_build_object('run_id', r.run_id, 'seq', 1, 'type', 'run.created', 'at', r.created_at, 'step_id', null, 'name', null,
		'attempt', null, 'data', null) as message
from flowforge.run r
union all
select b.tenant_id, b.run_id, b.seq, (b.seq + e.ordinality - 1)::integer, e.value ->> 't',
	jsonb_build_object('run_id', b.run_id, 'seq', b.seq + e.ordinality - 1, 'type', e.value ->> 't',
		'at', to_timestamp((e.value ->> 'at')::numeric / 1000000), 'step_id', e.value ->> 's', 'name', e.value ->> 'n',
		'attempt', (e.value ->> 'a')::integer, 'data', case e.value ->> 't'
			when 'run.completed' then coalesce(e.value -> 'd', '{}') || (
				select jsonb_build_object('output', d.output) from flowforge.run_end d where d.tenant_id = b.tenant_id and d.run_id = b.run_id)
			when 'run.failed' then coalesce(e.value -> 'd', '{}') || (
				select jsonb_build_object('error', d.error) from flowforge.run_end d where d.tenant_id = b.tenant_id and d.run_id = b.run_id)
			else e.value -> 'd'
		end)
from flowforge.run_event_batch b
cross join lateral jsonb_array_elements(b.events) with ordinality e;
comment on view flowforge.run_message is
'The log of every run as the API shows it; the last event of a run holds its output or error. flowforge.run_event is the same in columns.';

create function flowforge.run_messages(run uuid, since integer, size integer) returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
begin
	return query
	select m.message
	from flowforge.run_message m
	where m.tenant_id = tenant and m.run_id = run and m.seq > since and m.batch >= coalesce((
		select max(b.seq) from flowforge.run_event_batch b where b.tenant_id = tenant and b.run_id = run and b.seq <= since + 1), 0)
	order by m.seq
	limit size;
end
$$;
comment on function flowforge.run_messages(uuid, integer, integer) is 'The first events of a run after a seq, as the API shows them.';

create function flowforge.stream_read(runs uuid[], cursors integer[])
returns table (run_id uuid, last_seq integer, sse text, final boolean)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set jit = off
as $$
declare
	tenant constant integer := flowforge.current_tenant();
begin
	return query
	select w.run_id, coalesce(n.last_seq, w.cursor), coalesce(n.sse, ''), r.run_id is null or d.run_id is not null
	from unnest(runs, cursors) as w (run_id, cursor)
	left join flowforge.run r on r.tenant_id = tenant and r.run_id = w.run_id
	left join flowforge.run_end d on d.tenant_id = tenant and d.run_id = w.run_id
	cross join lateral (
		select max(m.seq) as last_seq, string_agg(flowforge.sse(m.type, m.seq, m.message), '' order by m.seq) as sse
		from flowforge.run_message m
		where m.tenant_id = tenant and m.run_id = w.run_id and m.seq > w.cursor and m.batch >= coalesce((
			select max(b.seq) from flowforge.run_event_batch b
			where b.tenant_id = tenant and b.run_id = w.run_id and b.seq <= w.cursor + 1), 0)
	) n
	where n.sse is not null or r.run_id is null or d.run_id is not null;
end
$$;
comment on function flowforge.stream_read(uuid[], integer[]) is
'For each run with run events after its cursor: these as event-stream text, the new cursor, and whether the run has ended, so that '
'nothing will follow. A run that has ended is always told, one that is unknown as ended.';
revoke execute on function flowforge.stream_read(uuid[], integer[]) from public;
grant execute on function flowforge.stream_read(uuid[], integer[]) to flowforge_gateway;

create function flowforge.run_last_seq(run uuid) returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce((
		select b.seq + jsonb_array_length(b.events) - 1
		from flowforge.run_event_batch b
		where b.tenant_id = flowforge.current_tenant() and b.run_id = run
		order by b.seq desc
		limit 1), 1)
$$;
comment on function flowforge.run_last_seq(uuid) is 'The seq of the last event of a run.';

-- One statement, so that the snapshot and the seq it is numbered with belong together.
create function flowforge.stream_snapshot(run uuid, out last_seq integer, out sse text, out final boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select n.last_seq, flowforge.sse('snapshot', n.last_seq, jsonb_build_object('seq', n.last_seq, 'run', flowforge.run_detail(r),
		'steps', flowforge.run_steps(r.run_id))), r.ended_at is not null
	from flowforge.runs r
	cross join lateral (select flowforge.run_last_seq(r.run_id) as last_seq) n
	where r.tenant_id = flowforge.current_tenant() and r.run_id = run
$$;
comment on function flowforge.stream_snapshot(uuid) is 'A run and its steps as the first message of a stream.';

create function flowforge.api_run_stream(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
	seen constant jsonb := jsonb_build_object('since', coalesce(request.headers ->> 'last-event-id', request.query ->> 'since'));
	since constant integer := flowforge.integer_of(seen, 'since', null, 0, 999999999);
	head record;
begin
	if since is null then
		select s.* into head from flowforge.stream_snapshot(run) s;
	else
		select s.last_seq, s.sse, s.final into head
		from flowforge.stream_read(array[run], array[least(since, flowforge.run_last_seq(run))]) s;
	end if;
	return (200,
		E'content-type: text/event-stream\ncache-control: no-store\nx-accel-buffering: no\n'
		|| format(E'x-flowforge-stream: %s %s%s\n', run, coalesce(head.last_seq, flowforge.run_last_seq(run)), case when head.final then ' end' else '' end),
		E'retry: 1000\n\n' || coalesce(head.sse, ''))::flowforge.response;
end
$$;
comment on function flowforge.api_run_stream(flowforge.request) is
'GET /api/v1/runs/{id}/stream. The header x-flowforge-stream tells the gateway which run to follow, and from where.';

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/runs/{id}/stream', 'flowforge.api_run_stream', 'runs:read', 'runs',
'Follow a run live: a snapshot, then its events, until it has ended',
'{"type": "object", "properties": {
	"since": {"type": "integer", "minimum": 0,
		"description": "Begin with the events after this seq instead of a snapshot; the header Last-Event-ID does the same."}}}',
'{"type": "string", "contentMediaType": "text/event-stream",
	"description": "Messages: snapshot {seq, run, steps}, then a RunEvent each, named by its type; id is the seq."}');
-- Apps and functions over HTTP: the protocol's /fn/register and /dev, and the API's own lists.

create function flowforge.api_register(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(flowforge.register_app(flowforge.object_of(request)));
end
$$;
comment on function flowforge.api_register(flowforge.request) is 'POST and PUT /fn/register: an app tells its functions.';

-- A function's configuration as its app registered it: the address is kept apart from the versions.
create function flowforge.registered_config(config jsonb, url text) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_set(config, '{steps,step,runtime,url}', to_jsonb(url))
$$;
comment on function flowforge.registered_config(jsonb, text) is 'A version''s configuration with the address that calls go to now.';

create function flowforge.dev_functions() returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(jsonb_build_object('id', f.function, 'slug', f.function, 'name', f.name, 'triggers', coalesce(f.triggers, '[]'),
		'steps', jsonb_build_array(jsonb_build_object('id', 'step', 'name', 'step', 'uri', f.url))) order by f.function), '[]')
	from flowforge.functions f
	where f.tenant_id = flowforge.current_tenant() and f.archived_at is null
$$;
comment on function flowforge.dev_functions() is 'The functions as GET /dev shows them.';

create function flowforge.dev_handlers() returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('url', a.url, 'appName', a.name, 'sdk', a.sdk,
		'framework', a.framework, 'appVersion', a.app_version)) || jsonb_build_object('functions', coalesce((
			select jsonb_agg(flowforge.registered_config(v.config, f.url) order by f.slug)
			from flowforge.function f
			join flowforge.function_version v using (tenant_id, function_id, version)
			where f.tenant_id = a.tenant_id and f.app_id = a.app_id and f.archived_at is null), '[]')) order by a.name), '[]')
	from flowforge.app a
	where a.tenant_id = flowforge.current_tenant()
$$;
comment on function flowforge.dev_handlers() is 'What each app registered, as GET /dev shows it.';

create function flowforge.api_dev(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	if flowforge.server_kind() <> 'dev' then
		raise exception using errcode = 'FF201', message = 'this server is not a development server',
			hint = 'With a signing key set, SDKs find it through INNGEST_BASE_URL.';
	end if;
	return flowforge.answer(jsonb_build_object('version', flowforge.version(), 'authed', false,
		'startOpts', '{"autodiscover": false, "urls": []}'::jsonb, 'functions', flowforge.dev_functions(),
		'handlers', flowforge.dev_handlers(), 'features', '{}'::jsonb));
end
$$;
comment on function flowforge.api_dev(flowforge.request) is 'GET /dev: how SDKs find a development server.';

create function flowforge.api_functions(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted constant text := request.query ->> 'app';
	archived constant boolean := coalesce(flowforge.choice_of(request.query, 'archived', '{true,false}'), 'false')::boolean;
begin
	return flowforge.answer(jsonb_build_object('data', coalesce((
		select jsonb_agg(jsonb_build_object('function', f.function, 'name', f.name, 'app', f.app, 'version', f.version, 'retries', f.retries,
			'url', f.url, 'triggers', coalesce(f.triggers, '[]'), 'archived_at', f.archived_at) order by f.function)
		from flowforge.functions f
		where f.tenant_id = flowforge.current_tenant() and (wanted is null or f.app = wanted) and (archived or f.archived_at is null)), '[]')));
end
$$;
comment on function flowforge.api_functions(flowforge.request) is 'GET /api/v1/functions.';

create function flowforge.api_apps(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(jsonb_build_object('data', coalesce((
		select jsonb_agg(jsonb_build_object('id', a.app_id, 'ulid', flowforge.ulid(a.app_id), 'name', a.name, 'url', a.url, 'sdk', a.sdk,
			'framework', a.framework, 'version', a.app_version, 'functions', (
				select count(*) from flowforge.function f
				where f.tenant_id = a.tenant_id and f.app_id = a.app_id and f.archived_at is null),
			'registered_at', a.registered_at, 'synced_at', a.synced_at) order by a.name)
		from flowforge.app a
		where a.tenant_id = flowforge.current_tenant()), '[]')));
end
$$;
comment on function flowforge.api_apps(flowforge.request) is 'GET /api/v1/apps.';

insert into flowforge.route_schema (name, schema) values
('Registration', '{
	"type": "object", "required": ["url", "appName", "functions"],
	"properties": {
		"url": {"type": "string", "format": "uri", "description": "Where the app serves its functions."},
		"appName": {"type": "string", "maxLength": 255},
		"functions": {"type": "array", "items": {"$ref": "#/components/schemas/FunctionConfig"}},
		"sdk": {"type": "string"},
		"framework": {"type": "string"},
		"appVersion": {"type": "string"}
	}
}'),
('FunctionConfig', '{
	"type": "object", "required": ["id", "steps"],
	"description": "Keys not listed here are kept and have no effect.",
	"properties": {
		"id": {"type": "string", "maxLength": 255, "description": "app-function; unique among all apps."},
		"name": {"type": "string"},
		"triggers": {"type": "array", "maxItems": 10, "items": {"type": "object", "properties": {
			"event": {"type": "string", "description": "A name, or a pattern that ends in /* or .*"},
			"expression": {"type": "string"},
			"cron": {"type": "string"}}}},
		"steps": {"type": "object", "required": ["step"], "properties": {"step": {"type": "object", "required": ["runtime"], "properties": {
			"runtime": {"type": "object", "required": ["url"], "properties": {"type": {"const": "http"}, "url": {"type": "string", "format": "uri"}}},
			"retries": {"type": "object", "properties": {"attempts": {"type": "integer", "minimum": 0, "maximum": 20, "default": 4}}}}}}}
	}
}'),
('Function', '{
	"type": "object", "required": ["function", "name", "app", "version", "retries", "url", "triggers", "archived_at"],
	"properties": {
		"function": {"type": "string", "description": "Its id, app-function."},
		"name": {"type": "string"},
		"app": {"type": ["string", "null"]},
		"version": {"type": "integer"},
		"retries": {"type": "integer", "description": "Of each step."},
		"url": {"type": "string"},
		"triggers": {"type": "array", "items": {"type": "object", "properties": {
			"event": {"type": "string"}, "expression": {"type": "string"}, "cron": {"type": "string"}}}},
		"archived_at": {"type": ["string", "null"], "format": "date-time", "description": "When its app stopped serving it."}
	}
}'),
('App', '{
	"type": "object",
	"required": ["id", "ulid", "name", "url", "sdk", "framework", "version", "functions", "registered_at", "synced_at"],
	"properties": {
		"id": {"type": "string", "format": "uuid"},
		"ulid": {"type": "string"},
		"name": {"type": "string"},
		"url": {"type": "string"},
		"sdk": {"type": ["string", "null"]},
		"framework": {"type": ["string", "null"]},
		"version": {"type": ["string", "null"]},
		"functions": {"type": "integer", "description": "How many it serves."},
		"registered_at": {"type": "string", "format": "date-time"},
		"synced_at": {"type": "string", "format": "date-time", "description": "When it last registered something new."}
	}
}');

insert into flowforge.route (method, pattern, function, scope, style, tag, summary, request_schema, response_schema)
select method, '/fn/register', 'flowforge.api_register', 'functions:manage', 'sdk', 'sdk', 'Register an app and its functions',
'{"$ref": "#/components/schemas/Registration"}',
'{"type": "object", "required": ["ok", "modified", "app_id", "sync_id"], "properties": {
	"ok": {"const": true},
	"modified": {"type": "boolean", "description": "false when nothing had changed."},
	"app_id": {"type": "string", "format": "uuid"},
	"sync_id": {"type": "string", "format": "uuid"}}}'
from unnest('{POST,PUT}'::text[]) as m (method);

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/dev', 'flowforge.api_dev', 'public', 'sdk', 'What a development server serves; 404 with a signing key',
'{}', '{"type": "object", "required": ["version", "authed", "startOpts", "functions", "handlers", "features"], "properties": {
	"version": {"type": "string"},
	"authed": {"type": "boolean"},
	"startOpts": {"type": "object"},
	"functions": {"type": "array", "items": {"type": "object"}},
	"handlers": {"type": "array", "items": {"$ref": "#/components/schemas/Registration"}},
	"features": {"type": "object"}}}'),
('GET', '/api/v1/functions', 'flowforge.api_functions', 'functions:read', 'functions', 'List functions',
'{"type": "object", "properties": {
	"app": {"type": "string"},
	"archived": {"type": "boolean", "default": false, "description": "Those no app serves any more, too."}}}',
'{"type": "object", "required": ["data"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/Function"}}}}'),
('GET', '/api/v1/apps', 'flowforge.api_apps', 'functions:read', 'functions', 'List apps',
'{}', '{"type": "object", "required": ["data"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/App"}}}}');
-- The OpenAPI 3.1 document, made from the rows of flowforge.route.

create function flowforge.openapi_parameters(route flowforge.route) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(p.parameter order by p.place, p.name), '[]')
	from (
		select 'path' as place, m.found[1] as name, jsonb_build_object('name', m.found[1], 'in', 'path', 'required', true,
			'schema', '{"type": "string"}'::jsonb) as parameter
		from regexp_matches(route.pattern, '\{(\w+)\}', 'g') as m (found)
		union all
		select 'query', q.key, jsonb_build_object('name', q.key, 'in', 'query', 'required', false,
			'schema', q.value - 'description') || jsonb_strip_nulls(jsonb_build_object('description', q.value -> 'description'))
		from jsonb_each(route.request_schema -> 'properties') q
		where route.method in ('GET', 'DELETE')
	) p
$$;
comment on function flowforge.openapi_parameters(flowforge.route) is 'The parameters of a route, in its path and in the query string.';

-- Anything but a plain problem+json error is what the SDKs of the protocol read.
create function flowforge.openapi_error(style text) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('description', 'An error', 'content', case style
		when 'problem' then '{"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}'::jsonb
		else '{"application/json": {"schema": {"$ref": "#/components/schemas/SdkError"}}}'
	end)
$$;
comment on function flowforge.openapi_error(text) is 'The errors of a route, by its style.';

create function flowforge.openapi_operation(route flowforge.route) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_strip_nulls(jsonb_build_object(
		'operationId', lower(route.method) || regexp_replace(regexp_replace(route.pattern, '[{}]', '', 'g'), '\W+', '_', 'g'),
		'summary', route.summary,
		'tags', jsonb_build_array(route.tag),
		'description', 'Scope: ' || route.scope || '.',
		'security', case when route.scope in ('public', 'event_key') then '[]' else '[{"bearer": []}]' end::jsonb,
		'parameters', flowforge.openapi_parameters(route),
		'requestBody', case when route.method not in ('GET', 'DELETE') and route.request_schema <> '{}' then
			jsonb_build_object('required', not coalesce(route.request_schema -> 'type' ? 'null', false),
				'content', jsonb_build_object('application/json', jsonb_build_object('schema', route.request_schema))) end,
		'responses', jsonb_build_object(
			'200', jsonb_build_object('description', 'Done', 'content', jsonb_build_object(
				coalesce(route.response_schema ->> 'contentMediaType', 'application/json'),
				jsonb_build_object('schema', route.response_schema))),
			'default', flowforge.openapi_error(route.style))))
$$;
comment on function flowforge.openapi_operation(flowforge.route) is 'A route as an operation of OpenAPI.';

create function flowforge.openapi() returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object(
		'openapi', '3.1.0',
		'info', jsonb_build_object('title', 'FlowForge', 'version', flowforge.version(),
			'description', 'Durable workflows inside PostgreSQL. Ids are UUIDs and accepted as ULIDs too.'),
		'servers', '[{"url": "/"}]'::jsonb,
		'paths', (
			select jsonb_object_agg(p.pattern, p.operations)
			from (select r.pattern, jsonb_object_agg(lower(r.method), flowforge.openapi_operation(r)) as operations
				from flowforge.route r group by r.pattern) p),
		'components', jsonb_build_object(
			'schemas', (select jsonb_object_agg(s.name, s.schema) from flowforge.route_schema s),
			'securitySchemes', '{"bearer": {"type": "http", "scheme": "bearer",
				"description": "The hash of the signing key. Not needed on a server without one."}}'::jsonb))
$$;
comment on function flowforge.openapi() is 'The OpenAPI 3.1 document of the HTTP API.';

create function flowforge.api_openapi(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	document constant jsonb := flowforge.openapi();
	tag constant text := '"' || md5(document::text) || '"';
	headers constant text := E'cache-control: no-cache\netag: ' || tag || E'\n';
begin
	if tag = any (string_to_array(replace(request.headers ->> 'if-none-match', 'W/', ''), ', ')) then
		return (304, headers, '')::flowforge.response;
	end if;
	return flowforge.answer(document, 200, headers);
end
$$;
comment on function flowforge.api_openapi(flowforge.request) is 'GET /api/openapi.json.';

insert into flowforge.route_schema (name, schema) values
('Problem', '{
	"description": "RFC 9457.",
	"type": "object", "required": ["type", "title", "status", "detail", "code", "hint", "errors"],
	"properties": {
		"type": {"type": "string"},
		"title": {"type": "string"},
		"status": {"type": "integer"},
		"detail": {"type": "string", "description": "What is wrong with this request."},
		"code": {"type": "string", "description": "The SQLSTATE of the error; those of class FF are listed in docs/errors.md."},
		"hint": {"type": ["string", "null"], "description": "What to do about it."},
		"errors": {"type": "array", "items": {"type": "object", "required": ["detail"], "properties": {
			"field": {"type": "string"}, "detail": {"type": "string"}}}}
	}
}'),
('SdkError', '{
	"type": "object", "required": ["error", "status"],
	"properties": {
		"ids": {"type": "array", "maxItems": 0},
		"error": {"type": "string"},
		"status": {"type": "integer"}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, response_schema) values
('GET', '/api/openapi.json', 'flowforge.api_openapi', 'public', 'pages', 'This document',
'{"type": "object", "required": ["openapi", "info", "servers", "paths", "components"]}');
-- The two pages a server has of itself: an overview and the list of routes. Neither needs anything from outside.

create function flowforge.html(value text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(replace(replace(replace(replace(replace(value, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;'), '')
$$;
comment on function flowforge.html(text) is 'Text as it must stand in HTML; nothing for null.';

create function flowforge.html_page(title text, body text, refresh integer default null) returns flowforge.response
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select (200,
		E'content-type: text/html; charset=utf-8\ncache-control: no-store\nx-content-type-options: nosniff\n'
		'content-security-policy: default-src ''none''; style-src ''unsafe-inline''; frame-ancestors ''none''; base-uri ''none''; form-action ''none''\n',
		format('<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">%s<title>%s</title>'
			'<style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}'
			'h1{font-size:1.4rem;margin:0}h2{font-size:1rem;margin:2rem 0 .5rem}table{border-collapse:collapse;width:100%%}'
			'th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8883;vertical-align:top}th{font-weight:600;opacity:.7}'
			'code{font:13px ui-monospace,monospace}a{color:inherit}.dim{opacity:.65}.completed,.working{color:#2a8a4a}'
			'.failed{color:#d03a3a}.cancelled{color:#b07a10}.running{color:#2a6fd0}</style>%s</html>',
			'<meta http-equiv="refresh" content="' || refresh || '">', flowforge.html(title), body))::flowforge.response
$$;
comment on function flowforge.html_page(text, text, integer) is 'A page of HTML, read again every `refresh` seconds. title is text, body is HTML.';

create function flowforge.html_table(headings text[], rows text, nothing text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when rows is null then '<p class="dim">' || flowforge.html(nothing) || '</p>'
		else '<table><tr>' || (select string_agg('<th>' || flowforge.html(h.heading) || '</th>', '' order by h.ordinality)
			from unnest(headings) with ordinality as h (heading, ordinality)) || '</tr>' || rows || '</table>'
	end
$$;
comment on function flowforge.html_table(text[], text, text) is 'A table: headings and what stands there instead are text, rows is HTML.';

create function flowforge.html_runs() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.html_table('{Run,Function,Status,Event,Created,Took}', (
		select string_agg(format('<tr><td><a href="/api/v1/runs/%s"><code>%s</code></a></td><td>%s</td><td class="%s">%s</td><td>%s</td><td>%s</td><td>%s</td></tr>',
			r.run_id, r.ulid, flowforge.html(r.function), r.status, r.status, flowforge.html(r.event_name),
			to_char(r.created_at, 'YYYY-MM-DD HH24:MI:SS'), coalesce(round(extract(epoch from r.ended_at - r.created_at), 3) || ' s', '')),
			'' order by r.run_id desc)
		from flowforge.run_page(('00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 24), null, null, null) r),
		'No run yet. In psql: select ff_send_event(''order/created'', ''{"id": "o1"}'');')
$$;
comment on function flowforge.html_runs() is 'The latest runs.';

create function flowforge.html_functions() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.html_table('{Function,App,Started by,Version}', (
		select string_agg(format('<tr><td><code>%s</code></td><td>%s</td><td>%s</td><td>%s</td></tr>', flowforge.html(f.function), flowforge.html(f.app),
			(select string_agg(flowforge.html(coalesce(t.value ->> 'event', t.value ->> 'cron')), '<br>') from jsonb_array_elements(f.triggers) t),
			f.version), '' order by f.function)
		from flowforge.functions f
		where f.tenant_id = flowforge.current_tenant() and f.archived_at is null),
		'No function yet. Start an app with INNGEST_DEV set to this address and call its serve URL with PUT.')
$$;
comment on function flowforge.html_functions() is 'The functions apps serve.';

create function flowforge.html_status() returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.html_table('{Item,Value}', (
		select string_agg(format('<tr><td>%s</td><td>%s</td></tr>', flowforge.html(s.item), flowforge.html(s.value)), '')
		from @extschema@.ff_status() s), 'Nothing is known.')
$$;
comment on function flowforge.html_status() is 'What ff_status tells.';

create function flowforge.api_home(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.html_page('FlowForge',
		'<h1>FlowForge</h1><p class="dim">Durable workflows inside PostgreSQL · <a href="/api/docs">HTTP API</a> · '
		|| to_char(clock_timestamp(), 'HH24:MI:SS') || ' UTC</p><h2>Latest runs</h2>' || flowforge.html_runs()
		|| '<h2>Functions</h2>' || flowforge.html_functions() || '<h2>Status</h2>' || flowforge.html_status(), 5);
end
$$;
comment on function flowforge.api_home(flowforge.request) is 'GET /: an overview for people.';

create function flowforge.api_docs(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.html_page('FlowForge HTTP API',
		'<h1>HTTP API</h1><p class="dim">Made from <code>flowforge.route</code>, as is <a href="/api/openapi.json">the OpenAPI 3.1 document</a>.</p>' || (
		select string_agg(format('<h2>%s</h2>%s', flowforge.html(t.tag), flowforge.html_table('{Method,Path,Answer,Scope}', t.rows, '')), '' order by t.tag)
		from (
			select r.tag, string_agg(format('<tr><td><code>%s</code></td><td><code>%s</code></td><td>%s</td><td class="dim">%s</td></tr>',
				r.method, flowforge.html(r.pattern), flowforge.html(r.summary), flowforge.html(r.scope)), '' order by r.pattern, r.method) as rows
			from flowforge.route r
			group by r.tag
		) t));
end
$$;
comment on function flowforge.api_docs(flowforge.request) is 'GET /api/docs: the routes for people.';

insert into flowforge.route (method, pattern, function, scope, tag, summary, response_schema) values
('GET', '/', 'flowforge.api_home', 'runs:read', 'pages', 'An overview for people', '{"type": "string", "contentMediaType": "text/html"}'),
('GET', '/api/docs', 'flowforge.api_docs', 'public', 'pages', 'The routes for people', '{"type": "string", "contentMediaType": "text/html"}');

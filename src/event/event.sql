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
	received_at timestamptz not null default clock_timestamp(),
	meta jsonb
) partition by range (event_id);
comment on table flowforge.event is 'Every event received, insert-only. event_id is a UUIDv7; ranges of it are time ranges.';
comment on column flowforge.event.meta is '{sessions: {key: id}}: what groups the runs it starts; null when it has none.';

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
-- hold the equality the filter demands of the awaited event (path below it and a hash of the value); path '*' demands nothing.
-- The waits for the events that cancel a run (cancelOn) have the step ids cancelOn[0], cancelOn[1], …, and are written with the run.
create table flowforge.wait (
	tenant_id integer not null,
	event_name text not null,
	match_path text collate "C" not null,
	match_key bigint not null,
	run_id uuid not null,
	step_id text not null,
	event_id uuid not null,
	expression text,
	expires_at timestamptz,
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
language c volatile security definer
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_event_ingest';
comment on function flowforge.ingest(jsonb, text, boolean) is
'What POST /e/{key} does: records an event or an array of them. A seed (header x-inngest-event-id-seed) makes ids that repeat when the '
'request does; internal allows the reserved names. Gives the ids in order. Errors: FF001 to FF007.';

create function flowforge.invoke(slug text, event jsonb, seed text default null, out event_id uuid, out run_id uuid)
language c volatile security definer
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_event_invoke';
comment on function flowforge.invoke(text, jsonb, text) is
'What POST /invoke/{slug} does: starts one run of exactly this function with an event {data, id, user, ts, v, meta}, whose name becomes '
'inngest/function.invoked. Gives the event and the run; no run when an event of this id was received before. Errors: FF013, FF002 to FF009.';

create function flowforge.start_version(function integer, version integer, event jsonb, out event_id uuid, out run_id uuid)
language c volatile strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_event_start_version';
comment on function flowforge.start_version(integer, integer, jsonb) is
'Starts one run of a version of a function, whatever its current version is, with an event as invoke takes it. Errors as invoke''s.';

create function flowforge.hand_over(tenant_id integer, run_id uuid) returns void
language c volatile strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_event_hand_over';
comment on function flowforge.hand_over(integer, uuid) is
'Gives a run whose row was put into run_hot to its owner at commit, and registers the events that cancel it.';

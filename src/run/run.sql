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

-- The live runs that have something to call now: narrow, a fifth of a page filled so that updates find room beside (of 100, 95 are then HOT), one index, deleted at the end. Written by the run's owner only (and
-- inserted by whoever starts the run). state is null until the first commit of the owner; src/run/README.md tells its form. rank is the
-- place in its tenant's queue of a run that has a priority: when it was made, less its head start. Null: the run's age, which its id says.
create table flowforge.run_hot (
	slot smallint not null,
	run_id uuid not null,
	tenant_id integer not null,
	function_id integer not null,
	version integer not null,
	event_id uuid not null,
	state jsonb,
	rank timestamptz,
	primary key (slot, tenant_id, run_id)
) with (
	fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
	autovacuum_analyze_scale_factor = 0.5, vacuum_truncate = off
);
comment on table flowforge.run_hot is 'Live runs with something to call now.';
create index run_hot_rank on flowforge.run_hot (slot, tenant_id, rank, run_id) where rank is not null;

-- The live runs with nothing to call before wake_at: sleeping, backing off, or waiting (wake_at is then the time-out); those that wait
-- for room (src/flow/claim.sql) are among them, even before they have begun, when their state is null.
create table flowforge.run_parked (
	slot smallint not null,
	run_id uuid not null,
	tenant_id integer not null,
	function_id integer not null,
	version integer not null,
	event_id uuid not null,
	state jsonb,
	wake_at timestamptz not null,
	primary key (slot, run_id)
) with (
	autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off
);
comment on table flowforge.run_parked is 'Live runs with nothing to call before wake_at.';
create index run_parked_wake on flowforge.run_parked (slot, wake_at);
-- Those that have not begun, for the count of a tenant's queue (src/slot/depth.c).
create index run_parked_new on flowforge.run_parked (tenant_id) where (state operator(pg_catalog.->) 'start') is null;

-- A step that has finished: the checkpoint. memo is what the function is handed on every later call; detail is what else is known of
-- it, for people: {input, metadata, usage}, without secrets.
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
	ended_at timestamptz not null,
	detail jsonb
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

-- Messages to a run's owner from everybody else. kind: cancel, event (a wait's event came), invoked (a child ended), signal,
-- checkpoint (steps of a call that goes on), report (what a run that began in its app has done).
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

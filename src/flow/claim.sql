-- A claim: what a live run of a function with limits asks for and has. Three numbers that only grow: asked and released are written by the
-- run's owner, granted by the gate alone. asked - granted of its steps wait for room, granted - released of them may run. The row is there
-- while a run waits or runs, and leaves with the last of its steps. keys: what it shares its limits with (src/flow/flow.h), 0 for none.
create table flowforge.claim (
	slot smallint not null,
	run_id uuid not null,
	tenant_id integer not null,
	function_id integer not null,
	queue bigint not null,
	keys bigint[] not null,
	rank timestamptz not null,
	asked integer not null,
	granted integer not null default 0,
	released integer not null default 0,
	since timestamptz not null default clock_timestamp(),
	primary key (slot, run_id)
) with (
	fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
	vacuum_truncate = off
);
comment on table flowforge.claim is 'What live runs of functions with limits ask for and have: steps asked for, granted, released.';
create index claim_waiting on flowforge.claim (queue, rank, run_id) where asked > granted;
create index claim_running on flowforge.claim (slot, run_id) where granted > released;

-- Until when the runs of a throttle's key are spaced: the theoretical arrival time of the generic cell rate algorithm. Written by the gate.
create table flowforge.throttle (
	key bigint primary key,
	next_at timestamptz not null
);
comment on table flowforge.throttle is 'When the next run of a throttled key is due, if all came evenly; rows of the past mean nothing.';

select pg_catalog.pg_extension_config_dump('flowforge.claim', '');
select pg_catalog.pg_extension_config_dump('flowforge.throttle', '');

-- What flow control knows of the events before: rows by function and by the key of a rule, which is its value over the event as canonical JSON
-- text, empty for a rule without a key. Written in the transactions of senders (src/flow/start.c); flowforge.forget_flows deletes what is over.

create table flowforge.flow_once (
	tenant_id integer not null,
	function_id integer not null,
	key text collate "C" not null,
	run_id uuid not null,
	expires_at timestamptz not null,
	primary key (tenant_id, function_id, key)
);
comment on table flowforge.flow_once is 'idempotency: the values that have had their run, until they may have another.';
create index flow_once_expiry on flowforge.flow_once (expires_at);

-- starts holds pairs: an instant (microseconds since 1970) and how many runs count as started then. They count until the period after it is over.
-- granted, at, most and period are of the call that last started a run. Unindexed columns alone change, so updates stay in their page.
create table flowforge.flow_rate (
	tenant_id integer not null,
	function_id integer not null,
	key text collate "C" not null,
	starts bigint[] not null,
	granted bigint not null,
	at timestamptz not null,
	most bigint not null,
	period interval not null,
	primary key (tenant_id, function_id, key)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
comment on table flowforge.flow_rate is 'rateLimit: the starts of each key within its period.';

-- A key is taken while its run is live. The run's end deletes the row; where it cannot, because a sender has locked the row and then rolls back, a
-- row stays behind whose run is over, and who wants the key next takes it.
create table flowforge.flow_single (
	tenant_id integer not null,
	function_id integer not null,
	key text collate "C" not null,
	run_id uuid not null,
	primary key (tenant_id, function_id, key)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
comment on table flowforge.flow_single is 'singleton: the live run of each key.';
create index flow_single_run on flowforge.flow_single (tenant_id, run_id);

-- Insert-only, and kept as long as events are: what an event did not start, and why.
create table flowforge.run_skip (
	tenant_id integer not null,
	event_id uuid not null,
	function_id integer not null,
	version integer not null,
	reason text not null check (reason in ('idempotency', 'rate_limit', 'singleton', 'debounced')),
	detail jsonb,
	at timestamptz not null default clock_timestamp()
) partition by range (event_id);
comment on table flowforge.run_skip is 'The runs that flow control kept events from starting.';

select pg_catalog.pg_extension_config_dump('flowforge.flow_once', '');
select pg_catalog.pg_extension_config_dump('flowforge.flow_rate', '');
select pg_catalog.pg_extension_config_dump('flowforge.flow_single', '');

create function flowforge.rate_take(
	starts bigint[], wanted bigint, most bigint, period interval, out starts_after bigint[], out granted bigint, out at timestamptz
) returns record
language c volatile parallel safe
as 'MODULE_PATHNAME', 'ff_flow_rate_take';
comment on function flowforge.rate_take(bigint[], bigint, bigint, interval) is
'Starts as many of `wanted` runs as `most` in a period leaves room for after `starts` (null: none): the starts then, how many, and when.';

create function flowforge.rate_room(starts bigint[], most bigint, period interval) returns bigint
language c volatile strict parallel safe
as 'MODULE_PATHNAME', 'ff_flow_rate_room';
comment on function flowforge.rate_room(bigint[], bigint, interval) is 'How many runs may start now after these starts.';

create function flowforge.is_live(tenant integer, run uuid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select exists (select from flowforge.live_run l where l.slot = flowforge.slot(run) and l.tenant_id = tenant and l.run_id = run)
$$;
comment on function flowforge.is_live(integer, uuid) is 'Whether a run has not ended.';

create function flowforge.retake_single(tenant_id integer, run_id uuid) returns void
language c volatile strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_flow_retake_single';
comment on function flowforge.retake_single(integer, uuid) is
'Gives a live run that an event once started its singleton key again, unless another live run has it.';

-- What is locked is in use. Nobody is waited for, so this is in no sender's way. Whether a run is live is asked again once its row is locked, by
-- a statement that sees who had it before.
create function flowforge.forget_flows() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	idle tid[];
begin
	delete from flowforge.flow_once d
	where d.ctid = any (array(select o.ctid from flowforge.flow_once o where o.expires_at <= clock_timestamp() for update of o skip locked));
	delete from flowforge.throttle d
	where d.ctid = any (array(select t.ctid from flowforge.throttle t where t.next_at <= clock_timestamp() for update of t skip locked));
	delete from flowforge.flow_rate d
	where d.ctid = any (array(select r.ctid from flowforge.flow_rate r where r.at + r.period * 2 <= clock_timestamp() for update of r skip locked));
	idle := array(select s.ctid from flowforge.flow_single s where not flowforge.is_live(s.tenant_id, s.run_id) for update of s skip locked);
	delete from flowforge.flow_single d where d.ctid = any (idle) and not flowforge.is_live(d.tenant_id, d.run_id);
end
$$;
comment on function flowforge.forget_flows() is 'Deletes what flow control need not know any more. Executors call it every hour.';

-- What a function's flow control holds back: the latest event of a debounce, the events gathered for a batch. A row for each key of a
-- function. Senders of events write it, in their transactions, and start a batch that is full; what is due is started by flowforge.start_due,
-- in the transaction that deletes the row. look_at is when a row is to be looked at: never after due_at, and seldom moved (src/flow/held.h).
create table flowforge.held_start (
	tenant_id integer not null,
	function_id integer not null,
	kind text not null check (kind in ('debounce', 'batch')),
	key text collate "C" not null,
	first_at timestamptz not null,
	due_at timestamptz not null,
	latest_at timestamptz not null,
	look_at timestamptz not null,
	superseded uuid,
	event_ids uuid[] not null,
	primary key (tenant_id, function_id, kind, key)
) with (
	fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off
);
comment on table flowforge.held_start is 'Events that start a run later: debounced ones and those gathered for a batch, by function and key.';
comment on column flowforge.held_start.key is 'What the rule''s key is for these events, as canonical JSON; empty for a rule without a key.';
comment on column flowforge.held_start.latest_at is 'When it starts however many events come: the first event and the rule''s timeout.';
comment on column flowforge.held_start.superseded is 'Of a debounce: the event that the latest one replaced.';
comment on column flowforge.held_start.event_ids is 'In order of arrival; of a debounce, the latest alone.';
create index held_start_look on flowforge.held_start (look_at);

select pg_catalog.pg_extension_config_dump('flowforge.held_start', '');

create view flowforge.held_starts with (security_invoker = true) as
select h.tenant_id, f.slug as function, h.kind, h.key, h.first_at, h.due_at, cardinality(h.event_ids) as events,
	h.event_ids[1] as first_event_id, h.event_ids[cardinality(h.event_ids)] as last_event_id
from flowforge.held_start h
join flowforge.function f on f.tenant_id = h.tenant_id and f.function_id = h.function_id;
comment on view flowforge.held_starts is
'Runs that are to come: what debounce and batchEvents hold back, by function and key (as JSON), since when, and when it starts at the latest if no event comes.';

create function flowforge.start_due(most integer default 256, out started integer, out next_at timestamptz)
language c volatile strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_flow_start_due';
comment on function flowforge.start_due(integer) is
'Starts what is held back and due, at most so many keys: gives how many runs it made and when to call it next (null: nothing is held). '
'What another transaction is writing is passed over. The executor that keeps the clock calls it.';

create function flowforge.put_off_start(delay interval) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	update flowforge.held_start h
	set look_at = clock_timestamp() + delay, due_at = clock_timestamp() + delay, latest_at = greatest(h.latest_at, clock_timestamp() + delay)
	from (
		select n.tenant_id, n.function_id, n.kind, n.key from flowforge.held_start n order by n.look_at limit 1 for update skip locked
	) n
	where h.tenant_id = n.tenant_id and h.function_id = n.function_id and h.kind = n.kind and h.key = n.key
$$;
comment on function flowforge.put_off_start(interval) is 'Has what would be started next wait, because starting it failed.';

-- The events of a run that was made of several, in order of arrival from position 0, which is the run's own event_id. Insert-only; written
-- with the run. A run of one event has no rows here.
create table flowforge.run_batch (
	tenant_id integer not null,
	run_id uuid not null,
	position integer not null,
	event_id uuid not null
) partition by range (run_id);
comment on table flowforge.run_batch is 'The events of a run that was made of several (batchEvents), in order of arrival from position 0.';

-- Every event that is sent by HTTP asks this, so it is planned once for a connection, at a time when the tables may be empty: by index then too.
create function flowforge.runs_of_events(tenant integer, events uuid[]) returns setof uuid
language plpgsql stable rows 10
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
begin
	return query
	select r.run_id from flowforge.run r where r.tenant_id = tenant and r.event_id = any (events)
	union
	select b.run_id from flowforge.run_batch b where b.tenant_id = tenant and b.event_id = any (events);
end
$$;
comment on function flowforge.runs_of_events(integer, uuid[]) is 'The runs that a tenant''s events started, alone or with others.';

create function flowforge.events_of_run(tenant integer, run uuid, event uuid) returns uuid[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(array_agg(b.event_id order by b.position), array[event])
	from flowforge.run_batch b
	where b.tenant_id = tenant and b.run_id = run
$$;
comment on function flowforge.events_of_run(integer, uuid, uuid) is 'The events of a tenant''s run in order of arrival: those of its batch, or the one that it is said to have.';

create function flowforge.needs_events(low uuid, high uuid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select exists (select from flowforge.held_start h cross join unnest(h.event_ids) e where e >= low and e < high)
		or exists (select from flowforge.live_run l where l.event_id >= low and l.event_id < high)
		or exists (
			select from flowforge.run_batch b
			join flowforge.live_run l on l.slot = flowforge.slot(b.run_id) and l.tenant_id = b.tenant_id and l.run_id = b.run_id
			where b.event_id >= low and b.event_id < high)
$$;
comment on function flowforge.needs_events(uuid, uuid) is 'Whether something that is held back or a run that has not ended has an event with an id in [low, high).';

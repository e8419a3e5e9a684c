-- flowforge.fsck(): nothing on a sound database, and exactly the row for each invariant that is broken on purpose.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;

-- What fsck finds after a statement that is then undone.
create function pg_temp.found(corruption text) returns text
language plpgsql as $$
declare
	result text;
begin
	-- The log refuses changes and so on: whoever corrupts is beyond such things.
	set local session_replication_role = replica;
	execute corruption;
	select string_agg(format('%s: %s', f.invariant, coalesce(k.name, f.run_id::text, '-')), '; ' order by f.invariant, k.name) into result
	from flowforge.fsck() f
	left join known k on k.run_id = f.run_id;
	raise exception 'undo';
exception when raise_exception then
	set local session_replication_role = origin;
	return result;
end
$$;

-- A sound database with one run of each kind.
create temp table known (name text primary key, run_id uuid not null default flowforge.uuid7(), event_id uuid not null default flowforge.uuid7());
insert into known (name) values ('new'), ('asleep'), ('parent'), ('child'), ('done'), ('nobody');
create function pg_temp.run(wanted text) returns uuid
language sql stable as $$ select run_id from known where name = wanted $$;
create function pg_temp.us(at timestamptz) returns bigint
language sql immutable as $$ select (extract(epoch from at) * 1000000)::bigint $$;

insert into flowforge.function (tenant_id, function_id, slug, name, url) values (1, 1, 'fsck-f', 'f', 'http://a');
insert into flowforge.function_version (tenant_id, function_id, version, retries, config) values (1, 1, 1, 3, '{}');
insert into flowforge.trigger (tenant_id, function_id, version, kind, event) values (1, 1, 1, 'event', 'order/created');
insert into flowforge.event (tenant_id, event_id, name, data, ts)
select 1, k.event_id, 'order/created', '{}', now() from known k where k.name <> 'nobody';
insert into flowforge.run (tenant_id, run_id, function_id, version, event_id, parent_run_id, parent_step_id, created_at)
select 1, k.run_id, 1, 1, k.event_id, case k.name when 'child' then pg_temp.run('parent') end, case k.name when 'child' then 'call' end, now()
from known k where k.name <> 'nobody';

insert into flowforge.run_hot (slot, run_id, tenant_id, function_id, version, event_id, state)
select flowforge.slot(k.run_id), k.run_id, 1, 1, 1, k.event_id,
	case k.name when 'child' then jsonb_build_object('parent', flowforge.ulid(pg_temp.run('parent')), 'pstep', 'call', 'depth', 1) end
from known k where k.name in ('new', 'child');
insert into flowforge.run_parked (slot, run_id, tenant_id, function_id, version, event_id, state, wake_at)
select flowforge.slot(k.run_id), k.run_id, 1, 1, 1, k.event_id, jsonb_build_object('v', 2, 'gen', 2, 'grp', 2, 'seq', s.seq, 'items', s.items), s.wake_at
from known k
join (values
	('asleep', 5, jsonb_build_array(
		jsonb_build_object('id', 'nap', 'op', 'sleep', 'at', 0, 'a', 0, 'due', pg_temp.us('2999-01-01 00:00+00')),
		jsonb_build_object('id', 'answer', 'op', 'wait', 'at', 0, 'a', 0, 'due', pg_temp.us('2999-02-01 00:00+00'))),
		'2999-01-01 00:00+00'::timestamptz),
	('parent', 2, jsonb_build_array(jsonb_build_object('id', 'call', 'op', 'invoke', 'at', 0, 'a', 0)), 'infinity')) s (name, seq, items, wake_at)
	on s.name = k.name;
insert into flowforge.wait (tenant_id, event_name, match_path, match_key, run_id, step_id, event_id)
select 1, 'answer', '*', 0, k.run_id, 'answer', k.event_id from known k where k.name = 'asleep';
insert into flowforge.step (tenant_id, run_id, step_id, position, op, name, status, attempt, memo, started_at, ended_at)
select 1, pg_temp.run(s.name), s.step_id, s.position, 'run', s.step_id, s.status, 0, '{"data": 1}', now(), now()
from (values ('asleep', 'one', 1, 'completed'), ('done', 'one', 1, 'completed'), ('done', 'two', 2, 'failed')) s (name, step_id, position, status);
insert into flowforge.run_end (tenant_id, run_id, status, output, ended_at)
values (1, pg_temp.run('done'), 'completed', '7', now());
insert into flowforge.run_event_batch (tenant_id, run_id, seq, events)
select 1, pg_temp.run(b.name), b.seq, b.events
from (values
	('asleep', 2, '[{"t": "run.started", "at": 1}, {"t": "step.completed", "at": 2, "s": "one"}]'::jsonb),
	('asleep', 4, '[{"t": "step.sleeping", "at": 3, "s": "nap"}, {"t": "step.waiting", "at": 3, "s": "answer"}]'),
	('parent', 2, '[{"t": "step.waiting", "at": 3, "s": "call"}]'),
	('done', 2, '[{"t": "step.completed", "at": 2, "s": "one"}]'),
	('done', 3, '[{"t": "step.failed", "at": 2, "s": "two"}, {"t": "run.completed", "at": 4}]')) b (name, seq, events);

create temp table corruption (statement text, wanted text);
insert into corruption values
('delete from flowforge.run_hot where run_id = pg_temp.run(''new'')', 'a run has a driver: new'),
($$delete from flowforge.run_end where run_id = pg_temp.run('done')$$, 'a run has a driver: done'),
($$insert into flowforge.run_hot select slot, run_id, tenant_id, function_id, version, event_id, state from flowforge.run_parked
	where run_id = pg_temp.run('asleep')$$, 'a run has one home: asleep; a runnable run has something to call: asleep'),
($$insert into flowforge.run_hot (slot, run_id, tenant_id, function_id, version, event_id, state)
	select flowforge.slot(run_id), run_id, 1, 1, 1, event_id, '{"seq": 4, "grp": 1, "items": [{"id": "", "op": "run"}]}' from known where name = 'done'$$,
	'a run has one home: done'),
($$alter table flowforge.run_end_default drop constraint run_end_default_pkey;
	insert into flowforge.run_end select * from flowforge.run_end where run_id = pg_temp.run('done')$$,
	'a partition has its key: -; a run has one home: done'),
($$insert into flowforge.run_hot (slot, run_id, tenant_id, function_id, version, event_id)
	select flowforge.slot(pg_temp.run('nobody')), pg_temp.run('nobody'), 1, 1, 1, event_id from known where name = 'new'$$, 'a home has a run: nobody'),
($$insert into flowforge.run_end (tenant_id, run_id, status, ended_at) values (1, pg_temp.run('nobody'), 'completed', now());
	insert into flowforge.run_event_batch values (1, pg_temp.run('nobody'), 2, '[{"t": "run.completed"}]');
	insert into flowforge.run select 1, pg_temp.run('nobody'), 1, 1, event_id, null, null, now() from known where name = 'new';
	delete from flowforge.run where run_id = pg_temp.run('nobody')$$, 'a home has a run: nobody; a log has a run: nobody'),
($$update flowforge.run_hot set tenant_id = 2 where run_id = pg_temp.run('new')$$,
	'a home has a run: new; a live run has its event: new; a live run has its function: new; a run has a driver: new'),
($$alter table flowforge.run_default drop constraint run_default_pkey;
	insert into flowforge.run select * from flowforge.run where run_id = pg_temp.run('new')$$,
	'a partition has its key: -; a run is there once: new'),
($$update flowforge.run_hot set slot = (slot + 1) % 64 where run_id = pg_temp.run('new')$$, 'a row is in its slot: new'),
($$delete from flowforge.event where event_id = (select event_id from known where name = 'new')$$, 'a live run has its event: new'),
($$update flowforge.run_hot set state = '{"v": 2, "grp": 1, "seq": 1, "items": []}' where run_id = pg_temp.run('new')$$,
	'a live run has something to do: new'),
($$update flowforge.run_parked set state = jsonb_set(state, '{items,1,id}', '"nap"') where run_id = pg_temp.run('asleep');
	delete from flowforge.wait$$, 'a waiting step has its wait: asleep; an item is there once: asleep'),
($$delete from flowforge.function_version; delete from flowforge.trigger$$, 'a live run has its function: asleep; a live run has its function: child; '
	'a live run has its function: new; a live run has its function: parent'),
($$update flowforge.run_hot set state = '{"items": [{"id": "", "op": "run", "due": 32472144000000000}]}' where run_id = pg_temp.run('new')$$,
	'a runnable run has something to call: new'),
($$update flowforge.function set version = 2$$, 'a trigger starts the current version: -'),
($$update flowforge.function set archived_at = now()$$, 'a trigger starts the current version: -'),
($$delete from flowforge.function; update flowforge.function_version set function_id = 7; delete from flowforge.run_parked; delete from flowforge.wait;
	delete from flowforge.run_hot; delete from flowforge.run where run_id <> pg_temp.run('done');
	delete from flowforge.step where run_id = pg_temp.run('asleep'); delete from flowforge.run_event_batch where run_id <> pg_temp.run('done')$$,
	'a trigger starts the current version: -'),
($$update flowforge.run_parked set wake_at = '3000-01-01 00:00+00' where run_id = pg_temp.run('asleep')$$, 'a parked run wakes when it must: asleep'),
($$update flowforge.run_parked set state = jsonb_set(state, '{items,2}', '{"id": "x", "op": "run"}', true) where run_id = pg_temp.run('asleep')$$,
	'a parked run wakes when it must: asleep; what is to be done is in the log: asleep'),
($$update flowforge.run_hot set state = null where run_id = pg_temp.run('child')$$, 'a child knows its parent: child'),
($$update flowforge.run_hot set state = state || '{"pstep": "other"}' where run_id = pg_temp.run('child')$$, 'a child knows its parent: child'),
($$delete from flowforge.run_hot where run_id = pg_temp.run('child');
	insert into flowforge.run_end (tenant_id, run_id, status, ended_at) values (1, pg_temp.run('child'), 'completed', now());
	insert into flowforge.run_event_batch values (1, pg_temp.run('child'), 2, '[{"t": "run.completed"}]')$$, 'an invocation is answered: parent'),
($$update flowforge.function_version set config = '{"cancel": [{"event": "stop"}]}' where function_id = 1;
	delete from flowforge.run_hot where run_id = pg_temp.run('new'); delete from flowforge.run where run_id = pg_temp.run('new');
	insert into flowforge.wait select 1, 'stop', '*', 0, k.run_id, 'cancelOn[0]', k.event_id from known k where k.name in ('asleep', 'parent')$$,
	'a run can be cancelled by its events: child'),
($$insert into flowforge.wait select 1, 'stop', '*', 0, k.run_id, 'cancelOn[0]', k.event_id from known k where k.name = 'new'$$,
	'a wait is held by its run: new'),
($$insert into flowforge.signal values (1, 'stop', pg_temp.run('asleep'), 'nap')$$, 'a signal is awaited by its run: asleep'),
($$update flowforge.run_parked set state = jsonb_set(state, '{items,0,op}', '"signal"') where run_id = pg_temp.run('asleep')$$,
	'an awaited signal would be told: asleep'),
($$update flowforge.run_parked set state = state || jsonb_build_object('end', pg_temp.us('2998-01-01 00:00+00')) where run_id = pg_temp.run('asleep')$$,
	'a parked run wakes when it must: asleep'),
($$delete from flowforge.wait$$, 'a waiting step has its wait: asleep'),
($$insert into flowforge.wait select 1, 'answer', '*', 0, pg_temp.run('done'), 'x', event_id from known where name = 'done'$$,
	'a wait is held by its run: done'),
($$update flowforge.wait set step_id = 'nap'$$, 'a wait is held by its run: asleep; a waiting step has its wait: asleep'),
($$insert into flowforge.inbox (slot, inbox_id, tenant_id, run_id, kind, payload)
	values (flowforge.slot(pg_temp.run('done')), flowforge.id_floor(now() - interval '5 minutes'), 1, pg_temp.run('done'), 'cancel', '{}')$$,
	'a message is handled: done'),
($$insert into flowforge.step select tenant_id, pg_temp.run('nobody'), step_id, 1, op, name, status, attempt, memo, started_at, ended_at
	from flowforge.step where run_id = pg_temp.run('done') and position = 1;
	insert into flowforge.run_event_batch values (1, pg_temp.run('nobody'), 2, '[{"t": "step.completed", "s": "one"}]')$$,
	'a checkpoint has a run: nobody; a log has a run: nobody'),
($$update flowforge.step set position = 3 where run_id = pg_temp.run('done') and position = 2$$, 'steps are numbered as they finished: done'),
($$update flowforge.step set position = 1 where run_id = pg_temp.run('done') and position = 2$$, 'steps are numbered as they finished: done'),
($$update flowforge.run_parked set state = jsonb_set(state, '{items,0,id}', '"one"') where run_id = pg_temp.run('asleep')$$,
	'a finished step is over: asleep'),
($$update flowforge.run_parked set state = state - 'grp' where run_id = pg_temp.run('asleep')$$, 'a live run is handed its checkpoints: asleep'),
($$update flowforge.run_event_batch set seq = 5 where run_id = pg_temp.run('done') and seq = 3$$, 'the log has no gaps: done'),
($$delete from flowforge.run_event_batch where run_id = pg_temp.run('parent');
	update flowforge.run_parked set state = state || '{"seq": 1}' where run_id = pg_temp.run('parent');
	insert into flowforge.run_event_batch values (1, pg_temp.run('parent'), 2, '[]')$$,
	'the log has no gaps: parent; what is to be done is in the log: parent'),
($$update flowforge.run_event_batch set events = '[{"t": "step.sleeping", "s": "nap"}, {"t": "note"}]' where run_id = pg_temp.run('asleep') and seq = 4$$,
	'what is to be done is in the log: asleep'),
($$update flowforge.run_parked set state = state || '{"seq": 9}' where run_id = pg_temp.run('asleep')$$, 'the log goes on where the run is: asleep'),
($$delete from flowforge.run_event_batch where run_id = pg_temp.run('parent')$$, 'the log goes on where the run is: parent; what is to be done is in the log: parent'),
($$update flowforge.run_event_batch set events = '[{"t": "step.failed", "s": "two"}]' where run_id = pg_temp.run('done') and seq = 3$$,
	'the log ends as the run did: done'),
($$update flowforge.run_end set status = 'failed'$$, 'the log ends as the run did: done'),
($$delete from flowforge.step where run_id = pg_temp.run('done') and position = 2$$, 'what the log says is done has its checkpoint: done'),
($$update flowforge.run_event_batch set events = events || '[{"t": "step.completed", "s": "one"}, {"t": "run.completed"}]'
	where run_id = pg_temp.run('done') and seq = 3$$, 'a step finishes once: done'),
($$update flowforge.run_event_batch set events = '[{"t": "note"}]' where run_id = pg_temp.run('done') and seq = 2$$, 'a checkpoint is in the log: done'),
($$select flowforge.make_partition('event', current_date - 5);
	insert into flowforge.event values (1, flowforge.id_floor(now() - interval '3 days'), 'x', '{}', null, null, null, now(), now() - interval '3 days')$$,
	'a day has its partition: -'),
($$insert into flowforge.lock (tenant_id, key, run_id, step_id, granted_at) values (1, 'k', pg_temp.run('done'), 'a', now())$$,
'a lock is a live run''s: done'),
($$insert into flowforge.lock (tenant_id, key, run_id, step_id, granted_at)
select 1, 'k', pg_temp.run(r), 'a', now() from unnest('{new,asleep}'::text[]) r$$, 'a lock is held by one run: -'),
($$insert into flowforge.lock (tenant_id, key, run_id, step_id) values (1, 'k', pg_temp.run('new'), 'a')$$,
'a lock that is waited for is held: -'),
($$insert into flowforge.held_start (tenant_id, function_id, kind, key, first_at, due_at, latest_at, look_at, event_ids)
	select 1, 1, 'batch', '', now(), now(), now(), now(), array[event_id] from known where name = 'nobody'$$,
'what is held back has its events: -'),
($$insert into flowforge.held_start (tenant_id, function_id, kind, key, first_at, due_at, latest_at, look_at, event_ids)
	select 1, 7, k, k, now(), now(), now(), now(), array[event_id] from known cross join unnest('{batch,debounce}'::text[]) k where name = 'new'$$,
'an event is held once: -'),
($$insert into flowforge.held_start (tenant_id, function_id, kind, key, first_at, due_at, latest_at, look_at, event_ids)
	select 1, 1, 'batch', '', now(), now(), now(), now(), array[event_id] from known where name = 'done'$$, 'what is held back has not started: done'),
($$insert into flowforge.held_start (tenant_id, function_id, kind, key, first_at, due_at, latest_at, look_at, event_ids)
	select 1, 7, 'batch', '', now(), now(), now(), now() + interval '1 s', array[event_id] from known where name = 'done'$$,
'what is held back is looked at in time: -'),
($$insert into flowforge.held_start (tenant_id, function_id, kind, key, first_at, due_at, latest_at, look_at, event_ids)
	select 1, 7, 'debounce', '', now(), now(), now(), now(), array_agg(event_id) from known where name in ('done', 'new')$$, 'a debounce holds one event: -'),
($$insert into flowforge.run_batch select 1, pg_temp.run('nobody'), row_number() over () - 1, event_id from known where name in ('new', 'done')$$,
'a batch has a run: nobody'),
($$insert into flowforge.run_batch select 1, pg_temp.run('done'), case name when 'done' then 0 else 2 end, event_id from known where name in ('new', 'done')$$,
'a batch has its events in order: done'),
($$insert into flowforge.run_batch select 1, pg_temp.run('done'), case name when 'done' then 1 else 0 end, event_id from known where name in ('new', 'done')$$,
'the first event of a batch is its run''s: done'),
($$insert into flowforge.run_batch select 1, pg_temp.run('new'), case name when 'new' then 0 else 1 end, event_id from known where name in ('new', 'nobody')$$,
'a live run has its event: new'),
($$insert into flowforge.flow_single values (1, 1, 'k', pg_temp.run('nobody'))$$, 'a singleton key has had a run: nobody'),
($$update flowforge.function_version set config = '{"singleton": {"mode": "skip"}}';
insert into flowforge.flow_single select 1, 1, k.name, k.run_id from known k where k.name not in ('nobody', 'new')$$, 'a live run has its singleton key: new'),
($$insert into flowforge.flow_rate values (1, 1, '', array[pg_temp.us(now()) - 3000000, 5, pg_temp.us(now()) - 1000, 2], 2, now(), 1, '2 s')$$,
'a rate limit is kept: -'),
($$insert into flowforge.run_skip (tenant_id, event_id, function_id, version, reason) select 1, k.event_id, 1, 1, 'singleton' from known k where k.name = 'new'$$,
'a skipped run was not started: new'),
($$alter table flowforge.event_default drop constraint event_default_pkey$$, 'a partition has its key: -');

select plan(3 + count(*)::integer) from corruption;
select is_empty('select * from flowforge.fsck()', 'a sound database has nothing to say');
select is(pg_temp.found(c.statement), c.wanted, c.wanted) from corruption c;
select is_empty('select * from flowforge.fsck()', 'what was corrupted was undone');

-- Retention drops a day of runs first and its steps and logs later.
select is(pg_temp.found($$
	select flowforge.maintain(t, 0, interval '0') from unnest('{run,step,run_end,run_event_batch}'::text[]) t;
	do 'begin
		execute (select string_agg(format(''create table flowforge.%s_20200101 partition of flowforge.%1$s for values from (%L) to (%L)'', t,
				flowforge.id_floor(''2020-01-01 00:00+00''), flowforge.id_floor(''2020-01-02 00:00+00'')), '';'')
			from unnest(''{step,run_end,run_event_batch}''::text[]) t);
	end';
	insert into flowforge.run_event_batch values (1, flowforge.id_floor('2020-01-01 12:00+00'), 2, '[{"t": "step.completed", "s": "gone"}]');
	insert into flowforge.step select 1, flowforge.id_floor('2020-01-01 12:00+00'), 'gone', 7, op, name, status, attempt, memo, started_at, ended_at
	from flowforge.step where run_id = pg_temp.run('done') and position = 1$$),
	'a partition has its key: -; a partition has its key: -; a partition has its key: -', 'a day that is being dropped is not looked at');

select * from finish();
rollback;

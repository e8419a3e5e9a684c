-- Starting runs without an event, and again: ff_run, ff_retry, ff_replay. All of it is the caller's transaction; the owner takes over at commit.

create function @extschema@.ff_run(function text, input jsonb default '{}', idempotency_key text default null) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	started record;
begin
	perform flowforge.require_role('member');
	if function is null then
		raise exception using errcode = 'FF013', message = 'ff_run needs the id of a function', hint = 'select function from flowforge.functions lists them.';
	end if;
	perform flowforge.check_function_input(function, input);
	select * into started
	from flowforge.invoke(function, jsonb_strip_nulls(jsonb_build_object('id', idempotency_key)) || jsonb_build_object('data', coalesce(input, '{}')));
	return flowforge.started_run(started.event_id, started.run_id);
end
$$;
comment on function @extschema@.ff_run(text, jsonb, text) is
'Starts a run of a function, named by its id, without an event of its own: it sees an event inngest/function.invoked with the input (an '
'object) as data. With an idempotency key, a repeat within flowforge.event_dedupe_window starts nothing and gives the first run. '
'Gives the run''s id. Errors: FF013 no such function; FF517 the input is not what the function''s input_schema asks for; FF002 it is not an object; FF003, FF007 it is too large or too deep.';

revoke execute on function @extschema@.ff_run(text, jsonb, text) from public;

create function flowforge.run_row(run uuid) returns flowforge.run
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	result flowforge.run;
begin
	select r.* into result from flowforge.run r where r.tenant_id = flowforge.current_tenant() and r.run_id = run;
	if not found then
		raise exception using errcode = 'FF010', message = format('run %s does not exist', coalesce(run::text, 'null')),
			hint = 'select * from flowforge.runs lists the runs of this tenant.';
	end if;
	if exists (
		select from unnest(flowforge.events_of_run(result.tenant_id, result.run_id, result.event_id)) b
		where not exists (select from flowforge.event e where e.tenant_id = result.tenant_id and e.event_id = b)) then
		raise exception using errcode = 'FF062', message = format('the event of run %s is no longer kept', run),
			detail = 'A run is called with the event that started it.', hint = 'flowforge.retention says how many days events are kept.';
	end if;
	return result;
end
$$;
comment on function flowforge.run_row(uuid) is 'A run that may be called again. Errors: FF010 no such run; FF062 its event is no longer kept.';

create function flowforge.microseconds(at timestamptz) returns bigint
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select (extract(epoch from at) * 1000000)::bigint
$$;
comment on function flowforge.microseconds(timestamptz) is 'Microseconds since 1970, as states and logs tell time.';

-- How many runs above a run invoked each other down to it; states tell it so that chains are bounded.
create function flowforge.run_depth(run flowforge.run) returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with recursive above as (
		select run.tenant_id, run.parent_run_id, 0 as depth
		union all
		select a.tenant_id, r.parent_run_id, a.depth + 1
		from above a
		join flowforge.run r on r.tenant_id = a.tenant_id and r.run_id = a.parent_run_id
		where a.depth < 10000
	)
	select max(depth) from above
$$;
comment on function flowforge.run_depth(flowforge.run) is 'How many runs invoked each other down to this one.';

-- The state of a run that is to be asked what comes next, with the checkpoints it has. No generation of its calls is one of a life before.
create function flowforge.asking_state(run flowforge.run, seq integer, generation integer) returns jsonb
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_strip_nulls(jsonb_build_object('v', -1, 'gen', generation, 'seq', seq,
		'grp', (select count(*) from (select from flowforge.step s where s.tenant_id = run.tenant_id and s.run_id = run.run_id limit 1) x),
		'parent', flowforge.ulid(run.parent_run_id), 'pstep', run.parent_step_id,
		'depth', case when run.parent_run_id is not null then flowforge.run_depth(run) end,
		'from', flowforge.microseconds(clock_timestamp()),
		'batch', (select true from flowforge.run_batch b where b.tenant_id = run.tenant_id and b.run_id = run.run_id and b.position = 0),
		'items', jsonb_build_array(jsonb_build_object('id', '', 'op', 'run', 'a', 0, 'at', flowforge.microseconds(clock_timestamp())))))
$$;
comment on function flowforge.asking_state(flowforge.run, integer, integer) is 'A state that asks the function of a run what comes next.';

-- A run that ends gives its locks back: what it goes on with, or what another run does, does not hold them and has to ask again.
create function flowforge.lock_steps(run flowforge.run, before integer default null) returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select s.step_id
	from flowforge.step s
	where s.tenant_id = run.tenant_id and s.run_id = run.run_id and s.op = 'lock' and s.status = 'completed' and not exists (
		select from flowforge.step u
		where u.tenant_id = s.tenant_id and u.run_id = s.run_id and u.op = 'unlock' and u.position > s.position
			and (before is null or u.position < before) and u.memo #> '{data,key}' = s.memo #> '{data,key}')
$$;
comment on function flowforge.lock_steps(flowforge.run, integer) is
'The steps by which a run had locks that it has not given back itself, or not before a position.';

-- Steps that had failed, or were cut short, are forgotten, with the errors the function may have caught: they are what a retry is for.
create function flowforge.forget_failed_steps(run flowforge.run, out forgotten jsonb, out again jsonb) returns record
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	with gone as (
		delete from flowforge.step s
		where s.tenant_id = run.tenant_id and s.run_id = run.run_id and (
			s.status = 'cancelled' or s.status = 'failed' and not coalesce(s.memo ? 'data', false) or s.step_id in (select flowforge.lock_steps(run)))
		returning s.step_id, s.position, s.status, s.attempt
	)
	select coalesce(jsonb_agg(g.step_id order by g.position) filter (where g.status <> 'cancelled'), '[]'),
		jsonb_object_agg(g.step_id, g.attempt + 1) filter (where g.status = 'failed')
	into forgotten, again
	from gone g;
	update flowforge.step s
	set position = n.place
	from (select k.step_id, row_number() over (order by k.position) as place from flowforge.step k where k.tenant_id = run.tenant_id and k.run_id = run.run_id) n
	where s.tenant_id = run.tenant_id and s.run_id = run.run_id and s.step_id = n.step_id and s.position <> n.place;
end
$$;
comment on function flowforge.forget_failed_steps(flowforge.run) is
'Deletes the checkpoints of a run''s failed and cancelled steps, and of those by which it held locks. Gives the ids, and by id of failed ones '
'the attempt that comes next. A step of a graph that failed and let the run continue has an output, and stays.';

create function @extschema@.ff_retry(run uuid) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	row constant flowforge.run := flowforge.run_row(run);
	ended text;
	next integer;
	lives integer;
	past record;
begin
	perform flowforge.require_role('member');
	-- Whoever deletes the end makes the run go on; a second caller waits here and then finds it gone.
	delete from flowforge.run_end e
	where e.tenant_id = row.tenant_id and e.run_id = row.run_id and e.status <> 'completed'
	returning e.status into ended;
	if ended is null and exists (select from flowforge.run_end e where e.tenant_id = row.tenant_id and e.run_id = row.run_id) then
		raise exception using errcode = 'FF014', message = format('run %s has completed and cannot be retried', run),
			hint = 'select ff_replay(run) runs its function again as a new run.';
	elsif ended is null then
		return 'already running';
	end if;
	select coalesce(max(b.seq + jsonb_array_length(b.events)), 2), 1 + count(*) filter (where b.events @> '[{"t": "run.retried"}]')
	into next, lives
	from flowforge.run_event_batch b
	where b.tenant_id = row.tenant_id and b.run_id = row.run_id;
	select * into past from flowforge.forget_failed_steps(row);
	update flowforge.approval a
	set status = 'cancelled', decided_at = clock_timestamp(), reason = 'the run had ended'
	where a.tenant_id = row.tenant_id and a.run_id = row.run_id and a.status = 'pending';
	insert into flowforge.run_event_batch (tenant_id, run_id, seq, events)
	values (row.tenant_id, row.run_id, next, jsonb_build_array(jsonb_build_object('t', 'run.retried', 'at', flowforge.microseconds(clock_timestamp()),
		'd', jsonb_build_object('was', ended, 'steps', past.forgotten))));
	perform flowforge.feed_add(row.tenant_id, row.run_id, next);
	insert into flowforge.run_hot (slot, run_id, tenant_id, function_id, version, event_id, state)
	values (flowforge.slot(row.run_id), row.run_id, row.tenant_id, row.function_id, row.version, row.event_id,
		flowforge.asking_state(row, next, lives * 1000000) || (
			select jsonb_strip_nulls(jsonb_build_object('again', case when v.config ? 'graph' then past.again end))
			from flowforge.function_version v
			where v.tenant_id = row.tenant_id and v.function_id = row.function_id and v.version = row.version));
	perform flowforge.hand_over(row.tenant_id, row.run_id);
	perform flowforge.retake_single(row.tenant_id, row.run_id);
	perform flowforge.audit('run.retry', 'run:' || flowforge.ulid(run), jsonb_build_object('status', ended), null);
	return 'retrying';
end
$$;
comment on function @extschema@.ff_retry(uuid) is
'Makes a run that failed or was cancelled go on, as the same run: what has completed stays, the steps that failed run again with all '
'their retries, locks it held are asked for again, its singleton key is its own again unless another run has it, and its timeouts begin anew. A run that invoked it has had its answer and is not told again. Gives "retrying", or '
'"already running" when it is live. Errors: FF010 no such run; FF014 it has completed; FF062 its event is no longer kept.';

create function flowforge.replayed_step(source flowforge.run, wanted text) returns flowforge.step
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	result flowforge.step;
begin
	select s.* into result
	from flowforge.step s
	where s.tenant_id = source.tenant_id and s.run_id = source.run_id and wanted in (s.step_id, s.name)
	order by s.step_id <> wanted, s.position
	limit 1;
	if not found then
		raise exception using errcode = 'FF060', message = format('run %s has no finished step "%s"', source.run_id, wanted),
			detail = format('It has finished: %s.', coalesce((
				select string_agg(format('"%s"', s.name), ', ' order by s.position) from flowforge.step s
				where s.tenant_id = source.tenant_id and s.run_id = source.run_id), 'nothing')),
			hint = 'Name a step by its id or its name: select step_id, name from flowforge.steps.';
	end if;
	return result;
end
$$;
comment on function flowforge.replayed_step(flowforge.run, text) is 'The finished step of a run with this id, or the first with this name. Error: FF060.';

-- The event of a replay: the run's own, or a copy of it with other data, which triggers nothing.
create function flowforge.replayed_event(source flowforge.run, input jsonb) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	copy constant uuid := flowforge.uuid7();
begin
	if input is null then
		return source.event_id;
	end if;
	if jsonb_typeof(input) <> 'object' then
		raise exception using errcode = 'FF002', message = 'the input of a replayed run is not a JSON object',
			detail = format('It is of type %s.', jsonb_typeof(input)), hint = 'It takes the place of the data of the run''s event.';
	end if;
	insert into flowforge.event (tenant_id, event_id, name, data, user_data, v, ts, meta)
	select e.tenant_id, copy, e.name, input, e.user_data, e.v, e.ts, e.meta
	from flowforge.event e
	where e.tenant_id = source.tenant_id and e.event_id = source.event_id;
	return copy;
end
$$;
comment on function flowforge.replayed_event(flowforge.run, jsonb) is 'The event of a replay. Error: FF002.';

-- In a graph what comes before a step is not what finished before it: all is kept but the step and what follows from it.
create function flowforge.steps_after(run flowforge.run, step text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	graph jsonb;
	node constant text := regexp_replace(step, '\[\d+\]$', '');
begin
	select v.config -> 'graph' into graph
	from flowforge.function_version v
	where v.tenant_id = run.tenant_id and v.function_id = run.function_id and v.version = run.version;
	if graph is null or step is null then
		return case when graph is not null then '[]'::jsonb end;
	end if;
	-- The other items of a for_each are kept, the node itself is not.
	return coalesce(@extschema@.ff_workflow_plan(graph) -> 'descendants' -> node, '[]') || case when node = step then to_jsonb(array[node]) else '[]' end;
end
$$;
comment on function flowforge.steps_after(flowforge.run, text) is
'The nodes of a run''s graph that come after a step, with the step; null for functions that are no graphs.';

-- Copies the checkpoints of a run before a position, and logs them: a log tells of every checkpoint.
create function flowforge.copy_steps(source flowforge.run, copy flowforge.run, step flowforge.step) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	entries jsonb;
	after constant jsonb := flowforge.steps_after(copy, step.step_id);
	now constant bigint := flowforge.microseconds(clock_timestamp());
begin
	insert into flowforge.step (tenant_id, run_id, step_id, position, op, name, status, attempt, memo, started_at, ended_at, detail)
	select s.tenant_id, copy.run_id, s.step_id, row_number() over (order by s.position), s.op, s.name, s.status, s.attempt, s.memo, s.started_at,
		s.ended_at, s.detail
	from flowforge.step s
	where s.tenant_id = source.tenant_id and s.run_id = source.run_id and s.position < case when after is null then step.position else 2147483647 end
		and s.step_id not in (select flowforge.lock_steps(source, step.position))
		and (after is null or step.step_id is not null and s.step_id <> step.step_id and s.status <> 'cancelled' and not (s.status = 'failed' and not s.memo ? 'data')
			and s.step_id <> regexp_replace(step.step_id, '\[\d+\]$', '') and not after ? s.step_id and not after ? regexp_replace(s.step_id, '\[\d+\]$', ''));
	-- Of a step that began more than once its last end counts.
	with told as (
		select distinct on (e.step_id, e.type) e.step_id, e.type, e.data
		from flowforge.run_event e
		where e.tenant_id = source.tenant_id and e.run_id = source.run_id and e.type in ('step.completed', 'step.failed', 'step.skipped')
		order by e.step_id, e.type, e.seq desc
	)
	select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('t', 'step.' || s.status, 'at', now, 's', s.step_id, 'n', s.name, 'a', s.attempt))
		|| case when t.data is null then '{}' else jsonb_build_object('d', t.data) end order by s.position), '[]') into entries
	from flowforge.step s
	left join told t on t.step_id = s.step_id and t.type = 'step.' || s.status
	where s.tenant_id = copy.tenant_id and s.run_id = copy.run_id;
	insert into flowforge.run_event_batch (tenant_id, run_id, seq, events)
	values (copy.tenant_id, copy.run_id, 2, jsonb_build_array(jsonb_build_object('t', 'run.replayed', 'at', now, 'd',
		jsonb_strip_nulls(jsonb_build_object('run', flowforge.ulid(source.run_id), 'step', step.step_id, 'name', step.name)))) || entries);
	perform flowforge.feed_add(copy.tenant_id, copy.run_id, 2);
	return jsonb_array_length(entries) + 2;
end
$$;
comment on function flowforge.copy_steps(flowforge.run, flowforge.run, flowforge.step) is
'Gives a run the checkpoints another had before a step, and both runs'' logs their due; gives the number of the last log event.';

-- What a draft was when it was test run is kept for as long as runs with it may be: created_at says, to a day, when the last one began.
create function flowforge.use_snapshot(tenant integer, function integer, snapshot integer) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	update flowforge.function_version v
	set created_at = now()
	where v.tenant_id = tenant and v.function_id = function and v.version = snapshot and v.version < 0 and v.created_at < now() - interval '1 day'
$$;
comment on function flowforge.use_snapshot(integer, integer, integer) is 'Notes that a run of a snapshot of a draft begins; does nothing for other versions.';

create function @extschema@.ff_replay(run uuid, from_step text default null, input jsonb default null) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	source constant flowforge.run := flowforge.run_row(run);
	copy flowforge.run := source;
	step flowforge.step;
	last integer;
begin
	perform flowforge.require_role('member');
	if from_step is not null then
		step := flowforge.replayed_step(source, from_step);
	end if;
	-- The code lives where the app is now, and so does the version; what no app serves any more keeps its own, and so does a test run.
	select case when f.archived_at is null and source.version > 0 then f.version else source.version end into copy.version
	from flowforge.function f
	where f.tenant_id = source.tenant_id and f.function_id = source.function_id;
	if copy.version is null then
		raise exception using errcode = 'FF013', message = format('the function of run %s no longer exists', run), hint = 'Register its app again.';
	end if;
	perform flowforge.use_snapshot(copy.tenant_id, copy.function_id, copy.version);
	copy.run_id := flowforge.uuid7();
	copy.event_id := flowforge.replayed_event(source, case when from_step is null then input end);
	copy.parent_run_id := null;
	copy.parent_step_id := null;
	copy.created_at := clock_timestamp();
	insert into flowforge.run select copy.*;
	insert into flowforge.run_batch (tenant_id, run_id, position, event_id)
	select b.tenant_id, copy.run_id, b.position, b.event_id
	from flowforge.run_batch b
	where b.tenant_id = source.tenant_id and b.run_id = source.run_id and copy.event_id = source.event_id;
	last := flowforge.copy_steps(source, copy, step);
	insert into flowforge.run_hot (slot, run_id, tenant_id, function_id, version, event_id, state)
	values (flowforge.slot(copy.run_id), copy.run_id, copy.tenant_id, copy.function_id, copy.version, copy.event_id,
		flowforge.asking_state(copy, last, 0) || case
			when from_step is null or input is null then '{}'
			else jsonb_build_object('edit', jsonb_build_object(step.step_id, case jsonb_typeof(input) when 'array' then input else jsonb_build_array(input) end))
		end);
	perform flowforge.hand_over(copy.tenant_id, copy.run_id);
	perform flowforge.audit('run.replay', 'run:' || flowforge.ulid(run), null,
		jsonb_strip_nulls(jsonb_build_object('run', flowforge.ulid(copy.run_id), 'from_step', from_step, 'input', input)));
	return copy.run_id;
end
$$;
comment on function @extschema@.ff_replay(uuid, text, jsonb) is
'Runs the function of a run again, as a new run with the same event and the function''s current version. From a step, named by its id or '
'its name, it keeps what finished before that step. input, for a step, is the list of arguments it is handed instead of what the '
'function gives it (a value that is no list is the one argument); without a step it takes the place of the event''s data (an object), and of all '
'events of a batch. '
'Gives the new run''s id. Errors: FF010 no such run; FF060 no such step; FF002 the input is not an object; FF062 its event is no longer '
'kept; FF013 its function no longer exists.';

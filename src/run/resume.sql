-- ff_resume(run): a waiting step goes on at once, with data from whoever resumes it instead of what it waits for. The step's memo is written here,
-- in the form in which the function expects it; the run's owner makes it a checkpoint, unless what the step waited for has come before.

create function flowforge.op_resumable(op text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select op in ('sleep', 'wait', 'signal', 'approval')
$$;
comment on function flowforge.op_resumable(text) is 'Whether a step of this kind waits for something that data can stand for.';

create function flowforge.item_resumable(item jsonb) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.op_resumable(item ->> 'op') and not item ? 'e'
$$;
comment on function flowforge.item_resumable(jsonb) is 'Whether data can stand for what an item of a state waits for; one that has failed and is to be tried again waits for its time only.';

-- The state's item of the step; null when it has finished.
create function flowforge.resumed_item(run uuid, step text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	found_items jsonb[];
	others text;
begin
	select array_agg(i.value order by i.ordinality) into found_items
	from flowforge.live_run l
	cross join lateral jsonb_array_elements(l.state -> 'items') with ordinality i
	where l.slot = flowforge.slot(run) and l.tenant_id = flowforge.current_tenant() and l.run_id = run and i.value ->> 'id' <> ''
		and (step is null or step in (i.value ->> 'id', i.value ->> 'n'))
		and (flowforge.item_resumable(i.value) or step is not null);
	if step is not null and cardinality(found_items) > 1 then
		found_items := coalesce((select array_agg(f) from unnest(found_items) f where f ->> 'id' = step), found_items);
	end if;
	if cardinality(found_items) > 1 then
		select string_agg(format('"%s" (%s, id %s)', coalesce(f ->> 'n', f ->> 'id'), f ->> 'op', f ->> 'id'), ', ') into others from unnest(found_items) f;
		raise exception using errcode = 'FF014', message = format('several steps of run %s wait', run), detail = format('They are %s.', others),
			hint = 'Name one by its id.';
	elsif step is not null and found_items is null and not exists (
		select from flowforge.step s where s.tenant_id = flowforge.current_tenant() and s.run_id = run and step in (s.step_id, s.name)) then
		raise exception using errcode = 'FF060', message = format('run %s has no step "%s"', run, step),
			hint = 'Name a step by its id or its name: select step_id, name, status from flowforge.steps.';
	elsif step is null and found_items is null then
		raise exception using errcode = 'FF014', message = format('no step of run %s waits for anything that data could stand for', run),
			detail = format('Why it is not running: %s.', @extschema@.ff_explain(run)), hint = 'Sleeps and waits for events, signals and approvals can be resumed.';
	elsif found_items is not null and not flowforge.item_resumable(found_items[1]) then
		raise exception using errcode = 'FF014', message = format('step "%s" waits for nothing that data could stand for', step),
			detail = format('It is of the kind "%s".', found_items[1] ->> 'op'), hint = 'Sleeps and waits for events, signals and approvals can be resumed.';
	end if;
	return found_items[1];
end
$$;
comment on function flowforge.resumed_item(uuid, text) is
'What the state of a run has of the step that is to be resumed, named by its id or name; null names the only one; null when it has finished. '
'Errors: FF014 none or several wait, or not for data; FF060 no such step.';

-- As the function would be handed what it waits for.
create function flowforge.resumed_memo(run uuid, item jsonb, data jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case item ->> 'op'
		when 'wait' then (
			select jsonb_build_object('name', w.event_name, 'data', data, 'ts', flowforge.microseconds(clock_timestamp()) / 1000)
			from flowforge.wait w
			where w.tenant_id = flowforge.current_tenant() and w.run_id = run and w.step_id = item ->> 'id')
		when 'signal' then (
			select jsonb_build_object('data', jsonb_build_object('signal', s.name, 'data', data))
			from flowforge.signal s
			where s.tenant_id = flowforge.current_tenant() and s.run_id = run and s.step_id = item ->> 'id')
		else jsonb_build_object('data', data)
	end
$$;
comment on function flowforge.resumed_memo(uuid, jsonb, jsonb) is 'The memo of a resumed step: an event or a signal with the data, or the data.';

create function flowforge.approve_step(run uuid, step text, data jsonb, person text, is_role boolean) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	request constant uuid := (
		select a.approval_id from flowforge.approval a
		where a.tenant_id = flowforge.current_tenant() and a.run_id = run and a.step_id = step
		order by a.approval_id desc
		limit 1);
begin
	return case when flowforge.decide(request, 'approved', data, 'resumed', person, is_role) = 'approved' then 'resuming' else 'already resuming' end;
end
$$;
comment on function flowforge.approve_step(uuid, text, jsonb, text, boolean) is 'Approves the request of a step. Errors: FF407, FF408, FF409.';

create function flowforge.resume_step(run uuid, step text, data jsonb, person text, is_role boolean) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	ended text;
	item jsonb;
	step_id text;
begin
	if not exists (select from flowforge.run r where r.tenant_id = tenant and r.run_id = run) then
		raise exception using errcode = 'FF010', message = format('run %s does not exist', coalesce(run::text, 'null')),
			hint = 'select * from flowforge.runs lists the runs of this tenant.';
	end if;
	select e.status into ended from flowforge.run_end e where e.tenant_id = tenant and e.run_id = run;
	if found and step is null then
		return 'already ' || ended;
	end if;
	item := flowforge.resumed_item(run, step);
	if item is null then
		return 'already done';
	end if;
	step_id := item ->> 'id';
	if item ->> 'op' = 'approval' then
		return flowforge.approve_step(run, step_id, data, person, is_role);
	end if;
	if exists (
		select from flowforge.inbox m
		where m.slot = flowforge.slot(run) and m.run_id = run and m.kind in ('resume', 'event', 'signal') and m.payload ->> 'step' = step_id) then
		return 'already resuming';
	end if;
	perform flowforge.post(tenant, run, 'resume', jsonb_build_object('step', step_id, 'by', person,
		'memo', flowforge.resumed_memo(run, item, coalesce(data, 'null'))));
	perform flowforge.audit('run.resume', 'run:' || flowforge.ulid(run), null, jsonb_build_object('step', step_id, 'data', data, 'by', person));
	return 'resuming';
end
$$;
comment on function flowforge.resume_step(uuid, text, jsonb, text, boolean) is 'Resumes a step as somebody, who is a database role or not.';

create function @extschema@.ff_resume(run uuid, step text default null, data jsonb default '{}') returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('member');
	select flowforge.resume_step(run, step, data, flowforge.caller(), true)
$$;
comment on function @extschema@.ff_resume(uuid, text, jsonb) is
'Ends the wait of a step of a run now, when the caller''s transaction commits. The step is named by its id or its name; null is the only one that '
'waits. data takes the place of what it waits for: the data of the event or the signal, or that of an approval, which the calling role then '
'gives and must be entitled to; a sleep ends and has it as its result. Gives "resuming", "already resuming" when its end is on its way, "already done", or '
'"already completed|failed|cancelled" of a run that has ended. Errors: FF010 no such run; FF060 no such step; FF014 no step waits, several do '
'and none is named, or the one named does not wait for data; FF407, FF408, FF409 as of ff_approve.';
revoke execute on function @extschema@.ff_resume(uuid, text, jsonb) from public;

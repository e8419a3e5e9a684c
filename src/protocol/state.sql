create function flowforge.check_checkpoint(steps jsonb) returns void
language c stable
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_protocol_check_checkpoint';
comment on function flowforge.check_checkpoint(jsonb) is
'Whether a list of operations is one of finished steps, each small enough. Errors: FF040 with the first that is not, FF042.';

create function flowforge.check_state(run uuid, steps jsonb) returns void
language c volatile strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_protocol_check_state';
comment on function flowforge.check_state(uuid, jsonb) is
'Whether a run may keep the results of reported steps beside those it has: flowforge.state_limit. Error: FF042.';

create function flowforge.check_report(steps jsonb) returns void
language c stable
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_protocol_check_report';
comment on function flowforge.check_report(jsonb) is
'Whether a list of operations, if there is one, can be read, with results that are small enough. Errors: FF040, FF042.';

create function flowforge.run_call_events(run uuid) returns jsonb
language c stable strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_protocol_events';
comment on function flowforge.run_call_events(uuid) is
'The events that started a run, in the form in which functions are handed them: [{data, id, name, ts, user, v?}].';

create function flowforge.run_call_steps(run uuid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce('{' || string_agg(to_json(m.step_id)::text || ':' || coalesce(m.memo::text, 'null'), ',' order by m.position) || '}', '{}')
	from (
		select s.step_id, s.memo, s.position
		from flowforge.step s
		where s.tenant_id = flowforge.current_tenant() and s.run_id = run
		union all
		select e.key, jsonb_build_object('input', e.value), null
		from flowforge.live_run l
		cross join lateral jsonb_each(l.state -> 'edit') e
		where l.slot = flowforge.slot(run) and l.run_id = run and l.tenant_id = flowforge.current_tenant()
	) m
$$;
comment on function flowforge.run_call_steps(uuid) is
'What the finished steps of a run left, as an object in JSON by step id, in the order in which they finished, and the edited input of one to run.';

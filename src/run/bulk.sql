-- Many runs at once: ff_cancel_where, ff_retry_where, ff_replay_where. A filter is an object; every condition in it must hold. Each run is
-- handled as the function for one run would do it, in the caller's transaction.

create function flowforge.check_run_filter(filter jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	types constant jsonb := '{"function": "string", "app": "string", "event": "string", "status": "string", "error": "string", "if": "string",
		"since": "string", "until": "string", "runs": "array", "limit": "number", "dry_run": "boolean", "reason": "string", "from_step": "string"}';
	wrong record;
	problem text;
begin
	if jsonb_typeof(filter) is distinct from 'object' then
		raise exception using errcode = 'FF061', message = 'a filter of runs is an object', hint = 'For example {"function": "shop-order", "limit": 100}.';
	end if;
	select e.key, jsonb_typeof(e.value) as given, types ->> e.key as wanted into wrong
	from jsonb_each(filter) e
	where jsonb_typeof(e.value) is distinct from (types ->> e.key)
	order by e.key
	limit 1;
	if found then
		raise exception using errcode = 'FF061',
			message = case when wrong.wanted is null then format('a filter of runs knows no "%s"', wrong.key)
				else format('"%s" in a filter of runs is of type %s, not %s', wrong.key, wrong.given, wrong.wanted) end,
			hint = 'It may have ' || (select string_agg(t.key, ', ' order by t.key) from jsonb_each(types) t) || '.', column = wrong.key;
	end if;
	if (filter ->> 'limit')::numeric % 1 <> 0 or (filter ->> 'limit')::numeric not between 1 and 10000 then
		raise exception using errcode = 'FF061', message = format('"limit" in a filter of runs is %s', filter ->> 'limit'),
			hint = 'Use a whole number from 1 to 10000.', column = 'limit';
	end if;
	problem := flowforge.check_expression(filter ->> 'if');
	if problem is not null then
		raise exception using errcode = 'FF061', message = format('"if" in a filter of runs cannot be read: %s', problem),
			hint = 'Write it like event.data.total > 100.', column = 'if';
	end if;
	if not filter ?| '{function,app,event,status,error,if,since,until,runs}' then
		raise exception using errcode = 'FF061', message = 'a filter of runs needs a condition', hint = 'For all runs, say {"since": "1970-01-01T00:00:00Z"}.';
	end if;
end
$$;
comment on function flowforge.check_run_filter(jsonb) is 'Raises FF061 for what is not a filter of runs.';

create function flowforge.run_filter_time(filter jsonb, name text) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	perform flowforge.id_floor((filter ->> name)::timestamptz);
	return (filter ->> name)::timestamptz;
exception when data_exception then
	raise exception using errcode = 'FF061', message = format('"%s" in a filter of runs is not a time that a run may have', name), detail = format('It is "%s".', filter ->> name),
		hint = 'Write it like 2026-01-31T12:00:00Z, or leave it out for all times.', column = name;
end
$$;
comment on function flowforge.run_filter_time(jsonb, text) is 'A time in a filter of runs. Error: FF061.';

create function flowforge.run_filter_ids(filter jsonb) returns uuid[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return case when filter ? 'runs' then array(select flowforge.id(r.value) from jsonb_array_elements_text(filter -> 'runs') r) end;
exception when data_exception then
	raise exception using errcode = 'FF061', message = '"runs" in a filter of runs has something that is not an id',
		hint = 'An id is a UUID or a ULID of 26 characters.', column = 'runs';
end
$$;
comment on function flowforge.run_filter_ids(jsonb) is 'The ids in a filter of runs; null when it names none. Error: FF061.';

-- Live runs are few among many, and how runs ended is kept apart: the one or the other leads.
create function flowforge.filtered_runs(filter jsonb, live boolean) returns setof uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	low constant uuid := coalesce(flowforge.id_floor(flowforge.run_filter_time(filter, 'since')), '00000000-0000-0000-0000-000000000000');
	high constant uuid := coalesce(flowforge.id_floor(flowforge.run_filter_time(filter, 'until')), 'ffffffff-ffff-ffff-ffff-ffffffffffff');
	ids constant uuid[] := flowforge.run_filter_ids(filter);
begin
	return query
	with candidate as (
		select l.tenant_id, l.run_id from flowforge.live_run l
		where live and l.tenant_id = tenant and l.run_id >= low and l.run_id < high and (ids is null or l.run_id = any (ids))
		union all
		select e.tenant_id, e.run_id from flowforge.run_end e
		where not live and e.tenant_id = tenant and e.run_id >= low and e.run_id < high and (ids is null or e.run_id = any (ids))
	)
	select r.run_id
	from candidate c
	join flowforge.runs r on r.tenant_id = c.tenant_id and r.run_id = c.run_id
	left join flowforge.functions f on f.tenant_id = r.tenant_id and f.function = r.function
	left join flowforge.events e on filter ? 'if' and e.tenant_id = r.tenant_id and e.event_id = r.event_id
	where (not filter ? 'function' or r.function = filter ->> 'function')
		and (not filter ? 'app' or f.app = filter ->> 'app')
		and (not filter ? 'event' or r.event_name = filter ->> 'event')
		and (not filter ? 'status' or r.status = filter ->> 'status')
		and (not filter ? 'error' or r.error ->> 'name' = filter ->> 'error')
		and (not filter ? 'if' or @extschema@.ff_eval(filter ->> 'if', jsonb_build_object('event', jsonb_build_object('id', coalesce(e.external_id, e.ulid),
			'name', e.name, 'data', e.data, 'user', coalesce(e.user_data, '{}'), 'ts', floor(extract(epoch from e.ts) * 1000))), 'filter') = 'true')
	order by r.run_id
	limit coalesce((filter ->> 'limit')::integer, 1000);
end
$$;
comment on function flowforge.filtered_runs(jsonb, boolean) is 'The live, or the ended, runs that meet a filter, the oldest first.';

create function @extschema@.ff_cancel_where(filter jsonb) returns table (run_id uuid, result text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	perform flowforge.require_role('member');
	perform flowforge.check_run_filter(filter);
	return query
	select r.run_id, case when filter @> '{"dry_run": true}' then 'would be cancelled' else @extschema@.ff_cancel(r.run_id, filter ->> 'reason') end
	from flowforge.filtered_runs(filter, true) as r (run_id);
end
$$;
comment on function @extschema@.ff_cancel_where(jsonb) is
'Cancels the live runs that meet a filter, an object of: function and app (ids), event (a name), status (pending or running), since and '
'until (when they were made), runs (a list of ids), if (an expression over event), limit (1,000 unless said, at most 10,000; the oldest '
'first), reason, and dry_run: true, which only says what would be done. Gives each run and what ff_cancel said. Error: FF061.';

create function @extschema@.ff_retry_where(filter jsonb) returns table (run_id uuid, result text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	perform flowforge.require_role('member');
	perform flowforge.check_run_filter(filter);
	if coalesce(filter ->> 'status', 'failed') not in ('failed', 'cancelled') then
		raise exception using errcode = 'FF061', message = format('runs that are %s cannot be retried', filter ->> 'status'), column = 'status',
			hint = 'Use status failed, which is what is meant when it is left out, or cancelled.';
	end if;
	return query
	select r.run_id, case when filter @> '{"dry_run": true}' then 'would be retried' else @extschema@.ff_retry(r.run_id) end
	from flowforge.filtered_runs('{"status": "failed"}' || filter, false) as r (run_id);
end
$$;
comment on function @extschema@.ff_retry_where(jsonb) is
'Retries, as ff_retry does, the failed runs that meet a filter as ff_cancel_where takes it; status may be cancelled instead, and error '
'is the name of what they failed with. Gives each run and what ff_retry said. Errors: FF061; FF062 one of their events is no longer kept.';

create function @extschema@.ff_replay_where(filter jsonb) returns table (run_id uuid, result text, new_run_id uuid)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	perform flowforge.require_role('member');
	perform flowforge.check_run_filter(filter);
	return query
	select r.run_id, case when n.run_id is null then 'would be replayed' else 'replayed' end, n.run_id
	from flowforge.filtered_runs(filter, false) as r (run_id)
	cross join lateral (
		select case when not filter @> '{"dry_run": true}' then @extschema@.ff_replay(r.run_id, filter ->> 'from_step') end as run_id) n;
end
$$;
comment on function @extschema@.ff_replay_where(jsonb) is
'Runs again, as ff_replay does, the ended runs that meet a filter as ff_cancel_where takes it; status is completed, failed or cancelled, '
'error the name of what they failed with, and from_step the step all of them begin with. Gives each run and the new one. '
'Errors: FF061, FF060 one of them has no such step, FF062.';

-- What limits a run that waits for room, said from the rows of flowforge.claim.

-- The limits of concurrency in a version's configuration; place as among a claim's keys.
create function flowforge.concurrency_limits(config jsonb) returns table (place integer, "limit" integer, key text, scope text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	with said as (
		select case when config ? 'graph' then config #> '{settings,concurrency}' else config -> 'concurrency' end as value
	), list as (
		select case jsonb_typeof(s.value)
				when 'array' then s.value
				when 'object' then jsonb_build_array(s.value)
				when 'number' then jsonb_build_array(jsonb_build_object('limit', s.value))
				else '[]'
			end as value
		from said s
	)
	select 1 + row_number() over (order by e.number)::integer, (e.value ->> 'limit')::integer, e.value ->> 'key', coalesce(e.value ->> 'scope', 'fn')
	from list l
	cross join jsonb_array_elements(l.value) with ordinality as e (value, number)
	where (e.value ->> 'limit')::integer > 0
$$;
comment on function flowforge.concurrency_limits(jsonb) is
'The limits of concurrency of a version: the place of its key in flowforge.claim.keys, how many steps may run at once, the key''s expression, the scope.';

-- Each key of a claim, and how much of it is taken by whom.
create function flowforge.claim_room(claim flowforge.claim)
returns table (place integer, "limit" integer, sentence text, taken bigint, runs uuid[], free_at timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with version as (
		select v.config, f.slug
		from flowforge.function f
		join flowforge.function_version v on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = f.version
		where f.tenant_id = claim.tenant_id and f.function_id = claim.function_id
	)
	select l.place, l."limit", format('the limit of %s step%s at a time of %s%s', l."limit", case when l."limit" = 1 then '' else 's' end,
		case l.scope when 'fn' then format('the function "%s"', v.slug) else 'its key' end, ' for its value of ' || l.key), u.taken, u.runs, null::timestamptz
	from version v
	cross join lateral flowforge.concurrency_limits(v.config) l
	cross join lateral (
		select coalesce(sum(c.granted - c.released), 0) as taken, array_agg(c.run_id order by c.since) as runs
		from generate_series(0, 63) s (slot)
		join flowforge.claim c on c.slot = s.slot and c.granted > c.released and claim.keys[l.place] = any (c.keys)
	) u
	where claim.keys[l.place] <> 0
	union all
	select 4, t.max_running, format('the limit of %s steps at a time of the tenant', t.max_running), u.taken, u.runs, null
	from flowforge.tenant t
	cross join lateral (
		select coalesce(sum(c.granted - c.released), 0) as taken, array_agg(c.run_id order by c.since) as runs
		from generate_series(0, 63) s (slot)
		join flowforge.claim c on c.slot = s.slot and c.granted > c.released and claim.keys[4] = any (c.keys)
	) u
	where t.tenant_id = claim.tenant_id and claim.keys[4] <> 0 and t.max_running > 0
	union all
	select 1, null, format('the throttle of the function "%s"', v.slug), null, null, t.next_at
	from version v
	join flowforge.throttle t on t.key = claim.keys[1]
	where claim.granted = 0 and claim.keys[1] <> 0 and t.next_at > now()
$$;
comment on function flowforge.claim_room(flowforge.claim) is
'What limits a run: of each of its keys the limit, in words too, how many steps of which runs have it, and of a throttle until when its starts are spaced.';

create function flowforge.room_causes(run flowforge.live_run) returns table (cause text, step_id text, since timestamptz, until timestamptz, sentence text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	claim flowforge.claim;
	before bigint;
begin
	select c.* into claim from flowforge.claim c where c.slot = run.slot and c.run_id = run.run_id and c.asked > c.granted;
	if not found then
		return;
	end if;
	select count(*) into before
	from (
		select from flowforge.claim c
		where c.queue = claim.queue and c.asked > c.granted and (c.rank, c.run_id) < (claim.rank, claim.run_id)
		limit 10000
	) b;
	return query
	select 'waiting for room', null::text, claim.since, r.free_at,
		case when r.place = 1 then format('%s spaces its starts, the next one is due by %s', r.sentence, flowforge.say_time(r.free_at))
			else format('%s is reached: %s of %s taken by %s%s', r.sentence, r.taken, r."limit",
				(select string_agg('run ' || flowforge.ulid(h.id), ', ') from unnest(r.runs[:5]) h (id)),
				case when cardinality(r.runs) > 5 then format(' and %s more', cardinality(r.runs) - 5) else '' end)
		end || case when before = 0 then '; it is the first that waits' else format('; %s%s wait before it', case when before = 10000 then 'at least ' else '' end, before) end
	from flowforge.claim_room(claim) r
	where r.place = 1 or r.taken >= r."limit";
	if not found then
		return query select 'waiting for room', null::text, claim.since, null::timestamptz,
			format('it waits for its turn among the runs that share its limits; %s wait before it', before);
	end if;
end
$$;
comment on function flowforge.room_causes(flowforge.live_run) is 'Why steps of a run wait for room: the limits that are reached, and who has reached them.';

-- ff_explain: why a run is not running, in a sentence. flowforge.run_causes gives the causes one by one: what each thing the run has to do
-- waits for, and what keeps all of them from being done.

create function flowforge.say_time(at timestamptz) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case when at = 'infinity' then 'for ever' else to_char(at, 'YYYY-MM-DD HH24:MI:SS TZ') end
$$;
comment on function flowforge.say_time(timestamptz) is 'A time in a sentence.';

create function flowforge.say_error(error jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select left(concat_ws(': ', error ->> 'name', error ->> 'message'), 300)
$$;
comment on function flowforge.say_error(jsonb) is 'An error in a sentence.';

-- Null when the executor that owns the slot works.
create function flowforge.why_no_executor(slot integer) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select case
		when count(*) = 0 then format('no executor works in the database %s: add it to flowforge.databases and flowforge to shared_preload_libraries, '
			'and restart the server', quote_ident(current_database()))
		when max(e.state) filter (where e.executor = slot % n.executors) <> 'working' then
			format('its executor, %s, does not work: %s', slot % max(n.executors), max(e.state) filter (where e.executor = slot % n.executors))
	end
	from flowforge.executors() e
	cross join (select count(*)::integer as executors from flowforge.executors()) n
$$;
comment on function flowforge.why_no_executor(integer) is 'Why nobody works on the runs of a slot; null when somebody does.';

create function flowforge.pause_cause(tenant integer, function_id integer, out cause text, out since timestamptz, out sentence text) returns setof record
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case when p.function_id is not null then 'function paused' when p.app_id is not null then 'app paused' else 'all paused' end, p.paused_at,
		format('%s has been paused since %s%s', case
				when p.function_id is not null then format('the function "%s"', f.slug)
				when p.app_id is not null then format('the app "%s"', a.name)
				else 'everything'
			end, flowforge.say_time(p.paused_at), ': ' || p.reason)
	from flowforge.function f
	left join flowforge.app a on a.tenant_id = f.tenant_id and a.app_id = f.app_id
	join flowforge.pause p on p.tenant_id = f.tenant_id
		and (p.function_id = f.function_id or p.app_id = f.app_id or p.function_id is null and p.app_id is null)
	where f.tenant_id = tenant and f.function_id = pause_cause.function_id
$$;
comment on function flowforge.pause_cause(integer, integer) is 'Why nothing of a function is called, if it, its app or everything is paused.';

-- A call that asked what comes next may have run a step that failed; the log knows its name.
create function flowforge.retried_step(run flowforge.live_run, item jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select format('step "%s"', l.name)
	from (
		select e.type, e.name from flowforge.run_event e
		where e.tenant_id = run.tenant_id and e.run_id = run.run_id and e.type like '%.retrying' and item ->> 'id' = ''
		order by e.seq desc
		limit 1
	) l
	where l.type = 'step.retrying'
$$;
comment on function flowforge.retried_step(flowforge.live_run, jsonb) is 'The step that a call for what comes next ran and that failed; null when it is none.';

-- Where a run stands among its tenant's, up to 1,000 of them in each slot: those before it by rank, and by age those that have none. And its
-- tenant's part of what all tenants that have work weigh.
create function flowforge.place_in_queue(run flowforge.live_run, out before bigint, out exact boolean, out share numeric) returns record
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with own as (
		select h.rank, coalesce(h.rank, flowforge.id_time(h.run_id)) as at
		from flowforge.run_hot h
		where h.slot = run.slot and h.tenant_id = run.tenant_id and h.run_id = run.run_id
	),
	ahead as (
		select a.n, a.seen
		from own
		cross join generate_series(0, 63) as s (slot)
		cross join lateral (
			select count(*) filter (where q.rank is null) as n, count(*) as seen
			from (
				select h.rank from flowforge.run_hot h
				where h.slot = s.slot and h.tenant_id = run.tenant_id
					and h.run_id < case when own.rank is null then run.run_id else flowforge.id_floor(own.at) end
				limit 1000) q
			union all
			select count(*), count(*)
			from (
				select from flowforge.run_hot h
				where h.slot = s.slot and h.tenant_id = run.tenant_id and h.rank is not null and (h.rank, h.run_id) < (own.at, run.run_id)
				limit 1000) q
		) a
	)
	select sum(a.n)::bigint, coalesce(max(a.seen) < 1000, true),
		(select coalesce((select w.weight from flowforge.tenant w where w.tenant_id = run.tenant_id), 1)::numeric
				/ nullif(sum(coalesce(w.weight, 1)), 0)
			from (select distinct t.tenant_id from flowforge.hot_tenants() t) t
			left join flowforge.tenant w on w.tenant_id = t.tenant_id)
	from ahead a
$$;
comment on function flowforge.place_in_queue(flowforge.live_run) is
'How many runnable runs of its tenant come before one (at least so many when not exact), and the tenant''s share of the executors (0 to 1).';

-- Something to call: being called, out of reach, backing off, or waiting for its turn.
create function flowforge.call_cause(
	run flowforge.live_run, item jsonb, what text, out cause text, out since timestamptz, out until timestamptz, out sentence text
) returns record
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	app record;
	op constant text := item ->> 'op';
	due constant timestamptz := to_timestamp((item ->> 'due')::numeric / 1000000);
	attempts integer;
	busy bigint;
	place record;
begin
	select coalesce(a.name, f.slug) as name, f.url, f.app_id, v.retries into app
	from flowforge.function f
	left join flowforge.app a on a.tenant_id = f.tenant_id and a.app_id = f.app_id
	left join flowforge.function_version v on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = run.version
	where f.tenant_id = run.tenant_id and f.function_id = run.function_id;
	attempts := coalesce((item ->> 'm')::integer, 1 + coalesce((item #>> '{t,retries,attempts}')::integer,
		case jsonb_typeof(item #> '{t,retries}') when 'number' then (item #>> '{t,retries}')::integer end, app.retries));
	select c.started_at into since from flowforge.calls() c where c.run_id = run.run_id and c.step_id = item ->> 'id';
	if found then
		cause := 'being called';
		sentence := format('%s has been working on %s since %s (attempt %s of %s)', case op when 'run' then format('the app "%s"', app.name) else 'the server' end, what, flowforge.say_time(since),
			(item ->> 'a')::integer + 1, attempts);
	elsif item ? 'u' then
		cause := 'app unreachable';
		since := to_timestamp((item ->> 'us')::numeric / 1000000);
		until := due;
		sentence := format('the app "%s" at %s cannot be reached since %s (%s); it is tried again at %s and given up at %s', app.name,
			regexp_replace(app.url, '[?].*', ''), flowforge.say_time(since), flowforge.say_error(item -> 'e'), flowforge.say_time(due),
			flowforge.say_time(since + make_interval(secs => extract(epoch from current_setting('flowforge.unreachable_limit')::interval))));
	elsif due > clock_timestamp() then
		cause := 'backing off';
		until := due;
		sentence := format('%s failed at attempt %s of %s (%s) and is tried again at %s', coalesce(flowforge.retried_step(run, item), what), item ->> 'a',
			attempts, flowforge.say_error(item -> 'e'), flowforge.say_time(due));
	elsif op in ('sql', 'model', 'send_event', 'unlock') then
		cause := 'being done';
		since := to_timestamp((item ->> 'at')::numeric / 1000000);
		sentence := format('%s is being done by the server%s', what, case op when 'sql' then ', or waits for a sql worker' else '' end);
	else
		cause := 'queued';
		select count(*) into busy
		from flowforge.calls() c
		join flowforge.run r on r.tenant_id = c.tenant_id and r.run_id = c.run_id
		join flowforge.function f on f.tenant_id = r.tenant_id and f.function_id = r.function_id
		where f.tenant_id = run.tenant_id and f.app_id = app.app_id;
		select * into place from flowforge.place_in_queue(run);
		sentence := format('%s waits for its turn: %s%s', what, case when app.app_id is null then 'it is run by the server' else
			format('the app "%s" has %s calls under way, %s at most for each executor', app.name, busy, current_setting('flowforge.max_in_flight_per_app')) end,
			format(', %s%s runs of its tenant come before it, and the tenant''s share of the executors is %s %%', case when not place.exact then 'at least ' end,
				place.before, round(100 * place.share, 1)));
	end if;
end
$$;
comment on function flowforge.call_cause(flowforge.live_run, jsonb, text) is 'Why something that calls for a call is not done.';

create function flowforge.child_sentence(tenant integer, parent uuid, step text, what text) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select format('%s waits for run %s of "%s", which %s', what, c.ulid, c.function,
		case when c.status in ('pending', 'running') then 'is ' || c.status else format('has %s and is about to be heard of', c.status) end)
	from flowforge.run r
	join flowforge.runs c on c.tenant_id = r.tenant_id and c.run_id = r.run_id
	where r.tenant_id = tenant and r.parent_run_id = parent and r.parent_step_id = step
	order by r.run_id desc
	limit 1
$$;
comment on function flowforge.child_sentence(integer, uuid, text, text) is 'What a step that invoked a function waits for.';

create function flowforge.item_cause(
	run flowforge.live_run, item jsonb, out cause text, out step_id text, out since timestamptz, out until timestamptz, out sentence text
) returns record
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	what constant text := case item ->> 'id' when '' then 'the function' else format('step "%s"', coalesce(item ->> 'n', item ->> 'id')) end;
	op constant text := item ->> 'op';
	latest text;
begin
	step_id := nullif(item ->> 'id', '');
	since := to_timestamp((item ->> 'at')::numeric / 1000000);
	until := to_timestamp((item ->> 'due')::numeric / 1000000);
	latest := coalesce(' until ' || flowforge.say_time(until) || ' at the latest', '');
	case op
		when 'sleep' then
			cause := case when item ? 'e' then 'backing off' else 'sleeping' end;
			sentence := case when item ? 'e' then format('%s failed at attempt %s of %s (%s) and is tried again at %s', what, item ->> 'a', item ->> 'm',
				flowforge.say_error(item -> 'e'), flowforge.say_time(until)) else format('%s sleeps until %s', what, flowforge.say_time(until)) end;
		when 'wait' then
			cause := 'waiting for an event';
			select format('%s waits for the event "%s"%s%s', what, w.event_name, ' that meets ' || w.expression, latest) into sentence
			from flowforge.wait w
			where w.tenant_id = run.tenant_id and w.run_id = run.run_id and w.step_id = item ->> 'id';
		when 'invoke' then
			cause := 'waiting for a run';
			sentence := flowforge.child_sentence(run.tenant_id, run.run_id, item ->> 'id', what) || latest;
		when 'signal' then
			cause := 'waiting for a signal';
			select format('%s waits for the signal "%s"%s', what, s.name, latest) into sentence
			from flowforge.signal s
			where s.tenant_id = run.tenant_id and s.run_id = run.run_id and s.step_id = item ->> 'id';
		when 'approval' then
			cause := 'waiting for an approval';
			select format('%s waits for an approval%s%s: "%s"', what, ' of ' || (select string_agg(p, ', ') from jsonb_array_elements_text(a.approvers) p),
				latest, left(a.prompt, 200)) into sentence
			from flowforge.approval a
			where a.tenant_id = run.tenant_id and a.run_id = run.run_id and a.step_id = item ->> 'id' and a.status = 'pending';
		when 'lock' then
			cause := 'waiting for a lock';
			select format('%s waits for the lock "%s"%s%s', what, w.key, (
				select ', which run ' || flowforge.ulid(h.run_id) || ' has held since ' || flowforge.say_time(h.granted_at)
				from flowforge.lock h where h.tenant_id = w.tenant_id and h.key = w.key and h.granted_at is not null), latest) into sentence
			from flowforge.lock w
			where w.tenant_id = run.tenant_id and w.run_id = run.run_id and w.step_id = item ->> 'id';
		else
			select c.cause, c.since, c.until, c.sentence into cause, since, until, sentence from flowforge.call_cause(run, item, what) c;
	end case;
end
$$;
comment on function flowforge.item_cause(flowforge.live_run, jsonb) is 'Why one thing that a run has to do is not done.';

-- Nodes of a graph that are ready while as many are worked on as its settings allow. A node that nothing leads to any more has a row, too.
create function flowforge.turn_causes(run flowforge.live_run) returns table (step_id text, sentence text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with version as (
		select v.config -> 'graph' as graph, coalesce((v.config #>> '{settings,max_concurrency}')::integer, 10) as most
		from flowforge.function_version v
		where v.tenant_id = run.tenant_id and v.function_id = run.function_id and v.version = run.version and v.config ? 'graph'
	), item as (
		select regexp_replace(i.value ->> 'id', '\[\d+\]$', '') as node, i.value ->> 'op' not in ('sleep', 'wait', 'invoke', 'signal', 'approval', 'lock', 'loop')
			and coalesce(to_timestamp((i.value ->> 'due')::numeric / 1000000) <= clock_timestamp(), true) as works
		from jsonb_array_elements(run.state -> 'items') i
		where i.value ->> 'id' <> ''
	), busy as (
		select count(distinct i.node) as nodes from item i where i.works
	), done as (
		select s.step_id as node from flowforge.step s where s.tenant_id = run.tenant_id and s.run_id = run.run_id
	)
	select n.value ->> 'id', format('step "%s" waits for its turn: %s nodes are worked on, and settings.max_concurrency is %s',
		coalesce(n.value #>> '{data,label}', n.value ->> 'id'), busy.nodes, version.most)
	from version
	join busy on busy.nodes >= version.most
	cross join lateral jsonb_array_elements(version.graph -> 'nodes') with ordinality n
	where n.value ->> 'id' not in (select d.node from done d union all select i.node from item i) and not exists (
		select from jsonb_array_elements(version.graph -> 'edges') e
		where e.value ->> 'target' = n.value ->> 'id' and e.value ->> 'source' not in (select d.node from done d))
	order by n.ordinality
$$;
comment on function flowforge.turn_causes(flowforge.live_run) is 'The nodes of a run''s graph that wait only for others of it to end (settings.max_concurrency).';

create function flowforge.run_causes(run uuid) returns table (cause text, step_id text, since timestamptz, until timestamptz, sentence text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	row flowforge.runs;
	live flowforge.live_run;
begin
	select r.* into row from flowforge.runs r where r.tenant_id = flowforge.current_tenant() and r.run_id = run;
	if not found then
		raise exception using errcode = 'FF010', message = format('run %s does not exist', coalesce(run::text, 'null')),
			hint = 'select * from flowforge.runs lists the runs of this tenant.';
	end if;
	if row.ended_at is not null then
		return query select row.status, null::text, row.ended_at, null::timestamptz,
			format('it %s at %s%s', case row.status when 'cancelled' then 'was cancelled' else row.status end, flowforge.say_time(row.ended_at),
				' (' || nullif(flowforge.say_error(row.error), '') || ')');
		return;
	end if;
	select l.* into live from flowforge.live_run l where l.slot = flowforge.slot(run) and l.tenant_id = row.tenant_id and l.run_id = run;
	return query
	select 'no executor', null::text, null::timestamptz, null::timestamptz, n.why
	from flowforge.why_no_executor(live.slot) as n (why)
	where n.why is not null
	union all
	select p.cause, null, p.since, null, p.sentence
	from flowforge.pause_cause(live.tenant_id, live.function_id) p
	union all
	select r.cause, r.step_id, r.since, r.until, r.sentence
	from flowforge.room_causes(live) r
	union all
	select c.*
	from jsonb_array_elements(coalesce(live.state -> 'items', '[{"id": "", "op": "run", "a": 0}]')) i
	cross join lateral flowforge.item_cause(live, i.value) c
	where i.value ->> 'op' <> 'loop' -- its items say what it waits for
		and not (c.cause = 'queued' and exists (
			select from flowforge.claim w where w.slot = live.slot and w.run_id = live.run_id and w.asked > w.granted))
	union all
	select 'waiting for its turn', t.step_id, null, null, t.sentence
	from flowforge.turn_causes(live) t
	union all
	select 'deadline', null, null, to_timestamp((live.state ->> 'end')::numeric / 1000000),
		format('it is cancelled at %s if it is not done by then (timeouts)', flowforge.say_time(to_timestamp((live.state ->> 'end')::numeric / 1000000)))
	where live.state ? 'end';
end
$$;
comment on function flowforge.run_causes(uuid) is
'Why a run is not running, cause by cause: a word (no executor, function paused, app paused, all paused, being called, app unreachable, backing off, '
'queued, waiting for room, being done, sleeping, waiting for an event | a run | a signal | an approval | a lock | its turn, deadline; or how it ended), the step, since when, until when, and '
'a sentence. Error: FF010 no such run.';

create function flowforge.say_causes(sentences text[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select array_to_string(sentences[:5], '; ') || case when cardinality(sentences) > 5 then format('; and %s more', cardinality(sentences) - 5) else '' end
$$;
comment on function flowforge.say_causes(text[]) is 'The sentences of causes as one.';

create function @extschema@.ff_explain(run uuid) returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('viewer');
	select flowforge.say_causes(array(select c.sentence from flowforge.run_causes(run) c))
$$;
comment on function @extschema@.ff_explain(uuid) is
'Says in a sentence why a run is not running: what it waits for and until when, which error it backs off after, what is paused, which app '
'cannot be reached, that nobody works on it, or how it ended. Error: FF010 no such run.';

-- Runs live: Server-Sent Events. A stream begins with a snapshot of the run, whose id is the seq of the last run event it reflects, or,
-- for a client that has been here before, with the run events after the one it saw last. What follows is read by the gateway with
-- flowforge.stream_read, for all its clients in one call, from a cursor for each run. Every message carries its seq as id.

create function flowforge.sse(type text, id integer, data jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select format(E'event: %s\nid: %s\ndata: %s\n\n', type, id, data)
$$;
comment on function flowforge.sse(text, integer, jsonb) is 'One message of an event stream, as the HTML standard has it.';

-- A row of run_event_batch may begin before `since` and reach past it.
create function flowforge.run_messages(run uuid, since integer) returns table (seq integer, message jsonb)
language plpgsql stable rows 10
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
begin
	return query
	with named as (
		select 1 as seq, 'run.created' as type, r.created_at as at, null as step_id, null as name, null::integer as attempt, null::jsonb as data
		from flowforge.run r
		where r.tenant_id = tenant and r.run_id = run and since < 1
		union all
		select (b.seq + e.ordinality - 1)::integer, e.value ->> 't', to_timestamp((e.value ->> 'at')::numeric / 1000000),
			e.value ->> 's', e.value ->> 'n', (e.value ->> 'a')::integer, e.value -> 'd'
		from flowforge.run_event_batch b
		cross join lateral jsonb_array_elements(b.events) with ordinality e
		where b.tenant_id = tenant and b.run_id = run and b.seq + e.ordinality - 1 > since and b.seq >= coalesce((
			select max(s.seq) from flowforge.run_event_batch s where s.tenant_id = tenant and s.run_id = run and s.seq <= since + 1), 0)
	)
	select n.seq, jsonb_build_object('run_id', run, 'seq', n.seq, 'type', n.type, 'at', n.at, 'step_id', n.step_id, 'name', n.name,
		'attempt', n.attempt, 'data', case n.type
			when 'run.completed' then coalesce(n.data, '{}') || (
				select jsonb_build_object('output', e.output) from flowforge.run_end e where e.tenant_id = tenant and e.run_id = run)
			when 'run.failed' then coalesce(n.data, '{}') || (
				select jsonb_build_object('error', e.error) from flowforge.run_end e where e.tenant_id = tenant and e.run_id = run)
			else n.data
		end)
	from named n;
end
$$;
comment on function flowforge.run_messages(uuid, integer) is
'The events of a run after a seq, as the API shows them. The last one of a run holds its output or error.';

create function flowforge.stream_read(runs uuid[], cursors integer[])
returns table (run_id uuid, last_seq integer, sse text, final boolean)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
begin
	return query
	select w.run_id, coalesce(n.last_seq, w.cursor), coalesce(n.sse, ''), r.run_id is null or e.run_id is not null
	from unnest(runs, cursors) as w (run_id, cursor)
	left join flowforge.run r on r.tenant_id = flowforge.current_tenant() and r.run_id = w.run_id
	left join flowforge.run_end e on e.tenant_id = flowforge.current_tenant() and e.run_id = w.run_id
	left join lateral (
		select max(m.seq) as last_seq, string_agg(flowforge.sse(m.message ->> 'type', m.seq, m.message), '' order by m.seq) as sse
		from flowforge.run_messages(w.run_id, w.cursor) m
	) n on true
	where n.sse is not null or r.run_id is null or e.run_id is not null;
end
$$;
comment on function flowforge.stream_read(uuid[], integer[]) is
'For each run with run events after its cursor: these as event-stream text, the new cursor, and whether the run has ended, so that '
'nothing will follow. A run that has ended is always told, one that is unknown as ended.';

create function flowforge.run_last_seq(run uuid) returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce((
		select b.seq + jsonb_array_length(b.events) - 1
		from flowforge.run_event_batch b
		where b.tenant_id = flowforge.current_tenant() and b.run_id = run
		order by b.seq desc
		limit 1), 1)
$$;
comment on function flowforge.run_last_seq(uuid) is 'The seq of the last event of a run.';

-- One statement, so that the snapshot and the seq it is numbered with belong together.
create function flowforge.stream_snapshot(run uuid, out last_seq integer, out sse text, out final boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select n.last_seq, flowforge.sse('snapshot', n.last_seq, jsonb_build_object('seq', n.last_seq, 'run', flowforge.run_detail(r),
		'steps', flowforge.run_steps(r.run_id))), r.ended_at is not null
	from flowforge.runs r
	cross join lateral (select flowforge.run_last_seq(r.run_id) as last_seq) n
	where r.tenant_id = flowforge.current_tenant() and r.run_id = run
$$;
comment on function flowforge.stream_snapshot(uuid) is 'A run and its steps as the first message of a stream.';

create function flowforge.api_run_stream(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
	seen constant jsonb := jsonb_build_object('since', coalesce(request.headers ->> 'last-event-id', request.query ->> 'since'));
	since constant integer := flowforge.integer_of(seen, 'since', null, 0, 999999999);
	head record;
begin
	if since is null then
		select s.* into head from flowforge.stream_snapshot(run) s;
	else
		select s.last_seq, s.sse, s.final into head from flowforge.stream_read(array[run], array[since]) s;
	end if;
	return (200,
		E'content-type: text/event-stream\ncache-control: no-store\nx-accel-buffering: no\n'
		|| format(E'x-flowforge-stream: %s %s%s\n', run, coalesce(head.last_seq, since), case when head.final then ' end' else '' end),
		E'retry: 1000\n\n' || coalesce(head.sse, ''))::flowforge.response;
end
$$;
comment on function flowforge.api_run_stream(flowforge.request) is
'GET /api/v1/runs/{id}/stream. The header x-flowforge-stream tells the gateway which run to follow, and from where.';

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/runs/{id}/stream', 'flowforge.api_run_stream', 'runs:read', 'runs',
'Follow a run live: a snapshot, then its events, until it has ended',
'{"type": "object", "properties": {
	"since": {"type": "integer", "minimum": 0,
		"description": "Begin with the events after this seq instead of a snapshot; the header Last-Event-ID does the same."}}}',
'{"type": "string", "contentMediaType": "text/event-stream",
	"description": "Messages: snapshot {seq, run, steps}, then a RunEvent each, named by its type; id is the seq."}');

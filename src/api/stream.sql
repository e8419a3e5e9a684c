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

-- A run's log as messages. `batch` is the seq of the stored row that holds the message: a row may begin before a cursor and reach past
-- it, so a reader starts at the last row that begins at or before the message after its cursor.
create view flowforge.run_message with (security_invoker = true) as
select r.tenant_id, r.run_id, 1 as batch, 1 as seq, 'run.created'::text as type,
	jsonb_build_object('run_id', r.run_id, 'seq', 1, 'type', 'run.created', 'at', r.created_at, 'step_id', null, 'name', null,
		'attempt', null, 'data', null, 'payload', null) as message
from flowforge.run r
union all
select b.tenant_id, b.run_id, b.seq, (b.seq + e.ordinality - 1)::integer, e.value ->> 't',
	jsonb_build_object('run_id', b.run_id, 'seq', b.seq + e.ordinality - 1, 'type', e.value ->> 't',
		'at', to_timestamp((e.value ->> 'at')::numeric / 1000000), 'step_id', e.value ->> 's', 'name', e.value ->> 'n',
		'attempt', (e.value ->> 'a')::integer, 'data', d.data, 'payload', d.data)
from flowforge.run_event_batch b
cross join lateral jsonb_array_elements(b.events) with ordinality e
cross join lateral (
	select case e.value ->> 't'
		when 'run.completed' then coalesce(e.value -> 'd', '{}') || (
			select jsonb_build_object('output', d.output) from flowforge.run_end d where d.tenant_id = b.tenant_id and d.run_id = b.run_id)
		when 'run.failed' then coalesce(e.value -> 'd', '{}') || (
			select jsonb_build_object('error', d.error) from flowforge.run_end d where d.tenant_id = b.tenant_id and d.run_id = b.run_id)
		else e.value -> 'd'
	end as data
) d;
comment on view flowforge.run_message is
'The log of every run as the API shows it; the last event of a run holds its output or error. flowforge.run_event is the same in columns.';

create function flowforge.run_messages(run uuid, since integer, size integer) returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
begin
	return query
	select m.message
	from flowforge.run_message m
	where m.tenant_id = tenant and m.run_id = run and m.seq > since and m.batch >= coalesce((
		select max(b.seq) from flowforge.run_event_batch b where b.tenant_id = tenant and b.run_id = run and b.seq <= since + 1), 0)
	order by m.seq
	limit size;
end
$$;
comment on function flowforge.run_messages(uuid, integer, integer) is 'The first events of a run after a seq, as the API shows them.';

-- What is only for watching, a model's answer as it comes, is written nowhere. Executors notify it on a channel whose name only the gateway
-- can listen to, and only of runs that somebody follows.
create function flowforge.stream_follow(runs uuid[]) returns void
language c volatile strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_stream_follow';
comment on function flowforge.stream_follow(uuid[]) is 'Tells executors that somebody follows these runs live, for the next 40 seconds.';
revoke execute on function flowforge.stream_follow(uuid[]) from public;

create function flowforge.stream_listen() returns void
language c volatile strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_stream_listen';
comment on function flowforge.stream_listen() is
'Has this session hear what is only for watching: notifications "run-id json", each the data of a message step.delta {type, run_id, step_id, '
'attempt, offset, text}.';
revoke execute on function flowforge.stream_listen() from public;
grant execute on function flowforge.stream_listen() to flowforge_gateway;

create function flowforge.stream_read(tenants integer[], runs uuid[], cursors integer[])
returns table (run_id uuid, last_seq integer, sse text, final boolean)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set jit = off
as $$
begin
	perform flowforge.stream_follow(runs);
	return query
	select w.run_id, coalesce(n.last_seq, w.cursor), coalesce(n.sse, ''), r.run_id is null or d.run_id is not null
	from unnest(tenants, runs, cursors) as w (tenant_id, run_id, cursor)
	left join flowforge.run r on r.tenant_id = w.tenant_id and r.run_id = w.run_id
	left join flowforge.run_end d on d.tenant_id = w.tenant_id and d.run_id = w.run_id
	cross join lateral (
		select max(m.seq) as last_seq, string_agg(flowforge.sse(m.type, m.seq, m.message), '' order by m.seq) as sse
		from flowforge.run_message m
		where m.tenant_id = w.tenant_id and m.run_id = w.run_id and m.seq > w.cursor and m.batch >= coalesce((
			select max(b.seq) from flowforge.run_event_batch b
			where b.tenant_id = w.tenant_id and b.run_id = w.run_id and b.seq <= w.cursor + 1), 0)
	) n
	where n.sse is not null or r.run_id is null or d.run_id is not null;
end
$$;
comment on function flowforge.stream_read(integer[], uuid[], integer[]) is
'For each run of a tenant with run events after its cursor: these as event-stream text, the new cursor, and whether the run has ended, so that '
'nothing will follow. A run that has ended is always told, one that is unknown as ended.';
revoke execute on function flowforge.stream_read(integer[], uuid[], integer[]) from public;
grant execute on function flowforge.stream_read(integer[], uuid[], integer[]) to flowforge_gateway;

-- For a route, which reads its caller's tenant only.
create function flowforge.stream_next(run uuid, cursor integer, out last_seq integer, out sse text, out final boolean) returns setof record
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select s.last_seq, s.sse, s.final from flowforge.stream_read(array[flowforge.current_tenant()], array[run], array[cursor]) s
$$;
comment on function flowforge.stream_next(uuid, integer) is 'What flowforge.stream_read gives for a run of the current tenant.';

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

-- What a graph's templates see: the input, and what each node that is done left. Large outputs are told by their size; they are read step by step.
create function flowforge.run_context(run flowforge.runs) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('input', (
			select e.data - '_inngest' from flowforge.event e where e.tenant_id = run.tenant_id and e.event_id = run.event_id))
		|| coalesce(jsonb_object_agg(s.step_id, case when pg_column_size(s.memo) > 16384 then jsonb_build_object('_truncated', true,
			'_bytes', octet_length((s.memo -> 'data')::text)) else s.memo -> 'data' end) filter (where s.step_id is not null), '{}')
	from flowforge.function f
	join flowforge.function_version v on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = run.version
	left join flowforge.step s on s.tenant_id = run.tenant_id and s.run_id = run.run_id and s.step_id !~ '\[\d+\]$' and s.memo ? 'data'
	where f.tenant_id = run.tenant_id and f.slug = run.function and v.config ? 'graph'
	having count(f.function_id) > 0
$$;
comment on function flowforge.run_context(flowforge.runs) is 'The context of a graph''s run, {input, node: output}; null for other functions.';

-- One statement, so that the snapshot and the seq it is numbered with belong together.
create function flowforge.stream_snapshot(run uuid, out last_seq integer, out sse text, out final boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select n.last_seq, flowforge.sse('snapshot', n.last_seq, jsonb_build_object('type', 'snapshot', 'run_id', r.run_id, 'run_status', r.status,
		'seq', n.last_seq, 'run', flowforge.run_detail(r), 'context', flowforge.run_context(r), 'steps', (
			select coalesce(jsonb_agg(s.value || jsonb_build_object('step_type', s.value -> 'op') order by s.ordinality), '[]')
			from jsonb_array_elements(flowforge.run_steps(r.run_id)) with ordinality s))),
		r.ended_at is not null
	from flowforge.runs r
	cross join lateral (select flowforge.run_last_seq(r.run_id) as last_seq) n
	where r.tenant_id = flowforge.current_tenant() and r.run_id = run
$$;
comment on function flowforge.stream_snapshot(uuid) is 'A run and its steps as the first message of a stream.';

-- --- answers that go on ---

-- What a live stream is answered with: the header x-flowforge-stream tells the gateway what to follow, and from where; x-flowforge-pass, for
-- how many milliseconds (-1: without end) and for whom, so that it can ask (flowforge.stream_passes) whether they still may.
create type flowforge.stream as (follow text, sse text);
comment on type flowforge.stream is
'What is to be followed, as the header x-flowforge-stream has it ("run TENANT RUN SEQ", "run TENANT RUN SEQ end", "feed TENANT FUNCTION CURSOR", '
'"none"), and what is told at once.';

create function flowforge.pass_lifetime(pass text, scope text) returns bigint
language c volatile strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_sql_pass_lifetime';
comment on function flowforge.pass_lifetime(text, text) is
'For how many milliseconds a pass (src/team/pass.h) still has a scope: null without end, 0 when it is worth nothing.';

create function flowforge.stream_passes(passes text[]) returns table (number bigint, lifetime bigint)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select w.number, coalesce(flowforge.pass_lifetime(w.pass, 'runs:read'), -1)
	from unnest(passes) with ordinality as w (pass, number)
$$;
comment on function flowforge.stream_passes(text[]) is
'For each pass, numbered from 1, for how many milliseconds its owner may go on to follow live streams: -1 without end, 0 no more. The channel '
'flowforge_access says when to ask again.';
revoke execute on function flowforge.stream_passes(text[]) from public;
grant execute on function flowforge.stream_passes(text[]) to flowforge_gateway;

create function flowforge.stream_answer(stream flowforge.stream, more_headers text default '') returns flowforge.response
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select (200,
		E'content-type: text/event-stream\ncache-control: no-store\nx-accel-buffering: no\n'
		|| format(E'x-flowforge-stream: %s\n', stream.follow)
		|| coalesce(format(E'x-flowforge-pass: %s %s\n', coalesce(flowforge.pass_lifetime(p.pass, 'runs:read'), -1), p.pass), '')
		|| more_headers,
		stream.sse)::flowforge.response
	from (select nullif(current_setting('flowforge.pass', true), '') as pass) p
$$;
comment on function flowforge.stream_answer(flowforge.stream, text) is 'The answer that begins a live stream of who asks.';

create function flowforge.run_stream(run uuid, since integer) returns flowforge.stream
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	head record;
begin
	if since is null then
		select s.* into head from flowforge.stream_snapshot(run) s;
	else
		select s.last_seq, s.sse, s.final into head
		from flowforge.stream_next(run, least(since, flowforge.run_last_seq(run))) s;
	end if;
	return (format('run %s %s %s%s', tenant, run, coalesce(head.last_seq, flowforge.run_last_seq(run)), case when head.final then ' end' else '' end),
		coalesce(head.sse, ''))::flowforge.stream;
end
$$;
comment on function flowforge.run_stream(uuid, integer) is 'A run followed from after a seq, or, when that is null, from a snapshot.';

create function flowforge.api_run_stream(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
	seen constant jsonb := jsonb_build_object('since', coalesce(request.headers ->> 'last-event-id', request.query ->> 'since'));
	stream flowforge.stream := flowforge.run_stream(run, flowforge.integer_of(seen, 'since', null, 0, 999999999));
begin
	stream.sse := E'retry: 1000\n\n' || stream.sse;
	return flowforge.stream_answer(stream);
end
$$;
comment on function flowforge.api_run_stream(flowforge.request) is 'GET /api/v1/runs/{id}/stream.';

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/runs/{id}/stream', 'flowforge.api_run_stream', 'runs:read', 'runs',
'Follow a run live: a snapshot, then its events, until it has ended',
'{"type": "object", "properties": {
	"since": {"type": "integer", "minimum": 0,
		"description": "Begin with the events after this seq instead of a snapshot; the header Last-Event-ID does the same."}}}',
'{"type": "string", "contentMediaType": "text/event-stream",
	"description": "Messages: snapshot {type, run_id, run_status, seq, run, context, steps}, then a RunEvent each, named by its type; id is the seq. step.delta {type, run_id, step_id, attempt, offset, text}, without an id, is text of a model''s answer as it comes."}');

-- WebSockets. The gateway makes frames of what it is answered, and of what follows; here they are the event streams that they carry.
create function flowforge.need_websocket(request flowforge.request) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	if not coalesce(request.headers ? 'upgrade', false) then
		raise exception using errcode = 'FF680', message = 'this path is that of a WebSocket',
			hint = 'Ask with a handshake of RFC 6455, as new WebSocket(url) does, or follow /api/v1/runs/{id}/stream as an event stream.';
	end if;
end
$$;
comment on function flowforge.need_websocket(flowforge.request) is 'Refuses a request that asks for no WebSocket. Error: FF680.';

create function flowforge.api_run_socket(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	perform flowforge.need_websocket(request);
	return flowforge.api_run_stream(request);
end
$$;
comment on function flowforge.api_run_socket(flowforge.request) is 'GET /ws/runs/{id}: what GET /api/v1/runs/{id}/stream tells, each message a frame. Error: FF680.';

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/ws/runs/{id}', 'flowforge.api_run_socket', 'runs:read', 'live',
'Follow a run live by a WebSocket: a snapshot, then its events, until it has ended',
'{"type": "object", "properties": {
	"since": {"type": "integer", "minimum": 0, "description": "Begin with the events after this seq instead of a snapshot."}}}',
'{"type": "string", "contentMediaType": "application/octet-stream",
	"description": "101, then frames: the data of the messages of GET /api/v1/runs/{id}/stream. Ends with 1000 after the last event of the run; 4401, 4403, 4404 for what would be answered 401, 403, 404; 1013 when 1 MB is unread."}');

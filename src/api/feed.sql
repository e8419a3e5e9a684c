-- Live streams of a whole tenant, or of a function. They are read by transactions, not by numbers: numbers are given before a transaction
-- commits and seen in another order than they were given. A cursor is a snapshot of PostgreSQL (pg_current_snapshot): what has been told is
-- what that snapshot saw, so what is to be told is what is seen now and was not seen then (flowforge.feed says which transaction wrote what).
-- Snapshots of one cluster see ever more, so nothing is told twice and nothing is left out, whatever the order of commits, by whichever
-- gateway. Within one reading the messages have an order that can be found again, and each carries a cursor: ERA~TIME~LIFE~SNAPSHOT after the
-- last of a reading, the same and ~COUNT~LIFE~SNAPSHOT after the others: of what the later one saw and the first did not, COUNT are told.
-- README.md of src/gateway has the argument at length.

create type flowforge.feed_cursor as (told_at bigint, life bigint, told pg_snapshot, count integer, seen_life bigint, seen pg_snapshot);
comment on type flowforge.feed_cursor is
'What a follower of a tenant has been told: what the snapshot told of that life of the server saw, and count more of what the snapshot seen '
'saw. told_at is in seconds since 1970. flowforge.feed_cursor_of reads it.';

-- Null for a cursor that cannot be gone on from: of another installation, of a future that did not come, older than what is kept.
create function flowforge.feed_cursor_of(cursor text) returns flowforge.feed_cursor
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	snapshot constant text := '(\d{1,18})~(\d{1,19}:\d{1,19}:[\d,]*)';
	parts constant text[] := regexp_match(cursor, '^([0-9a-f]{12})~(\d{1,12})~' || snapshot || '(?:~(\d{1,9})~' || snapshot || ')?$');
	kept constant integer := current_setting('flowforge.retention')::integer;
	result flowforge.feed_cursor;
begin
	if parts is null then
		raise data_exception;
	end if;
	result := (parts[2]::bigint, parts[3]::bigint, parts[4]::pg_snapshot, coalesce(parts[5]::integer, 0), parts[6]::bigint, parts[7]::pg_snapshot);
	if parts[1] is distinct from (select e.era from flowforge.feed_era e)
		or coalesce(result.seen_life, result.life) > flowforge.server_life()
		or coalesce(result.seen_life, result.life) = flowforge.server_life()
			and pg_snapshot_xmax(coalesce(result.seen, result.told)) > pg_snapshot_xmax(pg_current_snapshot())
		or kept > 0 and result.told_at < extract(epoch from now()) - kept * 86400 then
		return null;
	end if;
	return result;
exception when data_exception then
	raise exception using errcode = 'FF204', message = 'since is not the cursor of a live stream', detail = format('It is "%s".', left(cursor, 100)),
		hint = 'Give back the cursor of the last message, or leave it out to begin with what happens from now on.', column = 'since';
end
$$;
comment on function flowforge.feed_cursor_of(text) is
'A cursor as it is given in messages; null when its installation, or what it points at, is no longer there. Error: FF204.';

create function flowforge.feed_text(cursor flowforge.feed_cursor) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select format('%s~%s~%s~%s', e.era, cursor.told_at, cursor.life, cursor.told)
		|| case when cursor.seen is null then '' else format('~%s~%s~%s', cursor.count, cursor.seen_life, cursor.seen) end
	from flowforge.feed_era e
$$;
comment on function flowforge.feed_text(flowforge.feed_cursor) is 'A cursor as messages carry it.';

create function flowforge.feed_now() returns flowforge.feed_cursor
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select (extract(epoch from now())::bigint, flowforge.server_life(), pg_current_snapshot(), 0, null, null)::flowforge.feed_cursor
$$;
comment on function flowforge.feed_now() is 'The cursor of who has been told everything this statement sees.';

-- What was written in a later life of the server than the cursor's, the cursor has not seen, whatever its snapshot says of that number.
create function flowforge.feed_rows(tenant integer, function integer, at flowforge.feed_cursor)
returns table (run_id uuid, seq integer, slug text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select t.run_id, t.seq, n.slug
	from flowforge.feed f
	cross join lateral unnest(f.runs, f.seqs) as t (run_id, seq)
	join flowforge.run r on r.tenant_id = feed_rows.tenant and r.run_id = t.run_id
	left join flowforge.function n on n.tenant_id = r.tenant_id and n.function_id = r.function_id
	where f.tenant_id = feed_rows.tenant
		and (f.xid >= pg_snapshot_xmin(at.told) and not pg_visible_in_snapshot(f.xid, at.told)
			or f.feed_id >= flowforge.id_floor(to_timestamp(at.told_at - 600)) and f.life > at.life)
		and (at.seen is null or f.life <= at.seen_life and pg_visible_in_snapshot(f.xid, at.seen))
		and (feed_rows.function = 0 or r.function_id = feed_rows.function)
$$;
comment on function flowforge.feed_rows(integer, integer, flowforge.feed_cursor) is
'Rows of the log, of all functions (0) or one, that a follower with this cursor has not been told, not counting its count: all there are, or, '
'when it has a snapshot seen, those that one saw.';

-- A run's events stay in their order, whatever clocks say; among runs, the time decides. run.created is told with what comes after it.
create function flowforge.feed_messages(tenant integer, function integer, at flowforge.feed_cursor)
returns table (place integer, last boolean, type text, message jsonb)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select (row_number() over w)::integer, lead(e.run_id) over w is null, e.type, e.message
	from (
		select m.run_id, m.seq, m.type, m.message || jsonb_build_object('function', r.slug) as message,
			max((m.message ->> 'at')::timestamptz) over (partition by m.run_id order by m.seq) as at
		from flowforge.feed_rows(feed_messages.tenant, feed_messages.function, feed_messages.at) r
		join flowforge.run_message m on m.tenant_id = feed_messages.tenant and m.run_id = r.run_id
			and m.batch = any (case when r.seq = 2 then array[1, 2] else array[r.seq] end)
	) e
	window w as (order by e.at, e.run_id, e.seq)
$$;
comment on function flowforge.feed_messages(integer, integer, flowforge.feed_cursor) is
'What flowforge.feed_rows finds as messages, numbered from 1 in an order that is the same whenever they are asked for.';

create function flowforge.feed_page(tenant integer, function integer, since text, size integer, out cursor text, out sse text, out more boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set jit = off
as $$
declare
	fresh constant flowforge.feed_cursor := flowforge.feed_now();
	at flowforge.feed_cursor := flowforge.feed_cursor_of(since);
	reached flowforge.feed_cursor;
	told integer;
	whole boolean;
begin
	if at.told is null then
		cursor := flowforge.feed_text(fresh);
		sse := format(E'event: reset\nid: %s\ndata: %s\n\n', cursor, jsonb_build_object('type', 'reset', 'cursor', cursor));
		more := false;
		return;
	end if;
	reached := case when at.seen is null then fresh else (at.told_at, at.seen_life, at.seen, 0, null, null)::flowforge.feed_cursor end;
	select max(m.place), coalesce(bool_or(m.last), true), coalesce(string_agg(format(E'event: %s\nid: %s\ndata: %s\n\n', m.type, c.cursor,
		m.message || jsonb_build_object('cursor', c.cursor)), '' order by m.place), '')
	into told, whole, sse
	from flowforge.feed_messages(tenant, function, at) m
	cross join lateral (
		select case when m.last then flowforge.feed_text(reached)
			else flowforge.feed_text((at.told_at, at.life, at.told, m.place, reached.life, reached.told)::flowforge.feed_cursor) end as cursor
	) c
	where m.place > at.count and m.place <= at.count + size;
	more := at.seen is not null or not whole;
	cursor := flowforge.feed_text(case when whole then reached else (at.told_at, at.life, at.told, told, reached.life, reached.told)::flowforge.feed_cursor end);
end
$$;
comment on function flowforge.feed_page(integer, integer, text, integer) is
'The next messages, at most `size`, after a cursor, of all functions of a tenant (0) or one, as event-stream text; the new cursor; and whether '
'more can be read at once. A cursor that cannot be gone on from is answered by a message `reset`. Error: FF204.';

create function flowforge.feed_read(tenants integer[], functions integer[], cursors text[])
returns table (number bigint, cursor text, sse text, more boolean)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select w.number, p.cursor, p.sse, p.more
	from unnest(tenants, functions, cursors) with ordinality as w (tenant, function, cursor, number)
	cross join lateral flowforge.feed_page(w.tenant, w.function, w.cursor, 1000) p
$$;
comment on function flowforge.feed_read(integer[], integer[], text[]) is
'For each tenant, function (0: all) and cursor what flowforge.feed_page gives, all as of one moment; number counts from 1.';
revoke execute on function flowforge.feed_read(integer[], integer[], text[]) from public;
grant execute on function flowforge.feed_read(integer[], integer[], text[]) to flowforge_gateway;

create function flowforge.feed_function(query jsonb) returns integer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	result integer;
begin
	if not query ? 'function' then
		return 0;
	end if;
	select f.function_id into result
	from flowforge.function f
	where f.tenant_id = flowforge.current_tenant() and f.slug = query ->> 'function';
	if result is null then
		raise exception using errcode = 'FF013', message = format('there is no function %s', left(query ->> 'function', 200)),
			hint = 'GET /api/v1/functions lists them.', column = 'function';
	end if;
	return result;
end
$$;
comment on function flowforge.feed_function(jsonb) is 'The id of the function a query names, 0 when it names none. Error: FF013.';

-- Who has not been here before is told nothing at once.
create function flowforge.feed_stream(function integer, since text, out follow text, out cursor text, out sse text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
begin
	if since is null then
		cursor := flowforge.feed_text(flowforge.feed_now());
		sse := '';
	else
		select p.cursor, p.sse into cursor, sse from flowforge.feed_page(tenant, function, since, 1000) p;
	end if;
	follow := format('feed %s %s %s', tenant, function, cursor);
end
$$;
comment on function flowforge.feed_stream(integer, text) is
'All runs (0) or those of a function, followed from after a cursor, or, when that is null, from now on. Error: FF204.';

create function flowforge.live_message(cursor text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select format(E'event: live\nid: %s\ndata: %s\n\n', cursor, jsonb_build_object('type', 'live', 'cursor', cursor))
$$;
comment on function flowforge.live_message(text) is 'The message that only says from where a client is told what happens.';

-- The first message says from where; a client that has been here before has it from what it was told last.
create function flowforge.api_stream(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	since constant text := coalesce(request.headers ->> 'last-event-id', request.query ->> 'since');
	stream constant record := flowforge.feed_stream(flowforge.feed_function(request.query), since);
begin
	return flowforge.stream_answer((stream.follow,
		E'retry: 1000\n\n' || case when since is null then flowforge.live_message(stream.cursor) else stream.sse end)::flowforge.stream);
end
$$;
comment on function flowforge.api_stream(flowforge.request) is 'GET /api/v1/stream. Errors: FF013, FF204.';

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/stream', 'flowforge.api_stream', 'runs:read', 'live', 'Follow the runs of all functions, or of one, live',
'{"type": "object", "properties": {
	"function": {"type": "string", "description": "Only runs of this function (its id)."},
	"since": {"type": "string", "description": "Begin after the message with this cursor, with the same function as then; the header Last-Event-ID does the same."}}}',
'{"type": "string", "contentMediaType": "text/event-stream",
	"description": "Messages: live {type, cursor}, then a RunEvent each with function and cursor, named by its type; id is the cursor. reset {type, cursor}: what the cursor given pointed at is no longer kept, look at everything anew."}');

-- One WebSocket for all that a client follows, and the tickets by which browsers open one.
--
-- The gateway knows no JSON: what a client says over /ws it passes on as POST /ws, in the name of who opened it (x-flowforge-pass), and what that
-- answers are frames again. x-flowforge-stream says what to follow from then on, and x-flowforge-subscription, in JSON, what to call it: the
-- gateway puts that into each of its messages.

-- --- tickets ---

-- A ticket stands for who asked for it (src/team/pass.h), for a minute and one connection. Written by POST /api/v1/ws/ticket, deleted by the
-- handshake that shows it and by housekeeping. What a crash forgets is a minute's.
create unlogged table flowforge.ticket (
	digest bytea primary key,
	tenant_id integer not null,
	pass text not null,
	expires_at timestamptz not null
);
comment on table flowforge.ticket is 'Tickets for WebSockets that are not used yet: the SHA-256 of each and who asked for it.';
create index ticket_expiry on flowforge.ticket (expires_at);

create function flowforge.api_ws_ticket(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	ticket constant text := flowforge.token();
	pass constant text := nullif(current_setting('flowforge.pass', true), '');
begin
	if pass is null then
		raise exception using errcode = 'FF600', message = 'a ticket is for whoever signed in or shows a key', detail = format('%s does not.', flowforge.actor()),
			hint = 'Ask by HTTP with an access token or an API key.';
	end if;
	insert into flowforge.ticket (digest, tenant_id, pass, expires_at)
	values (sha256(convert_to(ticket, 'UTF8')), flowforge.current_tenant(), pass, now() + interval '1 minute');
	return flowforge.secret_answer(jsonb_build_object('ticket', ticket, 'expires_in', 60, 'protocol', 'ticket.' || ticket), 201);
end
$$;
comment on function flowforge.api_ws_ticket(flowforge.request) is 'POST /api/v1/ws/ticket. Error: FF600 who asks cannot be known again.';

-- --- what may be said ---

create type flowforge.subscription as (subscribes boolean, run uuid, function text, since text, label text);
comment on type flowforge.subscription is
'What a client of /ws said: whether to begin or to end, a run or a function or, both null, everything, from where, and what it is called.';

create function flowforge.refuse_saying(detail text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	raise exception using errcode = 'FF682', message = 'this cannot be said over a WebSocket', detail = detail,
		hint = 'Say {"subscribe": {"run": ID}}, {"subscribe": {"function": ID}} or {"subscribe": "all"}, with "since" to go on from there, or the same with "unsubscribe".';
end
$$;
comment on function flowforge.refuse_saying(text) is 'Raises FF682.';

create function flowforge.subscription_of(said jsonb) returns flowforge.subscription
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	verb constant text := case when said ? 'subscribe' then 'subscribe' else 'unsubscribe' end;
	what constant jsonb := said -> verb;
	kind constant text := case when what = '"all"' then 'all' when jsonb_typeof(what) = 'object' then (select min(k) from jsonb_object_keys(what) k) end;
	name constant text := what ->> kind;
	members constant bigint := case when jsonb_typeof(what) = 'object' then (select count(*) from jsonb_object_keys(what)) end;
	strange constant text := (select min(k) from jsonb_object_keys(said) k where k not in (verb, case verb when 'subscribe' then 'since' else verb end));
	result flowforge.subscription;
begin
	if what is null then
		perform flowforge.refuse_saying('It has neither "subscribe" nor "unsubscribe".');
	elsif strange is not null then
		perform flowforge.refuse_saying(format('It has "%s".', left(strange, 100)));
	elsif kind is null or kind not in ('all', 'run', 'function') or (kind <> 'all' and (jsonb_typeof(what -> kind) <> 'string' or members > 1)) then
		perform flowforge.refuse_saying(format('"%s" has %s.', verb, left(what::text, 100)));
	elsif length(name) > 200 then
		perform flowforge.refuse_saying(format('The %s has %s characters; none has more than 200.', kind, length(name)));
	elsif jsonb_typeof(said -> 'since') not in ('string', 'number', 'null') then
		perform flowforge.refuse_saying(format('"since" is of type %s.', jsonb_typeof(said -> 'since')));
	end if;
	result.subscribes := verb = 'subscribe';
	result.run := case kind when 'run' then flowforge.id_of(name, 'run') end;
	result.function := case kind when 'function' then name end;
	result.since := said ->> 'since';
	result.label := case kind when 'run' then 'run:' || result.run when 'function' then 'function:' || name else 'all' end;
	return result;
end
$$;
comment on function flowforge.subscription_of(jsonb) is 'What a client of /ws said, an object. Errors: FF682, FF204 a run that is no id.';

create function flowforge.subscribed(wanted flowforge.subscription) returns flowforge.stream
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	begun jsonb := '{"type": "subscribed"}';
	stream record;
	run flowforge.stream;
begin
	if wanted.run is null then
		select s.* into stream from flowforge.feed_stream(
			flowforge.feed_function(jsonb_strip_nulls(jsonb_build_object('function', wanted.function))), wanted.since) s;
		begun := begun || jsonb_build_object('cursor', coalesce(wanted.since, stream.cursor));
		return (stream.follow, format(E'data: %s\n\n', begun) || stream.sse)::flowforge.stream;
	end if;
	perform flowforge.run_known(wanted.run);
	run := flowforge.run_stream(wanted.run, flowforge.integer_of(jsonb_build_object('since', wanted.since), 'since', null, 0, 999999999));
	return (run.follow, format(E'data: %s\n\n', begun || jsonb_build_object('run_id', wanted.run)) || run.sse)::flowforge.stream;
end
$$;
comment on function flowforge.subscribed(flowforge.subscription) is
'What is to be followed for a client, and what it is told first: that it is. Errors: FF010, FF013, FF204.';

create function flowforge.api_socket_said(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	follows constant integer := (request.headers ->> 'x-flowforge-subscriptions')::integer;
	most constant integer := 100;
	said flowforge.subscription;
	stream flowforge.stream := ('none', E'data: {"type": "unsubscribed"}\n\n');
begin
	if follows is null then
		perform flowforge.need_websocket(null);
	end if;
	said := flowforge.subscription_of(flowforge.object_of(request));
	if said.subscribes and follows >= most then
		raise exception using errcode = 'FF683', message = format('this WebSocket follows %s things already', follows),
			detail = format('No more than %s can be followed over one.', most), hint = 'Unsubscribe from one, follow the whole tenant, or open another WebSocket.';
	elsif said.subscribes then
		stream := flowforge.subscribed(said);
	end if;
	return flowforge.stream_answer(stream, format(E'x-flowforge-subscription: %s\n', to_json(said.label)));
end
$$;
comment on function flowforge.api_socket_said(flowforge.request) is
'POST /ws, by which the gateway passes on what a client says over a WebSocket; x-flowforge-subscriptions says how much it follows. Errors: FF680, '
'FF682, FF683, FF010, FF013, FF204.';

-- Who comes with subscribe=none follows nothing before it says what.
create function flowforge.api_socket(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	follow constant text := flowforge.choice_of(request.query, 'subscribe', '{all,none}');
	answer flowforge.response;
begin
	perform flowforge.need_websocket(request);
	if follow = 'none' then
		answer := flowforge.stream_answer(('none', flowforge.live_message(flowforge.feed_text(flowforge.feed_now())))::flowforge.stream);
	else
		answer := flowforge.api_stream(request);
	end if;
	answer.headers := answer.headers || E'x-flowforge-messages: /ws\n';
	return answer;
end
$$;
comment on function flowforge.api_socket(flowforge.request) is
'GET /ws: what GET /api/v1/stream tells, each message a frame, or nothing yet; x-flowforge-messages says where the gateway passes on what the '
'client says. Errors: FF680, FF013, FF204.';

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('POST', '/api/v1/ws/ticket', 'flowforge.api_ws_ticket', 'runs:read', 'live', 'Get a ticket that opens one WebSocket within a minute',
'{"type": ["object", "null"]}',
'{"type": "object", "required": ["ticket", "expires_in", "protocol"], "properties": {
	"ticket": {"type": "string"},
	"expires_in": {"type": "integer", "description": "Seconds."},
	"protocol": {"type": "string", "description": "How a browser shows it: new WebSocket(url, [\"flowforge\", protocol])."}}}'),
('GET', '/ws', 'flowforge.api_socket', 'runs:read', 'live', 'Follow runs live by a WebSocket',
'{"type": "object", "properties": {
	"subscribe": {"enum": ["all", "none"], "default": "all", "description": "none: follow nothing yet, the client says what (POST /ws)."},
	"function": {"type": "string", "description": "Only runs of this function (its id)."},
	"since": {"type": "string", "description": "Begin after the message with this cursor, with the same function as then."}}}',
'{"type": "string", "contentMediaType": "application/octet-stream",
	"description": "101, then frames: the data of the messages of GET /api/v1/stream. Ends with 4401 when who opened it signs out or loses the right, or their token or key expires."}'),
('POST', '/ws', 'flowforge.api_socket_said', 'runs:read', 'live', 'What a client says over /ws; a message of the WebSocket, not a request',
'{"type": "object", "properties": {
	"subscribe": {"$ref": "#/components/schemas/Subscription"},
	"unsubscribe": {"$ref": "#/components/schemas/Subscription"},
	"since": {"type": ["string", "integer", "null"], "description": "Go on after this: the seq of a run''s message, the cursor of another''s."}}}',
'{"type": "string", "contentMediaType": "application/octet-stream",
	"description": "Frames: {subscription, type: subscribed or unsubscribed}, then messages, each with its subscription; {subscription, type: end} when nothing will follow. {error: Problem} when it cannot be."}');
insert into flowforge.route_schema (name, schema) values
('Subscription', '{"anyOf": [
	{"const": "all"},
	{"type": "object", "required": ["run"], "properties": {"run": {"type": "string"}}, "additionalProperties": false},
	{"type": "object", "required": ["function"], "properties": {"function": {"type": "string"}}, "additionalProperties": false}]}');

-- Events over HTTP: the protocol's /e/{key} and the API's own routes.

create function flowforge.event_json(event flowforge.events) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('id', event.event_id, 'ulid', event.ulid, 'name', event.name, 'data', event.data, 'user', event.user_data,
		'external_id', event.external_id, 'v', event.v, 'sessions', coalesce(event.meta -> 'sessions', '{}'), 'ts', event.ts,
		'received_at', event.received_at)
$$;
comment on function flowforge.event_json(flowforge.events) is 'An event as the API shows it.';

-- Acts for its owner, so that connections which serve one role after the other do not plan it anew each time.
create function flowforge.started_runs(events uuid[]) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	started constant uuid[] := array(select flowforge.runs_of_events(tenant, events));
begin
	if started = '{}' then
		return '[]';
	end if;
	return (
		select coalesce(jsonb_agg(jsonb_build_object('id', r.run_id, 'ulid', flowforge.ulid(r.run_id), 'function', f.slug,
			'event_id', r.event_id) order by r.run_id), '[]')
		from flowforge.run r
		join flowforge.function f on f.tenant_id = r.tenant_id and f.function_id = r.function_id
		where r.tenant_id = tenant and r.run_id = any (started));
end
$$;
comment on function flowforge.started_runs(uuid[]) is 'The runs that events started, as the API shows them to who sent the events.';

-- The hot one: no helper functions on the way.
create function flowforge.api_receive(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	ids constant uuid[] := flowforge.ingest(request.json, request.headers ->> 'x-inngest-event-id-seed', false);
	listed text;
begin
	select string_agg('"' || flowforge.ulid(i.id) || '"', ',' order by i.ordinality) into listed
	from unnest(ids) with ordinality as i (id, ordinality);
	return (200, E'content-type: application/json\naccess-control-allow-origin: *\n',
		'{"ids":[' || coalesce(listed, '') || '],"status":200}')::flowforge.response;
end
$$;
comment on function flowforge.api_receive(flowforge.request) is 'POST /e/{key}: events from an SDK or a webhook.';

create function flowforge.api_invoke(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	made record;
begin
	select i.event_id, i.run_id into made
	from flowforge.invoke(request.params ->> 'slug', case when request.json is null then '{}' else flowforge.object_of(request) end,
		request.headers ->> 'x-inngest-event-id-seed') i;
	if made.run_id is null then
		select r.run_id into made.run_id
		from flowforge.run r
		where r.tenant_id = flowforge.current_tenant() and r.event_id = made.event_id;
	end if;
	return flowforge.answer(jsonb_build_object('id', flowforge.ulid(made.event_id), 'run_id', flowforge.ulid(made.run_id), 'status', 200));
end
$$;
comment on function flowforge.api_invoke(flowforge.request) is 'POST /invoke/{slug}: runs one function by its id.';

-- CloudEvents 1.0 are events: the type is the name, source and id together the id, which makes repeats harmless.
create function flowforge.cloud_event(event jsonb, place bigint default 1) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	data constant jsonb := coalesce(event -> 'data', jsonb_strip_nulls(jsonb_build_object('base64', event -> 'data_base64')));
	problem constant text := case
		when jsonb_typeof(event) is distinct from 'object' then 'is not an object'
		when event ->> 'specversion' is distinct from '1.0' then 'has a specversion that is not 1.0'
		when not (event ?& '{id,source,type}') or '' in (event ->> 'id', event ->> 'source', event ->> 'type') then 'lacks id, source or type'
	end;
begin
	if problem is not null then
		raise exception using errcode = 'FF005', message = format('event %s of the request %s', place, problem),
			hint = 'A CloudEvent is {"specversion": "1.0", "id": ..., "source": ..., "type": "order/created", "time"?, "data"?}.';
	end if;
	return jsonb_strip_nulls(jsonb_build_object('name', event -> 'type', 'id', concat(event ->> 'source', '#', event ->> 'id'),
			'ts', (extract(epoch from flowforge.time_of(event, 'time')) * 1000)::bigint))
		|| jsonb_build_object('data', jsonb_build_object('cloudevent', event - '{data,data_base64}'::text[])
			|| case when jsonb_typeof(data) = 'object' then data else jsonb_build_object('value', data) end);
end
$$;
comment on function flowforge.cloud_event(jsonb, bigint) is
'A CloudEvent as one of ours: its data (what is no object as {value} or {base64}) with its other attributes in data.cloudevent. Error: FF005.';

create function flowforge.percent_decoded(given text) returns text
language sql immutable strict
set search_path = pg_catalog, pg_temp
as $$
	select convert_from(coalesce(string_agg(case when p.part[1] ~ '^%..' then decode(substr(p.part[1], 2), 'hex')
		else convert_to(p.part[1], 'UTF8') end, '' order by p.ordinality), ''), 'UTF8')
	from regexp_matches(given, '%[0-9a-fA-F]{2}|[^%]+|%', 'g') with ordinality as p (part, ordinality)
$$;
comment on function flowforge.percent_decoded(text) is 'A text in which %XX stand for bytes of UTF-8.';

create function flowforge.cloud_event_of_headers(request flowforge.request) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_object_agg(substr(h.key, 4), flowforge.percent_decoded(h.value)), '{}')
		|| jsonb_strip_nulls(jsonb_build_object('datacontenttype', request.headers -> 'content-type'))
		|| case
			when request.json is not null then jsonb_build_object('data', request.json)
			when length(request.body) > 0 then jsonb_build_object('data_base64', replace(encode(request.body, 'base64'), E'\n', ''))
			else '{}'
		end
	from jsonb_each_text(request.headers) h
	where h.key like 'ce-%'
$$;
comment on function flowforge.cloud_event_of_headers(flowforge.request) is 'The CloudEvent of a request in binary mode: attributes in headers, data as the body.';

create function flowforge.given_event(request flowforge.request) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	if request.headers ->> 'content-type' ~* '^application/cloudevents\+json' then
		return flowforge.cloud_event(flowforge.object_of(request));
	elsif request.headers ? 'ce-specversion' then
		return flowforge.cloud_event(flowforge.cloud_event_of_headers(request));
	end if;
	return flowforge.object_of(request);
end
$$;
comment on function flowforge.given_event(flowforge.request) is 'The event a request brings, as itself or as a CloudEvent. Errors: FF203, FF005.';

create function flowforge.given_events(request flowforge.request) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case when request.headers ->> 'content-type' ~* '^application/cloudevents-batch\+json'
		then (select coalesce(jsonb_agg(flowforge.cloud_event(e.value, e.ordinality) order by e.ordinality), '[]')
			from jsonb_array_elements(request.json) with ordinality e)
		else request.json
	end
$$;
comment on function flowforge.given_events(flowforge.request) is 'The events a request brings in a list, as themselves or as CloudEvents. Error: FF005.';

create function flowforge.api_send_event(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	ids constant uuid[] := flowforge.ingest(jsonb_build_array(flowforge.given_event(request)), null, false);
begin
	return flowforge.answer(jsonb_build_object('id', ids[1], 'ulid', flowforge.ulid(ids[1]), 'ids', ids, 'runs', flowforge.started_runs(ids)));
end
$$;
comment on function flowforge.api_send_event(flowforge.request) is 'POST /api/v1/events.';

create function flowforge.api_send_events(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	ids uuid[];
begin
	if jsonb_typeof(request.json) is distinct from 'array' then
		raise exception using errcode = 'FF203', message = 'the body is not a JSON array',
			detail = format('It is %s.', coalesce(jsonb_typeof(request.json), 'empty')),
			hint = 'Send an array of events, or one event to /api/v1/events.';
	end if;
	ids := flowforge.ingest(flowforge.given_events(request), null, false);
	return flowforge.answer(jsonb_build_object('ids', ids, 'runs', flowforge.started_runs(ids)));
end
$$;
comment on function flowforge.api_send_events(flowforge.request) is 'POST /api/v1/events/batch.';

create function flowforge.api_events(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
	page constant flowforge.page := flowforge.page_of(request.query);
	wanted constant text := request.query ->> 'name';
begin
	return flowforge.page_answer(array(
		select flowforge.event_json(e)
		from flowforge.events e
		where e.tenant_id = flowforge.current_tenant() and e.event_id >= page.low and e.event_id < page.high
			and (wanted is null or e.name = wanted)
		order by e.event_id desc
		limit page.size + 1), page.size);
end
$$;
comment on function flowforge.api_events(flowforge.request) is 'GET /api/v1/events.';

create function flowforge.event_of(request flowforge.request) returns flowforge.events
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted constant uuid := flowforge.id_of(request.params ->> 'id', 'id');
	result flowforge.events;
begin
	select e.* into result from flowforge.events e where e.tenant_id = flowforge.current_tenant() and e.event_id = wanted;
	if not found then
		raise exception using errcode = 'FF201', message = format('event %s does not exist', wanted),
			hint = 'GET /api/v1/events lists the latest events.';
	end if;
	return result;
end
$$;
comment on function flowforge.event_of(flowforge.request) is 'The event that the path names. Error: FF201 no such event.';

create function flowforge.api_event(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(flowforge.event_json(flowforge.event_of(request)));
end
$$;
comment on function flowforge.api_event(flowforge.request) is 'GET /api/v1/events/{id}.';

create function flowforge.api_event_runs(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted constant uuid := flowforge.id_of(request.params ->> 'id', 'id');
begin
	return flowforge.answer(jsonb_build_object('data', coalesce((
		select jsonb_agg(flowforge.run_json(r) order by r.run_id)
		from flowforge.runs r
		where r.tenant_id = flowforge.current_tenant()
			and r.run_id = any (array(select flowforge.runs_of_events(flowforge.current_tenant(), array[wanted])))), '[]'),
		'skipped', coalesce((
			select jsonb_agg(jsonb_build_object('function', k.function, 'status', 'skipped', 'reason', k.reason, 'detail', k.detail, 'at', k.at) order by k.function)
			from flowforge.skipped_runs k
			where k.tenant_id = flowforge.current_tenant() and k.event_id = wanted), '[]')));
end
$$;
comment on function flowforge.api_event_runs(flowforge.request) is 'GET /api/v1/events/{id}/runs.';

insert into flowforge.route_schema (name, schema) values
('NewEvent', '{
	"type": "object", "required": ["name"],
	"properties": {
		"name": {"type": "string", "maxLength": 512, "description": "Names that begin with inngest/ are reserved."},
		"data": {"type": "object", "default": {}},
		"id": {"type": "string", "description": "Makes repeats of the event harmless for a day."},
		"ts": {"type": "integer", "description": "When it happened, in milliseconds since 1970."},
		"user": {"type": "object"},
		"v": {"type": "string"},
		"meta": {"type": "object", "properties": {"sessions": {"type": ["object", "null"],
			"description": "At most five ids (text or numbers) by key, which group the runs the event starts."}}}
	},
	"example": {"name": "order/created", "data": {"id": "o1", "total": 42}}
}'),
('StartedRun', '{
	"type": "object", "required": ["id", "ulid", "function", "event_id"],
	"properties": {
		"id": {"type": "string", "format": "uuid"},
		"ulid": {"type": "string"},
		"function": {"type": "string"},
		"event_id": {"type": "string", "format": "uuid"}
	}
}'),
('SkippedRun', '{
	"type": "object", "required": ["function", "status", "reason", "detail", "at"],
	"properties": {
		"function": {"type": ["string", "null"]},
		"status": {"const": "skipped"},
		"reason": {"enum": ["idempotency", "rate_limit", "singleton", "debounced"]},
		"detail": {"type": ["object", "null"], "description": "The key, the run it was not to be beside, the limit."},
		"at": {"type": "string", "format": "date-time"}
	}
}'),
('Event', '{
	"type": "object", "required": ["id", "ulid", "name", "data", "user", "external_id", "v", "sessions", "ts", "received_at"],
	"properties": {
		"id": {"type": "string", "format": "uuid"},
		"ulid": {"type": "string", "description": "The same id as SDKs show it."},
		"name": {"type": "string"},
		"data": {"type": "object"},
		"user": {"type": ["object", "null"]},
		"external_id": {"type": ["string", "null"], "description": "The id its sender gave it."},
		"v": {"type": ["string", "null"], "description": "The version its sender gave its form."},
		"sessions": {"type": "object", "description": "What groups the runs it starts: ids by key."},
		"ts": {"type": "string", "format": "date-time"},
		"received_at": {"type": "string", "format": "date-time"}
	}
}');

insert into flowforge.route (method, pattern, function, lane, scope, style, tag, summary, request_schema, response_schema) values
('POST', '/e/{key}', 'flowforge.api_receive', 'ingest', 'event_key', 'event', 'sdk', 'Receive events from an SDK or a webhook',
'{"oneOf": [{"$ref": "#/components/schemas/NewEvent"},
	{"type": "array", "maxItems": 5000, "items": {"$ref": "#/components/schemas/NewEvent"}}]}',
'{"type": "object", "required": ["ids", "status"], "properties": {
	"ids": {"type": "array", "items": {"type": "string"}, "description": "ULIDs, in the order of the events."},
	"status": {"type": "integer"}}}'),
('POST', '/invoke/{slug}', 'flowforge.api_invoke', 'ingest', 'runs:manage', 'sdk', 'sdk', 'Run one function by its id',
'{"type": ["object", "null"], "description": "An event; whatever its name, exactly this function runs.", "properties": {
	"data": {"type": "object", "default": {}},
	"id": {"type": "string", "description": "Makes repeats harmless for a day."},
	"ts": {"type": "integer"}, "user": {"type": "object"}, "v": {"type": "string"}}}',
'{"type": "object", "required": ["id", "run_id", "status"], "properties": {
	"id": {"type": "string", "description": "The ULID of the event."},
	"run_id": {"type": ["string", "null"], "description": "The ULID of the run; null when an event of this id was received before and its run is gone."},
	"status": {"const": 200}}}'),
('POST', '/api/v1/events', 'flowforge.api_send_event', 'ingest', 'events:send', 'problem', 'events', 'Send one event, or a CloudEvent, and learn which runs it started',
'{"$ref": "#/components/schemas/NewEvent"}',
'{"type": "object", "required": ["id", "ulid", "ids", "runs"], "properties": {
	"id": {"type": "string", "format": "uuid"},
	"ulid": {"type": "string"},
	"ids": {"type": "array", "items": {"type": "string", "format": "uuid"}},
	"runs": {"type": "array", "items": {"$ref": "#/components/schemas/StartedRun"}}}}'),
('POST', '/api/v1/events/batch', 'flowforge.api_send_events', 'ingest', 'events:send', 'problem', 'events', 'Send up to 5,000 events, or CloudEvents, all or none',
'{"type": "array", "maxItems": 5000, "items": {"$ref": "#/components/schemas/NewEvent"}}',
'{"type": "object", "required": ["ids", "runs"], "properties": {
	"ids": {"type": "array", "items": {"type": "string", "format": "uuid"}},
	"runs": {"type": "array", "items": {"$ref": "#/components/schemas/StartedRun"}}}}'),
('GET', '/api/v1/events', 'flowforge.api_events', 'call', 'events:read', 'problem', 'events', 'List events, newest first',
'{"type": "object", "properties": {
	"name": {"type": "string"},
	"since": {"type": "string", "format": "date-time"},
	"until": {"type": "string", "format": "date-time"},
	"limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}},
	"next_cursor": {"type": ["string", "null"]}}}'),
('GET', '/api/v1/events/{id}', 'flowforge.api_event', 'call', 'events:read', 'problem', 'events', 'One event',
'{}', '{"$ref": "#/components/schemas/Event"}'),
('GET', '/api/v1/events/{id}/runs', 'flowforge.api_event_runs', 'call', 'runs:read', 'problem', 'events', 'The runs an event started, and those that flow control kept it from starting',
'{}', '{"type": "object", "required": ["data", "skipped"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/Run"}},
	"skipped": {"type": "array", "items": {"$ref": "#/components/schemas/SkippedRun"}}}}');

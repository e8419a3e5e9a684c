-- Durable endpoints: HTTP handlers of an app whose runs begin in the app, with somebody's request. The app says what it has done; when
-- it lets go of the run, or is silent for flowforge.endpoint_lease, the engine makes the same request again and goes on from there.

create function flowforge.endpoint_slug(event jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(nullif(event #>> '{data,fn}', ''), (event #>> '{data,method}') || ' ' || (event #>> '{data,path}'))
$$;
comment on function flowforge.endpoint_slug(jsonb) is 'The function an HTTP request is a run of: the one it names, or its method and path.';

-- An endpoint is an app with one function, made by its first run.
create function flowforge.endpoint_function(event jsonb, retries integer) returns flowforge.function
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted constant text := flowforge.endpoint_slug(event);
	url constant text := (event #>> '{data,domain}') || (event #>> '{data,path}');
	result flowforge.function;
begin
	perform flowforge.register_app(jsonb_build_object('url', url, 'appName', wanted, 'framework', 'endpoint', 'functions', jsonb_build_array(
		jsonb_build_object('id', wanted, 'name', wanted, 'endpoint', true, 'triggers', '[]'::jsonb, 'steps', jsonb_build_object('step',
			jsonb_build_object('id', 'step', 'name', 'step', 'runtime', jsonb_build_object('type', 'http', 'url', url),
				'retries', jsonb_build_object('attempts', retries)))))));
	select f.* into strict result from flowforge.function f
	where f.tenant_id = flowforge.current_tenant() and f.slug = wanted;
	return result;
end
$$;
comment on function flowforge.endpoint_function(jsonb, integer) is 'The function of an HTTP request, registered if need be. Errors: FF208, FF209.';

create function flowforge.endpoint_token(run uuid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select split_part(flowforge.sign(coalesce(nullif(current_setting('flowforge.signing_key', true), ''), 'dev'), flowforge.ulid(run), 0), 's=', 2)
$$;
comment on function flowforge.endpoint_token(uuid) is 'What whoever waits for the result of an endpoint''s run proves that with.';
revoke execute on function flowforge.endpoint_token(uuid) from public;

-- The form of state is src/run/state.c's. The message makes the owner read the run.
create function flowforge.start_endpoint_run(run uuid, event jsonb, retries integer, version integer) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	owner constant flowforge.function := flowforge.endpoint_function(event, retries);
	event_id constant uuid := (flowforge.ingest(jsonb_build_array(event), null, true))[1];
	now_us constant bigint := extract(epoch from clock_timestamp()) * 1000000;
	lease constant interval := current_setting('flowforge.endpoint_lease')::interval;
begin
	insert into flowforge.run (tenant_id, run_id, function_id, version, event_id, created_at)
	values (tenant, run, owner.function_id, owner.version, event_id, clock_timestamp());
	insert into flowforge.run_parked (slot, run_id, tenant_id, function_id, version, event_id, state, wake_at)
	values (flowforge.slot(run), run, tenant, owner.function_id, owner.version, event_id, jsonb_build_object(
		'v', version, 'gen', 0, 'seq', 1, 'grp', 0, 'items', jsonb_build_array(jsonb_build_object(
			'id', '', 'op', 'run', 'at', now_us, 'a', 0, 'rem', true, 'due', now_us + (extract(epoch from lease) * 1000000)::bigint))),
		clock_timestamp() + lease);
	perform flowforge.count_queued(tenant);
end
$$;
comment on function flowforge.start_endpoint_run(uuid, jsonb, integer, integer) is 'A run that has begun in its app.';

-- One request starts a run once, however often the app says so.
create function flowforge.api_endpoint_start(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant jsonb := flowforge.object_of(request);
	run constant uuid := flowforge.id_of(body ->> 'run_id', 'run_id');
	event constant jsonb := body -> 'event';
	tenant constant integer := flowforge.current_tenant();
	owner record;
begin
	if run is null or coalesce(event #>> '{data,domain}', '') !~ '^https?://[^\s/?#]+$' or coalesce(event #>> '{data,path}', '') !~ '^/'
		or coalesce(event #>> '{data,method}', '') !~ '^[A-Z]{1,20}$'
	then
		raise exception using errcode = 'FF040', message = 'a run that begins in its app needs a run_id and the event of its HTTP request',
			detail = format('run_id is %s, the event''s data %s.', coalesce(body ->> 'run_id', 'missing'), coalesce(left(event ->> 'data', 200), 'missing')),
			hint = 'data holds domain, path, method, query_params, content_type and body.';
	end if;
	perform flowforge.check_report(body -> 'steps');
	perform pg_advisory_xact_lock(hashtextextended(run::text, 1));
	if not exists (select from flowforge.run r where r.tenant_id = tenant and r.run_id = run) then
		perform flowforge.check_state(run, body -> 'steps');
		perform flowforge.start_endpoint_run(run, jsonb_build_object('name', event ->> 'name', 'data', event -> 'data'),
			least(greatest(coalesce((body ->> 'retries')::integer, 3), 0), 20), coalesce((body ->> 'request_version')::integer, 2));
		perform flowforge.post(tenant, run, 'report', jsonb_build_object('steps', coalesce(body -> 'steps', '[]')));
	end if;
	select f.slug, f.app_id into strict owner
	from flowforge.run r join flowforge.function f using (tenant_id, function_id)
	where r.tenant_id = tenant and r.run_id = run;
	return flowforge.answer(jsonb_build_object('data', jsonb_build_object('run_id', flowforge.ulid(run), 'fn_id', owner.slug, 'app_id', owner.app_id,
		'token', flowforge.endpoint_token(run), 'realtime_token', flowforge.endpoint_token(run))));
end
$$;
comment on function flowforge.api_endpoint_start(flowforge.request) is
'POST /v1/checkpoint: a run that has begun in its app, with the steps it has done. Errors: FF040, FF042, FF204, FF208.';

create function flowforge.api_endpoint_report(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant jsonb := flowforge.object_of(request);
	run constant uuid := flowforge.run_of(request);
	tenant constant integer := flowforge.current_tenant();
begin
	perform flowforge.check_report(body -> 'steps');
	if flowforge.call_is_live(run, null, null) or not exists (
		select from flowforge.live_run l
		where l.slot = flowforge.slot(run) and l.run_id = run and l.tenant_id = tenant and l.state @> '{"items": [{"id": "", "rem": true}]}')
	then
		raise exception using errcode = 'FF041', message = format('run %s is no longer in its app''s hands', flowforge.ulid(run)),
			detail = 'The engine goes on with it, or it has ended.', hint = 'Stop; the run goes on without this request.';
	end if;
	perform flowforge.check_state(run, body -> 'steps');
	perform flowforge.post(tenant, run, 'report', jsonb_build_object('steps', body -> 'steps'));
	return flowforge.answer(jsonb_build_object('data', jsonb_build_object('run_id', flowforge.ulid(run))));
end
$$;
comment on function flowforge.api_endpoint_report(flowforge.request) is
'POST /v1/checkpoint/{id}/steps: what a run that began in its app has done, or how the engine is to go on. Errors: FF010, FF040, FF041, FF042.';

-- The headers an endpoint answered with, but for those that are about one connection.
create function flowforge.endpoint_headers(headers jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(string_agg(lower(h.key) || ': ' || h.value || E'\n', '' order by h.key), '')
	from jsonb_each_text(case jsonb_typeof(headers) when 'object' then headers else '{}' end) h
	where h.key ~ '^[A-Za-z0-9-]+$' and h.value !~ '[[:cntrl:]]'
		and lower(h.key) not in ('connection', 'content-length', 'keep-alive', 'trailer', 'transfer-encoding', 'upgrade')
$$;
comment on function flowforge.endpoint_headers(jsonb) is 'Headers as lines, without those that say something of a connection.';

create function flowforge.is_json(text) returns boolean
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $$
begin
	return $1::jsonb is not null;
exception when data_exception or program_limit_exceeded then
	return false;
end
$$;
comment on function flowforge.is_json(text) is 'Whether a text is JSON that a jsonb can hold.';

-- Of a Response that a handler returned the SDK reports the text only, as a string in JSON: that is what was meant for the caller.
create function flowforge.endpoint_answer(output jsonb) returns flowforge.response
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant text := output ->> 'body';
	said text;
begin
	if flowforge.is_json(body) and jsonb_typeof(body::jsonb) = 'string' then
		said := body::jsonb #>> '{}';
		return ((output ->> 'status')::integer, format(E'content-type: %s\n',
			case when flowforge.is_json(said) then 'application/json' else 'text/plain; charset=utf-8' end), said)::flowforge.response;
	end if;
	return ((output ->> 'status')::integer, flowforge.endpoint_headers(output -> 'headers'), body)::flowforge.response;
end
$$;
comment on function flowforge.endpoint_answer(jsonb) is 'What an endpoint''s caller is answered, from what its run returned.';

create function flowforge.api_endpoint_output(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	run constant uuid := flowforge.run_of(request);
	ended flowforge.run_end;
begin
	if request.query ->> 'token' is distinct from flowforge.endpoint_token(run) then
		raise exception using errcode = 'FF205', message = 'the token is not this run''s', hint = 'Use the address the endpoint redirected to.';
	end if;
	perform flowforge.await_run(run, 1000);
	select e.* into ended from flowforge.run_end e where e.tenant_id = flowforge.current_tenant() and e.run_id = run;
	if not found then
		return (307, format(E'content-type: application/json\nretry-after: 1\nlocation: %s?token=%s\n', request.path, request.query ->> 'token'),
			'{"status": "running"}')::flowforge.response;
	elsif ended.status <> 'completed' then
		return flowforge.answer(jsonb_build_object('error', ended.error, 'status', ended.status), 500);
	elsif jsonb_typeof(ended.output -> 'body') = 'string' and ended.output ->> 'status' ~ '^[1-5]\d\d$' then
		return flowforge.endpoint_answer(ended.output);
	end if;
	return flowforge.answer(ended.output);
end
$$;
comment on function flowforge.api_endpoint_output(flowforge.request) is
'GET /v1/http/runs/{id}/output: what an endpoint''s run answers, as it answers it; a redirect to itself while it goes on. Errors: FF010, FF205.';

insert into flowforge.route (method, pattern, function, scope, style, tag, summary, request_schema, response_schema) values
('POST', '/v1/checkpoint', 'flowforge.api_endpoint_start', 'runs:manage', 'sdk', 'sdk', 'A run has begun in its app',
'{"type": "object", "required": ["run_id", "event"], "properties": {
	"run_id": {"type": "string", "description": "A ULID."},
	"event": {"type": "object", "description": "The HTTP request: name and data."},
	"steps": {"type": "array", "items": {"type": "object", "required": ["id", "op"]}},
	"retries": {"type": "integer", "minimum": 0, "maximum": 20}, "request_version": {"type": "integer"}}}',
'{"type": "object", "required": ["data"], "properties": {"data": {"type": "object", "required": ["run_id", "fn_id", "app_id", "token", "realtime_token"]}}}'),
('POST', '/v1/checkpoint/{id}/steps', 'flowforge.api_endpoint_report', 'runs:manage', 'sdk', 'sdk', 'What a run that began in its app has done',
'{"type": "object", "required": ["steps"], "properties": {"steps": {"type": "array", "items": {"type": "object", "required": ["id", "op"]}}}}',
'{"type": "object", "required": ["data"]}'),
('GET', '/v1/http/runs/{id}/output', 'flowforge.api_endpoint_output', 'public', 'sdk', 'sdk', 'What an endpoint answers when its run has ended',
'{"type": "object", "required": ["token"], "properties": {"token": {"type": "string"}}}',
'{"contentMediaType": "application/octet-stream"}');

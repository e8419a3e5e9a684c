-- The tenant of who asks, over HTTP: its name, its share of the executors, its limits, and the pause of everything.

create function flowforge.tenant_json() returns jsonb
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select s.state || jsonb_build_object('etag', format('"%s"', md5(s.state::text)))
	from flowforge.tenant t
	left join flowforge.pause p on p.tenant_id = t.tenant_id and p.function_id is null and p.app_id is null
	cross join lateral (
		select jsonb_build_object('id', t.tenant_id, 'name', t.name, 'created_at', t.created_at, 'weight', t.weight, 'max_running', t.max_running,
			'max_events_per_second', t.max_events_per_second, 'max_queued', t.max_queued, 'max_payload_bytes', t.max_payload_bytes, 'paused', p.paused_at is not null, 'pause', case when p.paused_at is not null then
				jsonb_build_object('reason', p.reason, 'paused_at', p.paused_at) end) as state) s
	where t.tenant_id = flowforge.current_tenant()
$$;
comment on function flowforge.tenant_json() is 'The tenant this session works for, as the API shows it; its etag is another one after every change.';

create function flowforge.tenant_answer() returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant jsonb := flowforge.tenant_json();
begin
	return flowforge.answer(tenant, 200, format(E'etag: %s\n', tenant ->> 'etag'));
end
$$;
comment on function flowforge.tenant_answer() is 'The tenant as the API shows it, with its ETag.';

create function flowforge.api_tenant(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.tenant_answer();
end
$$;
comment on function flowforge.api_tenant(flowforge.request) is 'GET /api/v1/tenant.';

-- A limit in the body: a number sets it, null removes it, which is 0 to ff_set_tenant; null when the body does not say it.
create function flowforge.limit_member(request flowforge.request, name text) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	given constant text := flowforge.body_member(request, name, 'number') #>> '{}';
begin
	if given is null then
		return case when flowforge.object_of(request) ? name then 0 end;
	elsif given ~ '^\d{1,9}$' then
		return given::integer;
	end if;
	raise exception using errcode = 'FF203', message = format('%s is no whole number from 0 to 999999999', name), detail = format('It is %s.', given),
		hint = 'null removes the limit.', column = name;
end
$$;
comment on function flowforge.limit_member(flowforge.request, text) is 'A limit that a body sets, 0 when it removes it; null when it leaves it. Error: FF203.';

create function flowforge.rename_tenant(name text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	if btrim(name) = '' or octet_length(name) > 255 then
		raise exception using errcode = 'FF203', message = 'a tenant''s name has 1 to 255 bytes', hint = 'Leave name out to keep the one it has.', column = 'name';
	end if;
	update flowforge.tenant t set name = rename_tenant.name where t.tenant_id = flowforge.current_tenant() and t.name <> rename_tenant.name;
exception when unique_violation then
	raise exception using errcode = 'FF6A2', message = 'another tenant has this name', hint = 'Choose another name.', column = 'name';
end
$$;
comment on function flowforge.rename_tenant(text) is 'Gives the tenant another name. Errors: FF203, FF6A2 it is taken.';

-- Tenant 1 is the operator's. A development server that asks nobody who he is is its developer's.
create function flowforge.api_tenant_change(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	name constant text := flowforge.body_member(request, 'name', 'string') #>> '{}';
	paused constant boolean := (flowforge.body_member(request, 'paused', 'boolean') #>> '{}')::boolean;
	weight constant integer := nullif(flowforge.limit_member(request, 'weight'), 0);
	max_running constant integer := flowforge.limit_member(request, 'max_running');
	max_events constant integer := flowforge.limit_member(request, 'max_events_per_second');
	max_queued constant integer := flowforge.limit_member(request, 'max_queued');
	max_payload constant integer := flowforge.limit_member(request, 'max_payload_bytes');
begin
	perform from flowforge.tenant t where t.tenant_id = tenant for update;
	perform flowforge.check_etag(request, flowforge.tenant_json() ->> 'etag', 'the tenant');
	if num_nonnulls(weight, max_running, max_events, max_queued, max_payload) > 0 then
		perform flowforge.require_operator('the share and the limits of a tenant');
	end if;
	if name is not null then
		perform flowforge.rename_tenant(name);
	end if;
	perform @extschema@.ff_set_tenant(tenant, weight, max_running, max_events, max_queued => max_queued, max_payload_bytes => max_payload);
	if paused then
		perform @extschema@.ff_pause_all(flowforge.body_member(request, 'reason', 'string') #>> '{}');
	elsif not paused then
		perform @extschema@.ff_resume_all();
	end if;
	return flowforge.tenant_answer();
end
$$;
comment on function flowforge.api_tenant_change(flowforge.request) is 'PATCH /api/v1/tenant.';

insert into flowforge.route_schema (name, schema) values
('Tenant', '{
	"type": "object",
	"required": ["id", "name", "created_at", "weight", "max_running", "max_events_per_second", "max_queued", "max_payload_bytes", "paused", "pause", "etag"],
	"properties": {
		"id": {"type": "integer"},
		"name": {"type": "string"},
		"created_at": {"type": "string", "format": "date-time"},
		"weight": {"type": "integer", "description": "Its share of the executors while other tenants have work, too."},
		"max_running": {"type": ["integer", "null"], "description": "Runs it may have running at once; null: any number."},
		"max_events_per_second": {"type": ["integer", "null"], "description": "null: any number."},
		"max_queued": {"type": ["integer", "null"], "description": "Runs that have not begun it may have, before senders are refused; null: any number."},
		"max_payload_bytes": {"type": ["integer", "null"], "description": "Bytes of an event''s data and user; null: what the server allows."},
		"paused": {"type": "boolean", "description": "Whether nothing of it is called."},
		"pause": {"type": ["object", "null"], "properties": {
			"reason": {"type": ["string", "null"]}, "paused_at": {"type": "string", "format": "date-time"}}},
		"etag": {"type": "string", "description": "For If-Match."}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/tenant', 'flowforge.api_tenant', 'team:read', 'tenant', 'The tenant of who asks', '{}', '{"$ref": "#/components/schemas/Tenant"}'),
('PATCH', '/api/v1/tenant', 'flowforge.api_tenant_change', 'team:manage', 'tenant', 'Change what the body says; 412 when If-Match is not its ETag',
'{"type": "object", "properties": {
	"name": {"type": "string", "minLength": 1, "maxLength": 255},
	"weight": {"type": "integer", "minimum": 1, "maximum": 1000},
	"max_running": {"type": ["integer", "null"], "minimum": 1, "maximum": 999999999},
	"max_events_per_second": {"type": ["integer", "null"], "minimum": 1, "maximum": 999999999},
	"max_queued": {"type": ["integer", "null"], "minimum": 1, "maximum": 999999999},
	"max_payload_bytes": {"type": ["integer", "null"], "minimum": 1, "maximum": 999999999},
	"paused": {"type": "boolean", "description": "Everything of it; its runs are kept and not called."},
	"reason": {"type": ["string", "null"], "description": "Of the pause."}}}',
'{"$ref": "#/components/schemas/Tenant"}');

-- Secrets over HTTP. A value comes in and never goes out.

create function flowforge.secret_json(secret flowforge.secrets) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('name', secret.name, 'version', secret.version, 'created_by', secret.created_by, 'created_at', secret.created_at,
		'updated_at', secret.updated_at, 'last_used_at', secret.last_used_at)
$$;
comment on function flowforge.secret_json(flowforge.secrets) is 'A secret as the API shows it.';

create function flowforge.api_secrets(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	size constant integer := flowforge.named_size(request.query);
	after constant text := request.query ->> 'cursor';
begin
	return flowforge.page_answer(array(
		select flowforge.secret_json(s)
		from flowforge.secrets s
		where after is null or s.name > after collate "C"
		order by s.name collate "C"
		limit size + 1), size, 'name');
end
$$;
comment on function flowforge.api_secrets(flowforge.request) is 'GET /api/v1/secrets.';

create function flowforge.api_secret_set(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant jsonb := flowforge.object_of(request);
	wanted constant text := request.params ->> 'name';
	version integer;
begin
	-- An error of text_member would show what was given.
	if jsonb_typeof(body -> 'value') is distinct from 'string' then
		raise exception using errcode = 'FF204', message = 'value must be a text', hint = '{"value": "..."}', column = 'value';
	end if;
	version := @extschema@.ff_secret_set(wanted, body ->> 'value');
	return flowforge.answer((select flowforge.secret_json(s) from flowforge.secrets s where s.name = wanted),
		case when version = 1 then 201 else 200 end);
end
$$;
comment on function flowforge.api_secret_set(flowforge.request) is 'PUT /api/v1/secrets/{name}.';

create function flowforge.api_secret_delete(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	perform @extschema@.ff_secret_delete(request.params ->> 'name');
	return flowforge.answer(jsonb_build_object('name', request.params ->> 'name', 'result', 'deleted'));
end
$$;
comment on function flowforge.api_secret_delete(flowforge.request) is 'DELETE /api/v1/secrets/{name}.';

create function flowforge.api_secret_rotate(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(jsonb_build_object('resealed', @extschema@.ff_secret_rotate()));
end
$$;
comment on function flowforge.api_secret_rotate(flowforge.request) is 'POST /api/v1/secrets/rotate.';

insert into flowforge.route_schema (name, schema) values
('Secret', '{
	"type": "object",
	"required": ["name", "version", "created_by", "created_at", "updated_at", "last_used_at"],
	"properties": {
		"name": {"type": "string"},
		"version": {"type": "integer", "description": "How often it has been set."},
		"created_by": {"type": "string"},
		"created_at": {"type": "string", "format": "date-time"},
		"updated_at": {"type": "string", "format": "date-time"},
		"last_used_at": {"type": ["string", "null"], "format": "date-time", "description": "Exact to about a minute."}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/secrets', 'flowforge.api_secrets', 'secrets:read', 'access', 'List secrets by name, without their values',
'{"type": "object", "properties": {
	"limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/Secret"}},
	"next_cursor": {"type": ["string", "null"]}}}'),
('PUT', '/api/v1/secrets/{name}', 'flowforge.api_secret_set', 'secrets:manage', 'access', 'Store a secret, or another value of it',
'{"type": "object", "required": ["value"], "properties": {
	"value": {"type": "string", "minLength": 6, "maxLength": 65536, "writeOnly": true}}}',
'{"$ref": "#/components/schemas/Secret"}'),
('DELETE', '/api/v1/secrets/{name}', 'flowforge.api_secret_delete', 'secrets:manage', 'access', 'Delete a secret',
'{}', '{"type": "object", "required": ["name", "result"], "properties": {"name": {"type": "string"}, "result": {"const": "deleted"}}}'),
('POST', '/api/v1/secrets/rotate', 'flowforge.api_secret_rotate', 'secrets:manage', 'access', 'Seal everything with the key of today',
'{"type": "object", "properties": {}}', '{"type": "object", "required": ["resealed"], "properties": {"resealed": {"type": "integer", "description": "How many values it was."}}}');

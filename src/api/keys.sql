-- API keys over HTTP.

create function flowforge.api_key_json(key flowforge.api_keys) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('id', key.key_id, 'ulid', key.ulid, 'name', key.name, 'type', key.type, 'prefix', key.prefix,
		'scopes', to_jsonb(key.scopes), 'created_by', key.created_by, 'created_at', key.created_at, 'expires_at', key.expires_at,
		'last_used_at', key.last_used_at, 'revoked_at', key.revoked_at, 'status', key.status)
$$;
comment on function flowforge.api_key_json(flowforge.api_keys) is 'An API key as the API shows it.';

create function flowforge.api_api_keys(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	page constant flowforge.page := flowforge.page_of(request.query);
begin
	return flowforge.page_answer(array(
		select flowforge.api_key_json(k)
		from flowforge.api_keys k
		where k.key_id >= page.low and k.key_id < page.high
		order by k.key_id desc
		limit page.size + 1), page.size);
end
$$;
comment on function flowforge.api_api_keys(flowforge.request) is 'GET /api/v1/api-keys.';

create function flowforge.texts_member(body jsonb, name text) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	given constant jsonb := body -> name;
begin
	if given is null or given = 'null' then
		return null;
	elsif jsonb_typeof(given) <> 'array' or jsonb_path_exists(given, '$[*] ? (@.type() != "string")') then
		raise exception using errcode = 'FF204', message = format('%s must be a list of texts', name), detail = format('It is %s.', left(given::text, 200)),
			hint = format('Leave %s out for none.', name), column = name;
	end if;
	return array(select t.value from jsonb_array_elements_text(given) with ordinality t (value, place) order by t.place);
end
$$;
comment on function flowforge.texts_member(jsonb, text) is 'A list of texts from the body of a request; null when not given. Error: FF204.';

create function flowforge.api_api_key_create(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant jsonb := flowforge.object_of(request);
	made record;
begin
	select * into made from @extschema@.ff_key_create(flowforge.text_member(body, 'name'), coalesce(flowforge.text_member(body, 'type'), 'live'),
		flowforge.texts_member(body, 'scopes'), flowforge.time_of(body, 'expires_at'));
	return flowforge.secret_answer((
		select flowforge.api_key_json(k) || jsonb_build_object('key', made.key)
		from flowforge.api_keys k where k.key_id = made.key_id), 201);
end
$$;
comment on function flowforge.api_api_key_create(flowforge.request) is 'POST /api/v1/api-keys.';

create function flowforge.api_api_key_revoke(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	id constant uuid := flowforge.id_of(request.params ->> 'id', 'id');
	now_revoked constant boolean := @extschema@.ff_key_revoke(id::text);
begin
	return flowforge.answer((
		select flowforge.api_key_json(k) || jsonb_build_object('result', case when now_revoked then 'revoked' else 'already revoked' end)
		from flowforge.api_keys k where k.key_id = id));
end
$$;
comment on function flowforge.api_api_key_revoke(flowforge.request) is 'DELETE /api/v1/api-keys/{id}.';

insert into flowforge.route_schema (name, schema) values
('ApiKey', '{
	"type": "object",
	"required": ["id", "ulid", "name", "type", "prefix", "scopes", "created_by", "created_at", "expires_at", "last_used_at", "revoked_at", "status"],
	"properties": {
		"id": {"type": "string", "format": "uuid"},
		"ulid": {"type": "string"},
		"name": {"type": "string"},
		"type": {"enum": ["live", "test", "ro"], "description": "ro: it can only have scopes that read."},
		"prefix": {"type": "string", "description": "How the key begins."},
		"scopes": {"type": "array", "items": {"type": "string"}},
		"created_by": {"type": "string"},
		"created_at": {"type": "string", "format": "date-time"},
		"expires_at": {"type": ["string", "null"], "format": "date-time"},
		"last_used_at": {"type": ["string", "null"], "format": "date-time", "description": "Exact to about a minute."},
		"revoked_at": {"type": ["string", "null"], "format": "date-time"},
		"status": {"enum": ["active", "expired", "revoked"]},
		"key": {"type": "string", "description": "The key itself; shown this once only."},
		"result": {"enum": ["revoked", "already revoked"], "description": "What this request did."}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/api-keys', 'flowforge.api_api_keys', 'team:read', 'access', 'List API keys, newest first',
'{"type": "object", "properties": {
	"since": {"type": "string", "format": "date-time"},
	"until": {"type": "string", "format": "date-time"},
	"limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/ApiKey"}},
	"next_cursor": {"type": ["string", "null"]}}}'),
('POST', '/api/v1/api-keys', 'flowforge.api_api_key_create', 'team:manage', 'access', 'Make an API key, which is shown this once',
'{"type": "object", "required": ["name", "scopes"], "properties": {
	"name": {"type": "string", "minLength": 1, "maxLength": 200},
	"type": {"enum": ["live", "test", "ro"], "default": "live"},
	"scopes": {"type": "array", "minItems": 1, "items": {"type": "string"}},
	"expires_at": {"type": ["string", "null"], "format": "date-time"}}}',
'{"$ref": "#/components/schemas/ApiKey"}'),
('DELETE', '/api/v1/api-keys/{id}', 'flowforge.api_api_key_revoke', 'team:manage', 'access', 'Revoke an API key',
'{}', '{"$ref": "#/components/schemas/ApiKey"}');

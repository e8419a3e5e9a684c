-- The OpenAPI 3.1 document, made from the rows of flowforge.route.

create function flowforge.openapi_parameters(route flowforge.route) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(p.parameter order by p.place, p.name), '[]')
	from (
		select 'path' as place, m.found[1] as name, jsonb_build_object('name', m.found[1], 'in', 'path', 'required', true,
			'schema', '{"type": "string"}'::jsonb) as parameter
		from regexp_matches(route.pattern, '\{(\w+)\}', 'g') as m (found)
		union all
		select 'query', q.key, jsonb_build_object('name', q.key, 'in', 'query', 'required', false,
			'schema', q.value - 'description') || jsonb_strip_nulls(jsonb_build_object('description', q.value -> 'description'))
		from jsonb_each(route.request_schema -> 'properties') q
		where route.method in ('GET', 'DELETE')
		union all
		select 'query', 'Idempotency-Key', '{"name": "Idempotency-Key", "in": "header", "required": false,
			"description": "A repeat with the same key within a day is given the first answer; another request with it, 422.",
			"schema": {"type": "string", "maxLength": 255}}'::jsonb
		where route.method = 'POST' and route.style not in ('event', 'page')
	) p
$$;
comment on function flowforge.openapi_parameters(flowforge.route) is 'The parameters of a route, in its path, the query string and headers.';

-- Anything but a plain problem+json error is what the SDKs of the protocol read; a path that cannot be read is no route's, and told as others are.
create function flowforge.openapi_error(style text) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('description', 'An error', 'content', case
		when style in ('problem', 'page') then '{"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}'::jsonb
		else '{"application/json": {"schema": {"$ref": "#/components/schemas/SdkError"}},
			"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}'
	end)
$$;
comment on function flowforge.openapi_error(text) is 'The errors of a route, by its style.';

create function flowforge.openapi_operation(route flowforge.route) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_strip_nulls(jsonb_build_object(
		'operationId', lower(route.method) || regexp_replace(regexp_replace(route.pattern, '[{}]', '', 'g'), '\W+', '_', 'g'),
		'summary', route.summary,
		'tags', jsonb_build_array(route.tag),
		'description', 'Scope: ' || route.scope || '.',
		'security', case when route.scope in ('public', 'event_key') then '[]' else '[{"bearer": []}, {"key": []}]' end::jsonb,
		'parameters', flowforge.openapi_parameters(route),
		'requestBody', case when route.method not in ('GET', 'DELETE') and route.request_schema <> '{}' then
			jsonb_build_object('required', not coalesce(route.request_schema -> 'type' ? 'null', false),
				'content', jsonb_build_object(coalesce(route.request_schema ->> 'contentMediaType', 'application/json'),
					jsonb_build_object('schema', route.request_schema))) end,
		'responses', jsonb_build_object(
			'2XX', jsonb_build_object('description', 'Done', 'content', jsonb_build_object(
				coalesce(route.response_schema ->> 'contentMediaType', 'application/json'),
				jsonb_build_object('schema', route.response_schema))),
			'default', flowforge.openapi_error(route.style))))
$$;
comment on function flowforge.openapi_operation(flowforge.route) is 'A route as an operation of OpenAPI.';

create function flowforge.openapi() returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object(
		'openapi', '3.1.0',
		'info', jsonb_build_object('title', 'FlowForge', 'version', flowforge.version(),
			'description', 'Durable workflows inside PostgreSQL. Ids are UUIDs and accepted as ULIDs too.'),
		'servers', '[{"url": "/"}]'::jsonb,
		'paths', (
			select jsonb_object_agg(p.pattern, p.operations)
			from (select r.pattern, jsonb_object_agg(lower(r.method), flowforge.openapi_operation(r)) as operations
				from flowforge.route r group by r.pattern) p),
		'components', jsonb_build_object(
			'schemas', (select jsonb_object_agg(s.name, s.schema) from flowforge.route_schema s),
			'securitySchemes', '{
				"bearer": {"type": "http", "scheme": "bearer",
					"description": "An API key, a token of POST /api/v1/auth/login, or the hash of the signing key. A development server asks nobody on its own machine."},
				"key": {"type": "apiKey", "in": "header", "name": "X-FlowForge-API-Key", "description": "An API key."}}'::jsonb))
$$;
comment on function flowforge.openapi() is 'The OpenAPI 3.1 document of the HTTP API.';

create function flowforge.api_openapi(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	document constant jsonb := flowforge.openapi();
	tag constant text := '"' || md5(document::text) || '"';
	headers constant text := E'cache-control: no-cache\netag: ' || tag || E'\n';
begin
	if flowforge.is_known_etag(request, tag) then
		return (304, headers, '')::flowforge.response;
	end if;
	return flowforge.answer(document, 200, headers);
end
$$;
comment on function flowforge.api_openapi(flowforge.request) is 'GET /api/openapi.json.';

insert into flowforge.route_schema (name, schema) values
('Problem', '{
	"description": "RFC 9457.",
	"type": "object", "required": ["type", "title", "status", "detail", "code", "hint", "errors"],
	"properties": {
		"type": {"type": "string"},
		"title": {"type": "string"},
		"status": {"type": "integer"},
		"detail": {"type": "string", "description": "What is wrong with this request."},
		"code": {"type": "string", "description": "The SQLSTATE of the error; those of class FF are listed in docs/errors.md."},
		"hint": {"type": ["string", "null"], "description": "What to do about it."},
		"errors": {"type": "array", "items": {"type": "object", "anyOf": [{"required": ["detail"]}, {"required": ["message"]}], "properties": {
			"field": {"type": "string"}, "detail": {"type": "string"},
			"code": {"type": "string", "description": "Of a finding in a workflow, with its node_id or edge_id, path and hint."},
			"keyword": {"type": "string", "description": "Of a finding in an input: what of its schema demands it, with its path."},
			"message": {"type": "string"}, "path": {"type": "string"}, "node_id": {"type": "string"}, "edge_id": {"type": "string"}}}}
	}
}'),
('SdkError', '{
	"type": "object", "required": ["error", "status"],
	"properties": {
		"ids": {"type": "array", "maxItems": 0},
		"error": {"type": "string"},
		"status": {"type": "integer"}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, response_schema) values
('GET', '/api/openapi.json', 'flowforge.api_openapi', 'public', 'pages', 'This document',
'{"type": "object", "required": ["openapi", "info", "servers", "paths", "components"]}');

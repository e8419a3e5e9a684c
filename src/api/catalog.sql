-- The catalogue over HTTP: what a builder offers for graphs.

create function flowforge.api_catalog_steps(request flowforge.request) returns flowforge.response
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.answer(jsonb_build_object('data', jsonb_agg(flowforge.step_type_json(t) order by t.place)))
	from flowforge.step_type t
$$;
comment on function flowforge.api_catalog_steps(flowforge.request) is 'GET /api/v1/catalog/steps.';

-- Schemas of functions of apps are not known: SDKs do not tell them.
create function flowforge.api_catalog_functions(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted constant text := flowforge.choice_of(request.query, 'kind', '{sdk,graph,sql}');
	size constant integer := flowforge.named_size(request.query);
	after constant text := request.query ->> 'cursor';
begin
	return flowforge.page_answer(array(
		select jsonb_build_object('function', f.slug, 'name', f.name, 'kind', f.kind,
			'description', coalesce(v.config ->> 'description', ''), 'category', 'custom',
			'input_schema', nullif(v.config -> 'input_schema', 'null'), 'output_schema', nullif(v.config -> 'output_schema', 'null'))
		from flowforge.function f
		join flowforge.function_version v using (tenant_id, function_id, version)
		where f.tenant_id = flowforge.current_tenant() and f.archived_at is null and (wanted is null or f.kind = wanted)
			and (after is null or f.slug collate "C" > after)
		order by f.slug collate "C"
		limit size + 1), size, 'function');
end
$$;
comment on function flowforge.api_catalog_functions(flowforge.request) is 'GET /api/v1/catalog/functions.';

insert into flowforge.route_schema (name, schema) values
('StepType', '{
	"type": "object",
	"required": ["type", "label", "icon", "category", "description", "config_schema", "output_schema"],
	"properties": {
		"type": {"type": "string", "description": "What a node says in its type."},
		"label": {"type": "string"},
		"icon": {"type": "string", "description": "The name of an icon of Lucide."},
		"category": {"enum": ["integrations", "ai", "logic", "data", "flow", "custom"]},
		"description": {"type": "string"},
		"config_schema": {"type": "object", "description": "JSON Schema of data.config; x-control names a form''s control."},
		"output_schema": {"type": "object", "description": "JSON Schema of the node''s output."}
	}
}'),
('CatalogFunction', '{
	"type": "object",
	"required": ["function", "name", "kind", "description", "category", "input_schema", "output_schema"],
	"properties": {
		"function": {"type": "string", "description": "What a function_call says in its config."},
		"name": {"type": "string"},
		"kind": {"enum": ["sdk", "graph", "sql"]},
		"description": {"type": "string"},
		"category": {"enum": ["custom"]},
		"input_schema": {"type": ["object", "boolean", "null"], "description": "JSON Schema of its input; null: it takes anything."},
		"output_schema": {"type": ["object", "boolean", "null"], "description": "JSON Schema of its result; null: nobody says."}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/catalog/steps', 'flowforge.api_catalog_steps', 'functions:read', 'catalog', 'List the types of nodes a graph may have',
'{}',
'{"type": "object", "required": ["data"], "properties": {"data": {"type": "array", "items": {"$ref": "#/components/schemas/StepType"}}}}'),
('GET', '/api/v1/catalog/functions', 'flowforge.api_catalog_functions', 'functions:read', 'catalog', 'List the functions a graph can call',
'{"type": "object", "properties": {"kind": {"enum": ["sdk", "graph", "sql"], "description": "Of this kind only."},
	"limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {"next_cursor": {"type": ["string", "null"]}, "data": {"type": "array", "items": {"$ref": "#/components/schemas/CatalogFunction"}}}}');

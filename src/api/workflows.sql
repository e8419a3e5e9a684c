-- Workflows over HTTP. {id} is a workflow's slug, its id or its name. ETag and If-Match guard what people edit at the same time.

create function flowforge.workflow_json(workflow flowforge.workflows) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('id', workflow.id, 'ulid', workflow.ulid, 'workflow', workflow.workflow, 'name', workflow.name,
		'description', workflow.description, 'status', workflow.status, 'version', workflow.version, 'has_draft', workflow.has_draft,
		'draft_version', workflow.draft_version, 'etag', workflow.etag, 'role', workflow.role, 'created_by', workflow.created_by,
		'created_at', workflow.created_at, 'updated_at', workflow.updated_at, 'published_at', workflow.published_at)
$$;
comment on function flowforge.workflow_json(flowforge.workflows) is 'A workflow as lists of the API show it: without its definition.';

create function flowforge.workflow_answer(function integer, status integer default 200) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	w constant flowforge.workflows := flowforge.workflow_row(function);
begin
	return flowforge.answer(flowforge.workflow_json(w) || jsonb_build_object('definition', w.definition, 'input_schema', w.input_schema,
		'settings', w.settings, 'triggers', w.triggers), status, format(E'etag: %s\n', w.etag));
end
$$;
comment on function flowforge.workflow_answer(integer, integer) is 'A workflow as the API shows it alone, with its ETag.';

create function flowforge.api_workflows(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	page constant flowforge.page := flowforge.page_of(request.query);
	wanted constant text := flowforge.choice_of(request.query, 'status', '{draft,published,archived}');
	search constant text := lower(request.query ->> 'search');
begin
	return flowforge.page_answer(array(
		select flowforge.workflow_json(w)
		from flowforge.workflows w
		where w.tenant_id = flowforge.current_tenant() and w.id >= page.low and w.id < page.high and (wanted is null or w.status = wanted)
			and (search is null or strpos(lower(concat_ws(' ', w.workflow, w.name, w.description)), search) > 0)
		order by w.id desc
		limit page.size + 1), page.size);
end
$$;
comment on function flowforge.api_workflows(flowforge.request) is 'GET /api/v1/workflows.';

-- A member that a body has, as the API takes it: null takes an input schema away, and leaves everything else as it is.
create function flowforge.workflow_document(request flowforge.request) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.document_of(flowforge.body_member(request, 'definition', 'object'), flowforge.object_of(request) -> 'input_schema',
		flowforge.body_member(request, 'settings', 'object'), flowforge.body_member(request, 'triggers', 'array'))
$$;
comment on function flowforge.workflow_document(flowforge.request) is 'What a body says of a workflow''s definition.';

-- Whoever has the key may say who he is: the gateway knows no more of him.
create function flowforge.workflow_author(request flowforge.request) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(nullif(btrim(flowforge.body_member(request, 'created_by', 'string') #>> '{}'), ''), 'api')
$$;
comment on function flowforge.workflow_author(flowforge.request) is 'Who makes a workflow by a request: created_by of the body, by default api.';

create function flowforge.api_workflow_create(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.workflow_answer(flowforge.create_workflow(flowforge.body_member(request, 'name', 'string') #>> '{}',
		flowforge.workflow_document(request), flowforge.body_member(request, 'description', 'string') #>> '{}', null, flowforge.workflow_author(request)), 201);
end
$$;
comment on function flowforge.api_workflow_create(flowforge.request) is 'POST /api/v1/workflows.';

create function flowforge.api_workflow(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	version constant integer := flowforge.integer_of(request.query, 'version', null, 1, 999999999);
	w constant flowforge.workflow := flowforge.find_workflow(request.params ->> 'id');
	config jsonb;
begin
	if version is null and flowforge.is_known_etag(request, flowforge.workflow_etag(w)) then
		return (304, format(E'etag: %s\n', flowforge.workflow_etag(w)), '')::flowforge.response;
	elsif version is null then
		return flowforge.workflow_answer(w.function_id);
	end if;
	config := flowforge.version_config(w, version);
	return flowforge.answer(flowforge.workflow_json(flowforge.workflow_row(w.function_id)) || jsonb_build_object('version', version,
		'definition', config -> 'graph', 'input_schema', config -> 'input_schema', 'settings', config -> 'settings', 'triggers', config -> 'triggers'));
end
$$;
comment on function flowforge.api_workflow(flowforge.request) is 'GET /api/v1/workflows/{id}.';

create function flowforge.api_workflow_update(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.workflow_answer(flowforge.update_workflow(request.params ->> 'id', flowforge.workflow_document(request),
		flowforge.body_member(request, 'name', 'string') #>> '{}', flowforge.body_member(request, 'description', 'string') #>> '{}',
		flowforge.integer_of(jsonb_build_object('version', flowforge.body_member(request, 'version', 'number') #>> '{}'), 'version', null, 1, 999999999),
		flowforge.expected_etag(request)));
end
$$;
comment on function flowforge.api_workflow_update(flowforge.request) is 'PUT /api/v1/workflows/{id}.';

create function flowforge.api_workflow_delete(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	w constant flowforge.workflow := flowforge.find_workflow(request.params ->> 'id');
begin
	perform flowforge.delete_workflow(request.params ->> 'id', flowforge.expected_etag(request));
	return flowforge.answer(jsonb_build_object('id', w.workflow_id, 'name', w.name, 'result', 'deleted'));
end
$$;
comment on function flowforge.api_workflow_delete(flowforge.request) is 'DELETE /api/v1/workflows/{id}.';

create function flowforge.api_workflow_publish(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.workflow_answer(flowforge.publish_workflow(request.params ->> 'id', flowforge.expected_etag(request)));
end
$$;
comment on function flowforge.api_workflow_publish(flowforge.request) is 'POST /api/v1/workflows/{id}/publish.';

create function flowforge.api_workflow_archive(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.workflow_answer(flowforge.archive_workflow(request.params ->> 'id', flowforge.expected_etag(request)));
end
$$;
comment on function flowforge.api_workflow_archive(flowforge.request) is 'POST /api/v1/workflows/{id}/archive.';

create function flowforge.api_workflow_duplicate(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.workflow_answer(flowforge.duplicate_workflow(request.params ->> 'id', flowforge.body_member(request, 'name', 'string') #>> '{}',
		null, flowforge.workflow_author(request)), 201);
end
$$;
comment on function flowforge.api_workflow_duplicate(flowforge.request) is 'POST /api/v1/workflows/{id}/duplicate.';

-- A definition in the body is validated in place of the stored one: what an editor has before it saves. The id "-" stands for no stored one.
create function flowforge.api_workflow_validate(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	stored constant jsonb := case when request.params ->> 'id' <> '-' then flowforge.workflow_config(flowforge.find_workflow(request.params ->> 'id')) end;
	document jsonb;
begin
	if request.json is null and stored is not null then
		return flowforge.answer(flowforge.validate_config(stored));
	end if;
	document := flowforge.workflow_document(request);
	perform flowforge.check_definition('{"nodes": [], "edges": []}'::jsonb || document);
	return flowforge.answer(flowforge.validate_config(flowforge.working_config(document, stored)));
end
$$;
comment on function flowforge.api_workflow_validate(flowforge.request) is 'POST /api/v1/workflows/{id}/validate.';

create function flowforge.api_workflow_run(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	input constant jsonb := flowforge.body_member(request, 'input', 'any');
	key constant text := flowforge.body_member(request, 'idempotency_key', 'string') #>> '{}';
	run constant uuid := case
		when request.path like '%/test-run' then flowforge.test_workflow(request.params ->> 'id', input, key)
		else flowforge.run_workflow(request.params ->> 'id', input, key)
	end;
begin
	return flowforge.answer(jsonb_build_object('id', run, 'ulid', flowforge.ulid(run)), 201);
end
$$;
comment on function flowforge.api_workflow_run(flowforge.request) is 'POST /api/v1/workflows/{id}/run and /api/v1/workflows/{id}/test-run.';

create function flowforge.api_workflow_versions(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	size constant integer := flowforge.integer_of(request.query, 'limit', 200, 1, 200);
	before constant integer := flowforge.integer_of(request.query, 'cursor', null, 1, 999999999);
begin
	return flowforge.page_answer(array(
		select jsonb_build_object('version', v.version, 'current', v.current, 'name', v.name, 'nodes', v.nodes, 'edges', v.edges,
			'published_at', v.published_at)
		from @extschema@.ff_workflow_versions(request.params ->> 'id') v
		where before is null or v.version < before
		order by v.version desc
		limit size + 1), size, 'version');
end
$$;
comment on function flowforge.api_workflow_versions(flowforge.request) is 'GET /api/v1/workflows/{id}/versions.';

create function flowforge.api_workflow_diff(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(flowforge.diff_workflow(request.params ->> 'id', flowforge.integer_of(request.query, 'from', null, 1, 999999999),
		flowforge.integer_of(request.query, 'to', null, 1, 999999999)));
end
$$;
comment on function flowforge.api_workflow_diff(flowforge.request) is 'GET /api/v1/workflows/{id}/diff.';

insert into flowforge.route_schema (name, schema) values
('WorkflowSummary', '{
	"type": "object",
	"required": ["id", "ulid", "workflow", "name", "description", "status", "version", "has_draft", "draft_version", "etag", "role", "created_by",
		"created_at", "updated_at", "published_at"],
	"properties": {
		"id": {"type": "string", "format": "uuid"},
		"ulid": {"type": "string"},
		"workflow": {"type": "string", "description": "Its slug: the id of the function it is."},
		"name": {"type": "string"},
		"description": {"type": "string"},
		"status": {"enum": ["draft", "published", "archived"]},
		"version": {"type": ["integer", "null"], "description": "The published one; null before the first."},
		"has_draft": {"type": "boolean", "description": "Whether there is something to publish."},
		"draft_version": {"type": ["integer", "null"], "description": "The version the draft becomes; null without one."},
		"etag": {"type": "string", "description": "For If-Match."},
		"role": {"type": ["string", "null"], "description": "The database role its statements run as."},
		"created_by": {"type": ["string", "null"]},
		"created_at": {"type": "string", "format": "date-time"},
		"updated_at": {"type": "string", "format": "date-time"},
		"published_at": {"type": ["string", "null"], "format": "date-time"}
	}
}'),
('WorkflowContent', '{
	"type": "object",
	"properties": {
		"definition": {"type": "object", "description": "The React Flow document, kept as it stands.", "properties": {
			"nodes": {"type": "array", "items": {"type": "object"}},
			"edges": {"type": "array", "items": {"type": "object"}}}},
		"input_schema": {"description": "A JSON Schema of the input, or null.", "type": ["object", "boolean", "null"]},
		"settings": {"type": "object", "properties": {
			"max_concurrency": {"type": "integer", "minimum": 1, "default": 10, "description": "Nodes of a run at a time."},
			"run_timeout_seconds": {"type": ["number", "null"], "default": null}}},
		"triggers": {"type": "array", "description": "At most 10 can be published.", "items": {"description": "An object with one of event, cron, webhook and manual. A draft may hold what is not valid.", "properties": {
			"event": {"type": "string", "description": "A name, or a pattern that ends in /* or .*"},
			"if": {"type": "string", "description": "An expression over event."},
			"cron": {"type": "string"},
			"webhook": {"type": "string", "description": "The path of a webhook."},
			"manual": {"type": "boolean"}}}}
	}
}'),
('Workflow', '{"allOf": [{"$ref": "#/components/schemas/WorkflowSummary"}, {"$ref": "#/components/schemas/WorkflowContent"}]}'),
('WorkflowChange', '{"allOf": [{"$ref": "#/components/schemas/WorkflowContent"}, {"type": "object", "properties": {
	"name": {"type": "string"},
	"description": {"type": "string"},
	"version": {"type": "integer", "description": "The draft''s; 409 for one that is published."}}}]}'),
('Finding', '{
	"type": "object", "required": ["code", "message"],
	"properties": {
		"code": {"type": "string"},
		"message": {"type": "string"},
		"node_id": {"type": "string"},
		"edge_id": {"type": "string"},
		"path": {"type": "string", "description": "Into the node''s config, or into the workflow."},
		"hint": {"type": ["string", "null"]}
	}
}'),
('Validation', '{
	"type": "object", "required": ["valid", "errors", "warnings"],
	"properties": {
		"valid": {"type": "boolean"},
		"errors": {"type": "array", "items": {"$ref": "#/components/schemas/Finding"}},
		"warnings": {"type": "array", "items": {"$ref": "#/components/schemas/Finding"}}
	}
}'),
('Changes', '{"type": "array", "items": {"type": "object", "required": ["path", "from", "to"], "properties": {
	"path": {"type": "string"}, "from": {}, "to": {}}}}'),
('PartChanges', '{
	"type": "object", "required": ["added", "removed", "changed"],
	"properties": {
		"added": {"type": "array", "items": {"type": "object"}},
		"removed": {"type": "array", "items": {"type": "object"}},
		"changed": {"type": "array", "items": {"type": "object", "required": ["id", "changes"], "properties": {
			"id": {"type": "string"}, "changes": {"$ref": "#/components/schemas/Changes"}}}}
	}
}'),
('RunStarted', '{"type": "object", "required": ["id", "ulid"], "properties": {
	"id": {"type": "string", "format": "uuid"}, "ulid": {"type": "string"}}}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/workflows', 'flowforge.api_workflows', 'workflows:read', 'workflows', 'List workflows, newest first',
'{"type": "object", "properties": {
	"status": {"enum": ["draft", "published", "archived"]},
	"search": {"type": "string", "description": "In slug, name and description."},
	"limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/WorkflowSummary"}},
	"next_cursor": {"type": ["string", "null"]}}}'),
('POST', '/api/v1/workflows', 'flowforge.api_workflow_create', 'workflows:manage', 'workflows', 'Make a workflow, as a draft',
'{"allOf": [{"$ref": "#/components/schemas/WorkflowChange"}, {"type": "object", "required": ["name"], "properties": {
	"created_by": {"type": "string", "default": "api", "description": "Who makes it."}}}]}',
'{"$ref": "#/components/schemas/Workflow"}'),
('GET', '/api/v1/workflows/{id}', 'flowforge.api_workflow', 'workflows:read', 'workflows', 'Show a workflow with its working definition, or that of a version',
'{"type": "object", "properties": {"version": {"type": "integer", "minimum": 1}}}', '{"$ref": "#/components/schemas/Workflow"}'),
('PUT', '/api/v1/workflows/{id}', 'flowforge.api_workflow_update', 'workflows:manage', 'workflows',
'Change what the body says; a published workflow gets a draft of its next version. 412 when If-Match is not its ETag',
'{"$ref": "#/components/schemas/WorkflowChange"}', '{"$ref": "#/components/schemas/Workflow"}'),
('DELETE', '/api/v1/workflows/{id}', 'flowforge.api_workflow_delete', 'workflows:manage', 'workflows', 'Delete a draft or an archived workflow', '{}',
'{"type": "object", "required": ["id", "name", "result"], "properties": {
	"id": {"type": "string", "format": "uuid"}, "name": {"type": "string"}, "result": {"const": "deleted"}}}'),
('POST', '/api/v1/workflows/{id}/publish', 'flowforge.api_workflow_publish', 'workflows:manage', 'workflows',
'Freeze the draft as the next version; 422 with the findings when it is not valid',
'{"type": ["object", "null"], "description": "Nothing is needed."}', '{"$ref": "#/components/schemas/Workflow"}'),
('POST', '/api/v1/workflows/{id}/validate', 'flowforge.api_workflow_validate', 'workflows:read', 'workflows',
'Validate the working definition, or the one in the body; with the id "-" one that is not stored',
'{"type": ["object", "null"], "description": "As WorkflowContent; what it lacks is as stored.", "properties": {
	"definition": {"type": "object"}, "input_schema": {}, "settings": {"type": "object"}, "triggers": {"type": "array"}}}', '{"$ref": "#/components/schemas/Validation"}'),
('POST', '/api/v1/workflows/{id}/duplicate', 'flowforge.api_workflow_duplicate', 'workflows:manage', 'workflows',
'Make a draft of a workflow under another name',
'{"type": ["object", "null"], "properties": {"name": {"type": "string", "description": "Without it: name (copy)."},
	"created_by": {"type": "string", "default": "api", "description": "Who makes it."}}}',
'{"$ref": "#/components/schemas/Workflow"}'),
('POST', '/api/v1/workflows/{id}/archive', 'flowforge.api_workflow_archive', 'workflows:manage', 'workflows',
'Take a workflow out of use: nothing starts it any more',
'{"type": ["object", "null"], "description": "Nothing is needed."}', '{"$ref": "#/components/schemas/Workflow"}'),
('POST', '/api/v1/workflows/{id}/run', 'flowforge.api_workflow_run', 'runs:manage', 'workflows', 'Run the published version',
'{"type": ["object", "null"], "properties": {
	"input": {"type": "object", "default": {}, "description": "What its input_schema asks for."},
	"idempotency_key": {"type": "string", "description": "A repeat starts nothing and gives the first run."}}}', '{"$ref": "#/components/schemas/RunStarted"}'),
('POST', '/api/v1/workflows/{id}/test-run', 'flowforge.api_workflow_run', 'workflows:manage', 'workflows', 'Run the working definition once, published or not',
'{"type": ["object", "null"], "properties": {
	"input": {"type": "object", "default": {}, "description": "What its input_schema asks for."},
	"idempotency_key": {"type": "string", "description": "A repeat starts nothing and gives the first run."}}}', '{"$ref": "#/components/schemas/RunStarted"}'),
('GET', '/api/v1/workflows/{id}/versions', 'flowforge.api_workflow_versions', 'workflows:read', 'workflows', 'List the published versions, newest first',
'{"type": "object", "properties": {
	"limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 200},
	"cursor": {"type": "string", "pattern": "^[0-9]{1,9}$", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {"next_cursor": {"type": ["string", "null"]}, "data": {"type": "array", "items": {
	"type": "object", "required": ["version", "current", "name", "nodes", "edges", "published_at"], "properties": {
		"version": {"type": "integer"},
		"current": {"type": "boolean", "description": "Whether triggers start it."},
		"name": {"type": "string"},
		"nodes": {"type": "integer"},
		"edges": {"type": "integer"},
		"published_at": {"type": "string", "format": "date-time"}}}}}}'),
('GET', '/api/v1/workflows/{id}/diff', 'flowforge.api_workflow_diff', 'workflows:read', 'workflows',
'What is different between two versions; by default between the draft, or the latest, and the version before',
'{"type": "object", "properties": {"from": {"type": "integer", "minimum": 1}, "to": {"type": "integer", "minimum": 1}}}',
'{"type": "object", "required": ["workflow", "from", "to", "nodes", "edges", "settings", "input_schema", "triggers"], "properties": {
	"workflow": {"type": "string"},
	"from": {"type": ["integer", "null"]},
	"to": {"type": "integer"},
	"nodes": {"$ref": "#/components/schemas/PartChanges"},
	"edges": {"$ref": "#/components/schemas/PartChanges"},
	"settings": {"$ref": "#/components/schemas/Changes"},
	"input_schema": {"$ref": "#/components/schemas/Changes"},
	"triggers": {"$ref": "#/components/schemas/Changes"}}}');

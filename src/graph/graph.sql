create function @extschema@.ff_workflow_plan(definition jsonb) returns jsonb
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_workflow_plan';
comment on function @extschema@.ff_workflow_plan(jsonb) is
'What can be said about a graph {"nodes": [...], "edges": [...]} before it runs: {"roots", "leaves", "order": ids, each after those before '
'it, "levels": [[ids]], by the longest distance from a root, "critical_path": the longest by number of nodes, "exclusive": {condition: {"true": '
'ids, "false": ids}}, the nodes that run only if the branch is taken, "ancestors": {id: ids}, "descendants": {id: ids}}. Edges with unknown ends '
'and duplicates count for nothing. A cycle raises FF502, which names it; what is no graph, or too large a one, raises FF501.';

create function flowforge.graph_findings(definition jsonb, config_schemas jsonb) returns jsonb
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_graph_findings';
comment on function flowforge.graph_findings(jsonb, jsonb) is
'What is wrong with a definition, as ff_workflow_validate says it, by the JSON Schemas of the types'' configs: {type: schema}.';

create function @extschema@.ff_workflow_validate(definition jsonb) returns jsonb
language sql stable strict parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
	select case when f.flow = '[]' then f.graph else f.graph || jsonb_build_object('valid', false, 'errors', (f.graph -> 'errors') || f.flow) end
	from (
		select flowforge.graph_findings(definition, (select jsonb_object_agg(t.type, t.config_schema) from flowforge.step_type t)) as graph,
			flowforge.flow_findings(definition -> 'settings') as flow
	) f
$$;
comment on function @extschema@.ff_workflow_validate(jsonb) is
'Everything that is wrong with a graph {"nodes": [...], "edges": [...], "settings": {...}}: {"valid": boolean, "errors": [finding], "warnings": '
'[finding]}, in the order of the document. A finding is {"code", "message", "node_id" or "edge_id", "path": the member of the node''s config, or of '
'the document, "hint"}; docs/graphs.md has the codes. Errors keep a graph from being published, warnings do not. Raises nothing, whatever it is given.';
revoke execute on function @extschema@.ff_workflow_validate(jsonb) from public;

create function flowforge.graph_compiled(config jsonb) returns jsonb
language c volatile strict
as 'MODULE_PATHNAME', 'ff_sql_graph_compiled';
comment on function flowforge.graph_compiled(jsonb) is
'What a run makes of a definition, or of a version''s configuration: of each node its policy (delays between attempts and timeout in milliseconds), '
'the nodes whose outputs it needs, and its ways [[target, branch]]. Errors: FF501 it cannot run, FF502 a cycle, FF101 to FF110 its texts.';

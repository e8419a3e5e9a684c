create function @extschema@.ff_workflow_plan(definition jsonb) returns jsonb
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_workflow_plan';
comment on function @extschema@.ff_workflow_plan(jsonb) is
'What can be said about a graph {"nodes": [...], "edges": [...]} before it runs: {"roots", "leaves", "order": ids, each after those before '
'it, "levels": [[ids]], by the longest distance from a root, "critical_path": the longest by number of nodes, "exclusive": {condition: {"true": '
'ids, "false": ids}}, the nodes that run only if the branch is taken, "ancestors": {id: ids}, "descendants": {id: ids}}. Edges with unknown ends '
'and duplicates count for nothing. A cycle raises FF502, which names it; what is no graph, or too large a one, raises FF501.';

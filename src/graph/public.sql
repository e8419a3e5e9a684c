-- The public functions of workflows. A workflow is named by its slug, its id or its name. What changes one, or what its statements are, is for
-- those who may act as the role that its statements run as.

create function @extschema@.ff_workflow_create(
	name text, definition jsonb default '{}', description text default '', input_schema jsonb default null, settings jsonb default null,
	triggers jsonb default null
) returns flowforge.workflows
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('member');
	select flowforge.workflow_row(flowforge.create_workflow(name, flowforge.document_of(definition, input_schema, settings, triggers), description,
		flowforge.role_of_caller(), flowforge.caller()))
$$;
comment on function @extschema@.ff_workflow_create(text, jsonb, text, jsonb, jsonb, jsonb) is
'Makes a workflow, as a draft. definition is {nodes, edges}, kept as it stands however unfinished; it may also hold input_schema, settings and '
'triggers, which the arguments of these names take the place of. settings: {max_concurrency: 10, run_timeout_seconds: null}. triggers: a list '
'of {event, if}, {cron, jitter, catchUp, catchUpWindow}, {webhook: path} and {manual: true}, at most 10. Its statements run as the calling role, '
'unless that is a superuser (ff_workflow_set_role). Gives it as flowforge.workflows has it; workflow is the slug made of its name. '
'Errors: FF515 the name or the definition cannot be stored, FF516 the name is taken.';

create function @extschema@.ff_workflow_get(workflow text, version integer default null) returns flowforge.workflows
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	w constant flowforge.workflow := flowforge.find_workflow(workflow);
	result flowforge.workflows := flowforge.workflow_row(w.function_id);
	config jsonb;
begin
	perform flowforge.require_role('viewer');
	if version is not null then
		config := flowforge.version_config(w, version);
		result.version := version;
		result.definition := config -> 'graph';
		result.settings := config -> 'settings';
		result.input_schema := nullif(config -> 'input_schema', 'null');
		result.triggers := config -> 'triggers';
	end if;
	return result;
end
$$;
comment on function @extschema@.ff_workflow_get(text, integer) is
'A workflow with its working definition, or with that of a version. Error: FF511 no such workflow or version.';

create function @extschema@.ff_workflow_update(
	workflow text, definition jsonb default null, name text default null, description text default null, input_schema jsonb default null,
	settings jsonb default null, triggers jsonb default null, expected_etag text default null
) returns flowforge.workflows
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('member');
	select flowforge.own_workflow(workflow);
	select flowforge.workflow_row(flowforge.update_workflow(workflow, flowforge.document_of(definition, input_schema, settings, triggers), name,
		description, null, expected_etag))
$$;
comment on function @extschema@.ff_workflow_update(text, jsonb, text, text, jsonb, jsonb, jsonb, text) is
'Changes a workflow: what is null stays as it is, JSON null takes the input schema away. The definition of a published workflow does not change; a '
'draft of its next version is made, and taken back when the definition is again what is published. The name and the description change at '
'once; the slug never does. With the etag of the state the caller has seen, nothing is overwritten that he has not. Gives the workflow. Errors: '
'FF511 no such workflow, FF513 it is archived, FF514 it was changed meanwhile, FF515, FF516, FF404 its statements run as a role that is not the caller''s.';

create function @extschema@.ff_workflow_problems(workflow text) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('viewer');
	select flowforge.validate_config(flowforge.workflow_config(flowforge.find_workflow(workflow)))
$$;
comment on function @extschema@.ff_workflow_problems(text) is
'What ff_workflow_validate says of a workflow''s working definition, with what is wrong with its triggers and its input schema: '
'{"valid", "errors", "warnings"}. Error: FF511 no such workflow.';

create function @extschema@.ff_workflow_publish(workflow text, expected_etag text default null) returns flowforge.workflows
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('member');
	select flowforge.own_workflow(workflow);
	select flowforge.workflow_row(flowforge.publish_workflow(workflow, expected_etag))
$$;
comment on function @extschema@.ff_workflow_publish(text, text) is
'Freezes a workflow''s draft as its next version, which its triggers start from now on; runs keep the version they started with. Without a '
'draft there is nothing to do. Gives the workflow. Errors: FF511 no such workflow, FF512 the draft is not valid (each finding is a line of the '
'detail), FF513 it is archived, FF514 it was changed meanwhile, FF404.';

create function @extschema@.ff_workflow_duplicate(workflow text, name text default null) returns flowforge.workflows
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('member');
	select flowforge.workflow_row(flowforge.duplicate_workflow(workflow, name, flowforge.role_of_caller(), flowforge.caller()))
$$;
comment on function @extschema@.ff_workflow_duplicate(text, text) is
'Makes a draft of a workflow''s working definition under another name: "name (copy)", "name (copy 2)" and so on where none is given. It is the '
'caller''s. Gives the new workflow. Errors: FF511 no such workflow, FF515, FF516.';

create function @extschema@.ff_workflow_archive(workflow text, expected_etag text default null) returns flowforge.workflows
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('member');
	select flowforge.own_workflow(workflow);
	select flowforge.workflow_row(flowforge.archive_workflow(workflow, expected_etag))
$$;
comment on function @extschema@.ff_workflow_archive(text, text) is
'Takes a workflow out of use: nothing starts it any more; its runs go on. Gives the workflow. Errors: FF511, FF514, FF404.';

create function @extschema@.ff_workflow_delete(workflow text, expected_etag text default null) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('member');
	select flowforge.own_workflow(workflow);
	select flowforge.delete_workflow(workflow, expected_etag)
$$;
comment on function @extschema@.ff_workflow_delete(text, text) is
'Deletes a workflow that is a draft or archived; what it ran stays. Errors: FF511 no such workflow, FF513 it is published, FF514, FF404.';

create function @extschema@.ff_workflow_versions(workflow text)
returns table (version integer, current boolean, name text, nodes integer, edges integer, published_at timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('viewer');
	select v.version, v.version = f.version and w.status = 'published', v.config ->> 'name', jsonb_array_length(v.config #> '{graph,nodes}'),
		jsonb_array_length(v.config #> '{graph,edges}'), v.created_at
	from flowforge.find_workflow(workflow) w
	join flowforge.function f on f.tenant_id = w.tenant_id and f.function_id = w.function_id
	join flowforge.function_version v on v.tenant_id = f.tenant_id and v.function_id = f.function_id
	where v.version > 0
	order by v.version desc
$$;
comment on function @extschema@.ff_workflow_versions(text) is
'The published versions of a workflow, newest first; current is the one that triggers start. Error: FF511 no such workflow.';

create function @extschema@.ff_workflow_diff(workflow text, from_version integer default null, to_version integer default null) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('viewer');
	select flowforge.diff_workflow(workflow, from_version, to_version)
$$;
comment on function @extschema@.ff_workflow_diff(text, integer, integer) is
'What is different between two versions of a workflow; by default between the draft, or else the latest version, and the version before it: '
'{"from", "to", "nodes": {"added": [node], "removed": [node], "changed": [{"id", "changes": [{"path", "from", "to"}]}]}, "edges": the same, "settings", '
'"input_schema", "triggers": [{"path", "from", "to"}]}. Where nodes stand on the canvas does not count. Error: FF511 no such workflow or version.';

create function @extschema@.ff_workflow_run(workflow text, input jsonb default '{}', idempotency_key text default null, draft boolean default false) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	perform flowforge.require_role('member');
	if draft then
		perform flowforge.own_workflow(workflow);
		return flowforge.test_workflow(workflow, input, idempotency_key);
	end if;
	return flowforge.run_workflow(workflow, input, idempotency_key);
end
$$;
comment on function @extschema@.ff_workflow_run(text, jsonb, text, boolean) is
'Starts a run of a workflow''s published version, or with draft a test run of its working definition, published or not. With an idempotency '
'key, a repeat within flowforge.event_dedupe_window starts nothing and gives the first run. Gives the run''s id. Errors: FF511 no such '
'workflow, FF513 it is not published, FF512 the draft is not valid, FF517 the input is not what its input schema asks for, FF002 it is not an '
'object, FF404 a draft''s statements run as a role that is not the caller''s.';

create function @extschema@.ff_workflow_set_role(workflow text, role text) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	w constant flowforge.workflow := flowforge.lock_workflow(workflow);
begin
	perform flowforge.require_role('member');
	perform flowforge.check_role_given(role);
	update flowforge.function f
	set role = ff_workflow_set_role.role, role_mark = flowforge.role_mark(ff_workflow_set_role.role)
	where f.tenant_id = w.tenant_id and f.function_id = w.function_id;
	return coalesce(role, 'none');
end
$$;
comment on function @extschema@.ff_workflow_set_role(text, text) is
'Makes the statements of a workflow run as a database role; null takes the right away. The role must be able to log in and connect, must not be '
'a superuser nor a member of one, and the caller must be a member of it. Takes effect for statements that begin afterwards. Gives the role. '
'Errors: FF404 the role cannot be used, FF511 no such workflow.';

revoke execute on function @extschema@.ff_workflow_create(text, jsonb, text, jsonb, jsonb, jsonb), @extschema@.ff_workflow_get(text, integer),
	@extschema@.ff_workflow_update(text, jsonb, text, text, jsonb, jsonb, jsonb, text), @extschema@.ff_workflow_problems(text),
	@extschema@.ff_workflow_publish(text, text), @extschema@.ff_workflow_duplicate(text, text), @extschema@.ff_workflow_archive(text, text),
	@extschema@.ff_workflow_delete(text, text), @extschema@.ff_workflow_versions(text), @extschema@.ff_workflow_diff(text, integer, integer),
	@extschema@.ff_workflow_run(text, jsonb, text, boolean), @extschema@.ff_workflow_set_role(text, text)
	from public;

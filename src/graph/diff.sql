-- What is different between two versions of a workflow.

create function flowforge.json_difference(old jsonb, new jsonb, path text default '', depth integer default 0)
returns table (place text, before jsonb, after jsonb)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	if old is not distinct from new then
		return;
	elsif depth < 30 and jsonb_typeof(old) = 'object' and jsonb_typeof(new) = 'object' then
		return query
		select d.*
		from (select k from jsonb_object_keys(old) k union select k from jsonb_object_keys(new) k) m (key)
		cross join lateral flowforge.json_difference(old -> m.key, new -> m.key, concat_ws('.', nullif(path, ''), m.key), depth + 1) d
		where old -> m.key is distinct from new -> m.key
		order by m.key, d.place;
	elsif depth < 30 and jsonb_typeof(old) = 'array' and jsonb_typeof(new) = 'array' and jsonb_array_length(old) = jsonb_array_length(new) then
		return query
		select d.*
		from generate_series(0, jsonb_array_length(old) - 1) i
		cross join lateral flowforge.json_difference(old -> i, new -> i, format('%s[%s]', path, i), depth + 1) d
		where old -> i is distinct from new -> i
		order by i;
	else
		place := path;
		before := old;
		after := new;
		return next;
	end if;
end
$$;
comment on function flowforge.json_difference(jsonb, jsonb, text, integer) is
'The places at which two values differ, and what is there; null where there is nothing. Lists of another length differ as a whole.';

create function flowforge.changes(old jsonb, new jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(jsonb_build_object('path', d.place, 'from', d.before, 'to', d.after)), '[]')
	from flowforge.json_difference(old, new) d
$$;
comment on function flowforge.changes(jsonb, jsonb) is 'The differences of two values as a list of {path, from, to}.';

-- Nodes by their ids, edges by theirs, or by what they connect.
create function flowforge.parts_of(list jsonb) returns table (id text, part jsonb)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select distinct on (1) coalesce(p.value ->> 'id', concat_ws(' ', p.value ->> 'source', p.value ->> 'sourceHandle', '->', p.value ->> 'target')), p.value
	from jsonb_array_elements(case jsonb_typeof(list) when 'array' then list else '[]' end) with ordinality p
	where jsonb_typeof(p.value) = 'object'
	order by 1, p.ordinality
$$;
comment on function flowforge.parts_of(jsonb) is 'The nodes or edges of a graph, each once, by what they are known by.';

-- Where a node stands on the canvas, and whether it is selected, is not what it does.
create function flowforge.part_difference(old jsonb, new jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	with looks (keys) as (
		select '{position,positionAbsolute,selected,dragging,width,height,measured,zIndex}'::text[]
	), both_sides as (
		select coalesce(o.id, n.id) as id, o.part as old, n.part as new
		from flowforge.parts_of(old) o
		full join flowforge.parts_of(new) n on n.id = o.id
	)
	select jsonb_build_object(
		'added', coalesce(jsonb_agg(b.new - l.keys order by b.id) filter (where b.old is null), '[]'),
		'removed', coalesce(jsonb_agg(b.old - l.keys order by b.id) filter (where b.new is null), '[]'),
		'changed', coalesce(jsonb_agg(jsonb_build_object('id', b.id, 'changes', flowforge.changes(b.old - l.keys, b.new - l.keys)) order by b.id)
			filter (where b.old - l.keys <> b.new - l.keys), '[]'))
	from both_sides b, looks l
$$;
comment on function flowforge.part_difference(jsonb, jsonb) is 'Nodes, or edges, that were added, removed and changed: {added, removed, changed: [{id, changes}]}.';

create function flowforge.config_difference(old jsonb, new jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('nodes', flowforge.part_difference(old #> '{graph,nodes}', new #> '{graph,nodes}'),
		'edges', flowforge.part_difference(old #> '{graph,edges}', new #> '{graph,edges}'),
		'settings', flowforge.changes(old -> 'settings', new -> 'settings'),
		'input_schema', flowforge.changes(old -> 'input_schema', new -> 'input_schema'),
		'triggers', flowforge.changes(old -> 'triggers', new -> 'triggers'))
$$;
comment on function flowforge.config_difference(jsonb, jsonb) is 'What is different between two definitions.';

create function flowforge.version_config(workflow flowforge.workflow, wanted integer) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	result jsonb;
begin
	if wanted = workflow.draft_version and workflow.draft is not null then
		return workflow.draft;
	end if;
	select v.config into result
	from flowforge.function_version v
	where v.tenant_id = workflow.tenant_id and v.function_id = workflow.function_id and v.version = wanted and wanted > 0;
	if not found then
		raise exception using errcode = 'FF511', message = format('the workflow "%s" has no version %s', workflow.name, wanted),
			hint = 'select * from ff_workflow_versions(workflow) lists them.';
	end if;
	return result;
end
$$;
comment on function flowforge.version_config(flowforge.workflow, integer) is 'The definition of a version, published or the draft. Error: FF511.';

create function flowforge.find_workflow(workflow text) returns flowforge.workflow
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	result flowforge.workflow;
begin
	select w.* into result
	from flowforge.workflow w
	where w.tenant_id = flowforge.current_tenant() and w.function_id = flowforge.workflow_id_of(workflow);
	if not found then
		raise exception using errcode = 'FF511', message = format('there is no workflow "%s"', coalesce(workflow, 'null')),
			hint = 'select workflow, name from flowforge.workflows lists them.';
	end if;
	return result;
end
$$;
comment on function flowforge.find_workflow(text) is 'A workflow by its slug, id or name. Error: FF511.';

create function flowforge.diff_workflow(workflow text, from_version integer, to_version integer) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	w constant flowforge.workflow := flowforge.find_workflow(workflow);
	newer constant integer := coalesce(to_version, case when w.draft is null then w.draft_version - 1 else w.draft_version end);
	older constant integer := coalesce(from_version, (
		select max(v.version) from flowforge.function_version v
		where v.tenant_id = w.tenant_id and v.function_id = w.function_id and v.version between 1 and newer - 1));
begin
	return jsonb_build_object('workflow', w.name, 'from', older, 'to', newer) || flowforge.config_difference(
		case when older is null then '{"graph": {}, "settings": {}, "input_schema": null, "triggers": []}' else flowforge.version_config(w, older) end,
		flowforge.version_config(w, newer));
end
$$;
comment on function flowforge.diff_workflow(text, integer, integer) is 'What ff_workflow_diff gives.';

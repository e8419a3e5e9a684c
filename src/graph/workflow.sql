-- Workflows: graphs people draw, keep and publish. What is published is a version of a function (flowforge.function_version), which never
-- changes; this table holds what may: the name, the working definition, the status.

-- A workflow. `draft` is the working definition, {graph, settings, input_schema, triggers}, null while it is what is published; it becomes
-- the version `draft_version`. `test_version` is the snapshot (a negative version of the function) that test runs of this draft have.
-- `revision` counts changes: it is the ETag. Written by ff_workflow_*, under the row's lock.
create table flowforge.workflow (
	tenant_id integer not null,
	function_id integer not null,
	workflow_id uuid not null default flowforge.uuid7(),
	name text not null,
	description text not null default '',
	status text not null default 'draft' check (status in ('draft', 'published', 'archived')),
	draft jsonb,
	draft_version integer not null default 1,
	test_version integer check (test_version < 0),
	revision bigint not null default 1,
	created_by text,
	created_at timestamptz not null default now(),
	updated_at timestamptz not null default now(),
	published_at timestamptz,
	primary key (tenant_id, function_id),
	unique (tenant_id, workflow_id),
	unique (tenant_id, name),
	check (draft is not null or status <> 'draft')
);
comment on table flowforge.workflow is 'Workflows: the names, statuses and working definitions of functions that are graphs.';
select pg_catalog.pg_extension_config_dump('flowforge.workflow', '');

create function flowforge.workflow_etag(workflow flowforge.workflow) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select format('"%s.%s"', flowforge.ulid(workflow.workflow_id), workflow.revision)
$$;
comment on function flowforge.workflow_etag(flowforge.workflow) is 'Names the state of a workflow: another one after every change.';

create view flowforge.workflows with (security_invoker = true) as
select w.workflow_id as id, flowforge.ulid(w.workflow_id) as ulid, w.tenant_id, f.slug as workflow, w.name, w.description, w.status,
	case when w.status <> 'draft' and w.published_at is not null then f.version end as version, w.draft is not null as has_draft,
	case when w.draft is not null then w.draft_version end as draft_version, flowforge.workflow_etag(w) as etag, f.role,
	c.config -> 'graph' as definition, nullif(c.config -> 'input_schema', 'null') as input_schema, c.config -> 'settings' as settings,
	c.config -> 'triggers' as triggers, w.created_by, w.created_at, w.updated_at, w.published_at
from flowforge.workflow w
join flowforge.function f on f.tenant_id = w.tenant_id and f.function_id = w.function_id
left join flowforge.function_version v
	on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = f.version and w.draft is null
cross join lateral (select coalesce(w.draft, v.config) as config) c;
comment on view flowforge.workflows is
'Workflows: version is the published one, null before the first; definition, input_schema, settings and triggers are the working ones: those of '
'the draft where there is one (has_draft), of the published version otherwise. etag changes with every change.';

-- --- finding them ---

-- By slug, by id (UUID or ULID), or by name.
create function flowforge.workflow_id_of(workflow text) returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select w.function_id
	from flowforge.workflow w
	join flowforge.function f on f.tenant_id = w.tenant_id and f.function_id = w.function_id
	where w.tenant_id = flowforge.current_tenant()
		and (f.slug = workflow or w.name = workflow or flowforge.ulid(w.workflow_id) = upper(workflow) or w.workflow_id::text = lower(workflow))
	order by f.slug = workflow desc, w.name = workflow
	limit 1
$$;
comment on function flowforge.workflow_id_of(text) is 'The function of a workflow named by its slug, id or name; null when there is none.';

create function flowforge.lock_workflow(workflow text, expected_etag text default null) returns flowforge.workflow
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	result flowforge.workflow;
begin
	select w.* into result
	from flowforge.workflow w
	where w.tenant_id = flowforge.current_tenant() and w.function_id = flowforge.workflow_id_of(workflow)
	for update;
	if not found then
		raise exception using errcode = 'FF511', message = format('there is no workflow "%s"', coalesce(workflow, 'null')),
			hint = 'select workflow, name from flowforge.workflows lists them.';
	end if;
	if flowforge.workflow_etag(result) <> expected_etag then
		raise exception using errcode = 'FF514', message = format('the workflow "%s" was changed meanwhile', result.name),
			detail = format('Its ETag is %s, not %s.', flowforge.workflow_etag(result), expected_etag),
			hint = 'Read it again, make your change to what it is now, and send that with its ETag.';
	end if;
	return result;
end
$$;
comment on function flowforge.lock_workflow(text, text) is
'A workflow, locked until the end of the transaction. Errors: FF511 no such workflow; FF514 it is not as its ETag says.';

-- Volatile, because it shows what the statement that calls it has just written.
create function flowforge.workflow_row(function integer) returns flowforge.workflows
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select s.*
	from flowforge.workflow w
	join flowforge.workflows s on s.tenant_id = w.tenant_id and s.id = w.workflow_id
	where w.tenant_id = flowforge.current_tenant() and w.function_id = function
$$;
comment on function flowforge.workflow_row(integer) is 'A workflow as flowforge.workflows shows it.';

-- Statements of a graph run as a role: who cannot act as that role must not say what they are.
create function flowforge.check_workflow_role(workflow flowforge.workflow) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	acting text;
begin
	select f.role into acting from flowforge.function f where f.tenant_id = workflow.tenant_id and f.function_id = workflow.function_id;
	if exists (select from pg_roles r where r.rolname = acting and not pg_has_role(flowforge.caller()::name, r.oid, 'member')) then
		raise exception using errcode = 'FF404', message = format('the workflow "%s" runs statements as "%s"', workflow.name, acting),
			detail = format('"%s" is not a member of that role.', flowforge.caller()),
			hint = 'Ask somebody who may act as that role, or make a copy of your own with ff_workflow_duplicate.';
	end if;
end
$$;
comment on function flowforge.check_workflow_role(flowforge.workflow) is
'Raises FF404 unless the caller may act as the role a workflow''s statements run as.';

create function flowforge.own_workflow(workflow text) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.check_workflow_role(flowforge.lock_workflow(workflow))
$$;
comment on function flowforge.own_workflow(text) is 'Locks a workflow the caller may change. Errors: FF511, FF404.';

-- The role of what a caller makes: his own, but never a superuser's.
create function flowforge.role_of_caller() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.caller() where not exists (select from pg_roles r where r.rolname = flowforge.caller() and r.rolsuper)
$$;
comment on function flowforge.role_of_caller() is 'The calling role; null when it is a superuser.';

-- --- definitions ---

create function flowforge.check_definition(definition jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	problem constant text := case
		when jsonb_typeof(definition) <> 'object' then format('it is of type %s, not object', jsonb_typeof(definition))
		when jsonb_typeof(definition -> 'nodes') <> 'array' then 'its nodes are not a list'
		when jsonb_typeof(definition -> 'edges') <> 'array' then 'its edges are not a list'
		when jsonb_typeof(definition -> 'settings') not in ('object', 'null') then 'its settings are not an object'
		when jsonb_typeof(definition -> 'triggers') not in ('array', 'null') then 'its triggers are not a list'
		when jsonb_typeof(definition -> 'input_schema') not in ('object', 'boolean', 'null') then 'its input_schema is not a JSON Schema'
		when octet_length(definition::text) > 4194304 then 'it is larger than 4 MB'
	end;
begin
	if problem is not null then
		raise exception using errcode = 'FF515', message = 'the definition cannot be stored', detail = format('It is no graph: %s.', problem),
			hint = 'A definition is {"nodes": [{"id", "type", "data"}], "edges": [{"source", "target"}], "settings", "input_schema", "triggers"}.';
	end if;
end
$$;
comment on function flowforge.check_definition(jsonb) is 'Raises FF515 unless a definition can be kept as a draft, however unfinished.';

-- What is kept: the graph as it was given, and apart from it what is not drawn. What a document does not say stays as it is in `base`.
create function flowforge.working_config(definition jsonb, base jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object(
		'graph', case when definition ?| '{nodes,edges}' or base is null then '{"nodes": [], "edges": []}'::jsonb || (definition
			- '{id,ulid,workflow,name,description,version,status,has_draft,draft_version,etag,role,input_schema,settings,triggers}'::text[])
			else base -> 'graph' end,
		'settings', '{"max_concurrency": 10, "run_timeout_seconds": null}'::jsonb
			|| coalesce(nullif(definition -> 'settings', 'null'), base -> 'settings', '{}'),
		'input_schema', coalesce(definition -> 'input_schema', base -> 'input_schema', 'null'),
		'triggers', coalesce(nullif(definition -> 'triggers', 'null'), base -> 'triggers', '[]'))
$$;
comment on function flowforge.working_config(jsonb, jsonb) is
'A working definition from a document {nodes, edges, settings, input_schema, triggers}; what the document lacks is as in base.';

create function flowforge.document_of(definition jsonb, input_schema jsonb, settings jsonb, triggers jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(definition, '{}') || coalesce((
		select jsonb_object_agg(m.key, m.value)
		from (values ('input_schema', input_schema), ('settings', settings), ('triggers', triggers)) m (key, value)
		where m.value is not null), '{}')
$$;
comment on function flowforge.document_of(jsonb, jsonb, jsonb, jsonb) is 'A definition with what was given apart from it.';

-- The working definition of a workflow.
create function flowforge.workflow_config(workflow flowforge.workflow) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(workflow.draft, (
		select v.config
		from flowforge.function f
		join flowforge.function_version v on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = f.version
		where f.tenant_id = workflow.tenant_id and f.function_id = workflow.function_id))
$$;
comment on function flowforge.workflow_config(flowforge.workflow) is 'What a workflow''s draft says, or the published version where there is no draft.';

-- --- names ---

create function flowforge.check_workflow_name(name text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	if coalesce(name, '') = '' or name <> btrim(name) or octet_length(name) > 200 or name ~ '[\u0001-\u001f\u007f]' then
		raise exception using errcode = 'FF515', message = format('%s cannot be the name of a workflow', coalesce(quote_literal(name), 'null')),
			hint = 'A name has 1 to 200 bytes, no control characters, and no space at its ends.';
	end if;
end
$$;
comment on function flowforge.check_workflow_name(text) is 'Raises FF515 unless a text can be a workflow''s name.';

create function flowforge.slug_of(name text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(nullif(btrim(regexp_replace(lower(n.plain), '[^a-z0-9]+', '-', 'g'), '-'), ''), 'workflow')
	from (select case when getdatabaseencoding() = 'UTF8' then regexp_replace(normalize(name, nfkd), '[\u0300-\u036f]', '', 'g') else name end as plain) n
$$;
comment on function flowforge.slug_of(text) is 'What a workflow''s name is in addresses: lower case, without accents, with hyphens.';

-- The id of a function for a new workflow: a new function, or one of that slug that neither an app nor a workflow has any more. It is archived until
-- something is published.
create function flowforge.claim_slug(tenant integer, name text, owner text) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted constant text := flowforge.slug_of(name);
	candidate text := wanted;
	taken record;
	n integer := 1;
	result integer;
begin
	loop
		select f.function_id, f.archived_at is not null and f.kind = 'graph' and not exists (
			select from flowforge.workflow w where w.tenant_id = f.tenant_id and w.function_id = f.function_id) as free
		into taken
		from flowforge.function f
		where f.tenant_id = tenant and f.slug = candidate;
		exit when not found or taken.free;
		n := n + 1;
		candidate := format('%s-%s', wanted, n);
	end loop;
	insert into flowforge.function as f (tenant_id, slug, name, version, url, kind, role, role_mark, archived_at)
	values (tenant, candidate, name, 0, '', 'graph', owner, flowforge.role_mark(owner), now())
	on conflict (tenant_id, slug) do update set name = excluded.name, role = excluded.role, role_mark = excluded.role_mark
	returning f.function_id into result;
	return result;
end
$$;
comment on function flowforge.claim_slug(integer, text, text) is 'Makes the function of a new workflow and gives its id.';

create function flowforge.refuse_name(name text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
	raise exception using errcode = 'FF516', message = format('there is a workflow "%s" already', name), hint = 'Choose another name.';
end
$$;
comment on function flowforge.refuse_name(text) is 'Raises FF516.';

-- --- making and changing them ---

-- Whoever makes workflows of a tenant takes turns with whoever registers apps: names and slugs are then free or taken.
create function flowforge.create_workflow(name text, document jsonb, description text, owner text, author text) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	config constant jsonb := flowforge.working_config(document, null);
	id integer;
	latest integer;
begin
	perform flowforge.check_workflow_name(name);
	perform flowforge.check_definition('{"nodes": [], "edges": []}'::jsonb || document);
	perform pg_advisory_xact_lock(hashtextextended('flowforge.register', tenant));
	if exists (select from flowforge.workflow w where w.tenant_id = tenant and w.name = create_workflow.name) then
		perform flowforge.refuse_name(name);
	end if;
	id := flowforge.claim_slug(tenant, name, owner);
	select coalesce(max(v.version), 0) into latest from flowforge.function_version v where v.tenant_id = tenant and v.function_id = id and v.version > 0;
	insert into flowforge.workflow (tenant_id, function_id, name, description, draft, draft_version, created_by)
	values (tenant, id, name, coalesce(description, ''), config, latest + 1, author);
	return id;
end
$$;
comment on function flowforge.create_workflow(text, jsonb, text, text, text) is
'Makes a workflow, a draft, and gives its function. Errors: FF515 the name or definition cannot be stored; FF516 the name is taken.';

create function flowforge.check_editable(workflow flowforge.workflow, version integer) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	if workflow.status = 'archived' then
		raise exception using errcode = 'FF513', message = format('the workflow "%s" is archived and cannot be changed', workflow.name),
			hint = 'ff_workflow_duplicate makes a draft of it under another name.';
	elsif version <> workflow.draft_version then
		raise exception using errcode = 'FF513', message = format('version %s of the workflow "%s" is published and cannot be changed', version, workflow.name),
			detail = format('What can be changed is the draft of version %s.', workflow.draft_version),
			hint = 'Leave the version out: the change then becomes the draft of the next version.';
	end if;
end
$$;
comment on function flowforge.check_editable(flowforge.workflow, integer) is 'Raises FF513 for what is archived, and for a version that is no draft.';

create function flowforge.update_workflow(workflow text, document jsonb, name text, description text, version integer, expected_etag text) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	w flowforge.workflow := flowforge.lock_workflow(workflow, expected_etag);
	before constant jsonb := flowforge.workflow_config(w);
	published jsonb;
	config jsonb;
begin
	perform flowforge.check_editable(w, version);
	perform flowforge.check_workflow_name(coalesce(name, w.name));
	perform flowforge.check_definition('{"nodes": [], "edges": []}'::jsonb || coalesce(document, '{}'));
	config := flowforge.working_config(coalesce(document, '{}'), before - '{name,description}'::text[]);
	if w.status = 'published' then
		select v.config - '{name,description}'::text[] into published
		from flowforge.function f
		join flowforge.function_version v on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = f.version
		where f.tenant_id = w.tenant_id and f.function_id = w.function_id;
	end if;
	begin
		update flowforge.workflow u
		set name = coalesce(update_workflow.name, u.name), description = coalesce(update_workflow.description, u.description),
			draft = case when config is distinct from published then config end,
			test_version = case when config = before - '{name,description}'::text[] then u.test_version end,
			revision = u.revision + 1, updated_at = now()
		where u.tenant_id = w.tenant_id and u.function_id = w.function_id;
	exception when unique_violation then
		perform flowforge.refuse_name(name);
	end;
	update flowforge.function f
	set name = update_workflow.name
	where f.tenant_id = w.tenant_id and f.function_id = w.function_id and f.name <> update_workflow.name;
	return w.function_id;
end
$$;
comment on function flowforge.update_workflow(text, jsonb, text, text, integer, text) is
'Changes what is given of a workflow''s name, description and working definition; of a published workflow it makes the next version''s draft, '
'or takes it back when the definition is what is published. Errors: FF511, FF513, FF514, FF515, FF516.';

create function flowforge.duplicate_workflow(workflow text, new_name text, owner text, author text) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	source constant flowforge.workflow := flowforge.lock_workflow(workflow);
	config constant jsonb := flowforge.workflow_config(source);
	base constant text := regexp_replace(source.name, ' \(copy( \d+)?\)$', '');
	candidate text := coalesce(new_name, format('%s (copy)', base));
	n integer := 1;
begin
	perform pg_advisory_xact_lock(hashtextextended('flowforge.register', source.tenant_id));
	while new_name is null and exists (select from flowforge.workflow w where w.tenant_id = source.tenant_id and w.name = candidate) loop
		n := n + 1;
		candidate := format('%s (copy %s)', base, n);
	end loop;
	return flowforge.create_workflow(candidate, (config -> 'graph') || (config - '{graph,name,description}'::text[]), source.description, owner, author);
end
$$;
comment on function flowforge.duplicate_workflow(text, text, text, text) is
'Makes a draft of a workflow''s working definition: "name (copy)", "name (copy 2)" and so on, or another name. Errors: FF511, FF515, FF516.';

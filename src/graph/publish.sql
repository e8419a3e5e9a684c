-- Publishing workflows, and running them.

-- --- what keeps a definition from being published ---

-- A trigger as functions have it: one of an event, a schedule, a webhook; or "manual", which starts nothing by itself.
create function flowforge.trigger_findings(config jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with triggers as (
		select t.value, format('triggers[%s]', t.ordinality - 1) as path, t.ordinality as number
		from jsonb_array_elements(config -> 'triggers') with ordinality t
	), problems as (
		select t.path, 'is not an object' as problem, 'Write it like {"event": "order/created", "if": "event.data.total > 100"}.' as fix
		from triggers t
		where jsonb_typeof(t.value) <> 'object'
		union all
		select t.path, 'needs exactly one of event, cron, webhook and manual', 'Give each way to start it a trigger of its own.'
		from triggers t
		where jsonb_typeof(t.value) = 'object' and 1 <> (
			select count(*) from unnest('{event,cron,webhook,manual}'::text[]) k where flowforge.setting(t.value, k) is not null)
		union all
		select t.path || '.webhook', format('there is no webhook %s', t.value -> 'webhook'),
			'Make it first: select ff_create_hook(''path'', ''event/name'', ''github'', ''secret'').'
		from triggers t
		where flowforge.setting(t.value, 'webhook') is not null and not exists (
			select from flowforge.hooks h where h.tenant_id = flowforge.current_tenant() and to_jsonb(h.path) = t.value -> 'webhook')
		union all
		select 'triggers', format('there are %s', jsonb_array_length(config -> 'triggers')), 'Use at most 10.'
		where jsonb_array_length(config -> 'triggers') > 10
		union all
		select case when config #> string_to_array(translate(p.field, '[]', '.'), '.') is null then replace(p.field, 'expression', 'if') else p.field end,
			p.problem, p.fix
		from flowforge.text_problems(jsonb_build_object('functions', jsonb_build_array(jsonb_build_object('triggers', (
			select jsonb_agg(case when jsonb_typeof(t.value) = 'object' then t.value || case when t.value ? 'if' then jsonb_build_object('expression', t.value -> 'if')
				else '{}' end else '{}' end order by t.number)
			from triggers t))))) p
	)
	select coalesce(jsonb_agg(jsonb_build_object('code', 'bad_trigger', 'message', format('%s %s', p.path, p.problem), 'path', p.path, 'hint', p.fix)
		order by p.path), '[]')
	from problems p
$$;
comment on function flowforge.trigger_findings(jsonb) is 'What is wrong with the triggers of a working definition: findings as ff_workflow_validate has them.';

create function flowforge.input_schema_findings(config jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(jsonb_build_object('code', 'input_schema', 'message', format('the input schema is wrong: %s', f.value ->> 'message'),
		'path', 'input_schema' || (f.value ->> 'path'), 'hint', 'docs/schemas.md has the keywords of JSON Schema.') order by f.ordinality), '[]')
	from jsonb_array_elements(flowforge.schema_problems(nullif(config -> 'input_schema', 'null'))) with ordinality f
$$;
comment on function flowforge.input_schema_findings(jsonb) is 'What is wrong with the input schema of a working definition.';

create function flowforge.validate_config(config jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	graph constant jsonb := @extschema@.ff_workflow_validate((config -> 'graph') || jsonb_build_object('settings', config -> 'settings'));
	errors constant jsonb := (graph -> 'errors') || flowforge.trigger_findings(config) || flowforge.input_schema_findings(config);
begin
	return jsonb_build_object('valid', errors = '[]', 'errors', errors, 'warnings', graph -> 'warnings');
end
$$;
comment on function flowforge.validate_config(jsonb) is 'What ff_workflow_validate says of a working definition''s graph, and what is wrong with the rest of it.';

create function flowforge.refuse_invalid(name text, purpose text, errors jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
	raise exception using errcode = 'FF512', message = format('the workflow "%s" cannot be %s', name, purpose),
		detail = (
			select string_agg(format('%s%s: %s.', e.value ->> 'code', ' (' || coalesce(e.value ->> 'node_id', e.value ->> 'edge_id') || ')',
				e.value ->> 'message'), E'\n' order by e.ordinality)
			from jsonb_array_elements(errors) with ordinality e),
		hint = errors #>> '{0,hint}', datatype = errors::text;
end
$$;
comment on function flowforge.refuse_invalid(text, text, jsonb) is
'Raises FF512 with findings: a line each in the detail, and all of them as JSON in the error''s field datatype, which the API shows as errors.';

create function flowforge.check_config(workflow flowforge.workflow, config jsonb, purpose text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	errors constant jsonb := flowforge.validate_config(config) -> 'errors';
begin
	if errors <> '[]' then
		perform flowforge.refuse_invalid(workflow.name, purpose, errors);
	end if;
end
$$;
comment on function flowforge.check_config(flowforge.workflow, jsonb, text) is 'Raises FF512 unless a working definition is valid.';

-- --- publishing ---

create function flowforge.store_workflow_triggers(workflow flowforge.workflow) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select pg_advisory_xact_lock(hashtextextended('flowforge.register', workflow.tenant_id));
	select flowforge.store_triggers(workflow.tenant_id, null, workflow.function_id);
	select flowforge.store_schedules(workflow.tenant_id, null, workflow.function_id);
$$;
comment on function flowforge.store_workflow_triggers(flowforge.workflow) is 'Makes the triggers and schedules of a workflow what its published version says; none when it is archived.';

-- Whoever publishes second waits for the first, finds nothing left to publish and gets what the first one made.
create function flowforge.publish_workflow(workflow text, expected_etag text) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	w constant flowforge.workflow := flowforge.lock_workflow(workflow, expected_etag);
begin
	if w.status = 'archived' then
		raise exception using errcode = 'FF513', message = format('the workflow "%s" is archived and cannot be published', w.name),
			hint = 'ff_workflow_duplicate makes a draft of it under another name.';
	elsif w.draft is null then
		return w.function_id;
	end if;
	perform flowforge.check_config(w, w.draft, 'published');
	insert into flowforge.function_version (tenant_id, function_id, version, retries, config)
	values (w.tenant_id, w.function_id, w.draft_version, 0, w.draft || jsonb_build_object('name', w.name, 'description', w.description));
	update flowforge.function f
	set version = w.draft_version, name = w.name, archived_at = null
	where f.tenant_id = w.tenant_id and f.function_id = w.function_id;
	update flowforge.workflow u
	set status = 'published', draft = null, draft_version = u.draft_version + 1, test_version = null, revision = u.revision + 1, updated_at = now(),
		published_at = now()
	where u.tenant_id = w.tenant_id and u.function_id = w.function_id;
	perform flowforge.store_workflow_triggers(w);
	return w.function_id;
end
$$;
comment on function flowforge.publish_workflow(text, text) is
'Freezes the draft of a workflow as its next version, which its triggers start from now on. Errors: FF511, FF512 it is not valid, FF513, FF514.';

create function flowforge.archive_workflow(workflow text, expected_etag text) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	w constant flowforge.workflow := flowforge.lock_workflow(workflow, expected_etag);
begin
	if w.status <> 'archived' then
		update flowforge.workflow u
		set status = 'archived', revision = u.revision + 1, updated_at = now()
		where u.tenant_id = w.tenant_id and u.function_id = w.function_id;
		update flowforge.function f
		set archived_at = coalesce(f.archived_at, now())
		where f.tenant_id = w.tenant_id and f.function_id = w.function_id;
		perform flowforge.store_workflow_triggers(w);
	end if;
	return w.function_id;
end
$$;
comment on function flowforge.archive_workflow(text, text) is 'Takes a workflow out of use: nothing starts it any more; its runs go on. Errors: FF511, FF514.';

create function flowforge.delete_workflow(workflow text, expected_etag text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	w constant flowforge.workflow := flowforge.lock_workflow(workflow, expected_etag);
begin
	if w.status = 'published' then
		raise exception using errcode = 'FF513', message = format('the workflow "%s" is published and cannot be deleted', w.name),
			hint = 'Archive it first: nothing starts it then, and its runs go on.';
	end if;
	delete from flowforge.workflow u where u.tenant_id = w.tenant_id and u.function_id = w.function_id;
	-- What has run stays known by its function.
	delete from flowforge.function f
	where f.tenant_id = w.tenant_id and f.function_id = w.function_id and not exists (
		select from flowforge.function_version v where v.tenant_id = f.tenant_id and v.function_id = f.function_id);
end
$$;
comment on function flowforge.delete_workflow(text, text) is
'Deletes a workflow that is a draft or archived. Its versions stay for the runs that have them. Errors: FF511, FF513, FF514.';

-- --- running ---

create function flowforge.check_input(name text, input_schema jsonb, input jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	findings constant jsonb := flowforge.schema_check(nullif(input_schema, 'null'), coalesce(input, '{}'));
begin
	if findings <> '[]' then
		raise exception using errcode = 'FF517', message = format('the input is not what "%s" takes', name),
			detail = flowforge.findings_text(findings, 'input'), hint = 'Its input_schema says what it takes.', datatype = findings::text;
	end if;
end
$$;
comment on function flowforge.check_input(text, jsonb, jsonb) is 'Raises FF517 unless an input satisfies the schema; null and JSON null take everything.';

create function flowforge.check_function_input(slug text, input jsonb) returns void
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.check_input(f.slug, v.config -> 'input_schema', input)
	from flowforge.function f
	join flowforge.function_version v on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = f.version
	where f.tenant_id = flowforge.current_tenant() and f.slug = check_function_input.slug and f.archived_at is null and f.kind <> 'sdk'
$$;
comment on function flowforge.check_function_input(text, jsonb) is 'Raises FF517 unless an input is what a function''s current version takes.';

-- The event of a run by its key, or the run it started already.
create function flowforge.started_run(event uuid, run uuid) returns uuid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(run, (select r.run_id from flowforge.run r where r.tenant_id = flowforge.current_tenant() and r.event_id = event limit 1))
$$;
comment on function flowforge.started_run(uuid, uuid) is 'The run that was just started, or else the one its event started before.';

-- What a test run runs: the version a draft would become, under a negative number. Drafts that say the same share it.
create function flowforge.snapshot_draft(w flowforge.workflow) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	frozen constant jsonb := w.draft || jsonb_build_object('name', w.name, 'description', w.description);
	snapshot integer := w.test_version;
begin
	if snapshot is not null then
		perform flowforge.use_snapshot(w.tenant_id, w.function_id, snapshot);
		return snapshot;
	end if;
	select v.version into snapshot
	from flowforge.function_version v
	where v.tenant_id = w.tenant_id and v.function_id = w.function_id and v.version < 0 and v.config = frozen;
	if not found then
		select least(min(v.version), 0) - 1 into snapshot
		from flowforge.function_version v
		where v.tenant_id = w.tenant_id and v.function_id = w.function_id;
		insert into flowforge.function_version (tenant_id, function_id, version, retries, config)
		values (w.tenant_id, w.function_id, snapshot, 0, frozen);
	else
		perform flowforge.use_snapshot(w.tenant_id, w.function_id, snapshot);
	end if;
	update flowforge.workflow u set test_version = snapshot where u.tenant_id = w.tenant_id and u.function_id = w.function_id;
	return snapshot;
end
$$;
comment on function flowforge.snapshot_draft(flowforge.workflow) is 'The version (negative) by which a draft is test run.';

-- A version that no run has been started with for `retention` is that of no run that is kept, unless that run is live yet.
create function flowforge.forget_snapshots(retention interval) returns integer
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	with gone as (
		delete from flowforge.function_version v
		where retention > interval '0' and v.version < 0 and v.created_at < now() - retention - interval '1 day'
			and not exists (select from flowforge.workflow w where w.tenant_id = v.tenant_id and w.function_id = v.function_id and w.test_version = v.version)
			and not exists (select from flowforge.live_run l where l.tenant_id = v.tenant_id and l.function_id = v.function_id and l.version = v.version)
		returning 1
	)
	select count(*)::integer from gone
$$;
comment on function flowforge.forget_snapshots(interval) is
'Deletes versions of drafts that were made for test runs and last used before `retention`, that no draft and no live run has; 0 keeps them. '
'Gives how many. Executors call it.';

create function flowforge.test_workflow(workflow text, input jsonb, idempotency_key text) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	w constant flowforge.workflow := flowforge.lock_workflow(workflow);
	config constant jsonb := flowforge.workflow_config(w);
	version integer;
	started record;
begin
	perform flowforge.check_config(w, config, 'run');
	perform flowforge.check_input(w.name, config -> 'input_schema', input);
	select case when w.draft is null then f.version else flowforge.snapshot_draft(w) end into version
	from flowforge.function f
	where f.tenant_id = w.tenant_id and f.function_id = w.function_id;
	select * into started
	from flowforge.start_version(w.function_id, version,
		jsonb_strip_nulls(jsonb_build_object('id', idempotency_key)) || jsonb_build_object('data', coalesce(input, '{}')));
	return flowforge.started_run(started.event_id, started.run_id);
end
$$;
comment on function flowforge.test_workflow(text, jsonb, text) is
'Runs the working definition of a workflow once. Errors: FF511, FF512 it is not valid, FF517, FF002.';

create function flowforge.run_workflow(workflow text, input jsonb, idempotency_key text) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	found_function record;
	started record;
begin
	select f.slug, w.name, w.status, w.published_at into found_function
	from flowforge.workflow w
	join flowforge.function f on f.tenant_id = w.tenant_id and f.function_id = w.function_id
	where w.tenant_id = flowforge.current_tenant() and w.function_id = flowforge.workflow_id_of(workflow);
	if not found then
		perform flowforge.lock_workflow(workflow);
	elsif found_function.status <> 'published' then
		raise exception using errcode = 'FF513', message = format('the workflow "%s" is not published', found_function.name),
			detail = format('It is %s.', case found_function.status when 'draft' then 'a draft' else 'archived' end),
			hint = case found_function.status when 'draft' then 'Publish it, or run the draft as a test: ff_workflow_run(workflow, input, draft => true).'
				else 'ff_workflow_duplicate makes a draft of it under another name.' end;
	end if;
	perform flowforge.check_function_input(found_function.slug, input);
	select * into started
	from flowforge.invoke(found_function.slug,
		jsonb_strip_nulls(jsonb_build_object('id', idempotency_key)) || jsonb_build_object('data', coalesce(input, '{}')));
	return flowforge.started_run(started.event_id, started.run_id);
end
$$;
comment on function flowforge.run_workflow(text, jsonb, text) is 'Runs the published version of a workflow. Errors: FF511, FF513 it is not published, FF517, FF002.';

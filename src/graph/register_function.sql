-- Functions of this database as functions of FlowForge: a graph that calls them, run, retried and invoked like any other.

-- The arguments a run's input has to fill: name and type, in order.
create function flowforge.input_arguments(function oid) returns table (name text, type text, number bigint)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select p.proargnames[a.ordinality], format_type(a.type, null), row_number() over (order by a.ordinality)
	from pg_proc p
	cross join lateral unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality a (type)
	where p.oid = function and coalesce(p.proargmodes[a.ordinality], 'i') in ('i', 'b', 'v')
$$;
comment on function flowforge.input_arguments(oid) is 'What a database function is called with.';

create function flowforge.function_problem(function oid, acting text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when p.oid is null then 'it does not exist'
		when p.prokind <> 'f' then 'it is no function but a procedure, an aggregate or a window function'
		when p.proretset then 'it returns a set; let it return one value, such as jsonb_agg of the rows'
		when p.prorettype in ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype) then format('it returns %s', p.prorettype::regtype)
		when p.provariadic <> 0 then 'it takes any number of arguments'
		when not exists (select from flowforge.input_arguments(p.oid) a where a.number = 1 and a.type = 'jsonb' and p.pronargs = 1)
			and exists (select from flowforge.input_arguments(p.oid) a where coalesce(a.name, '') = '') then
			'its arguments have no names; take one argument of type jsonb, or name them'
		when not has_function_privilege(acting, p.oid, 'execute') then format('the role "%s" may not execute it', acting)
		when not has_schema_privilege(acting, p.pronamespace, 'usage') then format('the role "%s" may not use its schema', acting)
	end
	from (select) as one
	left join pg_proc p on p.oid = function
$$;
comment on function flowforge.function_problem(oid, text) is 'Why a database function cannot be registered to run as a role, or null when it can.';

-- One jsonb argument is the whole input; named arguments are its members, null where it has none.
create function flowforge.call_query(function oid, output_schema jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select format(case when output_schema is null then 'select %s as result%s' else 'select %3$s(%1$s, %4$L::jsonb) as result%2$s' end,
		format('to_jsonb(%I.%I(%s))', n.nspname, p.proname, case when c.whole then '$1::jsonb' else c.arguments end),
		case when c.whole or p.pronargs = 0 then '' else format(' from jsonb_to_record($1::jsonb) r (%s)', c.columns) end,
		'@extschema@.ff_schema_require', output_schema)
	from pg_proc p
	join pg_namespace n on n.oid = p.pronamespace
	cross join lateral (
		select p.pronargs = 1 and bool_and(a.type = 'jsonb') as whole, string_agg(format('%I => r.%1$I', a.name), ', ' order by a.number) as arguments,
			string_agg(format('%I %s', a.name, a.type), ', ' order by a.number) as columns
		from flowforge.input_arguments(p.oid) a) c
	where p.oid = function
$$;
comment on function flowforge.call_query(oid, jsonb) is 'The statement that calls a database function with a run''s input as $1.';

create function flowforge.function_config(name text, function oid, input_schema jsonb, output_schema jsonb, settings jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('name', name, 'description', coalesce(obj_description(function, 'pg_proc'), ''), 'function', function::regprocedure::text,
		'input_schema', input_schema, 'output_schema', output_schema, 'triggers', '[]'::jsonb,
		'settings', '{"max_concurrency": 1, "run_timeout_seconds": null}'::jsonb || coalesce(settings, '{}'),
		'graph', jsonb_build_object(
			'nodes', jsonb_build_array(
				jsonb_build_object('id', 'call', 'type', 'database_query', 'data', jsonb_build_object('label', name, 'config', jsonb_build_object(
					'query', flowforge.call_query(function, output_schema),
					'params', case when (select p.pronargs from pg_proc p where p.oid = function) = 0 then '[]'::jsonb else '["{{ input }}"]'::jsonb end))),
				'{"id": "result", "type": "transform", "data": {"config": {"output": "{{ call.rows.0.result }}"}}}'::jsonb),
			'edges', '[{"id": "then", "source": "call", "target": "result"}]'::jsonb))
$$;
comment on function flowforge.function_config(text, oid, jsonb, jsonb, jsonb) is 'The configuration of a registered database function: a graph of its call and what that gives.';

-- What decides which events start a run says nothing of a function that only names start.
create function flowforge.settings_problem(settings jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when jsonb_typeof(settings) <> 'object' then format('its settings are of type %s, not object', jsonb_typeof(settings))
		when wrong.name is not null then
			format('its settings have "%s", and may have concurrency, throttle and priority: no event starts it', wrong.name)
		else (select format('its settings are wrong: %s', string_agg(f.value ->> 'message', '; '))
			from jsonb_array_elements(flowforge.flow_findings(settings)) f having count(*) > 0)
	end
	from (
		select min(k) as name from jsonb_object_keys(case jsonb_typeof(settings) when 'object' then settings else '{}' end) k
		where k not in ('concurrency', 'throttle', 'priority')) wrong
$$;
comment on function flowforge.settings_problem(jsonb) is 'What is wrong with the settings of a registered database function, or null when nothing is.';

create function flowforge.check_registrable(name text, function oid, input_schema jsonb, output_schema jsonb, acting text, settings jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	problem constant text := case
		when name is null or not flowforge.is_id(name) then format('%s is not a usable id', coalesce(quote_literal(name), 'null'))
		when acting is null then 'a superuser''s functions need another role to run as'
		when flowforge.schema_problems(input_schema) <> '[]' then 'its input schema is wrong: ' || flowforge.findings_text(flowforge.schema_problems(input_schema), 'at ')
		when flowforge.schema_problems(output_schema) <> '[]' then 'its output schema is wrong: ' || flowforge.findings_text(flowforge.schema_problems(output_schema), 'at ')
		else coalesce(flowforge.function_problem(function, acting), flowforge.settings_problem(settings))
	end;
begin
	if problem is not null then
		raise exception using errcode = 'FF518', message = format('the function %s cannot be registered', function::regprocedure), detail = problem,
			hint = 'For example: select ff_register_function(''price-of'', ''shop.price_of(jsonb)'', role => ''shop'').';
	end if;
end
$$;
comment on function flowforge.check_registrable(text, oid, jsonb, jsonb, text, jsonb) is 'Raises FF518 unless a database function can be registered.';

create function flowforge.check_name_free(tenant integer, name text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	taken record;
begin
	select f.kind, f.role, f.archived_at, exists (select from flowforge.workflow w where w.tenant_id = tenant and w.function_id = f.function_id) as drawn into taken
	from flowforge.function f
	where f.tenant_id = tenant and f.slug = check_name_free.name;
	if not found then
		return;
	elsif taken.drawn or (taken.kind <> 'sql' and taken.archived_at is null) then
		raise exception using errcode = 'FF209', message = format('there is a function "%s" already', name),
			detail = case when taken.drawn then 'It is a workflow.' else 'An app serves it.' end, hint = 'Register it under another name.';
	elsif taken.kind = 'sql' and exists (select from pg_roles r where r.rolname = taken.role and not pg_has_role(flowforge.caller()::name, r.oid, 'member')) then
		raise exception using errcode = 'FF404', message = format('the function "%s" is somebody else''s', name),
			detail = format('It runs as "%s", of which "%s" is not a member.', taken.role, flowforge.caller()), hint = 'Register it under another name.';
	end if;
end
$$;
comment on function flowforge.check_name_free(integer, text) is 'Raises FF209 or FF404 when a name is another function''s.';

create function flowforge.store_sql_function(tenant integer, title text, acting text, wanted jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	id integer;
	latest integer;
	current jsonb;
begin
	insert into flowforge.function as f (tenant_id, slug, name, version, url, kind, role, role_mark)
	values (tenant, title, title, 0, '', 'sql', acting, flowforge.role_mark(acting))
	on conflict (tenant_id, slug) do update
	set name = excluded.name, role = excluded.role, role_mark = excluded.role_mark, kind = 'sql', app_id = null, url = '', archived_at = null
	returning f.function_id, f.version into id, latest;
	select v.config into current
	from flowforge.function_version v
	where v.tenant_id = tenant and v.function_id = id and v.version = latest;
	if current is distinct from wanted then
		insert into flowforge.function_version (tenant_id, function_id, version, retries, config)
		values (tenant, id, latest + 1, 0, wanted);
		update flowforge.function f set version = latest + 1 where f.tenant_id = tenant and f.function_id = id;
	end if;
end
$$;
comment on function flowforge.store_sql_function(integer, text, text, jsonb) is 'Stores a registered database function; one that changed gets a new version.';

create function @extschema@.ff_register_function(
	name text, function regprocedure, input_schema jsonb default null, output_schema jsonb default null, role text default null,
	settings jsonb default null
) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	acting constant text := coalesce(role, flowforge.role_of_caller());
begin
	perform flowforge.require_role('member');
	perform flowforge.check_role_given(acting);
	perform flowforge.check_registrable(name, function, input_schema, output_schema, acting, settings);
	perform pg_advisory_xact_lock(hashtextextended('flowforge.register', tenant));
	perform flowforge.check_name_free(tenant, name);
	perform flowforge.store_sql_function(tenant, name, acting, flowforge.function_config(name, function, input_schema, output_schema, settings));
	return name;
end
$$;
comment on function @extschema@.ff_register_function(text, regprocedure, jsonb, jsonb, text, jsonb) is
'Makes a function of this database one that runs, workflows and apps invoke by a name: ff_run(name, input). It takes no argument, one of type '
'jsonb, which is the input, or named ones, which are the input''s members (null where it has none); it gives one value. What it is given must satisfy '
'input_schema, what it gives output_schema (JSON Schemas), or the run fails. Each call is a statement in a transaction of its own, as the calling role or one '
'it is a member of, which must not be a superuser. settings may have concurrency, throttle and priority (docs/flow-control.md). Registering a name again makes a new version. Gives the name. Errors: FF518 it cannot be '
'registered, FF404 the role or the name is not the caller''s, FF209 the name is an app''s function or a workflow.';

create function @extschema@.ff_unregister_function(name text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
begin
	perform flowforge.require_role('member');
	perform pg_advisory_xact_lock(hashtextextended('flowforge.register', tenant));
	if not exists (select from flowforge.function f where f.tenant_id = tenant and f.slug = ff_unregister_function.name and f.kind = 'sql' and f.archived_at is null) then
		raise exception using errcode = 'FF013', message = format('there is no registered function "%s"', coalesce(name, 'null')),
			hint = 'select function from flowforge.functions where kind = ''sql'' lists them.';
	end if;
	perform flowforge.check_name_free(tenant, name);
	update flowforge.function f set archived_at = now() where f.tenant_id = tenant and f.slug = ff_unregister_function.name;
end
$$;
comment on function @extschema@.ff_unregister_function(text) is
'Takes a function registered with ff_register_function out of use; its runs go on. Errors: FF013 no such function, FF404 it is somebody else''s.';
revoke execute on function @extschema@.ff_register_function(text, regprocedure, jsonb, jsonb, text, jsonb), @extschema@.ff_unregister_function(text) from public;

-- Changes of configuration and decisions, audited where they are stored: whoever makes them, by a function, over HTTP or with a statement
-- of his own, they are in the log. What is done to runs is stored in no such row: the functions that do it call flowforge.audit themselves.

-- What is done to a row, as noun.verb, or null for what is no change of anybody's: what the engine notes in the row for itself.
create function flowforge.audit_action(noun text, op text, old jsonb, new jsonb) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
	select case noun
		when 'pause' then case
			when coalesce(old, new) ->> 'app_id' is not null then 'app'
			when coalesce(old, new) ->> 'function_id' is not null then 'function'
			else 'tenant' end || case op when 'DELETE' then '.resume' else '.pause' end
		when 'role' then case op when 'DELETE' then 'role.revoke' else 'role.grant' end
		when 'approval' then case new ->> 'status' when 'approved' then 'approval.approve' when 'rejected' then 'approval.reject' end
		when 'approval_link' then case op when 'INSERT' then 'approval.link' end
		when 'schedule' then case when coalesce(new, old) ->> 'name' is not null then change end
		when 'function' then case
			when coalesce(new, old) ->> 'kind' = 'graph' and (op <> 'UPDATE' or old -> 'role' is not distinct from new -> 'role') then null
			when op = 'UPDATE' and old ->> 'archived_at' is null and new ->> 'archived_at' is not null then 'function.archive'
			else change end
		when 'workflow' then case
			when op = 'UPDATE' and old -> 'published_at' is distinct from new -> 'published_at' then 'workflow.publish'
			when op = 'UPDATE' and old ->> 'status' is distinct from 'archived' and new ->> 'status' = 'archived' then 'workflow.archive'
			else change end
		else change
	end
	from (select noun || case op when 'INSERT' then '.create' when 'UPDATE' then '.update' else '.delete' end as change) c
$$;
comment on function flowforge.audit_action(text, text, jsonb, jsonb) is 'What a change of a row is called in the audit log; null when it is not for it.';

-- What a row is of: its name, or that of the function, app or tenant that is paused; ids are written as ULIDs.
create function flowforge.audit_resource(noun text, columns text[], part jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when noun = 'pause' and num_nonnulls(part ->> 'function_id', part ->> 'app_id') = 0 then 'tenant:' || (part ->> 'tenant_id')
		when noun = 'pause' and part ->> 'app_id' is null then 'function:' || (select f.slug from flowforge.function f
			where f.tenant_id = (part ->> 'tenant_id')::integer and f.function_id = (part ->> 'function_id')::integer)
		when noun = 'pause' then 'app:' || (select a.name from flowforge.app a where a.tenant_id = (part ->> 'tenant_id')::integer and a.app_id = (part ->> 'app_id')::uuid)
		else case noun when 'approval_link' then 'approval' else noun end || ':' || (
			select string_agg(case when c.value like '%\_id' and c.value <> 'tenant_id' then flowforge.ulid((part ->> c.value)::uuid) else part ->> c.value end, '/' order by c.ordinality)
			from unnest(columns) with ordinality as c (value, ordinality))
	end
$$;
comment on function flowforge.audit_resource(text, text[], jsonb) is 'What a row of configuration is called in the audit log: kind:name.';

-- Arguments: the noun, the columns that name the row, the columns that are the engine's own notes. Of an update the log has the columns that
-- changed. While a dump is restored nobody changes anything.
create function flowforge.audit_change() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	own constant text[] := tg_argv[2]::text[];
	old_row jsonb := case when tg_op <> 'INSERT' then jsonb_strip_nulls(to_jsonb(old)) - own end;
	new_row jsonb := case when tg_op <> 'DELETE' then jsonb_strip_nulls(to_jsonb(new)) - own end;
	part constant jsonb := coalesce(new_row, old_row);
	action constant text := flowforge.audit_action(tg_argv[0], tg_op, old_row, new_row);
	resource text;
begin
	if action is null or old_row = new_row or current_setting('flowforge.restoring', true) = 'on' then
		return null;
	end if;
	resource := coalesce(flowforge.audit_resource(tg_argv[0], tg_argv[1]::text[], part), tg_argv[0]);
	if tg_op = 'UPDATE' then
		select jsonb_object_agg(o.key, o.value) into old_row from jsonb_each(old_row) o where o.value is distinct from new_row -> o.key;
		select jsonb_object_agg(n.key, n.value) into new_row from jsonb_each(new_row) n where n.value is distinct from (to_jsonb(old) -> n.key);
	end if;
	perform flowforge.audit_in((part ->> 'tenant_id')::integer, action, resource, old_row, new_row);
	return null;
end
$$;
comment on function flowforge.audit_change() is 'Audits a change of a row of configuration, in the log of the row''s tenant.';
revoke execute on function flowforge.audit_change() from public;

create trigger audit after insert or update or delete on flowforge.tenant
	for each row execute function flowforge.audit_change('tenant', '{tenant_id}', '{created_at}');
create trigger audit after insert or update or delete on flowforge.app
	for each row execute function flowforge.audit_change('app', '{name}', '{checksum,registered_at,synced_at,sync_error,sync_failed_at,role_mark}');
create trigger audit after insert or update or delete on flowforge.function
	for each row execute function flowforge.audit_change('function', '{slug}', '{created_at,role_mark}');
create trigger audit after insert or update or delete on flowforge.workflow
	for each row execute function flowforge.audit_change('workflow', '{workflow_id}', '{draft_version,test_version,revision,created_at,updated_at}');
create trigger audit after insert or update or delete on flowforge.hook
	for each row execute function flowforge.audit_change('hook', '{path}', '{created_at,changed_at}');
create trigger audit after insert or update or delete on flowforge.schedule
	for each row execute function flowforge.audit_change('schedule', '{name}', '{last_at,next_run_at,job_id,last_error}');
create trigger audit after insert or update or delete on flowforge.ai_provider
	for each row execute function flowforge.audit_change('ai_provider', '{name}', '{updated_at}');
create trigger audit after insert or update or delete on flowforge.model_price
	for each row execute function flowforge.audit_change('model_price', '{provider,model}', '{}');
create trigger audit after insert or delete on flowforge.pause
	for each row execute function flowforge.audit_change('pause', '{}', '{paused_at}');
create trigger audit after insert or update or delete on flowforge.role_tenant
	for each row execute function flowforge.audit_change('role', '{role}', '{granted_at}');
create trigger audit after insert or delete on flowforge.cancellation
	for each row execute function flowforge.audit_change('cancellation', '{cancellation_id}', '{created_at}');
create trigger audit after update of status on flowforge.approval
	for each row execute function flowforge.audit_change('approval', '{approval_id}', '{decided_at}');
create trigger audit after insert on flowforge.approval_link
	for each row execute function flowforge.audit_change('approval_link', '{approval_id}', '{digest,made_at}');

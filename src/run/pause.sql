-- Pausing: nothing of a paused function, or of a paused app's functions, is called. Events still start runs; they, and those that would
-- go on, wait in run_hot. What was being called is not interrupted, and its answer counts.

create function flowforge.function_named(wanted text) returns flowforge.function
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	result flowforge.function;
begin
	select f.* into result from flowforge.function f where f.tenant_id = flowforge.current_tenant() and f.slug = wanted;
	if not found then
		raise exception using errcode = 'FF013', message = format('there is no function "%s"', coalesce(wanted, 'null')),
			hint = 'select function from flowforge.functions lists them.';
	end if;
	return result;
end
$$;
comment on function flowforge.function_named(text) is 'A function by its id. Error: FF013.';

create function flowforge.app_named(wanted text) returns flowforge.app
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	result flowforge.app;
begin
	select a.* into result from flowforge.app a where a.tenant_id = flowforge.current_tenant() and wanted in (a.name, a.app_id::text, flowforge.ulid(a.app_id));
	if not found then
		raise exception using errcode = 'FF063', message = format('there is no app "%s"', coalesce(wanted, 'null')), hint = 'select name from flowforge.app lists them.';
	end if;
	return result;
end
$$;
comment on function flowforge.app_named(text) is 'An app by its name or id. Error: FF063.';

create function @extschema@.ff_pause(function text, reason text default null) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	paused constant flowforge.function := flowforge.function_named(function);
begin
	perform flowforge.require_role('member');
	insert into flowforge.pause (tenant_id, function_id, reason) values (paused.tenant_id, paused.function_id, reason)
	on conflict do nothing;
	return case when found then 'paused' else 'already paused' end;
end
$$;
comment on function @extschema@.ff_pause(text, text) is
'Pauses a function: from the commit on nothing of it is called. Its runs are kept, events go on starting some, and what was being called '
'goes on. Gives "paused" or "already paused". Error: FF013 no such function.';

create function @extschema@.ff_resume(function text) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	paused flowforge.function;
begin
	perform flowforge.require_role('member');
	if function ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then
		return @extschema@.ff_resume(function::uuid);
	end if;
	paused := flowforge.function_named(function);
	delete from flowforge.pause p where p.tenant_id = paused.tenant_id and p.function_id = paused.function_id;
	if not found then
		return 'not paused';
	end if;
	perform flowforge.look();
	return 'resumed';
end
$$;
comment on function @extschema@.ff_resume(text) is 'Ends the pause of a function. Gives "resumed" or "not paused". A UUID is a run''s: as ff_resume(uuid). Error: FF013 no such function.';

create function @extschema@.ff_pause_app(app text, reason text default null) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	paused constant flowforge.app := flowforge.app_named(app);
begin
	perform flowforge.require_role('member');
	insert into flowforge.pause (tenant_id, app_id, reason) values (paused.tenant_id, paused.app_id, reason)
	on conflict do nothing;
	return case when found then 'paused' else 'already paused' end;
end
$$;
comment on function @extschema@.ff_pause_app(text, text) is
'Pauses an app, named by its name or id: all its functions, as ff_pause does one. Gives "paused" or "already paused". Error: FF063 no such app.';

create function @extschema@.ff_resume_app(app text) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	paused constant flowforge.app := flowforge.app_named(app);
begin
	perform flowforge.require_role('member');
	delete from flowforge.pause p where p.tenant_id = paused.tenant_id and p.app_id = paused.app_id;
	if not found then
		return 'not paused';
	end if;
	perform flowforge.look();
	return 'resumed';
end
$$;
comment on function @extschema@.ff_resume_app(text) is
'Ends the pause of an app; functions that were paused by themselves stay so. Gives "resumed" or "not paused". Error: FF063 no such app.';

create function @extschema@.ff_pause_all(reason text default null) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	perform flowforge.require_role('admin');
	insert into flowforge.pause (tenant_id, reason) values (flowforge.current_tenant(), reason)
	on conflict do nothing;
	return case when found then 'paused' else 'already paused' end;
end
$$;
comment on function @extschema@.ff_pause_all(text) is
'Pauses all functions of the tenant, also those that come later, as ff_pause does one. Gives "paused" or "already paused".';

create function @extschema@.ff_resume_all() returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	perform flowforge.require_role('admin');
	delete from flowforge.pause p where p.tenant_id = flowforge.current_tenant() and p.function_id is null and p.app_id is null;
	if not found then
		return 'not paused';
	end if;
	perform flowforge.look();
	return 'resumed';
end
$$;
comment on function @extschema@.ff_resume_all() is
'Ends the pause of all the tenant''s functions; functions and apps that were paused by themselves stay so. Gives "resumed" or "not paused".';

create function @extschema@.ff_app_timeout(app text, timeout interval) returns interval
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	changed constant flowforge.app := flowforge.app_named(app);
begin
	perform flowforge.require_role('admin');
	if timeout <= interval '0' then
		raise exception using errcode = '22023', message = 'a time-out is longer than nothing', detail = format('It is %s.', timeout),
			hint = 'Leave it null for flowforge.request_timeout.';
	end if;
	update flowforge.app a set request_timeout = timeout where a.tenant_id = changed.tenant_id and a.app_id = changed.app_id;
	return timeout;
end
$$;
comment on function @extschema@.ff_app_timeout(text, interval) is
'Says how long a call to an app may take; null: flowforge.request_timeout, which it cannot exceed. A call that takes longer counts as an '
'attempt. Gives the time-out. Errors: FF063 no such app; 22023 it is not longer than nothing.';

-- The database role of an app's Sql steps.
create function flowforge.role_problem(role text, mark text default null) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when r.oid is null then format('the role "%s" does not exist', role)
		when not flowforge.role_is_same(mark, flowforge.role_mark(role)) then
			format('the role "%s" is not the one that was meant: that one has been dropped', role)
		when exists (select from pg_roles s where s.rolsuper and pg_has_role(r.oid, s.oid, 'member')) then
			format('the role "%s" is a superuser or may become one', role)
		when pg_has_role(r.oid, (select e.extowner from pg_extension e where e.extname = 'flowforge'), 'member') then
			format('the role "%s" may act as the owner of the extension', role)
		when not r.rolcanlogin then format('the role "%s" may not log in', role)
		when not has_database_privilege(r.oid, current_database(), 'connect') then
			format('the role "%s" may not connect to this database', role)
		when r.rolvaliduntil < now() then format('the role "%s" has expired', role)
	end
	from (select) as one
	left join pg_roles r on r.rolname = role
$$;
comment on function flowforge.role_problem(text, text) is
'Why Sql steps cannot run as a role, or null when they can; with its mark, also when the name is another role''s now.';

create function flowforge.check_role_given(role text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	problem constant text := flowforge.role_problem(role);
begin
	if role is not null and problem is not null then
		raise exception using errcode = 'FF404', message = problem,
			hint = 'Make a role that may log in and has the rights its statements need, and no more.';
	end if;
	if role is not null and not pg_has_role(flowforge.caller()::name, role::name, 'member') then
		raise exception using errcode = 'FF404', message = format('the role "%s" is not yours to give', role),
			detail = format('"%s" is not a member of it.', flowforge.caller()), hint = 'Ask somebody who may act as that role.';
	end if;
end
$$;
comment on function flowforge.check_role_given(text) is 'Raises FF404 unless the caller may let statements run as a role; null is nobody.';

create function @extschema@.ff_set_app_role(app text, role text) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	perform flowforge.require_role('admin');
	perform flowforge.check_role_given(role);
	update flowforge.app a
	set role = ff_set_app_role.role, role_mark = flowforge.role_mark(ff_set_app_role.role)
	where a.tenant_id = flowforge.current_tenant() and a.name = app;
	if not found then
		raise exception using errcode = 'FF013', message = format('there is no app "%s"', app),
			hint = 'select name from flowforge.app lists the apps of this tenant.';
	end if;
	return coalesce(role, 'none');
end
$$;
comment on function @extschema@.ff_set_app_role(text, text) is
'Makes the Sql steps of an app run as a database role; null takes the right away. The role must be able to log in and connect, must not be '
'a superuser nor a member of one, and the caller must be a member of it. Takes effect for statements that begin afterwards. A role that is '
'dropped and made again is another one, which the app has to be given anew; in a restored dump a role is known by its name. Gives the role. '
'Errors: FF404 the role cannot be used, FF013 no such app.';
revoke execute on function @extschema@.ff_set_app_role(text, text) from public;

-- Whom a session works for (src/team/caller.h), and which database roles are tied to which tenant.

-- A tie: sessions of the role work for this tenant, whatever they set and whichever role they take. Written by ff_grant and ff_revoke.
create table flowforge.role_tenant (
	role regrole not null,
	tenant_id integer not null references flowforge.tenant on delete cascade,
	level text not null check (level in ('viewer', 'member', 'admin')),
	granted_at timestamptz not null default now(),
	constraint role_tenant_pkey primary key (role)
);
comment on table flowforge.role_tenant is 'The database roles that are tied to a tenant, and what they may do there: viewer, member or admin.';
create trigger forget after insert or update or delete or truncate on flowforge.role_tenant
	for each statement execute function flowforge.forget_tenants();
-- A role that is gone would be dumped as a number, which may be another role's elsewhere.
select pg_catalog.pg_extension_config_dump('flowforge.role_tenant',
	'where role::pg_catalog.oid operator(pg_catalog.=) any (array(select r.oid from pg_catalog.pg_roles r))');

create function flowforge.current_tenant() returns integer
language c stable parallel safe
as 'MODULE_PATHNAME', 'ff_sql_current_tenant';
comment on function flowforge.current_tenant() is
'The tenant this session works for: the one its role is tied to (ff_grant), else the setting flowforge.tenant, by default 1.';

create function flowforge.visible_tenant() returns integer
language c stable parallel safe
as 'MODULE_PATHNAME', 'ff_sql_visible_tenant';
comment on function flowforge.visible_tenant() is
'The tenant whose rows policies let this session see: that of flowforge.current_tenant, and null, which is none, for a role that is neither '
'tied to a tenant nor allowed to set flowforge.tenant.';

create function flowforge.sees_tenant(tenant integer) returns boolean
language c stable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_sees_tenant';
comment on function flowforge.sees_tenant(integer) is
'Whether the session may know what this tenant has, where there is no row to have a policy: its own, or any if it may set flowforge.tenant.';

create function flowforge.caller_is_tied() returns boolean
language c stable parallel safe
as 'MODULE_PATHNAME', 'ff_sql_caller_is_tied';
comment on function flowforge.caller_is_tied() is 'Whether the session''s role is tied to a tenant (ff_grant).';

create function flowforge.require_role(role text) returns void
language c stable strict
as 'MODULE_PATHNAME', 'ff_sql_require_role';
comment on function flowforge.require_role(text) is
'Raises an error unless the caller is a viewer, a member or an admin, as is said, or more. What a role that is tied to no tenant was granted by '
'name it may call. Errors: FF640 the role is less; FF641 the role has the rights of tied roles and is not tied.';

do $$
declare
	missing text;
begin
	for missing in
		select 'flowforge_' || l.level
		from pg_catalog.unnest('{viewer,member,admin}'::text[]) as l (level)
		where not exists (select from pg_catalog.pg_roles r where r.rolname operator(pg_catalog.=) ('flowforge_' || l.level))
	loop
		execute pg_catalog.format('create role %I nologin', missing);
	end loop;
	grant flowforge_viewer to flowforge_member;
	grant flowforge_member to flowforge_admin;
end
$$;
grant set on parameter flowforge.tenant to flowforge_gateway;

-- What the functions of routes run as (src/api/rank.h): roles of their own, because what the API is put together from is theirs to call and no
-- tied role's. Nobody logs in as one or is a member of one; flowforge.serve takes them.
do $$
declare
	missing text;
begin
	for missing in
		select 'flowforge_http_' || l.level
		from pg_catalog.unnest('{nobody,sender,viewer,member,admin}'::text[]) as l (level)
		where not exists (select from pg_catalog.pg_roles r where r.rolname operator(pg_catalog.=) ('flowforge_http_' || l.level))
	loop
		execute pg_catalog.format('create role %I nologin', missing);
	end loop;
	grant flowforge_http_nobody to flowforge_http_sender, flowforge_http_viewer;
	grant flowforge_viewer to flowforge_http_viewer;
	grant flowforge_http_sender, flowforge_http_viewer, flowforge_member to flowforge_http_member;
	grant flowforge_http_member, flowforge_admin to flowforge_http_admin;
end
$$;

create function flowforge.tie_problem(role regrole, tenant integer, level text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when level is null or level not in ('viewer', 'member', 'admin') then format('there is no role "%s" in a tenant', coalesce(level, 'null'))
		when r.oid is null then 'the database role does not exist'
		when r.rolsuper then format('%s is a superuser, who is bound to no tenant', role)
		when r.rolname ~ '^(flowforge|pg)_' then format('%s is not a role of somebody''s', role)
		when has_parameter_privilege(r.oid, 'flowforge.tenant', 'set') then format('%s may set flowforge.tenant', role)
		when r.rolbypassrls then format('%s is bound by no policy (bypassrls)', role)
	end
	from (select 1) one
	left join pg_roles r on r.oid = role
$$;
comment on function flowforge.tie_problem(regrole, integer, text) is 'What keeps a database role from being tied to a tenant, or null when nothing does.';

create function flowforge.leave_groups(role regrole, but name default null) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	other name;
begin
	for other in
		select g.rolname
		from pg_auth_members m
		join pg_roles g on g.oid = m.roleid and g.rolname in ('flowforge_viewer', 'flowforge_member', 'flowforge_admin')
		where m.member = role and g.rolname is distinct from but
	loop
		execute format('revoke %I from %s', other, role);
	end loop;
end
$$;
comment on function flowforge.leave_groups(regrole, name) is 'Takes a role out of the groups of viewers, members and admins, but for one.';

create function @extschema@.ff_grant(role regrole, tenant integer, level text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
	problem constant text := flowforge.tie_problem(role, tenant, level);
begin
	if problem is not null then
		raise exception using errcode = 'FF642', message = format('the role %s cannot be tied to a tenant so', coalesce(role::text, 'null')), detail = problem || '.',
			hint = 'For example: select ff_grant(''alice'', 2, ''member''); roles are viewer, member and admin.';
	elsif not exists (select from flowforge.tenant t where t.tenant_id = tenant) then
		raise exception using errcode = 'FF008', message = format('there is no tenant %s', coalesce(tenant::text, 'null')),
			hint = 'select tenant_id, name from flowforge.tenant lists them; insert into flowforge.tenant (tenant_id, name) makes one.';
	end if;
	-- Both tenants' audit logs are to say that it moved.
	delete from flowforge.role_tenant x where x.role = ff_grant.role and x.tenant_id <> tenant;
	insert into flowforge.role_tenant as x (role, tenant_id, level) values (role, tenant, level)
	on conflict on constraint role_tenant_pkey do update set tenant_id = excluded.tenant_id, level = excluded.level, granted_at = now();
	execute format('grant flowforge_%s to %s', level, role);
	perform flowforge.leave_groups(role, 'flowforge_' || level);
	return level;
end
$$;
comment on function @extschema@.ff_grant(regrole, integer, text) is
'Ties a database role to a tenant as viewer, member or admin, in this database: its sessions see the rows of that tenant and no other, in the '
'tables and views that flowforge_viewer may read, and a member may call what flowforge_member may, an admin what flowforge_admin may (of which it '
'becomes a member). They cannot leave the tenant, by no setting and by no SET ROLE. A role that is tied is moved. For superusers. Gives the role '
'in the tenant. Errors: FF642 the role cannot be tied: it is a superuser or may set flowforge.tenant, or there is no such role in a tenant; FF008 '
'no such tenant; 42704 no such database role.';

create function @extschema@.ff_revoke(role regrole) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
	had text;
begin
	delete from flowforge.role_tenant x where x.role = ff_revoke.role returning x.level into had;
	if had is null then
		return 'not tied';
	end if;
	perform flowforge.leave_groups(role);
	return 'revoked';
end
$$;
comment on function @extschema@.ff_revoke(regrole) is
'Ends the tie of a database role to a tenant, and its membership in flowforge_viewer, flowforge_member or flowforge_admin, which it has for all '
'databases of the server. Takes effect at once, also in sessions it has. For superusers. Gives "revoked" or "not tied".';

-- --- the operator ---

-- As the owner, for whether there is a key is nobody else's to read.
create function flowforge.server_kind() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select case when coalesce(current_setting('flowforge.signing_key', true), '') = ''
		and current_setting('flowforge.auth', true) is distinct from 'on' then 'dev' else 'cloud' end
$$;
comment on function flowforge.server_kind() is 'dev without a signing key and with flowforge.auth = dev (everybody on this machine may call), else cloud.';

create function flowforge.is_operator() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
return flowforge.current_tenant() = 1 or flowforge.server_kind() = 'dev';
comment on function flowforge.is_operator() is
'Whether this session may see and set what concerns all tenants: it works for tenant 1, which operates the server, or the server is open for development.';

create function flowforge.require_operator(things text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	if not flowforge.is_operator() then
		raise exception using errcode = 'FF640', message = format('%s are the operator''s of this server', things),
			detail = format('This session works for tenant %s.', flowforge.current_tenant()),
			hint = 'Ask who operates the server: an administrator of tenant 1, or of the database.';
	end if;
end
$$;
comment on function flowforge.require_operator(text) is 'Raises an error that names the things, unless flowforge.is_operator(). Error: FF640.';

-- Policies: whoever is bound by them sees and changes the rows of flowforge.visible_tenant() only. Every table of a tenant's rows has one,
-- partitions too, and it is forced on owners. The engine and the functions that act for the extension's owner, a superuser, are not bound:
-- they compare tenants themselves.

create function flowforge.protect(target regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	execute format('alter table %s enable row level security, force row level security', target);
	-- A dump brings the policies of the extension's tables along.
	if coalesce(current_setting('flowforge.restoring', true), 'off') = 'on'
		or exists (select from pg_policy p where p.polrelid = target and p.polname = 'tenant') then
		return;
	end if;
	execute format('create policy tenant on %s using (tenant_id = flowforge.visible_tenant())', target);
	if target = 'flowforge.model_price'::regclass then
		-- Prices of tenant 0 are for all tenants.
		create policy everybody on flowforge.model_price for select using (tenant_id = 0 and flowforge.visible_tenant() is not null);
	end if;
end
$$;
comment on function flowforge.protect(regclass) is 'Gives a table the policy by which a session sees the rows of its tenant only, and forces it on everybody.';

create function flowforge.unprotected_tables() returns setof regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select c.oid::regclass
	from pg_class c
	where c.relnamespace = 'flowforge'::regnamespace and c.relkind in ('r', 'p')
		and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
		and not (c.relrowsecurity and c.relforcerowsecurity and exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'tenant'))
$$;
comment on function flowforge.unprotected_tables() is 'The tables with rows of tenants that have no policy.';

create function flowforge.protect_tables() returns integer
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select count(flowforge.protect(t))::integer from flowforge.unprotected_tables() t
$$;
comment on function flowforge.protect_tables() is 'Protects the tables that are not, and gives how many. Housekeeping calls it: a dump may have been made before there were policies.';

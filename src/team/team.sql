-- Tenants. One row per tenant; every other table of FlowForge carries the tenant's id. Written by administrators.
create table flowforge.tenant (
	tenant_id integer primary key check (tenant_id > 0),
	name text not null unique,
	created_at timestamptz not null default now()
);
comment on table flowforge.tenant is 'A tenant: the owner of apps, functions, events and runs. Tenant 1 always exists.';

insert into flowforge.tenant (tenant_id, name) values (1, 'default');
select pg_catalog.pg_extension_config_dump('flowforge.tenant', 'where tenant_id operator(pg_catalog.<>) 1');

create function flowforge.current_tenant() returns integer
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(nullif(current_setting('flowforge.tenant', true), '')::integer, 1)
$$;
comment on function flowforge.current_tenant() is 'The tenant this session works for: the setting flowforge.tenant, by default 1.';

-- The gateway logs in as this role; it may call the functions granted to it below and nothing else.
do $$
begin
	if not exists (select from pg_catalog.pg_roles where rolname = 'flowforge_gateway') then
		create role flowforge_gateway login noinherit;
		-- What it passes on holds tokens and keys, which are not for the log, whatever statements that is to have.
		alter role flowforge_gateway set log_parameter_max_length = 0;
		alter role flowforge_gateway set log_parameter_max_length_on_error = 0;
	end if;
end
$$;
grant usage on schema flowforge to flowforge_gateway;

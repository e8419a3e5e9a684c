-- Tenants. One row per tenant; every other table of FlowForge carries the tenant's id. Written by administrators.
create table flowforge.tenant (
	tenant_id integer primary key check (tenant_id > 0),
	name text not null unique,
	created_at timestamptz not null default now(),
	weight integer not null default 1 check (weight between 1 and 1000),
	max_running integer check (max_running > 0),
	max_events_per_second integer check (max_events_per_second > 0),
	max_queued integer check (max_queued > 0),
	max_payload_bytes integer check (max_payload_bytes > 0)
);
comment on table flowforge.tenant is 'A tenant: the owner of apps, functions, events and runs. Tenant 1 always exists.';
comment on column flowforge.tenant.weight is 'Its share of the executors while other tenants have work, too: 3 beside 1 is served three times as much.';
comment on column flowforge.tenant.max_running is 'Runs it may have running at once; null: any number.';
comment on column flowforge.tenant.max_events_per_second is 'Events it may send a second, a second''s worth at once; null: any number.';
comment on column flowforge.tenant.max_queued is 'Runs that have not begun it may have, before its senders are refused; null: any number.';
comment on column flowforge.tenant.max_payload_bytes is 'The data and user of an event, or the input of a run, may have so many bytes; null: what the server allows.';

-- Backends cache tenants; any change makes all of them forget.
create function flowforge.forget_tenants() returns trigger
language c as 'MODULE_PATHNAME', 'ff_tenant_forget';
comment on function flowforge.forget_tenants() is 'Has all backends read tenants anew.';
create trigger forget after insert or update or delete or truncate on flowforge.tenant
	for each statement execute function flowforge.forget_tenants();

insert into flowforge.tenant (tenant_id, name) values (1, 'default');
select pg_catalog.pg_extension_config_dump('flowforge.tenant', 'where tenant_id operator(pg_catalog.<>) 1');

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

create function @extschema@.ff_set_tenant(
	tenant integer, weight integer default null, max_running integer default null, max_events_per_second integer default null,
	name text default null, max_queued integer default null, max_payload_bytes integer default null
) returns flowforge.tenant
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	result flowforge.tenant;
	wrong constant text := case
		when not ff_set_tenant.weight between 1 and 1000 then format('weight is %s, it is from 1 to 1000', ff_set_tenant.weight)
		when ff_set_tenant.max_running < 0 then format('max_running is %s, it is at least 1, or 0 for none', ff_set_tenant.max_running)
		when ff_set_tenant.max_events_per_second < 0 then
			format('max_events_per_second is %s, it is at least 1, or 0 for none', ff_set_tenant.max_events_per_second)
		when ff_set_tenant.max_queued < 0 then format('max_queued is %s, it is at least 1, or 0 for none', ff_set_tenant.max_queued)
		when ff_set_tenant.max_payload_bytes < 0 then
			format('max_payload_bytes is %s, it is at least 1, or 0 for what the server allows', ff_set_tenant.max_payload_bytes)
		when ff_set_tenant.max_payload_bytes > pg_size_bytes(current_setting('flowforge.event_limit', true)) then
			format('max_payload_bytes is %s, the server allows %s (flowforge.event_limit)', ff_set_tenant.max_payload_bytes,
				pg_size_bytes(current_setting('flowforge.event_limit', true)))
		when btrim(ff_set_tenant.name) = '' or octet_length(ff_set_tenant.name) > 200 then 'its name has 1 to 200 bytes, not only blanks'
		when exists (select from flowforge.tenant t where t.name = ff_set_tenant.name and t.tenant_id <> ff_set_tenant.tenant) then
			format('another tenant is called "%s"', ff_set_tenant.name)
	end;
begin
	perform flowforge.require_role('admin');
	if flowforge.caller_is_tied() and (tenant is distinct from flowforge.current_tenant() or num_nonnulls(weight, max_running, max_events_per_second, max_queued, max_payload_bytes) > 0) then
		raise exception using errcode = 'FF640', message = 'an administrator of a tenant may set no more than its name',
			detail = format('The tenant is %s.', flowforge.current_tenant()), hint = 'Shares, limits and other tenants are for the database''s administrators.';
	end if;
	if wrong is not null then
		raise exception using errcode = 'FF071', message = 'a tenant cannot be set so', detail = wrong || '.',
			hint = 'What is not given, or null, stays as it is.';
	end if;
	update flowforge.tenant t
	set name = coalesce(ff_set_tenant.name, t.name),
		weight = coalesce(ff_set_tenant.weight, t.weight),
		max_running = nullif(coalesce(ff_set_tenant.max_running, t.max_running), 0),
		max_events_per_second = nullif(coalesce(ff_set_tenant.max_events_per_second, t.max_events_per_second), 0),
		max_queued = nullif(coalesce(ff_set_tenant.max_queued, t.max_queued), 0),
		max_payload_bytes = nullif(coalesce(ff_set_tenant.max_payload_bytes, t.max_payload_bytes), 0)
	where t.tenant_id = ff_set_tenant.tenant
	returning t.* into result;
	if not found then
		raise exception using errcode = 'FF008', message = format('there is no tenant %s', coalesce(ff_set_tenant.tenant::text, 'null')),
			hint = 'select tenant_id, name from flowforge.tenant lists them; insert into flowforge.tenant (tenant_id, name) makes one.';
	end if;
	return result;
end
$$;
comment on function @extschema@.ff_set_tenant(integer, integer, integer, integer, text, integer, integer) is
'Sets a tenant''s share of the executors (weight, 1 to 1000; 1 at first), its limits: max_running, runs at once; '
'max_events_per_second, events it may send a second (a second''s worth at once; more are refused with FF070, over HTTP with 429); max_queued, '
'runs that have not begun (senders of more are refused with FF6C0, over HTTP with 429); max_payload_bytes, the bytes of an event''s data and user, '
'at most flowforge.event_limit (larger ones are refused with FF6C1, over HTTP with 413); and its name. Null leaves a value as it is, 0 removes a limit. Takes effect at once. Gives the tenant''s row. A tenant''s own administrators set its '
'name only. Errors: FF008 no such tenant; FF071 a value out of range or a name that is taken; FF640.';

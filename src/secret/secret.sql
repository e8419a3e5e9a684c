-- Secrets: values that steps of workflows send and nobody reads. A row has a name and the value sealed (src/util/seal.c) for this tenant and
-- name, so that neither the table nor a dump nor a row copied over another is of use. Written by ff_secret_set, ff_secret_delete,
-- ff_secret_rotate, and by executors, which note when one was used.
create table flowforge.secret (
	tenant_id integer not null,
	name text not null check (name ~ '^[A-Za-z_][A-Za-z0-9_]{0,63}$'),
	sealed bytea not null,
	key_id text not null,
	version integer not null default 1 check (version > 0),
	created_by text not null,
	created_at timestamptz not null default now(),
	updated_at timestamptz not null default now(),
	last_used_at timestamptz,
	primary key (tenant_id, name)
);
comment on table flowforge.secret is 'Secrets of tenants, sealed with the key of flowforge.secret_key_file.';
comment on column flowforge.secret.key_id is 'Which key it is sealed with (flowforge.secret_key_id).';
comment on column flowforge.secret.version is 'How often it has been set.';
select pg_catalog.pg_extension_config_dump('flowforge.secret', '');

-- Reads for whoever asks, who may not read the table.
create view flowforge.secrets with (security_barrier = true) as
select s.name, s.version, s.created_by, s.created_at, s.updated_at, s.last_used_at
from flowforge.secret s
where s.tenant_id = flowforge.visible_tenant();
comment on view flowforge.secrets is 'The names of the current tenant''s secrets, and when they were set and used. last_used_at is exact to about a minute.';

create function flowforge.secret_key_id() returns text
language c stable
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_sql_secret_key_id';
comment on function flowforge.secret_key_id() is 'A name for the key in flowforge.secret_key_file, which tells nothing of it: 16 hexadecimal digits. Error: FF410.';

create function flowforge.reseal(sealed bytea, purpose text) returns bytea
language c volatile strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_sql_reseal';
comment on function flowforge.reseal(bytea, text) is
'What was sealed for a purpose, sealed with the key of today; null when it is already. Errors: FF410 no key, FF411 neither the key of today nor that in flowforge.secret_key_file_old opens it.';
revoke execute on function flowforge.reseal(bytea, text) from public;

-- What a secret's name and value may not be; null when nothing is wrong. Tells nothing of the value.
create function flowforge.secret_problem(name text, value text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when name is null or name !~ '^[A-Za-z_][A-Za-z0-9_]{0,63}$' then
			'Its name is not of 1 to 64 letters, digits and _, the first of them no digit.'
		when value is null then 'It has no value.'
		when octet_length(value) < 6 then 'Its value has fewer than 6 bytes: it could not be told from innocent text where it is to be hidden.'
		when octet_length(value) > 65536 then 'Its value has more than 64 KB.'
	end
$$;
comment on function flowforge.secret_problem(text, text) is 'What is wrong with a secret that is to be stored; null when nothing is.';

-- The log has that a value was changed, and which version it is.
create function flowforge.secret_audit(secret flowforge.secret) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('name', secret.name, 'value', '[redacted]', 'version', secret.version)
$$;
comment on function flowforge.secret_audit(flowforge.secret) is 'A secret as the audit log shows it.';

create function @extschema@.ff_secret_set(name text, value text) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	tenant constant integer := flowforge.current_tenant();
	problem constant text := flowforge.secret_problem(ff_secret_set.name, ff_secret_set.value);
	before flowforge.secret;
	after flowforge.secret;
begin
	perform flowforge.require_role('admin');
	if problem is not null then
		raise exception using errcode = 'FF6B0', message = 'a secret cannot be stored so', detail = problem,
			hint = 'For example STRIPE_KEY: a step then says {{ secret.STRIPE_KEY }}.';
	end if;
	select s.* into before from flowforge.secret s where s.tenant_id = tenant and s.name = ff_secret_set.name for update;
	insert into flowforge.secret as s (tenant_id, name, sealed, key_id, created_by)
	values (tenant, ff_secret_set.name, flowforge.seal(ff_secret_set.value, format('secret %s of tenant %s', ff_secret_set.name, tenant)),
		flowforge.secret_key_id(), flowforge.actor())
	on conflict on constraint secret_pkey do update
	set sealed = excluded.sealed, key_id = excluded.key_id, version = s.version + 1, updated_at = now()
	returning s.* into after;
	perform flowforge.audit('secret.set', 'secret:' || after.name, case when before.name is not null then flowforge.secret_audit(before) end,
		flowforge.secret_audit(after));
	return after.version;
end
$$;
comment on function @extschema@.ff_secret_set(text, text) is
'Stores a secret of the current tenant, or another value of one, sealed with the key in flowforge.secret_key_file. name: 1 to 64 letters, digits and _; '
'value: 6 bytes to 64 KB of text. Steps that start from the commit on use it; no function gives it back. Gives how often the secret has been set, '
'so 1 when it is new. Errors: FF6B0 a bad name or value, FF410 no key, FF640.';

create function @extschema@.ff_secret_delete(name text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
	gone flowforge.secret;
begin
	perform flowforge.require_role('admin');
	delete from flowforge.secret s where s.tenant_id = flowforge.current_tenant() and s.name = ff_secret_delete.name returning s.* into gone;
	if gone.name is null then
		raise exception using errcode = 'FF6B1', message = format('there is no secret "%s"', left(coalesce(ff_secret_delete.name, 'null'), 100)),
			hint = 'flowforge.secrets lists them.';
	end if;
	perform flowforge.audit('secret.delete', 'secret:' || gone.name, flowforge.secret_audit(gone), null);
end
$$;
comment on function @extschema@.ff_secret_delete(text) is
'Deletes a secret of the current tenant. Steps that name it fail from the commit on. Errors: FF6B1 there is none, FF640.';

-- Everything of a tenant that is sealed, with the key of today.
create function flowforge.reseal_tenant(tenant integer) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	secrets integer;
	providers integer;
	factors integer;
	old_keys text[];
begin
	select array_agg(distinct s.key_id order by s.key_id) into old_keys
	from flowforge.secret s where s.tenant_id = tenant and s.key_id <> flowforge.secret_key_id();
	update flowforge.secret s
	set sealed = coalesce(flowforge.reseal(s.sealed, format('secret %s of tenant %s', s.name, s.tenant_id)), s.sealed), key_id = flowforge.secret_key_id()
	where s.tenant_id = tenant and s.key_id <> flowforge.secret_key_id();
	get diagnostics secrets = row_count;
	update flowforge.ai_provider p
	set sealed_key = coalesce(n.new_key, p.sealed_key), sealed_headers = coalesce(n.new_headers, p.sealed_headers)
	from (
		select o.name, flowforge.reseal(o.sealed_key, format('provider %s of tenant %s', o.name, o.tenant_id)) as new_key,
			flowforge.reseal(o.sealed_headers, format('headers of provider %s of tenant %s', o.name, o.tenant_id)) as new_headers
		from flowforge.ai_provider o where o.tenant_id = tenant offset 0) n
	where p.tenant_id = tenant and p.name = n.name and num_nonnulls(n.new_key, n.new_headers) > 0;
	get diagnostics providers = row_count;
	update flowforge.user_account u
	set totp_secret = n.new_secret
	from (
		select a.user_id, flowforge.reseal(a.totp_secret, flowforge.totp_purpose(a.user_id)) as new_secret
		from flowforge.user_account a where a.tenant_id = tenant offset 0) n
	where u.user_id = n.user_id and n.new_secret is not null;
	get diagnostics factors = row_count;
	if secrets + providers + factors > 0 then
		perform flowforge.audit_in(tenant, 'secret.rotate', 'secret:*', jsonb_build_object('sealed_with', to_jsonb(old_keys)),
			jsonb_build_object('sealed_with', flowforge.secret_key_id(), 'values', secrets, 'providers', providers, 'second_factors', factors));
	end if;
	return secrets + providers + factors;
end
$$;
comment on function flowforge.reseal_tenant(integer) is 'Seals what a tenant has sealed with another key with the key of today; gives how many it was. Errors: FF410, FF411.';

create function @extschema@.ff_secret_rotate() returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	of_one constant boolean := flowforge.caller_is_tied() or coalesce(current_setting('flowforge.actor', true), '') <> '';
	resealed integer;
begin
	perform flowforge.require_role('admin'), flowforge.secret_key_id();
	select coalesce(sum(flowforge.reseal_tenant(t.tenant_id)), 0) into resealed
	from flowforge.tenant t
	where t.tenant_id = flowforge.current_tenant() or not of_one;
	return resealed;
end
$$;
comment on function @extschema@.ff_secret_rotate() is
'Seals with the key in flowforge.secret_key_file what is sealed with that in flowforge.secret_key_file_old: secrets, keys of AI providers and second '
'factors. Of all tenants when a database administrator calls it, of the current tenant when one of its administrators does. All or nothing. '
'Gives how many it was; 0 when nothing is left to do. Errors: FF410 no key, FF411 something opens with neither key, FF640.';

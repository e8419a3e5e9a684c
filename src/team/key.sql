-- API keys. A row is a key that was made; the key itself is nowhere, only its SHA-256. Written by ff_key_create and ff_key_revoke, and by
-- whoever serves a request that shows the key (last_used_at).
create table flowforge.api_key (
	key_id uuid primary key default flowforge.uuid7(),
	tenant_id integer not null references flowforge.tenant,
	name text not null check (length(name) between 1 and 200),
	type text not null check (type in ('live', 'test', 'ro')),
	prefix text not null,
	digest bytea not null unique check (length(digest) = 32),
	scopes text[] not null check (cardinality(scopes) > 0),
	created_by text not null,
	created_at timestamptz not null default now(),
	expires_at timestamptz,
	last_used_at timestamptz,
	revoked_at timestamptz,
	check (type <> 'ro' or array_to_string(scopes, ',') ~ '^[a-z]+:read(,[a-z]+:read)*$')
);
comment on table flowforge.api_key is 'API keys: the SHA-256 of each and what it may do.';
comment on column flowforge.api_key.prefix is 'How the key begins, by which people tell it.';
comment on column flowforge.api_key.type is 'live and test may do what their scopes say and differ in name only; ro can only have scopes that read.';
create index api_key_tenant on flowforge.api_key (tenant_id, key_id);
select pg_catalog.pg_extension_config_dump('flowforge.api_key', '');

-- Backends remember whom credentials belong to (src/team/known.h). The use of a key is no reason to forget it.
create function flowforge.forget_credentials() returns trigger
language c as 'MODULE_PATHNAME', 'ff_known_forget';
comment on function flowforge.forget_credentials() is 'Has all backends look credentials up anew.';
create trigger forget after delete or truncate or update of tenant_id, digest, scopes, expires_at, revoked_at on flowforge.api_key
	for each statement execute function flowforge.forget_credentials();

create function flowforge.key_text(type text) returns text
language c volatile strict as 'MODULE_PATHNAME', 'ff_sql_key_text';
comment on function flowforge.key_text(text) is 'A new API key of a type: ff_TYPE_, 160 random bits and a checksum. It is stored nowhere.';
revoke execute on function flowforge.key_text(text) from public;

create function flowforge.key_is_whole(key text) returns boolean
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_key_is_whole';
comment on function flowforge.key_is_whole(text) is 'Whether a text has the form of an API key and its checksum fits.';

create function flowforge.base32(bytes bytea) returns text
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_base32';
comment on function flowforge.base32(bytea) is 'Bytes in base32 (RFC 4648) without padding.';

-- Reads for whoever asks, who may not read the table. (All of a tenant may, as over HTTP.)
create view flowforge.api_keys with (security_barrier = true) as
select k.key_id, flowforge.ulid(k.key_id) as ulid, k.name, k.type, k.prefix, k.scopes, k.created_by, k.created_at, k.expires_at,
	k.last_used_at, k.revoked_at,
	case when k.revoked_at is not null then 'revoked' when k.expires_at <= now() then 'expired' else 'active' end as status
from flowforge.api_key k
where k.tenant_id = flowforge.visible_tenant();
comment on view flowforge.api_keys is 'The API keys of the current tenant, without what would open anything. last_used_at is exact to about a minute.';

-- What is wrong with a key that is to be made; null when nothing is.
create function flowforge.key_problem(name text, type text, scopes text[], expires_at timestamptz) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when name is null or length(name) not between 1 and 200 then 'Its name has not 1 to 200 characters.'
		when type is null or type not in ('live', 'test', 'ro') then format('Its type is %s; it is live, test or ro.', coalesce(type, 'null'))
		when coalesce(cardinality(scopes), 0) = 0 then 'It has no scopes.'
		when strange is not null then format('There is no scope "%s".', strange)
		when type = 'ro' and writing is not null then format('A key of type ro cannot have the scope %s.', writing)
		when expires_at <= now() then 'It would have expired already.'
	end
	from (
		select min(coalesce(g.scope, 'null')) filter (where not exists (select from flowforge.scopes() s where s.scope = g.scope)) as strange,
			min(g.scope) filter (where g.scope !~ ':read$') as writing
		from unnest(key_problem.scopes) g (scope)) given
$$;
comment on function flowforge.key_problem(text, text, text[], timestamptz) is 'What is wrong with an API key that is to be made; null when nothing is.';

create function @extschema@.ff_key_create(
	name text, type text default 'live', scopes text[] default null, expires_at timestamptz default null,
	out key_id uuid, out key text, out prefix text
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
	wanted constant text[] := (select array_agg(distinct g order by g) from unnest(scopes) g);
	problem constant text := flowforge.key_problem(name, type, wanted, expires_at);
	missing constant text := (select min(g) from unnest(wanted) g where not flowforge.may(g));
begin
	perform flowforge.require_role('admin');
	if problem is not null then
		raise exception using errcode = 'FF603', message = 'an API key cannot be made so', detail = problem,
			hint = 'select * from flowforge.scopes() lists the scopes. Those of a key of type ro end with :read.';
	end if;
	if missing is not null then
		raise exception using errcode = 'FF600', message = 'nobody can give a key a scope they have not',
			detail = format('%s has not the scope %s.', flowforge.actor(), missing), hint = 'Have an administrator make the key.';
	end if;
	key := flowforge.key_text(type);
	prefix := left(key, length('ff__') + length(type) + 6);
	insert into flowforge.api_key as k (tenant_id, name, type, prefix, digest, scopes, created_by, expires_at)
	values (flowforge.current_tenant(), name, type, prefix, sha256(convert_to(key, 'UTF8')), wanted, flowforge.actor(), expires_at)
	returning k.key_id into key_id;
	perform flowforge.audit('key.create', 'key:' || flowforge.ulid(key_id), null,
		jsonb_build_object('name', name, 'type', type, 'prefix', prefix, 'scopes', wanted, 'expires_at', expires_at));
end
$$;
comment on function @extschema@.ff_key_create(text, text, text[], timestamptz) is
'Makes an API key for the current tenant: its id, the key, which is shown this once only, and how it begins. type is live, test or ro; '
'scopes are some of flowforge.scopes(), and a key of type ro can only have those that read. expires_at null: it does not expire. Errors: '
'FF603 a bad name, type, scope or time; FF600 a scope that who asks has not.';

create function @extschema@.ff_key_revoke(key text) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	meant flowforge.api_key;
begin
	perform flowforge.require_role('admin');
	select k.* into meant
	from flowforge.api_key k
	where k.tenant_id = flowforge.current_tenant()
		and (k.prefix = ff_key_revoke.key or k.digest = sha256(convert_to(ff_key_revoke.key, 'UTF8'))
			or k.key_id = case when ff_key_revoke.key ~* '^([0-7][0-9a-hjkmnp-tv-z]{25}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$' then flowforge.id(ff_key_revoke.key) end)
	for update;
	if not found then
		raise exception using errcode = 'FF604', message = 'there is no such API key', hint = 'flowforge.api_keys lists them.';
	elsif meant.revoked_at is not null then
		return false;
	end if;
	update flowforge.api_key k set revoked_at = now() where k.key_id = meant.key_id;
	perform flowforge.audit('key.revoke', 'key:' || flowforge.ulid(meant.key_id),
		jsonb_build_object('name', meant.name, 'prefix', meant.prefix), null);
	return true;
end
$$;
comment on function @extschema@.ff_key_revoke(text) is
'Revokes an API key of the current tenant, given by its id, its prefix or itself; it opens nothing any more from the commit on. False when '
'it was revoked before. Error: FF604 there is no such key.';

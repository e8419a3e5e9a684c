-- Users: people who sign in with an email and a password. Written by the functions below and, at every try to sign in, by the routes of
-- src/api/auth.sql.
create table flowforge.user_account (
	user_id uuid primary key default flowforge.uuid7(),
	tenant_id integer not null references flowforge.tenant,
	email text not null unique check (email = lower(email) and email ~ '^[^@\s]+@[^@\s]+$' and length(email) <= 254),
	name text not null check (length(name) between 1 and 200),
	role text not null check (role in ('viewer', 'member', 'admin')),
	password_hash text not null,
	token_version integer not null default 1,
	failures integer not null default 0,
	locked_until timestamptz,
	totp_secret bytea,
	totp_since timestamptz,
	totp_step bigint not null default 0,
	backup_codes bytea[] not null default '{}',
	created_at timestamptz not null default now(),
	last_login_at timestamptz,
	disabled_at timestamptz
);
comment on table flowforge.user_account is 'Users: who may sign in, to which tenant and with which role.';
comment on column flowforge.user_account.password_hash is 'Argon2id, with its parameters.';
comment on column flowforge.user_account.token_version is 'Access tokens of earlier versions do not count any more.';
comment on column flowforge.user_account.failures is 'Wrong passwords and codes since the last right ones; the fifth locks the account for a quarter of an hour.';
comment on column flowforge.user_account.totp_secret is 'The sealed secret of the authenticator app; in use since totp_since, before that on trial.';
comment on column flowforge.user_account.totp_step is 'The step of the last code that was taken: none is taken twice.';
comment on column flowforge.user_account.backup_codes is 'SHA-256 of the backup codes that are left.';
create index user_account_tenant on flowforge.user_account (tenant_id, user_id);
select pg_catalog.pg_extension_config_dump('flowforge.user_account', '');
create trigger forget after delete or truncate or update of tenant_id, role, token_version, disabled_at on flowforge.user_account
	for each statement execute function flowforge.forget_credentials();

-- A row is a family of refresh tokens: what one sign-in has led to. Each refresh token is good for one use, which makes the next one.
create table flowforge.user_session (
	session_id uuid primary key default flowforge.uuid7(),
	tenant_id integer not null references flowforge.tenant,
	user_id uuid not null references flowforge.user_account on delete cascade,
	refresh_digest bytea not null,
	address text not null,
	refreshed_at timestamptz not null default now(),
	expires_at timestamptz not null,
	ended_at timestamptz,
	ended_by text check (ended_by in ('logout', 'password', 'reuse', 'administrator'))
);
comment on table flowforge.user_session is 'Sign-ins that last: the SHA-256 of the id of the one refresh token that is good.';
create index user_session_user on flowforge.user_session (user_id);
create index user_session_expiry on flowforge.user_session (expires_at);
select pg_catalog.pg_extension_config_dump('flowforge.user_session', '');

-- Tries to sign in, by address and minute. What a crash forgets is a minute's.
create unlogged table flowforge.login_try (
	address text not null,
	minute timestamptz not null,
	tries integer not null,
	primary key (address, minute)
);
comment on table flowforge.login_try is 'How often addresses have tried to sign in, for some minutes.';

create function flowforge.forget_sessions() returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	delete from flowforge.user_session s where s.expires_at < now();
	delete from flowforge.login_try t where t.minute < now() - interval '10 minutes'
$$;
comment on function flowforge.forget_sessions() is 'Forgets sign-ins whose refresh tokens have expired, and tries to sign in that count no more. Executors call it.';
revoke execute on function flowforge.forget_sessions() from public;

create function flowforge.password_hash(password text) returns text
language c volatile strict as 'MODULE_PATHNAME', 'ff_sql_password_hash';
comment on function flowforge.password_hash(text) is 'A password''s Argon2id hash (19 MiB, two passes).';
create function flowforge.password_fits(password text, hash text) returns boolean
language c volatile as 'MODULE_PATHNAME', 'ff_sql_password_fits';
comment on function flowforge.password_fits(text, text) is 'Whether a password has this hash. Takes as long, and is false, when hash is null.';
create function flowforge.hotp(secret bytea, counter bigint, digits integer default 6) returns text
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_hotp';
comment on function flowforge.hotp(bytea, bigint, integer) is
'A one-time password (RFC 4226, HMAC-SHA-1). That of a time (RFC 6238) has the counter extract(epoch from time) / 30.';
create function flowforge.totp_step(sealed bytea, purpose text, code text, at timestamptz default now()) returns bigint
language c stable strict as 'MODULE_PATHNAME', 'ff_sql_totp_step';
comment on function flowforge.totp_step(bytea, text, text, timestamptz) is
'The step of 30 seconds, of that of a time and its neighbours, whose one-time password is this code; null when it is of none.';
create function flowforge.jwt_sign(claims jsonb) returns text
language c volatile strict as 'MODULE_PATHNAME', 'ff_sql_jwt_sign';
comment on function flowforge.jwt_sign(jsonb) is 'A JSON Web Token (HS256) with these claims. Error: FF602 there is no secret.';
create function flowforge.jwt_claims(token text, type text, at timestamptz default now()) returns jsonb
language c stable strict as 'MODULE_PATHNAME', 'ff_sql_jwt_claims';
comment on function flowforge.jwt_claims(text, text, timestamptz) is
'The claims of a token of ours of a type (access, refresh, 2fa). Errors: FF611 it is not valid, the detail says why; FF602 there is no secret.';
revoke execute on function flowforge.password_hash(text), flowforge.password_fits(text, text), flowforge.hotp(bytea, bigint, integer),
	flowforge.totp_step(bytea, text, text, timestamptz), flowforge.jwt_sign(jsonb), flowforge.jwt_claims(text, text, timestamptz) from public;

create function flowforge.jwt(claims jsonb, type text, lifetime interval, id text default flowforge.token()) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.jwt_sign(claims || jsonb_build_object('iss', 'flowforge', 'aud', 'flowforge', 'type', type, 'jti', id,
		'iat', extract(epoch from now())::bigint, 'exp', extract(epoch from now() + lifetime)::bigint))
$$;
comment on function flowforge.jwt(jsonb, text, interval, text) is 'A token of ours: what it says, its type and how long it is good for. Error: FF602.';

-- Reads for whoever asks, who may not read the table. (All of a tenant may, as over HTTP.)
create view flowforge.users with (security_barrier = true) as
select u.user_id, flowforge.ulid(u.user_id) as ulid, u.email, u.name, u.role, u.totp_since is not null as two_factor, u.created_at, u.last_login_at,
	case when u.disabled_at is not null then 'disabled' when u.locked_until > now() then 'locked' else 'active' end as status
from flowforge.user_account u
where u.tenant_id = flowforge.visible_tenant();
comment on view flowforge.users is 'The users of the current tenant.';

create function flowforge.check_password(password text, email text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	problem constant text := case
		when coalesce(length(password), 0) < 10 then 'It has fewer than 10 characters.'
		when octet_length(password) > 1024 then 'It is longer than 1024 bytes.'
		when lower(password) in (email, split_part(email, '@', 1)) then 'It is the email.'
		when password ~ '^(.)\1*$' then 'It repeats one character.'
	end;
begin
	if problem is not null then
		raise exception using errcode = 'FF609', message = 'the password cannot be used', detail = problem,
			hint = 'Take 10 characters or more that nobody guesses; a few words will do.', column = 'password';
	end if;
end
$$;
comment on function flowforge.check_password(text, text) is 'Raises FF609 when a password cannot be used.';

-- Nobody gives a role more than they have themselves.
create function flowforge.check_role(role text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	roles constant text[] := '{viewer,member,admin}';
	missing constant text := (
		select min(s.scope) from flowforge.scopes() s
		where array_position(roles, s.role) <= array_position(roles, check_role.role) and not flowforge.may(s.scope));
begin
	if role is null or role <> all (roles) then
		raise exception using errcode = 'FF605', message = 'a user''s role is viewer, member or admin',
			detail = format('It is %s.', coalesce('"' || role || '"', 'missing')), hint = 'A viewer reads, a member works, an admin manages.', column = 'role';
	elsif missing is not null then
		raise exception using errcode = 'FF600', message = 'nobody can manage users who may do more than they',
			detail = format('%s has not the scope %s.', flowforge.actor(), missing), hint = 'Have an administrator do it.';
	end if;
end
$$;
comment on function flowforge.check_role(text) is 'Raises FF605 unless it is a role, and FF600 unless who asks has all its scopes.';

create function flowforge.user_audit(account flowforge.user_account) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('email', account.email, 'name', account.name, 'role', account.role, 'disabled', account.disabled_at is not null,
		'two_factor', account.totp_since is not null)
$$;
comment on function flowforge.user_audit(flowforge.user_account) is 'What the audit log says of a user.';

create function @extschema@.ff_user_create(email text, password text, name text, role text default 'member') returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
	address constant text := lower(btrim(email));
	result flowforge.user_account;
begin
	perform flowforge.require_role('admin');
	if address is null or address !~ '^[^@\s]+@[^@\s]+$' or length(address) > 254 then
		raise exception using errcode = 'FF605', message = 'this is no email address', detail = format('It is "%s".', left(email, 300)),
			hint = 'Give it as ann@example.com.', column = 'email';
	elsif name is null or length(name) not between 1 and 200 then
		raise exception using errcode = 'FF605', message = 'a user''s name has 1 to 200 characters',
			detail = format('This one has %s.', coalesce(length(name), 0)), hint = 'Give the name people know them by.', column = 'name';
	end if;
	perform flowforge.check_role(role), flowforge.check_password(password, address);
	insert into flowforge.user_account as u (tenant_id, email, name, role, password_hash)
	values (flowforge.current_tenant(), address, name, role, flowforge.password_hash(password))
	on conflict on constraint user_account_email_key do nothing
	returning u.* into result;
	if not found then
		raise exception using errcode = 'FF607', message = 'another user has this email', detail = format('It is %s.', address),
			hint = 'An email belongs to one user of the installation.', column = 'email';
	end if;
	perform flowforge.audit('user.create', 'user:' || flowforge.ulid(result.user_id), null, flowforge.user_audit(result));
	return result.user_id;
end
$$;
comment on function @extschema@.ff_user_create(text, text, text, text) is
'Makes a user of the current tenant and gives its id. email is kept in lower case; password has 10 characters or more; role is viewer, '
'member or admin. Errors: FF605 a bad email, name or role; FF607 the email is taken; FF609 a bad password; FF600 a role with more rights '
'than those of who asks.';

-- Whoever signed in with the old password is signed out.
create function flowforge.end_sessions(account uuid, reason text) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	update flowforge.user_account u set token_version = u.token_version + 1 where u.user_id = account;
	update flowforge.user_session s set ended_at = now(), ended_by = reason where s.user_id = account and s.ended_at is null
$$;
comment on function flowforge.end_sessions(uuid, text) is 'Signs a user out everywhere, at once.';

create function @extschema@.ff_user_set_password(email text, password text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	account flowforge.user_account;
begin
	perform flowforge.require_role('admin');
	select u.* into account from flowforge.user_account u
	where u.tenant_id = flowforge.current_tenant() and u.email = lower(btrim(ff_user_set_password.email)) for update;
	if not found then
		raise exception using errcode = 'FF606', message = 'there is no such user', detail = format('None has the email %s.', ff_user_set_password.email),
			hint = 'flowforge.users lists them.';
	end if;
	perform flowforge.check_role(account.role), flowforge.check_password(ff_user_set_password.password, account.email);
	update flowforge.user_account u
	set password_hash = flowforge.password_hash(ff_user_set_password.password), failures = 0, locked_until = null
	where u.user_id = account.user_id;
	perform flowforge.end_sessions(account.user_id, 'password'),
		flowforge.audit('user.password', 'user:' || flowforge.ulid(account.user_id), null, null);
end
$$;
comment on function @extschema@.ff_user_set_password(text, text) is
'Gives a user of the current tenant another password, unlocks the account and signs the user out everywhere. Errors: FF606 no such user; '
'FF609 a bad password; FF600 the user may do more than who asks.';

-- Signing in over HTTP: passwords, second factors and the tokens they lead to.
--
-- A try that fails is counted, so these functions answer problems (flowforge.problem) instead of raising them, which would undo the
-- counting. Answers never tell whether an email is known: a wrong password, an unknown email and a locked account look and last the same.

create function flowforge.may_try() returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	this_minute constant timestamptz := date_trunc('minute', now());
	count integer;
begin
	delete from flowforge.login_try t where t.minute < this_minute;
	insert into flowforge.login_try as t (address, minute, tries)
	values (coalesce(current_setting('flowforge.address', true), ''), this_minute, 1)
	on conflict (address, minute) do update set tries = t.tries + 1
	returning t.tries into count;
	return count <= 10;
end
$$;
comment on function flowforge.may_try() is 'Counts a try to sign in; false after ten of one address in a minute.';

create function flowforge.too_many_tries() returns flowforge.response
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.problem('FF612', 'too many tries to sign in', 'An address has ten a minute.', 'Try again in a minute.')
$$;
comment on function flowforge.too_many_tries() is 'The answer to an eleventh try.';

create function flowforge.not_recognised(what text) returns flowforge.response
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.problem('FF610', what || ' is wrong, or the account is locked', 'Nobody is signed in.',
		'After five wrong tries an account is locked for 15 minutes.')
$$;
comment on function flowforge.not_recognised(text) is 'The answer to a wrong password or code.';

-- The fifth failure locks.
create function flowforge.note_failure(account uuid) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	update flowforge.user_account u
	set failures = case when u.failures >= 4 then 0 else u.failures + 1 end,
		locked_until = case when u.failures >= 4 then now() + interval '15 minutes' else u.locked_until end
	where u.user_id = account
$$;
comment on function flowforge.note_failure(uuid) is 'Counts a wrong password or code of a user.';

create function flowforge.user_json(account flowforge.user_account) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('id', account.user_id, 'ulid', flowforge.ulid(account.user_id), 'email', account.email, 'name', account.name,
		'role', account.role, 'two_factor', account.totp_since is not null, 'created_at', account.created_at, 'last_login_at', account.last_login_at,
		'status', case when account.disabled_at is not null then 'disabled' when account.locked_until > now() then 'locked' else 'active' end)
$$;
comment on function flowforge.user_json(flowforge.user_account) is 'A user as the API shows it.';

create function flowforge.user_claims(account flowforge.user_account) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('sub', flowforge.ulid(account.user_id), 'tenant_id', account.tenant_id, 'role', account.role, 'email', account.email,
		'name', account.name, 'ver', account.token_version)
$$;
comment on function flowforge.user_claims(flowforge.user_account) is 'What tokens say of a user.';

create function flowforge.session_tokens(account flowforge.user_account, session uuid, refresh_id text) returns jsonb
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('token_type', 'Bearer', 'expires_in', 3600, 'requires_2fa', false,
		'access_token', flowforge.jwt(flowforge.user_claims(account) || jsonb_build_object('sid', session), 'access', interval '1 hour'),
		'refresh_token', flowforge.jwt(flowforge.user_claims(account) || jsonb_build_object('sid', session), 'refresh', interval '1 day', refresh_id),
		'user', flowforge.user_json(account))
$$;
comment on function flowforge.session_tokens(flowforge.user_account, uuid, text) is 'The tokens of a session; refresh_id is the id of the refresh token.';

create function flowforge.sign_in(account uuid) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	refresh_id constant text := flowforge.token();
	signed_in flowforge.user_account;
	session uuid;
begin
	update flowforge.user_account u set failures = 0, locked_until = null, last_login_at = now() where u.user_id = account returning u.* into signed_in;
	delete from flowforge.user_session s where s.user_id = account and s.expires_at < now();
	insert into flowforge.user_session as s (tenant_id, user_id, refresh_digest, address, expires_at)
	values (signed_in.tenant_id, account, sha256(convert_to(refresh_id, 'UTF8')), coalesce(current_setting('flowforge.address', true), ''), now() + interval '1 day')
	returning s.session_id into session;
	return flowforge.secret_answer(flowforge.session_tokens(signed_in, session, refresh_id));
end
$$;
comment on function flowforge.sign_in(uuid) is 'Begins a session of a user and answers its tokens.';

create function flowforge.required_text(body jsonb, name text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	given constant text := flowforge.text_member(body, name);
begin
	if given is null then
		raise exception using errcode = 'FF204', message = format('%s is missing', name), hint = format('Send {"%s": "..."}.', name), column = name;
	end if;
	return given;
end
$$;
comment on function flowforge.required_text(jsonb, text) is 'A text that the body of a request must have. Error: FF204.';

create function flowforge.api_login(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant jsonb := flowforge.object_of(request);
	given_email constant text := lower(btrim(flowforge.required_text(body, 'email')));
	password constant text := flowforge.required_text(body, 'password');
	account flowforge.user_account;
	usable boolean;
begin
	if octet_length(password) > 1024 then
		return flowforge.not_recognised('the email or the password');
	elsif not flowforge.may_try() then
		return flowforge.too_many_tries();
	end if;
	select u.* into account from flowforge.user_account u where u.email = given_email for update;
	usable := found and account.disabled_at is null and coalesce(account.locked_until < now(), true);
	if not flowforge.password_fits(password, case when usable then account.password_hash end) then
		if usable then
			perform flowforge.note_failure(account.user_id);
		end if;
		return flowforge.not_recognised('the email or the password');
	elsif account.totp_since is null then
		return flowforge.sign_in(account.user_id);
	end if;
	return flowforge.secret_answer(jsonb_build_object('requires_2fa', true, 'expires_in', 300,
		'temp_token', flowforge.jwt(flowforge.user_claims(account), '2fa', interval '5 minutes')));
end
$$;
comment on function flowforge.api_login(flowforge.request) is 'POST /api/v1/auth/login.';

create function flowforge.totp_purpose(account uuid) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select 'second factor of ' || account
$$;
comment on function flowforge.totp_purpose(uuid) is 'What the secret of a user''s second factor is sealed for.';

-- No code is taken twice: steps only go up, and a backup code is gone once used.
create function flowforge.take_code(account flowforge.user_account, code text) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	digest constant bytea := sha256(convert_to(upper(regexp_replace(code, '[^0-9A-Za-z]', '', 'g')), 'UTF8'));
	step bigint;
begin
	if digest = any (account.backup_codes) and account.totp_since is not null then
		update flowforge.user_account u set backup_codes = array_remove(u.backup_codes, digest) where u.user_id = account.user_id;
		return true;
	end if;
	step := flowforge.totp_step(account.totp_secret, flowforge.totp_purpose(account.user_id), code);
	if step is null or step <= account.totp_step then
		return false;
	end if;
	update flowforge.user_account u set totp_step = step where u.user_id = account.user_id;
	return true;
end
$$;
comment on function flowforge.take_code(flowforge.user_account, text) is 'Whether a code of the authenticator app, or a backup code, is good, which it then is no more.';

create function flowforge.api_verify_2fa(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant jsonb := flowforge.object_of(request);
	claims constant jsonb := flowforge.jwt_claims(flowforge.required_text(body, 'temp_token'), '2fa');
	code constant text := flowforge.required_text(body, 'code');
	account flowforge.user_account;
begin
	if not flowforge.may_try() then
		return flowforge.too_many_tries();
	end if;
	select u.* into account from flowforge.user_account u
	where u.user_id = flowforge.id(claims ->> 'sub') and u.token_version = (claims ->> 'ver')::integer and u.totp_since is not null
		and u.disabled_at is null and coalesce(u.locked_until < now(), true)
	for update;
	if not found then
		return flowforge.not_recognised('the code');
	elsif not flowforge.take_code(account, code) then
		perform flowforge.note_failure(account.user_id);
		return flowforge.not_recognised('the code');
	end if;
	return flowforge.sign_in(account.user_id);
end
$$;
comment on function flowforge.api_verify_2fa(flowforge.request) is 'POST /api/v1/auth/verify-2fa.';

-- A refresh token that comes a second time was stolen, or its next one was: the whole family ends, and the user's access tokens with it.
create function flowforge.api_refresh(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	claims constant jsonb := flowforge.jwt_claims(flowforge.required_text(flowforge.object_of(request), 'refresh_token'), 'refresh');
	refresh_id constant text := flowforge.token();
	account flowforge.user_account;
	session flowforge.user_session;
begin
	select u.* into account from flowforge.user_account u where u.user_id = flowforge.id(claims ->> 'sub') and u.disabled_at is null;
	select s.* into session from flowforge.user_session s
	where s.session_id = (claims ->> 'sid')::uuid and s.user_id = account.user_id and s.ended_at is null and s.expires_at > now()
	for update;
	if not found then
		return flowforge.problem('FF611', 'the token is not valid', 'Its session is over.', 'Sign in again.');
	elsif session.refresh_digest <> sha256(convert_to(claims ->> 'jti', 'UTF8')) then
		update flowforge.user_session s set ended_at = now(), ended_by = 'reuse' where s.session_id = session.session_id;
		update flowforge.user_account u set token_version = u.token_version + 1 where u.user_id = account.user_id;
		perform flowforge.audit('session.reuse', 'user:' || flowforge.ulid(account.user_id), null, null);
		return flowforge.problem('FF611', 'the token is not valid', 'It was used before, so its session has been ended.', 'Sign in again.');
	end if;
	update flowforge.user_session s
	set refresh_digest = sha256(convert_to(refresh_id, 'UTF8')), refreshed_at = now(), expires_at = now() + interval '1 day'
	where s.session_id = session.session_id;
	return flowforge.secret_answer(flowforge.session_tokens(account, session.session_id, refresh_id));
end
$$;
comment on function flowforge.api_refresh(flowforge.request) is 'POST /api/v1/auth/refresh.';

create function flowforge.user_asking() returns flowforge.user_account
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	account flowforge.user_account;
begin
	if flowforge.actor() like 'user:%' then
		select u.* into account from flowforge.user_account u where u.user_id = flowforge.id(substr(flowforge.actor(), 6)) for update;
	end if;
	if account.user_id is null then
		raise exception using errcode = 'FF600', message = 'this is for signed-in users', detail = format('%s is none.', flowforge.actor()),
			hint = 'Sign in by POST /api/v1/auth/login and send its access token.';
	end if;
	return account;
end
$$;
comment on function flowforge.user_asking() is 'The user who asks. Error: FF600 a key, an app or nobody asks.';

create function flowforge.decider(given text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce((
			select u.email from flowforge.users u
			-- A key is no user: what stands behind "key:" must not be read as the id of one.
			where u.user_id = case when flowforge.actor() like 'user:%' then flowforge.id(nullif(substr(flowforge.actor(), 6), '')) end),
		given, 'api')
$$;
comment on function flowforge.decider(text) is 'In whose name an approval is decided: a signed-in user''s own, else the one that is given.';

create function flowforge.bearer_of(request flowforge.request) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(substring(request.headers ->> 'authorization' from '(?i)^bearer +(.*)$'), request.headers ->> 'x-flowforge-api-key')
$$;
comment on function flowforge.bearer_of(flowforge.request) is 'The credential a request shows.';

create function flowforge.api_logout(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	account constant flowforge.user_account := flowforge.user_asking();
	claims constant jsonb := flowforge.jwt_claims(flowforge.bearer_of(request), 'access');
begin
	update flowforge.user_session s set ended_at = now(), ended_by = 'logout'
	where s.user_id = account.user_id and s.ended_at is null
		and (s.session_id = (claims ->> 'sid')::uuid or request.json -> 'everywhere' = 'true');
	update flowforge.user_account u set token_version = u.token_version + 1 where u.user_id = account.user_id;
	return flowforge.answer('{"result": "signed out"}');
end
$$;
comment on function flowforge.api_logout(flowforge.request) is 'POST /api/v1/auth/logout. Other sessions have to refresh, unless they end, too.';

create function flowforge.api_token(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	key flowforge.api_key;
	lifetime interval;
begin
	select k.* into key from flowforge.api_key k where k.digest = sha256(convert_to(coalesce(flowforge.bearer_of(request), ''), 'UTF8'));
	if not found then
		raise exception using errcode = 'FF600', message = 'this makes a token for an API key', detail = format('%s is none.', flowforge.actor()),
			hint = 'Send the key as the bearer or in x-flowforge-api-key.';
	end if;
	lifetime := least(interval '1 hour', key.expires_at - now());
	return flowforge.secret_answer(jsonb_build_object('token_type', 'Bearer', 'expires_in', floor(extract(epoch from lifetime))::integer,
		'access_token', flowforge.jwt(jsonb_build_object('sub', flowforge.actor(), 'tenant_id', key.tenant_id,
			'role', current_setting('flowforge.role'), 'name', key.name, 'scopes', to_jsonb(key.scopes), 'key', encode(key.digest, 'hex')),
			'access', lifetime)));
end
$$;
comment on function flowforge.api_token(flowforge.request) is 'POST /api/v1/auth/token.';

insert into flowforge.route_schema (name, schema) values
('User', '{
	"type": "object",
	"required": ["id", "ulid", "email", "name", "role", "two_factor", "created_at", "last_login_at", "status"],
	"properties": {
		"id": {"type": "string", "format": "uuid"},
		"ulid": {"type": "string"},
		"email": {"type": "string"},
		"name": {"type": "string"},
		"role": {"enum": ["viewer", "member", "admin"]},
		"two_factor": {"type": "boolean", "description": "Whether signing in needs a code, too."},
		"created_at": {"type": "string", "format": "date-time"},
		"last_login_at": {"type": ["string", "null"], "format": "date-time"},
		"status": {"enum": ["active", "locked", "disabled"]}
	}
}'),
('Tokens', '{
	"type": "object",
	"required": ["token_type", "expires_in", "access_token", "refresh_token", "user"],
	"properties": {
		"requires_2fa": {"const": false},
		"token_type": {"const": "Bearer"},
		"expires_in": {"type": "integer", "description": "Seconds until the access token expires; the refresh token lasts a day."},
		"access_token": {"type": "string"},
		"refresh_token": {"type": "string", "description": "Good for one use of POST /api/v1/auth/refresh."},
		"user": {"$ref": "#/components/schemas/User"}
	}
}'),
('SecondFactor', '{
	"type": "object", "required": ["requires_2fa", "expires_in", "temp_token"],
	"properties": {
		"requires_2fa": {"const": true},
		"expires_in": {"type": "integer"},
		"temp_token": {"type": "string", "description": "For POST /api/v1/auth/verify-2fa."}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('POST', '/api/v1/auth/login', 'flowforge.api_login', 'public', 'access', 'Sign in with email and password',
'{"type": "object", "required": ["email", "password"], "properties": {
	"email": {"type": "string"},
	"password": {"type": "string"}}}',
'{"anyOf": [{"$ref": "#/components/schemas/Tokens"}, {"$ref": "#/components/schemas/SecondFactor"}]}'),
('POST', '/api/v1/auth/verify-2fa', 'flowforge.api_verify_2fa', 'public', 'access', 'Sign in with a second factor',
'{"type": "object", "required": ["temp_token", "code"], "properties": {
	"temp_token": {"type": "string", "description": "From POST /api/v1/auth/login."},
	"code": {"type": "string", "description": "Of the authenticator app, or a backup code."}}}',
'{"$ref": "#/components/schemas/Tokens"}'),
('POST', '/api/v1/auth/refresh', 'flowforge.api_refresh', 'public', 'access', 'Get new tokens for a refresh token',
'{"type": "object", "required": ["refresh_token"], "properties": {"refresh_token": {"type": "string"}}}',
'{"$ref": "#/components/schemas/Tokens"}'),
('POST', '/api/v1/auth/logout', 'flowforge.api_logout', 'user', 'access', 'Sign out',
'{"type": ["object", "null"], "properties": {"everywhere": {"type": "boolean", "default": false, "description": "End all sessions of the user."}}}',
'{"type": "object", "required": ["result"], "properties": {"result": {"const": "signed out"}}}'),
('POST', '/api/v1/auth/token', 'flowforge.api_token', 'user', 'access', 'Get a token for an API key',
'{"type": ["object", "null"]}',
'{"type": "object", "required": ["token_type", "expires_in", "access_token"], "properties": {
	"token_type": {"const": "Bearer"}, "expires_in": {"type": "integer"}, "access_token": {"type": "string"}}}');

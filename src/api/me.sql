-- What signed-in users do with their own account over HTTP.

create function flowforge.api_me(request flowforge.request) returns flowforge.response
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.answer(flowforge.user_json(flowforge.user_asking()))
$$;
comment on function flowforge.api_me(flowforge.request) is 'GET /api/v1/users/me.';

create function flowforge.check_name(name text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	if length(name) not between 1 and 200 then
		raise exception using errcode = 'FF605', message = 'a user''s name has 1 to 200 characters', detail = format('This one has %s.', length(name)),
			hint = 'Give the name people know them by.', column = 'name';
	end if;
end
$$;
comment on function flowforge.check_name(text) is 'Raises FF605 when a name is too short or too long; null is none.';

create function flowforge.api_me_change(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	new_name constant text := flowforge.text_member(flowforge.object_of(request), 'name');
	account flowforge.user_account := flowforge.user_asking();
begin
	perform flowforge.check_name(new_name);
	update flowforge.user_account u set name = coalesce(new_name, u.name) where u.user_id = account.user_id returning u.* into account;
	return flowforge.answer(flowforge.user_json(account));
end
$$;
comment on function flowforge.api_me_change(flowforge.request) is 'PATCH /api/v1/users/me.';

create function flowforge.api_me_password(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant jsonb := flowforge.object_of(request);
	old_password constant text := flowforge.required_text(body, 'current_password');
	new_password constant text := flowforge.required_text(body, 'new_password');
	account constant flowforge.user_account := flowforge.user_asking();
begin
	perform flowforge.check_password(new_password, account.email);
	if not flowforge.may_try() then
		return flowforge.too_many_tries();
	elsif not flowforge.password_fits(old_password, case when coalesce(account.locked_until < now(), true) then account.password_hash end) then
		perform flowforge.note_failure(account.user_id);
		return flowforge.not_recognised('the password');
	end if;
	update flowforge.user_account u set password_hash = flowforge.password_hash(new_password) where u.user_id = account.user_id;
	perform flowforge.end_sessions(account.user_id, 'password'), flowforge.audit('user.password', flowforge.actor(), null, null);
	return flowforge.sign_in(account.user_id);
end
$$;
comment on function flowforge.api_me_password(flowforge.request) is 'POST /api/v1/users/me/password. All sessions end; the answer holds tokens of a new one.';

-- Setting up a second factor: a secret on trial, which is in use once a code has shown that the app has it.
create function flowforge.api_2fa_setup(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	account constant flowforge.user_account := flowforge.user_asking();
	secret constant bytea := substr(sha256(convert_to(flowforge.token(), 'UTF8')), 1, 20);
begin
	if account.totp_since is not null then
		raise exception using errcode = 'FF613', message = 'the account has a second factor already',
			hint = 'POST /api/v1/users/me/2fa/disable takes it away.';
	end if;
	update flowforge.user_account u
	set totp_secret = flowforge.seal(encode(secret, 'hex'), flowforge.totp_purpose(account.user_id)), totp_step = 0
	where u.user_id = account.user_id;
	return flowforge.secret_answer(jsonb_build_object('secret', flowforge.base32(secret), 'otpauth_url',
		format('otpauth://totp/FlowForge:%s?secret=%s&issuer=FlowForge&algorithm=SHA1&digits=6&period=30',
			replace(replace(account.email, '%', '%25'), '?', '%3F'), flowforge.base32(secret))));
end
$$;
comment on function flowforge.api_2fa_setup(flowforge.request) is 'POST /api/v1/users/me/2fa.';

-- Ten of 80 random bits each.
create function flowforge.new_backup_codes(account uuid) returns text[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	codes constant text[] := array(
		select flowforge.base32(substr(sha256(convert_to(flowforge.token(), 'UTF8')), 1, 10)) from generate_series(1, 10));
begin
	update flowforge.user_account u set backup_codes = array(select sha256(convert_to(c, 'UTF8')) from unnest(codes) c) where u.user_id = account;
	return array(select regexp_replace(c, '(.{4})(?=.)', '\1-', 'g') from unnest(codes) c);
end
$$;
comment on function flowforge.new_backup_codes(uuid) is 'Ten new backup codes of a user instead of those there were.';

-- One of the user's codes, or the answer that it is wrong.
create function flowforge.api_2fa_act(request flowforge.request, action text) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	code constant text := flowforge.required_text(flowforge.object_of(request), 'code');
	account constant flowforge.user_account := flowforge.user_asking();
begin
	if account.totp_secret is null or (account.totp_since is null) <> (action = 'confirm') then
		raise exception using errcode = 'FF613', message = 'the second factor is in another state than this needs',
			detail = case when account.totp_since is not null then 'It is in use.' when account.totp_secret is not null then 'It is not confirmed.' else 'There is none.' end,
			hint = 'POST /api/v1/users/me/2fa gives a secret, …/2fa/confirm puts it into use.';
	elsif not flowforge.may_try() then
		return flowforge.too_many_tries();
	elsif coalesce(account.locked_until > now(), false) or not flowforge.take_code(account, code) then
		perform flowforge.note_failure(account.user_id);
		return flowforge.not_recognised('the code');
	end if;
	perform flowforge.audit('user.two_factor', flowforge.actor(), null, jsonb_build_object('action', action));
	if action = 'disable' then
		update flowforge.user_account u set totp_secret = null, totp_since = null, totp_step = 0, backup_codes = '{}' where u.user_id = account.user_id;
		return flowforge.answer('{"two_factor": false}');
	end if;
	update flowforge.user_account u set totp_since = coalesce(u.totp_since, now()) where u.user_id = account.user_id;
	return flowforge.secret_answer(jsonb_build_object('two_factor', true, 'backup_codes', to_jsonb(flowforge.new_backup_codes(account.user_id))));
end
$$;
comment on function flowforge.api_2fa_act(flowforge.request, text) is 'What users do with their second factor by showing a code of it: confirm, codes or disable.';

create function flowforge.api_2fa_confirm(request flowforge.request) returns flowforge.response
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.api_2fa_act(request, 'confirm')
$$;
comment on function flowforge.api_2fa_confirm(flowforge.request) is 'POST /api/v1/users/me/2fa/confirm.';
create function flowforge.api_2fa_codes(request flowforge.request) returns flowforge.response
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.api_2fa_act(request, 'codes')
$$;
comment on function flowforge.api_2fa_codes(flowforge.request) is 'POST /api/v1/users/me/2fa/backup-codes.';
create function flowforge.api_2fa_disable(request flowforge.request) returns flowforge.response
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.api_2fa_act(request, 'disable')
$$;
comment on function flowforge.api_2fa_disable(flowforge.request) is 'POST /api/v1/users/me/2fa/disable.';

insert into flowforge.route_schema (name, schema) values
('Code', '{"type": "object", "required": ["code"], "properties": {
	"code": {"type": "string", "description": "Of the authenticator app, or, once it is in use, a backup code."}}}'),
('BackupCodes', '{"type": "object", "required": ["two_factor", "backup_codes"], "properties": {
	"two_factor": {"const": true},
	"backup_codes": {"type": "array", "items": {"type": "string"}, "description": "Each is good for one sign-in; shown this once only."}}}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/users/me', 'flowforge.api_me', 'user', 'access', 'Who is signed in', '{}', '{"$ref": "#/components/schemas/User"}'),
('PATCH', '/api/v1/users/me', 'flowforge.api_me_change', 'user', 'access', 'Change one''s name',
'{"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 200}}}', '{"$ref": "#/components/schemas/User"}'),
('POST', '/api/v1/users/me/password', 'flowforge.api_me_password', 'user', 'access', 'Change one''s password, which ends all sessions',
'{"type": "object", "required": ["current_password", "new_password"], "properties": {
	"current_password": {"type": "string"}, "new_password": {"type": "string", "minLength": 10}}}', '{"$ref": "#/components/schemas/Tokens"}'),
('POST', '/api/v1/users/me/2fa', 'flowforge.api_2fa_setup', 'user', 'access', 'Begin to set up a second factor', '{"type": ["object", "null"]}',
'{"type": "object", "required": ["secret", "otpauth_url"], "properties": {
	"secret": {"type": "string", "description": "In base32."}, "otpauth_url": {"type": "string", "description": "What a QR code shows the app."}}}'),
('POST', '/api/v1/users/me/2fa/confirm', 'flowforge.api_2fa_confirm', 'user', 'access', 'Put the second factor into use',
'{"$ref": "#/components/schemas/Code"}', '{"$ref": "#/components/schemas/BackupCodes"}'),
('POST', '/api/v1/users/me/2fa/backup-codes', 'flowforge.api_2fa_codes', 'user', 'access', 'Get new backup codes',
'{"$ref": "#/components/schemas/Code"}', '{"$ref": "#/components/schemas/BackupCodes"}'),
('POST', '/api/v1/users/me/2fa/disable', 'flowforge.api_2fa_disable', 'user', 'access', 'Take the second factor away',
'{"$ref": "#/components/schemas/Code"}', '{"type": "object", "required": ["two_factor"], "properties": {"two_factor": {"const": false}}}');

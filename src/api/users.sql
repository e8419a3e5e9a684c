-- The users of a tenant over HTTP, for those who manage the team.

create function flowforge.api_users(request flowforge.request) returns flowforge.response
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	page constant flowforge.page := flowforge.page_of(request.query);
begin
	return flowforge.page_answer(array(
		select flowforge.user_json(u)
		from flowforge.user_account u
		where u.tenant_id = flowforge.current_tenant() and u.user_id >= page.low and u.user_id < page.high
		order by u.user_id desc
		limit page.size + 1), page.size);
end
$$;
comment on function flowforge.api_users(flowforge.request) is 'GET /api/v1/users.';

-- The users who manage the tenant are locked first, in one order, so that two of them cannot remove each other at once.
create function flowforge.user_of(request flowforge.request) returns flowforge.user_account
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	id constant uuid := flowforge.id_of(request.params ->> 'id', 'id');
	account flowforge.user_account;
begin
	perform from flowforge.user_account u
	where u.tenant_id = flowforge.current_tenant() and (u.role = 'admin' or u.user_id = id)
	order by u.user_id for update;
	select u.* into account from flowforge.user_account u where u.tenant_id = flowforge.current_tenant() and u.user_id = id;
	if not found then
		raise exception using errcode = 'FF606', message = 'there is no such user', detail = format('None has the id %s.', id),
			hint = 'GET /api/v1/users lists them.';
	end if;
	return account;
end
$$;
comment on function flowforge.user_of(flowforge.request) is 'The user that the path of a request names. Errors: FF204, FF606.';

create function flowforge.guard_user(account flowforge.user_account, deed text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	if flowforge.actor() = 'user:' || flowforge.ulid(account.user_id) then
		raise exception using errcode = 'FF608', message = format('nobody can %s their own account', deed),
			hint = 'Have another administrator do it.';
	elsif account.role = 'admin' and account.disabled_at is null and not exists (
		select from flowforge.user_account u
		where u.tenant_id = account.tenant_id and u.role = 'admin' and u.disabled_at is null and u.user_id <> account.user_id)
	then
		raise exception using errcode = 'FF608', message = format('this would %s the last administrator', deed),
			detail = format('It is %s.', account.email), hint = 'Make another user an administrator first.';
	end if;
end
$$;
comment on function flowforge.guard_user(flowforge.user_account, text) is 'Raises FF608 when a user cannot lose their rights: one''s own account, the last administrator.';

create function flowforge.api_user(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.answer(flowforge.user_json(flowforge.user_of(request)));
end
$$;
comment on function flowforge.api_user(flowforge.request) is 'GET /api/v1/users/{id}.';

create function flowforge.api_user_create(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant jsonb := flowforge.object_of(request);
	made constant uuid := @extschema@.ff_user_create(flowforge.required_text(body, 'email'), flowforge.required_text(body, 'password'),
		flowforge.required_text(body, 'name'), coalesce(flowforge.text_member(body, 'role'), 'member'));
begin
	return flowforge.answer((select flowforge.user_json(u) from flowforge.user_account u where u.user_id = made), 201);
end
$$;
comment on function flowforge.api_user_create(flowforge.request) is 'POST /api/v1/users.';

create function flowforge.boolean_member(body jsonb, name text) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	if jsonb_typeof(body -> name) not in ('boolean', 'null') then
		raise exception using errcode = 'FF204', message = format('%s must be true or false', name), detail = format('It is %s.', left(body ->> name, 200)),
			hint = format('Leave %s out to keep what is.', name), column = name;
	end if;
	return (body ->> name)::boolean;
end
$$;
comment on function flowforge.boolean_member(jsonb, text) is 'true or false from the body of a request; null when not given. Error: FF204.';

create function flowforge.api_user_change(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	body constant jsonb := flowforge.object_of(request);
	new_name constant text := flowforge.text_member(body, 'name');
	new_role constant text := flowforge.text_member(body, 'role');
	new_password constant text := flowforge.text_member(body, 'password');
	disable constant boolean := flowforge.boolean_member(body, 'disabled');
	before constant flowforge.user_account := flowforge.user_of(request);
	account flowforge.user_account;
begin
	perform flowforge.check_role(before.role), flowforge.check_role(coalesce(new_role, before.role)), flowforge.check_name(new_name);
	if disable and before.disabled_at is null then
		perform flowforge.guard_user(before, 'disable');
	elsif new_role is distinct from before.role and new_role is not null then
		perform flowforge.guard_user(before, 'change the role of');
	end if;
	update flowforge.user_account u
	set name = coalesce(new_name, u.name), role = coalesce(new_role, u.role),
		disabled_at = case disable when true then coalesce(u.disabled_at, now()) when false then null else u.disabled_at end,
		failures = case when disable then u.failures else 0 end, locked_until = null
	where u.user_id = before.user_id;
	if flowforge.boolean_member(body, 'two_factor') is false then
		update flowforge.user_account u set totp_secret = null, totp_since = null, totp_step = 0, backup_codes = '{}' where u.user_id = before.user_id;
	end if;
	if new_password is not null then
		perform @extschema@.ff_user_set_password(before.email, new_password);
	elsif disable then
		perform flowforge.end_sessions(before.user_id, 'administrator');
	end if;
	select u.* into account from flowforge.user_account u where u.user_id = before.user_id;
	perform flowforge.audit('user.update', 'user:' || flowforge.ulid(account.user_id), flowforge.user_audit(before), flowforge.user_audit(account));
	return flowforge.answer(flowforge.user_json(account));
end
$$;
comment on function flowforge.api_user_change(flowforge.request) is 'PATCH /api/v1/users/{id}.';

create function flowforge.api_user_delete(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	account constant flowforge.user_account := flowforge.user_of(request);
begin
	perform flowforge.check_role(account.role), flowforge.guard_user(account, 'delete');
	delete from flowforge.user_account u where u.user_id = account.user_id;
	perform flowforge.audit('user.delete', 'user:' || flowforge.ulid(account.user_id), flowforge.user_audit(account), null);
	return flowforge.answer(flowforge.user_json(account) || '{"result": "deleted"}');
end
$$;
comment on function flowforge.api_user_delete(flowforge.request) is 'DELETE /api/v1/users/{id}.';

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/users', 'flowforge.api_users', 'team:read', 'access', 'List users, newest first',
'{"type": "object", "properties": {
	"since": {"type": "string", "format": "date-time"},
	"until": {"type": "string", "format": "date-time"},
	"limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/User"}},
	"next_cursor": {"type": ["string", "null"]}}}'),
('POST', '/api/v1/users', 'flowforge.api_user_create', 'team:manage', 'access', 'Make a user',
'{"type": "object", "required": ["email", "name", "password"], "properties": {
	"email": {"type": "string"},
	"name": {"type": "string", "minLength": 1, "maxLength": 200},
	"role": {"enum": ["viewer", "member", "admin"], "default": "member"},
	"password": {"type": "string", "minLength": 10}}}',
'{"$ref": "#/components/schemas/User"}'),
('GET', '/api/v1/users/{id}', 'flowforge.api_user', 'team:read', 'access', 'One user', '{}', '{"$ref": "#/components/schemas/User"}'),
('PATCH', '/api/v1/users/{id}', 'flowforge.api_user_change', 'team:manage', 'access', 'Change a user; this also unlocks the account',
'{"type": "object", "properties": {
	"name": {"type": "string", "minLength": 1, "maxLength": 200},
	"role": {"enum": ["viewer", "member", "admin"]},
	"password": {"type": "string", "minLength": 10, "description": "A new one; all sessions of the user end."},
	"two_factor": {"type": "boolean", "description": "false takes the second factor away, for users who have lost it."},
	"disabled": {"type": "boolean", "description": "true signs the user out and lets them in no more."}}}',
'{"$ref": "#/components/schemas/User"}'),
('DELETE', '/api/v1/users/{id}', 'flowforge.api_user_delete', 'team:manage', 'access', 'Delete a user',
'{}', '{"$ref": "#/components/schemas/User"}');

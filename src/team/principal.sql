-- Who asks. While flowforge.serve serves a request these settings say it: flowforge.tenant, flowforge.actor, flowforge.role,
-- flowforge.scopes, flowforge.request_id and flowforge.address. Only superusers, and so serve, can set them.

create function flowforge.scopes(out scope text, out role text) returns setof record
language c stable parallel safe as 'MODULE_PATHNAME', 'ff_sql_scopes';
comment on function flowforge.scopes() is
'Every scope that a route may ask for and a key may have, with the least of the roles viewer, member and admin that has it.';

create function flowforge.may(scope text) returns boolean
language c stable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_may';
comment on function flowforge.may(text) is
'Whether who asks has this scope. True for every scope in a session that serves no request; false for what is no scope.';

create function flowforge.actor() returns text
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(nullif(current_setting('flowforge.actor', true), ''), 'sql:' || session_user)
$$;
comment on function flowforge.actor() is 'Who asks: user:ID, key:ID, app, event-key, dev, anonymous, or sql:ROLE in a session that serves no request.';

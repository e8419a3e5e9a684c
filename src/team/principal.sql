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

-- Changes go to the audit log, where there is one.
create function flowforge.note_change(action text, resource text, before jsonb, after jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	if to_regprocedure('flowforge.audit(text, text, jsonb, jsonb)') is not null then
		perform flowforge.audit(action, resource, before, after);
	end if;
end
$$;
comment on function flowforge.note_change(text, text, jsonb, jsonb) is 'Writes a change of the team into the audit log.';

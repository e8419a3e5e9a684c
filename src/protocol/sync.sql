-- Asking an app which functions it serves, by its URL.

create function flowforge.ask_app(url text, out status integer, out sync_kind text, out body jsonb, out fault text)
language c volatile strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_protocol_ask_app';
comment on function flowforge.ask_app(text) is
'Calls an app with PUT and waits for its answer, ten seconds at most. An app that answers in-band says what it serves; another one '
'registers itself meanwhile. fault says why the answer cannot be used.';
revoke execute on function flowforge.ask_app(text) from public;

create function flowforge.in_band_registration(url text, answer jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_strip_nulls(jsonb_build_object('url', coalesce(answer -> 'url', to_jsonb(url)), 'appName', answer -> 'app_id',
		'appVersion', coalesce(answer -> 'appVersion', answer -> 'app_version'), 'framework', answer -> 'framework',
		'sdk', coalesce(answer ->> 'sdk', concat(answer ->> 'sdk_language', ':v', answer ->> 'sdk_version')),
		'functions', answer -> 'functions'))
$$;
comment on function flowforge.in_band_registration(text, jsonb) is 'What an app that answered in-band would have sent to /fn/register.';

create function flowforge.sync_url(url text, in_sql boolean default false) returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	told record;
	registered jsonb;
begin
	if url is null or url !~ '^https?://[^\s/?#]+[^\s]*$' then
		raise exception using errcode = 'FF204', message = format('%s is not an http or https URL', coalesce(quote_literal(url), 'null')),
			hint = 'Give the address at which the app serves its functions, like http://localhost:3000/api/inngest.', column = 'url';
	end if;
	select a.* into told from flowforge.ask_app(url) a;
	if told.fault is not null then
		raise exception using errcode = 'FF210', message = format('the app at %s did not say which functions it serves', url),
			detail = format('%s.', told.fault), hint = 'Is it started, and is this the address at which it serves its functions?';
	elsif told.status = 200 and told.sync_kind = 'in_band' then
		registered := flowforge.register_app(flowforge.in_band_registration(url, told.body));
		-- An app of any name may be at a URL the caller has chosen: it acts as nobody he may not act as.
		return case when in_sql and registered @> '{"modified": true}' then flowforge.adopt_app(registered) else registered end;
	elsif told.status <> 200 or told.body ->> 'error' is not null then
		raise exception using errcode = 'FF210', message = format('the app at %s did not register', url),
			detail = format('It answered %s: %s', told.status, coalesce(told.body ->> 'message', told.body ->> 'error', told.body::text)),
			hint = case told.status when 401 then 'Are its signing key and this server''s the same?' end;
	end if;
	return jsonb_build_object('ok', true, 'modified', coalesce(told.body -> 'modified', 'false'), 'sync_id', told.body -> 'sync_id', 'app_id', (
		select a.app_id
		from flowforge.app a
		where a.tenant_id = flowforge.current_tenant() and (a.url = sync_url.url or a.app_id::text = told.body ->> 'app_id') and a.checksum <> ''
		order by a.synced_at desc
		limit 1));
end
$$;
comment on function flowforge.sync_url(text, boolean) is 'What ff_sync_app does; in SQL the caller becomes the role of an app that has changed.';

create function @extschema@.ff_sync_app(url text) returns jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('admin');
	select flowforge.sync_url(url, true)
$$;
comment on function @extschema@.ff_sync_app(text) is
'Asks the app at a URL which functions it serves and registers them as ff_register_app does: the app tells them in its answer, or registers '
'itself over HTTP while this waits, ten seconds at most. The Sql steps of an app that has told something new run as the calling role, as with ff_register_app. '
'Gives {ok, modified, app_id, sync_id}. Errors: FF204 no URL; FF210 the app '
'cannot be reached or refuses; FF208 and FF209 as ff_register_app.';
revoke execute on function @extschema@.ff_sync_app(text) from public;

-- Over HTTP an app that fails is kept, with the reason, for people to see.
create function flowforge.note_sync_failure(app_url text, reason text) returns uuid
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	insert into flowforge.app (tenant_id, name, url, checksum)
	select flowforge.current_tenant(), app_url, app_url, ''
	where not exists (select from flowforge.app a where a.tenant_id = flowforge.current_tenant() and a.url = app_url);

	update flowforge.app a
	set sync_error = reason, sync_failed_at = now()
	where a.tenant_id = flowforge.current_tenant() and a.url = app_url
	returning a.app_id
$$;
comment on function flowforge.note_sync_failure(text, text) is 'Notes why an app did not register; one that is not known gets a row.';

create function flowforge.add_app(app_url text, out app uuid, out modified boolean, out problem text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	result jsonb;
	detail text;
begin
	modified := false;
	begin
		result := flowforge.sync_url(app_url);
		app := (result ->> 'app_id')::uuid;
		modified := (result ->> 'modified')::boolean;
		update flowforge.app a set sync_error = null, sync_failed_at = null where a.app_id = app and a.sync_error is not null;
	exception when sqlstate 'FF210' or sqlstate 'FF208' or sqlstate 'FF209' then
		get stacked diagnostics problem = message_text, detail = pg_exception_detail;
		problem := concat_ws(': ', problem, detail);
		app := flowforge.note_sync_failure(app_url, problem);
	end;
end
$$;
comment on function flowforge.add_app(text) is
'Asks the app at a URL which functions it serves; a failure is noted with the app. Error: FF204 no URL.';

create function flowforge.remove_app(app uuid) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
begin
	perform pg_advisory_xact_lock(hashtextextended('flowforge.register', tenant));
	perform flowforge.archive_functions(tenant, app, '{"functions": []}');
	perform flowforge.store_triggers(tenant, app);
	perform flowforge.store_schedules(tenant, app);
	delete from flowforge.app a where a.tenant_id = tenant and a.app_id = app;
	return found;
end
$$;
comment on function flowforge.remove_app(uuid) is
'Forgets an app and archives its functions; their runs go on. It comes back when it registers again. False when there is no such app.';

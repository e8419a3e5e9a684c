-- Registration: an app tells which functions it serves, and that set replaces the one it had. What arrives is checked as a whole
-- before anything is written; what is not known is kept in the function's configuration, so that a newer SDK is not refused.

create function flowforge.config_texts(payload jsonb) returns table (number bigint, field text, kind text, value jsonb)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select t.number, t.field || '.' || k.key, k.kind, t.value -> k.key
	from flowforge.listed_settings(payload, 'triggers') t
	cross join (values ('event', 'event'), ('expression', 'expression'), ('cron', 'cron'), ('jitter', 'jitter'),
		('catchUp', 'catch up'), ('catchUpWindow', 'window')) as k (key, kind)
	where t.value ? k.key
	union all
	select c.number, c.field || '.' || k.key, k.kind, c.value -> k.key
	from flowforge.listed_settings(payload, 'cancel') c
	cross join (values ('event', 'event'), ('if', 'expression'), ('timeout', 'duration')) as k (key, kind)
	where c.value ? k.key
	union all
	select f.number, array_to_string(k.path, '.'), k.kind, f.config #> k.path
	from flowforge.listed_functions(payload) f
	cross join (values
		('{name}'::text[], 'text'), ('{timeouts,start}', 'duration'), ('{timeouts,finish}', 'duration'), ('{timeouts,step}', 'duration')) as k (path, kind)
	where f.config ? k.path[1] and f.config #> k.path is not null
$$;
comment on function flowforge.config_texts(jsonb) is 'Every setting of functions that is text, and of what kind: event, expression, cron, duration, jitter, catch up, window or any text.';

create function flowforge.text_problems(payload jsonb) returns table (number bigint, field text, problem text, fix text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select c.number, c.field, c.problem, case c.kind
			when 'expression' then 'Write it like event.data.total > 100.'
			when 'duration' then 'Write it like 30s, 10m or 1h30m.'
			when 'cron' then 'Write it like 0 9 * * 1, @daily or TZ=Europe/Paris 0 9 * * 1.'
			when 'event' then 'Name an event like order/created, or all below a prefix like order/*.'
			when 'jitter' then 'Write it like 30s, at most 1d.'
			when 'window' then 'Write it like 6h, at most 31d.'
			when 'catch up' then 'Use "skip", "last" or "all".'
			else 'Make it a text or leave it out.'
		end
	from (
		-- Most durations and names are plain: nothing can be wrong with them.
		select t.number, t.field, t.kind, case
			when jsonb_typeof(t.value) <> 'string' then format('is of type %s, not text', jsonb_typeof(t.value))
			when t.kind = 'expression' then flowforge.check_expression(t.value #>> '{}')
			when t.kind = 'duration' and t.value #>> '{}' !~ '^\d+[smhd]$' then flowforge.check_duration(t.value #>> '{}')
			when t.kind = 'cron' then flowforge.check_cron(t.value #>> '{}')
			when t.kind = 'jitter' then flowforge.check_span(t.value #>> '{}', '1 day')
			when t.kind = 'window' then flowforge.check_span(t.value #>> '{}', '31 days')
			when t.kind = 'catch up' and t.value not in ('"skip"', '"last"', '"all"') then format('%s is not a catch-up policy', t.value)
			when t.kind = 'event' and t.value #>> '{}' !~ '^[A-Za-z0-9_./-]{1,100}$' then flowforge.check_event_name(t.value #>> '{}')
		end as problem
		from flowforge.config_texts(payload) t
		where t.value <> 'null'
	) c
	where c.problem is not null
$$;
comment on function flowforge.text_problems(jsonb) is 'What is wrong with functions'' settings that are text.';

create function flowforge.number_problems(payload jsonb) returns table (number bigint, field text, problem text, fix text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select f.number, 'steps.step.retries.attempts', format('%s is not a whole number from 0 to 20', n.value), 'Make it a number from 0 to 20.'
	from flowforge.listed_functions(payload) f
	cross join lateral (select f.config #> '{steps,step,retries,attempts}' as value) n
	where n.value <> 'null' and not flowforge.is_whole(n.value, 0, 20)
$$;
comment on function flowforge.number_problems(jsonb) is 'What is wrong with functions'' settings that are numbers.';

create function flowforge.shape_problems(payload jsonb) returns table (number bigint, field text, problem text, fix text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select f.number, 'id', case when f.config ->> 'id' is null then 'is missing' else format('%s is not a usable id', f.config -> 'id') end,
		'Give the function an id of 1 to 255 bytes without control characters.'
	from flowforge.listed_functions(payload) f
	where jsonb_typeof(f.config -> 'id') is distinct from 'string'
		or f.config ->> 'id' !~ '^[A-Za-z0-9_./-]{1,100}$' and not flowforge.is_id(f.config ->> 'id')
	union all
	select f.number, k.field, format('is of type %s, not %s', jsonb_typeof(f.config -> k.field), array_to_string(k.types, ' or ')),
		format('Make it of type %s or leave it out.', k.types[1])
	from flowforge.listed_functions(payload) f
	cross join (values
		('triggers', '{array}'::text[]), ('cancel', '{array}'), ('timeouts', '{object}')) as k (field, types)
	where f.config ? k.field and jsonb_typeof(f.config -> k.field) <> all (k.types || 'null'::text)
	union all
	select f.number, k.field, format('has %s elements', jsonb_array_length(f.config -> k.field)), format('Use at most %s.', k.most)
	from flowforge.listed_functions(payload) f
	cross join (values ('triggers', 10), ('cancel', 5)) as k (field, most)
	where case jsonb_typeof(f.config -> k.field) when 'array' then jsonb_array_length(f.config -> k.field) > k.most end
	union all
	select t.number, t.field, 'needs either an event or a cron schedule', 'Give each trigger one of event and cron; use two triggers for both.'
	from flowforge.listed_settings(payload, 'triggers') t
	where (coalesce(t.value -> 'event', 'null') in ('null', '[]')) = (coalesce(t.value -> 'cron', 'null') in ('null', '[]'))
	union all
	select c.number, c.field || '.event', 'is missing', 'Name the event that cancels the run.'
	from flowforge.listed_settings(payload, 'cancel') c
	where coalesce(c.value -> 'event', 'null') in ('null', '[]')
$$;
comment on function flowforge.shape_problems(jsonb) is 'What is wrong with the form of functions'' configurations.';

create function flowforge.runtime_problems(payload jsonb) returns table (number bigint, field text, problem text, fix text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select f.number, 'steps.step.runtime.type', format('%s is not served', f.config #> '{steps,step,runtime,type}'), 'Serve the function over HTTP: type "http".'
	from flowforge.listed_functions(payload) f
	where coalesce(f.config #> '{steps,step,runtime,type}', 'null') not in ('null', '[]', '"http"')
	union all
	select f.number, 'steps.step.runtime.url', case
			when coalesce(f.config #> '{steps,step,runtime,url}', 'null') in ('null', '[]') then 'is missing'
			else format('%s is not an http or https URL', f.config #> '{steps,step,runtime,url}')
		end, 'Give the URL at which the app serves the function, like http://localhost:3000/api/inngest?fnId=app-function&stepId=step.'
	from flowforge.listed_functions(payload) f
	where coalesce(f.config #>> '{steps,step,runtime,url}', '') !~ '^https?://[^\s/?#]+[^\s]*$'
$$;
comment on function flowforge.runtime_problems(jsonb) is 'What is wrong with where functions'' configurations say they are called.';

create function flowforge.time_problems(payload jsonb) returns table (number bigint, field text, problem text, fix text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select f.number, 'steps.step.retries', flowforge.check_retries(f.config #> '{steps,step,retries}'),
		'Write it like {"attempts": 3, "backoff": "exponential", "base": "2s", "cap": "5m", "jitter": 0.5}; backoff is fixed, linear, '
		'exponential or a list of delays like ["1s", "10s", "1m"].'
	from flowforge.listed_functions(payload) f
	where jsonb_typeof(f.config #> '{steps,step,retries}') = 'object' and flowforge.check_retries(f.config #> '{steps,step,retries}') is not null
	union all
	select f.number, 'steps.step.retries', format('is of type %s, not object', jsonb_typeof(f.config #> '{steps,step,retries}')), 'Write it like {"attempts": 3}.'
	from flowforge.listed_functions(payload) f
	where jsonb_typeof(f.config #> '{steps,step,retries}') not in ('object', 'null')
	union all
	select t.number, t.field, format('"%s" is an instant; it must be a duration', t.value), 'Write it like 30s, 10m or 1h30m.'
	from (
		select f.number, 'timeouts.' || k.key as field, f.config #>> array['timeouts', k.key] as value
		from flowforge.listed_functions(payload) f
		cross join unnest('{start,finish,step}'::text[]) as k (key)
		where f.config ? 'timeouts'
	) t
	where t.value ~ '^\d{4}-'
$$;
comment on function flowforge.time_problems(jsonb) is 'What is wrong with functions'' retries, and with their timeouts where they are instants.';

create function flowforge.app_problems(payload jsonb) returns table (field text, problem text, fix text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select 'appName', case when payload ->> 'appName' is null then 'is missing' else format('%s is not a usable name', payload -> 'appName') end,
		'Give the app (the SDK''s client) an id of 1 to 255 bytes without control characters.'
	where jsonb_typeof(payload -> 'appName') is distinct from 'string' or not flowforge.is_id(payload ->> 'appName')
	union all
	select 'url', case when payload ->> 'url' is null then 'is missing' else format('%s is not an http or https URL', payload -> 'url') end,
		'Give the URL at which the app serves its functions.'
	where coalesce(payload ->> 'url', '') !~ '^https?://[^\s/?#]+[^\s]*$'
	union all
	select 'functions', case when payload -> 'functions' is null then 'is missing' else format('is of type %s, not a list', jsonb_typeof(payload -> 'functions')) end,
		'Give the list of functions; an empty one archives them all.'
	where jsonb_typeof(payload -> 'functions') is distinct from 'array'
	union all
	select s.field, 'is not an object', 'Give each function as {"id", "triggers", "steps"}.'
	from flowforge.setting_list(payload, 'functions') s
	where jsonb_typeof(s.value) <> 'object'
	union all
	select 'functions', format('%s have the same id "%s"', string_agg(s.field, ' and '), s.value ->> 'id'), 'Give each function an id of its own.'
	from flowforge.setting_list(payload, 'functions') s
	group by s.value ->> 'id'
	having count(*) > 1 and s.value ->> 'id' is not null
$$;
comment on function flowforge.app_problems(jsonb) is 'What is wrong with what an app registered, apart from its functions.';

create function flowforge.registration_problems(payload jsonb) returns table (field text, problem text, fix text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select a.field, a.problem, a.fix
	from (
		select p.field, p.problem, p.fix, p.number, row_number() over () as place
		from (
			select 0 as number, p.* from flowforge.app_problems(payload) p
			union all
			select f.number, format('functions[%s].%s', f.number - 1, f.field), f.problem, f.fix
			from (
				select * from flowforge.shape_problems(payload)
				union all select * from flowforge.runtime_problems(payload)
				union all select * from flowforge.number_problems(payload)
				union all select * from flowforge.text_problems(payload)
				union all select * from flowforge.time_problems(payload)
				union all select * from flowforge.flow_problems(payload)
			) f
		) p
	) a
	order by a.number, a.place
$$;
comment on function flowforge.registration_problems(jsonb) is
'Everything that is wrong with what an app registered: where, what, and what to do about it. Nothing for what can be accepted.';

create function flowforge.check_registration(payload jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	problems text[];
	first record;
begin
	select array_agg(format('%s: %s', p.field, p.problem)) into problems from flowforge.registration_problems(payload) p;
	if problems is null then
		return;
	end if;
	select p.field, p.problem, p.fix, payload #>> array['functions', substring(p.field from '^functions\[(\d+)\]'), 'id'] as slug into first
	from flowforge.registration_problems(payload) p
	limit 1;
	raise exception using errcode = 'FF208',
		message = case when first.slug is null then problems[1] else format('function "%s": %s', first.slug, problems[1]) end,
		detail = array_to_string(problems, E'\n'), hint = first.fix, column = first.field;
end
$$;
comment on function flowforge.check_registration(jsonb) is 'Raises FF208 with the first problem of what an app registered; the detail lists them all.';

-- Some SDKs spell members in lower case (appname), and nobody minds: a name counts whatever its case, as spelled here before others.
create function flowforge.spelled_registration(payload jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select payload || coalesce(jsonb_object_agg(k.name, m.value order by m.key), '{}')
	from unnest('{url,appName,appVersion,deployId,framework,functions,sdk}'::text[]) k (name)
	join lateral jsonb_each(payload) m on lower(m.key) = lower(k.name) and not payload ? k.name
$$;
comment on function flowforge.spelled_registration(jsonb) is 'What an app registered, with the names of its members spelled as here.';

-- What the app's functions shall be. The address is not part of a version: in-flight runs go where the app is now.
create function flowforge.wanted_functions(payload jsonb)
returns table (slug text, name text, url text, retries smallint, config jsonb)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select f.value ->> 'id', coalesce(nullif(f.value ->> 'name', ''), f.value ->> 'id'), f.value #>> '{steps,step,runtime,url}',
		coalesce((f.value #>> '{steps,step,retries,attempts}')::numeric, 4)::smallint, f.value #- '{steps,step,runtime,url}'
	from jsonb_array_elements(payload -> 'functions') f
	order by f.value ->> 'id'
$$;
comment on function flowforge.wanted_functions(jsonb) is 'The functions an app registers, as they are to be stored.';

create function flowforge.check_owner(tenant integer, app uuid, payload jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	taken record;
begin
	select f.slug, coalesce('the app "' || a.name || '"', case f.kind when 'graph' then 'a workflow' else 'this database' end) as owner into taken
	from flowforge.wanted_functions(payload) w
	cross join lateral (select x.* from flowforge.function x where x.tenant_id = tenant and x.slug = w.slug offset 0) f
	left join flowforge.app a on a.tenant_id = f.tenant_id and a.app_id = f.app_id
	where f.app_id is distinct from app and (f.archived_at is null or exists (
		select from flowforge.workflow o where o.tenant_id = f.tenant_id and o.function_id = f.function_id))
	limit 1;
	if found then
		raise exception using errcode = 'FF209', message = format('the function "%s" belongs to %s', taken.slug, taken.owner),
			detail = format('The app "%s" registered a function of the same id.', payload ->> 'appName'),
			hint = 'Give one of them another id, or register the other app without it first.';
	end if;
end
$$;
comment on function flowforge.check_owner(integer, uuid, jsonb) is 'Raises FF209 when another app serves a function that this one registers.';

create function flowforge.archive_functions(tenant integer, app uuid, payload jsonb) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	update flowforge.function f
	set archived_at = now()
	-- "not in" is looked up in a hash, however few functions the planner expects.
	where f.tenant_id = tenant and f.app_id = app and f.archived_at is null
		and f.slug not in (select w.slug from flowforge.wanted_functions(payload) w);
$$;
comment on function flowforge.archive_functions(integer, uuid, jsonb) is 'Archives the functions an app no longer serves; their runs go on.';

-- How many functions there are the planner learns too late, so it is told what to do: each is looked up by the index ("offset 0"), and what
-- has changed is joined by a hash.
create function flowforge.store_functions(tenant integer, app uuid, payload jsonb) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set enable_seqscan = off
as $$
	insert into flowforge.function as f (tenant_id, app_id, slug, name, url)
	select tenant, app, w.slug, w.name, w.url
	from flowforge.wanted_functions(payload) w
	on conflict (tenant_id, slug) do update
	set app_id = excluded.app_id, name = excluded.name, url = excluded.url, archived_at = null, kind = 'sdk', role = null,
		role_mark = null;

	with changed as (
		select f.function_id, case when v.version is null then f.version else f.version + 1 end as version, w.retries, w.config
		from flowforge.wanted_functions(payload) w
		cross join lateral (select x.* from flowforge.function x where x.tenant_id = tenant and x.slug = w.slug offset 0) f
		left join lateral (
			select x.config, x.version from flowforge.function_version x
			where x.tenant_id = tenant and x.function_id = f.function_id and x.version = f.version offset 0) v on true
		where v.config is distinct from w.config
	), published as (
		insert into flowforge.function_version (tenant_id, function_id, version, retries, config)
		select tenant, c.function_id, c.version, c.retries, c.config
		from changed c
	)
	update flowforge.function f
	set version = c.version
	from changed c
	where f.tenant_id = tenant and f.function_id = c.function_id and f.version <> c.version;
$$;
comment on function flowforge.store_functions(integer, uuid, jsonb) is
'Stores the functions an app serves. One whose configuration changed gets a new version; one that was archived lives again.';

create function flowforge.store_triggers(tenant integer, app uuid, function integer default null) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	delete from flowforge.trigger t
	using flowforge.function f
	where f.tenant_id = tenant and (f.app_id = app or f.function_id = function) and t.tenant_id = tenant and t.function_id = f.function_id;

	insert into flowforge.trigger (tenant_id, function_id, version, kind, event, expression, cron)
	select tenant, f.function_id, f.version, case when coalesce(t.value ->> 'event', h.event) is null then 'cron' else 'event' end,
		coalesce(t.value ->> 'event', h.event), coalesce(t.value ->> 'expression', t.value ->> 'if'), t.value ->> 'cron'
	from flowforge.function f
	join flowforge.function_version v on v.tenant_id = f.tenant_id and v.function_id = f.function_id and v.version = f.version
	cross join lateral jsonb_array_elements(case jsonb_typeof(v.config -> 'triggers') when 'array' then v.config -> 'triggers' else '[]' end) with ordinality t
	left join flowforge.hook h on h.tenant_id = tenant and f.kind = 'graph' and h.path = t.value ->> 'webhook'
	where f.tenant_id = tenant and (f.app_id = app or f.function_id = function) and f.archived_at is null
		and coalesce(t.value ->> 'event', h.event, t.value ->> 'cron') is not null
	order by f.function_id, t.ordinality;
$$;
comment on function flowforge.store_triggers(integer, uuid, integer) is
'Makes the triggers of an app''s functions, or of one function, what their current versions say.';

create function flowforge.registration_checksum(payload jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select encode(sha256(convert_to(jsonb_build_array(payload -> 'functions', payload -> 'url', payload -> 'appVersion', payload -> 'sdk',
		payload -> 'framework')::text, 'UTF8')), 'hex')
$$;
comment on function flowforge.registration_checksum(jsonb) is 'Equal for registrations that would store the same.';

create function flowforge.registered_app(tenant integer, payload jsonb) returns uuid
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select a.app_id
	from flowforge.app a
	where a.tenant_id = tenant and a.name = payload ->> 'appName' and a.checksum = flowforge.registration_checksum(payload)
$$;
comment on function flowforge.registered_app(integer, jsonb) is 'The app that registered exactly this already, or null.';

create function flowforge.store_app(tenant integer, payload jsonb) returns uuid
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	delete from flowforge.app a
	where a.tenant_id = tenant and a.url = payload ->> 'url' and a.checksum = '' and a.name <> payload ->> 'appName';

	insert into flowforge.app (tenant_id, name, url, sdk, framework, app_version, checksum)
	values (tenant, payload ->> 'appName', payload ->> 'url', payload ->> 'sdk', payload ->> 'framework', payload ->> 'appVersion',
		flowforge.registration_checksum(payload))
	on conflict (tenant_id, name) do update
	set url = excluded.url, sdk = excluded.sdk, framework = excluded.framework, app_version = excluded.app_version,
		checksum = excluded.checksum, synced_at = now(), sync_error = null, sync_failed_at = null
	returning app_id
$$;
comment on function flowforge.store_app(integer, jsonb) is
'Stores an app and gives its id; what was known of it by its URL alone is forgotten.';

-- Registrations of a tenant take turns: each sees what the one before it stored, and which functions are taken.
create function flowforge.replace_app(tenant integer, payload jsonb) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	app uuid;
begin
	perform flowforge.check_registration(payload);
	perform pg_advisory_xact_lock(hashtextextended('flowforge.register', tenant));
	if flowforge.registered_app(tenant, payload) is not null then
		return null;
	end if;
	app := flowforge.store_app(tenant, payload);
	perform flowforge.check_owner(tenant, app, payload);
	perform flowforge.archive_functions(tenant, app, payload);
	perform flowforge.store_functions(tenant, app, payload);
	perform flowforge.store_triggers(tenant, app);
	perform flowforge.store_schedules(tenant, app);
	return app;
end
$$;
comment on function flowforge.replace_app(integer, jsonb) is
'Makes an app what it registered and gives its id; null when another session has just registered the same.';

create function flowforge.register_app(given jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	payload constant jsonb := flowforge.spelled_registration(given);
	tenant constant integer := flowforge.current_tenant();
	app uuid := flowforge.registered_app(tenant, payload);
	replaced uuid;
begin
	if app is null then
		replaced := flowforge.replace_app(tenant, payload);
		app := coalesce(replaced, flowforge.registered_app(tenant, payload));
	end if;
	return jsonb_build_object('ok', true, 'modified', replaced is not null, 'app_id', app,
		'sync_id', coalesce(payload ->> 'deployId', flowforge.uuid7()::text));
end
$$;
comment on function flowforge.register_app(jsonb) is
'What POST /fn/register does: takes {url, appName, functions, sdk, framework, appVersion, deployId}, makes the app''s functions exactly these in '
'one transaction and gives {ok, modified, app_id, sync_id}, where sync_id is the deployId if there is one; writes nothing when '
'nothing has changed. Errors: FF208, FF209.';

-- The role the session acts as, seen through functions that run as their owner.
create function flowforge.caller() returns text
language c stable
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_function_caller';
comment on function flowforge.caller() is 'The role the session acts as: its own, or the one it took by SET ROLE. Error: 42501 while a table is indexed, analyzed or refreshed.';

-- An app's role is known by its name, which dumps keep, and by its oid, which tells it from another role that gets the name later. An oid says
-- something only where it was noted: in this database of this cluster. Anywhere else, that is after a restore, the name counts, until
-- flowforge.bind_roles has noted the oid there.
create function flowforge.role_mark(role text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select format('%s/%s/%s', c.system_identifier, d.oid, r.oid)
	from pg_control_system() c, pg_database d, pg_roles r
	where d.datname = current_database() and r.rolname = role
$$;
comment on function flowforge.role_mark(text) is 'What tells a role from others that have had its name: cluster/database/oid; null when there is none.';

create function flowforge.role_is_same(mark text, now text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select mark is null or now is null or mark = now or regexp_replace(mark, '[^/]*$', '') <> regexp_replace(now, '[^/]*$', '')
$$;
comment on function flowforge.role_is_same(text, text) is 'Whether the role that has a name now may be the one that was meant, by their marks.';

create function flowforge.bind_roles() returns integer
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	with known as materialized (
		select n.role, flowforge.role_mark(n.role) as mark
		from (select a.role from flowforge.app a union select f.role from flowforge.function f) n
		where n.role is not null
	), apps as (
		update flowforge.app a
		set role_mark = k.mark
		from known k
		where k.role = a.role and a.role_mark is distinct from k.mark and flowforge.role_is_same(a.role_mark, k.mark) and k.mark is not null
		returning 1
	), functions as (
		update flowforge.function f
		set role_mark = k.mark
		from known k
		where k.role = f.role and f.role_mark is distinct from k.mark and flowforge.role_is_same(f.role_mark, k.mark) and k.mark is not null
		returning 1
	)
	select count(*)::integer from (select from apps union all select from functions) b
$$;
comment on function flowforge.bind_roles() is 'Notes which roles the names in a restored database mean. Gives how many. Executors call it when they start and every hour.';

-- Who registers an app in SQL gives its steps the right to act as him, unless they act already as a role that he may act as, too.
create function flowforge.adopt_app(registered jsonb) returns jsonb
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	update flowforge.app a
	set role = flowforge.caller(), role_mark = flowforge.role_mark(flowforge.caller())
	where a.tenant_id = flowforge.current_tenant() and a.app_id = (registered ->> 'app_id')::uuid
		and not exists (select from pg_roles r where r.rolname = flowforge.caller() and r.rolsuper)
		and not exists (select from pg_roles r where r.rolname = a.role and pg_has_role(flowforge.caller()::name, r.oid, 'member')
			and flowforge.role_is_same(a.role_mark, flowforge.role_mark(a.role)));
	select registered
$$;
comment on function flowforge.adopt_app(jsonb) is 'Makes the caller the role of an app just registered, if it has none that he is a member of.';

create function @extschema@.ff_register_app(
	url text, name text, functions jsonb, sdk text default null, framework text default null, version text default null
) returns jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('admin');
	select flowforge.adopt_app(flowforge.register_app(jsonb_strip_nulls(jsonb_build_object('url', url, 'appName', name, 'sdk', sdk,
		'framework', framework, 'appVersion', version)) || jsonb_build_object('functions', case jsonb_typeof(functions)
			when 'array' then coalesce((
				select jsonb_agg(case
					when jsonb_typeof(f.value) = 'object' then jsonb_build_object('steps', jsonb_build_object('step', jsonb_build_object(
						'runtime', jsonb_build_object('url', format('%s?fnId=%s&stepId=step', url, f.value ->> 'id'))))) || f.value
					else f.value
				end order by f.ordinality)
				from jsonb_array_elements(functions) with ordinality f), '[]')
			else functions
		end)))
$$;
comment on function @extschema@.ff_register_app(text, text, jsonb, text, text, text) is
'Registers an app by hand: its URL, its name and its functions, a list of {id, triggers: [{event, expression} or {cron}], steps, …} in '
'which steps may be left out when the app''s URL serves them. The set replaces the one the app had: functions that are missing are '
'archived, their runs go on. docs/control.md has what a function may say of its times and retries. Its Sql steps run as the calling role, '
'unless that is a superuser (ff_set_app_role). Gives {ok, modified, app_id, sync_id}. Errors: FF208 with the field and how to mend it, FF209.';
revoke execute on function @extschema@.ff_register_app(text, text, jsonb, text, text, text) from public;

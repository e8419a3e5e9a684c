-- An app: a URL that serves functions. Written when an app registers (flowforge.register_app) and when asking it failed; one that was
-- only added by its URL is named like it, and has no checksum.
create table flowforge.app (
	tenant_id integer not null,
	app_id uuid not null default flowforge.uuid7(),
	name text not null,
	url text not null,
	sdk text,
	framework text,
	app_version text,
	checksum text not null,
	role text,
	role_mark text,
	registered_at timestamptz not null default now(),
	synced_at timestamptz not null default now(),
	request_timeout interval check (request_timeout > interval '0'),
	sync_error text,
	sync_failed_at timestamptz,
	primary key (tenant_id, app_id),
	unique (tenant_id, name)
);
comment on table flowforge.app is 'An app: a URL that serves functions.';
comment on column flowforge.app.request_timeout is 'How long a call to it may take; null: flowforge.request_timeout.';
comment on column flowforge.app.role is 'The database role its Sql steps run as (ff_set_app_role); null: it may have none.';
comment on column flowforge.app.role_mark is 'Which role of that name was meant (flowforge.role_mark): one that is dropped and made again is another.';

create sequence flowforge.function_id_seq as integer;

-- A function: something that runs can be made of. `version` is the current one, `url` the address calls go to.
create table flowforge.function (
	tenant_id integer not null,
	function_id integer not null default nextval('flowforge.function_id_seq'),
	app_id uuid,
	slug text not null,
	name text not null,
	version integer not null default 1,
	url text not null,
	archived_at timestamptz,
	created_at timestamptz not null default now(),
	kind text not null default 'sdk' check (kind in ('sdk', 'graph', 'sql')),
	role text,
	role_mark text,
	primary key (tenant_id, function_id),
	unique (tenant_id, slug)
);
comment on table flowforge.function is 'A function of a tenant; slug is unique (app-function for SDK functions).';
comment on column flowforge.function.kind is 'sdk: an app serves it; graph: a workflow; sql: a function of this database. The last two have no app and no url.';
comment on column flowforge.function.role is 'The database role its statements run as; null: its app''s, or none.';
comment on column flowforge.function.role_mark is 'Which role of that name was meant (flowforge.role_mark).';

-- A published version never changes; runs name the version they started with. Negative versions are drafts of workflows as they were test run.
create table flowforge.function_version (
	tenant_id integer not null,
	function_id integer not null,
	version integer not null,
	retries smallint not null check (retries between 0 and 20),
	config jsonb not null,
	created_at timestamptz not null default now(),
	primary key (tenant_id, function_id, version)
);
comment on table flowforge.function_version is 'An immutable version of a function: its configuration and the retries each step has.';

create sequence flowforge.trigger_id_seq as integer;

-- What starts runs of the current version of a function. Replaced as a whole when the function changes.
create table flowforge.trigger (
	tenant_id integer not null,
	trigger_id integer not null default nextval('flowforge.trigger_id_seq'),
	function_id integer not null,
	version integer not null,
	kind text not null check (kind in ('event', 'cron')),
	event text,
	expression text,
	cron text,
	primary key (tenant_id, trigger_id)
);
comment on table flowforge.trigger is 'What starts runs of a function: an event name (or a pattern ending in *) with an optional filter, or a cron schedule.';
create index trigger_event on flowforge.trigger (tenant_id, event) where event is not null;
create index trigger_function on flowforge.trigger (tenant_id, function_id);

-- What is paused: a row for each function or app, and one that names neither for all of a tenant. Runs are kept and not called. Written by
-- ff_pause, ff_pause_app, ff_pause_all and the functions that end pauses.
create table flowforge.pause (
	tenant_id integer not null,
	function_id integer,
	app_id uuid,
	reason text,
	paused_at timestamptz not null default now(),
	check (function_id is null or app_id is null)
);
comment on table flowforge.pause is 'Functions, apps and (with neither) tenants that are paused: their runs are kept and not called.';
create unique index pause_function on flowforge.pause (tenant_id, function_id) where function_id is not null;
create unique index pause_app on flowforge.pause (tenant_id, app_id) where app_id is not null;
create unique index pause_all on flowforge.pause (tenant_id) where function_id is null and app_id is null;

create function flowforge.paused_functions() returns setof integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select p.function_id from flowforge.pause p where p.function_id is not null
	union all
	select f.function_id from flowforge.pause p join flowforge.function f on f.tenant_id = p.tenant_id and f.app_id = p.app_id
	union all
	select f.function_id from flowforge.pause p join flowforge.function f on f.tenant_id = p.tenant_id where p.function_id is null and p.app_id is null
$$;
comment on function flowforge.paused_functions() is 'The functions whose runs are not called: they, their apps or all of their tenants are paused.';

-- Backends cache functions and triggers; any change to these tables makes all of them forget.
create function flowforge.forget_functions() returns trigger
language c as 'MODULE_PATHNAME', 'ff_function_forget';
create trigger forget after insert or update or delete or truncate on flowforge.function
	for each statement execute function flowforge.forget_functions();
create trigger forget after insert or update or delete or truncate on flowforge.function_version
	for each statement execute function flowforge.forget_functions();
create trigger forget after insert or update or delete or truncate on flowforge.trigger
	for each statement execute function flowforge.forget_functions();
create trigger forget after insert or update or delete or truncate on flowforge.pause
	for each statement execute function flowforge.forget_functions();
create trigger forget after update of request_timeout on flowforge.app
	for each statement execute function flowforge.forget_functions();

select pg_catalog.pg_extension_config_dump('flowforge.app', '');
select pg_catalog.pg_extension_config_dump('flowforge.function', '');
select pg_catalog.pg_extension_config_dump('flowforge.function_id_seq', '');
select pg_catalog.pg_extension_config_dump('flowforge.function_version', '');
select pg_catalog.pg_extension_config_dump('flowforge.trigger', '');
select pg_catalog.pg_extension_config_dump('flowforge.pause', '');
select pg_catalog.pg_extension_config_dump('flowforge.trigger_id_seq', '');

create function flowforge.filter_errors(
	out tenant_id integer, out function_id integer, out errors bigint, out last_error text, out last_error_at timestamptz
) returns setof record
language c volatile
as 'MODULE_PATHNAME', 'ff_function_filter_errors';
comment on function flowforge.filter_errors() is
'How often since the server started a filter of a function of this database (of its triggers and its runs'' waits) could not be evaluated, '
'and what was wrong the last time. Such a filter lets nothing pass.';

create function flowforge.check_retries(retries jsonb) returns text
language c immutable strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_function_check_retries';
comment on function flowforge.check_retries(jsonb) is
'What is wrong with how a function spaces its retries, {backoff: fixed | linear | exponential | [delays], base, cap, jitter}, or null when nothing is.';

create function flowforge.backoff(retries jsonb, attempt integer) returns double precision
language c volatile strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_function_backoff';
comment on function flowforge.backoff(jsonb, integer) is
'A delay, in seconds, before what failed at an attempt (from 0) is tried again, drawn as executors draw it.';

create sequence flowforge.schedule_id_seq as integer;

-- What is started by the time: either a function (a cron trigger of it) or an event (ff_schedule). last_at is the last instant that was
-- dealt with, so that none is fired twice; next_run_at is when the next one fires, jitter included. Written when functions are
-- registered, by ff_schedule, and by whoever fires it under the row's lock.
create table flowforge.schedule (
	tenant_id integer not null,
	schedule_id integer not null default nextval('flowforge.schedule_id_seq'),
	name text,
	function_id integer,
	event text,
	data jsonb,
	cron text not null,
	jitter interval not null default '0',
	catch_up text not null default 'last' check (catch_up in ('skip', 'last', 'all')),
	catch_up_window interval not null default '1 day',
	last_at timestamptz not null default now(),
	next_run_at timestamptz,
	job_id bigint,
	last_error text,
	primary key (tenant_id, schedule_id),
	unique (tenant_id, name),
	unique (tenant_id, function_id, cron),
	check ((name is null) = (event is null) and (name is null) <> (function_id is null))
);
comment on table flowforge.schedule is 'What is started by the time: functions with a cron trigger, and the events of ff_schedule.';
create index schedule_next on flowforge.schedule (next_run_at);

create function flowforge.schedule_changed() returns trigger
language c as 'MODULE_PATHNAME', 'ff_cron_changed';
comment on function flowforge.schedule_changed() is 'Makes the executor that keeps the clock look at the schedules at commit.';
create trigger changed after insert or delete or truncate or update of cron, jitter, job_id, function_id, event on flowforge.schedule
	for each statement execute function flowforge.schedule_changed();

select pg_catalog.pg_extension_config_dump('flowforge.schedule', '');
select pg_catalog.pg_extension_config_dump('flowforge.schedule_id_seq', '');

create function flowforge.check_cron(cron text) returns text
language c stable strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_cron_check';
comment on function flowforge.check_cron(text) is
'What is wrong with a cron schedule (five fields, six with seconds first, or @daily; after an optional TZ=Area/City), or null when nothing is.';

create function flowforge.cron_times(cron text, after timestamptz, until timestamptz, most integer) returns setof timestamptz
language c stable strict rows 10
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_cron_times';
comment on function flowforge.cron_times(text, timestamptz, timestamptz, integer) is
'The instants of a schedule after a time and until another, the first `most` of them. A local time that the clocks skip is due when as much '
'time has passed as if they had not; one that they show twice is due the first time only, unless the hour is *. Error: FF301.';

create function flowforge.cron_utc(cron text) returns text
language c stable strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_cron_utc';
comment on function flowforge.cron_utc(text) is
'A schedule in five fields of UTC, as pg_cron takes it, that includes all of its minutes under every offset its zone has in two years.';

create function flowforge.fire(
	tenant integer, key text, cron text, function_id integer, event text, data jsonb, scheduled timestamptz[], fire timestamptz[]
) returns integer
language c volatile
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_cron_fire';
comment on function flowforge.fire(integer, text, text, integer, text, jsonb, timestamptz[], timestamptz[]) is
'Starts a function, or sends an event, for each instant of a schedule that had none yet; gives how many.';

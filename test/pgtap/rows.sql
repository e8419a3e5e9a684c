-- Events and runs are written without statements (src/util/rows.c): what PostgreSQL does for an INSERT happens all the same.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select plan(19);

select flowforge.maintain('event', 0, interval '0');
-- A seed may be a day ahead at most, and tomorrow begins within a day at any hour.
create temp table tomorrow as select (date_trunc('day', now() at time zone 'UTC') + interval '1 day') at time zone 'UTC' as begins;
create temp table seed as select (extract(epoch from begins + interval '1 second') * 1000)::bigint || ',3K/hRekIR9ZPLQ==' as seed from tomorrow;
create function pg_temp.send(name text, count integer) returns bigint
language sql as $$
	select count(*) from ff_send_events((select jsonb_agg(jsonb_build_object('name', name, 'data', jsonb_build_object('n', n)) order by n) from generate_series(1, count) n))
$$;
create function pg_temp.tomorrow(name text) returns uuid
language sql as $$ select id from seed, unnest(flowforge.ingest(jsonb_build_object('name', name, 'data', '{"n": 1}'::jsonb, 'v', '2'), replace(seed, '3K', '4K'))) id $$;

select is(pg_temp.send('rows/many', 300), 300::bigint, 'more events than are written at a time');
select results_eq($$select (data ->> 'n')::integer from flowforge.event where name = 'rows/many' order by event_id$$,
	'select generate_series(1, 300)', 'are all there, in order');
select is((select count(*) from flowforge.event where name = 'rows/many' and received_at >= ts), 300::bigint, 'with the time they were received at');

-- Those without an id of their own get one of the seed's day.
select is(cardinality(flowforge.ingest((select jsonb_agg(jsonb_build_object('name', 'rows/days') || case n % 2 when 0 then jsonb_build_object('id', n::text) else '{}' end)
	from generate_series(1, 10) n), (select seed from seed))), 10, 'events of two days in one call');
select results_eq(
	$$select tableoid::regclass::text ~ '_\d{8}$', count(*) from flowforge.event where name = 'rows/days' group by tableoid order by 1$$,
	$$values (false, 5::bigint), (true, 5)$$, 'go to their partitions');

select isnt(ff_send_event('rows/wide', jsonb_build_object('text', (select string_agg(md5(n::text), '') from generate_series(1, 9000) n))),
	null, 'an event of many pages');
select is((select length(data ->> 'text') from flowforge.event where name = 'rows/wide'), 288000, 'what is stored apart is whole');

-- A partition whose columns stand elsewhere.
create table flowforge.event_reversed (meta jsonb, received_at timestamptz not null default clock_timestamp(), ts timestamptz not null, v text, gone text,
	external_id text, user_data jsonb, data jsonb not null, name text not null, event_id uuid not null, tenant_id integer not null);
alter table flowforge.event_reversed drop column gone, add primary key (tenant_id, event_id);
delete from flowforge.event where tableoid = 'flowforge.event_default'::regclass;
select is(count(*), 1::bigint, 'a partition of tomorrow') from (select format('alter table flowforge.event attach partition flowforge.event_reversed for values from (%L) to (%L)',
	flowforge.id_floor(begins), flowforge.id_floor(begins + interval '1 hour')) as statement from tomorrow) s, lateral (select set_config('rows.attach', s.statement, true)) c;
do $$ begin execute current_setting('rows.attach'); end $$;
select pg_temp.tomorrow('rows/reversed');
select results_eq($$select name, data, v from flowforge.event_reversed$$, $$values ('rows/reversed', '{"n": 1}'::jsonb, '2')$$, 'whose columns stand elsewhere is written as well');
select throws_ok($$select pg_temp.tomorrow(null)$$, 'FF005', null, 'a bad event is refused as ever');

-- Triggers.
create temp table fired (what text, count bigint);
create function pg_temp.before() returns trigger language plpgsql as $$
begin
	if new.data ->> 'n' = '3' then
		return null;
	end if;
	new.v := (select count(*) from flowforge.event where name = 'rows/trigger');
	return new;
end $$;
create function pg_temp.after() returns trigger language plpgsql as $$ begin insert into fired values ('row ' || (new.data ->> 'n'), 1); return null; end $$;
create function pg_temp.statement() returns trigger language plpgsql as $$ begin insert into fired select 'statement', count(*) from new_rows; return null; end $$;
create trigger a before insert on flowforge.event for each row when (new.name = 'rows/trigger') execute function pg_temp.before();
create trigger b after insert on flowforge.event for each row when (new.name = 'rows/trigger') execute function pg_temp.after();
create trigger c after insert on flowforge.event referencing new table as new_rows for each statement execute function pg_temp.statement();
select is(pg_temp.send('rows/trigger', 4), 4::bigint, 'events for triggers');
select results_eq($$select data ->> 'n', v from flowforge.event where name = 'rows/trigger' order by event_id$$,
	$$values ('1', '0'), ('2', '1'), ('4', '2')$$, 'before a row: it may change it, drop it, and see those before it');
select results_eq('select what, count from fired order by what', $$values ('row 1', 1::bigint), ('row 2', 1), ('row 4', 1), ('statement', 3)$$,
	'after rows and statements: they are told what was written');
drop trigger a on flowforge.event; drop trigger b on flowforge.event; drop trigger c on flowforge.event;

-- Constraints and rights.
alter table flowforge.event add constraint few check (data ->> 'n' <> '77') not valid;
select throws_ok($$select pg_temp.send('rows/check', 100)$$, '23514', null, 'a check is made');
select is_empty($$select from flowforge.event where name = 'rows/check'$$, 'and what it refuses leaves nothing');
alter table flowforge.event drop constraint few;
select throws_ok($$set local transaction_read_only = on; select pg_temp.send('rows/read', 1)$$, '25006', null, 'nothing is written by a transaction that only reads');

create role flowforge_test_sender;
grant usage on schema flowforge to flowforge_test_sender;
-- As its caller, whom flowforge.ingest does not ask.
create function public.ingest_as_caller(jsonb, text, boolean) returns uuid[] language c as '$libdir/flowforge', 'ff_event_ingest';
create function pg_temp.ingest() returns text language plpgsql as $$
begin
	set local role flowforge_test_sender;
	perform public.ingest_as_caller('{"name": "rows/role"}', null, true);
	return 'written';
end $$;
select throws_ok('select pg_temp.ingest()', '42501', 'permission denied for table event', 'who may not insert cannot');
grant insert on flowforge.event to flowforge_test_sender;
alter table flowforge.event enable row level security;
select throws_ok('select pg_temp.ingest()', '0A000', 'row-level security on "flowforge.event" is not supported', 'nor who is held by policies');
alter table flowforge.event disable row level security;
select throws_ok('select pg_temp.ingest()', '42501', null, 'and who may insert still needs the right to look for triggers');

select * from finish();
rollback;

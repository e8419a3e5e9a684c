-- Watched tables: changes become events of the same transaction.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;
create schema w;
set search_path = w, public;
create function pg_temp.sent(since uuid default '00000000-0000-0000-0000-000000000000') returns table (name text, data jsonb)
language sql as $$
	select e.name, e.data - '{schema}'::text[] from flowforge.event e where e.event_id > since and e.data ? 'op' order by e.event_id
$$;
create function pg_temp.forget() returns void language sql as $$ delete from flowforge.event $$;

-- Insert, update and delete, with the row before and after, what changed and the key; a trigger like any other starts runs.
create table orders (id integer primary key, status text, total numeric, note jsonb, gone text);
alter table orders drop column gone;
select ff_register_app('http://127.0.0.1:9/w', 'watch', '[{"id": "w-big", "triggers": [{"event": "w.orders/*", "expression": "event.data.new.total > 100"}]}]') ->> 'modified';
select ff_watch('orders');
select * from flowforge.watches;
insert into orders values (1, 'new', 50, '{"a": [1, null]}'), (2, 'new', 150.50, null);
update orders set total = total * 2, status = 'new';
update orders set status = status where id = 1;
delete from orders where id = 1;
update orders set status = 'none' where id = 99;
select * from pg_temp.sent();
select count(*) from flowforge.run r join flowforge.function f using (tenant_id, function_id) where f.slug = 'w-big';
-- Nothing on rollback, all with the commit; upserts and MERGE are seen as what they do; a key may change.
select pg_temp.forget();
begin;
insert into orders values (3, 'new', 1, null);
savepoint s;
insert into orders values (4, 'new', 1, null);
rollback to s;
select count(*) as within from pg_temp.sent();
rollback;
select count(*) as after_rollback from pg_temp.sent();
insert into orders values (2, 'upserted', 1, null), (5, 'fresh', 1, null) on conflict (id) do update set status = excluded.status;
insert into orders values (2, 'again', 1, null) on conflict do nothing;
merge into orders o using (values (2), (6)) as v (id) on o.id = v.id when matched then delete when not matched then insert values (v.id, 'merged', 0, null);
update orders set id = 7 where id = 6;
with moved as (delete from orders where id = 7 returning *) insert into orders select id + 1, status, total, note from moved;
copy orders from stdin;
9	copied	\N	\N
\.
truncate orders;
select name, data from pg_temp.sent();
select ff_unwatch('orders'), count(*) from flowforge.watches;
insert into orders values (1, 'unseen', 1, null);
select ff_unwatch('orders');

-- Columns, filter, key and name; several watches of a table; one of the same name is replaced.
select pg_temp.forget();
select ff_watch('orders', 'update', 'order/status', columns => '{status}', filter => 'new.status != ''draft'' and old.total < 100', key => '{id,status}');
select ff_watch('orders', 'insert or delete', 'order/there');
select event_name, ops, columns, filter, key, enabled from flowforge.watches order by 1;
insert into orders values (2, 'draft', 200, null);
update orders set total = total + 1;
update orders set status = 'sent';
update orders set status = 'draft' where id = 1;
delete from orders where id = 2;
select * from pg_temp.sent();
select ff_watch('orders', 'update', 'order/status', filter => 'new.total / 0 > 1');
update orders set total = 5;
select event_name, ops, columns, filter, key, filter_errors > 0 as errors, last_filter_error from flowforge.watches order by 1;
select ff_unwatch('orders', 'order/status');
select ff_unwatch('orders', 'order/status');
select ff_unwatch('orders');
-- A limit that is lowered later does not fail statements on the table.
select ff_watch('orders', 'update', 'order/deep', filter => '((((((((new.total)))))))) > 0');
select pg_temp.forget();
set flowforge.expression_depth_limit = 5;
update orders set total = 6;
reset flowforge.expression_depth_limit;
select * from pg_temp.sent();
select filter_errors > 0 as errors, last_filter_error from flowforge.watches where event_name = 'order/deep';
update orders set total = 7;
select count(*) > 0 as sent from pg_temp.sent();
select ff_unwatch('orders');

-- Types of every kind; a row that is too large, or too deep, for an event is told by its key and does not fail the statement.
select pg_temp.forget();
create type mood as enum ('good', 'bad');
create domain positive as integer check (value > 0);
create type pair as (a integer, b text);
create table kinds (id bigint generated always as identity primary key, t timestamptz, m mood, p positive, c pair, a text[], b bytea, f double precision, n numeric,
	r int4range, u uuid, j json, d double precision generated always as (f * 2) stored);
select ff_watch('kinds', 'insert', 'kinds/came');
set timezone = 'UTC';
insert into kinds (t, m, p, c, a, b, f, n, r, u, j) values ('2024-02-29 12:00Z', 'good', 7, (1, 'x'), '{a,NULL,"c d"}', '\x00ff', 'NaN', 12345678901234567890.12, '[1,5)', '00000000-0000-0000-0000-000000000001', '{"b": 1, "a": 2}'),
	('infinity', null, null, null, '{}', '', '-Infinity', 'NaN', 'empty', null, 'null');
select data -> 'new' as new from pg_temp.sent();
create table large (id integer primary key, body text, deep jsonb);
select ff_watch('large', 'insert, update', 'large/changed');
insert into large values (1, repeat('x', 600000), null), (2, 'small', null);
insert into large values (3, null, (repeat('[', 70) || repeat(']', 70))::jsonb);
update large set body = body || 'y' where id = 1;
select * from pg_temp.sent() where name = 'large/changed';
-- A value that is stored out of line is the same when it is not changed.
update large set deep = '1' where id = 1;
select data -> 'changed' from pg_temp.sent() where name = 'large/changed' and data ->> 'op' = 'update';

-- Tables without a key, with odd names, temporary; renamed tables and columns; dropped ones.
select pg_temp.forget();
create table "Odd ""name" ("Weird col'" integer, plain integer);
select ff_watch('"Odd ""name"', key => array['Weird col''']);
create temp table keyless (a integer);
select ff_watch('keyless', 'insert', 'keyless/came');
insert into "Odd ""name" values (1, 2);
insert into keyless values (1);
select name, data from pg_temp.sent();
select pg_temp.forget();
select ff_watch('orders', 'update', 'order/renamed', columns => '{status}');
alter table orders rename column status to state;
alter table orders rename to purchases;
update purchases set state = 'x';
select ff_watch('purchases', 'update', 'order/keyed', key => '{state}');
alter table purchases rename column state to "The State";
select "table", event_name, columns, key from flowforge.watches where event_name ~ '^order/' order by 2;
update purchases set "The State" = 'y';
select name, data -> 'table' as table, data -> 'changed' as changed, data -> 'key' as key from pg_temp.sent();
alter table purchases drop column "The State";
alter table purchases drop column note;
select ff_unwatch('purchases');
alter table purchases drop column "The State";
select ff_watch('purchases', 'insert', 'order/dropped');
drop table purchases;
select count(*) from flowforge.watches where event_name ~ '^order/';

-- Partitions: by the parent, by name, moved rows, those that come later, those that go.
select pg_temp.forget();
create table parts (id integer, place text, v integer, primary key (id, place)) partition by list (place);
create table parts_a partition of parts for values in ('a');
create table parts_b partition of parts for values in ('b') partition by range (id);
create table parts_b1 partition of parts_b for values from (0) to (100);
select ff_watch('parts', event_name => 'parts/changed');
create table parts_c (v integer, extra integer, place text not null, id integer not null);
alter table parts_c drop column extra;
insert into parts_c values (1, 'c', 30);
alter table parts attach partition parts_c for values in ('c');
create table parts_b2 partition of parts_b for values from (100) to (200);
insert into parts values (1, 'a', 1), (2, 'b', 1), (3, 'c', 1), (101, 'b', 1);
insert into parts_b2 values (102, 'b', 1);
update parts set v = 2 where id in (1, 3);
update parts set place = 'c' where id = 1;
update parts_c set v = 3 where id = 30;
delete from parts_b where id = 2;
select data from pg_temp.sent();
select "table", event_name, ops from flowforge.watches where event_name = 'parts/changed';
alter table parts detach partition parts_c;
select pg_temp.forget();
insert into parts_c values (9, 'c', 9);
insert into parts_b2 values (103, 'b', 1);
select data -> 'key' as key, data -> 'table' as table from pg_temp.sent();
select ff_unwatch('parts');
insert into parts_b2 values (104, 'b', 1);
select count(*) from pg_temp.sent();
select count(*) from pg_trigger where tgname ~ '^flowforge_watch_' and tgrelid::regclass::text ~ 'parts';

-- What cannot be watched, and by whom.
create view seen as select 1 as a;
select ff_watch('seen');
select ff_watch('pg_class');
select ff_watch('flowforge.event');
select ff_watch('nothing');
select ff_watch(null);
select ff_watch('large', 'truncate');
select ff_watch('large', '');
select ff_watch('large', 'insert', 'flowforge/x');
select ff_watch('large', 'insert', '');
select ff_watch('large', 'update', columns => '{body,nose}');
select ff_watch('large', 'update', columns => '{}');
select ff_watch('large', 'insert', columns => '{body}');
select ff_watch('large', key => '{nose}');
select ff_watch('large', filter => 'new.');
create role flowforge_watcher;
grant usage on schema w to flowforge_watcher;
set role flowforge_watcher;
select ff_watch('large');
reset role;
grant execute on function ff_watch(regclass, text, text, text[], text, text[]), ff_unwatch(regclass, text) to flowforge_watcher;
set role flowforge_watcher;
select ff_watch('large', 'insert', 'large/mine');
reset role;
grant trigger, select, insert on large to flowforge_watcher;
set role flowforge_watcher;
select ff_watch('large', 'insert', 'large/mine');
-- Who changes the table needs nothing of FlowForge's.
insert into large values (50, 'mine', null);
create trigger mine after insert on large referencing new table as n for each statement execute function flowforge.watch('{"tenant": 2, "event": "x"}');
reset role;
select name, data -> 'key' as key from pg_temp.sent() where name = 'large/mine';
create table made (a integer);
create trigger row_level after insert on made for each row execute function flowforge.watch('{}');
insert into made values (1);
drop trigger row_level on made;
create trigger other after insert on made referencing new table as n for each statement execute function flowforge.watch('nonsense');
insert into made values (1);
-- The events are the tenant's who watches, whoever changes the table.
set flowforge.tenant = '3';
select ff_watch('keyless', 'insert', 'keyless/three');
reset flowforge.tenant;
insert into keyless values (3);
select tenant_id, name from flowforge.event where name ~ '^keyless/' order by event_id desc limit 2;

-- Rows become JSON as whoever changes them, not as the extension's owner: a type's cast may be anybody's function.
grant create on schema w to flowforge_watcher;
set role flowforge_watcher;
create type w.sly as enum ('a');
create function w.sly_json(w.sly) returns json language sql as $$ select to_json(current_user) $$;
create cast (w.sly as json) with function w.sly_json(w.sly);
create table w.trap (id integer primary key, x w.sly);
select ff_watch('w.trap', 'insert', 'trap/inserted');
insert into w.trap values (1, 'a');
reset role;
select data #>> '{new,x}' as acted_as from flowforge.event where name = 'trap/inserted';
-- A function of somebody's index does not watch as the role that indexes the table.
set role flowforge_watcher;
create function w.sly_watch(integer) returns integer language plpgsql immutable as $$
begin
	if current_setting('w.armed', true) = 'on' then
		perform public.ff_watch('w.kinds', 'insert', 'kinds/stolen');
	end if;
	return $1;
end
$$;
create table w.indexed (i integer);
create index on w.indexed (w.sly_watch(i));
insert into w.indexed values (1);
reset role;
set w.armed = 'on';
reindex table w.indexed;
reset w.armed;
select count(*) from flowforge.watches where event_name = 'kinds/stolen';
drop table w.trap, w.indexed;
revoke create on schema w from flowforge_watcher;

-- 100,000 rows in one statement: an event each, and a run each of what they start, in one commit.
select pg_temp.forget();
create table many (id integer primary key, v integer not null);
insert into many select i, 0 from generate_series(1, 100000) i;
select ff_watch('many', 'update', 'many/changed', columns => '{v}');
select ff_register_app('http://127.0.0.1:9/m', 'many', '[{"id": "n-some", "triggers": [{"event": "many/changed", "expression": "event.data.new.id % 10 == 0"}]}]') ->> 'modified';
update many set v = id;
select count(*), count(distinct data -> 'key') as rows, bool_and((data #>> '{new,v}')::integer = (data #>> '{key,id}')::integer and data #> '{old,v}' = '0') as paired,
	count(distinct xmin::text) as transactions from flowforge.event where name = 'many/changed';
select count(*) from flowforge.run r join flowforge.function f using (tenant_id, function_id) where f.slug = 'n-some';
begin;
update many set v = -1;
rollback;
select count(*) from flowforge.event where name = 'many/changed';

-- A dump has the watches; the extension takes them along.
select pg_get_triggerdef(oid) from pg_trigger where tgname ~ '^flowforge_watch_' and tgrelid = 'kinds'::regclass;
set client_min_messages = warning;
drop extension flowforge cascade;
select count(*) from pg_trigger where tgname ~ '^flowforge_watch_';
insert into kinds (p) values (1);
create table after_all (a integer);
drop schema w cascade;
drop role flowforge_watcher;
create extension flowforge;

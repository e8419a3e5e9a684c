-- Tenants: their share of the executors, and their limits.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on

begin;
insert into flowforge.tenant (tenant_id, name) values (7, 'seven');
select weight, max_running, max_events_per_second from flowforge.tenant where tenant_id = 7;

-- What is not given stays; 0 removes a limit.
select weight, max_running, max_events_per_second from ff_set_tenant(7, weight => 3, max_running => 10);
select weight, max_running, max_events_per_second from ff_set_tenant(7, max_events_per_second => 5);
select weight, max_running, max_events_per_second from ff_set_tenant(7, max_running => 0);

-- What is out of range, and who is not there.
savepoint s;
select ff_set_tenant(7, weight => 0);
rollback to s;
select ff_set_tenant(7, weight => 1001);
rollback to s;
select ff_set_tenant(7, max_running => -1);
rollback to s;
select ff_set_tenant(7, max_events_per_second => -5);
rollback to s;
select ff_set_tenant(70);
rollback to s;
select ff_set_tenant(null);
rollback to s;
\set VERBOSITY terse
update flowforge.tenant set weight = 0 where tenant_id = 7;
\set VERBOSITY default
rollback to s;

-- Two events a second, two at once; what is refused is not counted, and nothing of it is recorded.
select max_events_per_second from ff_set_tenant(7, max_events_per_second => 2);
savepoint s;
set local flowforge.tenant = 7;
select count(*) from ff_send_events('[{"name": "a/b"}, {"name": "a/b"}, {"name": "a/b"}]');
rollback to s;
set local flowforge.tenant = 7;
select count(*) from ff_send_events('[{"name": "a/b"}, {"name": "a/b"}]');
select ff_send_event('a/b');
rollback to s;
select count(*) from flowforge.event where tenant_id = 7;

-- Over HTTP that is a 429 which says when to come again.
set local flowforge.tenant = 7;
select s.status, s.headers ~ 'retry-after: 1\n' as says_when, convert_from(s.body, 'UTF8')
from flowforge.serve('POST', '/e/key', '', '{}', convert_to('{"name": "a/b", "data": {}}', 'UTF8')) s;
-- A second later there is room again.
select pg_sleep(1.01);
select count(ff_send_event('a/b')) from generate_series(1, 2);

-- A limit counts at once, and so does its end; other tenants have none.
select max_events_per_second from ff_set_tenant(7, max_events_per_second => 0);
select count(ff_send_event('a/b')) from generate_series(1, 50);
set local flowforge.tenant = 1;
select count(ff_send_event('a/b')) from generate_series(1, 50);
rollback;

-- Who may not write tenants may not set them.
begin;
create role tenant_nobody;
grant usage on schema flowforge to tenant_nobody;
set local role tenant_nobody;
select ff_set_tenant(1, weight => 2);
rollback;

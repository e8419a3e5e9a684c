-- The audit log over HTTP.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select plan(13);

set local flowforge.tenant = 7401;
select flowforge.audit(case when n % 2 = 0 then 'run.cancel' else 'run.retry' end, 'run:' || n, null, jsonb_build_object('n', n)) from generate_series(1, 5) n;
select flowforge.audit('runner.start', 'runner:1', null, null);
set constraints all immediate;
set local flowforge.tenant = 7402;
set constraints all deferred;
select flowforge.audit('run.cancel', 'run:9', null, null);
set constraints all immediate;
set local flowforge.tenant = 7401;

create function pg_temp.get(query text default '', path text default '/api/v1/audit') returns jsonb language sql as $$
	select convert_from(a.body, 'UTF8')::jsonb from flowforge.serve('GET', path, query, '{}', null) a
$$;
create function pg_temp.numbers(answer jsonb) returns text language sql as $$
	select string_agg(d.value ->> 'seq', ',' order by d.ordinality) from jsonb_array_elements(answer -> 'data') with ordinality d
$$;
select is(pg_temp.numbers(pg_temp.get()), '6,5,4,3,2,1', 'the newest is first, and other tenants'' are not shown');
select is((pg_temp.get() #> '{data,1}') - '{at,hash,actor,request_id,address}'::text[], '{"seq": 5, "action": "run.retry", "resource": "run:5", "before": null, "after": {"n": 5},
	"sealed": false}', 'a row has what was done');
select is(pg_temp.numbers(pg_temp.get('limit=4')) || ' ' || (pg_temp.get('limit=4') ->> 'next_cursor'), '6,5,4,3 3', 'a page says how it goes on');
select is(pg_temp.numbers(pg_temp.get('limit=4&cursor=3')) || coalesce(pg_temp.get('limit=4&cursor=3') ->> 'next_cursor', ''), '2,1', 'and the last that it is');
select is(pg_temp.numbers(pg_temp.get('action=run.cancel')), '4,2', 'an action');
select is(pg_temp.numbers(pg_temp.get('action=run')), '5,4,3,2,1', 'all actions on a kind of thing');
select is(pg_temp.numbers(pg_temp.get('resource=run:3')), '3', 'what was done to one thing');
select is(pg_temp.numbers(pg_temp.get('actor=nobody')), null, 'what somebody has done');
select is(pg_temp.numbers(pg_temp.get('until=2020-01-01T00:00:00Z')), null, 'until a time');
select is(pg_temp.numbers(pg_temp.get('since=2020-01-01T00:00:00Z')), '6,5,4,3,2,1', 'and since one');
select is(pg_temp.get('cursor=x') ->> 'code', 'FF204', 'a cursor that is none is refused');
select is(pg_temp.get('', '/api/v1/audit/verify'), '{"valid": true, "findings": []}', 'a log that is as it was written is valid');
set local session_replication_role = replica;
delete from flowforge.audit where tenant_id = 7401 and audit_seq = 2;
select is(pg_temp.get('', '/api/v1/audit/verify'), '{"valid": false, "findings": [{"seq": 2, "problem": "removed", "detail": "This row is missing."}]}', 'one that is not says where');

select * from finish();
rollback;

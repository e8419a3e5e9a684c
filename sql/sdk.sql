-- What running functions ask for, without executors for this database: signals, state that calls leave out, reported steps.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;
insert into flowforge.signal (tenant_id, name, run_id, step_id) values
	(1, 'ready', '01939c3c-7d2a-7000-8000-000000000001', 'a'), (2, 'foreign', '01939c3c-7d2a-7000-8000-000000000002', 'a');
-- Nobody waits, or only another tenant's run: it is not kept.
select ff_send_signal('nobody', '1') is null as nobody, ff_send_signal('foreign', '1') is null as foreign;
-- In the sender's transaction.
begin;
select ff_send_signal('ready', '{"n": 1}');
rollback;
select count(*) as after_rollback from flowforge.inbox;
select ff_send_signal('ready', '{"n": 1}');
select run_id, kind, payload from flowforge.inbox;
-- Only one gets there.
select ff_send_signal('ready', '{"n": 2}') is null as second;
-- One name, one run.
insert into flowforge.signal (tenant_id, name, run_id, step_id) values (1, 'ready', '01939c3c-7d2a-7000-8000-000000000003', 'a');
-- What is refused.
select ff_send_signal(null);
select ff_send_signal('');
select ff_send_signal(repeat('é', 300));
select status, convert_from(body, 'UTF8') as body from flowforge.serve('POST', '/v1/signals', '', '{}', '{"signal": "nobody", "data": 1}');
select status, convert_from(body, 'UTF8') as body from flowforge.serve('POST', '/v1/signals', '', '{}', '{"signal": 7}');
select status, convert_from(body, 'UTF8') as body from flowforge.serve('POST', '/v1/signals', '', '{}', '[]');
delete from flowforge.inbox;
delete from flowforge.signal;
-- State that a call left out.
select ff_send_event('state/made', '{"n": 1}', 'given') is not null as sent;
insert into flowforge.run (tenant_id, run_id, function_id, version, event_id, created_at)
	select 1, '01939c3c-7d2a-7000-8000-000000000004', 1, 1, event_id, now() from flowforge.event where external_id = 'given';
insert into flowforge.step (tenant_id, run_id, step_id, position, op, name, status, attempt, memo, started_at, ended_at) values
	(1, '01939c3c-7d2a-7000-8000-000000000004', 'zz', 1, 'run', 'z', 'completed', 0, '{"data": {"b": 1, "aa": 2}}', now(), now()),
	(1, '01939c3c-7d2a-7000-8000-000000000004', 'aa', 2, 'sleep', 'a', 'completed', 0, 'null', now(), now());
select status, convert_from(body, 'UTF8') as body from flowforge.serve('GET', '/v0/runs/01939c3c-7d2a-7000-8000-000000000004/actions', '', '{}', null);
select status, regexp_replace(convert_from(body, 'UTF8'), '"ts": \d+', '"ts": 0') as body from flowforge.serve('GET', '/v0/runs/01939c3c-7d2a-7000-8000-000000000004/batch', '', '{}', null);
select status, convert_from(body, 'UTF8') as body from flowforge.serve('GET', '/v0/runs/01939c3c-7d2a-7000-8000-000000000005/actions', '', '{}', null);
select status, convert_from(body, 'UTF8') as body from flowforge.serve('GET', '/v0/runs/zz/batch', '', '{}', null);
-- Steps that are reported while a call goes on: what they may be, and whose they must be.
select flowforge.check_checkpoint('[{"op": "StepRun", "id": "a", "data": 1}, {"op": "StepFailed", "id": "b"}, {"op": "DeferAdd", "id": "c", "opts": {"fn_slug": "x"}}]');
select flowforge.check_checkpoint(null);
select flowforge.check_checkpoint('{}');
select flowforge.check_checkpoint('[1]');
select flowforge.check_checkpoint('[{"op": "StepRun", "id": ""}]');
select flowforge.check_checkpoint('[{"op": "Sleep", "id": "a", "name": "1s"}]');
select flowforge.check_checkpoint(jsonb_build_array(jsonb_build_object('op', 'StepRun', 'id', 'a', 'data', repeat('x', 5000000))));
select flowforge.call_is_live('01939c3c-7d2a-7000-8000-000000000004', null, null);
select status, convert_from(body, 'UTF8') as body from flowforge.serve('POST', '/v1/checkpoint/01939c3c-7d2a-7000-8000-000000000004/async', '', '{}', '{"steps": []}');
select status, convert_from(body, 'UTF8') as body from flowforge.serve('POST', '/v1/checkpoint/01939c3c-7d2a-7000-8000-000000000005/async', '', '{}', '{"steps": []}');
select count(*) as posted from flowforge.inbox;
set client_min_messages = warning;
drop extension flowforge cascade;
create extension flowforge;

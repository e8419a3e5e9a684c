-- The log of runs is append-only.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select plan(5);

insert into flowforge.run_event_batch (tenant_id, run_id, seq, events)
values (1, '01939c3c-7d2a-7000-8000-000000000009', 2, '[{"t": "run.started", "at": 1733486402000000}, {"t": "run.completed", "at": 1733486403000000}]');

select throws_ok('update flowforge.run_event_batch set seq = 3 where run_id = ''01939c3c-7d2a-7000-8000-000000000009''', 'FF020', null,
	'an event that is written cannot be changed');
select throws_ok('delete from flowforge.run_event_batch where run_id = ''01939c3c-7d2a-7000-8000-000000000009''', 'FF020', null,
	'an event that is written cannot be removed');
select throws_ok(
	'insert into flowforge.run_event_batch values (1, ''01939c3c-7d2a-7000-8000-000000000009'', 2, ''[]'')', '23505', null,
	'a number is given once');
select results_eq(
	'select seq, type from flowforge.run_event where run_id = ''01939c3c-7d2a-7000-8000-000000000009'' order by seq',
	$$ values (2, 'run.started'), (3, 'run.completed') $$, 'the view shows each event with its number');
select results_eq(
	'select seq, type from flowforge.run_message where run_id = ''01939c3c-7d2a-7000-8000-000000000009'' order by seq',
	'select seq, type from flowforge.run_event where run_id = ''01939c3c-7d2a-7000-8000-000000000009'' order by seq',
	'the API shows the same log');

select * from finish();
rollback;

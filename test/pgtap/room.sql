-- Whether a run has room for what is reported, while nobody takes what was accepted for it: there are no executors here.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;

select plan(5);

select ff_register_app('http://127.0.0.1:9/api', 'room', '[{"id": "room-a", "triggers": [{"event": "room/a"}]}]') \g /dev/null
select ff_send_event('room/a') \g /dev/null
select run_id from flowforge.run_hot limit 1 \gset
-- flowforge.state_limit is 32 MB here.
create function pg_temp.step(id text, megabytes integer) returns jsonb
language sql
return jsonb_build_array(jsonb_build_object('op', 'StepRun', 'id', id, 'data', repeat('x', megabytes << 20)));
create function pg_temp.accept(run uuid, id text, megabytes integer) returns void
language sql
as $$
	select flowforge.post(1, run, 'checkpoint', jsonb_build_object('steps', pg_temp.step(id, megabytes)))
$$;

select pg_temp.accept(:'run_id', 'a', 12) \g /dev/null
select lives_ok(format('select flowforge.check_state(%L, pg_temp.step(''b'', 12))', :'run_id'), 'there is room for what fits beside what was accepted');
select throws_ok(format('select flowforge.check_state(%L, pg_temp.step(''b'', 24))', :'run_id'), 'FF042', null, 'and none for more');
select lives_ok(format('select flowforge.check_state(%L, pg_temp.step(''a'', 24))', :'run_id'), 'what is reported again takes the place of its first report');
select pg_temp.accept(:'run_id', 'a', 12) \g /dev/null
select lives_ok(format('select flowforge.check_state(%L, pg_temp.step(''b'', 12))', :'run_id'), 'what was accepted twice counts once');
select pg_temp.accept(:'run_id', 'b', 12) \g /dev/null
select throws_ok(format('select flowforge.check_state(%L, pg_temp.step(''c'', 12))', :'run_id'), 'FF042', null, 'and what was accepted besides counts, too');

select * from finish();
rollback;

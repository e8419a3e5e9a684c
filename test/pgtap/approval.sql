-- Requests for decisions leave when retention says so, and not before their runs have ended.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select plan(7);

select ff_register_app('http://127.0.0.1:9/api', 'asking', '[{"id": "asking-a", "triggers": [{"event": "asking/a"}]}]');
select ff_send_event('asking/a') as event \gset
select run_id as live from flowforge.run where event_id = :'event' \gset
insert into flowforge.approval (tenant_id, run_id, step_id, name, prompt, requested_at, expires_at)
values (1, :'live', 'a', 'a', 'live', now() - interval '90 days', now()),
	(1, flowforge.uuid7(), 'a', 'a', 'old', now() - interval '90 days', now()),
	(1, flowforge.uuid7(), 'a', 'a', 'young', now() - interval '9 days', now());

select is(flowforge.forget_approvals('0'), 0, 'retention 0 keeps everything');
select is((select string_agg(prompt || ' ' || status, ', ' order by prompt) from flowforge.approvals where prompt in ('live', 'old', 'young')),
	'live pending, old cancelled, young cancelled', 'a request whose run has ended is cancelled');
select is(flowforge.forget_approvals('30 days'), 1, 'old ones leave');
select is((select string_agg(prompt, ', ' order by prompt) from flowforge.approvals where prompt in ('live', 'old', 'young')), 'live, young',
	'but not those of live runs');
select throws_ok(format('select ff_approve(%L)', (select approval_id from flowforge.approval where prompt = 'young')), 'FF407',
	'the run that asked has ended', 'nobody waits for a decision then');
select is(flowforge.form_problem('{"a": [1, {"b": null}]}', '{"properties": {"a": {"items": {"properties": {"b": {"type": "string"}}}}}}'),
	'data.a[1].b is of type null, not string', 'a problem names its place');
-- Twice as long for each level would be years.
set local statement_timeout = '20s';
select is(right(flowforge.form_problem((repeat('{"a": [', 30) || '1' || repeat(']}', 30))::jsonb,
	(repeat('{"properties": {"a": {"items": ', 30) || '{"type": "string"}' || repeat('}}}', 30))::jsonb), 30),
	' is of type number, not string', 'a form may be nested deeply');

select * from finish();
rollback;

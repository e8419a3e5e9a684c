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
insert into flowforge.approval (tenant_id, run_id, step_id, name, prompt, form, expires_at)
values (1, :'live', 'f', 'f', 'form', '{"type": "object", "required": ["reason"], "properties": {"amounts": {"items": {"type": "number"}}}}', now() + interval '1 day');
select throws_ok(format('select ff_approve(%L, %L)', (select approval_id from flowforge.approval where prompt = 'form'), '{"amounts": [1, "2"]}'), 'FF409',
	'the data is not what the form asks for', 'the data must be what the form asks for');
select is(flowforge.findings_text(flowforge.schema_check((select form from flowforge.approval where prompt = 'form'), '{"amounts": [1, "2"]}'), 'data'),
	E'data must have the member "reason".\ndata/amounts/1 must be a number, not a text.', 'and every problem names its place');

select * from finish();
rollback;

-- Sends an order and looks at what has become of it.
\set ON_ERROR_STOP on
set client_min_messages = warning;

delete from @schema@.orders where id = 'test';
select ff_send_event('@name@/order.created', '{"id": "test", "item": "pen", "amount": 4}') as event \gset
select set_config('test.event', :'event', false) \g /dev/null

do $$
declare
	event constant uuid := current_setting('test.event');
	run uuid;
	done record;
begin
	assert (select count(*) from ff_event_runs(event)) = 1, 'the event starts the workflow, once';
	select r.run_id into run from ff_event_runs(event) r;
	perform set_config('test.run', run::text, false);
end
$$;

select status, coalesce(output, 'null') as output from ff_wait(current_setting('test.run')::uuid, '1 minute') \gset
select set_config('test.status', :'status', false), set_config('test.output', :'output', false) \g /dev/null

do $$
begin
	assert current_setting('test.status') = 'completed', format('the run has %s: %s', current_setting('test.status'), ff_explain(current_setting('test.run')::uuid));
	assert current_setting('test.output')::jsonb = '{"order": "test", "due": 10}', format('its output is %s', current_setting('test.output'));
	assert (select o.due from @schema@.orders o where o.id = 'test') = 10, 'the order was written down';
end
$$;

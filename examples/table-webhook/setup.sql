-- Prices, a watch on them, and a workflow that tells a partner. Run again, it takes over what was changed here.
\set ON_ERROR_STOP on
set client_min_messages = warning;
\set port 9009
\getenv port RECEIVER_PORT
\set receiver 'http://127.0.0.1:' :port '/prices'

create table if not exists price (
	article text primary key,
	amount numeric not null check (amount > 0),
	note text not null default ''
);
insert into price values ('lamp', 24.5), ('vase', 12) on conflict do nothing;

-- A change of the amount is an event of the transaction that makes it; other changes, and amounts that stay what they were, are none.
select ff_watch('price', 'update', 'price/changed', columns => '{amount}') \g /dev/null

-- What messages are signed with, sealed in the server. The receiver knows it, too.
select ff_secret_set('PARTNER_HOOK', 'whsec_cHJpY2VzIG9mIHRoZSBleGFtcGxl') where not exists (select from flowforge.secrets where name = 'PARTNER_HOOK') \g /dev/null

-- The workflow has one step, which is tried for an hour.
select jsonb_build_object('edges', '[]'::jsonb, 'nodes', jsonb_build_array(jsonb_build_object(
	'id', 'tell', 'type', 'webhook', 'data', jsonb_build_object(
		'label', 'Tell the partner', 'max_attempts', 20, 'backoff_strategy', 'exponential', 'backoff_base', 1.8,
		'config', jsonb_build_object(
			'url', :'receiver', 'secret', '{{ secret.PARTNER_HOOK }}', 'timeout_seconds', 10,
			'payload', jsonb_build_object('article', '{{ input.key.article }}', 'amount', '{{ input.new.amount }}', 'before', '{{ input.old.amount }}')))))) as definition \gset
\set triggers '[{"event": "price/changed"}]'
select ff_workflow_create('partner prices', :'definition', 'Tells a partner what has become of a price', triggers => :'triggers')
where not exists (select from flowforge.workflows where workflow = 'partner-prices') \g /dev/null
select ff_workflow_update('partner-prices', definition => :'definition', triggers => :'triggers') \g /dev/null
select ff_workflow_publish('partner-prices') where exists (select from flowforge.workflows where workflow = 'partner-prices' and has_draft) \g /dev/null

-- Steps may call public addresses. The receiver of this example is on this machine, so it is allowed by address and port (docs/outbound.md).
select format('alter system set flowforge.outbound_allow = %L', concat_ws(', ', nullif(current_setting('flowforge.outbound_allow'), ''), '127.0.0.1:' || :'port'))
where flowforge.outbound_problem(:'receiver') is not null \gexec
select pg_reload_conf() \g /dev/null

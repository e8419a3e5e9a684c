-- All there is: tables, two functions, a role and a workflow. There is no application. Run again, it takes over what was changed here.
\set ON_ERROR_STOP on
set client_min_messages = warning;

create schema if not exists market;

create table if not exists market.stock (
	article text primary key,
	price numeric not null,
	on_hand integer not null check (on_hand >= 0)
);
insert into market.stock values ('lamp', 24.5, 10), ('vase', 12, 1) on conflict do nothing;

create table if not exists market.orders (
	order_id bigint primary key generated always as identity,
	article text not null references market.stock,
	amount integer not null check (amount > 0),
	state text not null default 'new' check (state in ('new', 'invoiced', 'shipped', 'sold out', 'not paid')),
	due numeric,
	taken_at timestamptz not null default now()
);

-- The order and its event are of one transaction: there is no order without a run, and no run without an order.
create or replace function market.place_order(article text, amount integer, terms text default '14d') returns bigint
language plpgsql
as $$
declare
	new_order bigint;
begin
	insert into market.orders (article, amount) values (place_order.article, place_order.amount) returning order_id into new_order;
	perform ff_send_event('market/order.placed',
		jsonb_build_object('order', new_order, 'article', place_order.article, 'amount', place_order.amount, 'terms', terms));
	return new_order;
end
$$;

-- A discount, as a function of this database that workflows call by a name.
create or replace function market.due(article text, amount integer) returns numeric
language sql stable
begin atomic
	select s.price * due.amount * case when due.amount >= 5 then 0.9 else 1 end from market.stock s where s.article = due.article;
end;

-- What statements and functions of the workflow run as: a role that may log in, is no superuser, and may do this and nothing else.
select 'create role market_worker login' where not exists (select from pg_roles where rolname = 'market_worker') \gexec
grant usage on schema market to market_worker;
grant select, update on market.stock, market.orders to market_worker;

select ff_register_function('market-due', 'market.due(text, integer)', output_schema => '{"type": "number"}', role => 'market_worker') \g /dev/null

-- The workflow: workflow.json says what it does, the trigger when.
\set definition `cat workflow.json`
\set triggers '[{"event": "market/order.placed"}]'
select ff_workflow_create('market order', :'definition', 'An order from click to parcel', triggers => :'triggers')
where not exists (select from flowforge.workflows where workflow = 'market-order') \g /dev/null
select ff_workflow_update('market-order', definition => :'definition', triggers => :'triggers') \g /dev/null
select ff_workflow_set_role('market-order', 'market_worker') \g /dev/null
select ff_workflow_publish('market-order') where exists (select from flowforge.workflows where workflow = 'market-order' and has_draft) \g /dev/null

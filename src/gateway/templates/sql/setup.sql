-- All there is of @name@: a table, a role that may write it, a function and a workflow. Run again, it takes over what was changed here.
\set ON_ERROR_STOP on
set client_min_messages = warning;

-- Statements and functions of a workflow run as a role that may log in and is no superuser. It has no password: nobody logs in as it from outside.
select 'create role @schema@_worker login' where not exists (select from pg_roles where rolname = '@schema@_worker') \gexec
create schema if not exists @schema@;
grant usage on schema @schema@ to @schema@_worker;

create table if not exists @schema@.orders (
	id text primary key,
	amount integer not null,
	due numeric not null,
	taken_at timestamptz not null default now()
);
grant select, insert, update on @schema@.orders to @schema@_worker;

-- A function that runs, workflows and apps invoke by a name; its arguments are the members of the input.
create or replace function @schema@.price_of(item text, amount integer) returns numeric
language sql stable
begin atomic
	select amount * case item when 'pen' then 2.5 when 'book' then 12 else 5 end;
end;
select ff_register_function('@name@-price', '@schema@.price_of(text, integer)', '{"type": "object", "required": ["item", "amount"]}',
	'{"type": "number"}', role => '@schema@_worker') \g /dev/null

-- The workflow: workflow.json says what it does, the trigger when.
\set definition `cat workflow.json`
\set triggers '[{"event": "@name@/order.created"}, {"manual": true}]'
select ff_workflow_create('@name@', :'definition', 'Prices an order and writes it down', triggers => :'triggers')
where not exists (select from flowforge.workflows where workflow = '@name@') \g /dev/null
select ff_workflow_update('@name@', definition => :'definition', triggers => :'triggers') \g /dev/null
select ff_workflow_set_role('@name@', '@schema@_worker') \g /dev/null
select ff_workflow_publish('@name@') where exists (select from flowforge.workflows where workflow = '@name@' and has_draft) \g /dev/null

-- What the workflow needs: a table, and a role that may write it and nothing else. Run again, it changes nothing.
\set ON_ERROR_STOP on
set client_min_messages = warning;

create table if not exists restock_order (
	id integer generated always as identity primary key,
	article text not null,
	quantity integer not null,
	cost numeric not null,
	note text not null,
	ordered_at timestamptz not null default now()
);

select 'create role restock login' where not exists (select from pg_roles where rolname = 'restock') \gexec
grant insert, select on restock_order to restock;

\set definition `cat workflow.json`
select ff_workflow_create('restock', :'definition', 'Orders what the shop is short of, once somebody has approved it')
where not exists (select from flowforge.workflows where workflow = 'restock') \g /dev/null
select ff_workflow_set_role('restock', 'restock') \g /dev/null
select ff_workflow_publish('restock') where exists (select from flowforge.workflows where workflow = 'restock' and has_draft) \g /dev/null

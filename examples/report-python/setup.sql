-- What the report is made of and where it goes, and the role the app's statements run as. Run again, it changes nothing.
\set ON_ERROR_STOP on
set client_min_messages = warning;

create table if not exists sale (
	sale_id bigint primary key generated always as identity,
	article text not null,
	amount numeric not null check (amount > 0),
	sold_at timestamptz not null default now()
);
create table if not exists report (
	day date primary key,
	text text not null,
	made_at timestamptz not null default now()
);

-- The role may log in, as the server does for it, and may do no more than the report needs.
select 'create role reporter login' where not exists (select from pg_roles where rolname = 'reporter') \gexec
grant select on sale to reporter;
grant select, insert, update on report to reporter;
select ff_set_app_role('reports', 'reporter') \g /dev/null

-- Something to report on: the sales of yesterday.
insert into sale (article, amount, sold_at)
select v.article, v.amount, (current_date - 1) + interval '12 hours'
from (values ('lamp', 24.5), ('lamp', 24.5), ('vase', 12)) v (article, amount)
where not exists (select from sale);

-- Which transaction wrote which rows of the log, so that a reader can ask for what has been committed since it last looked. xid is the
-- transaction's; runs and seqs name rows of run_event_batch of one tenant, pairwise. Written beside them, one row a transaction and tenant.
-- life says when the server was started: a crash forgets transactions whose numbers are then given again.
-- It tells of this cluster's transactions, so no dump contains it; what was read elsewhere begins anew here (feed_era).
create table flowforge.feed (
	feed_id uuid not null,
	xid xid8 not null,
	life bigint not null,
	tenant_id integer not null,
	runs uuid[] not null,
	seqs integer[] not null
) partition by range (feed_id);
comment on table flowforge.feed is
'Which transaction wrote which rows of run_event_batch: what live streams of a whole tenant are read by. Not in dumps. Internal.';

create table flowforge.feed_era (
	era text primary key
);
comment on table flowforge.feed_era is 'One row: names this installation, so that a cursor of another one is known as such. Not in dumps.';
insert into flowforge.feed_era (era) values (right(flowforge.uuid7()::text, 12));

create function flowforge.server_life() returns bigint
language c stable
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_server_life';
comment on function flowforge.server_life() is
'When the server''s shared memory was last made anew, at its start or after a crash, in microseconds since 1970.';

create function flowforge.feed_add(tenant integer, run uuid, seq integer) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	insert into flowforge.feed (feed_id, xid, life, tenant_id, runs, seqs)
	values (flowforge.uuid7(), pg_current_xact_id(), flowforge.server_life(), tenant, array[run], array[seq])
$$;
comment on function flowforge.feed_add(integer, uuid, integer) is 'Notes that this transaction wrote a row of the log.';

-- What only shared memory knows.
create function flowforge.calls(
	out executor integer, out tenant_id integer, out run_id uuid, out step_id text, out attempt integer, out started_at timestamptz
) returns setof record
language c volatile
as 'MODULE_PATHNAME', 'ff_slot_calls';
comment on function flowforge.calls() is
'The calls to apps that are under way in this database right now (step_id is empty for a call that asks the function what comes next).';

create function flowforge.call_is_live(run uuid, request uuid, generation bigint) returns boolean
language c volatile
as 'MODULE_PATHNAME', 'ff_slot_call_is_live';
comment on function flowforge.call_is_live(uuid, uuid, bigint) is
'Whether a call that asks a run''s function what comes next is under way, with this request id and this number where they are given. '
'A call that was given up, or made again, is not: what belongs to it comes too late.';

create function flowforge.executors(
	out executor integer, out pid integer, out state text, out ready integer, out in_flight integer, out timers integer,
	out commits bigint, out steps bigint, out runs_ended bigint, out errors bigint, out last_error text, out last_error_at timestamptz
) returns setof record
language c volatile
as 'MODULE_PATHNAME', 'ff_slot_executors';
comment on function flowforge.executors() is
'The executors of this database: process id, state (starting, working, or why it idles), backlog in memory, and counters since the server started.';

create function flowforge.sql_workers(
	out place integer, out pid integer, out state text, out role regrole, out since timestamptz, out run_id uuid, out step_id text
) returns setof record
language c volatile
as 'MODULE_PATHNAME', 'ff_slot_sql_workers';
comment on function flowforge.sql_workers() is
'The sql workers of this database: process id, state (starting, idle, busy, leaving) and since when, the role of its session, and the step it runs.';

create function flowforge.post(tenant_id integer, run_id uuid, kind text, payload jsonb) returns void
language c volatile
as 'MODULE_PATHNAME', 'ff_slot_post';
comment on function flowforge.post(integer, uuid, text, jsonb) is 'Puts a message in the inbox of a run''s owner and wakes it at commit.';

create function flowforge.refusals(out quota text, out calls bigint) returns setof record
language c volatile
as 'MODULE_PATHNAME', 'ff_slot_refusals';
comment on function flowforge.refusals() is
'How many calls of senders were refused in this database since the server started, by the limit of the tenant that they would have gone beyond.';

create function flowforge.count_queued(tenant integer) returns void
language c volatile strict
as 'MODULE_PATHNAME', 'ff_slot_depth_add';
comment on function flowforge.count_queued(integer) is 'Says that this transaction writes a run of the tenant which has not begun.';
revoke execute on function flowforge.count_queued(integer) from public;

create function flowforge.queue_depths(
	out tenant_id integer, out depth bigint, out made bigint, out begun bigint, out open bigint, out refused bigint, out counted_at timestamptz
) returns setof record
language c volatile
as 'MODULE_PATHNAME', 'ff_slot_depths';
comment on function flowforge.queue_depths() is
'Of the tenants that have max_queued and have sent since the server started: how many of their runs have not begun (depth), how many have been made and '
'how many have begun since the tenant was first counted, how many of those made are in transactions that are not over, how many calls were refused, and '
'when rows were last counted.';

create function flowforge.look() returns void
language c volatile
as 'MODULE_PATHNAME', 'ff_slot_look';
comment on function flowforge.look() is 'Has all executors look, when the transaction commits, for runs that may be called.';

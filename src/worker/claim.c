/*
 * claim.c - the claims of the runs in memory: a run whose function has limits calls for no more
 * steps than the gate has granted it, asks for those it has beyond, and lets go what it has no use
 * for. Its numbers only grow, for as long as the run lives: asked and released are said here,
 * granted by the gate (gate.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "flow/claim.h"
#include "function/function.h"
#include "run/kind.h"
#include "slot/hint.h"
#include "util/id.h"
#include "util/json.h"
#include "worker/call.h"
#include "worker/claim.h"
#include "worker/executor.h"
#include "worker/store.h"
#include "worker/turn.h"

static List *looked_for = NIL; /* of FfRun, each once (claim->looked_for) */

/* --- reading --- */

/* Whoever has ever asked for room may have a row, even if nothing limits it any more. */
void
ff_claim_prepare(FfRun *run, const FfFunction *function)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	FfClaim		  claim = {0};
	TimestampTz	  created = ff_from_unix_us(ff_id_ms(&run->id) * 1000);

	if (ff_claim_make(&claim, function->flow, run->tenant_id, run->function_id, &run->event,
					  created, run->started != 0 || run->generation > 0) ||
		run->asked > 0)
	{
		claim.asked = claim.granted = claim.released = run->asked;
		run->claim = palloc(sizeof(FfClaim));
		*run->claim = claim;
	}
	MemoryContextSwitchTo(old);
}

/* Reads the rows of runs that may have claims. What a row says goes before what is known. */
static void
read_rows(List *runs)
{
	static FfPlan plan = {
		"select n.place::integer, c.queue, c.asked, c.granted, c.released "
		"from unnest($1, $2) with ordinality as n (slot, run_id, place) cross join lateral ("
		"select * from flowforge.claim c where c.slot = n.slot and c.run_id = n.run_id offset 0) c",
		2,
		{INT2ARRAYOID, UUIDARRAYOID}};
	FfBatch	  batch = {.plan = &plan};
	uint64	  rows;
	bool	  isnull;
	ListCell *cell;

	foreach (cell, runs)
	{
		FfRun *run = lfirst(cell);
		Datum  values[2] = {Int16GetDatum(ff_slot_of(&run->id)), UUIDPGetDatum(&run->id)};

		ff_batch_add(&batch, values, NULL);
	}
	rows = ff_batch_run(&batch);
	for (uint64 i = 0; i < rows; i++)
	{
		FfRun	*run = list_nth(runs, DatumGetInt32(ff_spi_value(i, 1, &isnull)) - 1);
		FfClaim *claim = run->claim;

		claim->stored = true;
		claim->queue = DatumGetInt64(ff_spi_value(i, 2, &isnull));
		claim->asked = DatumGetInt32(ff_spi_value(i, 3, &isnull));
		claim->granted = DatumGetInt32(ff_spi_value(i, 4, &isnull));
		claim->released = DatumGetInt32(ff_spi_value(i, 5, &isnull));
	}
}

void
ff_claims_read(List *runs)
{
	List	 *claiming = NIL;
	ListCell *cell;

	foreach (cell, runs)
	{
		if (((FfRun *) lfirst(cell))->claim != NULL)
			claiming = lappend(claiming, lfirst(cell));
	}
	if (claiming == NIL)
		return;
	read_rows(claiming);
	/* What only bounds starts has no say once the run has started. */
	foreach (cell, claiming)
	{
		FfRun *run = lfirst(cell);

		if (!run->claim->stored && !ff_flow_keyed(&run->claim->keys))
			run->claim = NULL;
	}
}

static void
read_looked_for(void *arg)
{
	read_rows(arg);
}

void
ff_claim_look(FfRun *run)
{
	MemoryContext old;

	if (run->claim == NULL || run->claim->looked_for)
		return;
	run->claim->looked_for = true;
	old = MemoryContextSwitchTo(TopMemoryContext);
	looked_for = lappend(looked_for, run);
	MemoryContextSwitchTo(old);
}

void
ff_claim_forget(FfRun *run)
{
	if (run->claim != NULL && run->claim->looked_for)
		looked_for = list_delete_ptr(looked_for, run);
}

/* Runs in memory that have been granted more go on. While a run has something unwritten its row is
 * not what it will be; it is looked at when that is written. */
void
ff_claims_turn(void)
{
	List	 *ready = NIL;
	FfFailure failure;
	ListCell *cell;

	foreach (cell, looked_for)
	{
		if (((FfRun *) lfirst(cell))->change == NULL)
			ready = lappend(ready, lfirst(cell));
	}
	if (ready == NIL || !ff_transaction(read_looked_for, ready, &failure))
		return;
	foreach (cell, ready)
	{
		FfRun *run = lfirst(cell);

		ff_claim_forget(run);
		run->claim->looked_for = false;
		ff_settle(run);
	}
}

/* --- room --- */

/* Steps that run, or would if they might. */
static int
steps_due(const FfRun *run, TimestampTz now)
{
	int		  steps = 0;
	ListCell *cell;

	foreach (cell, run->items)
	{
		const FfItem *item = lfirst(cell);

		steps += item->call != NULL || (ff_item_is_work(item) && item->due <= now);
	}
	return steps;
}

static int
steps_running(const FfRun *run)
{
	int		  steps = 0;
	ListCell *cell;

	foreach (cell, run->items)
		steps += ((const FfItem *) lfirst(cell))->call != NULL;
	return steps;
}

bool
ff_claim_has_room(const FfRun *run)
{
	return run->claim == NULL || run->claim->granted - run->claim->released > steps_running(run);
}

bool
ff_claim_may_advance(const FfRun *run)
{
	return run->claim == NULL || run->started != 0 || run->claim->granted > run->claim->released;
}

bool
ff_claim_is_short(const FfRun *run, TimestampTz now)
{
	return run->claim != NULL && !run->claim->held &&
		   steps_due(run, now) > run->claim->asked - run->claim->released;
}

void
ff_claim_hold(FfRun *run)
{
	run->claim->held = true;
	if (run->change != NULL)
		run->change->claim_before->held = true;
}

/* --- writing --- */

/* What the run asks for and lets go from now on. */
static FfClaim
next_claim(const FfRun *run, TimestampTz now)
{
	FfClaim claim = *run->change->claim_before;
	int		need = run->change->ended ? 0 : steps_due(run, now);
	int		running = claim.granted - claim.released;
	int		excess;

	if (claim.held) /* while its function is paused it keeps nothing */
		claim.released += running;
	claim.asked = Max(claim.asked, claim.released + need);
	excess = claim.asked - claim.released - need;
	claim.released += Min(Max(excess, 0), claim.granted - claim.released);
	claim.held = false;
	claim.needed = need > 0;
	claim.looked_for = run->claim->looked_for; /* it may have been asked for since */
	return claim;
}

static void
insert_claim(FfClaimRows *rows, const FfRun *run, const FfClaim *claim)
{
	Datum values[10];

	values[0] = Int16GetDatum(ff_slot_of(&run->id));
	values[1] = UUIDPGetDatum(&run->id);
	values[2] = Int32GetDatum(run->tenant_id);
	values[3] = Int32GetDatum(run->function_id);
	values[4] = Int64GetDatum(claim->queue);
	values[5] = CStringGetTextDatum(ff_claim_keys_text(&claim->keys));
	values[6] = TimestampTzGetDatum(claim->rank);
	values[7] = Int32GetDatum(claim->asked);
	values[8] = Int32GetDatum(claim->granted);
	values[9] = Int32GetDatum(claim->released);
	ff_batch_add(&rows->inserted, values, NULL);
}

/* A claim that is no longer needed leaves, and what was asked for is never granted: the numbers go
 * on from there if the run comes back. */
static void
delete_claim(FfClaimRows *rows, const FfRun *run, FfClaim *claim)
{
	Datum values[2] = {Int16GetDatum(ff_slot_of(&run->id)), UUIDPGetDatum(&run->id)};

	claim->granted = claim->released = claim->asked;
	ff_batch_add(&rows->deleted, values, NULL);
	ff_hint_released(claim->queue, &run->id, claim->asked);
}

static void
update_claim(FfClaimRows *rows, const FfRun *run, const FfClaim *before, const FfClaim *claim)
{
	Datum values[4] = {Int16GetDatum(ff_slot_of(&run->id)), UUIDPGetDatum(&run->id),
					   Int32GetDatum(claim->asked), Int32GetDatum(claim->released)};

	ff_batch_add(&rows->updated, values, NULL);
	if (claim->released > before->released)
		ff_hint_released(claim->queue, &run->id, claim->released);
}

bool
ff_claim_gather(FfClaimRows *rows, FfRun *run, TimestampTz now)
{
	const FfClaim *before = run->change->claim_before;
	FfClaim		   claim = next_claim(run, now);

	if (!claim.needed)
	{
		if (before->stored)
			delete_claim(rows, run, &claim);
		claim.stored = false;
	}
	else if (!before->stored)
	{
		/* It may have started since it was read: what starts is throttled, what goes on is not. */
		if (run->started != 0 || run->generation > 0)
			ff_claim_started(&claim, run->function_id);
		if (!ff_flow_keyed(&claim.keys))
		{
			ff_claim_forget(run);
			run->claim = NULL;
			return true;
		}
		claim.stored = true;
		insert_claim(rows, run, &claim);
	}
	else if (claim.asked != before->asked || claim.released != before->released)
		update_claim(rows, run, before, &claim);
	if (claim.needed && claim.asked > before->asked)
		ff_hint_waits(claim.queue);
	*run->claim = claim;
	run->asked = claim.asked;
	return claim.granted > claim.released;
}

TimestampTz
ff_claim_next_due(const FfRun *run, TimestampTz now)
{
	TimestampTz next = ff_run_deadline(run);
	ListCell   *cell;

	foreach (cell, run->items)
	{
		const FfItem *item = lfirst(cell);

		if (!ff_item_is_work(item) || item->due > now)
			next = Min(next, item->due);
	}
	return next;
}

void
ff_claims_write(FfClaimRows *rows)
{
	ff_batch_run(&rows->deleted);
	ff_batch_run(&rows->updated);
	ff_batch_run(&rows->inserted);
}

static FfPlan insert_rows = {
	"insert into flowforge.claim (slot, run_id, tenant_id, function_id, queue, keys, rank, asked, granted, released) "
	"select n.slot, n.run_id, n.tenant_id, n.function_id, n.queue, n.keys::bigint[], n.rank, n.asked, n.granted, n.released "
	"from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) "
	"as n (slot, run_id, tenant_id, function_id, queue, keys, rank, asked, granted, released)",
	10,
	{INT2ARRAYOID, UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT8ARRAYOID, TEXTARRAYOID,
	 TIMESTAMPTZARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID}};

static FfPlan update_rows = {"update flowforge.claim c set asked = n.asked, released = n.released "
							 "from unnest($1, $2, $3, $4) as n (slot, run_id, asked, released) "
							 "where c.slot = n.slot and c.run_id = n.run_id",
							 4,
							 {INT2ARRAYOID, UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID}};

static FfPlan delete_rows = {
	"delete from flowforge.claim c using unnest($1, $2) as n (slot, run_id) "
	"where c.slot = n.slot and c.run_id = n.run_id",
	2,
	{INT2ARRAYOID, UUIDARRAYOID}};

void
ff_claims_begin(FfClaimRows *rows)
{
	memset(rows, 0, sizeof(*rows));
	rows->inserted.plan = &insert_rows;
	rows->updated.plan = &update_rows;
	rows->deleted.plan = &delete_rows;
}

/* --- finding what no hint told --- */

int
ff_claim_sweep(int slot, const FfRunKey *after, int limit, FfReady *out)
{
	static FfPlan plan = {
		"select c.run_id, c.tenant_id, c.rank from flowforge.claim c where c.slot = $1 and c.run_id > $2 "
		"and c.granted > c.released order by c.run_id limit $3",
		3,
		{INT2OID, UUIDOID, INT4OID}};
	Datum  values[3] = {Int16GetDatum(slot), UUIDPGetDatum(&after->run_id), Int32GetDatum(limit)};
	uint64 rows = ff_spi_run(&plan, values, NULL, false);
	bool   isnull;

	for (uint64 i = 0; i < rows; i++)
	{
		out[i].run_id = *DatumGetUUIDP(ff_spi_value(i, 1, &isnull));
		out[i].tenant_id = DatumGetInt32(ff_spi_value(i, 2, &isnull));
		out[i].rank = DatumGetTimestampTz(ff_spi_value(i, 3, &isnull));
	}
	return (int) rows;
}

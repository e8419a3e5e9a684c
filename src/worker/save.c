/*
 * save.c - writing what has happened to a group of runs, at once for each table (see store.h).
 * What each change says of its run is gathered into a batch per table; what it makes beyond the
 * run, and its effects, are told in save.h. The order of the writes is that of ff_store_write.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "flow/flow.h"
#include "slot/depth.h"
#include "slot/hint.h"
#include "util/batch.h"
#include "util/id.h"
#include "util/json.h"
#include "util/rows.h"
#include "util/trace.h"
#include "worker/claim.h"
#include "worker/feed.h"
#include "worker/save.h"
#include "worker/store.h"

static const FfTable step_table = {"step",
								   12,
								   {"tenant_id", "run_id", "step_id", "position", "op", "name",
									"status", "attempt", "memo", "started_at", "ended_at",
									"detail"}};

static const FfTable log_table = {"run_event_batch", 4, {"tenant_id", "run_id", "seq", "events"}};

static const FfTable end_table = {
	"run_end", 7, {"tenant_id", "run_id", "status", "output", "error", "started_at", "ended_at"}};

static const FfTable trace_table = {"trace_due", 2, {"tenant_id", "run_id"}};

static const FfTable hot_table = {
	"run_hot", 7, {"slot", "run_id", "tenant_id", "function_id", "version", "event_id", "state"}};

static const FfTable parked_table = {
	"run_parked",
	8,
	{"slot", "run_id", "tenant_id", "function_id", "version", "event_id", "state", "wake_at"}};

static FfPlan delete_hot = {
	"delete from flowforge.run_hot h using unnest($1, $2, $3) as n (slot, run_id, tenant_id) "
	"where h.slot = n.slot and h.tenant_id = n.tenant_id and h.run_id = n.run_id",
	3,
	{INT2ARRAYOID, UUIDARRAYOID, INT4ARRAYOID}};

static FfPlan delete_parked = {
	"delete from flowforge.run_parked p using unnest($1, $2) as n (slot, run_id) where p.slot = n.slot and p.run_id = n.run_id",
	2,
	{INT2ARRAYOID, UUIDARRAYOID}};

static FfPlan update_hot = {
	"update flowforge.run_hot h set state = n.state from unnest($1, $2, $3, $4) as n (slot, run_id, state, tenant_id) "
	"where h.slot = n.slot and h.tenant_id = n.tenant_id and h.run_id = n.run_id",
	4,
	{INT2ARRAYOID, UUIDARRAYOID, JSONBARRAYOID, INT4ARRAYOID}};

static FfPlan update_parked = {
	"update flowforge.run_parked p set state = n.state, wake_at = n.wake_at from unnest($1, $2, $3, $4) as n (slot, run_id, state, wake_at) "
	"where p.slot = n.slot and p.run_id = n.run_id",
	4,
	{INT2ARRAYOID, UUIDARRAYOID, JSONBARRAYOID, TIMESTAMPTZARRAYOID}};

static FfPlan delete_waits = {
	"delete from flowforge.wait w using unnest($1, $2, $3) as n (tenant_id, run_id, step_id) "
	"where w.tenant_id = n.tenant_id and w.run_id = n.run_id and w.step_id = n.step_id",
	3,
	{INT4ARRAYOID, UUIDARRAYOID, TEXTARRAYOID}};

static FfPlan delete_signals = {
	"delete from flowforge.signal s using unnest($1, $2, $3) as n (tenant_id, run_id, step_id) "
	"where s.tenant_id = n.tenant_id and s.run_id = n.run_id and s.step_id = n.step_id",
	3,
	{INT4ARRAYOID, UUIDARRAYOID, TEXTARRAYOID}};

/* What a sender has locked it is about to give to another run (src/flow/single.c). */
static FfPlan release_singles = {
	"delete from flowforge.flow_single d where d.ctid = any (array("
	"select s.ctid from unnest($1, $2) as n (tenant_id, run_id) "
	"join flowforge.flow_single s on s.tenant_id = n.tenant_id and s.run_id = n.run_id for update of s skip locked))",
	2,
	{INT4ARRAYOID, UUIDARRAYOID}};

static FfPlan delete_messages = {
	"delete from flowforge.inbox i using unnest($1, $2) as n (slot, inbox_id) where i.slot = n.slot and i.inbox_id = n.inbox_id",
	2,
	{INT2ARRAYOID, UUIDARRAYOID}};

typedef struct Rows
{
	FfRows		steps;
	FfRows		logs;
	List	   *feed; /* see worker/feed.h */
	FfRows		ends;
	FfRows		traces;
	FfBatch		hot_deleted;
	FfBatch		parked_deleted;
	FfBatch		hot_updated;
	FfBatch		parked_updated;
	FfRows		hot_inserted;
	FfRows		parked_inserted;
	FfBatch		waits_deleted;
	FfBatch		signals_deleted;
	FfBatch		singles_released;
	FfBatch		messages;
	FfClaimRows claims;
} Rows;

static Datum
json_or_null(Jsonb *json, bool *isnull)
{
	*isnull = json == NULL;
	return json == NULL ? (Datum) 0 : JsonbPGetDatum(json);
}

static void
gather_steps(Rows *group, FfChange *change)
{
	ListCell *cell;

	foreach (cell, change->steps)
	{
		FfStepRow *step = lfirst(cell);
		Datum	   values[12];
		bool	   nulls[12] = {false};

		values[0] = Int32GetDatum(change->run->tenant_id);
		values[1] = UUIDPGetDatum(&change->run->id);
		values[2] = CStringGetTextDatum(step->id);
		values[3] = Int32GetDatum(step->position);
		values[4] = CStringGetTextDatum(step->op);
		values[5] = CStringGetTextDatum(step->name);
		values[6] = CStringGetTextDatum(step->status);
		values[7] = Int16GetDatum(step->attempt);
		values[8] = json_or_null(step->memo, &nulls[8]);
		values[9] = TimestampTzGetDatum(step->started);
		values[10] = TimestampTzGetDatum(step->ended);
		values[11] = json_or_null(step->detail, &nulls[11]);
		ff_rows_add(&group->steps, values, nulls);
	}
}

static void
gather_log(Rows *group, FfChange *change)
{
	JsonbValue list = {.type = jbvArray};
	Datum	   values[4];
	ListCell  *cell;

	if (change->events == NIL)
		return;
	list.val.array.elems = palloc(sizeof(JsonbValue) * list_length(change->events));
	foreach (cell, change->events)
		list.val.array.elems[list.val.array.nElems++] = *(JsonbValue *) lfirst(cell);
	values[0] = Int32GetDatum(change->run->tenant_id);
	values[1] = UUIDPGetDatum(&change->run->id);
	values[2] = Int32GetDatum(change->first_seq);
	values[3] = JsonbPGetDatum(JsonbValueToJsonb(&list));
	ff_rows_add(&group->logs, values, NULL);
	group->feed =
		ff_feed_add(group->feed, change->run->tenant_id, &change->run->id, change->first_seq);
}

static void
gather_end(Rows *group, FfChange *change)
{
	Datum values[7];
	bool  nulls[7] = {false};

	values[0] = Int32GetDatum(change->run->tenant_id);
	values[1] = UUIDPGetDatum(&change->run->id);
	values[2] = CStringGetTextDatum(change->status);
	values[3] = json_or_null(change->output, &nulls[3]);
	values[4] = json_or_null(change->error, &nulls[4]);
	values[5] = TimestampTzGetDatum(change->run->started);
	nulls[5] = change->run->started == 0;
	values[6] = TimestampTzGetDatum(change->ended_at);
	ff_rows_add(&group->ends, values, nulls);
	if (ff_otlp_endpoint[0] != '\0')
		ff_rows_add(&group->traces, values, NULL);
	if (ff_flow_has_single(change->run->tenant_id, change->run->function_id, change->run->version))
		ff_batch_add(&group->singles_released, values, NULL);
	ff_hint_run_ended(&change->run->id);
}

/* The run's row: updated where it is, or moved between the hot and the parked table, or deleted. */
static void
gather_home(Rows *group, FfChange *change)
{
	FfRun	   *run = change->run;
	TimestampTz due = ff_run_next_due(run, 0);
	bool		parks = due != 0;
	FfHome		home;
	Datum		values[8];
	Datum		key[3] = {Int16GetDatum(ff_slot_of(&run->id)), UUIDPGetDatum(&run->id),
						  Int32GetDatum(run->tenant_id)};

	/* Who waits for room has nothing to call. */
	if (run->claim != NULL && !ff_claim_gather(&group->claims, run, GetCurrentTimestamp()) &&
		!parks)
	{
		parks = true;
		due = ff_claim_next_due(run, GetCurrentTimestamp());
	}
	home = change->ended ? FF_HOME_NONE : parks ? FF_HOME_PARKED : FF_HOME_HOT;
	run->home = home;
	if (home != change->home_before)
		ff_batch_add(change->home_before == FF_HOME_HOT ? &group->hot_deleted
														: &group->parked_deleted,
					 key, NULL);
	if (home == FF_HOME_NONE)
		return;
	values[0] = key[0];
	values[1] = key[1];
	if (home == change->home_before)
	{
		values[2] = JsonbPGetDatum(ff_run_write_state(run));
		values[3] = home == FF_HOME_HOT ? key[2] : TimestampTzGetDatum(due);
		ff_batch_add(home == FF_HOME_HOT ? &group->hot_updated : &group->parked_updated, values,
					 NULL);
		return;
	}
	values[2] = Int32GetDatum(run->tenant_id);
	values[3] = Int32GetDatum(run->function_id);
	values[4] = Int32GetDatum(run->version);
	values[5] = UUIDPGetDatum(&run->event_id);
	values[6] = JsonbPGetDatum(ff_run_write_state(run));
	values[7] = TimestampTzGetDatum(due);
	ff_rows_add(home == FF_HOME_HOT ? &group->hot_inserted : &group->parked_inserted, values, NULL);
}

/* Rows of steps that are over: a row holds the tenant, the run and the step. */
static void
gather_done(FfBatch *batch, const FfChange *change, const List *step_ids)
{
	ListCell *cell;

	foreach (cell, step_ids)
	{
		Datum values[3];

		values[0] = Int32GetDatum(change->run->tenant_id);
		values[1] = UUIDPGetDatum(&change->run->id);
		values[2] = CStringGetTextDatum(lfirst(cell));
		ff_batch_add(batch, values, NULL);
	}
}

static void
gather_messages(Rows *group, FfChange *change)
{
	ListCell *cell;

	foreach (cell, change->inbox)
	{
		Datum values[2] = {Int16GetDatum(ff_slot_of(&change->run->id)),
						   UUIDPGetDatum((pg_uuid_t *) lfirst(cell))};

		ff_batch_add(&group->messages, values, NULL);
	}
}

static void
gather(Rows *group, FfChange *change)
{
	gather_steps(group, change);
	gather_log(group, change);
	if (change->ended)
		gather_end(group, change);
	gather_home(group, change);
	if (!change->begun_before && (change->run->started != 0 || change->ended))
		ff_depth_begun(change->run->tenant_id);
	gather_done(&group->waits_deleted, change, change->waits_done);
	gather_done(&group->signals_deleted, change, change->signals_done);
	gather_messages(group, change);
}

static void
write_group(Rows *group)
{
	ff_rows_write(&group->steps);
	ff_rows_write(&group->logs);
	ff_feed_write(group->feed);
	ff_rows_write(&group->ends);
	ff_rows_write(&group->traces);
	ff_batch_run(&group->singles_released);
	ff_batch_run(&group->hot_deleted);
	ff_batch_run(&group->parked_deleted);
	ff_batch_run(&group->hot_updated);
	ff_batch_run(&group->parked_updated);
	ff_rows_write(&group->hot_inserted);
	ff_rows_write(&group->parked_inserted);
	ff_batch_run(&group->messages);
	ff_claims_write(&group->claims);
}

/* --- waits and signals --- */

/* Another run waits for the signal: this one is told so by a message of its own. */
static void
refuse_signal(const FfSignal *signal)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "step");
	ff_jb_text(&builder, signal->step_id);
	ff_jb_key(&builder, "signal");
	ff_jb_text(&builder, signal->name);
	ff_jb_key(&builder, "conflict");
	ff_jb_bool(&builder, true);
	ff_jb_end(&builder);
	ff_inbox_post(signal->tenant_id, &signal->run_id, "signal", ff_jb_finish(&builder));
}

static void
write_signals(List *changes)
{
	List	 *signals = NIL;
	ListCell *cell;

	foreach (cell, changes)
	{
		FfChange *change = lfirst(cell);

		if (!change->ended)
			signals = list_concat(signals, change->signals);
	}
	list_sort(signals, ff_signal_compare);
	foreach (cell, signals)
	{
		if (!ff_signal_insert(lfirst(cell)))
			refuse_signal(lfirst(cell));
	}
}

/* Before anything that may send an event: it may be what the wait is for. */
static void
write_waits(List *changes)
{
	ListCell *change_cell;
	ListCell *cell;

	foreach (change_cell, changes)
	{
		const FfChange *change = lfirst(change_cell);

		if (change->ended)
			continue;
		foreach (cell, change->waits)
			ff_wait_insert(lfirst(cell));
	}
}

/* --- a group --- */

void
ff_store_write(List *changes)
{
	Rows	  group = {.steps.table = &step_table,
					   .logs.table = &log_table,
					   .ends.table = &end_table,
					   .traces.table = &trace_table,
					   .hot_deleted.plan = &delete_hot,
					   .parked_deleted.plan = &delete_parked,
					   .hot_updated.plan = &update_hot,
					   .parked_updated.plan = &update_parked,
					   .hot_inserted.table = &hot_table,
					   .parked_inserted.table = &parked_table,
					   .waits_deleted.plan = &delete_waits,
					   .signals_deleted.plan = &delete_signals,
					   .singles_released.plan = &release_singles,
					   .messages.plan = &delete_messages};
	ListCell *cell;

	ff_claims_begin(&group.claims);
	write_waits(changes);
	ff_effects_begin(changes);
	foreach (cell, changes)
		gather(&group, lfirst(cell));
	write_group(&group);
	ff_write_consequences(changes);
	write_signals(changes);
	ff_effects_finish(changes);
	/* Last, because a wait may begin and be over within one group. */
	ff_batch_run(&group.waits_deleted);
	ff_batch_run(&group.signals_deleted);
}

void
ff_store_drop_messages(List *ids)
{
	FfBatch	  batch = {.plan = &delete_messages};
	ListCell *cell;

	foreach (cell, ids)
	{
		FfMessage *message = lfirst(cell);
		Datum	   values[2] = {Int16GetDatum(ff_slot_of(&message->run.run_id)),
								UUIDPGetDatum(&message->id)};

		ff_batch_add(&batch, values, NULL);
	}
	ff_batch_run(&batch);
}

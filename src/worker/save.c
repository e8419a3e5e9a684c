/*
 * save.c - writing what has happened to a group of runs, one statement per table (see store.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "function/function.h"
#include "slot/hint.h"
#include "util/batch.h"
#include "util/errors.h"
#include "util/id.h"
#include "util/json.h"
#include "worker/store.h"

#define GUARD_CLASS 0x4646 /* of advisory locks; SQL has classes 1 and 2 */
#define MAX_NOTES 20	   /* of a step */
#define MAX_NOTE_BYTES 16384

static FfPlan insert_steps = {
	"insert into flowforge.step (tenant_id, run_id, step_id, position, op, name, status, attempt, memo, started_at, ended_at, detail) "
	"select * from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
	12,
	{INT4ARRAYOID, UUIDARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	 TEXTARRAYOID, INT2ARRAYOID, JSONBARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID,
	 JSONBARRAYOID}};

static FfPlan insert_logs = {
	"insert into flowforge.run_event_batch (tenant_id, run_id, seq, events) select * from unnest($1, $2, $3, $4)",
	4,
	{INT4ARRAYOID, UUIDARRAYOID, INT4ARRAYOID, JSONBARRAYOID}};

static FfPlan insert_ends = {
	"insert into flowforge.run_end (tenant_id, run_id, status, output, error, started_at, ended_at) "
	"select * from unnest($1, $2, $3, $4, $5, $6, $7)",
	7,
	{INT4ARRAYOID, UUIDARRAYOID, TEXTARRAYOID, JSONBARRAYOID, JSONBARRAYOID, TIMESTAMPTZARRAYOID,
	 TIMESTAMPTZARRAYOID}};

static FfPlan delete_hot = {
	"delete from flowforge.run_hot h using unnest($1, $2) as n (slot, run_id) where h.slot = n.slot and h.run_id = n.run_id",
	2,
	{INT2ARRAYOID, UUIDARRAYOID}};

static FfPlan delete_parked = {
	"delete from flowforge.run_parked p using unnest($1, $2) as n (slot, run_id) where p.slot = n.slot and p.run_id = n.run_id",
	2,
	{INT2ARRAYOID, UUIDARRAYOID}};

static FfPlan update_hot = {
	"update flowforge.run_hot h set state = n.state from unnest($1, $2, $3) as n (slot, run_id, state) "
	"where h.slot = n.slot and h.run_id = n.run_id",
	3,
	{INT2ARRAYOID, UUIDARRAYOID, JSONBARRAYOID}};

static FfPlan update_parked = {
	"update flowforge.run_parked p set state = n.state, wake_at = n.wake_at from unnest($1, $2, $3, $4) as n (slot, run_id, state, wake_at) "
	"where p.slot = n.slot and p.run_id = n.run_id",
	4,
	{INT2ARRAYOID, UUIDARRAYOID, JSONBARRAYOID, TIMESTAMPTZARRAYOID}};

static FfPlan insert_hot = {
	"insert into flowforge.run_hot (slot, run_id, tenant_id, function_id, version, event_id, state) "
	"select * from unnest($1, $2, $3, $4, $5, $6, $7)",
	7,
	{INT2ARRAYOID, UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, UUIDARRAYOID,
	 JSONBARRAYOID}};

static FfPlan insert_parked = {
	"insert into flowforge.run_parked (slot, run_id, tenant_id, function_id, version, event_id, state, wake_at) "
	"select * from unnest($1, $2, $3, $4, $5, $6, $7, $8)",
	8,
	{INT2ARRAYOID, UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, UUIDARRAYOID,
	 JSONBARRAYOID, TIMESTAMPTZARRAYOID}};

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

static FfPlan delete_messages = {
	"delete from flowforge.inbox i using unnest($1, $2) as n (slot, inbox_id) where i.slot = n.slot and i.inbox_id = n.inbox_id",
	2,
	{INT2ARRAYOID, UUIDARRAYOID}};

typedef struct Rows
{
	FfBatch steps;
	FfBatch logs;
	FfBatch ends;
	FfBatch hot_deleted;
	FfBatch parked_deleted;
	FfBatch hot_updated;
	FfBatch parked_updated;
	FfBatch hot_inserted;
	FfBatch parked_inserted;
	FfBatch waits_deleted;
	FfBatch signals_deleted;
	FfBatch messages;
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
		ff_batch_add(&group->steps, values, nulls);
	}
}

static void
gather_log(Rows *group, FfChange *change)
{
	FfJsonBuilder builder = {0};
	Datum		  values[4];
	ListCell	 *cell;

	if (change->events == NIL)
		return;
	ff_jb_array(&builder);
	foreach (cell, change->events)
		ff_jb_json(&builder, lfirst(cell));
	ff_jb_end(&builder);
	values[0] = Int32GetDatum(change->run->tenant_id);
	values[1] = UUIDPGetDatum(&change->run->id);
	values[2] = Int32GetDatum(change->first_seq);
	values[3] = JsonbPGetDatum(ff_jb_finish(&builder));
	ff_batch_add(&group->logs, values, NULL);
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
	ff_batch_add(&group->ends, values, nulls);
	ff_hint_run_ended(&change->run->id);
}

/* The run's row: updated where it is, or moved between the hot and the parked table, or deleted. */
static void
gather_home(Rows *group, FfChange *change)
{
	FfRun	   *run = change->run;
	TimestampTz due = ff_run_next_due(run, 0);
	FfHome		home = change->ended ? FF_HOME_NONE : due == 0 ? FF_HOME_HOT : FF_HOME_PARKED;
	Datum		values[8];
	Datum		key[2] = {Int16GetDatum(ff_slot_of(&run->id)), UUIDPGetDatum(&run->id)};

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
		values[3] = TimestampTzGetDatum(due);
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
	ff_batch_add(home == FF_HOME_HOT ? &group->hot_inserted : &group->parked_inserted, values,
				 NULL);
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
	gather_done(&group->waits_deleted, change, change->waits_done);
	gather_done(&group->signals_deleted, change, change->signals_done);
	gather_messages(group, change);
}

static void
write_group(Rows *group)
{
	ff_batch_run(&group->steps);
	ff_batch_run(&group->logs);
	ff_batch_run(&group->ends);
	ff_batch_run(&group->hot_deleted);
	ff_batch_run(&group->parked_deleted);
	ff_batch_run(&group->hot_updated);
	ff_batch_run(&group->parked_updated);
	ff_batch_run(&group->hot_inserted);
	ff_batch_run(&group->parked_inserted);
	ff_batch_run(&group->messages);
}

/* --- what a change makes beyond its own run --- */

/* Tells the owner of the run that invoked this one how it ended. */
static void
tell_parent(FfChange *change)
{
	FfJsonBuilder builder = {0};

	if (!change->ended || !change->run->has_parent)
		return;
	ff_jb_object(&builder);
	ff_jb_key(&builder, "step");
	ff_jb_text(&builder, change->run->parent_step);
	ff_jb_key(&builder, change->error ? "error" : "output");
	ff_jb_json(&builder, change->error ? change->error : change->output);
	ff_jb_end(&builder);
	ff_inbox_post(change->run->tenant_id, &change->run->parent_id, "invoked",
				  ff_jb_finish(&builder));
}

static Jsonb *
end_data(FfChange *change, const char *slug)
{
	FfJsonBuilder builder = {0};
	FfRun		 *run = change->run;
	char		  ulid[FF_ULID_SIZE];
	Jsonb		 *event = ff_event_json(&run->event);

	ff_ulid_encode(&run->id, ulid);
	ff_jb_object(&builder);
	ff_jb_key(&builder, "function_id");
	ff_jb_text(&builder, slug);
	ff_jb_key(&builder, "run_id");
	ff_jb_text(&builder, ulid);
	ff_jb_key(&builder, "event");
	ff_jb_json(&builder, event);
	ff_jb_key(&builder, "events");
	ff_jb_array(&builder);
	ff_jb_json(&builder, event);
	ff_jb_end(&builder);
	ff_jb_key(&builder, change->error ? "error" : "result");
	ff_jb_json(&builder, change->error ? change->error : change->output);
	if (run->has_parent)
	{
		ff_ulid_encode(&run->parent_id, ulid);
		ff_jb_key(&builder, "correlation_id");
		ff_jb_text(&builder, psprintf("%s.%s", ulid, run->parent_step));
	}
	ff_jb_key(&builder, "_inngest");
	ff_jb_object(&builder);
	ff_jb_key(&builder, "status");
	ff_jb_text(&builder, change->error == NULL					 ? "Completed"
						 : strcmp(change->status, "failed") == 0 ? "Failed"
																 : "Cancelled");
	ff_jb_end(&builder);
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static void
send_end_event(FfChange *change, const char *name, const char *slug)
{
	FfEvent event = {0};
	char	ulid[FF_ULID_SIZE];

	ff_ulid_encode(&change->run->id, ulid);
	event.tenant_id = change->run->tenant_id;
	event.name = name;
	event.data = end_data(change, slug);
	event.external_id = ulid;
	event.meta = change->run->event.meta;
	event.ts = change->ended_at;
	ff_event_record(&event, 1);
}

/* Whether an event is one that announce_end sends. */
static bool
tells_of_an_end(const char *name)
{
	static const char *const kinds[] = {"finished", "failed", "cancelled"};
	const char				*kind = NULL;

	if (strncmp(name, "inngest/function.", 17) == 0)
		kind = name + 17;
	else if (strncmp(name, "flowforge/function.", 19) == 0)
		kind = name + 19;
	for (int i = 0; kind != NULL && i < (int) lengthof(kinds); i++)
	{
		if (strcmp(kind, kinds[i]) == 0)
			return true;
	}
	return false;
}

/*
 * A run's end is an event too, in the protocol's name and in ours, if a trigger or a wait would see
 * it; run_end has the fact anyway. Runs started by such events send none, so that a failing failure
 * handler does not call itself.
 */
static void
announce_end(FfChange *change)
{
	static const char *const prefixes[] = {"inngest/", "flowforge/"};
	FfRun					*run = change->run;
	const FfFunction		*function;
	char					*slug;

	if (!change->ended || tells_of_an_end(run->event.name))
		return;
	function = ff_function_get(run->tenant_id, run->function_id, run->version);
	slug = function ? pstrdup(function->slug) : pstrdup("");
	for (int i = 0; i < (int) lengthof(prefixes); i++)
	{
		char *finished = psprintf("%sfunction.finished", prefixes[i]);
		char *kind = psprintf("%sfunction.%s", prefixes[i], change->status);

		if (ff_event_wanted(run->tenant_id, finished))
			send_end_event(change, finished, slug);
		if (change->error != NULL && ff_event_wanted(run->tenant_id, kind))
			send_end_event(change, kind, slug);
	}
}

static Jsonb *
merged(Jsonb *data, Jsonb *more)
{
	if (!ff_json_is_object(data))
		return more;
	return DatumGetJsonbP(
		DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(data), JsonbPGetDatum(more)));
}

static Jsonb *
defer_data(const FfRun *run, const FfDefer *defer, const char *slug)
{
	FfJsonBuilder builder = {0};
	char		  ulid[FF_ULID_SIZE];

	ff_ulid_encode(&run->id, ulid);
	ff_jb_object(&builder);
	ff_jb_key(&builder, "_inngest");
	ff_jb_object(&builder);
	ff_jb_key(&builder, "fn_slug");
	ff_jb_text(&builder, defer->slug);
	ff_jb_key(&builder, "parent_fn_slug");
	ff_jb_text(&builder, slug);
	ff_jb_key(&builder, "parent_run_id");
	ff_jb_text(&builder, ulid);
	ff_jb_end(&builder);
	ff_jb_end(&builder);
	return merged(ff_json_member(defer->payload, "input"), ff_jb_finish(&builder));
}

/* The functions the run has deferred are started, by an event each. */
static void
schedule_defers(FfChange *change)
{
	const FfFunction *function;
	ListCell		 *cell;
	char			 *slug;

	if (!change->ended || change->run->defers == NIL)
		return;
	function =
		ff_function_get(change->run->tenant_id, change->run->function_id, change->run->version);
	slug = function ? pstrdup(function->slug) : pstrdup("");
	foreach (cell, change->run->defers)
	{
		const FfDefer *defer = lfirst(cell);
		FfEvent		   event = {0};

		if (defer->aborted)
			continue;
		event.tenant_id = change->run->tenant_id;
		event.name = "inngest/deferred.schedule";
		event.data = defer_data(change->run, defer, slug);
		event.ts = change->ended_at;
		/* Sessions that are none are not worth losing the event for. */
		(void) ff_event_read_meta(ff_json_member(defer->payload, "meta"), &event.meta);
		ff_event_record(&event, 1);
	}
}

/* What cannot be invoked: the step ends at once, by a message of the run to itself. */
static void
refuse_invocation(FfChange *change, const FfInvocation *invocation, const char *problem)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "step");
	ff_jb_text(&builder, invocation->step_id);
	ff_jb_key(&builder, "error");
	ff_jb_json(&builder, ff_run_error("Error", problem));
	ff_jb_end(&builder);
	ff_inbox_post(change->run->tenant_id, &change->run->id, "invoked", ff_jb_finish(&builder));
}

static Jsonb *
invocation_data(FfChange *change, const FfInvocation *invocation)
{
	FfJsonBuilder builder = {0};
	Jsonb		 *data = invocation->payload ? ff_json_member(invocation->payload, "data") : NULL;
	char		  ulid[FF_ULID_SIZE];

	ff_ulid_encode(&change->run->id, ulid);
	ff_jb_object(&builder);
	ff_jb_key(&builder, "_inngest");
	ff_jb_object(&builder);
	ff_jb_key(&builder, "correlation_id");
	ff_jb_text(&builder, psprintf("%s.%s", ulid, invocation->step_id));
	ff_jb_key(&builder, "expire");
	ff_jb_int(&builder, ff_unix_us(invocation->expires) / 1000);
	ff_jb_key(&builder, "fn_id");
	ff_jb_text(&builder, invocation->slug);
	ff_jb_key(&builder, "name");
	ff_jb_text(&builder, invocation->name);
	ff_jb_key(&builder, "source_fn_v");
	ff_jb_int(&builder, change->run->version);
	ff_jb_end(&builder);
	ff_jb_end(&builder);
	return merged(data, ff_jb_finish(&builder));
}

static void
start_invocation(FfChange *change, const FfInvocation *invocation)
{
	const FfFunction *function = ff_function_by_slug(change->run->tenant_id, invocation->slug);
	FfEvent			  event = {0};
	FfNewRun		  run = {0};
	Jsonb	   *user = invocation->payload ? ff_json_member(invocation->payload, "user") : NULL;
	Jsonb	   *meta = invocation->payload ? ff_json_member(invocation->payload, "meta") : NULL;
	const char *problem = ff_event_read_meta(meta, &event.meta);

	if (function == NULL)
		problem = psprintf("could not find function with ID: %s", invocation->slug);
	if (function == NULL || problem != NULL)
	{
		refuse_invocation(change, invocation, problem);
		return;
	}
	run.tenant_id = change->run->tenant_id;
	run.function_id = function->function_id;
	run.version = function->version;
	run.parent_run_id = change->run->id;
	run.parent_step_id = invocation->step_id;
	run.depth = change->run->depth + 1;
	event.tenant_id = run.tenant_id;
	event.name = "inngest/function.invoked";
	event.data = invocation_data(change, invocation);
	event.user = ff_json_is_object(user) ? user : NULL;
	event.v = invocation->payload ? ff_json_text(invocation->payload, "v") : NULL;
	event.ts = GetCurrentTimestamp();
	ff_event_insert(&event, 1);
	run.event_id = event.id;
	run.event = &event;
	ff_run_insert(&run, 1);
}

/* What an SDK notes about a step beside its result. Notes are not worth failing a run for: those
 * that are too large, or of another form, are passed over. */
static void
note_metadata(const FfChange *change, const FfStepRow *step, Jsonb *note)
{
	static FfPlan plan = {
		"select flowforge.note_metadata($1, $2, jsonb_build_object('step_id', $3), $4) where not exists ("
		"select from flowforge.run_metadata m where m.tenant_id = $1 and m.run_id = $2 and m.step = $3 "
		"and octet_length(m.values::text) > 32768)",
		4,
		{INT4OID, UUIDOID, TEXTOID, JSONBOID}};
	Datum values[4] = {Int32GetDatum(change->run->tenant_id), UUIDPGetDatum(&change->run->id),
					   CStringGetTextDatum(step->name), JsonbPGetDatum(note)};

	if (ff_json_text(note, "kind") != NULL && ff_json_text(note, "op") != NULL &&
		ff_json_is_object(ff_json_member(note, "values")) && VARSIZE(note) <= MAX_NOTE_BYTES)
		ff_spi_run(&plan, values, NULL, false);
}

static void
write_metadata(const FfChange *change)
{
	ListCell *cell;

	foreach (cell, change->steps)
	{
		const FfStepRow *step = lfirst(cell);
		Jsonb			*notes = step->detail ? ff_json_member(step->detail, "metadata") : NULL;

		if (notes == NULL || !ff_json_is_array(notes))
			continue;
		for (uint32 i = 0; i < Min(JB_ROOT_COUNT(notes), MAX_NOTES); i++)
			note_metadata(change, step,
						  JsonbValueToJsonb(getIthJsonbValueFromContainer(&notes->root, i)));
	}
}

static void
write_consequences(FfChange *change)
{
	ListCell *cell;

	if (!change->ended)
	{
		foreach (cell, change->invocations)
			start_invocation(change, lfirst(cell));
	}
	write_metadata(change);
	tell_parent(change);
	announce_end(change);
	schedule_defers(change);
}

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

/* --- effects (run.h) --- */

static int
compare_guards(const void *a, const void *b)
{
	uint64 left = *(const uint64 *) a;
	uint64 right = *(const uint64 *) b;

	return left < right ? -1 : left > right;
}

/*
 * Executors that write effects of one guard wait for each other, and all of them take guards in
 * order, so that none waits in a circle. Guards are advisory locks of a class that SQL cannot name.
 */
static void
take_guards(List *effects)
{
	uint64	 *guards = palloc(sizeof(uint64) * Max(list_length(effects), 1));
	int		  count = 0;
	ListCell *cell;

	foreach (cell, effects)
	{
		const FfEffect *effect = lfirst(cell);

		if (effect->guard != 0)
			guards[count++] = effect->guard;
	}
	qsort(guards, count, sizeof(uint64), compare_guards);
	for (int i = 0; i < count; i++)
	{
		LOCKTAG tag;

		SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (guards[i] >> 32), (uint32) guards[i],
							 GUARD_CLASS);
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
	}
}

static void
write_effects(List *changes, bool first)
{
	ListCell *change_cell;
	ListCell *cell;

	foreach (change_cell, changes)
	{
		FfChange *change = lfirst(change_cell);

		foreach (cell, change->effects)
		{
			FfEffect *effect = lfirst(cell);

			if (effect->first == first)
				effect->write(change->run, effect);
		}
	}
}

static void
begin_effects(List *changes)
{
	List	 *effects = NIL;
	ListCell *cell;

	foreach (cell, changes)
		effects = list_concat(effects, ((FfChange *) lfirst(cell))->effects);
	if (effects == NIL)
		return;
	take_guards(effects);
	write_effects(changes, true);
}

void
ff_store_write(List *changes)
{
	Rows	  group = {.steps.plan = &insert_steps,
					   .logs.plan = &insert_logs,
					   .ends.plan = &insert_ends,
					   .hot_deleted.plan = &delete_hot,
					   .parked_deleted.plan = &delete_parked,
					   .hot_updated.plan = &update_hot,
					   .parked_updated.plan = &update_parked,
					   .hot_inserted.plan = &insert_hot,
					   .parked_inserted.plan = &insert_parked,
					   .waits_deleted.plan = &delete_waits,
					   .signals_deleted.plan = &delete_signals,
					   .messages.plan = &delete_messages};
	ListCell *cell;

	write_waits(changes);
	begin_effects(changes);
	foreach (cell, changes)
		gather(&group, lfirst(cell));
	write_group(&group);
	foreach (cell, changes)
		write_consequences(lfirst(cell));
	write_signals(changes);
	write_effects(changes, false);
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
		Datum	   values[2] = {Int16GetDatum(ff_slot_of(&message->run_id)),
								UUIDPGetDatum(&message->id)};

		ff_batch_add(&batch, values, NULL);
	}
	ff_batch_run(&batch);
}

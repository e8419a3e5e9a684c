/*
 * send_event.c - the step SendEvent: events recorded in the transaction that checkpoints the step.
 *
 * Its memo is {data: {ids}}, the ids that events are given when they are recorded, or were given
 * when an event of the same id came before. The waits of the same answer are registered first, so
 * that a function may wait for what its own event brings about.
 */
#include "postgres.h"

#include "event/event.h"
#include "run/actor.h"
#include "run/trace.h"
#include "step/step.h"
#include "util/id.h"
#include "util/json.h"

typedef struct Sending
{
	FfEvent *events;
	int		 count;
} Sending;

static const char *
read_options(FfOp *op, Jsonb *options, TimestampTz now)
{
	op->options = options ? ff_json_member(options, "events") : NULL;
	if (!ff_json_is_array(op->options) && !ff_json_is_object(op->options))
		return "has no list of events";
	return NULL;
}

static Jsonb *
ids_memo(const FfEvent *events, int count)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "ids");
	ff_jb_array(&builder);
	for (int i = 0; i < count; i++)
	{
		char ulid[FF_ULID_SIZE];

		ff_ulid_encode(&events[i].id, ulid);
		ff_jb_text(&builder, pstrdup(ulid));
	}
	ff_jb_end(&builder);
	ff_jb_end(&builder);
	return ff_run_wrap("data", ff_jb_finish(&builder));
}

/* Recording changes the events, and may have to be done again: it is done to a copy. */
static void
record(FfRun *run, FfEffect *effect)
{
	const Sending *sending = effect->detail;
	FfEvent		  *events = palloc(sizeof(FfEvent) * Max(sending->count, 1));

	memcpy(events, sending->events, sizeof(FfEvent) * sending->count);
	ff_event_record(events, sending->count);
	ff_step_set_memo(run, effect->step, ids_memo(events, sending->count));
}

/* Events are of the step's trace unless they name one themselves. */
static void
add_trace(const FfRun *run, const char *step, Sending *sending)
{
	FfTrace trace = ff_run_trace_context(run, step);

	for (int i = 0; trace.parent != NULL && i < sending->count; i++)
	{
		Jsonb *meta;

		if (ff_event_read_meta(sending->events[i].meta, trace, &meta) == NULL)
			sending->events[i].meta = meta;
	}
}

/* What is wrong with the events, as the step's error; NULL when they have been read. */
static Jsonb *
read_events(FfRun *run, const FfOp *op, Sending *sending)
{
	MemoryContext context = CurrentMemoryContext;
	Jsonb *volatile error = NULL;

	PG_TRY();
	{
		sending->events = ff_events_read(op->options, run->tenant_id, &sending->count);
		add_trace(run, op->id, sending);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = ff_step_caught("EventError");
	}
	PG_END_TRY();
	return error;
}

static bool
begin(FfRun *run, const FfOp *op, int group, int max_attempts, TimestampTz now)
{
	Sending	 *sending = palloc0(sizeof(Sending));
	Jsonb	 *error = read_events(run, op, sending);
	FfEffect *effect;

	if (error != NULL)
	{
		ff_step_checkpoint(run, op->id, "send_event", op->name, "failed", 0,
						   ff_run_wrap("error", error), now, now);
		return true;
	}
	effect = ff_run_effect(run, record, sending);
	effect->first = true;
	effect->step = ff_step_checkpoint(run, op->id, "send_event", op->name, "completed", 0,
									  ids_memo(sending->events, 0), now, now);
	return true;
}

const FfStepKind ff_step_send_event = {.op = "SendEvent",
									   .name = "send_event",
									   .place = FF_STEP_WAITS,
									   .read = read_options,
									   .begin = begin};

/*
 * consequence.c - what a change makes beyond its own run: the runs it invokes, the parent that
 * hears of its end, the events that tell of the end, the functions it has deferred, and what an SDK
 * notes about its steps. All of it is written in the transaction of the changes (see save.h), for
 * the whole group one statement a table: what it is about is gathered first.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "event/event.h"
#include "function/function.h"
#include "slot/hint.h"
#include "util/errors.h"
#include "util/id.h"
#include "run/trace.h"
#include "util/json.h"
#include "util/spi.h"
#include "worker/save.h"

#define MAX_NOTES 20 /* of a step */
#define MAX_NOTE_BYTES 16384

static void
put_run(FfJsonBuilder *builder, const pg_uuid_t *id)
{
	char ulid[FF_ULID_SIZE];

	ff_ulid_encode(id, ulid);
	ff_jb_key(builder, "run");
	ff_jb_text(builder, pstrdup(ulid)); /* the builder keeps the pointer */
}

/* --- what other runs are told --- */

static List *
add_post(List *posts, int32 tenant_id, const pg_uuid_t *run_id, Jsonb *payload)
{
	FfPost *post = palloc(sizeof(FfPost));

	*post = (FfPost){tenant_id, *run_id, "invoked", payload};
	return lappend(posts, post);
}

static void
write_posts(List *posts)
{
	FfPost	 *all = palloc(sizeof(FfPost) * Max(list_length(posts), 1));
	int		  count = 0;
	ListCell *cell;

	foreach (cell, posts)
		all[count++] = *(FfPost *) lfirst(cell);
	ff_inbox_post_many(all, count);
}

/* Tells the owner of the run that invoked this one how it ended. */
static void
tell_parent(List **posts, const FfChange *change)
{
	FfJsonBuilder builder = {0};

	if (!change->ended || !change->run->has_parent)
		return;
	ff_jb_object(&builder);
	ff_jb_key(&builder, "step");
	ff_jb_text(&builder, change->run->parent_step);
	put_run(&builder, &change->run->id);
	ff_jb_key(&builder, change->error ? "error" : "output");
	ff_jb_json(&builder, change->error ? change->error : change->output);
	ff_jb_end(&builder);
	*posts =
		add_post(*posts, change->run->tenant_id, &change->run->parent_id, ff_jb_finish(&builder));
}

/* --- events --- */

/* Events of one tenant are recorded together. */
static void
record_events(List *events)
{
	FfEvent *batch = palloc(sizeof(FfEvent) * Max(list_length(events), 1));

	while (events != NIL)
	{
		int32	  tenant_id = ((FfEvent *) linitial(events))->tenant_id;
		int		  count = 0;
		ListCell *cell;

		foreach (cell, events)
		{
			const FfEvent *event = lfirst(cell);

			if (event->tenant_id != tenant_id)
				continue;
			batch[count++] = *event;
			events = foreach_delete_current(events, cell);
		}
		ff_event_record(batch, count);
	}
}

static char *
slug_of(const FfRun *run)
{
	const FfFunction *function = ff_function_get(run->tenant_id, run->function_id, run->version);

	return pstrdup(function ? function->slug : "");
}

static Jsonb *
end_data(const FfChange *change, char *slug)
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

/* The meta of the run's event, but of the run's own span: what its end starts comes after it. */
static Jsonb *
end_meta(const FfRun *run)
{
	FfTrace trace = ff_run_trace_context(run, "");
	Jsonb  *meta = run->event.meta;
	Jsonb  *kept;

	if (trace.parent == NULL)
		return meta;
	if (meta != NULL)
		meta = DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(meta),
												  CStringGetTextDatum("traceparent")));
	return ff_event_read_meta(meta, trace, &kept) == NULL ? kept : run->event.meta;
}

static FfEvent *
end_event(const FfChange *change, const char *name)
{
	FfEvent *event = palloc0(sizeof(FfEvent));
	char	 ulid[FF_ULID_SIZE];

	ff_ulid_encode(&change->run->id, ulid);
	event->tenant_id = change->run->tenant_id;
	event->name = name;
	event->data = end_data(change, slug_of(change->run));
	event->external_id = pstrdup(ulid);
	event->meta = end_meta(change->run);
	event->ts = change->ended_at;
	return event;
}

/* The names of the events that tell of ends, in the protocol's words and in ours. */
static const char *const end_names[] = {
	"inngest/function.finished", "flowforge/function.finished", "inngest/function.failed",
	"flowforge/function.failed", "inngest/function.cancelled",	"flowforge/function.cancelled",
};

#define END_NAMES ((int) lengthof(end_names))

/* What a tenant is to be told by these names, and what of it anybody would see. */
typedef struct Ends
{
	int32 tenant_id;
	bool  told[END_NAMES];
	bool  wanted[END_NAMES];
} Ends;

static bool
tells_of_an_end(const char *name)
{
	for (int i = 0; i < END_NAMES; i++)
	{
		if (strcmp(name, end_names[i]) == 0)
			return true;
	}
	return false;
}

static bool
told_by(const FfChange *change, int name)
{
	const char *kind = strchr(end_names[name], '.') + 1;

	return strcmp(kind, "finished") == 0 ||
		   (change->error != NULL && strcmp(kind, change->status) == 0);
}

static Ends *
ends_of(List **tenants, int32 tenant_id)
{
	Ends	 *ends;
	ListCell *cell;

	foreach (cell, *tenants)
	{
		if (((Ends *) lfirst(cell))->tenant_id == tenant_id)
			return lfirst(cell);
	}
	ends = palloc0(sizeof(Ends));
	ends->tenant_id = tenant_id;
	*tenants = lappend(*tenants, ends);
	return ends;
}

/* Asks once for each name, however many runs have ended. */
static void
ask_who_wants(List *tenants)
{
	FfWanted *asked = palloc(sizeof(FfWanted) * Max(list_length(tenants), 1) * END_NAMES);
	int		  count = 0;
	ListCell *cell;

	foreach (cell, tenants)
	{
		const Ends *ends = lfirst(cell);

		for (int i = 0; i < END_NAMES; i++)
		{
			if (ends->told[i])
				asked[count++] = (FfWanted){ends->tenant_id, end_names[i], false};
		}
	}
	ff_events_wanted(asked, count);
	count = 0;
	foreach (cell, tenants)
	{
		Ends *ends = lfirst(cell);

		for (int i = 0; i < END_NAMES; i++)
			ends->wanted[i] = ends->told[i] && asked[count++].wanted;
	}
}

/*
 * A run's end is an event too, in the protocol's name and in ours, if a trigger or a wait would see
 * it; run_end has the fact anyway. Runs started by such events send none, so that a failing failure
 * handler does not call itself.
 */
static void
announce_ends(List **events, List *changes)
{
	List	 *ended = NIL;
	List	 *tenants = NIL;
	ListCell *cell;

	foreach (cell, changes)
	{
		FfChange *change = lfirst(cell);
		Ends	 *ends;

		if (!change->ended || tells_of_an_end(change->run->event.name))
			continue;
		ended = lappend(ended, change);
		ends = ends_of(&tenants, change->run->tenant_id);
		for (int i = 0; i < END_NAMES; i++)
			ends->told[i] |= told_by(change, i);
	}
	ask_who_wants(tenants);
	foreach (cell, ended)
	{
		const FfChange *change = lfirst(cell);
		const Ends	   *ends = ends_of(&tenants, change->run->tenant_id);

		for (int i = 0; i < END_NAMES; i++)
		{
			if (ends->wanted[i] && told_by(change, i))
				*events = lappend(*events, end_event(change, end_names[i]));
		}
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
schedule_defers(List **events, const FfChange *change)
{
	ListCell *cell;
	char	 *slug;

	if (!change->ended || change->run->defers == NIL)
		return;
	slug = slug_of(change->run);
	foreach (cell, change->run->defers)
	{
		const FfDefer *defer = lfirst(cell);
		FfEvent		  *event;

		if (defer->aborted)
			continue;
		event = palloc0(sizeof(FfEvent));
		event->tenant_id = change->run->tenant_id;
		event->name = "inngest/deferred.schedule";
		event->data = defer_data(change->run, defer, slug);
		event->ts = change->ended_at;
		/* Sessions that are none are not worth losing the event for. */
		(void) ff_event_read_meta(ff_json_member(defer->payload, "meta"),
								  ff_run_trace_context(change->run, ""), &event->meta);
		*events = lappend(*events, event);
	}
}

/* --- invocations --- */

/* An invocation of a group. */
typedef struct Invoking
{
	const FfChange	   *change;
	const FfInvocation *invocation;
} Invoking;

/* What cannot be invoked: the step ends at once, by a message of the run to itself. */
static void
refuse_invocation(List **posts, const FfChange *change, const FfInvocation *invocation,
				  const char *problem)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "step");
	ff_jb_text(&builder, invocation->step_id);
	put_run(&builder, &invocation->run_id);
	ff_jb_key(&builder, "error");
	ff_jb_json(&builder, ff_run_error("Error", problem));
	ff_jb_key(&builder, "refused");
	ff_jb_bool(&builder, true);
	ff_jb_end(&builder);
	*posts = add_post(*posts, change->run->tenant_id, &change->run->id, ff_jb_finish(&builder));
}

static Jsonb *
invocation_data(const FfChange *change, const FfInvocation *invocation)
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

static int
gather_invocations(List *changes, Invoking **out)
{
	Invoking *all;
	int		  count = 0;
	ListCell *change_cell;
	ListCell *cell;

	foreach (change_cell, changes)
		count += list_length(((FfChange *) lfirst(change_cell))->invocations);
	*out = all = palloc(sizeof(Invoking) * Max(count, 1));
	count = 0;
	foreach (change_cell, changes)
	{
		const FfChange *change = lfirst(change_cell);

		foreach (cell, change->invocations)
		{
			const FfInvocation *invocation = lfirst(cell);

			if (!change->ended || invocation->detached)
				all[count++] = (Invoking){change, invocation};
		}
	}
	return count;
}

/* The run and its event, not yet inserted; gives what is wrong with the invocation, or NULL. */
static const char *
prepare_invocation(const Invoking *invoking, FfEvent *event, FfNewRun *run)
{
	const FfChange	   *change = invoking->change;
	const FfInvocation *invocation = invoking->invocation;
	const FfFunction   *function = ff_function_by_slug(change->run->tenant_id, invocation->slug);
	Jsonb	   *user = invocation->payload ? ff_json_member(invocation->payload, "user") : NULL;
	Jsonb	   *meta = invocation->payload ? ff_json_member(invocation->payload, "meta") : NULL;
	const char *problem;

	memset(event, 0, sizeof(*event));
	memset(run, 0, sizeof(*run));
	if (function == NULL)
	{
		problem = psprintf("could not find function with ID: %s", invocation->slug);
		if (invocation->detached)
			ereport(ERROR, (errcode(FF_ERR_FUNCTION_NOT_FOUND), errmsg("%s", problem)));
		return problem;
	}
	problem = ff_event_read_meta(meta, ff_run_trace_context(change->run, invocation->step_id),
								 &event->meta);
	if (problem != NULL)
		return problem;
	run->tenant_id = change->run->tenant_id;
	run->function_id = function->function_id;
	run->version = function->version;
	run->has_run_id = true;
	run->run_id = invocation->run_id;
	if (!invocation->detached)
	{
		run->parent_run_id = change->run->id;
		run->parent_step_id = invocation->step_id;
	}
	run->depth = change->run->depth + 1;
	run->event = event;
	event->tenant_id = run->tenant_id;
	event->name = "inngest/function.invoked";
	event->data = invocation_data(change, invocation);
	event->user = ff_json_is_object(user) ? user : NULL;
	event->v = invocation->payload ? ff_json_text(invocation->payload, "v") : NULL;
	event->ts = GetCurrentTimestamp();
	return NULL;
}

static void
start_invocations(List **posts, List *changes)
{
	Invoking *all;
	FfEvent	 *events;
	FfNewRun *runs;
	int		  count = gather_invocations(changes, &all);
	int		  started = 0;

	if (count == 0)
		return;
	events = palloc(sizeof(FfEvent) * count);
	runs = palloc(sizeof(FfNewRun) * count);
	for (int i = 0; i < count; i++)
	{
		const char *problem = prepare_invocation(&all[i], &events[started], &runs[started]);

		CHECK_FOR_INTERRUPTS();
		if (problem != NULL)
			refuse_invocation(posts, all[i].change, all[i].invocation, problem);
		else
			started++;
	}
	ff_event_insert(events, started);
	for (int i = 0; i < started; i++)
	{
		runs[i].event_id = events[i].id;
		ff_flow_start_named(&runs[i]);
	}
	ff_run_insert(runs, started);
}

/* --- notes --- */

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

/* --- a group --- */

void
ff_write_consequences(List *changes)
{
	List	 *posts = NIL;
	List	 *events = NIL;
	ListCell *cell;

	start_invocations(&posts, changes);
	foreach (cell, changes)
	{
		write_metadata(lfirst(cell));
		tell_parent(&posts, lfirst(cell));
		schedule_defers(&events, lfirst(cell));
	}
	announce_ends(&events, changes);
	write_posts(posts);
	record_events(events);
}

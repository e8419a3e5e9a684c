/*
 * consequence.c - what a change makes beyond its own run: the runs it invokes, the parent that
 * hears of its end, the events that tell of the end, the functions it has deferred, and what an SDK
 * notes about its steps. All of it is written in the transaction of the change (see save.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "function/function.h"
#include "slot/hint.h"
#include "util/errors.h"
#include "util/id.h"
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
	put_run(&builder, &change->run->id);
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
	put_run(&builder, &invocation->run_id);
	ff_jb_key(&builder, "error");
	ff_jb_json(&builder, ff_run_error("Error", problem));
	ff_jb_key(&builder, "refused");
	ff_jb_bool(&builder, true);
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
	if (function == NULL && invocation->detached)
		ereport(ERROR, (errcode(FF_ERR_FUNCTION_NOT_FOUND), errmsg("%s", problem)));
	if (function == NULL || problem != NULL)
	{
		refuse_invocation(change, invocation, problem);
		return;
	}
	run.tenant_id = change->run->tenant_id;
	run.function_id = function->function_id;
	run.version = function->version;
	run.has_run_id = true;
	run.run_id = invocation->run_id;
	if (!invocation->detached)
	{
		run.parent_run_id = change->run->id;
		run.parent_step_id = invocation->step_id;
	}
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
	ff_flow_start_named(&run);
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

void
ff_write_consequences(FfChange *change)
{
	ListCell *cell;

	foreach (cell, change->invocations)
	{
		const FfInvocation *invocation = lfirst(cell);

		if (!change->ended || invocation->detached)
			start_invocation(change, invocation);
	}
	write_metadata(change);
	tell_parent(change);
	announce_end(change);
	schedule_defers(change);
}

/*
 * log.c - the events of graphs' runs: one for each transition, in the words and with the payload
 * people who draw graphs expect. What the run core logs is told here first and said in these words.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/json.h"

#include "graph/drive.h"
#include "run/kind.h"
#include "util/id.h"
#include "util/json.h"

#define SUMMARY_KEYS 5
#define SUMMARY_CHARS 200

static void
put_text(FfJsonBuilder *builder, const char *key, const char *text)
{
	ff_jb_key(builder, key);
	ff_jb_text(builder, text);
}

static void
put_int(FfJsonBuilder *builder, const char *key, int64 value)
{
	ff_jb_key(builder, key);
	ff_jb_int(builder, value);
}

static void
put_json(FfJsonBuilder *builder, const char *key, Jsonb *value)
{
	ff_jb_key(builder, key);
	ff_jb_json(builder, value);
}

static void
put_duration(FfJsonBuilder *builder, TimestampTz from, TimestampTz to)
{
	put_int(builder, "duration_ms", Max(to - from, 0) / 1000);
}

static Jsonb *
finish(FfJsonBuilder *builder)
{
	ff_jb_end(builder);
	return ff_jb_finish(builder);
}

static JsonbValue *
closed(FfJsonBuilder *builder)
{
	ff_jb_end(builder);
	return ff_jb_tree(builder);
}

/* --- the output's summary --- */

/* A text of at most SUMMARY_CHARS characters, none of them cut. */
static int
text_length(const char *text, int length)
{
	int bytes = 0;

	for (int chars = 0; bytes < length && chars < SUMMARY_CHARS; chars++)
		bytes += pg_utf_mblen((const unsigned char *) text + bytes);
	return Min(bytes, length);
}

/* Walks a value, shortening its texts. */
static Jsonb *
shortened(Jsonb *value)
{
	JsonbIterator	  *iterator = JsonbIteratorInit(&value->root);
	JsonbParseState	  *state = NULL;
	JsonbValue		  *result = NULL;
	JsonbValue		   part;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&iterator, &part, false)) != WJB_DONE)
	{
		bool has_value = token == WJB_KEY || token == WJB_VALUE || token == WJB_ELEM;

		if (token == WJB_BEGIN_ARRAY && part.val.array.rawScalar)
			result = pushJsonbValue(&state, token, &part);
		else
		{
			if (token != WJB_KEY && has_value && part.type == jbvString)
				part.val.string.len = text_length(part.val.string.val, part.val.string.len);
			result = pushJsonbValue(&state, token, has_value ? &part : NULL);
		}
	}
	return JsonbValueToJsonb(result);
}

static bool
has_long_text(Jsonb *value)
{
	JsonbIterator	  *iterator;
	JsonbValue		   part;
	JsonbIteratorToken token;

	if (VARSIZE(value) <= SUMMARY_CHARS)
		return false;
	iterator = JsonbIteratorInit(&value->root);
	while ((token = JsonbIteratorNext(&iterator, &part, false)) != WJB_DONE)
	{
		if ((token == WJB_VALUE || token == WJB_ELEM) && part.type == jbvString &&
			part.val.string.len > SUMMARY_CHARS)
			return true;
	}
	return false;
}

/* The first keys of an object that has more, with how many it has. */
static Jsonb *
first_keys(Jsonb *output, uint32 count)
{
	JsonbIterator	  *iterator = JsonbIteratorInit(&output->root);
	FfJsonBuilder	   builder = {0};
	JsonbValue		   part;
	JsonbIteratorToken token;
	int				   keys = 0;

	ff_jb_object(&builder);
	while ((token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE && keys < SUMMARY_KEYS)
	{
		if (token == WJB_KEY)
			ff_jb_key(&builder, pnstrdup(part.val.string.val, part.val.string.len));
		else if (token == WJB_VALUE)
		{
			ff_jb_json(&builder, JsonbValueToJsonb(&part));
			keys++;
		}
	}
	ff_jb_key(&builder, "_truncated");
	ff_jb_bool(&builder, true);
	put_int(&builder, "_total_keys", count);
	return finish(&builder);
}

static Jsonb *
summary(Jsonb *output)
{
	uint32 count = JB_ROOT_IS_OBJECT(output) ? JB_ROOT_COUNT(output) : 0;

	if (count > SUMMARY_KEYS)
		output = first_keys(output, count);
	return has_long_text(output) ? shortened(output) : output;
}

static void
put_keys(FfJsonBuilder *builder, Jsonb *output)
{
	JsonbIterator	  *iterator;
	JsonbValue		   part;
	JsonbIteratorToken token;

	ff_jb_array(builder);
	iterator = JsonbIteratorInit(&output->root);
	while ((token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			ff_jb_text(builder, pnstrdup(part.val.string.val, part.val.string.len));
	}
	ff_jb_end(builder);
}

/* --- what nodes do --- */

static void
log_started(FfRun *run, const char *step_id, const char *type, const char *label, int attempt,
			TimestampTz at)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put_text(&builder, "step_type", type);
	put_text(&builder, "step_label", label);
	put_int(&builder, "attempt", attempt + 1);
	ff_run_log_tree(run, "step.started", step_id, label, attempt, closed(&builder), at);
}

void
ff_log_started(FfRun *run, const FfPlace *place, int attempt, TimestampTz at)
{
	log_started(run, place->step_id, place->inner->type_name, place->node->label, attempt, at);
}

void
ff_log_started_again(FfRun *run, const FfItem *item, TimestampTz at)
{
	log_started(run, item->id, item->type, item->name, item->attempt, at);
}

static void
log_updated(FfRun *run, const char *step_id, Jsonb *output, TimestampTz at)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put_text(&builder, "step_id", step_id);
	ff_jb_key(&builder, "keys_added");
	put_keys(&builder, output);
	ff_run_log_tree(run, "context.updated", step_id, NULL, -1, closed(&builder), at);
}

static void
log_completed(FfRun *run, const char *step_id, const char *type, const char *label, Jsonb *output,
			  TimestampTz started, TimestampTz at)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put_text(&builder, "step_type", type);
	put_text(&builder, "status", "completed");
	put_json(&builder, "output_summary", summary(output));
	put_duration(&builder, started, at);
	ff_run_log_tree(run, "step.completed", step_id, label, -1, closed(&builder), at);
}

void
ff_log_completed(FfRun *run, const FfPlace *place, Jsonb *output, TimestampTz started,
				 TimestampTz at)
{
	log_completed(run, place->step_id, place->inner->type_name, place->node->label, output, started,
				  at);
	if (place->each == NULL)
		log_updated(run, place->step_id, output, at);
}

/* The run may have come into memory only to end: then its graph is not known. */
void
ff_log_settled(FfRun *run, const FfItem *item, Jsonb *output, TimestampTz started, TimestampTz at)
{
	bool of_item = item->id[strlen(item->id) - 1] == ']'; /* no node is called so */

	if (item->error != NULL && !item->begun)
		log_started(run, item->id, item->type, item->name, item->attempt, started);
	log_completed(run, item->id, item->type, item->name, output, started, at);
	if (!of_item)
		log_updated(run, item->id, output, at);
}

void
ff_log_failed(FfRun *run, const FfPlace *place, Jsonb *error, Jsonb *output, int attempt,
			  TimestampTz at)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put_text(&builder, "step_type", place->inner->type_name);
	put_text(&builder, "status", "failed");
	put_json(&builder, "error", error);
	put_int(&builder, "attempt", attempt + 1);
	ff_run_log_tree(run, "step.failed", place->step_id, place->node->label, attempt,
					closed(&builder), at);
	if (output != NULL && place->each == NULL)
		log_updated(run, place->step_id, output, at);
}

void
ff_log_skipped(FfRun *run, const FfPlace *place, const char *reason, TimestampTz at)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put_text(&builder, "status", "skipped");
	put_text(&builder, "reason", reason);
	ff_run_log_tree(run, "step.skipped", place->step_id, place->node->label, -1, closed(&builder),
					at);
}

void
ff_log_paused(FfRun *run, const FfItem *item, TimestampTz at)
{
	FfJsonBuilder builder = {0};
	char		 *prompt = item->options ? ff_json_text(item->options, "prompt") : NULL;

	ff_jb_object(&builder);
	put_text(&builder, "status", "paused");
	put_text(&builder, "waiting_step_id", item->id);
	put_text(&builder, "reason", prompt ? prompt : psprintf("Waiting for %s", item->name));
	put_duration(&builder, run->started, at);
	ff_run_log_tree(run, "run.paused", NULL, NULL, -1, closed(&builder), at);
}

void
ff_log_resumed(FfRun *run, const char *step_id, TimestampTz at)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put_text(&builder, "status", "running");
	put_text(&builder, "resumed_step_id", step_id);
	ff_run_log_tree(run, "run.resumed", NULL, NULL, -1, closed(&builder), at);
}

/* --- what the run core logs --- */

static const char *
waiting_for(const FfItem *item)
{
	switch (item->kind)
	{
		case FF_ITEM_SLEEP:
			return "sleep";
		case FF_ITEM_WAIT:
			return "event";
		case FF_ITEM_INVOKE:
			return "invoke";
		default:
			return item->step ? item->step->name : "event";
	}
}

static char *
instant(TimestampTz at)
{
	int utc = 0;

	return JsonEncodeDateTime(NULL, TimestampTzGetDatum(at), TIMESTAMPTZOID, &utc);
}

static void
log_waiting(FfRun *run, const FfItem *item, TimestampTz at)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put_text(&builder, "step_type", item->type);
	put_text(&builder, "status", item->kind == FF_ITEM_SLEEP ? "sleeping" : "waiting");
	put_text(&builder, "waiting_for", waiting_for(item));
	put_text(&builder, "label", item->name);
	ff_jb_key(&builder, "until");
	ff_jb_text(&builder, item->due == 0 || item->due == DT_NOEND ? NULL : instant(item->due));
	ff_run_log_tree(run, "step.waiting", item->id, item->name, -1, closed(&builder), at);
}

static void
log_retrying(FfRun *run, const FfItem *item, Jsonb *data, TimestampTz at)
{
	FfJsonBuilder builder = {0};
	int64		  due;

	ff_jb_object(&builder);
	put_int(&builder, "attempt", item->attempt + 1);
	put_int(&builder, "max_attempts", item->max_attempts);
	ff_jb_key(&builder, "backoff_seconds");
	ff_jb_json(&builder,
			   ff_json_int64(data, "due", &due)
				   ? ff_json_literal(psprintf("%.3f", Max(due - ff_unix_us(at) / 1000, 0) / 1000.0))
				   : ff_json_null());
	put_json(&builder, "error", ff_json_member(data, "error"));
	ff_run_log_tree(run, "step.retrying", item->id, item->name, item->attempt, closed(&builder),
					at);
}

static void
log_end(FfRun *run, const char *type, Jsonb *data, TimestampTz at)
{
	FfGraphRun	 *state = ff_graph_run(run);
	FfJsonBuilder builder = {0};
	Jsonb		 *error = data ? ff_json_member(data, "error") : NULL;

	ff_jb_object(&builder);
	put_text(&builder, "status", type + strlen("run."));
	if (strcmp(type, "run.cancelled") == 0)
	{
		put_text(&builder, "reason", error ? ff_json_text(error, "message") : NULL);
		ff_run_log_tree(run, type, NULL, NULL, -1, closed(&builder), at);
		return;
	}
	if (error != NULL)
	{
		put_json(&builder, "error", error);
		if (state->broken != NULL)
			put_text(&builder, "failed_step_id", state->broken->id);
	}
	else if (run->change->output != NULL)
		put_json(&builder, "output", summary(run->change->output));
	put_duration(&builder, run->started ? run->started : at, at);
	ff_run_log_tree(run, type, NULL, NULL, -1, closed(&builder), at);
}

static Jsonb *
status_only(const char *status)
{
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	put_text(&builder, "status", status);
	return finish(&builder);
}

void
ff_graph_log(FfRun *run, const char *type, const char *step_id, const char *name, int attempt,
			 Jsonb *data, TimestampTz at)
{
	FfItem *item = step_id ? ff_item_find(run, step_id) : NULL;

	if (strcmp(type, "run.started") == 0)
		ff_run_log_event(run, type, NULL, NULL, -1, status_only("running"), at);
	else if (strcmp(type, "run.completed") == 0 || strcmp(type, "run.failed") == 0 ||
			 strcmp(type, "run.cancelled") == 0)
		log_end(run, type, data, at);
	else if (strcmp(type, "step.planned") == 0 || strcmp(type, "step.resumed") == 0)
		return; /* it was logged as started; run.resumed and its end tell of it */
	else if (item != NULL &&
			 (strcmp(type, "step.waiting") == 0 || strcmp(type, "step.sleeping") == 0))
		log_waiting(run, item, at);
	else if (item != NULL && strcmp(type, "step.retrying") == 0)
		log_retrying(run, item, data, at);
	else
		ff_run_log_event(run, type, step_id, name, attempt, data, at);
}

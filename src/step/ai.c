/*
 * ai.c - the step Ai: the engine calls a model's provider, with a key the function never sees.
 *
 * The item keeps the options, in which there is no secret; who answers, and the key, are looked up
 * for each call.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "ai/ai.h"
#include "http/client.h"
#include "run/actor.h"
#include "step/step.h"
#include "util/json.h"

#define MAX_RETRIES 20

static const char *
read_options(FfOp *op, Jsonb *options, TimestampTz now)
{
	const char *fault = ff_ai_check(options);
	JsonbValue *retries = fault ? NULL : ff_json_get(options, "num_retries");
	int64		number;

	op->options = options;
	if (retries != NULL && retries->type != jbvNull &&
		(!ff_json_int64(options, "num_retries", &number) || number < 0 || number > MAX_RETRIES))
		return "has a num_retries that is not a whole number from 0 to 20";
	return fault;
}

static bool
begin(FfRun *run, const FfOp *op, int group, int max_attempts, TimestampTz now)
{
	int64 retries;

	if (ff_json_int64(op->options, "num_retries", &retries))
		max_attempts = (int) retries + 1;
	ff_item_note(run, ff_kind_item(run, op, group, max_attempts, now), "step.planned", now);
	return false;
}

/* Reading leaves what it gives in memory of the transaction's. */
static void *
look_up(const FfRun *run, const FfItem *item, MemoryContext context)
{
	FfAiProvider *provider = MemoryContextAllocZero(context, sizeof(FfAiProvider));
	MemoryContext old;

	ff_ai_provider(provider, run->tenant_id, item->options);
	old = MemoryContextSwitchTo(context);
	provider->name = pstrdup(provider->name);
	provider->base_url = pstrdup(provider->base_url);
	provider->key = provider->key ? pstrdup(provider->key) : NULL;
	provider->model = pstrdup(provider->model);
	MemoryContextSwitchTo(old);
	return provider;
}

static char *
request(FfHttpCall *call, const FfRun *run, const FfItem *item, void *found, Jsonb **error)
{
	List	 *headers;
	ListCell *cell;
	char	 *url = ff_ai_request(found, item->options, &call->request, &headers);

	foreach (cell, headers)
		ff_http_add_header(call, lfirst(cell));
	return url;
}

static void
answer(FfAnswer *answer, FfOp *op, const FfHttpCall *call, const FfItem *item, void *found,
	   TimestampTz now)
{
	if (call->refused)
	{
		op->error = ff_guard_error(call->failure);
		answer->retry = false;
	}
	else if (!call->reached || call->failure != NULL)
		op->error = ff_ai_error(found, psprintf("the provider could not be asked: %s",
												call->failure ? call->failure : "no connection"));
	else
		op->data = ff_ai_answer(found, call->status, call->body.data, call->body.len,
								(now - item->called_at) / 1000, &op->error, &answer->retry);
}

const FfStepKind ff_step_ai = {.op = "Ai",
							   .name = "model",
							   .place = FF_STEP_CALL,
							   .read = read_options,
							   .begin = begin,
							   .error_name = "AiError",
							   .look_up = look_up,
							   .request = request,
							   .answer = answer};

/*
 * model.c - an executor's calls to models: the step Ai (see call.h).
 *
 * They are calls like those to apps, in the lane of the run's app and by the same client; what is
 * asked and what the answer means is the business of src/ai. Who is asked is looked up for each
 * call, so that a key is in memory only while it is needed.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "ai/ai.h"
#include "http/client.h"
#include "run/answer.h"
#include "step/step.h"
#include "util/duration.h"
#include "worker/call.h"
#include "worker/executor.h"

typedef struct Lookup
{
	const FfRun	 *run;
	const FfItem *item;
	FfAiProvider *provider;
	MemoryContext context;
} Lookup;

/* Reading leaves what it gives in memory of the transaction's. */
static void
look_up(void *arg)
{
	Lookup		 *lookup = arg;
	FfAiProvider *provider = lookup->provider;
	MemoryContext old;

	ff_ai_provider(provider, lookup->run->tenant_id, lookup->item->options);
	old = MemoryContextSwitchTo(lookup->context);
	provider->name = pstrdup(provider->name);
	provider->base_url = pstrdup(provider->base_url);
	provider->key = provider->key ? pstrdup(provider->key) : NULL;
	provider->model = pstrdup(provider->model);
	MemoryContextSwitchTo(old);
}

char *
ff_model_request(FfHttpCall *call, FfRun *run, FfItem *item, FfAiProvider **provider)
{
	Lookup		  lookup = {run, item, palloc0(sizeof(FfAiProvider)), CurrentMemoryContext};
	FfFailure	  failure;
	List		 *headers;
	ListCell	 *cell;
	char		 *url;
	MemoryContext old;

	*provider = lookup.provider;
	if (ff_transaction(look_up, &lookup, &failure))
	{
		url = ff_ai_request(lookup.provider, item->options, &call->request, &headers);
		foreach (cell, headers)
			ff_http_add_header(call, lfirst(cell));
		return url;
	}
	old = MemoryContextSwitchTo(ff_group_context);
	ff_step_refuse(run, item, ff_step_problem("AiError", failure.message, failure.sqlstate),
				   GetCurrentTimestamp());
	MemoryContextSwitchTo(old);
	ff_group_add(run);
	return NULL;
}

void
ff_model_answer(FfAnswer *answer, const FfHttpCall *call, const FfItem *item,
				const FfAiProvider *provider, TimestampTz now)
{
	FfOp *op = palloc0(sizeof(FfOp));

	answer->kind = FF_ANSWER_OPS;
	answer->ops = list_make1(op);
	answer->retry = true;
	answer->retry_after = -1;
	answer->protocol = -1;
	strlcpy(op->id, item->id, sizeof(op->id));
	op->name = item->name;
	op->race = item->race;
	op->took = -1;
	if (!call->reached || call->failure != NULL)
		op->error =
			ff_ai_error(provider, psprintf("the provider could not be asked: %s",
										   call->failure ? call->failure : "no connection"));
	else
		op->data = ff_ai_answer(provider, call->status, call->body.data, call->body.len,
								(now - item->called_at) / 1000, &op->error, &answer->retry);
	op->kind = op->error == NULL ? FF_OP_COMPLETED : FF_OP_ERROR;
	op->detail = ff_step_input(item->options);
	if (call->headers[FF_HEADER_RETRY_AFTER] != NULL &&
		!ff_retry_after_parse(call->headers[FF_HEADER_RETRY_AFTER], now, &answer->retry_after))
		answer->retry_after = -1;
}

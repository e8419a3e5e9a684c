/*
 * outside.c - the calls an executor makes for steps that the server takes itself (see call.h).
 *
 * They are calls like those to apps, by the same client. What is asked and what the answer means is
 * the kind's business (run/kind.h, FF_STEP_CALL). What a call needs from tables is looked up for
 * each, so that a key is in memory only while it is needed.
 */
#include "postgres.h"

#include "http/client.h"
#include "run/answer.h"
#include "run/kind.h"
#include "step/step.h"
#include "util/duration.h"
#include "worker/call.h"
#include "worker/executor.h"

typedef struct Lookup
{
	const FfRun	 *run;
	const FfItem *item;
	MemoryContext context;
	void		 *found;
} Lookup;

static void
look_up(void *arg)
{
	Lookup *lookup = arg;

	lookup->found = lookup->item->step->look_up(lookup->run, lookup->item, lookup->context);
}

static void
refuse(FfRun *run, FfItem *item, Jsonb *error)
{
	ff_step_refuse(run, item, error, GetCurrentTimestamp());
	ff_group_add(run);
}

char *
ff_outside_request(FfHttpCall *call, FfRun *run, FfItem *item, void **found)
{
	const FfStepKind *kind = item->step;
	Lookup			  lookup = {run, item, CurrentMemoryContext, NULL};
	FfFailure		  failure;
	MemoryContext	  old;
	Jsonb			 *error = NULL;
	char			 *url = NULL;

	if (kind->look_up == NULL || ff_transaction(look_up, &lookup, &failure))
		url = kind->request(call, run, item, lookup.found, &error);
	else
		error = ff_step_problem(kind->error_name, failure.message, failure.sqlstate);
	*found = lookup.found;
	if (url == NULL)
	{
		old = MemoryContextSwitchTo(ff_group_context);
		refuse(run, item, error);
		MemoryContextSwitchTo(old);
	}
	return url;
}

static Jsonb *
shown(const FfItem *item)
{
	return item->step->shown ? item->step->shown(item->options) : item->options;
}

void
ff_outside_answer(FfAnswer *answer, const FfHttpCall *call, const FfItem *item, void *found,
				  TimestampTz now)
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
	op->detail = ff_step_input(shown(item));
	item->step->answer(answer, op, call, item, found, now);
	op->kind = op->error == NULL ? FF_OP_COMPLETED : FF_OP_ERROR;
	if (call->headers[FF_HEADER_RETRY_AFTER] != NULL &&
		!ff_retry_after_parse(call->headers[FF_HEADER_RETRY_AFTER], now, &answer->retry_after))
		answer->retry_after = -1;
}

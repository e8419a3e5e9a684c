/*
 * outside.c - the calls an executor makes for steps that the server takes itself (see call.h).
 *
 * They are calls like those to apps, by the same client. What is asked and what the answer means is
 * the kind's business (run/kind.h, FF_STEP_CALL). What a call needs from tables is looked up for
 * each, so that a key is in memory only while it is needed. So are secrets: a call whose options
 * name some is made of a copy of its item that has their values, and that is gone with the call.
 */
#include "postgres.h"

#include "http/client.h"
#include "run/answer.h"
#include "run/kind.h"
#include "secret/secret.h"
#include "step/step.h"
#include "util/duration.h"
#include "util/errors.h"
#include "worker/call.h"
#include "worker/executor.h"

typedef struct Lookup
{
	const FfRun	 *run;
	const FfItem *item; /* or its copy, with secrets */
	MemoryContext context;
	void		 *found;
} Lookup;

/* A secret is for whoever its step names without it: it must not choose who is called. */
static void
check_callee(const FfItem *item, const FfItem *opened)
{
	char *(*callee)(const FfItem *) = item->step->callee;

	if (callee != NULL && strcmp(callee(item), callee(opened)) != 0)
		ereport(ERROR,
				(errcode(FF_ERR_SECRET_PLACE), errmsg("a secret changes which server is called"),
				 errhint("Write the scheme, the host and the port of the url as they are; "
						 "{{ secret.NAME }} may stand in its path and its parameters.")));
}

static const FfItem *
open_secrets(const FfRun *run, const FfItem *item)
{
	FfItem *opened = palloc(sizeof(FfItem));

	*opened = *item;
	opened->options = ff_secret_open(run->tenant_id, item->options, item->mark, &opened->secrets);
	check_callee(item, opened);
	return opened;
}

static void
look_up(void *arg)
{
	Lookup		 *lookup = arg;
	MemoryContext old = MemoryContextSwitchTo(lookup->context);

	if (lookup->item->mark != NULL)
		lookup->item = open_secrets(lookup->run, lookup->item);
	MemoryContextSwitchTo(old);
	if (lookup->item->step->look_up != NULL)
		lookup->found = lookup->item->step->look_up(lookup->run, lookup->item, lookup->context);
}

static void
refuse(FfRun *run, FfItem *item, Jsonb *error)
{
	ff_step_refuse(run, item, error, GetCurrentTimestamp());
	ff_group_add(run);
}

char *
ff_outside_request(FfHttpCall *call, FfRun *run, FfItem *item, const FfItem **opened, void **found)
{
	const FfStepKind *kind = item->step;
	Lookup			  lookup = {run, item, CurrentMemoryContext, NULL};
	FfFailure		  failure;
	MemoryContext	  old;
	Jsonb			 *error = NULL;
	char			 *url = NULL;

	if ((kind->look_up == NULL && item->mark == NULL) || ff_transaction(look_up, &lookup, &failure))
		url = kind->request(call, run, lookup.item, lookup.found, &error);
	else
		error = ff_step_problem(kind->error_name ? kind->error_name : "SecretError",
								failure.message, failure.sqlstate);
	*found = lookup.found;
	*opened = lookup.item;
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
	Jsonb *options = item->step->shown ? item->step->shown(item->options) : item->options;

	return item->mark != NULL ? ff_secret_shown(options, item->mark) : options;
}

void
ff_outside_answer(FfAnswer *answer, const FfHttpCall *call, const FfItem *item,
				  const FfItem *opened, void *found, TimestampTz now)
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
	item->step->answer(answer, op, call, opened, found, now);
	op->kind = op->error == NULL ? FF_OP_COMPLETED : FF_OP_ERROR;
	if (call->headers[FF_HEADER_RETRY_AFTER] != NULL &&
		!ff_retry_after_parse(call->headers[FF_HEADER_RETRY_AFTER], now, &answer->retry_after))
		answer->retry_after = -1;
}

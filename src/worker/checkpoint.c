/*
 * checkpoint.c - steps an app reports by a message while its call goes on (see call.h).
 */
#include "postgres.h"

#include "protocol/protocol.h"
#include "util/json.h"
#include "worker/call.h"
#include "worker/executor.h"

void
ff_checkpoint_message(FfRun *run, Jsonb *payload, TimestampTz now)
{
	Jsonb	*steps = ff_json_member(payload, "steps");
	FfAnswer answer = {.retry = true, .retry_after = -1};

	if (steps == NULL)
		return;
	/* The route that took them has read them already: they are what they should be. */
	ff_protocol_ops(&answer, steps, now);
	if (answer.kind == FF_ANSWER_OPS)
		ff_run_checkpoint(run, &answer, now);
}

void
ff_report_message(FfRun *run, Jsonb *payload, TimestampTz now)
{
	Jsonb			 *steps = ff_json_member(payload, "steps");
	const FfFunction *function = ff_function_of(run);
	FfAnswer		  answer = {.retry = true, .retry_after = -1, .protocol = -1};

	if (steps == NULL || function == NULL)
		return;
	ff_protocol_ops(&answer, steps, now);
	if (answer.kind == FF_ANSWER_OPS)
		ff_run_report(run, &answer, function->max_attempts, now);
}

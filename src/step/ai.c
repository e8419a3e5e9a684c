/*
 * ai.c - the step Ai: the engine calls a model's provider, with a key the function never sees.
 *
 * The item keeps the options, in which there is no secret; who answers, and the key, are looked up
 * when the call is made (worker/model.c).
 */
#include "postgres.h"

#include "ai/ai.h"
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

const FfStepKind ff_step_ai = {
	.op = "Ai", .name = "model", .place = FF_STEP_MODEL, .read = read_options, .begin = begin};

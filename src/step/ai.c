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
#include "run/trace.h"
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
	return ff_kind_begin(run, op, group, max_attempts, now);
}

/* A call: who is asked, and what has come of the answer. */
typedef struct Asked
{
	FfAiProvider *provider;
	FfAiReply	  reply;
} Asked;

static void *
look_up(const FfRun *run, const FfItem *item, MemoryContext context)
{
	Asked *asked = MemoryContextAllocZero(context, sizeof(Asked));

	asked->provider = ff_ai_provider(run->tenant_id, item->options, context);
	return asked;
}

static char *
request(FfHttpCall *call, const FfRun *run, const FfItem *item, void *found, Jsonb **error)
{
	Asked	 *asked = found;
	List	 *headers;
	ListCell *cell;
	char	 *url = ff_ai_request(asked->provider, item->options, &call->request, &headers,
								  GetCurrentTimestamp(), error);

	if (url == NULL)
		return NULL;
	foreach (cell, headers)
		ff_http_add_header(call, lfirst(cell));
	ff_run_trace_call(call, run, item->id);
	call->eager = ff_json_bool(item->options, "stream");
	return url;
}

static FfAiReply *
reply_of(const FfHttpCall *call, Asked *asked)
{
	asked->reply.status = call->status;
	asked->reply.type = call->headers[FF_HEADER_CONTENT_TYPE];
	asked->reply.body = unconstify(StringInfoData *, &call->body);
	return &asked->reply;
}

static void
progress(FfHttpCall *call, const FfItem *item, void *found)
{
	Asked *asked = found;

	ff_ai_progress(asked->provider, reply_of(call, asked), call->context);
}

static char *
news(FfHttpCall *call, const FfItem *item, void *found, bool last, int64 *offset)
{
	Asked *asked = found;

	return ff_ai_news(asked->provider, &asked->reply, last, offset);
}

/* Nobody answered, or not to the end. A larger answer than can be taken would be as large again. */
static void
blame(FfAnswer *answer, FfOp *op, const FfHttpCall *call, const Asked *asked)
{
	answer->retry = !call->refused && !call->too_large;
	op->error = call->refused
					? ff_guard_error(call->failure)
					: ff_ai_error(asked->provider,
								  psprintf("the provider could not be asked: %s",
										   call->failure ? call->failure : "no connection"));
}

static void
answer(FfAnswer *answer, FfOp *op, const FfHttpCall *call, const FfItem *item, void *found,
	   TimestampTz now)
{
	Asked	 *asked = found;
	FfAiFault fault;

	if (!call->reached || call->failure != NULL)
	{
		blame(answer, op, call, asked);
		return;
	}
	asked->reply.took_ms = (now - item->called_at) / 1000;
	op->data = ff_ai_answer(asked->provider, item->options, reply_of(call, asked), &fault);
	op->error = fault.error;
	answer->retry = fault.retry;
	answer->retry_after = fault.retry_after;
}

const FfStepKind ff_step_ai = {.op = "Ai",
							   .name = "model",
							   .place = FF_STEP_CALL,
							   .read = read_options,
							   .begin = begin,
							   .error_name = "AiError",
							   .look_up = look_up,
							   .request = request,
							   .progress = progress,
							   .news = news,
							   .answer = answer};

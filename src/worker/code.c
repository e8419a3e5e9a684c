/*
 * code.c - an executor's code under way in the sandbox: the step Code (see call.h).
 *
 * A few more calls than processes are handed to the sandbox, so that it is never idle; runs beyond
 * wait (room.h). What the code sees is put together when its call is made.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "run/actor.h"
#include "run/answer.h"
#include "run/driver.h"
#include "run/kind.h"
#include "sandbox/client.h"
#include "step/step.h"
#include "util/id.h"
#include "util/json.h"
#include "worker/call.h"
#include "worker/executor.h"
#include "worker/room.h"

#define AHEAD 2 /* calls at hand for each process */
#define MAX_ERROR_BYTES (64 * 1024)
#define AGAIN_US USECS_PER_SEC /* after which what could not be read is tried again */

typedef struct CodeDetail
{
	FfItem *item;
	int		info; /* its place in what flowforge.calls() shows */
} CodeDetail;

static FfRoom room;
static int	  in_flight = 0;

int
ff_code_in_flight(void)
{
	return in_flight;
}

bool
ff_code_runs(const FfItem *item)
{
	return item->kind == FF_ITEM_STEP && item->step->place == FF_STEP_SANDBOX;
}

void
ff_code_init(void)
{
	ff_sandbox_init();
	ff_room_init(&room, "flowforge runs waiting for the sandbox");
}

/* --- what code sees --- */

static bool
is_wanted(Jsonb *steps, const char *id)
{
	JsonbValue value = {.type = jbvString};

	if (!ff_json_is_array(steps))
		return true;
	value.val.string.val = unconstify(char *, id);
	value.val.string.len = (int) strlen(id);
	return findJsonbValueFromContainer(&steps->root, JB_FARRAY, &value) != NULL;
}

/* A memo is {"data": ...} in canonical JSON, or {"error": ...}, which is no result. */
static void
add_step(StringInfo request, const FfMemo *memo, bool *first)
{
	static const char opening[] = "{\"data\":";
	size_t			  length = strlen(memo->json);

	if (strncmp(memo->json, opening, sizeof(opening) - 1) != 0)
		return;
	if (!*first)
		appendStringInfoChar(request, ',');
	*first = false;
	escape_json(request, memo->id);
	appendStringInfoChar(request, ':');
	appendBinaryStringInfo(request, memo->json + sizeof(opening) - 1,
						   (int) (length - sizeof(opening)));
}

static void
add_steps(StringInfo request, const FfRun *run, Jsonb *steps)
{
	bool first = true;

	appendStringInfoChar(request, '{');
	for (int i = 0; i < run->memo_count; i++)
	{
		if (is_wanted(steps, run->memos[i].id))
			add_step(request, &run->memos[i], &first);
	}
	appendStringInfoChar(request, '}');
}

static void
add_member(StringInfo request, Jsonb *options, const char *key, const char *otherwise)
{
	Jsonb *value = ff_json_member(options, key);

	appendStringInfo(request, "\"%s\":", key);
	if (value == NULL)
		appendStringInfoString(request, otherwise);
	else
		(void) JsonbToCString(request, &value->root, VARSIZE(value));
}

/* What a step was given when it was asked for. */
static void
add_given(StringInfo request, const FfRun *run, Jsonb *options)
{
	Jsonb *steps = ff_json_member(options, "steps");

	add_member(request, options, "input", "null");
	if (steps == NULL || ff_json_is_null(steps))
	{
		appendStringInfoChar(request, ',');
		add_member(request, options, "context", "{}");
		return;
	}
	appendStringInfoString(request, ",\"context\":");
	add_steps(request, run, steps);
}

typedef struct Writing
{
	FfRun		 *run;
	const FfItem *item;
	StringInfo	  request;
	bool		  known;
} Writing;

static void
write_context(void *arg)
{
	Writing *writing = arg;

	writing->known = writing->run->driver->context(writing->run, writing->item, writing->request);
}

static void
try_later(FfRun *run, FfItem *item)
{
	item->due = GetCurrentTimestamp() + AGAIN_US;
	ff_timer_push(item->due, run->tenant_id, &run->id);
}

/* A run that has just been read has to be advanced before its driver knows what a step sees. */
static void
ask_driver(FfRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(ff_group_context);

	ff_run_change(run);
	ff_run_ask_next(run, GetCurrentTimestamp());
	MemoryContextSwitchTo(old);
	ff_group_add(run);
}

/* False when the code cannot be run yet. */
static bool
write_request(StringInfo request, FfRun *run, FfItem *item)
{
	Writing	  writing = {run, item, request, true};
	FfFailure failure;

	appendStringInfoString(request, "{\"code\":");
	escape_json(request, ff_json_text(item->options, "code"));
	appendStringInfoChar(request, ',');
	if (run->driver == NULL)
		add_given(request, run, item->options);
	else if (!ff_transaction(write_context, &writing, &failure))
	{
		try_later(run, item);
		return false;
	}
	else if (!writing.known)
	{
		ask_driver(run);
		return false;
	}
	appendStringInfoChar(request, '}');
	return true;
}

/* --- starting and ending --- */

void
ff_code_start(FfRun *run, FfItem *item)
{
	FfSandboxCall *call;
	CodeDetail	  *detail;
	MemoryContext  old;
	bool		   written;

	if (in_flight >= AHEAD * ff_sandbox_processes)
	{
		ff_room_wait(&room, run);
		return;
	}
	call = ff_sandbox_new(ff_runs_context);
	old = MemoryContextSwitchTo(call->context);
	written = write_request(&call->request, run, item);
	detail = palloc0(sizeof(CodeDetail));
	MemoryContextSwitchTo(old);
	if (!written)
	{
		ff_sandbox_free(call);
		return;
	}
	call->timeout = (int) Max(ff_code_timeout(item->options) / 1000, 1);
	call->owner = run;
	call->detail = detail;
	item->called_at = GetCurrentTimestamp();
	ff_uuid7(&item->request_id);
	item->call = call;
	in_flight++;
	detail->item = item;
	detail->info = ff_call_publish(run, item);
	ff_sandbox_start(call);
}

/* Takes a call off the books and frees it. */
static void
forget(FfSandboxCall *call)
{
	CodeDetail *detail = call->detail;

	detail->item->call = NULL;
	in_flight--;
	ff_call_unpublish(detail->info);
	ff_sandbox_free(call);
}

void
ff_code_abandon(FfItem *item)
{
	forget(item->call);
}

/* --- answers --- */

/* The node of a graph has its input already. */
static Jsonb *
detail_of(const FfSandboxCall *call, const FfItem *item, Jsonb *answer)
{
	char		 *lines = psprintf("[%s]", call->console.data);
	FfJsonError	  fault;
	Jsonb		 *console = ff_json_parse(lines, strlen(lines), 4, &fault);
	FfJsonBuilder builder = {0};
	int64		  number;

	ff_jb_object(&builder);
	if (item->input == NULL)
	{
		ff_jb_key(&builder, "input");
		ff_jb_json(&builder, item->options);
	}
	if (call->lines > 0 && console != NULL)
	{
		ff_jb_key(&builder, "console");
		ff_jb_json(&builder, console);
	}
	if (answer != NULL && ff_json_int64(answer, "dropped", &number) && number > 0)
	{
		ff_jb_key(&builder, "console_dropped");
		ff_jb_int(&builder, number);
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static void
read_answer(FfOp *op, const FfSandboxCall *call, Jsonb **answer, bool *retry)
{
	FfJsonError fault = {0};
	Jsonb	   *json =
		ff_json_parse(call->answer.data, call->answer.len, ff_json_depth_limit + 2, &fault);
	Jsonb *error = json ? ff_json_member(json, "error") : NULL;

	*answer = json;
	op->data = json ? ff_json_member(json, "result") : NULL;
	if (json == NULL)
		op->error = ff_run_error("ResultError",
								 psprintf("the result cannot be kept as JSON: %s", fault.message));
	else if (error != NULL && ff_json_is_object(error) && VARSIZE(error) <= MAX_ERROR_BYTES)
		op->error = error;
	else if (op->data == NULL || !ff_json_is_object(op->data))
		op->error =
			ff_run_error("CrashError", "the sandbox answered with neither result nor error");
	*retry = json == NULL || !ff_json_bool(json, "final");
}

/* An error of the code's that says itself that another attempt is of no use. */
static bool
is_final(Jsonb *error)
{
	char *name = ff_json_text(error, "name");

	return name != NULL && strcmp(name, "NonRetriableError") == 0;
}

static void
read_outcome(FfOp *op, const FfSandboxCall *call, Jsonb **answer, bool *retry)
{
	*retry = true;
	switch (call->outcome)
	{
		case FF_SANDBOX_ANSWERED:
			read_answer(op, call, answer, retry);
			break;
		case FF_SANDBOX_TIMED_OUT:
			op->error = ff_run_error(
				"TimeoutError", psprintf("the code ran longer than %g s", call->timeout / 1000.0));
			break;
		case FF_SANDBOX_FORBIDDEN:
			op->error = ff_run_error("SandboxError", "the code tried what the sandbox forbids");
			*retry = false;
			break;
		case FF_SANDBOX_CRASHED:
			op->error =
				ff_run_error("CrashError", "the process that ran the code ended without an answer");
			break;
		case FF_SANDBOX_LOST:
		case FF_SANDBOX_UNSTARTED:
			op->error = ff_run_error("SandboxError", psprintf("the code could not be run: %s",
															  call->failure ? call->failure : "?"));
			break;
	}
	if (op->error != NULL && is_final(op->error))
		*retry = false;
}

static FfAnswer *
make_answer(const FfSandboxCall *call, const FfItem *item)
{
	FfAnswer *answer = palloc0(sizeof(FfAnswer));
	FfOp	 *op = palloc0(sizeof(FfOp));
	Jsonb	 *said = NULL;

	answer->kind = FF_ANSWER_OPS;
	answer->ops = list_make1(op);
	answer->retry_after = -1;
	answer->protocol = -1;
	strlcpy(op->id, item->id, sizeof(op->id));
	op->name = item->name;
	op->race = item->race;
	op->took = -1;
	read_outcome(op, call, &said, &answer->retry);
	op->kind = op->error == NULL ? FF_OP_COMPLETED : FF_OP_ERROR;
	op->detail = detail_of(call, item, said);
	return answer;
}

static void
handle(FfSandboxCall *call)
{
	FfItem		 *item = ((CodeDetail *) call->detail)->item;
	FfRun		 *run = call->owner;
	TimestampTz	  now = GetCurrentTimestamp();
	MemoryContext old = MemoryContextSwitchTo(ff_group_context);
	FfAnswer	 *answer = make_answer(call, item);

	forget(call);
	ff_run_answer(run, item, answer, item->max_attempts, now);
	MemoryContextSwitchTo(old);
	if (run->change != NULL && run->change->ended)
		ff_abandon(run);
	ff_group_add(run);
}

void
ff_code_drive(void)
{
	ff_sandbox_drive(handle);
	if (!ff_room_empty(&room))
		ff_room_let_in(&room, AHEAD * ff_sandbox_processes - in_flight);
}

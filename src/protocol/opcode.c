/*
 * opcode.c - the operations of an answer (the SDK protocol, "Ops"): what the wire says becomes an
 * FfOp, or a sentence about what is wrong with it.
 *
 * The wire and the published specification spell some of them differently; both are read.
 */
#include "postgres.h"

#include "lang/lang.h"
#include "protocol/protocol.h"
#include "run/kind.h"
#include "util/duration.h"
#include "util/errors.h"
#include "util/json.h"

/* sha1("complete"): the id under which an SDK reports the end of the function itself. */
#define FUNCTION_ID "0737c22d3bfae812339732d14d8c7dbd6dc4e09c"
#define MAX_SIGNAL_BYTES 512

typedef struct Reading
{
	FfOp	   *out;
	Jsonb	   *op;
	Jsonb	   *opts; /* an object, or NULL */
	TimestampTz now;
} Reading;

/* What is wrong with the operation, or NULL. */
typedef const char *(*OpReader)(const Reading *in);

static Jsonb *
or_null(Jsonb *json)
{
	return json == NULL ? ff_json_null() : json;
}

static char *
option(const Reading *in, const char *key)
{
	return in->opts ? ff_json_text(in->opts, key) : NULL;
}

/* An option, or the operation's name where SDKs put it. */
static char *
option_or_name(const Reading *in, const char *key)
{
	char *text = option(in, key);

	return text != NULL ? text : ff_json_text(in->op, "name");
}

/* How long to wait at most: a year when the function does not say. */
static const char *
read_timeout(const Reading *in)
{
	JsonbValue *said = in->opts ? ff_json_get(in->opts, "timeout") : NULL;
	char	   *text = option(in, "timeout");

	in->out->due = in->now + FF_MAX_DURATION_US;
	if (said == NULL || said->type == jbvNull)
		return NULL;
	if (text == NULL || !ff_when_parse(text, in->now, &in->out->due))
		return "has a timeout that is neither a duration nor an instant";
	return ff_when_too_far(in->out->due, in->now) ? "has a timeout of more than 366 days" : NULL;
}

/* --- steps --- */

static const char *
read_completed(const Reading *in)
{
	in->out->kind = FF_OP_COMPLETED;
	in->out->data = or_null(ff_json_member(in->op, "data"));
	return NULL;
}

static const char *
read_failure(const Reading *in, FfOpKind kind)
{
	in->out->kind = strcmp(in->out->id, FUNCTION_ID) == 0 ? FF_OP_RUN_ERROR : kind;
	in->out->final = kind == FF_OP_FAILED;
	in->out->error = ff_json_member(in->op, "error");
	if (!ff_json_is_object(in->out->error))
		in->out->error = ff_run_error("Error", "the step failed and did not say why");
	return NULL;
}

/* What a step says of how it is to be called, as far as it says it; NULL when it says nothing. */
static Jsonb *
read_terms(Jsonb *opts)
{
	static const char *const keys[] = {"retries", "timeout"};
	FfJsonBuilder			 builder = {0};
	bool					 any = false;

	ff_jb_object(&builder);
	for (int i = 0; opts != NULL && i < (int) lengthof(keys); i++)
	{
		Jsonb *value = ff_json_member(opts, keys[i]);

		if (value == NULL || ff_json_is_null(value))
			continue;
		ff_jb_key(&builder, keys[i]);
		ff_jb_json(&builder, value);
		any = true;
	}
	ff_jb_end(&builder);
	return any ? ff_jb_finish(&builder) : NULL;
}

static const char *
read_error(const Reading *in)
{
	in->out->terms = read_terms(in->opts);
	return read_failure(in, FF_OP_ERROR);
}

static const char *
read_failed(const Reading *in)
{
	return read_failure(in, FF_OP_FAILED);
}

static const char *
read_planned(const Reading *in)
{
	in->out->kind = FF_OP_PLANNED;
	in->out->terms = read_terms(in->opts);
	return NULL;
}

/* --- what takes time --- */

static const char *
read_sleep(const Reading *in)
{
	char *text = option_or_name(in, "duration");

	in->out->kind = FF_OP_SLEEP;
	if (text == NULL || !ff_when_parse(text, in->now, &in->out->due))
		return "does not say until when";
	return ff_when_too_far(in->out->due, in->now) ? "sleeps for more than 366 days" : NULL;
}

/* What is wrong with an expression, or NULL. It is stored, and what is stored must be readable. */
static const char *
expression_fault(const char *expression)
{
	MemoryContext context = CurrentMemoryContext;
	char *volatile fault = NULL;

	PG_TRY();
	{
		(void) ff_expr_compile(expression, context);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_TO_CATEGORY(FF_ERR_EXPRESSION_SYNTAX))
			PG_RE_THROW();
		FlushErrorState();
		fault = psprintf("waits for what cannot be read: %s", error->message);
	}
	PG_END_TRY();
	return fault;
}

static const char *
read_wait(const Reading *in)
{
	const char *fault;

	in->out->kind = FF_OP_WAIT;
	in->out->event = option_or_name(in, "event");
	in->out->expression = option(in, "if");
	if (in->out->event == NULL || *in->out->event == '\0')
		return "names no event";
	fault = in->out->expression != NULL ? expression_fault(in->out->expression) : NULL;
	return fault != NULL ? fault : read_timeout(in);
}

static const char *
read_signal(const Reading *in)
{
	char *conflict = option(in, "conflict");

	in->out->kind = FF_OP_SIGNAL;
	in->out->signal = option_or_name(in, "signal");
	in->out->replace = conflict != NULL && strcmp(conflict, "replace") == 0;
	if (in->out->signal == NULL || *in->out->signal == '\0')
		return "names no signal";
	if (strlen(in->out->signal) > MAX_SIGNAL_BYTES)
		return "names a signal of more than 512 bytes";
	if (conflict != NULL && !in->out->replace && strcmp(conflict, "fail") != 0)
		return "has a conflict rule that is neither fail nor replace";
	return read_timeout(in);
}

static const char *
read_invoke(const Reading *in)
{
	in->out->kind = FF_OP_INVOKE;
	in->out->function = option(in, "function_id");
	in->out->payload = in->opts ? ff_json_member(in->opts, "payload") : NULL;
	if (in->out->function == NULL)
		return "names no function";
	return read_timeout(in);
}

static const char *
read_fetch(const Reading *in)
{
	in->out->kind = FF_OP_FETCH;
	return ff_gateway_fetch(in->opts, &in->out->request);
}

static const char *
read_ai(const Reading *in)
{
	in->out->kind = FF_OP_AI;
	return ff_gateway_ai(in->opts, &in->out->request);
}

/* --- about the run --- */

static const char *
read_return(const Reading *in)
{
	in->out->kind = FF_OP_RETURN;
	in->out->data = or_null(ff_json_member(in->op, "data"));
	return NULL;
}

/* The function is not what it was: it does not have the step it was called for. */
static const char *
read_not_found(const Reading *in)
{
	in->out->kind = FF_OP_RUN_ERROR;
	in->out->error = ff_json_member(in->op, "error");
	if (!ff_json_is_object(in->out->error))
		in->out->error = ff_run_error("StepNotFound",
									  psprintf("the function has no step \"%s\"", in->out->name));
	return NULL;
}

static const char *
read_again(const Reading *in)
{
	in->out->kind = FF_OP_AGAIN;
	return NULL;
}

static const char *
read_defer(const Reading *in)
{
	in->out->kind = FF_OP_DEFER;
	in->out->function = option(in, "fn_slug");
	in->out->payload = in->opts;
	return in->out->function == NULL || *in->out->function == '\0' ? "names no function" : NULL;
}

static const char *
read_abort(const Reading *in)
{
	in->out->kind = FF_OP_ABORT;
	in->out->target = option(in, "target_hashed_id");
	return in->out->target == NULL ? "does not say what to abort" : NULL;
}

static const struct
{
	const char *name;
	OpReader	read;
} readers[] = {
	{"StepRun", read_completed},	  {"Step", read_completed},
	{"StepError", read_error},		  {"StepFailed", read_failed},
	{"StepPlanned", read_planned},	  {"Sleep", read_sleep},
	{"WaitForEvent", read_wait},	  {"WaitForSignal", read_signal},
	{"InvokeFunction", read_invoke},  {"Gateway", read_fetch},
	{"AIGateway", read_ai},			  {"RunComplete", read_return},
	{"SyncRunComplete", read_return}, {"StepNotFound", read_not_found},
	{"DiscoveryRequest", read_again}, {"DeferAdd", read_defer},
	{"DeferAbort", read_abort},
};

static OpReader
reader_of(const char *kind)
{
	for (int i = 0; i < (int) lengthof(readers); i++)
	{
		if (pg_strcasecmp(kind, readers[i].name) == 0)
			return readers[i].read;
	}
	return NULL;
}

/* The display name people read: the SDK's, or the step's name, or its id. */
static char *
read_name(Jsonb *op, const char *id)
{
	char *name = ff_json_text(op, "displayName");

	if (name == NULL)
		name = ff_json_text(op, "name");
	return name == NULL || *name == '\0' ? pstrdup(id) : name;
}

/* What else an SDK says of a step, kept for people: {input?, metadata?}; NULL when it is nothing.
 */
static Jsonb *
read_detail(const Reading *in)
{
	FfJsonBuilder builder = {0};
	Jsonb		 *input = in->opts ? ff_json_member(in->opts, "input") : NULL;
	Jsonb		 *metadata = ff_json_member(in->op, "metadata");

	if (input == NULL && metadata == NULL)
		return NULL;
	ff_jb_object(&builder);
	if (input != NULL)
	{
		ff_jb_key(&builder, "input");
		ff_jb_json(&builder, input);
	}
	if (metadata != NULL)
	{
		ff_jb_key(&builder, "metadata");
		ff_jb_json(&builder, metadata);
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

/* timing.b: nanoseconds. */
static int64
read_time(Jsonb *op)
{
	Jsonb *timing = ff_json_member(op, "timing");
	int64  ns;

	if (timing == NULL || !ff_json_int64(timing, "b", &ns) || ns < 0)
		return -1;
	return ns / 1000;
}

/* What every operation may say. */
static void
read_common(Reading *in)
{
	char *mode;

	in->opts = ff_json_member(in->op, "opts");
	if (!ff_json_is_object(in->opts))
		in->opts = NULL;
	mode = option(in, "parallelMode");
	in->out->race = mode != NULL && strcmp(mode, "race") == 0;
	in->out->detail = read_detail(in);
	in->out->took = read_time(in->op);
}

/* A step the server takes itself. Options that make no sense are that step's failure, which the
 * function may handle. */
static void
read_step(Reading *in, const FfStepKind *kind)
{
	FfOp	   *out = in->out;
	const char *fault;

	out->kind = FF_OP_STEP;
	out->step = kind;
	out->due = DT_NOEND;
	fault = kind->read(out, in->opts, in->now);
	if (fault == NULL)
		return;
	out->kind = FF_OP_FAILED;
	out->error = ff_run_error("StepOptionsError", psprintf("the operation %s of step \"%s\" %s",
														   kind->op, out->name, fault));
}

char *
ff_protocol_op(FfOp *out, Jsonb *json, TimestampTz now)
{
	Reading		in = {out, json, NULL, now};
	char	   *kind = ff_json_text(json, "op");
	char	   *id = ff_json_text(json, "id");
	OpReader	reader;
	const char *fault = "is of a kind this version does not know";

	if (kind == NULL || id == NULL)
		return pstrdup("the app's answer has an operation without op or id");
	if (strlen(id) >= sizeof(out->id) || *id == '\0')
		return psprintf("the app's answer has a step id of %zu bytes", strlen(id));
	strlcpy(out->id, id, sizeof(out->id));
	out->name = read_name(json, id);
	out->kind = FF_OP_NONE;
	if (strcmp(kind, "None") == 0)
		return NULL;
	reader = reader_of(kind);
	if (reader == NULL && ff_kind_by_op(kind) != NULL)
	{
		read_common(&in);
		read_step(&in, ff_kind_by_op(kind));
		return NULL;
	}
	if (reader != NULL)
	{
		read_common(&in);
		fault = reader(&in);
		if (fault == NULL && out->terms != NULL)
			fault = ff_step_options_check(out->terms);
	}
	return fault == NULL ? NULL
						 : psprintf("the operation %s of step \"%s\" %s", kind, out->name, fault);
}

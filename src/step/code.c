/*
 * code.c - the step Code: JavaScript, run by flowforge-sandbox in a process of its own.
 *
 * The item keeps the options. What the code sees of the run's other steps is not among them: it is
 * put together when the code is about to run (worker/code.c), so that it is stored once.
 */
#include "postgres.h"

#include "run/actor.h"
#include "step/step.h"
#include "util/duration.h"
#include "util/json.h"

#define MAX_CODE_BYTES (1024 * 1024)
#define MAX_TIMEOUT_US (INT64CONST(300) * 1000000)
#define DEFAULT_TIMEOUT_US (INT64CONST(5) * 1000000)

static bool
absent(Jsonb *options, const char *key)
{
	JsonbValue *value = ff_json_get(options, key);

	return value == NULL || value->type == jbvNull;
}

static const char *
read_timeout(Jsonb *options, int64 *timeout)
{
	char *text = ff_json_text(options, "timeout");

	*timeout = DEFAULT_TIMEOUT_US;
	if (absent(options, "timeout"))
		return NULL;
	if (text == NULL || !ff_duration_parse(text, timeout))
		return "has a timeout that is not a duration like \"5s\"";
	if (*timeout < 1000 || *timeout > MAX_TIMEOUT_US)
		return "has a timeout that is not between 1ms and 5m";
	return NULL;
}

static const char *
check(Jsonb *options)
{
	char  *code = options ? ff_json_text(options, "code") : NULL;
	Jsonb *steps = options ? ff_json_member(options, "steps") : NULL;

	if (code == NULL)
		return "has no code";
	if (strlen(code) > MAX_CODE_BYTES)
		return "has code of more than 1 MB";
	if (!absent(options, "context") && !ff_json_is_object(ff_json_member(options, "context")))
		return "has a context that is not an object";
	if (!absent(options, "steps") && !ff_json_is_array(steps) && !ff_json_bool(options, "steps"))
		return "has steps that are neither true nor a list of ids";
	return NULL;
}

static void
copy(FfJsonBuilder *builder, Jsonb *options, const char *key)
{
	if (absent(options, key))
		return;
	ff_jb_key(builder, key);
	ff_jb_json(builder, ff_json_member(options, key));
}

static const char *
read_options(FfOp *op, Jsonb *options, TimestampTz now)
{
	FfJsonBuilder builder = {0};
	const char	 *fault = check(options);
	int64		  timeout;

	if (fault == NULL)
		fault = read_timeout(options, &timeout);
	if (fault != NULL)
		return fault;
	ff_jb_object(&builder);
	copy(&builder, options, "code");
	copy(&builder, options, "context");
	copy(&builder, options, "input");
	copy(&builder, options, "steps");
	ff_jb_key(&builder, "timeout");
	ff_jb_int(&builder, timeout);
	ff_jb_end(&builder);
	op->options = ff_jb_finish(&builder);
	return NULL;
}

int64
ff_code_timeout(Jsonb *options)
{
	int64 timeout;

	return ff_json_int64(options, "timeout", &timeout) ? timeout : DEFAULT_TIMEOUT_US;
}

const FfStepKind ff_step_code = {.op = "Code",
								 .name = "code",
								 .place = FF_STEP_SANDBOX,
								 .read = read_options,
								 .begin = ff_kind_begin};

/*
 * policy.c - reading policies and drawing delays (see policy.h).
 */
#include "postgres.h"

#include <math.h>

#include "common/pg_prng.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "function/policy.h"
#include "util/duration.h"
#include "util/json.h"

#define DEFAULT_BASE_US INT64CONST(1000000)
#define DEFAULT_CAP_US INT64CONST(300000000)
#define MAX_CAP_US (INT64CONST(86400) * 1000000)
#define EXPONENTIAL_JITTER 0.5

int ff_retry_interval = 0;

/* A duration that is a text member; false when it is there and is none. */
static bool
read_duration(Jsonb *object, const char *key, int64 *out)
{
	JsonbValue *value = ff_json_get(object, key);

	if (value == NULL || value->type == jbvNull)
		return true;
	if (value->type != jbvString || !ff_duration_parse(ff_json_text(object, key), out))
		return false;
	return *out >= 0 && *out <= FF_MAX_DURATION_US;
}

static FfBackoffKind
kind_of(const char *name)
{
	if (strcmp(name, "fixed") == 0)
		return FF_BACKOFF_FIXED;
	if (strcmp(name, "linear") == 0)
		return FF_BACKOFF_LINEAR;
	return strcmp(name, "exponential") == 0 ? FF_BACKOFF_EXPONENTIAL : FF_BACKOFF_UNSAID;
}

static bool
read_delays(FfBackoff *backoff, Jsonb *list)
{
	uint32 count = JB_ROOT_COUNT(list);

	if (count == 0 || count > FF_MAX_DELAYS)
		return false;
	for (uint32 i = 0; i < count; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(&list->root, i);

		if (value->type != jbvString ||
			!ff_duration_parse(pnstrdup(value->val.string.val, value->val.string.len),
							   &backoff->delays[i]))
			return false;
	}
	backoff->kind = FF_BACKOFF_LIST;
	backoff->count = (int) count;
	return true;
}

static const char *
read_kind(FfBackoff *backoff, Jsonb *retries)
{
	char  *name = ff_json_text(retries, "backoff");
	Jsonb *said = ff_json_member(retries, "backoff");

	if (said == NULL || ff_json_is_null(said))
		return NULL;
	if (ff_json_is_array(said))
		return read_delays(backoff, said) ? NULL
										  : "has a backoff that is not a list of 1 to 20 durations";
	backoff->kind = name ? kind_of(name) : FF_BACKOFF_UNSAID;
	if (backoff->kind == FF_BACKOFF_UNSAID)
		return "has a backoff that is neither fixed, linear, exponential nor a list of durations";
	return NULL;
}

static const char *
read_jitter(FfBackoff *backoff, Jsonb *retries)
{
	JsonbValue *value = ff_json_get(retries, "jitter");

	if (backoff->kind == FF_BACKOFF_EXPONENTIAL)
		backoff->jitter = EXPONENTIAL_JITTER;
	if (value == NULL || value->type == jbvNull)
		return NULL;
	if (value->type == jbvNumeric)
		backoff->jitter = DatumGetFloat8(
			DirectFunctionCall1(numeric_float8, NumericGetDatum(value->val.numeric)));
	if (value->type != jbvNumeric || !(backoff->jitter >= 0 && backoff->jitter <= 1))
		return "has a jitter that is not a number from 0 to 1";
	return NULL;
}

const char *
ff_backoff_read(FfBackoff *backoff, Jsonb *retries)
{
	const char *problem;
	bool spaced = ff_json_get(retries, "base") != NULL || ff_json_get(retries, "cap") != NULL ||
				  ff_json_get(retries, "jitter") != NULL;

	memset(backoff, 0, sizeof(*backoff));
	backoff->base = DEFAULT_BASE_US;
	backoff->cap = DEFAULT_CAP_US;
	problem = read_kind(backoff, retries);
	if (problem == NULL && backoff->kind == FF_BACKOFF_UNSAID && spaced)
		backoff->kind = FF_BACKOFF_EXPONENTIAL;
	if (backoff->kind == FF_BACKOFF_LIST)
		backoff->cap = MAX_CAP_US;
	if (problem == NULL)
		problem = read_jitter(backoff, retries);
	if (problem == NULL && !read_duration(retries, "base", &backoff->base))
		problem = "has a base that is not a duration";
	if (problem == NULL && !read_duration(retries, "cap", &backoff->cap))
		problem = "has a cap that is not a duration";
	if (problem != NULL)
		backoff->kind = FF_BACKOFF_UNSAID;
	return problem;
}

static int64
timeout_of(Jsonb *timeouts, const char *key)
{
	int64 result = 0;

	return timeouts != NULL && read_duration(timeouts, key, &result) ? result : 0;
}

/* A graph says it as run_timeout_seconds. */
static int64
run_timeout(Jsonb *settings)
{
	JsonbValue *seconds = settings ? ff_json_get(settings, "run_timeout_seconds") : NULL;
	double		value;

	if (seconds == NULL || seconds->type != jbvNumeric)
		return 0;
	value = DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(seconds->val.numeric)));
	return value > 0 ? (int64) (Min(value, FF_MAX_DURATION_US / 1e6) * 1e6) : 0;
}

void
ff_policy_read(FfPolicy *policy, Jsonb *config)
{
	Jsonb *timeouts = ff_json_member(config, "timeouts");
	Jsonb *cancel = ff_json_member(config, "cancel");
	Jsonb *retries = ff_json_at(config, "steps.step.retries");

	memset(policy, 0, sizeof(*policy));
	if (timeouts != NULL && !ff_json_is_object(timeouts))
		timeouts = NULL;
	policy->start_timeout = timeout_of(timeouts, "start");
	policy->finish_timeout = timeout_of(timeouts, "finish");
	if (policy->finish_timeout == 0)
		policy->finish_timeout = run_timeout(ff_json_member(config, "settings"));
	policy->step_timeout = timeout_of(timeouts, "step");
	if (cancel != NULL)
		policy->cancels =
			ff_json_is_array(cancel) ? (int) JB_ROOT_COUNT(cancel) : ff_json_is_object(cancel);
	if (ff_json_is_object(retries))
		ff_backoff_read(&policy->backoff, retries);
}

/* --- what a step says of itself --- */

const char *
ff_step_options_check(Jsonb *options)
{
	JsonbValue *retries = ff_json_get(options, "retries");
	int64		number;
	FfBackoff	backoff;
	Jsonb	   *object = ff_json_member(options, "retries");

	number = 0;
	if (!read_duration(options, "timeout", &number))
		return "has a timeout that is not a duration";
	if (retries == NULL || retries->type == jbvNull)
		return NULL;
	if (ff_json_is_object(object))
	{
		if (ff_json_get(object, "attempts") != NULL &&
			(!ff_json_int64(object, "attempts", &number) || number < 0 || number > FF_MAX_RETRIES))
			return "has retries.attempts that are not a whole number from 0 to 20";
		return ff_backoff_read(&backoff, object);
	}
	if (!ff_json_int64(options, "retries", &number) || number < 0 || number > FF_MAX_RETRIES)
		return "has retries that are neither a whole number from 0 to 20 nor an object";
	return NULL;
}

int
ff_step_attempts(Jsonb *options, int otherwise)
{
	Jsonb *retries = options ? ff_json_member(options, "retries") : NULL;
	int64  number;

	if (retries == NULL)
		return otherwise;
	if (ff_json_is_object(retries) ? ff_json_int64(retries, "attempts", &number)
								   : ff_json_int64(options, "retries", &number))
		return (int) number + 1;
	return otherwise;
}

int64
ff_step_timeout(Jsonb *options, int64 otherwise)
{
	int64 own = 0;

	return options != NULL && read_duration(options, "timeout", &own) && own > 0 ? own : otherwise;
}

FfBackoff
ff_step_backoff(Jsonb *options, const FfBackoff *otherwise)
{
	Jsonb	 *retries = options ? ff_json_member(options, "retries") : NULL;
	FfBackoff own;

	if (ff_json_is_object(retries) && ff_backoff_read(&own, retries) == NULL &&
		own.kind != FF_BACKOFF_UNSAID)
		return own;
	return *otherwise;
}

/* --- delays --- */

static double
spread(double delay, double jitter)
{
	return delay * (1 - jitter + 2 * jitter * pg_prng_double(&pg_global_prng_state));
}

int64
ff_backoff_delay(const FfBackoff *backoff, int attempt)
{
	double delay = 0;

	switch (backoff->kind)
	{
		case FF_BACKOFF_UNSAID:
			if (ff_retry_interval > 0)
				return (int64) ff_retry_interval * 1000;
			delay = spread(ldexp((double) DEFAULT_BASE_US, Min(attempt, 20)), EXPONENTIAL_JITTER);
			return (int64) Min(delay, (double) DEFAULT_CAP_US);
		case FF_BACKOFF_FIXED:
			delay = (double) backoff->base;
			break;
		case FF_BACKOFF_LINEAR:
			delay = (double) backoff->base * (attempt + 1);
			break;
		case FF_BACKOFF_EXPONENTIAL:
			delay = ldexp((double) backoff->base, Min(attempt, 20));
			break;
		case FF_BACKOFF_POWER:
			delay = pow((double) backoff->base / 1e6, attempt + 1) * 1e6;
			break;
		case FF_BACKOFF_LIST:
			delay = (double) backoff->delays[Min(attempt, backoff->count - 1)];
			break;
	}
	return (int64) Min(spread(delay, backoff->jitter), (double) backoff->cap);
}

/* --- for SQL --- */

PG_FUNCTION_INFO_V1(ff_function_check_retries);
Datum
ff_function_check_retries(PG_FUNCTION_ARGS)
{
	FfBackoff	backoff;
	const char *problem = ff_backoff_read(&backoff, PG_GETARG_JSONB_P(0));

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

PG_FUNCTION_INFO_V1(ff_function_backoff);
Datum
ff_function_backoff(PG_FUNCTION_ARGS)
{
	FfBackoff backoff;

	ff_backoff_read(&backoff, PG_GETARG_JSONB_P(0));
	PG_RETURN_FLOAT8(ff_backoff_delay(&backoff, Max(PG_GETARG_INT32(1), 0)) / 1e6);
}

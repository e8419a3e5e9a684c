/*
 * option.c - reading a version's flow control (see flow.h).
 */
#include "postgres.h"

#include <ctype.h>

#include "utils/memutils.h"

#include "flow/flow.h"
#include "util/duration.h"
#include "util/json.h"

#define DEFAULT_BATCH_TIMEOUT_US (INT64CONST(60) * 1000000)

/* A member that is there and not null, or NULL. */
static Jsonb *
member(Jsonb *object, const char *key)
{
	Jsonb *value = ff_json_is_object(object) ? ff_json_member(object, key) : NULL;

	/* Optional settings that are left out arrive as null or as an empty list. */
	if (value == NULL || ff_json_is_null(value) ||
		(ff_json_is_array(value) && JB_ROOT_COUNT(value) == 0))
		return NULL;
	return value;
}

static int64
number(Jsonb *object, const char *key, int64 otherwise)
{
	int64 value;

	return ff_json_int64(object, key, &value) ? value : otherwise;
}

static int64
duration(Jsonb *object, const char *key, int64 otherwise)
{
	char *text = ff_json_text(object, key);
	int64 value;

	return text != NULL && ff_duration_parse(text, &value) && value > 0 ? value : otherwise;
}

static FfExpr *
expression(Jsonb *object, const char *key, MemoryContext context)
{
	char *text = ff_json_text(object, key);

	return text == NULL || *text == '\0' ? NULL : ff_expr_compile_stored(text, context);
}

/* The text that stands for an option, "60/min" or "10s", or NULL. */
static char *
shorthand(Jsonb *option)
{
	JsonbValue *value =
		JB_ROOT_IS_SCALAR(option) ? getIthJsonbValueFromContainer(&option->root, 0) : NULL;

	return value != NULL && value->type == jbvString
			   ? pnstrdup(value->val.string.val, value->val.string.len)
			   : NULL;
}

/* "10/1m", "60/min" or "10s", which is one in ten seconds. */
static bool
read_rate_text(FfRate *rate, const char *text)
{
	char *slash = strchr(text, '/');
	char *end;
	char *period;

	rate->limit = 1;
	rate->burst = 1;
	if (slash == NULL)
		return ff_duration_parse(text, &rate->period);
	errno = 0;
	rate->limit = strtoll(text, &end, 10);
	if (errno != 0 || end != slash || rate->limit <= 0)
		return false;
	period = pstrdup(slash + 1);
	if (strcmp(period, "sec") == 0 || strcmp(period, "second") == 0)
		period = "s";
	else if (strcmp(period, "min") == 0 || strcmp(period, "minute") == 0)
		period = "m";
	else if (strcmp(period, "hour") == 0)
		period = "h";
	else if (strcmp(period, "day") == 0)
		period = "d";
	if (isalpha((unsigned char) *period))
		period = psprintf("1%s", period);
	return ff_duration_parse(period, &rate->period);
}

static void
read_rate(FfRate *rate, Jsonb *option, MemoryContext context)
{
	char *text;

	if (option == NULL)
		return;
	text = shorthand(option);
	if (text != NULL)
	{
		if (!read_rate_text(rate, text) || rate->period <= 0)
			rate->limit = 0;
		return;
	}
	if (!ff_json_is_object(option))
		return;
	rate->limit = Max(number(option, "limit", 1), 0);
	rate->period = duration(option, "period", 0);
	rate->burst = Max(number(option, "burst", 1), 1);
	rate->key = expression(option, "key", context);
	if (rate->period == 0)
		rate->limit = 0;
}

static void
add_limit(FfFlow *flow, Jsonb *option, MemoryContext context)
{
	FfLimit *limit = &flow->limit[flow->limits];
	char	*scope;

	if (flow->limits == FF_MAX_LIMITS || !ff_json_is_object(option))
		return;
	limit->limit = (int32) Min(number(option, "limit", 0), PG_INT32_MAX);
	if (limit->limit <= 0)
		return; /* 0 is no limit, as the protocol has it */
	scope = ff_json_text(option, "scope");
	limit->scope = scope == NULL || strcmp(scope, "fn") == 0 ? FF_SCOPE_FUNCTION : FF_SCOPE_TENANT;
	limit->key = expression(option, "key", context);
	if (limit->key != NULL)
		limit->key_text = MemoryContextStrdup(context, ff_json_text(option, "key"));
	flow->limits++;
}

static void
read_limits(FfFlow *flow, Jsonb *option, MemoryContext context)
{
	if (option == NULL)
		return;
	if (ff_json_is_object(option))
	{
		add_limit(flow, option, context);
		return;
	}
	if (JB_ROOT_IS_SCALAR(option))
	{
		FfJsonBuilder builder = {0};

		ff_jb_object(&builder);
		ff_jb_key(&builder, "limit");
		ff_jb_json(&builder, option);
		ff_jb_end(&builder);
		add_limit(flow, ff_jb_finish(&builder), context);
		return;
	}
	for (uint32 i = 0; i < JB_ROOT_COUNT(option); i++)
		add_limit(flow, JsonbValueToJsonb(getIthJsonbValueFromContainer(&option->root, i)),
				  context);
}

static void
read_debounce(FfDebounce *debounce, Jsonb *option, MemoryContext context)
{
	char *text = option ? shorthand(option) : NULL;

	if (text != NULL && !ff_duration_parse(text, &debounce->period))
		debounce->period = 0;
	if (option == NULL || !ff_json_is_object(option))
		return;
	debounce->period = duration(option, "period", 0);
	debounce->timeout = duration(option, "timeout", 0);
	debounce->key = expression(option, "key", context);
}

static void
read_batch(FfBatching *batch, Jsonb *option, MemoryContext context)
{
	if (option == NULL || !ff_json_is_object(option))
		return;
	batch->max_size = (int32) Min(Max(number(option, "maxSize", 0), 0), FF_MAX_BATCH);
	batch->timeout = duration(option, "timeout", DEFAULT_BATCH_TIMEOUT_US);
	batch->key = expression(option, "key", context);
	batch->filter = expression(option, "if", context);
}

static void
read_singleton(FfSingleton *singleton, Jsonb *option, MemoryContext context)
{
	char *mode;

	if (option == NULL || !ff_json_is_object(option))
		return;
	mode = ff_json_text(option, "mode");
	singleton->on = true;
	singleton->cancels = mode != NULL && strcmp(mode, "cancel") == 0;
	singleton->key = expression(option, "key", context);
}

FfFlow *
ff_flow_read(Jsonb *config, MemoryContext context)
{
	FfFlow	flow = {0};
	FfFlow *kept;
	Jsonb  *said = ff_json_member(config, "graph") ? member(config, "settings") : config;
	Jsonb  *priority;

	if (said == NULL)
		return NULL;
	read_limits(&flow, member(said, "concurrency"), context);
	read_rate(&flow.throttle, member(said, "throttle"), context);
	read_rate(&flow.rate,
			  member(said, "rateLimit") ? member(said, "rateLimit") : member(said, "rate"),
			  context);
	read_debounce(&flow.debounce, member(said, "debounce"), context);
	read_batch(&flow.batch, member(said, "batchEvents"), context);
	read_singleton(&flow.singleton, member(said, "singleton"), context);
	priority = member(said, "priority");
	if (priority != NULL && ff_json_is_object(priority))
		flow.priority = expression(priority, "run", context);
	flow.idempotency = expression(said, "idempotency", context);
	if (flow.limits == 0 && flow.throttle.limit == 0 && flow.priority == NULL &&
		!ff_flow_starts(&flow))
		return NULL;
	kept = MemoryContextAlloc(context, sizeof(FfFlow));
	*kept = flow;
	return kept;
}

bool
ff_flow_starts(const FfFlow *flow)
{
	return flow->rate.limit > 0 || flow->debounce.period > 0 || flow->batch.max_size > 0 ||
		   flow->singleton.on || flow->idempotency != NULL;
}

/*
 * key.c - the keys of a run: what it shares its limits with (see flow.h).
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "flow/flow.h"
#include "util/jcs.h"
#include "util/json.h"

/* Canonical, so that 1 and 1.0 are one key, and exact, so that long numbers are not one. */
static char *
canonical(Jsonb *value)
{
	JsonbValue *scalar =
		JB_ROOT_IS_SCALAR(value) ? getIthJsonbValueFromContainer(&value->root, 0) : NULL;

	if (scalar == NULL || scalar->type != jbvNumeric)
		return ff_jcs_text(value);
	return DatumGetCString(DirectFunctionCall1(
		numeric_out,
		DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(scalar->val.numeric))));
}

char *
ff_flow_key_value(const FfExpr *key, Jsonb *event)
{
	FfBinding binding = {"event", event};
	Jsonb	 *value;

	if (key == NULL)
		return "";
	value = ff_expr_eval_filter(key, &binding, 1);
	return value == NULL ? "null" : canonical(value);
}

int64
ff_flow_key_name(int32 tenant_id, int32 function_id, char kind, const char *key_text,
				 const char *value)
{
	uint64 name = ((uint64) (uint32) tenant_id << 32 | (uint32) function_id) * 31 + (uint8) kind;

	if (key_text != NULL)
		name = hash_bytes_extended((const unsigned char *) key_text, (int) strlen(key_text), name);
	name = hash_bytes_extended((const unsigned char *) value, (int) strlen(value), name);
	return name == 0 ? 1 : (int64) name;
}

FfKeys
ff_flow_keys(const FfFlow *flow, int32 tenant_id, int32 function_id, Jsonb *event, bool started,
			 bool tenant_limited)
{
	FfKeys keys = {{0}};

	if (flow != NULL && flow->throttle.limit > 0 && !started)
		keys.key[FF_KEY_THROTTLE] = ff_flow_key_name(tenant_id, function_id, 't', NULL,
													 ff_flow_key_value(flow->throttle.key, event));
	for (int i = 0; flow != NULL && i < flow->limits; i++)
	{
		const FfLimit *limit = &flow->limit[i];
		bool		   own = limit->scope == FF_SCOPE_FUNCTION;

		keys.key[FF_KEY_LIMIT + i] =
			ff_flow_key_name(tenant_id, own ? function_id : 0, 'c', limit->key_text,
							 ff_flow_key_value(limit->key, event));
	}
	if (tenant_limited)
		keys.key[FF_KEY_TENANT] = ff_flow_key_name(tenant_id, 0, 'm', NULL, "");
	return keys;
}

bool
ff_flow_keyed(const FfKeys *keys)
{
	for (int i = 0; i < FF_KEYS; i++)
	{
		if (keys->key[i] != 0)
			return true;
	}
	return false;
}

int64
ff_flow_queue(int32 function_id, const FfKeys *keys)
{
	return (int64) hash_bytes_extended((const unsigned char *) keys->key, sizeof(keys->key),
									   (uint32) function_id);
}

/* Seconds of head start, bounded; none when the expression gives no number. */
static double
head_start(const FfExpr *priority, Jsonb *event)
{
	FfBinding	binding = {"event", event};
	Jsonb	   *value = ff_expr_eval_filter(priority, &binding, 1);
	JsonbValue *number = value != NULL && JB_ROOT_IS_SCALAR(value)
							 ? getIthJsonbValueFromContainer(&value->root, 0)
							 : NULL;
	double		seconds;

	if (number == NULL || number->type != jbvNumeric)
		return 0;
	seconds = DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(number->val.numeric)));
	return Min(Max(seconds, -FF_MAX_HEAD_START_S), FF_MAX_HEAD_START_S);
}

TimestampTz
ff_flow_rank(const FfFlow *flow, Jsonb *event, TimestampTz created)
{
	if (flow == NULL || flow->priority == NULL)
		return created;
	return created - (int64) (head_start(flow->priority, event) * 1e6);
}

/*
 * cost.c - what a call to a model costs, exactly: prices are dollars for a million tokens.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "ai/wire.h"

static Numeric
plus_times(Numeric sum, int64 tokens, Numeric price)
{
	Datum part = DirectFunctionCall2(numeric_mul, NumericGetDatum(int64_to_numeric(tokens)),
									 NumericGetDatum(price));

	return DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(sum), part));
}

/* Of the input, what the provider's cache has given or taken has a price of its own. */
static Numeric
cost(const FfAiPrice *price, int64 input, int64 output, int64 cached, int64 cache_write)
{
	Datum	millionth = DirectFunctionCall3(numeric_in, CStringGetDatum("0.000001"),
											ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	int64	plain = Max(input - cached - cache_write, 0);
	Numeric sum = plus_times(int64_to_numeric(0), plain, price->input);
	Datum	dollars;

	sum = plus_times(sum, cached, price->cached ? price->cached : price->input);
	sum = plus_times(sum, cache_write, price->cache_write ? price->cache_write : price->input);
	sum = plus_times(sum, output, price->output);
	dollars = DirectFunctionCall2(numeric_mul, NumericGetDatum(sum), millionth);
	return DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, dollars));
}

/* A number of dollars that a provider has told; anything else is none. */
static bool
is_amount(Jsonb *told)
{
	JsonbValue value;

	return told != NULL && JB_ROOT_IS_SCALAR(told) && JsonbExtractScalar(&told->root, &value) &&
		   value.type == jbvNumeric &&
		   DatumGetBool(DirectFunctionCall2(numeric_ge, NumericGetDatum(value.val.numeric),
											NumericGetDatum(int64_to_numeric(0))));
}

Jsonb *
ff_ai_cost(const FfAiPrice *price, const FfAiResult *result)
{
	JsonbValue value = {.type = jbvNumeric};

	if (!price->known)
		return is_amount(result->told_cost) ? result->told_cost : NULL;
	value.val.numeric =
		cost(price, result->input, result->output, result->cached, result->cache_write);
	return JsonbValueToJsonb(&value);
}

static Numeric
optional_price(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : PG_GETARG_NUMERIC(number);
}

PG_FUNCTION_INFO_V1(ff_ai_sql_cost);
Datum
ff_ai_sql_cost(PG_FUNCTION_ARGS)
{
	FfAiPrice price = {.known = true};

	for (int i = 0; i < PG_NARGS(); i++)
	{
		if (PG_ARGISNULL(i) && i != 2 && i != 3)
			PG_RETURN_NULL();
	}
	price.input = PG_GETARG_NUMERIC(0);
	price.output = PG_GETARG_NUMERIC(1);
	price.cached = optional_price(fcinfo, 2);
	price.cache_write = optional_price(fcinfo, 3);
	PG_RETURN_NUMERIC(cost(&price, PG_GETARG_INT64(4), PG_GETARG_INT64(5), PG_GETARG_INT64(6),
						   PG_GETARG_INT64(7)));
}

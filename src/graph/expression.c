/*
 * expression.c - what expressions of nodes give, with the values that {{ path }} stands for in
 * them.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "graph/option.h"
#include "util/json.h"

static bool
truthy(Jsonb *value)
{
	JsonbValue scalar;

	if (!JB_ROOT_IS_SCALAR(value))
		return JB_ROOT_COUNT(value) > 0;
	(void) JsonbExtractScalar(&value->root, &scalar);
	switch (scalar.type)
	{
		case jbvNull:
			return false;
		case jbvBool:
			return scalar.val.boolean;
		case jbvString:
			return scalar.val.string.len > 0;
		default:
			return DatumGetInt32(DirectFunctionCall2(
					   numeric_cmp, NumericGetDatum(scalar.val.numeric),
					   DirectFunctionCall1(int4_numeric, Int32GetDatum(0)))) != 0;
	}
}

bool
ff_expr_truth(const char *source, int length, const FfScope *scope)
{
	const FfExpr *expr = ff_operand_expr_cached(source, length);

	return truthy(ff_expr_eval(expr, scope->bindings, scope->count));
}

char *
ff_expr_bound(const char *source, const FfScope *scope)
{
	return ff_expr_bind(ff_operand_expr_cached(source, (int) strlen(source)), scope);
}

/*
 * expression.c - what expressions of nodes give, with the values that {{ path }} stands for in
 * them.
 */
#include "postgres.h"

#include "graph/option.h"

bool
ff_expr_truth(const char *source, int length, const FfScope *scope)
{
	const FfExpr *expr = ff_operand_expr_cached(source, length);

	return ff_expr_truthy(ff_expr_eval(expr, scope->bindings, scope->count));
}

char *
ff_expr_bound(const char *source, const FfScope *scope)
{
	return ff_expr_bind(ff_operand_expr_cached(source, (int) strlen(source)), scope);
}

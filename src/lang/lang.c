/*
 * lang.c - ff_eval: the expression language from SQL.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "lang/lang.h"
#include "util/errors.h"
#include "util/json.h"

PG_FUNCTION_INFO_V1(ff_sql_eval);

/* The members of the context are the names. */
static FfBinding *
bindings_of(Jsonb *context, int *count)
{
	JsonbIterator	  *iterator = JsonbIteratorInit(&context->root);
	JsonbValue		   part;
	JsonbIteratorToken token;
	FfBinding		  *bindings = palloc(sizeof(FfBinding) * Max(JB_ROOT_COUNT(context), 1));

	*count = 0;
	while ((token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			bindings[*count].name = pnstrdup(part.val.string.val, part.val.string.len);
		else if (token == WJB_VALUE)
			bindings[(*count)++].value = JsonbValueToJsonb(&part);
	}
	return bindings;
}

static Jsonb *
json_false(void)
{
	JsonbValue value = {.type = jbvBool};

	return JsonbValueToJsonb(&value);
}

/* An error makes a filter false. */
static Jsonb *
evaluate_filter(const FfExpr *expr, const FfBinding *bindings, int count)
{
	Jsonb *result = ff_expr_eval_filter(expr, bindings, count);

	return result != NULL ? result : json_false();
}

Datum
ff_sql_eval(PG_FUNCTION_ARGS)
{
	char	  *source = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Jsonb	  *context = PG_GETARG_JSONB_P(1);
	char	  *mode = text_to_cstring(PG_GETARG_TEXT_PP(2));
	bool	   filter = strcmp(mode, "filter") == 0;
	FfExpr	  *expr;
	FfBinding *bindings;
	int		   count;

	if (!filter && strcmp(mode, "strict") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is no mode \"%s\"", mode),
				 errhint("Modes are strict and filter.")));
	if (!ff_json_is_object(context))
		ereport(ERROR,
				(errcode(FF_ERR_EXPRESSION_TYPE), errmsg("the context is not an object"),
				 errhint("Its members are the names the expression may use: {\"event\": {...}}.")));
	expr = ff_expr_compile(source, CurrentMemoryContext);
	bindings = bindings_of(context, &count);
	PG_RETURN_JSONB_P(filter ? evaluate_filter(expr, bindings, count)
							 : ff_expr_eval(expr, bindings, count));
}

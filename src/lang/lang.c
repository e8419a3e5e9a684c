/*
 * lang.c - ff_eval, ff_render and ff_template_refs: the language from SQL.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "lang/node.h"
#include "util/errors.h"
#include "util/json.h"

PG_FUNCTION_INFO_V1(ff_sql_eval);
PG_FUNCTION_INFO_V1(ff_sql_render);
PG_FUNCTION_INFO_V1(ff_sql_template_refs);
PG_FUNCTION_INFO_V1(ff_sql_canonical_expression);
PG_FUNCTION_INFO_V1(ff_sql_bound_expression);

static void
check_context(Jsonb *context)
{
	if (!ff_json_is_object(context))
		ereport(ERROR,
				(errcode(FF_ERR_EXPRESSION_TYPE), errmsg("the context is not an object"),
				 errhint("Its members are the names that may be used: {\"event\": {...}}.")));
}

typedef enum Mode
{
	MODE_STRICT,
	MODE_FILTER,
	MODE_GRAPH /* strict, with operands in braces */
} Mode;

static Mode
mode_of(const text *name)
{
	static const char *const modes[] = {"strict", "filter", "graph"};
	char					*said = text_to_cstring(name);

	for (int i = 0; i < (int) lengthof(modes); i++)
	{
		if (strcmp(said, modes[i]) == 0)
			return (Mode) i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is no mode \"%s\"", said),
			 errhint("Modes are strict, filter and graph.")));
}

/* An error makes a filter false. */
static Jsonb *
evaluate_filter(const FfExpr *expr, const FfScope *scope)
{
	JsonbValue no = {.type = jbvBool};
	Jsonb	  *result = ff_lang_filtered(expr, scope);

	return result != NULL ? result : JsonbValueToJsonb(&no);
}

Datum
ff_sql_eval(PG_FUNCTION_ARGS)
{
	text   *source = PG_GETARG_TEXT_PP(0);
	FfScope scope = {.context = PG_GETARG_JSONB_P(1)};
	Mode	mode = mode_of(PG_GETARG_TEXT_PP(2));
	int		length = (int) VARSIZE_ANY_EXHDR(source);
	FfExpr *expr;

	check_context(scope.context);
	expr = mode == MODE_GRAPH ? ff_operand_expr_cached(VARDATA_ANY(source), length)
							  : ff_expr_cached(VARDATA_ANY(source), length);
	PG_RETURN_JSONB_P(mode == MODE_FILTER ? evaluate_filter(expr, &scope)
										  : ff_lang_strict(expr, &scope));
}

Datum
ff_sql_render(PG_FUNCTION_ARGS)
{
	FfScope scope = {.context = PG_GETARG_JSONB_P(1)};

	check_context(scope.context);
	PG_RETURN_JSONB_P(ff_render(PG_GETARG_JSONB_P(0), &scope));
}

Datum
ff_sql_template_refs(PG_FUNCTION_ARGS)
{
	FfReferences found;
	Datum		*texts;

	ff_template_references(PG_GETARG_JSONB_P(0), NULL, &found);
	texts = palloc(sizeof(Datum) * Max(found.count, 1));
	for (int i = 0; i < found.count; i++)
		texts[i] = CStringGetTextDatum(found.items[i].path);
	PG_RETURN_ARRAYTYPE_P(construct_array(texts, found.count, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum
ff_sql_canonical_expression(PG_FUNCTION_ARGS)
{
	text *source = PG_GETARG_TEXT_PP(0);

	PG_RETURN_TEXT_P(cstring_to_text(
		ff_expr_print(ff_expr_cached(VARDATA_ANY(source), (int) VARSIZE_ANY_EXHDR(source)))));
}

Datum
ff_sql_bound_expression(PG_FUNCTION_ARGS)
{
	text   *source = PG_GETARG_TEXT_PP(0);
	FfScope scope = {.context = PG_GETARG_JSONB_P(1)};
	FfExpr *expr;

	check_context(scope.context);
	expr = ff_operand_expr_cached(VARDATA_ANY(source), (int) VARSIZE_ANY_EXHDR(source));
	PG_RETURN_TEXT_P(cstring_to_text(ff_expr_bind(expr, &scope)));
}

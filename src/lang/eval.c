/*
 * eval.c - tree and data to value.
 *
 * Every node costs a step, everything that grows with the data costs units (value.h), so that any
 * evaluation ends soon. Values are made in a scratch context that goes with the evaluation; most
 * filters make none.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "lang/node.h"
#include "util/errors.h"

static bool evaluate(FfEvaluation *e, const FfNode *node, FfValue *out);

/* --- operators --- */

static bool
evaluate_arithmetic(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfValue left = {0};

	if (!evaluate(e, node->kids[0], &left))
		return false;
	for (int i = 1; i < node->count; i++)
	{
		FfValue right = {0};
		FfValue result = {0};

		if (!evaluate(e, node->kids[i], &right) ||
			!ff_lang_operate(e, node->position, node->operators[i - 1], &left, &right, &result))
			return false;
		left = result;
	}
	*out = left;
	return true;
}

static bool
evaluate_minus(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfValue zero = {.kind = FF_INTEGER};
	FfValue value = {0};

	if (!evaluate(e, node->kids[0], &value))
		return false;
	if (!ff_value_is_number(&value))
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE, "- does not take %s",
							ff_value_kind(&value));
	return ff_lang_operate(e, node->position, FF_SUBTRACT, &zero, &value, out);
}

static bool
evaluate_compare(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfValue left = {0};
	bool	result = true;

	if (!evaluate(e, node->kids[0], &left))
		return false;
	for (int i = 1; i < node->count && result; i++)
	{
		FfValue right = {0};

		if (!evaluate(e, node->kids[i], &right) ||
			!ff_lang_compare(e, node->position, node->operators[i - 1], &left, &right, &result))
			return false;
		left = right;
	}
	ff_set_bool(out, result);
	return true;
}

/* `and` and `or` give the operand that decides. */
static bool
evaluate_logic(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	for (int i = 0; i < node->count; i++)
	{
		if (!evaluate(e, node->kids[i], out))
			return false;
		if (ff_value_truthy(out) == (node->kind == FF_NODE_OR))
			return true;
	}
	return true;
}

/* --- lists, objects and macros --- */

static bool
evaluate_list(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfList *list = ff_lang_list(e, node->position, node->count);

	if (list == NULL)
		return false;
	for (int i = 0; i < node->count; i++)
	{
		if (!evaluate(e, node->kids[i], &list->items[i]))
			return false;
	}
	return ff_lang_made(e, node->position, list, out);
}

/* The members as a list, so that their size is known before they become an object. */
static bool
evaluate_object(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfValue			 members = {0};
	JsonbParseState *state = NULL;
	Jsonb			*document;

	if (!evaluate_list(e, node, &members) || !ff_lang_pay(e, node->position, members.made->bytes))
		return false;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < node->count; i++)
	{
		const FfValue *part = &members.made->items[i];

		if (i % 2 == 0 && part->kind != FF_TEXT)
			return ff_lang_fail(e, node->kids[i]->position, FF_ERR_EXPRESSION_TYPE,
								"an object's key is text, not %s", ff_value_kind(part));
		ff_value_push(&state, i % 2 == 0 ? WJB_KEY : WJB_VALUE, part);
	}
	document = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	ff_value_of_document(document, out);
	return true;
}

/* One item: whether the body holds, or with map what it gives. */
static bool
macro_item(FfEvaluation *e, const FfNode *node, FfLocal *local, int i, const FfValue *list,
		   FfValue *out)
{
	bool done;

	ff_value_item(list, i, &local->value);
	e->locals = local;
	done = evaluate(e, node->kids[1], out);
	e->locals = local->outer;
	return done;
}

static bool
quantify(FfEvaluation *e, const FfNode *node, FfLocal *local, const FfValue *list, FfValue *out)
{
	bool any = node->function->special == FF_EXISTS;
	int	 count = ff_value_count(list);

	for (int i = 0; i < count; i++)
	{
		FfValue holds = {0};

		if (!macro_item(e, node, local, i, list, &holds))
			return false;
		if (ff_value_truthy(&holds) == any)
		{
			ff_set_bool(out, any);
			return true;
		}
	}
	ff_set_bool(out, !any);
	return true;
}

static bool
evaluate_macro(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfLocal local = {.name = node->text, .outer = e->locals};
	FfValue source = {0};
	FfList *list;
	int		count;

	if (!evaluate(e, node->kids[0], &source))
		return false;
	if (source.kind != FF_LIST)
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE, "%s walks a list, not %s",
							node->function->name, ff_value_kind(&source));
	if (node->function->special == FF_ALL || node->function->special == FF_EXISTS)
		return quantify(e, node, &local, &source, out);
	count = ff_value_count(&source);
	if ((list = ff_lang_list(e, node->position, count)) == NULL)
		return false;
	list->count = 0;
	for (int i = 0; i < count; i++)
	{
		FfValue result = {0};

		if (!macro_item(e, node, &local, i, &source, &result))
			return false;
		if (node->function->special == FF_MAP)
			list->items[list->count++] = result;
		else if (ff_value_truthy(&result))
			list->items[list->count++] = local.value;
	}
	return ff_lang_made(e, node->position, list, out);
}

/* --- calls --- */

/* Evaluates what may be missing: `found` tells whether it was there. False for any other error. */
static bool
try_argument(FfEvaluation *e, const FfNode *node, FfValue *out, bool *found)
{
	bool lenient = e->lenient;
	bool trying = e->trying;

	e->lenient = false;
	e->trying = true;
	*found = evaluate(e, node, out);
	e->lenient = lenient;
	e->trying = trying;
	if (!*found && !e->absent)
		return false;
	e->code = 0;
	return true;
}

/* default(x, y) and coalesce(x, y, z): the first that is there and not null; the last may be
 * anything. */
static bool
first_present(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	bool coalesce = node->function->max > 2;
	int	 last = coalesce ? node->count : node->count - 1;

	for (int i = 0; i < last; i++)
	{
		bool found;

		if (!try_argument(e, node->kids[i], out, &found))
			return false;
		if (found && out->kind != FF_NULL)
			return true;
	}
	ff_set_null(out);
	return coalesce || evaluate(e, node->kids[last], out);
}

static bool
evaluate_call(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfValue args[FF_MAX_ARGUMENTS];

	args[0] = (FfValue){0};
	for (int i = 0; i < node->count; i++)
	{
		if (!evaluate(e, node->kids[i], &args[i]))
			return false;
	}
	return node->function->call(e, node, args, out);
}

/* Whether an operand that fails with this error is just not there. */
static bool
is_gap(const FfEvaluation *e, const FfNode *operand)
{
	if (e->culprit != operand)
		return false;
	if (operand->kind == FF_NODE_CALL)
		return e->code == FF_ERR_EXPRESSION_RANGE && (operand->function->call == ff_filter_first ||
													  operand->function->call == ff_filter_last);
	return e->code == FF_ERR_EXPRESSION_UNDEFINED || e->code == FF_ERR_EXPRESSION_MISSING_KEY ||
		   e->code == FF_ERR_EXPRESSION_RANGE;
}

/*
 * The filter default(x), or default(x, true) for all that is falsy. Unlike the function it rescues
 * the operand's last part only: of a.b.c a missing b is an error, for it is a mistake more often
 * than an absence.
 */
static bool
rescue(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	const FfNode *operand = node->kids[0];
	FfValue		  falsy = {0};
	bool		  trying = e->trying;
	bool		  found;

	e->trying = true;
	found = evaluate(e, operand, out);
	e->trying = trying;
	if (!found && !is_gap(e, operand))
		return trying ? false : evaluate(e, operand, out); /* again, for the hint */
	e->code = 0;
	if (found && node->count == 3 && !evaluate(e, node->kids[2], &falsy))
		return false;
	if (found && (ff_value_truthy(out) || !ff_value_truthy(&falsy)))
		return true;
	return evaluate(e, node->kids[1], out);
}

static bool
evaluate_has(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfValue ignored = {0};
	bool	found;

	if (!try_argument(e, node->kids[0], &ignored, &found))
		return false;
	ff_set_bool(out, found);
	return true;
}

static bool
evaluate_special(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	switch (node->function->special)
	{
		case FF_DEFAULT:
			return first_present(e, node, out);
		case FF_RESCUE:
			return rescue(e, node, out);
		case FF_HAS:
			return evaluate_has(e, node, out);
		default:
			return evaluate_call(e, node, out);
	}
}

/* --- the walk --- */

static bool
evaluate_condition(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfValue test = {0};

	return evaluate(e, node->kids[0], &test) &&
		   evaluate(e, node->kids[ff_value_truthy(&test) ? 1 : 2], out);
}

static bool
evaluate_not(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfValue value = {0};

	if (!evaluate(e, node->kids[0], &value))
		return false;
	ff_set_bool(out, !ff_value_truthy(&value));
	return true;
}

static bool
evaluate_member(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfValue object = {0};

	if (!evaluate(e, node->kids[0], &object))
		return false;
	if (node->kind == FF_NODE_PART)
		return ff_lang_part(e, node->position, &object, node->text, node->length, out);
	return ff_lang_member(e, node->position, &object, node->text, node->length, out);
}

static bool
evaluate_index(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfValue object = {0};
	FfValue key = {0};

	return evaluate(e, node->kids[0], &object) && evaluate(e, node->kids[1], &key) &&
		   ff_lang_index(e, node->kids[1]->position, &object, &key, out);
}

/* A path that is there, or what else the text says. */
static bool
evaluate_either(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	bool trying = e->trying;
	bool found;

	e->trying = true;
	found = evaluate(e, node->kids[0], out);
	e->trying = trying;
	if (!found && e->code == FF_ERR_EXPRESSION_LIMIT)
		return false;
	e->code = 0;
	if (found && node->kids[1] == node->kids[0])
		return true;
	return evaluate(e, node->kids[found ? 1 : 2], out);
}

static inline bool
walk(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	if (!ff_lang_pay(e, node->position, FF_STEP))
		return false;
	if (stack_is_too_deep())
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_LIMIT,
							"the expression is nested too deeply");
	switch (node->kind)
	{
		case FF_NODE_LITERAL:
			*out = node->literal;
			return true;
		case FF_NODE_NAME:
			return ff_lang_name(e, node, out);
		case FF_NODE_MEMBER:
		case FF_NODE_PART:
			return evaluate_member(e, node, out);
		case FF_NODE_INDEX:
			return evaluate_index(e, node, out);
		case FF_NODE_EITHER:
			return evaluate_either(e, node, out);
		case FF_NODE_NOT:
			return evaluate_not(e, node, out);
		case FF_NODE_MINUS:
			return evaluate_minus(e, node, out);
		case FF_NODE_ARITHMETIC:
			return evaluate_arithmetic(e, node, out);
		case FF_NODE_COMPARE:
			return evaluate_compare(e, node, out);
		case FF_NODE_AND:
		case FF_NODE_OR:
			return evaluate_logic(e, node, out);
		case FF_NODE_CONDITION:
			return evaluate_condition(e, node, out);
		case FF_NODE_LIST:
			return evaluate_list(e, node, out);
		case FF_NODE_OBJECT:
			return evaluate_object(e, node, out);
		case FF_NODE_OPERAND:
			return evaluate(e, node->kids[0], out);
		case FF_NODE_TEMPLATE:
			return ff_lang_render(e, node, out);
		case FF_NODE_CALL:
			return evaluate_special(e, node, out);
		case FF_NODE_MACRO:
			return evaluate_macro(e, node, out);
	}
	return false;
}

/* Remembers the node that failed, the innermost, for `| default(x)`. */
static bool
evaluate(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	if (likely(walk(e, node, out)))
		return true;
	if (e->culprit == NULL)
		e->culprit = node;
	return false;
}

/* --- the doors --- */

void
ff_lang_begin(FfEvaluation *e, const FfScope *scope, bool filter)
{
	e->scope = scope;
	e->locals = NULL;
	e->trying = false;
	e->filter = e->lenient = e->quiet = filter;
	e->budget = (int64) ff_lang_max_steps * FF_STEP;
	e->output = 0;
	e->scratch = NULL;
	e->code = 0;
	e->culprit = NULL;
	e->message[0] = e->hint[0] = '\0';
}

bool
ff_lang_evaluate(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	return evaluate(e, node, out);
}

void
ff_lang_end(FfEvaluation *e)
{
	if (e->scratch == NULL)
		return;
	MemoryContextSwitchTo(e->caller);
	MemoryContextDelete(e->scratch);
	e->scratch = NULL;
}

Jsonb *
ff_lang_keep(FfEvaluation *e, Jsonb *made)
{
	Jsonb *result = made;

	if (e->scratch != NULL)
	{
		result = MemoryContextAlloc(e->caller, VARSIZE(made));
		memcpy(result, made, VARSIZE(made));
	}
	ff_lang_end(e);
	return result;
}

Jsonb *
ff_lang_strict(const FfExpr *expr, const FfScope *scope)
{
	FfEvaluation e;
	FfValue		 value = {0};

	ff_lang_begin(&e, scope, false);
	if (evaluate(&e, expr->root, &value))
		return ff_lang_keep(&e, ff_value_document(&value));
	ff_lang_end(&e);
	ff_lang_report(&e, false, expr->source);
}

Jsonb *
ff_lang_filtered(const FfExpr *expr, const FfScope *scope)
{
	FfEvaluation e;
	FfValue		 value = {0};

	ff_lang_begin(&e, scope, true);
	if (evaluate(&e, expr->root, &value))
		return ff_lang_keep(&e, ff_value_document(&value));
	ff_lang_end(&e);
	return NULL;
}

Jsonb *
ff_expr_eval(const FfExpr *expr, const FfBinding *bindings, int count)
{
	FfScope scope = {.bindings = bindings, .count = count};

	return ff_lang_strict(expr, &scope);
}

bool
ff_expr_truthy(Jsonb *value)
{
	FfValue v = {0};

	ff_value_of_document(value, &v);
	return ff_value_truthy(&v);
}

Jsonb *
ff_expr_eval_filter(const FfExpr *expr, const FfBinding *bindings, int count)
{
	FfScope scope = {.bindings = bindings, .count = count};

	return ff_lang_filtered(expr, &scope);
}

/* Messages are made only for who reads them: what has failed is evaluated again to hear why. */
bool
ff_expr_filter_why(const FfExpr *expr, const FfBinding *bindings, int count, char *why, Size size)
{
	FfScope		 scope = {.bindings = bindings, .count = count};
	FfEvaluation e;
	FfValue		 value = {0};
	bool		 known;
	bool		 passes;

	if (expr->fault != NULL)
	{
		strlcpy(why, expr->fault, size);
		return false;
	}
	ff_lang_begin(&e, &scope, true);
	known = evaluate(&e, expr->root, &value);
	passes = known && ff_value_truthy(&value);
	ff_lang_end(&e);
	why[0] = '\0';
	if (known)
		return passes;
	ff_lang_begin(&e, &scope, true);
	e.quiet = false;
	evaluate(&e, expr->root, &value);
	strlcpy(why, e.message[0] != '\0' ? e.message : "it cannot be evaluated", size);
	ff_lang_end(&e);
	return false;
}

bool
ff_expr_filter(const FfExpr *expr, const FfBinding *bindings, int count)
{
	FfScope		 scope = {.bindings = bindings, .count = count};
	FfEvaluation e;
	FfValue		 value = {0};
	bool		 passes;

	if (expr->fault != NULL)
		return false;
	ff_lang_begin(&e, &scope, true);
	passes = evaluate(&e, expr->root, &value) && ff_value_truthy(&value);
	ff_lang_end(&e);
	return passes;
}

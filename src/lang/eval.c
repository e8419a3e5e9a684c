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

/* --- names and members --- */

static void
suggest(FfEvaluation *e, const FfNearest *nearest)
{
	if (nearest->name[0] != '\0')
		snprintf(e->hint, sizeof(e->hint), "Perhaps you meant \"%s\".", nearest->name);
}

static bool
fail_name(FfEvaluation *e, const FfNode *node)
{
	FfNearest nearest = {.wanted = node->text, .length = node->length, .distance = 4};

	ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_UNDEFINED, "the name \"%s\" is not defined",
				 node->text);
	e->absent = true;
	if (e->quiet || e->trying)
		return false;
	for (const FfLocal *local = e->locals; local != NULL; local = local->outer)
		ff_lang_seek(&nearest, local->name, (int) strlen(local->name));
	for (int i = 0; i < e->count; i++)
		ff_lang_seek(&nearest, e->bindings[i].name, (int) strlen(e->bindings[i].name));
	suggest(e, &nearest);
	return false;
}

static bool
evaluate_name(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	for (const FfLocal *local = e->locals; local != NULL; local = local->outer)
	{
		if (strcmp(local->name, node->text) == 0)
		{
			*out = local->value;
			return true;
		}
	}
	for (int i = 0; i < e->count; i++)
	{
		if (strcmp(e->bindings[i].name, node->text) == 0)
		{
			ff_value_of_document(e->bindings[i].value, out);
			return true;
		}
	}
	if (!node->keyword)
		return fail_name(e, node);
	*out = node->literal;
	return true;
}

/* The keys of a stored object, looked at for a hint only. */
static bool
fail_key(FfEvaluation *e, int position, const FfValue *object, const char *key, int length)
{
	FfNearest		   nearest = {.wanted = key, .length = length, .distance = 4};
	JsonbIterator	  *iterator;
	JsonbIteratorToken token;
	JsonbValue		   part;

	ff_lang_fail(e, position, FF_ERR_EXPRESSION_MISSING_KEY, "the object has no key \"%.*s\"",
				 Min(length, 200), key);
	e->absent = true;
	if (e->quiet || e->trying)
		return false;
	iterator = JsonbIteratorInit(object->u.stored);
	while ((token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_KEY)
			ff_lang_seek(&nearest, part.val.string.val, part.val.string.len);
	}
	suggest(e, &nearest);
	return false;
}

static bool
member(FfEvaluation *e, int position, const FfValue *object, const char *key, int length,
	   FfValue *out)
{
	JsonbValue json;

	if (object->kind == FF_OBJECT)
	{
		if (getKeyJsonValueFromContainer(object->u.stored, key, length, &json) != NULL)
		{
			ff_value_of_json(&json, out);
			return true;
		}
		if (!e->lenient)
			return fail_key(e, position, object, key, length);
	}
	else if (!e->lenient || object->kind != FF_NULL)
	{
		ff_lang_fail(e, position, FF_ERR_EXPRESSION_NAVIGATE, "cannot navigate into %s with '%.*s'",
					 ff_value_kind(object), Min(length, 200), key);
		e->absent = object->kind == FF_NULL;
		return false;
	}
	ff_set_missing(out);
	return true;
}

/* An index counts from the end when negative; -1 where nothing is and that is allowed. */
static bool
find_index(FfEvaluation *e, int position, const FfValue *key, int count, int *index)
{
	*index = -1;
	if (key->kind != FF_INTEGER)
		return ff_lang_fail(e, position, FF_ERR_EXPRESSION_BAD_INDEX,
							"the index is %s, not an integer", ff_value_kind(key));
	if (key->u.integer >= -(int64) count && key->u.integer < count)
		*index = (int) (key->u.integer < 0 ? key->u.integer + count : key->u.integer);
	else if (!e->lenient)
	{
		ff_lang_fail(e, position, FF_ERR_EXPRESSION_RANGE,
					 "the index %lld is out of range (%d item%s)", (long long) key->u.integer,
					 count, count == 1 ? "" : "s");
		e->absent = true;
		return false;
	}
	return true;
}

static bool
character(FfEvaluation *e, int position, const FfValue *text, const FfValue *key, FfValue *out)
{
	const char *c = text->u.text;
	int			index;

	if (!ff_lang_pay(e, position, text->length / 8) ||
		!find_index(e, position, key, pg_mbstrlen_with_len(text->u.text, text->length), &index))
		return false;
	ff_set_missing(out);
	if (index < 0)
		return true;
	for (; index > 0; index--)
		c += pg_utf_mblen((const unsigned char *) c);
	ff_set_text(out, c, pg_utf_mblen((const unsigned char *) c));
	return true;
}

/* 1.0 is an index too. */
static void
make_integer(FfEvaluation *e, FfValue *v)
{
	if (v->kind != FF_NUMERIC)
		return;
	ff_lang_use_scratch(e);
	ff_set_numeric(
		v, DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(v->u.numeric))));
}

static bool
evaluate_index(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfValue object = {0};
	FfValue key = {0};
	int		position = node->kids[1]->position;
	int		index;

	if (!evaluate(e, node->kids[0], &object) || !evaluate(e, node->kids[1], &key))
		return false;
	make_integer(e, &key);
	if (object.kind == FF_TEXT)
		return character(e, position, &object, &key, out);
	if (object.kind == FF_LIST)
	{
		if (!find_index(e, position, &key, ff_value_count(&object), &index))
			return false;
		ff_set_missing(out);
		if (index >= 0)
			ff_value_item(&object, index, out);
		return true;
	}
	if (key.kind == FF_TEXT)
		return member(e, position, &object, key.u.text, key.length, out);
	if (object.kind == FF_OBJECT)
		return ff_lang_fail(e, position, FF_ERR_EXPRESSION_BAD_INDEX,
							"an object is indexed by text, not %s", ff_value_kind(&key));
	return member(e, position, &object, "...", 3, out);
}

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

static bool
evaluate_special(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	FfValue value = {0};
	bool	found;

	if (node->function->special == FF_PLAIN)
		return evaluate_call(e, node, out);
	if (node->function->special == FF_DEFAULT)
		return first_present(e, node, out);
	if (!try_argument(e, node->kids[0], &value, &found))
		return false;
	ff_set_bool(out, found);
	return true;
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

	return evaluate(e, node->kids[0], &object) &&
		   member(e, node->position, &object, node->text, node->length, out);
}

static bool
evaluate(FfEvaluation *e, const FfNode *node, FfValue *out)
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
			return evaluate_name(e, node, out);
		case FF_NODE_MEMBER:
			return evaluate_member(e, node, out);
		case FF_NODE_INDEX:
			return evaluate_index(e, node, out);
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
		case FF_NODE_CALL:
			return evaluate_special(e, node, out);
		case FF_NODE_MACRO:
			return evaluate_macro(e, node, out);
	}
	return false;
}

/* --- the doors --- */

static void
begin(FfEvaluation *e, const FfExpr *expr, const FfBinding *bindings, int count, bool filter)
{
	e->expr = expr;
	e->bindings = bindings;
	e->count = count;
	e->locals = NULL;
	e->trying = false;
	e->filter = e->lenient = e->quiet = filter;
	e->budget = (int64) ff_lang_max_steps * FF_STEP;
	e->scratch = NULL;
	e->code = 0;
	e->message[0] = e->hint[0] = '\0';
}

bool
ff_lang_evaluate(FfEvaluation *e, const FfExpr *expr, const FfNode *node, const FfBinding *bindings,
				 int count, bool filter, FfValue *out)
{
	begin(e, expr, bindings, count, filter);
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
ff_lang_result(FfEvaluation *e, const FfValue *v)
{
	Jsonb *made = ff_value_document(v);
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
ff_expr_eval(const FfExpr *expr, const FfBinding *bindings, int count)
{
	FfEvaluation e;
	FfValue		 value = {0};

	if (ff_lang_evaluate(&e, expr, expr->root, bindings, count, false, &value))
		return ff_lang_result(&e, &value);
	ff_lang_end(&e);
	ereport(
		ERROR,
		(errcode(e.code), errmsg("the expression cannot be evaluated: %s", e.message),
		 errdetail("%s", ff_lang_place(expr->source, e.position)),
		 e.hint[0] != '\0' ? errhint("%s", e.hint)
		 : e.absent
			 ? errhint(
				   "has(a.b) asks whether a member is there, default(a.b, x) replaces a missing one.")
			 : 0));
	return NULL;
}

Jsonb *
ff_expr_eval_filter(const FfExpr *expr, const FfBinding *bindings, int count)
{
	FfEvaluation e;
	FfValue		 value = {0};

	if (ff_lang_evaluate(&e, expr, expr->root, bindings, count, true, &value))
		return ff_lang_result(&e, &value);
	ff_lang_end(&e);
	return NULL;
}

/* Messages are made only for who reads them: what has failed is evaluated again to hear why. */
bool
ff_expr_filter_why(const FfExpr *expr, const FfBinding *bindings, int count, char *why, Size size)
{
	FfEvaluation e;
	FfValue		 value = {0};
	bool		 known = ff_lang_evaluate(&e, expr, expr->root, bindings, count, true, &value);
	bool		 passes = known && ff_value_truthy(&value);

	ff_lang_end(&e);
	why[0] = '\0';
	if (known)
		return passes;
	begin(&e, expr, bindings, count, true);
	e.quiet = false;
	evaluate(&e, expr->root, &value);
	strlcpy(why, e.message[0] != '\0' ? e.message : "it cannot be evaluated", size);
	ff_lang_end(&e);
	return false;
}

bool
ff_expr_filter(const FfExpr *expr, const FfBinding *bindings, int count)
{
	FfEvaluation e;
	FfValue		 value = {0};
	bool		 passes = ff_lang_evaluate(&e, expr, expr->root, bindings, count, true, &value) &&
				  ff_value_truthy(&value);

	ff_lang_end(&e);
	return passes;
}

/*
 * list.c - the functions of the expression language on lists and objects.
 *
 * Sorting is a merge sort of pointers into the list: stable, and it can stop at any comparison.
 */
#include "postgres.h"

#include "lang/node.h"
#include "util/errors.h"

typedef bool (*Order)(FfEvaluation *e, int position, const FfValue *a, const FfValue *b,
					  int *order);

static bool
takes(FfEvaluation *e, const FfNode *node, const FfValue *v, FfKind kind)
{
	FfValue wanted = {.kind = kind};

	return v->kind == kind ||
		   ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE, "%s takes %s, not %s",
						node->function->name, ff_value_kind(&wanted), ff_value_kind(v));
}

/* The items of a list, to be read in place. */
static FfList *
items_of(FfEvaluation *e, const FfNode *node, const FfValue *v)
{
	FfList *list;

	if (v->made != NULL)
		return v->made;
	list = ff_lang_list(e, node->position, ff_value_count(v));
	for (int i = 0; list != NULL && i < list->count; i++)
		ff_value_item(v, i, &list->items[i]);
	return list;
}

/* --- keys and values --- */

/* In the order jsonb keeps them: by length, then by bytes. */
static bool
parts_of(FfEvaluation *e, const FfNode *node, const FfValue *object, JsonbIteratorToken wanted,
		 FfValue *out)
{
	FfList			  *list;
	JsonbIterator	  *iterator;
	JsonbIteratorToken token;
	JsonbValue		   part;
	int				   count = 0;

	if (!takes(e, node, object, FF_OBJECT) ||
		(list = ff_lang_list(e, node->position, ff_value_count(object))) == NULL)
		return false;
	iterator = JsonbIteratorInit(object->u.stored);
	while ((token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
	{
		if (token == wanted)
			ff_value_of_json(&part, &list->items[count++]);
	}
	return ff_lang_made(e, node->position, list, out);
}

bool
ff_fn_keys(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	return parts_of(e, node, args, WJB_KEY, out);
}

bool
ff_fn_values(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	return parts_of(e, node, args, WJB_VALUE, out);
}

/* --- folding --- */

bool
ff_fn_sum(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	int count;

	if (!takes(e, node, args, FF_LIST))
		return false;
	count = ff_value_count(args);
	ff_set_integer(out, 0);
	for (int i = 0; i < count; i++)
	{
		FfValue item = {0};
		FfValue total = *out;

		ff_value_item(args, i, &item);
		if (!ff_value_is_number(&item))
			return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
								"sum takes a list of numbers, but %s is in it",
								ff_value_kind(&item));
		if (!ff_lang_pay(e, node->position, 8) ||
			!ff_lang_operate(e, node->position, FF_ADD, &total, &item, out))
			return false;
	}
	return true;
}

/* The first or last in order of a list, or of the arguments. */
static bool
extreme(FfEvaluation *e, const FfNode *node, const FfValue *args, int sign, FfValue *out)
{
	bool listed = node->count == 1;
	int	 count = node->count;

	if (listed && !takes(e, node, args, FF_LIST))
		return false;
	if (listed)
		count = ff_value_count(args);
	if (count == 0)
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
							"%s takes a list of at least one item", node->function->name);
	for (int i = 0; i < count; i++)
	{
		FfValue item = {0};
		int		order = 0;

		if (listed)
			ff_value_item(args, i, &item);
		else
			item = args[i];
		if (i > 0 && !ff_value_compare(e, node->position, &item, out, &order, NULL))
			return false;
		if (i == 0 || order * sign < 0)
			*out = item;
	}
	return true;
}

bool
ff_fn_min(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	return extreme(e, node, args, 1, out);
}

bool
ff_fn_max(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	return extreme(e, node, args, -1, out);
}

/* --- sorting --- */

/* Merges the neighbours [start, middle) and [middle, end) of `from` into `to`. */
static bool
merge(FfEvaluation *e, const FfNode *node, const FfValue **from, const FfValue **to, int start,
	  int middle, int end, Order compare)
{
	int a = start;
	int b = middle;

	for (int i = start; i < end; i++)
	{
		int order = 0;

		if (a < middle && b < end && !compare(e, node->position, from[a], from[b], &order))
			return false;
		to[i] = b >= end || (a < middle && order <= 0) ? from[a++] : from[b++];
	}
	return true;
}

/* Pointers to the items in order; NULL with an error. */
static const FfValue **
sorted(FfEvaluation *e, const FfNode *node, const FfList *list, Order compare)
{
	int				count = list->count;
	const FfValue **from =
		(const FfValue **) ff_lang_room(e, node->position, (int64) count * sizeof(FfValue *));
	const FfValue **to =
		(const FfValue **) ff_lang_room(e, node->position, (int64) count * sizeof(FfValue *));

	if (from == NULL || to == NULL)
		return NULL;
	for (int i = 0; i < count; i++)
		from[i] = &list->items[i];
	for (int width = 1; width < count; width *= 2)
	{
		const FfValue **other = from;

		for (int start = 0; start < count; start += 2 * width)
		{
			if (!merge(e, node, from, to, start, Min(start + width, count),
					   Min(start + 2 * width, count), compare))
				return NULL;
		}
		from = to;
		to = other;
	}
	return from;
}

static bool
natural_order(FfEvaluation *e, int position, const FfValue *a, const FfValue *b, int *order)
{
	return ff_value_compare(e, position, a, b, order, NULL);
}

bool
ff_fn_sort(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	FfList		   *list;
	FfList		   *result;
	const FfValue **order;

	if (!takes(e, node, args, FF_LIST) || (list = items_of(e, node, args)) == NULL)
		return false;
	if ((order = sorted(e, node, list, natural_order)) == NULL ||
		(result = ff_lang_list(e, node->position, list->count)) == NULL)
		return false;
	for (int i = 0; i < list->count; i++)
		result->items[i] = *order[i];
	return ff_lang_made(e, node->position, result, out);
}

/* An order of all values, of no meaning but that equal ones meet. Lists and objects are stored
 * ones. */
static bool
any_order(FfEvaluation *e, int position, const FfValue *a, const FfValue *b, int *order)
{
	FfKind x = a->kind == FF_INTEGER ? FF_NUMERIC : a->kind;
	FfKind y = b->kind == FF_INTEGER ? FF_NUMERIC : b->kind;

	if (x != y)
		*order = x < y ? -1 : 1;
	else if (x == FF_NUMERIC || x == FF_TEXT)
		return ff_value_compare(e, position, a, b, order, NULL);
	else if (x == FF_BOOL)
		*order = (int) a->u.boolean - (int) b->u.boolean;
	else if (x == FF_LIST || x == FF_OBJECT)
	{
		*order = compareJsonbContainers(a->u.stored, b->u.stored);
		return ff_lang_pay(e, position, FF_STEP + ((int64) a->length + b->length) / 4);
	}
	return ff_lang_pay(e, position, 4);
}

/* Items as any_order takes them: lists that were made are stored. */
static bool
store_lists(FfEvaluation *e, const FfNode *node, FfList *list)
{
	for (int i = 0; i < list->count; i++)
	{
		FfValue *item = &list->items[i];

		if (item->kind != FF_LIST || item->made == NULL)
			continue;
		if (!ff_lang_pay(e, node->position, item->made->bytes * 2))
			return false;
		ff_value_of_document(ff_value_document(item), item);
	}
	return true;
}

/* The first of each, in the order of the list. */
bool
ff_fn_unique(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	FfList		   *list;
	const FfValue **order;
	FfList		   *result;
	bool		   *again;

	if (!takes(e, node, args, FF_LIST) || (list = items_of(e, node, args)) == NULL ||
		!store_lists(e, node, list))
		return false;
	if ((order = sorted(e, node, list, any_order)) == NULL ||
		(result = ff_lang_list(e, node->position, list->count)) == NULL)
		return false;
	again = palloc0(Max(list->count, 1));
	for (int i = 1; i < list->count; i++)
	{
		int distance = 0;

		if (!any_order(e, node->position, order[i - 1], order[i], &distance))
			return false;
		again[order[i] - list->items] = distance == 0;
	}
	result->count = 0;
	for (int i = 0; i < list->count; i++)
	{
		if (!again[i])
			result->items[result->count++] = list->items[i];
	}
	return ff_lang_made(e, node->position, result, out);
}

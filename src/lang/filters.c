/*
 * filters.c - the filters of templates: their table, and those on lists.
 *
 * Many are functions of expressions under the same name. Those on text are in filter_text.c, the
 * codings and dates in encode.c. A filter gets the value it filters as its first argument; an
 * argument that was left out between named ones is null.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "lang/node.h"
#include "util/errors.h"

/* clang-format off */
const FfFunction ff_filters[] = {
	{"upper", FF_PLAIN, 1, 1, ff_fn_upper, NULL},
	{"lower", FF_PLAIN, 1, 1, ff_fn_lower, NULL},
	{"title", FF_PLAIN, 1, 1, ff_filter_title, NULL},
	{"trim", FF_PLAIN, 1, 1, ff_fn_trim, NULL},
	{"length", FF_PLAIN, 1, 1, ff_fn_size, NULL},
	{"first", FF_PLAIN, 1, 1, ff_filter_first, NULL},
	{"last", FF_PLAIN, 1, 1, ff_filter_last, NULL},
	{"join", FF_PLAIN, 1, 2, ff_filter_join, "sep"},
	{"default", FF_RESCUE, 2, 3, NULL, "default_value boolean"},
	{"replace", FF_PLAIN, 3, 3, ff_fn_replace, "old new"},
	{"round", FF_PLAIN, 1, 2, ff_fn_round, "precision"},
	{"abs", FF_PLAIN, 1, 1, ff_fn_abs, NULL},
	{"int", FF_PLAIN, 1, 1, ff_fn_int, NULL},
	{"float", FF_PLAIN, 1, 1, ff_fn_float, NULL},
	{"string", FF_PLAIN, 1, 1, ff_fn_string, NULL},
	{"tojson", FF_PLAIN, 1, 1, ff_filter_tojson, NULL},
	{"fromjson", FF_PLAIN, 1, 1, ff_filter_fromjson, NULL},
	{"sort", FF_PLAIN, 1, 2, ff_filter_sort, "reverse"},
	{"unique", FF_PLAIN, 1, 1, ff_fn_unique, NULL},
	{"reverse", FF_PLAIN, 1, 1, ff_filter_reverse, NULL},
	{"keys", FF_PLAIN, 1, 1, ff_fn_keys, NULL},
	{"values", FF_PLAIN, 1, 1, ff_fn_values, NULL},
	{"sum", FF_PLAIN, 1, 1, ff_fn_sum, NULL},
	{"min", FF_PLAIN, 1, 1, ff_fn_min, NULL},
	{"max", FF_PLAIN, 1, 1, ff_fn_max, NULL},
	{"map", FF_NAMED, 2, 2, ff_filter_map, "attribute"},
	{"selectattr", FF_PLAIN, 2, 4, ff_filter_selectattr, NULL},
	{"slice", FF_PLAIN, 2, 3, ff_filter_slice, "slices fill_with"},
	{"batch", FF_PLAIN, 2, 3, ff_filter_batch, "linecount fill_with"},
	{"truncate", FF_PLAIN, 1, 5, ff_filter_truncate, "length killwords end leeway"},
	{"urlencode", FF_PLAIN, 1, 1, ff_filter_urlencode, NULL},
	{"b64encode", FF_PLAIN, 1, 1, ff_filter_b64encode, NULL},
	{"b64decode", FF_PLAIN, 1, 1, ff_filter_b64decode, NULL},
	{"sha256", FF_PLAIN, 1, 1, ff_filter_sha256, NULL},
	{"date", FF_PLAIN, 2, 2, ff_filter_date, "format"},
};
/* clang-format on */
const int ff_filter_count = lengthof(ff_filters);

static bool
refuse(FfEvaluation *e, const FfNode *node, const char *wanted, const FfValue *v)
{
	return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE, "%s takes %s, not %s",
						node->function->name, wanted, ff_value_kind(v));
}

static bool
takes_list(FfEvaluation *e, const FfNode *node, const FfValue *v)
{
	return v->kind == FF_LIST || refuse(e, node, "a list", v);
}

/* --- parts of lists --- */

/* range(end), range(start, end) and range(start, end, step). */
bool
ff_filter_range(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	int64	start = node->count > 1 ? args[0].u.integer : 0;
	int64	end = args[node->count > 1 ? 1 : 0].u.integer;
	int64	step = node->count > 2 ? args[2].u.integer : 1;
	int64	distance;
	FfList *list;

	for (int i = 0; i < node->count; i++)
	{
		if (args[i].kind != FF_INTEGER || Abs(args[i].u.integer) > PG_INT32_MAX)
			return args[i].kind == FF_INTEGER
					   ? ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_LIMIT,
									  "the range is too long")
					   : refuse(e, node, "integers", &args[i]);
	}
	if (step == 0)
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE, "range takes no step of 0");
	distance = step > 0 ? end - start : start - end;
	list = ff_lang_list(e, node->position, Max((distance + Abs(step) - 1) / Abs(step), 0));
	for (int i = 0; list != NULL && i < list->count; i++)
		ff_set_integer(&list->items[i], start + i * step);
	return list != NULL && ff_lang_made(e, node->position, list, out);
}

/* The first or last item of a list or character of a text. */
static bool
end_of(FfEvaluation *e, const FfNode *node, const FfValue *v, int end, FfValue *out)
{
	FfValue index = {.kind = FF_INTEGER, .u.integer = end};

	if (v->kind != FF_LIST && v->kind != FF_TEXT)
		return refuse(e, node, "a list or a text", v);
	if (ff_value_truthy(v))
		return ff_lang_index(e, node->position, v, &index, out);
	ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_RANGE, "%s of %s with nothing in it",
				 node->function->name, ff_value_kind(v));
	e->absent = true;
	return false;
}

bool
ff_filter_first(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	return end_of(e, node, args, 0, out);
}

bool
ff_filter_last(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	return end_of(e, node, args, -1, out);
}

/* --- order --- */

static bool
reverse_list(FfEvaluation *e, const FfNode *node, const FfValue *v, FfValue *out)
{
	FfList *list = ff_lang_list(e, node->position, ff_value_count(v));

	for (int i = 0; list != NULL && i < list->count; i++)
		ff_value_item(v, list->count - 1 - i, &list->items[i]);
	return list != NULL && ff_lang_made(e, node->position, list, out);
}

static bool
reverse_text(FfEvaluation *e, const FfNode *node, const FfValue *v, FfValue *out)
{
	char *text = ff_lang_room(e, node->position, v->length);
	int	  at = 0;

	if (text == NULL)
		return false;
	while (at < v->length)
	{
		int size = pg_utf_mblen((const unsigned char *) v->u.text + at);

		memcpy(text + v->length - at - size, v->u.text + at, size);
		at += size;
	}
	ff_set_text(out, text, v->length);
	return true;
}

bool
ff_filter_reverse(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	if (args->kind == FF_TEXT)
		return reverse_text(e, node, args, out);
	return args->kind == FF_LIST ? reverse_list(e, node, args, out)
								 : refuse(e, node, "a list or a text", args);
}

bool
ff_filter_sort(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	FfValue sorted = {0};

	if (!ff_fn_sort(e, node, args, &sorted))
		return false;
	if (node->count == 2 && ff_value_truthy(&args[1]))
		return reverse_list(e, node, &sorted, out);
	*out = sorted;
	return true;
}

/* --- members of the items --- */

/* The member of an item that a dotted path names. */
static bool
attribute_of(FfEvaluation *e, const FfNode *node, const FfValue *item, const FfValue *path,
			 FfValue *out)
{
	const char *at = path->u.text;
	const char *end = at + path->length;

	*out = *item;
	while (at <= end)
	{
		const char *dot = memchr(at, '.', end - at);
		int			length = (int) ((dot != NULL ? dot : end) - at);
		FfValue		object = *out;

		*out = (FfValue){0};
		if (!ff_lang_pay(e, node->position, FF_STEP / 2) ||
			!ff_lang_part(e, node->position, &object, at, length, out))
			return false;
		at += length + 1;
	}
	return true;
}

static bool
takes_attribute(FfEvaluation *e, const FfNode *node, const FfValue *args)
{
	return takes_list(e, node, args) &&
		   (args[1].kind == FF_TEXT || refuse(e, node, "a member's name", &args[1]));
}

/* map(attribute='a.b'). */
bool
ff_filter_map(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	FfList *list;

	if (!takes_attribute(e, node, args) ||
		(list = ff_lang_list(e, node->position, ff_value_count(args))) == NULL)
		return false;
	for (int i = 0; i < list->count; i++)
	{
		FfValue item = {0};

		ff_value_item(args, i, &item);
		if (!attribute_of(e, node, &item, &args[1], &list->items[i]))
			return false;
	}
	return ff_lang_made(e, node->position, list, out);
}

/* The comparison a test names, as an operator or as a word; false for a name that is none. */
static bool
find_test(const FfValue *name, FfOperator *out)
{
	static const struct
	{
		const char *name;
		FfOperator	op;
	} tests[] = {{"==", FF_EQ},			 {"eq", FF_EQ}, {"equalto", FF_EQ}, {"!=", FF_NE},
				 {"ne", FF_NE},			 {"<", FF_LT},	{"lt", FF_LT},		{"lessthan", FF_LT},
				 {"<=", FF_LE},			 {"le", FF_LE}, {">", FF_GT},		{"gt", FF_GT},
				 {"greaterthan", FF_GT}, {">=", FF_GE}, {"ge", FF_GE},		{"in", FF_IN}};

	for (int i = 0; i < (int) lengthof(tests); i++)
	{
		if (name->kind == FF_TEXT && (int) strlen(tests[i].name) == name->length &&
			memcmp(tests[i].name, name->u.text, name->length) == 0)
		{
			*out = tests[i].op;
			return true;
		}
	}
	return false;
}

static bool
check_test(FfEvaluation *e, const FfNode *node, const FfValue *args, FfOperator *op)
{
	if (node->count == 2)
		return true;
	if (node->count == 3)
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
							"selectattr takes a value to compare with");
	if (find_test(&args[2], op))
		return true;
	ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_FUNCTION, "there is no test of that name");
	snprintf(e->hint, sizeof(e->hint), "The tests are ==, !=, <, <=, >, >= and in.");
	return false;
}

/* selectattr('a.b') keeps the items whose member is truthy, selectattr('a.b', '>', 1) those where
 * the comparison holds. */
bool
ff_filter_selectattr(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	FfOperator op = FF_EQ;
	FfList	  *list;
	int		   kept = 0;

	if (!takes_attribute(e, node, args) || !check_test(e, node, args, &op) ||
		(list = ff_lang_list(e, node->position, ff_value_count(args))) == NULL)
		return false;
	for (int i = 0; i < list->count; i++)
	{
		FfValue *item = &list->items[kept];
		FfValue	 member = {0};
		bool	 holds;

		ff_value_item(args, i, item);
		if (!attribute_of(e, node, item, &args[1], &member))
			return false;
		holds = ff_value_truthy(&member);
		if (node->count > 2 && !ff_lang_compare(e, node->position, op, &member, &args[3], &holds))
			return false;
		kept += holds;
	}
	list->count = kept;
	return ff_lang_made(e, node->position, list, out);
}

/* --- lists of lists --- */

/* `count` items from the i-th on, and then fillings to make them `size`. */
static bool
sublist(FfEvaluation *e, const FfNode *node, const FfValue *list, int64 start, int64 count,
		int64 size, const FfValue *filling, FfValue *out)
{
	FfList *made = ff_lang_list(e, node->position, Max(count, size));

	for (int i = 0; made != NULL && i < made->count; i++)
	{
		if (i < count)
			ff_value_item(list, (int) (start + i), &made->items[i]);
		else
			made->items[i] = *filling;
	}
	return made != NULL && ff_lang_made(e, node->position, made, out);
}

static bool
takes_count(FfEvaluation *e, const FfNode *node, const FfValue *args)
{
	if (!takes_list(e, node, args))
		return false;
	if (args[1].kind != FF_INTEGER || args[1].u.integer < 1)
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
							"%s takes an integer of at least 1", node->function->name);
	return true;
}

/* slice(n): n lists of about the same length, the longer ones first. */
bool
ff_filter_slice(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	bool	filled = node->count == 3 && args[2].kind != FF_NULL;
	int64	start = 0;
	int64	each;
	int64	longer;
	FfList *slices;

	if (!takes_count(e, node, args) ||
		(slices = ff_lang_list(e, node->position, args[1].u.integer)) == NULL)
		return false;
	each = ff_value_count(args) / slices->count;
	longer = ff_value_count(args) % slices->count;
	for (int i = 0; i < slices->count; i++)
	{
		int64 count = each + (i < longer);
		int64 size = filled && longer > 0 ? each + 1 : count;

		if (!sublist(e, node, args, start, count, size, &args[2], &slices->items[i]))
			return false;
		start += count;
	}
	return ff_lang_made(e, node->position, slices, out);
}

/* batch(n): lists of n items, the last perhaps shorter. */
bool
ff_filter_batch(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	bool	filled = node->count == 3 && args[2].kind != FF_NULL;
	int64	count;
	int64	size;
	FfList *batches;

	if (!takes_count(e, node, args))
		return false;
	count = ff_value_count(args);
	size = args[1].u.integer;
	if (!filled)
		size = Min(size, Max(count, 1));
	batches = ff_lang_list(e, node->position, count / size + (count % size > 0));
	for (int i = 0; batches != NULL && i < batches->count; i++)
	{
		int64 start = i * size;

		if (!sublist(e, node, args, start, Min(size, count - start), filled ? size : 0, &args[2],
					 &batches->items[i]))
			return false;
	}
	return batches != NULL && ff_lang_made(e, node->position, batches, out);
}

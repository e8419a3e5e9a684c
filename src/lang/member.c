/*
 * member.c - from a name to a value: names, members, indexes and the parts of a template's path.
 *
 * What is not there is one of four errors (no such key, no such index, no index at all, nothing to
 * navigate into), or in filter mode a missing value. A hint names what is nearest.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "lang/node.h"
#include "util/errors.h"

#define HINT_DISTANCE 4		   /* of a name that is worth a hint, less one */
#define FAR_INDEX PG_INT32_MAX /* beyond any list; larger ones are as good */
#define HINT_KEYS 1000		   /* that are looked at for a hint */

/* --- hints --- */

static void
suggest(FfEvaluation *e, const FfNearest *nearest)
{
	if (nearest->name[0] != '\0')
		snprintf(e->hint, sizeof(e->hint), "Perhaps you meant \"%s\".", nearest->name);
}

static void
seek_keys(FfNearest *nearest, JsonbContainer *object)
{
	JsonbIterator	  *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue		   part;
	int				   seen = 0;

	while (seen < HINT_KEYS && (token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		CHECK_FOR_INTERRUPTS();
		ff_lang_seek(nearest, part.val.string.val, part.val.string.len);
		seen++;
	}
}

/* Nobody reads a hint in a filter, or when what is missing will be replaced. */
static bool
wants_hint(const FfEvaluation *e)
{
	return !e->quiet && !e->trying;
}

/* --- names --- */

static bool
fail_name(FfEvaluation *e, const FfNode *node)
{
	FfNearest nearest = {.wanted = node->text, .length = node->length, .distance = HINT_DISTANCE};

	ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_UNDEFINED, "the name \"%s\" is not defined",
				 node->text);
	e->absent = true;
	if (!wants_hint(e))
		return false;
	for (const FfLocal *local = e->locals; local != NULL; local = local->outer)
		ff_lang_seek(&nearest, local->name, (int) strlen(local->name));
	for (int i = 0; i < e->scope->count; i++)
		ff_lang_seek(&nearest, e->scope->bindings[i].name,
					 (int) strlen(e->scope->bindings[i].name));
	if (e->scope->context != NULL)
		seek_keys(&nearest, &e->scope->context->root);
	suggest(e, &nearest);
	return false;
}

static bool
find_binding(const FfScope *scope, const FfNode *node, FfValue *out)
{
	JsonbValue json;

	for (int i = 0; i < scope->count; i++)
	{
		if (strcmp(scope->bindings[i].name, node->text) == 0)
		{
			ff_value_of_document(scope->bindings[i].value, out);
			return true;
		}
	}
	if (scope->context == NULL || getKeyJsonValueFromContainer(&scope->context->root, node->text,
															   node->length, &json) == NULL)
		return false;
	ff_value_of_json(&json, out);
	return true;
}

/* The innermost variable of that name, then what the scope has, then true, false and null. */
bool
ff_lang_name(FfEvaluation *e, const FfNode *node, FfValue *out)
{
	for (const FfLocal *local = e->locals; local != NULL; local = local->outer)
	{
		if (strcmp(local->name, node->text) == 0)
		{
			*out = local->value;
			return true;
		}
	}
	if (find_binding(e->scope, node, out))
		return true;
	if (!node->keyword)
		return fail_name(e, node);
	*out = node->literal;
	return true;
}

/* --- members --- */

static bool
fail_key(FfEvaluation *e, int position, const FfValue *object, const char *key, int length)
{
	FfNearest nearest = {.wanted = key, .length = length, .distance = HINT_DISTANCE};

	ff_lang_fail(e, position, FF_ERR_EXPRESSION_MISSING_KEY, "the object has no key \"%.*s\"",
				 Min(length, 200), key);
	e->absent = true;
	if (wants_hint(e))
	{
		seek_keys(&nearest, object->u.stored);
		suggest(e, &nearest);
	}
	return false;
}

static bool
fail_navigation(FfEvaluation *e, int position, const FfValue *object, const char *key, int length)
{
	ff_lang_fail(e, position, FF_ERR_EXPRESSION_NAVIGATE, "cannot navigate into %s with '%.*s'",
				 ff_value_kind(object), Min(length, 200), key);
	e->absent = object->kind == FF_NULL;
	return false;
}

bool
ff_lang_member(FfEvaluation *e, int position, const FfValue *object, const char *key, int length,
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
		return fail_navigation(e, position, object, key, length);
	ff_set_missing(out);
	return true;
}

/* --- indexes --- */

/* A number beyond any index, but a whole one. */
static bool
is_whole(FfEvaluation *e, const FfValue *v)
{
	Datum number = NumericGetDatum(v->u.numeric);

	ff_lang_use_scratch(e);
	return DatumGetBool(
		DirectFunctionCall2(numeric_eq, number, DirectFunctionCall1(numeric_floor, number)));
}

/* An index counts from the end when negative; -1 where nothing is and that is allowed. */
static bool
find_index(FfEvaluation *e, int position, const FfValue *key, int count, int *index)
{
	*index = -1;
	if (key->kind == FF_NUMERIC && is_whole(e, key))
	{
		if (e->lenient)
			return true;
		ff_lang_fail(e, position, FF_ERR_EXPRESSION_RANGE, "the index is out of range (%d item%s)",
					 count, count == 1 ? "" : "s");
		e->absent = true;
		return false;
	}
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
item_of_list(FfEvaluation *e, int position, const FfValue *list, const FfValue *key, FfValue *out)
{
	int index;

	if (!find_index(e, position, key, ff_value_count(list), &index))
		return false;
	ff_set_missing(out);
	if (index >= 0)
		ff_value_item(list, index, out);
	return true;
}

static bool
character_of_text(FfEvaluation *e, int position, const FfValue *text, const FfValue *key,
				  FfValue *out)
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

void
ff_lang_make_integer(FfEvaluation *e, FfValue *v)
{
	if (v->kind != FF_NUMERIC)
		return;
	ff_lang_use_scratch(e);
	ff_set_numeric(
		v, DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(v->u.numeric))));
}

/* Neither text, list nor object is indexed by this, or there is nothing to index. */
static bool
fail_index(FfEvaluation *e, int position, const FfValue *object, const FfValue *key, FfValue *out)
{
	char text[32] = "...";

	if (object->kind == FF_OBJECT)
		return ff_lang_fail(e, position, FF_ERR_EXPRESSION_BAD_INDEX,
							"an object is indexed by text, not %s", ff_value_kind(key));
	if (key->kind == FF_INTEGER)
		snprintf(text, sizeof(text), INT64_FORMAT, key->u.integer);
	return ff_lang_member(e, position, object, text, (int) strlen(text), out);
}

bool
ff_lang_index(FfEvaluation *e, int position, const FfValue *object, FfValue *key, FfValue *out)
{
	ff_lang_make_integer(e, key);
	if (object->kind == FF_TEXT)
		return character_of_text(e, position, object, key, out);
	if (object->kind == FF_LIST)
		return item_of_list(e, position, object, key, out);
	if (key->kind == FF_TEXT)
		return ff_lang_member(e, position, object, key->u.text, key->length, out);
	return fail_index(e, position, object, key, out);
}

/* --- the parts of a path --- */

static bool
read_integer(const char *text, int length, int64 *out)
{
	int sign = length > 0 && *text == '-' ? 1 : 0;

	if (length == sign)
		return false;
	*out = 0;
	for (int i = sign; i < length; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return false;
		*out = Min(*out * 10 + (text[i] - '0'), FAR_INDEX);
	}
	if (sign)
		*out = -*out;
	return true;
}

/* A part names an object's key or, written as an integer, a list's index. */
bool
ff_lang_part(FfEvaluation *e, int position, const FfValue *object, const char *part, int length,
			 FfValue *out)
{
	FfValue index = {.kind = FF_INTEGER};

	if (object->kind != FF_LIST)
		return ff_lang_member(e, position, object, part, length, out);
	if (!read_integer(part, length, &index.u.integer))
		return ff_lang_fail(e, position, FF_ERR_EXPRESSION_BAD_INDEX,
							"a list is indexed by an integer, not by '%.*s'", Min(length, 200),
							part);
	return item_of_list(e, position, object, &index, out);
}

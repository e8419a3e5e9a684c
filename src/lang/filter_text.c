/*
 * filter_text.c - the filters of templates that make text.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "utils/formatting.h"

#include "lang/node.h"
#include "util/errors.h"
#include "util/json.h"

static bool
takes_text(FfEvaluation *e, const FfNode *node, const FfValue *v)
{
	return v->kind == FF_TEXT ||
		   ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE, "%s takes text, not %s",
						node->function->name, ff_value_kind(v));
}

static bool
give(FfEvaluation *e, const FfNode *node, const StringInfo text, FfValue *out)
{
	ff_set_text(out, text->data, text->len);
	return ff_lang_pay(e, node->position, text->len);
}

/* --- title --- */

/* Appends one character in upper case. */
static void
append_upper(StringInfo out, const char *character, int size)
{
	char *upper = str_toupper(character, size, DEFAULT_COLLATION_OID);

	appendStringInfoString(out, upper);
	pfree(upper);
}

/* Words begin after white space, hyphens and opening brackets. */
bool
ff_filter_title(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	StringInfoData text;
	FfValue		   lower = {0};
	bool		   begins = true;

	if (!takes_text(e, node, args) || !ff_fn_lower(e, node, args, &lower) ||
		!ff_lang_pay(e, node->position, (int64) lower.length * 8))
		return false;
	initStringInfo(&text);
	for (int at = 0; at < lower.length;)
	{
		const char *c = lower.u.text + at;
		int			size = pg_utf_mblen((const unsigned char *) c);

		if (begins)
			append_upper(&text, c, size);
		else
			appendBinaryStringInfo(&text, c, size);
		begins = strchr("-({[< \t\r\n\f\v", *c) != NULL;
		at += size;
	}
	return give(e, node, &text, out);
}

/* --- truncate --- */

/* The bytes of the first `count` characters, at most all. */
static int
bytes_of_characters(const FfValue *text, int64 count)
{
	int at = 0;

	while (at < text->length && count-- > 0)
		at += pg_utf_mblen((const unsigned char *) text->u.text + at);
	return at;
}

static bool
integer_argument(FfEvaluation *e, const FfNode *node, const FfValue *args, int i, int64 otherwise,
				 int64 *out)
{
	bool given = node->count > i && args[i].kind != FF_NULL;

	*out = otherwise;
	if (!given)
		return true;
	if (args[i].kind != FF_INTEGER || args[i].u.integer < 0)
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
							"%s takes an integer of at least 0 there", node->function->name);
	*out = args[i].u.integer;
	return true;
}

/*
 * truncate(length, killwords, end, leeway): a text that is longer than length and leeway, cut at a
 * word unless killwords says otherwise, with "..." or `end` in place of the rest.
 */
bool
ff_filter_truncate(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	FfValue		   end = {.kind = FF_TEXT, .u.text = "...", .length = 3};
	bool		   kill = node->count > 2 && ff_value_truthy(&args[2]);
	StringInfoData text;
	int64		   length;
	int64		   leeway;
	int			   cut;

	if (node->count > 3 && args[3].kind != FF_NULL)
		end = args[3];
	if (!takes_text(e, node, args) || !takes_text(e, node, &end) ||
		!integer_argument(e, node, args, 1, 255, &length) ||
		!integer_argument(e, node, args, 4, 5, &leeway) ||
		!ff_lang_pay(e, node->position, args->length))
		return false;
	*out = *args;
	leeway = Min(leeway, PG_INT32_MAX);
	length = Min(length, PG_INT32_MAX);
	if (bytes_of_characters(args, length + leeway) == args->length)
		return true;
	cut = bytes_of_characters(args, length - pg_mbstrlen_with_len(end.u.text, end.length));
	if (!kill)
	{
		const char *space = memrchr(args->u.text, ' ', cut);

		cut = space != NULL ? (int) (space - args->u.text) : cut;
	}
	ff_lang_use_scratch(e);
	initStringInfo(&text);
	appendBinaryStringInfo(&text, args->u.text, cut);
	appendBinaryStringInfo(&text, end.u.text, end.length);
	return give(e, node, &text, out);
}

/* --- lists and JSON --- */

/* join and join(sep): the items as they would be in a template's text. */
bool
ff_filter_join(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	FfValue		   separator = {.kind = FF_TEXT, .u.text = "", .length = 0};
	StringInfoData text;

	if (node->count > 1)
		separator = args[1];
	if (!takes_text(e, node, &separator))
		return false;
	if (args->kind != FF_LIST)
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE, "join takes a list, not %s",
							ff_value_kind(args));
	ff_lang_use_scratch(e);
	initStringInfo(&text);
	for (int i = 0; i < ff_value_count(args); i++)
	{
		FfValue item = {0};

		ff_value_item(args, i, &item);
		if ((i > 0 && !ff_value_write_plain(e, node->position, &text, &separator)) ||
			!ff_value_write_plain(e, node->position, &text, &item) ||
			!ff_lang_pay(e, node->position, 8))
			return false;
	}
	return give(e, node, &text, out);
}

bool
ff_filter_tojson(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	StringInfoData text;

	ff_lang_use_scratch(e);
	initStringInfo(&text);
	return ff_value_write(e, node->position, &text, args) && give(e, node, &text, out);
}

bool
ff_filter_fromjson(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	FfJsonError error;
	Jsonb	   *document;

	if (!takes_text(e, node, args) || !ff_lang_pay(e, node->position, (int64) args->length * 8))
		return false;
	ff_lang_use_scratch(e);
	document = ff_json_parse(args->u.text, args->length, ff_lang_max_depth, &error);
	if (document == NULL)
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
							"the text is not JSON: %s, at byte %d", error.message,
							error.offset + 1);
	ff_value_of_document(document, out);
	return true;
}

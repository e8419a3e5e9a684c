/*
 * text.c - the functions of the expression language on text.
 *
 * Texts are UTF-8; whatever makes one knows its length before it takes the room.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "utils/formatting.h"

#include "lang/node.h"
#include "util/errors.h"

static bool
takes_texts(FfEvaluation *e, const FfNode *node, const FfValue *args)
{
	for (int i = 0; i < node->count; i++)
	{
		if (args[i].kind != FF_TEXT)
			return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE, "%s takes text, not %s",
								node->function->name, ff_value_kind(&args[i]));
	}
	return true;
}

static bool
change_case(FfEvaluation *e, const FfNode *node, const FfValue *v,
			char *(*change)(const char *, size_t, Oid), FfValue *out)
{
	char *text;

	if (!takes_texts(e, node, v) || !ff_lang_pay(e, node->position, (int64) v->length * 2))
		return false;
	ff_lang_use_scratch(e);
	text = change(v->u.text, v->length, DEFAULT_COLLATION_OID);
	ff_set_text(out, text, (int) strlen(text));
	return true;
}

bool
ff_fn_lower(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	return change_case(e, node, args, str_tolower, out);
}

bool
ff_fn_upper(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	return change_case(e, node, args, str_toupper, out);
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

bool
ff_fn_trim(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	const char *text = args->u.text;
	int			length = args->length;

	if (!takes_texts(e, node, args) || !ff_lang_pay(e, node->position, length / 8))
		return false;
	for (; length > 0 && is_space(*text); length--)
		text++;
	while (length > 0 && is_space(text[length - 1]))
		length--;
	ff_set_text(out, text, length);
	return true;
}

bool
ff_fn_starts_with(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	if (!takes_texts(e, node, args))
		return false;
	ff_set_bool(out, args[0].length >= args[1].length &&
						 memcmp(args[0].u.text, args[1].u.text, args[1].length) == 0);
	return true;
}

bool
ff_fn_ends_with(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	int rest;

	if (!takes_texts(e, node, args))
		return false;
	rest = args[0].length - args[1].length;
	ff_set_bool(out,
				rest >= 0 && memcmp(args[0].u.text + rest, args[1].u.text, args[1].length) == 0);
	return true;
}

/* contains(whole, item) is `item in whole`. */
bool
ff_fn_contains(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	bool inside;

	if (!ff_lang_in(e, node->position, &args[1], &args[0], &inside))
		return false;
	ff_set_bool(out, inside);
	return true;
}

/* How often `part` is in `whole`, none overlapping. */
static int
occurrences(const FfValue *whole, const FfValue *part)
{
	const char *at = whole->u.text;
	const char *end = at + whole->length;
	int			count = 0;

	while ((at = memmem(at, end - at, part->u.text, part->length)) != NULL)
	{
		count++;
		at += part->length;
	}
	return count;
}

/* By nothing, a text is split into its characters. */
static bool
split_characters(FfEvaluation *e, const FfNode *node, const FfValue *text, FfValue *out)
{
	const char *at = text->u.text;
	FfList	   *list = ff_lang_list(e, node->position, pg_mbstrlen_with_len(at, text->length));

	if (list == NULL)
		return false;
	for (int i = 0; i < list->count; i++)
	{
		ff_set_text(&list->items[i], at, pg_utf_mblen((const unsigned char *) at));
		at += list->items[i].length;
	}
	return ff_lang_made(e, node->position, list, out);
}

bool
ff_fn_split(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	const char *at = args[0].u.text;
	const char *end = at + args[0].length;
	FfList	   *list;

	if (!takes_texts(e, node, args) || !ff_lang_pay(e, node->position, args[0].length / 4))
		return false;
	if (args[1].length == 0)
		return split_characters(e, node, &args[0], out);
	list = ff_lang_list(e, node->position, (int64) occurrences(&args[0], &args[1]) + 1);
	if (list == NULL)
		return false;
	for (int i = 0; i < list->count; i++)
	{
		const char *next =
			i + 1 < list->count ? memmem(at, end - at, args[1].u.text, args[1].length) : end;

		ff_set_text(&list->items[i], at, (int) (next - at));
		at = next + args[1].length;
	}
	return ff_lang_made(e, node->position, list, out);
}

bool
ff_fn_replace(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	const char *at = args[0].u.text;
	const char *end = at + args[0].length;
	int			count;
	int64		length;
	char	   *text;
	char	   *write;

	if (!takes_texts(e, node, args) || !ff_lang_pay(e, node->position, args[0].length / 4))
		return false;
	*out = args[0];
	count = args[1].length > 0 ? occurrences(&args[0], &args[1]) : 0;
	if (count == 0)
		return true;
	length = args[0].length + (int64) count * (args[2].length - args[1].length);
	if ((text = ff_lang_room(e, node->position, length)) == NULL)
		return false;
	write = text;
	for (int i = 0; i < count; i++)
	{
		const char *next = memmem(at, end - at, args[1].u.text, args[1].length);

		memcpy(write, at, next - at);
		write += next - at;
		memcpy(write, args[2].u.text, args[2].length);
		write += args[2].length;
		at = next + args[1].length;
	}
	memcpy(write, at, end - at);
	ff_set_text(out, text, (int) length);
	return true;
}

/* The bytes of the texts of a list with separators between them; -1 with an error. */
static int64
joined_length(FfEvaluation *e, const FfNode *node, const FfValue *list, int separator)
{
	int	  count = ff_value_count(list);
	int64 length = count > 0 ? (int64) separator * (count - 1) : 0;

	for (int i = 0; i < count; i++)
	{
		FfValue item = {0};

		ff_value_item(list, i, &item);
		if (item.kind != FF_TEXT)
		{
			ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
						 "join takes a list of texts, but %s is in it", ff_value_kind(&item));
			return -1;
		}
		length += item.length;
	}
	return ff_lang_pay(e, node->position, (int64) count * 8) ? length : -1;
}

/* list.join(', '), and Python's ', '.join(list). */
bool
ff_fn_join(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out)
{
	static const FfValue nothing = {.kind = FF_TEXT, .u.text = ""};
	bool		   swapped = node->count == 2 && args[0].kind == FF_TEXT && args[1].kind == FF_LIST;
	const FfValue *list = &args[swapped ? 1 : 0];
	const FfValue *separator = node->count == 1 ? &nothing : &args[swapped ? 0 : 1];
	int64		   length;
	char		  *text;
	char		  *write;

	if (list->kind != FF_LIST || separator->kind != FF_TEXT)
		return ff_lang_fail(e, node->position, FF_ERR_EXPRESSION_TYPE,
							"join takes a list and a text");
	if ((length = joined_length(e, node, list, separator->length)) < 0 ||
		(text = ff_lang_room(e, node->position, length)) == NULL)
		return false;
	write = text;
	for (int i = 0; i < ff_value_count(list); i++)
	{
		FfValue item = {0};

		if (i > 0)
		{
			memcpy(write, separator->u.text, separator->length);
			write += separator->length;
		}
		ff_value_item(list, i, &item);
		memcpy(write, item.u.text, item.length);
		write += item.length;
	}
	ff_set_text(out, text, (int) length);
	return true;
}

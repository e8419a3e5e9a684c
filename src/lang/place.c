/*
 * place.c - what errors show: the place in the source, and the nearest known name.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/varlena.h"

#include "lang/lexer.h"
#include "lang/node.h"
#include "util/errors.h"

#define WINDOW 60 /* bytes of a long line shown on each side of the place */

char *
ff_lang_place(const char *source, int position)
{
	StringInfoData out;
	const char	  *at = source + position;
	const char	  *start = at;
	const char	  *end = at;

	while (start > source && start[-1] != '\n' && at - start < WINDOW)
		start--;
	while ((*start & 0xC0) == 0x80)
		start++;
	while (*end != '\0' && *end != '\n' && end - at < WINDOW)
		end++;
	while ((*end & 0xC0) == 0x80)
		end++;
	initStringInfo(&out);
	appendStringInfo(&out, "At character %d:\n%.*s\n", pg_mbstrlen_with_len(source, position) + 1,
					 (int) (end - start), start);
	for (const char *c = start; c < at; c += pg_mblen(c))
		appendStringInfoChar(&out, *c == '\t' ? '\t' : ' ');
	appendStringInfoChar(&out, '^');
	return out.data;
}

void
ff_lang_clip(char *text, int size)
{
	int last = (int) strlen(text);

	if (last < size - 1)
		return;
	do
		last--;
	while (last > 0 && (text[last] & 0xC0) == 0x80);
	if (last + pg_utf_mblen((unsigned char *) text + last) > size - 1)
		text[last] = '\0';
}

void
ff_lang_check_source(const char *what, size_t length)
{
	if (length > (size_t) ff_lang_max_source)
		ereport(ERROR, (errcode(FF_ERR_EXPRESSION_LIMIT), errmsg("the %s is too long", what),
						errdetail("It has %zu bytes.", length),
						errhint("At most %d are allowed (flowforge.expression_source_limit).",
								ff_lang_max_source)));
}

void
ff_lang_syntax_error(const FfLexer *lexer, int position, const char *hint, const char *format, ...)
{
	char	message[256];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	ff_lang_clip(message, sizeof(message));
	if (hint == NULL)
		hint = lexer->template ? "For example: {{ order.items.0.name | upper }}"
							   : "For example: event.data.total > 100 && event.data.kind == 'x'";
	ereport(ERROR, (errcode(FF_ERR_EXPRESSION_SYNTAX),
					errmsg("the %s cannot be read: %s", lexer->template ? "template" : "expression",
						   message),
					errdetail("%s", ff_lang_place(lexer->source, position)), errhint("%s", hint)));
}

void
ff_lang_seek(FfNearest *nearest, const char *candidate, int length)
{
	int distance;

	if (length >= (int) sizeof(nearest->name) || nearest->length >= (int) sizeof(nearest->name) ||
		length == 0)
		return;
	distance = varstr_levenshtein_less_equal(nearest->wanted, nearest->length, candidate, length, 1,
											 1, 1, nearest->distance, true);
	if (distance >= nearest->distance || distance * 2 > Max(nearest->length, length))
		return;
	nearest->distance = distance;
	memcpy(nearest->name, candidate, length);
	nearest->name[length] = '\0';
}

/* What to do about an error that names nothing nearer. */
static const char *
general_hint(const FfEvaluation *e, bool template)
{
	if (e->code == FF_ERR_EXPRESSION_LIMIT)
		return "The limits are settings whose names begin with flowforge.expression_.";
	if (!e->absent)
		return "";
	return template
			   ? "{{ a.b | default(x) }} replaces what is missing."
			   : "has(a.b) asks whether a member is there, default(a.b, x) replaces a missing one.";
}

void
ff_lang_report(const FfEvaluation *e, bool template, const char *source)
{
	const char *hint = e->hint[0] != '\0' ? e->hint : general_hint(e, template);

	ereport(ERROR,
			(errcode(e->code),
			 errmsg("the %s: %s",
					template ? "template cannot be rendered" : "expression cannot be evaluated",
					e->message),
			 errdetail("%s", ff_lang_place(source, e->position)),
			 hint[0] != '\0' ? errhint("%s", hint) : 0));
	pg_unreachable();
}

/*
 * lexer.c - text to tokens: numbers, texts, names and signs (see lexer.h).
 *
 * Whatever the two spellings' parents have and this language has not (`**`, `===`, `;`, comments)
 * is no token, so that it is refused where it stands.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "lang/lexer.h"

static int
offset_of(const FfLexer *l)
{
	return l->base + (int) (l->next - l->start);
}

/* --- texts --- */

static pg_wchar
read_hex4(FfLexer *l)
{
	pg_wchar code = 0;

	for (int i = 0; i < 4; i++, l->next++)
	{
		unsigned char h = (unsigned char) *l->next;

		if (h >= '0' && h <= '9')
			code = code * 16 + (h - '0');
		else if ((h | 32) >= 'a' && (h | 32) <= 'f')
			code = code * 16 + ((h | 32) - 'a' + 10);
		else
			ff_lang_syntax_error(l, offset_of(l), NULL, "\\u needs four hexadecimal digits");
	}
	return code;
}

/* \uXXXX, or two of them that are a surrogate pair. */
static void
read_unicode(FfLexer *l, StringInfo out)
{
	int			  start = offset_of(l) - 2;
	pg_wchar	  code = read_hex4(l);
	unsigned char utf8[5] = {0};

	if (is_utf16_surrogate_first(code) && l->next[0] == '\\' && l->next[1] == 'u')
	{
		pg_wchar second;

		l->next += 2;
		second = read_hex4(l);
		if (!is_utf16_surrogate_second(second))
			ff_lang_syntax_error(l, start, NULL, "half of a surrogate pair is missing");
		code = surrogate_pair_to_codepoint(code, second);
	}
	if (code == 0 || (code >= 0xD800 && code <= 0xDFFF))
		ff_lang_syntax_error(l, start, NULL, "\\u does not write this character");
	unicode_to_utf8(code, utf8);
	appendStringInfoString(out, (char *) utf8);
}

static void
read_escape(FfLexer *l, StringInfo out)
{
	char c = *l->next++;

	switch (c)
	{
		case 'n':
			appendStringInfoChar(out, '\n');
			break;
		case 't':
			appendStringInfoChar(out, '\t');
			break;
		case '\\':
		case '\'':
		case '"':
			appendStringInfoChar(out, c);
			break;
		case 'u':
			read_unicode(l, out);
			break;
		default:
			l->next--;
			ff_lang_syntax_error(l, offset_of(l) - 1,
								 "Escapes are \\n \\t \\\\ \\' \\\" and \\uXXXX.",
								 "there is no such escape");
	}
}

/* The bytes to the quote that ends the text; raises where there is none. */
static int
measure_text(const FfLexer *l, char quote)
{
	const char *c = l->next;

	for (; *c != quote; c++)
	{
		if (*c == '\\' && c[1] != '\0')
			c++;
		else if (*c == '\0')
			ff_lang_syntax_error(l, l->position, "Close it with the quote it began with.",
								 "the text has no end");
	}
	return (int) (c - l->next);
}

/* Unescaped, a text is never longer. */
static void
read_text(FfLexer *l)
{
	char		   quote = *l->next++;
	StringInfoData out = {.maxlen = measure_text(l, quote) + 1};

	out.data = palloc(out.maxlen);
	resetStringInfo(&out);
	while (*l->next != quote)
	{
		if (*l->next == '\\')
		{
			l->next++;
			read_escape(l, &out);
		}
		else
			appendStringInfoChar(&out, *l->next++);
	}
	l->next++;
	l->kind = FF_TOKEN_TEXT;
	l->text = out.data;
	l->length = out.len;
}

/* --- names --- */

/* Characters beyond ASCII that look like white space or punctuation and belong to no name. */
static bool
is_stray(pg_wchar c)
{
	return c < 0xAA || c == 0xAB || c == 0xBB || c == 0x1680 || (c >= 0x2000 && c <= 0x206F) ||
		   (c >= 0x3000 && c <= 0x3003) || c == 0xFEFF || c == 0xFFFC || c == 0xFFFD;
}

int
ff_lexer_name_character(const char *at)
{
	unsigned char c = (unsigned char) *at;

	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_')
		return 1;
	if (c < 0x80 || is_stray(utf8_to_unicode((const unsigned char *) at)))
		return 0;
	return pg_utf_mblen((const unsigned char *) at);
}

static void
read_name(FfLexer *l)
{
	const char *start = l->next;
	int			length;

	while ((length = ff_lexer_name_character(l->next)) > 0 || (*l->next >= '0' && *l->next <= '9'))
		l->next += Max(length, 1);
	l->kind = FF_TOKEN_NAME;
	l->length = (int) (l->next - start);
	l->text = pnstrdup(start, l->length);
}

/* --- numbers and signs --- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void
read_number(FfLexer *l)
{
	const char *start = l->next;

	l->next += strspn(l->next, "0123456789");
	if (l->next - start > 1 && *start == '0')
		ff_lang_syntax_error(l, l->position, NULL, "a number does not begin with 0");
	if (*l->next == '.' && is_digit(l->next[1]))
		l->next += 1 + strspn(l->next + 1, "0123456789");
	if ((*l->next | 32) == 'e')
	{
		int sign = l->next[1] == '-' || l->next[1] == '+';

		if (!is_digit(l->next[1 + sign]))
			ff_lang_syntax_error(l, l->position, NULL, "the number's exponent is missing");
		l->next += 1 + sign;
		l->next += strspn(l->next, "0123456789");
	}
	if (ff_lexer_name_character(l->next) > 0)
		ff_lang_syntax_error(l, offset_of(l), NULL, "a number is followed by a letter");
	l->kind = FF_TOKEN_NUMBER;
	l->length = (int) (l->next - start);
	l->text = pnstrdup(start, l->length);
}

/* What people write who come from elsewhere. */
static const struct
{
	const char *sign;
	const char *hint;
} strangers[] = {
	{"===", "Write == to compare."},
	{"!==", "Write != to compare."},
	{"**", "There is no power; multiply."},
	{"/*", "Comments are not part of an expression."},
	{"//", "Divide with / and round with floor(); comments are not part of an expression."},
	{"<>", "Write != to compare."},
	{"<<", "There are no operators on bits."},
	{">>", "There are no operators on bits."},
	{"^", "There are no operators on bits."},
	{"~", "There are no operators on bits."},
	{":=", "Write == to compare; nothing can be assigned."},
	{"=", "Write == to compare; nothing can be assigned."},
	{"&", "Write && or and."},
	{"|", "Write || or or; filters belong to templates."},
	{";", "An expression is one expression."},
	{"#", "Comments are not part of an expression."},
	{"\342\200\230", "Write text in plain quotes: 'text' or \"text\"."},
	{"\342\200\231", "Write text in plain quotes: 'text' or \"text\"."},
	{"\342\200\234", "Write text in plain quotes: 'text' or \"text\"."},
	{"\342\200\235", "Write text in plain quotes: 'text' or \"text\"."},
	{"`", "Write text in plain quotes: 'text' or \"text\"."},
};

static void
refuse_stranger(const FfLexer *l, int length, const char *hint)
{
	ff_lang_syntax_error(l, l->position, hint, "there is no operator \"%.*s\"", length, l->next);
}

static void
read_sign(FfLexer *l)
{
	static const char *const doubles[] = {"==", "!=", "<=", ">=", "&&", "||"};
	int						 length = 1;

	for (int i = 0; i < (int) lengthof(doubles); i++)
	{
		if (strncmp(l->next, doubles[i], 2) == 0)
			length = 2;
	}
	for (int i = 0; i < (int) lengthof(strangers); i++)
	{
		int size = (int) strlen(strangers[i].sign);

		if (l->template && size == 1 && strchr("|=", strangers[i].sign[0]) != NULL)
			continue;
		if (size >= length + (length == 2) && strncmp(l->next, strangers[i].sign, size) == 0)
			refuse_stranger(l, size, strangers[i].hint);
	}
	if (strchr("()[]{}.,:?!<>+-*/%&|=", *l->next) == NULL)
		refuse_stranger(l, pg_utf_mblen((const unsigned char *) l->next), NULL);
	l->kind = FF_TOKEN_SIGN;
	l->length = length;
	l->text = pnstrdup(l->next, length);
	l->next += length;
}

void
ff_lexer_advance(FfLexer *l)
{
	l->next += strspn(l->next, " \t\r\n");
	l->position = offset_of(l);
	if (*l->next == '\0')
	{
		l->kind = FF_TOKEN_END;
		l->text = "";
		l->length = 0;
	}
	else if (*l->next == '"' || *l->next == '\'')
		read_text(l);
	else if (is_digit(*l->next) || (*l->next == '.' && is_digit(l->next[1])))
		read_number(l);
	else if (ff_lexer_name_character(l->next) > 0)
		read_name(l);
	else
		read_sign(l);
}

void
ff_lexer_start(FfLexer *l, const char *source)
{
	memset(l, 0, sizeof(*l));
	l->source = l->start = l->next = source;
	ff_lexer_advance(l);
}

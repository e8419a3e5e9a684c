/*
 * template.c - a text with {{ values }}, {% statements %} and {# comments #} to parts.
 *
 * Braces that open and never close, and {{ }} with nothing in it, are text. So is everything in a
 * text that has neither {{ nor {%.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "lang/parser.h"
#include "lang/template.h"
#include "util/errors.h"

#define SPACES " \t\r\n\f\v"

/* Something in braces. */
typedef struct Tag
{
	char kind; /* { % or # */
	int	 start;
	int	 content; /* between the braces, less the signs that trim */
	int	 length;
	int	 end;
	bool trims_before;
	bool trims_after;
} Tag;

typedef struct Reader
{
	const char *source;
	FfSource   *all;
	int			length;
	int			at;
	int			depth;
	int			tags;	  /* so far */
	bool		open_end; /* no }} is left */
	bool		open_statement;
	bool		open_comment;
	FfLexer		head; /* of the current statement: its first words */
} Reader;

/* The parts that were read so far. */
typedef struct Parts
{
	FfPart *first;
	FfPart *last;
} Parts;

static FfPart *read_parts(Reader *r, const char *opener, int position);

bool
ff_is_template(const char *text, int length)
{
	const char *end = text + length;
	const char *brace = text;

	while ((brace = memchr(brace, '{', end - brace)) != NULL && ++brace < end)
	{
		if (*brace == '{' || *brace == '%')
			return true;
	}
	return false;
}

/* --- tags --- */

/* Where the text in quotes that begins here ends; the end of the source when it does not. */
static int
after_quotes(const Reader *r, int at)
{
	char quote = r->source[at++];

	while (at < r->length && r->source[at] != quote)
		at += r->source[at] == '\\' && at + 1 < r->length ? 2 : 1;
	return at;
}

/* The first `close` that is neither in quotes nor in braces of its own; -1 when there is none. */
static int
find_close(const Reader *r, int at, char close)
{
	int depth = 0;

	for (; at + 1 < r->length; at++)
	{
		char c = r->source[at];

		if (depth == 0 && c == close && r->source[at + 1] == '}')
			return at;
		if (c == '"' || c == '\'')
			at = after_quotes(r, at);
		else if (c == '{')
			depth++;
		else if (c == '}' && depth > 0)
			depth--;
	}
	return -1;
}

/* The first `close` whatever stands before it; -1 when there is none. */
static int
find_any_close(const Reader *r, int at, char close)
{
	char		sign[3] = {close, '}', '\0'};
	const char *found = strstr(r->source + at, sign);

	return found != NULL ? (int) (found - r->source) : -1;
}

int
ff_template_close(const char *source, int length, int at)
{
	Reader r = {.source = source, .length = length};

	return find_close(&r, at, '}');
}

static bool *
open_flag(Reader *r, char kind)
{
	return kind == '{' ? &r->open_end : kind == '%' ? &r->open_statement : &r->open_comment;
}

/* The tag that begins at tag->start; false when it has no end. */
static bool
measure_tag(Reader *r, Tag *tag)
{
	char  close = tag->kind == '{' ? '}' : tag->kind;
	bool *open = open_flag(r, tag->kind);
	int	  found = -1;

	tag->content = tag->start + 2;
	if (*open)
		return false;
	if (tag->kind != '#')
		found = find_close(r, tag->content, close);
	if (found < 0)
		found = find_any_close(r, tag->content, close);
	*open = found < 0;
	if (found < 0)
		return false;
	tag->end = found + 2;
	tag->trims_before = tag->content < found && r->source[tag->content] == '-';
	tag->content += tag->trims_before;
	tag->trims_after = tag->content < found && r->source[found - 1] == '-';
	tag->length = found - tag->trims_after - tag->content;
	return true;
}

static bool
is_blank(const char *text, int length)
{
	while (length > 0 && strchr(SPACES, *text) != NULL)
	{
		text++;
		length--;
	}
	return length == 0;
}

/* The next tag; false when all that is left is text. */
static bool
next_tag(Reader *r, Tag *tag)
{
	int at = r->at;

	while (at + 1 < r->length)
	{
		const char *brace = memchr(r->source + at, '{', r->length - at - 1);

		CHECK_FOR_INTERRUPTS();
		if (brace == NULL)
			return false;
		tag->start = (int) (brace - r->source);
		tag->kind = brace[1];
		at = tag->start + 1;
		if (strchr("{%#", tag->kind) == NULL || !measure_tag(r, tag))
			continue;
		if (tag->kind != '{' || !is_blank(r->source + tag->content, tag->length))
			return true;
		at = tag->end;
	}
	return false;
}

/* --- parts --- */

static FfPart *
add_part(Parts *parts, FfPartKind kind, int position)
{
	FfPart *part = palloc0(sizeof(FfPart));

	part->kind = kind;
	part->position = position;
	if (parts->last != NULL)
		parts->last->next = part;
	else
		parts->first = part;
	parts->last = part;
	return part;
}

static void
add_text(const Reader *r, Parts *parts, int end, bool trims)
{
	FfPart *part;

	while (trims && end > r->at && strchr(SPACES, r->source[end - 1]) != NULL)
		end--;
	if (end <= r->at)
		return;
	part = add_part(parts, FF_PART_TEXT, r->at);
	part->text = r->source + r->at;
	part->length = end - r->at;
}

static void
pass_tag(Reader *r, const Tag *tag)
{
	r->at = tag->end;
	while (tag->trims_after && r->at < r->length && strchr(SPACES, r->source[r->at]) != NULL)
		r->at++;
	r->tags++;
}

/* --- statements --- */

static const char *
word(const Reader *r)
{
	return r->head.kind == FF_TOKEN_NAME || r->head.kind == FF_TOKEN_SIGN ? r->head.text : "";
}

static bool
is_word(const Reader *r, const char *wanted)
{
	return strcmp(word(r), wanted) == 0;
}

static void
begin_head(Reader *r, const Tag *tag)
{
	memset(&r->head, 0, sizeof(r->head));
	r->head.source = r->source;
	r->head.start = r->head.next = pnstrdup(r->source + tag->content, tag->length);
	r->head.base = tag->content;
	r->head.template = true;
	ff_lexer_advance(&r->head);
}

/* What follows the words that were read. */
static FfNode *
parse_tail(Reader *r)
{
	int position = r->head.base + (int) (r->head.next - r->head.start);

	return ff_parse_value(r->all, position, (int) strlen(r->head.next));
}

static void
expect_end(Reader *r)
{
	ff_lexer_advance(&r->head);
	if (r->head.kind != FF_TOKEN_END)
		ff_lang_syntax_error(&r->head, r->head.position, NULL, "\"%s\" is not expected here",
							 r->head.text);
}

/* `x in` or `x =`, after the first word. */
static const char *
read_variable(Reader *r, const char *sign, const char *example)
{
	const char *name;

	ff_lexer_advance(&r->head);
	if (r->head.kind != FF_TOKEN_NAME || ff_is_keyword(r->head.text))
		ff_lang_syntax_error(&r->head, r->head.position, example, "a variable's name is missing");
	name = r->head.text;
	ff_lexer_advance(&r->head);
	if (!is_word(r, sign))
		ff_lang_syntax_error(&r->head, r->head.position, example, "\"%s\" is missing here", sign);
	return name;
}

static FfBranch *
new_branch(FfNode *node)
{
	FfBranch *branch = palloc0(sizeof(FfBranch));

	branch->node = node;
	return branch;
}

static void
read_if(Reader *r, FfPart *part)
{
	FfBranch *branch = new_branch(parse_tail(r));

	part->branches = branch;
	for (;;)
	{
		bool is_else = branch->node == NULL;

		branch->body = read_parts(r, "if", part->position);
		if (is_word(r, "endif"))
			break;
		if (is_else || !(is_word(r, "elif") || is_word(r, "else")))
			ff_lang_syntax_error(&r->head, r->head.position, NULL, "\"endif\" is missing before %s",
								 word(r));
		if (is_word(r, "elif"))
			branch->next = new_branch(parse_tail(r));
		else
		{
			expect_end(r);
			branch->next = new_branch(NULL);
		}
		branch = branch->next;
	}
	expect_end(r);
}

static void
read_for(Reader *r, FfPart *part)
{
	int start = r->at;

	part->name = read_variable(r, "in", "For example: {% for item in order.items %}");
	part->node = parse_tail(r);
	part->body = read_parts(r, "for", part->position);
	if (!is_word(r, "endfor"))
		ff_lang_syntax_error(&r->head, r->head.position, NULL, "\"endfor\" is missing before %s",
							 word(r));
	part->counts = memmem(r->source + start, r->at - start, "loop", 4) != NULL;
	expect_end(r);
}

static void
read_set(Reader *r, FfPart *part)
{
	part->name = read_variable(r, "=", "For example: {% set total = order.total %}");
	part->node = parse_tail(r);
}

/* Ends or goes on with the statement that is open. */
static bool
is_closing(const Reader *r)
{
	return is_word(r, "elif") || is_word(r, "else") || is_word(r, "endif") || is_word(r, "endfor");
}

static void
read_statement(Reader *r, Parts *parts, int position)
{
	if (is_word(r, "if"))
		read_if(r, add_part(parts, FF_PART_IF, position));
	else if (is_word(r, "for"))
		read_for(r, add_part(parts, FF_PART_FOR, position));
	else if (is_word(r, "set"))
		read_set(r, add_part(parts, FF_PART_SET, position));
	else
		ff_lang_syntax_error(&r->head, r->head.position,
							 "Statements are if, elif, else, endif, for, endfor and set.",
							 *word(r) == '\0' ? "a statement's name is missing"
											  : "there is no statement \"%s\"",
							 word(r));
}

/* --- the whole --- */

static void
enter(Reader *r)
{
	if (++r->depth > ff_lang_max_depth || stack_is_too_deep())
		ereport(ERROR,
				(errcode(FF_ERR_EXPRESSION_LIMIT), errmsg("the template is nested too deeply"),
				 errdetail("%s", ff_lang_place(r->source, Min(r->at, r->length))),
				 errhint("At most %d levels are allowed (flowforge.expression_depth_limit).",
						 ff_lang_max_depth)));
}

/* True when the tag closes what is open. */
static bool
read_tag(Reader *r, Parts *parts, const Tag *tag, const char *opener)
{
	if (tag->kind == '{')
		add_part(parts, FF_PART_VALUE, tag->start)->node =
			ff_parse_value(r->all, tag->content, tag->length);
	if (tag->kind != '%')
		return false;
	begin_head(r, tag);
	if (!is_closing(r))
		read_statement(r, parts, tag->start);
	else if (opener != NULL)
		return true;
	else
		ff_lang_syntax_error(&r->head, r->head.position, NULL, "\"%s\" has no beginning", word(r));
	return false;
}

/* Until the statement that closes the opener, or to the end where nothing is open. */
static FfPart *
read_parts(Reader *r, const char *opener, int position)
{
	Parts parts = {0};
	Tag	  tag = {0};

	enter(r);
	while (next_tag(r, &tag))
	{
		add_text(r, &parts, tag.start, tag.trims_before);
		pass_tag(r, &tag);
		if (!read_tag(r, &parts, &tag, opener))
			continue;
		r->depth--;
		return parts.first;
	}
	if (opener != NULL)
	{
		FfLexer lexer = {.source = r->source, .template = true};

		ff_lang_syntax_error(&lexer, position, NULL, "\"%s\" has no \"end%s\"", opener, opener);
	}
	add_text(r, &parts, r->length, false);
	r->depth--;
	return parts.first;
}

/* The value, if it is the only tag and all around it is space. */
static FfNode *
whole_value(const Reader *r, const FfPart *parts)
{
	FfNode *node = NULL;

	for (; parts != NULL; parts = parts->next)
	{
		if (parts->kind == FF_PART_VALUE)
			node = parts->node;
		else if (parts->kind != FF_PART_TEXT || !is_blank(parts->text, parts->length))
			return NULL;
	}
	return r->tags == 1 ? node : NULL;
}

static FfTemplate *
read_template(FfSource *all, const char *text, int length)
{
	Reader r = {.length = length, .all = all};
	FfTemplate *template = palloc0(sizeof(FfTemplate));

	template->source = all->text = r.source = pnstrdup(text, length);
	template->parts = read_parts(&r, NULL, 0);
	template->whole = whole_value(&r, template->parts);
	return template;
}

FfTemplate *
ff_template_compile(const char *text, int length, MemoryContext context)
{
	FfSource	  all = {.context = context, .regex_steps = ff_lang_regex_steps()};
	MemoryContext caller;
	FfTemplate *template;

	ff_lang_check_source("template", length);
	caller = MemoryContextSwitchTo(context);
	template = read_template(&all, text, length);
	MemoryContextSwitchTo(caller);
	return template;
}

FfTemplate *
ff_template_within(FfSource *outer, const char *text, int length)
{
	FfSource all = {.context = outer->context, .regex_steps = outer->regex_steps};
	FfTemplate *template = read_template(&all, text, length);

	outer->regex_steps = all.regex_steps;
	return template;
}

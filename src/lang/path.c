/*
 * path.c - what stands between a template's braces: a dotted path, or an expression with filters.
 *
 * A path's parts are keys and indexes as they are, hyphens and spaces within them included, so that
 * `step-1.out` is the member of a node called step-1 and no subtraction. Where a text with spaces
 * (`a - b`, `x if y else z`) or one that begins like a number can be read both ways, the path wins
 * if the data has it; whether it does is seen when the template is rendered.
 */
#include "postgres.h"

#include "lang/parser.h"
#include "util/errors.h"

#define SPACES " \t\r\n"

typedef struct Content
{
	FfSource   *source;
	int			position; /* of the first character that is no space */
	const char *text;	  /* a copy from there to the last */
	int			length;
} Content;

/* --- paths --- */

/* Names no expression could: what else a key may be made of, but for dots. */
static bool
is_path_character(char c)
{
	return ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9') || (c & 0x80) != 0 ||
		   (c != '\0' && strchr("_-$@ ", c) != NULL);
}

/* Whether parts, none of them empty or with a space at an end, are all there is. */
static bool
is_path(const char *text, int length)
{
	for (int i = 0; i < length; i++)
	{
		bool starts = i == 0 || text[i - 1] == '.';
		bool ends = i + 1 == length || text[i + 1] == '.';

		if (text[i] == '.' ? starts || i + 1 == length
						   : !is_path_character(text[i]) || (text[i] == ' ' && (starts || ends)))
			return false;
	}
	return length > 0;
}

/* A plain identifier means the same either way. */
static bool
is_identifier(const char *text, int length)
{
	int i = 0;

	while (i < length)
	{
		int size = ff_lexer_name_character(text + i);

		if (size == 0 && (i == 0 || text[i] < '0' || text[i] > '9'))
			return false;
		i += Max(size, 1);
	}
	return true;
}

static bool
is_ambiguous(const char *text, int length)
{
	return (*text >= '0' && *text <= '9') || *text == '-' || memchr(text, ' ', length) != NULL;
}

static FfNode *
make_path(FfParser *p, const Content *content, int length)
{
	FfNode *node = NULL;
	int		depth = p->depth;
	int		start = 0;

	while (start < length)
	{
		const char *part = content->text + start;
		const char *dot = memchr(part, '.', length - start);
		int			size = dot != NULL ? (int) (dot - part) : length - start;

		ff_parser_enter(p);
		node = node == NULL ? ff_new_node(FF_NODE_NAME, content->position)
							: ff_with_kid(FF_NODE_PART, content->position + start, node);
		node->text = pnstrdup(part, size);
		node->length = size;
		start += size + 1;
	}
	p->depth = depth;
	return node;
}

/* --- both ways --- */

static void
begin(FfParser *p, const Content *content)
{
	memset(p, 0, sizeof(*p));
	p->source = content->source;
	p->depth = -1;
	p->token.source = content->source->text;
	p->token.start = p->token.next = content->text;
	p->token.base = content->position;
	p->token.template = true;
}

static FfNode *
parse_plain(const Content *content)
{
	FfParser p;

	begin(&p, content);
	ff_lexer_advance(&p.token);
	return ff_parse_rest(&p);
}

/* The path is the first `length` bytes; what follows are its filters. */
static FfNode *
parse_path(const Content *content, int length, FfNode **path)
{
	FfParser p;

	begin(&p, content);
	*path = p.pending = make_path(&p, content, length);
	p.token.next += length;
	ff_lexer_advance(&p.token);
	return ff_parse_rest(&p);
}

/* NULL where the grammar does not take it. Parsing only allocates, so that its error can be caught.
 */
static FfNode *
try_plain(const Content *content)
{
	MemoryContext context = CurrentMemoryContext;
	FfNode *volatile node = NULL;

	PG_TRY();
	{
		node = parse_plain(content);
	}
	PG_CATCH();
	{
		if (geterrcode() != FF_ERR_EXPRESSION_SYNTAX)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return node;
}

static FfNode *
parse_ambiguous(const Content *content, int length)
{
	FfNode *plain = try_plain(content);
	FfNode *path;
	FfNode *with_path = parse_path(content, length, &path);
	FfNode *node;

	if (plain == NULL)
		return with_path;
	node = ff_with_kid(FF_NODE_EITHER, content->position, path);
	ff_add_kid(node, with_path);
	ff_add_kid(node, plain);
	return node;
}

/* The bytes before the first filter, less the space. */
static int
head_length(const Content *content)
{
	const char *bar = memchr(content->text, '|', content->length);
	int			length = bar != NULL ? (int) (bar - content->text) : content->length;

	if (bar != NULL && bar[1] == '|')
		return 0;
	while (length > 0 && strchr(SPACES, content->text[length - 1]) != NULL)
		length--;
	return length;
}

FfNode *
ff_parse_value(FfSource *source, int position, int length)
{
	const char *text = source->text;
	Content		content = {.source = source};
	FfNode	   *path;
	int			head;

	for (; length > 0 && strchr(SPACES, text[position]) != NULL; length--)
		position++;
	while (length > 0 && strchr(SPACES, text[position + length - 1]) != NULL)
		length--;
	content.position = position;
	content.text = pnstrdup(text + position, length);
	content.length = length;
	head = head_length(&content);
	if (!is_path(content.text, head) || is_identifier(content.text, head))
		return parse_plain(&content);
	if (is_ambiguous(content.text, head))
		return parse_ambiguous(&content, head);
	return parse_path(&content, head, &path);
}

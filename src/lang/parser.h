/*
 * parser.h - what parser.c, call.c, path.c and template.c share: tokens become nodes.
 */
#ifndef FF_LANG_PARSER_H
#define FF_LANG_PARSER_H

#include "lang/lexer.h"
#include "lang/node.h"

/* What is compiled: an expression, or a template with all of its expressions. */
typedef struct FfSource
{
	const char	 *text;
	MemoryContext context;	   /* of what is made */
	int64		  regex_steps; /* what its regular expressions may still cost */
	bool		  operands;	   /* {{ value }} may stand as an operand (operand.c) */
} FfSource;

typedef struct FfParser
{
	FfLexer	  token;
	FfSource *source;
	int		  depth;
	FfNode	 *pending; /* a template's path, read already: the next primary */
} FfParser;

/* parser.c: tokens. */
extern bool ff_parser_at(const FfParser *p, const char *text);
extern bool ff_parser_accept(FfParser *p, const char *text);
extern void ff_parser_expect(FfParser *p, const char *text);
extern void ff_parser_refuse(const FfParser *p) pg_attribute_noreturn();

/* parser.c: a level of nesting begins and ends; raises FF110 when there are too many. */
extern void ff_parser_enter(FfParser *p);
extern void ff_parser_leave(FfParser *p);

/* parser.c: an expression, of which the current token is the first. */
extern FfNode *ff_parse_expression(FfParser *p);

/* parser.c: the expression that is all that is left. */
extern FfNode *ff_parse_rest(FfParser *p);

/* operand.c: whether {{ begins here; from there to }}. */
extern bool	   ff_at_operand(const FfParser *p);
extern FfNode *ff_parse_operand(FfParser *p);

/* operand.c: a text in quotes. */
extern FfNode *ff_parse_text(FfParser *p);

/* template.c: where the }} is that ends what begins at `at`; -1 when there is none. */
extern int ff_template_close(const char *source, int length, int at);

/* template.c: reads a text of an expression as a template; its regular expressions count for those
 * of the whole. */
extern struct FfTemplate *ff_template_within(FfSource *outer, const char *text, int length);

/* call.c: `name(...)` after the parenthesis, `list.name(x, body)`, `value | filter` after the bar.
 */
extern FfNode *ff_parse_call(FfParser *p, FfNode *object, const char *name, int position);
extern FfNode *ff_parse_macro(FfParser *p, FfNode *list, const FfFunction *macro, int position);
extern FfNode *ff_parse_filter(FfParser *p, FfNode *value);

/* call.c: expressions with commas between them, and the sign that ends them. */
extern void ff_parse_items(FfParser *p, FfNode *node, const char *end);

/* path.c: what stands between a template's braces: `length` bytes of its source. */
extern FfNode *ff_parse_value(FfSource *source, int position, int length);

/* What the regular expressions of one source may cost: a part of what an evaluation may. */
static inline int64
ff_lang_regex_steps(void)
{
	return ff_lang_max_steps / 4;
}

/* regex.c: compiles a literal pattern, raising FF101 or FF110. */
extern FfRegex *ff_regex_compile(FfSource *source, int position, const FfValue *pattern);

/* node.c */
extern FfNode *ff_new_node(FfNodeKind kind, int position);
extern FfNode *ff_with_kid(FfNodeKind kind, int position, FfNode *kid);
extern void	   ff_add_kid(FfNode *node, FfNode *kid);

/* node.c: the operator between the last kid and the one that is about to be added. */
extern void ff_add_operator(FfNode *node, FfOperator op);

/* parser.c: true, and, if and the like, which name no variable. */
extern bool ff_is_keyword(const char *name);

#endif

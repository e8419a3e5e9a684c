/*
 * operand.c - expressions in which {{ value }} stands as an operand, as graphs write them.
 *
 * What is between the braces is read as a template's value is: `{{ step-1.out }} > 2` names the
 * node step-1. It is a part of the tree like any other, so whatever value the data has there, it is
 * never read as a part of the expression. A text in quotes that has braces is a template: its
 * values are written into the text, and a quote among them ends nothing.
 */
#include "postgres.h"

#include "lang/parser.h"
#include "lang/template.h"
#include "util/errors.h"

bool
ff_at_operand(const FfParser *p)
{
	return p->source->operands && !p->token.template && ff_parser_at(p, "{") &&
		   *p->token.next == '{';
}

FfNode *
ff_parse_operand(FfParser *p)
{
	FfLexer *t = &p->token;
	int		 position = t->position;
	int		 content = (int) (t->next - t->start) + 1;
	int		 length = (int) strlen(t->start);
	int		 close = ff_template_close(t->start, length, content);
	FfNode	*node;

	if (close < 0)
		ff_lang_syntax_error(t, position, "For example: {{ check.count }} > 5",
							 "\"{{\" has no \"}}\"");
	ff_parser_enter(p);
	node =
		ff_with_kid(FF_NODE_OPERAND, position, ff_parse_value(p->source, content, close - content));
	ff_parser_leave(p);
	t->next = t->start + close + 2;
	ff_lexer_advance(t);
	return node;
}

FfNode *
ff_parse_text(FfParser *p)
{
	FfNode *node = ff_new_node(FF_NODE_LITERAL, p->token.position);
	char   *text = p->token.text;
	int		length = p->token.length;

	ff_set_text(&node->literal, text, length);
	if (p->source->operands && !p->token.template && ff_is_template(text, length))
	{
		node->kind = FF_NODE_TEMPLATE;
		node->template = ff_template_within(p->source, text, length);
	}
	ff_lexer_advance(&p->token);
	return node;
}

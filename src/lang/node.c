/*
 * node.c - nodes of the tree are made here, by the parsers, in the current memory context.
 */
#include "postgres.h"

#include "lang/parser.h"

FfNode *
ff_new_node(FfNodeKind kind, int position)
{
	FfNode *node = palloc0(sizeof(FfNode));

	node->kind = kind;
	node->position = position;
	return node;
}

/* Room grows by doubling, always to a power of two. */
void
ff_add_kid(FfNode *node, FfNode *kid)
{
	if (node->count == 0)
		node->kids = palloc(sizeof(FfNode *));
	else if ((node->count & (node->count - 1)) == 0)
		node->kids = repalloc(node->kids, sizeof(FfNode *) * node->count * 2);
	node->kids[node->count++] = kid;
}

void
ff_add_operator(FfNode *node, FfOperator op)
{
	int count = node->count - 1;

	if (count == 0)
		node->operators = palloc(sizeof(FfOperator));
	else if ((count & (count - 1)) == 0)
		node->operators = repalloc(node->operators, sizeof(FfOperator) * count * 2);
	node->operators[count] = op;
}

FfNode *
ff_with_kid(FfNodeKind kind, int position, FfNode *kid)
{
	FfNode *node = ff_new_node(kind, position);

	ff_add_kid(node, kid);
	return node;
}

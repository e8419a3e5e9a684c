/*
 * node.h - the tree of an expression; known to the parser and the evaluator only.
 */
#ifndef FF_LANG_NODE_H
#define FF_LANG_NODE_H

#include "lang/lang.h"

typedef enum FfNodeKind
{
	FF_NODE_LITERAL,
	FF_NODE_NAME,
	FF_NODE_MEMBER,				/* kid.text */
	FF_NODE_INDEX,				/* kid[kid] */
	FF_NODE_NOT,
	FF_NODE_MINUS,
	FF_NODE_ARITHMETIC,			/* op: + - * / % */
	FF_NODE_COMPARE,			/* kids a b c with ops: a op0 b and b op1 c */
	FF_NODE_AND,
	FF_NODE_OR,
	FF_NODE_CONDITION,			/* kids: test, then, else */
	FF_NODE_LIST,
	FF_NODE_OBJECT,				/* kids: key, value, key, value ... */
	FF_NODE_CALL				/* function with kids; a method's object is the first */
} FfNodeKind;

typedef enum FfCompare
{
	FF_EQ, FF_NE, FF_LT, FF_LE, FF_GT, FF_GE, FF_IN, FF_NOT_IN
} FfCompare;

typedef struct FfNode
{
	FfNodeKind	kind;
	int			position;		/* in the source, bytes */
	char		op;				/* of arithmetic */
	char	   *text;			/* of a name, member or function */
	int			function;		/* index into the table of functions */
	JsonbValue	literal;
	FfCompare  *compares;
	int			count;
	struct FfNode **kids;
} FfNode;

struct FfExpr
{
	char	   *source;
	FfNode	   *root;
};

/* The number of the function of this name that takes so many arguments; -1 unknown, -2 wrong number. */
extern int	ff_lang_function(const char *name, int arguments);

/* The text under an error: the source with a caret below the place. */
extern char *ff_lang_place(const char *source, int position);

#endif

/*
 * lang.h - the expression language: filters of triggers and waits, and ff_eval.
 *
 * An expression reads JSON and yields JSON; it can name what it is given and call the functions of functions.c, nothing else. Two
 * spellings, one grammar: the Common Expression Language's (&& || ! true null) and Python's (and or not True None).
 */
#ifndef FF_LANG_H
#define FF_LANG_H

#include "postgres.h"

#include "utils/jsonb.h"

typedef struct FfExpr FfExpr;

typedef struct FfBinding
{
	const char *name;
	Jsonb	   *value;
} FfBinding;

/* Limits; a violation is FF110. */
extern int	ff_lang_max_source;		/* bytes */
extern int	ff_lang_max_depth;		/* of nesting */
extern int	ff_lang_max_steps;		/* of evaluation */

/* Reads an expression into `context`. Raises FF101, FF109 or FF110 with the place in DETAIL. */
extern FfExpr *ff_expr_compile(const char *source, MemoryContext context);

/* Strict mode: a missing name or member is an error; raises FF102 to FF110. */
extern Jsonb *ff_expr_eval(const FfExpr *expr, const FfBinding *bindings, int count);

/* Filter mode: a missing member is null, comparing with null by order is false, any other error makes the result false. Never raises. */
extern bool ff_expr_filter(const FfExpr *expr, const FfBinding *bindings, int count);

/* The value in filter mode; NULL on an error. */
extern Jsonb *ff_expr_eval_filter(const FfExpr *expr, const FfBinding *bindings, int count);

/*
 * What a wait can be found by: a conjunct `async.<path> == <value>` whose other side depends on `event` alone. Gives the path below
 * async, dotted, and the value; false when the expression demands no such equality.
 */
extern bool ff_expr_wait_key(const FfExpr *expr, Jsonb *event, char **path, Jsonb **value);

#endif

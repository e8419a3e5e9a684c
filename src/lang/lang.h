/*
 * lang.h - the expression language: filters of triggers and waits, keys, conditions, and ff_eval.
 *
 * An expression reads JSON and yields JSON; it can name what it is given and call the functions of
 * functions.c, nothing else. Two spellings, one grammar: the Common Expression Language's
 * (&& || ! true null) and Python's (and or not True None). The README has the picture.
 */
#ifndef FF_LANG_H
#define FF_LANG_H

#include "postgres.h"

#include "utils/jsonb.h"

typedef struct FfExpr FfExpr;

/* What a name stands for while an expression is evaluated. */
typedef struct FfBinding
{
	const char *name;
	Jsonb	   *value;
} FfBinding;

/* What names stand for: the bindings, then the members of the context where there is one. */
typedef struct FfScope
{
	const FfBinding *bindings;
	int				 count;
	Jsonb			*context; /* an object, or NULL */
} FfScope;

/* Settings; a violation is FF110. */
extern int ff_lang_max_source; /* bytes of an expression */
extern int ff_lang_max_depth;  /* levels of nesting, of an expression and of a value it makes */
extern int ff_lang_max_steps;  /* steps of an evaluation */
extern int
	ff_lang_max_output; /* bytes of a value an expression makes, of all that a render makes */

/* Reads an expression into `context`. Raises FF101, FF109 or FF110; DETAIL shows the place. */
extern FfExpr *ff_expr_compile(const char *source, MemoryContext context);

/*
 * The same from the cache of this backend, compiled if it is not there. What is returned is good
 * until the next call of a function that says "cached".
 */
extern FfExpr *ff_expr_cached(const char *source, int length);

/*
 * The same for expressions in which {{ value }} may stand as an operand, read as a template's value
 * is, and in which a text in quotes that has braces is a template. Both give values, which are
 * never read as a part of the expression.
 */
extern FfExpr *ff_operand_expr_compile(const char *source, MemoryContext context);
extern FfExpr *ff_operand_expr_cached(const char *source, int length);

/*
 * The same for expressions that were checked when they were stored. One that cannot be read any
 * more, because a limit has been lowered, is for filters only: it is false, for that reason.
 */
extern FfExpr *ff_expr_compile_stored(const char *source, MemoryContext context);
extern FfExpr *ff_expr_cached_stored(const char *source);

/* Another number when the limits that say what can be read have changed. */
extern uint32 ff_lang_limits(void);

/* Strict mode: what is missing is an error. Raises FF101 to FF110. The result is palloc'ed. */
extern Jsonb *ff_expr_eval(const FfExpr *expr, const FfBinding *bindings, int count);

/* Whether a value counts as true: not null, false, 0, '', [] or {}. */
extern bool ff_expr_truthy(Jsonb *value);

/*
 * Filter mode: a missing member is null (but two missing members are not equal), comparing null by
 * order is false, any other error makes the result false. Raises nothing but interrupts and want of
 * memory.
 */
extern bool ff_expr_filter(const FfExpr *expr, const FfBinding *bindings, int count);

/* The same; `why` says what an error was that made it false, and is empty without one. */
extern bool ff_expr_filter_why(const FfExpr *expr, const FfBinding *bindings, int count, char *why,
							   Size size);

/* The value in filter mode, palloc'ed; NULL on an error. */
extern Jsonb *ff_expr_eval_filter(const FfExpr *expr, const FfBinding *bindings, int count);

/*
 * What a wait can be found by: a conjunct `async.<path> == <constant>`, in either order, whose
 * constant depends on `event` alone. Gives the dotted path below async and the constant (JSON null
 * where the event lacks it); false when the expression demands no such equality.
 */
extern bool ff_expr_wait_key(const FfExpr *expr, Jsonb *event, char **path, Jsonb **value);

/* What a trigger can be found by: a conjunct `event.<path> == '<text>'`, in either order. Gives the
 * dotted path below event and the text; false when the expression demands no such equality. */
extern bool ff_expr_event_key(const FfExpr *expr, char **path, char **text);

/* The expression in one canonical spelling (CEL's), palloc'ed; it compiles to the same tree. */
extern char *ff_expr_print(const FfExpr *expr);

/* The same with each operand {{ value }} and each text that is a template as the literal it is now;
 * strict. What else the expression names stays. Raises FF102 to FF110. */
extern char *ff_expr_bind(const FfExpr *expr, const FfScope *scope);

/*
 * A config with its templates rendered, by cached templates: keys and all that is no text with
 * braces stay as they are. Raises FF101 to FF110, with the place in the config as context. The
 * result is palloc'ed, or the config itself when nothing is to be done.
 */
extern Jsonb *ff_render(Jsonb *config, const FfScope *scope);

/* Data that is referred to. */
typedef struct FfReference
{
	char *path;	   /* dotted */
	bool  rescued; /* wherever it is, it may be missing altogether: default(a.b, x), has(a.b) */
	bool  plain;   /* wherever it is, it is all that stands in a template's {{ }} */
} FfReference;

/* In the order of their bytes, each once. */
typedef struct FfReferences
{
	int			 count;
	int			 room;
	FfReference *items;
} FfReferences;

/* What counts as a reference. */
typedef struct FfSearch
{
	/* Which names the data will have, or NULL. A text that reads as a path and as something else,
	 * `a - b`, is the path if its first part is one of them. */
	bool (*has)(const void *argument, const char *name, int length);
	const void *argument;
	bool		once;		   /* the text is compiled where the caller stands, not kept */
	bool		arguments;	   /* names among the arguments of filters, too */
	bool		operands_only; /* of an expression: {{ value }} and texts that are templates */
} FfSearch;

/* The data a config's templates refer to; the search may be NULL. Raises FF101, FF109 or FF110;
 * palloc'ed. */
extern void ff_template_references(Jsonb *config, const FfSearch *search, FfReferences *found);

/* The same for one text. */
extern void ff_text_references(const char *text, int length, const FfSearch *search,
							   FfReferences *found);

/* The data an expression refers to. Palloc'ed. */
extern void ff_expr_references(const FfExpr *expr, const FfSearch *search, FfReferences *found);

/* The value of an expression that is the same whatever the data and the time are: NULL when it is
 * not, or cannot be evaluated. */
extern Jsonb *ff_expr_constant(const FfExpr *expr);

#endif

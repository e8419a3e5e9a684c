/*
 * node.h - the tree of an expression; known to the parser, the printer and the evaluator only.
 */
#ifndef FF_LANG_NODE_H
#define FF_LANG_NODE_H

#include "lang/value.h"

typedef enum FfNodeKind
{
	FF_NODE_LITERAL,
	FF_NODE_NAME,
	FF_NODE_MEMBER, /* kid.text */
	FF_NODE_INDEX,	/* kid[kid] */
	FF_NODE_PART,	/* of a template's dotted path: a key or an index of kid, as it turns out */
	FF_NODE_EITHER, /* kids: a path, what to give when it is there, what to give when it is not */
	FF_NODE_NOT,
	FF_NODE_MINUS,
	FF_NODE_ARITHMETIC, /* kids a b c with operators of one level: (a op0 b) op1 c */
	FF_NODE_COMPARE,	/* kids a b c: a op0 b and b op1 c */
	FF_NODE_AND,
	FF_NODE_OR,
	FF_NODE_CONDITION, /* kids: test, then, else */
	FF_NODE_LIST,
	FF_NODE_OBJECT,	  /* kids: key, value, key, value ... */
	FF_NODE_OPERAND,  /* {{ kid }} in an expression */
	FF_NODE_TEMPLATE, /* a text in quotes that is a template; the literal has its source */
	FF_NODE_CALL,	  /* function with kids; a method's object is the first */
	FF_NODE_MACRO	  /* kids: list, body; text is the variable */
} FfNodeKind;

typedef enum FfOperator
{
	FF_ADD,
	FF_SUBTRACT,
	FF_MULTIPLY,
	FF_DIVIDE,
	FF_MODULO,
	FF_EQ,
	FF_NE,
	FF_LT,
	FF_LE,
	FF_GT,
	FF_GE,
	FF_IN,
	FF_NOT_IN
} FfOperator;

/* Functions that see their arguments before they are evaluated. */
typedef enum FfSpecial
{
	FF_PLAIN,
	FF_HAS,
	FF_DEFAULT,
	FF_RESCUE, /* the filter default() */
	FF_NAMED,  /* the filter map(): its argument is named */
	FF_ALL,
	FF_EXISTS,
	FF_FILTER,
	FF_MAP
} FfSpecial;

typedef struct FfNode  FfNode;
typedef struct FfRegex FfRegex;

typedef bool (*FfCall)(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out);

typedef struct FfFunction
{
	const char *name;
	FfSpecial	special;
	int			min; /* arguments, a method's object counted */
	int			max;
	FfCall		call;
	const char *parameters; /* of a filter, after the value: their names */
} FfFunction;

struct FfNode
{
	FfNodeKind		  kind;
	int				  position; /* in the source, bytes */
	FfValue			  literal;	/* of a literal; of a name that is a keyword */
	bool			  keyword;
	const char		 *text; /* of a name, a member, a macro's variable */
	int				  length;
	const FfFunction *function;
	FfRegex			 *regex; /* of matches() when the pattern is a literal */
	struct FfTemplate *template;
	FfOperator *operators; /* count - 1 of them */
	int			count;
	FfNode	  **kids;
};

struct FfExpr
{
	const char *source;
	FfNode	   *root;
	const char *fault; /* of a stored one: why it cannot be read any more; it has no root then */
};

#define FF_MAX_ARGUMENTS 16

typedef enum FfTable
{
	FF_TABLE_FUNCTIONS,
	FF_TABLE_MACROS,	/* all, exists, filter, map */
	FF_TABLE_TEMPLATES, /* functions that templates have besides */
	FF_TABLE_FILTERS
} FfTable;

/* functions.c: NULL where the table has no such function. */
extern const FfFunction *ff_lang_function(const char *name, FfTable table);
extern const char		*ff_lang_nearest_function(const char *name);
extern const char		*ff_lang_nearest_filter(const char *name);
extern const char		*ff_lang_filter_names(void); /* "upper, lower, ..." */
extern bool				 ff_lang_is_filter(const FfFunction *function);

/* filters.c */
extern const FfFunction ff_filters[];
extern const int		ff_filter_count;

/* place.c: "At character 7:", the line and a caret below the place; palloc'ed. */
extern char *ff_lang_place(const char *source, int position);

/* place.c: raises FF110 when the source of an expression or template is too long. */
extern void ff_lang_check_source(const char *what, size_t length);

/* place.c: removes half a character from the end of a text that was cut to fit into `size` bytes.
 */
extern void ff_lang_clip(char *text, int size);

/* The known name that is nearest to what was written. */
typedef struct FfNearest
{
	const char *wanted;
	int			length;
	int			distance; /* start with a limit */
	char		name[64]; /* empty when nothing is near */
} FfNearest;

/* place.c: remembers `candidate` if it is nearer than the best so far. */
extern void ff_lang_seek(FfNearest *nearest, const char *candidate, int length);

/* regex.c: what compiled regular expressions take outside of memory contexts, about. */
extern int64 ff_regex_bytes;

/* functions of the table, by file */
/* clang-format off */
#define FF_CALLS(X) \
	X(size) X(string) X(int) X(float) X(bool) X(abs) X(round) X(floor) X(ceil) X(now) X(timestamp) X(duration) \
	X(lower) X(upper) X(trim) X(starts_with) X(ends_with) X(contains) X(split) X(join) X(replace) X(matches) \
	X(min) X(max) X(sum) X(keys) X(values) X(sort) X(unique)
#define FF_FILTER_CALLS(X) \
	X(range) X(first) X(last) X(reverse) X(sort) X(join) X(map) X(selectattr) X(slice) X(batch) X(title) X(truncate) \
	X(tojson) X(fromjson) X(urlencode) X(b64encode) X(b64decode) X(sha256) X(date)
/* clang-format on */
#define FF_DECLARE_CALL(name) \
	extern bool ff_fn_##name(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out);
FF_CALLS(FF_DECLARE_CALL)
#undef FF_DECLARE_CALL
#define FF_DECLARE_CALL(name) \
	extern bool ff_filter_##name(FfEvaluation *e, const FfNode *node, FfValue *args, FfValue *out);
FF_FILTER_CALLS(FF_DECLARE_CALL)
#undef FF_DECLARE_CALL

/* eval.c: begins what any number of evaluations follow; after them comes ff_lang_keep or
 * ff_lang_end. */
extern void ff_lang_begin(FfEvaluation *e, const FfScope *scope, bool filter);
extern bool ff_lang_evaluate(FfEvaluation *e, const FfNode *node, FfValue *out);

/* render.c: what a template within an expression gives, always a text. */
extern bool ff_lang_render(FfEvaluation *e, const FfNode *node, FfValue *out);

/* eval.c: ends it and gives the document that was made, where the caller stands. */
extern Jsonb *ff_lang_keep(FfEvaluation *e, Jsonb *made);
extern void	  ff_lang_end(FfEvaluation *e);

/* eval.c: the value of an expression; in filter mode NULL on an error. */
extern Jsonb *ff_lang_strict(const FfExpr *expr, const FfScope *scope);
extern Jsonb *ff_lang_filtered(const FfExpr *expr, const FfScope *scope);

/* place.c: raises the error of an evaluation, with its place in the source. */
extern void ff_lang_report(const FfEvaluation *e, bool template, const char *source)
	pg_attribute_noreturn();

/* member.c: `position` is that of the node to blame. An index becomes an integer where it is one.
 */
extern bool ff_lang_name(FfEvaluation *e, const FfNode *node, FfValue *out);
extern bool ff_lang_member(FfEvaluation *e, int position, const FfValue *object, const char *key,
						   int length, FfValue *out);
extern bool ff_lang_index(FfEvaluation *e, int position, const FfValue *object, FfValue *key,
						  FfValue *out);
extern bool ff_lang_part(FfEvaluation *e, int position, const FfValue *object, const char *part,
						 int length, FfValue *out);
extern void ff_lang_make_integer(FfEvaluation *e, FfValue *v);

/* operator.c: `a operator b`. */
extern bool ff_lang_operate(FfEvaluation *e, int position, FfOperator op, const FfValue *a,
							const FfValue *b, FfValue *out);

extern bool ff_lang_compare(FfEvaluation *e, int position, FfOperator how, const FfValue *a,
							const FfValue *b, bool *result);

extern bool ff_lang_in(FfEvaluation *e, int position, const FfValue *item, const FfValue *whole,
					   bool *result);

#endif

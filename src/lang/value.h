/*
 * value.h - what an expression computes with, and the state of one evaluation.
 *
 * A value points into the data it was read from for as long as it can: only what operators and
 * functions make is allocated. Small integers are int64; a number that is not is a Numeric.
 * Errors are kept in the evaluation instead of being raised, so that a filter costs no
 * subtransaction: whatever returns bool here returns false with the error set.
 */
#ifndef FF_LANG_VALUE_H
#define FF_LANG_VALUE_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/numeric.h"

#include "lang/lang.h"

typedef enum FfKind
{
	FF_NULL,
	FF_BOOL,
	FF_INTEGER,
	FF_NUMERIC,
	FF_TEXT,
	FF_LIST,
	FF_OBJECT
} FfKind;

typedef struct FfList FfList;

typedef struct FfValue
{
	FfKind kind;
	int	   length; /* bytes of a text or of what is stored */
	union
	{
		bool			boolean; /* of a null: it stands for something missing */
		int64			integer;
		Numeric			numeric;
		const char	   *text;	/* not terminated */
		JsonbContainer *stored; /* of an object, and of a list that was not made here */
	} u;
	FfList *made; /* of a list that was made here; else NULL */
} FfValue;

struct FfList
{
	int		count;
	int		depth; /* 1 for a list of scalars; what is stored counts as a scalar */
	int64	bytes; /* about what it takes as JSON */
	FfValue items[FLEXIBLE_ARRAY_MEMBER];
};

/* A variable of a macro or of a template's statement. */
typedef struct FfLocal
{
	const char	   *name;
	FfValue			value;
	struct FfLocal *outer;
} FfLocal;

/* Costs are counted in units; looking at a byte is cheap, a step of evaluation is FF_STEP of them.
 */
#define FF_STEP 64

typedef struct FfEvaluation
{
	const FfScope *scope;
	FfLocal		  *locals;
	bool		   filter;	/* mode: comparing null by order is false */
	bool		   lenient; /* what is missing is null */
	bool		   quiet;	/* nobody will read the message */
	bool		   trying;	/* what is missing will be rescued, nobody needs a hint */
	int64		   budget;	/* units left */
	int64		   output;	/* bytes a template has made */
	MemoryContext  caller;	/* where results go */
	MemoryContext  scratch; /* where values are made; NULL until one is */

	int					 code;	   /* SQLSTATE of the error, 0 without one */
	int					 position; /* of its place in the source */
	bool				 absent;   /* the error is that something is not there */
	const struct FfNode *culprit;  /* the innermost node that failed */
	char				 message[256];
	char				 hint[256];
} FfEvaluation;

/* Sets the error and returns false. `position` is that of the node to blame. */
extern bool ff_lang_fail(FfEvaluation *e, int position, int code, const char *format, ...)
	pg_attribute_printf(4, 5);

/* Pays `units`; false with FF110 when the budget is spent. Serves interrupts. */
extern bool ff_lang_pay(FfEvaluation *e, int position, int64 units);

/* Counts what a template made; false with FF110 when that is too much. */
extern bool ff_lang_output(FfEvaluation *e, int position, int64 bytes);

/* To be called before anything is allocated. */
extern void ff_lang_use_scratch(FfEvaluation *e);

/* Memory for a value of so many bytes, paid for; NULL with FF110 when that is too much. */
extern char *ff_lang_room(FfEvaluation *e, int position, int64 bytes);

/* A list of so many items, all null; NULL with FF110 when that is too much. */
extern FfList *ff_lang_list(FfEvaluation *e, int position, int64 count);

/* To be called when the items of a list are set: measures it. */
extern bool ff_lang_made(FfEvaluation *e, int position, FfList *list, FfValue *out);

extern void	  ff_value_of_json(const JsonbValue *json, FfValue *out);
extern void	  ff_value_of_document(Jsonb *document, FfValue *out);
extern Jsonb *ff_value_document(const FfValue *v); /* palloc'ed where the caller stands */
extern void	  ff_value_push(JsonbParseState **state, JsonbIteratorToken token, const FfValue *v);

/* Appends compact JSON; false with FF110 when that is too much. */
extern bool ff_value_write(FfEvaluation *e, int position, StringInfo out, const FfValue *v);

/* The same, but a text as it is: what a value is within a template's text. */
extern bool ff_value_write_plain(FfEvaluation *e, int position, StringInfo out, const FfValue *v);

extern const char *ff_value_kind(const FfValue *v); /* "a number", for messages */
extern bool		   ff_value_truthy(const FfValue *v);
extern Numeric	   ff_value_numeric(const FfValue *v); /* of a number */
extern int64	   ff_value_bytes(const FfValue *v);   /* about what it takes as JSON */
extern int		   ff_numeric_length(Numeric number);  /* decimal digits it takes, about */
extern int		   ff_value_count(const FfValue *v);   /* of a list or object */
extern void		   ff_value_item(const FfValue *list, int i, FfValue *out);

/* All kinds: equality never fails but for its cost. */
extern bool ff_value_equal(FfEvaluation *e, int position, const FfValue *a, const FfValue *b,
						   bool *equal);

/* <0, 0, >0 into `order`. A null that a filter compares sets `unordered` instead. */
extern bool ff_value_compare(FfEvaluation *e, int position, const FfValue *a, const FfValue *b,
							 int *order, bool *unordered);

/* Text that is a number (as the language writes it, a sign allowed). 0, or the error's SQLSTATE. */
extern int ff_value_parse_number(const char *text, int length, FfValue *out);

static inline bool
ff_value_is_number(const FfValue *v)
{
	return v->kind == FF_INTEGER || v->kind == FF_NUMERIC;
}

static inline void
ff_set_null(FfValue *out)
{
	out->kind = FF_NULL;
	out->u.boolean = false;
}

static inline void
ff_set_missing(FfValue *out)
{
	out->kind = FF_NULL;
	out->u.boolean = true;
}

static inline bool
ff_value_is_missing(const FfValue *v)
{
	return v->kind == FF_NULL && v->u.boolean;
}

static inline void
ff_set_bool(FfValue *out, bool value)
{
	out->kind = FF_BOOL;
	out->u.boolean = value;
}

static inline void
ff_set_integer(FfValue *out, int64 value)
{
	out->kind = FF_INTEGER;
	out->u.integer = value;
}

static inline void
ff_set_text(FfValue *out, const char *text, int length)
{
	out->kind = FF_TEXT;
	out->u.text = text;
	out->length = length;
}

/* A Numeric that the evaluation made; small integers become int64. */
extern void ff_set_numeric(FfValue *out, Numeric value);

#endif

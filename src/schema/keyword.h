/*
 * keyword.h - what the files of this folder share: a validation under way, places, keywords.
 */
#ifndef FF_SCHEMA_KEYWORD_H
#define FF_SCHEMA_KEYWORD_H

#include "schema/schema.h"
#include "lang/regex.h"

/* Where something stands, told from the inside out. */
typedef struct FfPlace
{
	const struct FfPlace *parent; /* NULL: the whole document */
	const char			 *key;	  /* NULL: `index` of a list */
	int					  length;
	int					  index;
} FfPlace;

/* One question: a schema, a value. */
typedef struct FfValidation
{
	JsonbContainer *root; /* the schema `$ref` looks into */
	FfSchemaMode	mode;
	FfFindings	 *findings; /* NULL while the answer is all that is asked: inside anyOf, not, if */
	int			  most;
	int64		  steps; /* that may still be taken */
	int			  depth;
	const char	 *stopped;	/* why no answer can be given, or NULL; nothing is decided after it */
	bool		  unsure;	/* a template was let pass: what holds, or not, may yet change */
	struct HTAB	 *patterns; /* compiled, by where they stand in the schema */
	struct HTAB	 *checked;	/* parts of the schema known to be well formed */
	MemoryContext context;
} FfValidation;

/* What a keyword's own value must be. */
typedef enum FfShape
{
	FF_SHAPE_ANY,
	FF_SHAPE_SCHEMA,
	FF_SHAPE_SCHEMAS,		  /* a list of at least one */
	FF_SHAPE_NAMED_SCHEMAS,	  /* an object of schemas */
	FF_SHAPE_PATTERN_SCHEMAS, /* an object of schemas whose keys are patterns */
	FF_SHAPE_TYPES,
	FF_SHAPE_COUNT, /* a whole number from 0 */
	FF_SHAPE_NUMBER,
	FF_SHAPE_POSITIVE,
	FF_SHAPE_FLAG,
	FF_SHAPE_TEXT,
	FF_SHAPE_TEXTS,
	FF_SHAPE_NAMED_TEXTS, /* an object of lists of texts */
	FF_SHAPE_LIST,
	FF_SHAPE_PATTERN,
	FF_SHAPE_REFERENCE,
	FF_SHAPE_REFUSED /* known to be left out */
} FfShape;

/* `demand` is the keyword's value, `schema` the object it stands in. */
typedef struct FfDemand
{
	const struct FfKeyword *keyword;
	JsonbContainer		   *schema;
	const JsonbValue	   *value;
} FfDemand;

typedef bool (*FfTest)(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
					   const FfPlace *place);

typedef struct FfKeyword
{
	const char *name;
	FfShape		shape;
	char		applies; /* to values of this kind (ff_kind), or 0: to all */
	FfTest		test;	 /* NULL: it demands nothing of a value by itself */
} FfKeyword;

/* keyword.c: the table. */
extern const FfKeyword *ff_schema_keyword(const char *name, int length);

/* validate.c: whether a value satisfies a schema; findings say why not. */
extern bool ff_holds(FfValidation *v, const JsonbValue *schema, const JsonbValue *value,
					 const FfPlace *place);

/* The same without findings. */
extern bool ff_holds_quietly(FfValidation *v, const JsonbValue *schema, const JsonbValue *value,
							 const FfPlace *place);
extern bool ff_schema_pay(FfValidation *v, int64 steps);

/* Notes what is wrong; always false. */
extern bool ff_wrong(FfValidation *v, const FfPlace *place, const char *keyword, const char *format,
					 ...) pg_attribute_printf(4, 5);

/* check.c: whether a schema is well formed, and what it refers to. */
extern void ff_check_schema(FfValidation *v, const JsonbValue *schema, const FfPlace *place);

/* validate.c: a validation with nothing found yet. */
extern void ff_validation_begin(FfValidation *v, Jsonb *schema, FfSchemaMode mode, int most);

/* reference.c: what a `$ref` names; false when there is nothing. */
extern bool ff_schema_refer(FfValidation *v, const JsonbValue *reference, JsonbValue *out);

/* pattern.c: a compiled pattern; NULL with the reason. Known patterns cost nothing. */
extern FfRegex *ff_schema_pattern(FfValidation *v, const JsonbValue *pattern, const char **refusal);
extern bool ff_pattern_found(FfValidation *v, const JsonbValue *pattern, const JsonbValue *text);

/* format.c: whether a text has a format; true for a format nobody knows. */
extern bool ff_schema_format(const JsonbValue *format, const char *text, int length);

/* value.c: values. Kinds: o object, a list, s text, n number, b true or false, 0 null. */
extern char		   ff_kind(const JsonbValue *value);
extern const char *ff_kind_name(char kind);
extern bool		   ff_is_whole(const JsonbValue *number);
extern bool		   ff_same(FfValidation *v, const JsonbValue *a, const JsonbValue *b);
extern bool		   ff_all_different(FfValidation *v, JsonbContainer *list);
extern bool	 ff_is_multiple(FfValidation *v, const JsonbValue *number, const JsonbValue *factor);
extern int	 ff_compare_numbers(const JsonbValue *a, const JsonbValue *b);
extern bool	 ff_member(JsonbContainer *object, const char *key, int length, JsonbValue *out);
extern void	 ff_whole(Jsonb *document, JsonbValue *out); /* a document as a value */
extern char *ff_shown(const JsonbValue *value);			 /* as JSON, cut short */

/* The members of an object or the elements of a list, one after the other. */
typedef struct FfEach
{
	JsonbIterator *iterator;
	JsonbValue	   key;
	JsonbValue	   value;
	int			   index;
} FfEach;

extern void ff_each(FfEach *each, const JsonbValue *container);
extern bool ff_next(FfEach *each);

#endif

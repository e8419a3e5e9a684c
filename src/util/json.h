/*
 * json.h - reading and building jsonb.
 */
#ifndef FF_JSON_H
#define FF_JSON_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

typedef struct FfJsonError
{
	char message[200];
	int	 offset; /* bytes from the start */
} FfJsonError;

extern int ff_json_depth_limit;

/*
 * Reads JSON text (UTF-8). NULL and an error for anything that is not JSON, not UTF-8, holds
 * U+0000, which jsonb cannot, or is nested deeper than max_depth. Does not raise on bad data.
 */
extern Jsonb *ff_json_parse(const char *text, size_t length, int max_depth, FfJsonError *error);

/* How deep a value is nested: 0 for a scalar. Stops counting at `enough`. */
extern int ff_json_depth(Jsonb *value, int enough);

/* A member of an object, NULL when absent or not an object; the value points into it. */
extern JsonbValue *ff_json_get(Jsonb *object, const char *key);
extern char	 *ff_json_text(Jsonb *object, const char *key); /* palloc'ed; NULL unless a string */
extern bool	  ff_json_int64(Jsonb *object, const char *key,
							int64 *out);					  /* false unless an integer in range */
extern bool	  ff_json_bool(Jsonb *object, const char *key);	  /* false unless true */
extern Jsonb *ff_json_member(Jsonb *object, const char *key); /* as a document; NULL when absent */
extern Jsonb *ff_json_at(Jsonb *document, const char *dotted_path); /* NULL when absent */

extern bool	  ff_json_is_object(Jsonb *value);
extern bool	  ff_json_is_array(Jsonb *value);
extern bool	  ff_json_is_null(Jsonb *value);
extern Jsonb *ff_json_null(void);
extern Jsonb *ff_json_empty_object(void);
extern Jsonb *ff_json_from_text(const char *text); /* the text as a JSON string */
extern Jsonb *ff_json_literal(const char *json);   /* JSON that the code itself wrote */

/* Builds an object or array; keys and texts are copied by ff_jb_finish. A NULL text or document
 * becomes null. */
typedef struct FfJsonBuilder
{
	JsonbParseState *state;
	JsonbValue		*result;
} FfJsonBuilder;

extern void	  ff_jb_object(FfJsonBuilder *builder);
extern void	  ff_jb_array(FfJsonBuilder *builder);
extern void	  ff_jb_end(FfJsonBuilder *builder); /* closes the innermost */
extern void	  ff_jb_key(FfJsonBuilder *builder, const char *key);
extern void	  ff_jb_text(FfJsonBuilder *builder, const char *text);
extern void	  ff_jb_int(FfJsonBuilder *builder, int64 number);
extern void	  ff_jb_bool(FfJsonBuilder *builder, bool value);
extern void	  ff_jb_json(FfJsonBuilder *builder, Jsonb *value);
extern Jsonb *ff_jb_finish(FfJsonBuilder *builder);
/* The same as a tree that refers to the keys, texts and documents it was given: they must live as
 * long as it does. */
extern JsonbValue *ff_jb_tree(FfJsonBuilder *builder);
/* A document as a tree that refers to it; palloc'ed. */
extern JsonbValue *ff_json_tree(Jsonb *document);

/* The document with each of its texts, and of its keys if asked for, as `map` gives it, which sets
 * the length. */
extern Jsonb *ff_json_map(Jsonb *document,
						  char *(*map)(const char *text, int *length, void *argument),
						  void *argument, bool keys);

/* Microseconds since 1970 and back. */
extern int64	   ff_unix_us(TimestampTz at);
extern TimestampTz ff_from_unix_us(int64 us);

#endif

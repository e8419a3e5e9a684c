/*
 * schema.h - whether a value satisfies a JSON Schema: forms of approvals, inputs of workflows,
 * configs of steps.
 *
 * Pure: no tables, no fetching; a `$ref` names a part of its own schema. Keywords are those of
 * draft 2020-12 that can be decided so (keyword.c has the table); a keyword nobody knows is an
 * annotation, and one that is known but not understood is refused, so that nothing passes for want
 * of a check.
 */
#ifndef FF_SCHEMA_H
#define FF_SCHEMA_H

#include "postgres.h"

#include "utils/jsonb.h"

typedef struct FfFinding
{
	const char *path; /* a JSON pointer into the value, or into the schema when that is checked */
	const char *keyword; /* what demands it; "schema": the schema itself is wrong; "limit": it takes
							too long */
	const char *message;
} FfFinding;

typedef struct FfFindings
{
	int		   count;
	FfFinding *list;
	bool	   more; /* there are more than were asked for */
} FfFindings;

typedef enum FfSchemaMode
{
	FF_SCHEMA_PLAIN,
	FF_SCHEMA_TEMPLATES /* a text with {{ or {% in it satisfies everything: what it becomes is not
						   known yet */
} FfSchemaMode;

/* What is wrong with a schema, at most so many findings; palloc'ed. */
extern FfFindings *ff_schema_check(Jsonb *schema, int most);

/* What is wrong with a value; findings of the keyword "schema" when the schema itself is wrong. */
extern FfFindings *ff_schema_validate(Jsonb *schema, Jsonb *value, FfSchemaMode mode, int most);

/* As a list of {path, keyword, message}. */
extern Jsonb *ff_findings_json(const FfFindings *findings);

#endif

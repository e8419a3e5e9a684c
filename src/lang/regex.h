/*
 * regex.h - the language's bounded regular expressions, for other rooms.
 *
 * Costs are in steps of an evaluation, and are paid before the work is done.
 */
#ifndef FF_LANG_REGEX_H
#define FF_LANG_REGEX_H

#include "postgres.h"

typedef struct FfRegex FfRegex;

/*
 * Compiles a pattern, which lives as long as the context. NULL and the reason when it cannot be
 * read, is refused, or would cost more than the steps that are left. Raises nothing.
 */
extern FfRegex *ff_regex_make(const char *pattern, int length, MemoryContext context, int64 *steps,
							  const char **refusal);

/* Whether the pattern is found anywhere in the text; *steps is negative when it costs too much. */
extern bool ff_regex_found(FfRegex *regex, const char *text, int length, int64 *steps);

#endif

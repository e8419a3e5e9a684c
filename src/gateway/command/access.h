/*
 * Commands that ask the database itself: of keys, users and secrets.
 */
#ifndef FF_ACCESS_H
#define FF_ACCESS_H

#include <jansson.h>

#include "cli/cli.h"

/* One statement with parameters, whose first value is JSON; the answer, or NULL with *result set.
 */
extern json_t *ff_access_ask(FfServer *server, const char *statement, int count,
							 const char *const *values, FfExit *result);

/* What the statement gave as JSON, or its members of these names, a space between them. */
extern void ff_access_print(const FfServer *server, const json_t *answer,
							const char *const names[]);

#endif

/*
 * Commands that ask the database itself: of keys, users and secrets.
 */
#ifndef FF_ACCESS_H
#define FF_ACCESS_H

#include <jansson.h>

#include "cli/cli.h"

/* A command that is one statement, whose first value is JSON. */
typedef struct FfAccess
{
	const char *command; /* its full name */
	const char *synopsis;
	const char *about;
	const char *missing; /* what it says when it is given nothing; NULL: it takes nothing */
	const char *statement;
	const char *shown[8]; /* the members of the answer that are printed; NULL ends them */
} FfAccess;

/* Runs it once and prints the answer, an object; or a line for each of those it is a list of. */
extern FfExit ff_access_once(const FfAccess *access, int argc, char **argv);

/* Runs it for each word, which is its parameter, as long as the database is there. */
extern FfExit ff_access_each(const FfAccess *access, int argc, char **argv);

/* One statement with parameters, whose first value is JSON; the answer, or NULL with *result set.
 */
extern json_t *ff_access_ask(FfServer *server, const char *statement, int count,
							 const char *const *values, FfExit *result);

/* What the statement gave as JSON, or its members of these names, a space between them. */
extern void ff_access_print(const FfServer *server, const json_t *answer,
							const char *const names[]);

#endif

/*
 * Runs as a person reads them: a line per run in a list, a line per fact of a run that is followed.
 */
#ifndef FF_SHOW_H
#define FF_SHOW_H

#include <jansson.h>

#include "cli/cli.h"

/* A run on the screen: what has to be remembered between its lines. */
typedef struct FfShown
{
	char   *run_id;
	char   *function;
	bool	labelled; /* the function is printed on every line: several runs share the screen */
	int64_t created;  /* milliseconds since 1970 */
	json_t *names;	  /* step id -> name */
	int		finished; /* steps that have ended, one way or the other */
	char   *doing;	  /* the last step that sleeps, waits or is tried again, and that; NULL: none */
} FfShown;

extern void ff_shown_init(FfShown *shown, const char *run_id, const char *function);
extern void ff_shown_free(FfShown *shown);

/* Prints the head of a run and what its steps have come to, from {run, steps}. */
extern void ff_show_snapshot(FfShown *shown, const json_t *snapshot);

/* Prints the line of one run event, if it is of interest to a person. */
extern void ff_show_event(FfShown *shown, const json_t *event);

/* What a run that goes on has come to, for the status ("3 steps, charge sleeps"). To be freed. */
extern char *ff_show_progress(const FfShown *shown);

/* Prints the head of a table of runs, and one line of it. */
extern void ff_show_run_head(void);
extern void ff_show_run_line(const json_t *run);

#endif

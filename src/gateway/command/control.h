/*
 * flowforge runs explain | cancel | retry | replay, and flowforge functions: acting on runs and on
 * what they are made of.
 */
#ifndef FF_CONTROL_H
#define FF_CONTROL_H

#include <jansson.h>

#include "cli/cli.h"

/* The JSON an option gives, NULL with the user told when it is none; `object` when it must be one.
 */
extern json_t *ff_read_json(const char *command, const char *option, const char *text, bool object);

/* Sets a member that is not NULL. */
extern void ff_set_text(json_t *body, const char *name, const char *text);

/* "/api/v1/{collection}/{id}{rest}". To be freed. */
extern char *ff_item_path(const char *collection, const char *id, const char *rest);

/* Asks for one thing to be done to one item and prints `member` of the answer. */
extern FfExit ff_act_on(const FfServer *server, const char *collection, const char *id,
						const char *rest, json_t *body, const char *member);

extern FfExit ff_runs_explain(int argc, char **argv);
extern FfExit ff_runs_cancel(int argc, char **argv);
extern FfExit ff_runs_retry(int argc, char **argv);
extern FfExit ff_runs_resume(int argc, char **argv);
extern FfExit ff_runs_replay(int argc, char **argv);

#endif

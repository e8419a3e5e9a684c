/*
 * Acting on one item of the API, a run, a function, an approval: one call for each, whose answer is
 * printed as it is.
 */
#ifndef FF_ITEM_H
#define FF_ITEM_H

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

/* The same for each of them, as long as the server is there. Gives FF_EXIT_DONE when all was done.
 */
extern FfExit ff_act_on_each(const FfServer *server, const char *collection, const FfList *ids,
							 const char *rest, json_t *body, const char *member);

#endif

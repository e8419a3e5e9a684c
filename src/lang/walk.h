/*
 * walk.h - a config walked value by value, with the place of each for errors.
 */
#ifndef FF_LANG_WALK_H
#define FF_LANG_WALK_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

typedef struct FfWalk
{
	JsonbIterator		*iterator;
	JsonbIteratorToken	 token;
	JsonbValue			 part;
	int					 depth; /* of containers that are open */
	int					 room;
	struct FfWalkLevel	*levels;
	ErrorContextCallback place;
} FfWalk;

/* From here to ff_walk_end, errors tell where in the config they happened. */
extern void ff_walk_begin(FfWalk *walk, Jsonb *config);
extern bool ff_walk_next(FfWalk *walk); /* false at the end */
extern void ff_walk_end(FfWalk *walk);

/* Where the current token is, `body.items.0`, cut where it is long; palloc'ed. */
extern char *ff_walk_path(const FfWalk *walk);

/* Whether the current token is a text that holds a template. Keys never are. */
extern bool ff_walk_at_template(const FfWalk *walk);

/* The same for a config that is no object and no list; `text` is the config's. */
extern bool ff_walk_scalar_template(Jsonb *config, JsonbValue *text);

#endif

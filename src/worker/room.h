/*
 * room.h - runs that wait for room, by their id alone, not in memory: so any number of them is in
 * nobody's way.
 */
#ifndef FF_WORKER_ROOM_H
#define FF_WORKER_ROOM_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/hsearch.h"

#include "run/run.h"

typedef struct FfRoom
{
	List *waiting; /* of FfReady, in order */
	HTAB *set;	   /* the same, to be found */
} FfRoom;

/* `name` is the table's, for people. */
extern void ff_room_init(FfRoom *room, const char *name);

/* The run waits; once is enough. */
extern void ff_room_wait(FfRoom *room, const FfRun *run);
extern bool ff_room_empty(const FfRoom *room);

/* Has the first so many settle, or be read if they are not in memory; those that find no room wait
 * again. */
extern void ff_room_let_in(FfRoom *room, int count);

#endif

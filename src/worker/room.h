/*
 * room.h - runs that wait for room, by their id alone, not in memory: so any number of them is in
 * nobody's way. Tenants take turns by their weights (fair.h).
 */
#ifndef FF_WORKER_ROOM_H
#define FF_WORKER_ROOM_H

#include "postgres.h"

#include "utils/hsearch.h"

#include "run/run.h"
#include "worker/fair.h"

typedef struct FfRoom
{
	FfFair fair;
	HTAB  *guests; /* the tenants of those that wait */
	HTAB  *set;	   /* those that wait */
} FfRoom;

/* `name` is the table's, for people. */
extern void ff_room_init(FfRoom *room, const char *name);

/* The run waits; once is enough. */
extern void ff_room_wait(FfRoom *room, const FfRun *run);
extern bool ff_room_empty(const FfRoom *room);

/* Has the next so many settle, or be read if they are not in memory; those that find no room wait
 * again. */
extern void ff_room_let_in(FfRoom *room, int count);

#endif

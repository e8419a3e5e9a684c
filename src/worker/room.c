/*
 * room.c - runs that wait for room (see room.h).
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "worker/call.h"
#include "worker/executor.h"
#include "worker/room.h"

typedef struct Waiting
{
	pg_uuid_t run_id; /* the key */
} Waiting;

void
ff_room_init(FfRoom *room, const char *name)
{
	HASHCTL control = {0};

	control.keysize = sizeof(pg_uuid_t);
	control.entrysize = sizeof(Waiting);
	control.hcxt = TopMemoryContext;
	room->waiting = NIL;
	room->set = hash_create(name, 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
ff_room_wait(FfRoom *room, const FfRun *run)
{
	MemoryContext old;
	FfReady		 *ready;
	bool		  found;

	hash_search(room->set, &run->id, HASH_ENTER, &found);
	if (found)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	ready = palloc0(sizeof(FfReady));
	ready->tenant_id = run->tenant_id;
	ready->run_id = run->id;
	room->waiting = lappend(room->waiting, ready);
	MemoryContextSwitchTo(old);
}

bool
ff_room_empty(const FfRoom *room)
{
	return room->waiting == NIL;
}

void
ff_room_let_in(FfRoom *room, int count)
{
	for (count = Min(count, list_length(room->waiting)); count > 0; count--)
	{
		FfReady *ready = linitial(room->waiting);
		FfRun	*run = ff_active_find(&ready->run_id);

		room->waiting = list_delete_first(room->waiting);
		hash_search(room->set, &ready->run_id, HASH_REMOVE, NULL);
		if (run == NULL)
			ff_queue_push(ready, true);
		else if (ff_may_call(run))
			ff_settle(run);
		pfree(ready);
	}
}

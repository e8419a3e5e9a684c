/*
 * room.c - runs that wait for room (see room.h).
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/memutils.h"

#include "util/table.h"
#include "worker/call.h"
#include "worker/executor.h"
#include "worker/room.h"

typedef struct Guest
{
	int32	   tenant_id; /* the key */
	FfTurn	   turn;
	dlist_head waiting; /* of Waiting, in order */
} Guest;

typedef struct Waiting
{
	pg_uuid_t  run_id; /* the key */
	int32	   tenant_id;
	dlist_node node;
} Waiting;

void
ff_room_init(FfRoom *room, const char *name)
{
	ff_fair_init(&room->fair);
	room->guests = ff_table_make(name, sizeof(int32), sizeof(Guest), TopMemoryContext);
	room->set = ff_table_make(name, sizeof(pg_uuid_t), sizeof(Waiting), TopMemoryContext);
}

static Guest *
guest_of(FfRoom *room, int32 tenant_id)
{
	bool   found;
	Guest *guest = hash_search(room->guests, &tenant_id, HASH_ENTER, &found);

	if (found)
		return guest;
	ff_fair_join(&room->fair, &guest->turn, tenant_id);
	dlist_init(&guest->waiting);
	return guest;
}

void
ff_room_wait(FfRoom *room, const FfRun *run)
{
	bool	 found;
	Waiting *waiting = hash_search(room->set, &run->id, HASH_ENTER, &found);
	Guest	*guest;

	if (found)
		return;
	waiting->tenant_id = run->tenant_id;
	guest = guest_of(room, run->tenant_id);
	dlist_push_tail(&guest->waiting, &waiting->node);
	ff_fair_wait(&room->fair, &guest->turn);
}

bool
ff_room_empty(const FfRoom *room)
{
	return hash_get_num_entries(room->set) == 0;
}

/* Takes the next out of the room. */
static FfReady
take(FfRoom *room, Guest *guest)
{
	Waiting *waiting = dlist_container(Waiting, node, dlist_pop_head_node(&guest->waiting));
	FfReady	 ready = {0, waiting->tenant_id, waiting->run_id};

	hash_search(room->set, &ready.run_id, HASH_REMOVE, NULL);
	ff_fair_charge(&room->fair, &guest->turn);
	if (!dlist_is_empty(&guest->waiting))
		return ready;
	ff_fair_part(&room->fair, &guest->turn);
	hash_search(room->guests, &guest->tenant_id, HASH_REMOVE, NULL);
	return ready;
}

void
ff_room_let_in(FfRoom *room, int count)
{
	for (count = Min(count, hash_get_num_entries(room->set)); count > 0; count--)
	{
		FfTurn *turn = ff_fair_first(&room->fair);
		FfReady ready = take(room, (Guest *) ((char *) turn - offsetof(Guest, turn)));
		FfRun  *run = ff_active_find(&ready.run_id);

		if (run == NULL)
			ff_queue_push(&ready, true);
		else if (ff_may_call(run))
			ff_settle(run);
	}
}

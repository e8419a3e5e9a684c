/*
 * lane.c - the lanes of an executor's calls.
 *
 * Each app has a lane: so many calls at once and no more, so that an app that hangs holds up its
 * own runs and nobody else's. A run that finds its lane full waits in it. So has each host of which
 * steps request something.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "function/function.h"
#include "run/kind.h"
#include "http/guard.h"
#include "util/json.h"
#include "worker/call.h"

int ff_max_in_flight = 512;
int ff_max_in_flight_per_app = 128;
int ff_max_in_flight_per_host = 64;

struct FfLane
{
	pg_uuid_t id;	/* the key: an app's, or made of a host's name */
	bool	  host; /* nobody's app */
	int		  in_flight;
	List	 *waiting; /* of FfRun, in order */
};

static HTAB *lanes = NULL;
static int	 waiting = 0; /* runs in all lanes */

/* Who is called for an item, if that is nobody's app: a host, or whom a step of the server's names.
 */
static char *
callee_of(const FfItem *item)
{
	if (ff_item_requests(item))
		return ff_guard_origin(ff_json_text(item->request, "url"));
	if (item->kind == FF_ITEM_STEP && item->step->callee != NULL)
		return item->step->callee(item);
	return NULL;
}

static pg_uuid_t
callee_id(const char *callee)
{
	pg_uuid_t id = {{0}};
	uint64	  half;

	for (int i = 0; i < 2; i++)
	{
		half = hash_bytes_extended((const unsigned char *) callee, (int) strlen(callee), i + 1);
		memcpy(id.data + i * sizeof(half), &half, sizeof(half));
	}
	return id;
}

FfLane *
ff_lane_of(const FfItem *item, const FfFunction *function)
{
	pg_uuid_t id = function->app_id;
	char	 *callee;
	FfLane	 *lane;
	bool	  found;

	if (lanes == NULL)
	{
		HASHCTL control = {0};

		control.keysize = sizeof(pg_uuid_t);
		control.entrysize = sizeof(FfLane);
		control.hcxt = TopMemoryContext;
		lanes = hash_create("flowforge lanes", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	callee = callee_of(item);
	if (callee != NULL)
		id = callee_id(callee);
	lane = hash_search(lanes, &id, HASH_ENTER, &found);
	if (!found)
	{
		lane->host = callee != NULL;
		lane->in_flight = 0;
		lane->waiting = NIL;
	}
	return lane;
}

bool
ff_lane_has_room(const FfLane *lane)
{
	int room = lane->host ? ff_max_in_flight_per_host : ff_max_in_flight_per_app;

	return lane->in_flight < room && ff_calls_in_flight() < ff_max_in_flight;
}

void
ff_lane_enter(FfLane *lane)
{
	lane->in_flight++;
}

void
ff_lane_leave(FfLane *lane)
{
	lane->in_flight--;
}

void
ff_lane_wait(FfLane *lane, FfRun *run)
{
	MemoryContext old;

	if (run->lane != NULL)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	lane->waiting = lappend(lane->waiting, run);
	MemoryContextSwitchTo(old);
	run->lane = lane;
	waiting++;
}

void
ff_lane_give_up(FfRun *run)
{
	FfLane *lane = run->lane;

	if (lane == NULL)
		return;
	lane->waiting = list_delete_ptr(lane->waiting, run);
	run->lane = NULL;
	waiting--;
}

/* Lets the next run of a lane call, when there is room and none of its changes is unwritten. */
static void
move_lane(FfLane *lane)
{
	while (lane->waiting != NIL && ff_lane_has_room(lane))
	{
		FfRun *run = linitial(lane->waiting);

		lane->waiting = list_delete_first(lane->waiting);
		run->lane = NULL;
		waiting--;
		if (ff_may_call(run))
			ff_settle(run);
	}
}

/* The lane whose call is over goes first, then any other that the executor's own bound held up. */
static void
move_lanes(FfLane *first)
{
	HASH_SEQ_STATUS sequence;
	FfLane		   *lane;

	move_lane(first);
	if (waiting == 0 || ff_calls_in_flight() >= ff_max_in_flight)
		return;
	hash_seq_init(&sequence, lanes);
	while ((lane = hash_seq_search(&sequence)) != NULL)
		move_lane(lane);
}

/* Hosts come and go: a lane that nobody uses is not kept. */
static void
forget_lane(FfLane *lane)
{
	if (lane->in_flight == 0 && lane->waiting == NIL)
		hash_search(lanes, &lane->id, HASH_REMOVE, NULL);
}

void
ff_lane_move(FfLane *lane)
{
	move_lanes(lane);
	forget_lane(lane);
}

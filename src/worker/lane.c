/*
 * lane.c - the lanes of an executor's calls.
 *
 * Each app has a lane: so many calls at once and no more, so that an app that hangs holds up its
 * own runs and nobody else's. A run that finds its lane full waits in it. So has, for each tenant,
 * each host of which steps request something.
 *
 * All lanes together have room for flowforge.max_in_flight calls. When that is what holds lanes up,
 * their tenants take turns by weight (fair.h); and a tenant that has few calls under way has room
 * of its own beside, so one whose apps all hang keeps nobody else from calling.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "function/function.h"
#include "run/kind.h"
#include "http/guard.h"
#include "util/json.h"
#include "util/table.h"
#include "worker/call.h"
#include "worker/fair.h"

int ff_max_in_flight = 512;
int ff_max_in_flight_per_app = 128;
int ff_max_in_flight_per_host = 64;

/* A tenant that has lanes. */
typedef struct Party
{
	int32  tenant_id; /* the key */
	FfTurn turn;
	int	   lanes;
	int	   in_flight;
	List  *held; /* lanes that have room themselves, but for what all have together */
} Party;

typedef struct LaneKey
{
	int32	  tenant_id;
	pg_uuid_t id; /* an app's, or made of a host's name */
} LaneKey;

struct FfLane
{
	LaneKey key;
	Party  *party;
	bool	host; /* nobody's app */
	bool	held; /* among its party's */
	int		in_flight;
	List   *waiting; /* of FfRun, in order */
};

static HTAB	 *lanes = NULL;
static HTAB	 *parties = NULL;
static FfFair fair;
static int	  waiting = 0; /* runs in all lanes */
static int	  unmoved = 0; /* calls that are over and have let nobody in */

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

static void
make_tables(void)
{
	lanes = ff_table_make("flowforge lanes", sizeof(LaneKey), sizeof(FfLane), TopMemoryContext);
	parties = ff_table_make("flowforge tenants with lanes", sizeof(int32), sizeof(Party),
							TopMemoryContext);
	ff_fair_init(&fair);
}

static Party *
party_of(int32 tenant_id)
{
	bool   found;
	Party *party = hash_search(parties, &tenant_id, HASH_ENTER, &found);

	if (found)
		return party;
	memset(party, 0, sizeof(*party));
	party->tenant_id = tenant_id;
	ff_fair_join(&fair, &party->turn, tenant_id);
	return party;
}

FfLane *
ff_lane_of(const FfItem *item, const FfFunction *function)
{
	LaneKey key = {function->tenant_id, function->app_id};
	char   *callee = callee_of(item);
	FfLane *lane;
	bool	found;

	if (lanes == NULL)
		make_tables();
	if (callee != NULL)
		key.id = callee_id(callee);
	lane = hash_search(lanes, &key, HASH_ENTER, &found);
	if (!found)
	{
		lane->party = party_of(key.tenant_id);
		lane->party->lanes++;
		lane->host = callee != NULL;
		lane->held = false;
		lane->in_flight = 0;
		lane->waiting = NIL;
	}
	return lane;
}

/* The lane's own. */
static bool
has_place(const FfLane *lane)
{
	return lane->in_flight < (lane->host ? ff_max_in_flight_per_host : ff_max_in_flight_per_app);
}

static bool
has_own_room(const Party *party)
{
	return party->in_flight < ff_fair_own(&fair, &party->turn, ff_max_in_flight) &&
		   ff_calls_in_flight() < Min(2 * ff_max_in_flight, FF_MAX_CALLS);
}

bool
ff_lane_has_room(const FfLane *lane)
{
	return has_place(lane) &&
		   (ff_calls_in_flight() < ff_max_in_flight || has_own_room(lane->party));
}

void
ff_lane_enter(FfLane *lane)
{
	Party *party = lane->party;

	party->in_flight++;
	lane->in_flight++;
	ff_fair_charge(&fair, &party->turn);
}

void
ff_lane_leave(FfLane *lane)
{
	lane->party->in_flight--;
	lane->in_flight--;
	unmoved++;
}

/* The lane could let somebody in, if all lanes together had room. */
static void
hold(FfLane *lane)
{
	Party		 *party = lane->party;
	MemoryContext old;

	if (lane->held || lane->waiting == NIL || !has_place(lane))
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	party->held = lappend(party->held, lane);
	MemoryContextSwitchTo(old);
	lane->held = true;
	ff_fair_wait(&fair, &party->turn);
}

static void
let_go(FfLane *lane)
{
	Party *party = lane->party;

	party->held = list_delete_ptr(party->held, lane);
	lane->held = false;
	if (party->held == NIL)
		ff_fair_leave(&fair, &party->turn);
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
	hold(lane);
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

/* The lane's next run calls, if none of its changes is unwritten. */
static void
let_in(FfLane *lane)
{
	FfRun *run = linitial(lane->waiting);

	lane->waiting = list_delete_first(lane->waiting);
	run->lane = NULL;
	waiting--;
	if (ff_may_call(run))
		ff_settle(run);
}

/* The tenant's first lane becomes its last. */
static void
rotate(Party *party)
{
	void		 *first = linitial(party->held);
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	party->held = lappend(list_delete_first(party->held), first);
	MemoryContextSwitchTo(old);
}

/* Lets in those that all lanes together had no room for, tenant by tenant, and of a tenant lane by
 * lane. */
static void
move_held(void)
{
	FfTurn *turn;

	while (ff_calls_in_flight() < ff_max_in_flight && (turn = ff_fair_first(&fair)) != NULL)
	{
		Party  *party = (Party *) ((char *) turn - offsetof(Party, turn));
		FfLane *lane = linitial(party->held);

		if (lane->waiting == NIL || !has_place(lane))
			let_go(lane);
		else
		{
			rotate(party);
			let_in(lane);
		}
	}
}

/* A lane that nobody uses is not kept; nor is its tenant. */
static void
forget_lane(FfLane *lane)
{
	Party *party = lane->party;

	if (lane->in_flight > 0 || lane->waiting != NIL)
		return;
	if (lane->held)
		let_go(lane);
	hash_search(lanes, &lane->key, HASH_REMOVE, NULL);
	if (--party->lanes > 0)
		return;
	ff_fair_part(&fair, &party->turn);
	hash_search(parties, &party->tenant_id, HASH_REMOVE, NULL);
}

void
ff_lane_move(FfLane *lane)
{
	unmoved--;
	hold(lane);
	move_held();
	while (lane->waiting != NIL && ff_lane_has_room(lane))
		let_in(lane);
	forget_lane(lane);
}

void
ff_lanes_turn(void)
{
	HASH_SEQ_STATUS sequence;
	FfLane		   *lane;

	if (unmoved == 0 || lanes == NULL)
		return;
	unmoved = 0;
	if (waiting == 0)
		return;
	hash_seq_init(&sequence, lanes);
	while ((lane = hash_seq_search(&sequence)) != NULL)
		hold(lane);
	move_held();
}

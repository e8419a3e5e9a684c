/*
 * gate.c - the gate: executor 0 grants room to the steps that limits bound, for all of the
 * database.
 *
 * It alone writes flowforge.claim.granted, so what it believes to be running is never less than
 * what is: it may not have heard yet of a step that was let go, and that is all. What it knows is
 * in the ledger (src/flow/ledger.h); the ring in shared memory tells it what has been committed.
 * When notes were lost or a transaction failed it reads everything anew.
 *
 * In one transaction it looks at up to FF_LOOK queues, reads as many claims as there is room for,
 * and grants the oldest of them all what they ask, until something blocks them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "flow/ledger.h"
#include "function/function.h"
#include "slot/hint.h"
#include "team/team.h"
#include "util/batch.h"
#include "util/id.h"
#include "worker/executor.h"
#include "worker/store.h"
#include "worker/turn.h"

#define FF_LOOK 64		  /* queues in a transaction */
#define FIRST_LOOK 16	  /* claims of a queue that nothing is known of */
#define MOST 128		  /* claims of a queue in a transaction */
#define MOST_QUEUES 20000 /* read in a look for queues */
#define LOOK_AGAIN_MS 50  /* after limits changed: caches may hear of it a moment later */
#define RETRY_S 1		  /* after a failure */
#define LOCKED_MS 2		  /* until rows that their owners hold are tried again */
#define TRANSACTIONS 8	  /* in a turn */

typedef struct Candidate
{
	FfQueue	   *queue;
	int			place; /* of the queue in its round */
	int16		slot;
	pg_uuid_t	run_id;
	TimestampTz rank;
	int			order; /* as read */
	int			want;
	int			chosen;
	bool		starts; /* it has been granted nothing yet */
} Candidate;

/* One transaction of the gate. */
typedef struct Round
{
	TimestampTz now;
	int			queue_count;
	FfQueue	   *queues[FF_LOOK];
	int			asked[FF_LOOK]; /* claims to be read of each */
	int			found[FF_LOOK];
	int			count;
	Candidate  *candidates;
	int			granted; /* candidates */
	int			locked;	 /* candidates that were to be granted and could not be */
} Round;

static bool		   doubt = true; /* everything is to be read anew */
static bool		   sweep = false;
static bool		   unread = false; /* there are queues that the ledger has not taken in */
static TimestampTz alarm_at = DT_NOEND;
static TimestampTz look_again = DT_NOEND;
static TimestampTz locked_until = DT_NOBEGIN;
static uint64	   seen_generation = 0;
static int64	   last_queue = PG_INT64_MIN;

static FfKeys
read_keys(Datum datum)
{
	ArrayType *array = DatumGetArrayTypeP(datum);
	FfKeys	   keys = {{0}};
	int		   count = ARR_NDIM(array) == 1 ? Min(ARR_DIMS(array)[0], FF_KEYS) : 0;

	memcpy(keys.key, ARR_DATA_PTR(array), sizeof(int64) * count);
	return keys;
}

/* --- reading everything anew --- */

static void
read_running(void)
{
	static FfPlan plan = {
		"select c.run_id, c.keys, c.granted, c.released from unnest($1) as s (slot) cross join lateral ("
		"select * from flowforge.claim c where c.slot = s.slot and c.granted > c.released offset 0) c",
		1,
		{INT2ARRAYOID}};
	Datum  slots[FF_SLOTS];
	Datum  values[1];
	uint64 rows;
	bool   isnull;

	for (int s = 0; s < FF_SLOTS; s++)
		slots[s] = Int16GetDatum(s);
	values[0] = PointerGetDatum(construct_array(slots, FF_SLOTS, INT2OID, 2, true, TYPALIGN_SHORT));
	rows = ff_spi_run(&plan, values, NULL, false);
	for (uint64 i = 0; i < rows; i++)
	{
		FfKeys keys = read_keys(ff_spi_value(i, 2, &isnull));

		ff_ledger_set(DatumGetUUIDP(ff_spi_value(i, 1, &isnull)), &keys,
					  DatumGetInt32(ff_spi_value(i, 3, &isnull)),
					  DatumGetInt32(ff_spi_value(i, 4, &isnull)));
	}
}

/* The queues after the last one that was looked for, each found by one step down the index. What a
 * look leaves out, and what is before its beginning, is left for the next. */
static void
read_queues(void)
{
	static FfPlan plan = {
		"with recursive q as ("
		"(select c.queue from flowforge.claim c where c.asked > c.granted and c.queue > $1 order by c.queue limit 1) "
		"union all "
		"select (select c.queue from flowforge.claim c where c.asked > c.granted and c.queue > q.queue order by c.queue limit 1) "
		"from q where q.queue is not null) "
		"select q.queue from q where q.queue is not null limit $2",
		2,
		{INT8OID, INT4OID}};
	Datum  values[2] = {Int64GetDatum(last_queue), Int32GetDatum(MOST_QUEUES)};
	bool   whole = last_queue == PG_INT64_MIN;
	uint64 rows = ff_spi_run(&plan, values, NULL, false);
	uint64 taken;
	bool   isnull;

	for (taken = 0; taken < rows; taken++)
	{
		int64 queue = DatumGetInt64(ff_spi_value(taken, 1, &isnull));

		if (!ff_ledger_note(queue))
			break;
		last_queue = queue;
	}
	unread = !whole || taken < rows || rows == MOST_QUEUES;
	if (taken == rows && rows < MOST_QUEUES)
		last_queue = PG_INT64_MIN;
}

/* What is in the ring by now was committed before the snapshot is taken; what comes into it later
 * is handled after it. */
static void
empty_ring(void)
{
	FfGateRing *ring = &ff_my_database->gate;

	SpinLockAcquire(&ring->lock);
	ring->count = 0;
	ring->overflow = false;
	SpinLockRelease(&ring->lock);
}

static void
read_all(void *arg)
{
	ff_ledger_reset();
	last_queue = PG_INT64_MIN;
	read_running();
	read_queues();
}

static void
look_for_queues(void *arg)
{
	read_queues();
}

/* --- notes --- */

static void
take_note(const FfGateNote *note)
{
	if (note->released != 0)
		ff_ledger_release(&note->run_id, note->released);
	else if (!ff_ledger_note(note->queue))
		unread = true;
}

static void
take_notes(void)
{
	FfGateRing *ring = &ff_my_database->gate;
	FfGateNote	taken[64];
	uint32		count;

	do
	{
		SpinLockAcquire(&ring->lock);
		for (count = 0; count < lengthof(taken) && ring->count > 0; ring->count--)
		{
			taken[count++] = ring->notes[ring->head];
			ring->head = (ring->head + 1) % FF_GATE_NOTES;
		}
		doubt |= ring->overflow;
		if (ring->changed)
			look_again = 0;
		ring->overflow = ring->changed = false;
		SpinLockRelease(&ring->lock);
		for (uint32 i = 0; i < count; i++)
			take_note(&taken[i]);
	} while (count == lengthof(taken));
}

/* --- rules --- */

static void
read_rules(FfQueue *queue)
{
	int32			  most = ff_tenant_get(queue->tenant_id)->max_running;
	const FfFunction *function = ff_function_current(queue->tenant_id, queue->function_id);
	const FfFlow	 *flow = function ? function->flow : NULL;

	for (int place = 0; place < FF_KEYS; place++)
		queue->rules.limit[place] = FF_UNLIMITED;
	if (most > 0)
		queue->rules.limit[FF_KEY_TENANT] = most;
	queue->rules.interval = queue->rules.tolerance = 0;
	queue->rules.paused = function != NULL && function->paused;
	queue->ruled = true;
	if (flow == NULL)
		return; /* whatever limited them does no more */
	for (int i = 0; i < flow->limits; i++)
		queue->rules.limit[FF_KEY_LIMIT + i] = flow->limit[i].limit;
	if (flow->throttle.limit > 0)
	{
		queue->rules.interval = Max(flow->throttle.period / flow->throttle.limit, 1);
		queue->rules.tolerance =
			(int64) Min((double) queue->rules.interval * (flow->throttle.burst - 1),
						(double) FF_MAX_THROTTLE_TOLERANCE_US);
	}
}

/* The rows of throttles that nothing is known of. */
static void
read_throttles(Round *round)
{
	static FfPlan plan = {
		"select t.key, t.next_at from unnest($1) as n (key) join flowforge.throttle t on t.key = n.key",
		1,
		{INT8ARRAYOID}};
	FfBatch batch = {.plan = &plan};
	uint64	rows;
	bool	isnull;

	for (int i = 0; i < round->queue_count; i++)
	{
		FfQueue	 *queue = round->queues[i];
		int64	  key = queue->known ? queue->keys.key[FF_KEY_THROTTLE] : 0;
		FfKeyUse *use = key != 0 ? ff_ledger_key(key) : NULL;
		Datum	  value = Int64GetDatum(key);

		if (use == NULL || use->next_read)
			continue;
		use->next_read = true;
		ff_batch_add(&batch, &value, NULL);
	}
	rows = ff_batch_run(&batch);
	for (uint64 i = 0; i < rows; i++)
		ff_ledger_key(DatumGetInt64(ff_spi_value(i, 1, &isnull)))->next_at =
			DatumGetTimestampTz(ff_spi_value(i, 2, &isnull));
}

/* --- a round --- */

/* Where a queue that is taken cannot go on goes; true when it can. */
static bool
passes(FfQueue *queue, bool starts, TimestampTz now)
{
	int place;

	if (queue->rules.paused)
		ff_ledger_hold(queue);
	else if (ff_ledger_room(queue, starts, now, 1, &place) == 0)
		ff_ledger_block(queue, place, now);
	else
		return true;
	return false;
}

/* Takes ready queues. Of those known to have no room nothing needs to be read. */
static void
take_queues(Round *round)
{
	FfQueue *queue;
	int		 place;

	while (round->queue_count < FF_LOOK && (queue = ff_ledger_take()) != NULL)
	{
		int room = FIRST_LOOK;

		if (queue->known)
		{
			if (!queue->ruled)
				read_rules(queue);
			/* A claim that goes on is no start: whether the throttle holds it is seen when it has
			 * been read. */
			if (!passes(queue, false, round->now))
				continue;
			room = ff_ledger_room(queue, false, round->now, MOST, &place);
		}
		round->asked[round->queue_count] = room + 1;
		round->queues[round->queue_count++] = queue;
	}
}

static void
add_candidate(Round *round, int place, uint64 row)
{
	FfQueue	  *queue = round->queues[place];
	Candidate *candidate = &round->candidates[round->count];
	bool	   isnull;

	candidate->queue = queue;
	candidate->place = place;
	candidate->order = round->count++;
	candidate->slot = DatumGetInt16(ff_spi_value(row, 2, &isnull));
	candidate->run_id = *DatumGetUUIDP(ff_spi_value(row, 3, &isnull));
	candidate->rank = DatumGetTimestampTz(ff_spi_value(row, 4, &isnull));
	candidate->want = DatumGetInt32(ff_spi_value(row, 5, &isnull));
	candidate->starts = DatumGetBool(ff_spi_value(row, 6, &isnull));
	round->found[place]++;
	if (queue->known)
		return;
	queue->known = true;
	queue->tenant_id = DatumGetInt32(ff_spi_value(row, 7, &isnull));
	queue->function_id = DatumGetInt32(ff_spi_value(row, 8, &isnull));
	queue->keys = read_keys(ff_spi_value(row, 9, &isnull));
}

static void
read_candidates(Round *round)
{
	static FfPlan plan = {
		"select n.place, c.slot, c.run_id, c.rank, c.asked - c.granted, c.granted = 0, c.tenant_id, c.function_id, c.keys "
		"from unnest($1, $2, $3) as n (place, queue, most) cross join lateral ("
		"select * from flowforge.claim c where c.queue = n.queue and c.asked > c.granted "
		"order by c.rank, c.run_id limit n.most) c",
		3,
		{INT4ARRAYOID, INT8ARRAYOID, INT4ARRAYOID}};
	FfBatch batch = {.plan = &plan};
	uint64	rows;
	bool	isnull;

	for (int i = 0; i < round->queue_count; i++)
	{
		Datum values[3] = {Int32GetDatum(i), Int64GetDatum(round->queues[i]->id),
						   Int32GetDatum(round->asked[i])};

		ff_batch_add(&batch, values, NULL);
	}
	rows = ff_batch_run(&batch);
	round->candidates = palloc0(sizeof(Candidate) * Max(rows, 1));
	for (uint64 i = 0; i < rows; i++)
		add_candidate(round, DatumGetInt32(ff_spi_value(i, 1, &isnull)), i);
}

static int
compare_candidates(const void *a, const void *b)
{
	const Candidate *left = a;
	const Candidate *right = b;

	if (left->rank != right->rank)
		return left->rank < right->rank ? -1 : 1;
	return left->order - right->order;
}

/* The oldest first, whatever queue it waits in; who is blocked blocks those behind it. */
static void
choose(Round *round)
{
	qsort(round->candidates, round->count, sizeof(Candidate), compare_candidates);
	for (int i = 0; i < round->count; i++)
	{
		Candidate *candidate = &round->candidates[i];
		FfQueue	  *queue = candidate->queue;
		int		   place;

		if (queue->state != FF_QUEUE_TAKEN)
			continue;
		queue->head = candidate->rank;
		if (!passes(queue, candidate->starts, round->now))
			continue;
		candidate->chosen =
			ff_ledger_room(queue, candidate->starts, round->now, candidate->want, &place);
		/* A run starts with one step, and asks for more when it knows of more. */
		if (candidate->starts && queue->keys.key[FF_KEY_THROTTLE] != 0)
			candidate->chosen = 1;
		ff_ledger_choose(queue, candidate->starts, candidate->chosen);
		/* Somebody goes on waiting, whoever else has been found. */
		if (candidate->chosen < candidate->want)
			round->found[candidate->place] = round->asked[candidate->place];
	}
}

static void
save_throttles(List *changed)
{
	static FfPlan plan = {
		"insert into flowforge.throttle as t (key, next_at) select * from unnest($1, $2) "
		"on conflict (key) do update set next_at = excluded.next_at",
		2,
		{INT8ARRAYOID, TIMESTAMPTZARRAYOID}};
	FfBatch	  batch = {.plan = &plan};
	ListCell *cell;

	foreach (cell, changed)
	{
		FfKeyUse *use = lfirst(cell);
		Datum	  values[2] = {Int64GetDatum(use->key), TimestampTzGetDatum(use->next_at)};

		ff_batch_add(&batch, values, NULL);
	}
	ff_batch_run(&batch);
}

/* What was chosen is granted, except to runs whose owners are changing their claims just now: their
 * queues are looked at again. */
static void
grant(Round *round)
{
	static FfPlan plan = {
		"with free as (select c.slot, c.run_id, n.place, n.more from unnest($1, $2, $3, $4) as n (place, slot, run_id, more) "
		"join flowforge.claim c on c.slot = n.slot and c.run_id = n.run_id "
		"where c.asked - c.granted >= n.more for update of c skip locked) "
		"update flowforge.claim c set granted = c.granted + f.more from free f "
		"where c.slot = f.slot and c.run_id = f.run_id returning f.place, c.granted, c.released",
		4,
		{INT4ARRAYOID, INT2ARRAYOID, UUIDARRAYOID, INT4ARRAYOID}};
	FfBatch batch = {.plan = &plan};
	List   *throttles = NIL;
	uint64	rows;
	bool	isnull;

	for (int i = 0; i < round->count; i++)
	{
		Candidate *candidate = &round->candidates[i];
		Datum	   values[4] = {Int32GetDatum(i), Int16GetDatum(candidate->slot),
								UUIDPGetDatum(&candidate->run_id), Int32GetDatum(candidate->chosen)};

		if (candidate->chosen > 0)
			ff_batch_add(&batch, values, NULL);
	}
	rows = ff_batch_run(&batch);
	for (uint64 i = 0; i < rows; i++)
	{
		Candidate *candidate = &round->candidates[DatumGetInt32(ff_spi_value(i, 1, &isnull))];

		ff_ledger_choose(candidate->queue, candidate->starts, -candidate->chosen);
		candidate->chosen = 0;
		round->granted++;
		ff_ledger_set(&candidate->run_id, &candidate->queue->keys,
					  DatumGetInt32(ff_spi_value(i, 2, &isnull)),
					  DatumGetInt32(ff_spi_value(i, 3, &isnull)));
		if (candidate->starts && candidate->queue->keys.key[FF_KEY_THROTTLE] != 0)
			throttles =
				list_append_unique_ptr(throttles, ff_ledger_started(candidate->queue, round->now));
		ff_hint_run(candidate->queue->tenant_id, &candidate->run_id, FF_RANK_GRANTED);
	}
	save_throttles(throttles);
}

/* Queues that are still taken have somebody waiting, or nobody any more. */
static void
put_back(Round *round)
{
	for (int i = 0; i < round->count; i++)
	{
		Candidate *candidate = &round->candidates[i];

		if (candidate->chosen == 0)
			continue;
		round->locked++;
		ff_ledger_choose(candidate->queue, candidate->starts, -candidate->chosen);
		if (candidate->queue->state == FF_QUEUE_TAKEN)
			ff_ledger_ready(candidate->queue);
	}
	for (int i = 0; i < round->queue_count; i++)
	{
		FfQueue *queue = round->queues[i];

		if (queue->state != FF_QUEUE_TAKEN)
			continue;
		if (round->found[i] < round->asked[i])
			ff_ledger_forget(queue);
		else
			ff_ledger_ready(queue);
	}
}

static void
run_round(void *arg)
{
	Round *round = arg;

	take_queues(round);
	if (round->queue_count == 0)
		return;
	read_candidates(round);
	for (int i = 0; i < round->queue_count; i++)
	{
		if (round->queues[i]->known && !round->queues[i]->ruled)
			read_rules(round->queues[i]);
	}
	read_throttles(round);
	choose(round);
	grant(round);
	put_back(round);
}

/* --- a turn --- */

/* Another number whenever a function or a tenant may have changed. */
static uint64
generation(void)
{
	return ff_function_generation() + ff_tenant_generation();
}

/* What limits are said to be is read again: at once, and once more when every cache has heard. */
static void
heed_changes(TimestampTz now)
{
	if (seen_generation == generation() && look_again > now)
		return;
	look_again =
		look_again == 0 || seen_generation != generation() ? now + LOOK_AGAIN_MS * 1000 : DT_NOEND;
	seen_generation = generation();
	ff_ledger_wake_all();
}

static bool
ready_ledger(TimestampTz now)
{
	FfFailure failure;

	if (doubt)
	{
		empty_ring();
		doubt = !ff_transaction(read_all, NULL, &failure);
	}
	else if (sweep || (unread && ff_ledger_queues() < FF_MAX_QUEUES / 2))
	{
		if (sweep)
			ff_ledger_prune(now);
		sweep = false;
		doubt = !ff_transaction(look_for_queues, NULL, &failure);
	}
	return !doubt;
}

void
ff_gate_turn(void)
{
	TimestampTz now = GetCurrentTimestamp();
	FfFailure	failure;

	if (ff_my_number != 0)
		return;
	if (!ready_ledger(now))
	{
		alarm_at = now + RETRY_S * USECS_PER_SEC;
		return;
	}
	take_notes();
	heed_changes(now);
	alarm_at = ff_ledger_ring(now);
	ff_ledger_refill(now);
	for (int i = 0; i < TRANSACTIONS && ff_ledger_has_ready() && locked_until <= now && !doubt; i++)
	{
		Round round = {.now = GetCurrentTimestamp()};

		doubt = !ff_transaction(run_round, &round, &failure);
		ff_ledger_refill(round.now);
		if (round.locked > 0 && round.granted == 0)
			locked_until = round.now + LOCKED_MS * 1000;
	}
	alarm_at = ff_ledger_ring(now);
}

bool
ff_gate_waiting(void)
{
	return ff_my_number == 0 && !doubt && ff_ledger_has_ready() &&
		   locked_until <= GetCurrentTimestamp();
}

TimestampTz
ff_gate_next(void)
{
	TimestampTz next = Min(alarm_at, look_again);

	if (ff_my_number != 0)
		return DT_NOEND;
	return !doubt && ff_ledger_has_ready() ? Min(next, locked_until) : next;
}

void
ff_gate_sweep(void)
{
	sweep = true;
}

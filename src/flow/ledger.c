/*
 * ledger.c - the gate's knowledge of keys, holders and queues (see ledger.h). Queues and keys are
 * linked by pairing heaps (Fredman, Sedgewick, Sleator, Tarjan 1986, "The pairing heap"), so
 * whatever waits, the next one is found in O(log n).
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "flow/ledger.h"
#include "util/table.h"

/* Who has steps running. */
typedef struct Holder
{
	pg_uuid_t run_id;
	FfKeys	  keys;
	int		  granted;
	int		  released;
} Holder;

static MemoryContext context = NULL;
static HTAB			*keys = NULL;
static HTAB			*holders = NULL;
static HTAB			*queues = NULL;
static dlist_head	 open_keys;
static pairingheap	 ready;
static pairingheap	 held;
static pairingheap	 alarms;

/* A pairing heap puts the greatest first: the older queue is the greater. */
static int
older(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	const FfQueue *left = pairingheap_const_container(FfQueue, node, a);
	const FfQueue *right = pairingheap_const_container(FfQueue, node, b);

	if (left->head != right->head)
		return left->head < right->head ? 1 : -1;
	return (left->id < right->id) - (left->id > right->id);
}

static int
sooner(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	const FfKeyUse *left = pairingheap_const_container(FfKeyUse, alarmed, a);
	const FfKeyUse *right = pairingheap_const_container(FfKeyUse, alarmed, b);

	return (left->alarm < right->alarm) - (left->alarm > right->alarm);
}

static void
start_heap(pairingheap *heap, pairingheap_comparator compare)
{
	heap->ph_compare = compare;
	heap->ph_arg = NULL;
	heap->ph_root = NULL;
}

void
ff_ledger_reset(void)
{
	if (context != NULL)
		MemoryContextDelete(context);
	context = AllocSetContextCreate(TopMemoryContext, "flowforge ledger", ALLOCSET_DEFAULT_SIZES);
	keys = ff_table_make("flowforge keys", sizeof(int64), sizeof(FfKeyUse), context);
	holders = ff_table_make("flowforge holders", sizeof(pg_uuid_t), sizeof(Holder), context);
	queues = ff_table_make("flowforge queues", sizeof(int64), sizeof(FfQueue), context);
	dlist_init(&open_keys);
	start_heap(&ready, older);
	start_heap(&held, older);
	start_heap(&alarms, sooner);
}

/* --- keys and holders --- */

FfKeyUse *
ff_ledger_key(int64 key)
{
	bool	  found;
	FfKeyUse *use = hash_search(keys, &key, HASH_ENTER, &found);

	if (!found)
	{
		memset((char *) use + sizeof(int64), 0, sizeof(FfKeyUse) - sizeof(int64));
		start_heap(&use->blocked, older);
	}
	return use;
}

/* Nothing runs under it, nobody waits for it: there is nothing to remember. */
static void
drop_if_idle(FfKeyUse *use)
{
	if (use->running == 0 && use->chosen == 0 && pairingheap_is_empty(&use->blocked) &&
		!use->open && use->alarm == 0)
		hash_search(keys, &use->key, HASH_REMOVE, NULL);
}

static void
open_key(FfKeyUse *use)
{
	if (use->open || pairingheap_is_empty(&use->blocked))
		return;
	use->open = true;
	dlist_push_tail(&open_keys, &use->opened);
}

static void
close_key(FfKeyUse *use)
{
	use->open = false;
	dlist_delete(&use->opened);
	drop_if_idle(use);
}

/* So many more steps, or fewer, run under the keys. A throttle counts starts, not steps. */
static void
add_running(const FfKeys *of, int more)
{
	for (int place = FF_KEY_LIMIT; place < FF_KEYS; place++)
	{
		FfKeyUse *use;

		if (of->key[place] == 0)
			continue;
		use = ff_ledger_key(of->key[place]);
		use->running = Max(use->running + more, 0);
		if (more < 0)
			open_key(use);
		drop_if_idle(use);
	}
}

static void
set_holder(Holder *holder, int granted, int released)
{
	int before = holder->granted - holder->released;

	holder->granted = Max(holder->granted, granted);
	holder->released = Min(Max(holder->released, released), holder->granted);
	if (holder->granted - holder->released != before)
		add_running(&holder->keys, holder->granted - holder->released - before);
	if (holder->granted == holder->released)
		hash_search(holders, &holder->run_id, HASH_REMOVE, NULL);
}

void
ff_ledger_set(const pg_uuid_t *run_id, const FfKeys *of, int granted, int released)
{
	bool	found;
	Holder *holder = hash_search(holders, run_id, HASH_ENTER, &found);

	if (!found)
	{
		holder->keys = *of;
		holder->granted = holder->released = released;
	}
	set_holder(holder, granted, released);
}

void
ff_ledger_release(const pg_uuid_t *run_id, int released)
{
	Holder *holder = hash_search(holders, run_id, HASH_FIND, NULL);

	if (holder != NULL)
		set_holder(holder, holder->granted, released < 0 ? holder->granted : released);
}

/* --- room --- */

/* By the generic cell rate algorithm (ITU-T I.371): starts are an interval apart, and one may be
 * early by the tolerance. */
static int64
throttle_room(const FfRules *rules, const FfKeyUse *use, TimestampTz now)
{
	TimestampTz next = Max(use->next_at, now) + use->chosen * rules->interval;

	if (next - rules->tolerance > now)
		return 0;
	return (now + rules->tolerance - next) / rules->interval + 1;
}

static int64
room_at(const FfQueue *queue, int place, TimestampTz now)
{
	const FfKeyUse *use;

	if (queue->keys.key[place] == 0)
		return FF_UNLIMITED;
	use = ff_ledger_key(queue->keys.key[place]);
	if (place == FF_KEY_THROTTLE)
		return queue->rules.interval == 0 ? FF_UNLIMITED : throttle_room(&queue->rules, use, now);
	return (int64) queue->rules.limit[place] - use->running - use->chosen;
}

int
ff_ledger_room(const FfQueue *queue, bool starts, TimestampTz now, int most, int *blocker)
{
	int64 room = most;

	for (int place = starts ? FF_KEY_THROTTLE : FF_KEY_LIMIT; place < FF_KEYS; place++)
	{
		int64 here = room_at(queue, place, now);

		if (here <= 0)
		{
			*blocker = place;
			return 0;
		}
		room = Min(room, here);
	}
	return (int) room;
}

void
ff_ledger_choose(const FfQueue *queue, bool starts, int count)
{
	for (int place = starts ? FF_KEY_THROTTLE : FF_KEY_LIMIT; place < FF_KEYS; place++)
	{
		FfKeyUse *use;

		if (queue->keys.key[place] == 0)
			continue;
		use = ff_ledger_key(queue->keys.key[place]);
		use->chosen += count;
		if (count < 0)
			open_key(use);
	}
}

FfKeyUse *
ff_ledger_started(const FfQueue *queue, TimestampTz now)
{
	FfKeyUse *use = ff_ledger_key(queue->keys.key[FF_KEY_THROTTLE]);

	use->next_at = Max(use->next_at, now) + queue->rules.interval;
	return use;
}

/* --- queues --- */

bool
ff_ledger_note(int64 queue_id)
{
	FfQueue *queue = ff_ledger_find(queue_id);

	if (queue != NULL)
		return true;
	if (hash_get_num_entries(queues) >= FF_MAX_QUEUES)
		return false;
	queue = hash_search(queues, &queue_id, HASH_ENTER, NULL);
	memset((char *) queue + sizeof(int64), 0, sizeof(FfQueue) - sizeof(int64));
	queue->head = DT_NOBEGIN;
	ff_ledger_ready(queue);
	return true;
}

FfQueue *
ff_ledger_find(int64 queue_id)
{
	return hash_search(queues, &queue_id, HASH_FIND, NULL);
}

FfQueue *
ff_ledger_take(void)
{
	FfQueue *queue;

	if (pairingheap_is_empty(&ready))
		return NULL;
	queue = pairingheap_container(FfQueue, node, pairingheap_remove_first(&ready));
	queue->state = FF_QUEUE_TAKEN;
	return queue;
}

void
ff_ledger_ready(FfQueue *queue)
{
	queue->state = FF_QUEUE_READY;
	pairingheap_add(&ready, &queue->node);
}

/* Until the queue's next run is due by its throttle. */
static void
set_alarm(FfKeyUse *use, TimestampTz at)
{
	if (use->alarm != 0 && use->alarm <= at)
		return;
	if (use->alarm != 0)
		pairingheap_remove(&alarms, &use->alarmed);
	use->alarm = at;
	pairingheap_add(&alarms, &use->alarmed);
}

void
ff_ledger_block(FfQueue *queue, int place, TimestampTz now)
{
	FfKeyUse *use = ff_ledger_key(queue->keys.key[place]);

	queue->state = FF_QUEUE_BLOCKED;
	queue->blocker = use;
	queue->place = place;
	pairingheap_add(&use->blocked, &queue->node);
	if (place == FF_KEY_THROTTLE)
		set_alarm(use, Max(use->next_at, now) + use->chosen * queue->rules.interval -
						   queue->rules.tolerance);
}

void
ff_ledger_hold(FfQueue *queue)
{
	queue->state = FF_QUEUE_HELD;
	pairingheap_add(&held, &queue->node);
}

void
ff_ledger_forget(FfQueue *queue)
{
	hash_search(queues, &queue->id, HASH_REMOVE, NULL);
}

bool
ff_ledger_has_ready(void)
{
	return !pairingheap_is_empty(&ready) || !dlist_is_empty(&open_keys);
}

long
ff_ledger_queues(void)
{
	return hash_get_num_entries(queues);
}

/*
 * Of the queues a key blocks, as many as it has room for are looked at; if they turn out to be
 * empty, or blocked by another key, the key is still open and others follow. Functions may give one
 * key different limits, so the oldest queue that finds no room does not keep the next from looking.
 */
static void
refill_from(FfKeyUse *use, TimestampTz now)
{
	List *passed = NIL;
	int64 woken = 0;

	while (!pairingheap_is_empty(&use->blocked))
	{
		FfQueue *queue = pairingheap_container(FfQueue, node, pairingheap_first(&use->blocked));

		if (woken > 0 && room_at(queue, queue->place, now) <= woken)
			break;
		pairingheap_remove_first(&use->blocked);
		if (room_at(queue, queue->place, now) > woken)
		{
			woken++;
			ff_ledger_ready(queue);
		}
		else
			passed = lappend(passed, queue);
		if (list_length(passed) > FF_MAX_LIMITS)
			break;
	}
	for (int i = 0; i < list_length(passed); i++)
		ff_ledger_block(list_nth(passed, i), ((FfQueue *) list_nth(passed, i))->place, now);
	list_free(passed);
	if (woken == 0 || pairingheap_is_empty(&use->blocked))
		close_key(use);
}

void
ff_ledger_refill(TimestampTz now)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify (iter, &open_keys)
		refill_from(dlist_container(FfKeyUse, opened, iter.cur), now);
}

void
ff_ledger_wake_all(void)
{
	HASH_SEQ_STATUS sequence;
	FfQueue		   *queue;

	hash_seq_init(&sequence, queues);
	while ((queue = hash_seq_search(&sequence)) != NULL)
	{
		queue->ruled = false;
		if (queue->state == FF_QUEUE_BLOCKED)
			pairingheap_remove(&queue->blocker->blocked, &queue->node);
		else if (queue->state == FF_QUEUE_HELD)
			pairingheap_remove(&held, &queue->node);
		if (queue->state != FF_QUEUE_READY)
			ff_ledger_ready(queue);
	}
}

void
ff_ledger_prune(TimestampTz now)
{
	HASH_SEQ_STATUS sequence;
	FfKeyUse	   *use;

	hash_seq_init(&sequence, keys);
	while ((use = hash_seq_search(&sequence)) != NULL)
	{
		if (use->next_at <= now)
			drop_if_idle(use);
	}
}

/* --- time --- */

TimestampTz
ff_ledger_ring(TimestampTz now)
{
	while (!pairingheap_is_empty(&alarms))
	{
		FfKeyUse *use = pairingheap_container(FfKeyUse, alarmed, pairingheap_first(&alarms));

		if (use->alarm > now)
			return use->alarm;
		pairingheap_remove_first(&alarms);
		use->alarm = 0;
		open_key(use);
		drop_if_idle(use);
	}
	return DT_NOEND;
}

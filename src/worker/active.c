/*
 * active.c - the runs an executor has in memory, and the queue of those it has yet to read (see
 * executor.h).
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "worker/executor.h"
#include "worker/turn.h"

#define QUEUE_LIMIT 20000 /* ids; beyond it rows wait in their table for the next sweep */

typedef struct ActiveEntry
{
	pg_uuid_t id;
	FfRun	 *run;
} ActiveEntry;

typedef struct QueueNode
{
	pg_uuid_t id; /* the key of the set of queued ids */
} QueueNode;

typedef struct Fifo
{
	FfRunKey *runs; /* a ring of QUEUE_LIMIT places */
	int		  head;
	int		  count;
} Fifo;

static HTAB *active = NULL;
static HTAB *queued = NULL;
static Fifo	 urgent_runs;
static Fifo	 ready_runs;

static HTAB *
make_table(const char *name, Size entry)
{
	HASHCTL control = {0};

	control.keysize = sizeof(pg_uuid_t);
	control.entrysize = entry;
	control.hcxt = TopMemoryContext;
	return hash_create(name, 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
ff_active_init(void)
{
	active = make_table("flowforge active runs", sizeof(ActiveEntry));
	queued = make_table("flowforge queued runs", sizeof(QueueNode));
	urgent_runs.runs = MemoryContextAlloc(TopMemoryContext, sizeof(FfRunKey) * QUEUE_LIMIT);
	ready_runs.runs = MemoryContextAlloc(TopMemoryContext, sizeof(FfRunKey) * QUEUE_LIMIT);
}

FfRun *
ff_active_find(const pg_uuid_t *id)
{
	ActiveEntry *entry = hash_search(active, id, HASH_FIND, NULL);

	return entry ? entry->run : NULL;
}

void
ff_active_add(FfRun *run)
{
	ActiveEntry *entry = hash_search(active, &run->id, HASH_ENTER, NULL);

	entry->run = run;
}

void
ff_active_drop(FfRun *run)
{
	hash_search(active, &run->id, HASH_REMOVE, NULL);
	ff_advance_forget(run);
	ff_claim_forget(run);
	ff_run_free(run);
}

long
ff_active_count(void)
{
	return hash_get_num_entries(active);
}

void
ff_active_each(void (*visit)(FfRun *))
{
	HASH_SEQ_STATUS sequence;
	ActiveEntry	   *entry;

	hash_seq_init(&sequence, active);
	while ((entry = hash_seq_search(&sequence)) != NULL)
		visit(entry->run);
}

bool
ff_queue_push(const FfReady *ready, bool urgent)
{
	Fifo *fifo = urgent ? &urgent_runs : &ready_runs;
	bool  found;

	if (ff_active_find(&ready->run_id) != NULL)
		return true;
	if (fifo->count == QUEUE_LIMIT)
		return false;
	hash_search(queued, &ready->run_id, HASH_ENTER, &found);
	if (found)
		return true;
	fifo->runs[(fifo->head + fifo->count++) % QUEUE_LIMIT] =
		(FfRunKey){ready->tenant_id, ready->run_id};
	return true;
}

/* A run that was queued may have been loaded since, for a message to it: it is not loaded twice. */
static int
pop(Fifo *fifo, FfRunKey *out, int limit)
{
	int count = 0;

	while (count < limit && fifo->count > 0)
	{
		out[count] = fifo->runs[fifo->head];
		fifo->head = (fifo->head + 1) % QUEUE_LIMIT;
		fifo->count--;
		hash_search(queued, &out[count].run_id, HASH_REMOVE, NULL);
		/* A message may have brought it into memory meanwhile; there it must be only once. */
		if (ff_active_find(&out[count].run_id) == NULL)
			count++;
	}
	return count;
}

int
ff_queue_pop(FfRunKey *out, int limit)
{
	int count = pop(&urgent_runs, out, limit);

	return count + pop(&ready_runs, out + count, limit - count);
}

long
ff_queue_length(void)
{
	return (long) urgent_runs.count + ready_runs.count;
}

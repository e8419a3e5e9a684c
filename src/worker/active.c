/*
 * active.c - the runs an executor has in memory (see executor.h).
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "worker/executor.h"
#include "worker/turn.h"

typedef struct ActiveEntry
{
	pg_uuid_t id;
	FfRun	 *run;
} ActiveEntry;

static HTAB *active = NULL;
void
ff_active_init(void)
{
	HASHCTL control = {0};

	control.keysize = sizeof(pg_uuid_t);
	control.entrysize = sizeof(ActiveEntry);
	control.hcxt = TopMemoryContext;
	active =
		hash_create("flowforge active runs", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
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
	ff_queue_count(run->tenant_id, 1);
}

void
ff_active_drop(FfRun *run)
{
	hash_search(active, &run->id, HASH_REMOVE, NULL);
	ff_queue_count(run->tenant_id, -1);
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

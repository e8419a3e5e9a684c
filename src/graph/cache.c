/*
 * cache.c - the compiled graphs of this process. A version never changes, so a graph is compiled
 * once. It is kept while a run in memory has it, and after that until others want its room: those
 * that no run has take SPARE_BYTES at most, the most recently used of them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "graph/drive.h"
#include "util/errors.h"
#include "util/spi.h"

#define SPARE_BYTES (16 * 1024 * 1024)

typedef struct GraphKey
{
	int32 tenant_id;
	int32 function_id;
	int32 version;
} GraphKey;

typedef struct GraphEntry
{
	GraphKey	   key;
	const FfGraph *graph;
	Size		   size;
	int			   users; /* runs in memory */
	dlist_node	   spare; /* in `spares`, while it has no users */
} GraphEntry;

static HTAB		 *graphs = NULL;
static dlist_head spares = DLIST_STATIC_INIT(spares); /* the least recently used first */
static Size		  spare_bytes = 0;

static Jsonb *
read_config(const GraphKey *key)
{
	static FfPlan plan = {
		"select v.config from flowforge.function_version v where v.tenant_id = $1 and v.function_id = $2 and v.version = $3",
		3,
		{INT4OID, INT4OID, INT4OID}};
	Datum		  values[3] = {Int32GetDatum(key->tenant_id), Int32GetDatum(key->function_id),
							   Int32GetDatum(key->version)};
	MemoryContext caller = CurrentMemoryContext;
	bool		  isnull;
	uint64		  rows = ff_spi_run(&plan, values, NULL, true);

	MemoryContextSwitchTo(caller); /* SPI leaves its own */
	if (rows == 0)
		ereport(ERROR, (errcode(FF_ERR_FUNCTION_NOT_FOUND),
						errmsg("version %d of the workflow no longer exists", key->version)));
	return DatumGetJsonbP(ff_spi_value(0, 1, &isnull));
}

static void
make_table(void)
{
	HASHCTL control = {
		.keysize = sizeof(GraphKey), .entrysize = sizeof(GraphEntry), .hcxt = TopMemoryContext};

	graphs = hash_create("flowforge graphs", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* --- users --- */

static void
drop_least_used(void)
{
	GraphEntry *entry = dlist_container(GraphEntry, spare, dlist_pop_head_node(&spares));

	spare_bytes -= entry->size;
	MemoryContextDelete(entry->graph->context);
	hash_search(graphs, &entry->key, HASH_REMOVE, NULL);
}

/* The run has left memory. */
static void
let_go(void *arg)
{
	GraphEntry *entry = arg;

	if (--entry->users > 0)
		return;
	dlist_push_tail(&spares, &entry->spare);
	spare_bytes += entry->size;
	while (spare_bytes > SPARE_BYTES)
		drop_least_used();
}

static void
use(GraphEntry *entry, MemoryContext run)
{
	MemoryContextCallback *callback = MemoryContextAlloc(run, sizeof(MemoryContextCallback));

	callback->func = let_go;
	callback->arg = entry;
	if (entry->users++ == 0 && entry->spare.next != NULL)
	{
		dlist_delete(&entry->spare);
		spare_bytes -= entry->size;
	}
	MemoryContextRegisterResetCallback(run, callback);
}

static GraphEntry *
compile(const GraphKey *key)
{
	const FfGraph *graph = ff_graph_compile(read_config(key), TopMemoryContext);
	GraphEntry	  *entry = hash_search(graphs, key, HASH_ENTER, NULL);

	entry->graph = graph;
	entry->size = MemoryContextMemAllocated(graph->context, true);
	entry->users = 0;
	memset(&entry->spare, 0, sizeof(entry->spare));
	return entry;
}

const FfGraph *
ff_graph_of(const FfRun *run)
{
	GraphKey	key = {run->tenant_id, run->function_id, run->version};
	GraphEntry *entry;

	if (graphs == NULL)
		make_table();
	entry = hash_search(graphs, &key, HASH_FIND, NULL);
	if (entry == NULL)
		entry = compile(&key);
	use(entry, run->context);
	return entry->graph;
}

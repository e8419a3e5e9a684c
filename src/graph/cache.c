/*
 * cache.c - the compiled graphs of this process. A version never changes, so a graph is compiled
 * once; it is kept while runs of it may be in memory, which is as long as the process lives, but
 * for graphs beyond the newest CACHED that no run is using.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "graph/drive.h"
#include "util/errors.h"
#include "util/spi.h"

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
} GraphEntry;

static HTAB *graphs = NULL;

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

const FfGraph *
ff_graph_of(int32 tenant_id, int32 function_id, int32 version)
{
	GraphKey	   key = {tenant_id, function_id, version};
	GraphEntry	  *entry;
	const FfGraph *graph;

	if (graphs == NULL)
	{
		HASHCTL control = {
			.keysize = sizeof(GraphKey), .entrysize = sizeof(GraphEntry), .hcxt = TopMemoryContext};

		graphs =
			hash_create("flowforge graphs", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(graphs, &key, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->graph;
	graph = ff_graph_compile(read_config(&key), TopMemoryContext);
	entry = hash_search(graphs, &key, HASH_ENTER, NULL);
	entry->graph = graph;
	return graph;
}

/*
 * feed.c - see feed.h. A group of runs is one transaction and mostly of one tenant, so what is
 * written here for each run is a few bytes of one row.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/xid8.h"

#include "slot/follow.h"
#include "util/id.h"
#include "util/rows.h"
#include "worker/feed.h"

#define FIRST_CAPACITY 16

static const FfTable feed_table = {
	"feed", 6, {"feed_id", "xid", "life", "tenant_id", "runs", "seqs"}};

typedef struct FeedRow
{
	int32  tenant_id;
	int	   count;
	int	   capacity;
	Datum *runs;
	Datum *seqs;
} FeedRow;

static FeedRow *
make_row(int32 tenant_id)
{
	FeedRow *row = palloc0(sizeof(FeedRow));

	row->tenant_id = tenant_id;
	row->capacity = FIRST_CAPACITY;
	row->runs = palloc(sizeof(Datum) * FIRST_CAPACITY);
	row->seqs = palloc(sizeof(Datum) * FIRST_CAPACITY);
	return row;
}

List *
ff_feed_add(List *feed, int32 tenant_id, const pg_uuid_t *run, int32 seq)
{
	FeedRow	 *row = NULL;
	ListCell *cell;

	foreach (cell, feed)
	{
		row = lfirst(cell);
		if (row->tenant_id == tenant_id)
			break;
		row = NULL;
	}
	if (row == NULL)
	{
		row = make_row(tenant_id);
		feed = lappend(feed, row);
	}
	if (row->count == row->capacity)
	{
		row->capacity *= 2;
		row->runs = repalloc(row->runs, sizeof(Datum) * row->capacity);
		row->seqs = repalloc(row->seqs, sizeof(Datum) * row->capacity);
	}
	row->runs[row->count] = UUIDPGetDatum(run);
	row->seqs[row->count] = Int32GetDatum(seq);
	row->count++;
	return feed;
}

void
ff_feed_write(const List *feed)
{
	FfRows	  rows = {.table = &feed_table};
	ListCell *cell;

	foreach (cell, feed)
	{
		const FeedRow *row = lfirst(cell);
		pg_uuid_t	  *id = palloc(sizeof(pg_uuid_t));
		Datum		   values[6];

		ff_uuid7(id);
		values[0] = UUIDPGetDatum(id);
		values[1] = FullTransactionIdGetDatum(GetTopFullTransactionId());
		values[2] = Int64GetDatum(ff_life());
		values[3] = Int32GetDatum(row->tenant_id);
		values[4] = PointerGetDatum(
			construct_array(row->runs, row->count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
		values[5] =
			PointerGetDatum(construct_array(row->seqs, row->count, INT4OID, 4, true, TYPALIGN_INT));
		ff_rows_add(&rows, values, NULL);
	}
	if (rows.count > 0)
		ff_rows_write(&rows);
}

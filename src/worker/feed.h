/*
 * feed.h - what of the log a transaction writes, told to who follows whole tenants
 * (src/run/feed.sql).
 */
#ifndef FF_WORKER_FEED_H
#define FF_WORKER_FEED_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/uuid.h"

/* Adds a row of the log to a list that is NIL at first; gives the list. The id must live until it
 * is written. */
extern List *ff_feed_add(List *feed, int32 tenant_id, const pg_uuid_t *run, int32 seq);

/* Writes the list: a row for each tenant. */
extern void ff_feed_write(const List *feed);

#endif

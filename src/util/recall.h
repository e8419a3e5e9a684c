/*
 * recall.h - when what a backend remembers of a table has to be forgotten.
 *
 * A trigger on the table (or on those that are announced with it) sends its relcache invalidation.
 * That can arrive at any time, so it only marks what is remembered as stale; the next look forgets
 * it. What is then read must be read with a snapshot taken after the invalidations that have come,
 * by a statement that is not read-only: the transaction's own may be older than the last of them,
 * and what it shows would be remembered for ever. In a transaction that has one snapshot for all
 * its statements there is no such snapshot, so what it reads is forgotten when it is over.
 */
#ifndef FF_RECALL_H
#define FF_RECALL_H

#include "postgres.h"

#include "utils/timestamp.h"

typedef struct FfRecall
{
	const char *table; /* of the schema flowforge */
	Oid			relid; /* as it was when something was last remembered */
	bool		stale;
	uint64		generation; /* another number whenever something may have changed */
	TimestampTz reader;		/* the start of a transaction with one snapshot that has read */
} FfRecall;

/* Once per process. */
extern void ff_recall_register(FfRecall *recall);

/* Whether what is remembered must be forgotten before the next look. */
extern bool ff_recall_expired(FfRecall *recall);
/* It has been forgotten: what is read from now on may be remembered. */
extern void ff_recall_renewed(FfRecall *recall);
/* Something has been read to be remembered. */
extern void ff_recall_noted(FfRecall *recall);

#endif

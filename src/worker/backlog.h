/*
 * backlog.h - reading which runs of run_hot are ready, in a transaction: the tenants that have any,
 * and one tenant's, in their order, a piece at a time, by index and without a look at others'.
 */
#ifndef FF_WORKER_BACKLOG_H
#define FF_WORKER_BACKLOG_H

#include "postgres.h"

#include "slot/shared.h"

/* A tenant's runs are in two orders: those without a rank by their id, those with one by rank and
 * id. */
typedef struct FfLook
{
	int32		tenant_id;
	bool		ranked;
	TimestampTz from_rank; /* what is to be seen begins here, and, when it has been, goes on here */
	pg_uuid_t	from_id;
	int			limit; /* rows of each slot */
	bool		more;  /* out: there may be more from there on */
	int			count; /* out: of those found that may be called, */
	FfReady	   *found; /* in the order of slots, up to the new place to go on from */
} FfLook;

extern void ff_backlog_look(FfLook *look);

/* The tenants that have runs in this executor's slots; gives their number. */
extern int ff_backlog_tenants(int32 **tenants);

#endif

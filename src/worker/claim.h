/*
 * claim.h - what the claims of runs (claim.c) are to those who read, call and write runs.
 */
#ifndef FF_WORKER_CLAIM_H
#define FF_WORKER_CLAIM_H

#include "postgres.h"

#include "run/run.h"
#include "util/batch.h"
#include "worker/store.h"

struct FfFunction;

/* Gives a run just read a claim if its function has limits; its event has been read. */
extern void ff_claim_prepare(FfRun *run, const struct FfFunction *function);
/* Reads the rows of those that have. */
extern void ff_claims_read(List *runs);

/* Whether one more of its steps may run now. */
extern bool ff_claim_has_room(const FfRun *run);
/* Whether its driver may advance it: it has started, or has room to. */
extern bool ff_claim_may_advance(const FfRun *run);
/* Whether it has more to do than it has asked room for. */
extern bool ff_claim_is_short(const FfRun *run, TimestampTz now);
/* Its function is paused: with its next change it lets go what it has. */
extern void ff_claim_hold(FfRun *run);

/* --- in the transaction that writes changes --- */

typedef struct FfClaimRows
{
	FfBatch inserted;
	FfBatch updated;
	FfBatch deleted;
} FfClaimRows;

extern void ff_claims_begin(FfClaimRows *rows);
/* Settles what a changed run claims; whether any of its steps may run. */
extern bool ff_claim_gather(FfClaimRows *rows, FfRun *run, TimestampTz now);
extern void ff_claims_write(FfClaimRows *rows);

/* When something of a run is to be done that needs no room. */
extern TimestampTz ff_claim_next_due(const FfRun *run, TimestampTz now);

/* Runs of one slot after `after` that have been granted room, at most `limit`. */
extern int ff_claim_sweep(int slot, const FfRunKey *after, int limit, FfReady *out);

#endif

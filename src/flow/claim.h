/*
 * claim.h - a claim: what a run of a function with limits asks for and has (see claim.sql).
 */
#ifndef FF_FLOW_CLAIM_H
#define FF_FLOW_CLAIM_H

#include "postgres.h"

#include "event/event.h"
#include "flow/flow.h"

/* asked - granted steps wait for room, granted - released may run. The numbers only grow. */
typedef struct FfClaim
{
	FfKeys		keys;
	int64		queue;
	TimestampTz rank;
	bool		stored; /* its row is there */
	int			asked;
	int			granted; /* as far as is known */
	int			released;
	bool		needed;
	bool		held;		/* what it has is to be let go: its function is paused */
	bool		looked_for; /* its row is about to be read again */
} FfClaim;

/* Makes the claim of a run; false when nothing ever limits it. `created`: when the run was made. */
extern bool ff_claim_make(FfClaim *claim, const FfFlow *flow, int32 tenant_id, int32 function_id,
						  const FfEvent *event, TimestampTz created, bool started);

/* The run has started: what only bounds starts bounds it no more. */
extern void ff_claim_started(FfClaim *claim, int32 function_id);

/* The keys as the text of a bigint[], palloc'ed. */
extern char *ff_claim_keys_text(const FfKeys *keys);

#endif

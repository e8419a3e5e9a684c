/*
 * ledger.h - what the gate knows: how many steps run under each key, who has them, and the queues
 * of those who wait. Memory of one process, made again from the rows of flowforge.claim whenever it
 * is in doubt. Here is no row and no clock: the gate (src/worker/gate.c) brings both.
 */
#ifndef FF_FLOW_LEDGER_H
#define FF_FLOW_LEDGER_H

#include "postgres.h"

#include "lib/ilist.h"
#include "lib/pairingheap.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "flow/flow.h"

#define FF_UNLIMITED PG_INT32_MAX
#define FF_MAX_QUEUES 100000 /* that are known at a time */

/* What runs have a key in common. */
typedef struct FfKeyUse
{
	int64			 key;
	int				 running;	/* steps, as committed */
	int				 chosen;	/* steps, or starts, about to be granted */
	pairingheap		 blocked;	/* queues that wait for this key, the oldest first */
	bool			 open;		/* it may have room for those it blocks */
	dlist_node		 opened;	/* among those that are open */
	bool			 next_read; /* of a throttle: next_at is as in its row */
	TimestampTz		 next_at;	/* when the next run would be due, if all came evenly */
	TimestampTz		 alarm;		/* it opens then; 0: when something is released */
	pairingheap_node alarmed;
} FfKeyUse;

/* What a queue's function says now. */
typedef struct FfRules
{
	bool  paused;
	int32 limit[FF_KEYS]; /* FF_UNLIMITED: none; at FF_KEY_THROTTLE without meaning */
	int64 interval;		  /* of a throttle: microseconds from one start to the next; 0: none */
	int64 tolerance;	  /* and how much earlier one may be, for bursts */
} FfRules;

typedef enum FfQueueState
{
	FF_QUEUE_READY,	  /* to be looked at */
	FF_QUEUE_TAKEN,	  /* being looked at */
	FF_QUEUE_BLOCKED, /* by a key */
	FF_QUEUE_HELD	  /* its function is paused */
} FfQueueState;

/* The waiting runs of one function that have the same keys. */
typedef struct FfQueue
{
	int64			 id;
	FfQueueState	 state;
	bool			 known; /* the members below have been read */
	int32			 tenant_id;
	int32			 function_id;
	FfKeys			 keys;
	bool			 ruled; /* the rules are those of now */
	FfRules			 rules;
	TimestampTz		 head; /* rank of its first run, when that was last read */
	FfKeyUse		*blocker;
	int				 place; /* of the blocker among the queue's keys */
	pairingheap_node node;
} FfQueue;

/* Forgets everything. */
extern void ff_ledger_reset(void);

/* The use of a key, made if there is none. */
extern FfKeyUse *ff_ledger_key(int64 key);

/* The run has been granted and has released so many steps in all; neither number shrinks. */
extern void ff_ledger_set(const pg_uuid_t *run_id, const FfKeys *keys, int granted, int released);
/* The run has released so many in all; -1: its claim is gone. */
extern void ff_ledger_release(const pg_uuid_t *run_id, int released);

/* --- room --- */

/*
 * How many more steps of a queue its keys and rules let run now, beside those chosen already, at
 * most `most`; `starts`: they are the first of a run. When there is room for none, `blocker` says
 * at which place.
 */
extern int ff_ledger_room(const FfQueue *queue, bool starts, TimestampTz now, int most,
						  int *blocker);
/* So many steps are about to be granted; or are no longer, with a count below 0. */
extern void ff_ledger_choose(const FfQueue *queue, bool starts, int count);
/* A run has started: its throttle moves on. Gives the throttle's key. */
extern FfKeyUse *ff_ledger_started(const FfQueue *queue, TimestampTz now);

/* --- queues --- */

/* A queue has somebody waiting: it is known from now on, and ready unless it is blocked. False when
 * there are too many queues to know this one. */
extern bool		ff_ledger_note(int64 queue_id);
extern FfQueue *ff_ledger_find(int64 queue_id);
/* The ready queue with the oldest head, taken; NULL when there is none. */
extern FfQueue *ff_ledger_take(void);
extern void		ff_ledger_ready(FfQueue *queue);
extern void		ff_ledger_block(FfQueue *queue, int place, TimestampTz now);
extern void		ff_ledger_hold(FfQueue *queue);
/* Nobody waits in it. */
extern void ff_ledger_forget(FfQueue *queue);
/* Whether a queue is ready, or may become so by a refill. */
extern bool ff_ledger_has_ready(void);
extern long ff_ledger_queues(void);

/* Makes ready, of the queues that open keys block, those there may be room for. */
extern void ff_ledger_refill(TimestampTz now);

/* All queues are ready and their rules are to be read: they may have changed. */
extern void ff_ledger_wake_all(void);

/* Forgets keys that mean nothing any more. */
extern void ff_ledger_prune(TimestampTz now);

/* Opens the keys whose time has come; gives the next time, or DT_NOEND. */
extern TimestampTz ff_ledger_ring(TimestampTz now);

#endif

/*
 * shared.h - what executors and all other backends know of each other: the slots of each database,
 * in shared memory.
 *
 * A run belongs to the slot its id hashes to, a slot to executor (slot % executors), for ever.
 * Nothing here is needed for correctness: rows are the truth, and an executor that starts with this
 * memory empty finds all its work by a sweep.
 */
#ifndef FF_SLOT_SHARED_H
#define FF_SLOT_SHARED_H

#include "postgres.h"

#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "slot/depth.h"
#include "slot/follow.h"
#include "slot/pool.h"
#include "slot/rate.h"

#define FF_SLOTS 64
#define FF_MAX_EXECUTORS 16
#define FF_MAX_DATABASES 8
#define FF_RING_SIZE 512
#define FF_MAX_CALLS 1024  /* calls an executor may have under way */
#define FF_MAX_WAITERS 256 /* backends in ff_wait at once, per database */
#define FF_STEP_ID_SIZE 80
#define FF_MESSAGE_SIZE 200

#define FF_RANK_GRANTED                                                       \
	DT_NOBEGIN /* it has been granted room: before all of its tenant's others \
				*/

/* A run that may be called, as its owner is told of it. */
typedef struct FfReady
{
	TimestampTz rank; /* its place in its tenant's queue; 0: by its age, which its id says */
	int32		tenant_id;
	pg_uuid_t	run_id;
} FfReady;

/* Runs for which there was no room, tenant by tenant: the least id and the least rank of each
 * tenant's, from which on the owner is to look at rows. */
#define FF_LOST_TENANTS 4

typedef struct FfLost
{
	int		count;
	bool	others; /* of more tenants: look everywhere */
	FfReady tenants[FF_LOST_TENANTS];
} FfLost;

/* What others tell the owner of a slot: runs that became runnable, messages in the inbox, or "look
 * for yourself". */
typedef struct FfSlot
{
	slock_t lock;
	uint32	head;
	uint32	count;
	bool	overflow; /* look for yourself, everywhere */
	bool	inbox;
	FfLost	lost;
	FfReady ring[FF_RING_SIZE];
} FfSlot;

#define FF_GATE_NOTES 1024

/* What others tell the gate: a queue has somebody waiting, or a run has let steps go. */
typedef struct FfGateNote
{
	int64	  queue;
	pg_uuid_t run_id;
	int32	  released; /* in all; -1: the claim is gone; 0: it asks for more */
} FfGateNote;

typedef struct FfGateRing
{
	slock_t	   lock;
	uint32	   head;
	uint32	   count;
	bool	   overflow; /* notes were lost */
	bool	   changed;	 /* limits may have changed */
	FfGateNote notes[FF_GATE_NOTES];
} FfGateRing;

typedef struct FfCallInfo
{
	bool		used;
	int32		tenant_id;
	int32		attempt;
	pg_uuid_t	run_id;
	pg_uuid_t	request_id;
	int32		generation;
	TimestampTz started_at;
	char		step_id[FF_STEP_ID_SIZE];
} FfCallInfo;

typedef enum FfExecutorState
{
	FF_EXECUTOR_ABSENT, /* not running */
	FF_EXECUTOR_STARTING,
	FF_EXECUTOR_WORKING,
	FF_EXECUTOR_NO_EXTENSION,
	FF_EXECUTOR_WRONG_VERSION,
	FF_EXECUTOR_RESTORING,
	FF_EXECUTOR_PAUSED
} FfExecutorState;

typedef struct FfExecutor
{
	slock_t			 lock; /* guards latch, pid and last_error */
	Latch			*latch;
	pid_t			 pid;
	char			 last_error[FF_MESSAGE_SIZE];
	TimestampTz		 last_error_at;
	pg_atomic_uint32 state;
	pg_atomic_uint32 ready;
	pg_atomic_uint32 in_flight;
	pg_atomic_uint32 timers;
	pg_atomic_uint64 commits;
	pg_atomic_uint64 steps;
	pg_atomic_uint64 runs_ended;
	pg_atomic_uint64 errors;
	LWLock			 calls_lock;
	FfCallInfo		 calls[FF_MAX_CALLS];
} FfExecutor;

typedef struct FfWaiter
{
	Latch	 *latch; /* NULL: free */
	pg_uuid_t run_id;
} FfWaiter;

/* What a sender may be refused for. */
typedef enum FfQuota
{
	FF_QUOTA_QUEUED,
	FF_QUOTA_EVENTS_PER_SECOND,
	FF_QUOTA_PAYLOAD_BYTES,
	FF_QUOTAS
} FfQuota;

typedef struct FfDatabase
{
	Oid oid; /* InvalidOid: free; set once by the launcher, cleared when its workers are gone */
	pg_atomic_uint64
		enqueued; /* transactions that were about to commit work; counted before they do */
	pg_atomic_uint32 listeners; /* backends that listen on the channel */
	pg_atomic_uint32 paused; /* sessions that are changing the extension: executors stand aside */
	pg_atomic_uint32
		epoch; /* grows when the extension or its settings changed: executors begin anew */
	pg_atomic_uint32 schedules; /* grows when a schedule changed: the clock is set anew */
	pg_atomic_uint64 starts;	/* a TimestampTz: when held starts are to be looked at next */
	pg_atomic_uint64 refused[FF_QUOTAS]; /* calls of senders, since the server started */
	bool	   stopping; /* the database is about to be dropped, renamed or copied: no workers */
	slock_t	   waiters_lock;
	int		   waiters_used;
	FfWaiter   waiters[FF_MAX_WAITERS];
	FfSlot	   slots[FF_SLOTS];
	FfGateRing gate;
	FfExecutor executors[FF_MAX_EXECUTORS];
	FfSqlPool  sql;
	FfFollowed followed;
} FfDatabase;

typedef struct FfShared
{
	LWLock	   lock;	  /* guards the choice of database entries */
	int		   executors; /* per database, fixed while the server runs */
	Latch	  *launcher;
	int64	   life;						  /* when this was made, in microseconds since 1970 */
	char	   live_channel[FF_CHANNEL_SIZE]; /* what is only for watching is notified on it */
	FfRates	   rates;
	FfDepths   depths;
	FfDatabase databases[FF_MAX_DATABASES];
} FfShared;

extern FfShared *ff_shared;

/* Notes a run that was lost. Neither allocates nor raises. */
extern void ff_lost_add(FfLost *lost, const FfReady *run);

/* Registers the hooks that reserve and initialise the shared memory; called while the library is
 * preloaded. */
extern void ff_shared_init(void);

/* The entry of the session's database, or NULL when no executor is configured for it. */
extern FfDatabase *ff_shared_database(void);

/* The entry of a database, taking a free one if `create`; NULL when there is none. */
extern FfDatabase *ff_shared_find(Oid oid, bool create);

/* The executor of a database that owns a slot. */
extern FfExecutor *ff_shared_owner(FfDatabase *database, int slot);

/* Wakes one executor or all executors of a database, or the launcher. Neither allocates nor raises.
 */
extern void ff_shared_wake(FfExecutor *executor);
extern void ff_shared_wake_all(FfDatabase *database);
extern void ff_shared_wake_launcher(void);

/* Tells all owners of a database to look for work by themselves. */
extern void ff_shared_overflow(FfDatabase *database);

/* Tells the executor that keeps the clock to look at the schedules. */
extern void ff_shared_schedules_changed(FfDatabase *database);

/* A sender was refused. */
extern void ff_shared_refused(FfQuota quota);

/* Held starts are to be looked at no later than then; true when that is news. Neither allocates nor
 * raises. */
extern bool ff_shared_starts_at(FfDatabase *database, TimestampTz at);

/* The state's word, as flowforge.executors() shows it. */
extern const char *ff_executor_state_name(FfExecutorState state);

#endif

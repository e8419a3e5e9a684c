/*
 * pool.h - the sql workers of a database: background workers that run one statement at a time in a
 * session of one role.
 *
 * A place of the pool is claimed by an executor for a step. The claim says where the step is, never
 * what is to be run: the worker reads that from the run's row. Who holds a claim is nobody's
 * business but theirs: what makes a statement's effect happen once is the row, not the claim
 * (src/step/README.md).
 */
#ifndef FF_SLOT_POOL_H
#define FF_SLOT_POOL_H

#include "postgres.h"

#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define FF_MAX_SQL_WORKERS 32
#define FF_POOL_STEP_ID_SIZE 44

typedef enum FfSqlState
{
	FF_SQL_FREE,	 /* no process */
	FF_SQL_STARTING, /* asked for; its claim waits for it */
	FF_SQL_IDLE,
	FF_SQL_BUSY,
	FF_SQL_LEAVING /* asked to make room for a worker of another role */
} FfSqlState;

/* The step a worker is to run. */
typedef struct FfSqlClaim
{
	int32	  tenant_id;
	pg_uuid_t run_id;
	char	  step_id[FF_POOL_STEP_ID_SIZE];
} FfSqlClaim;

typedef struct FfSqlWorker
{
	FfSqlState	state;
	uint32		birth; /* grows with every process asked for: one that comes too late goes away */
	Oid			role;
	pid_t		pid;
	Latch	   *latch;
	uint64		number; /* of the claim; grows */
	bool		claimed;
	uint64		died;	  /* the claim during which its process ended, if one did */
	int			executor; /* who claimed it */
	FfSqlClaim	claim;
	TimestampTz since; /* when the state began */
} FfSqlWorker;

typedef struct FfSqlPool
{
	LWLock		lock;
	uint32		wanted; /* a bit per executor that found no room */
	uint32		births;
	uint64		claims;
	FfSqlWorker workers[FF_MAX_SQL_WORKERS];
} FfSqlPool;

/* What a new worker is told (bgw_extra). */
typedef struct FfSqlBirth
{
	int	   database; /* index of FfShared.databases */
	int	   place;
	uint32 birth;
	uint32 epoch; /* FfDatabase.epoch when it was asked for */
	Oid	   role;
	Oid	   owner; /* of the extension */
} FfSqlBirth;

StaticAssertDecl(sizeof(FfSqlBirth) <= BGW_EXTRALEN, "a birth fits bgw_extra");

struct FfDatabase;

extern int ff_sql_workers; /* of a database */

extern void ff_pool_init(FfSqlPool *pool, int tranche);

/* --- executors --- */

typedef enum FfPoolAnswer
{
	FF_POOL_GIVEN, /* a worker has it */
	FF_POOL_START, /* a place has it; start its process: ff_pool_birth */
	FF_POOL_FULL   /* the executor is woken when there may be room */
} FfPoolAnswer;

extern FfPoolAnswer ff_pool_claim(struct FfDatabase *database, int executor, Oid role,
								  const FfSqlClaim *claim, int *place, uint64 *number);
extern FfSqlBirth	ff_pool_birth(struct FfDatabase *database, int place);
/* The process could not be started: the place is free and the claim over. */
extern void ff_pool_stillborn(struct FfDatabase *database, int place, uint32 birth);
/* Whether a claim is over, whatever came of it; and whether its worker died of it. */
extern bool ff_pool_over(struct FfDatabase *database, int place, uint64 number, bool *died);
/* Cancels the statement of a claim that is not over. */
extern void ff_pool_cancel(struct FfDatabase *database, int place, uint64 number);
/* How many places a claim might find, roles aside. */
extern int ff_pool_room(struct FfDatabase *database);
/* A new executor: claims of its predecessor whose process never came are over. */
extern void ff_pool_adopt(struct FfDatabase *database, int executor);

/* --- sql workers --- */

/* False when nobody waits for this worker any more. */
extern bool ff_pool_arrive(struct FfDatabase *database, const FfSqlBirth *birth);
extern void ff_pool_leave(struct FfDatabase *database, const FfSqlBirth *birth);
/* Takes the claim given to this worker; false when there is none. */
extern bool ff_pool_take(struct FfDatabase *database, int place, FfSqlClaim *claim);
extern void ff_pool_done(struct FfDatabase *database, int place);
/* Whether the worker is to make room. Nothing can be claimed of it afterwards. */
extern bool ff_pool_leaving(struct FfDatabase *database, int place, bool leave_now);

/* --- everybody --- */

extern bool ff_pool_busy(struct FfDatabase *database);
extern void ff_pool_wake_all(struct FfDatabase *database);
/* Ends all processes; false while one is still there. */
extern bool ff_pool_stop(struct FfDatabase *database);

#endif

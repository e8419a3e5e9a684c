/*
 * hint.h - telling the owner of a run, when this transaction commits, that there is work.
 *
 * Hints are gathered in memory that is there from the start and handed over by the commit callback,
 * which neither allocates nor raises. They may be spurious (a rolled-back subtransaction) or
 * missing (a prepared transaction): the owner looks at rows.
 */
#ifndef FF_SLOT_HINT_H
#define FF_SLOT_HINT_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Registers the transaction callback; once per process, in _PG_init. */
extern void ff_hint_init(void);

/* At commit, tells the run's owner that the run has become runnable. `rank` is that of its row in
 * run_hot, 0 for none; or FF_RANK_GRANTED. */
extern void ff_hint_run(int32 tenant_id, const pg_uuid_t *run_id, TimestampTz rank);

/* At commit, tells the gate that somebody waits in a queue. */
extern void ff_hint_waits(int64 queue);

/* At commit, tells the gate how many steps a run has let go in all; -1: its claim is gone. */
extern void ff_hint_released(int64 queue, const pg_uuid_t *run_id, int released);

/* At commit, tells the gate that limits may have changed. */
extern void ff_hint_limits(void);

/* At commit, tells all owners to look for themselves. */
extern void ff_hint_everything(void);

/* At commit, tells the executor that keeps the clock to look at the schedules anew. */
extern void ff_hint_schedules(void);

/* At commit, tells the executor that starts what is held that something is due at this time. */
extern void ff_hint_starts(TimestampTz at);

/* Puts a message in the inbox of a run's owner (connected to SPI) and wakes it at commit. */
extern void ff_inbox_post(int32 tenant_id, const pg_uuid_t *run_id, const char *kind,
						  Jsonb *payload);

/* The same for many messages, in one statement. */
typedef struct FfPost
{
	int32		tenant_id;
	pg_uuid_t	run_id;
	const char *kind;
	Jsonb	   *payload;
} FfPost;

extern void ff_inbox_post_many(const FfPost *posts, int count);

/* At commit, wakes the backends that wait in ff_wait for this run, which the transaction ends. */
extern void ff_hint_run_ended(const pg_uuid_t *run_id);

#endif

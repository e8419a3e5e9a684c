/*
 * sql_dispatch.c - an executor's statements under way in sql workers (see call.h).
 *
 * A step is claimed for a worker and then only watched: its result comes through the inbox. A claim
 * that is over without a result (its worker died, or found the step taken) is made again; the
 * worker sees to it that nothing happens twice. Runs that find no room wait (room.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "slot/pool.h"
#include "step/step.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/spi.h"
#include "worker/call.h"
#include "worker/executor.h"
#include "worker/room.h"
#include "worker/turn.h"

#define AGAIN_US USECS_PER_SEC /* after which what could not be done is tried again */
#define COMPLAIN_US (60 * USECS_PER_SEC)

typedef struct Job
{
	bool					used;
	bool					over; /* seen to be over; a look into the inbox later it is lost */
	uint64					number;
	pg_uuid_t				run_id;
	char					step_id[FF_STEP_ID_SIZE];
	int						info; /* its place in what flowforge.calls() shows */
	uint32					birth;
	BackgroundWorkerHandle *handle; /* of the process asked for, or NULL */
} Job;

static Job	  jobs[FF_MAX_SQL_WORKERS]; /* by place in the pool */
static int	  job_count = 0;
static FfRoom room;

static void finish_job(Job *job);
static void try_later(FfRun *run, FfItem *item);

int
ff_sql_in_flight(void)
{
	return job_count;
}

bool
ff_sql_runs(const FfItem *item)
{
	return item->kind == FF_ITEM_STEP && item->step->place == FF_STEP_SQL;
}

void
ff_sql_init(void)
{
	ff_room_init(&room, "flowforge runs waiting for sql workers");
	ff_pool_adopt(ff_my_database, ff_my_number);
}

/* --- the role --- */

typedef struct RoleLook
{
	const FfRun *run;
	Oid			 role;
	Jsonb		*refusal; /* why the statement cannot run at all, or NULL */
} RoleLook;

static void
refuse(RoleLook *look, const char *message, const char *hint)
{
	MemoryContext old = MemoryContextSwitchTo(ff_group_context);
	FfJsonBuilder builder = {0};

	ff_jb_object(&builder);
	ff_jb_key(&builder, "name");
	ff_jb_text(&builder, "SqlError");
	ff_jb_key(&builder, "message");
	ff_jb_text(&builder, message);
	ff_jb_key(&builder, "code");
	ff_jb_text(&builder, unpack_sql_state(FF_ERR_STEP_ROLE));
	ff_jb_key(&builder, "hint");
	ff_jb_text(&builder, hint);
	ff_jb_end(&builder);
	look->refusal = ff_jb_finish(&builder);
	MemoryContextSwitchTo(old);
}

/* How to give it a role, or another one. */
static const char *
role_hint(bool app, const char *what)
{
	return app ? psprintf("Give %s: select ff_set_app_role('app', 'role').", what)
			   : psprintf("Give %s: select ff_workflow_set_role('workflow', 'role').", what);
}

/* The role of the run's function, or else its app's, if statements may run as it:
 * flowforge.role_problem says why not. */
static void
look_at_role(void *arg)
{
	static FfPlan plan = {
		"select r.oid, w.role, flowforge.role_problem(w.role, w.mark), f.app_id is not null from flowforge.function f "
		"left join flowforge.app a on a.tenant_id = f.tenant_id and a.app_id = f.app_id "
		"cross join lateral (select coalesce(f.role, a.role) as role, "
		"case when f.role is null then a.role_mark else f.role_mark end as mark) w "
		"left join pg_catalog.pg_roles r on r.rolname = w.role "
		"where f.tenant_id = $1 and f.function_id = $2",
		2,
		{INT4OID, INT4OID}};
	RoleLook *look = arg;
	Datum values[2] = {Int32GetDatum(look->run->tenant_id), Int32GetDatum(look->run->function_id)};
	bool  found = ff_spi_run(&plan, values, NULL, true) > 0;
	bool  isnull = true;
	bool  app = true;
	Datum problem;

	if (found)
	{
		app = DatumGetBool(ff_spi_value(0, 4, &isnull));
		look->role = DatumGetObjectId(ff_spi_value(0, 1, &isnull));
	}
	if (!found || (isnull && (ff_spi_value(0, 2, &isnull), isnull)))
	{
		refuse(look,
			   app ? "the app has no database role to run statements as"
				   : "the workflow has no database role to run statements as",
			   role_hint(app, "it one"));
		return;
	}
	problem = ff_spi_value(0, 3, &isnull);
	if (!isnull)
		refuse(look, TextDatumGetCString(problem),
			   role_hint(app, app ? "the app another role" : "the workflow another role"));
}

/* --- starting --- */

static bool
start_process(int place, Job *job)
{
	BackgroundWorker worker = {0};
	FfSqlBirth		 birth = ff_pool_birth(ff_my_database, place);
	MemoryContext	 old;
	bool			 started;

	snprintf(worker.bgw_name, BGW_MAXLEN, "flowforge sql worker %d", place);
	snprintf(worker.bgw_type, BGW_MAXLEN, "flowforge sql worker");
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "flowforge");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "ff_sql_worker_main");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	memcpy(worker.bgw_extra, &birth, sizeof(birth));
	old = MemoryContextSwitchTo(TopMemoryContext);
	started = RegisterDynamicBackgroundWorker(&worker, &job->handle);
	MemoryContextSwitchTo(old);
	job->birth = birth.birth;
	if (!started)
		ff_pool_stillborn(ff_my_database, place, birth.birth);
	return started;
}

static void
complain(void)
{
	static TimestampTz complained = 0;
	TimestampTz		   now = GetCurrentTimestamp();

	if (now < complained + COMPLAIN_US)
		return;
	complained = now;
	ereport(LOG, (errmsg("flowforge could not start a sql worker"),
				  errhint("Raise max_worker_processes, or lower flowforge.sql_workers.")));
}

static void
forget_handle(Job *job)
{
	if (job->handle != NULL)
		pfree(job->handle);
	job->handle = NULL;
}

/* False when no process could be had. */
static bool
begin_job(FfRun *run, FfItem *item, int place, uint64 number, bool start)
{
	Job *job = &jobs[place];

	/* The place was given away anew before its last claim was seen to be over. */
	if (job->used)
		finish_job(job);
	memset(job, 0, sizeof(*job));
	if (start && !start_process(place, job))
		return false;
	job->used = true;
	job->number = number;
	job->run_id = run->id;
	strlcpy(job->step_id, item->id, sizeof(job->step_id));
	job_count++;
	item->called_at = GetCurrentTimestamp();
	item->call = job;
	job->info = ff_call_publish(run, item);
	return true;
}

void
ff_sql_start(FfRun *run, FfItem *item)
{
	RoleLook	 look = {run, InvalidOid, NULL};
	FfSqlClaim	 claim = {.tenant_id = run->tenant_id, .run_id = run->id};
	FfFailure	 failure;
	FfPoolAnswer answer;
	int			 place;
	uint64		 number;

	if (!ff_transaction(look_at_role, &look, &failure))
	{
		try_later(run, item);
		return;
	}
	if (look.refusal != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(ff_group_context);

		ff_step_refuse(run, item, look.refusal, GetCurrentTimestamp());
		MemoryContextSwitchTo(old);
		ff_group_add(run);
		return;
	}
	strlcpy(claim.step_id, item->id, sizeof(claim.step_id));
	answer = ff_pool_claim(ff_my_database, ff_my_number, look.role, &claim, &place, &number);
	if (answer == FF_POOL_FULL)
		ff_room_wait(&room, run);
	else if (!begin_job(run, item, place, number, answer == FF_POOL_START))
	{
		complain();
		try_later(run, item);
	}
}

static void
try_later(FfRun *run, FfItem *item)
{
	item->due = GetCurrentTimestamp() + AGAIN_US;
	ff_timer_push(item->due, run->tenant_id, &run->id);
}

/* --- ending --- */

static void
finish_job(Job *job)
{
	job->used = false;
	job_count--;
	forget_handle(job);
	ff_call_unpublish(job->info);
}

void
ff_sql_abandon(FfItem *item)
{
	Job *job = item->call;
	int	 place = (int) (job - jobs);

	item->call = NULL;
	ff_pool_cancel(ff_my_database, place, job->number);
}

/* Somebody or something ended the session: that is an attempt, as an error of the statement would
 * be. */
static void
fail_attempt(FfRun *run, FfItem *item)
{
	MemoryContext old = MemoryContextSwitchTo(ff_group_context);
	Jsonb *error = ff_step_problem("SqlError", "the session that ran the statement was ended",
								   ERRCODE_ADMIN_SHUTDOWN);

	ff_run_message(run, "sql", ff_sql_message(item->id, NULL, error, true, item->called_at),
				   GetCurrentTimestamp());
	MemoryContextSwitchTo(old);
	ff_group_add(run);
}

/* The claim is over and the inbox has been read since: unless its result has come the step is
 * claimed again in a while. */
static void
lose(Job *job, bool died)
{
	FfRun	 *run = ff_active_find(&job->run_id);
	FfItem	 *item = NULL;
	ListCell *cell;

	if (run != NULL && !(run->change != NULL && run->change->ended))
	{
		foreach (cell, run->items)
		{
			if (((FfItem *) lfirst(cell))->call == job)
				item = lfirst(cell);
		}
	}
	finish_job(job);
	if (item == NULL)
		return;
	item->call = NULL;
	if (died)
	{
		fail_attempt(run, item);
		return;
	}
	try_later(run, item);
	if (ff_may_call(run))
		ff_settle(run);
}

/* A process that never came to its place leaves it so. */
static void
look_at_process(int place, Job *job)
{
	pid_t pid;

	if (job->handle == NULL || GetBackgroundWorkerPid(job->handle, &pid) != BGWH_STOPPED)
		return;
	ff_pool_stillborn(ff_my_database, place, job->birth);
	forget_handle(job);
}

void
ff_sql_watch(void)
{
	for (int place = 0; place < FF_MAX_SQL_WORKERS && job_count > 0; place++)
	{
		Job *job = &jobs[place];
		bool died;

		if (!job->used)
			continue;
		look_at_process(place, job);
		if (!ff_pool_over(ff_my_database, place, job->number, &died))
			continue;
		if (job->over)
			lose(job, died);
		else
		{
			job->over = true;
			ff_inbox_look();
		}
	}
	if (!ff_room_empty(&room))
		ff_room_let_in(&room, ff_pool_room(ff_my_database));
}

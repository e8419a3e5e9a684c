/*
 * call.h - calling: what a run has to call (settle.c), how much may be under way at once (lane.c),
 * the calls themselves (call.c), and those that are no calls of an app (sql_dispatch.c, code.c,
 * outside.c).
 */
#ifndef FF_WORKER_CALL_H
#define FF_WORKER_CALL_H

#include "postgres.h"

#include "run/run.h"

struct FfAnswer;
struct FfFunction;
struct FfHttpCall;

extern int ff_max_in_flight; /* calls of an executor */
extern int ff_max_in_flight_per_app;
extern int ff_max_in_flight_per_host;

/* --- settle.c: what is to be called, and when --- */

/* The version of the function a run is of, or NULL when it is gone. */
extern const struct FfFunction *ff_function_of(FfRun *run);

/* Calls what a run has to call, keeps it waiting for room, or lets it go when it has nothing to do.
 * The run has no change that calls must wait for. */
extern void ff_settle(FfRun *run);
/* Sets the timer for what is due next in a run whose calls are as they shall be. */
extern void ff_set_timer(FfRun *run);
/* Whether nothing of the run must be written before it may call. */
extern bool ff_may_call(const FfRun *run);
/* Whether the next call makes the app fetch what the run's steps left. */
extern bool ff_reads_rows(const FfRun *run);

/* --- lane.c: room for calls --- */

typedef struct FfLane FfLane;

/* The lane of the item's app, or of the host it requests something of. */
extern FfLane *ff_lane_of(const FfItem *item, const struct FfFunction *function);
extern bool	   ff_lane_has_room(const FfLane *lane);
/* A call begins or is over. */
extern void ff_lane_enter(FfLane *lane);
extern void ff_lane_leave(FfLane *lane);
/* The run waits for room, or, having ended, no longer. */
extern void ff_lane_wait(FfLane *lane, FfRun *run);
extern void ff_lane_give_up(FfRun *run);
/* A call of the lane is over and its answer handled: lets in who waits. The lane may be gone then.
 */
extern void ff_lane_move(FfLane *lane);
/* Each turn: calls that were given up have left room, too. */
extern void ff_lanes_turn(void);

/* --- call.c: the calls under way --- */

extern int ff_calls_in_flight(void);
/* Starts the call of an item that is due; there is room for it. May change the run. */
extern void ff_call_start(FfRun *run, FfItem *item, const struct FfFunction *function,
						  FfLane *lane);
/* Gives up the calls of a run that has ended. */
extern void ff_abandon(FfRun *run);
/* What libcurl has of a call: more of its answer, or its end. */
extern void ff_call_progress(struct FfHttpCall *call);
extern void ff_call_done(struct FfHttpCall *call);
/* Handles calls that could not even be started, and those whose answers waited for messages. */
extern void ff_calls_finish(void);
extern bool ff_calls_unhandled(void);

/* Shows a step somebody works on in flowforge.calls(); gives its place there, or -1. */
extern int	ff_call_publish(const FfRun *run, const FfItem *item);
extern void ff_call_unpublish(int place);

/* --- checkpoint.c: what an app reports by messages --- */

extern void ff_checkpoint_message(FfRun *run, Jsonb *payload, TimestampTz now);
/* Of a run that began in its app. */
extern void ff_report_message(FfRun *run, Jsonb *payload, TimestampTz now);

/* --- sql_dispatch.c: the statements under way in sql workers --- */

extern void ff_sql_init(void);
extern int	ff_sql_in_flight(void);
/* Whether an item's step is a sql worker's. */
extern bool ff_sql_runs(const FfItem *item);
/* Has a sql worker run an item's statement, or keeps the run waiting for room. May change the run.
 */
extern void ff_sql_start(FfRun *run, FfItem *item);
/* Gives up an item's statement: its run has ended. */
extern void ff_sql_abandon(FfItem *item);
/* Each turn, after the inbox has been read: notices what is over, and lets in who waits. */
extern void ff_sql_watch(void);

/* --- code.c: code under way in the sandbox --- */

extern void ff_code_init(void);
extern int	ff_code_in_flight(void);
/* Whether an item's step is code. */
extern bool ff_code_runs(const FfItem *item);
/* Has the sandbox run an item's code, or keeps the run waiting for room. */
extern void ff_code_start(FfRun *run, FfItem *item);
/* Gives up an item's code: its run has ended. */
extern void ff_code_abandon(FfItem *item);
/* Each turn: moves on what is under way, and lets in who waits. */
extern void ff_code_drive(void);

/* --- delta.c: what those who follow a run see while a call goes on --- */

/* A call of a step of the server's has brought more. */
extern void ff_news_note(struct FfHttpCall *call, const FfRun *run, const FfItem *item,
						 void *found);
/* A call is over: if it was answered, the rest is said. */
extern void ff_news_end(struct FfHttpCall *call, bool answered);

/* --- outside.c: calls that steps of the server's make (FF_STEP_CALL) --- */

/* Makes the call of an item's step; gives its address, the item with its secrets, and what has been
 * looked up for it, in the current context. NULL when it cannot be made: then the step has failed.
 */
extern char *ff_outside_request(struct FfHttpCall *call, FfRun *run, FfItem *item,
								const FfItem **opened, void **found);
extern void	 ff_outside_answer(struct FfAnswer *answer, const struct FfHttpCall *call,
							   const FfItem *item, const FfItem *opened, void *found,
							   TimestampTz now);

#endif

/*
 * Runs followed live: one event stream per run, all on one thread, printed as they come.
 */
#ifndef FF_FOLLOW_H
#define FF_FOLLOW_H

#include "cli/cli.h"

typedef struct FfFollow FfFollow;

/*
 * A server that goes away is waited for, 30 seconds. If it is not there when a run is to be
 * followed it is waited for only by the patient: those who have just heard of it.
 */
extern FfFollow *ff_follow_open(const FfServer *server, bool patient);
extern void		 ff_follow_close(FfFollow *follow);

/* Shows people all that has happened to the runs followed from now on; programs get snapshots. */
extern void ff_follow_whole(FfFollow *follow);

/* Begins to follow a run. False, and nothing is done, when it is followed already, was, or is
 * ignored. function may be NULL. */
extern bool ff_follow_run(FfFollow *follow, const char *run_id, const char *function);

/* Never follows this run. */
extern void ff_follow_ignore(FfFollow *follow, const char *run_id);

/* Forgets the runs that are over and whose ids sort before this one: they may be followed anew. */
extern void ff_follow_forget(FfFollow *follow, const char *before);

/* Prints what comes within `timeout_ms`. Gives how many runs are still being followed; none when
 * nobody reads what is printed. */
extern int ff_follow_turn(FfFollow *follow, int timeout_ms);

/*
 * The outcome so far: FF_EXIT_FAILED when a run failed, was cancelled or is unknown,
 * FF_EXIT_UNREACHABLE when the server stayed away too long.
 */
extern FfExit ff_follow_result(const FfFollow *follow);

/* How long a server that is away is waited for, in milliseconds. */
#define FF_FOLLOW_PATIENCE_MS 30000

#endif

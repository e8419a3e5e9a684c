/*
 * Runs followed live: one event stream per run, all on one thread, printed as they come.
 */
#ifndef FF_CLI_LIVE_H
#define FF_CLI_LIVE_H

#include "cli.h"

typedef struct FfLive FfLive;

/*
 * A server that goes away is waited for, 30 seconds. If it is not there when a run is to be
 * followed it is waited for only by the patient: those who have just heard of it.
 */
extern FfLive *ff_live_open(const FfServer *server, bool patient);
extern void	   ff_live_close(FfLive *live);

/* Shows people all that has happened to the runs followed from now on; programs get snapshots. */
extern void ff_live_show_whole(FfLive *live);

/* Begins to follow a run. False, and nothing is done, when it is followed already, was, or is
 * ignored. function may be NULL. */
extern bool ff_live_follow(FfLive *live, const char *run_id, const char *function);

/* Never follows this run. */
extern void ff_live_ignore(FfLive *live, const char *run_id);

/* Forgets the runs that are over and whose ids sort before this one: they may be followed anew. */
extern void ff_live_forget(FfLive *live, const char *before);

/* Prints what comes within `timeout_ms`. Gives how many runs are still being followed; none when
 * nobody reads what is printed. */
extern int ff_live_turn(FfLive *live, int timeout_ms);

/*
 * The outcome so far: FF_EXIT_FAILED when a run failed, was cancelled or is unknown,
 * FF_EXIT_UNREACHABLE when the server stayed away too long.
 */
extern FfExit ff_live_result(const FfLive *live);

/* How long a server that is away is waited for, in milliseconds. */
#define FF_LIVE_PATIENCE_MS 30000

#endif

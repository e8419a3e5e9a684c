/*
 * Runs followed live: one event stream per run, all on one thread, printed as they come.
 */
#ifndef FF_CLI_LIVE_H
#define FF_CLI_LIVE_H

#include "cli.h"

typedef struct FfLive FfLive;

extern FfLive *ff_live_open(const FfServer *server);
extern void	   ff_live_close(FfLive *live);

/* Begins to follow a run; one that is followed already, or was, is left alone. function may be
 * NULL. */
extern void ff_live_follow(FfLive *live, const char *run_id, const char *function);

/* Never follows this run. */
extern void ff_live_ignore(FfLive *live, const char *run_id);

/* Prints what comes within `timeout_ms`. Gives how many runs are still being followed. */
extern int ff_live_turn(FfLive *live, int timeout_ms);

/*
 * The outcome so far: FF_EXIT_FAILED when a run failed, was cancelled or is unknown,
 * FF_EXIT_UNREACHABLE when the server stayed away for 30 seconds.
 */
extern FfExit ff_live_result(const FfLive *live);

#endif

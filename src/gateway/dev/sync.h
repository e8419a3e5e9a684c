/*
 * Keeps the apps of `flowforge dev` registered. Runs in a process of its own.
 */
#ifndef FF_SYNC_H
#define FF_SYNC_H

#include "cli/cli.h"

/*
 * Registers every app as soon as it answers and again whenever it was restarted or changed, and
 * prints what changes; never returns. Writes one byte to `told` when all have registered for the
 * first time.
 */
extern void ff_sync_apps(const FfServer *server, const FfList *urls, int told)
	__attribute__((noreturn));

#endif

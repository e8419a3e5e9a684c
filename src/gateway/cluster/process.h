/*
 * The server programs of a private cluster as processes.
 */
#ifndef FF_CLUSTER_PROCESS_H
#define FF_CLUSTER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "cluster/cluster.h"

/* Starts a server program as the cluster's user, in its own process group, with its output at the
 * end of a log file. Gives -1 when there is no process to be had. */
extern pid_t ff_process_start(const FfCluster *cluster, char **argv, const char *log, int input);

/* Runs one to its end, with a text as its input. */
extern bool ff_process_run(const FfCluster *cluster, char **argv, const char *input);

/* Shows the last lines of a log file, which say why something failed. */
extern void ff_process_show_log(const FfCluster *cluster, const char *log);

/*
 * An earlier start may have been killed. Its postmaster, if it is still there, is stopped, and
 * backends that lost theirs are awaited: none may be left when a new one starts. Only then is a
 * file of a dead postmaster removed, and only if its number has become another process's, which
 * PostgreSQL would take for a running server.
 */
extern bool ff_process_clean_up(const FfCluster *cluster);

#endif

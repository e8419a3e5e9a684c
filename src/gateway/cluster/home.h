/*
 * Whose the private cluster is, and where: its user, its directory and the lock on it.
 */
#ifndef FF_CLUSTER_HOME_H
#define FF_CLUSTER_HOME_H

#include <stdbool.h>
#include <sys/types.h>

#include "cluster/cluster.h"

/* Finds the user and the directory the user named, takes the lock, and makes the directories of the
 * socket and the logs. */
extern bool ff_home_take(FfCluster *cluster);

/* Makes a directory, and those above it, that belongs to the server's user. */
extern bool ff_home_directory(const FfCluster *cluster, const char *path, mode_t mode);

/* In a child: gives up root for good if the cluster has a user of its own. Ends the child when that
 * fails. */
extern void ff_home_become_user(const FfCluster *cluster);

#endif

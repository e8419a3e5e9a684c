/*
 * What the server of a private cluster needs of us: written anew at every start into
 * data/flowforge.conf, which postgresql.conf includes; everything else in postgresql.conf is the
 * user's.
 */
#ifndef FF_CLUSTER_CONF_H
#define FF_CLUSTER_CONF_H

#include <stdbool.h>

#include "cluster/cluster.h"

/* Finds a port: that of the last start if it is free, so that connection URLs stay good; else the
 * first free one. */
extern bool ff_conf_find_port(FfCluster *cluster);

/* Writes the settings, with the keys that belong to them. The keys: see ff_cluster_start. */
extern bool ff_conf_write(const FfCluster *cluster, const char *signing_key, const char *event_key);

#endif

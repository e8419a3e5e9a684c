/*
 * The keys of a private cluster, so that people can sign in, secrets are kept sealed and the audit
 * log is sealed without anything to set up: keys/jwt, keys/secret and keys/audit in its directory,
 * 64 hexadecimal digits each, made once and readable by the server's user only.
 */
#ifndef FF_CLUSTER_KEYS_H
#define FF_CLUSTER_KEYS_H

#include "cluster/cluster.h"

/* The keys there are; each to be freed by ff_cluster_keys_free. */
typedef struct FfClusterKeys
{
	char *jwt;	  /* flowforge.jwt_secret itself */
	char *secret; /* path for flowforge.secret_key_file */
	char *audit;  /* path for flowforge.audit_key_file */
} FfClusterKeys;

/* Makes the keys that are missing. False, with errno, when that fails. */
extern bool ff_cluster_keys(const FfCluster *cluster, FfClusterKeys *keys);
extern void ff_cluster_keys_free(FfClusterKeys *keys);

#endif

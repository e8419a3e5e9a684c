/*
 * The private PostgreSQL cluster of `flowforge dev`: one directory, one postmaster, an unprivileged
 * user.
 *
 * The directory (usually .flowforge) holds data/, run/ (the socket), log/, keys/, lock, env.
 * Whoever holds the lock owns the cluster. The postmaster is a child of this process and stops
 * (fast shutdown) when it dies, however it dies. All functions that give false have told the user
 * why.
 */
#ifndef FF_CLUSTER_H
#define FF_CLUSTER_H

#include <stdbool.h>
#include <sys/types.h>

/* The superuser of the database, and whom the server runs as when root starts it. */
#define FF_CLUSTER_USER "postgres"

typedef struct FfCluster
{
	char *shown; /* the directory as the user named it */
	char *home;	 /* the same, absolute and free of symbolic links */
	char *data;
	char *socket;	   /* directory of the socket */
	char *log;		   /* directory of the logs */
	char *binaries;	   /* directory of initdb and postgres */
	char  version[32]; /* of the server binaries, "15.20" */
	char  user[64];	   /* whom the server processes run as */
	uid_t uid;
	gid_t gid;
	int	  port;		  /* of the socket and on 127.0.0.1 */
	char *allowed;	  /* what steps may call beside public addresses; NULL: nothing */
	char *public_url; /* what links for browsers begin with; NULL: nothing */
	int	  lock;		  /* file descriptor that holds the lock */
	bool  fresh;	  /* made by this start */
	pid_t postmaster; /* 0: not running */
} FfCluster;

/* Finds programs, user and directory, and takes the lock. Where the user could not enter the
 * directory it becomes a symbolic link. */
extern bool ff_cluster_open(FfCluster *cluster, const char *directory);

/* Makes the data directory with the database `flowforge` in it, unless it is there. All or nothing.
 */
extern bool ff_cluster_create(FfCluster *cluster);

/*
 * Writes the configuration and starts the postmaster, cleaning up after one that crashed; returns
 * when it takes connections. With a signing key (else NULL) calls are signed, and only events with
 * the event key are taken.
 */
extern bool ff_cluster_start(FfCluster *cluster, const char *signing_key, const char *event_key);

/* Stops the postmaster (fast; at once when `hurry` gives true) and waits until it is gone. */
extern void ff_cluster_stop(FfCluster *cluster, bool (*hurry)(void));

/* Gives the lock back. */
extern void ff_cluster_close(FfCluster *cluster);

/* A connection URL: over TCP for people, over the socket for our own processes. To be freed. */
extern char *ff_cluster_url(const FfCluster *cluster);
extern char *ff_cluster_socket_url(const FfCluster *cluster, const char *role);

#endif

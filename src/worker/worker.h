/*
 * worker.h - the background workers and the hooks that keep them out of the way of DDL.
 */
#ifndef FF_WORKER_H
#define FF_WORKER_H

#include "postgres.h"

extern char *ff_databases;		  /* comma-separated names */
extern int	 ff_partitions_ahead; /* days */
extern int	 ff_retention;		  /* days; 0 keeps everything */
extern bool	 ff_restoring;

/* Registers the launcher; while the library is preloaded. */
extern void ff_worker_register(void);

/* Installs the utility hook (utility.c). */
extern void ff_utility_init(void);

/* Stops a database's executors and keeps them stopped, or lets the launcher start them again. Waits
 * at most some seconds. */
extern void ff_workers_stop(Oid database);
extern void ff_workers_release(Oid database);

/* Entry points, by name. */
extern PGDLLEXPORT void ff_launcher_main(Datum arg);
extern PGDLLEXPORT void ff_executor_main(Datum arg);
extern PGDLLEXPORT void ff_sql_worker_main(Datum arg);

#endif

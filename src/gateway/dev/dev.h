/*
 * What the parts of `flowforge dev` share: what it has started, and how far it has come (dev.c).
 *
 * Functions that give false have told the user why, or were asked to stop.
 */
#ifndef FF_DEV_H
#define FF_DEV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "cli/cli.h"
#include "cluster/cluster.h"
#include "dev/child.h"

typedef enum FfDevPhase
{
	FF_DEV_APPS,	/* apps are being awaited */
	FF_DEV_DEMO,	/* the demonstration runs */
	FF_DEV_SERVING, /* the box is on the screen */
	FF_DEV_STOPPING
} FfDevPhase;

typedef struct FfDev
{
	FfServer	server;
	FfConfig	config; /* of the gateway; its port and database are put in when it starts */
	FfList		apps;
	FfList		command;
	const char *demo_command;
	const char *next; /* what to look at next; NULL: nothing */
	const char *directory;
	int			port;
	bool		has_cluster;
	FfCluster	cluster;
	char	   *gateway_database; /* the connection string the gateway uses */
	char	   *program;		  /* this program, for people and for children */
	FfChild		gateway;
	FfChild		sync;
	FfChild		app;
	FfChild		demo;
	int			signals;	/* descriptor of our signals */
	int			apps_told;	/* readable once all apps have registered */
	int			app_output; /* -1: closed */
	int			app_log;	/* -1: none */
	char		app_line[1000];
	size_t		app_length;
	FfDevPhase	phase;
	int64_t		deadline; /* of the phase, steady clock */
	FfExit		result;
} FfDev;

/* ---- what children and others find: environment.c ---- */

/* How this program is called: its bare name when the PATH leads to it, else its whole path. To be
 * freed. */
extern char *ff_dev_program(void);

/* Sets what children find in their environment. */
extern void ff_dev_set_environment(const FfDev *dev);

/* Opens a log file in the directory for them; -1 when we have none. */
extern int ff_dev_open_log(const FfDev *dev, const char *name);

/* Leaves word of where we listen for the other commands (cli/cli.h), and takes it back. */
extern void ff_dev_leave_word(const FfDev *dev);
extern void ff_dev_take_word_back(const FfDev *dev);

/* ---- what is started: database.c, children.c ---- */

/* Starts the private cluster, unless another database was named, and makes the extension in it. */
extern bool ff_dev_prepare_database(FfDev *dev);

/* Starts the gateway; the first time until it listens and the database is ready for it. */
extern bool ff_dev_start_gateway(FfDev *dev);
extern bool ff_dev_prepare_gateway(FfDev *dev);

extern bool ff_dev_start_sync(FfDev *dev);
extern bool ff_dev_start_app(FfDev *dev);
extern void ff_dev_start_demo(FfDev *dev);

/* Takes what the app has put out, a line at a time: to its log, and to the screen unless the
 * demonstration is being watched there. */
extern void ff_dev_read_app(FfDev *dev);

/* ---- the screen: box.c ---- */

/* Prints where things are and what to try. */
extern void ff_dev_print_box(const FfDev *dev);

/* ---- the life: supervise.c ---- */

extern void ff_dev_take_signals(FfDev *dev);

/* Whether a signal has come that ends us. */
extern bool ff_dev_stop_asked(void);

/* Those that have come are heeded already. */
extern void ff_dev_forget_signals(FfDev *dev);

/* Waits for the apps, runs the demonstration, serves, until something says stop. */
extern void ff_dev_supervise(FfDev *dev);

/* Waits for the children to end in the opposite order of their start; after a second signal ends
 * them at once. */
extern void ff_dev_stop(FfDev *dev);

#endif

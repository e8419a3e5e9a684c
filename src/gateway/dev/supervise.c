/*
 * The supervisor of `flowforge dev` (see dev.c): signals, and what follows from the end of a child,
 * in each phase.
 */
#define _GNU_SOURCE
#include "dev/dev.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/database.h"
#include "cli/term.h"

#define APPS_TIMEOUT_MS 60000
#define APPS_PATIENCE_MS 3000
#define FUNCTIONS_PATIENCE_MS 6000
#define LOOK_MS 200
#define STOP_TIMEOUT_MS 10000

/* ---- signals ---- */

void
ff_dev_take_signals(FfDev *dev)
{
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGHUP);
	sigaddset(&ours, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	dev->signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool
ff_dev_stop_asked(void)
{
	sigset_t pending;

	sigpending(&pending);
	return sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1 ||
		   sigismember(&pending, SIGHUP) == 1;
}

void
ff_dev_forget_signals(FfDev *dev)
{
	struct signalfd_siginfo info;

	while (read(dev->signals, &info, sizeof(info)) == sizeof(info))
		;
}

/* ---- the phases ---- */

static void
enter_serving(FfDev *dev)
{
	dev->phase = FF_DEV_SERVING;
	dev->deadline = INT64_MAX;
	ff_dev_print_box(dev);
}

/* The apps have registered, or were awaited long enough. */
static void
leave_apps(FfDev *dev, bool registered)
{
	if (dev->demo_command == NULL)
		enter_serving(dev);
	else if (registered)
	{
		dev->phase = FF_DEV_DEMO;
		dev->deadline = INT64_MAX;
		ff_dev_start_demo(dev);
	}
	else
	{
		ff_term_warn("app", "did not register in time; the demonstration is left out");
		enter_serving(dev);
	}
}

/* An app without a URL registers by itself: then the box, which names one of its events, waits for
 * it. */
static bool
awaits_functions(const FfDev *dev)
{
	return dev->apps.count == 0 && dev->demo_command == NULL && dev->app.pid > 0;
}

static void
enter_apps(FfDev *dev)
{
	dev->phase = FF_DEV_APPS;
	dev->deadline = ff_steady_clock() + (dev->demo_command != NULL ? APPS_TIMEOUT_MS
										 : dev->apps.count > 0	   ? APPS_PATIENCE_MS
																   : FUNCTIONS_PATIENCE_MS);
	if (dev->apps.count == 0 && !awaits_functions(dev))
		leave_apps(dev, true);
}

static void
look_for_functions(FfDev *dev)
{
	PGconn *connection = ff_database_connect(dev->server.database_url);
	char   *known = ff_database_value(connection, "select 1 from flowforge.trigger limit 1", NULL);

	if (known != NULL || !awaits_functions(dev))
		leave_apps(dev, true);
	PQfinish(connection);
	free(known);
}

static void
stop(FfDev *dev, FfExit result)
{
	dev->phase = FF_DEV_STOPPING;
	dev->result = result;
}

/* "ended with exit code 1" or "was killed by signal 9". In a buffer of 48 bytes. */
static const char *
status_text(char buffer[48], int status)
{
	if (WIFSIGNALED(status))
		snprintf(buffer, 48, "was ended by signal %d", WTERMSIG(status));
	else
		snprintf(buffer, 48, "ended with exit code %d", WEXITSTATUS(status));
	return buffer;
}

static void
restart_cluster(FfDev *dev, const char *how)
{
	char *what = ff_text("%s; it is started again", how);

	ff_term_warn("PostgreSQL", what);
	free(what);
	dev->cluster.postmaster = 0;
	if (ff_cluster_start(&dev->cluster, dev->server.signing_key, dev->server.event_key))
		ff_term_done("PostgreSQL", "is back; the runs go on");
	else
		stop(dev, FF_EXIT_FAILED);
}

static void
restart_gateway(FfDev *dev, const char *how)
{
	bool  hopeless = ff_child_ended(&dev->gateway);
	char *what = ff_text("%s; %s", how, hopeless ? "once too often" : "it is started again");

	ff_term_warn("gateway", what);
	free(what);
	if (hopeless || !ff_dev_start_gateway(dev))
		stop(dev, FF_EXIT_FAILED);
}

/* A child has ended. */
static void
handle_end(FfDev *dev, pid_t pid, int status)
{
	char how[48];

	status_text(how, status);
	if (dev->has_cluster && pid == dev->cluster.postmaster)
		restart_cluster(dev, how);
	else if (pid == dev->gateway.pid)
		restart_gateway(dev, how);
	else if (pid == dev->sync.pid)
	{
		dev->sync.pid = 0;
		if (dev->apps_told >= 0)
			close(dev->apps_told);
		dev->apps_told = -1;
		if (!ff_child_ended(&dev->sync))
			ff_dev_start_sync(dev);
	}
	else if (pid == dev->app.pid)
	{
		dev->app.pid = 0;
		ff_term_warn("app", how);
	}
	else if (pid == dev->demo.pid)
	{
		dev->demo.pid = 0;
		if (status != 0)
			ff_term_warn("demonstration", how);
		enter_serving(dev);
	}
}

static void
handle_signal(FfDev *dev)
{
	struct signalfd_siginfo info;
	pid_t					pid;
	int						status;

	if (read(dev->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGCHLD)
	{
		stop(dev, FF_EXIT_DONE);
		return;
	}
	while (dev->phase != FF_DEV_STOPPING && (pid = waitpid(-1, &status, WNOHANG)) > 0)
		handle_end(dev, pid, status);
}

void
ff_dev_supervise(FfDev *dev)
{
	enter_apps(dev);
	while (dev->phase != FF_DEV_STOPPING)
	{
		struct pollfd waits[] = {
			{dev->signals, POLLIN, 0},
			{dev->app_output, POLLIN, 0},
			{dev->phase == FF_DEV_APPS ? dev->apps_told : -1, POLLIN, 0},
		};
		bool	looking = dev->phase == FF_DEV_APPS && dev->apps.count == 0;
		int64_t left = dev->deadline - ff_steady_clock();
		char	byte;

		if (looking && left > LOOK_MS)
			left = LOOK_MS;
		poll(waits, 3, dev->deadline == INT64_MAX ? -1 : left > 0 ? (int) left : 0);
		if (waits[1].revents != 0)
			ff_dev_read_app(dev);
		if (waits[0].revents != 0)
			handle_signal(dev);
		else if (waits[2].revents != 0 && read(dev->apps_told, &byte, 1) == 1)
			leave_apps(dev, true);
		else if (dev->phase == FF_DEV_APPS && ff_steady_clock() >= dev->deadline)
			leave_apps(dev, false);
		else if (looking)
			look_for_functions(dev);
	}
}

void
ff_dev_stop(FfDev *dev)
{
	int64_t deadline = ff_steady_clock() + STOP_TIMEOUT_MS;

	if (dev->has_cluster && dev->cluster.home != NULL && dev->cluster.lock >= 0)
		ff_dev_take_word_back(dev);
	if (dev->cluster.postmaster > 0 || dev->gateway.pid > 0)
	{
		printf("\n  %sstopping%s\n", ff_style(FF_STYLE_DIM), ff_style(FF_STYLE_END));
		fflush(stdout);
	}
	ff_child_signal(&dev->demo, SIGTERM);
	ff_child_signal(&dev->sync, SIGTERM);
	ff_child_signal(&dev->app, SIGTERM);
	ff_child_signal(&dev->gateway, SIGTERM);
	ff_child_wait(&dev->demo, deadline, ff_dev_stop_asked);
	ff_child_wait(&dev->sync, deadline, ff_dev_stop_asked);
	ff_child_wait(&dev->app, deadline, ff_dev_stop_asked);
	ff_child_wait(&dev->gateway, deadline, ff_dev_stop_asked);
	if (dev->has_cluster && dev->cluster.postmaster > 0)
	{
		ff_cluster_stop(&dev->cluster, ff_dev_stop_asked);
		ff_term_done("stopped", NULL);
	}
	if (dev->has_cluster)
		ff_cluster_close(&dev->cluster);
}

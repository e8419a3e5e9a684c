/*
 * What `flowforge dev` starts beside the database: the gateway, the registrar of apps, the app, the
 * demonstration.
 */
#define _GNU_SOURCE
#include "dev/dev.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/http.h"
#include "cli/term.h"
#include "cluster/home.h"
#include "dev/sync.h"
#include "serve/serve.h"

#define READY_TIMEOUT_MS 30000
#define TURN_MS 50

/* ---- the gateway ---- */

bool
ff_dev_start_gateway(FfDev *dev)
{
	pid_t pid = ff_child_fork(&dev->gateway);

	if (pid == 0)
	{
		FfConfig config = dev->config;
		int		 log;

		if (dev->has_cluster)
		{
			ff_home_become_user(&dev->cluster);
			prctl(PR_SET_PDEATHSIG, SIGTERM);
		}
		log = ff_dev_open_log(dev, "gateway.log");
		if (log >= 0)
		{
			dup2(log, STDOUT_FILENO);
			dup2(log, STDERR_FILENO);
		}
		config.port = dev->port;
		config.database_url = dev->gateway_database;
		config.ready_fd = -1;
		_exit(ff_serve(&config));
	}
	return pid > 0;
}

/* Waits for 200 from a path of the gateway. False when the gateway ended, time is up or a signal
 * came. */
static bool
await_gateway(FfDev *dev, const char *path)
{
	char	 *url = ff_text("%s%s", dev->server.url, path);
	FfRequest request = {.url = url, .timeout_ms = 2000};
	int64_t	  deadline = ff_steady_clock() + READY_TIMEOUT_MS;
	bool	  ready = false;

	while (!ready && ff_steady_clock() < deadline && !ff_dev_stop_asked())
	{
		FfReply reply;

		if (waitpid(dev->gateway.pid, NULL, WNOHANG) == dev->gateway.pid)
		{
			dev->gateway.pid = 0;
			break;
		}
		ready = ff_http(&request, &reply) && reply.status == 200;
		ff_reply_free(&reply);
		if (!ready)
			poll(NULL, 0, TURN_MS);
	}
	free(url);
	return ready;
}

bool
ff_dev_prepare_gateway(FfDev *dev)
{
	bool listening = ff_dev_start_gateway(dev) && await_gateway(dev, "/health");

	if (listening)
		ff_term_done("gateway", dev->server.url);
	if (listening && await_gateway(dev, "/ready"))
		return true;
	if (ff_dev_stop_asked())
		return false;
	if (!listening)
		ff_complain(NULL, "the gateway does not start; %s/log/gateway.log says why",
					dev->directory);
	else
		ff_complain("`flowforge doctor` finds out more",
					"the executors do not become ready; %s/log/postgres.log says why",
					dev->directory);
	return listening;
}

/* ---- the app, its registration, the demonstration ---- */

bool
ff_dev_start_sync(FfDev *dev)
{
	int ends[2];

	if (dev->apps.count == 0 || pipe2(ends, O_CLOEXEC) != 0)
		return dev->apps.count == 0;
	if (ff_child_fork(&dev->sync) == 0)
		ff_sync_apps(&dev->server, &dev->apps, ends[1]);
	close(ends[1]);
	dev->apps_told = ends[0];
	return dev->sync.pid > 0;
}

bool
ff_dev_start_app(FfDev *dev)
{
	int ends[2];

	if (dev->command.count == 0 || pipe2(ends, O_CLOEXEC) != 0)
		return dev->command.count == 0;
	if (ff_child_fork(&dev->app) == 0)
	{
		const char **argv = ff_alloc(sizeof(char *) * (size_t) (dev->command.count + 1));
		int			 null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		memcpy(argv, dev->command.item, sizeof(char *) * (size_t) dev->command.count);
		dup2(null, STDIN_FILENO);
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		signal(SIGPIPE, SIG_DFL);
		execvp(argv[0], (char **) argv);
		dprintf(STDERR_FILENO, "cannot run %s: %s\n", argv[0], strerror(errno));
		_exit(FF_EXIT_FAILED);
	}
	close(ends[1]);
	dev->app_output = ends[0];
	dev->app_log = ff_dev_open_log(dev, "app.log");
	return dev->app.pid > 0;
}

void
ff_dev_start_demo(FfDev *dev)
{
	printf("\n  %s$ %s%s\n", ff_style(FF_STYLE_DIM), dev->demo_command, ff_style(FF_STYLE_END));
	fflush(stdout);
	if (ff_child_fork(&dev->demo) == 0)
	{
		signal(SIGPIPE, SIG_DFL);
		execl("/bin/sh", "sh", "-c", dev->demo_command, (char *) NULL);
		_exit(FF_EXIT_FAILED);
	}
}

/* A line of the app's output: to its log, and to the screen unless the demonstration is being
 * watched there. */
static void
print_app_line(FfDev *dev)
{
	dev->app_line[dev->app_length] = '\0';
	dev->app_length = 0;
	if (dev->app_log >= 0)
		dprintf(dev->app_log, "%s\n", dev->app_line);
	if (dev->app_log >= 0 && dev->phase == FF_DEV_DEMO)
		return;
	printf("  %sapp │ %s%s\n", ff_style(FF_STYLE_DIM), dev->app_line, ff_style(FF_STYLE_END));
	fflush(stdout);
}

void
ff_dev_read_app(FfDev *dev)
{
	char	bytes[4096];
	ssize_t length = read(dev->app_output, bytes, sizeof(bytes));

	for (ssize_t at = 0; at < length; at++)
	{
		if (bytes[at] == '\n' || dev->app_length == sizeof(dev->app_line) - 1)
			print_app_line(dev);
		if (bytes[at] != '\n' && bytes[at] != '\r')
			dev->app_line[dev->app_length++] = bytes[at];
	}
	if (length > 0)
		return;
	if (dev->app_length > 0)
		print_app_line(dev);
	close(dev->app_output);
	dev->app_output = -1;
}

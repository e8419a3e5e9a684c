/*
 * flowforge dev: a private database, the gateway and the user's app under one roof.
 *
 * One supervisor, this process, owns the children: the postmaster (cluster/), the gateway, the
 * registrar of apps (sync.c), the app and the demonstration. It starts them in that order, each
 * when the one before is ready, then waits for signals and the app's output. A database or gateway
 * that dies is started again. SIGINT, SIGTERM or SIGHUP stop all in the opposite order; a second
 * one stops waiting for them. The life is a line of phases, and only moves forward.
 */
#define _GNU_SOURCE
#include "dev/dev.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/port.h"
#include "serve/web.h"

static bool
check_port(const FfDev *dev)
{
	char *hint;

	if (ff_port_taken(dev->port) != EADDRINUSE)
		return true;
	hint = ff_text("stop what listens there, or take another port: flowforge dev -p %d",
				   dev->port + 1);
	ff_complain(hint, "port %d is in use", dev->port);
	free(hint);
	return false;
}

static FfExit
develop(FfDev *dev)
{
	ff_dev_take_signals(dev);
	dev->apps_told = -1;
	dev->app_output = -1;
	dev->app_log = -1;
	dev->result = FF_EXIT_FAILED;
	dev->program = ff_dev_program();
	putchar('\n');
	if (ff_dev_prepare_database(dev) && ff_dev_prepare_gateway(dev))
	{
		ff_dev_set_environment(dev);
		if (dev->has_cluster)
			ff_dev_leave_word(dev);
		if (ff_dev_start_app(dev) && ff_dev_start_sync(dev))
			ff_dev_supervise(dev);
	}
	else if (ff_dev_stop_asked())
	{
		dev->result = FF_EXIT_DONE;
		ff_dev_forget_signals(dev);
	}
	ff_dev_stop(dev);
	return dev->result;
}

FfExit
ff_command_dev(int argc, char **argv)
{
	FfDev		   dev = {.directory = FF_DEV_DIRECTORY, .config.deadlines = FF_DEADLINES};
	FfWeb		   web = {0};
	FfList		   words = {0};
	const char	  *port = NULL;
	const FfOption options[] = {
		{'p', "port", "PORT", "where the gateway listens (8288)", &port, NULL, NULL},
		{'u', "app", "URL", "an app to register and keep registered; may be repeated", NULL, NULL,
		 &dev.apps},
		{0, "db", "URL", "use this database instead of a private one", &dev.server.database_url,
		 NULL, NULL},
		{0, "persist", "DIR", "where the private database is kept (" FF_DEV_DIRECTORY ")",
		 &dev.directory, NULL, NULL},
		{0, "demo", "COMMAND", "a shell command to run once the apps are registered",
		 &dev.demo_command, NULL, NULL},
		{0, "next", "TEXT", "a line to end with: what to look at next", &dev.next, NULL, NULL},
		{0, "event-key", "KEY", "the event key (FLOWFORGE_EVENT_KEY)", &dev.server.event_key, NULL,
		 NULL},
		{0, "signing-key", "KEY", "sign calls to apps with this key (FLOWFORGE_SIGNING_KEY)",
		 &dev.server.signing_key, NULL, NULL},
		FF_WEB_OPTIONS(web),
		{0}};
	const FfUsage usage = {
		"[-p PORT] [-u APP_URL]... [-- APP COMMAND]",
		"Starts a private PostgreSQL with FlowForge in it, the gateway, and your app if its command is given.",
		options};
	FfParse parse = ff_options(argc, argv, &usage, &words, &dev.command);

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count > 0)
		return ff_misused("dev", "unexpected %s; the app's command goes after --", words.item[0]);
	dev.port = FF_DEFAULT_PORT;
	if (port != NULL && !ff_whole_number(port, 1, 65535, &dev.port))
		return ff_misused("dev", "%s is no port", port);
	if (!ff_web_settle("dev", &web, &dev.config))
		return FF_EXIT_USAGE;
	if (dev.server.event_key == NULL)
		dev.server.event_key =
			getenv("FLOWFORGE_EVENT_KEY") != NULL ? getenv("FLOWFORGE_EVENT_KEY") : "dev";
	if (dev.server.signing_key == NULL)
		dev.server.signing_key = getenv("FLOWFORGE_SIGNING_KEY");
	dev.server.url = ff_text("http://127.0.0.1:%d", dev.port);
	if (!check_port(&dev))
		return FF_EXIT_FAILED;
	return develop(&dev);
}

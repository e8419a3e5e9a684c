/*
 * flowforge dev: a private database, the gateway and the user's app under one roof.
 *
 * One supervisor, this process, owns the children: the postmaster (cluster.c), the gateway, the
 * registrar of apps (cli_sync.c), the app and the demonstration. It starts them in that order, each
 * when the one before is ready, then waits for signals and the app's output. A database or gateway
 * that dies is started again. SIGINT, SIGTERM or SIGHUP stop all in the opposite order; a second
 * one stops waiting for them. The life is a line of phases, and only moves forward.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "cli_child.h"
#include "cli_database.h"
#include "cli_http.h"
#include "cli_sync.h"
#include "cli_web.h"
#include "cluster.h"
#include "serve.h"
#include "term.h"

#define READY_TIMEOUT_MS 30000
#define APPS_TIMEOUT_MS 60000
#define APPS_PATIENCE_MS 3000
#define FUNCTIONS_PATIENCE_MS 6000
#define STOP_TIMEOUT_MS 10000
#define TURN_MS 50
#define LOOK_MS 200
#define SCRIPT_LIMIT (16 * 1024 * 1024)
#define DEFAULT_EVENT "test/hello"

typedef enum Phase
{
	PHASE_APPS,	   /* apps are being awaited */
	PHASE_DEMO,	   /* the demonstration runs */
	PHASE_SERVING, /* the box is on the screen */
	PHASE_STOPPING
} Phase;

typedef struct Dev
{
	FfServer	server;
	FfConfig	config; /* of the gateway; its port and database are put in when it starts */
	FfList		apps;
	FfList		command;
	const char *demo_command;
	const char *next;
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
	Phase		phase;
	int64_t		deadline; /* of the phase, steady clock */
	FfExit		result;
} Dev;

/* ---- before the start ---- */

static bool
port_is_free(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	int				   sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int				   one = 1;
	bool			   in_use;

	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	in_use = bind(sock, (struct sockaddr *) &address, sizeof(address)) != 0 && errno == EADDRINUSE;
	close(sock);
	return !in_use;
}

static bool
check_port(const Dev *dev)
{
	char *hint;

	if (port_is_free(dev->port))
		return true;
	hint = ff_text("stop what listens there, or take another port: flowforge dev -p %d",
				   dev->port + 1);
	ff_complain(hint, "port %d is in use", dev->port);
	free(hint);
	return false;
}

/* How this program is called: its bare name when the PATH leads to it, else its whole path. */
static char *
program_name(void)
{
	char	self[PATH_MAX] = "";
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char   *path = ff_text("%s", getenv("PATH") != NULL ? getenv("PATH") : "");
	char   *found = NULL;

	self[length > 0 ? length : 0] = '\0';
	for (char *directory = strtok(path, ":"); directory != NULL && found == NULL;
		 directory = strtok(NULL, ":"))
	{
		char *candidate = ff_text("%s/flowforge", directory);

		found = realpath(candidate, NULL);
		free(candidate);
	}
	free(path);
	if (found != NULL && strcmp(found, self) == 0)
		return ff_text("flowforge");
	return ff_text("%s", self);
}

/* What children find in their environment. */
static void
set_environment(const Dev *dev)
{
	char   *local = ff_text("http://localhost:%d", dev->port);
	char	self[PATH_MAX] = "";
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char   *slash;

	setenv("FLOWFORGE_URL", dev->server.url, 1);
	setenv("FLOWFORGE_DATABASE_URL", dev->server.database_url, 1);
	setenv("FLOWFORGE_EVENT_KEY", dev->server.event_key, 1);
	if (dev->server.signing_key != NULL)
	{
		setenv("FLOWFORGE_SIGNING_KEY", dev->server.signing_key, 1);
		setenv("INNGEST_BASE_URL", local, 1);
		setenv("INNGEST_EVENT_KEY", dev->server.event_key, 1);
		setenv("INNGEST_SIGNING_KEY", dev->server.signing_key, 1);
	}
	else
		setenv("INNGEST_DEV", local, 1);
	self[length > 0 ? length : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash != NULL && dev->program[0] == '/')
	{
		char *path;

		*slash = '\0';
		path = ff_text("%s:%s", self, getenv("PATH") != NULL ? getenv("PATH") : "/usr/bin:/bin");
		setenv("PATH", path, 1);
		free(path);
	}
	free(local);
}

/* A signal has come that ends us. */
static bool
stop_asked(void)
{
	sigset_t pending;

	sigpending(&pending);
	return sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1 ||
		   sigismember(&pending, SIGHUP) == 1;
}

/* ---- the database ---- */

/* The host and port of a URL of this machine; NULL when it is of another. To be freed. */
static char *
local_origin(const char *url)
{
	const char *host = strstr(url, "://");
	const char *after;
	int			length;
	char	   *origin;

	host = host != NULL ? host + 3 : url;
	length = (int) strcspn(host, "/?#");
	if (strncmp(host, "localhost", 9) != 0 && strncmp(host, "127.", 4) != 0 &&
		strncmp(host, "[::1]", 5) != 0)
		return NULL;
	origin = ff_text("%.*s", length, host);
	after = strrchr(origin, ']');
	if (strchr(after != NULL ? after : origin, ':') == NULL)
	{
		char *with_port = ff_text("%s:%d", origin, strncmp(url, "https", 5) == 0 ? 443 : 80);

		free(origin);
		origin = with_port;
	}
	return origin;
}

/* What steps may call on this machine: this server and the apps that were named, at their very
 * ports. To be freed. */
static char *
local_callees(const Dev *dev)
{
	char *allowed = ff_text("localhost:%d, 127.0.0.1:%d", dev->port, dev->port);

	for (int at = 0; at < dev->apps.count; at++)
	{
		char *origin = local_origin(dev->apps.item[at]);
		char *longer = origin != NULL ? ff_text("%s, %s", allowed, origin) : NULL;

		if (longer != NULL)
		{
			free(allowed);
			allowed = longer;
		}
		free(origin);
	}
	return allowed;
}

static bool
start_cluster(Dev *dev)
{
	int64_t begun = ff_steady_clock();
	char	duration[32];
	char   *detail;

	dev->has_cluster = true;
	if (!ff_cluster_open(&dev->cluster, dev->directory))
		return false;
	if (!ff_cluster_create(&dev->cluster) || stop_asked())
		return false;
	dev->cluster.allowed = local_callees(dev);
	dev->cluster.public_url = ff_text("http://localhost:%d", dev->port);
	if (!ff_cluster_start(&dev->cluster, dev->server.signing_key, dev->server.event_key))
		return false;
	dev->server.database_url = ff_cluster_url(&dev->cluster);
	dev->gateway_database = ff_cluster_socket_url(&dev->cluster, "flowforge_gateway");
	detail = ff_text("%s in %s%s · %s", dev->cluster.version, dev->cluster.shown,
					 dev->cluster.fresh ? " (new)" : "",
					 ff_term_duration(duration, (double) (ff_steady_clock() - begun)));
	ff_term_done("PostgreSQL", detail);
	free(detail);
	return true;
}

/*
 * The extension's script may have been rebuilt, with the same version, since the extension was
 * created from it: while FlowForge itself is being worked on. Tells so, for tables and functions
 * are then not what the module expects.
 */
static void
check_script(Dev *dev, PGconn *connection)
{
	char *directory = ff_database_value(
		connection, "select setting from pg_config where name = 'SHAREDIR'", NULL);
	char *path =
		ff_text("%s/extension/flowforge--" FF_VERSION ".sql", directory != NULL ? directory : "");
	char *script = ff_read_file(path, SCRIPT_LIMIT);
	char *note = ff_text("%s/script", dev->cluster.home);
	char *before = ff_read_file(note, SCRIPT_LIMIT);

	if (script != NULL && before != NULL && strcmp(script, before) != 0)
	{
		char *what =
			ff_text("was rebuilt since %s was made; if it misbehaves, remove %s and start again",
					dev->cluster.shown, dev->cluster.shown);

		ff_term_warn("flowforge", what);
		free(what);
	}
	else if (script != NULL && before == NULL)
	{
		FILE *file = fopen(note, "we");

		if (file != NULL)
		{
			fputs(script, file);
			fclose(file);
		}
	}
	free(before);
	free(note);
	free(script);
	free(path);
	free(directory);
}

static bool
create_extensions(Dev *dev, PGconn *connection)
{
	char *error = NULL;
	char *versions;

	if (!ff_database_run(
			connection,
			"create extension if not exists flowforge; alter extension flowforge update", &error))
	{
		ff_complain("`make install` puts the extension where this PostgreSQL finds it",
					"cannot create the extension: %s", error);
		free(error);
		return false;
	}
	if (dev->has_cluster &&
		!ff_database_run(connection, "create extension if not exists pg_cron", &error))
	{
		ff_complain("install postgresql-15-cron", "cannot create the extension pg_cron: %s", error);
		free(error);
		return false;
	}
	if (dev->has_cluster)
		check_script(dev, connection);
	versions =
		ff_database_value(connection,
						  "select string_agg(extname || ' ' || extversion, ' · ' order by extname) "
						  "from pg_extension where extname in ('flowforge', 'pg_cron')",
						  NULL);
	ff_term_done("extensions", versions);
	free(versions);
	return true;
}

static bool
prepare_database(Dev *dev)
{
	PGconn *connection;
	bool	prepared = false;

	if (dev->server.database_url == NULL && !start_cluster(dev))
		return false;
	if (!dev->has_cluster)
		dev->gateway_database = ff_text("%s", dev->server.database_url);
	connection = ff_database_connect(dev->server.database_url);
	if (PQstatus(connection) == CONNECTION_OK)
		prepared = create_extensions(dev, connection);
	else
	{
		char *why = ff_term_clean(PQerrorMessage(connection), 0);

		ff_complain("is it a connection URL, and is the server up?",
					"cannot reach the database: %s", why);
		free(why);
		dev->result = FF_EXIT_UNREACHABLE;
	}
	PQfinish(connection);
	return prepared && !stop_asked();
}

/* ---- the gateway ---- */

/* Opens a log file in the directory for them; -1 when we have none. */
static int
open_log(const Dev *dev, const char *name)
{
	char *path;
	int	  log;

	if (!dev->has_cluster)
		return -1;
	path = ff_text("%s/%s", dev->cluster.log, name);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	free(path);
	return log;
}

static bool
start_gateway(Dev *dev)
{
	pid_t pid = ff_child_fork(&dev->gateway);

	if (pid == 0)
	{
		FfConfig config = dev->config;
		int		 log;

		if (dev->has_cluster)
		{
			ff_cluster_become_user(&dev->cluster);
			prctl(PR_SET_PDEATHSIG, SIGTERM);
		}
		log = open_log(dev, "gateway.log");
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
await_gateway(Dev *dev, const char *path)
{
	char	 *url = ff_text("%s%s", dev->server.url, path);
	FfRequest request = {.url = url, .timeout_ms = 2000};
	int64_t	  deadline = ff_steady_clock() + READY_TIMEOUT_MS;
	bool	  ready = false;

	while (!ready && ff_steady_clock() < deadline && !stop_asked())
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

static bool
prepare_gateway(Dev *dev)
{
	bool listening = start_gateway(dev) && await_gateway(dev, "/health");

	if (listening)
		ff_term_done("gateway", dev->server.url);
	if (listening && await_gateway(dev, "/ready"))
		return true;
	if (stop_asked())
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

static bool
start_sync(Dev *dev)
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

static bool
start_app(Dev *dev)
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
	dev->app_log = open_log(dev, "app.log");
	return dev->app.pid > 0;
}

static void
start_demo(Dev *dev)
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
print_app_line(Dev *dev)
{
	dev->app_line[dev->app_length] = '\0';
	dev->app_length = 0;
	if (dev->app_log >= 0)
		dprintf(dev->app_log, "%s\n", dev->app_line);
	if (dev->app_log >= 0 && dev->phase == PHASE_DEMO)
		return;
	printf("  %sapp │ %s%s\n", ff_style(FF_STYLE_DIM), dev->app_line, ff_style(FF_STYLE_END));
	fflush(stdout);
}

static void
read_app_output(Dev *dev)
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

/* ---- the box ---- */

/* An event to try: that of the first run there was, else one that a function is triggered by. To be
 * freed. */
static char *
example_event(const Dev *dev)
{
	PGconn *connection = ff_database_connect(dev->server.database_url);
	char   *event = ff_database_value(
		  connection,
		  "select coalesce((select t.event "
			"from (select tenant_id, event_id from flowforge.run order by run_id limit 1) r "
			"join flowforge.event e using (tenant_id, event_id) "
			"join flowforge.trigger t on t.event = e.name limit 1), "
			"(select event from flowforge.trigger where event !~ '^inngest/|[*]$' "
			"order by trigger_id limit 1))",
		  NULL);

	PQfinish(connection);
	return event != NULL ? event : ff_text(DEFAULT_EVENT);
}

static char *
field(const char *name, const char *value)
{
	return ff_text("%s%-10s%s %s", ff_style(FF_STYLE_DIM), name, ff_style(FF_STYLE_END), value);
}

static void
print_box(const Dev *dev)
{
	char *event = example_event(dev);
	char *lines[18];
	int	  count = 0;

	lines[count++] = ff_text("%s", "");
	lines[count++] =
		field("API", ff_text("http://localhost:%d/api/v1  (described at /api/docs)", dev->port));
	lines[count++] = field("database", dev->server.database_url);
	lines[count++] = field("event key", dev->server.signing_key != NULL
											? dev->server.event_key
											: ff_text("%s  (any will do)", dev->server.event_key));
	for (int at = 0; at < dev->apps.count && at < 4; at++)
		lines[count++] = field(at == 0 ? "apps" : "", dev->apps.item[at]);
	if (dev->has_cluster)
		lines[count++] = field("outbound", ff_text("steps may call %s", dev->cluster.allowed));
	lines[count++] = ff_text("%s", "");
	lines[count++] =
		field("try", ff_text("%s send %s -d '{\"id\": \"1\"}' --wait", dev->program, event));
	lines[count++] = field("", ff_text("%s runs list", dev->program));
	lines[count++] = field("", ff_text("%s psql -c 'table flowforge.runs'", dev->program));
	if (dev->next != NULL)
		lines[count++] = field("next", dev->next);
	lines[count++] = ff_text("%s", "");
	lines[count++] = dev->has_cluster
						 ? field("", ff_text("Ctrl-C stops everything; data and logs stay in %s",
											 dev->cluster.shown))
						 : field("", "Ctrl-C stops the gateway");
	lines[count++] = ff_text("%s", "");
	lines[count] = NULL;
	ff_term_box("FlowForge " FF_VERSION, (const char *const *) lines);
	free(event);
}

/* Leaves word of where we listen for the other commands (cli.h), and removes it. */
static void
write_environment(const Dev *dev)
{
	char *path = ff_text("%s/" FF_DEV_ENVIRONMENT, dev->cluster.home);
	FILE *file;

	unlink(path);
	file = fopen(path, "we");
	if (file != NULL)
	{
		if (dev->server.signing_key != NULL)
			fchmod(fileno(file), 0600);
		fprintf(file, "FLOWFORGE_URL=%s\nFLOWFORGE_DATABASE_URL=%s\nFLOWFORGE_EVENT_KEY=%s\n",
				dev->server.url, dev->server.database_url, dev->server.event_key);
		if (dev->server.signing_key != NULL)
			fprintf(file, "FLOWFORGE_SIGNING_KEY=%s\n", dev->server.signing_key);
		fclose(file);
	}
	free(path);
}

static void
remove_environment(const Dev *dev)
{
	char *path = ff_text("%s/" FF_DEV_ENVIRONMENT, dev->cluster.home);

	unlink(path);
	free(path);
}

/* ---- the phases ---- */

static void
enter_serving(Dev *dev)
{
	dev->phase = PHASE_SERVING;
	dev->deadline = INT64_MAX;
	print_box(dev);
}

/* The apps have registered, or were awaited long enough. */
static void
leave_apps(Dev *dev, bool registered)
{
	if (dev->demo_command == NULL)
		enter_serving(dev);
	else if (registered)
	{
		dev->phase = PHASE_DEMO;
		dev->deadline = INT64_MAX;
		start_demo(dev);
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
awaits_functions(const Dev *dev)
{
	return dev->apps.count == 0 && dev->demo_command == NULL && dev->app.pid > 0;
}

static void
enter_apps(Dev *dev)
{
	dev->phase = PHASE_APPS;
	dev->deadline = ff_steady_clock() + (dev->demo_command != NULL ? APPS_TIMEOUT_MS
										 : dev->apps.count > 0	   ? APPS_PATIENCE_MS
																   : FUNCTIONS_PATIENCE_MS);
	if (dev->apps.count == 0 && !awaits_functions(dev))
		leave_apps(dev, true);
}

static void
look_for_functions(Dev *dev)
{
	PGconn *connection = ff_database_connect(dev->server.database_url);
	char   *known = ff_database_value(connection, "select 1 from flowforge.trigger limit 1", NULL);

	if (known != NULL || !awaits_functions(dev))
		leave_apps(dev, true);
	PQfinish(connection);
	free(known);
}

static void
stop(Dev *dev, FfExit result)
{
	dev->phase = PHASE_STOPPING;
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
restart_cluster(Dev *dev, const char *how)
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
restart_gateway(Dev *dev, const char *how)
{
	bool  hopeless = ff_child_ended(&dev->gateway);
	char *what = ff_text("%s; %s", how, hopeless ? "once too often" : "it is started again");

	ff_term_warn("gateway", what);
	free(what);
	if (hopeless || !start_gateway(dev))
		stop(dev, FF_EXIT_FAILED);
}

/* A child has ended. */
static void
handle_end(Dev *dev, pid_t pid, int status)
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
			start_sync(dev);
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
handle_signal(Dev *dev)
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
	while (dev->phase != PHASE_STOPPING && (pid = waitpid(-1, &status, WNOHANG)) > 0)
		handle_end(dev, pid, status);
}

/* Runs until something says stop. */
static void
supervise(Dev *dev)
{
	while (dev->phase != PHASE_STOPPING)
	{
		struct pollfd waits[] = {
			{dev->signals, POLLIN, 0},
			{dev->app_output, POLLIN, 0},
			{dev->phase == PHASE_APPS ? dev->apps_told : -1, POLLIN, 0},
		};
		bool	looking = dev->phase == PHASE_APPS && dev->apps.count == 0;
		int64_t left = dev->deadline - ff_steady_clock();
		char	byte;

		if (looking && left > LOOK_MS)
			left = LOOK_MS;
		poll(waits, 3, dev->deadline == INT64_MAX ? -1 : left > 0 ? (int) left : 0);
		if (waits[1].revents != 0)
			read_app_output(dev);
		if (waits[0].revents != 0)
			handle_signal(dev);
		else if (waits[2].revents != 0 && read(dev->apps_told, &byte, 1) == 1)
			leave_apps(dev, true);
		else if (dev->phase == PHASE_APPS && ff_steady_clock() >= dev->deadline)
			leave_apps(dev, false);
		else if (looking)
			look_for_functions(dev);
	}
}

/* Waits for the children to end in the opposite order of their start; after a second signal ends
 * them at once. */
static void
stop_all(Dev *dev)
{
	int64_t deadline = ff_steady_clock() + STOP_TIMEOUT_MS;

	if (dev->has_cluster && dev->cluster.home != NULL && dev->cluster.lock >= 0)
		remove_environment(dev);
	if (dev->cluster.postmaster > 0 || dev->gateway.pid > 0)
	{
		printf("\n  %sstopping%s\n", ff_style(FF_STYLE_DIM), ff_style(FF_STYLE_END));
		fflush(stdout);
	}
	ff_child_signal(&dev->demo, SIGTERM);
	ff_child_signal(&dev->sync, SIGTERM);
	ff_child_signal(&dev->app, SIGTERM);
	ff_child_signal(&dev->gateway, SIGTERM);
	ff_child_wait(&dev->demo, deadline, stop_asked);
	ff_child_wait(&dev->sync, deadline, stop_asked);
	ff_child_wait(&dev->app, deadline, stop_asked);
	ff_child_wait(&dev->gateway, deadline, stop_asked);
	if (dev->has_cluster && dev->cluster.postmaster > 0)
	{
		ff_cluster_stop(&dev->cluster, stop_asked);
		ff_term_done("stopped", NULL);
	}
	if (dev->has_cluster)
		ff_cluster_close(&dev->cluster);
}

static void
take_signals(Dev *dev)
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

static FfExit
develop(Dev *dev)
{
	take_signals(dev);
	dev->apps_told = -1;
	dev->app_output = -1;
	dev->app_log = -1;
	dev->result = FF_EXIT_FAILED;
	dev->program = program_name();
	putchar('\n');
	if (prepare_database(dev) && prepare_gateway(dev))
	{
		set_environment(dev);
		if (dev->has_cluster)
			write_environment(dev);
		if (start_app(dev) && start_sync(dev))
		{
			enter_apps(dev);
			supervise(dev);
		}
	}
	else if (stop_asked())
	{
		struct signalfd_siginfo info;

		dev->result = FF_EXIT_DONE;
		while (read(dev->signals, &info, sizeof(info)) == sizeof(info))
			;
	}
	stop_all(dev);
	return dev->result;
}

FfExit
ff_command_dev(int argc, char **argv)
{
	Dev			   dev = {.directory = FF_DEV_DIRECTORY, .config.deadlines = FF_DEADLINES};
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

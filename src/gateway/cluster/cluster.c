/*
 * The private PostgreSQL cluster of `flowforge dev`: see cluster.h.
 *
 * A cluster comes into being as data.new, with its database made in single-user mode, and is
 * renamed to data when it is whole: a first start that was cut short leaves nothing that a later
 * one could take for a cluster.
 */
#define _GNU_SOURCE
#include "cluster/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/port.h"
#include "cli/programs.h"
#include "cluster/home.h"
#include "cluster/process.h"
#include "cluster/conf.h"

#define START_TIMEOUT_MS 120000
#define STOP_TIMEOUT_MS 60000
#define PORT_TRIES 10
#define TURN_MS 20

bool
ff_cluster_open(FfCluster *cluster, const char *directory)
{
	size_t length = strlen(directory);

	memset(cluster, 0, sizeof(*cluster));
	cluster->lock = -1;
	while (length > 1 && directory[length - 1] == '/')
		length--;
	cluster->shown = strndup(directory, length);
	cluster->binaries = ff_programs();
	if (cluster->binaries == NULL)
	{
		ff_complain(
			"install postgresql-15, or set FLOWFORGE_PG_BINDIR to the directory of initdb and postgres",
			"PostgreSQL's server programs are not to be found");
		return false;
	}
	ff_programs_version(cluster->binaries, cluster->version);
	return ff_home_take(cluster);
}

void
ff_cluster_close(FfCluster *cluster)
{
	if (cluster->lock >= 0)
		close(cluster->lock);
	cluster->lock = -1;
}

/* ---- the data directory ---- */

static bool
append_line(const char *path, const char *line)
{
	FILE *file = fopen(path, "ae");
	bool  written = file != NULL && fprintf(file, "%s\n", line) > 0;

	if (file != NULL && fclose(file) != 0)
		written = false;
	return written;
}

/* Removes what a start that was cut short left in data.new. */
static void
remove_unfinished(const char *path)
{
	pid_t child;

	if (access(path, F_OK) != 0)
		return;
	child = fork();
	if (child == 0)
	{
		execl("/bin/rm", "rm", "-rf", "--", path, (char *) NULL);
		_exit(FF_EXIT_FAILED);
	}
	waitpid(child, NULL, 0);
}

static bool
check_version(const FfCluster *cluster)
{
	char *path = ff_text("%s/PG_VERSION", cluster->data);
	char *version = ff_read_file(path, 100);
	bool  same = version != NULL && atoi(version) == atoi(cluster->version);

	if (version == NULL)
		ff_complain("it belongs to another user? --persist names another directory",
					"cannot read %s: %s", path, strerror(errno));
	else if (!same)
		ff_complain(
			"use those programs (FLOWFORGE_PG_BINDIR), pg_upgrade it, or begin anew by removing the directory",
			"%s was made by PostgreSQL %d; the programs in %s are %s", cluster->shown,
			atoi(version), cluster->binaries, cluster->version);
	free(version);
	free(path);
	return same;
}

bool
ff_cluster_create(FfCluster *cluster)
{
	char *unfinished = ff_text("%s/data.new", cluster->home);
	char *config = ff_text("%s/postgresql.conf", unfinished);
	char *initdb[] = {"initdb",
					  "-D",
					  unfinished,
					  "-U",
					  FF_CLUSTER_USER,
					  "--auth=trust",
					  "--encoding=UTF8",
					  "--locale=C.UTF-8",
					  "--no-instructions",
					  NULL};
	char *single[] = {"postgres", "--single", "-D", unfinished, "postgres", NULL};
	bool  made = false;

	if (access(cluster->data, F_OK) == 0)
	{
		made = check_version(cluster);
	}
	else
	{
		remove_unfinished(unfinished);
		made = ff_home_directory(cluster, unfinished, 0700) &&
			   ff_process_run(cluster, initdb, "") &&
			   ff_process_run(cluster, single, "create database flowforge\n") &&
			   append_line(
				   config,
				   "\n# Written by `flowforge dev` at every start; settings below this line win.\n"
				   "include 'flowforge.conf'") &&
			   rename(unfinished, cluster->data) == 0;
		cluster->fresh = made;
	}
	free(config);
	free(unfinished);
	return made;
}

/* ---- starting and stopping ---- */

/* Waits until the postmaster takes connections; false when it ended instead. */
static bool
wait_until_ready(FfCluster *cluster)
{
	char   *url = ff_cluster_socket_url(cluster, FF_CLUSTER_USER);
	int64_t deadline = ff_steady_clock() + START_TIMEOUT_MS;
	bool	ready = false;

	while (!ready && ff_steady_clock() < deadline)
	{
		if (waitpid(cluster->postmaster, NULL, WNOHANG) == cluster->postmaster)
		{
			cluster->postmaster = 0;
			break;
		}
		ready = PQping(url) == PQPING_OK;
		if (!ready)
			poll(NULL, 0, TURN_MS);
	}
	free(url);
	return ready;
}

static bool
start_postmaster(FfCluster *cluster)
{
	char *postgres[] = {"postgres", "-D", cluster->data, NULL};
	int	  null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	cluster->postmaster = ff_process_start(cluster, postgres, "postgres.log", null);
	close(null);
	return cluster->postmaster > 0 && wait_until_ready(cluster);
}

/* Between our look at a port and the postmaster's start somebody else may take it, another
 * `flowforge dev` for one: then it ends, and is started on another port. */
bool
ff_cluster_start(FfCluster *cluster, const char *signing_key, const char *event_key)
{
	bool ready = false;
	bool again = true;

	if (!ff_process_clean_up(cluster))
		return false;
	for (int tries = 0; again && tries < PORT_TRIES; tries++)
	{
		if (!ff_conf_find_port(cluster) || !ff_conf_write(cluster, signing_key, event_key))
			return false;
		ready = start_postmaster(cluster);
		again = !ready && cluster->postmaster == 0 && ff_port_taken(cluster->port) != 0;
	}
	if (!ready)
	{
		ff_complain(NULL, "PostgreSQL does not start");
		ff_process_show_log(cluster, "postgres.log");
	}
	return ready;
}

void
ff_cluster_stop(FfCluster *cluster, bool (*hurry)(void))
{
	int64_t deadline = ff_steady_clock() + STOP_TIMEOUT_MS;
	bool	hurried = false;

	if (cluster->postmaster <= 0)
		return;
	kill(cluster->postmaster, SIGINT);
	while (waitpid(cluster->postmaster, NULL, WNOHANG) == 0)
	{
		if (ff_steady_clock() > deadline || (!hurried && hurry()))
		{
			hurried = true;
			kill(cluster->postmaster, SIGQUIT);
			deadline += STOP_TIMEOUT_MS;
		}
		poll(NULL, 0, TURN_MS);
	}
	cluster->postmaster = 0;
}

char *
ff_cluster_url(const FfCluster *cluster)
{
	return ff_text("postgresql://" FF_CLUSTER_USER "@127.0.0.1:%d/flowforge", cluster->port);
}

char *
ff_cluster_socket_url(const FfCluster *cluster, const char *role)
{
	char *url = ff_alloc(strlen(cluster->socket) * 2 + strlen(role) + 80);
	char *end = url + sprintf(url, "dbname=flowforge port=%d user=%s host='", cluster->port, role);

	for (const char *at = cluster->socket; *at != '\0'; at++)
	{
		if (*at == '\'' || *at == '\\')
			*end++ = '\\';
		*end++ = *at;
	}
	strcpy(end, "'");
	return url;
}

/*
 * The database of `flowforge dev`: a private cluster, or the one that was named, with the extension
 * in it.
 */
#define _GNU_SOURCE
#include "dev/dev.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/database.h"
#include "cli/term.h"

#define SCRIPT_LIMIT (16 * 1024 * 1024)

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
local_callees(const FfDev *dev)
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
start_cluster(FfDev *dev)
{
	int64_t begun = ff_steady_clock();
	char	duration[32];
	char   *detail;

	dev->has_cluster = true;
	if (!ff_cluster_open(&dev->cluster, dev->directory))
		return false;
	if (!ff_cluster_create(&dev->cluster) || ff_dev_stop_asked())
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
check_script(FfDev *dev, PGconn *connection)
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
create_extensions(FfDev *dev, PGconn *connection)
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

bool
ff_dev_prepare_database(FfDev *dev)
{
	PGconn *connection;
	bool	prepared = false;

	if (dev->server.database_url == NULL && !start_cluster(dev))
		return false;
	if (!dev->has_cluster)
		dev->gateway_database = ff_copy(dev->server.database_url);
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
	return prepared && !ff_dev_stop_asked();
}

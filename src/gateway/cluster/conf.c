/*
 * The settings of a private cluster (see conf.h).
 */
#define _GNU_SOURCE
#include "cluster/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/port.h"
#include "cluster/keys.h"

#define FIRST_PORT 54329
#define PORTS_TRIED 200

bool
ff_conf_find_port(FfCluster *cluster)
{
	char	   *path = ff_text("%s/flowforge.conf", cluster->data);
	char	   *config = ff_read_file(path, 65536);
	const char *line = config != NULL ? strstr(config, "\nport = ") : NULL;
	int			before = line != NULL ? atoi(line + strlen("\nport = ")) : 0;

	free(path);
	cluster->port = before > 0 && ff_port_taken(before) == 0 ? before : 0;
	free(config);
	for (int port = FIRST_PORT; cluster->port == 0 && port < FIRST_PORT + PORTS_TRIED; port++)
	{
		if (ff_port_taken(port) == 0)
			cluster->port = port;
	}
	if (cluster->port == 0)
		ff_complain(NULL, "no port is free for PostgreSQL between %d and %d", FIRST_PORT,
					FIRST_PORT + PORTS_TRIED - 1);
	return cluster->port > 0;
}

/* A setting's value in quotes. */
static void
write_setting(FILE *file, const char *name, const char *value)
{
	fprintf(file, "%s = '", name);
	for (; *value != '\0'; value++)
	{
		if (*value == '\'' || *value == '\\')
			fputc(*value, file);
		fputc(*value, file);
	}
	fputs("'\n", file);
}

static void
write_keys(FILE *file, const FfClusterKeys *keys)
{
	write_setting(file, "flowforge.jwt_secret", keys->jwt);
	write_setting(file, "flowforge.secret_key_file", keys->secret);
	write_setting(file, "flowforge.audit_key_file", keys->audit);
}

static bool
write_file(const FfCluster *cluster, const FfClusterKeys *keys, const char *signing_key,
		   const char *event_key)
{
	char *path = ff_text("%s/flowforge.conf", cluster->data);
	char *socket = ff_text("\"%s\"", cluster->socket);
	FILE *file = fopen(path, "we");
	bool  written = false;

	if (file != NULL)
	{
		fprintf(
			file,
			"# Written by `flowforge dev` at every start. Put settings of your own at the end of postgresql.conf.\n"
			"port = %d\n"
			"listen_addresses = '127.0.0.1'\n"
			"shared_preload_libraries = 'flowforge,pg_cron'\n"
			"flowforge.databases = 'flowforge'\n"
			"cron.database_name = 'flowforge'\n"
			"cron.use_background_workers = on\n"
			"max_worker_processes = 32\n"
			"max_connections = 100\n"
			"logging_collector = off\n"
			"log_destination = 'stderr'\n"
			"log_line_prefix = '%%m [%%p] '\n",
			cluster->port);
		write_setting(file, "unix_socket_directories", socket);
		write_keys(file, keys);
		if (cluster->allowed != NULL)
			write_setting(file, "flowforge.outbound_allow", cluster->allowed);
		if (cluster->public_url != NULL)
			write_setting(file, "flowforge.public_url", cluster->public_url);
		if (signing_key != NULL)
		{
			write_setting(file, "flowforge.signing_key", signing_key);
			write_setting(file, "flowforge.event_keys", event_key);
		}
		written = fchmod(fileno(file), 0600) == 0 &&
				  (geteuid() != 0 || fchown(fileno(file), cluster->uid, cluster->gid) == 0);
		written = fclose(file) == 0 && written;
	}
	if (!written)
		ff_complain(NULL, "cannot write %s: %s", path, strerror(errno));
	free(socket);
	free(path);
	return written;
}

bool
ff_conf_write(const FfCluster *cluster, const char *signing_key, const char *event_key)
{
	FfClusterKeys keys;
	bool		  done = ff_cluster_keys(cluster, &keys);

	if (done)
		done = write_file(cluster, &keys, signing_key, event_key);
	else
		ff_complain(NULL, "cannot make the keys in %s/keys: %s", cluster->shown, strerror(errno));
	ff_cluster_keys_free(&keys);
	return done;
}

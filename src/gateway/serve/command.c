/*
 * flowforge serve: the gateway alone.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/database.h"
#include "serve/serve.h"
#include "serve/settings.h"
#include "serve/web.h"

/* An option's value, else the environment's, else the default. */
static const char *
setting(const char *given, const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	if (given != NULL)
		return given;
	return value != NULL && value[0] != '\0' ? value : otherwise;
}

/* A deadline in whole seconds, as given on the command line and else in the environment. */
typedef struct Deadline
{
	const char *option;
	const char *variable;
	size_t		place; /* in FfDeadlines */
} Deadline;

static const Deadline deadlines[] = {
	{"idle-timeout", "FLOWFORGE_IDLE_TIMEOUT", offsetof(FfDeadlines, idle)},
	{"head-timeout", "FLOWFORGE_HEAD_TIMEOUT", offsetof(FfDeadlines, head)},
	{"body-timeout", "FLOWFORGE_BODY_TIMEOUT", offsetof(FfDeadlines, body)},
	{"statement-timeout", "FLOWFORGE_STATEMENT_TIMEOUT", offsetof(FfDeadlines, statement)},
	{"write-timeout", "FLOWFORGE_WRITE_TIMEOUT", offsetof(FfDeadlines, write)},
};

#define DEADLINES ((int) (sizeof(deadlines) / sizeof(deadlines[0])))
#define LONGEST_DEADLINE_S 86400

static bool
read_deadlines(const char *const given[], FfDeadlines *result)
{
	for (int at = 0; at < DEADLINES; at++)
	{
		const char *text = setting(given[at], deadlines[at].variable, NULL);
		int			seconds;

		if (text == NULL)
			continue;
		if (!ff_whole_number(text, 1, LONGEST_DEADLINE_S, &seconds))
		{
			ff_misused("serve", "--%s is a whole number of seconds from 1 to %d, not %s",
					   deadlines[at].option, LONGEST_DEADLINE_S, text);
			return false;
		}
		*(int *) ((char *) result + deadlines[at].place) = seconds * 1000;
	}
	return true;
}

/* Why the server would answer nobody, when the database can be asked: it may come later. */
static bool
is_configured(const char *database_url)
{
	PGconn *connection = ff_database_connect(database_url);
	char   *problem = PQstatus(connection) == CONNECTION_OK
						  ? ff_database_value(connection, "select flowforge.serve_problem()", NULL)
						  : NULL;

	PQfinish(connection);
	if (problem != NULL)
		ff_complain("set it in postgresql.conf to at least 32 random characters (openssl rand -hex "
					"32) and reload the server, or set flowforge.auth = dev",
					"%s", problem);
	free(problem);
	return problem == NULL;
}

/* What was given on the command line. */
typedef struct Given
{
	FfServer	server;
	FfWeb		web;
	const char *host;
	const char *port;
	const char *certificate;
	const char *key;
	const char *file;
	const char *deadlines[DEADLINES]; /* seconds, in the order of the table */
} Given;

/* Completes it from the environment, which the file of settings has completed, into the
 * configuration. False, and what is wrong is said. */
static bool
settle(Given *given, FfConfig *config)
{
	const char *port = setting(given->port, "FLOWFORGE_PORT", "8288");

	if (!ff_whole_number(port, 0, 65535, &config->port))
	{
		ff_misused("serve", "%s is no port", port);
		return false;
	}
	if (!read_deadlines(given->deadlines, &config->deadlines) ||
		!ff_web_settle("serve", &given->web, config))
		return false;
	config->tls_certificate = setting(given->certificate, "FLOWFORGE_TLS_CERT", NULL);
	config->tls_key = setting(given->key, "FLOWFORGE_TLS_KEY", NULL);
	if ((config->tls_certificate == NULL) != (config->tls_key == NULL))
	{
		ff_misused("serve", "--tls-cert and --tls-key belong together");
		return false;
	}
	config->host = setting(given->host, "FLOWFORGE_HOST", NULL);
	config->database_url = setting(given->server.database_url, "FLOWFORGE_DATABASE_URL", NULL);
	if (config->database_url == NULL)
		ff_misused("serve", "which database? Give --db or FLOWFORGE_DATABASE_URL");
	return config->database_url != NULL;
}

FfExit
ff_command_serve(int argc, char **argv)
{
	FfList		   words = {0};
	FfConfig	   config = {.ready_fd = -1, .deadlines = FF_DEADLINES};
	Given		   given = {0};
	const FfOption options[] = {
		{'c', "config", "FILE",
		 "lines like port = 8288, for what is neither here nor in a variable (FLOWFORGE_CONFIG)",
		 &given.file, NULL, NULL},
		{0, "host", "ADDRESS", "address to listen on (FLOWFORGE_HOST, default 127.0.0.1)",
		 &given.host, NULL, NULL},
		{'p', "port", "PORT", "port to listen on (FLOWFORGE_PORT, default 8288; 0: any free one)",
		 &given.port, NULL, NULL},
		{0, "idle-timeout", "SECONDS",
		 "end connections silent for so long (FLOWFORGE_IDLE_TIMEOUT, default 60)",
		 &given.deadlines[0], NULL, NULL},
		{0, "head-timeout", "SECONDS",
		 "for the head of a request to arrive (FLOWFORGE_HEAD_TIMEOUT, default 10)",
		 &given.deadlines[1], NULL, NULL},
		{0, "body-timeout", "SECONDS", "for its body (FLOWFORGE_BODY_TIMEOUT, default 30)",
		 &given.deadlines[2], NULL, NULL},
		{0, "statement-timeout", "SECONDS",
		 "for the database to answer it (FLOWFORGE_STATEMENT_TIMEOUT, default 30)",
		 &given.deadlines[3], NULL, NULL},
		{0, "write-timeout", "SECONDS",
		 "for a client to take a byte of its answer (FLOWFORGE_WRITE_TIMEOUT, default 30)",
		 &given.deadlines[4], NULL, NULL},
		{0, "tls-cert", "FILE",
		 "speak HTTPS, with this certificate and its chain (FLOWFORGE_TLS_CERT)",
		 &given.certificate, NULL, NULL},
		{0, "tls-key", "FILE", "the key of the certificate (FLOWFORGE_TLS_KEY)", &given.key, NULL,
		 NULL},
		FF_WEB_OPTIONS(given.web),
		{'q', "quiet", NULL, "no log line per request", NULL, &config.quiet, NULL},
		FF_DATABASE_OPTION(given.server),
		{0}};
	const FfUsage usage = {
		"[--db URL] [--config FILE]",
		"Serves the HTTP API of a database; connect as a role that is flowforge_gateway.", options};
	FfParse parse = ff_options(argc, argv, &usage, &words, NULL);

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count > 0)
		return ff_misused("serve", "unexpected %s", words.item[0]);
	given.file = setting(given.file, "FLOWFORGE_CONFIG", NULL);
	if (given.file != NULL && !ff_settings_read("serve", given.file, options))
		return FF_EXIT_USAGE;
	if (!settle(&given, &config))
		return FF_EXIT_USAGE;
	if (!is_configured(config.database_url))
		return FF_EXIT_FAILED;
	return (FfExit) ff_serve(&config);
}

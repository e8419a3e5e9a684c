/*
 * flowforge serve: the gateway alone.
 */
#define _GNU_SOURCE
#include <stdlib.h>

#include "cli.h"
#include "serve.h"

/* An option's value, else the environment's, else the default. */
static const char *
setting(const char *given, const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	if (given != NULL)
		return given;
	return value != NULL && value[0] != '\0' ? value : otherwise;
}

FfExit
ff_command_serve(int argc, char **argv)
{
	FfServer	   server = {0};
	FfList		   words = {0};
	const char	  *host = NULL;
	const char	  *port = NULL;
	bool		   quiet = false;
	const FfOption options[] = {
		{0, "host", "ADDRESS", "address to listen on (FLOWFORGE_HOST, default 127.0.0.1)", &host,
		 NULL, NULL},
		{'p', "port", "PORT", "port to listen on (FLOWFORGE_PORT, default 8288; 0: any free one)",
		 &port, NULL, NULL},
		{'q', "quiet", NULL, "no log line per request", NULL, &quiet, NULL},
		FF_DATABASE_OPTION(server),
		{0}};
	const FfUsage usage = {
		"[--db URL]",
		"Serves the HTTP API of a database; connect as a role that is flowforge_gateway.", options};
	FfParse	 parse = ff_options(argc, argv, &usage, &words, NULL);
	FfConfig config = {.ready_fd = -1};
	char	*end;

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count > 0)
		return ff_misused("serve", "unexpected %s", words.item[0]);
	port = setting(port, "FLOWFORGE_PORT", "8288");
	config.port = (int) strtol(port, &end, 10);
	if (end == port || *end != '\0' || config.port < 0 || config.port > 65535)
		return ff_misused("serve", "%s is no port", port);
	config.quiet = quiet;
	config.host = setting(host, "FLOWFORGE_HOST", NULL);
	config.database_url = setting(server.database_url, "FLOWFORGE_DATABASE_URL", NULL);
	if (config.database_url == NULL)
		return ff_misused("serve", "which database? Give --db or FLOWFORGE_DATABASE_URL");
	return (FfExit) ff_serve(&config);
}

/*
 * flowforge psql: psql on the server's database.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/programs.h"

/* Every argument is psql's but --db, which comes first if it comes. */
FfExit
ff_command_psql(int argc, char **argv)
{
	FfServer	 server = {0};
	int			 first = 1;
	const char **psql;
	char		*binaries = ff_programs();

	if (argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0))
	{
		const FfOption options[] = {FF_DATABASE_OPTION(server), {0}};
		const FfUsage  usage = {"[--db URL] [PSQL ARGUMENT...]",
								"Runs psql on the server's database.", options};

		ff_options(2, argv, &usage, NULL, NULL);
		return FF_EXIT_DONE;
	}
	if (argc > 1 && strcmp(argv[1], "--db") == 0)
	{
		if (argc == 2)
			return ff_misused("psql", "--db needs a value: URL");
		server.database_url = argv[2];
		first = 3;
	}
	else if (argc > 1 && strncmp(argv[1], "--db=", 5) == 0)
	{
		server.database_url = argv[1] + 5;
		first = 2;
	}
	ff_server_resolve(&server);
	if (server.database_url == NULL)
	{
		ff_complain("run it where `flowforge dev` runs, or set FLOWFORGE_DATABASE_URL",
					"which database?");
		return FF_EXIT_USAGE;
	}
	psql = ff_alloc(sizeof(char *) * (size_t) (argc + 4));
	psql[0] = "psql";
	psql[1] = "-d";
	psql[2] = server.database_url;
	for (int at = first; at < argc; at++)
		psql[at - first + 3] = argv[at];
	signal(SIGPIPE, SIG_DFL); /* ours is ignored, and that would be inherited */
	execvp("psql", (char **) psql);
	if (binaries != NULL)
		execv(ff_text("%s/psql", binaries), (char **) psql);
	ff_complain("install postgresql-client-15", "cannot run psql: %s", strerror(errno));
	return FF_EXIT_FAILED;
}

/*
 * flowforge doctor: looks at every part of an installation and says how to mend what is wrong.
 *
 * A check prints one line: a mark, what was looked at, what was found; a fault has a second line
 * with its remedy. Checks that need something that is already at fault are left out: one cause, one
 * fault.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_database.h"
#include "cli_http.h"
#include "cluster.h"
#include "term.h"

#define SKEW_LIMIT_MS 5000
#define LABEL_COLUMNS 20

typedef struct Doctor
{
	FfServer server;
	PGconn	*connection; /* NULL: the database cannot be reached */
	json_t	*checks;	 /* for --json */
	int		 faults;
} Doctor;

/* Takes found and remedy, which may be NULL (no fault), and frees both. */
static void
report(Doctor *doctor, const char *what, char *found, char *remedy)
{
	bool  good = remedy == NULL;
	char *text = ff_term_clean(found, 0);

	doctor->faults += good ? 0 : 1;
	if (doctor->server.json)
		json_array_append_new(doctor->checks,
							  json_pack("{s:s, s:b, s:s, s:s?}", "check", what, "good", good,
										"found", text, "remedy", remedy));
	else
	{
		printf("  %s%s%s ", ff_style(good ? FF_STYLE_GOOD : FF_STYLE_BAD), good ? "✓" : "✗",
			   ff_style(FF_STYLE_END));
		ff_term_cell(stdout, FF_STYLE_END, what, LABEL_COLUMNS);
		printf(" %s%s%s\n", good ? ff_style(FF_STYLE_DIM) : "", text, ff_style(FF_STYLE_END));
		if (!good)
			printf("    %*s %s→ %s%s\n", LABEL_COLUMNS, "", ff_style(FF_STYLE_WARN), remedy,
				   ff_style(FF_STYLE_END));
		fflush(stdout);
	}
	free(text);
	free(found);
	free(remedy);
}

/* A value of the database as text; "" for none. To be freed. */
static char *
ask(Doctor *doctor, const char *query)
{
	char *value = ff_database_value(doctor->connection, query, NULL);

	return value != NULL ? value : ff_text("%s", "");
}

/* ---- the database ---- */

/* Only of interest where the database is to run on this machine. */
static void
check_binaries(Doctor *doctor)
{
	char *binaries = ff_cluster_binaries();
	char  version[32];

	if (binaries == NULL)
		report(doctor, "server programs", ff_text("none on this machine"),
			   doctor->connection != NULL
				   ? NULL
				   : ff_text("install postgresql-15, or set FLOWFORGE_PG_BINDIR"));
	else
	{
		ff_cluster_version(binaries, version);
		report(doctor, "server programs", ff_text("PostgreSQL %s in %s", version, binaries), NULL);
	}
	free(binaries);
}

static void
check_database(Doctor *doctor)
{
	const char *url = doctor->server.database_url;

	if (url == NULL)
	{
		report(doctor, "database", ff_text("not known which"),
			   ff_text("run this where `flowforge dev` runs, or set FLOWFORGE_DATABASE_URL"));
		return;
	}
	doctor->connection = ff_database_connect(url);
	if (PQstatus(doctor->connection) == CONNECTION_OK)
	{
		char *version = ask(doctor, "show server_version");

		report(doctor, "database", ff_text("%s, PostgreSQL %s", PQdb(doctor->connection), version),
			   NULL);
		free(version);
		return;
	}
	report(doctor, "database", ff_text("%s", PQerrorMessage(doctor->connection)),
		   ff_text("start it (`flowforge dev`), or set FLOWFORGE_DATABASE_URL to where it is"));
	PQfinish(doctor->connection);
	doctor->connection = NULL;
}

static void
check_preload(Doctor *doctor)
{
	char *preload = ask(doctor, "show shared_preload_libraries");
	char *databases = ask(doctor, "select current_setting('flowforge.databases', true)");
	char *list = ff_text(",%s,", databases);
	char *name = ff_text(",%s,", PQdb(doctor->connection));
	char *at = list;

	for (char *from = list; *from != '\0'; from++)
	{
		if (*from != ' ')
			*at++ = *from;
	}
	*at = '\0';
	if (strstr(preload, "flowforge") == NULL)
		report(
			doctor, "preload", ff_text("shared_preload_libraries = '%s'", preload),
			ff_text(
				"add flowforge to shared_preload_libraries in postgresql.conf and restart PostgreSQL"));
	else if (strstr(list, name) == NULL)
		report(doctor, "preload", ff_text("flowforge.databases = '%s'", databases),
			   ff_text("add %s to flowforge.databases in postgresql.conf and restart PostgreSQL",
					   PQdb(doctor->connection)));
	else
		report(doctor, "preload", ff_text("%s, for database %s", preload, databases), NULL);
	free(name);
	free(list);
	free(databases);
	free(preload);
}

static bool
check_extension(Doctor *doctor)
{
	char *version = ask(doctor, "select extversion from pg_extension where extname = 'flowforge'");
	char *available =
		ask(doctor, "select default_version from pg_available_extensions where name = 'flowforge'");
	bool present = version[0] != '\0';

	if (!present)
		report(
			doctor, "extension", ff_text("flowforge is not in this database"),
			ff_text(
				"%s",
				available[0] == '\0'
					? "install FlowForge on the database's machine, then: create extension flowforge"
					: "create extension flowforge"));
	else if (strcmp(version, available) != 0)
		report(doctor, "extension",
			   ff_text("version %s in the database, %s installed", version, available),
			   ff_text("alter extension flowforge update"));
	else if (strcmp(version, FF_VERSION) != 0)
		report(doctor, "extension", ff_text("version %s, this program is " FF_VERSION, version),
			   ff_text("install the program and the extension from the same release"));
	else
		report(doctor, "extension", ff_text("flowforge %s", version), NULL);
	free(available);
	free(version);
	return present;
}

static void
check_roles(Doctor *doctor)
{
	char *state = ask(
		doctor,
		"select case when not rolcanlogin then 'may not log in' "
		"when not has_function_privilege(oid, 'flowforge.serve(text, text, text, jsonb, bytea)', 'execute') "
		"then 'may not call flowforge.serve' when rolsuper then 'is a superuser' end "
		"from pg_roles where rolname = 'flowforge_gateway'");
	char *exists = ask(doctor, "select 'yes' from pg_roles where rolname = 'flowforge_gateway'");

	if (exists[0] == '\0')
		report(
			doctor, "roles", ff_text("there is no role flowforge_gateway"),
			ff_text(
				"create role flowforge_gateway login; then grant it what the extension's functions need: "
				"drop extension flowforge; create extension flowforge"));
	else if (state[0] != '\0')
		report(
			doctor, "roles", ff_text("flowforge_gateway %s", state),
			ff_text(
				"alter role flowforge_gateway login nosuperuser; grant execute on function flowforge.serve to flowforge_gateway"));
	else
		report(doctor, "roles", ff_text("flowforge_gateway may log in and serve"), NULL);
	free(exists);
	free(state);
}

static void
check_workers(Doctor *doctor)
{
	PGresult   *result = PQexec(doctor->connection, "select item, value from ff_status()");
	int			executors = 0;
	int			working = 0;
	const char *idle = "none runs";
	const char *error = "-";

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		report(doctor, "workers", ff_text("%s", PQerrorMessage(doctor->connection)),
			   ff_text("connect as a role that may call ff_status()"));
		PQclear(result);
		return;
	}
	for (int row = 0; row < PQntuples(result); row++)
	{
		const char *item = PQgetvalue(result, row, 0);
		const char *value = PQgetvalue(result, row, 1);

		if (strncmp(item, "executor", 8) == 0)
		{
			executors++;
			if (strstr(value, "working") != NULL)
				working++;
			else
				idle = value;
		}
		if (strcmp(item, "last error") == 0)
			error = value;
	}
	if (executors == 0 || working < executors)
		report(doctor, "workers", ff_text("%d of %d executors work: %s", working, executors, idle),
			   ff_text("PostgreSQL's log says why; max_worker_processes may be too small"));
	else
		report(doctor, "workers",
			   ff_text("%d executor%s%s%s", executors, executors == 1 ? "" : "s",
					   strcmp(error, "-") != 0 ? "; last error: " : "",
					   strcmp(error, "-") != 0 ? error : ""),
			   NULL);
	PQclear(result);
}

/* The difference between another clock and ours. `slack` is how far it may be off for want of
 * digits. */
static void
check_clock(Doctor *doctor, const char *what, int64_t theirs, int64_t slack)
{
	int64_t skew = theirs - ff_wall_clock();
	char	duration[32];

	if (skew > -slack && skew < slack)
		skew = 0;
	ff_term_duration(duration, (double) (skew < 0 ? -skew : skew));
	report(
		doctor, what,
		ff_text("%s %s this machine", duration,
				skew < 0   ? "behind"
				: skew > 0 ? "ahead of"
						   : "off"),
		skew > -SKEW_LIMIT_MS && skew < SKEW_LIMIT_MS
			? NULL
			: ff_text(
				  "set the clocks right (chrony or systemd-timesyncd): signatures are good for 5 minutes only"));
}

static void
check_database_clock(Doctor *doctor)
{
	char *now = ask(doctor, "select (extract(epoch from clock_timestamp()) * 1000)::bigint");

	check_clock(doctor, "clock, database", strtoll(now, NULL, 10), 50);
	free(now);
}

/* ---- the gateway ---- */

/* GET of a path of the gateway: 200 is good. Gives whether anything answered. */
static bool
check_path(Doctor *doctor, const char *path, const char *remedy)
{
	char	 *url = ff_text("%s%s", doctor->server.url, path);
	char	 *what = ff_text("gateway %s", path);
	FfRequest request = {.url = url};
	FfReply	  reply;
	bool	  answered = ff_http(&request, &reply);

	if (!answered)
		report(
			doctor, what, ff_text("%s", reply.failure),
			ff_text(
				"start it (`flowforge dev` or `flowforge serve`), or set FLOWFORGE_URL to where it is"));
	else if (reply.status != 200)
		report(doctor, what, ff_text("answers %ld: %s", reply.status, reply.body),
			   ff_text("%s", remedy));
	else
		report(doctor, what, ff_text("%s", url), NULL);
	if (answered && reply.date > 0 && strcmp(path, "/health") == 0)
		check_clock(doctor, "clock, gateway", reply.date + 500, 1500);
	ff_reply_free(&reply);
	free(what);
	free(url);
	return answered;
}

static void
check_gateway(Doctor *doctor)
{
	if (check_path(doctor, "/health", "it does not reach its database; its log says why"))
		check_path(doctor, "/ready",
				   "the executors do not all work; see workers above and PostgreSQL's log");
}

/* ---- the apps ---- */

/*
 * One request to an app, signed when there is a key. A POST has the body {}: what an app makes of
 * none depends on its framework, and with it what it takes the signature to be of.
 */
static bool
ask_app(const Doctor *doctor, const char *method, const char *url, FfReply *reply)
{
	const char *key = doctor->server.signing_key;
	const char *body = strcmp(method, "POST") == 0 ? "{}" : NULL;
	char	   *signature = ff_app_signature(key, body != NULL ? body : "", ff_wall_clock() / 1000);
	FfRequest	request = {
		  .method = method,
		  .url = url,
		  .body = body,
		  .headers = {signature,
					  key != NULL ? "x-inngest-server-kind: cloud" : "x-inngest-server-kind: dev"},
	  };
	bool answered = ff_http(&request, reply);

	free(signature);
	return answered;
}

static void
report_refusal(Doctor *doctor, const char *what, const char *url, long status)
{
	report(
		doctor, what, ff_text("%s refuses our signature (%ld)", url, status),
		ff_text(
			"give the app the same key: INNGEST_SIGNING_KEY there, flowforge.signing_key in PostgreSQL, "
			"FLOWFORGE_SIGNING_KEY here"));
}

/* The trust probe: a signed POST that an app answers with 200 only if its key is ours. */
static void
check_trust(Doctor *doctor, const char *what, const char *url, const char *mode)
{
	char   *probe = ff_text("%s%sprobe=trust", url, strchr(url, '?') != NULL ? "&" : "?");
	FfReply reply;

	if (ask_app(doctor, "POST", probe, &reply) && reply.status == 200)
		report(doctor, what, ff_text("%s, %s mode, the keys match", url, mode), NULL);
	else
		report_refusal(doctor, what, url, reply.status);
	ff_reply_free(&reply);
	free(probe);
}

static void
check_app(Doctor *doctor, const char *name, const char *url)
{
	char	   *what = ff_text("app %s", name);
	FfReply		reply;
	bool		answered = ask_app(doctor, "GET", url, &reply);
	json_t	   *facts = answered ? json_loads(reply.body, 0, NULL) : NULL;
	const char *mode = ff_json_text(facts, "mode");
	bool		signs = doctor->server.signing_key != NULL;

	if (!answered)
		report(doctor, what, ff_text("%s: %s", url, reply.failure),
			   ff_text("start the app; its runs wait for it"));
	else if (reply.is_sdk && reply.status == 401)
		report_refusal(doctor, what, url, reply.status);
	else if (!reply.is_sdk && reply.status != 200)
		report(
			doctor, what, ff_text("%s answers %ld, and not as an app does", url, reply.status),
			ff_text(
				"something else listens there, or the app serves another path; register it anew"));
	else if (mode != NULL && strcmp(mode, "dev") == 0 && signs)
		report(
			doctor, what, ff_text("%s is in dev mode, the server signs", url),
			ff_text(
				"start the app with INNGEST_BASE_URL, INNGEST_EVENT_KEY and INNGEST_SIGNING_KEY instead of INNGEST_DEV"));
	else if (mode != NULL && strcmp(mode, "cloud") == 0 && !signs)
		report(
			doctor, what, ff_text("%s expects signatures, and we have no key", url),
			ff_text(
				"start the app with INNGEST_DEV, or set FLOWFORGE_SIGNING_KEY here and flowforge.signing_key in PostgreSQL"));
	else if (signs)
		check_trust(doctor, what, url, mode != NULL ? mode : "signed");
	else
		report(doctor, what, ff_text("%s, %s mode", url, mode != NULL ? mode : "unsigned"), NULL);
	json_decref(facts);
	ff_reply_free(&reply);
	free(what);
}

static void
check_apps(Doctor *doctor)
{
	PGresult *apps =
		PQexec(doctor->connection, "select name, url from flowforge.app order by name");

	for (int row = 0; row < PQntuples(apps); row++)
		check_app(doctor, PQgetvalue(apps, row, 0), PQgetvalue(apps, row, 1));
	if (PQresultStatus(apps) == PGRES_TUPLES_OK && PQntuples(apps) == 0)
		report(doctor, "apps", ff_text("none is registered yet"), NULL);
	PQclear(apps);
}

/* The key the database signs with, if we may see it and were given none. */
static void
find_signing_key(Doctor *doctor)
{
	char *key;

	if (doctor->server.signing_key != NULL)
		return;
	key = ask(doctor, "select current_setting('flowforge.signing_key', true)");
	if (key[0] != '\0')
		doctor->server.signing_key = key;
	else
		free(key);
}

static void
check_all(Doctor *doctor)
{
	bool installed = false;

	check_database(doctor);
	check_binaries(doctor);
	if (doctor->connection != NULL)
	{
		check_preload(doctor);
		installed = check_extension(doctor);
	}
	if (installed)
	{
		check_roles(doctor);
		check_workers(doctor);
		check_database_clock(doctor);
		find_signing_key(doctor);
	}
	check_gateway(doctor);
	if (installed)
		check_apps(doctor);
}

FfExit
ff_command_doctor(int argc, char **argv)
{
	Doctor		   doctor = {0};
	FfList		   words = {0};
	const FfOption options[] = {FF_DATABASE_OPTION(doctor.server),
								FF_JSON_OPTION(doctor.server),
								FF_SERVER_OPTIONS(doctor.server),
								{0}};
	const FfUsage  usage = {
		 "", "Checks database, extension, workers, gateway and apps; exit 1 if one is at fault.",
		 options};
	FfParse parse = ff_options(argc, argv, &usage, &words, NULL);

	if (parse != FF_PARSE_GO)
		return parse == FF_PARSE_HELPED ? FF_EXIT_DONE : FF_EXIT_USAGE;
	if (words.count > 0)
		return ff_misused("doctor", "unexpected %s", words.item[0]);
	ff_server_resolve(&doctor.server);
	doctor.checks = json_array();
	check_all(&doctor);
	if (doctor.server.json)
	{
		json_t *answer = json_pack("{s:i, s:O}", "faults", doctor.faults, "checks", doctor.checks);

		ff_json_print(answer);
		json_decref(answer);
	}
	else if (doctor.faults > 0)
		printf("\n  %d fault%s\n", doctor.faults, doctor.faults == 1 ? "" : "s");
	else
		printf("\n  %severything is in order%s\n", ff_style(FF_STYLE_GOOD), ff_style(FF_STYLE_END));
	json_decref(doctor.checks);
	if (doctor.connection != NULL)
		PQfinish(doctor.connection);
	return doctor.faults > 0 ? FF_EXIT_FAILED : FF_EXIT_DONE;
}

/*
 * flowforge doctor: the database, and what runs in it. See doctor.h.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/database.h"
#include "cli/term.h"
#include "cli/programs.h"
#include "doctor/doctor.h"

#define MIN_FREE_PERCENT 5
#define MIN_FREE_BYTES (5LL << 30)

#define SERVE "flowforge.serve(text, text, text, jsonb, bytea)"

/* ---- reaching it ---- */

/* Only of interest where the database is to run on this machine. */
static void
check_binaries(FfDoctor *doctor)
{
	char *binaries = ff_programs();
	char  version[32];

	if (binaries != NULL)
	{
		ff_programs_version(binaries, version);
		ff_doctor_good(doctor, "server programs",
					   ff_text("PostgreSQL %s in %s", version, binaries));
	}
	else if (doctor->connection != NULL)
		ff_doctor_good(doctor, "server programs", ff_text("none on this machine"));
	else
		ff_doctor_fault(doctor, "server programs", ff_text("none on this machine"),
						ff_text("install postgresql-15, or set FLOWFORGE_PG_BINDIR"));
	free(binaries);
}

/* What helps against a connection that was refused, by what the server or the system said. */
static const char *
connection_remedy(const char *message)
{
	if (strstr(message, "starting up") != NULL || strstr(message, "recovery") != NULL ||
		strstr(message, "not yet accepting") != NULL)
		return "PostgreSQL recovers or restores a backup: wait; its log says how far it is";
	if (strstr(message, "does not exist") != NULL && strstr(message, "database \"") != NULL)
		return "set FLOWFORGE_DATABASE_URL to the database that has FlowForge: the server's setting "
			   "flowforge.databases names it";
	if (strstr(message, "authentication failed") != NULL || strstr(message, "pg_hba") != NULL)
		return "set role and password in FLOWFORGE_DATABASE_URL right, or let the role in by "
			   "pg_hba.conf";
	return "start it (`flowforge dev`), or set FLOWFORGE_DATABASE_URL to where it is";
}

static void
check_connection(FfDoctor *doctor)
{
	const char *url = doctor->server.database_url;
	const char *message;

	if (url == NULL)
	{
		ff_doctor_fault(
			doctor, "database", ff_text("not known which"),
			ff_text("run this where `flowforge dev` runs, or set FLOWFORGE_DATABASE_URL"));
		return;
	}
	doctor->connection = ff_database_connect(url);
	if (PQstatus(doctor->connection) == CONNECTION_OK)
	{
		char *version = ff_doctor_ask(doctor, "show server_version");

		ff_doctor_good(doctor, "database",
					   ff_text("%s, PostgreSQL %s", PQdb(doctor->connection), version));
		free(version);
		return;
	}
	message = PQerrorMessage(doctor->connection);
	ff_doctor_fault(doctor, "database", ff_copy(message), ff_copy(connection_remedy(message)));
	PQfinish(doctor->connection);
	doctor->connection = NULL;
}

/* ---- what the server has loaded ---- */

/* Whether the server runs executors for this database. */
static bool
is_served(FfDoctor *doctor)
{
	char *name = PQescapeLiteral(doctor->connection, PQdb(doctor->connection),
								 strlen(PQdb(doctor->connection)));
	char *query = ff_text("select 'yes' where %s = any (regexp_split_to_array(btrim("
						  "current_setting('flowforge.databases', true)), '\\s*,\\s*'))",
						  name);
	char *answer = ff_doctor_ask(doctor, query);
	bool  served = answer[0] != '\0';

	free(answer);
	free(query);
	PQfreemem(name);
	return served;
}

static bool
has_extension(FfDoctor *doctor)
{
	char *found =
		ff_doctor_ask(doctor, "select 'yes' from pg_extension where extname = 'flowforge'");
	bool has = found[0] != '\0';

	free(found);
	return has;
}

/* The server serves other databases than this one. */
static void
report_database(FfDoctor *doctor, bool installed)
{
	const char *name = PQdb(doctor->connection);
	char	   *served = ff_doctor_ask(doctor, "show flowforge.databases");
	char	   *found = ff_text("%s is not served: flowforge.databases = '%s'", name, served);

	doctor->idle = true;
	if (installed || served[0] == '\0')
		ff_doctor_fault(doctor, "served databases", found,
						ff_text("add %s to flowforge.databases in postgresql.conf and restart "
								"PostgreSQL%s",
								name, installed ? "" : "; then: create extension flowforge"));
	else
		ff_doctor_fault(
			doctor, "served databases", found,
			ff_text("is this the wrong database? Set FLOWFORGE_DATABASE_URL to %s, or add "
					"%s to flowforge.databases in postgresql.conf, restart PostgreSQL "
					"and: create extension flowforge",
					served, name));
	free(served);
}

/*
 * Whether the rest of the database is worth looking at. Not everybody may see which libraries are
 * preloaded; the settings they bring everybody sees, and one that is only in postgresql.conf is
 * none.
 */
static bool
check_preload(FfDoctor *doctor)
{
	char *loaded =
		ff_doctor_ask(doctor, "select 'yes' from pg_settings where name = 'flowforge.databases'");
	char *preload = ff_doctor_ask(
		doctor, "select setting from pg_settings where name = 'shared_preload_libraries'");
	bool installed = has_extension(doctor);

	if (loaded[0] == '\0')
	{
		doctor->idle = true;
		ff_doctor_fault(doctor, "preload", ff_text("shared_preload_libraries = '%s'", preload),
						ff_text("set shared_preload_libraries = '%s%sflowforge' in postgresql.conf "
								"and restart PostgreSQL",
								preload, preload[0] != '\0' ? ", " : ""));
	}
	else if (!is_served(doctor))
		report_database(doctor, installed);
	else
		ff_doctor_good(doctor, "preload",
					   ff_text("%s, for database %s", preload[0] != '\0' ? preload : "flowforge",
							   PQdb(doctor->connection)));
	free(preload);
	free(loaded);
	return installed || !doctor->idle;
}

static void
check_extension(FfDoctor *doctor)
{
	char *version =
		ff_doctor_ask(doctor, "select extversion from pg_extension where extname = 'flowforge'");
	char *available = ff_doctor_ask(
		doctor, "select default_version from pg_available_extensions where name = 'flowforge'");

	doctor->installed = version[0] != '\0';
	if (!doctor->installed)
		ff_doctor_fault(doctor, "extension", ff_text("flowforge is not in this database"),
						ff_copy(available[0] == '\0'
									? "install FlowForge on the database's machine, then: "
									  "create extension flowforge"
									: "create extension flowforge"));
	else if (strcmp(version, available) != 0)
	{
		doctor->idle = true;
		ff_doctor_fault(doctor, "extension",
						ff_text("version %s in the database, %s installed", version, available),
						ff_text("alter extension flowforge update"));
	}
	else if (strcmp(version, FF_VERSION) != 0)
		ff_doctor_fault(doctor, "extension",
						ff_text("version %s, this program is " FF_VERSION, version),
						ff_text("install the program and the extension from the same release"));
	else
		ff_doctor_good(doctor, "extension", ff_text("flowforge %s", version));
	free(available);
	free(version);
}

/* ---- who may do what ---- */

static void
check_gateway_role(FfDoctor *doctor)
{
	char *exists =
		ff_doctor_ask(doctor, "select 'yes' from pg_roles where rolname = 'flowforge_gateway'");
	char *state = ff_doctor_ask(
		doctor,
		"select case when not rolcanlogin then 'may not log in' "
		"when rolsuper then 'is a superuser' "
		"when not has_schema_privilege(oid, 'flowforge', 'usage') then 'may not use the schema flowforge' "
		"when not has_function_privilege(oid, '" SERVE
		"', 'execute') then 'may not call flowforge.serve' end "
		"from pg_roles where rolname = 'flowforge_gateway'");

	if (exists[0] == '\0')
		ff_doctor_fault(
			doctor, "roles", ff_text("there is no role flowforge_gateway"),
			ff_text("create role flowforge_gateway login; then grant it what the extension's "
					"functions need: drop extension flowforge; create extension flowforge"));
	else if (state[0] != '\0')
		ff_doctor_fault(
			doctor, "roles", ff_text("flowforge_gateway %s", state),
			ff_text("alter role flowforge_gateway login nosuperuser; grant usage on "
					"schema flowforge to flowforge_gateway; grant execute on function " SERVE
					" to flowforge_gateway"));
	else
		ff_doctor_good(doctor, "roles", ff_text("flowforge_gateway may log in and serve"));
	free(state);
	free(exists);
}

/* Who asks: a role that the gateway could not serve as was forgotten to be granted. Functions of a
 * schema that may not be used cannot be asked about. */
static void
check_own_role(FfDoctor *doctor)
{
	char *barred = ff_doctor_ask(
		doctor, "select quote_ident(current_user) where current_user <> 'flowforge_gateway' and "
				"case when has_schema_privilege('flowforge', 'usage') "
				"then not has_function_privilege('" SERVE "', 'execute') else true end");

	if (barred[0] != '\0')
		ff_doctor_fault(doctor, "this role",
						ff_text("%s may neither serve nor look at what is there", barred),
						ff_text("grant flowforge_gateway to %s", barred));
	free(barred);
}

/* ---- the executors ---- */

static bool
check_restoring(FfDoctor *doctor)
{
	char *recovery = ff_doctor_ask(doctor, "select 'yes' where pg_is_in_recovery()");
	char *restoring = ff_doctor_ask(
		doctor, "select 'yes' where current_setting('flowforge.restoring', true) = 'on'");

	if (recovery[0] != '\0')
		ff_doctor_fault(doctor, "restoring",
						ff_text("the server is a standby, or restores a backup"),
						ff_text("ask the primary; if this is to be it: select pg_promote()"));
	else if (restoring[0] != '\0')
	{
		char *name = ff_doctor_ask(doctor, "select quote_ident(current_database())");

		ff_doctor_fault(doctor, "restoring",
						ff_text("flowforge.restoring is on: the executors idle"),
						ff_text("when the dump is restored: alter database %s reset "
								"flowforge.restoring (or in postgresql.conf, and reload)",
								name));
		free(name);
	}
	if (recovery[0] != '\0' || restoring[0] != '\0')
		doctor->idle = true;
	free(restoring);
	free(recovery);
	return !doctor->idle;
}

/* One line of ff_status(): counts executors, and keeps why one idles and what went wrong last. */
typedef struct Work
{
	int			executors;
	int			working;
	const char *idle;
	const char *error;
} Work;

static void
read_item(Work *work, const char *item, const char *value)
{
	if (strcmp(item, "last error") == 0)
		work->error = strcmp(value, "-") != 0 ? value : NULL;
	if (strncmp(item, "executor", 8) != 0)
		return;
	work->executors++;
	if (strstr(value, "working") != NULL)
		work->working++;
	else
		work->idle = value;
}

static void
check_workers(FfDoctor *doctor)
{
	PGresult *result = PQexec(doctor->connection, "select item, value from ff_status()");
	Work	  work = {.idle = "none runs"};

	for (int row = 0; row < PQntuples(result); row++)
		read_item(&work, PQgetvalue(result, row, 0), PQgetvalue(result, row, 1));
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		ff_doctor_advise(doctor, "workers",
						 ff_text("%s", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)),
						 ff_text("to see them here connect as a role that may call ff_status()"));
	else if (work.executors == 0 || work.working < work.executors)
	{
		doctor->idle = true;
		ff_doctor_fault(
			doctor, "workers",
			ff_text("%d of %d executors work: %s", work.working, work.executors, work.idle),
			ff_text("PostgreSQL's log says why; max_worker_processes may be too small"));
	}
	else
		ff_doctor_good(doctor, "workers",
					   ff_text("%d executor%s%s%s", work.executors, work.executors == 1 ? "" : "s",
							   work.error != NULL ? "; last error: " : "",
							   work.error != NULL ? work.error : ""));
	PQclear(result);
}

/* Without pg_cron the executors fire schedules; one that is there and does not run is at fault. */
static void
check_cron(FfDoctor *doctor)
{
	char *state = ff_doctor_ask(
		doctor,
		"select case when not exists (select from pg_extension where extname = 'pg_cron') "
		"then 'absent' when not exists (select from pg_settings where name = 'cron.database_name') then "
		"'not preloaded' when current_setting('cron.database_name', true) is distinct from "
		"current_database() then 'of another database' else 'good' end");
	const char *name = PQdb(doctor->connection);

	if (strcmp(state, "good") == 0)
		ff_doctor_good(doctor, "pg_cron", ff_text("fires the schedules"));
	else if (strcmp(state, "absent") == 0)
		ff_doctor_advise(
			doctor, "pg_cron",
			ff_text("none in this database: the executors fire the schedules alone"),
			ff_text("install postgresql-15-cron, add pg_cron to shared_preload_libraries, set "
					"cron.database_name = '%s', restart PostgreSQL and: create extension pg_cron",
					name));
	else if (state[0] != '\0')
		ff_doctor_fault(doctor, "pg_cron",
						ff_text("in this database, and %s: its jobs do not run", state),
						ff_text("add pg_cron to shared_preload_libraries, set cron.database_name = "
								"'%s' and restart PostgreSQL, or: drop extension pg_cron",
								name));
	free(state);
}

/* ---- the machine ---- */

static bool
is_nearly_full(const FfDoctor *doctor, int64_t total, int64_t available)
{
	if (doctor->min_free > 0)
		return available < total / 100 * doctor->min_free;
	return available < total / 100 * MIN_FREE_PERCENT && available < MIN_FREE_BYTES;
}

/* The fullest of the file systems the server writes to. Not known for an extension that is older,
 * or to a role that may not ask. */
static void
check_disk(FfDoctor *doctor)
{
	PGresult *result = PQexec(doctor->connection,
							  "select place, total, available, pg_size_pretty(available), "
							  "pg_size_pretty(total) from flowforge.disk_space() where total > 0 "
							  "order by available::numeric / total limit 1");

	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0)
	{
		int64_t total = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
		int64_t available = strtoll(PQgetvalue(result, 0, 2), NULL, 10);
		char   *found = ff_text("%s of %s left in %s", PQgetvalue(result, 0, 3),
								PQgetvalue(result, 0, 4), PQgetvalue(result, 0, 0));

		if (is_nearly_full(doctor, total, available))
			ff_doctor_fault(doctor, "disk", found,
							ff_text("make room before PostgreSQL stops: give the file system more, "
									"lower flowforge.retention, drop replication slots that nobody "
									"reads (pg_replication_slots)"));
		else
			ff_doctor_good(doctor, "disk", found);
	}
	PQclear(result);
}

static void
check_clock(FfDoctor *doctor)
{
	char *now =
		ff_doctor_ask(doctor, "select (extract(epoch from clock_timestamp()) * 1000)::bigint");

	ff_doctor_clock(doctor, "clock, database", strtoll(now, NULL, 10), 50);
	free(now);
}

/* The key the database signs with, if we may see it and were given none. */
static void
find_signing_key(FfDoctor *doctor)
{
	char *key;

	if (doctor->server.signing_key != NULL)
		return;
	key = ff_doctor_ask(doctor, "select current_setting('flowforge.signing_key', true)");
	if (key[0] != '\0')
		doctor->server.signing_key = key;
	else
		free(key);
}

void
ff_doctor_database(FfDoctor *doctor)
{
	check_connection(doctor);
	check_binaries(doctor);
	if (doctor->connection == NULL)
		return;
	if (check_preload(doctor))
		check_extension(doctor);
	check_clock(doctor);
	if (!doctor->installed)
		return;
	check_gateway_role(doctor);
	check_own_role(doctor);
	if (check_restoring(doctor))
		check_workers(doctor);
	check_cron(doctor);
	check_disk(doctor);
	find_signing_key(doctor);
}

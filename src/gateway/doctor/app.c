/*
 * flowforge doctor: the apps, whether they answer, and whether their keys are ours. See
 * doctor.h.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "cli/http.h"
#include "doctor/doctor.h"

/*
 * One request to an app, signed when there is a key. A POST has the body {}: what an app makes of
 * none depends on its framework, and with it what it takes the signature to be of.
 */
static bool
ask_app(const FfDoctor *doctor, const char *method, const char *url, FfReply *reply)
{
	FfRequest request = {
		.method = method,
		.url = url,
		.body = strcmp(method, "POST") == 0 ? "{}" : NULL,
	};

	return ff_app_http(&doctor->server, &request, reply);
}

static void
report_refusal(FfDoctor *doctor, const char *what, const char *url, long status)
{
	ff_doctor_fault(doctor, what, ff_text("%s refuses our signature (%ld)", url, status),
					ff_text("give the app the same key: INNGEST_SIGNING_KEY there, "
							"flowforge.signing_key in PostgreSQL, FLOWFORGE_SIGNING_KEY here"));
}

/* The trust probe: a signed POST that an app answers with 200 only if its key is ours. */
static void
check_trust(FfDoctor *doctor, const char *what, const char *url, const char *mode)
{
	char   *probe = ff_text("%s%sprobe=trust", url, strchr(url, '?') != NULL ? "&" : "?");
	FfReply reply;

	if (ask_app(doctor, "POST", probe, &reply) && reply.status == 200)
		ff_doctor_good(doctor, what, ff_text("%s, %s mode, the keys match", url, mode));
	else
		report_refusal(doctor, what, url, reply.status);
	ff_reply_free(&reply);
	free(probe);
}

/* Which of the two signs, by what the app says of itself (NULL: nothing), and whether they agree.
 */
static void
check_mode(FfDoctor *doctor, const char *what, const char *url, const char *mode)
{
	bool signs = doctor->server.signing_key != NULL;

	if (mode != NULL && strcmp(mode, "dev") == 0 && signs)
		ff_doctor_fault(doctor, what, ff_text("%s is in dev mode, the server signs", url),
						ff_text("start the app with INNGEST_BASE_URL, INNGEST_EVENT_KEY and "
								"INNGEST_SIGNING_KEY instead of INNGEST_DEV"));
	else if (mode != NULL && strcmp(mode, "cloud") == 0 && !signs)
		ff_doctor_fault(doctor, what, ff_text("%s expects signatures, and we have no key", url),
						ff_text("start the app with INNGEST_DEV, or set FLOWFORGE_SIGNING_KEY here "
								"and flowforge.signing_key in PostgreSQL"));
	else if (signs)
		check_trust(doctor, what, url, mode != NULL ? mode : "signed");
	else
		ff_doctor_good(doctor, what, ff_text("%s, %s mode", url, mode != NULL ? mode : "unsigned"));
}

/* A clock that is off explains a refused signature, so it is looked at before. */
static void
check_app(FfDoctor *doctor, const char *name, const char *url)
{
	char   *what = ff_text("app %s", name);
	char   *clock = ff_text("clock, app %s", name);
	FfReply reply;
	bool	answered = ask_app(doctor, "GET", url, &reply);
	json_t *facts = answered ? json_loads(reply.body, 0, NULL) : NULL;

	if (!answered)
		ff_doctor_fault(doctor, what, ff_text("%s: %s", url, reply.failure),
						ff_text("start the app; its runs wait for it"));
	else if (!reply.is_sdk && reply.status != 200)
		ff_doctor_fault(doctor, what,
						ff_text("%s answers %ld, and not as an app does", url, reply.status),
						ff_text("something else listens there, or the app serves another path; "
								"register it anew"));
	else if (reply.date > 0 && ff_doctor_skewed(reply.date + 500))
		ff_doctor_clock(doctor, clock, reply.date + 500, 1500);
	else if (reply.is_sdk && reply.status == 401)
		report_refusal(doctor, what, url, reply.status);
	else
		check_mode(doctor, what, url, ff_json_text(facts, "mode"));
	json_decref(facts);
	ff_reply_free(&reply);
	free(clock);
	free(what);
}

void
ff_doctor_apps(FfDoctor *doctor)
{
	PGresult *apps;

	if (!doctor->installed)
		return;
	apps = PQexec(doctor->connection,
				  "select name, url from flowforge.app where url ~ '^https?:' order by name");
	for (int row = 0; row < PQntuples(apps); row++)
		check_app(doctor, PQgetvalue(apps, row, 0), PQgetvalue(apps, row, 1));
	if (PQresultStatus(apps) != PGRES_TUPLES_OK)
		ff_doctor_advise(doctor, "apps",
						 ff_text("%s", PQresultErrorField(apps, PG_DIAG_MESSAGE_PRIMARY)),
						 ff_text("to have them looked at connect as a role that may read "
								 "flowforge.app"));
	else if (PQntuples(apps) == 0)
		ff_doctor_good(doctor, "apps", ff_text("none is registered yet"));
	PQclear(apps);
}

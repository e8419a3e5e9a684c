/*
 * flowforge.c - the module's entry: its settings, its shared memory, its workers and hooks.
 */
#include "postgres.h"

#include <unistd.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "audit/audit.h"
#include "event/event.h"
#include "function/filter.h"
#include "function/function.h"
#include "http/client.h"
#include "http/guard.h"
#include "http/smtp.h"
#include "lang/lang.h"
#include "protocol/protocol.h"
#include "run/run.h"
#include "slot/depth.h"
#include "slot/hint.h"
#include "slot/shared.h"
#include "team/caller.h"
#include "team/jwt.h"
#include "team/known.h"
#include "team/principal.h"
#include "team/team.h"
#include "sandbox/client.h"
#include "sandbox/wire.h"
#include "step/step.h"
#include "util/json.h"
#include "util/seal.h"
#include "util/sign.h"
#include "util/trace.h"
#include "worker/call.h"
#include "worker/executor.h"
#include "worker/turn.h"
#include "util/spi.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static char *public_url = NULL;
static char *served[6]; /* what is said of the request that is served */

char	  *ff_event_keys = NULL;
extern int ff_executors;

static int
default_executors(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return (int) Min(Max(cores, 1), 4);
}

static void
define_int(const char *name, const char *description, int *variable, int start, int min, int max,
		   GucContext context, int flags)
{
	DefineCustomIntVariable(name, description, NULL, variable, start, min, max, context, flags,
							NULL, NULL, NULL);
}

static void
define_text(const char *name, const char *description, char **variable, const char *start,
			GucContext context, int flags)
{
	DefineCustomStringVariable(name, description, NULL, variable, start, context, flags, NULL, NULL,
							   NULL);
}

/* A key with which no bearer could agree would lock everybody out. */
static bool
check_key(char **value, void **extra, GucSource source)
{
	if ((*value)[0] == '\0' || ff_key_is_valid(*value))
		return true;
	GUC_check_errdetail("It is not a signing key.");
	GUC_check_errhint(
		"A signing key is an even number of hexadecimal digits, on their own or after "
		"\"signkey-\", a word and \"-\".");
	return false;
}

/* Shorter secrets can be guessed from a token. */
static bool
check_secret(char **value, void **extra, GucSource source)
{
	if ((*value)[0] == '\0' || strlen(*value) >= FF_JWT_SECRET_MIN)
		return true;
	GUC_check_errdetail("It is shorter than %d characters.", FF_JWT_SECRET_MIN);
	GUC_check_errhint("openssl rand -hex 32 makes a good one.");
	return false;
}

static bool
check_public_url(char **value, void **extra, GucSource source)
{
	const char *url = *value;
	size_t		scheme = strncmp(url, "https://", 8) == 0 ? 8 : 7;

	if (url[0] == '\0' ||
		((scheme == 8 || strncmp(url, "http://", 7) == 0) && strcspn(url + scheme, "/?#") > 0 &&
		 strpbrk(url, "?#<>\"' \t\r\n") == NULL))
		return true;
	GUC_check_errdetail("It is not the address of a gateway.");
	GUC_check_errhint("Write it like https://flows.example.com.");
	return false;
}

/* Of a value that is checked when it is set. */
static void
define_list(const char *name, const char *description, const char *more, char **variable,
			const char *start, GucStringCheckHook check, GucStringAssignHook assign)
{
	DefineCustomStringVariable(name, description, more, variable, start, PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, check, assign, NULL);
}

static void
define_key(const char *name, const char *description, char **variable)
{
	DefineCustomStringVariable(name, description, NULL, variable, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, check_key, NULL, NULL);
}

/* Settings of the workers: where they work and how much they do at once. */
static void
define_worker_settings(void)
{
	define_text("flowforge.databases",
				"The databases that have executors (names, comma-separated).", &ff_databases,
				"postgres", PGC_POSTMASTER, GUC_LIST_INPUT);
	DefineCustomIntVariable("flowforge.executors", "Executors of each database.",
							"By default the number of cores, at most 4.", &ff_executors,
							default_executors(), 1, FF_MAX_EXECUTORS, PGC_POSTMASTER, 0, NULL, NULL,
							NULL);
	define_int("flowforge.max_in_flight",
			   "Calls to apps an executor has under way at most, but for tenants with few of them.",
			   &ff_max_in_flight, 512, 1, FF_MAX_CALLS, PGC_SIGHUP, 0);
	define_int("flowforge.max_in_flight_per_app",
			   "Calls to one app an executor has under way at most.", &ff_max_in_flight_per_app,
			   128, 1, FF_MAX_CALLS, PGC_SIGHUP, 0);
	define_int("flowforge.group_size", "Runs whose changes are written in one transaction at most.",
			   &ff_group_size, 128, 1, 1000, PGC_SIGHUP, 0);
	define_int("flowforge.group_wait", "How long a change may wait for others to be written with.",
			   &ff_group_wait, 2, 0, 1000, PGC_SIGHUP, GUC_UNIT_MS);
	define_int(
		"flowforge.executor_memory",
		"Memory for runs beyond which an executor forgets results of graphs' steps that it can "
		"read again.",
		&ff_executor_memory, 256 * 1024, 1024, INT_MAX / 2, PGC_SIGHUP, GUC_UNIT_KB);
	define_int("flowforge.sweep_interval",
			   "How long after work came in the executors look whether a hint was lost.",
			   &ff_sweep_interval, 5000, 100, 3600000, PGC_SIGHUP, GUC_UNIT_MS);
	define_int("flowforge.partitions_ahead", "Days for which partitions are made ahead.",
			   &ff_partitions_ahead, 3, 1, 90, PGC_SIGHUP, 0);
	define_int("flowforge.retention",
			   "Days after which partitions are dropped; 0 keeps everything.", &ff_retention, 30, 0,
			   36500, PGC_SIGHUP, 0);
	DefineCustomBoolVariable("flowforge.restoring",
							 "Executors idle, for the time a dump is restored.", NULL,
							 &ff_restoring, false, PGC_SUSET, 0, NULL, NULL, NULL);
}

/* Settings of calls to apps. */
static void
define_call_settings(void)
{
	define_int("flowforge.request_timeout", "How long a call to an app may take.",
			   &ff_request_timeout, 7200000, 1, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS);
	define_int("flowforge.connect_timeout", "How long connecting to an app may take.",
			   &ff_connect_timeout, 10000, 1, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS);
	define_int("flowforge.response_limit", "The largest answer an app may give.",
			   &ff_response_limit, 4 * 1024 * 1024, 1024, 256 * 1024 * 1024, PGC_SIGHUP,
			   GUC_UNIT_BYTE);
	define_int("flowforge.request_limit",
			   "The events and results a call carries; beyond it the app fetches them.",
			   &ff_request_limit, 4 * 1024 * 1024, 1024, 256 * 1024 * 1024, PGC_SIGHUP,
			   GUC_UNIT_BYTE);
	define_int("flowforge.output_limit", "The largest result of a step or a run.", &ff_output_limit,
			   4 * 1024 * 1024, 1024, 256 * 1024 * 1024, PGC_SIGHUP, GUC_UNIT_BYTE);
	define_int("flowforge.state_limit", "The results of all steps of a run together.",
			   &ff_state_limit, 32 * 1024 * 1024, 1024, 1024 * 1024 * 1024, PGC_SIGHUP,
			   GUC_UNIT_BYTE);
	define_int("flowforge.step_limit", "Steps a run may have.", &ff_step_limit, 1000, 1, 10000,
			   PGC_SIGHUP, 0);
	define_int("flowforge.retry_interval",
			   "A fixed delay between attempts; 0 doubles it each time, with jitter.",
			   &ff_retry_interval, 0, 0, 86400000, PGC_SIGHUP, GUC_UNIT_MS);
	DefineCustomBoolVariable("flowforge.checkpointing",
							 "Whether SDKs may report steps while a call goes on.", NULL,
							 &ff_checkpointing, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	define_int("flowforge.endpoint_lease",
			   "How long a run that began in its app may be silent before the engine goes on.",
			   &ff_endpoint_lease, 300, 1, 86400, PGC_SIGHUP, GUC_UNIT_S);
	define_int("flowforge.unreachable_limit",
			   "How long an app may be unreachable before its runs fail.", &ff_unreachable_limit,
			   86400, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_S);
	define_int("flowforge.invoke_depth_limit", "How long a chain of runs that invoke runs may be.",
			   &ff_invoke_depth_limit, 100, 1, 10000, PGC_SIGHUP, 0);
	define_key("flowforge.signing_key",
			   "Signs calls to apps; without one the server is in development mode.",
			   &ff_signing_key);
	define_key(
		"flowforge.signing_key_fallback",
		"A second key that is accepted while keys are rotated; apps that refuse the first are asked for their functions with it.",
		&ff_signing_key_fallback);
}

/* Settings of calls to others than apps. */
static void
define_outbound_settings(void)
{
	define_list("flowforge.outbound_allow",
				"What steps may call beside public addresses: networks, hosts, either with a port "
				"(comma-separated).",
				"Like 10.1.0.0/16, vault.internal, 127.0.0.1:8080, [::1]:8080.", &ff_outbound_allow,
				"", ff_guard_check_allow, ff_guard_assign_allow);
	define_list(
		"flowforge.outbound_ports", "The ports steps may call: ports and ranges (comma-separated).",
		"At first the ports of the web, and those that nobody needs privileges to listen at.",
		&ff_outbound_ports, "80,443,1024-65535", ff_guard_check_ports, ff_guard_assign_ports);
	define_int("flowforge.outbound_timeout", "How long a call that a step makes may take.",
			   &ff_outbound_timeout, 600000, 1, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS);
	define_text("flowforge.ca_file",
				"The file of certificates of authorities that calls trust; empty: the system's.",
				&ff_ca_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY);
	define_int("flowforge.max_in_flight_per_host",
			   "Calls that a tenant's steps make to one host an executor has under way at most.",
			   &ff_max_in_flight_per_host, 64, 1, FF_MAX_CALLS, PGC_SIGHUP, 0);
}

/* Settings of mails. */
static void
define_mail_settings(void)
{
	static const struct config_enum_entry levels[] = {{"required", FF_SMTP_TLS_REQUIRED, false},
													  {"offered", FF_SMTP_TLS_OFFERED, false},
													  {"never", FF_SMTP_TLS_NEVER, false},
													  {NULL, 0, false}};

	define_list("flowforge.smtp_url",
				"The mail server, like smtp://mail.example.com:587 or smtps://mail.example.com.",
				NULL, &ff_smtp_url, "", ff_smtp_check_url, NULL);
	define_list("flowforge.smtp_from", "Who mails are from when a step does not say.", NULL,
				&ff_smtp_from, "", ff_smtp_check_from, NULL);
	define_text("flowforge.smtp_user", "The user the mail server knows us by; empty: none.",
				&ff_smtp_user, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY);
	define_text("flowforge.smtp_password_file",
				"The file whose first line is that user's password.", &ff_smtp_password_file, "",
				PGC_SIGHUP, GUC_SUPERUSER_ONLY);
	DefineCustomEnumVariable("flowforge.smtp_tls",
							 "Whether mails go encrypted only (required, but not to a server on "
							 "this machine), when it is offered, or never.",
							 NULL, &ff_smtp_tls, FF_SMTP_TLS_REQUIRED, levels, PGC_SIGHUP, 0, NULL,
							 NULL, NULL);
}

/* A line break in a header would begin another one. */
static bool
check_otlp_headers(char **value, void **extra, GucSource source)
{
	if (strpbrk(*value, "\r\n") == NULL && (**value == '\0' || strchr(*value, '=') != NULL))
		return true;
	GUC_check_errdetail("They are one line like authorization=Bearer abc,x-team=shop.");
	return false;
}

static bool
check_otlp_endpoint(char **value, void **extra, GucSource source)
{
	if (**value == '\0' || strncmp(*value, "http://", 7) == 0 ||
		strncmp(*value, "https://", 8) == 0)
		return true;
	GUC_check_errdetail("It is no URL of http or https.");
	GUC_check_errhint("A collector listens at a URL like http://127.0.0.1:4318/v1/traces.");
	return false;
}

static bool
check_traceparent(char **value, void **extra, GucSource source)
{
	if (**value == '\0' || ff_trace_is_parent(*value))
		return true;
	GUC_check_errdetail("It is no traceparent of W3C trace context, version 00.");
	return false;
}

/* Settings of traces. */
static void
define_trace_settings(void)
{
	DefineCustomStringVariable(
		"flowforge.traceparent", "The trace that events sent by this session belong to.",
		"A traceparent of W3C trace context; empty: none.", &ff_trace_setting, "", PGC_USERSET, 0,
		check_traceparent, NULL, NULL);
	define_list("flowforge.otlp_endpoint",
				"Where spans of runs and steps are sent, by OTLP/HTTP in JSON; empty: nowhere.",
				"The whole URL, like http://127.0.0.1:4318/v1/traces.", &ff_otlp_endpoint, "",
				check_otlp_endpoint, NULL);
	define_list("flowforge.otlp_headers", "Headers that go with them: name=value,name=value.", NULL,
				&ff_otlp_headers, "", check_otlp_headers, NULL);
}

/* Settings of the steps the server takes itself. */
static void
define_step_settings(void)
{
	define_int("flowforge.sql_workers",
			   "Statements of Sql steps that run at once in each database.", &ff_sql_workers, 4, 1,
			   FF_MAX_SQL_WORKERS, PGC_SIGHUP, 0);
	define_text(
		"flowforge.secret_key_file",
		"The file with the key that stored secrets are sealed with (64 hexadecimal digits).",
		&ff_secret_key_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY);
	define_text("flowforge.secret_key_file_old",
				"The file with the key of before, while what it has sealed is sealed anew "
				"(ff_secret_rotate).",
				&ff_secret_key_file_old, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY);
	DefineCustomStringVariable("flowforge.public_url",
							   "Where browsers reach the gateway: what links begin with.",
							   "Without one they are paths.", &public_url, "", PGC_SIGHUP, 0,
							   check_public_url, NULL, NULL);
	define_int("flowforge.sql_timeout",
			   "How long a statement of a Sql step may take when the step does not say.",
			   &ff_sql_timeout, 300000, 1, 86400000, PGC_SIGHUP, GUC_UNIT_MS);
	define_text("flowforge.sandbox_program",
				"The program that runs code; empty is flowforge-sandbox beside the server's own.",
				&ff_sandbox_program, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY);
	define_int("flowforge.sandbox_processes", "Processes of each executor that run code at once.",
			   &ff_sandbox_processes, 4, 1, FF_SANDBOX_MAX_CHILDREN, PGC_SIGHUP, 0);
	define_int("flowforge.sandbox_memory", "The memory a process that runs code may have.",
			   &ff_sandbox_memory, 128, 16, 2048, PGC_SIGHUP, GUC_UNIT_MB);
}

/* Settings of events. */
static void
define_event_settings(void)
{
	define_int("flowforge.event_limit", "The largest event that is accepted.", &ff_event_size_limit,
			   512 * 1024, 1024, 64 * 1024 * 1024, PGC_SIGHUP, GUC_UNIT_BYTE);
	define_int("flowforge.event_dedupe_window", "How long a repeated event id is recognised.",
			   &ff_event_dedupe_window, 86400, 1, 31536000, PGC_SIGHUP, GUC_UNIT_S);
	define_int("flowforge.json_depth_limit", "How deep JSON from outside may be nested.",
			   &ff_json_depth_limit, 64, 8, 1000, PGC_SIGHUP, 0);
	define_text(
		"flowforge.event_keys",
		"The keys that may send events over HTTP (comma-separated); unused in development mode.",
		&ff_event_keys, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY);
}

/* Who may do what, and, while a request is served, who asks. */
static void
define_access_settings(void)
{
	static const struct config_enum_entry modes[] = {
		{"dev", FF_AUTH_DEV, false}, {"on", FF_AUTH_ON, false}, {NULL, 0, false}};

	DefineCustomEnumVariable("flowforge.auth",
							 "Whether callers of the HTTP API must always prove who they are (on), "
							 "or only when there is a signing key (dev).",
							 "Without a key a server in dev answers callers on its own machine.",
							 &ff_auth, FF_AUTH_DEV, modes, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("flowforge.jwt_secret",
							   "Signs the tokens of signed-in users; at least 32 characters.",
							   "Another one signs everybody out.", &ff_jwt_secret, "", PGC_SUSET,
							   GUC_SUPERUSER_ONLY, check_secret, NULL, NULL);
	define_text("flowforge.actor", "Who asks, while a request is served.", &served[0], "",
				PGC_SUSET, GUC_NOT_IN_SAMPLE);
	define_text("flowforge.role", "The role of who asks.", &served[1], "", PGC_SUSET,
				GUC_NOT_IN_SAMPLE);
	define_text("flowforge.scopes", "The scopes of who asks, as a number.", &served[2], "",
				PGC_SUSET, GUC_NOT_IN_SAMPLE);
	define_text("flowforge.request_id", "The id of the request that is served.", &served[3], "",
				PGC_SUSET, GUC_NOT_IN_SAMPLE);
	define_text("flowforge.address", "The address of who asks.", &served[4], "", PGC_SUSET,
				GUC_NOT_IN_SAMPLE);
	define_text("flowforge.pass", "By what who asks can be known again.", &served[5], "", PGC_SUSET,
				GUC_NOT_IN_SAMPLE | GUC_SUPERUSER_ONLY);
}

/* Settings of the audit log. */
static void
define_audit_settings(void)
{
	define_text("flowforge.audit_key_file",
				"The file with the key that the audit log is sealed with (64 hexadecimal digits); "
				"empty: it is chained only.",
				&ff_audit_key_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY);
	define_list("flowforge.audit_public_keys",
				"The public halves of audit keys whose seals count beside those of the key file's "
				"(comma-separated).",
				NULL, &ff_audit_public_keys, "", ff_audit_check_keys, NULL);
	define_int("flowforge.audit_seal_interval", "How often the audit log is sealed.",
			   &ff_audit_seal_interval, 60, 1, 86400, PGC_SIGHUP, GUC_UNIT_S);
	define_int("flowforge.audit_retention",
			   "Days the audit log is kept, up to the seal before them; 0: for ever.",
			   &ff_audit_retention, 0, 0, 36500, PGC_SIGHUP, 0);
}

/* Limits of the expression language. They bound what one evaluation may cost this very backend. */
static void
define_language_settings(void)
{
	define_int("flowforge.expression_source_limit", "The longest expression or template.",
			   &ff_lang_max_source, 16 * 1024, 64, 1024 * 1024, PGC_SUSET, GUC_UNIT_BYTE);
	define_int("flowforge.expression_depth_limit",
			   "How deep expressions, templates and the lists they make may be nested.",
			   &ff_lang_max_depth, 100, 5, 1000, PGC_SUSET, 0);
	define_int("flowforge.expression_step_limit",
			   "Steps the evaluation of an expression or the rendering of a config may take.",
			   &ff_lang_max_steps, 100000, 100, 1000000000, PGC_SUSET, 0);
	define_int("flowforge.expression_output_limit",
			   "The largest value an expression may make, or a config by its templates.",
			   &ff_lang_max_output, 1024 * 1024, 1024, 256 * 1024 * 1024, PGC_SUSET, GUC_UNIT_BYTE);
}

/* Also where the library is not preloaded: events are recorded for a tenant there, too. */
static void
define_team_settings(void)
{
	define_int("flowforge.tenant",
			   "The tenant the session works for, unless its role is tied to one (ff_grant).",
			   &ff_tenant_setting, 1, 1, INT_MAX, PGC_SUSET, 0);
	ff_tenant_init();
	ff_caller_init();
	ff_known_init();
}

void
_PG_init(void)
{
	define_language_settings();
	define_team_settings();
	if (!process_shared_preload_libraries_in_progress)
	{
		/* Without preloading there is no shared memory: SQL functions work, nothing is executed. */
		if (ff_shared == NULL)
			ereport(WARNING,
					(errmsg("flowforge is not preloaded: events are recorded but nothing runs"),
					 errhint("Add flowforge to shared_preload_libraries and restart the server.")));
		ff_plan_init();
		ff_hint_init();
		ff_depth_init();
		ff_function_init();
		return;
	}
	define_worker_settings();
	define_call_settings();
	define_outbound_settings();
	define_mail_settings();
	define_event_settings();
	define_access_settings();
	define_trace_settings();
	define_step_settings();
	define_audit_settings();
	MarkGUCPrefixReserved("flowforge");
	ff_plan_init();
	ff_shared_init();
	ff_filter_init();
	ff_hint_init();
	ff_depth_init();
	ff_function_init();
	ff_step_init();
	ff_utility_init();
	ff_worker_register();
}

/*
 * export.c - executor 0 sends the spans of runs that have ended to a collector, by OTLP/HTTP in
 * JSON, while flowforge.otlp_endpoint is set.
 *
 *     idle ── rows in trace_due ──► sending ── 2xx, or refused for good ──► rows deleted, idle
 *       ▲                              │
 *       └── after a while, longer each time ◄── no answer, 429, 5xx
 *
 * Owners write a row when a run ends; nothing else of a run waits for the exporter. One batch is in
 * memory at a time. A collector that is away leaves rows, which go on from there, also after a
 * crash: a batch may then arrive twice, with the same ids.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "http/client.h"
#include "util/spi.h"
#include "util/trace.h"
#include "worker/executor.h"
#include "worker/turn.h"

#define BATCH_RUNS 32
#define LOOK_MS 500		 /* between looks when there was nothing */
#define SHORTEST_MS 1000 /* after a failure; twice as long after each further one, */
#define LONGEST_MS 60000 /* but no longer */
#define TIME_LIMIT_MS 10000

char *ff_otlp_headers = NULL;

static MemoryContext context = NULL; /* of the batch that is being sent */
static FfHttpCall	*call = NULL;
static Datum		 taken;
static char			*document = NULL; /* NULL: nothing to tell of the rows that are taken */
static bool			 has_taken = false;
static int			 failures = 0;
static TimestampTz	 next_look = 0;

static void
read_batch(void *arg)
{
	static FfPlan plan = {
		"select b.taken, b.document from flowforge.otlp_batch($1) b", 1, {INT4OID}};
	Datum		  values[1] = {Int32GetDatum(BATCH_RUNS)};
	MemoryContext old;
	Datum		  rows;
	Datum		  body;
	bool		  none;
	bool		  silent;

	has_taken = false;
	document = NULL;
	ff_spi_run(&plan, values, NULL, false);
	rows = ff_spi_value(0, 1, &none);
	body = ff_spi_value(0, 2, &silent);
	if (none)
		return;
	old = MemoryContextSwitchTo(context);
	taken = datumCopy(rows, false, -1);
	document = silent ? NULL : TextDatumGetCString(body);
	MemoryContextSwitchTo(old);
	has_taken = true;
}

static void
delete_batch(void *arg)
{
	static FfPlan plan = {
		"delete from flowforge.trace_due d where d.ctid = any ($1)", 1, {TIDARRAYOID}};

	ff_spi_run(&plan, &taken, NULL, false);
}

static void
look_again(int milliseconds)
{
	next_look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
}

static void
try_later(void)
{
	int wait = SHORTEST_MS << Min(failures, 6);

	failures++;
	look_again(Min(wait, LONGEST_MS));
}

/* The collector has it, or will never take it: its rows go. */
static void
conclude(void)
{
	FfFailure failure;

	if (!ff_transaction(delete_batch, NULL, &failure))
	{
		try_later();
		return;
	}
	failures = 0;
	next_look = 0;
}

/* "name=value,name=value", as OTEL_EXPORTER_OTLP_HEADERS has them. */
static void
add_headers(void)
{
	char *rest = pstrdup(ff_otlp_headers);
	char *pair;

	ff_http_add_header(call, "content-type: application/json");
	ff_http_add_header(call, "user-agent: FlowForge/" FF_VERSION);
	while ((pair = strsep(&rest, ",")) != NULL)
	{
		char *value = strchr(pair, '=');

		if (value == NULL)
			continue;
		*value++ = '\0';
		pair += strspn(pair, " ");
		ff_http_add_header(call, psprintf("%s: %s", pair, value + strspn(value, " ")));
	}
}

/* Whether another try may bring another answer. */
static bool
may_pass(const FfHttpCall *over)
{
	return over->status == 0 || over->status == 408 || over->status == 429 || over->status >= 500;
}

static void
finish(void)
{
	bool accepted = call->status >= 200 && call->status < 300;
	bool again = !accepted && may_pass(call);

	if (!accepted && failures == 0)
		ereport(LOG, (errmsg("the collector at flowforge.otlp_endpoint did not take spans: %s",
							 call->failure != NULL ? call->failure
												   : psprintf("HTTP status %ld", call->status)),
					  again ? errdetail("They are sent again.") : errdetail("They are dropped.")));
	ff_http_free(call);
	call = NULL;
	if (again)
		try_later();
	else
		conclude();
}

static void
send_batch(void)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	call = ff_http_new(context);
	call->owner = &call;
	call->reach = FF_REACH_SETTING;
	call->timeout = TIME_LIMIT_MS;
	add_headers();
	appendStringInfoString(&call->request, document);
	document = NULL;
	if (!ff_http_start(call, ff_otlp_endpoint))
		finish();
	MemoryContextSwitchTo(old);
}

bool
ff_export_done(FfHttpCall *over)
{
	if (over->owner != &call)
		return false;
	finish();
	return true;
}

void
ff_export_turn(void)
{
	FfFailure failure;

	if (ff_my_number != 0 || call != NULL || ff_otlp_endpoint[0] == '\0' ||
		GetCurrentTimestamp() < next_look)
		return;
	if (context == NULL)
		context =
			AllocSetContextCreate(TopMemoryContext, "FlowForge spans", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(context);
	if (!ff_transaction(read_batch, NULL, &failure))
		try_later();
	else if (!has_taken)
		look_again(LOOK_MS);
	else if (document == NULL)
		conclude();
	else
		send_batch();
}

TimestampTz
ff_export_next(void)
{
	return ff_my_number == 0 && call == NULL && ff_otlp_endpoint[0] != '\0' ? next_look : DT_NOEND;
}

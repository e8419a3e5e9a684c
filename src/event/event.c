/*
 * event.c - recording events and starting the runs they trigger (see event.h).
 *
 * The tables are written to once each whatever the number of events: first the events, then the
 * runs of all of them. A repeated event is recognised by its key in flowforge.event_key before
 * anything else is written.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "event/event.h"
#include "flow/flow.h"
#include "function/filter.h"
#include "function/function.h"
#include "slot/hint.h"
#include "util/errors.h"
#include "util/id.h"
#include "util/json.h"
#include "util/rows.h"
#include "util/spi.h"

#define MAX_NAME_BYTES 512
#define MIN_EVENT_TIME \
	(-631152000 * INT64CONST(1000000)) /* 1980-01-01 from 2000-01-01, microseconds */
#define MAX_EVENT_TIME (3155760000 * INT64CONST(1000000)) /* 2100-01-01 */

int ff_event_size_limit = 512 * 1024;
int ff_event_dedupe_window = 86400;

static bool
reserved_name(const char *name)
{
	return pg_strncasecmp(name, "inngest/", 8) == 0 || pg_strncasecmp(name, "flowforge/", 10) == 0;
}

size_t
ff_event_size(const FfEvent *event)
{
	return VARSIZE_ANY(event->data) + (event->user ? VARSIZE_ANY(event->user) : 0);
}

void
ff_event_check(const FfEvent *event, bool internal)
{
	size_t size = ff_event_size(event);

	if (event->name == NULL || *event->name == '\0')
		ereport(ERROR, (errcode(FF_ERR_EVENT_NAME), errmsg("an event needs a name"),
						errhint("For example 'order/created'.")));
	if (strlen(event->name) > MAX_NAME_BYTES)
		ereport(ERROR, (errcode(FF_ERR_EVENT_NAME), errmsg("the event's name is too long"),
						errdetail("It has %zu bytes, at most %d are allowed.", strlen(event->name),
								  MAX_NAME_BYTES)));
	if (!internal && reserved_name(event->name))
		ereport(ERROR,
				(errcode(FF_ERR_EVENT_NAME),
				 errmsg("the event name \"%s\" is reserved", event->name),
				 errdetail(
					 "Names that begin with inngest/ or flowforge/ are sent by the engine alone."),
				 errhint("Choose another prefix.")));
	if (!ff_json_is_object(event->data))
		ereport(ERROR, (errcode(FF_ERR_EVENT_DATA),
						errmsg("the data of event \"%s\" is not a JSON object", event->name),
						errhint("Wrap it: {\"value\": ...}.")));
	if (event->user != NULL && !ff_json_is_object(event->user))
		ereport(ERROR, (errcode(FF_ERR_EVENT_DATA),
						errmsg("the user data of event \"%s\" is not a JSON object", event->name)));
	if (size > (size_t) ff_event_size_limit)
		ereport(
			ERROR,
			(errcode(FF_ERR_EVENT_SIZE), errmsg("event \"%s\" is too large", event->name),
			 errdetail("It has %zu bytes, at most %d are allowed.", size, ff_event_size_limit),
			 errhint(
				 "Store the payload elsewhere and send a reference, or raise flowforge.event_limit.")));
	if (ff_json_depth(event->data, ff_json_depth_limit + 1) > ff_json_depth_limit)
		ereport(ERROR, (errcode(FF_ERR_EVENT_DEPTH),
						errmsg("the data of event \"%s\" is nested too deeply", event->name),
						errdetail("At most %d levels are allowed.", ff_json_depth_limit)));
	if (event->ts < MIN_EVENT_TIME || event->ts > MAX_EVENT_TIME)
		ereport(ERROR,
				(errcode(FF_ERR_EVENT_TIME),
				 errmsg("the time of event \"%s\" is not between 1980 and 2100", event->name),
				 errhint("ts is in milliseconds since 1970.")));
}

#define COLUMNS 10

static const FfTable event_table = {"event",
									COLUMNS,
									{"tenant_id", "event_id", "name", "data", "user_data",
									 "external_id", "v", "ts", "received_at", "meta"}};

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
event_values(const FfEvent *event, TimestampTz now, Datum values[COLUMNS], bool nulls[COLUMNS])
{
	memset(nulls, false, sizeof(bool) * COLUMNS);
	values[0] = Int32GetDatum(event->tenant_id);
	values[1] = UUIDPGetDatum(&event->id);
	values[2] = CStringGetTextDatum(event->name);
	values[3] = JsonbPGetDatum(event->data);
	values[4] = event->user ? JsonbPGetDatum(event->user) : (Datum) 0;
	nulls[4] = event->user == NULL;
	values[5] = text_or_null(event->external_id, &nulls[5]);
	values[6] = text_or_null(event->v, &nulls[6]);
	values[7] = TimestampTzGetDatum(event->ts);
	values[8] = TimestampTzGetDatum(now);
	values[9] = event->meta ? JsonbPGetDatum(event->meta) : (Datum) 0;
	nulls[9] = event->meta == NULL;
}

void
ff_event_insert(FfEvent *events, int count)
{
	FfRows		rows = {.table = &event_table};
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < count; i++)
	{
		if (!events[i].has_id)
			ff_uuid7(&events[i].id);
	}
	ff_event_dedupe(events, count);
	for (int i = 0; i < count; i++)
	{
		Datum values[COLUMNS];
		bool  nulls[COLUMNS];

		if (events[i].duplicate)
			continue;
		event_values(&events[i], now, values, nulls);
		ff_rows_add(&rows, values, nulls);
	}
	ff_rows_write(&rows);
}

/* What runs are triggered, gathered over all events of a call. */
typedef struct RunList
{
	FfNewRun *runs;
	int		  count;
	int		  capacity;
	bool	  flows; /* one of them has flow control */
} RunList;

static void
add_run(RunList *list, const FfEvent *event, const FfTrigger *trigger)
{
	FfNewRun *run;

	if (list->count == list->capacity)
	{
		list->capacity = list->capacity * 2 + 4;
		list->runs = list->runs == NULL
						 ? palloc0(sizeof(FfNewRun) * list->capacity)
						 : repalloc_huge(list->runs, sizeof(FfNewRun) * list->capacity);
	}
	run = &list->runs[list->count++];
	memset(run, 0, sizeof(*run));
	run->tenant_id = event->tenant_id;
	run->function_id = trigger->function_id;
	run->version = trigger->version;
	run->event_id = event->id;
	run->event = event;
	run->bounded = event->bounded;
	run->uncancelled = !trigger->cancels;
	run->unlimited = !trigger->flows;
	list->flows |= trigger->flows;
}

/* Every function whose trigger the event meets runs once, whichever and however many of its
 * triggers match. */
static void
match_triggers(RunList *list, const FfEvent *event)
{
	const FfTriggerSet *set = ff_triggers_for(event->tenant_id, event->name);
	int					count = set->count;
	int				   *chosen = NULL;
	int32				matched = 0;
	Jsonb			   *json = NULL;

	if (set->index != NULL)
	{
		json = ff_event_json(event);
		chosen = ff_trigger_index_look(set->index, json, &count);
	}
	for (int i = 0; i < count; i++)
	{
		const FfTrigger *trigger = &set->triggers[chosen != NULL ? chosen[i] : i];

		if (trigger->function_id == matched)
			continue;
		if (trigger->filter != NULL)
		{
			FfBinding binding = {"event", json};

			if (json == NULL)
				binding.value = json = ff_event_json(event);
			if (!ff_filter_passes(trigger->filter, &binding, 1, event->tenant_id,
								  trigger->function_id))
				continue;
		}
		matched = trigger->function_id;
		add_run(list, event, trigger);
	}
}

/* The triggers of all the events' names are read at once. */
static void
prepare_triggers(const FfEvent *events, int count)
{
	const char **names = palloc(sizeof(char *) * count);
	int			 different = 0;

	for (int i = 0; i < count; i++)
	{
		if (i == 0 || strcmp(events[i].name, events[i - 1].name) != 0)
			names[different++] = events[i].name;
	}
	ff_triggers_prepare(events->tenant_id, names, different);
}

void
ff_event_record(FfEvent *events, int count)
{
	RunList list = {0};

	ff_event_insert(events, count);
	if (count > 1)
		prepare_triggers(events, count);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!events[i].duplicate)
			match_triggers(&list, &events[i]);
	}
	if (list.flows)
		ff_flow_start(list.runs, &list.count);
	/* First the runs: an event may cancel those that events before it in the same call have
	 * started.
	 */
	if (list.count > 0)
		ff_run_insert(list.runs, list.count);
	ff_wait_resolve(events, count);
}

void
ff_events_wanted(FfWanted *names, int count)
{
	for (int i = 0; i < count; i++)
		names[i].wanted = ff_triggers_for(names[i].tenant_id, names[i].name)->count > 0;
	ff_waits_exist(names, count);
}

Jsonb *
ff_event_json(const FfEvent *event)
{
	FfJsonBuilder builder = {0};
	char		  ulid[FF_ULID_SIZE];

	ff_ulid_encode(&event->id, ulid);
	ff_jb_object(&builder);
	ff_jb_key(&builder, "data");
	ff_jb_json(&builder, event->data);
	ff_jb_key(&builder, "id");
	ff_jb_text(&builder, event->external_id ? event->external_id : ulid);
	if (event->meta != NULL)
	{
		ff_jb_key(&builder, "meta");
		ff_jb_json(&builder, event->meta);
	}
	ff_jb_key(&builder, "name");
	ff_jb_text(&builder, event->name);
	ff_jb_key(&builder, "ts");
	ff_jb_int(&builder, ff_unix_us(event->ts) / 1000);
	ff_jb_key(&builder, "user");
	if (event->user != NULL)
		ff_jb_json(&builder, event->user);
	else
	{
		ff_jb_object(&builder);
		ff_jb_end(&builder);
	}
	if (event->v != NULL)
	{
		ff_jb_key(&builder, "v");
		ff_jb_text(&builder, event->v);
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

static char *
column_text(uint64 row, int column)
{
	bool  isnull;
	Datum value = ff_spi_value(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

void
ff_event_read(FfEvent *event, uint64 row, int column)
{
	bool  isnull;
	Datum value;

	memset(event, 0, sizeof(*event));
	value = ff_spi_value(row, column, &isnull);
	event->id = *DatumGetUUIDP(value);
	event->name = column_text(row, column + 1);
	event->data = DatumGetJsonbPCopy(ff_spi_value(row, column + 2, &isnull));
	value = ff_spi_value(row, column + 3, &isnull);
	event->user = isnull ? NULL : DatumGetJsonbPCopy(value);
	event->external_id = column_text(row, column + 4);
	event->v = column_text(row, column + 5);
	event->ts = DatumGetTimestampTz(ff_spi_value(row, column + 6, &isnull));
	value = ff_spi_value(row, column + 7, &isnull);
	event->meta = isnull ? NULL : DatumGetJsonbPCopy(value);
}

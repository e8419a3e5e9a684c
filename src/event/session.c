/*
 * session.c - the sessions of an event, which group the runs it starts.
 *
 * An SDK sends two layers in an event's meta: `sessions`, which its user wrote, and
 * `propagated_sessions`, which it took over from the run that sends. Here they become one: what the
 * user wrote wins, null removes what would be taken over (a key, or all), and what is taken over
 * fills up to the limit in the order of its bytes. Beside them meta keeps the trace the event
 * belongs to (util/trace.h): the event's own, or that of who sends it. Nothing else of meta is
 * kept.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "util/json.h"
#include "util/trace.h"

#define MAX_SESSIONS 5
#define MAX_KEY_BYTES 128
#define MAX_ID_BYTES 256

typedef struct Session
{
	char *key;
	char *id; /* NULL: removes what would be taken over */
} Session;

typedef struct Layer
{
	Session *sessions; /* in the order of their keys' bytes */
	int		 count;
	bool	 null; /* the whole layer is null */
} Layer;

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(((const Session *) a)->key, ((const Session *) b)->key);
}

/* Reads the id of a session; NULL stands for null. Gives what is wrong with it, or NULL. */
static const char *
read_id(const JsonbValue *value, Session *session, bool may_be_null)
{
	session->id = NULL;
	if (value->type == jbvNull && may_be_null)
		return NULL;
	if (value->type == jbvNumeric)
		session->id =
			DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	else if (value->type == jbvString)
		session->id = pnstrdup(value->val.string.val, value->val.string.len);
	else
		return psprintf("the session \"%s\" has an id that is neither text nor a number",
						session->key);
	if (*session->id == '\0' || strlen(session->id) > MAX_ID_BYTES)
		return psprintf("the session \"%s\" has an id that has not 1 to %d bytes", session->key,
						MAX_ID_BYTES);
	return NULL;
}

static const char *
read_pairs(Jsonb *json, Layer *layer, bool may_be_null)
{
	JsonbIterator	  *iterator = JsonbIteratorInit(&json->root);
	JsonbValue		   value;
	JsonbIteratorToken token;
	const char		  *problem = NULL;

	layer->sessions = palloc(sizeof(Session) * Max(JB_ROOT_COUNT(json), 1));
	while (problem == NULL && (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		Session *session = &layer->sessions[layer->count];

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_KEY)
			continue;
		session->key = pnstrdup(value.val.string.val, value.val.string.len);
		if (*session->key == '\0' || strlen(session->key) > MAX_KEY_BYTES)
			return psprintf("a session's key has not 1 to %d bytes", MAX_KEY_BYTES);
		JsonbIteratorNext(&iterator, &value, true);
		problem = read_id(&value, session, may_be_null);
		layer->count++;
	}
	qsort(layer->sessions, layer->count, sizeof(Session), by_bytes);
	return problem;
}

static const char *
read_layer(Jsonb *meta, const char *name, Layer *layer, bool may_be_null)
{
	Jsonb *json = ff_json_member(meta, name);

	memset(layer, 0, sizeof(*layer));
	if (json == NULL)
		return NULL;
	if (ff_json_is_object(json))
		return read_pairs(json, layer, may_be_null);
	layer->null = ff_json_is_null(json);
	return layer->null ? NULL : psprintf("meta.%s is not an object", name);
}

static bool
names(const Layer *layer, const char *key)
{
	Session wanted = {.key = unconstify(char *, key)};

	return layer->count > 0 &&
		   bsearch(&wanted, layer->sessions, layer->count, sizeof(Session), by_bytes) != NULL;
}

/* Adds the pairs of a layer that the other does not name, as long as there is room. */
static int
add_layer(FfJsonBuilder *builder, const Layer *layer, const Layer *over, int room)
{
	for (int i = 0; i < layer->count && room > 0; i++)
	{
		const Session *session = &layer->sessions[i];

		if (session->id == NULL || (over != NULL && names(over, session->key)))
			continue;
		ff_jb_key(builder, session->key);
		ff_jb_text(builder, session->id);
		room--;
	}
	return room;
}

static int
count_ids(const Layer *layer)
{
	int count = 0;

	for (int i = 0; i < layer->count; i++)
		count += layer->sessions[i].id != NULL;
	return count;
}

/* The two layers as one; NULL when nothing is left. */
static Jsonb *
merge_layers(const Layer *written, const Layer *propagated)
{
	FfJsonBuilder builder = {0};
	int			  room;

	ff_jb_object(&builder);
	room = add_layer(&builder, written, NULL, MAX_SESSIONS);
	if (!written->null)
		room = add_layer(&builder, propagated, written, room);
	ff_jb_end(&builder);
	return room == MAX_SESSIONS ? NULL : ff_jb_finish(&builder);
}

/* What is no traceparent is as good as none: who sends it does not know. */
static void
choose_trace(Jsonb *meta, FfTrace *trace)
{
	const char *parent = meta != NULL ? ff_json_text(meta, "traceparent") : NULL;
	const char *state = meta != NULL ? ff_json_text(meta, "tracestate") : NULL;

	if (!ff_trace_is_parent(parent))
		return;
	trace->parent = parent;
	trace->state = ff_trace_is_state(state) ? state : NULL;
}

static Jsonb *
keep(Jsonb *sessions, const FfTrace *trace)
{
	FfJsonBuilder builder = {0};

	if (sessions == NULL && trace->parent == NULL)
		return NULL;
	ff_jb_object(&builder);
	if (sessions != NULL)
	{
		ff_jb_key(&builder, "sessions");
		ff_jb_json(&builder, sessions);
	}
	if (trace->parent != NULL)
	{
		ff_jb_key(&builder, "traceparent");
		ff_jb_text(&builder, trace->parent);
	}
	if (trace->state != NULL)
	{
		ff_jb_key(&builder, "tracestate");
		ff_jb_text(&builder, trace->state);
	}
	ff_jb_end(&builder);
	return ff_jb_finish(&builder);
}

const char *
ff_event_read_meta(Jsonb *meta, FfTrace trace, Jsonb **kept)
{
	Layer		written;
	Layer		propagated;
	const char *problem;

	*kept = NULL;
	if (meta == NULL || ff_json_is_null(meta))
	{
		*kept = keep(NULL, &trace);
		return NULL;
	}
	if (!ff_json_is_object(meta))
		return "meta is not an object";
	choose_trace(meta, &trace);
	problem = read_layer(meta, "sessions", &written, true);
	if (problem == NULL)
		problem = read_layer(meta, "propagated_sessions", &propagated, false);
	if (problem == NULL && count_ids(&written) > MAX_SESSIONS)
		problem = psprintf("meta.sessions has more than %d sessions", MAX_SESSIONS);
	if (problem == NULL)
		*kept = keep(merge_layers(&written, &propagated), &trace);
	return problem;
}

FfTrace
ff_event_trace_now(void)
{
	FfTrace trace = {ff_trace_parent_now(), ff_trace_state_now()};

	return trace;
}

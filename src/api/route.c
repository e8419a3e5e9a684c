/*
 * route.c - the cache of routes (see route.h).
 *
 * It lives in a memory context of its own, which is reset when the table has to be read anew (see
 * src/util/recall.h). There are a few dozen routes: they are compared one after the other, those
 * with literal segments before those with parameters in the same place.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "api/route.h"
#include "util/recall.h"
#include "util/spi.h"

typedef struct Route
{
	char	  *method;
	char	  *pattern;
	FfSegments segments;
	Oid		   handler;
	FfScope	   scope;
	char	  *scope_name;
	FfStyle	   style;
	bool	   needs_body;
	bool	   raw_body;
} Route;

static MemoryContext cache_context = NULL;
static Route		*routes = NULL;
static int			 route_count = 0;
static Oid			 request_type = InvalidOid;
static bool			 loaded = false; /* the last reading came to its end */
static FfRecall		 recall = {"route"};

static FfPlan read_routes = {
	.sql =
		"select r.method, r.pattern,"
		" coalesce(to_regprocedure(r.function || '(flowforge.request)')::oid, 0), r.scope, r.style,"
		" r.method in ('POST', 'PUT', 'PATCH') and r.request_schema <> '{}'"
		" and not coalesce(r.request_schema -> 'type' ? 'null', false)"
		" and not r.request_schema ? 'contentMediaType', r.request_schema ? 'contentMediaType'"
		" from flowforge.route r"
		" order by regexp_replace(r.pattern, '[{][^}]*[}]', '~', 'g') collate \"C\", r.method"};

PG_FUNCTION_INFO_V1(ff_api_forget);

/* The trigger on flowforge.route. */
Datum
ff_api_forget(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "forget_routes is a trigger");
	CacheInvalidateRelcacheByRelid(RelationGetRelid(trigger->tg_relation));
	Async_Notify("flowforge_route", "");
	PG_RETURN_POINTER(NULL);
}

static FfScope
scope_of(const char *name)
{
	if (strcmp(name, "public") == 0)
		return FF_SCOPE_PUBLIC;
	if (strcmp(name, "event_key") == 0)
		return FF_SCOPE_EVENT_KEY;
	return strcmp(name, "user") == 0 ? FF_SCOPE_USER : FF_SCOPE_NAMED;
}

static FfStyle
style_of(const char *name)
{
	if (strcmp(name, "sdk") == 0)
		return FF_STYLE_SDK;
	if (strcmp(name, "event") == 0)
		return FF_STYLE_EVENT;
	return strcmp(name, "page") == 0 ? FF_STYLE_PAGE : FF_STYLE_PROBLEM;
}

static char *
text_at(uint64 row, int number)
{
	bool  isnull;
	Datum value = ff_spi_value(row, number, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* The parts of a pattern between its slashes. */
static void
split_pattern(const char *pattern, FfSegments *segments)
{
	char *rest = pstrdup(pattern) + 1;

	segments->count = 0;
	do
	{
		if (segments->count == FF_MAX_SEGMENTS)
			elog(ERROR, "the route \"%s\" has more than %d segments", pattern, FF_MAX_SEGMENTS);
		segments->texts[segments->count++] = strsep(&rest, "/");
	} while (rest != NULL);
}

static void
read_route(uint64 row, Route *route)
{
	bool isnull;

	route->method = text_at(row, 1);
	route->pattern = text_at(row, 2);
	route->handler = DatumGetObjectId(ff_spi_value(row, 3, &isnull));
	route->scope_name = text_at(row, 4);
	route->scope = scope_of(route->scope_name);
	route->style = style_of(text_at(row, 5));
	route->needs_body = DatumGetBool(ff_spi_value(row, 6, &isnull));
	route->raw_body = DatumGetBool(ff_spi_value(row, 7, &isnull));
	split_pattern(route->pattern, &route->segments);
}

/* What changes while it is read is read again: the mark is cleared before. */
static void
load_routes(void)
{
	Oid			  schema = get_namespace_oid("flowforge", false);
	MemoryContext caller = CurrentMemoryContext;
	uint64		  count;

	if (cache_context == NULL)
	{
		ff_recall_register(&recall);
		cache_context =
			AllocSetContextCreate(CacheMemoryContext, "FlowForge routes", ALLOCSET_SMALL_SIZES);
	}
	loaded = false;
	ff_recall_renewed(&recall);
	request_type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("request"),
								   ObjectIdGetDatum(schema));
	SPI_connect();
	count = ff_spi_run(&read_routes, NULL, NULL, false);
	MemoryContextReset(cache_context);
	MemoryContextSwitchTo(cache_context);
	routes = palloc0(sizeof(Route) * Max(count, 1));
	for (uint64 row = 0; row < count; row++)
		read_route(row, &routes[row]);
	route_count = (int) count;
	MemoryContextSwitchTo(caller);
	SPI_finish();
	ff_recall_noted(&recall);
	loaded = true;
}

static inline bool
is_parameter(const char *segment)
{
	return segment[0] == '{';
}

static bool
path_meets(const FfSegments *path, const Route *route)
{
	if (path->count != route->segments.count)
		return false;
	for (int i = 0; i < path->count; i++)
	{
		const char *wanted = route->segments.texts[i];

		if (is_parameter(wanted) ? path->texts[i][0] == '\0' : strcmp(path->texts[i], wanted) != 0)
			return false;
	}
	return true;
}

static void
take_params(const FfSegments *path, const Route *route, FfPairs *params)
{
	memset(params, 0, sizeof(*params));
	for (int i = 0; i < path->count; i++)
	{
		const char *segment = route->segments.texts[i];

		if (!is_parameter(segment))
			continue;
		ff_pairs_add(params, pnstrdup(segment + 1, strlen(segment) - 2), path->texts[i]);
	}
}

static void
take_route(const FfSegments *path, const Route *route, FfMatch *match)
{
	match->method_known = true;
	match->handler = route->handler;
	match->request_type = request_type;
	match->scope = route->scope;
	match->scope_name = pstrdup(route->scope_name);
	match->style = route->style;
	match->needs_body = route->needs_body;
	match->raw_body = route->raw_body;
	match->pattern = pstrdup(route->pattern);
	take_params(path, route, &match->params);
}

void
ff_route_match(const char *method, const FfSegments *path, FfMatch *match)
{
	StringInfoData allow;

	if (!loaded || ff_recall_expired(&recall))
		load_routes();
	memset(match, 0, sizeof(FfMatch));
	initStringInfo(&allow);
	for (int i = 0; i < route_count; i++)
	{
		const Route *route = &routes[i];

		if (!path_meets(path, route))
			continue;
		if (!match->path_known)
			match->style = route->style;
		match->path_known = true;
		appendStringInfo(&allow, "%s%s%s", allow.len > 0 ? ", " : "", route->method,
						 strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
		if (!match->method_known && strcmp(route->method, method) == 0)
			take_route(path, route, match);
	}
	match->allow = allow.data;
}

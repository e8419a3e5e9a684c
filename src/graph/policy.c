/*
 * policy.c - what a node does about failures, and what holds for its graph as a whole.
 *
 * What is not said, or null, is as usual; what cannot be is noted and then as usual.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "utils/builtins.h"

#include "graph/definition.h"
#include "util/duration.h"
#include "util/json.h"

#define BACKOFF_CAP_US (INT64CONST(300) * 1000000)
#define DEFAULT_BASE_US (INT64CONST(2) * 1000000)

static void
refuse(FfGraph *graph, int place, const char *path, const char *message)
{
	ff_graph_fault(graph, FF_FAULT_BAD_POLICY, place, -1, path, message, NULL);
}

/* A member that is there and not null. */
static JsonbValue *
said(Jsonb *object, const char *key)
{
	JsonbValue *value = object != NULL ? ff_json_get(object, key) : NULL;

	return value != NULL && value->type != jbvNull ? value : NULL;
}

/* Which of the words it is; 0 when nothing is said or it is none of them. */
static int
read_word(FfGraph *graph, const FfNode *node, Jsonb *data, const char *key,
		  const char *const *words, const char *problem)
{
	const char *word = said(data, key) != NULL ? ff_json_text(data, key) : NULL;

	for (int i = 0; word != NULL && words[i] != NULL; i++)
	{
		if (strcmp(words[i], word) == 0)
			return i;
	}
	if (said(data, key) != NULL)
		refuse(graph, node->place, key, problem);
	return 0;
}

/* A whole number of the range, or `usual`. */
static int
read_count(FfGraph *graph, int place, Jsonb *object, const char *key, const char *path, int usual,
		   int most)
{
	int64 number;

	if (said(object, key) == NULL)
		return usual;
	if (ff_json_int64(object, key, &number) && number >= 1 && number <= most)
		return (int) number;
	refuse(graph, place, path, psprintf("%s is not a whole number from 1 to %d", key, most));
	return usual;
}

/* Seconds as microseconds, or `usual`. */
static int64
read_seconds(FfGraph *graph, int place, Jsonb *object, const char *key, const char *path,
			 int64 usual)
{
	JsonbValue *value = said(object, key);
	double		seconds = -1;

	if (value == NULL)
		return usual;
	/* numeric_float8_no_overflow: what is too large becomes infinite. */
	if (value->type == jbvNumeric)
		seconds = DatumGetFloat8(
			DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
	if (seconds >= 0 && seconds <= FF_MAX_DURATION_US / 1e6)
		return (int64) rint(seconds * 1e6);
	refuse(graph, place, path,
		   psprintf("%s is not a number of seconds from 0 to %d", key,
					(int) (FF_MAX_DURATION_US / 1000000)));
	return usual;
}

void
ff_node_read_policy(FfGraph *graph, FfNode *node, Jsonb *data)
{
	static const char *const   errors[] = {"fail", "skip", "continue", NULL};
	static const char *const   strategies[] = {"fixed", "linear", "exponential", NULL};
	static const FfBackoffKind kinds[] = {FF_BACKOFF_FIXED, FF_BACKOFF_LINEAR, FF_BACKOFF_POWER};

	node->on_error = read_word(graph, node, data, "on_error", errors,
							   "on_error is neither fail, skip nor continue");
	node->max_attempts =
		read_count(graph, node->place, data, "max_attempts", "max_attempts", 1, FF_MAX_ATTEMPTS);
	node->backoff.kind =
		kinds[read_word(graph, node, data, "backoff_strategy", strategies,
						"backoff_strategy is neither fixed, linear nor exponential")];
	node->backoff.base =
		read_seconds(graph, node->place, data, "backoff_base", "backoff_base", DEFAULT_BASE_US);
	node->backoff.cap = BACKOFF_CAP_US;
	node->timeout = read_seconds(graph, node->place, data, "timeout_seconds", "timeout_seconds", 0);
}

void
ff_graph_read_settings(FfGraph *graph, Jsonb *settings)
{
	if (settings == NULL || ff_json_is_null(settings))
		return;
	if (!ff_json_is_object(settings))
	{
		ff_graph_fault(graph, FF_FAULT_BAD_DEFINITION, -1, -1, "settings",
					   "the settings are not an object", NULL);
		return;
	}
	graph->max_concurrency =
		read_count(graph, -1, settings, "max_concurrency", "settings.max_concurrency",
				   FF_DEFAULT_CONCURRENCY, FF_MAX_CONCURRENCY);
	graph->run_timeout =
		read_seconds(graph, -1, settings, "run_timeout_seconds", "settings.run_timeout_seconds", 0);
}

/*
 * step_inline_code.c - the step type inline_code: JavaScript in a process of its own (src/sandbox).
 * What it sees of the run is read when it is about to run (FfDriver, context), so none of it is
 * stored with the step.
 */
#include "postgres.h"

#include "graph/option.h"
#include "graph/type.h"
#include "util/json.h"

#define DEFAULT_TIMEOUT_US (5 * USECS_PER_SEC)
#define MAX_TIMEOUT_US (300 * USECS_PER_SEC)

static const char *const raw[] = {"code", NULL};

/* The shorter of the config's and the node's. */
static int64
time_limit(const FfNodeStart *start)
{
	int64 limit = 0;

	if (!ff_option_duration(start->config, "timeout_seconds", &limit) || limit == 0)
		limit = DEFAULT_TIMEOUT_US;
	if (limit > MAX_TIMEOUT_US)
		ff_option_wrong("timeout_seconds", "is more than 300 seconds");
	return start->node->timeout > 0 ? Min(limit, start->node->timeout) : limit;
}

static void
check_language(Jsonb *config)
{
	Jsonb *said = ff_option(config, "language");
	char  *language = said ? ff_json_text(config, "language") : NULL;

	if (said != NULL && (language == NULL || strcmp(language, "javascript") != 0))
		ff_option_wrong("language", "is not \"javascript\"");
}

static void
start(const FfNodeStart *start, FfOp *op)
{
	FfJsonBuilder builder = {0};

	check_language(start->config);
	ff_jb_object(&builder);
	ff_jb_key(&builder, "code");
	ff_jb_text(&builder, ff_option_text(start->config, "code"));
	ff_jb_key(&builder, "timeout");
	ff_jb_text(&builder, psprintf(INT64_FORMAT "us", Max(time_limit(start), 1000)));
	ff_jb_end(&builder);
	ff_op_step(op, "Code", ff_jb_finish(&builder), start->now);
}

const FfNodeType ff_node_inline_code = {.name = "inline_code",
										.place = FF_NODE_WORKS,
										.raw = raw,
										.code = "code",
										.pure = true,
										.start = start};

/*
 * step_delay.c - the step type delay: nothing, for some seconds or until an instant.
 */
#include "postgres.h"

#include "graph/option.h"
#include "graph/type.h"
#include "util/duration.h"
#include "util/json.h"

static TimestampTz
end_of(Jsonb *config, TimestampTz now)
{
	TimestampTz until;
	int64		usec;

	if (ff_option_duration(config, "seconds", &usec))
		return now + usec;
	if (ff_option(config, "until") == NULL)
		ff_option_wrong("seconds", "is missing, and so is until");
	if (!ff_instant_parse(ff_option_text(config, "until"), &until))
		ff_option_wrong("until", "is not an instant like \"2030-01-31T12:00:00Z\"");
	if (ff_when_too_far(until, now))
		ff_option_wrong("until", "is more than 366 days away");
	return until;
}

static void
start(const FfNodeStart *start, FfOp *op)
{
	int64 limit = start->node->timeout;

	op->due = end_of(start->config, start->now);
	op->kind = FF_OP_SLEEP;
	/* A microsecond more than it may take: what takes exactly as long is over in time. */
	if (limit > 0)
		op->due = Min(op->due, start->now + limit + 1);
	if (op->due > start->now)
		return;
	op->kind = FF_OP_COMPLETED;
	op->data = ff_json_literal("{\"delayed_seconds\": 0}");
}

const FfNodeType ff_node_delay = {.name = "delay", .place = FF_NODE_WAITS, .start = start};

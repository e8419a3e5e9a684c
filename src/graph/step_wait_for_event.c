/*
 * step_wait_for_event.c - the step type wait_for_event: the run waits for an event of some name
 * whose data match, and its data are the output.
 *
 * `match` is a path that the event and the run's own event share ("data.order_id"), or an object of
 * values that the awaited event's data must have. `if` is an expression over `event`, the run's
 * own, and `async`, the awaited one.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "graph/option.h"
#include "graph/type.h"
#include "util/duration.h"
#include "util/json.h"

static const char *const raw[] = {"if", NULL};

/* A text as a literal of the expression language: JSON's, which it reads as it stands. */
static void
append_json(StringInfo out, Jsonb *value)
{
	(void) JsonbToCString(out, &value->root, VARSIZE(value));
}

static Jsonb *
text_document(const char *text, int length)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = (char *) text;
	value.val.string.len = length;
	return JsonbValueToJsonb(&value);
}

static void
append_values(StringInfo out, Jsonb *match)
{
	JsonbIterator	  *iterator = JsonbIteratorInit(&match->root);
	JsonbIteratorToken token;
	JsonbValue		   part;

	while ((token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			appendStringInfoString(out, out->len ? " && async.data[" : "async.data[");
			append_json(out, text_document(part.val.string.val, part.val.string.len));
			appendStringInfoString(out, "] == ");
		}
		else if (token == WJB_VALUE)
			append_json(out, JsonbValueToJsonb(&part));
	}
}

static char *
matching(Jsonb *match)
{
	StringInfoData out;
	char		  *path;

	initStringInfo(&out);
	if (ff_json_is_object(match))
	{
		append_values(&out, match);
		return out.len ? out.data : NULL;
	}
	path = ff_json_text(ff_run_wrap("path", match), "path");
	if (path == NULL || *path == '\0')
		ff_option_wrong("match", "is neither a path nor an object of values");
	appendStringInfo(&out, "event.%s == async.%s", path, path);
	return out.data;
}

static void
start(const FfNodeStart *start, FfOp *op)
{
	Jsonb *match = ff_option(start->config, "match");
	Jsonb *filter = ff_option(start->config, "if");
	int64  limit = ff_option_limit(start, "timeout");

	op->kind = FF_OP_WAIT;
	op->event = ff_option_text(start->config, "event_name");
	if (filter != NULL)
		op->expression = ff_expr_bound(ff_option_text(start->config, "if"), start->scope);
	else if (match != NULL)
		op->expression = matching(match);
	/* What cannot be read would wait for nothing. */
	if (op->expression != NULL)
		(void) ff_expr_compile(op->expression, CurrentMemoryContext);
	op->due = start->now + (limit > 0 ? limit : FF_MAX_DURATION_US);
}

static Jsonb *
output(const FfNode *node, Jsonb *data, FfNodeFault *fault)
{
	Jsonb *given = ff_json_member(data, "data");

	return given ? given : ff_json_empty_object();
}

const FfNodeType ff_node_wait_for_event = {.name = "wait_for_event",
										   .place = FF_NODE_WAITS,
										   .raw = raw,
										   .expression = {"if", true},
										   .start = start,
										   .output = output};

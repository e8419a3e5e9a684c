/*
 * step_database_query.c - the step type database_query: a statement in a session of the workflow's
 * role, its values bound and never part of its text, in one transaction with its checkpoint. The
 * statement itself is therefore no template.
 */
#include "postgres.h"

#include "graph/option.h"
#include "graph/type.h"
#include "util/json.h"

static const char *const raw[] = {"query", NULL};

static void
put(FfJsonBuilder *builder, const char *key, Jsonb *value)
{
	if (value == NULL)
		return;
	ff_jb_key(builder, key);
	ff_jb_json(builder, value);
}

static void
start(const FfNodeStart *start, FfOp *op)
{
	FfJsonBuilder builder = {0};
	int64		  limit = ff_option_limit(start, "timeout_seconds");

	ff_jb_object(&builder);
	ff_jb_key(&builder, "query");
	ff_jb_text(&builder, ff_option_text(start->config, "query"));
	put(&builder, "params", ff_option(start->config, "params"));
	put(&builder, "role", ff_option(start->config, "role"));
	if (limit > 0)
	{
		ff_jb_key(&builder, "timeout");
		ff_jb_text(&builder, psprintf(INT64_FORMAT "us", limit));
	}
	ff_jb_end(&builder);
	ff_op_step(op, "Sql", ff_jb_finish(&builder), start->now);
}

const FfNodeType ff_node_database_query = {
	.name = "database_query", .place = FF_NODE_WORKS, .raw = raw, .start = start};

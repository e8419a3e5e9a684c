/*
 * compiled.c - what a run makes of a definition, for people and tests.
 */
#include "postgres.h"

#include "fmgr.h"

#include "graph/graph.h"
#include "util/json.h"

PG_FUNCTION_INFO_V1(ff_sql_graph_compiled);

/* The delay after each attempt but the last, in milliseconds. */
static void
write_delays(FfJsonBuilder *out, const FfNode *node)
{
	ff_jb_array(out);
	for (int attempt = 0; attempt + 1 < node->max_attempts; attempt++)
		ff_jb_int(out, ff_backoff_delay(&node->backoff, attempt) / 1000);
	ff_jb_end(out);
}

static void
write_needs(FfJsonBuilder *out, const FfGraph *graph, const FfNode *node)
{
	ff_jb_array(out);
	for (int i = 0; i < node->need_count; i++)
		ff_jb_text(out, graph->nodes[node->needs[i]].id);
	ff_jb_end(out);
}

static void
write_ways(FfJsonBuilder *out, const FfGraph *graph, const FfNode *node)
{
	ff_jb_array(out);
	for (int i = 0; i < node->out_count; i++)
	{
		const FfEdge *edge = &graph->edges[node->out[i]];

		ff_jb_array(out);
		ff_jb_text(out, graph->nodes[edge->target].id);
		ff_jb_text(out, edge->label);
		ff_jb_end(out);
	}
	ff_jb_end(out);
}

static void
write_node(FfJsonBuilder *out, const FfGraph *graph, const FfNode *node)
{
	static const char *const on_error[] = {"fail", "skip", "continue"};

	ff_jb_object(out);
	ff_jb_key(out, "label");
	ff_jb_text(out, node->label);
	ff_jb_key(out, "type");
	ff_jb_text(out, node->type_name);
	ff_jb_key(out, "on_error");
	ff_jb_text(out, on_error[node->on_error]);
	ff_jb_key(out, "max_attempts");
	ff_jb_int(out, node->max_attempts);
	ff_jb_key(out, "delays_ms");
	write_delays(out, node);
	ff_jb_key(out, "timeout_ms");
	ff_jb_int(out, node->timeout / 1000);
	ff_jb_key(out, "needs");
	write_needs(out, graph, node);
	ff_jb_key(out, "needs_all");
	ff_jb_bool(out, node->needs_all);
	ff_jb_key(out, "ways");
	write_ways(out, graph, node);
	ff_jb_end(out);
}

Datum
ff_sql_graph_compiled(PG_FUNCTION_ARGS)
{
	FfGraph		 *graph = ff_graph_compile(PG_GETARG_JSONB_P(0), CurrentMemoryContext);
	FfJsonBuilder out = {0};

	ff_jb_object(&out);
	ff_jb_key(&out, "max_concurrency");
	ff_jb_int(&out, graph->max_concurrency);
	ff_jb_key(&out, "run_timeout_ms");
	ff_jb_int(&out, graph->run_timeout / 1000);
	ff_jb_key(&out, "nodes");
	ff_jb_object(&out);
	for (int i = 0; i < graph->node_count; i++)
	{
		ff_jb_key(&out, graph->nodes[i].id);
		write_node(&out, graph, &graph->nodes[i]);
	}
	ff_jb_end(&out);
	ff_jb_end(&out);
	PG_RETURN_JSONB_P(ff_jb_finish(&out));
}

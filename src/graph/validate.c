/*
 * validate.c - everything that is wrong with a definition, found at once.
 *
 * Reading has noted what is wrong with its form; here follows what is wrong with what it says.
 * Errors keep a graph from being published, warnings do not. Findings are in the order of the
 * document: what concerns all of it, nodes, edges, settings.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "graph/validate.h"
#include "util/json.h"

#define MOST_FINDINGS 1000
#define NEAREST_NAMES 50

PG_FUNCTION_INFO_V1(ff_sql_graph_findings);

void
ff_check_fault(FfCheck *check, const FfNode *node, FfFaultCode code, const char *path,
			   const char *message, const char *hint)
{
	ff_graph_fault(check->graph, code, node->place, -1, path, message, hint);
}

/* --- nodes and edges --- */

static bool
has_branch(const FfGraph *graph, const FfNode *node, const char *label)
{
	for (int i = 0; i < node->out_count; i++)
	{
		const char *taken = graph->edges[node->out[i]].label;

		if (taken != NULL && strcmp(taken, label) == 0)
			return true;
	}
	return false;
}

static void
check_branches(FfCheck *check, const FfNode *node)
{
	static const FfFaultCode codes[] = {FF_FAULT_CONDITION_MISSING_TRUE,
										FF_FAULT_CONDITION_MISSING_FALSE};

	if (node->type == NULL || node->type->labels == NULL)
		return;
	for (int i = 0; node->type->labels[i] != NULL; i++)
	{
		const char *label = node->type->labels[i];

		if (!has_branch(check->graph, node, label) && (node->dangling & (UINT32_C(2) << i)) == 0)
			ff_check_fault(check, node, codes[i], NULL,
						   psprintf("the condition \"%s\" has no branch \"%s\"", node->id, label),
						   psprintf("Draw an edge from its handle \"%s\".", label));
	}
}

static void
check_orphan(FfCheck *check, const FfNode *node)
{
	if (check->graph->node_count > 1 && node->in_count + node->out_count == 0 &&
		node->dangling == 0)
		ff_check_fault(check, node, FF_FAULT_ORPHAN, NULL,
					   psprintf("node \"%s\" is tied to no other", node->id),
					   "Draw an edge to or from it, or remove it.");
}

static const char *
other_label(const FfNodeType *type, const char *label)
{
	return strcmp(type->labels[0], label) == 0 ? type->labels[1] : type->labels[0];
}

static void
check_constant(FfCheck *check, const FfNode *node)
{
	const char *taken = check->taken[node->index];

	if (taken != NULL)
		ff_check_fault(
			check, node, FF_FAULT_UNREACHABLE_BRANCH, node->type->expression.name,
			psprintf("the condition \"%s\" is always %s: its branch \"%s\" is never taken",
					 node->id, taken, other_label(node->type, taken)),
			"Compare something of the run: {{ input.total }} > 100");
}

/* Of nodes that never run, the first on their way. */
static void
check_never(FfCheck *check, const FfNode *node)
{
	bool first = false;

	if (check->live == NULL || !ff_live_never(check->live, node->index))
		return;
	for (int i = 0; i < node->in_count; i++)
		first |= !ff_live_never(check->live, check->graph->edges[node->in[i]].source);
	if (first)
		ff_check_fault(
			check, node, FF_FAULT_UNREACHABLE_BRANCH, NULL,
			psprintf("node \"%s\" never runs: no branch that leads to it is ever taken", node->id),
			NULL);
}

static void
check_node(FfCheck *check, const FfNode *node)
{
	check_branches(check, node);
	check_orphan(check, node);
	check_constant(check, node);
	check_never(check, node);
	ff_check_texts(check, node);
	ff_check_config(check, node);
	ff_check_secrets(check, node);
}

static void
check_edge(FfCheck *check, const FfEdge *edge)
{
	const FfNode *source = &check->graph->nodes[edge->source];

	if (edge->label == NULL || check->taken[edge->source] != NULL ||
		ff_edge_may_be_taken(check->graph, edge, check->taken))
		return;
	ff_graph_fault(check->graph, FF_FAULT_UNREACHABLE_BRANCH, -1, edge->place, "sourceHandle",
				   psprintf("the condition \"%s\" has no branch \"%s\"", source->id,
							ff_text_shown(edge->label)),
				   "Its branches are true and false.");
}

/* What does nothing but give an output that nobody takes; at the end of a graph it is the run's. */
static void
check_use(FfCheck *check, const FfNode *node)
{
	if (node->type != NULL && node->type->pure && node->out_count > 0 && !check->used[node->index])
		ff_check_fault(check, node, FF_FAULT_UNUSED_OUTPUT, NULL,
					   psprintf("nothing uses the output of node \"%s\"", node->id),
					   psprintf("Later nodes can name it: {{ %s.key }}", node->id));
}

static void
check_all(FfCheck *check)
{
	FfGraph		 *graph = check->graph;
	MemoryContext memory =
		AllocSetContextCreate(CurrentMemoryContext, "FlowForge validation", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(memory);

	for (int i = 0; i < graph->node_count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(memory);
		check_node(check, &graph->nodes[i]);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(memory);
	for (int i = 0; i < graph->node_count; i++)
		check_use(check, &graph->nodes[i]);
	for (int i = 0; i < graph->edge_count; i++)
		check_edge(check, &graph->edges[i]);
}

/* --- the answer --- */

/* By what they concern, then as they were found. */
static int
rank_of(const FfFault *fault)
{
	if (fault->node >= 0)
		return fault->node;
	if (fault->edge >= 0)
		return FF_MAX_NODES + fault->edge;
	return fault->path != NULL && strncmp(fault->path, "settings", 8) == 0 ? INT_MAX : -1;
}

static int
compare_faults(const void *a, const void *b)
{
	const FfFault *x = *(FfFault *const *) a;
	const FfFault *y = *(FfFault *const *) b;

	if (rank_of(x) != rank_of(y))
		return rank_of(x) < rank_of(y) ? -1 : 1;
	return x->number - y->number;
}

static FfFault **
sorted_faults(const FfGraph *graph, int *count)
{
	FfFault **faults;

	*count = 0;
	for (FfFault *fault = graph->faults; fault != NULL; fault = fault->next)
		fault->number = (*count)++;
	faults = palloc(sizeof(FfFault *) * Max(*count, 1));
	for (FfFault *fault = graph->faults; fault != NULL; fault = fault->next)
		faults[fault->number] = fault;
	qsort(faults, *count, sizeof(FfFault *), compare_faults);
	return faults;
}

/* The lists of the document, for the ids in them. */
typedef struct Lists
{
	Jsonb *nodes;
	Jsonb *edges;
} Lists;

/* The id of an item of a list, as it stands there; NULL when it has none. */
static const char *
id_at(Jsonb *list, int place)
{
	JsonbValue *item = getIthJsonbValueFromContainer(&list->root, (uint32) place);

	return item != NULL && item->type == jbvBinary ? ff_json_text(JsonbValueToJsonb(item), "id")
												   : NULL;
}

/* The node or edge that is concerned; where it has no id, the path says which one it is. */
static void
write_item(FfJsonBuilder *out, const Lists *lists, const FfFault *fault)
{
	bool		of_node = fault->node >= 0;
	int			place = of_node ? fault->node : fault->edge;
	const char *id = id_at(of_node ? lists->nodes : lists->edges, place);
	const char *path = fault->path;

	if (id == NULL)
		path = psprintf("%s.%d%s%s", of_node ? "nodes" : "edges", place, path ? "." : "",
						path ? path : "");
	ff_jb_key(out, of_node ? "node_id" : "edge_id");
	ff_jb_text(out, id != NULL ? ff_text_shown(id) : NULL);
	ff_jb_key(out, "path");
	ff_jb_text(out, path);
}

static void
write_fault(FfJsonBuilder *out, const Lists *lists, const FfFault *fault)
{
	ff_jb_object(out);
	ff_jb_key(out, "code");
	ff_jb_text(out, ff_fault_code(fault->code));
	ff_jb_key(out, "message");
	ff_jb_text(out, fault->message);
	if (fault->node >= 0 || fault->edge >= 0)
		write_item(out, lists, fault);
	else
	{
		ff_jb_key(out, "path");
		ff_jb_text(out, fault->path);
	}
	ff_jb_key(out, "hint");
	ff_jb_text(out, fault->hint);
	ff_jb_end(out);
}

static int
write_faults(FfJsonBuilder *out, const Lists *lists, FfFault **faults, int count, bool warnings)
{
	int written = 0;

	ff_jb_array(out);
	for (int i = 0; i < count && written < MOST_FINDINGS; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (ff_fault_is_warning(faults[i]->code) != warnings)
			continue;
		write_fault(out, lists, faults[i]);
		written++;
	}
	ff_jb_end(out);
	return written;
}

static Jsonb *
answer(const FfGraph *graph, Jsonb *document)
{
	FfJsonBuilder out = {0};
	Lists		  lists = {ff_json_member(document, "nodes"), ff_json_member(document, "edges")};
	int			  count;
	FfFault		**faults = sorted_faults(graph, &count);
	int			  errors;

	ff_jb_object(&out);
	ff_jb_key(&out, "errors");
	errors = write_faults(&out, &lists, faults, count, false);
	ff_jb_key(&out, "warnings");
	write_faults(&out, &lists, faults, count, true);
	ff_jb_key(&out, "valid");
	ff_jb_bool(&out, errors == 0);
	ff_jb_end(&out);
	return ff_jb_finish(&out);
}

/* --- the whole --- */

static Jsonb **
read_schemas(Jsonb *by_type)
{
	Jsonb **schemas;
	int		count = 0;

	while (ff_node_type_at(count) != NULL)
		count++;
	schemas = palloc(sizeof(Jsonb *) * count);
	for (int i = 0; i < count; i++)
		schemas[i] = ff_json_member(by_type, ff_node_type_at(i)->name);
	return schemas;
}

static void
check_graph(FfGraph *graph, Jsonb *schemas)
{
	const char **taken = palloc0(sizeof(char *) * Max(graph->node_count, 1));
	FfCheck		 check = {.graph = graph,
						  .schemas = read_schemas(schemas),
						  .taken = taken,
						  .used = palloc0(sizeof(bool) * Max(graph->node_count, 1)),
						  .nearest_left = NEAREST_NAMES};

	for (int i = 0; i < graph->node_count; i++)
		taken[i] = ff_condition_taken(&graph->nodes[i]);
	if (graph->order != NULL)
	{
		check.ancestors = ff_graph_ancestors(graph);
		check.live = ff_graph_live(graph, taken);
	}
	check_all(&check);
}

Datum
ff_sql_graph_findings(PG_FUNCTION_ARGS)
{
	Jsonb	*definition = PG_GETARG_JSONB_P(0);
	FfGraph *graph = ff_graph_read(definition, CurrentMemoryContext);

	check_graph(graph, PG_GETARG_JSONB_P(1));
	PG_RETURN_JSONB_P(answer(graph, ff_graph_document(definition)));
}

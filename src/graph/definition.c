/*
 * definition.c - the document of a graph becomes nodes, edges and what ties them.
 *
 * Reading takes anything: a document comes from an editor that saves what is half done, or from
 * anybody by the API. What is wrong is noted in the order of the document and left out; who wants
 * to run the graph asks afterwards whether something was.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "graph/definition.h"
#include "util/errors.h"
#include "util/json.h"

#define SHOWN_BYTES 60

static const struct
{
	const char *code;
	bool		warning;
} fault_codes[] = {
#define FF_FAULT_CODE(name, code, warning) {code, warning},
	FF_FAULT_TABLE(FF_FAULT_CODE)
#undef FF_FAULT_CODE
};

/* Names that the context or templates have for something else. */
static const char *const reserved_ids[] = {"input", "_item", "_index", "secret"};

const char *
ff_fault_code(FfFaultCode code)
{
	return fault_codes[code].code;
}

bool
ff_fault_is_warning(FfFaultCode code)
{
	return fault_codes[code].warning;
}

void
ff_graph_fault(FfGraph *graph, FfFaultCode code, int node, int edge, const char *path,
			   const char *message, const char *hint)
{
	MemoryContext caller = MemoryContextSwitchTo(graph->context);
	FfFault		 *fault = palloc0(sizeof(FfFault));

	fault->code = code;
	fault->node = node;
	fault->edge = edge;
	fault->path = path != NULL ? pstrdup(path) : NULL;
	fault->message = pstrdup(message);
	fault->hint = hint != NULL ? pstrdup(hint) : NULL;
	MemoryContextSwitchTo(caller);
	if (graph->last_fault == NULL)
		graph->faults = fault;
	else
		graph->last_fault->next = fault;
	graph->last_fault = fault;
}

/* A text of the document as messages show it. */
const char *
ff_text_shown(const char *text)
{
	int length = (int) strlen(text);

	if (length <= SHOWN_BYTES)
		return text;
	return psprintf("%.*s...", pg_mbcliplen(text, length, SHOWN_BYTES), text);
}

/* --- finding nodes --- */

static void
make_slots(FfGraph *graph, int room)
{
	uint32 size = pg_nextpower2_32(Max(room * 2, 8));

	graph->slot_mask = size - 1;
	graph->slots = palloc(size * sizeof(int));
	memset(graph->slots, 0xFF, size * sizeof(int));
}

/* The place in the table of the node of this id, or of the gap where it would be. */
static int *
slot_of(const FfGraph *graph, const char *id, int length)
{
	uint32 at = hash_bytes((const unsigned char *) id, length) & graph->slot_mask;

	while (graph->slots[at] >= 0)
	{
		const char *other = graph->nodes[graph->slots[at]].id;

		if (strncmp(other, id, length) == 0 && other[length] == '\0')
			break;
		at = (at + 1) & graph->slot_mask;
	}
	return &graph->slots[at];
}

const FfNode *
ff_graph_node_n(const FfGraph *graph, const char *id, int length)
{
	int index;

	if (length == 0 || length > FF_MAX_NODE_ID)
		return NULL;
	index = *slot_of(graph, id, length);
	return index >= 0 ? &graph->nodes[index] : NULL;
}

const FfNode *
ff_graph_node(const FfGraph *graph, const char *id)
{
	return ff_graph_node_n(graph, id, (int) strlen(id));
}

/* --- nodes --- */

/* An item of a for_each is called like this: name[3]. */
static bool
looks_like_item(const char *id)
{
	const char *bracket = strrchr(id, '[');
	size_t		digits = bracket != NULL ? strspn(bracket + 1, "0123456789") : 0;

	return digits > 0 && strcmp(bracket + 1 + digits, "]") == 0;
}

static bool
is_reserved(const char *id)
{
	for (int i = 0; i < (int) lengthof(reserved_ids); i++)
	{
		if (strcmp(id, reserved_ids[i]) == 0)
			return true;
	}
	return looks_like_item(id);
}

/* Whether a node may be called so; notes why not. */
static bool
check_id(FfGraph *graph, int place, const char *id)
{
	if (id == NULL || *id == '\0')
		ff_graph_fault(graph, FF_FAULT_BAD_NODE, place, -1, "id",
					   psprintf("node %d has no id", place + 1), "An id is a text.");
	else if (strlen(id) > FF_MAX_NODE_ID)
		ff_graph_fault(graph, FF_FAULT_BAD_NODE, place, -1, "id",
					   psprintf("the id \"%s\" is too long", ff_text_shown(id)),
					   psprintf("An id has at most %d bytes.", FF_MAX_NODE_ID));
	else if (is_reserved(id))
		ff_graph_fault(graph, FF_FAULT_RESERVED_ID, place, -1, "id",
					   psprintf("no node may be called \"%s\"", id),
					   "Templates and runs use this name for something else.");
	else if (ff_graph_node(graph, id) != NULL)
		ff_graph_fault(graph, FF_FAULT_DUPLICATE_ID, place, -1, "id",
					   psprintf("another node is called \"%s\" already", id),
					   "Rename one of them.");
	else
		return true;
	return false;
}

/* What a node or an edge has in "data"; NULL when that is null or no object. */
static Jsonb *
data_of(Jsonb *item)
{
	Jsonb *data = ff_json_member(item, "data");

	return ff_json_is_object(data) ? data : NULL;
}

static const char *
text_of(Jsonb *object, const char *key)
{
	const char *text = object != NULL ? ff_json_text(object, key) : NULL;

	return text != NULL && *text != '\0' ? text : NULL;
}

static void
read_type(FfGraph *graph, FfNode *node, Jsonb *document, Jsonb *data)
{
	node->type_name = text_of(document, "type");
	if (node->type_name == NULL)
		node->type_name = text_of(data, "type");
	if (node->type_name == NULL)
		ff_graph_fault(graph, FF_FAULT_MISSING_TYPE, node->place, -1, "type",
					   psprintf("node \"%s\" has no type", node->id),
					   "Say it in type, or in data.type.");
	else if ((node->type = ff_node_type(node->type_name)) == NULL)
		ff_graph_fault(graph, FF_FAULT_UNREGISTERED_TYPE, node->place, -1, "type",
					   psprintf("node \"%s\" is of an unknown type: \"%s\"", node->id,
								ff_text_shown(node->type_name)),
					   "The table flowforge.step_type lists the types there are.");
}

static void
read_config(FfGraph *graph, FfNode *node, Jsonb *data)
{
	Jsonb *config = data != NULL ? ff_json_member(data, "config") : NULL;

	if (config != NULL && !ff_json_is_object(config) && !ff_json_is_null(config))
		ff_graph_fault(graph, FF_FAULT_BAD_NODE, node->place, -1, "config",
					   psprintf("the config of node \"%s\" is not an object", node->id), NULL);
	node->config = ff_json_is_object(config) ? config : ff_json_empty_object();
}

static void
read_node(FfGraph *graph, int place, JsonbValue *value)
{
	Jsonb	   *document = JsonbValueToJsonb(value);
	const char *id = ff_json_text(document, "id");
	FfNode	   *node = &graph->nodes[graph->node_count];
	Jsonb	   *data;

	if (!ff_json_is_object(document))
		ff_graph_fault(graph, FF_FAULT_BAD_NODE, place, -1, NULL,
					   psprintf("node %d is not an object", place + 1), NULL);
	if (!ff_json_is_object(document) || !check_id(graph, place, id))
		return;
	data = data_of(document);
	node->id = id;
	node->index = graph->node_count++;
	node->place = place;
	node->label = text_of(data, "label");
	if (node->label == NULL)
		node->label = id;
	*slot_of(graph, id, (int) strlen(id)) = node->index;
	read_type(graph, node, document, data);
	read_config(graph, node, data);
	ff_node_read_policy(graph, node, data);
}

/* --- edges --- */

/* true and false in any case, JSON's own included; other labels as they are. */
static const char *
label_of(Jsonb *object, const char *key)
{
	JsonbValue *value = object != NULL ? ff_json_get(object, key) : NULL;
	const char *text = text_of(object, key);

	if (value != NULL && value->type == jbvBool)
		return value->val.boolean ? "true" : "false";
	if (text != NULL && pg_strcasecmp(text, "true") == 0)
		return "true";
	return text != NULL && pg_strcasecmp(text, "false") == 0 ? "false" : text;
}

static bool
is_label_of(const FfNodeType *type, const char *label)
{
	for (const char *const *known = type->labels; label != NULL && *known != NULL; known++)
	{
		if (strcmp(*known, label) == 0)
			return true;
	}
	return false;
}

/* Editors name handles as they like: a handle that is no branch leaves it to data.condition. */
static const char *
branch_of(const FfNode *source, Jsonb *document)
{
	const char *handle = label_of(document, "sourceHandle");
	const char *condition = label_of(data_of(document), "condition");

	if (source->type == NULL || source->type->labels == NULL)
		return NULL;
	if (is_label_of(source->type, handle) || condition == NULL)
		return handle;
	return is_label_of(source->type, condition) || handle == NULL ? condition : handle;
}

static const FfNode *
end_of(FfGraph *graph, int place, Jsonb *document, const char *key, FfFaultCode code)
{
	const char	 *id = text_of(document, key);
	const FfNode *node = id != NULL ? ff_graph_node(graph, id) : NULL;

	if (id == NULL)
		ff_graph_fault(graph, code, -1, place, key, psprintf("edge %d has no %s", place + 1, key),
					   "It is the id of a node, a text.");
	else if (node == NULL)
		ff_graph_fault(graph, code, -1, place, key,
					   psprintf("the %s of edge %d, \"%s\", does not exist", key, place + 1,
								ff_text_shown(id)),
					   "Remove the edge, or tie it to a node.");
	return node;
}

/* A node whose edge leads nowhere is not to be told, besides, that it has none. */
static void
note_dangling(FfGraph *graph, const FfNode *node, Jsonb *outgoing)
{
	const char *label = node != NULL && outgoing != NULL ? branch_of(node, outgoing) : NULL;

	if (node == NULL)
		return;
	graph->nodes[node->index].dangling |= 1;
	for (int i = 0; label != NULL && node->type->labels[i] != NULL; i++)
	{
		if (strcmp(node->type->labels[i], label) == 0)
			graph->nodes[node->index].dangling |= UINT32_C(2) << i;
	}
}

static void
read_edge(FfGraph *graph, int place, JsonbValue *value)
{
	Jsonb		 *document = JsonbValueToJsonb(value);
	FfEdge		 *edge = &graph->edges[graph->edge_count];
	const FfNode *source;
	const FfNode *target;

	if (!ff_json_is_object(document))
	{
		ff_graph_fault(graph, FF_FAULT_BAD_EDGE, -1, place, NULL,
					   psprintf("edge %d is not an object", place + 1), NULL);
		return;
	}
	source = end_of(graph, place, document, "source", FF_FAULT_EDGE_SOURCE_MISSING);
	target = end_of(graph, place, document, "target", FF_FAULT_EDGE_TARGET_MISSING);
	if (source == NULL || target == NULL)
	{
		note_dangling(graph, source, document);
		note_dangling(graph, target, NULL);
		return;
	}
	edge->source = source->index;
	edge->target = target->index;
	edge->label = branch_of(source, document);
	edge->id = text_of(document, "id");
	edge->place = place;
	graph->edge_count++;
}

static int
compare_labels(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	return strcmp(a, b);
}

static bool
edges_are_equal(const FfEdge *a, const FfEdge *b)
{
	return a->source == b->source && a->target == b->target &&
		   compare_labels(a->label, b->label) == 0;
}

static int
compare_edges(const void *a, const void *b)
{
	const FfEdge *x = a;
	const FfEdge *y = b;

	if (x->source != y->source)
		return x->source - y->source;
	if (x->target != y->target)
		return x->target - y->target;
	if (compare_labels(x->label, y->label) != 0)
		return compare_labels(x->label, y->label);
	return x->place - y->place;
}

static int
compare_places(const void *a, const void *b)
{
	return ((const FfEdge *) a)->place - ((const FfEdge *) b)->place;
}

/* Of edges that say the same the first one stays. */
static void
merge_edges(FfGraph *graph)
{
	FfEdge *edges = graph->edges;
	int		kept = 0;

	if (graph->edge_count == 0)
		return;
	qsort(edges, graph->edge_count, sizeof(FfEdge), compare_edges);
	for (int i = 1; i < graph->edge_count; i++)
	{
		if (!edges_are_equal(&edges[i], &edges[kept]))
			edges[++kept] = edges[i];
	}
	graph->edge_count = kept + 1;
	qsort(edges, graph->edge_count, sizeof(FfEdge), compare_places);
}

/* Tells nodes their edges. */
static void
tie(FfGraph *graph)
{
	int *room;

	for (int i = 0; i < graph->edge_count; i++)
	{
		graph->nodes[graph->edges[i].source].out_count++;
		graph->nodes[graph->edges[i].target].in_count++;
	}
	room = palloc(sizeof(int) * Max(graph->edge_count * 2, 1));
	for (int i = 0; i < graph->node_count; i++)
	{
		FfNode *node = &graph->nodes[i];

		node->out = room;
		node->in = room + node->out_count;
		room += node->out_count + node->in_count;
		node->out_count = node->in_count = 0;
	}
	for (int i = 0; i < graph->edge_count; i++)
	{
		FfNode *source = &graph->nodes[graph->edges[i].source];
		FfNode *target = &graph->nodes[graph->edges[i].target];

		source->out[source->out_count++] = i;
		target->in[target->in_count++] = i;
	}
}

/* --- the document --- */

typedef void (*ReadItem)(FfGraph *graph, int place, JsonbValue *value);

/* How many items a list of the document has; -1, with a fault, when it cannot be read. */
static int
count_of(FfGraph *graph, Jsonb *list, const char *name, int most)
{
	if (list == NULL || ff_json_is_null(list))
		return 0;
	if (!ff_json_is_array(list))
		ff_graph_fault(graph, FF_FAULT_BAD_DEFINITION, -1, -1, name,
					   psprintf("the %s are not a list", name), NULL);
	else if (JB_ROOT_COUNT(list) > (uint32) most)
		ff_graph_fault(graph, FF_FAULT_TOO_LARGE, -1, -1, name,
					   psprintf("there are %u %s", JB_ROOT_COUNT(list), name),
					   psprintf("At most %d are possible. A part of the graph can be a graph of "
								"its own, called by function_call.",
								most));
	else
		return (int) JB_ROOT_COUNT(list);
	return -1;
}

static void
read_items(FfGraph *graph, Jsonb *list, int count, ReadItem read)
{
	JsonbIterator *iterator;
	JsonbValue	   value;
	int			   place = 0;

	if (count <= 0)
		return;
	iterator = JsonbIteratorInit(&list->root);
	JsonbIteratorNext(&iterator, &value, true);
	while (JsonbIteratorNext(&iterator, &value, true) == WJB_ELEM)
	{
		read(graph, place++, &value);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
read_document(FfGraph *graph, Jsonb *document)
{
	Jsonb *nodes = ff_json_member(document, "nodes");
	Jsonb *edges = ff_json_member(document, "edges");
	int	   node_count = count_of(graph, nodes, "nodes", FF_MAX_NODES);
	int	   edge_count = count_of(graph, edges, "edges", FF_MAX_EDGES);

	if (node_count == 0)
		ff_graph_fault(graph, FF_FAULT_NO_NODES, -1, -1, "nodes", "the graph has no nodes",
					   "A graph has at least one node.");
	if (node_count <= 0 || edge_count < 0)
		return;
	graph->nodes = palloc0(sizeof(FfNode) * node_count);
	graph->edges = palloc0(sizeof(FfEdge) * Max(edge_count, 1));
	make_slots(graph, node_count);
	read_items(graph, nodes, node_count, read_node);
	read_items(graph, edges, edge_count, read_edge);
}

/* A version's configuration has the graph in a member of its own. */
Jsonb *
ff_graph_document(Jsonb *definition)
{
	Jsonb *inner = ff_json_member(definition, "graph");

	return ff_json_get(definition, "nodes") == NULL && ff_json_is_object(inner) ? inner
																				: definition;
}

FfGraph *
ff_graph_read(Jsonb *definition, MemoryContext context)
{
	MemoryContext own = AllocSetContextCreate(context, "FlowForge graph", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(own);
	FfGraph		 *graph = palloc0(sizeof(FfGraph));

	graph->context = own;
	graph->max_concurrency = FF_DEFAULT_CONCURRENCY;
	make_slots(graph, 0);
	if (!ff_json_is_object(definition))
		ff_graph_fault(graph, FF_FAULT_BAD_DEFINITION, -1, -1, NULL,
					   "the definition is not an object",
					   "For example: {\"nodes\": [...], \"edges\": [...]}");
	else
	{
		read_document(graph, ff_graph_document(definition));
		ff_graph_read_settings(graph, ff_json_member(definition, "settings"));
	}
	merge_edges(graph);
	tie(graph);
	ff_graph_sort(graph);
	MemoryContextSwitchTo(caller);
	return graph;
}

/* --- running it --- */

/* What leaves open which nodes there are and how they are tied. */
static bool
is_structural(FfFaultCode code)
{
	return code == FF_FAULT_BAD_DEFINITION || code == FF_FAULT_TOO_LARGE ||
		   code == FF_FAULT_BAD_NODE || code == FF_FAULT_DUPLICATE_ID ||
		   code == FF_FAULT_RESERVED_ID || code == FF_FAULT_CYCLE;
}

static bool
hinders_runs(FfFaultCode code)
{
	return is_structural(code) || code == FF_FAULT_NO_NODES || code == FF_FAULT_BAD_POLICY;
}

static void
refuse(const FfGraph *graph, bool (*is_fatal)(FfFaultCode))
{
	for (const FfFault *fault = graph->faults; fault != NULL; fault = fault->next)
	{
		if (is_fatal(fault->code))
			ereport(ERROR,
					(errcode(fault->code == FF_FAULT_CYCLE ? FF_ERR_GRAPH_CYCLE : FF_ERR_GRAPH),
					 errmsg("%s", fault->message),
					 fault->node >= 0
						 ? errdetail("It is node %d of the definition.", fault->node + 1)
						 : 0,
					 fault->hint ? errhint("%s", fault->hint) : 0));
	}
}

void
ff_graph_check(const FfGraph *graph)
{
	refuse(graph, is_structural);
}

static Jsonb *
read_input_schema(Jsonb *config)
{
	Jsonb *schema = ff_json_member(config, "input_schema");

	return schema == NULL || ff_json_is_null(schema) ? NULL : schema;
}

FfGraph *
ff_graph_compile(Jsonb *config, MemoryContext context)
{
	FfGraph		 *graph = ff_graph_read(config, CurrentMemoryContext);
	MemoryContext caller;

	refuse(graph, hinders_runs);
	caller = MemoryContextSwitchTo(graph->context);
	for (int i = 0; i < graph->node_count; i++)
		ff_node_read_needs(graph, &graph->nodes[i]);
	graph->input_schema = read_input_schema(config);
	MemoryContextSwitchTo(caller);
	MemoryContextSetParent(graph->context, context);
	return graph;
}

/*
 * graph.h - a workflow drawn as a graph: the React Flow document, read into what the engine asks of
 * it.
 *
 * The document is stored and kept as it stands; this is its compiled form, made once per version. A
 * graph has no cycle and no two nodes of one id; its edges lead from a node of it to another.
 */
#ifndef FF_GRAPH_H
#define FF_GRAPH_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "function/policy.h"
#include "lang/lang.h"
#include "run/answer.h"
#include "slot/shared.h"

struct FfRun;

#define FF_MAX_NODES 2000
#define FF_MAX_EDGES 20000
#define FF_MAX_ATTEMPTS 100
#define FF_MAX_CONCURRENCY 1000
#define FF_DEFAULT_CONCURRENCY 10

/* Bytes of a node's id: a UUID, and room behind it for an item of a for_each: `id[99999]`. */
#define FF_MAX_NODE_ID (FF_STEP_ID_SIZE - 8)
#define FF_MAX_ITEMS 100000

/* --- what may go wrong with a definition --- */

/* X(name, the code people read, whether the graph can run all the same) */
#define FF_FAULT_TABLE(X)                                        \
	X(BAD_DEFINITION, "bad_definition", false)                   \
	X(TOO_LARGE, "too_large", false)                             \
	X(NO_NODES, "no_nodes", false)                               \
	X(BAD_NODE, "bad_node", false)                               \
	X(BAD_EDGE, "bad_edge", false)                               \
	X(DUPLICATE_ID, "duplicate_id", false)                       \
	X(RESERVED_ID, "reserved_id", false)                         \
	X(EDGE_SOURCE_MISSING, "edge_source_missing", false)         \
	X(EDGE_TARGET_MISSING, "edge_target_missing", false)         \
	X(CYCLE, "cycle", false)                                     \
	X(MISSING_TYPE, "missing_type", false)                       \
	X(UNREGISTERED_TYPE, "unregistered_type", false)             \
	X(CONDITION_MISSING_TRUE, "condition_missing_true", false)   \
	X(CONDITION_MISSING_FALSE, "condition_missing_false", false) \
	X(ORPHAN, "orphan", false)                                   \
	X(BAD_REFERENCE, "bad_reference", false)                     \
	X(FOR_EACH_ITEMS, "for_each_items", false)                   \
	X(CONFIG_SCHEMA, "config_schema", false)                     \
	X(EXPRESSION_SYNTAX, "expression_syntax", false)             \
	X(TEMPLATE_SYNTAX, "template_syntax", false)                 \
	X(BAD_POLICY, "bad_policy", false)                           \
	X(SECRET_PLACE, "secret_place", false)                       \
	X(SECRET_USE, "secret_use", false)                           \
	X(SKIPPED_REFERENCE, "skipped_reference", true)              \
	X(UNREACHABLE_BRANCH, "unreachable_branch", true)            \
	X(UNUSED_OUTPUT, "unused_output", true)                      \
	X(SECRET_LITERAL, "secret_literal", true)

#define FF_FAULT_CODE(name, code, warning) FF_FAULT_##name,
typedef enum FfFaultCode
{
	FF_FAULT_TABLE(FF_FAULT_CODE)
} FfFaultCode;
#undef FF_FAULT_CODE

typedef struct FfFault
{
	FfFaultCode code;
	int			node; /* its place in the document's list, or -1 */
	int			edge; /* likewise */
	const char
		*path; /* the member that is wrong: max_attempts, settings.max_concurrency; or NULL */
	const char	   *message;
	const char	   *hint;	/* or NULL */
	int				number; /* to sort by */
	struct FfFault *next;
} FfFault;

/* --- the graph --- */

typedef enum FfOnError
{
	FF_ON_ERROR_FAIL,	 /* the run fails */
	FF_ON_ERROR_SKIP,	 /* the node is skipped, with the error */
	FF_ON_ERROR_CONTINUE /* its output is {"_error": text} */
} FfOnError;

typedef struct FfEdge
{
	int			source; /* indexes of nodes */
	int			target;
	const char *label; /* of a branching source: the branch that takes it; NULL: any */
	const char *id;	   /* NULL when it has none */
	int			place; /* in the list of the document */
} FfEdge;

struct FfNodeType;

typedef struct FfNode
{
	const char				*id;
	const char				*label;
	const char				*type_name; /* NULL: it has none */
	const struct FfNodeType *type;		/* NULL: there is no such type */
	int						 index;		/* in graph->nodes */
	int						 place;		/* in the list of the document */
	Jsonb					*config;	/* data.config as it stands, {} when absent */
	FfOnError				 on_error;
	int						 max_attempts; /* at least 1 */
	FfBackoff				 backoff;
	int64					 timeout; /* microseconds per attempt, 0: none */
	int						 in_count;
	int						*in; /* indexes of edges, in the order of the document */
	int						 out_count;
	int						*out;
	int						 need_count; /* the other nodes whose outputs its config names, */
	int						*needs;		 /* ascending; filled by ff_graph_compile only */
	List  *secrets;	  /* of char *: the secrets its config names; filled by ff_graph_compile only */
	uint32 dangling;  /* edges of it that were left out: bit 0, any; then its branches */
	bool   needs_all; /* it may read the output of any node before it */
} FfNode;

typedef struct FfGraph
{
	MemoryContext context;
	int			  node_count;
	FfNode		 *nodes; /* in the order of the document */
	int			  edge_count;
	FfEdge		 *edges; /* in the order of the document, each once */
	int			 *order; /* indexes of nodes, each after those before it; NULL: there is a cycle */
	int			  max_concurrency;
	int64		  run_timeout; /* microseconds, 0: none */
	Jsonb
		*input_schema; /* what a run's input must satisfy; NULL: anything. From ff_graph_compile */
	FfFault *faults;   /* in the order of the document */
	FfFault *last_fault;
	uint32	 slot_mask;
	int		*slots; /* of a hash of the ids: indexes of nodes, or -1 */
} FfGraph;

/*
 * Reads {"nodes": [...], "edges": [...], "settings": {...}}, or a version's configuration, which
 * has nodes and edges in "graph". Takes whatever it is given and notes what is wrong with it: nodes
 * that cannot be used are left out, edges with unknown ends too; duplicates are merged. Everything
 * is made in a context below `context`, the graph's own.
 */
extern FfGraph *ff_graph_read(Jsonb *definition, MemoryContext context);

/* The same for a graph that is to run. Raises FF501 for what cannot, FF502 for a cycle, FF101 to
 * FF110 for its templates and expressions. */
extern FfGraph *ff_graph_compile(Jsonb *config, MemoryContext context);

/* Raises the first fault that leaves open which nodes there are and how they are tied. */
extern void ff_graph_check(const FfGraph *graph);

/* The part of a definition that has the nodes and edges. */
extern Jsonb *ff_graph_document(Jsonb *definition);

/* A text of a document as messages show it. */
extern const char *ff_text_shown(const char *text);

/* NULL when there is none. */
extern const FfNode *ff_graph_node(const FfGraph *graph, const char *id);
extern const FfNode *ff_graph_node_n(const FfGraph *graph, const char *id, int length);

extern const char *ff_fault_code(FfFaultCode code);
extern bool		   ff_fault_is_warning(FfFaultCode code);

/* Notes what is wrong; the texts are copied. */
extern void ff_graph_fault(FfGraph *graph, FfFaultCode code, int node, int edge, const char *path,
						   const char *message, const char *hint);

/* --- order.c --- */

/* Fills graph->order, or notes the cycle. */
extern void ff_graph_sort(FfGraph *graph);

/* --- types of nodes --- */

typedef struct FfNodeStart
{
	struct FfRun  *run;
	const FfGraph *graph;
	const FfNode  *node;
	const char	  *step_id; /* the node's id, or id[3] within a for_each */
	Jsonb		  *config;	/* resolved */
	const FfScope *scope;	/* what its templates and expressions see */
	int			   attempt; /* from 0 */
	TimestampTz	   now;
} FfNodeStart;

typedef struct FfNodeFault
{
	Jsonb *error; /* {name, message, ...} */
	bool   retry;
	int64  retry_after; /* microseconds, -1: as usual */
} FfNodeFault;

/* Who works on a node once it has started. */
typedef enum FfNodePlace
{
	FF_NODE_HERE,  /* the interpreter: it is done at once */
	FF_NODE_WAITS, /* nobody: it takes none of the run's max_concurrency */
	FF_NODE_WORKS  /* somebody: it takes one */
} FfNodePlace;

/* A member of a config that is an expression. */
typedef struct FfExpression
{
	const char *name;
	bool		operands_only; /* its other names are no nodes: a wait's are event and async */
} FfExpression;

typedef struct FfNodeType
{
	const char *name;
	FfNodePlace place;

	/* Members of the config in which {{ secret.NAME }} may stand; ends with NULL, or NULL. */
	const char *const *takes_secrets;

	/* The config as people see it, without what is secret; whatever it holds. NULL: as it is. */
	Jsonb *(*shown)(Jsonb *config);

	/* Members of the config that are not rendered when the node starts; ends with NULL, or NULL. */
	const char *const *raw;

	/* That one of them that is an expression in which {{ value }} may stand as an operand; name is
	 * NULL where there is none. */
	FfExpression expression;

	/* The labels of its branches; ends with NULL. NULL: it does not branch. */
	const char *const *labels;

	/* It does nothing but give its output. */
	bool pure;

	/* An item of a for_each cannot be one: it waits for nobody and chooses no way. */
	bool alone;

	/* The member of its config that is code which may read any output before it, or NULL. */
	const char *code;

	/*
	 * Says what the node does, as one operation: FF_OP_COMPLETED with data, FF_OP_FAILED or
	 * FF_OP_ERROR with error, FF_OP_SLEEP, FF_OP_WAIT, FF_OP_INVOKE, FF_OP_FETCH, FF_OP_AI, or
	 * FF_OP_STEP with a kind. Pure: reads no tables, calls nobody. May raise FF errors: they become
	 * the step's error.
	 */
	void (*start)(const FfNodeStart *start, FfOp *op);

	/* What came back (the memo's data) as the node's output, an object; or a fault. NULL: as it is.
	 */
	Jsonb *(*output)(const FfNode *node, Jsonb *data, FfNodeFault *fault);
} FfNodeType;

/* types.c: NULL when there is none. */
extern const FfNodeType *ff_node_type(const char *name);

/* What drives runs of graphs (run/driver.h). */
extern const struct FfDriver ff_graph_driver;

/* types.c: the member of this name, if it is an expression; the type may be NULL. */
extern const FfExpression *ff_node_expression(const FfNodeType *type, const char *key);

/* types.c: whether the member of this name is code. */
extern bool ff_node_is_code(const FfNodeType *type, const char *key);

/* types.c: whether the member of this name is a text that is rendered neither now nor later. */
extern bool ff_node_is_plain(const FfNodeType *type, const char *key);

/* types.c: whether the member of this name stays as it is when the node starts. */
extern bool ff_node_is_raw(const FfNodeType *type, const char *key);

/* types.c: whether a secret may stand in the member of this name. */
extern bool ff_node_takes_secret(const FfNodeType *type, const char *key, int length);

/* types.c: the i-th, or NULL after the last. */
extern const FfNodeType *ff_node_type_at(int i);

#endif

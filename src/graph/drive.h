/*
 * drive.h - a run of a graph as its driver keeps it: how far each node has come, and what has come
 * back of those that were under way. Nothing of it is stored: finished nodes are the run's
 * checkpoints, those under way its items, and all else follows from the graph.
 */
#ifndef FF_GRAPH_DRIVE_H
#define FF_GRAPH_DRIVE_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "graph/graph.h"
#include "graph/type.h"
#include "run/driver.h"
#include "run/run.h"

/* What one advance may do of a run; the rest comes after that has been written. Until then an
 * output is there several times: with its config, in its row, with the run. */
#define FF_ADVANCE_STEPS 256
#define FF_ADVANCE_BYTES (8 * 1024 * 1024)
#define FF_ADVANCE_SHARE 32 /* of flowforge.executor_memory */

/* Outputs that may turn out to be too many are read so many at a time. */
#define FF_READ_AT_ONCE 16

typedef enum FfProgress
{
	FF_PROGRESS_AHEAD,	   /* something before it is not done */
	FF_PROGRESS_READY,	   /* in a queue */
	FF_PROGRESS_ACTIVE,	   /* an item of the run, or several of a for_each */
	FF_PROGRESS_COMPLETED, /* with an output */
	FF_PROGRESS_CONTINUED, /* it failed, and its output says so */
	FF_PROGRESS_SKIPPED,   /* it failed and is passed over, or no live path reaches it */
	FF_PROGRESS_BROKEN	   /* it failed, and the run with it */
} FfProgress;

typedef struct FfNodeState
{
	FfProgress	   progress;
	bool		   live;	/* it is done and what comes after it may run */
	const char	  *branch;	/* the label it chose, "" for none of them; NULL: it does not branch */
	int			   before;	/* edges from nodes that are not done */
	int			   reached; /* live edges */
	bool		   has_output;
	Jsonb		  *output; /* NULL: it has none, or it is to be read again */
	List		  *kept;   /* of a for_each: items that were done when the run was read */
	struct FfEach *each;
} FfNodeState;

/* A queue of nodes, each at most once. */
typedef struct FfNodeQueue
{
	int *nodes;
	int	 head;
	int	 tail;
} FfNodeQueue;

/* What a row of a checkpoint says. */
typedef struct FfKept
{
	char	   *step_id;
	FfProgress	progress;
	bool		live;
	const char *branch;
	bool		has_output;
	Jsonb	   *output;
	Jsonb	   *error;
	int			index; /* of an item of a for_each */
} FfKept;

/* What has come back of an item. */
typedef struct FfArrival
{
	FfItem	   *item;
	const char *status; /* completed, failed */
	Jsonb	   *data;	/* or NULL: its time is over */
	Jsonb	   *error;
	Jsonb	   *detail;
	bool		retry;
	int64		retry_after;
} FfArrival;

typedef struct FfGraphRun
{
	const FfGraph *graph; /* NULL until the run advances for the first time in this memory */
	Jsonb		  *input; /* of the run */
	FfNodeState	  *nodes;
	FfNodeQueue	   here;	  /* ready, and taking no room */
	FfNodeQueue	   works;	  /* ready when there is room */
	bool		   restoring; /* what was kept is being told: nothing follows from it yet */
	int			   open;	  /* nodes that are not done */
	int			   busy;	  /* nodes somebody works on */
	int			   steps;	  /* ended in this advance */
	Size		   bytes;	  /* of their outputs, and of those read for them */
	List		  *kept;	  /* of FfKept, until there is a graph */
	List		  *arrivals;
	const FfNode  *broken;
	Jsonb		  *error;	/* of it */
	Jsonb		  *refused; /* why the graph does not take its input, or NULL */
} FfGraphRun;

/* input.c: what a run is given; why the graph does not take it, as an error, or NULL. */
extern Jsonb *ff_graph_input(const FfRun *run);
extern Jsonb *ff_graph_refuse_input(const FfGraph *graph, Jsonb *input);

/* An item of a for_each, or the node itself (each NULL). */
typedef struct FfPlace
{
	const FfNode  *node;  /* of the graph */
	const FfNode  *inner; /* what is done: the node, or the for_each's handler */
	FfNodeState	  *state;
	struct FfEach *each;
	int			   index;
	const char	  *step_id;
} FfPlace;

typedef struct FfEach
{
	FfNode	inner; /* what is done for each item */
	Jsonb  *items;
	int		count;
	int		next;	 /* the first that may not have been begun */
	int		running; /* under way */
	int		working; /* of those, what somebody works on */
	int		done;
	int		room;	  /* max_parallel */
	bool	fail;	  /* an item that fails fails the node */
	Jsonb  *error;	  /* of the first item that failed so */
	char   *progress; /* FfProgress of each */
	Jsonb **results;  /* NULL: to be read */
	Size	bytes;	  /* of results that have come since it is in memory */
} FfEach;

/* --- drive.c --- */

/* The graph's run of a run, made if there is none. */
extern FfGraphRun *ff_graph_run(FfRun *run);

/* Whether this advance has done enough. */
extern bool ff_advance_spent(const FfGraphRun *state);

/* --- cache.c --- */

/* The compiled graph of a run's version, kept as long as the run is in memory. Needs SPI. Raises
 * FF. */
extern const FfGraph *ff_graph_of(const FfRun *run);

/* --- progress.c: what follows from a node's end --- */

/* Until ff_progress_sweep, ends are those that were kept. */
extern void ff_progress_begin(FfGraphRun *state);
/* A node is done; `skipped` gets the indexes of nodes that no live path can reach any more. */
extern List *ff_progress_end(FfGraphRun *state, int node, FfProgress progress, bool live,
							 const char *branch);
/* What was kept has been told: what follows from it, as ff_progress_end gives it. */
extern List *ff_progress_sweep(FfGraphRun *state);
extern int	 ff_queue_first(const FfNodeQueue *queue); /* -1: empty */
extern int	 ff_queue_take(FfNodeQueue *queue);

/* --- context.c: what a node sees --- */

/* Reads what a node names and is not in memory. Needs SPI. */
extern void ff_context_fetch(FfRun *run, const FfNode *node);
/* What the node names; raises FF503 when that was too large to be read. */
extern FfScope *ff_context_scope(FfRun *run, const FfPlace *place);
/* The same as JSON, "input" and "context", for code. Reads what is not in memory. Needs SPI. */
extern void ff_context_write(FfRun *run, const FfPlace *place, StringInfo json);
/* Keeps an output with the run. */
extern Jsonb *ff_context_keep(FfRun *run, Jsonb *value);
/* The outputs of steps by their ids, NULL where there is none; palloc'ed. Needs SPI. */
extern Jsonb **ff_context_read(FfRun *run, char **step_ids, int count);
/* What the run gives: the output of its one leaf, or of each by its id; NULL when that is more than
 * an output may have. */
extern Jsonb *ff_context_result(FfRun *run);

/* --- node.c: a node's beginning and end --- */

extern void ff_node_start(FfRun *run, const FfPlace *place);
extern void ff_node_arrive(FfRun *run, const FfPlace *place, FfArrival *arrival, TimestampTz now);
extern void ff_node_skip(FfRun *run, int node, TimestampTz now);
/* It is over: its row, its events, and what follows. `input` is its resolved config or NULL. */
extern void ff_node_complete(FfRun *run, const FfPlace *place, Jsonb *output, int attempt,
							 Jsonb *detail, TimestampTz started, TimestampTz now);
extern void ff_node_fail(FfRun *run, const FfPlace *place, Jsonb *error, int attempt, Jsonb *detail,
						 TimestampTz started, TimestampTz now);
/* The request of an item that has lost it. */
extern void ff_node_restate(FfRun *run, const FfPlace *place, FfItem *item);
/* Which attempt of a step comes first, from 0: what ff_retry begins again counts on. */
extern int ff_node_first_attempt(const FfRun *run, const char *step_id);

/* --- resolve.c: configs --- */

/* With templates rendered in a scope, or in the node's own; raise FF. What stands for secrets has a
 * mark, if there is any. */
extern Jsonb *ff_config_resolve(const FfRun *run, const FfPlace *place, const FfScope *scope,
								char **mark);
extern Jsonb *ff_node_config(FfRun *run, const FfPlace *place);
/* {input: config without secrets}, or NULL when there is nothing to show */
extern Jsonb *ff_node_detail(const FfNode *node, Jsonb *config, const char *mark);
/* The members of two objects, the second's after the first's. */
extern Jsonb *ff_config_joined(Jsonb *first, Jsonb *second);

/* --- each.c: for_each --- */

/* Which for_each and item a step id like `id[3]` names; false when it names none. */
extern bool ff_each_find(FfGraphRun *state, const char *step_id, FfPlace *place);
extern void ff_each_begin(FfRun *run, const FfNode *node, Jsonb *config, int attempt,
						  TimestampTz started);
/* Reads the items again of one that was under way. */
extern void ff_each_resume(FfRun *run, const FfNode *node);
/* Starts what has room; ends the node when all is done. */
extern void ff_each_step(FfRun *run, const FfNode *node, TimestampTz now);
extern void ff_each_done(FfRun *run, const FfPlace *place, FfProgress progress, Jsonb *result,
						 Jsonb *error);
/* Gives back results, all of which are in their rows. */
extern void ff_each_shrink(FfEach *each);

/* --- log.c: the events of graphs --- */

extern void ff_graph_log(FfRun *run, const char *type, const char *step_id, const char *name,
						 int attempt, Jsonb *data, TimestampTz at);
extern void ff_log_started(FfRun *run, const FfPlace *place, int attempt, TimestampTz at);
/* The same of one whose graph need not be known. */
extern void ff_log_started_again(FfRun *run, const FfItem *item, TimestampTz at);
extern void ff_log_completed(FfRun *run, const FfPlace *place, Jsonb *output, TimestampTz started,
							 TimestampTz at);
/* A step that had completed before the run ended. */
extern void ff_log_settled(FfRun *run, const FfItem *item, Jsonb *output, TimestampTz started,
						   TimestampTz at);
/* `output` is what it leaves in the context, or NULL. */
extern void ff_log_failed(FfRun *run, const FfPlace *place, Jsonb *error, Jsonb *output,
						  int attempt, TimestampTz at);
extern void ff_log_skipped(FfRun *run, const FfPlace *place, const char *reason, TimestampTz at);
extern void ff_log_paused(FfRun *run, const FfItem *item, TimestampTz at);
extern void ff_log_resumed(FfRun *run, const char *step_id, TimestampTz at);

#endif

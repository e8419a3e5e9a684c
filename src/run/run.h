/*
 * run.h - a live run as its owner keeps it, and everything that may happen to it.
 *
 * A run is an actor: one executor owns it, handles one thing at a time and keeps its state in one
 * row. Each function below that changes a run notes in the run's FfChange what must be written;
 * nothing is written here, and nothing is called before it is committed, but for the end of a
 * sleep: after a crash the same sleep has ended again.
 */
#ifndef FF_RUN_H
#define FF_RUN_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "event/event.h"
#include "flow/claim.h"
#include "function/policy.h"
#include "slot/shared.h"

/* What of a run is not finished. */
typedef enum FfItemKind
{
	FF_ITEM_CALL, /* call the app: id "" asks what comes next, another id runs that step */
	FF_ITEM_SLEEP,
	FF_ITEM_WAIT,
	FF_ITEM_INVOKE,
	FF_ITEM_SIGNAL,
	FF_ITEM_FETCH, /* make a request for the step */
	FF_ITEM_AI,	   /* the same, to a model's provider */
	FF_ITEM_LOOP,  /* a step of a driver that is over when steps of its own are */
	FF_ITEM_STEP   /* a step the server takes itself (kind.h) */
} FfItemKind;

struct FfStepKind;

typedef struct FfItem
{
	FfItemKind	kind;
	char		id[FF_STEP_ID_SIZE];
	char	   *name;
	const char *type;		 /* of a graph's node, or NULL */
	int			attempt;	 /* from 0; counts calls that reached the app */
	int			unreachable; /* calls in a row that did not reach it */
	TimestampTz unreachable_since;
	int			group; /* the answer that asked for it */
	bool		race;  /* the function wants to know at once when it is done */
	bool		again; /* something finished while the call asking for more was under way */
	TimestampTz created;
	TimestampTz due;	 /* when to call, wake or give up; 0: now; DT_NOEND: never */
	int64		timeout; /* of a graph's node: microseconds an attempt may take; 0: as usual */
	Jsonb	   *input;	 /* of a graph's node: what people are shown of it, {input}, or NULL */
	Jsonb	   *error;	 /* of the last attempt, or NULL */
	Jsonb	   *terms;	 /* how the step wants to be called: {timeout, retries}, or NULL */
	void	   *call;	 /* the call under way, or NULL */
	TimestampTz called_at;
	pg_uuid_t	request_id; /* of that call */
	TimestampTz told_at;	/* when it last told of steps that had finished; 0: it has not */
	bool		begun;		/* that this attempt, not the first, has begun is in the log */
	pg_uuid_t	child;		/* the run that an invocation waits for; zero: not known */
	bool		remote;		/* the app is at it by itself; `due` is when the engine takes over */
	/* What to request, secrets included: only ever in memory. An item read from its row has none
	 * and asks the function for it again. */
	Jsonb					*request;
	const struct FfStepKind *step;	  /* of a step the server takes itself: its kind, */
	Jsonb					*options; /* what it was asked for with, */
	char					*mark;	  /* what marks the places of secrets in them, or NULL, */
	List *secrets; /* of char *: what no answer may show, only in the copy a call is made of, */
	int	  max_attempts; /* and how often it may be tried; so has the item of a graph's node */
} FfItem;

/* Whether an item is a request the engine makes for a step. */
static inline bool
ff_item_requests(const FfItem *item)
{
	return item->kind == FF_ITEM_FETCH || item->kind == FF_ITEM_AI;
}

/* Whether an item is done by calling somebody. */
static inline bool
ff_item_calls(const FfItem *item)
{
	return item->kind == FF_ITEM_CALL || ff_item_requests(item);
}

/* A finished step, as functions are handed it. */
typedef struct FfMemo
{
	char  id[FF_STEP_ID_SIZE];
	char *json; /* canonical JSON */
} FfMemo;

/* A function that is to be started when the run has ended. */
typedef struct FfDefer
{
	char   id[FF_STEP_ID_SIZE];
	char  *slug;
	Jsonb *payload; /* {input, ...} or NULL */
	bool   aborted; /* and remembered, because the function says it again */
} FfDefer;

#define FF_MAX_DEFERS 20

typedef enum FfHome
{
	FF_HOME_HOT,
	FF_HOME_PARKED,
	FF_HOME_NONE /* ended */
} FfHome;

struct FfChange;

typedef struct FfRun
{
	pg_uuid_t			   id; /* first: the key of the table of runs */
	MemoryContext		   context;
	int32				   tenant_id;
	int32				   function_id;
	int32				   version;
	pg_uuid_t			   event_id;
	bool				   has_parent;
	pg_uuid_t			   parent_id;
	char				   parent_step[FF_STEP_ID_SIZE];
	int					   depth; /* of invocation: 0 when an event started it */
	FfEvent				   event;
	char				  *event_json;	 /* canonical JSON; NULL: no app is called */
	bool				   batched;		 /* it may have several events: */
	char				  *events_json;	 /* all of them, with commas; NULL: the one, or too large */
	bool				   events_large; /* larger than a call may be */
	int					   protocol;	 /* the SDK's request version; -1 until it has said it */
	int					   generation;	 /* calls made so far */
	int					   seq;			 /* of the last run event */
	int					   group;		 /* of the last answer with operations */
	List				  *locks;		 /* of char *: keys of locks it may hold or wait for */
	bool				   plan;		 /* steps are to be planned, not executed at once */
	TimestampTz			   started;		 /* 0: not yet */
	TimestampTz			   queued;		 /* when it was made, or made to go on */
	FfPolicy			   policy;		 /* of its version */
	Jsonb				  *again;		 /* attempts that steps have had in a life before, by id */
	const struct FfDriver *driver;		 /* of a function that lives in the server, or NULL */
	int					   step_count;	 /* checkpoints of a run that has a driver */
	void				  *driven;		 /* what its driver knows of it */
	int					   max_running;	 /* of its steps at once; 0: any number */
	bool				   paused;		 /* everything waits for somebody outside */
	bool				   advancing;	 /* the executor is about to have it advanced */
	char	 edited_step[FF_STEP_ID_SIZE]; /* a step to run with edited input; "": none */
	Jsonb	*edited_input;
	FfClaim *claim;						/* what it asks of limits, or NULL: nothing limits it */
	int		 asked;						/* steps it has ever asked room for */
	FfHome	 home;						/* where the state's row is */
	List	*items;						/* of FfItem */
	struct item_table_hash *item_table; /* the same by their ids, when there are many; or NULL */
	List				   *gone;		/* likewise, of a run that has a driver: what is over */
	List				   *defers;		/* of FfDefer, by id */
	FfMemo				   *memos;		/* in order of completion */
	int						memo_count;
	int						memo_capacity;
	Size					memo_bytes;
	struct FfChange		   *change;	  /* what is not yet written, or NULL */
	void				   *lane;	  /* the executor's, while the run waits for room to call */
	TimestampTz				told_at;  /* when it was last sent a message */
	TimestampTz				timer_at; /* what the executor's timers know of it */
} FfRun;

/* --- what must be written (change.c) --- */

typedef struct FfStepRow
{
	char		id[FF_STEP_ID_SIZE];
	int			position;
	const char *op;
	char	   *name;
	const char *status;
	int			attempt;
	Jsonb	   *memo;
	Jsonb	   *detail;
	TimestampTz started;
	TimestampTz ended;
} FfStepRow;

typedef struct FfInvocation
{
	char		step_id[FF_STEP_ID_SIZE];
	char	   *name;
	char	   *slug;
	Jsonb	   *payload; /* {data, v?} or NULL */
	TimestampTz expires;
	bool		detached; /* nobody waits for its end */
	pg_uuid_t	run_id;
} FfInvocation;

/*
 * What a change writes beyond the run's own rows, in the same transaction. It may be written more
 * than once, when a transaction has to be begun anew; what it finds out may go into the row of the
 * step.
 */
struct FfEffect;
typedef void (*FfEffectWrite)(FfRun *run, struct FfEffect *effect);

typedef struct FfEffect
{
	FfEffectWrite write;
	bool		  first; /* before the run's rows, because it says what they hold */
	uint64		  guard; /* executors write effects of one guard one after another; 0: any way */
	FfStepRow	 *step;	 /* of the step that it finishes, or NULL */
	void		 *detail;
} FfEffect;

typedef struct FfChange
{
	FfRun	   *run;
	FfHome		home_before;
	bool		begun_before; /* the run had begun */
	FfClaim	   *claim_before; /* or NULL */
	int			first_seq;
	List	   *events;		  /* of JsonbValue */
	List	   *steps;		  /* of FfStepRow */
	List	   *waits;		  /* of FfWait */
	List	   *waits_done;	  /* step ids of waits that are over */
	List	   *signals;	  /* of FfSignal */
	List	   *signals_done; /* step ids of waits for signals that are over */
	List	   *invocations;  /* of FfInvocation */
	List	   *inbox;		  /* ids of handled messages */
	List	   *effects;	  /* of FfEffect */
	bool		grouped;	  /* it is among what is written next */
	bool		held; /* only sleeps have ended: calls need not wait until that is written */
	bool		written;
	bool		ended;
	const char *status;
	Jsonb	   *output;
	Jsonb	   *error;
	TimestampTz ended_at;
} FfChange;

/* Where changes are made: a context that lives until the group they belong to has been written. The
 * caller makes it current. */

/* Room for a run just read; `state` as its row holds it, or NULL for a run nobody has handled yet.
 * Raises FF012. */
extern FfRun *ff_run_new(const pg_uuid_t *id, MemoryContext parent);
extern void	  ff_run_read_state(FfRun *run, Jsonb *state, TimestampTz now);
extern Jsonb *ff_run_write_state(const FfRun *run);
extern void	  ff_run_free(FfRun *run);

/* A memo read from the checkpoints; call in order of completion. */
extern void ff_run_add_memo(FfRun *run, const char *step_id, Jsonb *memo);

/* When something is to be done next: 0 now, DT_NOEND never. Items whose call is under way count as
 * now. */
extern TimestampTz ff_run_next_due(const FfRun *run, TimestampTz now);

/* When the run is cancelled because it did not start or end in time; DT_NOEND: never. */
extern TimestampTz ff_run_deadline(const FfRun *run);

/* How long a call for an item may take, microseconds; 0: as long as any call to its app. */
extern int64 ff_item_timeout(const FfRun *run, const FfItem *item);

/* The run's change, begun when there is none; allocated in the current context. */
extern FfChange *ff_run_change(FfRun *run);

/* --- what may happen to a run --- */

/* The answer to an item's call has come (answer.h). */
struct FfAnswer;
extern void ff_run_answer(FfRun *run, FfItem *item, const struct FfAnswer *answer, int max_attempts,
						  TimestampTz now);

/* Steps that finished while the call that asks what comes next goes on. */
extern void ff_run_checkpoint(FfRun *run, const struct FfAnswer *answer, TimestampTz now);

/* What an app says of a run that began in it: steps that have finished, or else how the engine is
 * to go on. */
extern void ff_run_report(FfRun *run, const struct FfAnswer *answer, int max_attempts,
						  TimestampTz now);

/* Time has passed: sleeps that are over end, waits that are over time out, and a run whose time is
 * up is cancelled. */
extern void ff_run_wake(FfRun *run, TimestampTz now);

/* A message from the inbox: cancel {reason}, event {step, event}, invoked {step, run, output |
 * error}, signal {step, signal, data | conflict}, resume {step, memo, by}. An event for one of the
 * run's cancelOn waits cancels it. */
extern void ff_run_message(FfRun *run, const char *kind, Jsonb *payload, TimestampTz now);

/* The run ends: completed, failed or cancelled. */
extern void ff_run_end(FfRun *run, const char *status, Jsonb *output, Jsonb *error,
					   TimestampTz now);

/* An error as functions and people see it: {name, message, stack?}. */
extern Jsonb *ff_run_error(const char *name, const char *message);

extern int ff_invoke_depth_limit; /* runs that invoke runs that invoke ... */
extern int ff_unreachable_limit;  /* seconds an app may be away before its runs fail */
extern int ff_endpoint_lease;	  /* seconds a run that began in its app may be silent */
extern int ff_executor_memory;	  /* kB: beyond it, results that can be read again are forgotten */
extern int ff_output_limit;		  /* bytes of a step's or a run's result */
extern int ff_state_limit;		  /* bytes of the results of all steps of a run */
extern int ff_step_limit;		  /* steps of a run */

#endif

/*
 * answer.h - what an app's answer means, free of how the wire spells it.
 */
#ifndef FF_RUN_ANSWER_H
#define FF_RUN_ANSWER_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "slot/shared.h"

typedef enum FfOpKind
{
	FF_OP_NONE,		 /* nothing */
	FF_OP_COMPLETED, /* the step ran: data */
	FF_OP_ERROR,	 /* the step failed and may be tried again: error */
	FF_OP_FAILED,	 /* the step failed for good: error */
	FF_OP_PLANNED,	 /* call again with this step's id */
	FF_OP_SLEEP,	 /* due */
	FF_OP_WAIT,		 /* event, expression, due */
	FF_OP_INVOKE,	 /* function, payload, due */
	FF_OP_SIGNAL,	 /* signal, replace, due */
	FF_OP_FETCH,	 /* the engine makes the request: request */
	FF_OP_AI,		 /* the same, to a model's provider */
	FF_OP_DEFER,	 /* when the run has ended, function runs: payload */
	FF_OP_ABORT,	 /* that is not to happen: target */
	FF_OP_RETURN,	 /* the function is done: data */
	FF_OP_STEP,		 /* the server takes the step: step, options, due */
	FF_OP_RUN_ERROR, /* the function itself failed: error, final */
	FF_OP_AGAIN		 /* just call again */
} FfOpKind;

struct FfStepKind;

typedef struct FfOp
{
	FfOpKind	kind;
	char		id[FF_STEP_ID_SIZE];
	char	   *name;
	const char *type; /* of a graph's node, or NULL */
	bool		race;
	Jsonb	   *data;
	Jsonb	   *error;
	TimestampTz due;
	char	   *event;
	char	   *expression;
	char	   *function;
	Jsonb	   *payload;
	Jsonb	   *terms; /* of a step that is called: its own {timeout, retries}, or NULL */
	char	   *signal;
	bool		replace;
	Jsonb	   *request; /* with its secrets: never to be stored (run.h, FfItem) */
	bool		final;	 /* it is not worth another attempt */
	int64		took;	 /* microseconds the step ran, as the SDK measured; -1: it does not say */
	char	   *target;
	Jsonb	   *detail; /* what else is known of the step, for people, or NULL */
	Jsonb	   *options;
	char	   *mark; /* of what stands for secrets in the options, or NULL: nothing does */
	const struct FfStepKind *step;
} FfOp;

/* Whether an operation is a finished step, or rides along: what may be reported while a call goes
 * on. */
static inline bool
ff_op_is_checkpoint(const FfOp *op)
{
	return op->kind == FF_OP_COMPLETED || op->kind == FF_OP_FAILED || op->kind == FF_OP_DEFER ||
		   op->kind == FF_OP_ABORT;
}

typedef enum FfAnswerKind
{
	FF_ANSWER_OPS,
	FF_ANSWER_RETURN,
	FF_ANSWER_ERROR,
	FF_ANSWER_UNREACHABLE /* the app was not reached: nothing of ours ran */
} FfAnswerKind;

typedef struct FfAnswer
{
	FfAnswerKind kind;
	List		*ops; /* of FfOp */
	Jsonb		*output;
	Jsonb		*error;
	bool		 of_step;	  /* the error is the called step's, not the function's */
	bool		 retry;		  /* of an error, or of the errors among the operations */
	int64		 retry_after; /* microseconds, -1: as usual */
	int			 protocol;	  /* the SDK's request version, or -1 */
} FfAnswer;

#endif

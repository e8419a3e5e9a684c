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
	FF_OP_COMPLETED, /* the step ran: data */
	FF_OP_ERROR,	 /* the step failed and may be tried again: error */
	FF_OP_FAILED,	 /* the step failed for good: error */
	FF_OP_PLANNED,	 /* call again with this step's id */
	FF_OP_SLEEP,	 /* due */
	FF_OP_WAIT,		 /* event, expression, due */
	FF_OP_INVOKE,	 /* function, payload, due */
	FF_OP_RETURN,	 /* the function is done: data */
	FF_OP_STEP,		 /* the server takes the step: step, options, due */
	FF_OP_AGAIN		 /* just call again */
} FfOpKind;

struct FfStepKind;

typedef struct FfOp
{
	FfOpKind				 kind;
	char					 id[FF_STEP_ID_SIZE];
	char					*name;
	bool					 race;
	Jsonb					*data;
	Jsonb					*error;
	TimestampTz				 due;
	char					*event;
	char					*expression;
	char					*function;
	Jsonb					*payload;
	Jsonb					*options;
	const struct FfStepKind *step;
} FfOp;

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
	bool		 retry;		  /* of an error, or of the errors among the operations */
	int64		 retry_after; /* microseconds, -1: as usual */
	int			 protocol;	  /* the SDK's request version, or -1 */
} FfAnswer;

#endif

/*
 * kind.h - a kind of step that the server takes itself, instead of the function's app.
 *
 * Runs know such steps only by this table of what may happen to them; the kinds themselves are in
 * src/step and tell themselves to runs when the library is loaded, so that this folder needs none
 * of them.
 */
#ifndef FF_RUN_KIND_H
#define FF_RUN_KIND_H

#include "postgres.h"

#include "run/answer.h"
#include "run/run.h"

struct FfHttpCall;

/* Who works on a step of the kind. */
typedef enum FfStepPlace
{
	FF_STEP_WAITS,	/* nobody: it waits for a message, or until it is due */
	FF_STEP_SQL,	/* a sql worker */
	FF_STEP_CALL,	/* somebody outside, called by the run's owner */
	FF_STEP_SANDBOX /* a process that runs code, watched by the run's owner */
} FfStepPlace;

typedef struct FfStepKind
{
	const char *op;	  /* on the wire */
	const char *name; /* in rows: step.op, and of items the state's op */
	FfStepPlace place;

	/* Reads an operation's options into op->options and op->due. Gives what is wrong with them as
	 * the rest of a sentence, or NULL. Raises nothing. */
	const char *(*read)(FfOp *op, Jsonb *options, TimestampTz now);

	/* The operation is accepted: adds an item, or finishes the step. True when it is finished. */
	bool (*begin)(FfRun *run, const FfOp *op, int group, int max_attempts, TimestampTz now);

	/* A message for the step has come from the inbox. */
	void (*message)(FfRun *run, FfItem *item, const char *message, Jsonb *payload, TimestampTz now);

	/* The item is due. Not called for steps that somebody works on. */
	void (*time_out)(FfRun *run, FfItem *item, TimestampTz now);

	/* The item is over, because its step has finished or because the run has ended (the change
	 * says so). */
	void (*release)(FfRun *run, const FfItem *item);

	/* A run has ended, whether it has an item of the kind or not. */
	void (*run_ended)(FfRun *run);

	/* --- of kinds whose place is FF_STEP_CALL --- */

	/* Who is called, as a text: calls to the same one share a lane. NULL, or none: the run's app's
	 * lane. */
	char *(*callee)(const FfItem *item);

	/* Reads from tables what the call needs, in a transaction; gives it in `context`. May raise:
	 * then the step has failed, with an error of the name `error_name`. None: nothing is needed. */
	void *(*look_up)(const FfRun *run, const FfItem *item, MemoryContext context);
	const char *error_name;

	/* The options as people see them, without what is secret; whatever they are. None: as they
	 * are. */
	Jsonb *(*shown)(Jsonb *options);

	/* Makes the call (http/client.h) and gives its address, in the current context. NULL, with an
	 * error, when it cannot be made: then the step has failed. Raises nothing. */
	char *(*request)(struct FfHttpCall *call, const FfRun *run, const FfItem *item, void *found,
					 Jsonb **error);

	/* More of the answer has come. None: the kind is told of the end only. */
	void (*progress)(struct FfHttpCall *call, const FfItem *item, void *found);
	/* What people who follow the run are shown meanwhile: text that begins at character `offset`,
	 * or NULL. The `last` time all of it. */
	char *(*news)(struct FfHttpCall *call, const FfItem *item, void *found, bool last,
				  int64 *offset);

	/* What has come back: op->data, or op->error and whether the answer may be tried again.
	 * `answer` and `op` are filled but for that. */
	void (*answer)(struct FfAnswer *answer, FfOp *op, const struct FfHttpCall *call,
				   const FfItem *item, void *found, TimestampTz now);
} FfStepKind;

#define FF_MAX_STEP_KINDS 16

/* Once per kind, when the library is loaded; the kind is kept. */
extern void ff_kind_register(const FfStepKind *kind);

/* By the operation's word (whatever its case) or by the name in rows; NULL when there is none. */
extern const FfStepKind *ff_kind_by_op(const char *op);
extern const FfStepKind *ff_kind_by_name(const char *name);

/* The beginning of a kind that somebody works on: an item, and nothing else. */
extern bool ff_kind_begin(FfRun *run, const FfOp *op, int group, int max_attempts, TimestampTz now);

/* Tells all kinds that a run has ended. */
extern void ff_kinds_run_ended(FfRun *run);

/* Whether the item is for somebody to work on, now or when it is due, rather than to wait for. */
extern bool ff_item_is_work(const FfItem *item);

#endif

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

/* Who works on a step of the kind. */
typedef enum FfStepPlace
{
	FF_STEP_WAITS,	/* nobody: it waits for a message, or until it is due */
	FF_STEP_SQL,	/* a sql worker */
	FF_STEP_MODEL,	/* a model's provider, called by the run's owner */
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
} FfStepKind;

#define FF_MAX_STEP_KINDS 16

/* Once per kind, when the library is loaded; the kind is kept. */
extern void ff_kind_register(const FfStepKind *kind);

/* By the operation's word (whatever its case) or by the name in rows; NULL when there is none. */
extern const FfStepKind *ff_kind_by_op(const char *op);
extern const FfStepKind *ff_kind_by_name(const char *name);

/* Tells all kinds that a run has ended. */
extern void ff_kinds_run_ended(FfRun *run);

/* Whether the item is for somebody to work on, now or when it is due, rather than to wait for. */
extern bool ff_item_is_work(const FfItem *item);

#endif

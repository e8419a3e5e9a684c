/*
 * outgoing.h - requests that steps make: what they are made of, and what their answers mean. Of the
 * steps Http and Webhook.
 */
#ifndef FF_STEP_OUTGOING_H
#define FF_STEP_OUTGOING_H

#include "postgres.h"

#include "http/client.h"
#include "run/answer.h"
#include "run/run.h"

#define FF_OUTGOING_TIMEOUT 30 /* seconds, when the step does not say */

/* Reads what every request has: url, timeout_seconds. Gives what is wrong as the rest of a
 * sentence, or NULL. */
extern const char *ff_outgoing_check(Jsonb *options);
extern int		   ff_outgoing_timeout(Jsonb *options); /* ms */

/* A name for the call that is the same whenever it is made again: of the run and the step, in
 * letters, digits and _. */
extern char *ff_outgoing_key(const FfRun *run, const FfItem *item);

/* Fills the answer and op->data or op->error by what has come back: statuses from 400 on are
 * errors, of which 429 and 5xx may be tried again. No secret (of char *) is left in either. */
extern void ff_outgoing_answer(FfAnswer *answer, FfOp *op, const FfHttpCall *call, bool headers,
							   List *secrets);

/* The body of an answer: JSON where it says so and is, text, or base64. Sets whether it is the
 * last. */
extern Jsonb *ff_outgoing_body(const FfHttpCall *call, List *secrets, bool *base64);

/* Whose room a call to the address among an item's options takes: its origin; palloc'ed. */
extern char *ff_outgoing_callee(const FfItem *item);

#endif

/*
 * protocol.h - the SDK protocol: what a call to an app says, and what its answer means.
 */
#ifndef FF_PROTOCOL_H
#define FF_PROTOCOL_H

#include "postgres.h"

#include "function/function.h"
#include "http/client.h"
#include "run/answer.h"
#include "run/run.h"
#include "util/sign.h"

extern char *ff_signing_key;		  /* NULL or empty: development mode, nothing is signed */
extern char *ff_signing_key_fallback; /* the other key while keys are changed, or empty */
extern int	 ff_request_limit;		  /* bytes of events and memos a call carries */

/* Writes the body and the headers of a call for an item of a run; gives its address, allocated with
 * the call. */
extern char *ff_protocol_request(FfHttpCall *call, const FfRun *run, const FfItem *item,
								 const FfFunction *function);

/* Whether a call says only what is to be done, and the app fetches what has been. */
extern bool ff_protocol_fetches(const FfRun *run, const FfFunction *function);

/* The address of a call: the function's URL with stepId set. */
extern char *ff_protocol_url(const FfFunction *function, const FfItem *item);

/* The request that began the run of an endpoint, made again (endpoint.c): method, body and what of
 * the headers is its own. Gives its address. */
extern char *ff_protocol_endpoint(FfHttpCall *call, const FfRun *run, const FfFunction *function);

/* Reads an answer; everything it gives is allocated in the current context. Never raises on what an
 * app may say. */
extern void ff_protocol_answer(FfAnswer *answer, const FfHttpCall *call, TimestampTz now);

/* Whether the call of an item lets the SDK report steps before it answers. */
extern bool ff_checkpointing;
extern bool ff_protocol_checkpoints(const FfRun *run, const FfItem *item);

/* Reads a list of operations into an answer, which is an error when one is not understood. */
extern void ff_protocol_ops(FfAnswer *answer, Jsonb *ops, TimestampTz now);

/* Answers that arrive bit by bit (stream.c): each line an operation. Steps that have finished are
 * taken from the call's body and given as an answer, whose list is empty when there are none; what
 * ends the call stays for ff_protocol_answer. */
extern bool ff_protocol_streams(const FfHttpCall *call);
extern void ff_protocol_progress(FfAnswer *answer, FfHttpCall *call, TimestampTz now);
/* What such an answer says in the end. */
extern void ff_protocol_lines(FfAnswer *answer, const FfHttpCall *call, TimestampTz now);

/* Reads one operation into `out`; gives what is wrong with it as a sentence, or NULL. */
extern char *ff_protocol_op(FfOp *out, Jsonb *json, TimestampTz now);

extern bool ff_protocol_dev(void);

/* Checks the signature of an answer. */
extern FfSignature ff_protocol_signature(const FfHttpCall *call);
/* The same of any text and its header. */
extern FfSignature ff_protocol_verify(const char *header, const char *text, int length);

/* --- requests the engine makes for steps (gateway.c) --- */

/* The request that the options of a fetch or an AI operation describe, secrets included: {url,
 * method, headers, body?, ai?, secrets}. Gives what is wrong with them, or NULL. */
extern const char *ff_gateway_fetch(Jsonb *opts, Jsonb **request);
extern const char *ff_gateway_ai(Jsonb *opts, Jsonb **request);

/* Writes the headers and the body of a request; gives its address. */
extern char *ff_gateway_request(FfHttpCall *call, const FfRun *run, const FfItem *item);

/* What the request's answer means for the item's step: one operation, without the request's
 * secrets. */
extern void ff_gateway_answer(FfAnswer *answer, const FfHttpCall *call, const FfItem *item,
							  TimestampTz now);

#endif

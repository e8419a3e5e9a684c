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

/* Writes the body and the headers of a call for an item of a run. */
extern void ff_protocol_request(FfHttpCall *call, const FfRun *run, const FfItem *item,
								const FfFunction *function);

/* The address of a call: the function's URL with stepId set. */
extern char *ff_protocol_url(const FfFunction *function, const FfItem *item);

/* Reads an answer; everything it gives is allocated in the current context. Never raises on what an
 * app may say. */
extern void ff_protocol_answer(FfAnswer *answer, const FfHttpCall *call, TimestampTz now);

extern bool ff_protocol_dev(void);

/* Checks the signature of an answer. */
extern FfSignature ff_protocol_signature(const FfHttpCall *call);

#endif

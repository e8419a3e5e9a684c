/*
 * repeat.h - requests that carry an idempotency key, and their repeats.
 *
 * The key is claimed before the request is served and its answer kept with it, all in the request's
 * own transaction: whoever comes with the same key waits for the first to commit and is given its
 * answer. A request that fails leaves no claim behind.
 */
#ifndef FF_REPEAT_H
#define FF_REPEAT_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "api/answer.h"

/* What a request is, to tell a repeat from another request under the same key. */
typedef struct FfRepeat
{
	const char *key; /* NULL: the caller gave none */
	bytea	   *digest;
} FfRepeat;

/* Reads the key from the headers. The texts, the body and the headers that say what it is must be
 * the same in a repeat. Error: FF204. */
extern void ff_repeat_read(FfRepeat *repeat, Jsonb *headers, const char *method, const char *path,
						   const char *query, const bytea *body);

/* True, with the first answer, when the request is a repeat. Error: FF212 under a taken key. */
extern bool ff_repeat_answer(const FfRepeat *repeat, FfAnswer *answer);

/* Keeps the answer for repeats. */
extern void ff_repeat_keep(const FfRepeat *repeat, const FfAnswer *answer);

#endif

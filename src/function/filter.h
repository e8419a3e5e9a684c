/*
 * filter.h - counting the filters that could not be evaluated.
 *
 * A filter with an error lets nothing pass and fails nothing; so that somebody notices, the errors
 * of each function are counted in shared memory and shown with it. Counting costs no row and no
 * lock on one, and is forgotten when the server restarts.
 */
#ifndef FF_FUNCTION_FILTER_H
#define FF_FUNCTION_FILTER_H

#include "postgres.h"

#include "lang/lang.h"

/* Whether the filter lets the bindings pass; an error is counted for the function. */
extern bool ff_filter_passes(const FfExpr *filter, const FfBinding *bindings, int count,
							 int32 tenant_id, int32 function_id);

/* Counts an error of a function's filter. */
extern void ff_filter_failed(int32 tenant_id, int32 function_id, const char *why);

/* Reserves the shared memory; called while the library is preloaded. */
extern void ff_filter_init(void);

#endif

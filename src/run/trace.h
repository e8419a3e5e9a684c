/*
 * trace.h - what apps and others that are called for a run are told of its trace.
 */
#ifndef FF_RUN_TRACE_H
#define FF_RUN_TRACE_H

#include "http/client.h"
#include "run/run.h"
#include "util/trace.h"

/* Whether somebody wants to know of its trace: who sent its event named one, or spans are exported.
 */
extern bool ff_run_traced(const FfRun *run);
/* The traceparent of a step, or, for "", of the run itself. */
extern void ff_run_trace(const FfRun *run, const char *step, char parent[FF_TRACE_PARENT + 1]);
/* The tracestate it came with, or NULL. */
extern const char *ff_run_trace_state(const FfRun *run);
/* What the run starts with a step, or, for "", beside its steps, belongs to; NULLs when nobody
 * wants to know. */
extern FfTrace ff_run_trace_context(const FfRun *run, const char *step);
/* Adds both to a call. */
extern void ff_run_trace_call(FfHttpCall *call, const FfRun *run, const char *step);

#endif

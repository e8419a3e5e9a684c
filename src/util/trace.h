/*
 * trace.h - W3C trace context: a run belongs to the trace of whoever sent its event, or is one of
 * its own, named by its id.
 */
#ifndef FF_TRACE_H
#define FF_TRACE_H

#include "postgres.h"

#include "utils/uuid.h"

#define FF_TRACE_PARENT 55 /* bytes: 00-TRACE-SPAN-FLAGS */
#define FF_TRACE_ID 32
#define FF_TRACE_SPAN_SIZE 17 /* with its end */
#define FF_TRACE_STATE_MAX 512

/* The setting flowforge.traceparent: what SQL sends belongs to. */
extern char *ff_trace_setting;
/* The setting flowforge.otlp_endpoint: where spans go; "": nowhere. */
extern char *ff_otlp_endpoint;

/* Whether a text is a traceparent that may be passed on. */
extern bool ff_trace_is_parent(const char *text);
/* Whether it is a tracestate that may be. */
extern bool ff_trace_is_state(const char *text);

/* The HTTP request that is being served has these headers (NULL: it has not, or is over). */
extern void ff_trace_request(const char *parent, const char *state);
/* What is sent now belongs to: the request's, the setting's, or NULL. */
extern const char *ff_trace_parent_now(void);
extern const char *ff_trace_state_now(void);

/* The id of the span of a step, or, for the step "", of the run itself; in hex. */
extern void ff_trace_span(const pg_uuid_t *run, const char *step, char span[FF_TRACE_SPAN_SIZE]);

#endif

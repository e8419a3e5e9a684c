/*
 * trace.c - see trace.h. The trace is in the meta of the run's event.
 */
#include "postgres.h"

#include "run/trace.h"
#include "util/json.h"

static const char *
event_parent(const FfRun *run)
{
	const char *parent =
		run->event.meta != NULL ? ff_json_text(run->event.meta, "traceparent") : NULL;

	return ff_trace_is_parent(parent) ? parent : NULL;
}

bool
ff_run_traced(const FfRun *run)
{
	return ff_otlp_endpoint[0] != '\0' || event_parent(run) != NULL;
}

void
ff_run_trace(const FfRun *run, const char *step, char parent[FF_TRACE_PARENT + 1])
{
	const char *given = event_parent(run);
	char		trace[FF_TRACE_ID + 1];
	char		span[FF_TRACE_SPAN_SIZE];

	if (given != NULL)
		strlcpy(trace, given + 3, sizeof(trace));
	else
	{
		for (int i = 0; i < UUID_LEN; i++)
			snprintf(trace + 2 * i, 3, "%02x", run->id.data[i]);
	}
	ff_trace_span(&run->id, step, span);
	snprintf(parent, FF_TRACE_PARENT + 1, "00-%s-%s-%s", trace, span,
			 given != NULL ? given + 53 : "01");
}

const char *
ff_run_trace_state(const FfRun *run)
{
	const char *state =
		event_parent(run) != NULL ? ff_json_text(run->event.meta, "tracestate") : NULL;

	return ff_trace_is_state(state) ? state : NULL;
}

FfTrace
ff_run_trace_context(const FfRun *run, const char *step)
{
	FfTrace trace = {NULL, NULL};
	char   *parent;

	if (!ff_run_traced(run))
		return trace;
	parent = palloc(FF_TRACE_PARENT + 1);
	ff_run_trace(run, step, parent);
	trace.parent = parent;
	trace.state = ff_run_trace_state(run);
	return trace;
}

void
ff_run_trace_call(FfHttpCall *call, const FfRun *run, const char *step)
{
	char		parent[FF_TRACE_PARENT + 1];
	const char *state = ff_run_trace_state(run);

	ff_run_trace(run, step, parent);
	ff_http_add_header(call, psprintf("traceparent: %s", parent));
	if (state != NULL)
		ff_http_add_header(call, psprintf("tracestate: %s", state));
}

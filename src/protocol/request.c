/*
 * request.c - the body and headers of a call (the SDK protocol, "Execution", request).
 *
 * The body is canonical JSON (RFC 8785), so its members are written in order of their names; a run
 * keeps its event and its memos as canonical text and they are only joined here.
 */
#include "postgres.h"

#include <time.h>

#include "protocol/protocol.h"
#include "run/trace.h"
#include "util/id.h"
#include "util/jcs.h"
#include "util/json.h"
#include "util/sign.h"

char *ff_signing_key = NULL;
char *ff_signing_key_fallback = NULL;
int	  ff_request_limit = 4 * 1024 * 1024;

bool ff_checkpointing = true;

bool
ff_protocol_checkpoints(const FfRun *run, const FfItem *item)
{
	/* An SDK that reports steps takes edited input for what the step has left. */
	return ff_checkpointing && *item->id == '\0' && !run->plan && run->edited_input == NULL;
}

bool
ff_protocol_dev(void)
{
	return ff_signing_key == NULL || *ff_signing_key == '\0';
}

static void
append_text(StringInfo out, const char *text)
{
	ff_jcs_append_string(out, text, (int) strlen(text));
}

static const char *
call_step(const FfItem *item)
{
	return *item->id ? item->id : "step";
}

static void
append_stack(StringInfo out, const FfRun *run)
{
	appendStringInfo(out, "\"stack\":{\"current\":%d,\"stack\":[", run->memo_count);
	for (int i = 0; i < run->memo_count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		append_text(out, run->memos[i].id);
	}
	appendStringInfoString(out, "]},");
}

static int
compare_memos(const void *a, const void *b)
{
	return strcmp((*(const FfMemo *const *) a)->id, (*(const FfMemo *const *) b)->id);
}

/* A step that has not run and shall run with edited input is told as {input: [...]}. */
static bool
edited_memo(const FfRun *run, FfMemo *memo)
{
	if (run->edited_input == NULL)
		return false;
	strlcpy(memo->id, run->edited_step, sizeof(memo->id));
	memo->json = psprintf("{\"input\":%s}", ff_jcs_text(run->edited_input));
	return true;
}

bool
ff_protocol_fetches(const FfRun *run, const FfFunction *function)
{
	size_t size =
		strlen(run->event_json) + strlen(run->events_json ? run->events_json : run->event_json);

	if (function->endpoint || run->events_large)
		return true;
	for (int i = 0; i < run->memo_count && size <= (size_t) ff_request_limit; i++)
		size += strlen(run->memos[i].json) + sizeof(run->memos[i].id);
	return size > (size_t) ff_request_limit;
}

static void
append_steps(StringInfo out, const FfRun *run)
{
	const FfMemo **sorted = palloc(sizeof(FfMemo *) * (run->memo_count + 1));
	FfMemo		   edited;
	int			   count = run->memo_count;

	for (int i = 0; i < run->memo_count; i++)
		sorted[i] = &run->memos[i];
	if (edited_memo(run, &edited))
		sorted[count++] = &edited;
	qsort(sorted, count, sizeof(FfMemo *), compare_memos);
	appendStringInfoString(out, "\"steps\":{");
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		append_text(out, sorted[i]->id);
		appendStringInfo(out, ":%s", sorted[i]->json);
	}
	appendStringInfoString(out, "},");
	pfree(sorted);
}

/* What the run has deferred already: the function need not say it again. */
static void
append_defers(StringInfo out, const FfRun *run)
{
	const char *comma = "";
	ListCell   *cell;

	appendStringInfoString(out, "\"defers\":{");
	foreach (cell, run->defers)
	{
		const FfDefer *defer = lfirst(cell);

		appendStringInfoString(out, comma);
		append_text(out, defer->id);
		appendStringInfo(out, ":{\"abortable\":%s}", defer->aborted ? "false" : "true");
		comma = ",";
	}
	appendStringInfoString(out, "},");
}

static void
append_body(StringInfo out, const FfRun *run, const FfItem *item, const FfFunction *function)
{
	char		ulid[FF_ULID_SIZE];
	bool		large = ff_protocol_fetches(run, function);
	const char *use_api = large ? "true" : "false";

	ff_ulid_encode(&run->id, ulid);
	appendStringInfo(
		out, "{\"ctx\":{\"attempt\":%d,\"disable_immediate_execution\":%s,\"env\":\"%s\",",
		item->attempt, run->plan ? "true" : "false", ff_protocol_dev() ? "dev" : "prod");
	/* What lets an SDK report steps while the call goes on. */
	if (ff_protocol_checkpoints(run, item))
	{
		appendStringInfoString(out, "\"fn_id\":");
		append_text(out, function->slug);
		appendStringInfo(out, ",\"max_attempts\":%d,\"qi_id\":\"%s\",\"run_id\":\"%s\",",
						 ff_step_attempts(item->terms, function->max_attempts), ulid, ulid);
	}
	else
		appendStringInfo(out, "\"max_attempts\":%d,\"run_id\":\"%s\",",
						 ff_step_attempts(item->terms, function->max_attempts), ulid);
	append_stack(out, run);
	appendStringInfoString(out, "\"step_id\":");
	append_text(out, call_step(item));
	appendStringInfo(out, ",\"use_api\":%s},", use_api);
	append_defers(out, run);
	appendStringInfo(out, "\"event\":%s,\"events\":[", run->event_json);
	if (!large)
		appendStringInfoString(out, run->events_json ? run->events_json : run->event_json);
	appendStringInfoString(out, "],");
	if (large)
		appendStringInfoString(out, "\"steps\":{},");
	else
		append_steps(out, run);
	appendStringInfo(out, "\"use_api\":%s,\"version\":%d}", use_api, run->protocol);
}

static void
add_headers(FfHttpCall *call, const FfRun *run, const FfItem *item)
{
	char run_ulid[FF_ULID_SIZE];
	char request_ulid[FF_ULID_SIZE];

	ff_ulid_encode(&run->id, run_ulid);
	ff_ulid_encode(&item->request_id, request_ulid);
	ff_http_add_header(call, psprintf("x-run-id: %s", run_ulid));
	ff_http_add_header(call,
					   psprintf("x-inngest-server-kind: %s", ff_protocol_dev() ? "dev" : "cloud"));
	ff_http_add_header(call, psprintf("x-inngest-step-id: %s", call_step(item)));
	ff_http_add_header(call, psprintf("x-inngest-req-version: %d", run->protocol));
	ff_http_add_header(call, psprintf("x-request-id: %s", request_ulid));
	ff_run_trace_call(call, run, item->id);
	ff_http_add_header(call, psprintf("x-inngest-job-id: %s.%s", run_ulid, call_step(item)));
	ff_http_add_header(call, psprintf("x-inngest-generation-id: %d", run->generation));
	/* The same for every attempt of a step: what an app can make its effects idempotent with. */
	ff_http_add_header(call, psprintf("idempotency-key: %s/%s/%d", run_ulid, call_step(item),
									  *item->id ? 0 : run->memo_count));
	/* A header that is present and empty is written with a semicolon. */
	if (ff_protocol_dev())
		ff_http_add_header(call, "x-inngest-signature;");
	else
		ff_http_add_header(call, psprintf("x-inngest-signature: %s",
										  ff_sign_header(ff_signing_key, call->request.data,
														 call->request.len, (int64) time(NULL))));
}

char *
ff_protocol_request(FfHttpCall *call, const FfRun *run, const FfItem *item,
					const FfFunction *function)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);
	char		 *url;

	call->reach = FF_REACH_APP;
	if (function->endpoint)
		url = ff_protocol_endpoint(call, run, function);
	else
	{
		append_body(&call->request, run, item, function);
		ff_http_add_header(call, "content-type: application/json");
		url = ff_protocol_url(function, item);
	}
	add_headers(call, run, item);
	MemoryContextSwitchTo(old);
	return url;
}

char *
ff_protocol_url(const FfFunction *function, const FfItem *item)
{
	const char *url = function->url;
	const char *at = strstr(url, "stepId=");
	const char *rest;

	if (at == NULL || at == url || (at[-1] != '?' && at[-1] != '&'))
		return psprintf("%s%cstepId=%s", url, strchr(url, '?') ? '&' : '?', call_step(item));
	rest = at + strcspn(at, "&");
	return psprintf("%.*sstepId=%s%s", (int) (at - url), url, call_step(item), rest);
}

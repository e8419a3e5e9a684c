/*
 * endpoint.c - calls to durable endpoints: functions that are an app's own HTTP handlers.
 *
 * Such a run begins in the app, with somebody's request; the event holds that request. When the
 * engine goes on with the run it makes the same request again, and its headers say whose it is; the
 * app fetches the run's state.
 */
#include "postgres.h"

#include "protocol/protocol.h"
#include "util/jcs.h"
#include "util/json.h"

/* The SDK checks the signature of a body in JSON over its canonical form, so that is what is sent.
 */
static char *
canonical(char *body)
{
	FfJsonError error;
	Jsonb	   *json = ff_json_parse(body, strlen(body), ff_json_depth_limit, &error);

	return json != NULL ? ff_jcs_text(json) : body;
}

char *
ff_protocol_endpoint(FfHttpCall *call, const FfRun *run, const FfFunction *function)
{
	Jsonb *asked = run->event.data;
	char  *method = ff_json_text(asked, "method");
	char  *query = ff_json_text(asked, "query_params");
	char  *body = ff_json_text(asked, "body");
	char  *type = ff_json_text(asked, "content_type");

	call->method = method ? method : "GET";
	if (body != NULL && pg_strcasecmp(call->method, "GET") != 0 &&
		pg_strcasecmp(call->method, "HEAD") != 0)
		appendStringInfoString(&call->request, canonical(body));
	if (type != NULL && *type != '\0')
		ff_http_add_header(call, psprintf("content-type: %s", type));
	if (run->plan)
		ff_http_add_header(call, "x-inngest-force-step-plan: true");
	if (query == NULL || *query == '\0')
		return pstrdup(function->url);
	return psprintf("%s?%s", function->url, query);
}

/*
 * request.c - a call to a model as HTTP, in the words of whoever is asked (see ai.h).
 */
#include "postgres.h"

#include "ai/wire.h"

static const FfAiWire *const wires[] = {&ff_ai_openai,	  &ff_ai_azure,	 &ff_ai_mistral,
										&ff_ai_anthropic, &ff_ai_gemini, &ff_ai_bedrock};

const FfAiWire *
ff_ai_wire(const char *format)
{
	for (int i = 0; i < (int) lengthof(wires); i++)
	{
		if (strcmp(wires[i]->format, format) == 0)
			return wires[i];
	}
	return NULL;
}

/* The body; what is asked is valid, but not every provider has words for all of it. */
static bool
put_body(FfAiAsk *ask, StringInfo body)
{
	Jsonb *json;

	ff_jb_object(&ask->out);
	ask->provider->wire->body(ask);
	if (ask->fault != NULL)
		return false;
	ff_jb_end(&ask->out);
	json = ff_jb_finish(&ask->out);
	(void) JsonbToCString(body, &json->root, VARSIZE(json));
	return true;
}

static List *
put_headers(const FfAiProvider *provider, const char *url, StringInfo body, TimestampTz now)
{
	const FfAiWire *wire = provider->wire;
	List		   *headers = list_make1("content-type: application/json");
	ListCell	   *cell;

	if (wire->add_headers != NULL)
		headers = wire->add_headers(headers, provider);
	foreach (cell, provider->headers)
		headers = lappend(headers, lfirst(cell));
	if (wire->authorize != NULL && provider->key != NULL)
		headers = wire->authorize(headers, provider);
	return wire->sign ? wire->sign(headers, provider, url, body, now) : headers;
}

char *
ff_ai_request(const FfAiProvider *provider, Jsonb *options, StringInfo body, List **headers,
			  TimestampTz now, Jsonb **error)
{
	StringInfoData url;
	FfAiAsk		   ask;

	ff_ai_ask(&ask, provider, options);
	if (!put_body(&ask, body))
	{
		*error = ff_ai_error(provider, psprintf("the call %s", ask.fault));
		return NULL;
	}
	initStringInfo(&url);
	appendStringInfoString(&url, provider->base_url);
	provider->wire->path(&url, &ask);
	*headers = put_headers(provider, url.data, body, now);
	return url.data;
}

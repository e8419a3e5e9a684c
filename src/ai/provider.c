/*
 * provider.c - who answers for a model, and what it costs (see ai.h).
 *
 * A provider is a row of flowforge.ai_provider: the one the call names, or the one the model's name
 * begins with ("mistral/small"), or the one such models are of (claude-..., gemini-...), or openai.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "ai/wire.h"
#include "util/aws.h"
#include "util/errors.h"
#include "util/redact.h"
#include "util/seal.h"
#include "util/spi.h"

static char *
default_name(const char *model)
{
	static const char *const known[][2] = {{"claude", "anthropic"},	 {"gemini", "gemini"},
										   {"mistral", "mistral"},	 {"ministral", "mistral"},
										   {"codestral", "mistral"}, {"magistral", "mistral"}};
	const char				*slash = strchr(model, '/');

	if (slash != NULL)
		return pnstrdup(model, slash - model);
	for (int i = 0; i < (int) lengthof(known); i++)
	{
		if (strncmp(model, known[i][0], strlen(known[i][0])) == 0)
			return pstrdup(known[i][1]);
	}
	return "openai";
}

/* A column as text in the caller's context, or NULL. */
static char *
text_of(int column, MemoryContext context)
{
	bool  isnull;
	Datum value = ff_spi_value(0, column, &isnull);

	return isnull ? NULL : MemoryContextStrdup(context, TextDatumGetCString(value));
}

static char *
open_sealed(int column, const char *purpose, MemoryContext context)
{
	bool  isnull;
	Datum sealed = ff_spi_value(0, column, &isnull);

	return isnull ? NULL
				  : MemoryContextStrdup(context, ff_unseal(DatumGetByteaPP(sealed), purpose));
}

/* --- secrets --- */

/* {"name": "value"} as headers; the values that go under the name of a secret are some. */
static void
read_headers(FfAiProvider *provider, const char *text)
{
	FfJsonError		   error;
	Jsonb			  *json = ff_json_parse(text, strlen(text), 2, &error);
	JsonbIterator	  *it = ff_json_is_object(json) ? JsonbIteratorInit(&json->root) : NULL;
	JsonbValue		   value;
	JsonbIteratorToken token;
	char			  *name = "";

	while (it != NULL && (token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char *word;

		if (token != WJB_KEY && token != WJB_VALUE)
			continue;
		word = pnstrdup(value.val.string.val, value.val.string.len);
		if (token == WJB_KEY)
		{
			name = word;
			continue;
		}
		provider->headers = lappend(provider->headers, psprintf("%s: %s", name, word));
		if (ff_is_secret_name(name, (int) strlen(name)))
			provider->secrets = lappend(provider->secrets, word);
	}
}

/* Of a key in parts each is a secret, but for AWS's id. */
static void
note_key(FfAiProvider *provider)
{
	FfAwsKey key;

	if (provider->key == NULL)
		return;
	provider->secrets = lappend(provider->secrets, provider->key);
	if (provider->wire != &ff_ai_bedrock || !ff_aws_key(&key, provider->key))
		return;
	provider->secrets = lappend(provider->secrets, key.secret);
	if (key.token != NULL)
		provider->secrets = lappend(provider->secrets, key.token);
}

/* --- rows --- */

static bool
find(FfAiProvider *provider, int32 tenant_id, const char *name, MemoryContext context)
{
	static FfPlan plan = {
		"select p.name, p.format, p.base_url, p.region, p.api_version, p.sealed_key, p.sealed_headers "
		"from flowforge.ai_provider p where p.tenant_id = $1 and p.name = $2",
		2,
		{INT4OID, TEXTOID}};
	Datum		  values[2] = {Int32GetDatum(tenant_id), CStringGetTextDatum(name)};
	char		 *purpose = psprintf("provider %s of tenant %d", name, tenant_id);
	char		 *headers;
	MemoryContext old;

	if (ff_spi_run(&plan, values, NULL, true) == 0)
		return false;
	provider->name = text_of(1, context);
	provider->wire = ff_ai_wire(text_of(2, context));
	provider->base_url = text_of(3, context);
	provider->region = text_of(4, context);
	provider->api_version = text_of(5, context);
	provider->key = open_sealed(6, purpose, context);
	headers = open_sealed(7, psprintf("headers of %s", purpose), context);
	old = MemoryContextSwitchTo(context);
	note_key(provider);
	if (headers != NULL)
		read_headers(provider, headers);
	MemoryContextSwitchTo(old);
	return true;
}

static Numeric
numeric_of(int column, MemoryContext context)
{
	bool		  isnull;
	Datum		  value = ff_spi_value(0, column, &isnull);
	MemoryContext old = MemoryContextSwitchTo(context);
	Numeric		  copy = isnull ? NULL : DatumGetNumericCopy(value);

	MemoryContextSwitchTo(old);
	return copy;
}

static void
find_price(FfAiProvider *provider, int32 tenant_id, MemoryContext context)
{
	static FfPlan plan = {
		"select p.input_price, p.output_price, p.cached_price, p.cache_write_price "
		"from flowforge.price_of($1, $2, $3, now()) p where p.input_price is not null",
		3,
		{INT4OID, TEXTOID, TEXTOID}};
	Datum values[3] = {Int32GetDatum(tenant_id), CStringGetTextDatum(provider->name),
					   CStringGetTextDatum(provider->model)};

	provider->price.known = ff_spi_run(&plan, values, NULL, true) > 0;
	if (!provider->price.known)
		return;
	provider->price.input = numeric_of(1, context);
	provider->price.output = numeric_of(2, context);
	provider->price.cached = numeric_of(3, context);
	provider->price.cache_write = numeric_of(4, context);
}

FfAiProvider *
ff_ai_provider(int32 tenant_id, Jsonb *options, MemoryContext context)
{
	FfAiProvider *provider = MemoryContextAllocZero(context, sizeof(FfAiProvider));
	char		 *model = ff_json_text(options, "model");
	char		 *name = ff_json_text(options, "provider");
	char		 *slash = strchr(model, '/');

	provider->model = MemoryContextStrdup(context, model);
	if (name == NULL)
	{
		name = default_name(model);
		/* Names of models may have a slash of their own: then the provider must be named. */
		if (slash != NULL)
			provider->model = MemoryContextStrdup(context, slash + 1);
	}
	if (!find(provider, tenant_id, name, context))
		ereport(ERROR,
				(errcode(FF_ERR_AI_PROVIDER), errmsg("there is no provider of models \"%s\"", name),
				 errdetail("The model is \"%s\".", model),
				 errhint("Name one with provider, or add it: select ff_set_ai_provider('%s', key).",
						 name)));
	find_price(provider, tenant_id, context);
	return provider;
}

PG_FUNCTION_INFO_V1(ff_ai_seal);
Datum
ff_ai_seal(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(
		ff_seal(text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(1))));
}

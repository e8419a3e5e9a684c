/*
 * provider.c - who answers for a model (see ai.h).
 *
 * A provider is a row of flowforge.ai_provider: the one the call names, or the one the model's name
 * begins with ("mistral/small"), or the one such models are of (claude-..., gemini-...), or openai.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "ai/ai.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/seal.h"
#include "util/spi.h"

static char *
default_name(const char *model)
{
	const char *slash = strchr(model, '/');

	if (slash != NULL)
		return pnstrdup(model, slash - model);
	if (strncmp(model, "claude", 6) == 0)
		return "anthropic";
	if (strncmp(model, "gemini", 6) == 0)
		return "gemini";
	return "openai";
}

static FfAiFormat
format_of(const char *name)
{
	return strcmp(name, "anthropic") == 0 ? FF_AI_ANTHROPIC
		   : strcmp(name, "gemini") == 0  ? FF_AI_GEMINI
										  : FF_AI_OPENAI;
}

static bool
find(FfAiProvider *provider, int32 tenant_id, const char *name)
{
	static FfPlan plan = {
		"select p.name, p.format, p.base_url, p.sealed_key from flowforge.ai_provider p "
		"where p.tenant_id = $1 and p.name = $2",
		2,
		{INT4OID, TEXTOID}};
	Datum values[2] = {Int32GetDatum(tenant_id), CStringGetTextDatum(name)};
	bool  isnull;
	Datum sealed;

	if (ff_spi_run(&plan, values, NULL, true) == 0)
		return false;
	provider->name = TextDatumGetCString(ff_spi_value(0, 1, &isnull));
	provider->format = format_of(TextDatumGetCString(ff_spi_value(0, 2, &isnull)));
	provider->base_url = TextDatumGetCString(ff_spi_value(0, 3, &isnull));
	sealed = ff_spi_value(0, 4, &isnull);
	if (!isnull)
		provider->key = ff_unseal(DatumGetByteaPP(sealed),
								  psprintf("provider %s of tenant %d", provider->name, tenant_id));
	return true;
}

static void
find_price(FfAiProvider *provider, int32 tenant_id)
{
	static FfPlan plan = {
		"select p.input_price::float8, p.output_price::float8 from flowforge.ai_price p where p.tenant_id = $1 "
		"and (p.model = $2 or p.model like '%*' and starts_with($2, left(p.model, -1))) order by length(p.model) desc limit 1",
		2,
		{INT4OID, TEXTOID}};
	Datum values[2] = {Int32GetDatum(tenant_id), CStringGetTextDatum(provider->model)};
	bool  isnull;

	provider->priced = ff_spi_run(&plan, values, NULL, true) > 0;
	if (!provider->priced)
		return;
	provider->input_price = DatumGetFloat8(ff_spi_value(0, 1, &isnull));
	provider->output_price = DatumGetFloat8(ff_spi_value(0, 2, &isnull));
}

void
ff_ai_provider(FfAiProvider *provider, int32 tenant_id, Jsonb *options)
{
	char *model = ff_json_text(options, "model");
	char *name = ff_json_text(options, "provider");
	char *slash = strchr(model, '/');

	memset(provider, 0, sizeof(*provider));
	provider->model = model;
	if (name == NULL)
	{
		name = default_name(model);
		/* Names of models may have a slash of their own: then the provider must be named. */
		if (slash != NULL)
			provider->model = slash + 1;
	}
	if (!find(provider, tenant_id, name))
		ereport(ERROR,
				(errcode(FF_ERR_AI_PROVIDER), errmsg("there is no provider of models \"%s\"", name),
				 errdetail("The model is \"%s\".", model),
				 errhint("Name one with provider, or add it: select ff_set_ai_provider('%s', key).",
						 name)));
	find_price(provider, tenant_id);
}

PG_FUNCTION_INFO_V1(ff_ai_seal);
Datum
ff_ai_seal(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(
		ff_seal(text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(1))));
}

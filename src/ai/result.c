/*
 * result.c - gathering what a model has answered (see wire.h). What is gathered lives in the
 * result's context: a stream's outlives the turn that read it.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "ai/wire.h"

void
ff_ai_result(FfAiResult *result, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	memset(result, 0, sizeof(*result));
	result->context = context;
	initStringInfo(&result->content);
	MemoryContextSwitchTo(old);
}

/* --- reading --- */

static Jsonb *
at(Jsonb *json, const char *path)
{
	return json ? ff_json_at(json, path) : NULL;
}

char *
ff_ai_text_at(Jsonb *json, const char *path)
{
	Jsonb	  *found = at(json, path);
	JsonbValue value;

	if (found == NULL || !JB_ROOT_IS_SCALAR(found) || !JsonbExtractScalar(&found->root, &value) ||
		value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* A number of tokens: what is none, or cannot be one, is 0. */
int64
ff_ai_count_at(Jsonb *json, const char *path)
{
	Jsonb	  *found = at(json, path);
	JsonbValue value;
	bool	   overflow = false;
	int32	   number;

	if (found == NULL || !JB_ROOT_IS_SCALAR(found) || !JsonbExtractScalar(&found->root, &value) ||
		value.type != jbvNumeric || numeric_is_nan(value.val.numeric))
		return 0;
	number = numeric_int4_opt_error(value.val.numeric, &overflow);
	return overflow || number < 0 ? 0 : number;
}

Jsonb *
ff_ai_object_at(Jsonb *json, const char *path)
{
	Jsonb *found = at(json, path);

	return ff_json_is_object(found) ? found : NULL;
}

Jsonb *
ff_ai_list_at(Jsonb *json, const char *path)
{
	Jsonb *found = at(json, path);

	return ff_json_is_array(found) ? found : NULL;
}

/* --- gathering --- */

void
ff_ai_add_text(FfAiResult *result, const char *text)
{
	if (text == NULL)
		return;
	appendStringInfoString(&result->content, text);
	result->has_content = true;
}

FfAiToolCall *
ff_ai_add_call(FfAiResult *result, const char *id, const char *name)
{
	MemoryContext old = MemoryContextSwitchTo(result->context);
	FfAiToolCall *call = palloc0(sizeof(FfAiToolCall));

	initStringInfo(&call->text);
	call->id = id ? pstrdup(id) : NULL;
	call->name = name ? pstrdup(name) : NULL;
	result->calls = lappend(result->calls, call);
	MemoryContextSwitchTo(old);
	return call;
}

FfAiToolCall *
ff_ai_last_call(FfAiResult *result)
{
	return result->calls ? llast(result->calls) : NULL;
}

void
ff_ai_set_text(FfAiResult *result, char **place, const char *text)
{
	if (text != NULL)
		*place = MemoryContextStrdup(result->context, text);
}

void
ff_ai_set_json(FfAiResult *result, Jsonb **place, Jsonb *value)
{
	if (value == NULL)
		return;
	*place = MemoryContextAlloc(result->context, VARSIZE(value));
	memcpy(*place, value, VARSIZE(value));
}

void
ff_ai_set_error(FfAiResult *result, Jsonb *json, long status)
{
	ff_ai_set_json(result, &result->error, json);
	result->error_status = status;
}

void
ff_ai_set_reason(FfAiResult *result, const FfAiReason *reasons, const char *theirs)
{
	for (; theirs != NULL && reasons->theirs != NULL; reasons++)
	{
		if (strcmp(reasons->theirs, theirs) == 0)
		{
			ff_ai_set_text(result, &result->finish_reason, reasons->ours);
			return;
		}
	}
	ff_ai_set_text(result, &result->finish_reason, theirs);
}

/*
 * budget.c - what an evaluation may cost, where its values are made, and the error that ends it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "lang/node.h"
#include "util/errors.h"

int ff_lang_max_steps = 100000;
int ff_lang_max_output = 1024 * 1024;

bool
ff_lang_fail(FfEvaluation *e, int position, int code, const char *format, ...)
{
	va_list args;

	e->code = code;
	e->position = position;
	e->absent = false;
	e->culprit = NULL;
	e->hint[0] = '\0';
	if (e->quiet)
		return false;
	va_start(args, format);
	vsnprintf(e->message, sizeof(e->message), format, args);
	va_end(args);
	ff_lang_clip(e->message, sizeof(e->message));
	return false;
}

bool
ff_lang_pay(FfEvaluation *e, int position, int64 units)
{
	CHECK_FOR_INTERRUPTS();
	e->budget -= units;
	if (likely(e->budget >= 0))
		return true;
	return ff_lang_fail(e, position, FF_ERR_EXPRESSION_LIMIT, "it takes more than %d steps",
						ff_lang_max_steps);
}

bool
ff_lang_output(FfEvaluation *e, int position, int64 bytes)
{
	e->output += bytes;
	return e->output <= ff_lang_max_output ||
		   ff_lang_fail(e, position, FF_ERR_EXPRESSION_LIMIT, "more than %d bytes are made",
						ff_lang_max_output);
}

void
ff_lang_use_scratch(FfEvaluation *e)
{
	if (e->scratch != NULL)
		return;
	e->caller = CurrentMemoryContext;
	e->scratch = AllocSetContextCreate(e->caller, "FlowForge expression", ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(e->scratch);
}

char *
ff_lang_room(FfEvaluation *e, int position, int64 bytes)
{
	if (bytes > ff_lang_max_output)
	{
		ff_lang_fail(e, position, FF_ERR_EXPRESSION_LIMIT,
					 "a text of %lld bytes is made, at most %d are allowed", (long long) bytes,
					 ff_lang_max_output);
		return NULL;
	}
	if (!ff_lang_pay(e, position, bytes))
		return NULL;
	ff_lang_use_scratch(e);
	return palloc(Max(bytes, 1));
}

FfList *
ff_lang_list(FfEvaluation *e, int position, int64 count)
{
	FfList *list;

	if (count * 2 > ff_lang_max_output)
	{
		ff_lang_fail(e, position, FF_ERR_EXPRESSION_LIMIT,
					 "a list of %lld items is made, at most %d bytes are allowed",
					 (long long) count, ff_lang_max_output);
		return NULL;
	}
	if (!ff_lang_pay(e, position, count * (int64) sizeof(FfValue)))
		return NULL;
	ff_lang_use_scratch(e);
	list = palloc0(offsetof(FfList, items) + count * sizeof(FfValue));
	list->count = (int) count;
	return list;
}

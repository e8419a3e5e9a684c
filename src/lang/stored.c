/*
 * stored.c - expressions that were checked when they were stored, and are read again whenever an
 * event comes.
 *
 * The limits of the language may have been lowered since. Then an expression can no longer be read,
 * and that is no fault of whoever sends an event: it is false, as is a filter that cannot be
 * evaluated, and its reason is told in the same way.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "lang/node.h"

/* What the error being handled says; one that is not the language's goes on its way. */
static char *
take_fault(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != MAKE_SQLSTATE('F', 'F', '0', '0', '0'))
		PG_RE_THROW();
	FlushErrorState();
	return error->message;
}

/*
 * Catching without a subtransaction is safe here: reading an expression touches nothing but memory.
 */
static FfExpr *
read_stored(const char *source, MemoryContext keep)
{
	MemoryContext caller = CurrentMemoryContext;
	FfExpr *volatile expr = NULL;

	PG_TRY();
	{
		expr = keep != NULL ? ff_expr_compile(source, keep)
							: ff_expr_cached(source, (int) strlen(source));
	}
	PG_CATCH();
	{
		MemoryContext context = keep != NULL ? keep : caller;

		expr = MemoryContextAllocZero(context, sizeof(FfExpr));
		expr->source = MemoryContextStrdup(context, source);
		expr->fault = take_fault(context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	return expr;
}

FfExpr *
ff_expr_compile_stored(const char *source, MemoryContext context)
{
	return read_stored(source, context);
}

FfExpr *
ff_expr_cached_stored(const char *source)
{
	return read_stored(source, NULL);
}

uint32
ff_lang_limits(void)
{
	int limits[] = {ff_lang_max_source, ff_lang_max_depth, ff_lang_max_steps};

	return hash_bytes((const unsigned char *) limits, sizeof(limits));
}

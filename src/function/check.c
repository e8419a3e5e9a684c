/*
 * check.c - flowforge.check_expression: what is wrong with an expression that an app registers.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "lang/lang.h"
#include "util/errors.h"

PG_FUNCTION_INFO_V1(ff_function_check_expression);

/* What an error of the language says; any other error goes on its way. */
static char *
take_complaint(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != MAKE_SQLSTATE('F', 'F', '0', '0', '0'))
		PG_RE_THROW();
	FlushErrorState();
	if (error->detail == NULL)
		return error->message;
	return psprintf("%s (%s)", error->message, error->detail);
}

/*
 * Catching without a subtransaction is safe here: the compiler touches nothing but memory, and that
 * goes with the context.
 */
Datum
ff_function_check_expression(PG_FUNCTION_ARGS)
{
	char		 *expression = text_to_cstring(PG_GETARG_TEXT_PP(0));
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch =
		AllocSetContextCreate(caller, "FlowForge expression check", ALLOCSET_SMALL_SIZES);
	char *volatile complaint = NULL;

	PG_TRY();
	{
		MemoryContextSwitchTo(scratch);
		ff_expr_compile(expression, scratch);
	}
	PG_CATCH();
	{
		complaint = take_complaint(caller);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
	if (complaint == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(complaint));
}

PG_FUNCTION_INFO_V1(ff_function_caller);
Datum
ff_function_caller(PG_FUNCTION_ARGS)
{
	/* Then it is the function of an index or a view that calls, and its owner, not the session's.
	 */
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot act as the session's role within a security-restricted operation"),
				 errhint("Call the function in a statement of its own, not while a table is "
						 "indexed, analyzed or refreshed.")));
	PG_RETURN_TEXT_P(cstring_to_text(GetUserNameFromId(GetOuterUserId(), false)));
}

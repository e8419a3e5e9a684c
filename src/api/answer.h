/*
 * answer.h - what goes back to the gateway, and how errors become that.
 */
#ifndef FF_ANSWER_H
#define FF_ANSWER_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/elog.h"

#include "api/route.h"

typedef struct FfAnswer
{
	int			   status;	/* of HTTP */
	StringInfoData headers; /* lines of "name: value" */
	StringInfoData body;
} FfAnswer;

extern void ff_answer_init(FfAnswer *answer);

/* The HTTP status that tells an error of this SQLSTATE; 500 for what is not the caller's doing. */
extern int ff_answer_status(int sqlstate);

/* Makes the answer tell an error to who accepts such types (NULL: any). What is not the caller's
 * doing is told without its details. */
extern void ff_answer_error(FfAnswer *answer, const ErrorData *error, FfStyle style,
							const char *accept);

#endif

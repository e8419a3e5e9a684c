/*
 * token.c - credentials that we give out: texts nobody can guess, which stand in a URL as they are.
 */
#include "postgres.h"

#include "common/base64.h"
#include "fmgr.h"
#include "utils/builtins.h"

#define TOKEN_BYTES 32

/* flowforge.token() */
PG_FUNCTION_INFO_V1(ff_sql_token);
Datum
ff_sql_token(PG_FUNCTION_ARGS)
{
	char bytes[TOKEN_BYTES];
	char text[(TOKEN_BYTES + 2) / 3 * 4 + 1];
	int	 length;

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("no random bytes for a token")));
	length = pg_b64_encode(bytes, sizeof(bytes), text, sizeof(text) - 1);
	Assert(length == sizeof(text) - 1);
	while (text[length - 1] == '=')
		length--;
	for (int at = 0; at < length; at++)
	{
		if (text[at] == '+')
			text[at] = '-';
		else if (text[at] == '/')
			text[at] = '_';
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(text, length));
}

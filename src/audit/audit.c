/*
 * audit.c - documents as the audit log keeps them: without secrets.
 *
 * A secret is known by the name it goes under (util/redact.h). A member named just "key" is shown:
 * that is the expression by which flow control groups runs. What is below the name of a secret is
 * hidden value by value, so that one sees that there was something, and how much.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "util/json.h"
#include "util/redact.h"

static bool
is_hidden_name(const JsonbValue *key)
{
	const char *name = key->val.string.val;
	int			length = key->val.string.len;

	return !(length == 3 && pg_strncasecmp(name, "key", 3) == 0) && ff_is_secret_name(name, length);
}

static void
put_text(JsonbValue *value, const char *text)
{
	value->type = jbvString;
	value->val.string.val = unconstify(char *, text);
	value->val.string.len = (int) strlen(text);
}

/* A text with a URL's user, password or secret parameters is shown without them. */
static void
clean(JsonbValue *value, bool hidden)
{
	if (hidden && (value->type == jbvString || value->type == jbvNumeric))
		put_text(value, FF_REDACTED);
	else if (value->type == jbvString &&
			 memmem(value->val.string.val, value->val.string.len, "://", 3) != NULL)
		put_text(value,
				 ff_redact_url(pnstrdup(value->val.string.val, value->val.string.len), NULL));
}

PG_FUNCTION_INFO_V1(ff_sql_redact);
Datum
ff_sql_redact(PG_FUNCTION_ARGS)
{
	Jsonb			  *document = PG_GETARG_JSONB_P(0);
	JsonbIterator	  *iterator = JsonbIteratorInit(&document->root);
	JsonbParseState	  *state = NULL;
	JsonbValue		  *result = NULL;
	JsonbValue		   part;
	JsonbIteratorToken token;
	int				   depth = 0;
	int				   hidden_from = 0; /* the depth of the member whose name is a secret's */
	bool			   hidden = false;

	while ((token = JsonbIteratorNext(&iterator, &part, false)) != WJB_DONE)
	{
		if (token == WJB_BEGIN_OBJECT || token == WJB_BEGIN_ARRAY)
			depth++;
		if (token == WJB_END_OBJECT || token == WJB_END_ARRAY)
			depth--;
		if (token == WJB_KEY && (!hidden || depth <= hidden_from))
		{
			hidden = is_hidden_name(&part);
			hidden_from = depth;
		}
		if (token == WJB_END_OBJECT && depth < hidden_from)
			hidden = false;
		if (token == WJB_VALUE || token == WJB_ELEM)
			clean(&part, hidden);
		result = pushJsonbValue(&state, token,
								token < WJB_BEGIN_ARRAY ||
										(token == WJB_BEGIN_ARRAY && part.val.array.rawScalar)
									? &part
									: NULL);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(result));
}

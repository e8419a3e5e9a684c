/*
 * pattern.c - regular expressions of schemas: ECMA's spelling for the language's bounded engine,
 * compiled once a validation.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/hsearch.h"

#include "schema/keyword.h"

typedef struct Pattern
{
	const char *text; /* where it stands in the schema: the key */
	FfRegex	   *regex;
	const char *refusal;
} Pattern;

/* The few escapes that mean something else to PostgreSQL: \b is a backspace there, \xhh takes any
 * number of digits. */
static void
translate(StringInfo out, const char *text, int length)
{
	bool in_brackets = false;

	for (int i = 0; i < length; i++)
	{
		bool escape = text[i] == '\\' && i + 1 < length;

		if (escape && !in_brackets && (text[i + 1] == 'b' || text[i + 1] == 'B'))
			appendStringInfoString(out, text[++i] == 'b' ? "\\y" : "\\Y");
		else if (escape && text[i + 1] == 'x')
		{
			appendStringInfoString(out, "\\u00");
			i++;
		}
		else
		{
			if (!escape && text[i] == '[')
				in_brackets = true;
			else if (!escape && text[i] == ']')
				in_brackets = false;
			appendStringInfoChar(out, text[i]);
			if (escape)
				appendStringInfoChar(out, text[++i]);
		}
	}
}

static void
make_pattern(FfValidation *v, Pattern *pattern, const JsonbValue *text)
{
	MemoryContext  before = MemoryContextSwitchTo(v->context);
	StringInfoData spelled;
	const char	  *refusal;

	initStringInfo(&spelled);
	translate(&spelled, text->val.string.val, text->val.string.len);
	pattern->regex = ff_regex_make(spelled.data, spelled.len, v->context, &v->steps, &refusal);
	pattern->refusal = refusal == NULL ? NULL : pstrdup(refusal);
	MemoryContextSwitchTo(before);
}

FfRegex *
ff_schema_pattern(FfValidation *v, const JsonbValue *pattern, const char **refusal)
{
	bool	 found;
	Pattern *known = hash_search(v->patterns, &pattern->val.string.val, HASH_ENTER, &found);

	if (!found)
		make_pattern(v, known, pattern);
	*refusal = known->refusal;
	return known->regex;
}

bool
ff_pattern_found(FfValidation *v, const JsonbValue *pattern, const JsonbValue *text)
{
	const char *refusal;
	FfRegex	   *regex = ff_schema_pattern(v, pattern, &refusal);
	bool		found = regex != NULL &&
				 ff_regex_found(regex, text->val.string.val, text->val.string.len, &v->steps);

	ff_schema_pay(v, 0); /* sees whether that was more than there was */
	return found;
}

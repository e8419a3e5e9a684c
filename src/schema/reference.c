/*
 * reference.c - `$ref`: a JSON pointer into the schema it stands in, written as a fragment
 * (#/$defs/address).
 */
#include "postgres.h"

#include "common/string.h"
#include "lib/stringinfo.h"

#include "schema/keyword.h"

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* One part of a pointer: %hh, then ~1 and ~0. Gives what follows it. */
static const char *
read_part(const char *at, const char *end, StringInfo part)
{
	resetStringInfo(part);
	while (at < end && *at != '/')
	{
		char c = *at++;

		if (c == '%' && end - at >= 2 && hex_digit(at[0]) >= 0 && hex_digit(at[1]) >= 0)
		{
			c = (char) (hex_digit(at[0]) * 16 + hex_digit(at[1]));
			at += 2;
		}
		if (c == '~' && at < end && (*at == '0' || *at == '1'))
			c = *at++ == '0' ? '~' : '/';
		appendStringInfoChar(part, c);
	}
	return at;
}

/* Steps into an object or a list. */
static bool
step_into(JsonbValue *value, const StringInfo part)
{
	JsonbValue	inner;
	JsonbValue *element;
	char	   *end;
	long		index;

	switch (ff_kind(value))
	{
		case 'o':
			if (!ff_member(value->val.binary.data, part->data, part->len, &inner))
				return false;
			*value = inner;
			return true;
		case 'a':
			if (part->len == 0 || part->len > 9 || strspn(part->data, "0123456789") != part->len)
				return false;
			index = strtol(part->data, &end, 10);
			element = getIthJsonbValueFromContainer(value->val.binary.data, (uint32) index);
			if (element == NULL)
				return false;
			*value = *element;
			return true;
		default:
			return false;
	}
}

bool
ff_schema_refer(FfValidation *v, const JsonbValue *reference, JsonbValue *out)
{
	const char	  *at = reference->val.string.val;
	const char	  *end = at + reference->val.string.len;
	StringInfoData part;

	out->type = jbvBinary;
	out->val.binary.data = v->root;
	out->val.binary.len = 0;
	if (at == end || *at++ != '#')
		return false;
	initStringInfo(&part);
	while (at < end)
	{
		if (*at != '/' || !ff_schema_pay(v, 1))
			return false;
		at = read_part(at + 1, end, &part);
		if (!step_into(out, &part))
			return false;
	}
	return true;
}

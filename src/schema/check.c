/*
 * check.c - whether a schema is one: the shape of every keyword, and what its references name.
 *
 * What is referred to is checked as well, wherever it stands, so that whatever validate.c comes to
 * has been looked at. Each part is looked at once, which also ends references that go in circles.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/fmgrprotos.h"
#include "miscadmin.h"
#include "utils/hsearch.h"

#include "schema/keyword.h"

#define MAX_DEPTH 200

static bool
is_type_name(const JsonbValue *value)
{
	static const char *const names[] = {"object",  "array",	  "string", "number",
										"boolean", "integer", "null"};

	for (int i = 0; value->type == jbvString && i < lengthof(names); i++)
	{
		if (strlen(names[i]) == value->val.string.len &&
			memcmp(names[i], value->val.string.val, value->val.string.len) == 0)
			return true;
	}
	return false;
}

static bool
check_types(FfValidation *v, const JsonbValue *value, const FfPlace *place)
{
	bool   holds = ff_kind(value) == 'a' && JsonContainerSize(value->val.binary.data) > 0;
	FfEach each;

	if (is_type_name(value))
		return true;
	if (holds)
	{
		for (ff_each(&each, value); ff_next(&each);)
			holds = is_type_name(&each.value) && holds;
	}
	return holds ||
		   ff_wrong(v, place, "type",
					"must be object, array, string, number, integer, boolean or null, or a list of "
					"these");
}

static bool
check_texts(FfValidation *v, const JsonbValue *value, const FfPlace *place, const char *keyword)
{
	bool   holds = ff_kind(value) == 'a';
	FfEach each;

	if (holds)
	{
		for (ff_each(&each, value); ff_next(&each);)
			holds = each.value.type == jbvString && holds;
	}
	return holds || ff_wrong(v, place, keyword, "must be a list of texts");
}

static void
check_pattern(FfValidation *v, const JsonbValue *value, const FfPlace *place, const char *keyword)
{
	const char *refusal;

	if (value->type != jbvString)
		ff_wrong(v, place, keyword, "must be a text");
	else if (ff_schema_pattern(v, value, &refusal) == NULL)
		ff_wrong(v, place, keyword, "the regular expression cannot be read: %s", refusal);
}

static void
check_reference(FfValidation *v, const JsonbValue *value, const FfPlace *place)
{
	JsonbValue target;

	if (value->type != jbvString)
		ff_wrong(v, place, "$ref", "must be a text");
	else if (value->val.string.len == 0 || value->val.string.val[0] != '#')
		ff_wrong(v, place, "$ref",
				 "only parts of the same schema can be referred to, like #/$defs/address");
	else if (!ff_schema_refer(v, value, &target))
		ff_wrong(v, place, "$ref", "there is nothing at %s", ff_shown(value));
	else
		ff_check_schema(v, &target, place);
}

static int
sign_of(const JsonbValue *number)
{
	JsonbValue zero = {.type = jbvNumeric, .val.numeric = int64_to_numeric(0)};

	return ff_compare_numbers(number, &zero);
}

/* The elements of a list, the members of an object: schemas, lists of texts. */
static void
check_each(FfValidation *v, const FfKeyword *keyword, const JsonbValue *value, const FfPlace *place)
{
	FfEach each;

	for (ff_each(&each, value); v->stopped == NULL && ff_next(&each);)
	{
		FfPlace at = {.parent = place, .index = each.index};

		if (keyword->shape != FF_SHAPE_SCHEMAS)
		{
			at.key = each.key.val.string.val;
			at.length = each.key.val.string.len;
		}
		if (keyword->shape == FF_SHAPE_PATTERN_SCHEMAS)
			check_pattern(v, &each.key, &at, keyword->name);
		if (keyword->shape == FF_SHAPE_NAMED_TEXTS)
			check_texts(v, &each.value, &at, keyword->name);
		else
			ff_check_schema(v, &each.value, &at);
	}
}

static void
check_parts(FfValidation *v, const FfKeyword *keyword, const JsonbValue *value,
			const FfPlace *place)
{
	if (keyword->shape == FF_SHAPE_SCHEMAS &&
		(ff_kind(value) != 'a' || JsonContainerSize(value->val.binary.data) == 0))
		ff_wrong(v, place, keyword->name, "must be a list of schemas, with one at least");
	else if (keyword->shape != FF_SHAPE_SCHEMAS && ff_kind(value) != 'o')
		ff_wrong(v, place, keyword->name, "must be an object");
	else
		check_each(v, keyword, value, place);
}

static const char *
refusal_of(const char *keyword)
{
	if (strcmp(keyword, "additionalItems") == 0)
		return "is of an older draft; write prefixItems for the first elements and items for the others";
	if (strcmp(keyword, "dependencies") == 0)
		return "is of an older draft; write dependentRequired or dependentSchemas";
	if (keyword[0] == '$')
		return "is not understood; write $ref";
	return "is not understood; list the members or elements and use additionalProperties or items";
}

/* Numbers, texts and flags. */
static void
check_scalar(FfValidation *v, const FfKeyword *keyword, const JsonbValue *value,
			 const FfPlace *place)
{
	char kind = ff_kind(value);

	if (keyword->shape == FF_SHAPE_FLAG && kind != 'b')
		ff_wrong(v, place, keyword->name, "must be true or false");
	else if (keyword->shape == FF_SHAPE_TEXT && kind != 's')
		ff_wrong(v, place, keyword->name, "must be a text");
	else if (keyword->shape == FF_SHAPE_LIST && kind != 'a')
		ff_wrong(v, place, keyword->name, "must be a list");
	else if (keyword->shape == FF_SHAPE_NUMBER && kind != 'n')
		ff_wrong(v, place, keyword->name, "must be a number");
	else if (keyword->shape == FF_SHAPE_POSITIVE && (kind != 'n' || sign_of(value) <= 0))
		ff_wrong(v, place, keyword->name, "must be a number above 0");
	else if (keyword->shape == FF_SHAPE_COUNT &&
			 (kind != 'n' || sign_of(value) < 0 || !ff_is_whole(value)))
		ff_wrong(v, place, keyword->name, "must be a whole number, 0 or more");
}

static void
check_keyword(FfValidation *v, const FfKeyword *keyword, const JsonbValue *value,
			  const FfPlace *place)
{
	switch (keyword->shape)
	{
		case FF_SHAPE_ANY:
			break;
		case FF_SHAPE_SCHEMA:
			ff_check_schema(v, value, place);
			break;
		case FF_SHAPE_SCHEMAS:
		case FF_SHAPE_NAMED_SCHEMAS:
		case FF_SHAPE_PATTERN_SCHEMAS:
		case FF_SHAPE_NAMED_TEXTS:
			check_parts(v, keyword, value, place);
			break;
		case FF_SHAPE_TYPES:
			check_types(v, value, place);
			break;
		case FF_SHAPE_TEXTS:
			check_texts(v, value, place, keyword->name);
			break;
		case FF_SHAPE_PATTERN:
			check_pattern(v, value, place, keyword->name);
			break;
		case FF_SHAPE_REFERENCE:
			check_reference(v, value, place);
			break;
		case FF_SHAPE_REFUSED:
			ff_wrong(v, place, keyword->name, "%s", refusal_of(keyword->name));
			break;
		default:
			check_scalar(v, keyword, value, place);
	}
}

static bool
is_known(FfValidation *v, const JsonbValue *schema)
{
	bool found;

	hash_search(v->checked, &schema->val.binary.data, HASH_ENTER, &found);
	return found;
}

void
ff_check_schema(FfValidation *v, const JsonbValue *schema, const FfPlace *place)
{
	char   kind = ff_kind(schema);
	FfEach each;

	check_stack_depth();
	if (kind != 'o' && kind != 'b')
		ff_wrong(v, place, "schema", "a schema is an object, true or false, not %s",
				 kind == 'a' ? "a list (of an older draft; write prefixItems)"
							 : ff_kind_name(kind));
	if (kind != 'o' || is_known(v, schema))
		return;
	if (v->depth >= MAX_DEPTH)
		v->stopped = "the schema is nested too deeply";
	v->depth++;
	for (ff_each(&each, schema); v->stopped == NULL && !v->findings->more && ff_next(&each);)
	{
		FfPlace at = {
			.parent = place, .key = each.key.val.string.val, .length = each.key.val.string.len};
		const FfKeyword *keyword = ff_schema_keyword(at.key, at.length);

		if (ff_schema_pay(v, 1) && keyword != NULL)
			check_keyword(v, keyword, &each.value, &at);
	}
	v->depth--;
}

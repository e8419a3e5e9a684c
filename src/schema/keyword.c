/*
 * keyword.c - the table of keywords.
 *
 * What is known and left out (unevaluatedProperties and the like, and older drafts' spellings) is
 * refused where a schema is checked, with the way out in the message.
 */
#include "postgres.h"

#include "schema/tests.h"

static const FfKeyword keywords[] = {
	{"type", FF_SHAPE_TYPES, 0, ff_test_type},
	{"enum", FF_SHAPE_LIST, 0, ff_test_enum},
	{"const", FF_SHAPE_ANY, 0, ff_test_const},
	{"properties", FF_SHAPE_NAMED_SCHEMAS, 'o', ff_test_properties},
	{"required", FF_SHAPE_TEXTS, 'o', ff_test_required},
	{"additionalProperties", FF_SHAPE_SCHEMA, 'o', ff_test_additional_properties},
	{"patternProperties", FF_SHAPE_PATTERN_SCHEMAS, 'o', ff_test_pattern_properties},
	{"propertyNames", FF_SHAPE_SCHEMA, 'o', ff_test_property_names},
	{"minProperties", FF_SHAPE_COUNT, 'o', ff_test_min_properties},
	{"maxProperties", FF_SHAPE_COUNT, 'o', ff_test_max_properties},
	{"dependentRequired", FF_SHAPE_NAMED_TEXTS, 'o', ff_test_dependent_required},
	{"dependentSchemas", FF_SHAPE_NAMED_SCHEMAS, 'o', ff_test_dependent_schemas},
	{"items", FF_SHAPE_SCHEMA, 'a', ff_test_items},
	{"prefixItems", FF_SHAPE_SCHEMAS, 'a', ff_test_prefix_items},
	{"contains", FF_SHAPE_SCHEMA, 'a', ff_test_contains},
	{"minContains", FF_SHAPE_COUNT, 0, NULL},
	{"maxContains", FF_SHAPE_COUNT, 0, NULL},
	{"minItems", FF_SHAPE_COUNT, 'a', ff_test_min_items},
	{"maxItems", FF_SHAPE_COUNT, 'a', ff_test_max_items},
	{"uniqueItems", FF_SHAPE_FLAG, 'a', ff_test_unique_items},
	{"minLength", FF_SHAPE_COUNT, 's', ff_test_min_length},
	{"maxLength", FF_SHAPE_COUNT, 's', ff_test_max_length},
	{"pattern", FF_SHAPE_PATTERN, 's', ff_test_pattern},
	{"format", FF_SHAPE_TEXT, 's', ff_test_format},
	{"minimum", FF_SHAPE_NUMBER, 'n', ff_test_minimum},
	{"maximum", FF_SHAPE_NUMBER, 'n', ff_test_maximum},
	{"exclusiveMinimum", FF_SHAPE_NUMBER, 'n', ff_test_exclusive_minimum},
	{"exclusiveMaximum", FF_SHAPE_NUMBER, 'n', ff_test_exclusive_maximum},
	{"multipleOf", FF_SHAPE_POSITIVE, 'n', ff_test_multiple_of},
	{"allOf", FF_SHAPE_SCHEMAS, 0, ff_test_all_of},
	{"anyOf", FF_SHAPE_SCHEMAS, 0, ff_test_any_of},
	{"oneOf", FF_SHAPE_SCHEMAS, 0, ff_test_one_of},
	{"not", FF_SHAPE_SCHEMA, 0, ff_test_not},
	{"if", FF_SHAPE_SCHEMA, 0, ff_test_if},
	{"then", FF_SHAPE_SCHEMA, 0, NULL},
	{"else", FF_SHAPE_SCHEMA, 0, NULL},
	{"$ref", FF_SHAPE_REFERENCE, 0, ff_test_ref},
	{"$defs", FF_SHAPE_NAMED_SCHEMAS, 0, NULL},
	{"definitions", FF_SHAPE_NAMED_SCHEMAS, 0, NULL},
	{"title", FF_SHAPE_TEXT, 0, NULL},
	{"description", FF_SHAPE_TEXT, 0, NULL},
	{"unevaluatedProperties", FF_SHAPE_REFUSED, 0, NULL},
	{"unevaluatedItems", FF_SHAPE_REFUSED, 0, NULL},
	{"additionalItems", FF_SHAPE_REFUSED, 0, NULL},
	{"dependencies", FF_SHAPE_REFUSED, 0, NULL},
	{"$dynamicRef", FF_SHAPE_REFUSED, 0, NULL},
	{"$recursiveRef", FF_SHAPE_REFUSED, 0, NULL},
};

const FfKeyword *
ff_schema_keyword(const char *name, int length)
{
	for (int i = 0; i < lengthof(keywords); i++)
	{
		if (keywords[i].name[0] == name[0] && strlen(keywords[i].name) == length &&
			memcmp(keywords[i].name, name, length) == 0)
			return &keywords[i];
	}
	return NULL;
}

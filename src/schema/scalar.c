/*
 * scalar.c - keywords about texts and numbers.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "schema/tests.h"

/* --- texts: lengths are in characters --- */

static int
compare_length(FfValidation *v, const JsonbValue *value, const JsonbValue *limit, int *length)
{
	JsonbValue number = {.type = jbvNumeric};

	ff_schema_pay(v, value->val.string.len / 64);
	*length = pg_mbstrlen_with_len(value->val.string.val, value->val.string.len);
	number.val.numeric = int64_to_numeric(*length);
	return ff_compare_numbers(&number, limit);
}

bool
ff_test_min_length(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
				   const FfPlace *place)
{
	int length;

	return compare_length(v, value, demand->value, &length) >= 0 ||
		   ff_wrong(v, place, "minLength", "must have at least %s characters, not %d",
					ff_shown(demand->value), length);
}

bool
ff_test_max_length(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
				   const FfPlace *place)
{
	int length;

	return compare_length(v, value, demand->value, &length) <= 0 ||
		   ff_wrong(v, place, "maxLength", "must have at most %s characters, not %d",
					ff_shown(demand->value), length);
}

bool
ff_test_pattern(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
				const FfPlace *place)
{
	return ff_pattern_found(v, demand->value, value) ||
		   ff_wrong(v, place, "pattern", "must match %s", ff_shown(demand->value));
}

bool
ff_test_format(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
			   const FfPlace *place)
{
	return ff_schema_format(demand->value, value->val.string.val, value->val.string.len) ||
		   ff_wrong(v, place, "format", "is not of the format %s", ff_shown(demand->value));
}

/* --- numbers --- */

bool
ff_test_minimum(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
				const FfPlace *place)
{
	return ff_compare_numbers(value, demand->value) >= 0 ||
		   ff_wrong(v, place, "minimum", "must be at least %s", ff_shown(demand->value));
}

bool
ff_test_maximum(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
				const FfPlace *place)
{
	return ff_compare_numbers(value, demand->value) <= 0 ||
		   ff_wrong(v, place, "maximum", "must be at most %s", ff_shown(demand->value));
}

bool
ff_test_exclusive_minimum(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
						  const FfPlace *place)
{
	return ff_compare_numbers(value, demand->value) > 0 ||
		   ff_wrong(v, place, "exclusiveMinimum", "must be more than %s", ff_shown(demand->value));
}

bool
ff_test_exclusive_maximum(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
						  const FfPlace *place)
{
	return ff_compare_numbers(value, demand->value) < 0 ||
		   ff_wrong(v, place, "exclusiveMaximum", "must be less than %s", ff_shown(demand->value));
}

bool
ff_test_multiple_of(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
					const FfPlace *place)
{
	return ff_is_multiple(v, value, demand->value) ||
		   ff_wrong(v, place, "multipleOf", "must be a multiple of %s", ff_shown(demand->value));
}

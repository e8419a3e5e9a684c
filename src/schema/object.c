/*
 * object.c - keywords about objects.
 */
#include "postgres.h"

#include "schema/tests.h"

bool
ff_test_properties(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
				   const FfPlace *place)
{
	bool   holds = true;
	FfEach each;

	for (ff_each(&each, demand->value);
		 ff_go_on(v, holds) && ff_schema_pay(v, 1) && ff_next(&each);)
	{
		JsonbValue member;
		FfPlace	   at = ff_member_place(place, &each.key);

		if (ff_member(value->val.binary.data, at.key, at.length, &member))
			holds = ff_holds(v, &each.value, &member, &at) && holds;
	}
	return holds;
}

bool
ff_test_pattern_properties(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
						   const FfPlace *place)
{
	bool   holds = true;
	FfEach pattern;
	FfEach member;

	for (ff_each(&pattern, demand->value); ff_go_on(v, holds) && ff_next(&pattern);)
	{
		for (ff_each(&member, value); ff_go_on(v, holds) && ff_next(&member);)
		{
			FfPlace at = ff_member_place(place, &member.key);

			if (ff_pattern_found(v, &pattern.key, &member.key))
				holds = ff_holds(v, &pattern.value, &member.value, &at) && holds;
		}
	}
	return holds;
}

/* Whether properties or patternProperties speak of a member. */
static bool
is_named(FfValidation *v, const FfDemand *demand, const JsonbValue *key)
{
	JsonbValue named;
	JsonbValue ignored;
	FfEach	   each;

	if (ff_sibling(demand, "properties", &named) &&
		ff_member(named.val.binary.data, key->val.string.val, key->val.string.len, &ignored))
		return true;
	if (!ff_sibling(demand, "patternProperties", &named))
		return false;
	for (ff_each(&each, &named); v->stopped == NULL && ff_next(&each);)
	{
		if (ff_pattern_found(v, &each.key, key))
			return true;
	}
	return false;
}

bool
ff_test_additional_properties(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
							  const FfPlace *place)
{
	bool   holds = true;
	FfEach each;

	for (ff_each(&each, value); ff_go_on(v, holds) && ff_schema_pay(v, 1) && ff_next(&each);)
	{
		FfPlace at = ff_member_place(place, &each.key);

		if (is_named(v, demand, &each.key))
			continue;
		if (demand->value->type == jbvBool && !demand->value->val.boolean)
			holds =
				ff_wrong(v, &at, "additionalProperties", "is not among the members there may be");
		else
			holds = ff_holds(v, demand->value, &each.value, &at) && holds;
	}
	return holds;
}

bool
ff_test_property_names(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
					   const FfPlace *place)
{
	bool   holds = true;
	FfEach each;

	for (ff_each(&each, value); ff_go_on(v, holds) && ff_next(&each);)
	{
		FfPlace at = ff_member_place(place, &each.key);

		if (!ff_holds_quietly(v, demand->value, &each.key, place))
			holds = ff_wrong(v, &at, "propertyNames", "is no name a member may have");
	}
	return holds;
}

/* How many there are, against a keyword's number. */
static int
compare_count(const JsonbValue *value, const JsonbValue *limit)
{
	JsonbValue count = {.type = jbvNumeric,
						.val.numeric = int64_to_numeric(JsonContainerSize(value->val.binary.data))};

	return ff_compare_numbers(&count, limit);
}

bool
ff_test_min_properties(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
					   const FfPlace *place)
{
	return compare_count(value, demand->value) >= 0 ||
		   ff_wrong(v, place, "minProperties", "must have at least %s members, not %d",
					ff_shown(demand->value), (int) JsonContainerSize(value->val.binary.data));
}

bool
ff_test_max_properties(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
					   const FfPlace *place)
{
	return compare_count(value, demand->value) <= 0 ||
		   ff_wrong(v, place, "maxProperties", "must have at most %s members, not %d",
					ff_shown(demand->value), (int) JsonContainerSize(value->val.binary.data));
}

static bool
has_all(FfValidation *v, const char *keyword, const JsonbValue *names, const JsonbValue *value,
		const FfPlace *place, const JsonbValue *because)
{
	bool   holds = true;
	FfEach each;

	for (ff_each(&each, names); ff_go_on(v, holds) && ff_schema_pay(v, 1) && ff_next(&each);)
	{
		JsonbValue ignored;

		if (ff_member(value->val.binary.data, each.value.val.string.val, each.value.val.string.len,
					  &ignored))
			continue;
		holds = because == NULL
					? ff_wrong(v, place, keyword, "must have the member %s", ff_shown(&each.value))
					: ff_wrong(v, place, keyword, "must have the member %s, since it has %s",
							   ff_shown(&each.value), ff_shown(because));
	}
	return holds;
}

bool
ff_test_required(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
				 const FfPlace *place)
{
	return has_all(v, "required", demand->value, value, place, NULL);
}

bool
ff_test_dependent_required(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
						   const FfPlace *place)
{
	bool   holds = true;
	FfEach each;

	for (ff_each(&each, demand->value);
		 ff_go_on(v, holds) && ff_schema_pay(v, 1) && ff_next(&each);)
	{
		JsonbValue ignored;

		if (ff_member(value->val.binary.data, each.key.val.string.val, each.key.val.string.len,
					  &ignored))
			holds = has_all(v, "dependentRequired", &each.value, value, place, &each.key) && holds;
	}
	return holds;
}

bool
ff_test_dependent_schemas(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
						  const FfPlace *place)
{
	bool   holds = true;
	FfEach each;

	for (ff_each(&each, demand->value);
		 ff_go_on(v, holds) && ff_schema_pay(v, 1) && ff_next(&each);)
	{
		JsonbValue ignored;

		if (ff_member(value->val.binary.data, each.key.val.string.val, each.key.val.string.len,
					  &ignored))
			holds = ff_holds(v, &each.value, value, place) && holds;
	}
	return holds;
}

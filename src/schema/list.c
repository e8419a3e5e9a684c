/*
 * list.c - keywords about lists.
 */
#include "postgres.h"

#include "schema/tests.h"

bool
ff_test_prefix_items(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
					 const FfPlace *place)
{
	bool   holds = true;
	FfEach schema;
	FfEach element;

	ff_each(&element, value);
	for (ff_each(&schema, demand->value);
		 ff_go_on(v, holds) && ff_next(&schema) && ff_next(&element);)
	{
		FfPlace at = ff_element_place(place, element.index);

		holds = ff_holds(v, &schema.value, &element.value, &at) && holds;
	}
	return holds;
}

bool
ff_test_items(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
			  const FfPlace *place)
{
	bool	   holds = true;
	JsonbValue prefix;
	int		   first = 0;
	FfEach	   each;

	if (ff_sibling(demand, "prefixItems", &prefix))
		first = JsonContainerSize(prefix.val.binary.data);
	for (ff_each(&each, value); ff_go_on(v, holds) && ff_next(&each);)
	{
		FfPlace at = ff_element_place(place, each.index);

		if (each.index >= first)
			holds = ff_holds(v, demand->value, &each.value, &at) && holds;
	}
	return holds;
}

static int
compare_to(int64 count, const JsonbValue *limit)
{
	JsonbValue number = {.type = jbvNumeric, .val.numeric = int64_to_numeric(count)};

	return ff_compare_numbers(&number, limit);
}

/* The elements a schema fits; `most` counts those that may yet turn out to fit, or not. */
static void
count_fitting(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
			  const FfPlace *place, int64 *least, int64 *most)
{
	FfEach each;

	*least = *most = 0;
	for (ff_each(&each, value); v->stopped == NULL && ff_next(&each);)
	{
		FfPlace at = ff_element_place(place, each.index);
		bool	unsure;
		bool	fits = ff_ask(v, demand->value, &each.value, &at, &unsure);

		*least += fits && !unsure ? 1 : 0;
		*most += fits || unsure ? 1 : 0;
	}
}

bool
ff_test_contains(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
				 const FfPlace *place)
{
	JsonbValue limit;
	int64	   least;
	int64	   most;

	count_fitting(v, demand, value, place, &least, &most);
	if (!ff_sibling(demand, "minContains", &limit))
		limit = (JsonbValue){.type = jbvNumeric, .val.numeric = int64_to_numeric(1)};
	if (compare_to(most, &limit) < 0)
		return ff_wrong(v, place, "contains",
						"must have at least %s elements that fit its schema, not " INT64_FORMAT,
						ff_shown(&limit), most);
	if (ff_sibling(demand, "maxContains", &limit) && compare_to(least, &limit) > 0)
		return ff_wrong(v, place, "maxContains",
						"must have at most %s elements that fit its schema, not " INT64_FORMAT,
						ff_shown(&limit), least);
	return true;
}

bool
ff_test_min_items(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
				  const FfPlace *place)
{
	int count = JsonContainerSize(value->val.binary.data);

	return compare_to(count, demand->value) >= 0 ||
		   ff_wrong(v, place, "minItems", "must have at least %s elements, not %d",
					ff_shown(demand->value), count);
}

bool
ff_test_max_items(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
				  const FfPlace *place)
{
	int count = JsonContainerSize(value->val.binary.data);

	return compare_to(count, demand->value) <= 0 ||
		   ff_wrong(v, place, "maxItems", "must have at most %s elements, not %d",
					ff_shown(demand->value), count);
}

bool
ff_test_unique_items(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
					 const FfPlace *place)
{
	return !demand->value->val.boolean || v->mode == FF_SCHEMA_TEMPLATES ||
		   ff_all_different(v, value->val.binary.data) ||
		   ff_wrong(v, place, "uniqueItems", "must not have an element twice");
}

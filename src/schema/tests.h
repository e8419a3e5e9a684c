/*
 * tests.h - what each keyword demands of a value; the table is in keyword.c.
 *
 * A test is asked only about the kind of value its keyword applies to, and the keyword's own value
 * has the shape the table says (check.c saw to that), so that a test reads as the specification's
 * sentence does.
 */
#ifndef FF_SCHEMA_TESTS_H
#define FF_SCHEMA_TESTS_H

#include "schema/keyword.h"

#define FF_TEST(name)                                                                  \
	extern bool name(FfValidation *v, const FfDemand *demand, const JsonbValue *value, \
					 const FfPlace *place)

/* any.c: values of every kind, and schemas of schemas. */
FF_TEST(ff_test_type);
FF_TEST(ff_test_enum);
FF_TEST(ff_test_const);
FF_TEST(ff_test_all_of);
FF_TEST(ff_test_any_of);
FF_TEST(ff_test_one_of);
FF_TEST(ff_test_not);
FF_TEST(ff_test_if);
FF_TEST(ff_test_ref);

/* object.c */
FF_TEST(ff_test_required);
FF_TEST(ff_test_properties);
FF_TEST(ff_test_pattern_properties);
FF_TEST(ff_test_additional_properties);
FF_TEST(ff_test_property_names);
FF_TEST(ff_test_min_properties);
FF_TEST(ff_test_max_properties);
FF_TEST(ff_test_dependent_required);
FF_TEST(ff_test_dependent_schemas);

/* list.c */
FF_TEST(ff_test_items);
FF_TEST(ff_test_prefix_items);
FF_TEST(ff_test_contains);
FF_TEST(ff_test_min_items);
FF_TEST(ff_test_max_items);
FF_TEST(ff_test_unique_items);

/* scalar.c: texts and numbers */
FF_TEST(ff_test_min_length);
FF_TEST(ff_test_max_length);
FF_TEST(ff_test_pattern);
FF_TEST(ff_test_format);
FF_TEST(ff_test_minimum);
FF_TEST(ff_test_maximum);
FF_TEST(ff_test_exclusive_minimum);
FF_TEST(ff_test_exclusive_maximum);
FF_TEST(ff_test_multiple_of);

/* Asks without findings, and whether the answer may yet change because a template was let pass. */
extern bool ff_ask(FfValidation *v, const JsonbValue *schema, const JsonbValue *value,
				   const FfPlace *place, bool *unsure);

/* A member of the object a keyword stands in. */
static inline bool
ff_sibling(const FfDemand *demand, const char *name, JsonbValue *out)
{
	return ff_member(demand->schema, name, strlen(name), out);
}

/* Whether to go on: nothing failed, or somebody wants to know what else does. */
static inline bool
ff_go_on(const FfValidation *v, bool holds)
{
	return v->stopped == NULL && (holds || v->findings != NULL);
}

static inline FfPlace
ff_member_place(const FfPlace *parent, const JsonbValue *key)
{
	return (FfPlace){.parent = parent, .key = key->val.string.val, .length = key->val.string.len};
}

static inline FfPlace
ff_element_place(const FfPlace *parent, int index)
{
	return (FfPlace){.parent = parent, .index = index};
}

#endif

/*
 * any.c - keywords about values of every kind: type, enum, const, and schemas made of schemas.
 *
 * What a template will become is not known. Where that could turn a `no` into a `yes` later (not,
 * oneOf, if), an answer that a template had a part in lets the value pass.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "schema/tests.h"

bool
ff_ask(FfValidation *v, const JsonbValue *schema, const JsonbValue *value, const FfPlace *place,
	   bool *unsure)
{
	bool before = v->unsure;
	bool holds;

	v->unsure = false;
	holds = ff_holds_quietly(v, schema, value, place);
	*unsure = v->unsure;
	v->unsure |= before;
	return holds;
}

static bool
is_of_type(const JsonbValue *type, const JsonbValue *value)
{
	const char *name = type->val.string.val;
	char		kind = ff_kind(value);

	/* The first letters tell them apart but number and null; the shape is known. */
	switch (name[0])
	{
		case 'i':
			return kind == 'n' && ff_is_whole(value);
		case 'n':
			return kind == (type->val.string.len == strlen("null") ? '0' : 'n');
		default:
			return kind == name[0];
	}
}

static void
list_type(StringInfo out, const JsonbValue *type)
{
	if (out->len > 0)
		appendStringInfoString(out, " or ");
	switch (type->val.string.val[0])
	{
		case 'i':
			appendStringInfoString(out, "a whole number");
			break;
		case 'n':
			appendStringInfoString(
				out, ff_kind_name(type->val.string.len == strlen("null") ? '0' : 'n'));
			break;
		default:
			appendStringInfoString(out, ff_kind_name(type->val.string.val[0]));
	}
}

bool
ff_test_type(FfValidation *v, const FfDemand *demand, const JsonbValue *value, const FfPlace *place)
{
	StringInfoData types;
	FfEach		   each;

	initStringInfo(&types);
	if (demand->value->type == jbvString)
	{
		if (is_of_type(demand->value, value))
			return true;
		list_type(&types, demand->value);
	}
	else
	{
		for (ff_each(&each, demand->value); ff_next(&each);)
		{
			if (is_of_type(&each.value, value))
				return true;
			list_type(&types, &each.value);
		}
	}
	return ff_wrong(v, place, "type", "must be %s, not %s", types.data,
					ff_kind(value) == 'n' && strcmp(types.data, "a whole number") == 0
						? ff_shown(value)
						: ff_kind_name(ff_kind(value)));
}

bool
ff_test_enum(FfValidation *v, const FfDemand *demand, const JsonbValue *value, const FfPlace *place)
{
	FfEach each;

	for (ff_each(&each, demand->value); ff_next(&each) && ff_schema_pay(v, 1);)
	{
		if (ff_same(v, &each.value, value))
			return true;
	}
	return v->findings != NULL &&
		   ff_wrong(v, place, "enum", "must be one of %s", ff_shown(demand->value));
}

bool
ff_test_const(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
			  const FfPlace *place)
{
	return ff_same(v, demand->value, value) ||
		   (v->findings != NULL &&
			ff_wrong(v, place, "const", "must be %s", ff_shown(demand->value)));
}

bool
ff_test_all_of(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
			   const FfPlace *place)
{
	bool   holds = true;
	FfEach each;

	for (ff_each(&each, demand->value); ff_go_on(v, holds) && ff_next(&each);)
		holds = ff_holds(v, &each.value, value, place) && holds;
	return holds;
}

bool
ff_test_any_of(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
			   const FfPlace *place)
{
	FfEach each;

	for (ff_each(&each, demand->value); v->stopped == NULL && ff_next(&each);)
	{
		if (ff_holds_quietly(v, &each.value, value, place))
			return true;
	}
	return ff_wrong(v, place, "anyOf", "fits none of the %d schemas it may have",
					JsonContainerSize(demand->value->val.binary.data));
}

bool
ff_test_one_of(FfValidation *v, const FfDemand *demand, const JsonbValue *value,
			   const FfPlace *place)
{
	int	   sure = 0;
	int	   fitting = 0;
	FfEach each;

	for (ff_each(&each, demand->value); v->stopped == NULL && sure < 2 && ff_next(&each);)
	{
		bool unsure;

		if (ff_ask(v, &each.value, value, place, &unsure))
		{
			fitting++;
			sure += unsure ? 0 : 1;
		}
	}
	if (fitting == 0)
		return ff_wrong(v, place, "oneOf", "fits none of the %d schemas it may have",
						JsonContainerSize(demand->value->val.binary.data));
	return sure < 2 || ff_wrong(v, place, "oneOf", "fits more than one of the schemas it may have");
}

bool
ff_test_not(FfValidation *v, const FfDemand *demand, const JsonbValue *value, const FfPlace *place)
{
	bool unsure;

	return !ff_ask(v, demand->value, value, place, &unsure) || unsure ||
		   ff_wrong(v, place, "not", "is what it must not be");
}

static bool
branch_holds(FfValidation *v, const FfDemand *demand, const char *branch, const JsonbValue *value,
			 const FfPlace *place)
{
	JsonbValue schema;

	return !ff_sibling(demand, branch, &schema) || ff_holds(v, &schema, value, place);
}

bool
ff_test_if(FfValidation *v, const FfDemand *demand, const JsonbValue *value, const FfPlace *place)
{
	bool unsure;
	bool chosen = ff_ask(v, demand->value, value, place, &unsure);

	if (v->stopped != NULL)
		return false;
	if (unsure)
		return true;
	return branch_holds(v, demand, chosen ? "then" : "else", value, place);
}

bool
ff_test_ref(FfValidation *v, const FfDemand *demand, const JsonbValue *value, const FfPlace *place)
{
	JsonbValue schema;

	return ff_schema_refer(v, demand->value, &schema) && ff_holds(v, &schema, value, place);
}

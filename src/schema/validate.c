/*
 * validate.c - a value against a schema: every keyword of the schema is asked in turn.
 *
 * A validation is bounded by steps and by depth, whatever the schema and the value are. When one of
 * them is used up there is no answer: `stopped` is set, everything returns at once, and the one
 * finding that matters says so. `not` and the like must not take that for an answer; they need not
 * care, since nothing is decided after it.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/json.h"

#include "schema/keyword.h"
#include "util/json.h"

#define MAX_STEPS 2000000 /* a quarter of a second */
#define MAX_DEPTH 400	  /* schemas within schemas */

bool
ff_schema_pay(FfValidation *v, int64 steps)
{
	v->steps -= steps;
	if (v->steps < 0 && v->stopped == NULL)
		v->stopped = "checking this takes too many steps";
	return v->stopped == NULL;
}

/* --- findings --- */

static void
append_place(StringInfo out, const FfPlace *place)
{
	if (place == NULL)
		return;
	check_stack_depth();
	append_place(out, place->parent);
	appendStringInfoChar(out, '/');
	if (place->key == NULL)
		appendStringInfo(out, "%d", place->index);
	for (int i = 0; place->key != NULL && i < place->length; i++)
	{
		if (place->key[i] == '~')
			appendStringInfoString(out, "~0");
		else if (place->key[i] == '/')
			appendStringInfoString(out, "~1");
		else
			appendStringInfoChar(out, place->key[i]);
	}
}

static void
add_finding(FfFindings *findings, int most, const char *path, const char *keyword,
			const char *message)
{
	if (findings->count >= most)
		findings->more = true;
	else
		findings->list[findings->count++] =
			(FfFinding){.path = path, .keyword = keyword, .message = message};
}

bool
ff_wrong(FfValidation *v, const FfPlace *place, const char *keyword, const char *format, ...)
{
	StringInfoData path;
	StringInfoData message;
	int			   missing;

	if (v->findings == NULL || v->stopped != NULL)
		return false;
	if (v->findings->count >= v->most)
	{
		v->findings->more = true;
		return false;
	}
	initStringInfo(&path);
	append_place(&path, place);
	initStringInfo(&message);
	do
	{
		va_list arguments;

		va_start(arguments, format);
		missing = appendStringInfoVA(&message, format, arguments);
		va_end(arguments);
		if (missing > 0)
			enlargeStringInfo(&message, missing);
	} while (missing > 0);
	add_finding(v->findings, v->most, path.data, keyword, message.data);
	return false;
}

Jsonb *
ff_findings_json(const FfFindings *findings)
{
	FfJsonBuilder b = {0};

	ff_jb_array(&b);
	for (int i = 0; i < findings->count; i++)
	{
		ff_jb_object(&b);
		ff_jb_key(&b, "path");
		ff_jb_text(&b, findings->list[i].path);
		ff_jb_key(&b, "keyword");
		ff_jb_text(&b, findings->list[i].keyword);
		ff_jb_key(&b, "message");
		ff_jb_text(&b, findings->list[i].message);
		ff_jb_end(&b);
	}
	ff_jb_end(&b);
	return ff_jb_finish(&b);
}

/* --- asking --- */

static bool
is_template(const JsonbValue *value)
{
	const char *text = value->val.string.val;

	for (int i = 0; value->type == jbvString && i + 1 < value->val.string.len; i++)
	{
		if (text[i] == '{' && (text[i + 1] == '{' || text[i + 1] == '%'))
			return true;
	}
	return false;
}

/* Every keyword of a schema; the first that fails will do when nobody asks which. */
static bool
ask_keywords(FfValidation *v, const JsonbValue *schema, const JsonbValue *value,
			 const FfPlace *place)
{
	char   kind = ff_kind(value);
	bool   holds = true;
	FfEach each;

	for (ff_each(&each, schema); ff_next(&each) && ff_schema_pay(v, 1);)
	{
		const FfKeyword *keyword =
			ff_schema_keyword(each.key.val.string.val, each.key.val.string.len);
		FfDemand demand = {keyword, schema->val.binary.data, &each.value};

		if (keyword == NULL || keyword->test == NULL ||
			(keyword->applies != 0 && keyword->applies != kind))
			continue;
		holds = keyword->test(v, &demand, value, place) && holds;
		if (!holds && (v->findings == NULL || v->findings->more))
			break;
	}
	return holds && v->stopped == NULL;
}

bool
ff_holds(FfValidation *v, const JsonbValue *schema, const JsonbValue *value, const FfPlace *place)
{
	bool holds = true;

	check_stack_depth();
	if (v->depth >= MAX_DEPTH && v->stopped == NULL)
		v->stopped = "the schema or the value is nested too deeply, or the schema refers to itself "
					 "without end";
	if (!ff_schema_pay(v, 1 + (value->type == jbvString ? value->val.string.len / 128 : 0)))
		return false;
	v->depth++;
	if (v->mode == FF_SCHEMA_TEMPLATES && is_template(value))
		v->unsure = true;
	else if (ff_kind(schema) == 'o')
		holds = ask_keywords(v, schema, value, place);
	else if (!schema->val.boolean)
		holds = ff_wrong(v, place, "false", "is not allowed");
	v->depth--;
	return holds;
}

bool
ff_holds_quietly(FfValidation *v, const JsonbValue *schema, const JsonbValue *value,
				 const FfPlace *place)
{
	FfFindings *findings = v->findings;
	bool		holds;

	v->findings = NULL;
	holds = ff_holds(v, schema, value, place);
	v->findings = findings;
	return holds;
}

/* --- the doors --- */

static HTAB *
make_table(const char *name, Size entry)
{
	HASHCTL control = {.keysize = sizeof(void *), .entrysize = entry, .hcxt = CurrentMemoryContext};

	return hash_create(name, 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
ff_validation_begin(FfValidation *v, Jsonb *schema, FfSchemaMode mode, int most)
{
	*v = (FfValidation){.root = &schema->root,
						.mode = mode,
						.most = most,
						.steps = MAX_STEPS,
						.context = CurrentMemoryContext};
	v->patterns = make_table("patterns of a schema", 3 * sizeof(void *));
	v->checked = make_table("parts of a schema", sizeof(void *));
	v->findings = palloc0(sizeof(FfFindings));
	v->findings->list = palloc(sizeof(FfFinding) * (Size) Max(most, 1));
}

/* What stopped a validation is all there is to say. */
static FfFindings *
conclude(FfValidation *v)
{
	if (v->stopped != NULL)
	{
		v->findings->count = 0;
		v->findings->more = false;
		add_finding(v->findings, Max(v->most, 1), "", "limit", v->stopped);
	}
	return v->findings;
}

static FfFindings *
check_whole(FfValidation *v, Jsonb *schema)
{
	JsonbValue root;

	ff_whole(schema, &root);
	ff_check_schema(v, &root, NULL);
	return conclude(v);
}

FfFindings *
ff_schema_check(Jsonb *schema, int most)
{
	FfValidation v;

	ff_validation_begin(&v, schema, FF_SCHEMA_PLAIN, most);
	return check_whole(&v, schema);
}

/* What is wrong with the schema, as findings about a value that cannot be checked. */
static FfFindings *
blame_schema(FfFindings *findings)
{
	for (int i = 0; i < findings->count; i++)
	{
		FfFinding *finding = &findings->list[i];

		finding->message = psprintf("cannot be checked, the schema is wrong at \"%s\": %s",
									finding->path, finding->message);
		finding->path = "";
		finding->keyword = "schema";
	}
	return findings;
}

FfFindings *
ff_schema_validate(Jsonb *schema, Jsonb *value, FfSchemaMode mode, int most)
{
	FfValidation v;
	JsonbValue	 root;
	JsonbValue	 given;

	ff_validation_begin(&v, schema, mode, most);
	if (check_whole(&v, schema)->count > 0)
		return blame_schema(v.findings);
	ff_whole(schema, &root);
	ff_whole(value, &given);
	ff_holds(&v, &root, &given, NULL);
	return conclude(&v);
}

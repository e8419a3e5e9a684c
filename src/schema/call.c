/*
 * call.c - the SQL functions of this folder.
 */
#include "postgres.h"

#include "fmgr.h"

#include "lib/stringinfo.h"

#include "schema/schema.h"
#include "util/errors.h"
#include "util/json.h"

#define MAX_FINDINGS 100

PG_FUNCTION_INFO_V1(ff_sql_schema_check);
PG_FUNCTION_INFO_V1(ff_sql_schema_problems);
PG_FUNCTION_INFO_V1(ff_sql_schema_validate);
PG_FUNCTION_INFO_V1(ff_sql_schema_require);

Datum
ff_sql_schema_check(PG_FUNCTION_ARGS)
{
	FfSchemaMode mode = PG_GETARG_BOOL(2) ? FF_SCHEMA_TEMPLATES : FF_SCHEMA_PLAIN;

	PG_RETURN_JSONB_P(ff_findings_json(
		ff_schema_validate(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1), mode, MAX_FINDINGS)));
}

Datum
ff_sql_schema_problems(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(ff_findings_json(ff_schema_check(PG_GETARG_JSONB_P(0), MAX_FINDINGS)));
}

Datum
ff_sql_schema_validate(PG_FUNCTION_ARGS)
{
	FfFindings	 *findings = ff_schema_validate(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1),
												FF_SCHEMA_PLAIN, MAX_FINDINGS);
	FfJsonBuilder b = {0};

	ff_jb_object(&b);
	ff_jb_key(&b, "valid");
	ff_jb_bool(&b, findings->count == 0);
	ff_jb_key(&b, "errors");
	ff_jb_json(&b, ff_findings_json(findings));
	ff_jb_end(&b);
	PG_RETURN_JSONB_P(ff_jb_finish(&b));
}

static char *
lines_of(const FfFindings *findings)
{
	StringInfoData lines;

	initStringInfo(&lines);
	for (int i = 0; i < findings->count; i++)
		appendStringInfo(&lines, "%sresult%s %s.", i > 0 ? "\n" : "", findings->list[i].path,
						 findings->list[i].message);
	return lines.data;
}

Datum
ff_sql_schema_require(PG_FUNCTION_ARGS)
{
	Jsonb	   *value = PG_ARGISNULL(0) ? ff_json_null() : PG_GETARG_JSONB_P(0);
	FfFindings *findings;

	if (!PG_ARGISNULL(1))
	{
		findings = ff_schema_validate(PG_GETARG_JSONB_P(1), value, FF_SCHEMA_PLAIN, MAX_FINDINGS);
		if (findings->count > 0)
			ereport(ERROR,
					(errcode(FF_ERR_OUTPUT), errmsg("the result is not what its schema says"),
					 errdetail("%s", lines_of(findings)),
					 errhint("Mend what gives it, or the schema.")));
	}
	PG_RETURN_JSONB_P(value);
}

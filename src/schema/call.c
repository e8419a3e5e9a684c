/*
 * call.c - the SQL functions of this folder.
 */
#include "postgres.h"

#include "fmgr.h"

#include "schema/schema.h"
#include "util/json.h"

#define MAX_FINDINGS 100

PG_FUNCTION_INFO_V1(ff_sql_schema_check);
PG_FUNCTION_INFO_V1(ff_sql_schema_problems);

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

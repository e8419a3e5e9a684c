create function flowforge.schema_check(schema jsonb, value jsonb, templates boolean default false) returns jsonb
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_schema_check';
comment on function flowforge.schema_check(jsonb, jsonb, boolean) is
'What is wrong with a value by a JSON Schema: a list, empty when nothing is, of at most 100 {path, keyword, message}, the path a JSON pointer '
'into the value. The keyword is "schema" when the schema itself is wrong and "limit" when checking would take too long. With templates, a text '
'with {{ or {% in it satisfies everything.';

create function flowforge.schema_problems(schema jsonb) returns jsonb
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_schema_problems';
comment on function flowforge.schema_problems(jsonb) is
'What is wrong with a JSON Schema: a list, empty when nothing is, of at most 100 {path, keyword, message}, the path a JSON pointer into it.';

create function flowforge.findings_text(findings jsonb, subject text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select string_agg(format('%s%s %s.', subject, f.value ->> 'path', f.value ->> 'message'), E'\n' order by f.ordinality)
	from jsonb_array_elements(findings) with ordinality f
$$;
comment on function flowforge.findings_text(jsonb, text) is 'Findings for people, a line each: data/items/0 must be a text, not null.';

-- These two are for everybody: they need no right on the schema flowforge.
create function @extschema@.ff_schema_validate(schema jsonb, value jsonb) returns jsonb
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_schema_validate';
comment on function @extschema@.ff_schema_validate(jsonb, jsonb) is
'Checks a value against a JSON Schema (draft 2020-12; docs/schemas.md has the keywords): {"valid": boolean, "errors": [{"path": JSON pointer into '
'the value, "keyword": what demands it, "message"}]}. A schema that is wrong itself is an error of the keyword "schema"; a check that would take '
'too long one of the keyword "limit". Raises nothing.';

create function @extschema@.ff_schema_require(value jsonb, schema jsonb) returns jsonb
language c immutable parallel safe
as 'MODULE_PATHNAME', 'ff_sql_schema_require';
comment on function @extschema@.ff_schema_require(jsonb, jsonb) is
'Gives a value that satisfies a JSON Schema; a null value counts as JSON null, without a schema everything passes. Error: FF519 it does not.';

create function @extschema@.ff_eval(expression text, context jsonb, mode text default 'strict') returns jsonb
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_eval';
comment on function @extschema@.ff_eval(text, jsonb, text) is
'Evaluates an expression as filters of triggers and waits are; the members of context are the names it may use. mode strict raises '
'FF102 to FF110 for what is missing or wrong; mode filter takes a missing member for null and gives null for any other error.';

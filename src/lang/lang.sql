create function @extschema@.ff_eval(expression text, context jsonb, mode text default 'strict') returns jsonb
language c stable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_eval';
comment on function @extschema@.ff_eval(text, jsonb, text) is
'Evaluates an expression; the members of context are the names it may use. In mode strict, what is missing or wrong raises FF102 to '
'FF110. In mode filter, as in the filters of triggers and waits, a missing member is null, comparing with null by order is false, '
'and any other error gives false. An expression that cannot be read raises FF101, FF109 or FF110 in both.';

create function @extschema@.ff_eval(expression text, context jsonb, mode text default 'strict') returns jsonb
language c stable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_eval';
comment on function @extschema@.ff_eval(text, jsonb, text) is
'Evaluates an expression; the members of context are the names it may use. In mode strict, what is missing or wrong raises FF102 to '
'FF110. In mode filter, as in the filters of triggers and waits, a missing member is null, comparing with null by order is false, '
'and any other error gives false. Mode graph is strict and takes the expressions of conditions: {{ value }} may stand as an operand, and a '
'text in quotes that has braces is a template; what they give is never read as a part of the expression. An expression that cannot be read raises FF101, FF109 or FF110 in all.';

create function @extschema@.ff_render(template jsonb, context jsonb) returns jsonb
language c stable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_render';
comment on function @extschema@.ff_render(jsonb, jsonb) is
'Renders the templates in the texts of a config, at any depth; keys and whatever is no template stay as they are. A text that is '
'exactly one {{ value }} becomes that value with its type; any other becomes text. The members of context are the names that may be '
'used. Raises FF101 to FF110 with the place in the text (DETAIL) and in the config (CONTEXT). The data is never rendered.';

create function @extschema@.ff_template_refs(config jsonb) returns text[]
language c stable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_template_refs';
comment on function @extschema@.ff_template_refs(jsonb) is
'The references the templates of a config make, as dotted paths such as step.users.0.name, sorted by their bytes, each once. Variables '
'of loops and statements, literals and the arguments of filters are not references. A text that cannot be read raises FF101, FF109 or '
'FF110.';

create function flowforge.canonical_expression(expression text) returns text
language c stable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_canonical_expression';
comment on function flowforge.canonical_expression(text) is
'An expression in one spelling, with the parentheses it needs; two expressions of the same spelling mean the same. Raises FF101, FF109 or '
'FF110.';

create function flowforge.bound_expression(expression text, context jsonb) returns text
language c stable strict parallel safe
as 'MODULE_PATHNAME', 'ff_sql_bound_expression';
comment on function flowforge.bound_expression(text, jsonb) is
'An expression with each operand {{ value }}, and each text in quotes that has braces, as the literal it is in this context; what else it '
'names stays. So a wait says what it waits for: async.data.id == {{ order.id }} becomes async.data.id == 7. Raises FF101 to FF110.';

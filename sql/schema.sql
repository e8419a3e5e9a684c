-- JSON Schema: every keyword, what is wrong with schemas, and what is made to hurt. test/schema compares with the public suite and with Python.
\set VERBOSITY terse
create function pg_temp.findings(schema jsonb, value jsonb, templates boolean default false) returns text language sql as $$
	select coalesce(string_agg(format('%s %s: %s', f ->> 'path', f ->> 'keyword', f ->> 'message'), E'\n'), 'fits')
	from jsonb_array_elements(flowforge.schema_check(schema, value, templates)) f
$$;
create function pg_temp.problems(schema jsonb) returns text language sql as $$
	select coalesce(string_agg(format('%s %s: %s', f ->> 'path', f ->> 'keyword', f ->> 'message'), E'\n'), 'good')
	from jsonb_array_elements(flowforge.schema_problems(schema)) f
$$;

-- each keyword: a value that fits and one that does not
select c.schema, pg_temp.findings(c.schema, c.good) as good, pg_temp.findings(c.schema, c.bad) as bad
from (values
	('{"type": "object"}', '{}', '[]'),
	('{"type": "array"}', '[]', '{}'),
	('{"type": "string"}', '"a"', '1'),
	('{"type": "number"}', '1.5', '"1.5"'),
	('{"type": "integer"}', '2.0', '2.5'),
	('{"type": "boolean"}', 'false', '0'),
	('{"type": "null"}', 'null', '0'),
	('{"type": ["string", "null"]}', 'null', 'true'),
	('{"enum": [1, "a", {"b": [1.0]}]}', '{"b": [1]}', '{"b": [2]}'),
	('{"const": [null]}', '[null]', '[]'),
	('{"required": ["a", "b"]}', '{"a": null, "b": 1}', '{"c": 1}'),
	('{"properties": {"a": {"type": "string"}, "b/~": {"type": "number"}}}', '{"a": "x", "c": 1}', '{"a": 1, "b/~": "x"}'),
	('{"properties": {"a": true}, "additionalProperties": false}', '{"a": 1}', '{"b": 1, "c": 2}'),
	('{"additionalProperties": {"type": "number"}}', '{"a": 1}', '{"a": "1"}'),
	('{"patternProperties": {"^n_": {"type": "number"}}, "additionalProperties": false}', '{"n_1": 1}', '{"n_1": "1", "m": 1}'),
	('{"propertyNames": {"maxLength": 2}}', '{"ab": 1}', '{"abc": 1}'),
	('{"minProperties": 2}', '{"a": 1, "b": 2}', '{"a": 1}'),
	('{"maxProperties": 1}', '{"a": 1}', '{"a": 1, "b": 2}'),
	('{"dependentRequired": {"card": ["address"]}}', '{"card": 1, "address": 2}', '{"card": 1}'),
	('{"dependentSchemas": {"card": {"required": ["address"]}}}', '{"pin": 1}', '{"card": 1}'),
	('{"items": {"type": "number"}}', '[1, 2]', '[1, "2", 3, null]'),
	('{"prefixItems": [{"type": "number"}, {"type": "string"}], "items": false}', '[1, "a"]', '[1, 2, 3]'),
	('{"contains": {"const": 1}}', '[0, 1]', '[0]'),
	('{"contains": {"const": 1}, "minContains": 2, "maxContains": 2}', '[1, 1]', '[1, 1, 1]'),
	('{"minItems": 1}', '[1]', '[]'),
	('{"maxItems": 1}', '[1]', '[1, 2]'),
	('{"uniqueItems": true}', '[1, "1", [1], [[1]]]', '[{"a": 1, "b": 2}, 3, {"b": 2.0, "a": 1}]'),
	('{"minLength": 2}', '"äö"', '"ä"'),
	('{"maxLength": 2}', '"💡💡"', '"abc"'),
	('{"pattern": "^[a-z]+$"}', '"abc"', '"a1"'),
	('{"pattern": "\\bword\\b"}', '"a word here"', '"swordfish"'),
	('{"pattern": "\\x41$"}', '"BA"', '"AB"'),
	('{"minimum": 3}', '3', '2.999'),
	('{"maximum": 3}', '3.0', '3.001'),
	('{"exclusiveMinimum": 3}', '3.1', '3'),
	('{"exclusiveMaximum": 3}', '2.9', '3.0'),
	('{"multipleOf": 0.01}', '19.99', '19.999'),
	('{"format": "date-time"}', '"2026-02-28T23:59:59.5+01:00"', '"2026-02-28 23:59:59"'),
	('{"format": "date"}', '"2024-02-29"', '"2023-02-29"'),
	('{"format": "time"}', '"23:59:60Z"', '"23:58:60Z"'),
	('{"format": "email"}', '"ann.lee@example.com"', '"ann..lee@example.com"'),
	('{"format": "uri"}', '"https://example.com/a%20b?c=d#e"', '"example.com/a b"'),
	('{"format": "uuid"}', '"2eb8aa08-AA98-11ea-b4aa-73b441d16380"', '"2eb8aa08aa9811eab4aa73b441d16380"'),
	('{"format": "a format nobody knows", "title": "t", "default": 1, "x-widget": [1]}', '"x"', '"y"'),
	('{"allOf": [{"type": "number"}, {"minimum": 1}]}', '1', '0'),
	('{"anyOf": [{"type": "number"}, {"type": "null"}]}', 'null', '"a"'),
	('{"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}', '9', '6'),
	('{"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}', '4', '5'),
	('{"not": {"type": "null"}}', '0', 'null'),
	('{"if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["x"]}, "else": {"required": ["y"]}}', '{"kind": "a", "x": 1}', '{"kind": "b"}'),
	('{"$ref": "#/$defs/positive", "$defs": {"positive": {"exclusiveMinimum": 0}}}', '1', '0'),
	('{"$ref": "#/definitions/a~1b%20c", "definitions": {"a/b c": {"type": "null"}}}', 'null', '0'),
	('true', '1', '1'),
	('false', '1', '1')
) v (schema, good, bad)
cross join lateral (select v.schema::jsonb, v.good::jsonb, v.bad::jsonb) c;

-- a tree: a schema that refers to itself, and where in the value it fails
select pg_temp.findings('{"type": "object", "required": ["name"], "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}',
	'{"name": "a", "children": [{"name": "b"}, {"name": "c", "children": [{"nom": "d"}]}]}');

-- schemas that are wrong, and where
select s.schema, pg_temp.problems(s.schema::jsonb)
from (values
	('{"type": "text"}'),
	('{"type": []}'),
	('{"properties": [], "required": "a", "items": [{}], "enum": {}, "pattern": 1, "title": 1}'),
	('{"properties": {"a": {"minimum": "1"}, "b": 5}}'),
	('{"minLength": -1, "maxLength": 1.5, "multipleOf": 0, "uniqueItems": 1}'),
	('{"anyOf": []}'),
	('{"pattern": "("}'),
	('{"pattern": "(a)\\1"}'),
	('{"patternProperties": {"[": true}}'),
	('{"dependentRequired": {"a": [1]}}'),
	('{"$ref": "https://example.com/schema"}'),
	('{"$ref": "#/$defs/missing"}'),
	('{"$ref": "#anchor"}'),
	('{"$ref": "#/x-part", "x-part": {"type": "nothing"}}'),
	('{"unevaluatedProperties": false}'),
	('{"additionalItems": false, "dependencies": {}}'),
	('{"$dynamicRef": "#a"}'),
	('[]'),
	('null'),
	('{"$schema": "https://json-schema.org/draft/2020-12/schema", "$comment": "good", "x": {"type": "nothing"}}')
) s (schema);
-- nothing is checked by a schema that is wrong
select pg_temp.findings('{"type": "object", "properties": {"a": {"type": "text"}}}', '{}');

-- a text with a template in it may become anything
select v.value, pg_temp.findings(v.schema::jsonb, v.value::jsonb, true) as templates, pg_temp.findings(v.schema::jsonb, v.value::jsonb) as plain
from (values
	('{"type": "number"}', '"{{ input.n }}"'),
	('{"type": "number"}', '"{% if a %}1{% endif %}"'),
	('{"type": "number"}', '"{ input.n }"'),
	('{"properties": {"a": {"enum": [1]}}, "required": ["b"]}', '{"a": "{{a}}"}'),
	('{"oneOf": [{"properties": {"t": {"const": 1}}}, {"properties": {"t": {"const": 2}}}]}', '{"t": "{{a}}"}'),
	('{"not": {"properties": {"t": {"const": 1}}}}', '{"t": "{{a}}"}'),
	('{"if": {"properties": {"t": {"const": 1}}}, "then": false, "else": false}', '{"t": "{{a}}"}'),
	('{"uniqueItems": true, "contains": {"const": 1}, "maxContains": 1}', '["{{a}}", "{{a}}"]')
) v (schema, value);

-- what is made to hurt ends soon, and says why
select pg_temp.findings('{"$ref": "#"}', '1');
select pg_temp.findings('{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}', '1');
select pg_temp.findings('{"not": {"$ref": "#"}}', '1');
select pg_temp.findings('{"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}', '1');
select pg_temp.findings(jsonb_build_object('enum', (select jsonb_agg(i) from generate_series(1, 20000) i)), '0') ~ '^ enum: must be one of';
select pg_temp.findings(jsonb_build_object('items', jsonb_build_object('enum', (select jsonb_agg(i) from generate_series(1, 20000) i))),
	(select jsonb_agg(-i) from generate_series(1, 20000) i));
select pg_temp.problems('{"pattern": "((a?){30}){30}"}');
select pg_temp.problems(jsonb_build_object('pattern', repeat('(a|b)*', 200)));
select pg_temp.findings('{"pattern": "^(a+)+$"}', to_jsonb(repeat('a', 100000) || '!'));
select left(pg_temp.findings('{"items": {"pattern": "^(x+x+)+y$"}}', (select jsonb_agg(repeat('x', 5000)) from generate_series(1, 500))), 40);
select pg_temp.findings('{"uniqueItems": true}', (select jsonb_agg(array_fill(7, array[1000])) from generate_series(1, 5000)));
select pg_temp.findings('{"multipleOf": 1e-16000}', '1e131000');
select pg_temp.findings((repeat('{"items": ', 300) || 'true' || repeat('}', 300))::jsonb, '[]');
select pg_temp.findings('{"items": {"$ref": "#"}}', (repeat('[', 900) || repeat(']', 900))::jsonb);
-- as many findings as can be read
select jsonb_array_length(flowforge.schema_check('{"items": {"type": "null"}}', (select jsonb_agg(i) from generate_series(1, 100000) i)));

-- the public door
select ff_schema_validate('{"type": "object", "required": ["name"]}', '{"name": "Ann"}');
select ff_schema_validate('{"type": "object", "required": ["name"]}', '{}');
-- everybody may ask
create role schema_nobody;
set role schema_nobody;
select ff_schema_validate('{"type": "null"}', '1') -> 'valid';
select ff_schema_require(null, '{"type": "null"}');
select ff_schema_require('1', '{"type": "null"}');
reset role;
drop role schema_nobody;

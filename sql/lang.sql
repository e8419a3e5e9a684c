-- The expression language, row by row of its reference (docs/expressions.md).
-- What an expression gives, or the error's SQLSTATE and message.
create function try_eval(expression text, context jsonb default '{}', mode text default 'strict') returns text language plpgsql as $$
declare
	code text;
	message text;
begin
	return ff_eval(expression, context, mode);
exception when others then
	get stacked diagnostics code = returned_sqlstate, message = message_text;
	return format('%s %s', code, message);
end
$$;
create table context as select '{
	"event": {"data": {"total": 120, "kind": "x", "tags": ["a", "b"], "none": null, "big": 9007199254740993, "first name": "Ann"}},
	"n": 3, "s": "héllo", "l": [3, 1, 2], "o": {"a": 1, "b": {"c": [true]}}, "naïve": 1, "東京": 2, "_x1": 3
}'::jsonb c;
create function show(variadic expressions text[]) returns table (expression text, result text) language sql as $$
	select e, try_eval(e, c) from context, unnest(expressions) with ordinality u (e, i) order by i
$$;
-- Both spellings, one grammar.
select * from show('event.data.total > 100 && event.data.kind == ''x''', 'event.data.total > 100 and not event.data.kind != "x"',
	'event[''data''][''tags''][-1]', 'n > 5 ? ''big'' : ''small''', '''big'' if n > 5 else ''small''', '!(n == 3) || true', 'not n == 3 or True');
-- Literals: numbers are exact, at any size.
select * from show('9007199254740993', '123456789012345678901234567890 + 1', '0.1 + 0.2', '1e3', '.5', '1E-2', '1.50', '0', '010', '1.', '1e', '1x', '0x10', '1_000', '1e100000');
select * from show('''it\''s''', '"a\"b"', '''a\n\t\\b''', '"\u00e9\uD83D\uDE00"', '''\q''', '"\u12"', '"\ud800"', '"\ud800\u0041"', '''\u0000''', '''open', '''a'' ''b''');
select * from show('true', 'True', 'false', 'False', 'null', 'None', '[1, ''a'', [null]]', '[1, 2,]', '[]', '(1, 2)', '(1,)', '()', '(1)', '{}', '{''a'': 1, "b": [true, {''c'': None}]}', '{''a'': 1, ''a'': 2}', '{1: 2}');
-- Names.
select * from show('naïve + 東京 + _x1', 'nobody', 'N', 'evnt', 'nobody == null', 'has(nobody)');
select try_eval('true', '{"true": 5}'), try_eval('null', '{"null": 5}'), try_eval('True', '{"true": 5}');
-- Members: what is not there, an index out of range and a wrong type are different errors.
select * from show('o.b.c[0]', 'o[''a'']', 'event.data[''first name'']', 'l[0]', 'l[-1]', 'l[1.0]', '''abc''[1]', 's[1]', '''abc''[-1]', 'o.in', '{''in'': 1}.in',
	'o.nothing', 'o[''nothing'']', 'event.data.totl', 'l[3]', 'l[-4]', '''abc''[3]', 'l[''a'']', 'l[1.5]', 'l[null]', 'o[0]', 'n.x', 'n[0]', 's.x', 'l.x', 'event.data.none.x', 'true.x', 'o[n]', 'l[99999999999999999999]');
-- Conditions, logic that gives its operands, and what is false.
select * from show('1 ? 2 : 0 ? 3 : 4', '1 if 0 else 2 if 0 else 3', '0 or ''x''', '0 || null', '1 and ''x''', '0 and nobody', '1 or nobody', 'not 0', '!!1',
	'[bool(null), bool(false), bool(0), bool(0.0), bool(''''), bool([]), bool({})]', '[bool(1), bool('' ''), bool([0]), bool({''a'': 0}), bool(-0.1)]');
-- Equality: numbers by value, lists and objects deeply; different types are unequal.
select * from show('1 == 1.0', '1e400 == 1e400', 'true == 1', '''1'' == 1', 'null == false', '[1, {"a": 2}] == [1.0, {"a": 2.00}]', '{''a'': 1, ''b'': 2} == {''b'': 2, ''a'': 1}', '[] == {}', '1 != 2', 'event.data.none is None', 'n is not null',
	'1 == 1 == 1', '1 < n < 5', '1 < 5 < n', '3 > 2 > 1 > 0', 'n == 3 != 4', '1 < 2 in [2]');
-- Order: numbers, texts by code point, lists item by item; anything else is an error.
select * from show('1 < 2.5', '''Z'' < ''a''', '''a'' < ''é''', '''￿'' < ''😀''', '''a'' < ''aa''', '[1, 2] < [1, 3]', '[1] < [1, 0]', '[] < [0]', '2 >= 2', '1 < ''a''', 'null < 1', 'true < false', '{} < {}', '[1] < [''a'']');
-- in.
select * from show('''a'' in event.data.tags', '''c'' not in [1, 2]', '1.0 in [1]', '[1] in [[1]]', 'null in [null]', '''bc'' in ''abcd''', ''''' in ''''', '''total'' in event.data', '1 in o', '1 in 2', '1 in ''123''');
-- Arithmetic.
select * from show('1 + 2 * 3', '(1 + 2) * 3', '7 - 2 - 1', '10 / 4', '10 / 5', '1 / 3', '2 / 3 * 3', '7 % 3', '-7 % 3', '7 % -3', '-7.5 % 2', '5 - -3', '-(-n)', '- n * 2', '9223372036854775807 + 1', '-9223372036854775808 - 1', '9223372036854775807 * 9223372036854775807',
	'-9223372036854775808 / -1', 'event.data.big + 1', '1 / 0', '1 % 0', '1 / 0.0', '''a'' + ''b''', '[1] + [2, [3]]', '''a'' + 1', '1 + ''a''', '[1] + 1', '''ab'' * 3', '3 * ''ab''', '[0] * 3', '''a'' * 0', '''a'' * -1', '''a'' * 1.5', '''a'' * ''b''', '-''a''', 'true + 1', 'null + null', '{} + {}');
-- Functions, also as methods.
select * from show('size(l)', 'len(''héé'')', '''héé''.size()', '{}.size()', 'size(1)', 'has(event.data.kind)', 'has(event.data.nothing)', 'has(event.nothing.x)', 'has(l[7])', 'has(n.x)', 'has(1 + 1)', 'o.has(a)',
	'string(1.50)', 'string([1, "é", null])', 'string(true)', 'int(''42'') + 1', 'int(1.9)', 'int(-1.9)', 'int(true)', 'int(''x'')', 'int(null)', 'float(''1e3'')', 'float('' 1'')', 'double(2)', 'bool(''false'')',
	'lower(''ÀB'')', '''straße''.upper()', 'trim(''  x \n'')', '''Hello''.startsWith(''He'')', 'endsWith(''Hello'', ''lo'')', '''Hello''.contains(''ll'')', 'l.contains(2)', 'upper(1)', 'lowerAscii(''A'')',
	'''a,b,''.split('','')', '''abc''.split('''')', '[''a'', ''b''].join(''-'')', '''-''.join([''a'', ''b''])', '[].join('','')', '[1].join('','')', 'replace(''aXbX'', ''X'', ''__'')', '''aaa''.replace(''a'', '''')', '''a''.replace('''', ''b'')');
select * from show('abs(-3)', 'abs(-2.5)', 'min(3, 1, 2)', 'max(l)', 'min([])', 'min(1, ''a'')', 'max(''a'', ''b'')', 'round(2.5)', 'round(-2.5)', 'round(1.005, 2)', 'round(1234, -2)', 'floor(-1.5)', 'ceil(-1.5)', 'floor(''a'')', 'sum([1, 2.5])', 'sum([])', 'sum([''a''])',
	'keys(o)', 'o.values()', 'keys(l)', 'sort(l)', 'sort([''b'', ''a''])', 'sort([[2], [1, 5]])', 'sort([1, ''a''])', 'unique([1, 1.0, ''a'', ''a'', [1], [1], null])', 'coalesce(event.data.none, nobody, 7)', 'coalesce(null)', 'default(event.data.nothing, 7)', 'event.data.none.default(8)', 'default(n, 1)', 'default(1 / 0, 1)',
	'timestamp(''2026-01-31T12:00:00Z'')', 'timestamp(''2026-01-31T12:00:00.5+01:00'')', 'timestamp(5)', 'timestamp(''soon'')', 'duration(''1h30m'')', 'duration(''x'')', 'now() > timestamp(''2020-01-01T00:00:00Z'')', 'now() == now()');
select * from show('nosuch(1)', 'o.nosuch()', 'sizee(l)', 'size()', 'size(1, 2)', 'range(3)', 'now(1)', 'min()', 'l.map(x)', 'map(l, x, x)');
-- Macros on lists.
select * from show('l.all(x, x > 0)', 'l.all(x, x > 1)', '[].all(x, nobody)', 'l.exists(x, x == 2)', 'l.exists(x, x > 3)', 'l.filter(x, x > 1)', 'l.map(x, x * n)', 'l.map(n, n)', 'l.map(x, l.filter(y, y < x))', '[[1], [2, 3]].map(x, x.map(x, x + 1))', 'o.map(x, x)', 'l.map(x, x.y)', 'l.map(1, 2)', 'l.map(true, 1)', 'x');
-- Regular expressions match anywhere and take no more than time by text times pattern.
select * from show('''abc''.matches(''^a.c$'')', 'matches(''abc'', ''b'')', 'matches(''ABC'', ''(?i)b'')', 'matches(''ann@example.org'', ''^[^@ ]+@[a-z0-9.-]+[.][a-z]{2,}$'')', 'matches(''a'', ''('')', 'matches(''aa'', ''(a)\\1'')', 'matches(''a'', ''(?=a)'')', 'matches(''a'', ''x{1,200}y{1,900}'')', 'matches(''a'', ''(a?b?c?){40}'')', 'matches(1, ''a'')', 'l.map(x, ''a''.matches(string(x) + ''*''))',
	'(''x'' * 100000).matches(''(x+x+)+y'')', '(''a'' * 300000 + ''b'').matches(''(a|b|ab)*c'')');
-- Not in the language.
select * from show('', '  ', 'a = 1', '1; 2', '[x for x in l]', 'lambda x: x', 'l[0:1]', '{1, 2}', '2 ** 3', '7 // 2', '1 & 1', '1 | 1', '1 ^ 1', '~1', '1 << 2', 'f''x''', '1 <> 2', '1 === 1', 'size(x=1)', '1 AND 1', '1 OR 1', '# a', '// a', '/* a */ 1', '1 # a', 'n := 1', '“a”', '`a`', '1 +', '1 2', '(1', ']', 'a.', 'a.1', '.', '1 not 2', 'if', 'n if 1', 'n ? 1', 'import os', '__import__(''os'')', '().__class__', '''''.__class__', 'l.append(4)', '''{0}''.format(1)', U&'1\00A0+ 1', U&'\200B1');
-- Filter mode: what is missing is null, comparing it by order is false, and any other error makes it false.
select e, try_eval(e, '{"event": {"data": {"n": 1, "l": [1], "z": null}}}', 'filter') from unnest(array['event.data.x', 'event.data.x == null', 'event.data.x.y.z == 1', 'event.data.l[4] == null', 'event.data.x > 1', '1 > event.data.x', 'not (event.data.x > 1)', 'event.data.x >= event.data.y',
	'event.data.x == event.data.y', 'event.data.x != event.data.y', 'event.data.z == event.data.x', 'event.data.n + ''a''', 'nobody == 1', 'event.data.n.x == 1', '1 / 0 == 1', 'has(event.data.x)', 'default(event.data.x, 3)', 'event.data.n == 1', 'event.data.n', 'event.data.l.all(x, x.y > 1)']) e;
select try_eval('1 +', '{}', 'filter'), try_eval('1', '[]'), try_eval('1', '{}', 'lax');
-- Errors show the place, and the nearest known name.
select ff_eval('event.data.total >', '{"event": {}}');
select ff_eval(E'event.data.total > 1 &&\n\tevent.dta.kind == ''x''', '{"event": {"data": {"total": 2}}}');
select ff_eval('evnt.data', '{"event": {}}');
select ff_eval('startWith(''a'', ''b'')', '{}');
select ff_eval('événement + "\uD83D" + 1', '{}');

select ff_eval(repeat('1 + ', 60) || 'x + ' || repeat('1 + ', 60) || '1', '{}');
-- Limits, each a setting.
select left(try_eval(repeat('1+', 9000) || '1'), 60), left(try_eval(repeat('(', 200) || '1' || repeat(')', 200)), 60), left(try_eval(repeat('[', 100) || repeat(']', 100)), 60), left(try_eval(repeat('-', 5000) || '1'), 60), left(try_eval('a' || repeat('.a', 5000)), 60);
select left(try_eval('(''a'' * 1000000).map(x, x)'), 80), try_eval('''a'' * 1000000000'), try_eval('[1] * 1000000000'), try_eval('([1] * 1000).all(x, ([1] * 1000).all(y, true))'), try_eval('9 * 9' || repeat(' * 99999999999999999999999999999999', 400)) like 'FF110%', try_eval('1e9999 * 1e9999 * 1e9999') like 'FF110%';
select try_eval('[[[[[[1]]]]]]'), try_eval('l.map(a, [a]).map(a, [a]).map(a, [a])', '{"l": [1]}');
set flowforge.expression_depth_limit = 5;
select try_eval('[[[[[[1]]]]]]'), try_eval('l.map(a, [a]).map(a, [a]).map(a, [[[a]]])', '{"l": [1]}');
set flowforge.expression_source_limit = 64;
set flowforge.expression_step_limit = 100;
set flowforge.expression_output_limit = 1024;
select try_eval(repeat('1', 65)), try_eval('([1] * 90).all(x, x == 1)'), try_eval('''a'' * 1025'), try_eval('''a'' * 1024') = to_jsonb(repeat('a', 1024))::text;
reset flowforge.expression_depth_limit;
reset flowforge.expression_source_limit;
reset flowforge.expression_step_limit;
reset flowforge.expression_output_limit;
-- What is compiled is kept, within bounds, and survives errors.
select count(try_eval(format('%s + %s', i, repeat('[1] + ', i % 100) || '[1]'))) from generate_series(1, 5000) i;
select sum(total_bytes) < 20000000 as bounded, count(*) filter (where name = 'FlowForge compiled expression') <= 1000 as few from pg_backend_memory_contexts where name like 'FlowForge%';
select try_eval('1 +'), try_eval('1 / n', '{"n": 0}'), try_eval('1 / n', '{"n": 4}'), try_eval('1 +'), try_eval('1 / n', '{"n": 4}');
-- One spelling for all.
select flowforge.canonical_expression(e) from unnest(array['not a and (b or c)', 'x if a else y', 'a - (b - c) - d', '-(a + b) * c', '(1, "it''s\n")', 'a["b"].c[0]', 'l.map(x, x+1).size()', '!(a==b)==c', '(a ? b : c) ? d : e', '{"k": None}', '1.50 is not .5e1']) e;
-- A context is data, whatever it holds.
select try_eval('x', '{"x": "1 + 1"}'), try_eval('x.upper()', '{"x": "event.data"}'), try_eval('matches(s, p)', '{"s": "a", "p": "(((("}');
drop function show;
drop function try_eval;
drop table context;

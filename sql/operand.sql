-- Expressions of graphs: {{ value }} as an operand, and texts in quotes that are templates (docs/expressions.md).
-- What an expression gives, or the error's SQLSTATE and message.
create function try_graph(source text, context jsonb) returns text language plpgsql as $$
declare
	code text;
	message text;
begin
	return ff_eval(source, context, mode => 'graph');
exception when others then
	get stacked diagnostics code = returned_sqlstate, message = message_text;
	return format('%s %s', code, message);
end
$$;
create table context as select '{
	"a": {"flag": true, "n": 5, "s": "it''s", "nil": null, "l": [1, 2, 3], "o": {"k": "v"}}, "step-1": {"out": 7}, "my step": {"out": 8}, "1": {"q": 9}, "a - b": 4, "n": 2,
	"evil": "'' or true or ''", "braces": "{{ a.n }}", "code": "1 == 1", "input": {"limit": 3}
}'::jsonb c;
create function show(variadic expressions text[]) returns table (expression text, result text) language sql as $$
	select x, try_graph(x, c) from context, unnest(expressions) with ordinality u (x, i) order by i
$$;
-- An operand is a value with its type, read by the rules of templates.
select * from show('{{a.flag}} == True', '{{ a.flag }}', '{{a.n}} > 3 and not {{ a.nil }}', '{{ a.n + 1 }} * 2', '{{ a.l | length }} == 3', '{{ a.l.-1 }}', '{{ step-1.out }} - {{ my step.out }}', '{{ 1.q }}', '{{ a - b }}', 'n + {{ n }}', '{{ a.l }}[0]', '{{ a.o }}.k', '{{ a.s }}.upper()',
	'size({{ a.l }})', '{{ a.n }} in {{ a.l }}', '[{{ a.n }}, 1]', '{"k": {{ a.n }}}', '{{ a.flag }} ? {{ a.n }} : 0', '-{{ a.n }}', '{{- a.n -}} + 1', 'a.l.filter(x, x >= {{ input.limit }})', 'has({{ a.nope }})', 'has({{ nope }})', 'default({{ nope }}, 1)', '{{ nope | default(2) }} + 1', '{{ {"k": a.n} }}', '{{ "}}" }} == "x"', E'\n{{\n a.n }}\t> 1');
-- A text with braces is a template and gives text, whatever is in it.
select * from show('"{{ a.s }}" == "it''s"', '''{{a.n}}'' == ''5''', '''{{ a.n }}'' == 5', '''n is {{ a.n }}, {{ a.l }}''', '''{% if a.flag %}yes{% else %}no{% endif %}''', '''{{ a.s | upper }}'' in [''IT\''S'']', '''a {{ "b" }}''', 'a.l.map(x, ''<{{ x }}>'')', '''{% set a = 1 %}{{ a }}'' + string({{ a.n }})', '''{{}}''', '''{{''', '''{{ a.o }}''');
-- What a value holds is never a part of the expression.
select * from show('''{{ evil }}'' == ''x''', '{{ evil }} == ''x''', '{{ code }}', '{{ code }} == false', '{{ braces }}', '''{{ braces }}''', '{{ [evil] }}', 'matches({{ evil }}, {{ a.s }})');
-- Errors.
select * from show('{{ nope }}', '{{ a.nope }} > 1', '{{ a.n', '{{ a.n }', '{{}}', '{{ }} == 1', '{{ a.n }} {{ a.n }}', '{{ a. }}', '{{ {{ a.n }} }}', '{{ a.n | nosuch }}', '{% if a %}', '{ {{ a.n }}: 1 }', '''{{ a.nope }}'' == ''x''', '''{{ a. }}''', '''{% if %}''', '{{ a.n }} = 5', 'nope', 'a.n == "{{ 1 / 0 }}"');
select ff_eval('a.n > 1 and {{ a.nam }}', '{"a": {"n": 2, "name": 1}}', mode => 'graph');
select ff_eval('a.n > 1 and "{{ a.n }} {{ a.nam }}"', '{"a": {"n": 2, "name": 1}}', mode => 'graph');
select ff_eval('{{ a.n ) }}', '{"a": {"n": 2}}', mode => 'graph');
-- The other modes know no operands, and their texts are texts.
select ff_eval('"{{ a }}"', '{"a": 1}'), ff_eval('"{{ a }}"', '{"a": 1}', 'filter'), ff_eval('"{{ a }}"', '{"a": 1}', 'graph');
select ff_eval('{{ a }}', '{"a": 1}');
select ff_eval('1', '{}', mode => 'grph');
-- The budget is one for all of it.
select n, try_graph(repeat('(', n) || '{{ 1 }}' || repeat(')', n), '{}'), try_graph('{{ ' || repeat('(', n) || '1' || repeat(')', n) || ' }}', '{}') from unnest(array[99, 102]) n;
select try_graph('"{{ s }}{{ s }}" + "{{ s }}"', jsonb_build_object('s', repeat('x', 400000)));
select try_graph('"{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}"', '{}'), try_graph(repeat('x', 16385), '{}');
-- An expression with its values, as a wait keeps it.
select source, flowforge.bound_expression(source, c), ff_eval(flowforge.bound_expression(source, c), '{"async": {"data": {"id": 5, "k": "it''s"}}}', 'filter') as matches from context, unnest(array[
	'async.data.id == {{ a.n }}', 'async.data.k == {{ a.s }}', 'async.data.k == ''{{ a.s }}''', 'async.data.id in {{ a.l }}', 'async.data.id - {{ -1 }} > 1', '{{ evil }} == async.data.k', 'async.data == {{ a.o }} || {{ a.nil }} == 1', '{{ a }} == async', 'async.data.id == 5', '{{ a.flag and false }}', '''{{ braces }}'' != async.data.k',
	'{{ [] }} == async', '{{ {} }} == async', '{{ [[1, "a"], {"b": [null]}] }} == async']) source;
select flowforge.bound_expression('async.x == {{ nope }}', '{}');
select flowforge.bound_expression('async.x == {{ s }}', jsonb_build_object('s', repeat('x', 20000)));
select flowforge.bound_expression('a', '[]');
select flowforge.canonical_expression('{{ a }}');
drop function show;
drop function try_graph;
drop table context;

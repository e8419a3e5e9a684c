-- Templates, rule by rule of their reference (docs/expressions.md).
-- What a text gives, or the error's SQLSTATE and message.
create function try_render(template jsonb, context jsonb default '{}') returns text language plpgsql as $$
declare
	code text;
	message text;
begin
	return ff_render(template, context);
exception when others then
	get stacked diagnostics code = returned_sqlstate, message = message_text;
	return format('%s %s', code, message);
end
$$;
create table context as select '{
	"n": 3, "f": 1.50, "big": 9007199254740993, "s": "héllo wörld", "t": true, "z": null, "l": [1, 2, 3], "none": [], "a": 5, "b": 2, "evil": "{{ n }} {% if",
	"o": {"a": {"b": [10, 20]}, "first name": "Ann", "x-y": 1, "größe": 7, "$id": 8, "terms and conditions": "t", "in": 9},
	"items": [{"p": 3, "name": "x", "in": {"s": 1}}, {"p": 1, "name": "y", "in": {"s": 0}}], "step-1": {"out": 7, "l": [1]}, "1": {"q": "one"}, "a - b": "a key"
}'::jsonb c;
create function show(variadic templates text[]) returns table (template text, result text) language sql as $$
	select t, try_render(to_jsonb(t), c) from context, unnest(templates) with ordinality u (t, i) order by i
$$;
-- A text that is one value keeps its type; anything else is text.
select * from show('{{ n }}', ' {{n}} ', E'\n{{\n n\n}}\t', '{{ f }}', '{{ t }}', '{{ z }}', '{{ l }}', '{{ o.a }}', '{{ s }}', '{{ l | length }}', '{{ n + 1 }}', '{{ n > 1 }}', '{{ [n, s] }}', '{{ {"k": n} }}', '{{ true }}', '{{ None }}', '{{ 42 }}', '{{ -1 }}', '{{ "x" }}',
	'n={{ n }}', '{{ n }}{{ n }}', '{{ n }}.', '{{ f }} {{ t }} {{ z }} {{ big }} {{ 1e3 }}', '{{ l }} {{ o.a }} {{ s }}', '{{ n }} {# c #}');
-- Objects and lists are walked; keys are never templates; other JSON passes.
select ff_render('{"{{ n }}": "{{ n }}", "a": [1, 2.50, true, null, "x", {"b": ["{{ l }}", "n is {{ n }}"]}], "e": {}, "l": []}', c) from context;
select ff_render('1', '{}'), ff_render('null', '{}'), ff_render('"plain"', '{}'), ff_render('[]', '{}'), ff_render('"{{ n }}"', '{"n": [1]}');
-- Paths: keys with hyphens, spaces and any letters, indexes from both ends; a path wins over arithmetic.
select * from show('{{ o.a.b.0 }}', '{{ o.a.b.-1 }}', '{{ o.first name }}', '{{ o.x-y }}', '{{ o.größe }}', '{{ o.$id }}', '{{ o.in }}', '{{ o.terms and conditions }}', '{{ step-1.out }}', '{{ step-1.out | abs }}', '{{ 1.q }}', '{{ a - b }}', '{{ a-b }}', '{{ b - a }}', '{{ a if t else b }}', '{{ not t }}', '{{ n in l }}',
	'{{ items.0.name | upper }}', '{{ items.1.p + 1 }}', '{{ items[0].name }}', '{{ o["first name"] }}', '{{ o.a.b[n - 2] }}', '{{ step-1.l.0 }}');
select * from show('{{ nope }}', '{{ o.nope }}', '{{ o.a.b.2 }}', '{{ o.a.b.-3 }}', '{{ o.a.b.x }}', '{{ o.a.b.1x }}', '{{ n.x }}', '{{ z.x }}', '{{ s.0 }}', '{{ nope.x.y }}', 'x {{ nope }}', '{{ l.99999999999999999999 }}', '{{ . }}', '{{ o..a }}', '{{ o. }}', '{{ .a }}');
-- Missing never becomes empty text; default rescues a last part or a root.
select * from show('{{ nope | default("d") }}', '{{ o.nope | default(1) }}', '{{ l.7 | default([]) }}', '<{{ o.nope | default("") }}>', '{{ step-2.out | default(1) }}', '{{ step-2 | default(1) }}', '{{ o.nope.x | default(1) }}', '{{ nope.x | default(1) }}', '{{ n.x | default(1) }}', '{{ l.x | default(1) }}', '{{ z | default(1) }}', '{{ z | default(1, true) }}', '{{ "" | default("e", boolean=true) }}',
	'{{ n | default(1) }}', '{{ nope | default(nope) }}', '{{ nope | upper | default("d") }}', '{{ none | first | default("d") }}', '{{ 1 / 0 | default(1) }}', '{{ (1 / 0) | default(1) }}', '{{ nope | default("d") | upper }}', '{{ nope | default }}');
-- Statements.
select * from show('{% if n > 2 %}yes{% else %}no{% endif %}', '{% if n > 5 %}a{% elif n > 2 %}b{% elif n %}c{% else %}d{% endif %}', '{% if none %}a{% endif %}', '{% if t %}{% if z %}a{% else %}b{% endif %}{% endif %}', '{% for x in l %}{{ x }},{% endfor %}', '{% for x in none %}a{% endfor %}', '{% for x in l %}{% for x in l %}{{ x }}{% endfor %}-{{ x }} {% endfor %}',
	'{% for x in l %}{{ loop.index }}/{{ loop.length }} {{ loop.index0 }} {{ loop.first }} {{ loop.last }};{% endfor %}', '{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }} {% endfor %}', '{% for x in step-1.l %}{{ x }}{% endfor %}', '{% for i in range(3) %}{{ i }}{% endfor %}', '{% for i in range(1, 4) %}{{ i }}{% endfor %}{{ range(5, 0, -2) }}', '{% set y = n + 1 %}{{ y }}', '{% set n = 9 %}{{ n }}{% set n = n + 1 %}{{ n }}',
	'{% for x in l %}{% set y = x %}{{ y }}{% endfor %}{{ y }}', '{% if t %}{% set y = 1 %}{% endif %}{{ y }}', 'a {# no {{ n }} #}b{{ n }}', E'a \n {%- if t -%} \n b \n {%- endif -%} \n c', '[ {{- n -}} ]', E'a\n {#- c -#} \nb{{ n }}', E'{% if t %}\nx\n{% endif %}\n', '{% if "%}" %}{{ "}}" }}{% endif %}');
select * from show('{% if t %}', '{% for x in l %}', '{% if t %}{% endfor %}', '{% endif %}', '{% else %}', '{% if t %}{% else %}{% else %}{% endif %}', '{% for x in l %}{% else %}{% endfor %}', '{% if %}a{% endif %}', '{% for x l %}{% endfor %}', '{% for 1 in l %}{% endfor %}', '{% for x in %}{% endfor %}', '{% for x in n %}{% endfor %}', '{% for x in o %}{% endfor %}', '{% set x %}', '{% set true = 1 %}', '{% set x = 1 2 %}', '{% endif x %}', '{% if t %}{% endif x %}', '{% include "x" %}', '{%%}', '{% %}', '{{ loop.index }}', '{{ range(1000000000) }}', '{{ range(9223372036854775807) }}', '{{ range("a") }}', '{{ range(1, 2, 0) }}', '{{ [1].range() }}');
-- Filters.
select * from show('{{ s | upper }}', '{{ "ÀB" | lower }}', '{{ "hello wORLD-foo (bar) o''neil ünder" | title }}', '{{ "  x " | trim }}', '{{ s | length }}', '{{ o | length }}', '{{ l | first }}', '{{ l | last }}', '{{ s | last }}', '{{ none | first }}', '{{ l | join(", ") }}', '{{ l | join }}', '{{ [1, "a", null, [2]] | join(sep="-") }}', '{{ s | replace("l", "L") }}', '{{ s | replace(new="L", old="l") }}', '{{ s | replace(new="L") }}', '{{ s | replace(old="l", "L") }}', '{{ 2.567 | round }}', '{{ 2.567 | round(2) }}', '{{ -2 | abs }}', '{{ "42" | int }}', '{{ "1.5" | float }}', '{{ n | string }}', '{{ l | string }}',
	'{{ o.a | tojson }}', '{{ "a\"\n" | tojson }}', '{{ "{\"a\": [1, 2.50]}" | fromjson }}', '{{ "{" | fromjson }}', '{{ "[1, \"\\ud800\"]" | fromjson }}', '{{ [3, 1, 2] | sort }}', '{{ [3, 1, 2] | sort(reverse=true) }}', '{{ [1, 2, 1] | unique }}', '{{ l | reverse }}', '{{ "añb" | reverse }}', '{{ o.a | keys }}', '{{ o.a | values }}', '{{ l | sum }}', '{{ l | min }}', '{{ l | max }}');
select * from show('{{ items | map(attribute="name") }}', '{{ items | map(attribute="in.s") | sum }}', '{{ items | map(attribute="nope") }}', '{{ items | map("upper") }}', '{{ items | map }}', '{{ items | selectattr("in.s") | map(attribute="name") }}', '{{ items | selectattr("p", ">", 1) | map(attribute="p") }}', '{{ items | selectattr("name", "eq", "y") | length }}', '{{ items | selectattr("p", "in", [1, 3]) | length }}', '{{ items | selectattr("p", "like", 1) }}', '{{ items | selectattr("p", ">") }}', '{{ items | selectattr(1) }}', '{{ l | slice(2) }}', '{{ range(7) | slice(3) }}', '{{ range(7) | slice(3, "x") }}', '{{ range(5) | batch(2) }}', '{{ range(5) | batch(2, 0) }}', '{{ none | batch(2) }}', '{{ l | batch(0) }}', '{{ l | slice(1000000000) }}', '{{ l | batch(1000000000, 1) }}',
	'{{ "hello big world of things" | truncate(12) }}', '{{ "hello big world" | truncate(12) }}', '{{ "hello big world" | truncate(9, true, "…", 0) }}', '{{ "hello big world" | truncate(length=5, leeway=0) }}', '{{ "a b/c?d=é&f~-_." | urlencode }}', '{{ {"q": "a b/c", "n": 1} | urlencode }}', '{{ "héllo" | b64encode }}', '{{ "aMOpbGxv" | b64decode }}', '{{ "?" | b64decode }}', '{{ "/w==" | b64decode }}', '{{ "x" | sha256 }}', '{{ 1769860800000 | date("%Y-%m-%d %H:%M:%S %a %b %j") }}', '{{ "2026-01-31T12:00:00+02:00" | date("%d.%m.%Y %H:%M") }}', '{{ 0 | date("YYYY-MM-DD HH24:MI:SS Dy") }}', '{{ 1.9 | date("%s") }}', '{{ 1e30 | date("%Y") }}', '{{ "soon" | date("%Y") }}', '{{ 0 | date("") }}', '{{ 0 | date("%Y" * 501) }}');
select * from show('{{ n | nosuch }}', '{{ n | uper }}', '{{ n | upper }}', '{{ n | }}', '{{ n | 1 }}', '{{ n | upper() }}', '{{ s | upper(1) }}', '{{ s | replace("a") }}', '{{ s | truncate(size=1) }}', '{{ s | truncate(1, length=2) }}', '{{ s | default(boolean=true) }}', '{{ l | join(1) }}', '{{ n | join(",") }}', '{{ n | first }}', '{{ l | sort | reverse | first + 1 }}', '{{ n + l | length }}', '{{ -n | abs }}', '{{ (n - 5) | abs }}', '{{ l | length > 2 and t }}', '{{ [s | upper, l | first] }}', '{{ upper(s) }}', '{{ s.upper() }}', '{{ l.map(x, x | string) }}', '{{ n = 1 }}', '{{ n ; }}');
select ff_render('"{{ n | uper }}"', '{"n": "a"}');
-- Data is never rendered again; text without braces that open something is left alone.
select * from show('{{ evil }}', '{{ evil }}!', '{% for x in [evil] %}{{ x }}{% endfor %}', '{{ [evil] }}', '{% set x = evil %}{{ x }}', '{{ "{{ n }}" }}', '{{ evil | upper }}');
select * from show('', ' ', 'plain', '{{}}', '{{ }}', '{{-}}', '{{', '}}', '{{ n', 'n }}', '{% if', '{ { n } }', '{n}', '{# a #}', '{ # a', '%} #}', '{{}} {{ n }} {{', '<b>&amp;"''</b>{{ "<" }}', E'tab\tnew\nline\r\n');
select ff_render(to_jsonb(repeat('long {', 5000)), '{}') = to_jsonb(repeat('long {', 5000)) as unchanged;
select * from show('{{{ n }}}', '{{ {} }}', '{{ (n }}', '{{ "a }}', '{{ n }} {{ it''s }}', '{{ {{ n }} }}');
-- Errors show the place in the text and in the config.
select ff_render('{"body": {"items": [1, "a {{ n }}\nb {{ o.nam }}"]}}', '{"n": 1, "o": {"name": 2}}');
select ff_render('{"url": "{{ a | }}"}', '{}');
select ff_render('["{% for x in l %}{{ x.y }}{% endfor %}"]', '{"l": [{"y": 1}, {}]}');
select ff_render('"x {% if n > %}{% endif %}"', '{"n": 1}');
select ff_render('"{{ a }}"', '[]');
-- References.
select ff_template_refs('{"a": "{{ step.users.0.name | upper | default(foo.bar) }}{% for x in list.items %}{{ x.y }}{{ loop.index }}{{ z }}{% endfor %}", "{{ k }}": ["{{ a[''k''][0].q + b[i] }} {{ true }} {{ 1 }} {{ x - y }} {{ s-1.o }}"]}');
select ff_template_refs('"{% set v = w.e %}{{ v.q }} {{ has(h.a) }}{{ l.map(m, m.x + k) }} {{ size(p.q) }} {{ loop.index }} {{ m }} {{ a.b[''c.d''].e }} {{ first name.x }} {{ o[-1].x }}"');
select ff_template_refs('"{% if c.d %}{{ e }}{% elif f.g == h %}{{ i }}{% else %}{{ j }}{% endif %}{% for x in range(n) %}{% set q = x %}{% endfor %}{{ q }}"'), ff_template_refs('"{{ a }} {{ a }} {{ a.b }} {{ Z }} {{ ä }}"'), ff_template_refs('"plain {{}}"'), ff_template_refs('[1, null, {"{{ a }}": true}]'), ff_template_refs('7');
select ff_template_refs('["{{ a", "{{ a. }}"]');
-- Limits.
select try_render(to_jsonb('{{ n }}' || repeat('x', 16384))), try_render(to_jsonb(repeat('{% if 1 %}', 101) || repeat('{% endif %}', 101))), try_render(to_jsonb(repeat('{% if 1 %}', 90) || 'x' || repeat('{% endif %}', 90)));
select try_render('"{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}"'), try_render('"{% for a in range(5000) %}{{ s }}{% endfor %}"', jsonb_build_object('s', repeat('x', 1000))), try_render('["x{{ s }}", "x{{ s }}", "x{{ s }}"]', jsonb_build_object('s', repeat('x', 400000)));
select try_render('"{{ s }}{{ s }}"', jsonb_build_object('s', repeat('x', 524288))) like '"xxx%' as just_fits, try_render('"{{ n | string }}"', '{"n": 1e70000}') like '"1000%' as long_number;
select length(try_render(to_jsonb(repeat('{{ x }}{% if x %}', 50) || repeat('{% endif %}', 50)), '{"x": 1}')) as text, try_render(to_jsonb(repeat('{', 16000) || '%')) = to_jsonb(repeat('{', 16000) || '%')::text as open_braces;
set flowforge.expression_step_limit = 100;
select try_render('"{% for a in range(40) %}{{ a }}{% endfor %}"');
reset flowforge.expression_step_limit;
-- A reference that hands on what is there may be larger than what a template may make.
select length(ff_render('"{{ s }}"', jsonb_build_object('s', repeat('x', 4000000)))::text) as handed_on, try_render('["{{ s }}", "{{ s }}", "{{ s }}"]', jsonb_build_object('s', repeat('x', 4000000))), try_render('"{{ s | upper }}"', jsonb_build_object('s', repeat('x', 2000000)));
-- A template is compiled once and kept, also after errors.
select try_render('"{{ 1 / n }}"', '{"n": 0}'), try_render('"{{ 1 / n }}"', '{"n": 2}'), try_render('"{{ 1 / }}"'), try_render('"{{ 1 / }}"');
select count(try_render(to_jsonb(format('%s {{ n }}', i)), '{"n": 1}')) from generate_series(1, 3000) i;
select sum(total_bytes) < 20000000 as bounded, count(*) filter (where name = 'FlowForge compiled expression') <= 1000 as few from pg_backend_memory_contexts where name like 'FlowForge%';
drop function show;
drop function try_render;
drop table context;

-- Graphs: what is wrong with a definition, and what can be said before it runs (docs/graphs.md).
-- The findings of a definition, a line each: ! an error, ~ a warning.
create function findings(definition jsonb) returns setof text language sql as $$
	select format('%s %s', sign, concat_ws(' | ', f ->> 'code', coalesce(f ->> 'node_id', f ->> 'edge_id'), f ->> 'path', f ->> 'message'))
	from (select ff_workflow_validate(definition) as v) x,
		lateral (select '!' as sign, e.value as f, e.ordinality as i from jsonb_array_elements(v -> 'errors') with ordinality e
			union all select '~', w.value, w.ordinality from jsonb_array_elements(v -> 'warnings') with ordinality w order by 1, 3) all_of_them
$$;
-- A graph in short: nodes 'id type {config}', edges 'a b label'.
create function graph(nodes text[], edges text[] default '{}') returns jsonb language sql as $$
	select jsonb_build_object(
		'nodes', (select jsonb_agg(jsonb_build_object('id', split_part(n, ' ', 1), 'type', split_part(n, ' ', 2), 'position', '{"x": 0, "y": 0}'::jsonb, 'data',
			jsonb_build_object('config', case when split_part(n, ' ', 3) = '' then '{"mapping": {}}' else substr(n, length(split_part(n, ' ', 1)) + length(split_part(n, ' ', 2)) + 3) end::jsonb)) order by i)
			from unnest(nodes) with ordinality u (n, i)),
		'edges', (select coalesce(jsonb_agg(jsonb_build_object('id', 'e' || i, 'source', split_part(e, ' ', 1), 'target', split_part(e, ' ', 2), 'sourceHandle', nullif(split_part(e, ' ', 3), '')) order by i), '[]')
			from unnest(edges) with ordinality u (e, i)))
$$;
-- A good one, with all there is.
select ff_workflow_validate(graph('{"fetch http_request {\"url\": \"https://x.y/{{ input.id }}\"}","check condition {\"expression\": \"{{ fetch.status_code }} == 200 and fetch.body.total > 5\"}","each for_each {\"items\": \"{{ fetch.body.items }}\", \"handler\": \"http_request\", \"item_config\": {\"url\": \"https://x.y\", \"body\": {\"n\": \"{{ _index }} {{ _item.name }} {{ fetch.body.x }} {{ secret.KEY }}\"}}}","ask wait_for_approval {}","sum transform {\"mapping\": {\"count\": \"{{ default(each.count, 0) }}\"}}"}',
	'{fetch check,check each true,check ask false,each sum,ask sum}'));
-- Form: anything at all may be asked about.
select d, findings(d) from unnest(array['5', 'null', '"x"', '[]', '{}', '{"nodes": []}', '{"nodes": null}', '{"nodes": {}}', '{"nodes": 7, "edges": "x"}', '{"nodes": [1, null, "x", [], {}]}', '{"nodes": [{"id": 1, "type": "delay"}, {"id": "", "type": "delay"}, {"id": null}]}',
	'{"nodes": [{"id": "a", "type": "transform", "data": null}], "edges": [null, 3, {}, {"source": 1, "target": "a"}]}', '{"nodes": [{"id": "a", "type": "transform", "data": {"config": [1]}}], "edges": {}}',
	'{"graph": {"nodes": [{"id": "a", "type": "transform", "data": {"config": {"output": 1}}}]}}', '{"nodes": [{"id": "a", "data": {"type": "transform", "config": {"output": 1}}}], "settings": []}',
	'{"nodes": [{"id": "a", "type": "", "data": {"type": "", "label": 5}}, {"id": "b", "type": 7}]}']::jsonb[]) d;
-- Ids.
select findings('{"nodes": [{"id": "a", "type": "delay"}, {"id": "a", "type": "delay"}, {"id": "input", "type": "delay"}, {"id": "_item"}, {"id": "_index"}, {"id": "secret"}, {"id": "a[3]"}, {"id": "a[x]", "type": "delay", "data": {"config": {"seconds": 1}}}, {"id": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}, {"id": "01234567-89ab-cdef-0123-456789abcdef", "type": "zip"}]}');
-- Edges with unknown ends; the nodes they were to tie are no orphans. Loops.
select findings(graph('{a transform,b transform,c transform}', '{a x,y b}'));
select findings(graph('{a transform,b transform,c transform,d transform}', '{a b,b c,c b,c d}')), ff_workflow_validate(graph('{a transform,b transform}', '{a b,b a}')) -> 'errors' -> 0 ->> 'hint' as hint;
select findings(graph('{a transform}', '{a a}'));
select findings(graph('{"a transform {\"output\": \"{{ b.x }}{{ zz }}\"}","b transform {\"output\": \"{{ a.x }}\"}"}', '{a b,b a}'));
-- Conditions have their two branches: by handle, by data.condition, as booleans.
select findings(graph('{"c condition {\"expression\": \"input.x\"}",a transform}', '{c a}'));
select findings(graph('{"c condition {\"expression\": \"input.x\"}",a transform,b transform}', '{c a True,c b maybe}'));
select findings('{"nodes": [{"id": "c", "type": "condition", "data": {"config": {"expression": "input.x"}}}, {"id": "a", "type": "transform", "data": {"config": {"output": 1}}}], "edges": [{"source": "c", "target": "a", "sourceHandle": "bottom", "data": {"condition": "true"}}, {"source": "c", "target": "a", "data": {"condition": false}}]}') as none;
select findings(graph('{"c condition {\"expression\": \"input.x\"}",a transform}', '{c a true,c x false}'));
-- References.
select findings(graph('{"a transform {\"output\": \"{{ nope.x }} {{ b.x }} {{ a.x }} {{ input.y }} {{ _item }} {{ _index }} {{ _item.x }} {{ nope.y }}\"}","b transform {\"output\": \"{{ a.x }} {{ aa.x }} {{ c.x | default(d.y) }}\"}","c transform {\"output\": \"{{ a }}{% for a2 in b.l %}{{ a2 }}{{ loop.index }}{% endfor %}\"}"}', '{a b,b c}'));
select findings('{"nodes": [{"id": "my step", "type": "transform", "data": {"config": {"output": 1}}}, {"id": "a - b", "type": "transform", "data": {"config": {"output": "{{ my step.x }} {{ x - y }}"}}}, {"id": "c", "type": "transform", "data": {"config": {"output": "{{ a - b }} {{ a - b | length }}"}}}], "edges": [{"source": "my step", "target": "a - b"}, {"source": "a - b", "target": "c"}]}');
select findings(graph('{"w wait_for_event {\"event_name\": \"e\", \"if\": \"async.data.id == {{ a.id }} && event.data.x == {{ b.x }}\"}","i inline_code {\"code\": \"return {{ nope }} + context.w\"}"}', '{w i}'));
select e ->> 'message' as message, e ->> 'hint' as hint from jsonb_array_elements(ff_workflow_validate(graph('{"fetch transform","b transform {\"output\": \"{{ fetsh.x }} {{ zzz }}\"}"}', '{fetch b}')) -> 'errors') e;
-- Texts that cannot be read, with the place.
select findings(graph('{"a transform {\"mapping\": {\"x\": [\"{{ input. }}\", {\"y\": \"{% if %}\"}], \"z\": \"{{ input.x | uper }}\", \"ok\": \"{{\", \"{{ bad. }}\": 1}}","c condition {\"expression\": \"{{ a.x }} = 5\"}","d condition {\"expression\": \"nosuch(a)\"}",t transform}', '{a c,c d true,c d false,d t true,d t false}'));
select findings(graph(array['a transform ' || jsonb_build_object('output', '{{ ' || repeat('(', 200) || '1' || repeat(')', 200) || ' }}')::text, 'b transform ' || jsonb_build_object('output', '{{ a }}' || repeat('x', 20000))::text], '{a b}'));
-- A query is no template; its parameters are.
select findings(graph('{"a transform","q database_query {\"query\": \"select {{ a.x }}\", \"params\": [\"{{ a.x }}\", \"{{ b.x }}\"]}"}', '{a q}'));
-- Items.
select items, findings(jsonb_build_object('nodes', jsonb_build_array(jsonb_build_object('id', 'l', 'type', 'for_each', 'data', jsonb_build_object('config', items)))))
from unnest(array['{}', '{"items": 5}', '{"items": null}', '{"items": "abc"}', '{"items": "x{{ input.l }}"}', '{"items": {"a": 1}}', '{"items": 5, "x": "{{ input.y }}"}']::jsonb[]) items;
select findings(graph('{"l for_each {\"items\": [1], \"handler\": \"http_request\", \"item_config\": {\"method\": \"LOOK\", \"headers\": {\"x\": \"{{ _item }}\"}}}"}'));
select findings(graph('{"l for_each {\"items\": \" {{ input.l }} \", \"handler\": \"for_each\"}"}')), findings(graph('{"l for_each {\"items\": [], \"handler\": \"zip\", \"max_parallel\": 0}"}'));
-- Configs by the catalogue's schemas; a template may stand for anything.
select findings(graph('{"a http_request {}","b http_request {\"url\": 5, \"method\": \"LOOK\", \"headers\": {\"a\": [], \"b/c~d\": {}}, \"timeout_seconds\": 0}","c http_request {\"url\": \"{{ input.u }}\", \"method\": \"{{ input.m }}\", \"headers\": \"{{ input.h }}\", \"timeout_seconds\": \"{{ input.t }}\"}","d delay {}","e delay {\"seconds\": \"soon\"}","f delay {\"seconds\": \"1.5\"}","g condition {\"expression\": true}",h transform}', '{a b,b c,c d,d e,e f,f g,g h true,g h false}'));
-- Policies.
select findings('{"nodes": [{"id": "a", "type": "transform", "data": {"config": {"output": 1}, "on_error": "stop", "max_attempts": 0, "backoff_strategy": "random", "backoff_base": -1, "timeout_seconds": "5"}}, {"id": "b", "type": "transform", "data": {"config": {"output": 1}, "on_error": null, "max_attempts": null, "backoff_strategy": null, "backoff_base": null, "timeout_seconds": 0}},
	{"id": "c", "type": "transform", "data": {"config": {"output": 1}, "on_error": 1, "max_attempts": 1.5, "backoff_base": 1e400, "timeout_seconds": 1e9}}], "edges": [{"source": "a", "target": "b"}, {"source": "b", "target": "c"}], "settings": {"max_concurrency": 0, "run_timeout_seconds": "x"}}');
-- What may be skipped where it is named.
select findings(graph('{"c condition {\"expression\": \"input.x\"}",t transform,"t2 transform {\"output\": \"{{ t.x }}\"}",f transform,"m transform {\"output\": \"{{ t.x }} {{ default(f.x, 1) }} {{ f | default(2) }} {{ c.result }} {{ t2 | default(1) }}\"}","n transform {\"output\": \"{{ m.x }}{{ f.x | default(1) }}\"}"}', '{c t true,t t2,c f false,t2 m,f m,m n}'));
select findings(graph('{"c condition {\"expression\": \"input.x\"}","d condition {\"expression\": \"input.y\"}",a transform,b transform,"j transform {\"output\": \"{{ a }}{{ b }}{{ c }}\"}"}', '{c a true,d a true,c b false,d b false,a j,b j}'));
select findings('{"nodes": [{"id": "a", "type": "transform", "data": {"config": {"output": 1}, "on_error": "skip"}}, {"id": "b", "type": "transform", "data": {"config": {"output": "{{ a.x }}"}}}], "edges": [{"source": "a", "target": "b"}]}');
-- Branches that nothing takes.
select findings(graph('{"c condition {\"expression\": \"1 > 2\"}","t transform","f transform {\"output\": 1}"}', '{c t true,c f false}'));
select findings(graph('{"c condition {\"expression\": \"now() > 2\"}","t transform"}', '{c t true,c t false}')), findings(graph('{"c condition {\"expression\": \"''{{ 1 }}'' == ''1''\"}","t transform"}', '{c t true,c t false}'));
select findings(graph('{"c condition {\"expression\": \"input.x\"}",t transform,"d condition {\"expression\": \"input.x\"}",n transform,"o transform {\"output\": \"{{ n.x }}\"}"}', '{c t true,c t false,c d true,d n true,c n maybe,d o false,n o}'));
-- Outputs that nobody uses.
select findings(graph('{"a transform","b inline_code {\"code\": \"return 1\"}","c llm_call {\"model\": \"m\", \"prompt\": \"x\"}","d http_request {\"url\": \"u\"}","e transform {\"output\": \"{{ c.content }}\"}"}', '{a b,b c,c d,d e}')), findings(graph('{"a transform","b inline_code {\"code\": \"return context.a\"}"}', '{a b}')) as used_by_code;
-- What looks like a secret; never shown.
select findings(graph('{"a http_request {\"url\": \"https://u:hunter2@x.y\", \"headers\": {\"Authorization\": \"Bearer abcdefghijklmnopqrstuvwxyz\", \"X-Api-Key\": \"0123456789\", \"x-token\": \"short\", \"password\": \"{{ secret.P }}\", \"Max-Tokens\": \"123456789\"}, \"body\": [\"sk-abcdefghijklmnopqrstuvwx\", {\"k\": \"-----BEGIN RSA PRIVATE KEY-----\"}, \"AKIAIOSFODNN7EXAMPLE\", \"sk-is the beginning of a sentence\"]}"}'));
-- Everything is found at once, in the order of the document.
select ff_workflow_validate('{"nodes": [{"id": "a"}, {"id": "a"}, {"id": "c", "type": "condition"}], "edges": [{"id": "x", "source": "c", "target": "z"}], "settings": 1}');
-- Limits.
select findings(jsonb_build_object('nodes', (select jsonb_agg(i) from generate_series(1, 2001) i))), findings(jsonb_build_object('nodes', '[{"id": "a", "type": "transform"}]'::jsonb, 'edges', (select jsonb_agg(i) from generate_series(1, 20001) i)));
select jsonb_array_length(v -> 'errors') as errors, v -> 'valid' as valid from ff_workflow_validate(jsonb_build_object('nodes', (select jsonb_agg(i) from generate_series(1, 2000) i))) v;
select findings(jsonb_build_object('nodes', (select jsonb_agg(jsonb_build_object('id', 'n' || i, 'type', 'delay', 'data', '{"config": {"seconds": 1}}'::jsonb)) from generate_series(1, 2000) i),
	'edges', (select jsonb_agg(jsonb_build_object('source', 'n' || i, 'target', 'n' || i + 1)) from generate_series(1, 1999) i))) as none;
-- Plans.
create function plan(definition jsonb) returns table (what text, is jsonb) language sql as $$
	select p.key, p.value from jsonb_each(ff_workflow_plan(definition)) p
$$;
select * from plan(graph('{a transform,"c condition {\"expression\": \"input.x\"}",t transform,f transform,m transform,alone transform}', '{a c,c t true,c f false,t m,f m,t m,x m,m y}'));
-- A node that another parent keeps alive is not exclusive; nor is one with an edge of no label. Nested ones are.
select p -> 'exclusive' as exclusive, p -> 'levels' as levels, p -> 'critical_path' as critical_path, p -> 'order' as "order"
from ff_workflow_plan(graph('{"c condition {}",t transform,u transform,root transform,"d condition {}",v transform,w transform,j transform}', '{c t true,c u true,root u,c d false,d v true,d w false,c w true,v j,w j,c j,t j}')) p;
select ff_workflow_plan('{}'), ff_workflow_plan('{"nodes": [{"id": "b"}, {"id": "a"}], "edges": null}') -> 'order' as "order";
select ff_workflow_plan(graph('{a transform,b transform,c transform,d transform}', '{a b,d c,c b,b d}'));
select ff_workflow_plan(graph('{a transform}', '{a a}'));
select ff_workflow_plan('7');
select ff_workflow_plan('{"nodes": [{"id": "a"}, {"id": "a"}]}');
select ff_workflow_plan('{"nodes": 5}');
select ff_workflow_plan(jsonb_build_object('nodes', (select jsonb_agg(jsonb_build_object('id', 'n' || i)) from generate_series(1, 30) i), 'edges', (select jsonb_agg(jsonb_build_object('source', 'n' || i, 'target', 'n' || i % 30 + 1)) from generate_series(1, 30) i)));
-- What a run makes of it: policies, the outputs each node needs, ways. Edges with unknown ends are left out, the same edge twice is one.
select key as node, value - 'label' - 'needs_all' - 'type' as compiled from jsonb_each(flowforge.graph_compiled('{"graph": {"nodes": [
	{"id": "a", "type": "transform", "data": {"label": "First", "max_attempts": 9, "backoff_strategy": "exponential", "timeout_seconds": 1.5}}, {"id": "b", "type": "transform", "data": {"max_attempts": 4, "backoff_strategy": "exponential", "backoff_base": 3}},
	{"id": "c", "type": "condition", "data": {"max_attempts": 4, "backoff_strategy": "linear", "config": {"expression": "{{ a.x }} > b.y and ''{{ d.z | default(e.q) }}''"}}}, {"id": "d", "data": {"type": "delay", "max_attempts": 3, "backoff_base": 500, "on_error": "skip"}},
	{"id": "e", "type": "transform", "data": null}, {"id": "f", "type": "for_each", "data": {"config": {"items": "{{ a.l }}", "item_config": {"x": ["{{ _item.x }}{{ c }}{{ f.x }}"]}}, "on_error": "continue"}}],
	"edges": [{"source": "a", "target": "b"}, {"source": "a", "target": "b", "sourceHandle": "out"}, {"source": "b", "target": "x"}, {"source": "c", "target": "d", "data": {"condition": true}}, {"source": "c", "target": "d", "sourceHandle": "TRUE"}, {"source": "c", "target": "e", "data": null}]}, "settings": {"max_concurrency": 3, "run_timeout_seconds": 60}}') -> 'nodes');
select key as node, value -> 'needs_all' as needs_all, value -> 'needs' as needs from jsonb_each(flowforge.graph_compiled(graph('{"a transform","i inline_code {\"code\": \"return context.a\"}","j inline_code {\"code\": \"return input.x\"}","w wait_for_event {\"if\": \"async.x == {{ a.x }} && event.y == b\"}","b transform"}')) -> 'nodes');
select c - 'nodes' as whole, c -> 'nodes' -> 'a' ->> 'label' as label from flowforge.graph_compiled('{"nodes": [{"id": "a", "type": "delay"}], "settings": {"max_concurrency": 3, "run_timeout_seconds": 60}}') c;
select flowforge.graph_compiled('{"nodes": []}');
select flowforge.graph_compiled('{"nodes": [{"id": "a", "data": {"max_attempts": -1}}]}');
select flowforge.graph_compiled(graph('{"a transform {\"output\": \"{{ x. }}\"}"}'));
-- The catalogue.
select place, type, label, icon, category, (select string_agg(k, ' ') from jsonb_object_keys(config_schema -> 'properties') k) as config, (select string_agg(k, ' ') from jsonb_object_keys(output_schema -> 'properties') k) as output from flowforge.step_type order by place;
select type from flowforge.step_type where flowforge.schema_problems(config_schema) <> '[]' or flowforge.schema_problems(output_schema) <> '[]' or description !~ '[.]$';
select t.type, p.key as undocumented from flowforge.step_type t, jsonb_each(t.config_schema -> 'properties') p where not p.value ? 'title';
select t.type, p.key as bad_default from flowforge.step_type t, jsonb_each(t.config_schema -> 'properties') p where p.value ? 'default' and flowforge.schema_check(p.value, p.value -> 'default') <> '[]' or exists (select from jsonb_array_elements(p.value -> 'examples') x where flowforge.schema_check(p.value, x.value, true) <> '[]');
-- Each type of the catalogue is one the engine knows, and each is found wanting by its schema alone when its config is empty but for what it needs.
select t.type, f from flowforge.step_type t left join lateral findings(jsonb_build_object('nodes', jsonb_build_array(jsonb_build_object('id', 'n', 'type', t.type)))) f on true order by t.place, f;
drop function plan;
drop function graph;
drop function findings;

-- Flow control in the settings is checked with the rest.
select f.value ->> 'code', f.value ->> 'path', f.value ->> 'message', f.value ->> 'hint'
from jsonb_array_elements(ff_workflow_validate('{"nodes": [{"id": "a", "type": "transform", "data": {"config": {"output": 1}}}], "edges": [],
	"settings": {"max_concurrency": 2, "concurrency": {"limit": "many", "key": "event.data."}, "rateLimit": "60/min", "throttle": {"limit": 1}, "singleton": {"mode": "skip"},
		"batchEvents": {"maxSize": 5, "timeout": "1s"}}}') -> 'errors') f;
select ff_workflow_validate('{"nodes": [{"id": "a", "type": "transform", "data": {"config": {"output": 1}}}], "edges": [],
	"settings": {"concurrency": [{"limit": 5, "key": "event.data.customer"}], "rateLimit": "60/min", "throttle": "10s", "debounce": "2s", "priority": {"run": "event.data.vip ? 60 : 0"},
		"singleton": {"mode": "cancel"}, "idempotency": "event.data.id"}}');

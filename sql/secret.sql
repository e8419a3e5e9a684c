-- Secrets: how they are stored, where workflows may name them, and what is told when not. What steps do with them is test/tap/secrets.py.
\set VERBOSITY default
\set SHOW_CONTEXT never

-- set, seen by name, set again, deleted
select ff_secret_set('STRIPE_KEY', 'sk_live_0123456789');
select ff_secret_set('STRIPE_KEY', 'sk_live_9876543210');
select ff_secret_set('other', 'sesame');
select name, version, created_by = 'sql:' || session_user as by_us, last_used_at from flowforge.secrets order by name;
select name, position('sk_live'::bytea in sealed) as readable, octet_length(sealed) as bytes, key_id = flowforge.secret_key_id() as todays_key from flowforge.secret order by name;
select ff_secret_delete('other');
select ff_secret_delete('other');
select ff_secret_delete(null);
select action, resource, before, after from flowforge.audit where resource like 'secret:%' order by audit_id;

-- what makes no secret; nothing of a value is told
select ff_secret_set('1st', 'a value nobody reads');
select ff_secret_set('a-b', 'a value nobody reads');
select ff_secret_set('', 'a value nobody reads');
select ff_secret_set(repeat('x', 65), 'a value nobody reads');
select ff_secret_set('short', 'fünf');
select ff_secret_set('long', repeat('x', 65537));
select ff_secret_set('none', null);
select ff_secret_set(repeat('x', 64), repeat('ü', 32768));

-- a row copied over another opens nothing
insert into flowforge.secret select tenant_id, 'copy', sealed, 'another key', 1, 'nobody' from flowforge.secret where name = 'STRIPE_KEY';
select ff_secret_rotate();
delete from flowforge.secret where name = 'copy';
select ff_secret_rotate();

-- where a workflow may name one
create function pg_temp.faults(type text, config jsonb) returns table (code text, path text, message text, hint text)
language sql as $$
	select e ->> 'code', e ->> 'path', e ->> 'message', e ->> 'hint'
	from jsonb_array_elements(ff_workflow_validate(jsonb_build_object('edges', '[]'::jsonb, 'nodes', jsonb_build_array(
		jsonb_build_object('id', 'n', 'type', type, 'data', jsonb_build_object('config', config))))) -> 'errors') e
$$;
select * from pg_temp.faults('http_request', '{"url": "https://example.com/{{ secret.A }}", "headers": {"authorization": "Bearer {{secret.A}}", "x": "{{ secret.A }}{{ secret.B }}"},
	"params": {"key": "{{ secret.A }}"}, "body": {"deep": ["{{ secret.A }}"]}, "auth": {"type": "basic", "username": "me", "password": "{% if input.x %}{{ secret.A }}{% endif %}"}}');
select * from pg_temp.faults('webhook', '{"url": "https://example.com/{{ secret.A }}", "payload": {"key": "{{ secret.A }}"}, "secret": "{{ secret.A }}"}');
select * from pg_temp.faults('for_each', '{"items": [1], "handler": "http_request", "item_config": {"url": "https://example.com/{{ _item }}", "headers": {"x": "{{ secret.A }}"}}}');

-- in every field of every type either a secret may stand, as the catalogue says, or it is refused
select t.type, p.key as takes_secrets
from flowforge.step_type t cross join lateral jsonb_each(t.config_schema -> 'properties') p
where p.value ? 'x-secrets' order by t.place, p.key;
select t.type, p.key, p.value ? 'x-secrets' as catalogue
from flowforge.step_type t cross join lateral jsonb_each(t.config_schema -> 'properties') p
where (p.value ? 'x-secrets') = exists (
	select from pg_temp.faults(t.type, jsonb_build_object(p.key, '{{ secret.A }}')) f
	where f.code in ('secret_place', 'template_syntax') and f.path = p.key)
	and (t.type, p.key) not in (('inline_code', 'code'));
select * from pg_temp.faults('transform', '{"mapping": {"x": "{{ secret.A }}"}}');
select * from pg_temp.faults('for_each', '{"items": [1], "handler": "transform", "item_config": {"mapping": {"x": "{{ secret.A }}"}}}');
select * from pg_temp.faults('condition', '{"expression": "{{ secret.A }} == input.x"}') where code like 'secret%';

-- it is sent, and nothing is computed of it
select f.code, f.path, f.message, given.text
from (values ('{{ secret.A | upper }}'), ('{{ "x" + secret.A }}'), ('{% if secret.A %}x{% endif %}'), ('{% set a = secret.A %}{{ a }}'), ('{{ secret }}'),
	('{{ secret[input.x] }}'), ('{{ secret.A.b }}'), ('{{ secret["a b"] }}'), ('{{ [secret.A] }}'), ('{{ input.list[secret.A] }}'), ('{{ secret.A }} {{ secret.A | length }}'),
	('{% for x in [secret.A] %}{{ x }}{% endfor %}'), ('{{ secret["A"] }}')) given (text)
left join lateral pg_temp.faults('http_request', jsonb_build_object('url', 'https://example.com', 'body', given.text)) f on true;
select (pg_temp.faults('http_request', '{"url": "https://example.com", "body": "{{ secret.A | upper }}"}')).hint;

-- so it cannot be published
select workflow from ff_workflow_create('leaky', '{"nodes": [{"id": "n", "type": "transform", "data": {"config": {"mapping": {"x": "{{ secret.A }}"}}}}], "edges": []}');
select ff_workflow_publish('leaky');

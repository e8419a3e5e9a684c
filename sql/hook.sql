-- Webhooks: who may send, and what event a request becomes.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;
create function pg_temp.post(path text, body text, headers jsonb default '{}', query text default '') returns table (status integer, answer jsonb)
language sql as $$
	select s.status, case when s.status = 200 then a.json - '{id,ulid}'::text[] else jsonb_path_query_first(a.json, '$.keyvalue() ? (@.key == "code").value') || '[]'::jsonb
		|| jsonb_build_array(a.json -> 'title', a.json -> 'detail') end
	from flowforge.serve('POST', path, query, headers, convert_to(body, 'UTF8')) s, lateral (select convert_from(s.body, 'UTF8')::jsonb as json) a
$$;
create function pg_temp.latest(wanted text) returns table (data jsonb, external_id text)
language sql as $$
	select e.data, e.external_id from flowforge.event e where e.name = wanted order by e.event_id desc limit 1
$$;

-- The schemes' own examples.
select flowforge.hook_problem('standard', '{whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}', null, '{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
	"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}', '{"test": 2432232314}', 300, to_timestamp(1614265330)) as standard,
	flowforge.hook_problem('github', array['It''s a Secret to Everybody'], null, '{"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}',
	'Hello, World!', 300) as github;
-- What is not genuine: another body, another time, another id, another secret, nothing at all; what is: one of several signatures and secrets.
create temp table tried (place serial, verify text, secrets text[], header text, headers jsonb, body text, at integer default 1614265330);
insert into tried (verify, secrets, header, headers, body, at) values
('standard', '{whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}', null, '{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330", "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}', '{"test": 2432232315}', 1614265330),
('standard', '{whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}', null, '{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265331", "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}', '{"test": 2432232314}', 1614265330),
('standard', '{whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}', null, '{"webhook-id": "other", "webhook-timestamp": "1614265330", "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}', '{"test": 2432232314}', 1614265330),
('standard', '{whsec_AAAA}', null, '{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330", "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}', '{"test": 2432232314}', 1614265330),
('standard', '{whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}', null, '{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330", "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}', '{"test": 2432232314}', 1614265631),
('standard', '{whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}', null, '{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330", "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}', '{"test": 2432232314}', 1614265029),
('standard', '{whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}', null, '{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330x", "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}', '{"test": 2432232314}', 1614265330),
('standard', '{whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}', null, '{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330"}', '{"test": 2432232314}', 1614265330),
('standard', '{whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}', null, '{}', '{"test": 2432232314}', 1614265330),
('standard', '{whsec_AAAA,MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}', null, '{"svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "svix-timestamp": "1614265330", "svix-signature": "v1a,zzz v1, v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}', '{"test": 2432232314}', 1614265330),
('github', '{x}', null, '{"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}', 'Hello, World!', 1),
('github', '{x}', null, '{"x-hub-signature": "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59"}', 'Hello, World!', 1),
('hmac', '{"It''s a Secret to Everybody"}', 'x-sig', '{"x-sig": "757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17"}', 'Hello, World!', 1),
('hmac', '{"It''s a Secret to Everybody"}', 'x-sig', '{"x-sig": "dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc="}', 'Hello, World!', 1),
('hmac', '{"It''s a Secret to Everybody"}', 'x-sig', '{"x-sig": "dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhd="}', 'Hello, World!', 1),
('hmac', '{"It''s a Secret to Everybody"}', 'x-sig', '{"x-sig": "757107"}', 'Hello, World!', 1),
('header', '{one,two}', 'x-token', '{"x-token": "two"}', '', 1), ('header', '{one,two}', 'x-token', '{"x-token": "twoo"}', '', 1), ('header', '{one,two}', 'x-token', '{}', '', 1),
('stripe', '{whsec_x}', null, '{"stripe-signature": "v1=aa"}', '', 1), ('stripe', '{whsec_x}', null, '{"stripe-signature": "t=1,v1=aa,v0=bb"}', '', 1),
('stripe', '{whsec_x}', null, '{"stripe-signature": "t=1,v1=aa,v0=bb"}', '', 500), ('none', '{}', null, '{}', null, 1), ('magic', '{}', null, '{}', '', 1);
select place, verify, flowforge.hook_problem(verify, secrets, header, headers, convert_to(body, 'UTF8'), 300, to_timestamp(at)) from tried order by place;

-- What a body says.
select t.type, t.body, flowforge.hook_body(t.type, convert_to(t.body, 'UTF8')) as read
from (values ('application/json', '{"a": 1}'), ('application/json', '"a"'), (null, ' [1]'), ('application/x-www-form-urlencoded', 'a=1&b=x+y%21'),
	('application/x-www-form-urlencoded', 'payload=%7B%22a%22%3A1%7D'), ('application/x-www-form-urlencoded', 'payload=no'), ('application/x-www-form-urlencoded', '{"a": 1}'),
	('text/plain', 'hello'), (null, 'hello'), ('text/plain', ''), (null, null)) t (type, body);
select flowforge.hook_body('application/json', '{"a"');
select flowforge.hook_body('text/plain', '\xff');
select flowforge.hook_body('text/plain', '\x6100');
select flowforge.hook_body('application/x-www-form-urlencoded', 'a=%zz');

-- A request becomes an event, and starts what that triggers.
select ff_register_app('http://127.0.0.1:9/h', 'hooks', '[{"id": "h-push", "triggers": [{"event": "github/*", "expression": "event.data.ref == ''Hello, World!''"}]}]') ->> 'modified';
select ff_create_hook('plain', 'plain/came');
select * from pg_temp.post('/hooks/plain', '{"n": 1}');
select * from pg_temp.latest('plain/came');
select * from pg_temp.post('/api/v1/hooks/plain', 'just text', '{"content-type": "text/plain"}');
select * from pg_temp.latest('plain/came');
select * from pg_temp.post('/hooks/plain', null);
select * from pg_temp.latest('plain/came');
select * from pg_temp.post('/hooks/plain', '{"n": ', '{"content-type": "application/json"}');
select * from pg_temp.post('/hooks/nowhere', '{"n": 1}');
select status from flowforge.serve('GET', '/hooks/plain', '', '{}', null);
select ff_create_hook('gh', 'github/any', 'github', 'It''s a Secret to Everybody', transform => to_jsonb($${{ null if 'x-github-event' not in headers else
	{'name': 'github/' + headers['x-github-event'], 'data': {'ref': body, 'from': query}, 'ts': 1700000000000} }}$$::text));
select * from pg_temp.post('/hooks/gh', 'Hello, World!', '{"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", "x-github-event": "push", "x-github-delivery": "d1"}', 'a=b');
select * from pg_temp.latest('github/push');
-- A delivery that is repeated is received once; one that the transform ignores, not at all.
select * from pg_temp.post('/hooks/gh', 'Hello, World!', '{"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", "x-github-event": "push", "x-github-delivery": "d1"}');
select * from pg_temp.post('/hooks/gh', 'Hello, World!', '{"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", "x-github-delivery": "d2"}');
select count(*), count(r.run_id) as started from flowforge.event e left join flowforge.run r using (tenant_id, event_id) where e.name = 'github/push';
select * from pg_temp.post('/hooks/gh', 'Hello, World?', '{"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", "x-github-event": "push"}');
-- A transform may be wrong for what comes; whoever sends is told, and other events are not harmed.
select ff_create_hook('wrong', 'wrong/came', transform => '"{{ body.kind }}"');
select * from pg_temp.post('/hooks/wrong', '{"kind": 7}');
select * from pg_temp.post('/hooks/wrong', '{"n": 7}');
select ff_create_hook('wrong', 'wrong/came', transform => '{"data": "{{ body.list }}"}');
select * from pg_temp.post('/hooks/wrong', '{"list": [7]}');
select ff_create_hook('wrong', 'wrong/came', transform => '{"name": "inngest/function.failed"}');
select * from pg_temp.post('/hooks/wrong', '{}');
select ff_create_hook('wrong', 'wrong/came', transform => '{"id": "{{ body.id }}", "name": "{{ body.name | default(null) }}"}');
select * from pg_temp.post('/hooks/wrong', '{"id": "x", "_inngest": {"fn_id": "h-push"}}');
select * from pg_temp.post('/hooks/wrong', '{"id": "x"}');
select e.data, e.external_id from flowforge.event e where e.name = 'wrong/came';

-- What is sent is data, never a template; parts of a text, and any depth.
select ff_create_hook('made', 'made/came', transform => '{"name": "made/{{ body.kind | lower }}", "data": {"list": [{"all": "{{ body.text }}"}, "from {{ headers.x-from }}"], "n": "{{ body.n + 1 }}"}}');
select * from pg_temp.post('/hooks/made', '{"kind": "BIG", "text": "{{ headers }}", "n": 41}', '{"x-from": "{{ body }}"}');
select * from pg_temp.latest('made/big');

-- Each is its tenant's: the event is that tenant's, whoever asks, and the next request of the transaction is not.
set flowforge.tenant = '2';
select ff_create_hook('two', 'two/came');
select ff_create_hook('plain', 'two/came');
select ff_drop_hook('plain');
reset flowforge.tenant;
begin;
select * from pg_temp.post('/hooks/two', '{"n": 2}');
select current_setting('flowforge.tenant');
select * from pg_temp.post('/hooks/plain', '{"n": 3}');
commit;
select tenant_id, name, data from flowforge.event where name ~ '^(two|plain)/' order by event_id desc limit 2;

-- Secrets are not shown, and settings are checked.
select path, url_path, event, verify, header, secrets, tolerance from flowforge.hooks order by path;
select ff_create_hook('bad/path', 'a/b');
select ff_create_hook(null, 'a/b');
select ff_create_hook('bad', 'flowforge/x');
select ff_create_hook('bad', 'a/b', 'md5', 'secret-of-ours');
select ff_create_hook('bad', 'a/b', 'github');
select ff_create_hook('bad', 'a/b', 'none', 'secret-of-ours');
select ff_create_hook('bad', 'a/b', 'standard', 'not base64: secret-of-ours!');
select ff_create_hook('bad', 'a/b', 'github', '');
select ff_create_hook('bad', 'a/b', 'hmac', 'secret-of-ours');
select ff_create_hook('bad', 'a/b', 'github', 'secret-of-ours', header => 'x-token');
select ff_create_hook('bad', 'a/b', 'header', 'secret-of-ours', header => 'X Token');
select ff_create_hook('bad', 'a/b', transform => '{"data": "{{ body. }}"}');
select ff_create_hook('bad', 'a/b', tolerance => '2 days');
select ff_drop_hook('gh');
select ff_drop_hook('gh');
select * from pg_temp.post('/hooks/gh', 'Hello, World!');
drop extension flowforge cascade;
create extension flowforge;

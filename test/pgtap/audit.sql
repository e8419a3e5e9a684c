-- The audit log: what is written, that it stays, and that it is chained.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select plan(22);

set local flowforge.tenant = 7101;
select flowforge.audit('thing.create', 'thing:1', null, '{"name": "one", "password": "hunter2"}');
select is((select actor from flowforge.audit where tenant_id = 7101), 'sql:' || session_user, 'in a session the actor is its user');
select is((select audit_seq from flowforge.audit where tenant_id = 7101), null, 'a row is no link before its transaction commits');
select is((select after from flowforge.audit where tenant_id = 7101), '{"name": "one", "password": "[redacted]"}', 'secrets are masked');

set constraints all immediate;
select is((select (audit_seq, encode(previous_hash, 'hex')) from flowforge.audit where tenant_id = 7101), row(1::bigint, repeat('00', 32)),
	'the first link has no predecessor');
select is((select hash from flowforge.audit where tenant_id = 7101),
	(select sha256(convert_to('{"action":"thing.create","actor":"sql:' || session_user || '","address":null,"after":"{\"name\": \"one\", \"password\": \"[redacted]\"}",'
		|| '"at":"' || to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '","audit_seq":1,"before":null,"previous_hash":"' || repeat('00', 32)
		|| '","request_id":null,"resource":"thing:1","tenant_id":7101}', 'UTF8')) from flowforge.audit where tenant_id = 7101),
	'its hash is that of the row as canonical JSON');

set constraints all deferred;
select flowforge.audit('thing.update', 'thing:1', '{"n": 1}', '{"n": 2}');
select flowforge.audit('thing.delete', 'thing:1', '{"n": 2}', null);
set local flowforge.tenant = 7102;
select flowforge.audit('thing.create', 'thing:9', null, null);
set constraints all immediate;
select results_eq($$ select action, audit_seq from flowforge.audit where tenant_id = 7101 order by audit_seq $$,
	$$ values ('thing.create', 1::bigint), ('thing.update', 2), ('thing.delete', 3) $$, 'links are in the order of writing');
select is((select count(*) from flowforge.audit a join flowforge.audit b on b.tenant_id = a.tenant_id and b.audit_seq = a.audit_seq + 1
	where a.tenant_id = 7101 and b.previous_hash = a.hash), 2::bigint, 'each link has the hash of the one before');
select is((select audit_seq from flowforge.audit where tenant_id = 7102), 1::bigint, 'every tenant has a chain of its own');
select is((select h.hash from flowforge.audit_head h where h.tenant_id = 7101), (select a.hash from flowforge.audit a where a.tenant_id = 7101 and a.audit_seq = 3),
	'the head is the last link');
select isnt(flowforge.audit_hash(a), flowforge.audit_hash(b), 'numbers that differ in the last of many digits hash differently')
from (select row(0, 1, 1, now(), 'a', 'a.b', 'r', '12345678901234567890', null, null, null, null, null)::flowforge.audit as a,
	row(0, 1, 1, now(), 'a', 'a.b', 'r', '12345678901234567891', null, null, null, null, null)::flowforge.audit as b) x;

select throws_ok('update flowforge.audit set actor = ''nobody'' where tenant_id = 7101', 'FF020', 'audit is append-only', 'a row cannot be changed');
select throws_ok('update flowforge.audit set hash = null, audit_seq = null, previous_hash = null where tenant_id = 7101', 'FF020', null, 'a link cannot be undone');
select throws_ok('delete from flowforge.audit where tenant_id = 7101', 'FF020', null, 'a row cannot be removed');
select throws_ok('truncate flowforge.audit', 'FF020', null, 'the table cannot be emptied');
set constraints all deferred;
select flowforge.audit('thing.create', 'thing:2', null, null);
select throws_ok($$ update flowforge.audit set actor = 'x', audit_seq = 99, hash = previous_hash, previous_hash = sha256('') where hash is null $$, 'FF020', null,
	'what a row says cannot change with its becoming a link');
select throws_ok($$ select flowforge.audit('Thing created', 'x', null, null) $$, '23514', null, 'an action is noun.verb');

select is(flowforge.redact('{"headers": {"Authorization": "Bearer x", "accept": "a"}, "url": "https://me:pw@host/p?token=1&n=2"}'),
	'{"headers": {"Authorization": "[redacted]", "accept": "a"}, "url": "https://[redacted]@host/p?token=[redacted]&n=2"}', 'headers and URLs are masked');
select is(flowforge.redact('{"secret": {"a": ["x", 1, true, {"b": "y"}], "c": null}, "d": "z"}'),
	'{"secret": {"a": ["[redacted]", "[redacted]", true, {"b": "[redacted]"}], "c": null}, "d": "z"}', 'what is below the name of a secret is masked, and nothing else');
select is(flowforge.redact('[{"token": "x"}, "y", {"z": {"password": 1}, "w": 2}]'), '[{"token": "[redacted]"}, "y", {"z": {"password": "[redacted]"}, "w": 2}]', 'lists too');
select is(flowforge.redact('{"concurrency": {"key": "event.data.user"}}'), '{"concurrency": {"key": "event.data.user"}}', 'the key of flow control is no secret');
select is(flowforge.redact('"plain"'), '"plain"', 'a text is a text');
select ok(not has_function_privilege('flowforge_gateway', 'flowforge.audit(text,text,jsonb,jsonb)', 'execute'), 'the gateway''s role writes none itself');

select * from finish();
rollback;

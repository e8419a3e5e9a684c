-- Whoever changes the audit log past its triggers is found: each attack is made on the same log, with and without moving the chain along, and
-- taken back.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select plan(25);

set local flowforge.tenant = 7201;
select flowforge.audit('thing.change', 'thing:' || n, null, jsonb_build_object('n', n)) from generate_series(1, 6) n;
select is_empty('select * from ff_audit_verify()', 'rows that are being written are no finding');
savepoint within;
select flowforge.audit('thing.change', 'thing:7', null, '{"n": 7}');
select is_empty('select * from ff_audit_verify()', 'also in a subtransaction');
set constraints all immediate;
select is_empty('select * from ff_audit_verify()', 'a log as it was written has no finding');
select is(flowforge.seal_audit() > 0, true, 'it is sealed');
select is(flowforge.seal_audit(), 0, 'what has not grown is not sealed again');
select is_empty('select * from ff_audit_verify(7201)', 'a sealed log has no finding');
select is((select bool_and(sealed) from flowforge.audit_log), true, 'the view says that all are sealed');
set constraints all deferred;
select flowforge.audit('thing.change', 'thing:8', null, '{"n": 8}');
set constraints all immediate;
select is((select string_agg(audit_seq::text, ',') from flowforge.audit_log where not sealed), '8', 'and which are not yet');
select throws_ok('update flowforge.audit_seal set hash = signature', 'FF020', null, 'a seal cannot be changed');
select throws_ok('delete from flowforge.audit_seal', 'FF020', null, 'or removed');

create function pg_temp.found() returns text language sql as $$
	select string_agg(v.problem || ' ' || coalesce(v.audit_seq::text, '-'), ', ' order by v.audit_seq nulls last, v.problem) from ff_audit_verify() v
$$;
-- Chains the rows anew, as somebody would who knows how but has no key.
create function pg_temp.forge() returns void language plpgsql as $$
declare
	link flowforge.audit;
	prior bytea := decode(repeat('00', 32), 'hex');
	n bigint := 0;
begin
	update flowforge.audit set audit_seq = audit_seq + 1000 where tenant_id = 7201;
	for link in select * from flowforge.audit a where a.tenant_id = 7201 order by coalesce(a.audit_seq, 1003.5) loop
		n := n + 1;
		link.audit_seq := n;
		link.previous_hash := prior;
		prior := flowforge.audit_hash(link);
		update flowforge.audit a set audit_seq = n, previous_hash = link.previous_hash, hash = prior where a.audit_id = link.audit_id;
	end loop;
	update flowforge.audit_head set audit_seq = n, hash = prior where tenant_id = 7201;
end
$$;
create function pg_temp.attack(what text, expected text, name text) returns text language plpgsql as $$
declare
	found text;
begin
	begin
		perform set_config('session_replication_role', 'replica', true);
		execute what;
		found := pg_temp.found();
		raise exception 'take it back';
	exception when raise_exception then
		null;
	end;
	return is(found, expected, name);
end
$$;

select pg_temp.attack($$ update flowforge.audit set actor = 'nobody' where tenant_id = 7201 and audit_seq = 3 $$, 'altered 3', 'a row is altered');
select pg_temp.attack($$ update flowforge.audit set after = '{"n": 3.0}' where tenant_id = 7201 and audit_seq = 3 $$, 'altered 3', 'in its last digit');
select pg_temp.attack($$ update flowforge.audit set at = at + interval '1 microsecond' where tenant_id = 7201 and audit_seq = 8 $$, 'altered 8', 'the last one is altered');
select pg_temp.attack($$ delete from flowforge.audit where tenant_id = 7201 and audit_seq = 1 $$, 'removed 1', 'the first row is removed');
select pg_temp.attack($$ delete from flowforge.audit where tenant_id = 7201 and audit_seq in (4, 5) $$, 'removed 4', 'rows in the middle are removed');
select pg_temp.attack($$ delete from flowforge.audit where tenant_id = 7201 and audit_seq = 8 $$, 'removed 8', 'the last row is removed');
select pg_temp.attack($$ delete from flowforge.audit where tenant_id = 7201 and audit_seq >= 6; update flowforge.audit_head h set audit_seq = 5,
	hash = (select a.hash from flowforge.audit a where a.tenant_id = 7201 and a.audit_seq = 5) where tenant_id = 7201 $$, 'removed 7', 'the end is cut off, and the chain''s with it');
select pg_temp.attack($$ delete from flowforge.audit where tenant_id = 7201; delete from flowforge.audit_head where tenant_id = 7201 $$, 'removed 7', 'everything is removed');
select pg_temp.attack($$ insert into flowforge.audit (tenant_id, audit_seq, at, actor, action, resource, previous_hash, hash)
	select 7201, 9, now(), 'nobody', 'thing.change', 'thing:9', hash, sha256('x') from flowforge.audit where tenant_id = 7201 and audit_seq = 8 $$,
	'altered 9, inserted 9', 'a row is inserted at the end');
select pg_temp.attack($$ update flowforge.audit set audit_seq = case audit_seq when 3 then 400 else 300 end where tenant_id = 7201 and audit_seq in (3, 4);
	update flowforge.audit set audit_seq = audit_seq / 100 where tenant_id = 7201 and audit_seq >= 300 $$,
	'altered 3, unlinked 3, altered 4, unlinked 4, unlinked 5', 'two rows are swapped');
select pg_temp.attack($$ update flowforge.audit set actor = 'nobody' where tenant_id = 7201 and audit_seq = 3; select pg_temp.forge() $$, 'replaced 7',
	'a row is altered and all are chained anew: the seal does not agree');
select pg_temp.attack($$ insert into flowforge.audit (tenant_id, at, actor, action, resource) values (7201, now(), 'nobody', 'thing.change', 'thing:x');
	select pg_temp.forge() $$, 'replaced 7', 'one is inserted and all are chained anew');
select pg_temp.attack($$ update flowforge.audit set actor = 'nobody' where tenant_id = 7201 and audit_seq = 3; select pg_temp.forge();
	update flowforge.audit_seal s set hash = (select a.hash from flowforge.audit a where a.tenant_id = 7201 and a.audit_seq = 7) where tenant_id = 7201 $$, 'forged seal 7',
	'and the seal is written anew without the key');
select pg_temp.attack($$ update flowforge.audit_seal set public_key = sha256('another') where tenant_id = 7201 $$, 'unknown key 7', 'a seal of a key nobody knows counts for nothing');
select is_empty('select * from ff_audit_verify()', 'all of that was taken back');

select * from finish();
rollback;

-- Passes, by which live streams know whom they are for; tickets, which are passes for a minute; what may be said over a WebSocket.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select no_plan();

set local flowforge.jwt_secret = 'a secret of the tests that is long enough';
set local flowforge.auth = 'on';
insert into flowforge.tenant (tenant_id, name) values (7401, 'passes');
set local flowforge.tenant = 7401;
select ff_register_app('http://127.0.0.1:9/api', 'passes', '[{"id": "passes-f", "triggers": [{"event": "passes/go"}]}]') ->> 'ok' as registered \gset
select ff_run('passes-f') as run \gset
select key, key_id from ff_key_create('passes', 'live', '{runs:read}') \gset
select key as brief from ff_key_create('brief', 'live', '{runs:read}', now() + interval '1 hour') \gset
select key as blind from ff_key_create('blind', 'live', '{events:read}') \gset
select ff_user_create('passes@example.com', 'correct horse battery', 'Passes', 'viewer') as "user" \gset
set local flowforge.tenant = 1;

create function pg_temp.ask(path text, headers jsonb, query text default '', method text default 'GET', body text default null, out status integer, out told text, out json jsonb)
language plpgsql as $$
declare
	text text;
begin
	select s.status, s.headers, convert_from(s.body, 'UTF8') into status, told, text from flowforge.serve(method, path, query, ask.headers, convert_to(ask.body, 'UTF8')) s;
	json := case when text like '{%' then text::jsonb end;
end
$$;
create function pg_temp.bearer(token text) returns jsonb language sql as $$ select jsonb_build_object('authorization', 'Bearer ' || token) $$;
create function pg_temp.access(account uuid, lifetime interval default '1 hour') returns text language sql as $$
	select flowforge.jwt(flowforge.user_claims(u) || jsonb_build_object('sid', flowforge.uuid7()), 'access', lifetime) from flowforge.user_account u where u.user_id = account
$$;
-- The pass and the lifetime that a stream of who shows this is answered with.
create function pg_temp.pass(headers jsonb, out lifetime bigint, out pass text) language plpgsql as $$
declare
	parts constant text[] := regexp_match((pg_temp.ask('/api/v1/stream', pass.headers)).told, 'x-flowforge-pass: (-?\d+) ([^\n]*)');
begin
	lifetime := parts[1]::bigint;
	pass := parts[2];
end
$$;
create function pg_temp.left_of(pass text) returns bigint language sql as $$ select lifetime from flowforge.stream_passes(array[pass]) $$;

-- --- passes ---

select pass as of_key, lifetime as key_lifetime from pg_temp.pass(pg_temp.bearer(:'key')) \gset
select is(:key_lifetime, -1, 'a key that does not expire has a pass without end');
select is(position(:'key' in :'of_key'), 0, 'which does not say the key');
select is(pg_temp.left_of(:'of_key'), -1::bigint, 'and counts');
select pass as of_brief, lifetime as brief_lifetime from pg_temp.pass(pg_temp.bearer(:'brief')) \gset
select cmp_ok(:brief_lifetime, '<=', 3600000, 'one that expires has one as long as the key');
select pass as of_user, lifetime as user_lifetime from pg_temp.pass(pg_temp.bearer(pg_temp.access(:'user', '10 minutes'))) \gset
select ok(:user_lifetime between 500000 and 600000, 'a user''s is as long as the token');
select results_eq(format('select number from flowforge.stream_passes(array[%L, %L, %L, %L]) where lifetime = 0', :'of_key', 'no sense', :'of_user', '0 7401 key:abc'), 'values (2::bigint), (4)',
	'what is no pass is worth nothing');
select is((select array_agg(pg_temp.left_of(p)) from unnest(array['', ' ', '0', '0 1', '0 1 ', '0 1 dev', '0 0 dev', '0 1 user:x:1', '0 1 app:' || repeat('0', 64),
	replace(:'of_key', '7401', '7402'), '1' || substr(:'of_key', 2)]) p), '{0,0,0,0,0,0,0,0,0,0,0}', 'nor is one of another tenant, of the past, or of a server that is not open');

savepoint changes;
update flowforge.user_account set disabled_at = now() where user_id = :'user';
select is(pg_temp.left_of(:'of_user'), 0::bigint, 'that of a disabled user is worth nothing');
rollback to changes;
update flowforge.user_account set token_version = token_version + 1 where user_id = :'user';
select is(pg_temp.left_of(:'of_user'), 0::bigint, 'that of one who signed out neither');
rollback to changes;
delete from flowforge.user_account where user_id = :'user';
select is(pg_temp.left_of(:'of_user'), 0::bigint, 'nor that of one who is gone');
rollback to changes;
select is(pg_temp.left_of(:'of_user') > 0, true, 'until then it counts');
update flowforge.api_key set scopes = '{events:read}' where key_id = :'key_id';
select is(pg_temp.left_of(:'of_key'), 0::bigint, 'that of a key that may not read runs any more is worth nothing');
rollback to changes;
update flowforge.api_key set expires_at = now() + interval '1 minute' where key_id = :'key_id';
select ok(pg_temp.left_of(:'of_key') between 1 and 60000, 'one that is given an end has it');
rollback to changes;
update flowforge.api_key set tenant_id = 1 where key_id = :'key_id';
select is(pg_temp.left_of(:'of_key'), 0::bigint, 'one that is another tenant''s now is worth nothing');
rollback to changes;
update flowforge.api_key set revoked_at = now() where key_id = :'key_id';
select is(pg_temp.left_of(:'of_key'), 0::bigint, 'that of a revoked key is worth nothing');
rollback to changes;

-- --- tickets ---

create function pg_temp.ticket(headers jsonb) returns text language sql as $$
	select json ->> 'ticket' from pg_temp.ask('/api/v1/ws/ticket', headers, '', 'POST')
$$;
create function pg_temp.shown(ticket text, upgrade boolean default true) returns text language sql as $$
	select coalesce(a.json ->> 'code', a.status::text) from pg_temp.ask('/ws', jsonb_build_object('x-flowforge-ticket', ticket)
		|| case when upgrade then '{"upgrade": "websocket"}'::jsonb else '{}' end, 'subscribe=none') a
$$;
select pg_temp.ticket(pg_temp.bearer(:'key')) as ticket \gset
select is((select count(*) from flowforge.ticket t where t.tenant_id = 7401 and t.digest = sha256(convert_to(:'ticket', 'UTF8'))
	and t::text not like '%' || :'ticket' || '%'), 1::bigint, 'a ticket is kept as a digest');
select is(pg_temp.shown(:'ticket', false), 'FF205', 'it opens nothing but WebSockets');
select is(pg_temp.shown(:'ticket'), '200', 'it opens one');
select is(pg_temp.shown(:'ticket'), 'FF684', 'and no second one');
select is(pg_temp.shown('nonsense'), 'FF684', 'others open none');
select pg_temp.ticket(pg_temp.bearer(:'key')) as ticket \gset
update flowforge.ticket set expires_at = now() - interval '1 second';
select is(pg_temp.shown(:'ticket'), 'FF684', 'nor does one that is older than a minute');
select pg_temp.ticket(pg_temp.bearer(:'key')) as ticket \gset
savepoint revoked;
update flowforge.api_key set revoked_at = now() where key_id = :'key_id';
select is(pg_temp.shown(:'ticket'), 'FF684', 'nor one of a key that was revoked');
rollback to revoked;
select matches((pg_temp.ask('/ws', jsonb_build_object('x-flowforge-ticket', :'ticket', 'upgrade', 'websocket'), 'subscribe=none')).told,
	'x-flowforge-pass: -1 ' || :'of_key', 'it stands for who asked for it');
select pg_temp.ticket(pg_temp.bearer(pg_temp.access(:'user', '10 minutes'))) as ticket \gset
update flowforge.user_account set disabled_at = now() where user_id = :'user';
select is(pg_temp.shown(:'ticket'), 'FF684', 'one of a user who was disabled is worth nothing');
rollback to revoked;
select is((select json ->> 'code' from pg_temp.ask('/api/v1/ws/ticket', pg_temp.bearer(:'blind'), '', 'POST')), 'FF600', 'who may not read runs gets none');
select is((select json ->> 'code' from pg_temp.ask('/api/v1/ws/ticket', '{}', '', 'POST')), 'FF205', 'nor does nobody');
select is((select count(distinct j.json ->> 'ticket') from generate_series(1, 2) n, pg_temp.ask('/api/v1/ws/ticket', pg_temp.bearer(:'key') || '{"idempotency-key": "same"}', left('', n), 'POST') j),
	2::bigint, 'and none is answered twice');

-- --- what is said ---

create function pg_temp.say(said text, pass text, follows integer default 0) returns text language sql as $$
	select coalesce(a.json ->> 'code', substring(a.told from 'x-flowforge-stream: (\w+)') || ' ' || substring(a.told from 'x-flowforge-subscription: ([^\n]*)'))
	from pg_temp.ask('/ws', jsonb_build_object('x-flowforge-pass', pass, 'x-flowforge-subscriptions', follows::text), '', 'POST', said) a
$$;
select is(pg_temp.say(said, :'of_key'), wanted, 'what is answered to ' || left(said, 100)) from (values
	('{"subscribe": "all"}', 'feed "all"'), ('{"subscribe": {"function": "passes-f"}}', 'feed "function:passes-f"'),
	(format('{"subscribe": {"run": "%s"}}', :'run'), format('run "run:%s"', :'run')),
	(format('{"subscribe": {"run": "%s"}, "since": 1}', flowforge.ulid(:'run')), format('run "run:%s"', :'run')),
	(format('{"unsubscribe": {"run": "%s"}}', flowforge.ulid(:'run')), format('none "run:%s"', :'run')),
	('{"unsubscribe": {"function": "gone \"\n"}}', 'none "function:gone \"\n"'), ('{"unsubscribe": "all"}', 'none "all"'),
	('{"subscribe": {"function": "nothing"}}', 'FF013'), ('{"subscribe": {"run": "01M7X48DDJXB2N3AAJ41EHH149"}}', 'FF010'), ('{"subscribe": {"run": "x"}}', 'FF204'),
	('{"subscribe": "all", "since": "x"}', 'FF204'), ('{"subscribe": "all", "since": 1}', 'FF204'), ('{"subscribe": "all", "since": {}}', 'FF682'),
	(format('{"subscribe": {"run": "%s"}, "since": "1234567890"}', :'run'), 'FF204'), (format('{"subscribe": {"run": "%s"}, "since": 1e300}', :'run'), 'FF204'),
	('{}', 'FF682'), ('{"subscribe": null}', 'FF682'), ('{"subscribe": 1}', 'FF682'), ('{"subscribe": []}', 'FF682'), ('{"subscribe": {}}', 'FF682'),
	('{"subscribe": {"run": 1}}', 'FF682'), ('{"subscribe": {"tenant": "x"}}', 'FF682'), ('{"subscribe": {"run": "x", "function": "y"}}', 'FF682'),
	('{"subscribe": "all", "unsubscribe": "all"}', 'FF682'), ('{"unsubscribe": "all", "since": 1}', 'FF682'), ('{"subscribe": "all", "x": 1}', 'FF682'),
	(format('{"subscribe": {"function": "%s"}}', repeat('x', 201)), 'FF682'), (format('{"subscribe": {"run": "%s"}}', repeat('9', 10000)), 'FF682'),
	('[]', 'FF203'), ('"subscribe"', 'FF203'), ('{"subscribe"', 'FF203'), ('subscribe', 'FF203'), ('', 'FF203'), ('{"subscribe": "\ud800"}', 'FF203'),
	(repeat('[', 16000), 'FF203'), ('{"subscribe":' || repeat('{"run":', 2000) || '1' || repeat('}', 2001), 'FF203')) t (said, wanted);
select is(pg_temp.say('{"subscribe": "all"}', :'of_key', 99), 'feed "all"', 'the hundredth may be followed');
select is(pg_temp.say('{"subscribe": "all"}', :'of_key', 100), 'FF683', 'more may not');
select is(pg_temp.say('{"unsubscribe": "all"}', :'of_key', 100), 'none "all"', 'but fewer');
select is((select json ->> 'code' from pg_temp.ask('/ws', pg_temp.bearer(:'key'), '', 'POST', '{"subscribe": "all"}')), 'FF680', 'by HTTP nothing can be said');
select is(pg_temp.say('{"subscribe": "all"}', '0 7401 key:' || repeat('0', 64)), 'FF205', 'nor by who is nobody');
insert into flowforge.tenant (tenant_id, name) values (7402, 'others');
set local flowforge.tenant = 7402;
select key as others from ff_key_create('others', 'live', '{runs:read}') \gset
set local flowforge.tenant = 1;
select pass as of_others from pg_temp.pass(pg_temp.bearer(:'others')) \gset
select is(pg_temp.say(format('{"subscribe": {"run": "%s"}}', :'run'), :'of_others'), 'FF010', 'what another tenant has is not there');
select is(pg_temp.say('{"subscribe": {"function": "passes-f"}}', :'of_others'), 'FF013', 'its functions neither');

select * from finish();
rollback;

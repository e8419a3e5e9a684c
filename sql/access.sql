-- Who asks over HTTP, and what they may do.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
set flowforge.jwt_secret = 'a secret of the tests that is long enough';

create function pg_temp.req(method text, path text, headers jsonb default '{}', body jsonb default null, out status integer, out json jsonb, out code text, out detail text)
language sql as $$
	select s.status, j.json, j.json ->> 'code', coalesce(j.json ->> 'detail', '') || coalesce(' ' || (j.json ->> 'hint'), '')
	from flowforge.serve(method, path, '', headers, convert_to(body::text, 'UTF8')) s,
		lateral (select convert_from(s.body, 'UTF8')::jsonb) j (json)
$$;
create function pg_temp.bearer(token text) returns jsonb language sql as $$ select jsonb_build_object('authorization', 'Bearer ' || token) $$;
create function pg_temp.attempt(statement text) returns text
language plpgsql as $$
declare
	detail text;
	hint text;
begin
	execute statement;
	return 'done';
exception when others then
	get stacked diagnostics detail = pg_exception_detail, hint = pg_exception_hint;
	return concat_ws(' ', sqlstate || ':', sqlerrm || '.', detail, hint);
end
$$;

-- An open server answers its own machine and nobody else, but to public routes.
select status from pg_temp.req('GET', '/api/v1/functions');
select address, status, code from unnest('{127.0.0.1,127.8.8.8,::1,::ffff:127.0.0.1,10.0.0.1,::2,1270.0.0.1,unknown}'::text[]) address,
	pg_temp.req('GET', '/api/v1/functions', jsonb_build_object('x-flowforge-address', address));
select code, detail from pg_temp.req('GET', '/api/v1/functions', '{"x-flowforge-address": "10.0.0.1"}');
select status from pg_temp.req('POST', '/e/key', '{"x-flowforge-address": "10.0.0.1"}', '{"name": "a/b"}');
select status from pg_temp.req('GET', '/health', '{"x-flowforge-address": "10.0.0.1"}');
-- Nor the pages of others that a browser of this machine shows: they say where they are from, or come under a name of their own.
select host, status, code from unnest('{localhost,LOCALHOST:8288,app.localhost:8288,127.0.0.1:8288,[::1]:8288,evil.example,evil.example:8288,localhost.evil.example,127.0.0.1.evil.example,notlocalhost,"",:8288}'::text[]) host,
	pg_temp.req('GET', '/api/v1/functions', jsonb_build_object('x-flowforge-address', '127.0.0.1', 'host', host));
select origin, status, code from unnest('{http://localhost:5173,https://127.0.0.1,http://[::1]:3000,http://evil.example,"null","",http://localhost.evil.example,http://127.0.0.1.evil.example,http://10.0.0.1,file://,http://[::2]}'::text[]) origin,
	pg_temp.req('POST', '/api/v1/events', jsonb_build_object('host', 'localhost:8288', 'origin', origin, 'content-type', 'text/plain'), '{"name": "a/b"}');
select code, detail from pg_temp.req('GET', '/ws', '{"host": "localhost:8288", "origin": "https://evil.example", "upgrade": "websocket"}');
-- But those the gateway vouches for, those that send events, and those that have a key.
select status from pg_temp.req('GET', '/api/v1/functions', '{"host": "localhost", "origin": "https://app.example", "x-flowforge-origin": "allowed"}');
select status from pg_temp.req('POST', '/e/key', '{"host": "localhost", "origin": "https://app.example"}', '{"name": "a/b"}');

-- Roles are sets of scopes.
select role, string_agg(scope, ' ' order by scope) from flowforge.scopes() group by role order by role;

-- Keys: the form, the checksum, and what is refused.
select flowforge.key_is_whole(key), length(key), key like 'ff_test_%', flowforge.key_is_whole(overlay(key placing 'u' from 20)),
	flowforge.key_is_whole(left(key, -1)), flowforge.key_is_whole(key || '0'), flowforge.key_is_whole(upper(key))
from flowforge.key_text('test') key;
-- Every exchange of two neighbours and every other digit at any place is noticed.
with k as (select flowforge.key_text('live') as key),
	changed as (
		select overlay(key placing d from place) as other from k, generate_series(9, 47) place, unnest(regexp_split_to_array('0123456789abcdefghjkmnpqrstvwxyz', '')) d
		where substr(key, place, 1) <> d
		union all
		select overlay(key placing substr(key, place + 1, 1) || substr(key, place, 1) from place) from k, generate_series(9, 46) place
		where substr(key, place, 1) <> substr(key, place + 1, 1))
select count(*) > 1200, count(*) filter (where flowforge.key_is_whole(other)) from changed;
select pg_temp.attempt(s) from unnest(array[
	$$select ff_key_create(null, 'live', '{runs:read}')$$,
	$$select ff_key_create('k', 'gold', '{runs:read}')$$,
	$$select ff_key_create('k', 'live')$$,
	$$select ff_key_create('k', 'live', '{runs:read,runs:eat}')$$,
	$$select ff_key_create('k', 'live', '{null}')$$,
	$$select ff_key_create('k', 'ro', '{runs:read,runs:manage}')$$,
	$$select ff_key_create('k', 'ro', '{admin}')$$,
	$$select ff_key_create('k', 'live', '{runs:read}', now() - interval '1 s')$$,
	$$select ff_key_revoke('nobody')$$,
	$$select ff_key_revoke('01M7X48DDQY5A8AA99DVBKTVDC')$$]) s;
select pg_temp.attempt($$insert into flowforge.api_key (tenant_id, name, type, prefix, digest, scopes, created_by) values (1, 'k', 'ro', 'ff', sha256('a'), '{events:send}', 'me')$$) like '23514:%';

-- A key opens what its scopes say, on every kind of server.
select key as ro, prefix as ro_prefix from ff_key_create('reader', 'ro', '{runs:read,functions:read}') \gset
select key as live from ff_key_create('sender', 'live', '{events:send}') \gset
select key as root from ff_key_create('root', 'live', '{admin}') \gset
select key as manager from ff_key_create('manager', 'live', '{team:manage,team:read,runs:read}') \gset
set flowforge.auth = 'on';
select status, code, detail from pg_temp.req('GET', '/api/v1/functions');
select status from pg_temp.req('GET', '/api/v1/functions', pg_temp.bearer(:'ro'));
select status from pg_temp.req('GET', '/api/v1/functions', jsonb_build_object('x-flowforge-api-key', :'ro'));
select status, code, replace(detail, substring(detail from 'key:\w+'), 'key:…') from pg_temp.req('POST', '/api/v1/runs/cancel', pg_temp.bearer(:'ro'), '{}');
select status, code from pg_temp.req('POST', '/e/nokey', '{}', '{"name": "a/b"}');
select status, code from pg_temp.req('POST', '/e/nokey', pg_temp.bearer(:'ro'), '{"name": "a/b"}');
select status, code from pg_temp.req('POST', '/e/nokey', pg_temp.bearer(:'live'), '{"name": "a/b"}');
select status, code from pg_temp.req('GET', '/api/v1/runs', pg_temp.bearer(:'live'));
select status, code from pg_temp.req('GET', '/api/v1/hooks', pg_temp.bearer(:'root'));
select status, code, detail from pg_temp.req('GET', '/api/v1/functions', pg_temp.bearer(overlay(:'ro' placing 'zz' from 12)));
select status, code, detail from pg_temp.req('GET', '/api/v1/functions', pg_temp.bearer(flowforge.key_text('live')));
select name, status, last_used_at is not null from flowforge.api_keys order by key_id;
-- A route without a known scope is nobody's.
begin;
update flowforge.route set scope = 'everything:eat' where pattern = '/api/v1/hooks';
select status, code from pg_temp.req('GET', '/api/v1/hooks', pg_temp.bearer(:'root'));
rollback;

-- Keys over HTTP. Nobody gives more than they have.
select status, code, replace(detail, substring(detail from 'key:\w+'), 'key:…') from pg_temp.req('POST', '/api/v1/api-keys', pg_temp.bearer(:'manager'), '{"name": "more", "scopes": ["admin"]}');
select status, code from pg_temp.req('POST', '/api/v1/api-keys', pg_temp.bearer(:'ro'), '{"name": "more", "scopes": ["runs:read"]}');
select status, flowforge.key_is_whole(json ->> 'key') as whole, json ->> 'type' as type, json ->> 'scopes' as scopes,
	json ->> 'key' like (json ->> 'prefix') || '%' as begins, json ->> 'key' as key, json ->> 'id' as id
from pg_temp.req('POST', '/api/v1/api-keys', pg_temp.bearer(:'manager') || '{"idempotency-key": "once"}', '{"name": "less", "type": "ro", "scopes": ["runs:read"]}') \gset made_
\echo :made_status :made_whole :made_type :made_scopes :made_begins
select count(*) from flowforge.request_key where body like '%' || :'made_key' || '%';
select status, json ->> 'name', json ? 'key' from pg_temp.req('DELETE', '/api/v1/api-keys/' || :'made_id', pg_temp.bearer(:'manager'));
select json ->> 'result', json ->> 'status' from pg_temp.req('DELETE', '/api/v1/api-keys/' || :'made_id', pg_temp.bearer(:'manager'));
select status, code from pg_temp.req('DELETE', '/api/v1/api-keys/01M7X48DDQY5A8AA99DVBKTVDC', pg_temp.bearer(:'manager'));
select d ->> 'name', d ->> 'status' from pg_temp.req('GET', '/api/v1/api-keys', pg_temp.bearer(:'manager')) r, jsonb_array_elements(r.json -> 'data') d;
select json::text ~ 'digest' from pg_temp.req('GET', '/api/v1/api-keys', pg_temp.bearer(:'manager'));

-- Revoked or expired, it opens nothing from then on; nor does a token that was made for it.
select status, json ->> 'access_token' as of_key from pg_temp.req('POST', '/api/v1/auth/token', pg_temp.bearer(:'ro')) \gset
select status from pg_temp.req('GET', '/api/v1/functions', pg_temp.bearer(:'of_key'));
select status, code from pg_temp.req('POST', '/api/v1/runs/cancel', pg_temp.bearer(:'of_key'), '{}');
select ff_key_revoke(:'ro_prefix'), ff_key_revoke(:'ro_prefix');
select status, code, detail from pg_temp.req('GET', '/api/v1/functions', pg_temp.bearer(:'ro'));
select status, code from pg_temp.req('GET', '/api/v1/functions', pg_temp.bearer(:'of_key'));
select status from pg_temp.req('GET', '/api/v1/hooks', pg_temp.bearer(:'root'));
update flowforge.api_key set expires_at = now() where name = 'root';
select status, code from pg_temp.req('GET', '/api/v1/hooks', pg_temp.bearer(:'root'));

-- Without a secret the server answers nobody, and says so.
set flowforge.jwt_secret = '';
select status, code, detail from pg_temp.req('GET', '/api/v1/functions', pg_temp.bearer(:'manager'));
select status, code from pg_temp.req('GET', '/health');
set flowforge.jwt_secret = 'short';
set flowforge.jwt_secret = 'a secret of the tests that is long enough';

-- Users.
select pg_temp.attempt(s) from unnest(array[
	$$select ff_user_create('nobody', 'correct horse battery', 'N')$$,
	$$select ff_user_create('a@b', 'correct horse battery', '')$$,
	$$select ff_user_create('a@b', 'correct horse battery', 'A', 'king')$$,
	$$select ff_user_create('a@b', 'short', 'A')$$,
	$$select ff_user_create('ann@example.com', 'Ann@Example.com', 'A')$$,
	$$select ff_user_create('a@b', 'aaaaaaaaaaaaaaa', 'A')$$,
	$$select ff_user_set_password('a@b', 'correct horse battery')$$]) s;
select ff_user_create(' Ann@Example.com ', 'correct horse battery', 'Ann', 'admin') as ann \gset
select ff_user_create('vic@example.com', repeat('x', 80) || 'a', 'Vic', 'viewer') as vic \gset
select pg_temp.attempt($$select ff_user_create('ANN@example.com', 'correct horse battery', 'Ann')$$);
select email, role, two_factor, status from flowforge.users order by user_id;
select password_hash like '$argon2id$v=19$m=19456,t=2,p=1$%', password_hash like '%horse%' from flowforge.user_account where user_id = :'ann';
-- Nothing is cut off.
select flowforge.password_fits(repeat('x', 80) || 'a', password_hash), flowforge.password_fits(repeat('x', 80) || 'b', password_hash) from flowforge.user_account where user_id = :'vic';

-- Signing in. A wrong password and an unknown email are answered alike.
select status, code, detail from pg_temp.req('POST', '/api/v1/auth/login', '{}', '{"email": "ann@example.com", "password": "wrong horse"}');
select status, code, detail from pg_temp.req('POST', '/api/v1/auth/login', '{}', '{"email": "nobody@example.com", "password": "wrong horse"}');
select status, code, detail from pg_temp.req('POST', '/api/v1/auth/login', '{}', '{"email": "ann@example.com"}');
select status, json ->> 'requires_2fa' as more, json #>> '{user,role}' as role, json ->> 'access_token' as access, json ->> 'refresh_token' as refresh
from pg_temp.req('POST', '/api/v1/auth/login', '{}', '{"email": "ANN@example.com", "password": "correct horse battery"}') \gset in_
\echo :in_status :in_more :in_role
select key from jsonb_each(flowforge.jwt_claims(:'in_access', 'access')) order by key;
select status, json ->> 'email', json ->> 'role' from pg_temp.req('GET', '/api/v1/users/me', pg_temp.bearer(:'in_access'));
select status, json ->> 'name' from pg_temp.req('PATCH', '/api/v1/users/me', pg_temp.bearer(:'in_access'), '{"name": "Anne"}');
select status, code from pg_temp.req('GET', '/api/v1/users/me', pg_temp.bearer(:'manager'));
-- A refresh token opens nothing but the next tokens, and that once; used again it ends its session.
select status, code, detail from pg_temp.req('GET', '/api/v1/users/me', pg_temp.bearer(:'in_refresh'));
select status, json ->> 'access_token' as access, json ->> 'refresh_token' as refresh from pg_temp.req('POST', '/api/v1/auth/refresh', '{}', jsonb_build_object('refresh_token', :'in_refresh')) \gset next_
\echo :next_status
select status from pg_temp.req('GET', '/api/v1/users/me', pg_temp.bearer(:'next_access'));
select status, code, detail from pg_temp.req('POST', '/api/v1/auth/refresh', '{}', jsonb_build_object('refresh_token', :'in_refresh'));
select status, code, detail from pg_temp.req('POST', '/api/v1/auth/refresh', '{}', jsonb_build_object('refresh_token', :'next_refresh'));
select status, code, detail from pg_temp.req('GET', '/api/v1/users/me', pg_temp.bearer(:'next_access'));
select ended_by from flowforge.user_session;

-- Five failures lock an account; then the right password is wrong, too.
delete from flowforge.login_try;
select status from generate_series(1, 5) n, pg_temp.req('POST', '/api/v1/auth/login', '{}', jsonb_build_object('email', 'vic@example.com', 'password', 'wrong horse ' || n));
select email, status from flowforge.users where user_id = :'vic';
select status from pg_temp.req('POST', '/api/v1/auth/login', '{}', jsonb_build_object('email', 'vic@example.com', 'password', repeat('x', 80) || 'a'));
update flowforge.user_account set locked_until = now() where user_id = :'vic';
select status, json ->> 'access_token' as access from pg_temp.req('POST', '/api/v1/auth/login', '{}', jsonb_build_object('email', 'vic@example.com', 'password', repeat('x', 80) || 'a')) \gset vic_
\echo :vic_status
-- Ten tries a minute for each address.
begin;
update flowforge.login_try set tries = 10, minute = date_trunc('minute', now());
select status, code from pg_temp.req('POST', '/api/v1/auth/login', '{}', '{"email": "ann@example.com", "password": "correct horse battery"}');
select status from pg_temp.req('POST', '/api/v1/auth/login', '{"x-flowforge-address": "10.0.0.7"}', '{"email": "ann@example.com", "password": "correct horse battery"}');
commit;
delete from flowforge.login_try;

-- A signed-in user decides in their own name; others say whose decision they bring.
begin;
insert into flowforge.approval (tenant_id, run_id, step_id, name, prompt, approvers, expires_at)
values (1, '01a1ff00-0000-7000-8000-000000000000', 'a', 'ask', 'Ship it?', '["bob@example.com"]', now() + interval '1 day') returning approval_id as approval \gset
update flowforge.user_account set role = 'member' where user_id = :'vic';
select status, code, json ->> 'detail' from pg_temp.req('POST', '/api/v1/approvals/' || :'approval' || '/approve', pg_temp.bearer(:'vic_access'), '{"by": "bob@example.com"}');
rollback;

-- A viewer reads.
select status, code from pg_temp.req('GET', '/api/v1/functions', pg_temp.bearer(:'vic_access'));
select status, code, replace(detail, substring(detail from 'user:\w+'), 'user:…') from pg_temp.req('POST', '/api/v1/events', pg_temp.bearer(:'vic_access'), '{"name": "a/b"}');
select status, code from pg_temp.req('GET', '/api/v1/users', pg_temp.bearer(:'vic_access'));
select status, code from pg_temp.req('POST', '/api/v1/users', pg_temp.bearer(:'vic_access'), '{"email": "x@y", "name": "X", "password": "correct horse battery"}');

-- An administrator manages users, but not away.
select json ->> 'access_token' as ann_token from pg_temp.req('POST', '/api/v1/auth/login', '{}', '{"email": "ann@example.com", "password": "correct horse battery"}') \gset
select status, json ->> 'email', json ->> 'role' from pg_temp.req('POST', '/api/v1/users', pg_temp.bearer(:'ann_token'), '{"email": "Max@example.com", "name": "Max", "password": "correct horse battery"}');
select status, code from pg_temp.req('POST', '/api/v1/users', pg_temp.bearer(:'ann_token'), '{"email": "max@example.com", "name": "Max", "password": "correct horse battery"}');
select status, code, json -> 'errors' from pg_temp.req('POST', '/api/v1/users', pg_temp.bearer(:'ann_token'), '{"email": "max", "name": "Max", "password": "correct horse battery"}');
select status, code, detail from pg_temp.req('PATCH', '/api/v1/users/' || :'ann', pg_temp.bearer(:'ann_token'), '{"role": "viewer"}');
select status, code, detail from pg_temp.req('DELETE', '/api/v1/users/' || :'ann', pg_temp.bearer(:'ann_token'));
select status, code from pg_temp.req('DELETE', '/api/v1/users/' || :'ann', pg_temp.bearer(:'manager'));
select key as owner from ff_key_create('owner', 'live', '{admin}') \gset
select status, code, detail from pg_temp.req('DELETE', '/api/v1/users/' || :'ann', pg_temp.bearer(:'owner'));
select status, code, detail from pg_temp.req('PATCH', '/api/v1/users/' || :'ann', pg_temp.bearer(:'owner'), '{"disabled": true}');
select status, code from pg_temp.req('POST', '/api/v1/users', pg_temp.bearer(:'manager'), '{"email": "eve@example.com", "name": "Eve", "password": "correct horse battery", "role": "admin"}');
-- A role, a password, a disabled account: what was signed in before goes by what is known now.
select status, json ->> 'role' from pg_temp.req('PATCH', '/api/v1/users/' || :'vic', pg_temp.bearer(:'ann_token'), '{"role": "member"}');
select status from pg_temp.req('POST', '/api/v1/events', pg_temp.bearer(:'vic_access'), '{"name": "a/b"}');
select status, json ->> 'status' from pg_temp.req('PATCH', '/api/v1/users/' || :'vic', pg_temp.bearer(:'ann_token'), '{"disabled": true}');
select status, code from pg_temp.req('POST', '/api/v1/events', pg_temp.bearer(:'vic_access'), '{"name": "a/b"}');
select status from pg_temp.req('POST', '/api/v1/auth/login', '{}', jsonb_build_object('email', 'vic@example.com', 'password', repeat('x', 80) || 'a'));
select status, json ->> 'result' from pg_temp.req('DELETE', '/api/v1/users/' || :'vic', pg_temp.bearer(:'ann_token'));
select status, code from pg_temp.req('GET', '/api/v1/users/' || :'vic', pg_temp.bearer(:'ann_token'));
select d ->> 'email' from pg_temp.req('GET', '/api/v1/users', pg_temp.bearer(:'ann_token')) r, jsonb_array_elements(r.json -> 'data') d;
-- One's own password: the old one is asked for, and all sessions end.
select status, code from pg_temp.req('POST', '/api/v1/users/me/password', pg_temp.bearer(:'ann_token'), '{"current_password": "wrong horse", "new_password": "staple battery horse"}');
select status, json ->> 'access_token' as newer from pg_temp.req('POST', '/api/v1/users/me/password', pg_temp.bearer(:'ann_token'), '{"current_password": "correct horse battery", "new_password": "staple battery horse"}') \gset
select status from pg_temp.req('GET', '/api/v1/users/me', pg_temp.bearer(:'ann_token'));
select status from pg_temp.req('GET', '/api/v1/users/me', pg_temp.bearer(:'newer'));
select status, json from pg_temp.req('POST', '/api/v1/auth/logout', pg_temp.bearer(:'newer'));
select status, code from pg_temp.req('GET', '/api/v1/users/me', pg_temp.bearer(:'newer'));

-- What the settings say ends with the request.
select name, setting from pg_settings where name in ('flowforge.actor', 'flowforge.role', 'flowforge.scopes', 'flowforge.address', 'flowforge.tenant') order by name;

-- One-time passwords: the vectors of RFC 6238, appendix B.
select at, flowforge.hotp(convert_to('12345678901234567890', 'UTF8'), at / 30, 8)
from unnest('{59,1111111109,1111111111,1234567890,2000000000,20000000000}'::bigint[]) at;
select flowforge.hotp(convert_to('12345678901234567890', 'UTF8'), n) from generate_series(0, 9) n;
select flowforge.base32(convert_to(t, 'UTF8')) from unnest('{"",f,fo,foo,foob,fooba,foobar}'::text[]) t;

-- Backends and gateways are told of keys and users that change, which a transaction that is prepared cannot do. New keys are no news.
begin;
select ff_key_revoke(:'owner');
prepare transaction 'a key is revoked';
begin;
update flowforge.user_account set role = 'viewer';
prepare transaction 'users are demoted';
begin;
select key like 'ff_ro_%' from ff_key_create('made in two phases', 'ro', '{runs:read}');
prepare transaction 'a key is made';
commit prepared 'a key is made';
select name, revoked_at is null from flowforge.api_keys where name in ('owner', 'made in two phases') order by name;
select role from flowforge.users where email = 'ann@example.com';

delete from flowforge.user_account;
delete from flowforge.api_key;

-- Tokens that are not ours are refused, whatever is wrong with them. They are made here by an HMAC of our own.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
set flowforge.jwt_secret = 'a secret of the tests that is long enough';

create function pg_temp.b64(bytes bytea) returns text
language sql as $$ select translate(encode(bytes, 'base64'), E'+/=\n', '-_') $$;
create function pg_temp.b64(t text) returns text
language sql as $$ select pg_temp.b64(convert_to(t, 'UTF8')) $$;
-- HMAC-SHA-256 (RFC 2104) of keys of at most 64 bytes.
create function pg_temp.hmac(key text, message text) returns bytea
language plpgsql as $$
declare
	inner_pad bytea := decode(repeat('36', 64), 'hex');
	outer_pad bytea := decode(repeat('5c', 64), 'hex');
	bytes constant bytea := convert_to(key, 'UTF8');
begin
	for at in 0 .. length(bytes) - 1 loop
		inner_pad := set_byte(inner_pad, at, get_byte(inner_pad, at) # get_byte(bytes, at));
		outer_pad := set_byte(outer_pad, at, get_byte(outer_pad, at) # get_byte(bytes, at));
	end loop;
	return sha256(outer_pad || sha256(inner_pad || convert_to(message, 'UTF8')));
end
$$;
create function pg_temp.token(header text, claims text, key text default 'a secret of the tests that is long enough') returns text
language sql as $$
	select i.input || '.' || pg_temp.b64(pg_temp.hmac(key, i.input)) from (select pg_temp.b64(header) || '.' || pg_temp.b64(claims)) i (input)
$$;
-- What is wrong with a token in the first minute of 2030.
create function pg_temp.wrong(token text) returns text
language plpgsql as $$
declare
	detail text;
begin
	perform flowforge.jwt_claims(token, 'access', '2030-01-01 00:00:30Z');
	return 'nothing';
exception when others then
	get stacked diagnostics detail = pg_exception_detail;
	return sqlstate || ' ' || detail;
end
$$;
-- The claims of a good token, with others in their place; null takes one away.
create function pg_temp.claims(other jsonb default '{}') returns text
language sql as $$
	select jsonb_strip_nulls(jsonb_build_object('iss', 'flowforge', 'aud', 'flowforge', 'sub', '01M7X48DDQY5A8AA99DVBKTVDC', 'tenant_id', 1, 'role', 'viewer',
		'email', 'a@b', 'name', 'A', 'type', 'access', 'jti', 'j', 'ver', 1, 'iat', 1893456000, 'exp', 1893459600) || other)::text
$$;
\set good '{"alg":"HS256","typ":"JWT"}'

-- A vector of RFC 4231, so that the test's HMAC is one; then a good token, and that ours is made alike.
select encode(pg_temp.hmac('Jefe', 'what do ya want for nothing?'), 'hex');
select pg_temp.wrong(pg_temp.token(:'good', pg_temp.claims()));
select pg_temp.token(:'good', c::text) = flowforge.jwt_sign(c) from (select pg_temp.claims()::jsonb) x (c);

select h as header, pg_temp.wrong(pg_temp.token(h, pg_temp.claims())) from unnest(array[
	'{"alg":"HS256"}', '{"typ":"JWT","alg":"HS256","kid":"x"}',
	'{"alg":"none"}', '{"alg":"None"}', '{"alg":"nOnE","typ":"JWT"}', '{"alg":""}', '{"typ":"JWT"}', '{}',
	'{"alg":"hs256"}', '{"alg":"HS384"}', '{"alg":"HS512"}', '{"alg":"RS256"}', '{"alg":"ES256"}', '{"alg":["HS256"]}', '{"alg":{"HS256":1}}', '{"alg":null}', '{"alg":true}',
	'{"alg":"none","alg":"HS256"}', '{"alg":"HS256","alg":"none"}', '{"alg":"HS256","\u0061lg":"HS256"}', '{"alg":"HS256","typ":"JWE"}', '{"alg":"HS256","typ":1}',
	'{"alg":"HS256","crit":["exp"]}', '{"alg":"HS256","zip":"DEF","crit":null}',
	'[]', '"HS256"', '1', 'null', '', '{', '{"alg":"HS256"', '{"alg":"HS256"}}', '{"alg":"HS256"} {}']) h;
select o as claim, pg_temp.wrong(pg_temp.token(:'good', pg_temp.claims(o::jsonb))) from unnest(array[
	'{"exp":null}', '{"exp":1893456030}', '{"exp":1893456031}', '{"exp":0}', '{"exp":-1}', '{"exp":"1893459600"}', '{"exp":1893459600.5}', '{"exp":1e30}', '{"exp":true}', '{"exp":[1893459600]}',
	'{"iat":null}', '{"iat":"now"}', '{"iat":1893456090}', '{"iat":1893456091}',
	'{"nbf":1893456030}', '{"nbf":1893456031}', '{"nbf":"0"}',
	'{"iss":null}', '{"iss":"flowforge.example.com"}', '{"iss":"FlowForge"}', '{"iss":["flowforge"]}', '{"iss":1}',
	'{"aud":null}', '{"aud":"other"}', '{"aud":["flowforge"]}', '{"aud":["other","flowforge"]}', '{"aud":""}',
	'{"sub":null}', '{"sub":""}', '{"sub":1}', '{"jti":null}', '{"jti":7}', '{"jti":""}',
	'{"tenant_id":null}', '{"tenant_id":"1"}', '{"tenant_id":0}', '{"tenant_id":-1}', '{"tenant_id":4294967297}', '{"tenant_id":1.5}',
	'{"role":null}', '{"role":"king"}', '{"role":"Admin"}', '{"role":["admin"]}', '{"role":""}',
	'{"type":null}', '{"type":"refresh"}', '{"type":"2fa"}', '{"type":"ACCESS"}', '{"type":1}']) o;
select c as claims, pg_temp.wrong(pg_temp.token(:'good', c)) from unnest(array['', 'null', '[]', '1', '"x"', '{', '{}', '{"sub":1}{"sub":2}', '{"a":{"b":{"c":{"d":{"e":1}}}}}', E'{"a":"\\u0000"}']) c;
-- A claim that is there twice, whichever comes first, escaped or not.
select pg_temp.wrong(pg_temp.token(:'good', rtrim(pg_temp.claims(), '}') || more || '}'))
from unnest(array[',"role":"admin"', ',"\u0072ole":"admin"', ',"exp":1893459600', ',"x":{"role":"admin"}', ',"x":"\"role\":1,{"', ',"x":1,"x":1']) more;
select pg_temp.wrong(pg_temp.token(:'good', '{"role":"admin",' || ltrim(pg_temp.claims(), '{')));

-- The three parts and their letters. A token is its text: what decodes to the same is another one.
select place, pg_temp.wrong(changed) from (select pg_temp.token(:'good', pg_temp.claims())) t (token), lateral (select split_part(token, '.', 1), split_part(token, '.', 2), split_part(token, '.', 3)) p (h, c, s),
	lateral (values (1, ''), (2, '.'), (3, '..'), (4, h || '.' || c), (5, h || '.' || c || '.'), (6, h || '..' || s), (7, '.' || c || '.' || s), (8, token || '.'), (9, token || '.x'), (10, token || '='),
		(11, token || ' '), (12, ' ' || token), (13, h || '=.' || c || '.' || s), (14, h || '.' || c || '+.' || s), (15, h || '.' || c || '/.' || s), (16, token || E'\n'), (17, token || 'A'),
		(18, left(token, -1)), (19, h || '.' || c || '.' || reverse(s)), (20, h || '.' || c || '.' || encode(pg_temp.hmac('a secret of the tests that is long enough', h || '.' || c), 'hex')),
		(21, h || '.' || c || '.' || upper(s)), (22, h || '.' || pg_temp.b64(pg_temp.claims('{"role": "admin"}')) || '.' || s), (23, pg_temp.b64('{"alg":"none"}') || '.' || c || '.'),
		(24, pg_temp.b64('{"alg":"none"}') || '.' || c || '.' || s), (25, pg_temp.token(:'good', pg_temp.claims(), 'another secret of the tests, as long')), (26, pg_temp.token(:'good', pg_temp.claims(), '')),
		(27, pg_temp.token(:'good', pg_temp.claims(jsonb_build_object('name', repeat('x', 4000))))), (28, h || '.é.' || s), (29, repeat('A', 10000)), (30, repeat('.', 4000))) v (place, changed);
-- The last letter of a signature holds two bits that mean nothing: only those we write are taken.
select count(*), count(*) filter (where pg_temp.wrong(left(token, -1) || letter) = 'nothing')
from (select pg_temp.token(:'good', pg_temp.claims())) t (token), unnest(regexp_split_to_array('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_', '')) letter;
-- Any letter changed anywhere is noticed.
select count(*) > 300, count(*) filter (where pg_temp.wrong(overlay(token placing case substr(token, place, 1) when 'A' then 'B' else 'A' end from place)) = 'nothing')
from (select pg_temp.token(:'good', pg_temp.claims())) t (token), generate_series(1, length(token)) place;
-- Another secret signs everybody out; without one nothing is signed.
select flowforge.jwt_sign(pg_temp.claims()::jsonb) as token \gset
set flowforge.jwt_secret = 'another secret of the tests that is long enough';
select pg_temp.wrong(:'token');
set flowforge.jwt_secret = '';
select flowforge.jwt_sign('{}');
select flowforge.jwt_claims(:'token', 'access');

-- Ids: a ULID is the same 128 bits as its uuid, in both directions.
select flowforge.ulid('01a1fc1a-9244-7aed-9c04-e9d8ae78fef1');
select flowforge.id('01M7Y1N4J4FBPSR179V2Q7HZQH');
select flowforge.id('01m7y1n4j4fbpsr179v2q7hzqh') = flowforge.id('01A1FC1A-9244-7AED-9C04-E9D8AE78FEF1') as same;
select flowforge.id('8ZZZZZZZZZZZZZZZZZZZZZZZZZ');
select flowforge.id('not an id');
-- The ids a seed gives: the protocol's vector; a seed that is none gives none.
select flowforge.ulid(flowforge.seed_id('1795200139106,3K/hRekIR9ZPLQ==', i)) from generate_series(1, 2) i;
select flowforge.ulid(flowforge.seed_id('1795200139106,AAAAAAAA/////w==', 1)) as wraps;
select s, flowforge.seed_id(s, 1) is null as none from (values ('x'), ('1,2'), ('-5,3K/hRekIR9ZPLQ=='), ('99999999999999999999,3K/hRekIR9ZPLQ=='), ('1795200139106,????'), ('')) v (s);
-- UUIDv7: version and variant, and strictly growing within a session.
select count(*), bool_and(v ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]') as version_7, bool_and(v > before) as growing
from (select v, lag(v, 1, '') over (order by n) as before from (select n, flowforge.uuid7()::text as v from generate_series(1, 10000) n) i) g;
select flowforge.id_time(flowforge.id_floor('2026-11-21 03:16:02.244+00')) = '2026-11-21 03:16:02.244+00' as same_time;
-- Slots: stored rows depend on them, so these values never change.
select flowforge.slot('00000000-0000-0000-0000-000000000000') as zero, flowforge.slot('01a1fc1a-9244-7aed-9c04-e9d8ae78fef1') as some;
select count(distinct flowforge.slot(flowforge.uuid7())) as slots_used from generate_series(1, 5000);
-- Canonical JSON (RFC 8785): order by UTF-16 code units, ECMAScript numbers, the fewest escapes.
select flowforge.jcs('{"b": 1, "a": [1.0, 1e21, 1e-7, 0.000001, 123456789012345680000, -0, 4.50, 2e-3, 9007199254740993], "": "\u20ac$\u000f\nA''B\"\\\"/"}');
select flowforge.jcs('{"\u20ac": "Euro", "\r": "CR", "\ufb33": "Hebrew", "1": "One", "\ud83d\ude00": "Smile", "\u0080": "Control", "\u00f6": "o"}');
select flowforge.jcs(v::jsonb) from (values ('null'), ('true'), ('"x"'), ('[]'), ('{}'), ('333333333.33333329'), ('1e400'), ('0.1'), ('5e-324'), ('1.7976931348623157e308')) t (v);
-- A double ECMAScript writes with fewer digits, on the border halfway to its neighbour; numbers beyond the doubles cost no more than others.
select flowforge.jcs('[1e23, 68240017356821424, 9.999999999999997e22, 1.0000000000000001e23, 1e131071, -1e131071, 1e-16383, 1e-324, 2.4703282292062328e-324]');
-- Time strings.
select t, flowforge.duration(t) from (values ('500ms'), ('10s'), ('1h30m'), ('1.5h'), ('2d'), ('1w'), ('90us')) v (t);
select flowforge.duration('10');
select flowforge.duration('5 s');
select flowforge.duration('');
-- Keys and signatures.
select flowforge.key_hash('signkey-prod-12345678');
select flowforge.key_hash('signkey-prod-xyz') is null as not_hex;
-- Only a word between the dashes makes a prefix.
select k, flowforge.key_hash(k) is null as not_hex from (values ('signkey--12345678'), ('signkey-12345678'), ('signkey-a.b-12345678'), ('signkey-a_1-12345678'),
	('12345678'), ('1234567'), ('signkey-prod-'), ('')) v (k);
select flowforge.sign('0123456789abcdef0123456789abcdef', '{"a":1}', 1700000000);
select flowforge.sign('signkey-test-0123456789abcdef0123456789abcdef', '{"a":1}', 1700000000);

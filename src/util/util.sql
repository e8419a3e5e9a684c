create schema flowforge;
comment on schema flowforge is 'FlowForge: tables, views and internal functions. The functions people call are named ff_* and are in the extension''s schema.';

create function flowforge.uuid7() returns uuid
language c volatile parallel safe as 'MODULE_PATHNAME', 'ff_sql_uuid7';
comment on function flowforge.uuid7() is 'A new time-ordered id (UUIDv7, RFC 9562).';

create function flowforge.ulid(id uuid) returns text
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_ulid';
comment on function flowforge.ulid(uuid) is 'The same 128 bits as a ULID: 26 characters of Crockford base32.';

create function flowforge.id(id text) returns uuid
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_id';
comment on function flowforge.id(text) is 'Reads an id written as a uuid or as a ULID.';

create function flowforge.slot(id uuid) returns smallint
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_slot';
comment on function flowforge.slot(uuid) is 'The slot (0 to 63) a run belongs to.';

create function flowforge.id_time(id uuid) returns timestamptz
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_id_time';
comment on function flowforge.id_time(uuid) is 'The time an id carries, to the millisecond.';

create function flowforge.id_floor(at timestamptz) returns uuid
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_id_floor';
comment on function flowforge.id_floor(timestamptz) is 'The smallest id of a time: a bound for ranges of ids.';

create function flowforge.seed_id(seed text, place integer) returns uuid
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_seed_id';
comment on function flowforge.seed_id(text, integer) is
'The id a seed (header x-inngest-event-id-seed: milliseconds, comma, base64 of 10 bytes) gives the event at a place of a request, counted '
'from 1; null when it is no seed.';

create function flowforge.jcs(value jsonb) returns text
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_jcs';
comment on function flowforge.jcs(jsonb) is 'A value as canonical JSON text (RFC 8785).';

create function flowforge.token() returns text
language c volatile parallel safe as 'MODULE_PATHNAME', 'ff_sql_token';
comment on function flowforge.token() is 'A new credential: 256 random bits in 43 characters that stand in a URL as they are (base64url).';

create function flowforge.duration(duration text) returns interval
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_duration';
comment on function flowforge.duration(text) is 'Reads a duration such as 500ms, 10s or 1h30m.';

create function flowforge.sign(key text, body text, t bigint) returns text
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_sign';
comment on function flowforge.sign(text, text, bigint) is 'The signature header of a body at a time (seconds since 1970), as calls to apps carry it.';

create function flowforge.key_hash(key text) returns text
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_key_hash';
comment on function flowforge.key_hash(text) is 'The bearer an SDK derives from a signing key; null when the key is not hex.';
revoke all on function flowforge.sign(text, text, bigint) from public;

create function flowforge.milliseconds(span interval) returns bigint
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select (extract(epoch from span) * 1000)::bigint
$$;
comment on function flowforge.milliseconds(interval) is 'A span of time in whole milliseconds.';

create function flowforge.disk_space(out place text, out total bigint, out available bigint) returns setof record
language c volatile as 'MODULE_PATHNAME', 'ff_sql_disk_space';
comment on function flowforge.disk_space() is
'The room where the server writes, in bytes: its data directory, pg_wal and its tablespaces, each with the whole of its file system and what '
'is left of it to those who are not root.';

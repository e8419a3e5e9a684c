-- Answers to requests that carried an idempotency key, for a day. Written by flowforge.serve in the request's own transaction.
create table flowforge.request_key (
	tenant_id integer not null,
	key text not null,
	digest bytea not null,
	status integer,
	headers text,
	body text,
	expires_at timestamptz not null,
	primary key (tenant_id, key)
);
comment on table flowforge.request_key is
'Idempotency keys that callers of the API gave: of which request, by its SHA-256, and what was answered.';
create index request_key_expiry on flowforge.request_key (expires_at);
select pg_catalog.pg_extension_config_dump('flowforge.request_key', '');

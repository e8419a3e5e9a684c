-- The audit log: who changed what, and what it was before. Written by flowforge.audit, in the transaction of the change itself. Nothing of
-- it is ever changed or removed. When the transaction commits, its rows become links of their tenant's chain (src/audit/README.md):
-- each gets the next number and the hash of itself with its predecessor's hash.
create table flowforge.audit (
	audit_id bigint generated always as identity primary key,
	tenant_id integer not null,
	audit_seq bigint check (audit_seq > 0),
	at timestamptz not null,
	actor text not null check (actor <> ''),
	action text not null check (action ~ '^[a-z0-9_]+\.[a-z0-9_]+$'),
	resource text not null,
	before jsonb,
	after jsonb,
	address text,
	request_id text,
	previous_hash bytea check (octet_length(previous_hash) = 32),
	hash bytea check (octet_length(hash) = 32),
	check (num_nulls(audit_seq, previous_hash, hash) in (0, 3))
);
comment on table flowforge.audit is
'Every change of configuration, approval and control action, by tenant; append-only. Rows without a number are of a transaction that has not committed yet.';
create unique index audit_seq on flowforge.audit (tenant_id, audit_seq);
create index audit_unchained on flowforge.audit (tenant_id) where hash is null;

-- Where each tenant's chain ends. Its row is what transactions that commit at the same time wait for.
create table flowforge.audit_head (
	tenant_id integer primary key,
	audit_seq bigint not null check (audit_seq > 0),
	hash bytea not null check (octet_length(hash) = 32)
);
comment on table flowforge.audit_head is 'The last link of each tenant''s chain of audit rows.';

select pg_catalog.pg_extension_config_dump('flowforge.audit', 'where hash is not null');
select pg_catalog.pg_extension_config_dump('flowforge.audit_audit_id_seq', '');
select pg_catalog.pg_extension_config_dump('flowforge.audit_head', '');

create function flowforge.redact(value jsonb) returns jsonb
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'ff_sql_redact';
comment on function flowforge.redact(jsonb) is
'A document in which what goes under the name of a secret (password, token, authorization, ...) and the user, password and secret parameters of URLs are [redacted].';

-- What a row's hash is made over. before and after are taken as the text of their jsonb, which has every digit of their numbers: in
-- canonical JSON numbers are doubles, and two that differ late would look the same.
create function flowforge.audit_hash(link flowforge.audit) returns bytea
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
	select sha256(convert_to(flowforge.jcs(jsonb_build_object('tenant_id', link.tenant_id, 'audit_seq', link.audit_seq,
		'at', to_char(link.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'actor', link.actor, 'action', link.action,
		'resource', link.resource, 'before', link.before::text, 'after', link.after::text, 'address', link.address,
		'request_id', link.request_id, 'previous_hash', encode(link.previous_hash, 'hex'))), 'UTF8'))
$$;
comment on function flowforge.audit_hash(flowforge.audit) is 'SHA-256 of an audit row as canonical JSON, with its predecessor''s hash.';

-- The rows of this transaction become links, in the order in which they were written. The predecessor of the first is a hash of zeros.
-- From here to the end of the commit others of the tenant wait: nothing else is locked after it, so nobody waits for them.
create function flowforge.chain_audit() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	head flowforge.audit_head;
	link flowforge.audit;
begin
	perform from flowforge.audit a where a.audit_id = new.audit_id and a.hash is null;
	if not found then
		return null;
	end if;
	insert into flowforge.audit_head as h (tenant_id, audit_seq, hash) values (new.tenant_id, 1, decode(repeat('00', 32), 'hex'))
	on conflict (tenant_id) do update set audit_seq = h.audit_seq + 1
	returning h.* into head;
	for link in
		select a.* from flowforge.audit a where a.tenant_id = new.tenant_id and a.hash is null order by a.audit_id
	loop
		link.audit_seq := head.audit_seq;
		link.previous_hash := head.hash;
		head.hash := flowforge.audit_hash(link);
		head.audit_seq := head.audit_seq + 1;
		update flowforge.audit a set audit_seq = link.audit_seq, previous_hash = link.previous_hash, hash = head.hash
		where a.audit_id = link.audit_id;
	end loop;
	update flowforge.audit_head h set audit_seq = head.audit_seq - 1, hash = head.hash where h.tenant_id = new.tenant_id;
	return null;
end
$$;
comment on function flowforge.chain_audit() is 'Makes the audit rows of a transaction that commits links of their tenant''s chain.';
revoke execute on function flowforge.chain_audit() from public;
create constraint trigger chain after insert on flowforge.audit deferrable initially deferred
	for each row when (new.hash is null) execute function flowforge.chain_audit();

create function flowforge.guard_audit() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
	if tg_op = 'UPDATE' then
		if old.hash is null and new.hash is not null
			and to_jsonb(old) - '{audit_seq,previous_hash,hash}'::text[] = to_jsonb(new) - '{audit_seq,previous_hash,hash}'::text[] then
			return new;
		end if;
	end if;
	raise exception using errcode = 'FF020', message = format('%s is append-only', tg_table_name), detail = format('%s refused.', tg_op),
		hint = 'What was done stays in the audit log.';
end
$$;
comment on function flowforge.guard_audit() is 'Refuses every change of the audit log, but for the link a row becomes when it commits.';
create trigger append_only before update or delete on flowforge.audit for each row execute function flowforge.guard_audit();
create trigger no_truncate before truncate on flowforge.audit for each statement execute function flowforge.guard_audit();

-- Large values are kept as their size and hash: the log stays readable, and what was meant can still be proved.
create function flowforge.audit_value(value jsonb) returns jsonb
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
	select case when octet_length(value::text) <= 65536 then flowforge.redact(value)
		else jsonb_build_object('bytes', octet_length(value::text), 'sha256', encode(sha256(convert_to(value::text, 'UTF8')), 'hex')) end
$$;
comment on function flowforge.audit_value(jsonb) is 'A value as the audit log keeps it: without secrets, and beyond 64 KB as {bytes, sha256}.';

create function flowforge.audit_in(tenant integer, action text, resource text, before jsonb, after jsonb) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	insert into flowforge.audit (tenant_id, at, actor, action, resource, before, after, address, request_id)
	values (tenant, clock_timestamp(), coalesce(nullif(current_setting('flowforge.actor', true), ''), 'sql:' || session_user), action, resource,
		flowforge.audit_value(before), flowforge.audit_value(after), nullif(current_setting('flowforge.address', true), ''),
		nullif(current_setting('flowforge.request_id', true), ''))
$$;
comment on function flowforge.audit_in(integer, text, text, jsonb, jsonb) is 'As flowforge.audit, to a tenant''s log.';
revoke execute on function flowforge.audit_in(integer, text, text, jsonb, jsonb) from public;

create function flowforge.audit(action text, resource text, before jsonb, after jsonb) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.audit_in(flowforge.current_tenant(), action, resource, before, after)
$$;
comment on function flowforge.audit(text, text, jsonb, jsonb) is
'Appends a row to the current tenant''s audit log: what was done (noun.verb), to what, and what it was before and is after, without secrets. '
'Who did it, from which address and in which request are the settings of the request being served, or sql: and the session''s user.';
revoke execute on function flowforge.audit(text, text, jsonb, jsonb) from public;

-- Seals. From time to time executor 0 signs the end of every chain that has grown (flowforge.audit_key_file). Whoever rewrites the log and
-- chains it anew cannot rewrite them.
create table flowforge.audit_seal (
	tenant_id integer not null,
	audit_seq bigint not null,
	hash bytea not null check (octet_length(hash) = 32),
	sealed_at timestamptz not null,
	public_key bytea not null check (octet_length(public_key) = 32),
	signature bytea not null check (octet_length(signature) = 64),
	primary key (tenant_id, audit_seq)
);
comment on table flowforge.audit_seal is 'Signatures of the ends of the chains of audit rows, as they were at a time.';
select pg_catalog.pg_extension_config_dump('flowforge.audit_seal', '');
create trigger append_only before update or delete on flowforge.audit_seal for each row execute function flowforge.refuse_change();
create trigger no_truncate before truncate on flowforge.audit_seal for each statement execute function flowforge.refuse_change();

create function flowforge.audit_public_key() returns bytea
language c stable
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_audit_public_key';
comment on function flowforge.audit_public_key() is
'The public half of the key in flowforge.audit_key_file, for flowforge.audit_public_keys when the key is changed; null without a key. Error: FF660.';

create function flowforge.audit_sign(message text) returns bytea
language c volatile strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_audit_sign';
comment on function flowforge.audit_sign(text) is 'The Ed25519 signature of a text with the key in flowforge.audit_key_file. Error: FF660.';
revoke execute on function flowforge.audit_sign(text) from public;

create function flowforge.audit_signed(message text, signature bytea, public_key bytea) returns boolean
language c stable strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_audit_signed';
comment on function flowforge.audit_signed(text, bytea, bytea) is
'Whether a signature is of a text and a key; null when the key is neither that in flowforge.audit_key_file nor in flowforge.audit_public_keys.';

create function flowforge.audit_seal_text(seal flowforge.audit_seal) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.jcs(jsonb_build_object('type', 'flowforge audit seal', 'tenant_id', seal.tenant_id, 'audit_seq', seal.audit_seq,
		'hash', encode(seal.hash, 'hex'), 'sealed_at', to_char(seal.sealed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
$$;
comment on function flowforge.audit_seal_text(flowforge.audit_seal) is 'What a seal''s signature is made over.';

create function flowforge.seal_audit() returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	key constant bytea := flowforge.audit_public_key();
	head flowforge.audit_head;
	seal flowforge.audit_seal;
	sealed integer := 0;
begin
	for head in
		select h.* from flowforge.audit_head h
		where key is not null and not exists (select from flowforge.audit_seal s where s.tenant_id = h.tenant_id and s.audit_seq >= h.audit_seq)
	loop
		seal := row(head.tenant_id, head.audit_seq, head.hash, clock_timestamp(), key, null);
		seal.signature := flowforge.audit_sign(flowforge.audit_seal_text(seal));
		insert into flowforge.audit_seal select seal.* on conflict do nothing;
		sealed := sealed + 1;
	end loop;
	return sealed;
end
$$;
comment on function flowforge.seal_audit() is
'Signs the ends of the chains that have grown since they were last signed. Gives how many; 0 without flowforge.audit_key_file. Executors call it. Error: FF660.';
revoke execute on function flowforge.seal_audit() from public;

-- --- what is wrong with a log ---

-- Rows that this very transaction has written, in whichever subtransaction, become links when it commits. The 64 bits of their xmin are
-- those that are closest to the present.
create function flowforge.is_being_written(xmin xid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(pg_xact_status((case when n.id > n.next + (1::bigint << 31) then n.id - (1::bigint << 32) else n.id end)::text::xid8) = 'in progress', false)
	from (select x.next, (x.next >> 32 << 32) | xmin::text::bigint as id from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next) x) n
$$;
comment on function flowforge.is_being_written(xid) is 'Whether a row''s transaction has not committed.';

-- Where what is left of a log begins: at the seal up to which it was cut, as the newest note of a cut in the log itself says. Without that
-- seal, or when its signature is not good, nothing was cut: the rows are missing.
create function flowforge.audit_base(tenant integer, out audit_seq bigint, out hash bytea) returns record
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(max(b.audit_seq), 0), coalesce((array_agg(b.hash order by b.audit_seq desc))[1], decode(repeat('00', 32), 'hex'))
	from (
		select s.audit_seq, s.hash
		from flowforge.audit_seal s
		where s.tenant_id = tenant
			and s.audit_seq = (
				select max((a.after ->> 'audit_seq')::bigint) from flowforge.audit a
				where a.tenant_id = tenant and a.action = 'audit.cut' and a.hash is not null)
			and flowforge.audit_signed(flowforge.audit_seal_text(s), s.signature, s.public_key)) b
$$;
comment on function flowforge.audit_base(integer) is 'The number and hash of the last row that a tenant''s log was cut off at; 0 and a hash of zeros when it is whole.';

create function flowforge.audit_chain_problems(tenant integer) returns table (audit_seq bigint, problem text, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with base as materialized (
		select b.audit_seq, b.hash from flowforge.audit_base(tenant) b
	), link as (
		select a.audit_seq, a.hash, a.previous_hash, flowforge.audit_hash(a) as right_hash,
			lag(a.audit_seq, 1, b.audit_seq) over w as before_seq, lag(a.hash, 1, b.hash) over w as before_hash
		from base b
		join flowforge.audit a on a.tenant_id = tenant and a.hash is not null
		window w as (order by a.audit_seq)
	)
	select l.before_seq + 1, 'removed', case l.audit_seq - l.before_seq when 2 then 'This row is missing.'
		else format('The rows %s to %s are missing.', l.before_seq + 1, l.audit_seq - 1) end
	from link l where l.audit_seq > l.before_seq + 1
	union all
	select l.audit_seq, 'altered', 'The row does not have the hash that it was given.' from link l where l.hash <> l.right_hash
	union all
	select l.audit_seq, 'unlinked', 'The row does not follow the one before it: one of them was inserted, replaced or moved.'
	from link l where l.audit_seq = l.before_seq + 1 and l.previous_hash <> l.before_hash
	union all
	select null, 'inserted', format('%s rows are no links of the chain; the first is of %s.', count(*), min(a.at))
	from flowforge.audit a where a.tenant_id = tenant and a.hash is null and not flowforge.is_being_written(a.xmin)
	having count(*) > 0
$$;
comment on function flowforge.audit_chain_problems(integer) is 'Where a tenant''s audit rows are not one chain.';

create function flowforge.audit_head_problems(tenant integer) returns table (audit_seq bigint, problem text, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with last as (
		select coalesce(max(a.audit_seq), (flowforge.audit_base(tenant)).audit_seq) as audit_seq from flowforge.audit a where a.tenant_id = tenant and a.hash is not null
	), head as (
		select coalesce(max(h.audit_seq), 0) as audit_seq from flowforge.audit_head h where h.tenant_id = tenant
	)
	select l.audit_seq + 1, 'removed', format('The rows %s to %s are missing.', l.audit_seq + 1, h.audit_seq) from last l, head h where l.audit_seq < h.audit_seq
	union all
	select h.audit_seq + 1, 'inserted', format('The chain ends at %s; the rows after it were not appended by the server.', h.audit_seq)
	from last l, head h where l.audit_seq > h.audit_seq
	union all
	select a.audit_seq, 'replaced', 'The chain ended with another row.'
	from flowforge.audit a join flowforge.audit_head h on h.tenant_id = a.tenant_id and h.audit_seq = a.audit_seq
	where a.tenant_id = tenant and a.hash <> h.hash
$$;
comment on function flowforge.audit_head_problems(integer) is 'Where a tenant''s audit rows do not end where the chain does.';

create function flowforge.audit_seal_problems(tenant integer) returns table (audit_seq bigint, problem text, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	with seal as (
		select s.audit_seq, s.hash, s.sealed_at, flowforge.audit_signed(flowforge.audit_seal_text(s), s.signature, s.public_key) as signed,
			encode(s.public_key, 'hex') as key
		from flowforge.audit_seal s
		where s.tenant_id = tenant
	)
	select s.audit_seq, case when s.signed is null then 'unknown key' else 'forged seal' end,
		case when s.signed is null then format('The seal is of the key %s, which flowforge.audit_public_keys does not have.', s.key)
			else 'The seal''s signature is not of this row.' end
	from seal s where s.signed is not true
	union all
	select s.audit_seq, case when a.audit_seq is null then 'removed' else 'replaced' end,
		case when a.audit_seq is null then format('The row was there when it was sealed at %s.', s.sealed_at)
			else format('This row, or one before it, is not the one that was sealed at %s.', s.sealed_at) end
	from seal s
	left join flowforge.audit a on a.tenant_id = tenant and a.audit_seq = s.audit_seq and a.hash is not null
	where s.signed and (a.hash is null or a.hash <> s.hash) and s.audit_seq > (flowforge.audit_base(tenant)).audit_seq
$$;
comment on function flowforge.audit_seal_problems(integer) is 'Where a tenant''s audit rows are not those that were sealed.';

create function @extschema@.ff_audit_verify(tenant integer default null) returns table (audit_seq bigint, problem text, detail text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	wanted constant integer := coalesce(tenant, flowforge.current_tenant());
begin
	perform flowforge.require_role('admin');
	if not flowforge.sees_tenant(wanted) then
		raise exception using errcode = 'FF640', message = 'an administrator of a tenant may verify its own audit log only',
			detail = format('The tenant is %s.', flowforge.current_tenant()), hint = 'Leave the tenant out; other tenants'' are for the database''s administrators.';
	end if;
	return query
		select p.*
		from (
			select * from flowforge.audit_chain_problems(wanted)
			union all
			select * from flowforge.audit_head_problems(wanted)
			union all
			select * from flowforge.audit_seal_problems(wanted)) p
		order by 1 nulls last, 2;
end
$$;
comment on function @extschema@.ff_audit_verify(integer) is
'Verifies the audit log of a tenant, by default the current one: that its rows are one chain, that the chain ends where it ended, and that it goes '
'through every row that was sealed. Gives a row for everything that is wrong: the number of the audit row, what (altered, removed, inserted, '
'unlinked, replaced, forged seal, unknown key) and how one sees it; nothing when all is as it was written. What was cut off at the end is seen by the '
'seals even if the end of the chain was moved along. Errors: FF660 the file of flowforge.audit_key_file has no key; FF640 another tenant than that of '
'who asks.';

-- --- what is no longer kept ---

-- What was sealed before a time may go, up to the last such seal: with it what is left can still be verified. Of a log with anything wrong nothing is
-- cut, and nothing when only the notes of former cuts would go.
create function flowforge.audit_cut_at(tenant integer, before timestamptz) returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select s.audit_seq
	from flowforge.audit_seal s
	where s.tenant_id = tenant and s.sealed_at < audit_cut_at.before
		and s.audit_seq > (flowforge.audit_base(tenant)).audit_seq
		and exists (select from flowforge.audit a where a.tenant_id = tenant and a.audit_seq <= s.audit_seq and a.action <> 'audit.cut')
		and not exists (select from flowforge.audit_chain_problems(tenant))
		and not exists (select from flowforge.audit_seal_problems(tenant))
	order by s.audit_seq desc
	limit 1
$$;
comment on function flowforge.audit_cut_at(integer, timestamptz) is 'The number of the seal at which a tenant''s log may be cut; null when nothing of it is to go, or something is wrong with it.';

create function flowforge.cut_audit(tenant integer, at bigint) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	rows bigint;
	first timestamptz;
	last timestamptz;
begin
	-- The guards must let this pass, and this only.
	perform set_config('session_replication_role', 'replica', true);
	with gone as (delete from flowforge.audit a where a.tenant_id = tenant and a.audit_seq <= cut_audit.at returning a.at)
	select count(*), min(g.at), max(g.at) into rows, first, last from gone g;
	delete from flowforge.audit_seal s where s.tenant_id = tenant and s.audit_seq < cut_audit.at;
	perform set_config('session_replication_role', 'origin', true);
	perform flowforge.audit_in(tenant, 'audit.cut', 'tenant:' || tenant, null, jsonb_build_object('audit_seq', cut_audit.at, 'rows', rows,
		'from', first, 'to', last, 'days', current_setting('flowforge.audit_retention', true)));
end
$$;
comment on function flowforge.cut_audit(integer, bigint) is 'Removes a tenant''s audit rows up to a seal, and says so in the log.';
revoke execute on function flowforge.cut_audit(integer, bigint) from public;

create function flowforge.forget_audit(before timestamptz) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant integer;
	at bigint;
	cut integer := 0;
begin
	for tenant in
		select distinct s.tenant_id from flowforge.audit_seal s where s.sealed_at < forget_audit.before order by 1
	loop
		at := flowforge.audit_cut_at(tenant, forget_audit.before);
		if at is not null then
			perform flowforge.cut_audit(tenant, at);
			cut := cut + 1;
		end if;
	end loop;
	return cut;
end
$$;
comment on function flowforge.forget_audit(timestamptz) is
'Cuts the audit logs off at the last seals that were made before a time; a row of each says so. Gives how many were cut: those of tenants whose logs have '
'such a seal and nothing wrong. Executors call it once an hour with flowforge.audit_retention days.';
revoke execute on function flowforge.forget_audit(timestamptz) from public;

create view flowforge.audit_log with (security_invoker = true) as
select a.tenant_id, a.audit_seq, a.at, a.actor, a.action, a.resource, a.before, a.after, a.address, a.request_id, encode(a.hash, 'hex') as hash,
	exists (select from flowforge.audit_seal s where s.tenant_id = a.tenant_id and s.audit_seq >= a.audit_seq) as sealed
from flowforge.audit a
where a.tenant_id = flowforge.current_tenant();
comment on view flowforge.audit_log is
'The audit log of the tenant: who did what to what, from where; what it was before and is after, without secrets. sealed: a signature vouches for the row.';

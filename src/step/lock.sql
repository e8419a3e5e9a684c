-- The places of runs in the queues for locks. Of a key the run whose row is granted holds it; the others wait in the order of their
-- tickets. Written by executors only, under the guard of the key (src/step/lock.c), so that they change one key one after another.
create sequence flowforge.lock_ticket_seq;
create table flowforge.lock (
	tenant_id integer not null,
	key text not null,
	ticket bigint not null default nextval('flowforge.lock_ticket_seq'),
	run_id uuid not null,
	step_id text not null,
	requested_at timestamptz not null default clock_timestamp(),
	granted_at timestamptz,
	primary key (tenant_id, key, ticket)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
comment on table flowforge.lock is 'Locks that runs hold (granted_at is set) or wait for, in the order of their tickets.';

select pg_catalog.pg_extension_config_dump('flowforge.lock', '');
select pg_catalog.pg_extension_config_dump('flowforge.lock_ticket_seq', '');

create view flowforge.locks with (security_invoker = true) as
select l.tenant_id, l.key, l.run_id, f.slug as function, l.step_id, l.granted_at is not null as held, l.requested_at, l.granted_at,
	rank() over (partition by l.tenant_id, l.key order by l.granted_at is null, l.ticket) - 1 as place
from flowforge.lock l
left join flowforge.run r on r.tenant_id = l.tenant_id and r.run_id = l.run_id
left join flowforge.function f on f.tenant_id = r.tenant_id and f.function_id = r.function_id;
comment on view flowforge.locks is 'Who holds which lock (place 0), and who waits for it at which place.';

create function flowforge.lock_grant(tenant integer, lock text, holder uuid default null) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	with granted as (
		update flowforge.lock l
		set granted_at = clock_timestamp()
		where l.tenant_id = tenant and l.key = lock and l.granted_at is null and (l.run_id = holder or not exists (
				select from flowforge.lock h where h.tenant_id = tenant and h.key = lock and h.granted_at is not null)
			and l.ticket = (select min(w.ticket) from flowforge.lock w where w.tenant_id = tenant and w.key = lock))
		returning l.run_id, l.step_id
	)
	select flowforge.post(tenant, g.run_id, 'locked', jsonb_build_object('step', g.step_id)) from granted g
$$;
comment on function flowforge.lock_grant(integer, text, uuid) is
'Grants a free lock to the first in its queue, and whatever of it `holder` waits for, who has it already; tells them.';

create function flowforge.lock_queue(tenant integer, lock text, run uuid, step text) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	holder constant uuid := (
		select l.run_id from flowforge.lock l
		where l.tenant_id = tenant and l.key = lock and l.run_id = run and l.granted_at is not null limit 1);
begin
	insert into flowforge.lock (tenant_id, key, run_id, step_id) values (tenant, lock, run, step);
	perform flowforge.lock_grant(tenant, lock, holder);
	return true;
end
$$;
comment on function flowforge.lock_queue(integer, text, uuid, text) is 'Puts a run''s step into the queue for a lock; granted at once when it is free.';

create function flowforge.lock_release(tenant integer, lock text, run uuid, step text, only_held boolean) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	held boolean;
begin
	with gone as (
		delete from flowforge.lock l
		where l.tenant_id = tenant and l.key = lock and l.run_id = run and (step is null or l.step_id = step)
			and (not only_held or l.granted_at is not null)
		returning l.granted_at
	)
	select coalesce(bool_or(g.granted_at is not null), false) into held from gone g;
	perform flowforge.lock_grant(tenant, lock);
	return held;
end
$$;
comment on function flowforge.lock_release(integer, text, uuid, text, boolean) is
'Takes a run, or one step of it, out of the queue for a lock, or only what it holds of it; the next in the queue has its turn. Gives whether it held it.';

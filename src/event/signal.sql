-- A run's wait for a signal: at most one run waits for a name. Written and deleted by the owners of runs only, so that a sender's open
-- transaction holds up nobody.
create table flowforge.signal (
	tenant_id integer not null,
	name text not null,
	run_id uuid not null,
	step_id text not null,
	primary key (tenant_id, name)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
comment on table flowforge.signal is 'A run waiting for a signal; a name has one run at most.';
create index signal_run on flowforge.signal (tenant_id, run_id);
select pg_catalog.pg_extension_config_dump('flowforge.signal', '');

create function @extschema@.ff_send_signal(signal text, data jsonb default null) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	wait flowforge.signal;
begin
	perform flowforge.require_role('member');
	if coalesce(signal, '') = '' or octet_length(signal) > 512 then
		raise exception using errcode = 'FF030', message = 'a signal needs a name of 1 to 512 bytes',
			detail = format('It has %s bytes.', coalesce(octet_length(signal), 0)), hint = 'It is the name that the run waits for.';
	end if;
	select s.* into wait from flowforge.signal s where s.tenant_id = tenant and s.name = signal;
	-- A signal that is on its way has taken the wait.
	if not found or exists (
		select from flowforge.inbox i
		where i.slot = flowforge.slot(wait.run_id) and i.run_id = wait.run_id and i.kind = 'signal' and i.payload ->> 'step' = wait.step_id)
	then
		return null;
	end if;
	perform flowforge.post(tenant, wait.run_id, 'signal', jsonb_build_object('step', wait.step_id, 'signal', signal, 'data', data));
	return wait.run_id;
end
$$;
comment on function @extschema@.ff_send_signal(text, jsonb) is
'Sends a signal with any JSON to the one run that waits for it, when the caller''s transaction commits. Gives that run, or null when '
'none waits: a signal is not kept. Error: FF030 a name that is empty or too long.';

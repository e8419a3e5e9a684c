-- A request for a person's decision. The owner of the run writes it when the step begins and lets it expire; whoever decides writes the
-- decision. A request of a run that has ended is cancelled, whatever its row says: the view approvals knows. Its row says so once the run goes
-- on, which asks again.
create table flowforge.approval (
	tenant_id integer not null,
	approval_id uuid not null default flowforge.uuid7(),
	run_id uuid not null,
	step_id text not null,
	name text not null,
	prompt text not null,
	approvers jsonb,
	form jsonb,
	status text not null default 'pending' check (status in ('pending', 'approved', 'rejected', 'expired', 'cancelled')),
	requested_at timestamptz not null default clock_timestamp(),
	expires_at timestamptz not null,
	decided_at timestamptz,
	decided_by text,
	data jsonb,
	reason text,
	primary key (tenant_id, approval_id)
);
comment on table flowforge.approval is 'Requests for decisions by people, and the decisions.';
create index approval_step on flowforge.approval (tenant_id, run_id, step_id);
create index approval_pending on flowforge.approval (tenant_id, approval_id) where status = 'pending';

select pg_catalog.pg_extension_config_dump('flowforge.approval', '');

create view flowforge.approvals with (security_invoker = true) as
select a.approval_id, flowforge.ulid(a.approval_id) as ulid, a.tenant_id, a.run_id, f.slug as function, a.step_id, a.name, a.prompt, a.approvers,
	a.form, case when a.status = 'pending' and l.run_id is null then 'cancelled' else a.status end as status, a.requested_at, a.expires_at,
	a.decided_at, a.decided_by, a.data, a.reason
from flowforge.approval a
left join flowforge.run r on r.tenant_id = a.tenant_id and r.run_id = a.run_id
left join flowforge.function f on f.tenant_id = r.tenant_id and f.function_id = r.function_id
left join flowforge.live_run l on l.slot = flowforge.slot(a.run_id) and l.tenant_id = a.tenant_id and l.run_id = a.run_id;
comment on view flowforge.approvals is
'Requests for decisions: pending, approved, rejected, expired, or cancelled because their run has ended; by whom, when and why.';

-- What the run is handed: the same for every end of a request.
create function flowforge.tell_decision(approval flowforge.approval) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.post(approval.tenant_id, approval.run_id, 'decision', jsonb_build_object('step', approval.step_id, 'decision', jsonb_build_object(
		'approved', approval.status = 'approved', 'data', approval.data, 'by', approval.decided_by, 'reason', approval.reason, 'at', approval.decided_at)))
$$;
comment on function flowforge.tell_decision(flowforge.approval) is 'Puts a decision into the inbox of the run that asked for it.';

-- While somebody decides, his transaction has the row: the request then does not expire, and nobody waits for him.
create function flowforge.expire_approval(tenant integer, run uuid, step text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	request flowforge.approval;
begin
	select a.* into request
	from flowforge.approval a
	where a.tenant_id = tenant and a.run_id = run and a.step_id = step and a.status = 'pending'
	order by a.approval_id desc
	limit 1
	for update skip locked;
	if found then
		update flowforge.approval a
		set status = 'expired', decided_at = clock_timestamp(), reason = 'timed out'
		where a.tenant_id = tenant and a.approval_id = request.approval_id
		returning a.* into request;
		perform flowforge.tell_decision(request);
	end if;
end
$$;
comment on function flowforge.expire_approval(integer, uuid, text) is 'Lets the request of a step expire, unless it is decided or being decided.';

create function flowforge.check_approver(request flowforge.approval, person text, is_role boolean) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	if request.approvers is null or request.approvers ? person then
		return;
	end if;
	if is_role and exists (
		select from jsonb_array_elements_text(request.approvers) a
		join pg_roles r on r.rolname = a.value
		where pg_has_role(person::name, r.oid, 'member')) then
		return;
	end if;
	raise exception using errcode = 'FF408', message = format('"%s" is not among those who decide this request', coalesce(person, 'nobody')),
		detail = format('They are %s.', (select string_agg(a.value, ', ') from jsonb_array_elements_text(request.approvers) a)),
		hint = 'Ask one of them.';
end
$$;
comment on function flowforge.check_approver(flowforge.approval, text, boolean) is 'Raises FF408 unless the person, or database role, may decide a request.';

create function flowforge.check_undecided(request flowforge.approval) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	if request.status = 'expired' then
		raise exception using errcode = 'FF407', message = 'the request has expired',
			detail = format('Nobody had decided by %s.', request.expires_at), hint = 'The run has gone on without a decision.';
	elsif request.status = 'cancelled' then
		raise exception using errcode = 'FF407', message = 'the run had ended, and has asked again', detail = format('It is run %s.', request.run_id),
			hint = 'flowforge.approvals has its pending request.';
	elsif request.status <> 'pending' then
		raise exception using errcode = 'FF407', message = format('the request is already %s', request.status),
			detail = format('"%s" decided at %s%s.', request.decided_by, request.decided_at, coalesce(': ' || request.reason, '')),
			hint = 'A decision is final.';
	elsif not exists (select from flowforge.live_run l where l.slot = flowforge.slot(request.run_id) and l.tenant_id = request.tenant_id and l.run_id = request.run_id) then
		raise exception using errcode = 'FF407', message = 'the run that asked has ended', detail = format('It is run %s.', request.run_id),
			hint = 'Nobody waits for the decision any more.';
	end if;
end
$$;
comment on function flowforge.check_undecided(flowforge.approval) is 'Raises FF407 unless a request still waits for its decision.';

create function flowforge.decide(approval uuid, verdict text, data jsonb, reason text, person text, is_role boolean) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	request flowforge.approval;
	findings jsonb;
begin
	select a.* into request from flowforge.approval a where a.tenant_id = tenant and a.approval_id = approval for update;
	if not found then
		raise exception using errcode = 'FF406', message = format('there is no approval request %s', approval),
			hint = 'select * from flowforge.approvals where status = ''pending'' lists those that wait.';
	end if;
	perform flowforge.check_approver(request, person, is_role);
	if request.status = verdict then
		return 'already ' || verdict;
	end if;
	perform flowforge.check_undecided(request);
	findings := case when verdict = 'approved' and request.form is not null then flowforge.schema_check(request.form, coalesce(data, 'null')) end;
	if findings <> '[]' then
		raise exception using errcode = 'FF409', message = 'the data is not what the form asks for', detail = flowforge.findings_text(findings, 'data'),
			hint = 'The column form of flowforge.approvals is the JSON Schema of the data.';
	end if;
	update flowforge.approval a
	set status = verdict, decided_at = clock_timestamp(), decided_by = person, data = decide.data, reason = decide.reason
	where a.tenant_id = tenant and a.approval_id = approval
	returning a.* into request;
	perform flowforge.tell_decision(request);
	return verdict;
end
$$;
comment on function flowforge.decide(uuid, text, jsonb, text, text, boolean) is
'Records a decision and tells the run. Whoever decides at the same time waits and is then told what was decided.';

create function @extschema@.ff_approve(approval uuid, data jsonb default null, comment text default null) returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('member');
	select flowforge.decide(approval, 'approved', data, comment, flowforge.caller(), true)
$$;
comment on function @extschema@.ff_approve(uuid, jsonb, text) is
'Approves a request (flowforge.approvals) as the calling role, with data for the run and a comment. Takes effect when the transaction commits. '
'Gives "approved", or "already approved" when it was. Errors: FF406 no such request, FF407 it is rejected, expired, or its run has ended, '
'FF408 the caller is not among its approvers nor a member of one, FF409 the data is not what its form asks for.';
revoke execute on function @extschema@.ff_approve(uuid, jsonb, text) from public;

create function @extschema@.ff_reject(approval uuid, reason text default null) returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.require_role('member');
	select flowforge.decide(approval, 'rejected', null, reason, flowforge.caller(), true)
$$;
comment on function @extschema@.ff_reject(uuid, text) is
'Rejects a request (flowforge.approvals) as the calling role, with a reason. Takes effect when the transaction commits. Gives "rejected", or '
'"already rejected" when it was. Errors: FF406 no such request, FF407 it is approved, expired, or its run has ended, FF408 the caller is not '
'among its approvers nor a member of one.';
revoke execute on function @extschema@.ff_reject(uuid, text) from public;

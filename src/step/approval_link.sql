-- A link by which one person decides one request without an account here: whoever has its token is that person. Written by ff_approval_link.
-- Only the SHA-256 of the token is kept, so that who reads the table, or a dump of it, can decide nothing. A link is of use until it expires
-- or its request is decided by whatever way, so once at most; it stays a while after that, to tell why it is of no use any more.
create table flowforge.approval_link (
	tenant_id integer not null,
	approval_id uuid not null,
	digest bytea not null unique,
	approver text,
	made_by text not null,
	made_at timestamptz not null default clock_timestamp(),
	expires_at timestamptz not null,
	used_at timestamptz,
	primary key (tenant_id, approval_id, digest)
);
comment on table flowforge.approval_link is 'Links that decide requests: for whom, until when, and when they did; of their tokens the SHA-256.';

select pg_catalog.pg_extension_config_dump('flowforge.approval_link', '');

create function flowforge.token_digest(token text) returns bytea
language sql immutable strict
set search_path = pg_catalog, pg_temp
as $$
	select sha256(convert_to(token, 'UTF8'))
$$;
comment on function flowforge.token_digest(text) is 'What is kept of a token.';

create function flowforge.check_link(approver text, valid interval) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	if valid is null or valid not between interval '1 second' and interval '1 year' then
		raise exception using errcode = 'FF204', message = 'a link is valid for 1 second to 1 year', detail = format('It is to be %s.', coalesce(valid::text, 'null')),
			hint = 'Leave valid out for 7 days.', column = 'valid';
	elsif octet_length(approver) not between 1 and 512 then
		raise exception using errcode = 'FF204', message = 'an approver has a name of 1 to 512 bytes', detail = format('It has %s.', octet_length(approver)),
			hint = 'Give the name that decided_by is to tell.', column = 'approver';
	end if;
end
$$;
comment on function flowforge.check_link(text, interval) is 'Raises FF204 unless a link can be made for this person and this time.';

create function @extschema@.ff_approval_link(approval uuid, approver text default null, valid interval default '7 days') returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	token constant text := flowforge.token();
	request flowforge.approval;
	person text := approver;
begin
	perform flowforge.require_role('admin');
	perform flowforge.check_link(approver, valid);
	select a.* into request from flowforge.approval a where a.tenant_id = tenant and a.approval_id = approval for share;
	if not found then
		raise exception using errcode = 'FF406', message = format('there is no approval request %s', approval),
			hint = 'select * from flowforge.approvals where status = ''pending'' lists those that wait.';
	end if;
	if person is null and jsonb_array_length(request.approvers) = 1 then
		person := request.approvers ->> 0;
	end if;
	perform flowforge.check_approver(request, person, false);
	perform flowforge.check_undecided(request);
	insert into flowforge.approval_link (tenant_id, approval_id, digest, approver, made_by, expires_at)
	values (tenant, approval, flowforge.token_digest(token), person, flowforge.caller(), least(clock_timestamp() + valid, request.expires_at));
	return rtrim(coalesce(current_setting('flowforge.public_url', true), ''), '/') || '/approve/' || token;
end
$$;
comment on function @extschema@.ff_approval_link(uuid, text, interval) is
'Makes a link to send to whoever is to decide a request (flowforge.approvals). Who opens it sees the question and the form and approves or rejects, '
'once, without an account, and is recorded as the approver the link was made for. Takes the request, the approver (by default the only one the request '
'names; "link" is recorded when it names nobody) and how long the link is valid, 7 days by default, at most until the request expires. Gives '
'flowforge.public_url and /approve/ and the token, which is stored nowhere and cannot be shown again. Who may call this can decide in the name of any '
'approver. Errors: FF406 no such request, FF407 it is decided or over, FF408 the approver is not among its approvers, FF204 a bad approver or time.';
revoke execute on function @extschema@.ff_approval_link(uuid, text, interval) from public;

create function flowforge.link_of(token text) returns flowforge.approval_link
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	link flowforge.approval_link;
begin
	select l.* into link from flowforge.approval_link l where l.digest = flowforge.token_digest(token);
	if not found then
		raise exception using errcode = 'FF413', message = 'this link is not known', detail = 'It is incomplete, or was over some time ago.',
			hint = 'Open it as it was sent to you, or ask for another one.';
	end if;
	return link;
end
$$;
comment on function flowforge.link_of(text) is 'The link of a token, whatever its tenant. Error: FF413.';

create function flowforge.check_link_use(link flowforge.approval_link, request flowforge.approval) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	problem text;
	reason text;
begin
	if link.used_at is not null then
		raise exception using errcode = 'FF414', message = 'this link has been used', detail = format('The request was %s at %s.', request.status,
			to_char(link.used_at, 'YYYY-MM-DD HH24:MI:SS TZ')), hint = 'A decision is final.';
	end if;
	perform flowforge.check_undecided(request);
	if link.expires_at <= clock_timestamp() then
		raise exception using errcode = 'FF414', message = 'this link has expired', detail = format('It was valid until %s.',
			to_char(link.expires_at, 'YYYY-MM-DD HH24:MI:SS TZ')), hint = 'Ask for another one.';
	end if;
exception when sqlstate 'FF407' then
	get stacked diagnostics problem = message_text, reason = pg_exception_detail;
	raise exception using errcode = 'FF414', message = problem, detail = reason, hint = 'There is nothing left to decide.';
end
$$;
comment on function flowforge.check_link_use(flowforge.approval_link, flowforge.approval) is 'Raises FF414 unless a link can still decide its request.';

create function flowforge.link_request(link flowforge.approval_link) returns flowforge.approval
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	request flowforge.approval;
begin
	select a.* into request from flowforge.approval a where a.tenant_id = link.tenant_id and a.approval_id = link.approval_id;
	perform flowforge.check_link_use(link, request);
	return request;
end
$$;
comment on function flowforge.link_request(flowforge.approval_link) is 'The request a link can still decide. Error: FF414.';

-- Whoever decides has the request locked, and looks at the link after that.
create function flowforge.decide_by_link(token text, verdict text, data jsonb, reason text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	caller constant text := coalesce(current_setting('flowforge.tenant', true), '');
	link flowforge.approval_link := flowforge.link_of(token);
	result text;
begin
	perform from flowforge.approval a where a.tenant_id = link.tenant_id and a.approval_id = link.approval_id for update;
	link := flowforge.link_of(token);
	perform flowforge.link_request(link);
	perform set_config('flowforge.tenant', link.tenant_id::text, true);
	result := flowforge.decide(link.approval_id, verdict, data, reason, coalesce(link.approver, 'link'), false);
	perform set_config('flowforge.tenant', caller, true);
	update flowforge.approval_link l set used_at = clock_timestamp() where l.digest = link.digest;
	return result;
end
$$;
comment on function flowforge.decide_by_link(text, text, jsonb, text) is
'Records the decision of whoever has the token of a link. Gives the verdict. Errors: FF413, FF414, and FF409 as of ff_approve.';

create function flowforge.forget_approvals(retention interval) returns integer
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	with gone as (
		delete from flowforge.approval a
		where retention > interval '0' and a.requested_at < now() - retention
			and not exists (select from flowforge.live_run l where l.slot = flowforge.slot(a.run_id) and l.tenant_id = a.tenant_id and l.run_id = a.run_id)
		returning a.tenant_id, a.approval_id
	), links as (
		delete from flowforge.approval_link l
		where l.expires_at < now() - interval '7 days' or (l.tenant_id, l.approval_id) in (select g.tenant_id, g.approval_id from gone g)
	)
	select count(*)::integer from gone
$$;
comment on function flowforge.forget_approvals(interval) is
'Deletes requests older than `retention` whose runs have ended, with their links; 0 keeps them. Gives how many. Links leave a week after they have '
'expired anyway. Executors call it.';

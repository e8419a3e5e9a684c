-- The page behind a link that decides a request (ff_approval_link). To look at it changes nothing, since those who scan mails follow links;
-- what its form sends decides. The token in the path is the credential: it is in no answer, and the gateway keeps it out of its log.

create function flowforge.approve_page(link flowforge.approval_link, request flowforge.approval, given jsonb, problem text) returns flowforge.response
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.html_page('Decision: ' || request.name,
		format('<h1>%s</h1><p class="said">%s</p><p class="dim">Asked at %s%s%s. You decide until %s; a decision is final.</p>%s',
			flowforge.html(request.name), flowforge.html(request.prompt), to_char(request.requested_at, 'YYYY-MM-DD HH24:MI TZ'),
			coalesce((select ' by ' || flowforge.html(f.slug) from flowforge.run r
				join flowforge.function f on f.tenant_id = r.tenant_id and f.function_id = r.function_id
				where r.tenant_id = request.tenant_id and r.run_id = request.run_id), ''),
			case when link.approver is not null then ', for ' || flowforge.html(link.approver) end, to_char(link.expires_at, 'YYYY-MM-DD HH24:MI TZ'),
			case when problem is not null then '<p class="said failed" role="alert">' || flowforge.html(problem) || '</p>' end)
		-- The Enter key presses the first button, and that one does nothing.
		|| '<form method="post"><button disabled hidden></button>' || flowforge.form_html(request.form, given)
		|| '<label for="reason">Comment, or why not</label><textarea name="reason" id="reason" rows="3">' || E'\n' || flowforge.html(given ->> 'reason')
		|| '</textarea><button name="decision" value="approve">Approve</button>'
		'<button name="decision" value="reject" formnovalidate>Reject</button></form>',
		status => case when problem is null then 200 else 422 end, has_form => true)
$$;
comment on function flowforge.approve_page(flowforge.approval_link, flowforge.approval, jsonb, text) is
'The page of a request: what is asked, the form, with what was given and what is wrong with it, and two buttons.';

create function flowforge.api_approve_page(request flowforge.request) returns flowforge.response
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	link constant flowforge.approval_link := flowforge.link_of(request.params ->> 'token');
begin
	return flowforge.approve_page(link, flowforge.link_request(link), null, null);
end
$$;
comment on function flowforge.api_approve_page(flowforge.request) is 'GET /approve/{token}: the page; decides nothing. Errors: FF413, FF414.';

create function flowforge.link_verdict(body jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	if body -> 'approved' = 'true' or body -> 'decision' = '"approve"' then
		return 'approved';
	elsif body -> 'approved' = 'false' or body -> 'decision' = '"reject"' then
		return 'rejected';
	end if;
	raise exception using errcode = 'FF204', message = 'the body does not say what is decided',
		hint = 'Send {"approved": true or false, "data": …, "reason": "…"}, or the page''s form.', column = 'approved';
end
$$;
comment on function flowforge.link_verdict(jsonb) is 'Which of the two was decided, in JSON or by a button of the page. Error: FF204.';

create function flowforge.api_approve(request flowforge.request) returns flowforge.response
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	token constant text := request.params ->> 'token';
	body constant jsonb := flowforge.object_of(request);
	is_page constant boolean := coalesce(request.headers ->> 'accept', '') like '%text/html%';
	link constant flowforge.approval_link := flowforge.link_of(token);
	asked constant flowforge.approval := flowforge.link_request(link);
	verdict constant text := flowforge.link_verdict(body);
	data constant jsonb := case when body ? 'decision' then flowforge.form_data(asked.form, body) else nullif(body -> 'data', 'null') end;
	problem text;
begin
	perform flowforge.decide_by_link(token, verdict, case verdict when 'approved' then data end,
		nullif(replace(flowforge.text_member(body, 'reason'), E'\r\n', E'\n'), ''));
	if is_page then
		return flowforge.html_page('Decided', format('<h1>You have %s.</h1><p>The run has been told. You can close this page.</p>', verdict));
	end if;
	return flowforge.answer(jsonb_build_object('result', verdict), headers => E'cache-control: no-store\n');
exception when sqlstate 'FF409' then
	if not is_page then
		raise;
	end if;
	get stacked diagnostics problem = pg_exception_detail;
	return flowforge.approve_page(link, asked, body, problem);
end
$$;
comment on function flowforge.api_approve(flowforge.request) is
'POST /approve/{token}: decides. Errors: FF413, FF414, FF409 the data is not what the form asks for, which a page tells above the form.';

insert into flowforge.route (method, pattern, function, scope, style, tag, summary, request_schema, response_schema) values
('GET', '/approve/{token}', 'flowforge.api_approve_page', 'public', 'page', 'approvals', 'The page behind a link of ff_approval_link; decides nothing',
'{}', '{"type": "string", "contentMediaType": "text/html"}'),
('POST', '/approve/{token}', 'flowforge.api_approve', 'public', 'page', 'approvals', 'Decide by a link, once: JSON, or the form of its page',
'{"type": "object", "properties": {
	"approved": {"type": "boolean", "description": "Whether it is approved; in a form, decision is approve or reject."},
	"data": {"description": "For the run; what the form asks for. In a form, the fields data.NAME."},
	"reason": {"type": "string", "description": "Why, or a comment."}}}',
'{"type": "object", "required": ["result"], "properties": {"result": {"enum": ["approved", "rejected"]}}}');

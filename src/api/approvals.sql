-- Requests for decisions over HTTP.

create function flowforge.approval_json(approval flowforge.approvals) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('id', approval.approval_id, 'ulid', approval.ulid, 'run_id', approval.run_id, 'function', approval.function,
		'step_id', approval.step_id, 'name', approval.name, 'prompt', approval.prompt, 'approvers', approval.approvers, 'form', approval.form,
		'status', approval.status, 'requested_at', approval.requested_at, 'expires_at', approval.expires_at, 'decided_at', approval.decided_at,
		'decided_by', approval.decided_by, 'data', approval.data, 'reason', approval.reason)
$$;
comment on function flowforge.approval_json(flowforge.approvals) is 'A request for a decision as the API shows it.';

create function flowforge.api_approvals(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	page constant flowforge.page := flowforge.page_of(request.query);
	wanted constant text := flowforge.choice_of(request.query, 'status', '{pending,approved,rejected,expired,cancelled}');
	run constant uuid := flowforge.id_of(request.query ->> 'run', 'run');
begin
	return flowforge.page_answer(array(
		select flowforge.approval_json(a)
		from flowforge.approvals a
		where a.tenant_id = flowforge.current_tenant() and a.approval_id >= page.low and a.approval_id < page.high
			and (wanted is null or a.status = wanted) and (run is null or a.run_id = run)
		order by a.approval_id desc
		limit page.size + 1), page.size);
end
$$;
comment on function flowforge.api_approvals(flowforge.request) is 'GET /api/v1/approvals.';

-- Volatile, so that it shows what the decision before it has just written.
create function flowforge.approval_answer(approval uuid, result text) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	found_one jsonb;
begin
	select flowforge.approval_json(a) into found_one
	from flowforge.approvals a
	where a.tenant_id = flowforge.current_tenant() and a.approval_id = approval;
	if found_one is null then
		raise exception using errcode = 'FF406', message = format('there is no approval request %s', approval),
			hint = 'GET /api/v1/approvals lists them.';
	end if;
	return flowforge.answer(found_one || jsonb_strip_nulls(jsonb_build_object('result', result)));
end
$$;
comment on function flowforge.approval_answer(uuid, text) is 'An answer that shows a request for a decision. Error: FF406.';

create function flowforge.api_approval(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.approval_answer(flowforge.id_of(request.params ->> 'id', 'id'), null);
end
$$;
comment on function flowforge.api_approval(flowforge.request) is 'GET /api/v1/approvals/{id}.';

create function flowforge.text_member(body jsonb, name text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	if jsonb_typeof(body -> name) not in ('string', 'null') then
		raise exception using errcode = 'FF204', message = format('%s is not text', name), detail = format('It is %s.', jsonb_typeof(body -> name)),
			hint = format('Make %s a text or leave it out.', name), column = name;
	end if;
	return body ->> name;
end
$$;
comment on function flowforge.text_member(jsonb, text) is 'A text from the body of a request; null when not given. Error: FF204.';

create function flowforge.api_approval_approve(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	approval constant uuid := flowforge.id_of(request.params ->> 'id', 'id');
begin
	return flowforge.approval_answer(approval, flowforge.decide(approval, 'approved', nullif(request.json -> 'data', 'null'),
		flowforge.text_member(request.json, 'comment'), flowforge.decider(flowforge.text_member(request.json, 'by')), false));
end
$$;
comment on function flowforge.api_approval_approve(flowforge.request) is 'POST /api/v1/approvals/{id}/approve.';

create function flowforge.api_approval_reject(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	approval constant uuid := flowforge.id_of(request.params ->> 'id', 'id');
begin
	return flowforge.approval_answer(approval, flowforge.decide(approval, 'rejected', null,
		flowforge.text_member(request.json, 'reason'), flowforge.decider(flowforge.text_member(request.json, 'by')), false));
end
$$;
comment on function flowforge.api_approval_reject(flowforge.request) is 'POST /api/v1/approvals/{id}/reject.';

insert into flowforge.route_schema (name, schema) values
('Approval', '{
	"type": "object",
	"required": ["id", "ulid", "run_id", "function", "step_id", "name", "prompt", "approvers", "form", "status", "requested_at", "expires_at", "decided_at", "decided_by", "data", "reason"],
	"properties": {
		"id": {"type": "string", "format": "uuid"},
		"ulid": {"type": "string"},
		"run_id": {"type": "string", "format": "uuid", "description": "The run that waits."},
		"function": {"type": ["string", "null"]},
		"step_id": {"type": "string"},
		"name": {"type": "string"},
		"prompt": {"type": "string", "description": "What is to be decided."},
		"approvers": {"type": ["array", "null"], "items": {"type": "string"}, "description": "Who may decide; null: everybody who may decide at all."},
		"form": {"type": ["object", "null"], "description": "JSON Schema of the data."},
		"status": {"enum": ["pending", "approved", "rejected", "expired", "cancelled"]},
		"requested_at": {"type": "string", "format": "date-time"},
		"expires_at": {"type": "string", "format": "date-time"},
		"decided_at": {"type": ["string", "null"], "format": "date-time"},
		"decided_by": {"type": ["string", "null"]},
		"data": {"description": "What the approver gave the run."},
		"reason": {"type": ["string", "null"]},
		"result": {"enum": ["approved", "already approved", "rejected", "already rejected"], "description": "What this request did."}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/approvals', 'flowforge.api_approvals', 'approvals:read', 'approvals', 'List requests for decisions, newest first',
'{"type": "object", "properties": {
	"status": {"enum": ["pending", "approved", "rejected", "expired", "cancelled"]},
	"run": {"type": "string", "description": "Of this run only."},
	"since": {"type": "string", "format": "date-time"},
	"until": {"type": "string", "format": "date-time"},
	"limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/Approval"}},
	"next_cursor": {"type": ["string", "null"]}}}'),
('GET', '/api/v1/approvals/{id}', 'flowforge.api_approval', 'approvals:read', 'approvals', 'One request for a decision',
'{}', '{"$ref": "#/components/schemas/Approval"}'),
('POST', '/api/v1/approvals/{id}/approve', 'flowforge.api_approval_approve', 'approvals:manage', 'approvals', 'Approve',
'{"type": ["object", "null"], "properties": {
	"data": {"description": "For the run; what the form asks for."},
	"comment": {"type": "string"},
	"by": {"type": "string", "description": "Who decides.", "default": "api"}}}',
'{"$ref": "#/components/schemas/Approval"}'),
('POST', '/api/v1/approvals/{id}/reject', 'flowforge.api_approval_reject', 'approvals:manage', 'approvals', 'Reject',
'{"type": ["object", "null"], "properties": {
	"reason": {"type": "string"},
	"by": {"type": "string", "description": "Who decides.", "default": "api"}}}',
'{"$ref": "#/components/schemas/Approval"}');

-- The audit log over HTTP.

create function flowforge.audit_json(link flowforge.audit_log) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('seq', link.audit_seq, 'at', link.at, 'actor', link.actor, 'action', link.action, 'resource', link.resource,
		'before', link.before, 'after', link.after, 'address', link.address, 'request_id', link.request_id, 'hash', link.hash, 'sealed', link.sealed)
$$;
comment on function flowforge.audit_json(flowforge.audit_log) is 'A row of the audit log as the API shows it.';

-- Newest first; the cursor is the number of the last row shown.
create function flowforge.api_audit(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
	query constant jsonb := request.query;
	size constant integer := flowforge.integer_of(query, 'limit', 50, 1, 200);
	since constant timestamptz := flowforge.time_of(query, 'since');
	until constant timestamptz := flowforge.time_of(query, 'until');
	cursor_seq bigint;
	items jsonb[];
begin
	if query ? 'cursor' and query ->> 'cursor' !~ '^\d{1,18}$' then
		raise exception using errcode = 'FF204', message = 'cursor is not next_cursor of a page of the audit log',
			detail = format('It is "%s".', query ->> 'cursor'), hint = 'Leave it out for the first page.', column = 'cursor';
	end if;
	cursor_seq := query ->> 'cursor';
	items := array(
		select flowforge.audit_json(a)
		from flowforge.audit_log a
		where a.audit_seq is not null and (cursor_seq is null or a.audit_seq < cursor_seq)
			and (not query ? 'actor' or a.actor = query ->> 'actor')
			and (not query ? 'action' or a.action = query ->> 'action' or starts_with(a.action, (query ->> 'action') || '.'))
			and (not query ? 'resource' or a.resource = query ->> 'resource')
			and (since is null or a.at >= since) and (until is null or a.at < until)
		order by a.audit_seq desc
		limit size + 1);
	return flowforge.answer(jsonb_build_object('data', to_jsonb(coalesce(items[:size], '{}')),
		'next_cursor', case when cardinality(items) > size then items[size] ->> 'seq' end));
end
$$;
comment on function flowforge.api_audit(flowforge.request) is 'GET /api/v1/audit.';

create function flowforge.api_audit_verify(request flowforge.request) returns flowforge.response
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.answer(jsonb_build_object('valid', count(*) = 0,
		'findings', coalesce(jsonb_agg(jsonb_build_object('seq', v.audit_seq, 'problem', v.problem, 'detail', v.detail)) filter (where v.problem is not null), '[]')))
	from @extschema@.ff_audit_verify() v
$$;
comment on function flowforge.api_audit_verify(flowforge.request) is 'GET /api/v1/audit/verify.';

insert into flowforge.route_schema (name, schema) values
('AuditRow', '{
	"type": "object",
	"required": ["seq", "at", "actor", "action", "resource", "before", "after", "address", "request_id", "hash", "sealed"],
	"properties": {
		"seq": {"type": "integer", "description": "Its number in the tenant''s chain."},
		"at": {"type": "string", "format": "date-time"},
		"actor": {"type": "string", "description": "Who did it: user:ID, key:ID, app, dev, or sql:ROLE."},
		"action": {"type": "string", "description": "What was done, as noun.verb."},
		"resource": {"type": "string", "description": "To what, as kind:name."},
		"before": {"description": "What it was, without secrets; of an update what changed."},
		"after": {"description": "What it is since, without secrets; of an update what changed."},
		"address": {"type": ["string", "null"]},
		"request_id": {"type": ["string", "null"]},
		"hash": {"type": "string", "description": "SHA-256 of the row and its predecessor''s hash."},
		"sealed": {"type": "boolean", "description": "Whether a signature vouches for the row."}
	}
}');

insert into flowforge.route (method, pattern, function, scope, tag, summary, request_schema, response_schema) values
('GET', '/api/v1/audit', 'flowforge.api_audit', 'audit:read', 'audit', 'List the audit log, newest first',
'{"type": "object", "properties": {
	"actor": {"type": "string", "description": "Done by this actor only."},
	"action": {"type": "string", "description": "This action only (run.cancel), or all of a noun (run)."},
	"resource": {"type": "string", "description": "Done to this only."},
	"since": {"type": "string", "format": "date-time"},
	"until": {"type": "string", "format": "date-time"},
	"limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
	"cursor": {"type": "string", "description": "next_cursor of the page before."}}}',
'{"type": "object", "required": ["data", "next_cursor"], "properties": {
	"data": {"type": "array", "items": {"$ref": "#/components/schemas/AuditRow"}},
	"next_cursor": {"type": ["string", "null"]}}}'),
('GET', '/api/v1/audit/verify', 'flowforge.api_audit_verify', 'audit:read', 'audit', 'Verify the audit log',
default,
'{"type": "object", "required": ["valid", "findings"], "properties": {
	"valid": {"type": "boolean"},
	"findings": {"type": "array", "items": {"type": "object", "required": ["seq", "problem", "detail"], "properties": {
		"seq": {"type": ["integer", "null"], "description": "The number of the row."},
		"problem": {"enum": ["altered", "removed", "inserted", "unlinked", "replaced", "forged seal", "unknown key"]},
		"detail": {"type": "string"}}}}}}');

-- Who may read and call what. The last part of the install script: what nothing is said about here is nobody's but the owner's, and
-- test/pgtap/tenants.sql asks for a decision about everything.
revoke execute on all functions in schema flowforge from public;
do $$
declare
	public_api text;
begin
	for public_api in
		select p.oid::pg_catalog.regprocedure::text
		from pg_catalog.pg_proc p
		join pg_catalog.pg_depend d on d.classid operator(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid operator(pg_catalog.=) p.oid
			and d.deptype operator(pg_catalog.=) 'e'
		join pg_catalog.pg_extension e on d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
			and e.oid operator(pg_catalog.=) d.refobjid and e.extname operator(pg_catalog.=) 'flowforge'
		where p.pronamespace operator(pg_catalog.<>) 'flowforge'::pg_catalog.regnamespace
	loop
		execute 'revoke execute on function ' || public_api || ' from public';
	end loop;
end
$$;

-- --- everybody ---

-- What reads and changes nothing of anybody's; and sending, which a viewer of a tenant is refused.
grant execute on function @extschema@.ff_eval, @extschema@.ff_render, @extschema@.ff_template_refs, @extschema@.ff_schema_validate,
	@extschema@.ff_schema_require, @extschema@.ff_workflow_plan, @extschema@.ff_send_event, @extschema@.ff_send_events, @extschema@.ff_send_signal
	to public;

-- --- viewers ---

grant usage on schema flowforge to flowforge_viewer;
grant usage on schema @extschema@ to flowforge_viewer;
grant select on flowforge.runs, flowforge.steps, flowforge.events, flowforge.functions, flowforge.skipped_runs, flowforge.run_event,
	flowforge.run_message, flowforge.live_run, flowforge.workflows, flowforge.schedules, flowforge.approvals, flowforge.locks,
	flowforge.held_starts, flowforge.hooks, flowforge.watches, flowforge.ai_calls, flowforge.ai_providers, flowforge.api_keys, flowforge.users,
	flowforge.secrets
	to flowforge_viewer;
-- What those views read as whoever asks.
grant select on flowforge.tenant, flowforge.app, flowforge.function, flowforge.function_version, flowforge.trigger, flowforge.pause,
	flowforge.event, flowforge.run, flowforge.run_batch, flowforge.run_skip, flowforge.run_hot, flowforge.run_parked, flowforge.run_end,
	flowforge.run_event_batch, flowforge.run_metadata, flowforge.step, flowforge.held_start, flowforge.lock, flowforge.approval,
	flowforge.schedule, flowforge.workflow, flowforge.model_price, flowforge.step_type
	to flowforge_viewer;
-- Policies and views ask these, whoever reads.
grant execute on function flowforge.current_tenant(), flowforge.visible_tenant(), flowforge.sees_tenant(integer) to public;
grant execute on function flowforge.calls(),
	flowforge.filter_errors(), flowforge.ulid(uuid), flowforge.slot(uuid), flowforge.workflow_etag(flowforge.workflow),
	flowforge.watch_settings(bytea)
	to flowforge_viewer;
grant execute on function @extschema@.ff_event_runs, @extschema@.ff_wait, @extschema@.ff_explain, @extschema@.ff_workflow_get,
	@extschema@.ff_workflow_problems, @extschema@.ff_workflow_versions, @extschema@.ff_workflow_diff, @extschema@.ff_workflow_validate
	to flowforge_viewer;

-- --- members ---

grant execute on function @extschema@.ff_run, @extschema@.ff_retry, @extschema@.ff_replay, @extschema@.ff_cancel, @extschema@.ff_cancel_where,
	@extschema@.ff_retry_where, @extschema@.ff_replay_where, @extschema@.ff_pause, @extschema@.ff_resume(text), @extschema@.ff_pause_app, @extschema@.ff_resume_app,
	@extschema@.ff_resume(uuid, text, jsonb), @extschema@.ff_approve, @extschema@.ff_reject, @extschema@.ff_workflow_create,
	@extschema@.ff_workflow_update, @extschema@.ff_workflow_publish, @extschema@.ff_workflow_duplicate, @extschema@.ff_workflow_archive,
	@extschema@.ff_workflow_delete, @extschema@.ff_workflow_run, @extschema@.ff_workflow_set_role, @extschema@.ff_register_function,
	@extschema@.ff_unregister_function, @extschema@.ff_schedule, @extschema@.ff_unschedule, @extschema@.ff_watch, @extschema@.ff_unwatch
	to flowforge_member;

-- --- admins ---

grant execute on function @extschema@.ff_app_timeout, @extschema@.ff_register_app,
	@extschema@.ff_sync_app, @extschema@.ff_set_app_role, @extschema@.ff_set_ai_provider, @extschema@.ff_set_model_price,
	@extschema@.ff_create_hook, @extschema@.ff_drop_hook, @extschema@.ff_approval_link, @extschema@.ff_set_tenant,
	@extschema@.ff_pause_all, @extschema@.ff_resume_all, @extschema@.ff_key_create, @extschema@.ff_key_revoke, @extschema@.ff_user_create,
	@extschema@.ff_user_set_password, @extschema@.ff_audit_verify, @extschema@.ff_secret_set, @extschema@.ff_secret_delete,
	@extschema@.ff_secret_rotate
	to flowforge_admin;
-- Who did what is for those who answer for it, as over HTTP.
grant select on flowforge.audit_log, flowforge.audit, flowforge.audit_seal to flowforge_admin;

-- --- over HTTP ---

-- What is in SQL or PL/pgSQL and runs as its caller does nothing that the caller could not do himself, and what depends on its arguments alone
-- tells nothing: every request may use it, with the rights of who asks. What is in C or acts for its owner is granted by name, below.
grant usage on schema flowforge to flowforge_http_nobody;
do $$
declare
	harmless text;
begin
	for harmless in
		select p.oid::pg_catalog.regprocedure::text
		from pg_catalog.pg_proc p
		join pg_catalog.pg_language l on l.oid operator(pg_catalog.=) p.prolang
		where p.pronamespace operator(pg_catalog.=) 'flowforge'::pg_catalog.regnamespace and not p.prosecdef
			and p.prorettype operator(pg_catalog.<>) 'pg_catalog.trigger'::pg_catalog.regtype
			and (l.lanname operator(pg_catalog.=) any ('{sql,plpgsql}') or p.provolatile operator(pg_catalog.=) 'i')
	loop
		execute 'grant execute on function ' || harmless || ' to flowforge_http_nobody';
	end loop;
end
$$;
-- Who asks, and checks of what they send.
grant execute on function flowforge.may(text), flowforge.scopes(), flowforge.problem(text, text, text, text), flowforge.uuid7(),
	flowforge.check_expression(text), flowforge.canonical_expression(text), flowforge.bound_expression(text, jsonb), flowforge.check_cron(text),
	flowforge.cron_times(text, timestamptz, timestamptz, integer), flowforge.cron_utc(text),
	flowforge.outbound_problem(text, text, text, text), flowforge.serve_problem()
	to flowforge_http_nobody;
-- The document of the API.
grant select on flowforge.route, flowforge.route_schema to flowforge_http_nobody;
-- Routes that are open to everybody: what proves who asks is in the request, and they look for it themselves.
grant execute on function flowforge.api_ready, flowforge.api_dev, flowforge.api_endpoint_output, flowforge.api_hook, flowforge.api_login,
	flowforge.api_verify_2fa, flowforge.api_refresh, flowforge.api_approve, flowforge.api_approve_page
	to flowforge_http_nobody;

-- Sending.
grant execute on function flowforge.ingest, flowforge.started_runs to flowforge_http_sender;

-- Reading. The account of who asks is theirs to change, whatever their role.
grant execute on function flowforge.api_me, flowforge.api_me_change, flowforge.api_me_password, flowforge.api_2fa_setup, flowforge.api_2fa_confirm,
	flowforge.api_2fa_codes, flowforge.api_2fa_disable, flowforge.api_logout, flowforge.api_token, flowforge.api_users, flowforge.api_user,
	flowforge.api_ws_ticket, flowforge.stream_answer,
	flowforge.metrics, flowforge.server_kind, flowforge.run_causes, flowforge.run_call_events, flowforge.graphql_fields, flowforge.stream_follow,
	flowforge.stream_listen, flowforge.stream_next, flowforge.server_life, flowforge.executors, flowforge.sql_workers, flowforge.refusals, @extschema@.ff_status
	to flowforge_http_viewer;
grant select on flowforge.cancellation, flowforge.wait, flowforge.inbox, flowforge.claim, flowforge.feed, flowforge.feed_era to flowforge_http_viewer;

-- Daily work.
grant execute on function flowforge.invoke, flowforge.create_workflow, flowforge.update_workflow, flowforge.delete_workflow,
	flowforge.publish_workflow, flowforge.archive_workflow, flowforge.duplicate_workflow, flowforge.run_workflow, flowforge.test_workflow,
	flowforge.decide, flowforge.resume_step, flowforge.register_app, flowforge.add_app, flowforge.remove_app,
	flowforge.v1_cancel, flowforge.api_function_change, flowforge.api_function_archive, flowforge.v1_run_metadata,
	flowforge.api_endpoint_start, flowforge.api_endpoint_report, flowforge.api_checkpoint
	to flowforge_http_member;
grant delete on flowforge.cancellation to flowforge_http_member;

-- Managing the team.
grant execute on function flowforge.api_user_create, flowforge.api_user_change, flowforge.api_user_delete, flowforge.api_tenant_change,
	flowforge.table_of
	to flowforge_http_admin;

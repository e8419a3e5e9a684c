-- Everything that changes something is in the audit log: each function of the catalogue is called here, or is listed with why it need not be.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select plan(32);

-- What no call of it changes for others than the run it is about, and why the log of audits is not its place.
create temp table unaudited (function text primary key, why text);
insert into unaudited values
	('ff_send_event', 'events are data; flowforge.events keeps them with their time and sender'), ('ff_send_events', 'the same'),
	('ff_send_signal', 'a signal is data for a run and in its log'), ('ff_run', 'starting a run is sending it an event'),
	('ff_workflow_run', 'the same'), ('ff_sync_app', 'asks an app, which then registers itself: what that changes is audited by the change'),
	('ff_cancel_where', 'calls ff_cancel for each run'), ('ff_retry_where', 'calls ff_retry for each run'), ('ff_replay_where', 'calls ff_replay for each run'),
	('ff_wait', 'waits and changes nothing'), ('ff_explain', 'says why a run is where it is');

create temp table called (function text, action text);
create function pg_temp.note(function text) returns void language plpgsql as $$
begin
	insert into called select note.function, a.action from flowforge.audit a where a.hash is null and a.tenant_id = 7301
		and a.audit_id > coalesce((select max(seen) from marks), 0);
	if not found then
		insert into called values (note.function, null);
	end if;
	insert into marks select coalesce(max(a.audit_id), 0) from flowforge.audit a;
end
$$;
create temp table marks (seen bigint);
insert into marks select coalesce(max(audit_id), 0) from flowforge.audit;

insert into flowforge.tenant (tenant_id, name) values (7301, 'catalogue');
set local flowforge.tenant = 7301;
select is((select array_agg(action) from flowforge.audit where tenant_id = 7301), '{tenant.create}', 'a tenant that is made by a statement is audited');
insert into marks select max(audit_id) from flowforge.audit;

create table watched (id integer primary key);
create role flowforge_test_steps login;
grant flowforge_test_steps to session_user;
create role audited_test_tied;
create function added(a integer) returns integer language sql stable as 'select a + 1';
create temp table made (name text primary key, id uuid);

select from ff_set_tenant(7301, weight => 2); select pg_temp.note('ff_set_tenant');
select from ff_register_app('http://127.0.0.1:9/api', 'shop', '[{"id": "shop-order", "triggers": [{"event": "o/made"}]}]'); select pg_temp.note('ff_register_app');
select from ff_register_app('http://127.0.0.1:9/api', 'shop', '[{"id": "shop-order", "triggers": [{"event": "o/made"}]}]');
select is((select count(*) from flowforge.audit where audit_id > (select max(seen) from marks)), 0::bigint, 'an app that says again what is known changes nothing');
select from ff_app_timeout('shop', '5 s'); select pg_temp.note('ff_app_timeout');
select from ff_set_app_role('shop', 'flowforge_test_steps'); select pg_temp.note('ff_set_app_role');
select from ff_pause('shop-order', 'why'); select pg_temp.note('ff_pause');
select from ff_resume('shop-order'); select pg_temp.note('ff_resume');
select from ff_pause_app('shop'); select pg_temp.note('ff_pause_app');
select from ff_resume_app('shop'); select pg_temp.note('ff_resume_app');
select from ff_set_model_price('openai', 'model-x', 1, 2); select pg_temp.note('ff_set_model_price');
select from ff_set_ai_provider('local', base_url => 'http://localhost:1/v1', format => 'openai'); select pg_temp.note('ff_set_ai_provider');
select from ff_create_hook('orders', 'o/came', 'github', 'a-long-enough-secret'); select pg_temp.note('ff_create_hook');
select from ff_drop_hook('orders'); select pg_temp.note('ff_drop_hook');
select from ff_watch('watched'); select pg_temp.note('ff_watch');
select from ff_unwatch('watched'); select pg_temp.note('ff_unwatch');
select from ff_schedule('nightly', '0 3 * * *', 'night/came'); select pg_temp.note('ff_schedule');
select from ff_unschedule('nightly'); select pg_temp.note('ff_unschedule');
select from ff_workflow_create('w', '{"nodes": [{"id": "a", "type": "transform", "data": {"config": {"mapping": {"x": "1"}}}}], "edges": []}', triggers => '[{"manual": true}]'); select pg_temp.note('ff_workflow_create');
select from ff_workflow_update('w', description => 'better'); select pg_temp.note('ff_workflow_update');
select from ff_workflow_publish('w'); select pg_temp.note('ff_workflow_publish');
select from ff_workflow_duplicate('w', 'v'); select pg_temp.note('ff_workflow_duplicate');
select from ff_workflow_set_role('w', 'flowforge_test_steps'); select pg_temp.note('ff_workflow_set_role');
select from ff_workflow_archive('w'); select pg_temp.note('ff_workflow_archive');
select from ff_workflow_delete('w'); select pg_temp.note('ff_workflow_delete');
select from ff_register_function('add', 'added(integer)', role => 'flowforge_test_steps'); select pg_temp.note('ff_register_function');
select from ff_unregister_function('add'); select pg_temp.note('ff_unregister_function');
select from ff_key_create('audited', 'ro', '{runs:read}'); select pg_temp.note('ff_key_create');
select from ff_key_revoke((select prefix from flowforge.api_keys)); select pg_temp.note('ff_key_revoke');
select from ff_secret_set('API_KEY', 'a value nobody reads'); select pg_temp.note('ff_secret_set');
update flowforge.secret set key_id = 'another';
select from ff_secret_rotate(); select pg_temp.note('ff_secret_rotate');
select from ff_secret_delete('API_KEY'); select pg_temp.note('ff_secret_delete');
select from ff_user_create('audited@example.com', 'correct horse battery', 'Audited'); select pg_temp.note('ff_user_create');
select from ff_user_set_password('audited@example.com', 'staple battery horse'); select pg_temp.note('ff_user_set_password');
select from ff_pause_all('why'); select pg_temp.note('ff_pause_all');
select from ff_resume_all(); select pg_temp.note('ff_resume_all');
select from ff_grant('audited_test_tied', 7301, 'viewer'); select pg_temp.note('ff_grant');
select from ff_grant('audited_test_tied', 7301, 'viewer');
select is((select count(*) from flowforge.audit where audit_id > (select max(seen) from marks)), 0::bigint, 'a tie that is made again changes nothing');
select from ff_revoke('audited_test_tied'); select pg_temp.note('ff_revoke');

insert into made select 'run', ff_run('shop-order');
insert into made select 'waits', ff_run('shop-order');
select pg_temp.note('-');
select from ff_cancel((select id from made where name = 'run'), 'enough'); select pg_temp.note('ff_cancel');
insert into flowforge.run_end (tenant_id, run_id, status, ended_at) select 7301, id, 'failed', now() from made where name = 'run';
delete from flowforge.run_hot where run_id = (select id from made where name = 'run');
select from ff_replay((select id from made where name = 'run')); select pg_temp.note('ff_replay');
select from ff_retry((select id from made where name = 'run')); select pg_temp.note('ff_retry');

update flowforge.run_hot set state = '{"items": [{"a": 0, "at": 0, "id": "s", "n": "nap", "op": "sleep", "due": 4102444800000000}]}'
where run_id = (select id from made where name = 'waits');
select from ff_resume((select id from made where name = 'waits'), 'nap', '{"token": "t", "n": 1}'); select pg_temp.note('ff_resume of a run');

insert into flowforge.approval (tenant_id, approval_id, run_id, step_id, name, prompt, expires_at)
select 7301, ('00000000-0000-7000-8000-00000000000' || n)::uuid, m.id, 's' || n, 'ask', 'May I?', now() + interval '1 day' from made m, generate_series(1, 2) n where m.name = 'waits';
select pg_temp.note('-');
select from ff_approval_link('00000000-0000-7000-8000-000000000001', 'jo'); select pg_temp.note('ff_approval_link');
select from ff_approve('00000000-0000-7000-8000-000000000001'); select pg_temp.note('ff_approve');
select from ff_reject('00000000-0000-7000-8000-000000000002', 'no'); select pg_temp.note('ff_reject');

select is_empty($$ select c.function from called c where c.function <> '-' and c.action is null $$, 'every function called above has written a row');
select is_empty($$ select c.action from called c where c.function = '-' and c.action is not null $$, 'starting runs and asking for approvals writes none');
select is_empty($$
	select distinct p.proname from pg_proc p
	join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
	join pg_extension e on d.refclassid = 'pg_extension'::regclass and e.oid = d.refobjid and e.extname = 'flowforge'
	where p.proname like 'ff\_%' and p.provolatile = 'v' and p.proname not in (select function from called union all select function from unaudited)
$$, 'every function that may change something is called above, or it is said why not');
select is_empty($$ select u.function from unaudited u where u.function not in (select proname from pg_proc) $$, 'the exceptions exist');

create function pg_temp.actions_of(function text) returns text language sql as $$ select string_agg(c.action, ' ' order by c.action) from called c where c.function = $1 $$;
select is(pg_temp.actions_of('ff_pause'), 'function.pause', 'a pause is called so');
select is(pg_temp.actions_of('ff_resume'), 'function.resume', 'and its end');
select is(pg_temp.actions_of('ff_resume of a run'), 'run.resume', 'a step that need not wait any more');
select is((select (resource, after - 'by') from flowforge.audit where tenant_id = 7301 and action = 'run.resume'),
	row('run:' || flowforge.ulid((select id from made where name = 'waits')), '{"step": "s", "data": {"token": "[redacted]", "n": 1}}'::jsonb), 'which, and with what data');
select is(pg_temp.actions_of('ff_pause_app') || ' ' || pg_temp.actions_of('ff_resume_app'), 'app.pause app.resume', 'those of apps, too');
select is(pg_temp.actions_of('ff_pause_all') || ' ' || pg_temp.actions_of('ff_resume_all'), 'tenant.pause tenant.resume', 'and that of everything');
select is((select (resource, after ->> 'reason') from flowforge.audit where tenant_id = 7301 and action = 'tenant.pause'), row('tenant:7301'::text, 'why'::text),
	'a tenant by its number');
select is((select array_agg(row(action, resource, coalesce(after, before) ->> 'level')::text order by audit_id) from flowforge.audit where tenant_id = 7301 and action like 'role.%'),
	'{"(role.grant,role:audited_test_tied,viewer)","(role.revoke,role:audited_test_tied,viewer)"}', 'a tie by the name of the role');
select is(pg_temp.actions_of('ff_workflow_publish'), 'workflow.publish', 'a workflow that is published');
select is(pg_temp.actions_of('ff_workflow_archive'), 'workflow.archive', 'one that is archived');
select is(pg_temp.actions_of('ff_workflow_delete'), 'workflow.delete', 'one that is deleted');
select is(pg_temp.actions_of('ff_workflow_set_role'), 'function.update', 'one that is given a role');
select is(pg_temp.actions_of('ff_approve') || ' ' || pg_temp.actions_of('ff_reject') || ' ' || pg_temp.actions_of('ff_approval_link'),
	'approval.approve approval.reject approval.link', 'decisions, and links that may decide');
select is((select string_agg(action || ' ' || resource, ', ' order by audit_id) from flowforge.audit where tenant_id = 7301 and action like 'secret.%'),
	'secret.set secret:API_KEY, secret.rotate secret:*, secret.delete secret:API_KEY', 'secrets that are set, sealed anew and deleted');
select is_empty($$ select from flowforge.audit where to_jsonb(audit)::text like '%nobody reads%' $$, 'and no value');
select is(pg_temp.actions_of('ff_cancel') || ' ' || pg_temp.actions_of('ff_retry') || ' ' || pg_temp.actions_of('ff_replay'),
	'run.cancel run.retry run.replay', 'what is done to runs');
select is((select (resource, after) from flowforge.audit where tenant_id = 7301 and action = 'run.cancel'),
	row('run:' || flowforge.ulid((select id from made where name = 'run')), '{"reason": "enough"}'::jsonb), 'which run, and why');
select is((select (resource, before, after) from flowforge.audit where tenant_id = 7301 and action = 'tenant.update'),
	row('tenant:7301'::text, '{"weight": 1}'::jsonb, '{"weight": 2}'::jsonb), 'an update has what changed, before and after');
select is((select (resource, after -> 'secrets') from flowforge.audit where tenant_id = 7301 and action = 'hook.create'),
	row('hook:orders'::text, '["[redacted]"]'::jsonb), 'a hook without its secrets');
select is((select resource from flowforge.audit where tenant_id = 7301 and action = 'app.pause'), 'app:shop', 'an app is called by its name');
select is((select resource from flowforge.audit where tenant_id = 7301 and action = 'function.pause'), 'function:shop-order', 'a function by its id');
select is((select after ->> 'decided_by' from flowforge.audit where tenant_id = 7301 and action = 'approval.approve'), session_user::text, 'a decision has who decided');
select is(flowforge.audit_value(jsonb_build_object('x', repeat('y', 70000))) ->> 'bytes', '70009', 'what is very large is kept as its size and hash');

set local flowforge.restoring = on;
select lives_ok($$ update flowforge.tenant set weight = 3 where tenant_id = 7301 $$, 'a dump can be restored');
select is((select count(*) from flowforge.audit where tenant_id = 7301 and action = 'tenant.update'), 1::bigint, 'which is no change of anybody''s');

select * from finish();
rollback;

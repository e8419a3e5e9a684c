-- Starting, repeating, pausing and explaining runs where nothing runs: no executor works in this database. test/tap/control.py has the rest.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
set timezone = 'UTC';

-- Ids and times differ from run to run.
create function pg_temp.masked(text) returns text
language sql as $$
	select regexp_replace(regexp_replace(regexp_replace(regexp_replace($1,
		'[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}', '<uuid>', 'g'),
		'\m0[0-9A-HJKMNP-TV-Z]{25}\M', '<ulid>', 'g'),
		'\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(\+00:00| UTC)', '<time>', 'g'), '\d+ runs of its tenant', '<n> runs of its tenant', 'g')
$$;
create function pg_temp.req(method text, path text, body text default null) returns text
language sql as $$
	select pg_temp.masked(s.status || ' ' || convert_from(s.body, 'UTF8')) from flowforge.serve(method, path, '', '{}', convert_to(body, 'UTF8')) s
$$;
-- What a statement says, or its error with everything in it.
create function pg_temp.said(statement text) returns text
language plpgsql as $$
declare
	result text;
	code text;
	message text;
	detail text;
	hint text;
begin
	execute statement into result;
	return pg_temp.masked(result);
exception when others then
	get stacked diagnostics code = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
	return pg_temp.masked(concat_ws(' | ', code, message, nullif(detail, ''), nullif(hint, '')));
end
$$;

-- How functions may be timed, and what is refused.
create function pg_temp.problems(config jsonb) returns setof text
language sql as $$
	select p.field || ': ' || p.problem from flowforge.registration_problems(jsonb_build_object('url', 'http://a', 'appName', 'a', 'functions',
		jsonb_build_array('{"id": "a-f", "steps": {"step": {"runtime": {"url": "http://a"}}}}'::jsonb || config))) p
	order by 1
$$;
create function pg_temp.retries(retries text) returns setof text
language sql as $$
	select pg_temp.problems(jsonb_build_object('steps', jsonb_build_object('step', jsonb_build_object('runtime', '{"url": "http://a"}'::jsonb, 'retries', retries::jsonb))))
$$;
select pg_temp.retries(r) from unnest(array[
	'{"attempts": 3, "backoff": "fixed", "base": "10s"}', '{"backoff": "linear", "cap": "1h"}', '{"backoff": "exponential", "jitter": 1}',
	'{"backoff": ["1s", "1m30s"], "jitter": 0.1}', '{"base": "100ms"}', 'null', '{"backoff": null}', '{}']) r;
select pg_temp.retries(r) from unnest(array[
	'{"backoff": "quadratic"}', '{"backoff": 7}', '{"backoff": []}', '{"backoff": ["soon"]}', '{"backoff": ["1s", 2]}', '{"base": "soon"}', '{"base": 1}',
	'{"cap": "2026-01-31T12:00:00Z"}', '{"jitter": 1.5}', '{"jitter": -0.1}', '{"jitter": "some"}', '7', '{"attempts": 21}',
	(select jsonb_build_object('backoff', jsonb_agg('1s'::text))::text from generate_series(1, 21))]) r;
select pg_temp.problems('{"timeouts": {"start": "10m", "finish": "1h", "step": "1m30s"}}');
select pg_temp.problems('{"timeouts": {"start": "soon", "finish": 7, "step": "2026-01-31T12:00:00Z"}}');

-- Delays are drawn within their bounds.
create temp table policy (name text, retries jsonb, attempt integer, low numeric, high numeric);
insert into policy values
('usual', '{}', 0, 0.5, 1.5), ('usual, late', '{}', 30, 300, 300), ('fixed', '{"backoff": "fixed", "base": "10s"}', 7, 10, 10),
('linear', '{"backoff": "linear", "base": "10s"}', 2, 30, 30), ('linear, capped', '{"backoff": "linear", "base": "10s", "cap": "1m"}', 50, 60, 60),
('exponential', '{"backoff": "exponential", "base": "2s"}', 3, 8, 24), ('exact', '{"backoff": "exponential", "jitter": 0}', 4, 16, 16),
('capped', '{"backoff": "exponential", "cap": "5s"}', 20, 5, 5), ('wide', '{"backoff": "fixed", "jitter": 1}', 0, 0, 2),
('list', '{"backoff": ["1s", "1h"]}', 0, 1, 1), ('list, its end', '{"backoff": ["1s", "1h"]}', 9, 3600, 3600);
select p.name, min(d) >= p.low and max(d) <= p.high as within, (max(d) > min(d)) = (p.low < p.high) as spread
from policy p, lateral (select flowforge.backoff(p.retries, p.attempt)::numeric as d from generate_series(1, 200)) x
group by p.name, p.low, p.high order by p.name;

select ff_register_app('http://127.0.0.1:9/control', 'control', '[{"id": "control-f", "triggers": [{"event": "control/go"}],
	"cancel": [{"event": "control/stop", "if": "event.data.n == async.data.n", "timeout": "1h"}, {"event": "control/stop-all"}]}]') -> 'ok';
-- What other tests have left is none of ours.
create temp view mine as select r.run_id from flowforge.run r join flowforge.function f using (tenant_id, function_id) where f.slug = 'control-f';
create temp view inbox as select i.* from flowforge.inbox i join pg_temp.mine m using (run_id);

-- Without an event.
select pg_temp.said($$select ff_run('control-f', '{"n": 1}')$$);
select pg_temp.said($$select ff_run('control-f', '{}', 'key') = ff_run('control-f', '{}', 'key')$$);
select pg_temp.said($$select ff_run('control-none')$$);
select pg_temp.said($$select ff_run(null)$$);
select pg_temp.said($$select ff_run('control-f', '7')$$);
select count(*) from flowforge.run r join flowforge.function f using (tenant_id, function_id) where f.slug = 'control-f';
-- The events that cancel a run are registered with it.
select w.event_name, w.match_path, w.step_id, w.expression, w.expires_at - now() between '59 min' and '1 h' as within_the_hour
from flowforge.wait w join flowforge.event e using (tenant_id, event_id) where e.data ->> 'n' = '1' order by w.step_id;
select count(*) from pg_temp.inbox;
select ff_send_event('control/stop', '{"n": 1}') is not null, ff_send_event('control/stop', '{"n": 2}') is not null;
select kind, payload ->> 'step' as step from pg_temp.inbox;
update flowforge.wait set expires_at = now() where step_id = 'cancelOn[0]';
select ff_send_event('control/stop', '{"n": 1}') is not null;
select count(*) from pg_temp.inbox;
delete from flowforge.inbox;

-- Runs that have ended, one of each kind.
create temp table ended (name text primary key, run_id uuid);
insert into ended select n, ff_run('control-f', jsonb_build_object('n', n)) from unnest('{completed,failed,cancelled}'::text[]) n;
delete from flowforge.run_hot h using ended e where h.run_id = e.run_id;
delete from flowforge.wait w using ended e where w.run_id = e.run_id;
insert into flowforge.run_end (tenant_id, run_id, status, output, error, started_at, ended_at)
select 1, e.run_id, e.name, '7', case when e.name <> 'completed' then '{"name": "Boom", "message": "it broke"}'::jsonb end, now(), now() from ended e;
insert into flowforge.step (tenant_id, run_id, step_id, position, op, name, status, attempt, memo, started_at, ended_at)
select 1, e.run_id, s.step_id, s.position, 'run', s.name, s.status, 0, s.memo::jsonb, now(), now()
from ended e, (values ('id-a', 1, 'a', 'completed', '{"data": 1}'), ('id-b', 2, 'b', 'failed', '{"error": {"name": "Boom"}}'),
	('id-c', 3, 'c', 'completed', '{"data": 3}')) s (step_id, position, name, status, memo);
insert into flowforge.run_event_batch (tenant_id, run_id, seq, events)
select 1, e.run_id, 2, '[{"t": "run.started", "at": 1}, {"t": "step.completed", "at": 1, "s": "id-a"}, {"t": "step.failed", "at": 1, "s": "id-b"},
	{"t": "step.completed", "at": 1, "s": "id-c"}]'::jsonb || jsonb_build_array(jsonb_build_object('t', 'run.' || e.name, 'at', 1)) from ended e;
select f.* from flowforge.fsck() f join pg_temp.mine m using (run_id);
select e.name, pg_temp.masked(ff_explain(e.run_id)) from ended e order by e.name;

-- Replaying.
select run_id as completed from ended where name = 'completed' \gset
select run_id as failed from ended where name = 'failed' \gset
select run_id as cancelled from ended where name = 'cancelled' \gset
select pg_temp.said(format('select ff_replay(%L, %s)', :'completed', a)) from unnest(array['''id-b''', '''b''', '''d''', '''c'', ''[1]''', 'null, ''[1]''', 'null, ''{"n": 9}''']) a;
select pg_temp.said('select ff_replay(''00000000-0000-7000-8000-000000000000'')');
select pg_temp.said('select ff_replay(null)');
select e.data, h.state - 'from' #- '{items,0,at}' as state, (select string_agg(s.step_id || ' ' || s.position, ', ' order by s.position) from flowforge.step s where s.run_id = h.run_id) as steps,
	(select string_agg(v.type, ' ' order by v.seq) from flowforge.run_event v where v.run_id = h.run_id) as log,
	(select count(*) from flowforge.wait w where w.run_id = h.run_id) as cancels
from flowforge.run_hot h join flowforge.event e using (tenant_id, event_id)
where exists (select from flowforge.run_event v where v.run_id = h.run_id and v.type = 'run.replayed') order by h.run_id;
select flowforge.run_call_steps(h.run_id) from flowforge.run_hot h where h.state ? 'edit';
select f.* from flowforge.fsck() f join pg_temp.mine m using (run_id);

-- Retrying.
select pg_temp.said(format('select ff_retry(%L)', r)) from unnest(array[:'completed', :'failed', :'failed', :'cancelled', '00000000-0000-7000-8000-000000000000']) r;
select e.name, h.state - 'from' #- '{items,0,at}' as state, (select string_agg(s.step_id || ' ' || s.position, ', ' order by s.position) from flowforge.step s where s.run_id = h.run_id) as steps,
	(select string_agg(v.type || coalesce(' ' || v.data::text, ''), ' ' order by v.seq) from flowforge.run_event v where v.run_id = h.run_id) as log
from flowforge.run_hot h join ended e using (run_id) order by e.name;
select f.* from flowforge.fsck() f join pg_temp.mine m using (run_id);

-- Filters.
select pg_temp.said(format('select count(*) from ff_cancel_where(%L)', f)) from unnest(array['null', '[]', '{}', '{"limit": 5}', '{"colour": "red"}', '{"function": 7}',
	'{"function": "control-f", "limit": 0}', '{"function": "control-f", "limit": 1.5}', '{"function": "control-f", "limit": 10001}', '{"if": "event.data.n >"}', '{"since": "soon"}', '{"since": "infinity"}', '{"until": "-infinity"}', '{"since": "1950-01-01"}', '{"until": "200000-01-01"}',
	'{"until": "soon"}', '{"runs": ["x"]}', '{"runs": [7]}', '{"runs": "x"}', '{"function": "control-f", "dry_run": "yes"}']) f;
select pg_temp.said($$select count(*) from ff_cancel_where(null)$$);
select pg_temp.said($$select string_agg(distinct result, ',') from ff_cancel_where('{"function": "control-f", "dry_run": true, "limit": 2}')$$);
select pg_temp.said($$select count(*) from ff_cancel_where('{"function": "control-f", "if": "event.data.n == 1"}')$$);
select pg_temp.said($$select string_agg(kind || ' ' || payload, ', ') from pg_temp.inbox$$);
delete from flowforge.inbox;
select pg_temp.said($$select * from ff_retry_where('{"status": "completed"}')$$);
select pg_temp.said($$select count(*) from ff_retry_where('{"status": "cancelled", "function": "control-f"}')$$);
select pg_temp.said(format($$select result from ff_replay_where('{"runs": ["%s"], "from_step": "b"}')$$, flowforge.ulid(:'completed')));
select pg_temp.said($$select count(*) from ff_replay_where('{"status": "completed", "function": "control-f", "from_step": "nowhere"}')$$);

-- Pausing.
select pg_temp.said(s) from unnest(array['select ff_pause(''control-f'', ''repairs'')', 'select ff_pause(''control-f'')', 'select ff_pause(''nobody'')', 'select ff_pause(null)',
	'select ff_pause_app(''control'')', 'select ff_pause_app(''control'')', 'select ff_pause_app(''nobody'')']) s;
select pg_temp.said('select count(*) from flowforge.paused_functions()');
select pg_temp.said(format('select ff_explain(%L)', :'failed'));
select pg_temp.said(s) from unnest(array['select ff_resume(''control-f'')', 'select ff_resume(''control-f'')', 'select ff_resume(''nobody'')', 'select ff_resume_app(''control'')',
	'select ff_resume_app(''control'')', 'select ff_resume_app(null)']) s;
select pg_temp.said('select count(*) from flowforge.paused_functions()');
select pg_temp.said(s) from unnest(array['select ff_app_timeout(''control'', ''30 s'')', 'select ff_app_timeout(''control'', ''-1 s'')', 'select ff_app_timeout(''control'', null)',
	'select ff_app_timeout(''nobody'', ''1 s'')']) s;

-- Explaining where nobody works.
select pg_temp.said(format('select ff_explain(%L)', :'failed'));
select pg_temp.said('select ff_explain(''00000000-0000-7000-8000-000000000000'')');
select pg_temp.said('select ff_explain(null)');

-- Over HTTP: the same, with their status.
select pg_temp.req('POST', '/api/v1/runs/' || :'completed' || '/retry');
select pg_temp.req('POST', '/api/v1/runs/' || :'failed' || '/retry');
select pg_temp.req('POST', '/api/v1/runs/' || flowforge.ulid(:'completed') || '/replay', '{"from_step": "b", "input": {"n": 1}}');
select pg_temp.req('POST', '/api/v1/runs/' || :'completed' || '/replay', '{"from_step": 7}');
select pg_temp.req('POST', '/api/v1/runs/' || :'completed' || '/replay', '{"from_step": "x"}');
select pg_temp.req('POST', '/api/v1/runs/' || :'completed' || '/replay', '[]');
select pg_temp.req('POST', '/api/v1/runs/x/replay');
select pg_temp.req('GET', '/api/v1/runs/' || :'completed' || '/explain');
select pg_temp.req('GET', '/api/v1/runs/00000000000000000000000000/explain');
select pg_temp.req('POST', '/api/v1/runs/cancel', '{"function": "control-f", "limit": 1, "dry_run": true}');
select pg_temp.req('POST', '/api/v1/runs/cancel', '{"function": "nobody"}');
select pg_temp.req('POST', '/api/v1/runs/cancel');
select pg_temp.req('POST', '/api/v1/runs/cancel', '{}');
select pg_temp.req('POST', '/api/v1/runs/retry', '{"status": "running"}');
select pg_temp.req('POST', '/api/v1/runs/replay', format('{"runs": ["%s"], "dry_run": true}', :'completed'));
select pg_temp.req('GET', '/api/v1/runs/cancel');
select pg_temp.req('POST', '/api/v1/functions/control-f/run', '{"input": {"n": 5}, "idempotency_key": "http"}');
select pg_temp.req('POST', '/api/v1/functions/control-f/run', '{"input": []}');
select pg_temp.req('POST', '/api/v1/functions/control-f/run', '{"idempotency_key": 7}');
select pg_temp.req('POST', '/api/v1/functions/nobody/run');
select pg_temp.req('POST', '/api/v1/functions/control-f/pause', '{"reason": "repairs"}');
select pg_temp.req('POST', '/api/v1/functions/control-f/resume');
select pg_temp.req('POST', '/api/v1/functions/nobody/pause');
select pg_temp.req('POST', '/api/v1/apps/control/pause', '{"reason": 7}');
select pg_temp.req('POST', '/api/v1/apps/control/pause');
select pg_temp.req('POST', '/api/v1/apps/control/resume');
select pg_temp.req('POST', '/api/v1/apps/nobody/resume');
select f.* from flowforge.fsck() f join pg_temp.mine m using (run_id);

-- An event that is gone, of runs that would be called again.
delete from flowforge.event e using flowforge.run r where r.run_id = :'completed' and e.event_id = r.event_id;
select pg_temp.said(format('select ff_replay(%L)', :'completed'));
-- Nothing is left that others may meet.
delete from flowforge.wait w using flowforge.run r, flowforge.function f where w.run_id = r.run_id and f.function_id = r.function_id and f.slug = 'control-f';
delete from flowforge.run_hot h using flowforge.function f where f.function_id = h.function_id and f.slug = 'control-f';

-- Figures for machines that watch: what the database knows of the work in it, as Prometheus reads it. The gateway puts its own before them.

create function flowforge.metric(name text, type text, help text, variadic samples text[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select format(E'# HELP flowforge_%1$s %3$s\n# TYPE flowforge_%1$s %2$s\n', name, type, help)
		|| coalesce((select string_agg(format(E'flowforge_%s%s\n', name, s.sample), '' order by s.place)
			from unnest(samples) with ordinality s (sample, place) where s.sample is not null), '')
$$;
comment on function flowforge.metric(text, text, text, text[]) is
'One metric in the text format of Prometheus: its type (gauge, counter), what it tells, and its samples, each as {labels} value or as a value.';

create function flowforge.executor_metric(name text, type text, help text) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.metric('executor_' || name, type, help, variadic coalesce((
		select array_agg(format('{executor="%s"} %s', e.executor, case when name = 'working' then (e.state = 'working')::integer::text
			else to_jsonb(e) ->> regexp_replace(name, '_total$', '') end) order by e.executor)
		from flowforge.executors() e), '{}'))
$$;
comment on function flowforge.executor_metric(text, text, text) is 'A metric whose samples are what flowforge.executors() gives in the column of its name.';

create function flowforge.run_metrics() returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.metric('info', 'gauge', 'The version of the extension.', format('{version="%s"} 1', flowforge.version()))
		|| flowforge.metric('runs', 'gauge', 'Runs that have not ended: with something to call now, and with nothing to call before a time.',
			(select format('{status="running"} %s', count(*)) from flowforge.run_hot),
			(select format('{status="waiting"} %s', count(*)) from flowforge.run_parked))
		|| flowforge.metric('oldest_running_seconds', 'gauge', 'Age of the oldest run that has something to call now; 0 without any.',
			(select ' ' || coalesce(round(extract(epoch from clock_timestamp() - flowforge.id_time(min(h.run_id::text)::uuid)), 3), 0) from flowforge.run_hot h))
		|| flowforge.metric('queued_runs', 'gauge', 'Runs that have not begun: that wait for an executor or a pause to end, and that wait for room.',
			(select format('{waits_for="executor"} %s', count(*)) from flowforge.run_hot h where h.state is null),
			(select format('{waits_for="room"} %s', count(*)) from flowforge.run_parked p where p.state is null))
		|| flowforge.metric('oldest_queued_seconds', 'gauge', 'Age of the oldest run that has not begun; 0 without any.',
			(select ' ' || coalesce(round(extract(epoch from clock_timestamp() - flowforge.id_time(least(
				(select min(h.run_id::text)::uuid from flowforge.run_hot h where h.state is null),
				(select min(p.run_id::text)::uuid from flowforge.run_parked p where p.state is null)))), 3), 0)))
		|| flowforge.metric('limited_steps', 'gauge', 'Steps of runs with limits: that have room, and that wait until a limit lets them.',
			(select format('{state="running"} %s', coalesce(sum(c.granted - c.released), 0)) from flowforge.claim c),
			(select format('{state="waiting"} %s', coalesce(sum(c.asked - c.granted), 0)) from flowforge.claim c))
		|| flowforge.metric('waits', 'gauge', 'Steps that wait for an event, a signal or a person.', (select ' ' || count(*) from flowforge.wait))
		|| flowforge.metric('inbox', 'gauge', 'Messages to runs that their executors have not taken yet.', (select ' ' || count(*) from flowforge.inbox))
		|| flowforge.metric('calls', 'gauge', 'Calls to apps that are under way.',
			(select ' ' || count(*) from flowforge.calls() c where flowforge.is_operator() or c.tenant_id = flowforge.current_tenant()))
$$;
comment on function flowforge.run_metrics() is
'What Prometheus is told of the work that who asks may see, in its text format: live runs, those that have not begun, the oldest of them, limits reached, '
'waits, calls. Nothing in it names a run. Counting live runs reads all of them.';

-- As the owner, because the work of all tenants is counted.
create function flowforge.metrics() returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	perform flowforge.require_operator('figures of all tenants');
	return flowforge.run_metrics()
		|| flowforge.metric('refused_calls_total', 'counter', 'Calls of senders that a limit of their tenant refused, since the server started.', variadic coalesce((
			select array_agg(format('{limit="%s"} %s', r.quota, r.calls) order by r.quota) from flowforge.refusals() r), '{}'))
		|| flowforge.executor_metric('working', 'gauge', 'Whether the executor works.')
		|| flowforge.metric('executor_state', 'gauge', 'What the executor does: 1 at its state, which says why it idles when it does not work.', variadic coalesce((
			select array_agg(format('{executor="%s",state="%s"} 1', e.executor, e.state) order by e.executor) from flowforge.executors() e), '{}'))
		|| flowforge.executor_metric('ready', 'gauge', 'Runs that the executor is to call now.')
		|| flowforge.executor_metric('in_flight', 'gauge', 'Calls of the executor that are under way.')
		|| flowforge.executor_metric('timers', 'gauge', 'Instants that the executor waits for.')
		|| flowforge.executor_metric('commits_total', 'counter', 'Transactions of the executor since the server started.')
		|| flowforge.executor_metric('steps_total', 'counter', 'Steps that ended, since the server started.')
		|| flowforge.executor_metric('runs_ended_total', 'counter', 'Runs that ended, since the server started.')
		|| flowforge.executor_metric('errors_total', 'counter', 'Errors of the executor since the server started.')
		|| flowforge.metric('sql_workers', 'gauge', 'Workers for SQL steps, by what they do.', variadic coalesce((
			select array_agg(format('{state="%s"} %s', w.state, w.n) order by w.state)
			from (select s.state, count(*) as n from flowforge.sql_workers() s group by s.state) w), '{}'));
end
$$;
comment on function flowforge.metrics() is
'What Prometheus is told of this database, in its text format: flowforge.run_metrics() of all tenants, and the executors. Rates are those of the counters. '
'Error: FF640 for other tenants than the operator''s.';

create function flowforge.api_metrics(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return (200, E'content-type: text/plain; version=0.0.4; charset=utf-8\ncache-control: no-store\n',
		case when flowforge.is_operator() then flowforge.metrics() else flowforge.run_metrics() end)::flowforge.response;
end
$$;
comment on function flowforge.api_metrics(flowforge.request) is 'GET /metrics: figures for Prometheus; of the asker''s tenant, and for the operator of the whole server.';

insert into flowforge.route (method, pattern, function, scope, tag, summary, response_schema) values
('GET', '/metrics', 'flowforge.api_metrics', 'metrics:read', 'health', 'Figures of the database and of the gateway that answers, for Prometheus',
'{"type": "string", "contentMediaType": "text/plain"}');

-- What Prometheus is told.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;

create function pg_temp.line(wanted text) returns bigint
language sql volatile as $$
	select count(*) from regexp_split_to_table(flowforge.metrics(), E'\n') l where l = wanted
$$;

select plan(9);

select is_empty($$
	select l from regexp_split_to_table(rtrim(flowforge.metrics(), E'\n'), E'\n') l
	where l !~ '^# (HELP|TYPE) flowforge_[a-z_]+ ' and l !~ '^flowforge_[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.]+$'
$$, 'every line is a sample or announces some');
select is_empty($$
	select m[1] from regexp_matches(flowforge.metrics(), E'^# TYPE (\\S+)', 'gn') m group by 1 having count(*) > 1
$$, 'no metric is announced twice');
select is_empty($$
	select m[1] from regexp_matches(flowforge.metrics(), E'^# TYPE (\\S+) counter', 'gn') m where m[1] !~ '_total$'
$$, 'the name of a counter ends with _total');
select ff_register_app('http://127.0.0.1:9/api', 'metrics', '[{"id": "metrics-a", "triggers": [{"event": "metrics/a"}]}]') \g /dev/null
select regexp_replace(l, '.* ', '')::integer as running from regexp_split_to_table(flowforge.metrics(), E'\n') l where l like 'flowforge_runs{status="running"}%' \gset
select ff_send_event('metrics/a') \g /dev/null
select ff_send_event('metrics/a') \g /dev/null
select is(pg_temp.line(format('flowforge_runs{status="running"} %s', :running + 2)), 1::bigint, 'runs that could go on are counted');
select is(pg_temp.line(format('flowforge_info{version="%s"} 1', flowforge.version())), 1::bigint, 'the version is told');
select matches(flowforge.metrics(), E'\nflowforge_oldest_running_seconds [0-9]+\\.[0-9]+\n', 'the age of the oldest of them is told in seconds');
select unalike(flowforge.metrics(), '%' || (select run_id from flowforge.run_hot limit 1) || '%', 'no run is named');
select is((select s.status from flowforge.serve('GET', '/metrics', '', '{}', '') s), 200, 'it is a route');
select is((select s.headers like '%text/plain; version=0.0.4%' from flowforge.serve('GET', '/metrics', '', '{}', '') s), true, 'of text as Prometheus reads it');

select * from finish();
rollback;

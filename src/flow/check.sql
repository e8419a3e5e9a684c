-- What is wrong with the flow control of functions, as apps register it and workflows have it in their settings.

create function flowforge.rate_parts(rate text) returns bigint[]
language c immutable strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_flow_rate_parts';
comment on function flowforge.rate_parts(text) is
'What shorthand means, as {how many, in how many microseconds}: "60/min", "10/1h30m", and "10s", which is one in ten seconds; null when it cannot be read.';

create function flowforge.check_range(span text, low text, high text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when span !~ '^(\d{1,9}(ms|us|ns|s|m|h|d|w))+$' or flowforge.rate_parts(span) is null then format('"%s" is not a duration', span)
		when (flowforge.rate_parts(span))[2] not between (flowforge.rate_parts(low))[2] and (flowforge.rate_parts(high))[2] then
			format('"%s" is not between %s and %s', span, low, high)
	end
$$;
comment on function flowforge.check_range(text, text, text) is 'What is wrong with a duration that must be in a range, or null when nothing is.';

create function flowforge.check_rate(rate text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when flowforge.rate_parts(rate) is null then format('"%s" is not a rate', rate)
		when (flowforge.rate_parts(rate))[1] > 1000000000 then format('"%s" is more than 1000000000', rate)
		when (flowforge.rate_parts(rate))[2] not between 1000000 and 86400000000 then format('"%s" has a period that is not between 1s and 24h', rate)
	end
$$;
comment on function flowforge.check_rate(text) is 'What is wrong with the shorthand of a rateLimit or a throttle, or null when nothing is.';

-- The options and what they may be: a table of paths below a function's configuration.
create function flowforge.flow_members()
returns table (option text, path text[], kind text, low text, high text, needed boolean)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	values
		('rateLimit', '{rateLimit,limit}'::text[], 'number', '1', '1000000000', true), ('rateLimit', '{rateLimit,period}', 'duration', '1s', '24h', true),
		('rateLimit', '{rateLimit,key}', 'expression', null, null, false),
		('rate', '{rate,limit}', 'number', '1', '1000000000', true), ('rate', '{rate,period}', 'duration', '1s', '24h', true),
		('rate', '{rate,key}', 'expression', null, null, false),
		('throttle', '{throttle,limit}', 'number', '1', '1000000000', true), ('throttle', '{throttle,period}', 'duration', '1s', '24h', true),
		('throttle', '{throttle,burst}', 'number', '0', '1000000000', false), ('throttle', '{throttle,key}', 'expression', null, null, false),
		('debounce', '{debounce,period}', 'duration', '1s', '7d', true), ('debounce', '{debounce,timeout}', 'duration', '1s', '31d', false),
		('debounce', '{debounce,key}', 'expression', null, null, false),
		('batchEvents', '{batchEvents,maxSize}', 'number', '1', '1000', true), ('batchEvents', '{batchEvents,timeout}', 'duration', '1s', '10m', false),
		('batchEvents', '{batchEvents,key}', 'expression', null, null, false), ('batchEvents', '{batchEvents,if}', 'expression', null, null, false),
		('priority', '{priority,run}', 'expression', null, null, true),
		('singleton', '{singleton,mode}', 'mode', null, null, true), ('singleton', '{singleton,key}', 'expression', null, null, false),
		('idempotency', '{idempotency}', 'expression', null, null, false)
$$;
comment on function flowforge.flow_members() is 'Every member of the options of flow control but concurrency: its kind, its range, and whether the option is nothing without it.';

-- Functions that have some, which are few of ten thousand.
create function flowforge.flowing_functions(payload jsonb) returns table (number bigint, config jsonb)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select f.number, f.config
	from flowforge.listed_functions(payload) f
	where f.config ?| '{concurrency,rateLimit,rate,throttle,debounce,batchEvents,priority,singleton,idempotency}'
$$;
comment on function flowforge.flowing_functions(jsonb) is 'The functions of a registration that have flow control.';

-- The members of all options, those of concurrency among them, with what they must be. A value is null when there is none.
create function flowforge.flow_settings(payload jsonb)
returns table (number bigint, field text, kind text, low text, high text, needed boolean, value jsonb)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select f.number, array_to_string(m.path, '.'), m.kind, m.low, m.high, m.needed, nullif(nullif(f.config #> m.path, 'null'), '[]')
	from flowforge.flowing_functions(payload) f
	cross join flowforge.flow_members() m
	where jsonb_typeof(f.config -> m.option) = case when cardinality(m.path) = 1 then 'string' else 'object' end
	union all
	select c.number, c.field || '.' || m.name, m.kind, m.low, m.high, m.needed, nullif(nullif(c.value -> m.name, 'null'), '[]')
	from flowforge.listed_settings(payload, 'concurrency') c
	cross join (values ('limit', 'number', '0', '1000000', true), ('key', 'expression', null, null, false), ('scope', 'scope', null, null, false))
		as m (name, kind, low, high, needed)
	where jsonb_typeof(c.value) = 'object'
	union all
	select f.number, 'concurrency', 'number', '0', '1000000', true, f.config -> 'concurrency'
	from flowforge.flowing_functions(payload) f
	where jsonb_typeof(f.config -> 'concurrency') = 'number'
	union all
	select f.number, k.field, k.kind, k.low, k.high, true, f.config -> k.field
	from flowforge.flowing_functions(payload) f
	cross join (values ('rateLimit', 'rate', null, null), ('rate', 'rate', null, null), ('throttle', 'rate', null, null), ('debounce', 'duration', '1s', '7d')) as k (field, kind, low, high)
	where jsonb_typeof(f.config -> k.field) = 'string'
$$;
comment on function flowforge.flow_settings(jsonb) is 'What the functions of a registration say of their flow control, and what each of it must be.';

create function flowforge.flow_shape_problems(payload jsonb) returns table (number bigint, field text, problem text, fix text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select f.number, k.field, format('is of type %s, not %s', jsonb_typeof(f.config -> k.field), array_to_string(k.types, ' or ')),
		format('Make it of type %s or leave it out.', k.types[1])
	from flowforge.flowing_functions(payload) f
	cross join (values
		('concurrency', '{array,object,number}'::text[]), ('rateLimit', '{object,string}'), ('rate', '{object,string}'), ('throttle', '{object,string}'),
		('debounce', '{object,string}'), ('batchEvents', '{object}'), ('priority', '{object}'), ('singleton', '{object}'), ('idempotency', '{string}')) as k (field, types)
	where flowforge.setting(f.config, k.field) is not null and jsonb_typeof(f.config -> k.field) <> all (k.types)
	union all
	select f.number, 'concurrency', format('has %s elements', jsonb_array_length(f.config -> 'concurrency')), 'Use at most 2.'
	from flowforge.flowing_functions(payload) f
	where case jsonb_typeof(f.config -> 'concurrency') when 'array' then jsonb_array_length(f.config -> 'concurrency') > 2 end
	union all
	select c.number, c.field, format('is of type %s, not object', jsonb_typeof(c.value)), 'Write it like {"limit": 5, "key": "event.data.customer"}.'
	from flowforge.listed_settings(payload, 'concurrency') c
	where jsonb_typeof(c.value) <> 'object'
	union all
	select f.number, k.field, format('cannot be combined with %s', k.other), format('Remove %s or %s.', k.field, k.other)
	from flowforge.flowing_functions(payload) f
	cross join (values
		('batchEvents', 'cancel'), ('batchEvents', 'debounce'), ('batchEvents', 'singleton'), ('batchEvents', 'priority'), ('batchEvents', 'idempotency'),
		('batchEvents', 'rateLimit'), ('batchEvents', 'rate'), ('rateLimit', 'rate')) as k (field, other)
	where flowforge.setting(f.config, k.field) is not null and flowforge.setting(f.config, k.other) is not null
$$;
comment on function flowforge.flow_shape_problems(jsonb) is 'What is wrong with the form of functions'' flow control, and with what they combine.';

create function flowforge.flow_problems(payload jsonb) returns table (number bigint, field text, problem text, fix text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select p.number, p.field, p.problem, p.fix
	from flowforge.flow_shape_problems(payload) p
	union all
	select s.number, s.field, c.problem, case
			when s.kind = 'number' then format('Make it a number from %s to %s.', s.low, s.high)
			when s.kind = 'duration' then format('Write it like 30s or 1h30m, from %s to %s.', s.low, s.high)
			when s.kind = 'rate' then 'Write it like "60/min" or "10/1h", or "10s" for one in ten seconds.'
			when s.kind = 'mode' then 'Use "skip" or "cancel".'
			when s.kind = 'scope' then 'Use "fn", "env" or "account".'
			when s.field = 'priority.run' then 'Give the seconds of head start, like event.data.vip ? 120 : 0.'
			else 'Write it like event.data.customer.'
		end
	from flowforge.flow_settings(payload) s
	cross join lateral (
		select case
			when s.value is null then case when s.needed then 'is missing' end
			when s.kind = 'number' then case when not flowforge.is_whole(s.value, s.low::bigint, s.high::bigint) then
				format('%s is not a whole number from %s to %s', s.value, s.low, s.high) end
			when s.kind = 'mode' then case when s.value not in ('"skip"', '"cancel"') then format('%s is not a mode', s.value) end
			when s.kind = 'scope' then case when s.value not in ('"fn"', '"env"', '"account"') then format('%s is not a scope', s.value) end
			when jsonb_typeof(s.value) <> 'string' then format('is of type %s, not text', jsonb_typeof(s.value))
			when s.kind = 'expression' then flowforge.check_expression(s.value #>> '{}')
			when s.kind = 'rate' then flowforge.check_rate(s.value #>> '{}')
			else flowforge.check_range(s.value #>> '{}', s.low, s.high)
		end as problem
	) c
	where c.problem is not null
	union all
	select f.number, 'debounce.timeout', 'is shorter than the period', 'Make it longer than the period: it is when the wait for quiet ends at the latest.'
	from flowforge.flowing_functions(payload) f
	where jsonb_typeof(f.config -> 'debounce') = 'object'
		and (flowforge.rate_parts(f.config #>> '{debounce,timeout}'))[2] < (flowforge.rate_parts(f.config #>> '{debounce,period}'))[2]
$$;
comment on function flowforge.flow_problems(jsonb) is
'What is wrong with the flow control of {"functions": [configuration]}: which function (from 1), where, what, and what to do about it.';

create function flowforge.flow_findings(settings jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(jsonb_build_object('code', 'bad_policy', 'message', format('%s: %s', p.field, p.problem), 'path', 'settings.' || p.field,
		'hint', p.fix)), '[]')
	from flowforge.flow_problems(jsonb_build_object('functions', jsonb_build_array(settings))) p
$$;
comment on function flowforge.flow_findings(jsonb) is 'The same of a workflow''s settings, as findings of ff_workflow_validate.';

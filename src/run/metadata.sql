-- What functions note about their runs: scores, experiments, anything of theirs. One row a subject and kind; written over HTTP.
create table flowforge.run_metadata (
	tenant_id integer not null,
	run_id uuid not null,
	scope text not null check (scope in ('run', 'step', 'step_attempt', 'extended_trace')),
	step text not null default '',
	step_index integer not null default 0,
	attempt integer not null default -1,
	span text not null default '',
	kind text not null,
	values jsonb not null,
	updated_at timestamptz not null default now(),
	primary key (tenant_id, run_id, step, step_index, attempt, span, kind)
);
comment on table flowforge.run_metadata is
'What was noted about a run, one of its steps (by the name its function gives it), an attempt (-1: whichever) or a span: values by kind.';
select pg_catalog.pg_extension_config_dump('flowforge.run_metadata', '');

create function flowforge.metadata_changed(old jsonb, op text, given jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case op
		when 'merge' then old || given
		when 'delete' then old - array(select jsonb_object_keys(given))
		when 'add' then old || (
			select coalesce(jsonb_object_agg(g.key, case
				when jsonb_typeof(g.value) = 'number' and jsonb_typeof(old -> g.key) = 'number'
					then to_jsonb((old ->> g.key)::numeric + (g.value #>> '{}')::numeric)
				else g.value
			end), '{}')
			from jsonb_each(given) g)
		else given
	end
$$;
comment on function flowforge.metadata_changed(jsonb, text, jsonb) is
'Values after a change: set replaces them, merge adds members, delete removes those named, add sums numbers.';

create function flowforge.metadata_json(tenant integer, run uuid, subject text[] default null) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_agg(jsonb_build_object('scope', m.scope, 'kind', m.kind, 'values', m.values, 'updatedAt', m.updated_at)
		order by m.updated_at, m.kind), '[]')
	from flowforge.run_metadata m
	where m.tenant_id = tenant and m.run_id = run and case when subject is null then m.scope = 'run' else m.step = any (subject) end
$$;
comment on function flowforge.metadata_json(integer, uuid, text[]) is 'What was noted about a run itself, or about a step by any of its names.';

create function flowforge.note_metadata(tenant integer, run uuid, target jsonb, change jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	noted flowforge.run_metadata;
begin
	insert into flowforge.run_metadata as m (tenant_id, run_id, scope, step, step_index, attempt, span, kind, values)
	values (tenant, run,
		case
			when target ->> 'span_id' is not null then 'extended_trace'
			when target ->> 'step_attempt' is not null then 'step_attempt'
			when target ->> 'step_id' is not null then 'step'
			else 'run'
		end,
		coalesce(target ->> 'step_id', ''), coalesce((target ->> 'step_index')::integer, 0), coalesce((target ->> 'step_attempt')::integer, -1),
		coalesce(target ->> 'span_id', ''), change ->> 'kind', flowforge.metadata_changed('{}', change ->> 'op', change -> 'values'))
	on conflict (tenant_id, run_id, step, step_index, attempt, span, kind) do update
	set values = flowforge.metadata_changed(m.values, change ->> 'op', change -> 'values'), updated_at = now()
	returning * into noted;
	if octet_length(noted.values::text) > 65536 then
		raise exception using errcode = 'FF206', message = format('the metadata of kind "%s" is larger than 64 KB', noted.kind),
			hint = 'Keep large values in step results and note what tells them apart.';
	end if;
end
$$;
comment on function flowforge.note_metadata(integer, uuid, jsonb, jsonb) is
'Notes a change {kind, op, values} about a run or, as target {step_id, step_index, step_attempt, span_id} says, a part of it. Error: FF206.';

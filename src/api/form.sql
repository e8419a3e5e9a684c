-- Forms for people, drawn from a JSON Schema, and what they send. The members of an object are fields named data.NAME; a schema that names none
-- is one field, data, of JSON. Whether what comes is what the schema asks for is for flowforge.schema_check to say: what cannot be read as
-- the field's type stays the text it is.

create function flowforge.form_kind(schema jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when jsonb_typeof(schema -> 'enum') = 'array' then 'choice'
		when t.type = 'boolean' then 'checkbox'
		when t.type in ('integer', 'number') then 'number'
		when t.type = 'string' and (schema ->> 'x-control' = 'text' or case when jsonb_typeof(schema -> 'maxLength') = 'number'
			then (schema ->> 'maxLength')::numeric > 200 end) then 'lines'
		when t.type = 'string' then case schema ->> 'format' when 'date' then 'date' when 'email' then 'email' when 'uri' then 'url' else 'text' end
		else 'json'
	end
	from (
		select coalesce(jsonb_path_query_first(schema -> 'type', '$[*] ? (@ != "null")') #>> '{}', '') as type
	) t
$$;
comment on function flowforge.form_kind(jsonb) is
'How a value of a schema is asked for: choice, lines (of text), json, or a type of HTML''s input.';

create function flowforge.form_fields(form jsonb) returns table (name text, schema jsonb, required boolean)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select p.key, p.value, coalesce(r.place is not null, false)
	from jsonb_each(case when jsonb_typeof(form -> 'properties') = 'object' then form -> 'properties' end) p
	left join (
		select q.value #>> '{}' as name, min(q.ordinality) as place
		from jsonb_array_elements(case when jsonb_typeof(form -> 'required') = 'array' then form -> 'required' end) with ordinality q
		group by 1
	) r on r.name = p.key
	order by r.place, p.key
$$;
comment on function flowforge.form_fields(jsonb) is
'The members a schema names: those it requires in its order, then the others by name (jsonb keeps no order of members).';

create function flowforge.html_attributes(attributes jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(string_agg(' ' || a.key || case when a.value = 'true' then '' else '="' || flowforge.html(a.value #>> '{}') || '"' end, ''), '')
	from jsonb_each(attributes) a
	where a.value not in ('null', 'false')
$$;
comment on function flowforge.html_attributes(jsonb) is 'Attributes of an element: those of true have no value, those of false or null are left out.';

-- given is what the field had, null for its default.
create function flowforge.form_input(name text, schema jsonb, required boolean, given text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case k.kind
		when 'choice' then '<select' || c.common || '><option value=""></option>' || (
			select string_agg('<option' || flowforge.html_attributes(jsonb_build_object('value', e.value::text, 'selected', e.value::text = v.value)) || '>'
				|| flowforge.html(coalesce(e.value #>> '{}', 'null')) || '</option>', '' order by e.ordinality)
			from jsonb_array_elements(schema -> 'enum') with ordinality e) || '</select>'
		when 'checkbox' then '<input type="checkbox" value="true"' || flowforge.html_attributes(
			jsonb_build_object('name', name, 'id', name, 'checked', v.value = 'true')) || '>'
		when 'lines' then '<textarea rows="6"' || c.common || E'>\n' || flowforge.html(v.value) || '</textarea>'
		when 'json' then '<textarea rows="6" placeholder="JSON" spellcheck="false"' || c.common || E'>\n' || flowforge.html(v.value) || '</textarea>'
		else '<input' || flowforge.html_attributes(jsonb_build_object('type', k.kind, 'value', v.value,
			'step', case when k.kind = 'number' and schema -> 'type' @> '"number"' then 'any' end)) || c.common || '>'
	end
	from (select flowforge.form_kind(schema) as kind) k
	cross join lateral (
		select coalesce(given, case when k.kind in ('choice', 'json') then (schema -> 'default')::text else schema ->> 'default' end) as value
	) v
	cross join lateral (
		select flowforge.html_attributes(jsonb_build_object('name', name, 'id', name, 'required', required) || case
			when k.kind = 'number' then jsonb_build_object('min', schema -> 'minimum', 'max', schema -> 'maximum')
			when k.kind in ('choice', 'json') then '{}'
			else jsonb_build_object('minlength', schema -> 'minLength', 'maxlength', schema -> 'maxLength')
		end) as common
	) c
$$;
comment on function flowforge.form_input(text, jsonb, boolean, text) is 'The element of HTML that asks for a value of a schema.';

create function flowforge.form_field(name text, label text, schema jsonb, required boolean, given text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select format('<label for="%s">%s%s</label>%s%s', flowforge.html(name), flowforge.html(label), case when required then ' *' else '' end,
		case when schema ? 'description' then '<p class="dim">' || flowforge.html(schema ->> 'description') || '</p>' end, flowforge.form_input(name, schema, required, given))
$$;
comment on function flowforge.form_field(text, text, jsonb, boolean, text) is 'A field of a form with its label and what it is for.';

create function flowforge.form_html(form jsonb, given jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when form is null then ''
		when exists (select from flowforge.form_fields(form)) then (
			select string_agg(flowforge.form_field('data.' || f.name, coalesce(f.schema ->> 'title', f.name), f.schema,
				f.required and flowforge.form_kind(f.schema) <> 'checkbox',
				case when given is null then null else coalesce(given ->> ('data.' || f.name), '') end), '' order by f.place)
			from (select row_number() over () as place, x.* from flowforge.form_fields(form) x) f)
		else flowforge.form_field('data', coalesce(form ->> 'title', 'Data'), (case when form -> 'type' = '"object"' then '{"default": {}}' else '{}' end)::jsonb
			|| (form - 'type' - 'enum'), false, given ->> 'data')
	end
$$;
comment on function flowforge.form_html(jsonb, jsonb) is 'The fields that ask for a value of a schema, with what was given; null for their defaults.';

create function flowforge.json_or_text(value text) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	return value::jsonb;
exception when data_exception or program_limit_exceeded then
	return to_jsonb(value);
end
$$;
comment on function flowforge.json_or_text(text) is 'A text read as JSON, or the text itself when it is none.';

-- Of a field nobody has filled in: null, and false of a box nobody has ticked.
create function flowforge.form_value(schema jsonb, given jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when k.kind = 'checkbox' then to_jsonb(coalesce(given #>> '{}', '') <> '')
		when coalesce(given #>> '{}', '') = '' then null
		when jsonb_typeof(given) <> 'string' then given
		when k.kind in ('choice', 'number', 'json') then flowforge.json_or_text(given #>> '{}')
		else to_jsonb(replace(given #>> '{}', E'\r\n', E'\n'))
	end
	from (select flowforge.form_kind(schema) as kind) k
$$;
comment on function flowforge.form_value(jsonb, jsonb) is 'What a field of a form says, by its schema.';

create function flowforge.form_data(form jsonb, given jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when form is null then null
		when exists (select from flowforge.form_fields(form)) then (
			select coalesce(jsonb_object_agg(f.name, v.value) filter (where v.value is not null), '{}')
			from flowforge.form_fields(form) f
			cross join lateral (select flowforge.form_value(f.schema, given -> ('data.' || f.name)) as value) v)
		else flowforge.form_value('{}', given -> 'data')
	end
$$;
comment on function flowforge.form_data(jsonb, jsonb) is 'The value a form says, from the fields it sends.';

-- The two pages a server has of itself: an overview and the list of routes. Neither needs anything from outside.

create function flowforge.html(value text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(replace(replace(replace(replace(replace(value, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;'), '')
$$;
comment on function flowforge.html(text) is 'Text as it must stand in HTML; nothing for null.';

create function flowforge.html_page(
	title text, body text, refresh integer default null, status integer default 200, has_form boolean default false
) returns flowforge.response
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select (status,
		format(E'content-type: text/html; charset=utf-8\ncache-control: no-store\nx-content-type-options: nosniff\nreferrer-policy: no-referrer\n'
			'content-security-policy: default-src ''none''; style-src ''unsafe-inline''; frame-ancestors ''none''; base-uri ''none''; form-action %s\n',
			case when has_form then '''self''' else '''none''' end),
		format('<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">%s<title>%s</title>'
			'<style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}'
			'h1{font-size:1.4rem;margin:0}h2{font-size:1rem;margin:2rem 0 .5rem}table{border-collapse:collapse;width:100%%}'
			'th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8883;vertical-align:top}th{font-weight:600;opacity:.7}'
			'code{font:13px ui-monospace,monospace}a{color:inherit}.dim{opacity:.65}.completed,.working{color:#2a8a4a}'
			'.failed{color:#d03a3a}.cancelled{color:#b07a10}.running{color:#2a6fd0}.said{white-space:pre-wrap;overflow-wrap:anywhere}'
			'form{max-width:40rem}form p{margin:0}label{display:block;margin:1rem 0 .2rem;font-weight:600}button{margin:1.5rem .5rem 0 0;padding:.4rem 1.2rem}'
			'input,textarea,select,button{font:inherit}input:not([type=checkbox]),textarea,select{width:100%%;box-sizing:border-box}</style>%s</html>',
			'<meta http-equiv="refresh" content="' || refresh || '">', flowforge.html(title), body))::flowforge.response
$$;
comment on function flowforge.html_page(text, text, integer, integer, boolean) is
'A page of HTML, read again every `refresh` seconds, whose forms, if it has any, are sent to us. title is text, body is HTML.';

create function flowforge.html_table(headings text[], rows text, nothing text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when rows is null then '<p class="dim">' || flowforge.html(nothing) || '</p>'
		else '<table><tr>' || (select string_agg('<th>' || flowforge.html(h.heading) || '</th>', '' order by h.ordinality)
			from unnest(headings) with ordinality as h (heading, ordinality)) || '</tr>' || rows || '</table>'
	end
$$;
comment on function flowforge.html_table(text[], text, text) is 'A table: headings and what stands there instead are text, rows is HTML.';

create function flowforge.html_runs() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.html_table('{Run,Function,Status,Event,Created,Took}', (
		select string_agg(format('<tr><td><a href="/api/v1/runs/%s"><code>%s</code></a></td><td>%s</td><td class="%s">%s</td><td>%s</td><td>%s</td><td>%s</td></tr>',
			r.run_id, r.ulid, flowforge.html(r.function), r.status, r.status, flowforge.html(r.event_name),
			to_char(r.created_at, 'YYYY-MM-DD HH24:MI:SS'), coalesce(round(extract(epoch from r.ended_at - r.created_at), 3) || ' s', '')),
			'' order by r.run_id desc)
		from flowforge.run_page(('00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 24), null, null, null) r),
		'No run yet. In psql: select ff_send_event(''order/created'', ''{"id": "o1"}'');')
$$;
comment on function flowforge.html_runs() is 'The latest runs.';

create function flowforge.html_functions() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.html_table('{Function,App,Started by,Version}', (
		select string_agg(format('<tr><td><code>%s</code></td><td>%s</td><td>%s</td><td>%s</td></tr>', flowforge.html(f.function), flowforge.html(f.app),
			(select string_agg(flowforge.html(coalesce(t.value ->> 'event', t.value ->> 'cron')), '<br>') from jsonb_array_elements(f.triggers) t),
			f.version), '' order by f.function)
		from flowforge.functions f
		where f.tenant_id = flowforge.current_tenant() and f.archived_at is null),
		'No function yet. Start an app with INNGEST_DEV set to this address and call its serve URL with PUT.')
$$;
comment on function flowforge.html_functions() is 'The functions apps serve.';

create function flowforge.html_status() returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.html_table('{Item,Value}', (
		select string_agg(format('<tr><td>%s</td><td>%s</td></tr>', flowforge.html(s.item), flowforge.html(s.value)), '')
		from @extschema@.ff_status() s), 'Nothing is known.')
$$;
comment on function flowforge.html_status() is 'What ff_status tells.';

create function flowforge.api_home(request flowforge.request) returns flowforge.response
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.html_page('FlowForge',
		'<h1>FlowForge</h1><p class="dim">Durable workflows inside PostgreSQL · <a href="/api/docs">HTTP API</a> · '
		|| to_char(clock_timestamp(), 'HH24:MI:SS') || ' UTC</p><h2>Latest runs</h2>' || flowforge.html_runs()
		|| '<h2>Functions</h2>' || flowforge.html_functions() || '<h2>Status</h2>' || flowforge.html_status(), 5);
end
$$;
comment on function flowforge.api_home(flowforge.request) is 'GET /: an overview for people.';

create function flowforge.api_docs(request flowforge.request) returns flowforge.response
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	return flowforge.html_page('FlowForge HTTP API',
		'<h1>HTTP API</h1><p class="dim">Made from <code>flowforge.route</code>, as is <a href="/api/openapi.json">the OpenAPI 3.1 document</a>.</p>' || (
		select string_agg(format('<h2>%s</h2>%s', flowforge.html(t.tag), flowforge.html_table('{Method,Path,Answer,Scope}', t.rows, '')), '' order by t.tag)
		from (
			select r.tag, string_agg(format('<tr><td><code>%s</code></td><td><code>%s</code></td><td>%s</td><td class="dim">%s</td></tr>',
				r.method, flowforge.html(r.pattern), flowforge.html(r.summary), flowforge.html(r.scope)), '' order by r.pattern, r.method) as rows
			from flowforge.route r
			group by r.tag
		) t));
end
$$;
comment on function flowforge.api_docs(flowforge.request) is 'GET /api/docs: the routes for people.';

insert into flowforge.route (method, pattern, function, scope, tag, summary, response_schema) values
('GET', '/', 'flowforge.api_home', 'runs:read', 'pages', 'An overview for people', '{"type": "string", "contentMediaType": "text/html"}'),
('GET', '/api/docs', 'flowforge.api_docs', 'public', 'pages', 'The routes for people', '{"type": "string", "contentMediaType": "text/html"}');

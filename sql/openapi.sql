-- The OpenAPI document is made from the routes, and the routes are what the API does.
set client_min_messages = warning;
create extension if not exists flowforge;
reset client_min_messages;

-- The whole API on one screen.
select method, pattern, scope, lane, style from flowforge.route order by pattern collate "C", method;

-- The document names itself and its security.
create temp table document as
select s.status, s.headers, convert_from(s.body, 'UTF8')::jsonb as json from flowforge.serve('GET', '/api/openapi.json', '', '{}', null) s;
select status, json ->> 'openapi' as openapi, json #>> '{info,title}' as title, json #>> '{info,version}' = flowforge.version() as version,
	json #> '{components,securitySchemes,bearer,scheme}' as security
from document;

-- Every route is an operation of it, and nothing else is.
select count(*) as differences from (
	(select pattern, lower(method) as method from flowforge.route
	except
	select p.key, o.key from document, jsonb_each(json -> 'paths') p, jsonb_each(p.value) o)
	union all
	(select p.key, o.key from document, jsonb_each(json -> 'paths') p, jsonb_each(p.value) o
	except
	select pattern, lower(method) from flowforge.route)
) d;

-- An operation with a parameter in its path and some in its query, and one with a body.
\pset format unaligned
select jsonb_pretty(json -> 'paths' -> '/api/v1/runs/{id}/events' -> 'get') from document;
select jsonb_pretty(json -> 'paths' -> '/e/{key}' -> 'post') from document;
\pset format aligned

-- Every reference leads to a schema, every schema is referred to, operation ids are unique.
create temp table reference as
select distinct r #>> '{}' as name from document, jsonb_path_query(json, '$.**."$ref"') r;
select name as dangling from reference where not exists (
	select from document, jsonb_object_keys(json #> '{components,schemas}') s where name = '#/components/schemas/' || s);
select s as unused from document, jsonb_object_keys(json #> '{components,schemas}') s
where not exists (select from reference where name = '#/components/schemas/' || s);
select o ->> 'operationId' as repeated from document, jsonb_path_query(json, '$.paths.*.*') o group by 1 having count(*) > 1;

-- Whoever has it need not read it again.
select s.status, length(s.body) as bytes, s.headers ~ 'etag: "' as tagged
from document d,
	flowforge.serve('GET', '/api/openapi.json', '', jsonb_build_object('if-none-match', substring(d.headers from 'etag: (.*?)\n')), null) s;

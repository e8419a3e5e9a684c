create function flowforge.serve(
	method text, path text, query text, headers jsonb, body bytea,
	out status integer, out headers text, out body bytea
)
language c volatile security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set jit = off
as 'MODULE_PATHNAME', 'ff_api_serve';
comment on function flowforge.serve(text, text, text, jsonb, bytea) is
'Answers one HTTP request: finds its route, checks who asks, calls the route''s function and turns errors into answers. path and '
'query are as they came, still percent-encoded; headers is an object of lower-case names. The gateway''s only way in.';
revoke execute on function flowforge.serve(text, text, text, jsonb, bytea) from public;
grant execute on function flowforge.serve(text, text, text, jsonb, bytea) to flowforge_gateway;

create function flowforge.serve_problem() returns text
language c stable as 'MODULE_PATHNAME', 'ff_sql_serve_problem';
comment on function flowforge.serve_problem() is 'Why flowforge.serve answers nobody: what is not configured; null when nothing is missing.';
revoke execute on function flowforge.serve_problem() from public;
grant execute on function flowforge.serve_problem() to flowforge_gateway;

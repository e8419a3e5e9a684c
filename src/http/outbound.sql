create function flowforge.outbound_problem(url text, address text default null, allow text default null, ports text default null) returns text
language c stable
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_sql_outbound_problem';
comment on function flowforge.outbound_problem(text, text, text, text) is
'What keeps a step from calling a URL, or null when nothing does; of a URL whose host is a name, when the name has resolved to the address. '
'allow and ports stand in for flowforge.outbound_allow and flowforge.outbound_ports. Nothing is called and no name resolved. Error: FF204.';
revoke execute on function flowforge.outbound_problem(text, text, text, text) from public;

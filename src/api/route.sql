-- The HTTP API is rows of this table. The gateway asks which methods, patterns and lanes there are; flowforge.serve finds the row of
-- a request and calls its function; the OpenAPI document is made from the same rows. Written by the install script only.

create type flowforge.request as (
	method text, path text, params jsonb, query jsonb, headers jsonb, body bytea, json jsonb, request_id text
);
comment on type flowforge.request is
'What a route''s function is given: params from the path, query from the query string (both objects of text), headers (lower-case '
'names), the body as it came, the body as JSON (null when it is none), and the id of the request.';

create type flowforge.response as (status integer, headers text, body text);
comment on type flowforge.response is 'What a route''s function answers; headers are lines of "name: value".';

create table flowforge.route (
	method text not null check (method in ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')),
	pattern text not null check (pattern ~ '^/' and length(pattern) <= 200),
	function text not null,
	lane text not null default 'call' check (lane in ('ingest', 'call')),
	headers text not null default 'known' check (headers in ('known', 'all')),
	scope text not null,
	style text not null default 'problem' check (style in ('problem', 'sdk', 'event', 'page')),
	tag text not null,
	summary text not null,
	request_schema jsonb not null default '{}',
	response_schema jsonb not null,
	primary key (pattern, method)
);
comment on table flowforge.route is
'The HTTP API: which function(flowforge.request) returns flowforge.response answers a method and a path. A {name} in the pattern '
'matches one segment of the path. Every change is announced on the channel flowforge_route.';
comment on column flowforge.route.function is 'Qualified name of the function that answers.';
comment on column flowforge.route.lane is
'ingest: fast writes, which the gateway gathers into one transaction; call: everything else, each in a transaction of its own.';
comment on column flowforge.route.headers is
'known: the headers the API knows; all: all but cookies and those of the connection (in the ingest lane only).';
comment on column flowforge.route.scope is
'public: anybody; event_key: whoever names an event key in the path; user: every signed-in user; otherwise one of flowforge.scopes(), which '
'who asks must have.';
comment on column flowforge.route.style is
'How errors are told: problem (RFC 9457), sdk ({"error", "status"}), event ({"ids", "status", "error"}) or page (HTML to those who accept it, else '
'problem; the body may then be a form, which is an object of its fields).';
comment on column flowforge.route.request_schema is
'JSON Schema of the body, or, of methods without a body, of the query parameters; {} when there are none.';
comment on column flowforge.route.response_schema is
'JSON Schema of a successful answer; contentMediaType names its type where that is not JSON.';

-- Schemas that several routes refer to as #/components/schemas/NAME.
create table flowforge.route_schema (
	name text primary key,
	schema jsonb not null
);
comment on table flowforge.route_schema is 'JSON Schemas shared by routes: the components of the OpenAPI document.';

-- Backends cache the routes, gateways their patterns; any change makes all of them forget.
create function flowforge.forget_routes() returns trigger
language c as 'MODULE_PATHNAME', 'ff_api_forget';
comment on function flowforge.forget_routes() is 'Makes every backend read flowforge.route again and tells the gateways.';
create trigger forget after insert or update or delete or truncate on flowforge.route
	for each statement execute function flowforge.forget_routes();
grant select on flowforge.route to flowforge_gateway;

-- What the gateway needs of a database, in miniature: routes, serve(), streams.
create schema flowforge;

create table flowforge.route (method text, pattern text, lane text, headers text default 'known');
insert into flowforge.route values ('POST', '/e/{key}', 'ingest'), ('GET', '/echo', 'call'),
	('POST', '/echo/{name}', 'ingest'), ('GET', '/metrics', 'call'), ('GET', '/runs/{id}', 'call'), ('GET', '/runs/search', 'call');
update flowforge.route set headers = 'all' where pattern = '/echo/{name}';

create table flowforge.seen (id bigint generated always as identity, body text, path text);
create table flowforge.parent (id integer primary key);
create table flowforge.child (parent integer references flowforge.parent deferrable initially deferred);
create table flowforge.news (run_id uuid, seq integer, sse text, final boolean default false);

-- The path says what is to happen.
create function flowforge.serve(method text, path text, query text, headers jsonb, body bytea,
	out status integer, out headers_out text, out body_out bytea)
language plpgsql
as $$
declare
	run text := '00000000-0000-7000-8000-000000000001';
	last_seq integer;
begin
	status := 200;
	headers_out := E'content-type: application/json\nx-request-id: ' || (headers ->> 'x-request-id') || E'\n';
	if path like '/e/%' then
		insert into flowforge.seen (body, path) values (convert_from(body, 'UTF8'), path);
		if convert_from(body, 'UTF8') = 'deferred' then
			insert into flowforge.child values (1);
		elsif convert_from(body, 'UTF8') = 'raise' then
			raise exception 'as asked';
		end if;
		body_out := convert_to('{"ok":true}', 'UTF8');
	elsif path = '/echo' or path like '/echo/%' then
		body_out := convert_to(jsonb_build_object('method', method, 'path', path, 'query', query, 'headers', headers,
			'length', length(body), 'md5', md5(body))::text, 'UTF8');
	elsif path = '/ready' then
		body_out := convert_to('{"ready":true}', 'UTF8');
	elsif path = '/sleep' then
		perform pg_sleep(query::float8);
		insert into flowforge.seen (body, path) values ('slept', path);
		body_out := convert_to('{"slept":true}', 'UTF8');
	elsif path = '/die' then
		perform pg_terminate_backend(pg_backend_pid());
	elsif path = '/raise' then
		raise exception 'as asked';
	elsif path = '/large' then
		body_out := convert_to(repeat('x', query::integer), 'UTF8');
	elsif path = '/typed' then
		headers_out := case query when 'etag' then E'content-type: application/json\nETag: "1"\n' when 'png' then E'content-type: image/png\n'
			when 'encoded' then E'content-type: text/plain\nContent-Encoding: br\n' when 'none' then E'x-a: b\n'
			when 'problem' then E'content-type: application/problem+json\n' when 'html' then E'Content-Type: text/html; charset=utf-8\n' end;
		body_out := convert_to(repeat('y', 5000), 'UTF8');
	elsif path = '/metrics' then
		headers_out := E'content-type: text/plain\n';
		if headers ->> 'authorization' = 'Bearer wrong' then
			status := 401;
			body_out := 'wrong';
		else
			insert into flowforge.seen (body, path) values ('', path);
			select convert_to(format(E'flowforge_asked %s\n', count(*)), 'UTF8') into body_out from flowforge.seen s where s.path = '/metrics';
		end if;
	elsif path = '/none' then
		status := 204;
	elsif path = '/forge' then
		headers_out := E'connection: upgrade\nContent-Length: 7\nno colon here\nx-good: yes\n';
		body_out := convert_to('{}', 'UTF8');
	elsif path ~ '^/ws/\d+$' then
		status := substr(path, 5)::integer;
		body_out := convert_to('{"status": ' || status || '}', 'UTF8');
	elsif path = '/ws' and method = 'GET' and headers ->> 'upgrade' is null then
		status := 426;
	elsif path = '/ws' and method = 'POST' then
		-- What is said: a label and where from; or one of a few words.
		insert into flowforge.seen (body, path) values (convert_from(body, 'UTF8'), headers::text);
		if convert_from(body, 'UTF8') ~ '^[45]\d\d$' then
			status := convert_from(body, 'UTF8')::integer;
			body_out := convert_to('{"status": ' || status || '}', 'UTF8');
		elsif convert_from(body, 'UTF8') like 'sleep %' then
			perform pg_sleep(substr(convert_from(body, 'UTF8'), 7)::float8);
			headers_out := E'x-flowforge-stream: none\nx-flowforge-subscription: "slept"\n';
			body_out := convert_to(E'data: {"slept": true}\n\n', 'UTF8');
		elsif convert_from(body, 'UTF8') like 'stop %' then
			headers_out := format(E'x-flowforge-stream: none\nx-flowforge-subscription: %s\n', to_json(substr(convert_from(body, 'UTF8'), 6)));
			body_out := convert_to(E'data: {"stopped": true}\n\n', 'UTF8');
		elsif convert_from(body, 'UTF8') like 'feed %' then
			headers_out := E'x-flowforge-stream: feed 1 0 ' || substr(convert_from(body, 'UTF8'), 6) || E'\nx-flowforge-subscription: "feed"\n';
			body_out := convert_to(E'data: {"fed": true}\n\n', 'UTF8');
		else
			select coalesce(max(seq), 0) into last_seq from flowforge.news;
			headers_out := format(E'x-flowforge-stream: run 1 %s %s%s\nx-flowforge-subscription: %s\n', run, last_seq,
				case when convert_from(body, 'UTF8') = 'ended' then ' end' else '' end, to_json(convert_from(body, 'UTF8')));
			body_out := convert_to(format(E'data: {"from": %s, "follows": %s, "pass": %s}\n\n', last_seq, headers ->> 'x-flowforge-subscriptions',
				coalesce(to_json(headers ->> 'x-flowforge-pass')::text, 'null')), 'UTF8');
		end if;
	elsif path = '/feed' then
		headers_out := E'content-type: text/event-stream\nx-flowforge-stream: feed 1 0 ' || substr(query, 7) || E'\n';
		body_out := convert_to(E'event: live\ndata: {}\n\n', 'UTF8');
	elsif path like '/stream%' or path = '/ws' or path = '/ws/ended' then
		select coalesce(max(seq), 0) into last_seq from flowforge.news;
		headers_out := E'content-type: text/event-stream\nx-flowforge-stream: run 1 ' || run || ' ' || last_seq
			|| case when path like '%/ended' then ' end' else '' end || E'\n' || case when query like 'says%' then E'x-flowforge-messages: /ws\n' else '' end
			|| coalesce('x-flowforge-pass: ' || translate(substring(query from 'pass=(.*)'), '+', ' ') || E'\n', '');
		if query like '%silent%' then
			headers_out := replace(headers_out, format('stream: run 1 %s %s', run, last_seq), 'stream: none');
		end if;
		body_out := convert_to(case when path like '/ws%' then E'retry: 1000\n\n' else '' end || format(E'event: snapshot\nid: %s\ndata: %s\n\n', last_seq,
			case when path like '/ws%' then jsonb_build_object('seq', last_seq, 'query', query, 'ticket', headers -> 'x-flowforge-ticket',
				'authorization', headers -> 'authorization') else '{}' end), 'UTF8');
	else
		status := 404;
		body_out := convert_to('{"status":404}', 'UTF8');
	end if;
end
$$;

-- The gateway asks for columns named status, headers, body.
alter function flowforge.serve(text, text, text, jsonb, bytea) rename to serve_answer;
create function flowforge.serve(text, text, text, jsonb, bytea) returns table (status integer, headers text, body bytea)
language sql
as $$ select * from flowforge.serve_answer($1, $2, $3, $4, $5) $$;

create function flowforge.stream_read(tenants integer[], runs uuid[], cursors integer[])
returns table (run_id uuid, last_seq integer, sse text, final boolean)
language sql
as $$
	select n.run_id, max(n.seq), string_agg(n.sse, '' order by n.seq), bool_or(n.final)
	from unnest(runs, cursors) w (run_id, cursor)
	join flowforge.news n on n.run_id = w.run_id and n.seq > w.cursor
	group by n.run_id
$$;

-- Cursors are numbers here.
create table flowforge.feed (seq integer, sse text);
create function flowforge.feed_read(tenants integer[], functions integer[], cursors text[])
returns table (number bigint, cursor text, sse text, more boolean)
language sql
as $$
	select w.number, coalesce(max(f.seq)::text, w.cursor), coalesce(string_agg(f.sse, '' order by f.seq), ''), false
	from unnest(functions, cursors) with ordinality w (function, cursor, number)
	left join flowforge.feed f on f.seq > w.cursor::integer
	group by w.number, w.cursor
$$;

-- A pass is good until it is revoked, a brief one not for long.
create table flowforge.revoked (pass text);
create function flowforge.stream_passes(passes text[]) returns table (number bigint, lifetime bigint)
language sql
as $$
	select w.number, case when r.pass is not null then 0 when w.pass like '%brief' then 300 else -1 end
	from unnest(passes) with ordinality w (pass, number)
	left join flowforge.revoked r using (pass)
$$;

-- The real one's name of the channel is a secret.
create function flowforge.stream_listen() returns void
language plpgsql
as $$
begin
	listen flowforge_secret;
end
$$;

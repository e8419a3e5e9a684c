-- Providers of models. The key is sealed (src/util/seal.c), and so are headers of their own, which may hold one too: the table, a dump and
-- a log hold nothing one could use without the key file.
create table flowforge.ai_provider (
	tenant_id integer not null,
	name text not null check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
	format text not null check (format in ('openai', 'azure', 'mistral', 'anthropic', 'gemini', 'bedrock')),
	base_url text not null check (base_url ~ '^https?://[^\s/?#@]+(/[^\s?#]*)?$'),
	region text check (region ~ '^[a-z0-9-]{1,40}$'),
	api_version text check (api_version ~ '^[A-Za-z0-9._-]{1,40}$'),
	sealed_key bytea,
	sealed_headers bytea,
	header_names text[] not null default '{}',
	updated_at timestamptz not null default now(),
	primary key (tenant_id, name),
	check (format <> 'bedrock' or region is not null)
);
comment on table flowforge.ai_provider is 'Providers of models: where they are, how they are talked to, and their key and headers, sealed.';

select pg_catalog.pg_extension_config_dump('flowforge.ai_provider', '');

create function flowforge.seal(secret text, purpose text) returns bytea
language c volatile strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_ai_seal';
comment on function flowforge.seal(text, text) is 'A secret sealed for a purpose. No function opens it. Error: FF410 no key.';
revoke execute on function flowforge.seal(text, text) from public;

-- What is known of a provider by its name, or by the format it is said to speak.
create function flowforge.ai_known_url(name text, format text, region text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when format = 'bedrock' then 'https://bedrock-runtime.' || region || '.amazonaws.com'
		else case name
			when 'openai' then 'https://api.openai.com/v1'
			when 'anthropic' then 'https://api.anthropic.com/v1'
			when 'gemini' then 'https://generativelanguage.googleapis.com/v1beta'
			when 'mistral' then 'https://api.mistral.ai/v1'
			when 'openrouter' then 'https://openrouter.ai/api/v1'
			when 'ollama' then 'http://localhost:11434/v1'
		end
	end
$$;
comment on function flowforge.ai_known_url(text, text, text) is 'Where a provider of this name or format is, or null.';

-- Extra headers as they are sealed. What a call writes itself is not theirs to say, but for authorization, which some proxies want.
create function flowforge.ai_check_headers(headers jsonb) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	names text[];
begin
	if jsonb_typeof(headers) <> 'object' or exists (
		select from jsonb_each(headers) h
		where jsonb_typeof(h.value) <> 'string' or h.key !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]{1,100}$' or h.value #>> '{}' ~ '[[:cntrl:]]'
			or lower(h.key) in ('host', 'content-type', 'content-length', 'transfer-encoding', 'connection')) then
		raise exception using errcode = 'FF412', message = 'the headers of a provider cannot be used',
			hint = 'Give an object of text like {"x-title": "shop"}; host, content-type, content-length, transfer-encoding and connection are '
				'not to be said.';
	end if;
	select coalesce(array_agg(h.key order by h.key), '{}') into names from jsonb_object_keys(headers) as h (key);
	return names;
end
$$;
comment on function flowforge.ai_check_headers(jsonb) is 'The names of headers a provider is to be sent. Error: FF412 they are not of the form.';

create function @extschema@.ff_set_ai_provider(name text, key text default null, base_url text default null, format text default null,
	region text default null, api_version text default null, headers jsonb default '{}') returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	purpose constant text := format('provider %s of tenant %s', name, tenant);
	known_format constant text := coalesce(format, case when name in ('azure', 'mistral', 'anthropic', 'gemini', 'bedrock') then name else 'openai' end);
	known_url constant text := coalesce(base_url, flowforge.ai_known_url(name, known_format, region));
	names constant text[] := flowforge.ai_check_headers(coalesce(headers, '{}'));
begin
	perform flowforge.require_role('admin');
	if known_url is null then
		raise exception using errcode = 'FF412', message = format('where is the provider "%s"?', name),
			hint = case known_format when 'bedrock' then 'Give region, like us-east-1.' else 'Give base_url, like http://localhost:11434/v1.' end;
	end if;
	if key ~ '[[:cntrl:]]' then
		raise exception using errcode = 'FF412', message = 'a key is one line of text', hint = 'Give it without the line''s end.';
	end if;
	insert into flowforge.ai_provider as p (tenant_id, name, format, base_url, region, api_version, sealed_key, sealed_headers, header_names)
	values (tenant, name, known_format, rtrim(known_url, '/'), region, api_version, flowforge.seal(nullif(key, ''), purpose),
		case when names <> '{}' then flowforge.seal(headers::text, 'headers of ' || purpose) end, names)
	on conflict on constraint ai_provider_pkey do update
	set format = excluded.format, base_url = excluded.base_url, region = excluded.region, api_version = excluded.api_version,
		sealed_key = excluded.sealed_key, sealed_headers = excluded.sealed_headers, header_names = excluded.header_names, updated_at = now();
	return name;
exception when check_violation then
	raise exception using errcode = 'FF412', message = format('the provider "%s" cannot be used', name),
		detail = format('Its format is "%s", its base_url "%s", its region "%s", its api_version "%s".', known_format, known_url, region, api_version),
		hint = 'A name is of lower-case letters, digits, - and _; a format is openai, azure, mistral, anthropic, gemini or bedrock, which needs a '
			'region; a base_url is of http or https.';
end
$$;
comment on function @extschema@.ff_set_ai_provider(text, text, text, text, text, text, jsonb) is
'Says where a provider of models is, how it is talked to (format openai, azure, mistral, anthropic, gemini or bedrock) and with which key, which is '
'stored sealed and never shown. openai, anthropic, gemini, mistral, openrouter and ollama are known by name; every other needs base_url: that of '
'OpenAI''s format is what /chat/completions is added to, that of Azure the resource''s, and bedrock needs a region, and as key id:secret or '
'id:secret:token of AWS, or a key of Bedrock''s own. api_version is of Azure. headers are sent with every call, and sealed too. Gives the name. '
'Errors: FF410 no key to seal with, FF412 what is given makes no provider.';
revoke execute on function @extschema@.ff_set_ai_provider(text, text, text, text, text, text, jsonb) from public;

-- Reads for whoever asks, who may not read what is sealed.
create view flowforge.ai_providers with (security_barrier = true) as
select p.tenant_id, p.name, p.format, p.base_url, p.region, p.api_version, p.sealed_key is not null as has_key, p.header_names, p.updated_at
from flowforge.ai_provider p
where flowforge.sees_tenant(p.tenant_id);
comment on view flowforge.ai_providers is 'Providers of models; whether they have a key, never which, and the names of headers, never their values.';

create view flowforge.ai_calls with (security_invoker = true) as
select s.tenant_id, s.run_id, s.step_id, s.name, s.status, u.output ->> 'provider' as provider, u.output ->> 'model' as model,
	(u.output #>> '{usage,prompt_tokens}')::bigint as prompt_tokens, (u.output #>> '{usage,completion_tokens}')::bigint as completion_tokens,
	(u.output #>> '{usage,cost_usd}')::numeric as cost_usd, (u.output #>> '{usage,latency_ms}')::bigint as latency_ms, s.started_at, s.ended_at
from flowforge.step s
cross join lateral (select s.memo -> 'data' as output) u
where s.op in ('model', 'llm_call');
comment on view flowforge.ai_calls is 'The calls to models that steps of functions and nodes of graphs have made: provider, model, tokens, cost in dollars (null when its price is not known) and time.';

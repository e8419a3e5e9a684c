-- Providers of models. The key is sealed (src/util/seal.c): the table, a dump and a log hold nothing one could use without the key file.
create table flowforge.ai_provider (
	tenant_id integer not null,
	name text not null check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
	format text not null check (format in ('openai', 'anthropic', 'gemini')),
	base_url text not null check (base_url ~ '^https?://[^\s/?#@]+(/[^\s?#]*)?$'),
	sealed_key bytea,
	updated_at timestamptz not null default now(),
	primary key (tenant_id, name)
);
comment on table flowforge.ai_provider is 'Providers of models: where they are, how they are talked to, and their key, sealed.';

-- What a model costs. A pattern ends in * or names one model; the longest that fits counts.
create table flowforge.ai_price (
	tenant_id integer not null,
	model text not null,
	input_price numeric not null check (input_price >= 0),
	output_price numeric not null check (output_price >= 0),
	primary key (tenant_id, model)
);
comment on table flowforge.ai_price is 'Prices of models in dollars for a million tokens.';

select pg_catalog.pg_extension_config_dump('flowforge.ai_provider', '');
select pg_catalog.pg_extension_config_dump('flowforge.ai_price', '');

create function flowforge.seal(secret text, purpose text) returns bytea
language c volatile strict
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_ai_seal';
comment on function flowforge.seal(text, text) is 'A secret sealed for a purpose. No function opens it. Error: FF410 no key.';
revoke execute on function flowforge.seal(text, text) from public;

create function @extschema@.ff_set_ai_provider(name text, key text default null, base_url text default null, format text default null) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	known_format constant text := coalesce(format, case name when 'anthropic' then 'anthropic' when 'gemini' then 'gemini' else 'openai' end);
	known_url constant text := coalesce(base_url, case name
		when 'openai' then 'https://api.openai.com/v1'
		when 'anthropic' then 'https://api.anthropic.com/v1'
		when 'gemini' then 'https://generativelanguage.googleapis.com/v1beta'
	end);
begin
	if known_url is null then
		raise exception using errcode = 'FF412', message = format('where is the provider "%s"?', name),
			hint = 'Give base_url, like http://localhost:11434/v1.';
	end if;
	if key ~ '[[:cntrl:]]' then
		raise exception using errcode = 'FF412', message = 'a key is one line of text', hint = 'Give it without the line''s end.';
	end if;
	insert into flowforge.ai_provider as p (tenant_id, name, format, base_url, sealed_key)
	values (tenant, name, known_format, rtrim(known_url, '/'), flowforge.seal(nullif(key, ''), format('provider %s of tenant %s', name, tenant)))
	on conflict on constraint ai_provider_pkey do update
	set format = excluded.format, base_url = excluded.base_url, sealed_key = excluded.sealed_key, updated_at = now();
	return name;
exception when check_violation then
	raise exception using errcode = 'FF412', message = format('the provider "%s" cannot be used', name),
		detail = format('Its format is "%s", its base_url "%s".', known_format, known_url),
		hint = 'A name is of lower-case letters, digits, - and _; a format is openai, anthropic or gemini; a base_url is of http or https.';
end
$$;
comment on function @extschema@.ff_set_ai_provider(text, text, text, text) is
'Says where a provider of models is, how it is talked to (format openai, anthropic or gemini) and with which key, which is stored sealed and never '
'shown. openai, anthropic and gemini are known by name; every other needs base_url, to which /chat/completions is added. Gives the name. '
'Errors: FF410 no key to seal with, FF412 what is given makes no provider.';
revoke execute on function @extschema@.ff_set_ai_provider(text, text, text, text) from public;

create function @extschema@.ff_set_ai_price(model text, input_price numeric, output_price numeric) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	if coalesce(model, '') = '' or octet_length(model) > 512 or input_price is null or output_price is null
		or not (input_price >= 0 and input_price < 'infinity' and output_price >= 0 and output_price < 'infinity') then
		raise exception using errcode = 'FF412', message = format('the price of model "%s" cannot be used', left(model, 100)),
			detail = format('It is %s and %s.', coalesce(input_price::text, 'null'), coalesce(output_price::text, 'null')),
			hint = 'Name a model (1 to 512 bytes) and two prices in dollars for a million tokens; 0 is what costs nothing.';
	end if;
	insert into flowforge.ai_price as p (tenant_id, model, input_price, output_price)
	values (flowforge.current_tenant(), model, input_price, output_price)
	on conflict on constraint ai_price_pkey do update
	set input_price = excluded.input_price, output_price = excluded.output_price;
	return model;
end
$$;
comment on function @extschema@.ff_set_ai_price(text, numeric, numeric) is
'Says what a model costs, in dollars for a million tokens in and out; a model that ends in * is every one that begins so. Gives the model. Error: FF412.';
revoke execute on function @extschema@.ff_set_ai_price(text, numeric, numeric) from public;

create view flowforge.ai_providers with (security_invoker = true) as
select p.tenant_id, p.name, p.format, p.base_url, p.sealed_key is not null as has_key, p.updated_at
from flowforge.ai_provider p;
comment on view flowforge.ai_providers is 'Providers of models; whether they have a key, never which.';

create view flowforge.ai_calls with (security_invoker = true) as
select s.tenant_id, s.run_id, s.step_id, s.name, s.status, u.output ->> 'provider' as provider, u.output ->> 'model' as model,
	(u.output #>> '{usage,prompt_tokens}')::bigint as prompt_tokens, (u.output #>> '{usage,completion_tokens}')::bigint as completion_tokens,
	(u.output #>> '{usage,cost_usd}')::numeric as cost_usd, (u.output #>> '{usage,latency_ms}')::bigint as latency_ms, s.started_at, s.ended_at
from flowforge.step s
cross join lateral (select s.memo -> 'data' as output) u
where s.op = 'model';
comment on view flowforge.ai_calls is 'The calls to models that steps have made: provider, model, tokens, cost in dollars (null when its price is not known) and time.';

-- What models cost, in dollars for a million tokens. A row is a price for a time: what a call costs is told by the row that was valid when
-- the call was made, so new prices change nothing of the past. Rows of tenant 0 are for all tenants; a tenant's own go before them.
-- A model is a name or a pattern in which * is any text; of those that fit, a name goes before a pattern and a longer one before a
-- shorter, so that o3-mini is never priced as o3.
create table flowforge.model_price (
	tenant_id integer not null,
	provider text not null check (provider <> ''),
	model text not null check (model <> '' and octet_length(model) <= 512),
	input_price numeric not null check (input_price >= 0 and input_price < 'infinity'),
	output_price numeric not null check (output_price >= 0 and output_price < 'infinity'),
	cached_price numeric check (cached_price >= 0 and cached_price < 'infinity'),
	cache_write_price numeric check (cache_write_price >= 0 and cache_write_price < 'infinity'),
	valid_from timestamptz not null default '-infinity',
	valid_to timestamptz not null default 'infinity',
	built_in boolean not null default false,
	primary key (tenant_id, provider, model, valid_from),
	check (valid_from < valid_to)
);
comment on table flowforge.model_price is
'What models cost, in dollars for a million tokens: input, output, and what is read from a provider''s cache and written to it (null: as input). '
'provider is a provider''s name or * for any. Rows of tenant 0 are for all tenants.';

-- What the extension brings comes with it again; only what people have added is for a dump.
select pg_catalog.pg_extension_config_dump('flowforge.model_price', 'where not built_in');

create function flowforge.price_of(tenant integer, provider text, model text, at timestamptz) returns flowforge.model_price
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select p.*
	from flowforge.model_price p
	where p.tenant_id in (0, tenant) and p.provider in (price_of.provider, '*') and p.valid_from <= at and at < p.valid_to
		and price_of.model like replace(replace(replace(replace(p.model, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%')
	order by p.tenant_id <> 0 desc, p.provider <> '*' desc, strpos(p.model, '*') = 0 desc, octet_length(p.model) desc, p.valid_from desc
	limit 1
$$;
comment on function flowforge.price_of(integer, text, text, timestamptz) is 'The price that counts for a model of a provider at a time; all null when none is known.';

create function flowforge.token_cost(input_price numeric, output_price numeric, cached_price numeric, cache_write_price numeric,
	prompt_tokens bigint, completion_tokens bigint, cached_tokens bigint, cache_write_tokens bigint) returns numeric
language c immutable
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'ff_ai_sql_cost';
comment on function flowforge.token_cost(numeric, numeric, numeric, numeric, bigint, bigint, bigint, bigint) is
'What tokens cost at these prices, exactly, in dollars; those of the cache are among those of the prompt. Null when a price of input or output is.';

create function flowforge.model_cost(provider text, model text, prompt_tokens bigint, completion_tokens bigint, cached_tokens bigint default 0,
	cache_write_tokens bigint default 0, at timestamptz default now()) returns numeric
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select flowforge.token_cost(p.input_price, p.output_price, p.cached_price, p.cache_write_price,
		prompt_tokens, completion_tokens, coalesce(cached_tokens, 0), coalesce(cache_write_tokens, 0))
	from flowforge.price_of(flowforge.current_tenant(), provider, model, at) p
$$;
comment on function flowforge.model_cost(text, text, bigint, bigint, bigint, bigint, timestamptz) is
'What a call to a model costs at a time, in dollars and exactly: tokens of the prompt (of which some were read from the provider''s cache or '
'written to it) and of the answer. Null when no price is known for the model.';

create function @extschema@.ff_set_model_price(provider text, model text, input_price numeric, output_price numeric,
	cached_price numeric default null, cache_write_price numeric default null, valid_from timestamptz default now()) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	tenant constant integer := flowforge.current_tenant();
	next_from timestamptz;
begin
	perform flowforge.require_role('admin');
	select min(p.valid_from) into next_from
	from flowforge.model_price p
	where p.tenant_id = tenant and p.provider = ff_set_model_price.provider and p.model = ff_set_model_price.model
		and p.valid_from > ff_set_model_price.valid_from;
	update flowforge.model_price p
	set valid_to = ff_set_model_price.valid_from
	where p.tenant_id = tenant and p.provider = ff_set_model_price.provider and p.model = ff_set_model_price.model
		and p.valid_from < ff_set_model_price.valid_from and p.valid_to > ff_set_model_price.valid_from;
	insert into flowforge.model_price as p (tenant_id, provider, model, input_price, output_price, cached_price, cache_write_price, valid_from, valid_to)
	values (tenant, provider, model, input_price, output_price, cached_price, cache_write_price, valid_from, coalesce(next_from, 'infinity'))
	on conflict on constraint model_price_pkey do update
	set input_price = excluded.input_price, output_price = excluded.output_price, cached_price = excluded.cached_price,
		cache_write_price = excluded.cache_write_price;
	return model;
exception when check_violation or not_null_violation then
	raise exception using errcode = 'FF412', message = format('the price of model "%s" cannot be used', left(model, 100)),
		detail = format('It is %s for input, %s for output, %s and %s for the cache, from %s.', coalesce(input_price::text, 'null'),
			coalesce(output_price::text, 'null'), coalesce(cached_price::text, 'null'), coalesce(cache_write_price::text, 'null'), valid_from),
		hint = 'Name a provider (or *) and a model (1 to 512 bytes, * stands for any text), and prices in dollars for a million tokens; 0 is what '
			'costs nothing.';
end
$$;
comment on function @extschema@.ff_set_model_price(text, text, numeric, numeric, numeric, numeric, timestamptz) is
'Says what a model of a provider (* for any) costs this tenant from a time on, in dollars for a million tokens: input, output, and what is read from '
'the provider''s cache and written to it (null: as input). In the model''s name * is any text. The price before it ends then. Gives the model. '
'Error: FF412.';
revoke execute on function @extschema@.ff_set_model_price(text, text, numeric, numeric, numeric, numeric, timestamptz) from public;

-- Prices as the providers' public lists had them in December 2025: the standard tier, the shortest context, and of Bedrock us-east-1. They
-- are a help and no promise: who pays other prices says so with ff_set_model_price. Aliases that move (…-latest) are left out on purpose.
insert into flowforge.model_price (built_in, tenant_id, provider, model, input_price, cached_price, cache_write_price, output_price)
select true, 0, p.*
from (values
	('openai', 'gpt-5.2', 1.75, 0.175, null, 14),
	('openai', 'gpt-5.2-20*', 1.75, 0.175, null, 14),
	('openai', 'gpt-5.1', 1.25, 0.125, null, 10),
	('openai', 'gpt-5.1-20*', 1.25, 0.125, null, 10),
	('openai', 'gpt-5', 1.25, 0.125, null, 10),
	('openai', 'gpt-5-20*', 1.25, 0.125, null, 10),
	('openai', 'gpt-5-mini', 0.25, 0.025, null, 2),
	('openai', 'gpt-5-mini-20*', 0.25, 0.025, null, 2),
	('openai', 'gpt-5-nano', 0.05, 0.005, null, 0.4),
	('openai', 'gpt-5-nano-20*', 0.05, 0.005, null, 0.4),
	('openai', 'gpt-5-pro', 15, null, null, 120),
	('openai', 'gpt-5-pro-20*', 15, null, null, 120),
	('openai', 'gpt-4.1', 2, 0.5, null, 8),
	('openai', 'gpt-4.1-20*', 2, 0.5, null, 8),
	('openai', 'gpt-4.1-mini', 0.4, 0.1, null, 1.6),
	('openai', 'gpt-4.1-mini-20*', 0.4, 0.1, null, 1.6),
	('openai', 'gpt-4.1-nano', 0.1, 0.025, null, 0.4),
	('openai', 'gpt-4.1-nano-20*', 0.1, 0.025, null, 0.4),
	('openai', 'gpt-4o', 2.5, 1.25, null, 10),
	('openai', 'gpt-4o-20*', 2.5, 1.25, null, 10),
	('openai', 'gpt-4o-2024-05-13', 5, null, null, 15),
	('openai', 'gpt-4o-mini', 0.15, 0.075, null, 0.6),
	('openai', 'gpt-4o-mini-20*', 0.15, 0.075, null, 0.6),
	('openai', 'gpt-4-turbo', 10, null, null, 30),
	('openai', 'gpt-4-turbo-20*', 10, null, null, 30),
	('openai', 'gpt-3.5-turbo', 0.5, null, null, 1.5),
	('openai', 'o1', 15, 7.5, null, 60),
	('openai', 'o1-20*', 15, 7.5, null, 60),
	('openai', 'o3', 2, 0.5, null, 8),
	('openai', 'o3-20*', 2, 0.5, null, 8),
	('openai', 'o3-mini', 1.1, 0.55, null, 4.4),
	('openai', 'o3-mini-20*', 1.1, 0.55, null, 4.4),
	('openai', 'o3-pro', 20, null, null, 80),
	('openai', 'o3-pro-20*', 20, null, null, 80),
	('openai', 'o4-mini', 1.1, 0.275, null, 4.4),
	('openai', 'o4-mini-20*', 1.1, 0.275, null, 4.4),
	('anthropic', 'claude-opus-4-5', 5, 0.5, 6.25, 25),
	('anthropic', 'claude-opus-4-5-20*', 5, 0.5, 6.25, 25),
	('anthropic', 'claude-opus-4-1', 15, 1.5, 18.75, 75),
	('anthropic', 'claude-opus-4-1-20*', 15, 1.5, 18.75, 75),
	('anthropic', 'claude-opus-4-0', 15, 1.5, 18.75, 75),
	('anthropic', 'claude-opus-4-20*', 15, 1.5, 18.75, 75),
	('anthropic', 'claude-sonnet-4-5', 3, 0.3, 3.75, 15),
	('anthropic', 'claude-sonnet-4-5-20*', 3, 0.3, 3.75, 15),
	('anthropic', 'claude-sonnet-4-0', 3, 0.3, 3.75, 15),
	('anthropic', 'claude-sonnet-4-20*', 3, 0.3, 3.75, 15),
	('anthropic', 'claude-3-7-sonnet-20*', 3, 0.3, 3.75, 15),
	('anthropic', 'claude-haiku-4-5', 1, 0.1, 1.25, 5),
	('anthropic', 'claude-haiku-4-5-20*', 1, 0.1, 1.25, 5),
	('anthropic', 'claude-3-5-haiku-20*', 0.8, 0.08, 1, 4),
	('anthropic', 'claude-3-haiku-20*', 0.25, 0.03, 0.3, 1.25),
	('gemini', 'gemini-3-pro-preview', 2, 0.2, null, 12),
	('gemini', 'gemini-2.5-pro', 1.25, 0.125, null, 10),
	('gemini', 'gemini-2.5-flash', 0.3, 0.03, null, 2.5),
	('gemini', 'gemini-2.5-flash-lite', 0.1, 0.01, null, 0.4),
	('gemini', 'gemini-2.0-flash', 0.1, 0.025, null, 0.4),
	('gemini', 'gemini-2.0-flash-lite', 0.075, null, null, 0.3),
	('mistral', 'mistral-large-2512', 0.5, null, null, 1.5),
	('mistral', 'mistral-large-2411', 2, null, null, 6),
	('mistral', 'mistral-medium-25*', 0.4, null, null, 2),
	('mistral', 'mistral-small-25*', 0.1, null, null, 0.3),
	('mistral', 'codestral-25*', 0.3, null, null, 0.9),
	('bedrock', '*anthropic.claude-opus-4-5-20*', 5, 0.5, 6.25, 25),
	('bedrock', '*anthropic.claude-opus-4-1-20*', 15, 1.5, 18.75, 75),
	('bedrock', '*anthropic.claude-sonnet-4-5-20*', 3, 0.3, 3.75, 15),
	('bedrock', '*anthropic.claude-sonnet-4-20*', 3, 0.3, 3.75, 15),
	('bedrock', '*anthropic.claude-haiku-4-5-20*', 1, 0.1, 1.25, 5),
	('bedrock', '*anthropic.claude-3-5-haiku-20*', 0.8, 0.08, 1, 4),
	('bedrock', '*anthropic.claude-3-haiku-20*', 0.25, null, null, 1.25),
	('bedrock', '*amazon.nova-pro-v1*', 0.8, 0.2, null, 3.2),
	('bedrock', '*amazon.nova-lite-v1*', 0.06, 0.015, null, 0.24),
	('bedrock', '*amazon.nova-micro-v1*', 0.035, 0.00875, null, 0.14)
) as p (provider, model, input_price, cached_price, cache_write_price, output_price);

-- What models cost: exactly, by the price that was valid then, of the tenant before everybody's, of a name before a pattern.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select plan(24);

select is(flowforge.model_cost('openai', 'gpt-4o', 1000000, 0), 2.5, 'a million tokens cost their price');
select is(flowforge.model_cost('openai', 'gpt-4o', 1, 1)::text, '0.0000125', 'and one a millionth of it, exactly');
select is(flowforge.model_cost('openai', 'gpt-4o-mini', 123456789, 987654321)::text, '611.11111095', 'no digit is lost');
select is(flowforge.model_cost('openai', 'gpt-4o', 1000000, 0, 400000), 0.6 * 2.5 + 0.4 * 1.25, 'what comes from the cache has its own price');
select is(flowforge.model_cost('anthropic', 'claude-sonnet-4-5', 1000000, 0, 400000, 100000), 0.5 * 3 + 0.4 * 0.3 + 0.1 * 3.75,
	'and so has what is written to it');
select is(flowforge.model_cost('openai', 'gpt-3.5-turbo', 1000000, 0, 1000000), 0.5, 'without such a price it is that of input');
select is(flowforge.model_cost('openai', 'nobody-knows', 1, 1), null, 'an unknown model costs nobody knows what');
select is(flowforge.model_cost('elsewhere', 'gpt-4o', 1, 1), null, 'and so does a known one elsewhere');
select is(flowforge.model_cost('openai', 'gpt-4o', null, 1), null, 'and unknown tokens');
select is(flowforge.model_cost('openai', 'gpt-4o', 10, 0, 20), 20 * 1.25 / 1000000, 'more cached than asked is no negative cost');

select is((flowforge.price_of(1, 'openai', 'o3-mini', now())).model, 'o3-mini', 'o3-mini is not o3');
select is((flowforge.price_of(1, 'openai', 'o3-mini-2025-01-31', now())).model, 'o3-mini-20*', 'nor is a dated one');
select is((flowforge.price_of(1, 'openai', 'gpt-4o-2024-05-13', now())).model, 'gpt-4o-2024-05-13', 'a name goes before a pattern');
select is((flowforge.price_of(1, 'bedrock', 'eu.anthropic.claude-haiku-4-5-20251001-v1:0', now())).input_price, 1::numeric,
	'a region before the name does not matter');

-- A price of one's own, from a time on.
select ff_set_model_price('openai', 'gpt-4o', 4, 8, valid_from => '2026-01-01Z') as first \gset
select ff_set_model_price('openai', 'gpt-4o', 3, 6, valid_from => '2026-03-01Z') as second \gset
select ff_set_model_price('openai', 'gpt-4o', 5, 5, valid_from => '2026-02-01Z') as between \gset
select results_eq($$
	select flowforge.model_cost('openai', 'gpt-4o', 1000000, 0, at => at)
	from unnest(array['2025-12-31 23:59Z', '2026-01-01Z', '2026-01-31Z', '2026-02-01Z', '2026-02-28Z', '2026-03-01Z', '2036-01-01Z']::timestamptz[]) at $$,
	array[2.5, 4, 4, 5, 5, 3, 3], 'each time has its price, and what was before is everybody''s');
select is((select count(*) from flowforge.model_price p join flowforge.model_price q on p.tenant_id = 1 and q.tenant_id = 1 and p.model = q.model
	and p.valid_from < q.valid_from and p.valid_to > q.valid_from), 0::bigint, 'prices of a model do not overlap');
select ff_set_model_price('openai', 'gpt-4o', 7, 7, valid_from => '2026-03-01Z') as again \gset
select is(flowforge.model_cost('openai', 'gpt-4o', 1000000, 0, at => '2026-04-01Z'), 7::numeric, 'what is said again for a time replaces it');
select is((select count(*) from flowforge.model_price where tenant_id = 1), 3::bigint, 'in its row');
select is((flowforge.price_of(2, 'openai', 'gpt-4o', now())).input_price, 2.5, 'another tenant pays what everybody does');

-- Patterns: only * is special.
select ff_set_model_price('*', 'llama_%*', 1, 1) as pattern \gset
select is(flowforge.model_cost('anywhere', 'llama_%3', 1000000, 0), 1::numeric, 'a star of the provider is any');
select is(flowforge.model_cost('anywhere', 'llamaxy3', 1000000, 0), null, '% and _ are themselves');
select ff_set_model_price('*', 'back\slash*', 1, 1) as backslash \gset
select is(flowforge.model_cost('anywhere', 'back\slash7', 1000000, 0), 1::numeric, 'and so is a backslash');

select is((select extcondition[array_position(extconfig, 'flowforge.model_price'::regclass::oid)] from pg_extension where extname = 'flowforge'),
	'where not built_in', 'a dump holds what people have added');
select is((select count(*) from flowforge.model_price where not built_in and tenant_id = 0), 0::bigint, 'and nothing of what comes with the extension');
select * from finish();
rollback;

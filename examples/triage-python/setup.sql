-- Tells the server of the model that model.py pretends to be. Run again, it changes nothing.
\set ON_ERROR_STOP on
\set port 9010
\getenv port MODEL_PORT
\set url 'http://127.0.0.1:' :port '/v1'

select ff_set_ai_provider('pretend', base_url => :'url') \g /dev/null
select ff_set_model_price('pretend', '*', input_price => 1, output_price => 4)
where not exists (select from flowforge.model_price where provider = 'pretend') \g /dev/null

-- What steps may call are public addresses. This machine is none, so it is allowed by address and port (docs/outbound.md).
select format('alter system set flowforge.outbound_allow = %L', concat_ws(', ', nullif(current_setting('flowforge.outbound_allow'), ''), '127.0.0.1:' || :'port'))
where flowforge.outbound_problem(:'url') is not null \gexec
select pg_reload_conf() \g /dev/null

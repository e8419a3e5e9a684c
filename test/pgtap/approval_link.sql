-- Links that decide requests: for whom, how long, how often, and what is drawn of a form and read from it.
begin;
set local client_min_messages = warning;
create extension if not exists flowforge;
create extension if not exists pgtap;
select plan(45);

select ff_register_app('http://127.0.0.1:9/api', 'asking', '[{"id": "asking-a", "triggers": [{"event": "asking/a"}]}]');
select ff_send_event('asking/a') as event \gset
select run_id as run from flowforge.run where event_id = :'event' \gset

create function pg_temp.ask(prompt text, approvers jsonb default null, form jsonb default null, expires interval default '1 day') returns uuid
language sql as $$
	insert into flowforge.approval (tenant_id, run_id, step_id, name, prompt, approvers, form, expires_at)
	select 1, r.run_id, 'a', 'ask', prompt, approvers, form, now() + expires from flowforge.run r join flowforge.event e on e.event_id = r.event_id where e.name = 'asking/a'
	returning approval_id
$$;
create function pg_temp.served(method text, path text, body text default null, accept text default 'text/html', type text default 'application/x-www-form-urlencoded')
returns table (status integer, headers text, text text)
language sql as $$
	select s.status, s.headers, convert_from(s.body, 'UTF8')
	from flowforge.serve(method, path, '', jsonb_build_object('accept', accept, 'content-type', type), convert_to(body, 'UTF8')) s
$$;
create function pg_temp.said(link text, verdict text default 'approved') returns text
language sql as $$
	select flowforge.decide_by_link(substr(link, 10), verdict, null, null)
$$;

-- What a link is.
select pg_temp.ask('Ship it?') as open \gset
select ff_approval_link(:'open') as link \gset
select matches(:'link'::text, '^/approve/[A-Za-z0-9_-]{43}$', 'a link is a path with a token of 256 bits');
select is((select count(distinct flowforge.token()) from generate_series(1, 100)), 100::bigint, 'no two tokens are the same');
select is((select digest from flowforge.approval_link where approval_id = :'open'), sha256(convert_to(substr(:'link', 10), 'UTF8')), 'the token''s SHA-256 is kept');
select is_empty(format('select from flowforge.approval_link l where l::text like %L', '%' || substr(:'link', 10) || '%'), 'and not the token');
select is((select made_by from flowforge.approval_link where approval_id = :'open'), current_user::text, 'it says who made it');
select is((select l.expires_at = a.expires_at from flowforge.approval_link l join flowforge.approval a using (approval_id) where approval_id = :'open'), true,
	'it is valid no longer than its request');
select ok(not has_function_privilege('public', 'ff_approval_link(uuid, text, interval)', 'execute'), 'not everybody may make links');

-- For whom.
select pg_temp.ask('Who?', '["ann", "bob"]') as named \gset
select throws_ok(format('select ff_approval_link(%L, ''eve'')', :'named'), 'FF408', null, 'who is not an approver gets none');
select throws_ok(format('select ff_approval_link(%L)', :'named'), 'FF408', null, 'nor does nobody in particular, where approvers are named');
select throws_ok(format('select ff_approval_link(%L, '''')', :'named'), 'FF204', null, 'an empty name is none');
select throws_ok(format('select ff_approval_link(%L, ''ann'', ''0 s'')', :'named'), 'FF204', null, 'a link needs time');
select throws_ok(format('select ff_approval_link(%L, ''ann'', null)', :'named'), 'FF204', null, 'and not null');
select throws_ok(format('select ff_approval_link(%L, ''ann'', ''2 years'')', :'named'), 'FF204', null, 'but not for ever');
select throws_ok('select ff_approval_link(''01890000-0000-7000-8000-000000000000'')', 'FF406', null, 'an unknown request has no link');
select throws_ok('select ff_approval_link(null)', 'FF406', null, 'nor has none');
select pg_temp.ask('Only ann?', '["ann"]') as only_ann \gset
select ff_approval_link(:'only_ann') as anns \gset
select is((select approver from flowforge.approval_link where approval_id = :'only_ann'), 'ann', 'a link is for the only approver');

-- How often.
select ff_approval_link(:'named', 'ann') as by_ann, ff_approval_link(:'named', 'bob') as by_bob \gset
select is(pg_temp.said(:'by_ann', 'rejected'), 'rejected', 'a link decides');
select is((select decided_by || ' ' || status from flowforge.approvals where approval_id = :'named'), 'ann rejected', 'in the name it was made for');
select throws_ok(format('select pg_temp.said(%L)', :'by_ann'), 'FF414', 'this link has been used', 'once');
select throws_ok(format('select pg_temp.said(%L, ''rejected'')', :'by_bob'), 'FF414', 'the request is already rejected', 'and other links of the request are over');
select throws_ok(format('select ff_approval_link(%L, ''ann'')', :'named'), 'FF407', null, 'there are no more of them');
select is(pg_temp.said(:'link'), 'approved', 'a link for nobody in particular decides, too');
select is((select decided_by from flowforge.approvals where approval_id = :'open'), 'link', 'and says that it was a link');
update flowforge.approval_link set expires_at = now() where approval_id = :'only_ann';
select throws_ok(format('select pg_temp.said(%L)', :'anns'), 'FF414', 'this link has expired', 'a link expires');
select throws_ok(format('select pg_temp.said(%L)', :'anns' || 'x'), 'FF413', 'this link is not known', 'another token is not known');

-- Over HTTP.
select pg_temp.ask('<script>alert("1")</script> & ''more''', null, '{"type": "object", "required": ["amount", "kind"], "properties": {
	"amount": {"type": "integer", "title": "How <much>?", "minimum": 1, "maximum": 10, "default": 3}, "kind": {"enum": ["a", 2, null]}, "sure": {"type": "boolean"},
	"why": {"type": ["null", "string"], "maxLength": 1000, "description": "Say \"why\"."}, "due": {"type": "string", "format": "date"}, "list": {"type": "array"}}}') as asked \gset
select ff_approval_link(:'asked', 'carol') as page \gset
create temp table shown as select * from pg_temp.served('GET', :'page');
select is((select status from shown), 200, 'a link shows a page');
select is((select status from pg_temp.served('GET', :'page', null, '*/*')), 200, 'twice, too');
select is((select count(*) from flowforge.approvals where approval_id = :'asked' and status = 'pending'), 1::bigint, 'and decides nothing by that');
select ok((select text like '%&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;more&#39;%' and text not like '%<script%' from shown), 'what is asked is text');
select ok((select text not like '%' || substr(:'page', 10) || '%' from shown), 'the token is not on the page');
select matches((select headers from shown), 'form-action ''self''', 'its form is sent to us only');
select matches((select headers from shown), E'cache-control: no-store\n', 'it is not kept');
select matches((select headers from shown), E'referrer-policy: no-referrer\n', 'it tells nobody where it was');
select matches((select text from shown), '<label for="data.amount">How &lt;much&gt;\? \*</label><input type="number" value="3"[^>]* required>', 'a number has its default and is required');
select matches((select text from shown), 'id="data.kind"[^>]*><option value=""></option><option value="&quot;a&quot;">a</option><option value="2">2</option><option value="null">null</option></select>',
	'an enumeration is a choice');
select is((select status from pg_temp.served('POST', :'page', 'decision=approve&data.amount=30&data.kind=2&data.why=a%0D%0Ab&reason=well')), 422, 'what the form does not ask for is refused');
select is((select count(*) from pg_temp.served('POST', :'page', 'decision=approve&data.amount=30&data.kind=2&data.why=a%0D%0A%3Cb&reason=well') s
	where s.text ~ 'data/amount must be at most 10' and s.text ~ 'value="30"' and s.text ~ '<option value="2" selected>' and s.text ~ '&lt;b</textarea>' and s.text ~ E'\nwell</textarea>'),
	1::bigint, 'with all that was given still there');
select is((select (text::jsonb) ->> 'code' from pg_temp.served('POST', :'page', '{"approved": true, "data": 5}', '*/*', 'application/json')), 'FF409', 'in JSON as a problem');
select is((select status from pg_temp.served('POST', :'page', 'decision=perhaps')), 400, 'it takes one of two decisions');
select is((select status || ' ' || (text ~ 'You have approved') from pg_temp.served('POST', :'page',
	'decision=approve&data.amount=5&data.kind=%22a%22&data.sure=true&data.why=a%0D%0Ab&data.due=2030-01-31&data.list=%5B1%5D&reason=well')), '200 true', 'the form decides');
select is((select decided_by || ' ' || reason || ' ' || data::text from flowforge.approvals where approval_id = :'asked'),
	'carol well ' || '{"amount": 5, "kind": "a", "sure": true, "why": "a\nb", "due": "2030-01-31", "list": [1]}'::jsonb::text, 'with data of the form''s types');
select is((select status || ' ' || (text ~ '^<!doctype html>.*this link has been used') from pg_temp.served('POST', :'page', 'decision=approve')), '410 true', 'after that a page says that it is over');
select is((select status || (text::jsonb ->> 'code') from pg_temp.served('GET', '/approve/nothing', null, 'application/json')), '404FF413', 'what is unknown is a problem to who takes no pages');

-- How long they are kept.
update flowforge.approval_link set expires_at = now() - interval '8 days' where approval_id = :'asked';
select flowforge.forget_approvals('0');
select is((select count(*) from flowforge.approval_link where approval_id = :'asked'), 0::bigint, 'a week after it expired a link leaves');
update flowforge.approval set run_id = flowforge.uuid7(), requested_at = now() - interval '90 days' where approval_id = :'named';
select flowforge.forget_approvals('30 days');
select is((select count(*) from flowforge.approval_link where approval_id = :'named'), 0::bigint, 'links leave with their request');

select * from finish();
rollback;

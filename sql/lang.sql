-- Both spellings, one grammar.
select e, ff_eval(e, '{"event": {"data": {"total": 120, "kind": "x", "tags": ["a", "b"], "none": null, "big": 9007199254740993}}, "n": 3}')
from (values
	('event.data.total > 100 && event.data.kind == ''x'''), ('event.data.total > 100 and not event.data.kind != "x"'),
	('event[''data''][''tags''][-1]'), ('''abc''[1]'), ('1 < n < 5'), ('n if n > 5 else -n'), ('n > 5 ? ''big'' : ''small'''), ('0 or ''x'''),
	('''a'' in event.data.tags'), ('''b'' not in [1, 2]'), ('''bc'' in ''abcd'''), ('''total'' in event.data'), ('event.data.none is None'),
	('10 / 4'), ('10 / 5'), ('-7 % 3'), ('7 % -3'), ('1 + 2 * 3'), ('''a'' + ''b'''), ('[1] + [2]'), ('(1, 2)'), ('{''a'': 1, ''b'': [true, False, null]}'),
	('1 == 1.0'), ('true == 1'), ('[1, {"a": 2}] == [1.0, {"a": 2}]'), ('event.data.big + 1'), ('"\u00e9\n"'), ('size(event.data.tags)'), ('''héé''.size()'),
	('has(event.data.kind)'), ('has(event.data.nothing)'), ('default(event.data.nothing, 7)'), ('''Hello''.startsWith(''He'')'), ('endsWith(''Hello'', ''lo'')'),
	('''Hello''.upper() + lower(''W'')'), ('int(''42'') + 1'), ('string(1.50)'), ('float(''1e3'')'), ('bool([])'), ('abs(-3)'), ('trim(''  x '')'), ('.5 + 1e3')
) v (e);
-- Filter mode: what is missing is null, what is wrong is null too.
select e, ff_eval(e, '{"event": {"data": {"n": 1}}}', 'filter') from (values
	('event.data.x == null'), ('event.data.x.y.z == 1'), ('event.data.x > 1'), ('event.data.n + ''a'''), ('nobody == 1'), ('event.data.n == 1')) v (e);
-- Errors say what, where and what to do.
\set VERBOSITY verbose
do $$
declare
	e text;
	code text;
	message text;
begin
	foreach e in array array['', '1 +', 'a = 1', 'x ** 2', '010', 'nobody', 'event.nothing', '[1][5]', '[1][''a'']', '(1).a', '1 + ''a''', '1 < ''a''', '1 / 0',
		'nosuch(1)', 'size()', repeat('(', 200) || '1' || repeat(')', 200), repeat('1+', 9000) || '1', 'AND', '1 == == 2', '''open'] loop
		begin
			perform ff_eval(e, '{"event": {}}');
			raise notice '% passed', left(e, 20);
		exception when others then
			get stacked diagnostics code = returned_sqlstate, message = message_text;
			raise notice '% %: %', code, left(e, 20), message;
		end;
	end loop;
end
$$;
\set VERBOSITY default
select ff_eval('event.data.total >', '{"event": {}}');

"""Throws expressions and templates at a server and checks what the language promises: usage lang.py SECONDS [SEED [grammar|bytes]].

No input crashes the backend, takes 2 seconds, makes memory grow, or fails with anything but an error of class FF. "grammar" makes inputs by
the grammar and breaks some of them; "bytes" changes characters of a few seeds at random; without a kind each takes SECONDS. PGHOST, PGPORT and PGUSER say where the server is: `make fuzz`
starts one with sanitizers. Prints TAP.
"""
import json
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lang"))
import grammar
import session
import templates

SECONDS_OF_AN_INPUT = 2
MEMORY_LIMIT = int(os.environ.get("FUZZ_MEMORY_MB", "64")) * 1024 * 1024  # bytes beyond those of an idle backend
BATCH = 200
HELPER = """
create or replace function pg_temp.attempt(kind text, source text, context jsonb) returns text language plpgsql as $$
declare
	began timestamptz := clock_timestamp();
	result text := 'ok';
	verdict jsonb;
begin
	begin
		case kind
			when 'strict', 'filter', 'graph' then perform public.ff_eval(source, context, kind);
			when 'bind' then perform flowforge.bound_expression(source, context);
			when 'print' then
				if flowforge.canonical_expression(flowforge.canonical_expression(source)) <> flowforge.canonical_expression(source) then
					result := 'it is printed in two ways';
				end if;
			when 'render' then perform public.ff_render(to_jsonb(source), context);
			when 'config' then perform public.ff_render(jsonb_build_object('a', jsonb_build_array(source, 1, source), source, null), context);
			when 'validate' then
				verdict := public.ff_workflow_validate(context);
				if (verdict -> 'valid')::boolean then
					perform public.ff_workflow_plan(context), flowforge.graph_compiled(context);
				end if;
			when 'plan' then perform public.ff_workflow_plan(context);
			when 'compile' then perform flowforge.graph_compiled(context);
			when 'refs' then perform public.ff_template_refs(to_jsonb(source));
		end case;
	exception when others then
		result := sqlstate;
		if result not like 'FF%' or kind = 'validate' then
			result := format('%s %s', sqlstate, sqlerrm);
		end if;
	end;
	return format('%s %s', round(extract(epoch from clock_timestamp() - began) * 1000), result);
end
$$;
"""


class Server:
    """One backend that stays, so that its memory can be watched."""

    def __init__(self):
        self.psql = subprocess.Popen(["psql", "-XqAt", "-d", session.DATABASE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                     encoding="utf-8", errors="replace")
        self.ask("set statement_timeout = 60000;" + HELPER)
        self.pid = int(self.ask("select pg_backend_pid();")[0])

    def ask(self, script):
        try:
            self.psql.stdin.write(script + "\n\\echo END OF ANSWER\n")
            self.psql.stdin.flush()
        except BrokenPipeError:
            pass
        lines = []
        while True:
            line = self.psql.stdout.readline()
            if line == "":
                raise ConnectionError(self.psql.communicate()[1])
            if line == "END OF ANSWER\n":
                return lines
            lines.append(line.rstrip("\n"))

    def attempt(self, cases):
        text = json.dumps(cases)
        assert "$cases$" not in text
        answers = self.ask(f"select pg_temp.attempt(c->>0, c->>1, c->2) from jsonb_array_elements($cases${text}$cases$) with ordinality u (c, i) order by i;")
        if len(answers) != len(cases):
            raise ConnectionError("the statement failed")
        return answers

    def memory(self, which="VmRSS"):
        """What is resident now, or with VmHWM has been at most."""
        with open(f"/proc/{self.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(which))


# --- inputs ---

ODDITIES = ["{{", "}}", "{%", "%}", "{#", "#}", "-%}", "{%-", "(", ")", "[", "]", "{", "}", "'", '"', "\\", "\\u", "\\ud800", "|", "||", "&&", ".", ",", ":", "?", "!", "-", "+", "*", "/", "%",
            "==", "<", "in", "not", "is", "if", "else", "and", "or", "for", "endfor", "endif", "elif", "set", "x", "a", "o", "l", "loop", "null", "true", "0", "1", "9" * 30, "1e999", "1e-9999",
            ".5", "é", "😀", "\u00a0", "\u200b", "\ufeff", "\U0010ffff", "\t", "\n", "\x01", "\x7f", " ", "default(", "map(attribute='p')", "selectattr('p','>',1)", "matches('a','(a*)*b')",
            "range(", "join(", "slice(3)", "batch(2)", "truncate(3)", "date('%Y')", "fromjson", "tojson", "b64decode", "round(", "sort", "unique", "split('')", "replace('','x')", "has(a.b)",
            "l.map(x, ", "l.filter(x, ", "o.deep.list.-1", "now()", "timestamp('2026-01-01T00:00:00Z')", "duration('1h')", "* 1000000", "'a' * 99999", "[0] * 9999"]
REGEX_PIECES = ["a", "b", ".", "*", "+", "?", "{2,30}", "{9}", "{0,5}", "(", ")", "(?:", "|", "[a-z]", "[^b]", "[[:alpha:]]", "\\\\w", "\\\\d", "^", "$", "\\\\1", "(?=a)", "é", "(?i)", "***:"]
FILTERS = ["upper", "lower", "title", "trim", "length", "first", "last", "join('-')", "default(1)", "replace('a', s)", "round(2)", "abs", "int", "float", "string", "tojson", "fromjson", "sort", "unique",
           "reverse", "keys", "values", "sum", "min", "max", "map(attribute='p')", "selectattr('p')", "slice(2)", "batch(2, 0)", "truncate(5, true, 'é', 1)", "urlencode", "b64encode", "b64decode",
           "sha256", "date('%A %d %B')", "date('YYYY Month TH')", "date(s)", "join(s)", "round(n)", "slice(n)", "truncate(n, no, s, zero)"]
SEEDS = ["event.data.total > 100 && event.data.kind == 'x'", "a + b * -3 % (s.size() - 1)", "l.map(x, x * 2).filter(y, y > 2)", "o['deep'].list[-1] if 'k' in o else null", "matches(s, '^h[a-zé]+$') ? 1.50e2 : .5",
         "{{ o.deep.list.-1 | default('x') | upper }}", "a {%- if n > 2 -%} {{ s }} {%- else %} b {% endif %} c", "{% for x in items2 %}{{ loop.index }}: {{ x.name }}{% endfor %}", "{% set y = n + 1 %}{{ y }}{# c #}",
         "{{ {'a': [1, (2, 3)]} | tojson }}", "\"\\u00e9\\ud83d\\ude00\" + 'it\\'s'", "{{ first name.x-y | join(sep=', ') }}", "default(o.x, coalesce(none, 3)) == 3 and not has(o.x)",
         "{{ o.deep.list.-1 }} == True and '{{ s }} {% if n %}{{ n }}{% endif %}' != {{ first name.x-y | default(1) }}"]


def random_value(source, depth=0):
    kind = source.random()
    if kind < 0.35 and depth < 4:
        return [random_value(source, depth + 1) for _ in range(source.randint(0, 4))]
    if kind < 0.6 and depth < 4:
        return {source.choice(["a", "k", "p", "name", "x-y", "first name", "1", ""]): random_value(source, depth + 1) for _ in range(source.randint(0, 3))}
    return source.choice([0, 1, -1, 1.5, 2**63, -2**63, 10**40, 1e-30, True, False, None, "", "text", "{{ a }}", "é" * 20, "2026-01-31T12:00:00Z", "[1,2", "YWI=", "x" * 3000])


def random_context(source):
    context = {**grammar.CONTEXT, **templates.CONTEXT}
    for name in source.sample(sorted(context), source.randint(0, 4)):
        context[name] = random_value(source)
    return context


class GrammarInputs:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.trees = grammar.Trees(seed)
        self.speller = grammar.Speller(seed)
        self.templates = templates.Templates(seed)

    def bomb(self):
        n = self.random.choice([10, 90, 101, 500, 3000])
        opening, inside, closing = self.random.choice([("(", "1", ")"), ("[", "1", "]"), ("{'a':", "1", "}"), ("-", "1", ""), ("!", "1", ""), ("not ", "1", ""), ("l.map(x,", "x", ")"), ("1+", "1", ""), ("a.", "a", ""),
                                                       ("a[", "0", "]"), ("1 if 1 else ", "1", ""), ("1?", "1", ":1"), ("'a'+", "s", ""), ("abs(", "1", ")"), ("1<", "1", ""), ("1 and ", "1", "")])
        text = opening * n + inside + closing * n
        return text[:16384] if self.random.random() < 0.5 else "{{ " + text + " }}"

    def heavy(self):
        size = self.random.choice([100, 10000, 300000])
        return self.random.choice([f"('ab' * {size}).split('a').size()", f"([1] * {size}).map(x, x * x).sum()", f"('x' * {size}).matches('{self.regex()}')", f"([3, 1] * {size}).sort().unique()",
                                   f"('a' * {size}).replace('a', 'bb')", f"[[1]] * {size} == [[1]] * {size}", f"l.map(x, ('{'9' * 40}' * {size // 1000}).split('').join('-'))", f"{'9' * 300} * " * 20 + "1",
                                   f"int('{'7' * 900}') % {'3' * 200}", f"1e5000 / {'7' * 50}", f"round(1 / 3, {size})", f"('é' * {size})[{size - 1}]"])

    def regex(self):
        return "".join(self.random.choice(REGEX_PIECES) for _ in range(self.random.randint(1, 10)))

    def filtered(self):
        value = self.random.choice(["s", "l", "o", "n", "none", "items2", "words", "nested", "big", "['a', 1, [2]]", "{'a': 1}", "missing"])
        return "{{ " + value + "".join(" | " + self.random.choice(FILTERS) for _ in range(self.random.randint(1, 4))) + " }}" + self.random.choice(["", ".", "\n"])

    def broken(self, text):
        """With something taken out, put in or moved."""
        for _ in range(self.random.randint(1, 3)):
            at, to = sorted(self.random.randint(0, len(text)) for _ in range(2))
            text = self.random.choice([text[:at] + self.random.choice(ODDITIES) + text[at:], text[:at] + text[min(to, at + 5):], text[:at] + text[at:to] * 2 + text[to:], text[to:] + text[:to]])
        return text

    def expression(self):
        return self.random.choices([lambda: self.speller.spell(self.trees.any(6)), lambda: self.speller.spell(self.trees.boolean(6)), self.bomb, self.heavy,
                                    lambda: f"matches(s, '{self.regex()}')"], [8, 8, 1, 1, 2])[0]()

    def template(self):
        return self.random.choices([self.templates.template, self.filtered, lambda: "{{ " + self.speller.spell(self.trees.any(5)) + " }}", self.bomb], [8, 6, 4, 1])[0]()

    def operands(self):
        """Expressions with templates among their parts."""
        parts = [self.random.choice([self.expression, self.template, lambda: repr(self.template())])() for _ in range(self.random.randint(1, 3))]
        return self.random.choice([" == ", " and ", " + ", " in ", " ? 1 : "]).join(parts)[:16384]

    def case(self):
        kind = self.random.choice(["strict", "filter", "graph", "bind", "print", "render", "config", "refs"])
        text = self.operands() if kind in ("graph", "bind") else self.expression() if kind in ("strict", "filter", "print") else self.template()
        if self.random.random() < 0.3:
            text = self.broken(text)
        return [kind, text, random_context(self.random)]


class ByteInputs:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pool = list(SEEDS)

    def character(self):
        return chr(self.random.choice([self.random.randint(1, 127), self.random.randint(1, 127), self.random.randint(128, 0x7FF), self.random.randint(0xE000, 0xFFFF), self.random.randint(0x10000, 0x10FFFF)]))

    def mutated(self):
        text = self.random.choice(self.pool)
        for _ in range(self.random.randint(1, 8)):
            at = self.random.randint(0, len(text))
            size = self.random.randint(0, 8)
            other = self.random.choice(self.pool)
            text = self.random.choice([lambda: text[:at] + self.character() + text[at:], lambda: text[:at] + text[at + size:], lambda: text[:at] + text[at:at + size] * 3 + text[at + size:],
                                       lambda: text[:at] + self.random.choice(ODDITIES) + text[at:], lambda: text[:at] + other[-size * 3:] + text[at + size:],
                                       lambda: text[:at] + self.character() + text[at + 1:]])()
        return text[:20000]

    def case(self):
        text = self.mutated()
        if self.random.random() < 0.2:
            self.pool[self.random.randint(len(SEEDS), len(self.pool)) - 1 if len(self.pool) > 300 else len(self.pool):] = [text]
        return [self.random.choice(["strict", "filter", "graph", "bind", "print", "render", "config", "refs"]), text, random_context(self.random)]


# --- the loop ---

def complaint(answer):
    """What is wrong with an answer; None when nothing is."""
    spent, result = answer.split(" ", 1)
    if int(spent) > SECONDS_OF_AN_INPUT * 1000:
        return f"it takes {spent} ms"
    return None if result == "ok" or (result.startswith("FF") and len(result) == 5) else result


def find_culprit(cases):
    """The case that makes the backend go away, tried one by one."""
    for case in cases:
        for _ in range(50):
            try:
                server = Server()
                break
            except (ConnectionError, IndexError):
                time.sleep(0.5)
        try:
            server.attempt([case])
        except ConnectionError as error:
            return case, str(error)
    return None, "no single case does it"


INPUTS = {"grammar": GrammarInputs, "bytes": ByteInputs}


def fuzz(kind, seconds, seed):
    """What is wrong, or None; and what was done."""
    inputs = INPUTS[kind](seed)
    server = Server()
    start = server.memory()
    deadline = time.monotonic() + seconds
    count = fine = 0
    warm = None
    while time.monotonic() < deadline:
        cases = [inputs.case() for _ in range(BATCH)]
        try:
            answers = server.attempt(cases)
        except ConnectionError as error:
            return f"the backend went away: {error}\n{find_culprit(cases)}", count
        for case, answer in zip(cases, answers):
            if complaint(answer):
                return f"{complaint(answer)}\n{json.dumps(case)}", count
            fine += answer.endswith(" ok")
        count += len(cases)
        if warm is None and count >= 20 * BATCH:
            warm = server.memory()
    grown = max(server.memory() - (warm or server.memory()), 0)
    peak = server.memory("VmHWM") - start
    problem = "that is too much" if max(grown, peak) > MEMORY_LIMIT else None
    return problem, f"{count} inputs, {fine} of them without an error, memory grew by {grown // 1024} kB and never took more than {peak // 1024} kB"


def main():
    seconds = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    kinds = sys.argv[3:] or list(INPUTS)
    session.create_database()
    failed = False
    for number, kind in enumerate(kinds, 1):
        problem, done = fuzz(kind, seconds, seed)
        failed = failed or problem is not None
        print(f"{'not ok' if problem else 'ok'} {number} - fuzzing by {kind}, seed {seed}: {done}")
        if problem:
            print("\n".join("# " + line for line in problem.split("\n")))
    print(f"1..{len(kinds)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Ai steps: the engine asks a model's provider, with a key that is nowhere to be found afterwards."""
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import BIN, free_port, run
from script import end, one, op, play, shared, start

KEY = "sk-secret-0123456789abcdef"


class Provider:
    """A provider that answers what a test says and remembers what it was asked."""

    def __init__(self):
        self.asked, self.answers = [], []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                provider.asked.append((self.path, dict(self.headers.items()), body))
                status, answer, headers = provider.answers.pop(0) if provider.answers else (200, OPENAI, {})
                data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"content-type": "application/json", "content-length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def will(self, answer, status=200, **headers):
        self.answers.append((status, answer, headers))

    def last(self):
        """(path, headers in lower case, body) of the last question."""
        path, headers, body = self.asked[-1]
        return path, {name.lower(): value for name, value in headers.items()}, body


OPENAI = {"id": "c1", "object": "chat.completion", "model": "gpt-4o-2024", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}}


def prepared(use):
    cluster, app = shared({"flowforge.outbound_allow": "'127.0.0.1'"})
    key_file = os.path.join(cluster.directory, "secret.key")
    if not os.path.exists(key_file):
        with open(key_file, "w") as f:
            f.write("0123456789abcdef" * 4 + "\n")
        os.chmod(key_file, 0o644)
        cluster.sql(f"alter system set flowforge.secret_key_file = '{key_file}'")
        cluster.sql("select pg_reload_conf()")
    provider = use(Provider())
    for name, form in (("openai", "openai"), ("anthropic", "anthropic"), ("gemini", "gemini"), ("local", "openai")):
        key = "null" if name == "local" else f"'{KEY}'"
        cluster.sql(f"select ff_set_ai_provider('{name}', {key}, '{provider.url}', '{form}')")
    return cluster, app, provider


def ask(**opts):
    return op("Ai", "ask", **opts)


def error_of(memo):
    assert set(memo) == {"error"}, memo
    return memo["error"]


def test_a_prompt_is_answered_with_usage_and_cost(use):
    cluster, app, provider = prepared(use)
    cluster.sql("select ff_set_model_price('openai', 'gpt-4o*', 2.5, 10); select ff_set_model_price('openai', 'gpt*', 1000, 1000)")
    memo = one(cluster, app, ask(model="gpt-4o", prompt="The capital of France?", system="Be brief.", temperature=0.2, max_tokens=50))
    data = memo["data"]
    assert data["usage"].pop("latency_ms") >= 0
    assert data == {"content": "Paris.", "finish_reason": "stop", "model": "gpt-4o-2024", "provider": "openai", "tool_calls": [],
                    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15, "cost_usd": 0.00006, "cost_known": True}}, data
    path, headers, body = provider.last()
    assert (path, headers["authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}"), headers
    assert body == {"model": "gpt-4o", "temperature": 0.2, "max_tokens": 50, "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "The capital of France?"}]}, body
    row = cluster.sql("select provider, model, prompt_tokens, completion_tokens, cost_usd = 0.00006, status from flowforge.ai_calls")
    assert row == "openai|gpt-4o-2024|12|3|t|completed", row


def test_tools_and_response_formats_are_passed_on_and_calls_come_back(use):
    cluster, app, provider = prepared(use)
    tool = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object"}}}
    messages = [{"role": "user", "content": "Rain?"}]
    provider.will({"model": "m", "choices": [{"message": {"content": None, "tool_calls": [
        {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Oslo\"}"}}]}, "finish_reason": "tool_calls"}]})
    data = one(cluster, app, ask(model="local/llama", messages=messages, tools=[tool], response_format={"type": "json_object"}))["data"]
    assert data["tool_calls"] == [{"id": "t1", "name": "weather", "arguments": {"city": "Oslo"}}] and data["content"] is None, data
    assert data["usage"]["cost_usd"] is None and data["usage"]["cost_known"] is False and data["usage"]["total_tokens"] == 0, data
    _, headers, body = provider.last()
    assert "authorization" not in headers and body["model"] == "llama", (headers, body)
    assert body["tools"] == [tool] and body["messages"] == messages and body["response_format"] == {"type": "json_object"}, body


def test_anthropic_is_asked_and_understood_in_its_own_words(use):
    cluster, app, provider = prepared(use)
    provider.will({"model": "claude-x", "stop_reason": "tool_use", "usage": {"input_tokens": 5, "output_tokens": 7}, "content": [
        {"type": "text", "text": "Let me "}, {"type": "text", "text": "see."}, {"type": "tool_use", "id": "u1", "name": "look", "input": {"at": 1}}]})
    data = one(cluster, app, ask(model="claude-x", messages=[{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
                                 tools=[{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]))["data"]
    assert (data["content"], data["finish_reason"], data["provider"]) == ("Let me see.", "tool_calls", "anthropic"), data
    assert data["tool_calls"] == [{"id": "u1", "name": "look", "arguments": {"at": 1}}] and data["usage"]["total_tokens"] == 12, data
    path, headers, body = provider.last()
    assert (path, headers["x-api-key"], headers["anthropic-version"]) == ("/v1/messages", KEY, "2023-06-01"), headers
    assert body == {"model": "claude-x", "system": "S", "messages": [{"role": "user", "content": "U"}], "max_tokens": 4096,
                    "tools": [{"name": "look", "input_schema": {"type": "object"}}]}, body


def test_gemini_is_asked_and_understood_in_its_own_words(use):
    cluster, app, provider = prepared(use)
    provider.will({"modelVersion": "gemini-2", "usageMetadata": {"promptTokenCount": 2, "candidatesTokenCount": 4}, "candidates": [
        {"finishReason": "STOP", "content": {"parts": [{"text": "Hi"}, {"functionCall": {"name": "f", "args": {"a": 1}}}]}}]})
    data = one(cluster, app, ask(model="gemini-2", system="S", max_tokens=9, messages=[
        {"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}, {"role": "user", "content": "V"}]))["data"]
    assert (data["content"], data["model"], data["usage"]["total_tokens"]) == ("Hi", "gemini-2", 6), data
    assert data["tool_calls"] == [{"id": "call_0", "name": "f", "arguments": {"a": 1}}], data
    path, headers, body = provider.last()
    assert (path, headers["x-goog-api-key"]) == ("/v1/models/gemini-2:generateContent", KEY), (path, headers)
    assert body == {"systemInstruction": {"parts": [{"text": "S"}]}, "generationConfig": {"maxOutputTokens": 9}, "contents": [
        {"role": "user", "parts": [{"text": "U"}]}, {"role": "model", "parts": [{"text": "A"}]}, {"role": "user", "parts": [{"text": "V"}]}]}, body


def test_the_key_is_nowhere_even_when_a_provider_repeats_it(use):
    cluster, app, provider = prepared(use)
    provider.will({"error": {"message": f"the key {KEY} is not valid"}}, status=401)
    error = error_of(one(cluster, app, ask(model="gpt-4o", prompt="x")))
    assert error["status"] == 401 and "[redacted] is not valid" in error["message"] and KEY not in json.dumps(error), error
    provider.will({"model": KEY, "choices": [{"message": {"content": f"your key is {KEY}"}}]})
    assert KEY not in json.dumps(one(cluster, app, ask(model="gpt-4o", prompt="y")))
    dump = cluster.psql("-c", "select row_to_json(s) from flowforge.step s union all select row_to_json(e) from flowforge.run_event_batch e union all "
                        "select row_to_json(p) from flowforge.ai_provider p union all select row_to_json(v) from flowforge.ai_providers v").stdout
    assert KEY not in dump and KEY.encode().hex() not in dump
    with open(cluster.log) as f:
        assert KEY not in f.read(), "it is in the server's log"


def test_what_may_pass_is_tried_again_as_often_as_it_says(use):
    cluster, app, provider = prepared(use)
    provider.will({"error": {"message": "busy"}}, status=429, **{"retry-after": "1"})
    provider.will("<html>bad gateway</html>", status=502)
    run_id = start(cluster, app, [ask(model="gpt-4o", prompt="x")])
    assert end(cluster, run_id)[1]["ask"]["data"]["content"] == "Paris."
    assert cluster.sql(f"select attempt from flowforge.steps where run_id = '{run_id}'") == "2"
    provider.will({"error": "slow down"}, status=429)
    error = error_of(one(cluster, app, ask(model="gpt-4o", prompt="x", num_retries=0)))
    assert error["status"] == 429 and "slow down" in error["message"], error
    before = len(provider.asked)
    provider.will({"error": {"message": "no such model"}}, status=404)
    assert "no such model" in error_of(one(cluster, app, ask(model="gpt-none", prompt="x")))["message"]
    assert len(provider.asked) == before + 1, "a refusal is final"
    for nonsense in ("{}", "[]", "no", '{"choices": []}', '{"choices": [7]}'):
        provider.will(nonsense)
        assert "not one of a model" in error_of(one(cluster, app, ask(model="gpt-4o", prompt="x", num_retries=0)))["message"], nonsense


def test_who_cannot_be_asked_is_an_error_of_the_step(use):
    cluster, app, provider = prepared(use)
    error = error_of(one(cluster, app, ask(model="mistral/small", prompt="x")))
    assert error["code"] == "FF412" and "mistral" in error["message"], error
    cluster.sql("select ff_set_ai_provider('away', null, 'http://127.0.0.1:1/v1')")
    assert "port 1 of 127.0.0.1 may not be called" in error_of(one(cluster, app, ask(model="away/x", prompt="x")))["message"]
    cluster.sql(f"select ff_set_ai_provider('away', null, 'http://127.0.0.1:{free_port()}/v1')")
    assert "could not be asked" in error_of(one(cluster, app, ask(model="away/x", prompt="x", num_retries=0)))["message"]
    # A key sealed for one provider does not open for another, nor with another key file.
    cluster.sql("update flowforge.ai_provider set sealed_key = (select sealed_key from flowforge.ai_provider where name = 'openai') where name = 'local'")
    assert error_of(one(cluster, app, ask(model="local/x", prompt="x")))["code"] == "FF411"
    assert len(provider.asked) == 0


def test_options_that_make_no_sense_fail_the_step(use):
    cluster, app, _ = prepared(use)
    for opts, said in (({}, "no model"), ({"model": "m"}, "either messages or a prompt"), ({"model": "m", "prompt": "a", "messages": []}, "either"),
                       ({"model": "m", "prompt": 7}, "prompt"), ({"model": "m", "messages": []}, "messages"), ({"model": "m", "messages": [1]}, "role"),
                       ({"model": "m", "prompt": "x", "tools": {}}, "tools"), ({"model": "m", "prompt": "x", "temperature": "hot"}, "temperature"),
                       ({"model": "m", "prompt": "x", "provider": 5}, "provider"), ({"model": "m", "prompt": "x", "num_retries": 21}, "num_retries"),
                       ({"model": "m", "prompt": "x", "response_format": "json"}, "response_format"), ({"model": "m", "prompt": "x", "system": []}, "system")):
        assert said in error_of(one(cluster, app, ask(**opts)))["message"], opts


def test_providers_that_make_no_sense_are_refused(use):
    cluster, _, _ = prepared(use)

    def code(text):
        done = cluster.psql("-v", "VERBOSITY=sqlstate", "-c", text, check=False)
        return done.stderr.split(":")[1].strip() if done.returncode else done.stdout

    assert code("select ff_set_ai_provider('unknown', 'k')") == "FF412"
    assert code("select ff_set_ai_provider('Bad Name', 'k', 'http://x')") == "FF412"
    assert code("select ff_set_ai_provider('x', 'k', 'ftp://x')") == "FF412"
    assert code("select ff_set_ai_provider('x', 'k', 'http://user:pw@x')") == "FF412"
    assert code("select ff_set_ai_provider('x', E'a\\nb', 'http://x')") == "FF412"
    assert code("select ff_set_ai_provider('x', 'k', 'http://x', 'other')") == "FF412"
    assert code("set flowforge.secret_key_file = ''; select 1") == "55P02"
    old = cluster.sql("show flowforge.secret_key_file")
    for bad in ("''", "'/nowhere/at/all'", "'/etc/passwd'"):
        cluster.sql(f"alter system set flowforge.secret_key_file = {bad}")
        cluster.sql("select pg_reload_conf()")
        assert code("select pg_sleep(0.2); select ff_set_ai_provider('openai', 'k')") == "FF410", bad
    cluster.sql(f"alter system set flowforge.secret_key_file = '{old}'")
    cluster.sql("select pg_reload_conf()")
    assert cluster.sql("select pg_sleep(0.2)::text; select ff_set_ai_provider('openai', 'k')").endswith("openai")
    cluster.sql("create role visitor")
    assert code("set role visitor; select ff_set_ai_provider('openai', 'k')") == "42501"
    assert code("set role visitor; select flowforge.seal('a', 'b')") == "42501"


def test_prices_that_make_no_sense_are_refused(use):
    cluster, _ = shared()
    for arguments in ("'p', null, 1, 1", "'p', '', 1, 1", "'p', 'm', null, 1", "'p', 'm', 1, -1", "'p', 'm', 'NaN', 1", "'p', 'm', 1, 'Infinity'",
                      "null, 'm', 1, 1", "'', 'm', 1, 1", "'p', 'm', 1, 1, -1", "'p', 'm', 1, 1, 1, 'NaN'", "'p', 'm', 1, 1, 1, 1, null"):
        done = cluster.psql("-v", "VERBOSITY=sqlstate", "-c", f"select ff_set_model_price({arguments})", check=False)
        assert "FF412" in done.stderr, (arguments, done.stderr)


def test_a_dump_has_prices_people_set_and_nothing_of_those_that_come_with_the_extension(use):
    cluster, _ = shared()
    cluster.sql("select ff_set_model_price('ours', 'dumped', 1.25, 2)")
    dump = subprocess.check_output([f"{BIN}/pg_dump", "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres", cluster.database], text=True)
    assert "\tdumped\t" in dump and "claude-sonnet" not in dump, "the prices in the dump are not those people set"


def test_every_invariant_holds_after_all_of_this(use):
    cluster, _ = shared()
    cluster.assert_sound()


if __name__ == "__main__":
    run(globals())

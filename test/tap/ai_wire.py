"""What each provider of models is asked and answers, byte for byte: the files of test/ai, played to the engine by a server that stands for them.

A file is a call: its options, the request that must be sent, the answer that comes back, and the step's memo. Answers that are streams are
sent in pieces of a few bytes. What changes from call to call is written <so>.
"""
import base64
import glob
import hashlib
import hmac
import json
import os
import struct
import time
import urllib.parse

from harness import run
from script import end, one, op, shared
from web import Web, reply

FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "ai")
KEY = "sk-secret-0123456789abcdef"
AWS_ID, AWS_SECRET, AWS_TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session/token+0123456789=="
SECRETS = (KEY, AWS_SECRET, AWS_TOKEN)
# What ff_set_ai_provider is told of each, beside its name: key, the path of its address, and the rest.
PROVIDERS = {
    "openai": (KEY, "/v1", {}),
    "azure": (KEY, "", {"format": "azure", "api_version": "2024-10-21"}),
    "mistral": (KEY, "/v1", {}),
    "openrouter": (KEY, "/api/v1", {"headers": '{"HTTP-Referer": "https://shop.example", "X-Title": "Shop"}'}),
    "ollama": (None, "/v1", {}),
    "anthropic": (KEY, "/v1", {}),
    "gemini": (KEY, "/v1beta", {}),
    "bedrock": (f"{AWS_ID}:{AWS_SECRET}:{AWS_TOKEN}", "", {"region": "us-east-1"}),
}
UNTOLD = ("host", "accept", "content-length", "user-agent", "traceparent")  # the last is another one every time


def read(path):
    """The sections of a file by name; bytes, without the newline that ends them."""
    sections, name = {}, None
    with open(path, "rb") as file:
        for line in file:
            if line.startswith(b"=== "):
                name = line[4:].decode().strip()
                sections[name] = b""
            else:
                sections[name] += line
    return {name: text[:-1] for name, text in sections.items()}


class Everywhere:
    """The same answer at every path."""

    def __init__(self, answer):
        self.answer = answer

    def get(self, *_):
        return self.answer


def head_and_body(section):
    head, _, body = section.partition(b"\n\n")
    return head.decode().split("\n"), body


def answering(sections):
    """Sends the answer of a file, a stream in pieces."""
    head, body = head_and_body(sections["answer"])
    streamed = any("event-stream" in line or "eventstream" in line for line in head)
    if "answer base64" in sections:
        body = base64.b64decode(sections["answer base64"])
    size = 11 if streamed else max(len(body), 1)

    def answer(wfile, _):
        wfile.write("\r\n".join([*head, f"content-length: {len(body)}", "", ""]).encode())
        for at in range(0, len(body), size):
            wfile.write(body[at:at + size])
            wfile.flush()
    return answer


def hmac_of(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature(request, secret, region):
    """What AWS's Signature Version 4 of a request must be, computed from what has arrived."""
    signed = request.headers["authorization"].split("SignedHeaders=")[1].split(",")[0]
    date = request.headers["x-amz-date"]
    scope = f"{date[:8]}/{region}/bedrock/aws4_request"
    path = urllib.parse.quote(request.path, safe="/-_.~")
    canonical = "\n".join(["POST", path, "", *(f"{name}:{request.headers[name]}" for name in signed.split(";")), "", signed,
                           hashlib.sha256(request.body).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in (date[:8], region, "bedrock", "aws4_request"):
        key = hmac_of(key, part)
    return (f"AWS4-HMAC-SHA256 Credential={AWS_ID}/{scope}, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "
            f"Signature={hmac_of(key, text).hex()}")


def as_text(request):
    """A request as files have it."""
    assert request.headers["traceparent"].startswith("00-"), request.headers
    headers = {name: value for name, value in request.headers.items() if name not in UNTOLD}
    if "x-amz-date" in headers:
        assert headers["authorization"] == signature(request, AWS_SECRET, "us-east-1"), headers
        headers.update({"authorization": "<signature>", "x-amz-date": "<date>"})
    lines = [f"{request.method} {request.path}", *(f"{name}: {value}" for name, value in sorted(headers.items()))]
    return "\n".join(lines).encode() + b"\n\n" + request.body


def without_time(memo):
    usage = (memo.get("data") or {}).get("usage", {})
    assert usage.pop("latency_ms", 0) >= 0
    return memo


def prepared(use):
    cluster, app = shared({"flowforge.outbound_allow": "'127.0.0.1'"})
    key_file = os.path.join(cluster.directory, "secret.key")
    if not os.path.exists(key_file):
        with open(key_file, "w") as f:
            f.write("0123456789abcdef" * 4 + "\n")
        os.chmod(key_file, 0o644)
        cluster.sql(f"alter system set flowforge.secret_key_file = '{key_file}'")
        cluster.sql("select pg_reload_conf()")
    web = use(Web())
    for name, (key, path, rest) in PROVIDERS.items():
        told = "".join(f", {word} => '{value}'" for word, value in rest.items())
        key = "null" if key is None else f"'{key}'"
        cluster.sql(f"select ff_set_ai_provider('{name}', {key}, '{web.url}{path}'{told})")
    return cluster, app, web


def ask(cluster, app, web, path):
    """What was asked (None: nobody) and what became of it, as a file has them."""
    sections = read(path)
    provider = os.path.basename(os.path.dirname(path))
    web.answers = Everywhere(answering(sections))
    options = {"provider": provider, "num_retries": 0, **json.loads(sections["options"])}
    before = len(web.asked)
    memo = without_time(one(cluster, app, op("Ai", "ask", **options)))
    assert len(web.asked) <= before + 1, "it was asked more than once"
    return as_text(web.asked[-1]) if len(web.asked) > before else None, memo


def files(provider):
    found = sorted(glob.glob(os.path.join(FILES, provider, "*.txt")))
    assert found, f"there are no files of {provider}"
    return found


def play_all(use, provider):
    cluster, app, web = prepared(use)
    for path in files(provider):
        sections = read(path)
        request, memo = ask(cluster, app, web, path)
        assert request == sections.get("request"), f"{path}: asked\n{request}\nnot\n{sections.get('request')}"
        assert memo == json.loads(sections["memo"]), f"{path}: {json.dumps(memo, indent=2)}"
        assert not any(secret in json.dumps(memo) for secret in SECRETS)


def test_openai_is_asked_and_understood(use):
    play_all(use, "openai")


def test_azure_is_asked_by_its_addresses_and_key(use):
    play_all(use, "azure")


def test_mistral_is_asked_without_what_it_refuses(use):
    play_all(use, "mistral")


def test_openrouter_is_sent_headers_of_its_own_and_tells_the_cost(use):
    play_all(use, "openrouter")


def test_ollama_is_asked_without_a_key(use):
    play_all(use, "ollama")


def test_anthropic_is_asked_and_understood(use):
    play_all(use, "anthropic")


def test_gemini_is_asked_and_understood(use):
    play_all(use, "gemini")


def test_bedrock_is_asked_with_a_signature_and_understood(use):
    play_all(use, "bedrock")


# Answers that are none, by provider: what comes, and what of it the error must say.
NONSENSE = {
    "openai": [('{"choices": [{"mess', "not JSON"), ("", "not JSON"), ("[]", "not an object"), ("{}", "no choices.0.message"),
               ('{"choices": []}', "no choices.0.message"), ('{"choices": {"0": {"message": {}}}}', ""), ('{"choices": [{"message": "hi"}]}', "no choices"),
               ('{"choices": [{"message": {"content": 7}}]}', "neither text nor a list"),
               ('{"choices": [{"message": {"content": "x", "tool_calls": {}}}]}', "tool_calls are not a list"), ("<html>", "not JSON"),
               ('{"choices": [{"message": {"content": "\\u0000"}}]}', "u0000"), ("[" * 5000, "nested"), ("\xff\xfe", "UTF-8")],
    "anthropic": [("{}", "content is not a list"), ('{"content": "x"}', "content is not a list"), ('{"content": [{"type": "text", "text": 7}]}', "not text"),
                  ('{"type": "error", "error": {"type": "overloaded_error", "message": "no"}}', "answered 529: no")],
    "gemini": [("{}", "no candidates.0"), ('{"candidates": []}', "no candidates.0"), ('{"candidates": [7]}', "no candidates.0"),
               ('{"candidates": [{"content": {"parts": [7]}}]}', "not an object"), ('{"error": {"code": 500, "message": "no"}}', "answered 500: no")],
    "bedrock": [("{}", "no output.message.content"), ('{"output": {"message": {"content": 7}}}', "no output"),
                ('{"output": {"message": {"content": [7]}}}', "not an object")],
}


def test_answers_that_are_none_are_clean_errors(use):
    cluster, app, web = prepared(use)
    for provider, answers in NONSENSE.items():
        for body, said in answers:
            web.answers = Everywhere(reply(200, body.encode("latin-1"), content_type="application/json"))
            memo = one(cluster, app, op("Ai", "ask", provider=provider, model="m", prompt="x", num_retries=0))
            if said == "":
                assert memo["data"]["content"] is None, memo  # a strange list, but one may read it so
            else:
                assert memo["error"]["name"] == "AiError" and said in memo["error"]["message"], (provider, body[:80], memo)


def test_numbers_of_tokens_that_make_no_sense_count_as_none(use):
    cluster, app, web = prepared(use)
    answer = {"choices": [{"message": {"content": "x"}, "finish_reason": 7}], "model": [],
              "usage": {"prompt_tokens": "12", "completion_tokens": -5, "prompt_tokens_details": 1e300, "cost": "free"}}
    for usage in (answer["usage"], {"prompt_tokens": 1e300, "completion_tokens": None}, "many", []):
        web.answers = Everywhere(reply(200, json.dumps({**answer, "usage": usage}), content_type="application/json"))
        data = one(cluster, app, op("Ai", "ask", provider="ollama", model="m", prompt="x"))["data"]
        assert data["usage"].pop("latency_ms") >= 0
        assert data["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost_usd": None, "cost_known": False}, data
        assert (data["model"], data["finish_reason"], data["content"]) == ("m", None, "x"), data


STREAMS = [("data: {\n\n", "not JSON"), ("data: 7\n\n", "not an object"), ("", "ended before it was whole"), ("data: [DONE]\n\n", "ended before"),
           (": only a comment\n\nevent: x\n\n", "ended before"),
           ('data: {"choices": [{"delta": {"content": 7}}]}\n\n', "neither text nor a list"),
           ('data: {"choices": [{"delta": {"tool_calls": [{"index": 9}]}}]}\n\n', "index that makes no sense"),
           ('data: {"choices": [{"delta": {"tool_calls": [{"index": -1}]}}]}\n\n', "index that makes no sense")]


def test_streams_that_are_none_are_clean_errors(use):
    cluster, app, web = prepared(use)
    for body, said in STREAMS:
        web.answers = Everywhere(reply(200, body, content_type="text/event-stream"))
        memo = one(cluster, app, op("Ai", "ask", provider="openai", model="m", prompt="x", stream=True, num_retries=0))
        assert said in memo["error"]["message"], (body, memo)
    for body in (b"\0" * 64, b"\0\0\0\x20", b"HTTP nonsense that is no frame at all", struct.pack(">II", 2 ** 31, 0) + bytes(8)):
        web.answers = Everywhere(reply(200, body, content_type="application/vnd.amazon.eventstream"))
        memo = one(cluster, app, op("Ai", "ask", provider="bedrock", model="m", prompt="x", stream=True, num_retries=0))
        assert "damaged" in memo["error"]["message"] or "ended before" in memo["error"]["message"], (body, memo)


def test_an_answer_that_is_too_large_is_an_error_that_is_not_asked_for_again(use):
    cluster, app, web = prepared(use)
    piece = 'data: {"choices": [{"delta": {"content": "' + "x" * 100000 + '"}}]}\n\n'
    for kind, body, options in (("application/json", '{"a": "' + "x" * 5000000 + '"}', {}), ("text/event-stream", piece * 50, {"stream": True})):
        before = len(web.asked)
        web.answers = Everywhere(reply(200, body, content_type=kind))
        memo = one(cluster, app, op("Ai", "ask", provider="openai", model="m", prompt="x", num_retries=3, **options))
        assert "larger than flowforge.response_limit" in memo["error"]["message"], str(memo)[:500]
        assert len(web.asked) == before + 1, "it was asked for again"


def test_what_is_refused_for_good_is_not_asked_again_and_the_rest_when_the_provider_says(use):
    cluster, app, web = prepared(use)
    for name, times in (("openai/bad_request", 1), ("openai/no_money", 1), ("azure/content_filter", 1), ("openai/stream_cut", 3), ("openai/stream_error", 3),
                        ("openrouter/error_as_200", 3), ("bedrock/stream_exception", 3), ("anthropic/stream_error", 3)):
        sections = read(os.path.join(FILES, name + ".txt"))
        before = len(web.asked)
        web.answers = Everywhere(answering(sections))
        options = {"provider": name.split("/")[0], **json.loads(sections["options"]), "num_retries": 2}
        assert "error" in one(cluster, app, op("Ai", "ask", **options))
        assert len(web.asked) - before == times, (name, len(web.asked) - before)
    # Google says in the body when to come again.
    late = {"error": {"code": 429, "message": "m", "details": [{"retryDelay": "1.5s"}]}}
    fine = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}]}
    path = "/v1beta/models/gemini-2:generateContent"
    web.answers = {}
    web.on(path, reply(429, json.dumps(late), content_type="application/json"), reply(200, json.dumps(fine), content_type="application/json"))
    started = time.monotonic()
    assert one(cluster, app, op("Ai", "ask", model="gemini-2", prompt="x", num_retries=1))["data"]["content"] == "x"
    assert 1.4 < time.monotonic() - started < 60, "it did not wait as long as it was told"


def test_options_are_checked_before_anybody_is_asked(use):
    cluster, app, web = prepared(use)
    message = {"role": "user", "content": "x"}
    for options, said in (
            ({"messages": [{"role": "robot", "content": "x"}]}, "role is not system"), ({"messages": [{"role": "user"}]}, "without content"),
            ({"messages": [{"role": "user", "content": 7}]}, "neither text nor a list"), ({"messages": [{"role": "user", "content": [{}]}]}, "without a type"),
            ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "not text"),
            ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "image without a URL"),
            ({"messages": [{"role": "tool", "content": "x"}]}, "tool_call_id"), ({"messages": [{"role": "assistant", "tool_calls": 7}]}, "not a list"),
            ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "without a name"), ({"messages": [message], "tools": [{}]}, "without a name"),
            ({"messages": [message], "tools": [{"name": "a", "parameters": 7}]}, "JSON Schema"), ({"messages": [message], "tool_choice": "maybe"}, "tool_choice"),
            ({"messages": [message], "stop": 7}, "stop"), ({"messages": [message], "stop": [7]}, "stop"), ({"messages": [message], "stream": "yes"}, "stream"),
            ({"messages": [message], "max_tokens": 0}, "max_tokens"), ({"messages": [message], "max_tokens": 1.5}, "max_tokens"),
            ({"messages": [message], "response_format": {"type": "xml"}}, "text, json_object or json_schema"),
            ({"messages": [message], "response_format": {"type": "json_schema"}}, "without a schema")):
        memo = one(cluster, app, op("Ai", "ask", model="gpt-4o", **options))
        assert memo["error"]["name"] == "StepOptionsError" and said in memo["error"]["message"], (options, memo)
    assert len(web.asked) == 0


def run_node(cluster, name, config, **data):
    """Runs a workflow of one llm_call node to its end; gives its status, and the node's step as people see it."""
    document = {"nodes": [{"id": "ask", "type": "llm_call", "data": {"config": config, **data}}], "edges": []}
    quoted = json.dumps(document).replace("'", "''")
    cluster.sql(f"select workflow from ff_workflow_create('{name}', '{quoted}')")
    run_id = cluster.sql(f"select ff_workflow_run('{name}', draft => true)")
    status, result = end(cluster, run_id)
    memo = json.loads(cluster.sql(f"select memo from flowforge.step where run_id = '{run_id}' and step_id = 'ask'"))
    return status, result, without_time(memo)


def test_a_node_of_a_graph_asks_and_gives_the_same(use):
    cluster, app, web = prepared(use)
    for name in ("openai/plain", "openai/stream", "anthropic/tools", "anthropic/stream_json_schema", "gemini/json_schema", "gemini/stream_tools",
                 "bedrock/plain", "bedrock/stream", "azure/plain", "openrouter/stream"):
        provider = name.split("/")[0]
        sections = read(os.path.join(FILES, name + ".txt"))
        web.answers = Everywhere(answering(sections))
        config = {"provider": provider, **json.loads(sections["options"])}
        status, result, memo = run_node(cluster, "node " + name.replace("/", " ").replace("_", " "), config)
        assert status == "completed", (name, status, result)
        assert as_text(web.asked[-1]) == sections["request"], name
        assert memo == json.loads(sections["memo"]), (name, memo)
    shown = cluster.sql("select count(*) || ' ' || count(distinct provider) from flowforge.ai_calls where step_id = 'ask'")
    assert shown == "10 6", f"flowforge.ai_calls shows {shown}"


def test_a_node_says_the_form_of_its_answer_shortly(use):
    cluster, app, web = prepared(use)
    sections = read(os.path.join(FILES, "openai/json_schema.txt"))
    web.answers = Everywhere(answering(sections))
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    for given, sent in (("json", {"type": "json_object"}), ("text", None), (schema, {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}),
                        ({"type": "json_object"}, {"type": "json_object"})):
        status, _, memo = run_node(cluster, f"form {len(web.asked)}", {"model": "gpt-4o", "prompt": "x", "system": "", "provider": "", "response_format": given})
        asked = json.loads(web.asked[-1].body)
        assert status == "completed" and asked.get("response_format") == sent and len(asked["messages"]) == 1, (given, asked)
        assert ("parsed" in memo["data"]) == (sent is not None), memo


def test_a_node_that_cannot_be_answered_fails_or_is_tried_again(use):
    cluster, app, web = prepared(use)
    for name, times in (("openai/bad_request", 1), ("openai/stream_error", 2)):
        sections = read(os.path.join(FILES, name + ".txt"))
        web.answers = Everywhere(answering(sections))
        before = len(web.asked)
        status, error, _ = run_node(cluster, "failing " + name.split("/")[1].replace("_", " "), json.loads(sections["options"]), max_attempts=2,
                                    retry={"base": 0.1, "base_seconds": 0.1})
        assert status == "failed" and json.loads(sections["memo"])["error"]["message"] in json.dumps(error), error
        assert len(web.asked) - before == times, name
    status, error, _ = run_node(cluster, "senseless", {"model": "gpt-4o", "prompt": "x", "messages": [{"role": "user", "content": "x"}]})
    assert status == "failed" and "either messages or a prompt" in json.dumps(error), error


def test_what_a_provider_is_told_is_checked_and_what_may_be_secret_is_sealed(use):
    cluster, _, _ = prepared(use)
    for arguments in ("'b', 'AK:SK', format => 'bedrock'", "'b', 'AK:SK', region => 'US EAST', format => 'bedrock'", "'azure', 'k', 'https://x', api_version => 'a b'",
                      "'azure', 'k'", "'x', 'k', 'http://x', headers => '[]'", "'x', 'k', 'http://x', headers => '{\"a\": 7}'",
                      "'x', 'k', 'http://x', headers => '{\"a b\": \"c\"}'", "'x', 'k', 'http://x', headers => '{\"a\": \"c\\nd: e\"}'",
                      "'x', 'k', 'http://x', headers => '{\"Host\": \"elsewhere\"}'", "'x', 'k', 'http://x', headers => '{\"\": \"\"}'"):
        done = cluster.psql("-v", "VERBOSITY=sqlstate", "-c", f"select ff_set_ai_provider({arguments})", check=False)
        assert "FF412" in done.stderr, (arguments, done.stdout, done.stderr)
    rows = cluster.sql("select row_to_json(p) || ' ' || row_to_json(v) from flowforge.ai_provider p, flowforge.ai_providers v "
                       "where p.name = 'openrouter' and v.name = 'openrouter'")
    assert "HTTP-Referer" in rows and "shop.example" not in rows and "shop.example".encode().hex() not in rows, rows
    assert cluster.sql("select base_url from flowforge.ai_providers where name = 'bedrock'").startswith("http://127.0.0.1")
    cluster.sql("select ff_set_ai_provider('bedrock', 'AK:SK', region => 'eu-west-3')")
    assert cluster.sql("select base_url from flowforge.ai_providers where name = 'bedrock'") == "https://bedrock-runtime.eu-west-3.amazonaws.com"


def test_a_secret_header_is_in_no_answer_and_a_key_of_bedrock_is_a_bearer(use):
    cluster, app, web = prepared(use)
    cluster.sql(f"select ff_set_ai_provider('proxy', null, '{web.url}', headers => '{{\"X-Api-Token\": \"hush-hush-hush\"}}')")
    answer = {"choices": [{"message": {"content": "you said hush-hush-hush"}, "finish_reason": "stop"}]}
    web.answers = Everywhere(reply(200, json.dumps(answer), content_type="application/json"))
    assert one(cluster, app, op("Ai", "ask", model="proxy/m", prompt="x"))["data"]["content"] == "you said [redacted]"
    assert web.asked[-1].headers["x-api-token"] == "hush-hush-hush"
    cluster.sql(f"select ff_set_ai_provider('bedrock', 'ABSKkey-of-bedrock', '{web.url}', region => 'eu-west-3')")
    web.answers = Everywhere(reply(200, json.dumps({"output": {"message": {"content": [{"text": "x"}]}}}), content_type="application/json"))
    assert one(cluster, app, op("Ai", "ask", provider="bedrock", model="m", prompt="x"))["data"]["content"] == "x"
    assert web.asked[-1].headers["authorization"] == "Bearer ABSKkey-of-bedrock" and "x-amz-date" not in web.asked[-1].headers


def test_every_invariant_holds_after_all_of_this(use):
    cluster, _ = shared()
    cluster.assert_sound()


if __name__ == "__main__":
    run(globals())

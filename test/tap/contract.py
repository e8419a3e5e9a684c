"""The API keeps what its OpenAPI document says: every operation is called with input made from the document, good and bad.

Whatever is sent, the answer is no 5xx; a good one is of the response's schema, a bad one problem+json (or what SDKs read) of its own.
"""
import json
import random
from urllib.parse import quote, urlencode

from gateway import Gateway
from harness import Cluster, run, wait_for
from jsonschema import Draft202012Validator

try:  # Debian 12 has no package of it: without it the document is only held against JSON Schema's rules
    from openapi_spec_validator import OpenAPIV31SpecValidator
except ImportError:
    OpenAPIV31SpecValidator = None

HOSTILE = ["", " ", "'; drop table flowforge.run; --", "../../etc/passwd", "a\x00b", "\x7f\x01", "\u202e\U0001f4a5", "%", "{{ 1 / 0 }}", "${7*7}", "null", "-1",
           "1e999", "x" * 5000, "00000000-0000-0000-0000-000000000000", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "\\", "\"", "<script>", "infinity", "294277-01-01"]
WRONG = [None, True, -1, 0, 1.5, 10**30, "", "text", [], [1, None, {"a": []}], {}, {"a": 1}, ["x"] * 300, "x" * 70000, "a\u0000b"]
BODIES = [b"", b"{", b"nul", b"\xff\xfe", b'{"a": "\\u0000"}', b"[" * 3000, b'"text"', b"7", b"null", b"[]", b"[null]", b"{}", b'{"": {"": [[]]}}']
SAMPLES = {"date-time": "2026-01-31T12:00:00Z", "uuid": "01939c3c-7d2a-7000-8000-000000000001", "uri": "http://127.0.0.1:9/api"}
GRAPH = {"nodes": [{"id": "out", "type": "transform", "position": {"x": 0, "y": 0}, "data": {"label": "Out", "config": {"mapping": {"n": 1}}}}], "edges": []}


class Contract:
    def __init__(self, gateway):
        self.gateway = gateway
        self.document = gateway.get("/api/openapi.json").json()
        self.operations = [(method.upper(), path, operation) for path, methods in sorted(self.document["paths"].items())
                           for method, operation in sorted(methods.items())]
        self.validators = {}
        self.faults = []

    def validator(self, schema):
        key = json.dumps(schema, sort_keys=True)
        if key not in self.validators:
            self.validators[key] = Draft202012Validator(schema | {"components": self.document["components"]})
        return self.validators[key]

    def resolved(self, schema):
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].split("/")[-1]]
        return schema

    def properties(self, schema):
        schema = self.resolved(schema)
        found = dict(schema.get("properties", {}))
        for part in schema.get("allOf", []):
            found |= self.properties(part)
        return found

    def required(self, schema):
        schema = self.resolved(schema)
        return set(schema.get("required", [])).union(*[self.required(part) for part in schema.get("allOf", [])])

    def sample(self, schema, depth=0):
        """A value that meets a schema."""
        schema = self.resolved(schema)
        if "example" in schema:
            return schema["example"]
        if "const" in schema or "enum" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        if "default" in schema:
            return schema["default"]
        if "oneOf" in schema or "anyOf" in schema:
            return self.sample((schema.get("oneOf") or schema["anyOf"])[0], depth)
        kind = schema.get("type", "object" if "properties" in schema or "allOf" in schema else "string")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "object":
            return {name: self.sample(self.properties(schema)[name], depth + 1) for name in sorted(self.required(schema)) if name in self.properties(schema)}
        if kind == "array":
            return [self.sample(schema["items"], depth + 1)] if "items" in schema and depth < 4 else []
        return {"integer": max(schema.get("minimum", 1), 1), "number": 1, "boolean": True, "null": None}.get(
            kind, SAMPLES.get(schema.get("format"), "text"))

    # --- asking ---

    def ask(self, operation, params=None, query=None, body=None, headers=None):
        """Calls an operation; notes a fault when the answer is not what the document says."""
        method, pattern, described = operation
        path = pattern
        for name, value in (params or {}).items():
            path = path.replace("{%s}" % name, quote(str(value), safe=""))
        target = path + ("?" + urlencode(query, quote_via=quote) if query else "")
        streams = "text/event-stream" in json.dumps(described["responses"])
        answer = self.gateway.ask(method, target[:7000], body, headers, first=1 if streams else None)
        problem = self.problem(described, answer)
        if problem:
            said = body if isinstance(body, bytes) else json.dumps(body)
            self.faults.append(f"{method} {target[:200]} {said[:200] if said else ''} {str(headers or '')[:200]}: {answer.status} {problem}: {answer.body[:200]}")
        return answer

    def problem(self, described, answer):
        good = 200 <= answer.status < 300
        if answer.status >= 500:
            return "the server failed"
        if answer.status == 304:
            return None if answer.body == b"" else "304 with a body"
        wanted = described["responses"]["2XX" if good else "default"]["content"]
        if answer.type not in wanted:
            # What is no operation's doing, such as a path nobody answers, is told as problem+json or as the style of its neighbours.
            return f"content-type {answer.type} is none of {list(wanted)}"
        if not answer.type.endswith("json"):
            return None
        try:
            value = answer.json()
        except ValueError as error:
            return f"no JSON: {error}"
        wrong = next(self.validator(wanted[answer.type]["schema"]).iter_errors(value), None)
        if wrong is not None:
            return f"not of its schema: {wrong.json_path} {wrong.message[:200]}"
        if not good and value.get("status") != answer.status:
            return f"says status {value.get('status')}"
        return None

    def parameters(self, operation, place):
        return [p for p in operation[2]["parameters"] if p["in"] == place]

    def body_schema(self, operation):
        content = operation[2].get("requestBody", {}).get("content", {})
        return content.get("application/json", {}).get("schema")

    def conclude(self):
        assert not self.faults, f"{len(self.faults)} faults\n" + "\n".join(self.faults[:40])


# --- what there is to ask for ---

def prepared(use):
    cluster = use(Cluster({"flowforge.outbound_allow": "'127.0.0.1'", "flowforge.jwt_secret": "'a secret of the tests that is long enough'"}))
    gateway = use(Gateway(cluster))
    cluster.sql("create table public.orders (id integer primary key, total numeric); grant select, trigger on public.orders to flowforge_gateway")
    cluster.sql("create function public.double(n integer) returns integer language sql as 'select 2 * n';"
                "create role contract; set role contract; reset role")
    return cluster, gateway, Contract(gateway)


def furnish(cluster, gateway):
    """One thing of each kind; gives what the parameters in paths may say of them."""
    app = gateway.ask("PUT", "/fn/register", {"url": "http://127.0.0.1:9/api", "appName": "shop", "functions": [
        {"id": "shop-order", "triggers": [{"event": "shop/order"}],
         "steps": {"step": {"runtime": {"type": "http", "url": "http://127.0.0.1:9/api?fnId=shop-order&stepId=step"}}}}]}).json()["app_id"]
    flow = gateway.ask("POST", "/api/v1/workflows", {"name": "Flow", "definition": GRAPH}).json()
    published = gateway.ask("POST", f"/api/v1/workflows/{flow['id']}/publish")
    assert published.status == 200, published.body
    ended = gateway.ask("POST", f"/api/v1/workflows/{flow['id']}/run", {}).json()["id"]
    wait_for(lambda: gateway.get(f"/api/v1/runs/{ended}").json()["status"] == "completed", 30, "the workflow's run ends")
    draft = gateway.ask("POST", "/api/v1/workflows", {"name": "Draft", "definition": GRAPH}).json()
    event = gateway.ask("POST", "/api/v1/events", {"name": "shop/order", "data": {"n": 1}}).json()
    cluster.sql("select ff_schedule('nightly', '0 3 * * *', 'night/fell')")
    return {"app": app, "flow": flow["id"], "draft": draft["id"], "ended": ended, "live": event["runs"][0]["id"], "event": event["id"]}


def known_param(things, path, name):
    """What the parameter of a path may be, of the things there are."""
    if name == "id" and "/approvals/" not in path and "/cancellations/" not in path:
        for part, thing in (("/apps/{id}", "shop" if path.endswith(("pause", "resume")) else things["app"]), ("/functions/{id}", "shop-order"),
                            ("/workflows/{id}", things["flow"]), ("/events/{id}", things["event"])):
            if part in path:
                return thing
        return things["live"] if path.endswith(("/cancel", "/checkpoint", "/steps", "/async")) else things["ended"]
    return {"path": "shop", "table": "orders", "slug": "shop-order", "key": "key"}.get(name, "unknown")


GOOD = {  # what the document alone does not say: a body that suits what there is
    ("POST", "/api/v1/workflows"): {"name": "Another", "definition": GRAPH},
    ("PUT", "/api/v1/workflows/{id}"): {"description": "changed"},
    ("POST", "/api/v1/workflows/{id}/validate"): {"definition": GRAPH},
    ("POST", "/api/v1/workflows/{id}/duplicate"): {"name": "Copy"},
    ("POST", "/api/v1/hooks"): {"path": "shop", "event": "shop/hook"},
    ("POST", "/api/v1/watches"): {"table": "orders"},
    ("POST", "/api/v1/runs/cancel"): {"function": "shop-order", "dry_run": True},
    ("POST", "/api/v1/runs/retry"): {"function": "shop-order", "dry_run": True},
    ("POST", "/api/v1/runs/replay"): {"function": "shop-order", "dry_run": True},
    ("PATCH", "/api/v1/functions/{id}"): {"name": "Orders", "paused": False},
    ("PATCH", "/api/v1/tenant"): {"weight": 2, "max_running": 100, "max_events_per_second": None},
    ("POST", "/api/v1/events/batch"): [{"name": "shop/other"}],
}
# What must have answered well once; operations of other kinds need what a test of theirs makes.
MUST_WORK = ("events", "functions", "runs", "workflows", "catalog", "hooks", "schedules", "watches", "tenant", "health")
CANNOT = {("POST", "/api/v1/runs/{id}/retry"), ("POST", "/api/v1/runs/{id}/resume"), ("DELETE", "/api/v1/workflows/{id}")}


def test_the_document_is_valid_and_says_everything_of_every_operation(use):
    _, _, contract = prepared(use)
    if OpenAPIV31SpecValidator is not None:
        OpenAPIV31SpecValidator(contract.document).validate()
    assert contract.document["openapi"].startswith("3.1"), contract.document["openapi"]
    ids = [operation["operationId"] for _, _, operation in contract.operations]
    assert len(ids) == len(set(ids)) and len(ids) > 80, ids
    for schema in contract.document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for method, path, operation in contract.operations:
        name = f"{method} {path}"
        assert operation["summary"] and "Scope: " in operation["description"], name
        for place in ("2XX", "default"):
            for kind, media in operation["responses"][place]["content"].items():
                Draft202012Validator.check_schema(media["schema"])
                assert media["schema"] or not kind.endswith("json"), f"{name} says nothing of its answer"
        if operation.get("requestBody"):
            for media in operation["requestBody"]["content"].values():
                Draft202012Validator.check_schema(media["schema"])
                assert media["schema"], f"{name} says nothing of its body"
        named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}, name
        assert all(p["schema"] for p in operation["parameters"]), name


def test_every_operation_does_what_it_says_when_it_is_asked_well(use):
    cluster, gateway, contract = prepared(use)
    things = furnish(cluster, gateway)
    order = {"GET": 0, "POST": 1, "PUT": 2, "PATCH": 3, "DELETE": 4}
    refused = []
    for operation in sorted(contract.operations, key=lambda o: (o[1].endswith(("/archive", "/cancel")), order[o[0]], o[1])):
        method, path, described = operation
        params = {p["name"]: known_param(things, path, p["name"]) for p in contract.parameters(operation, "path")}
        if path == "/api/v1/workflows/{id}/publish":
            params["id"] = things["draft"]
        schema = contract.body_schema(operation)
        body = GOOD.get((method, path), contract.sample(schema) if schema else None)
        answer = contract.ask(operation, params, None, body)
        if described["tags"][0] in MUST_WORK and not 200 <= answer.status < 300 and (method, path) not in CANNOT:
            refused.append(f"{method} {path} {body}: {answer.status} {answer.body[:300]}")
        # Everything the query string may say, each alone.
        for parameter in contract.parameters(operation, "query"):
            value = contract.sample(parameter["schema"])
            contract.ask(operation, params, {parameter["name"]: str(value).lower() if isinstance(value, bool) else value})
    contract.conclude()
    assert not refused, "\n".join(refused)


def test_no_path_and_no_query_makes_an_operation_fail(use):
    cluster, gateway, contract = prepared(use)
    things = furnish(cluster, gateway)
    for operation in contract.operations:
        method, path, _ = operation
        schema = contract.body_schema(operation)
        body = (GOOD.get((method, path)) or contract.sample(schema)) if schema else None
        names = [p["name"] for p in contract.parameters(operation, "path")]
        known = {name: known_param(things, path, name) for name in names}
        for name in names:
            for value in HOSTILE[1:]:
                answer = contract.ask(operation, known | {name: value}, None, body)
                assert answer.status != 405, (path, value)
        if method != "GET":
            continue
        for parameter in contract.parameters(operation, "query"):
            for value in HOSTILE + ["99999999999999999999", "-5", "0", "1000000"]:
                contract.ask(operation, known, {parameter["name"]: value})
        for query in ({"limit": 0}, {"limit": 10**9}, {"cursor": "!"}, {"cursor": "x" * 3000}, {"unknown": "1"}, {"limit": "1", "cursor": SAMPLES["uuid"]}):
            contract.ask(operation, known, query)
    contract.conclude()


def test_no_body_makes_an_operation_fail(use):
    cluster, gateway, contract = prepared(use)
    things = furnish(cluster, gateway)
    chance = random.Random(6)
    for operation in contract.operations:
        method, path, _ = operation
        schema = contract.body_schema(operation)
        if method == "GET":
            continue
        known = {p["name"]: known_param(things, path, p["name"]) for p in contract.parameters(operation, "path")}
        for body in BODIES:
            contract.ask(operation, known, None, body)
        for kind in ("application/octet-stream", "multipart/form-data; boundary=x", "text/xml", "application/json; charset=latin-9"):
            contract.ask(operation, known, None, b'{"a": 1}', {"content-type": kind})
        if schema is None:
            continue
        good = GOOD.get((method, path)) or contract.sample(schema)
        if not isinstance(good, dict):
            for value in WRONG:
                contract.ask(operation, known, None, value if isinstance(value, (dict, list)) else [value])
            continue
        for name, described in contract.properties(schema).items():
            for value in chance.sample(WRONG, 6) + chance.sample(HOSTILE, 4):
                contract.ask(operation, known, None, good | {name: value})
            if name in good:
                contract.ask(operation, known, None, {key: value for key, value in good.items() if key != name})
    contract.conclude()


def test_no_header_makes_an_operation_fail(use):
    cluster, gateway, contract = prepared(use)
    things = furnish(cluster, gateway)
    headers = [{"if-match": '"stale"'}, {"if-match": "garbage, \"x\""}, {"if-none-match": "*"}, {"idempotency-key": "k" * 300}, {"x-idempotency-key": " "},
               {"traceparent": "00-zz-11-01"}, {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01", "tracestate": "x" * 600}, {"x-request-id": "a b"},
               {"accept": "text/html"}, {"ce-specversion": "1.0"}, {"ce-specversion": "9", "ce-id": "%ZZ", "ce-source": "", "ce-type": "%00"},
               {"last-event-id": "-1"}, {"content-type": "application/cloudevents-batch+json"}, {"content-type": "application/cloudevents+json"}]
    for operation in contract.operations:
        method, path, _ = operation
        schema = contract.body_schema(operation)
        body = (GOOD.get((method, path)) or contract.sample(schema)) if schema else None
        known = {p["name"]: known_param(things, path, p["name"]) for p in contract.parameters(operation, "path")}
        for given in headers:
            if "accept" in given and path.startswith("/approve/"):
                continue  # pages tell errors as pages to those who read them
            contract.ask(operation, known, None, body, given)
    contract.conclude()


run(globals())

// Workflows over HTTP on a live server: stored, guarded, published, started by all that starts them, kept by a dump.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { logOnFailure, startServer, until } from "./harness.mjs";

const node = (id, mapping) => ({ id, type: "transform", position: { x: 0, y: 0 }, data: { config: { mapping } } });
const double = { nodes: [node("double", { twice: "{{ input.n * 2 }}" })], edges: [] };

describe("workflows", () => {
	let server;
	before(async () => {
		server = await startServer();
	});
	after(() => server?.stop());
	logOnFailure(() => server);

	const call = async (method, path, body, headers = {}) => {
		const response = await fetch(`${server.url}/api/v1${path}`, {
			method, headers: { "content-type": "application/json", ...headers }, body: body === undefined ? undefined : JSON.stringify(body) });
		const text = await response.text();
		return { status: response.status, etag: response.headers.get("etag"), replayed: response.headers.get("idempotency-replayed"), body: text ? JSON.parse(text) : null };
	};
	const make = async (name, content) => {
		const made = await call("POST", "/workflows", { name, ...content });
		assert.equal(made.status, 201, JSON.stringify(made.body));
		return made.body.workflow;
	};
	const finished = (id) => server.finished(id);
	const runsOf = async (workflow) => (await server.get(`/api/v1/runs?function=${workflow}`)).data;

	it("are published and run, and runs keep the version they started with", async () => {
		const slug = await make("Double it", { definition: double, input_schema: { type: "object", required: ["n"], properties: { n: { type: "integer" } } } });
		assert.equal((await call("POST", `/workflows/${slug}/run`, { input: { n: 1 } })).status, 409, "a draft is not run");
		const test = await call("POST", `/workflows/${slug}/test-run`, { input: { n: 3 } });
		assert.deepEqual((await finished(test.body.id)).output, { twice: 6 });
		assert.equal((await call("POST", `/workflows/${slug}/publish`)).body.version, 1);
		const first = await call("POST", `/workflows/${slug}/run`, { input: { n: 4 } });
		const run = await finished(first.body.id);
		assert.deepEqual([run.status, run.version, run.output], ["completed", 1, { twice: 8 }]);
		await call("PUT", `/workflows/${slug}`, { definition: { nodes: [node("triple", { thrice: "{{ input.n * 3 }}" })], edges: [] } });
		assert.deepEqual((await finished((await call("POST", `/workflows/${slug}/run`, { input: { n: 4 } })).body.id)).output, { twice: 8 }, "a draft changes nothing");
		await call("POST", `/workflows/${slug}/publish`);
		assert.deepEqual((await finished((await call("POST", `/workflows/${slug}/run`, { input: { n: 4 } })).body.id)).output, { thrice: 12 });
		const replay = await call("POST", `/runs/${first.body.id}/replay`, {});
		assert.deepEqual((await finished(replay.body.id)).output, { thrice: 12 }, "a replay is of the current version");
	});

	it("check what a run is given, at the door and behind it", async () => {
		const slug = await make("Checked", { definition: double, triggers: [{ event: "checked/go" }],
			input_schema: { type: "object", required: ["n"], properties: { n: { type: "integer", minimum: 1 } }, additionalProperties: false } });
		await call("POST", `/workflows/${slug}/publish`);
		const refused = await call("POST", `/workflows/${slug}/run`, { input: { n: 0, m: 1 } });
		assert.equal(refused.status, 422);
		assert.deepEqual(refused.body.errors.map((e) => [e.path, e.keyword]).sort(), [["/m", "additionalProperties"], ["/n", "minimum"]]);
		assert.equal((await finished((await call("POST", `/workflows/${slug}/run`, { input: { n: 1 } })).body.id)).status, "completed");
		await server.send("checked/go", { n: "one" });
		const run = await until("the event's run has failed", async () => (await runsOf(slug)).find((r) => r.status === "failed"));
		const { error } = await server.get(`/api/v1/runs/${run.id}`);
		assert.equal(error.name, "InputInvalid", "nothing is lost silently");
		assert.deepEqual(error.findings.map((f) => f.path), ["/n"]);
	});

	it("are started by events that pass the filter, by webhooks, and no more when archived", async () => {
		await server.sql("select ff_create_hook('shop', 'hook/shop')");
		const slug = await make("Started", { definition: double, triggers: [{ event: "started/*", if: "event.data.n > 1" }, { webhook: "shop" }, { manual: true }] });
		await server.send("started/a", { n: 9 });
		assert.deepEqual(await runsOf(slug), [], "a draft has no triggers");
		await call("POST", `/workflows/${slug}/publish`);
		await server.send("started/a", { n: 1 });
		await server.send("started/b", { n: 2 });
		await fetch(`${server.url}/hooks/shop`, { method: "POST", headers: { "content-type": "application/json" }, body: '{"n": 5}' });
		const runs = await until("both have ended", async () => {
			const all = await runsOf(slug);
			return all.length === 2 && all.every((r) => r.status === "completed") && all;
		});
		assert.deepEqual(runs.map((r) => r.event_name), ["hook/shop", "started/b"]);
		assert.equal((await call("POST", `/workflows/${slug}/archive`)).body.status, "archived");
		await server.send("started/b", { n: 2 });
		assert.equal((await runsOf(slug)).length, 2);
		assert.equal((await call("POST", `/workflows/${slug}/run`, { input: {} })).status, 409);
	});

	it("are not overwritten by who has not seen the last change", async () => {
		const slug = await make("Shared", { definition: double });
		const { etag } = await call("GET", `/workflows/${slug}`);
		const answers = await Promise.all(["a", "b", "c", "d"].map((id) =>
			call("PUT", `/workflows/${slug}`, { definition: { nodes: [node(id, { x: 1 })], edges: [] } }, { "if-match": etag })));
		assert.deepEqual(answers.map((a) => a.status).sort(), [200, 412, 412, 412], "one wins");
		const winner = answers.find((a) => a.status === 200);
		const now = await call("GET", `/workflows/${slug}`);
		assert.equal(now.etag, winner.etag);
		assert.deepEqual(now.body.definition, winner.body.definition);
		assert.equal((await call("GET", `/workflows/${slug}`, undefined, { "if-none-match": now.etag })).status, 304);
		const published = await Promise.all(Array.from({ length: 4 }, () => call("POST", `/workflows/${slug}/publish`)));
		assert.deepEqual(published.map((p) => [p.status, p.body.version]), Array(4).fill([200, 1]), "it is published once");
		assert.equal((await call("GET", `/workflows/${slug}/versions`)).body.data.length, 1);
		const copies = await Promise.all(Array.from({ length: 4 }, () => call("POST", `/workflows/${slug}/duplicate`, {})));
		assert.deepEqual(copies.map((c) => c.body.name).sort(), ["Shared (copy 2)", "Shared (copy 3)", "Shared (copy 4)", "Shared (copy)"]);
	});

	it("run once for a key, whichever way it is said", async () => {
		const slug = await make("Once", { definition: double });
		await call("POST", `/workflows/${slug}/publish`);
		const [one, two] = await Promise.all([1, 2].map(() => call("POST", `/workflows/${slug}/run`, { input: { n: 1 }, idempotency_key: "k" })));
		assert.equal(one.body.id, two.body.id);
		const first = await call("POST", `/workflows/${slug}/run`, { input: { n: 2 } }, { "x-idempotency-key": "h" });
		const again = await call("POST", `/workflows/${slug}/run`, { input: { n: 2 } }, { "x-idempotency-key": "h" });
		assert.deepEqual([again.body, again.replayed], [first.body, "true"]);
		assert.equal((await call("POST", `/workflows/${slug}/run`, { input: { n: 3 } }, { "x-idempotency-key": "h" })).status, 422, "the key was for another request");
		assert.equal((await runsOf(slug)).length, 2);
	});

	it("and functions of the database are invoked by their names, as their role", async () => {
		await server.sql("create role counter login; create schema c authorization counter;"
			+ " create function c.add(a integer, b integer) returns jsonb language sql as $$ select jsonb_build_object('sum', a + b, 'as', current_user) $$;"
			+ " select ff_register_function('add', 'c.add(integer, integer)', '{\"required\": [\"a\", \"b\"]}', '{\"required\": [\"sum\"]}', 'counter')");
		const started = await call("POST", "/functions/add/run", { input: { a: 1, b: 2 } });
		assert.deepEqual((await finished(started.body.id)).output, { sum: 3, as: "counter" });
		assert.equal((await call("POST", "/functions/add/run", { input: { a: 1 } })).status, 422);
		const slug = await make("Calls it", { definition: { nodes: [{ id: "sum", type: "function_call", data: { config: { function: "add", args: { a: "{{ input.n }}", b: 40 } } } }], edges: [] } });
		await call("POST", `/workflows/${slug}/publish`);
		const run = await finished((await call("POST", `/workflows/${slug}/run`, { input: { n: 2 } })).body.id);
		assert.deepEqual([run.status, run.output?.sum], ["completed", 42], JSON.stringify(run));
	});
});

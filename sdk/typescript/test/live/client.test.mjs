// createClient against a running server: it gives {data, error} whatever happens, and throws nothing.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { createClient, FlowForge } from "flowforge";
import { logOnFailure, startServer, until } from "../../../../test/e2e/harness.mjs";
import { startOurs } from "./harness.mjs";

const vectors = (name) => JSON.parse(readFileSync(new URL(`../../../vectors/${name}.json`, import.meta.url), "utf8"));

describe("the client", () => {
	let server;
	let client;
	let outsider;
	before(async () => {
		server = await startServer({ signed: true, settings: { "flowforge.auth": "on", "flowforge.jwt_secret": "0123456789abcdef0123456789abcdef" } });
		const [apiKey] = await server.sql("select key from ff_key_create('test', scopes => '{admin}')");
		client = createClient(server.url, { apiKey });
		outsider = createClient(server.url, { apiKey: "ff_live_nobody" });
		await startOurs(server);
	});
	after(() => server?.stop());
	logOnFailure(() => server);

	const good = ({ data, error }) => {
		assert.equal(error, null, JSON.stringify(error));
		return data;
	};
	const start = async (name, data = {}) => good(await client.events.send({ name: `ts/${name}`, data })).runs[0].id;

	it("sends events and tells the runs they have started", async () => {
		const { ids, runs } = good(await client.events.send({ name: "ts/ten", data: {} }));
		assert.equal(runs[0].function, "ts-ten");
		assert.equal(good(await client.events.get(ids[0])).name, "ts/ten");
		assert.deepEqual(good(await client.events.runs(ids[0])).data.map((run) => run.id), [runs[0].id]);
		assert.equal(good(await client.events.send([{ name: "ts/nobody" }, { name: "ts/nobody" }])).ids.length, 2);
		const listed = good(await client.events.list({ name: "ts/nobody" }));
		assert.equal(listed.length, 2);
	});

	it("waits for the end of a run, and shows it with its steps and its log", async () => {
		const id = await start("ten");
		const run = good(await client.runs.waitFor(id));
		assert.deepEqual([run.status, run.output], ["completed", [...Array(10).keys()]]);
		assert.equal(good(await client.runs.steps(id)).length, 10);
		const log = good(await client.runs.log(id));
		assert.deepEqual([log[0].type, log.at(-1).type], ["run.created", "run.completed"]);
		assert.equal(good(await client.runs.log(id, { since: log.length - 1 })).length, 1);
		assert.deepEqual(good(await client.runs.waitFor(id)).id, id, "one that has ended");
	});

	it("does not wait for longer than it was told", async () => {
		const id = await start("cancellable", { key: "waits" });
		const { data, error } = await client.runs.waitFor(id, { timeout: 300 });
		assert.deepEqual([data, error.code], [null, "TIMEOUT"]);
		const given = await client.runs.waitFor(id, { signal: AbortSignal.abort() });
		assert.equal(given.error.code, "ABORTED");
		assert.match(good(await client.runs.explain(id)).explanation, /./);
		assert.equal(good(await client.runs.cancel(id, { reason: "enough" })).result, "cancelling");
		assert.equal(good(await client.runs.waitFor(id)).status, "cancelled");
		assert.equal(good(await client.runs.cancel(id)).result, "already cancelled");
	});

	it("follows a run: a snapshot, and each event of its log once, to the end", async () => {
		const id = await start("signalled", { signal: "follow" });
		await until("it waits", async () => good(await client.runs.steps(id)).some((step) => step.status === "waiting"));
		const types = [];
		let seq = 0;
		for await (const message of client.runs.stream(id)) {
			types.push(message.type);
			assert.ok(message.seq > seq || message.type === "snapshot", "in order");
			seq = message.seq;
			if (message.type === "snapshot") good(await client.sendSignal("follow", 1));
		}
		assert.deepEqual([types[0], types.at(-1)], ["snapshot", "run.completed"]);
		assert.equal((await client.sendSignal("follow")).error.status, 404);
	});

	it("mends a stream that breaks", async () => {
		const id = await start("ten");
		good(await client.runs.waitFor(id));
		const log = good(await client.runs.log(id));
		// A proxy that ends each answer after three messages.
		const asked = [];
		const proxy = createServer(async (request, response) => {
			asked.push(request.headers["last-event-id"]);
			const since = Number(request.headers["last-event-id"] ?? 0);
			response.writeHead(200, { "content-type": "text/event-stream" });
			for (const event of log.filter((e) => e.seq > since).slice(0, 3)) response.write(`event: ${event.type}\nid: ${event.seq}\ndata: ${JSON.stringify(event)}\n\n`);
			response.write("event: cut\ndata: {\"se");
			setTimeout(() => response.destroy(), 50);
		}).listen(0, "127.0.0.1");
		await once(proxy, "listening");
		const seen = [];
		for await (const message of createClient(`http://127.0.0.1:${proxy.address().port}`).runs.stream(id)) seen.push(message.seq);
		proxy.close();
		assert.deepEqual(seen, log.map((e) => e.seq));
		assert.deepEqual(asked.slice(0, 3), [undefined, "3", "6"]);
	});

	it("retries and replays", async () => {
		const id = await start("final");
		assert.equal(good(await client.runs.waitFor(id)).status, "failed");
		assert.equal(good(await client.runs.retry(id)).result, "retrying");
		await client.runs.waitFor(id);
		const replayed = await start("replayed", { n: 1 });
		await client.runs.waitFor(replayed);
		const { id: again, replay_of: of } = good(await client.runs.replay(replayed, { fromStep: "b" }));
		assert.equal(of, replayed);
		assert.deepEqual(good(await client.runs.waitFor(again)).output, [1, 2]);
		const bulk = good(await client.runs.retryWhere({ function: "ts-final", status: "failed", dry_run: true }));
		assert.deepEqual([bulk.count, bulk.dry_run], [1, true]);
		assert.equal(good(await client.runs.cancelWhere({ function: "ts-final" })).count, 0);
		assert.equal(good(await client.runs.replayWhere({ runs: [replayed], fromStep: "c" })).count, 1);
	});

	it("builds lists: columns, filters, order, pages", async () => {
		for (let n = 0; n < 5; n++) await client.runs.waitFor(await start("no-steps", { value: n }));
		const query = () => client.runs.select("id", "status").eq("function", "ts-no-steps").eq("status", "completed");
		const { data, error, nextCursor } = await query().order("created_at", { ascending: false }).limit(3);
		assert.equal(error, null);
		assert.deepEqual([data.length, Object.keys(data[0])], [3, ["id", "status"]]);
		const rest = await query().limit(100).after(nextCursor);
		assert.equal(rest.data.length, 2);
		assert.equal(rest.nextCursor, null);
		const all = (await query()).data.map((row) => row.id);
		assert.deepEqual(all, [...data, ...rest.data].map((row) => row.id));
		assert.deepEqual((await client.runs.list({ function: "ts-no-steps", since: new Date(Date.now() + 60_000) })).data, []);
		assert.equal((await client.functions.select("function", "retries").eq("search", "no-steps")).data[0].retries, 4);
		assert.equal((await client.apps.list()).data[0].name, "ts");
	});

	it("says that it cannot order or limit as it is told", async () => {
		assert.match((await client.runs.select().order("status")).error.message, /listed by created_at, descending/);
		assert.equal((await client.runs.select().order("created_at")).error.code, "UNSUPPORTED");
		assert.equal((await client.runs.select().limit(0)).error.code, "UNSUPPORTED");
	});

	it("is told ids that are those of the vectors", async () => {
		const { pairs, seeded } = vectors("id");
		for (const { uuid, ulid } of pairs) assert.deepEqual(await server.sql(`select flowforge.ulid('${uuid}')`), [ulid]);
		for (const { seed, index, ulid } of seeded) assert.deepEqual(await server.sql(`select flowforge.ulid(flowforge.seed_id('${seed}', ${index}))`), [ulid]);
	});

	it("runs, pauses and resumes functions", async () => {
		const { id } = good(await client.functions.run("ts-no-steps", { input: { value: "by name" }, idempotencyKey: "once" }));
		assert.equal(good(await client.functions.run("ts-no-steps", { input: { value: "by name" }, idempotencyKey: "once" })).id, id);
		assert.deepEqual(good(await client.runs.waitFor(id)).output, { echo: "by name" });
		assert.equal(good(await client.functions.pause("ts-ten", { reason: "moving" })).result, "paused");
		assert.equal(good(await client.functions.get("ts-ten")).pause.reason, "moving");
		assert.equal(good(await client.functions.resume("ts-ten")).result, "resumed");
	});

	it("changes functions, and pauses all of an app", async () => {
		const before = good(await client.functions.get("ts-single"));
		assert.equal((await client.functions.change("ts-single", { name: "x" }, { etag: '"nobody"' })).error.status, 412);
		const changed = good(await client.functions.change("ts-single", { name: "Nothing", paused: true, reason: "tests" }, { etag: before.etag }));
		assert.deepEqual([changed.name, changed.paused, changed.pause.reason], ["Nothing", true, "tests"]);
		assert.ok(good(await client.functions.archive("ts-single")).archived_at);
		const back = good(await client.functions.change("ts-single", { archived: false, paused: false }));
		assert.deepEqual([back.archived_at, back.paused], [null, false]);
		assert.equal(good(await client.apps.pause("ts", { reason: "moving" })).result, "paused");
		assert.equal((await client.apps.select("name", "paused")).data[0].paused, true);
		assert.equal(good(await client.apps.resume("ts")).result, "resumed");
		assert.equal((await client.apps.pause("nobody")).error.status, 404);
	});

	it("shows what is started by the time, and keeps secrets", async () => {
		const schedules = good(await client.schedules.select("function", "cron", "catch_up"));
		const weekly = schedules.find((schedule) => schedule.function === "ts-scheduled");
		assert.deepEqual(weekly, { function: "ts-scheduled", cron: "TZ=Europe/Paris 0 9 * * 1", catch_up: "last" });
		const refused = await client.secrets.set("token", "not yet possible");
		assert.ok(refused.error.hint, JSON.stringify(refused.error));
		const [directory] = await server.sql("show data_directory");
		await server.sql(`copy (select repeat('07', 32)) to '${directory}/secret.key'`);
		await server.sql(`alter system set flowforge.secret_key_file = '${directory}/secret.key'`);
		await server.sql("select pg_reload_conf()");
		await until("the key is there", async () => (await client.secrets.set("token", "first value")).error === null);
		const stored = good(await client.secrets.set("token", "second value"));
		assert.deepEqual([stored.name, stored.version, "value" in stored], ["token", 2, false]);
		assert.deepEqual(good(await client.secrets.list()).map((secret) => secret.name), ["token"]);
		assert.equal(good(await client.secrets.delete("token")).result, "deleted");
		assert.equal((await client.secrets.delete("token")).error.status, 404);
	});

	it("makes, publishes and runs workflows", async () => {
		const made = good(await client.workflows.create({ name: "Hello", definition: { nodes: [], edges: [] } }));
		const { valid, errors } = good(await client.workflows.validate(made.workflow));
		assert.equal(valid, false);
		assert.ok(errors[0].code);
		const refused = await client.workflows.publish(made.workflow);
		assert.equal(refused.error.status, 422);
		assert.ok(refused.error.hint ?? refused.error.errors);
		const stale = await client.workflows.update(made.workflow, { description: "new" }, { etag: '"nobody"' });
		assert.equal(stale.error.status, 412);
		assert.equal(good(await client.workflows.update(made.workflow, { description: "new" }, { etag: made.etag })).description, "new");
		assert.equal((await client.workflows.list({ status: "draft" })).data.length, 1);
		assert.equal(good(await client.workflows.delete(made.workflow)).result, "deleted");
		assert.equal((await client.workflows.get("hello")).error.status, 404);
	});

	it("decides requests", async () => {
		const run = await start("asks", { timeout: "300ms" });
		await client.runs.waitFor(run);
		const [expired] = (await client.approvals.list({ run })).data;
		assert.equal(expired.status, "expired");
		const late = await client.approvals.approve(expired.id);
		assert.equal(late.error.status, 409, JSON.stringify(late.error));
		const asking = await start("asks", { timeout: "1h" });
		const asked = await until("it asks", async () => (await client.approvals.select("id").eq("run", asking).eq("status", "pending")).data[0]);
		assert.equal((await client.approvals.approve(asked.id, { data: {} })).error.status, 422);
		assert.equal(good(await client.approvals.reject(asked.id, { reason: "no", by: "ann" })).result, "rejected");
		assert.deepEqual(good(await client.runs.waitFor(asking)).output.approved, false);
	});

	it("says what is wrong, whatever that is", async () => {
		const missing = await client.runs.get("01a1fc10-2562-73c2-ab12-6429cf822842");
		assert.deepEqual([missing.data, missing.error.code, missing.error.status], [null, "FF010", 404]);
		assert.match(missing.error.message, /does not exist|01a1fc10/);
		assert.ok(missing.error.hint);
		assert.equal((await outsider.runs.list()).error.status, 401);
		const streamed = [];
		for await (const message of outsider.runs.stream("01a1fc10-2562-73c2-ab12-6429cf822842")) streamed.push(message.type);
		assert.deepEqual(streamed, ["error"]);
		assert.equal((await outsider.runs.waitFor("x")).error.status, 401);
		assert.equal((await createClient("http://127.0.0.1:9").runs.get("x")).error.code, "NETWORK");
		const rounded = await client.events.send({ name: "shop/rounded", data: { id: 2 ** 60 } });
		assert.deepEqual([rounded.error.code, rounded.error.status], ["UNSUPPORTED", 0]);
		assert.match(rounded.error.message, /data\.id is the integer/);
		assert.equal((await createClient("no url").runs.get("x")).error.code, "NETWORK");
		const html = createClient("http://x", { fetch: async () => new Response("<html>") });
		assert.equal((await html.runs.get("x")).error.code, "NOT_JSON");
		const broken = createClient("http://x", { fetch: async () => new Response("<html>", { status: 502 }) });
		assert.deepEqual((await broken.runs.get("x")).error, { code: "HTTP_502", message: "the server answered 502", status: 502 });
		const slow = createClient("http://x", { timeout: 50, fetch: (_, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))) });
		assert.equal((await slow.runs.get("x")).error.code, "TIMEOUT");
		assert.equal((await client.request("GET", "/api/v1/status")).error, null);
	});

	it("registers an app, and says why it cannot", async () => {
		const app = new FlowForge({ id: "registered", url: server.url, signingKey: server.signingKey });
		app.createFunction({ id: "f", trigger: "registered/f" }, () => 1);
		assert.equal((await app.register("http://127.0.0.1:9/api")).modified, true);
		assert.equal((await app.register("http://127.0.0.1:9/api")).modified, false);
		app.createFunction({ id: "wrong", trigger: { event: "registered/w", if: "event.data. ==" } }, () => 1);
		await assert.rejects(app.register("http://127.0.0.1:9/api"), /the functions were refused: .*registered-wrong/);
		const stranger = new FlowForge({ id: "registered", url: server.url, signingKey: "signkey-test-ffff" });
		await assert.rejects(stranger.register("http://127.0.0.1:9/api"), /the functions were refused/);
		const rotating = new FlowForge({ id: "registered", url: server.url, signingKey: "signkey-test-ffff", signingKeyFallback: server.signingKey });
		assert.equal((await rotating.register("http://127.0.0.1:9/api")).modified, true);
	});
});

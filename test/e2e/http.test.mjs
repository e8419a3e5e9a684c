// The routes of the HTTP API as any client sees them.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { logOnFailure, startApp, startServer, until } from "./harness.mjs";

/** Reads a run's stream to its end; gives its messages as {event, id, data} and when each came. */
async function follow(url, headers = {}, onMessage = () => {}) {
	const response = await fetch(url, { headers });
	assert.equal(response.status, 200);
	assert.match(response.headers.get("content-type"), /^text\/event-stream/);
	assert.equal(response.headers.get("x-flowforge-stream"), null);
	const messages = [];
	let text = "";
	for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
		text += chunk;
		for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
			const fields = text.slice(0, end).split("\n").filter((line) => line !== "" && !line.startsWith(":"));
			text = text.slice(end + 2);
			const message = Object.fromEntries(fields.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
			if (message.event === undefined) continue;
			message.data = JSON.parse(message.data);
			message.at = Date.now();
			messages.push(message);
			onMessage(message, messages.length);
		}
	}
	assert.equal(text, "", "the stream ends with a whole message");
	return messages;
}

describe("over HTTP", () => {
	let server;
	let app;
	before(async () => {
		server = await startServer();
		app = await startApp(server, { id: "web" });
	});
	after(() => server?.stop());
	logOnFailure(() => server);

	const completed = async (event = "sequence", data = { n: 1 }) => server.finished((await server.start(`web/${event}`, data)).id);

	it("is healthy and ready", async () => {
		for (const path of ["/health", "/ready"]) {
			const { status, headers } = await server.request("GET", path);
			assert.equal(status, 200);
			assert.ok(headers.get("x-request-id"));
			if (path === "/ready") assert.equal(headers.get("x-inngest-server-kind"), "dev");
		}
	});

	it("gives back the request id it was sent", async () => {
		const { headers } = await server.request("GET", "/health", undefined, { "x-request-id": "my-id-42" });
		assert.equal(headers.get("x-request-id"), "my-id-42");
	});

	it("shows a development server's functions at /dev", async () => {
		const { functions, authed } = await server.get("/dev");
		assert.equal(authed, false);
		const one = functions.find((f) => f.slug === "web-sequence");
		assert.deepEqual(one.triggers.map((t) => t.event), ["web/sequence"]);
		assert.equal(one.steps.length, 1);
	});

	it("tells who sends an event which runs it started", async () => {
		const { id, ids, runs } = await server.send("web/priced", { total: 20, kind: "book" });
		assert.deepEqual(ids, [id]);
		assert.deepEqual(runs.map((r) => r.function).sort(), ["web-any-price", "web-expensive"]);
		const listed = await server.get(`/api/v1/events/${id}/runs`);
		assert.deepEqual(listed.data.map((r) => r.id).sort(), runs.map((r) => r.id).sort());
	});

	it("knows a run by its UUID and by its ULID", async () => {
		const run = await completed();
		assert.deepEqual(await server.run(run.ulid), await server.run(run.id));
		assert.equal(run.function, "web-sequence");
		assert.equal(run.event_name, "web/sequence");
		assert.ok(Date.parse(run.created_at) <= Date.parse(run.started_at) && Date.parse(run.started_at) <= Date.parse(run.ended_at));
	});

	it("lists runs newest first, page by page, with filters", async () => {
		for (let i = 0; i < 5; i++) await completed("no-steps", { value: i });
		const wanted = "function=web-no-steps&status=completed";
		const all = (await server.get(`/api/v1/runs?limit=200&${wanted}`)).data.map((r) => r.id);
		assert.ok(all.length >= 5);
		assert.deepEqual(all, [...all].sort().reverse());
		const paged = [];
		for (let cursor = ""; cursor !== null; ) {
			const page = await server.get(`/api/v1/runs?limit=2&${wanted}${cursor && `&cursor=${cursor}`}`);
			assert.ok(page.data.length <= 2);
			paged.push(...page.data.map((r) => r.id));
			cursor = page.next_cursor;
		}
		assert.deepEqual(paged, all);
		assert.deepEqual((await server.get(`/api/v1/runs?${wanted.replace("completed", "failed")}`)).data, []);
	});

	it("streams a run: a snapshot, then each event as it happens, then the end", async () => {
		const { id } = await server.start("web/wait-match", { key: "stream" });
		await until("it waits", async () => (await server.steps(id)).some((s) => s.status === "waiting"));
		let answeredAt;
		const messages = await follow(`${server.url}/api/v1/runs/${id}/stream`, {}, (message, count) => {
			if (count === 1) {
				answeredAt = Date.now();
				server.send("web/answer", { key: "stream" });
			}
		});
		assert.equal(messages[0].event, "snapshot");
		assert.equal(messages[0].data.run.id, id);
		assert.ok(messages[0].data.steps.length >= 2);
		const live = messages.slice(1);
		assert.equal(live.at(-1).event, "run.completed");
		assert.ok(live.some((m) => m.event === "step.completed"));
		const log = await server.events(id);
		const snapshotSeq = Number(messages[0].id);
		assert.deepEqual(live.map((m) => Number(m.id)), log.map((e) => e.seq).filter((seq) => seq > snapshotSeq), "no gap, no repeat");
		assert.ok(live.at(-1).at - answeredAt < 4000, "live");
	});

	it("streams a run that has ended as a snapshot and closes", async () => {
		const run = await completed();
		const messages = await follow(`${server.url}/api/v1/runs/${run.id}/stream`);
		assert.deepEqual(messages.map((m) => m.event), ["snapshot"]);
		assert.equal(messages[0].data.run.status, "completed");
	});

	it("resumes a stream after the event a client saw last", async () => {
		const run = await completed();
		const log = await server.events(run.id);
		const messages = await follow(`${server.url}/api/v1/runs/${run.id}/stream`, { "last-event-id": "2" });
		assert.deepEqual(messages.map((m) => Number(m.id)), log.map((e) => e.seq).filter((seq) => seq > 2));
	});

	it("streams to twenty clients of a run and to clients that leave", async () => {
		const { id } = await server.start("web/wait-match", { key: "crowd" });
		await until("it waits", async () => (await server.steps(id)).some((s) => s.status === "waiting"));
		const leaver = new AbortController();
		const left = fetch(`${server.url}/api/v1/runs/${id}/stream`, { signal: leaver.signal }).then((r) => r.text()).catch(() => "left");
		let following = 0;
		const follower = () => follow(`${server.url}/api/v1/runs/${id}/stream`, {}, (_, count) => (following += count === 1 ? 1 : 0));
		const clients = [...Array(20)].map(follower);
		await until("all have their snapshot", () => following === 20);
		leaver.abort();
		await server.send("web/answer", { key: "crowd" });
		for (const messages of await Promise.all(clients)) assert.equal(messages.at(-1).event, "run.completed");
		assert.equal(await left, "left");
	});

	it("cancels a run", async () => {
		const { id } = await server.start("web/wait-match", { key: "cancel" });
		const { status } = await server.request("POST", `/api/v1/runs/${id}/cancel`);
		assert.ok(status >= 200 && status < 300, String(status));
		assert.equal((await server.finished(id)).status, "cancelled");
	});

	const problems = [
		["GET", "/nowhere", 404],
		["GET", "/api/v1/runs/01a1fc10-2562-73c2-ab12-6429cf822842", 404],
		["GET", "/api/v1/runs/01M7X48DDJXB2N3AAJ41EHH149/steps", 404],
		["GET", "/api/v1/runs/01M7X48DDJXB2N3AAJ41EHH149/stream", 404],
		["GET", "/api/v1/runs/not-an-id", 400, 404],
		["GET", "/api/v1/events/not-an-id/runs", 400, 404],
		["GET", "/api/v1/runs?limit=many", 400],
		["GET", "/api/v1/runs?limit=-1", 400],
		["GET", "/api/v1/runs?status=happy", 400],
		["GET", "/api/v1/runs?cursor='%3B%20drop", 400],
		["GET", "/api/v1/runs/%00", 400, 404],
		["GET", "/api/v1/runs/%ff%fe", 400, 404],
		["GET", "/api/v1/runs/%zz", 400, 404],
		["DELETE", "/health", 405],
		["PUT", "/api/v1/events", 405],
		["POST", "/api/v1/runs", 405],
	];
	for (const [method, path, ...statuses] of problems) {
		it(`answers ${method} ${path} with a problem`, async () => {
			const { status, headers, body } = await server.request(method, path);
			assert.ok(statuses.includes(status), `${status} ${JSON.stringify(body)}`);
			assert.match(headers.get("content-type"), /^application\/problem\+json/);
			assert.equal(body.status, status);
			for (const field of ["type", "title", "detail", "code"]) assert.equal(typeof body[field], "string", field);
			if (status === 405) assert.match(headers.get("allow"), /[A-Z]/);
		});
	}

	it("answers HEAD and OPTIONS like a web server", async () => {
		const head = await fetch(`${server.url}/health`, { method: "HEAD" });
		assert.ok([200, 405].includes(head.status), String(head.status));
		const options = await fetch(`${server.url}/e/key`, {
			method: "OPTIONS",
			headers: { origin: "http://shop.example", "access-control-request-method": "POST" },
		});
		assert.ok(options.status < 300, String(options.status));
		assert.ok(options.headers.get("access-control-allow-origin"));
	});

	it("describes every route in its OpenAPI document", async () => {
		const document = await server.get("/api/openapi.json");
		assert.equal(document.openapi, "3.1.0");
		for (const path of [
			"/e/{key}",
			"/fn/register",
			"/dev",
			"/health",
			"/ready",
			"/api/v1/events",
			"/api/v1/events/{id}/runs",
			"/api/v1/runs",
			"/api/v1/runs/{id}",
			"/api/v1/runs/{id}/steps",
			"/api/v1/runs/{id}/events",
			"/api/v1/runs/{id}/stream",
			"/api/openapi.json",
		]) {
			assert.ok(document.paths[path], path);
		}
		for (const [path, operations] of Object.entries(document.paths)) {
			for (const [method, operation] of Object.entries(operations)) {
				assert.ok(operation.summary, `${method} ${path} has a summary`);
				assert.ok(Object.keys(operation.responses).length > 0, `${method} ${path} has responses`);
			}
		}
		const refs = JSON.stringify(document).match(/#\/components\/schemas\/\w+/g);
		for (const ref of new Set(refs)) assert.ok(document.components.schemas[ref.split("/").at(-1)], ref);
	});

	it("refuses a registration that is not one, naming the field", async () => {
		const url = "http://127.0.0.1:9/api/inngest";
		const f = (more) => ({
			id: "reg-f",
			name: "f",
			triggers: [{ event: "reg/go" }],
			steps: { step: { id: "step", name: "step", runtime: { type: "http", url }, retries: { attempts: 1 } } },
			...more,
		});
		const register = (functions, more = {}) =>
			server.request("POST", "/fn/register", { url, deployType: "ping", appName: "reg", sdk: "js:v4.24.0", v: "0.1", functions, ...more });
		for (const [what, answer, message] of [
			["no functions", register(undefined), /functions/],
			["no id", register([f({ id: undefined })]), /id/],
			["a bad expression", register([f({ triggers: [{ event: "reg/go", expression: "event.data. ==" }] })]), /expression|trigger/],
			["eleven triggers", register([f({ triggers: Array(11).fill({ event: "reg/go" }) })]), /trigger/],
			["a bad url", register([f()], { url: "not a url" }), /url/i],
			["an expectation of another kind", server.request("POST", "/fn/register", { url, appName: "reg", functions: [] }, { "x-inngest-expected-server-kind": "cloud" }), /server kind/],
		]) {
			const { status, body } = await answer;
			assert.equal(status, 400, `${what}: ${JSON.stringify(body)}`);
			assert.match(body.error, message, what);
		}
		assert.equal((await register([f()])).body.modified, true);
		assert.equal((await register([f()])).body.modified, false);
		assert.equal((await register([f({ name: "g" })])).body.modified, true);
	});

	it("archives a function that an app no longer has", async () => {
		const url = "http://127.0.0.1:9/api/inngest";
		const f = (id) => ({
			id: `shrink-${id}`,
			name: id,
			triggers: [{ event: "shrink/go" }],
			steps: { step: { id: "step", name: "step", runtime: { type: "http", url } } },
		});
		const register = (ids) =>
			server.request("POST", "/fn/register", { url, deployType: "ping", appName: "shrink", sdk: "js:v4.24.0", v: "0.1", functions: ids.map(f) });
		await register(["a", "b"]);
		assert.equal((await register(["a"])).status, 200);
		const { runs } = await server.send("shrink/go");
		assert.deepEqual(runs.map((r) => r.function), ["shrink-a"]);
		for (const run of runs) await server.request("POST", `/api/v1/runs/${run.id}/cancel`);
	});

	it("answers 503 while the database is away, and again when it is back", async () => {
		const { id } = await server.start("web/wait-match", { key: "away" });
		await server.cluster.stop();
		const { status, headers } = await server.request("GET", "/api/v1/runs");
		assert.equal(status, 503);
		assert.ok(headers.get("retry-after"));
		await server.cluster.start();
		await until("the server is back", async () => (await fetch(`${server.url}/ready`)).ok);
		await until("it waits", async () => (await server.steps(id)).some((s) => s.status === "waiting"));
		await server.send("web/answer", { key: "away" });
		assert.equal((await server.finished(id)).status, "completed");
		assert.ok(app);
	});
});

// How an app is served: each adapter in its framework, asked as the server would ask it.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { FlowForge } from "flowforge";
import { serve as serveFetch } from "flowforge/fetch";
import { serve, work } from "flowforge/node";
import { sign, verify } from "../../dist/esm/sign.js";
import { adapters, callOf, key, listen, until } from "./served.mjs";

function makeApp(options = {}) {
	const app = new FlowForge({ id: "shop", url: "http://127.0.0.1:9", ...options });
	app.createFunction({ id: "echo", trigger: "shop/echo" }, async ({ event, step }) => step.run("echo", () => event.data));
	return app;
}

for (const [name, start] of Object.entries(adapters)) {
	describe(`served by ${name}`, () => {
		let signed;
		let open;
		before(async () => {
			signed = await start(makeApp({ signingKey: key }));
			open = await start(makeApp());
		});
		after(async () => {
			await signed?.stop();
			await open?.stop();
		});

		async function ask(method, { url } = signed, { query = "", body = "", headers = {}, withKey = key } = {}) {
			const signature = withKey === null ? {} : { "x-inngest-signature": sign(withKey, body) };
			const response = await fetch(url + query, {
				method,
				headers: { ...(body === "" ? {} : { "content-type": "application/json" }), ...signature, ...headers },
				body: method === "GET" || body === "" ? undefined : body,
			});
			const text = await response.text();
			return { status: response.status, headers: response.headers, text, body: text === "" ? null : JSON.parse(text) };
		}

		it("says what it is", async () => {
			const { status, body } = await ask("GET");
			assert.equal(status, 200);
			assert.deepEqual([body.function_count, body.mode, body.authentication_succeeded, body.app_id], [1, "cloud", true, "shop"]);
			assert.equal(body.signing_key_hash, "223e0a160af9");
			assert.equal((await ask("GET", open)).body.mode, "dev");
		});

		it("tells which functions it serves, where it is asked", async () => {
			const url = "https://shop.example/somewhere";
			const { status, headers, body } = await ask("PUT", signed, { body: JSON.stringify({ url }), headers: { "x-inngest-sync-kind": "in_band" } });
			assert.equal(status, 200);
			assert.equal(headers.get("x-inngest-sync-kind"), "in_band");
			assert.deepEqual([body.app_id, body.url], ["shop", url]);
			assert.equal(body.functions[0].steps.step.runtime.url, `${url}?fnId=shop-echo&stepId=step`);
		});

		it("runs a step, and signs what it answers", async () => {
			const data = { text: "é 日本 🚀", list: [1.5, null], b: { z: 1, a: 2 } };
			// Canonical, as the server writes it: a framework that has parsed it can say it again.
			const body = JSON.stringify({ ctx: callOf({}).ctx, event: { data: { b: { a: 2, z: 1 }, list: [1.5, null], text: data.text }, id: "1", name: "shop/echo", ts: 1, user: {} }, events: [], steps: {}, version: -1 });
			const sorted = JSON.stringify(JSON.parse(body), (_, value) =>
				value && typeof value === "object" && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value);
			const answer = await ask("POST", signed, { query: "?fnId=shop-echo&stepId=step", body: sorted });
			assert.equal(answer.status, 206, answer.text);
			assert.deepEqual(answer.body[0].data, data);
			assert.equal(answer.headers.get("x-inngest-req-version"), "2");
			assert.ok(answer.headers.get("x-inngest-sdk"));
			assert.ok(verify(key, answer.text, answer.headers.get("x-inngest-signature")));
		});

		it("shows that the keys are the same when it is asked for that", async () => {
			assert.equal((await ask("POST", signed, { query: "?probe=trust" })).status, 200);
			assert.equal((await ask("POST", signed, { query: "?probe=trust", withKey: "signkey-test-ffff" })).status, 401);
		});

		it("refuses whoever does not sign", async () => {
			const body = JSON.stringify(callOf({}));
			for (const withKey of [null, "signkey-test-ffff"]) {
				const answer = await ask("POST", signed, { query: "?fnId=shop-echo&stepId=step", body, withKey });
				assert.deepEqual([answer.status, answer.body], [401, { message: "Unauthorized" }]);
				assert.equal(answer.headers.get("x-inngest-sdk"), null);
				assert.equal((await ask("PUT", signed, { withKey })).status, 401);
			}
			assert.equal((await ask("GET", signed, { withKey: null })).body.app_id, undefined);
		});

		it("says what is wrong with a call", async () => {
			const unknown = await ask("POST", open, { query: "?fnId=shop-gone&stepId=step", body: JSON.stringify(callOf({})) });
			assert.equal(unknown.status, 404);
			assert.match(unknown.body.message, /serves no function "shop-gone"/);
			const nonsense = await ask("POST", open, { query: "?fnId=shop-echo&stepId=step", body: "[]" });
			assert.equal(nonsense.status, 400);
			assert.equal((await ask("PUT", open)).status, 500, "the server it is to register with is not there");
		});
	});
}

describe("an app", () => {
	it("outlives requests for what is no URL", async () => {
		const { url, stop } = await listen(serve(makeApp()));
		const { port } = new URL(url);
		const raw = async (text) => {
			const socket = connect(Number(port), "127.0.0.1");
			socket.end(text);
			let answer = "";
			for await (const chunk of socket) answer += chunk;
			return answer;
		};
		assert.match(await raw("GET // HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"), /^HTTP\/1.1 200/);
		assert.match(await raw("GET / HTTP/1.1\r\nhost: a b[\r\nconnection: close\r\n\r\n"), /^HTTP\/1.1 200/);
		assert.match(await raw("GET http://[ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"), /^HTTP\/1.1 (200|400)/);
		assert.match(await raw("POST /?fnId=shop-echo&stepId=step HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nconnection: close\r\n\r\n{,}"), /^HTTP\/1.1 500/);
		await stop();
	});

	it("that is served in production has a key", async () => {
		process.env.NODE_ENV = "production";
		try {
			const refused = await serveFetch(makeApp())(new Request("http://localhost/"));
			assert.equal(refused.status, 500);
			assert.match((await refused.json()).message, /FLOWFORGE_SIGNING_KEY/);
			assert.equal((await serveFetch(makeApp({ dev: true }))(new Request("http://localhost/"))).status, 200);
		} finally {
			delete process.env.NODE_ENV;
		}
	});

	it("that works is registered when the server is there, and again when its functions change", async () => {
		const asked = [];
		let isThere = false;
		const app = makeApp({
			fetch: async (_url, { body }) => {
				if (!isThere) throw new TypeError("fetch failed");
				asked.push(JSON.parse(body));
				return Response.json({ ok: true, modified: true, app_id: "a" });
			},
		});
		const { log, warn } = console;
		console.log = console.warn = () => {};
		const worker = await work(app);
		try {
			assert.match(worker.url, /^http:\/\/127\.0\.0\.1:\d+\/api\/flowforge$/);
			assert.equal((await fetch(worker.url)).status, 200);
			assert.equal(asked.length, 0);
			isThere = true;
			await until("it is registered", () => asked.length === 1);
			assert.deepEqual([asked[0].url, asked[0].functions.length], [worker.url, 1]);
			app.createFunction({ id: "second", trigger: "shop/second" }, () => 2);
			await until("it is registered again", () => asked.length === 2);
			assert.equal(asked[1].functions.length, 2);
		} finally {
			await worker.stop();
			Object.assign(console, { log, warn });
		}
		await assert.rejects(fetch(worker.url));
		await assert.rejects(work(app, { host: "no such host" }));
	});

	it("has one function of an id, keys that are keys, and options that can be registered", () => {
		const app = makeApp();
		assert.throws(() => app.createFunction({ id: "echo" }, () => 1), /two functions "echo"/);
		assert.throws(() => app.createFunction({ id: "" }, () => 1), /needs an id/);
		assert.throws(() => app.createFunction({ id: "late", debounce: { period: "soon" } }, () => 1), /debounce: "soon" is not a duration/);
		assert.throws(() => new FlowForge({ id: "" }), /needs an id/);
		assert.throws(() => new FlowForge({ id: "a", signingKey: "secret" }), /hex digits/);
	});

	it("takes its place from the options, not from who asks", async () => {
		const handler = serveFetch(makeApp(), { serveOrigin: "https://shop.example", servePath: "/flows" });
		const answer = await handler(new Request("http://evil.example/x", { method: "PUT", headers: { "x-inngest-sync-kind": "in_band" }, body: '{"url":"http://evil.example/x"}' }));
		assert.equal((await answer.json()).url, "https://shop.example/flows");
	});

	it("takes the other key while keys are being changed", async () => {
		const handler = serveFetch(makeApp({ signingKey: "signkey-test-aaaa", signingKeyFallback: key }));
		const answer = await handler(new Request("http://localhost/?probe=trust", { method: "POST", headers: { "x-inngest-signature": sign(key, "") } }));
		assert.equal(answer.status, 200);
	});

	it("sends events once, however often it has to ask", async () => {
		const asked = [];
		const app = makeApp({
			eventKey: "k/1",
			fetch: async (url, { headers, body }) => {
				asked.push({ url: String(url), seed: headers["x-inngest-event-id-seed"], body });
				if (asked.length === 1) throw new TypeError("fetch failed");
				return asked.length === 2 ? new Response("{}", { status: 503 }) : Response.json({ ids: ["a"], status: 200 });
			},
		});
		assert.deepEqual(await app.send({ name: "e", data: { n: 1 } }), { ids: ["a"] });
		assert.equal(asked.length, 3);
		assert.equal(new Set(asked.map((one) => one.seed)).size, 1);
		assert.match(asked[0].seed, /^\d{13},[A-Za-z0-9+/]{14}==$/);
		assert.equal(asked[0].url, "http://127.0.0.1:9/e/k%2F1");
		await assert.rejects(app.send({ name: "e", data: { id: 2 ** 60 } }), /^TypeError: \[0\]\.data\.id is the integer/);
		await assert.rejects(app.sendSignal("s", { id: 2n }), /^TypeError: data\.id is a bigint/);
		assert.equal(asked.length, 3, "what cannot be kept is not sent");
		const refusing = makeApp({ fetch: async () => Response.json({ ids: [], status: 400, error: "no name" }, { status: 400 }) });
		await assert.rejects(refusing.send({ name: "" }), /the events were refused: no name/);
	});
});

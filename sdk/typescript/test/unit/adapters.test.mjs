// How an app is served: each adapter in its framework, asked as the server would ask it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import express from "express";
import Fastify from "fastify";
import { FlowForge } from "flowforge";
import { serve as serveExpress } from "flowforge/express";
import { flowforgePlugin } from "flowforge/fastify";
import { serve as serveFetch } from "flowforge/fetch";
import { serve as serveNext, servePages } from "flowforge/next";
import { serve } from "flowforge/node";
import { sign, verify } from "../../dist/esm/sign.js";

const key = "signkey-test-0123456789abcdef0123456789abcdef";
const path = "/api/flowforge";

function makeApp(options = {}) {
	const app = new FlowForge({ id: "shop", url: "http://127.0.0.1:9", ...options });
	app.createFunction({ id: "echo", trigger: "shop/echo" }, async ({ event, step }) => step.run("echo", () => event.data));
	return app;
}

const callOf = (data) => ({
	ctx: { run_id: "01M7X48DDQY5A8AA99DVBKTVDC", attempt: 0, max_attempts: 4, stack: { stack: [], current: 0 }, disable_immediate_execution: false, use_api: false },
	event: { id: "1", name: "shop/echo", data, ts: 1, user: {} },
	events: [],
	steps: {},
	version: -1,
});

/** An HTTP server around a listener, or around a handler of fetch. */
async function listen(listener) {
	const server = createServer(listener).listen(0, "127.0.0.1");
	await once(server, "listening");
	return { url: `http://127.0.0.1:${server.address().port}${path}`, stop: () => server.close() };
}

const viaFetch = (handlers) => async (request, response) => {
	const chunks = [];
	for await (const chunk of request) chunks.push(chunk);
	const body = request.method === "GET" ? undefined : Buffer.concat(chunks);
	const handler = typeof handlers === "function" ? handlers : handlers[request.method];
	const answer = await handler(new Request(`http://${request.headers.host}${request.url}`, { method: request.method, headers: request.headers, body }));
	response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
};

const adapters = {
	"the standard library": (app) => listen(serve(app)),
	Express: (app) => listen(express().use(path, serveExpress(app))),
	"Express, after express.json()": (app) => listen(express().use(express.json()).use(path, serveExpress(app))),
	"Express, after express.text()": (app) => listen(express().use(express.text({ type: "*/*" })).use(path, serveExpress(app))),
	Fastify: async (app) => {
		const fastify = Fastify();
		await fastify.register(flowforgePlugin, { client: app, path });
		const url = await fastify.listen({ port: 0, host: "127.0.0.1" });
		return { url: url + path, stop: () => fastify.close() };
	},
	"fetch handlers": (app) => listen(viaFetch(serveFetch(app))),
	"the app router of Next.js": (app) => listen(viaFetch(serveNext(app))),
	"the pages router of Next.js": (app) => {
		// Next.js parses the body before it calls the page.
		const page = servePages(app);
		return listen(express().use(express.json()).use((request, response) => page(request, response)));
	},
};

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
		const refusing = makeApp({ fetch: async () => Response.json({ ids: [], status: 400, error: "no name" }, { status: 400 }) });
		await assert.rejects(refusing.send({ name: "" }), /the events were refused: no name/);
	});
});

// Answers that come line by line: what each adapter does with them, and what stands in them.

import assert from "node:assert/strict";
import { request } from "node:http";
import { after, describe, it } from "node:test";
import express from "express";
import { FlowForge, NonRetryableError, RetryAfterError } from "flowforge";
import { serve as serveExpress } from "flowforge/express";
import { flowforgePlugin } from "flowforge/fastify";
import { serve as serveFetch } from "flowforge/fetch";
import { serve } from "flowforge/node";
import { stepId, verify } from "../../dist/esm/sign.js";
import { adapters, callOf, key, listen, pause, until } from "./served.mjs";

const reported = { fn_id: "shop-many", qi_id: "q" };

/** An app with a function of `count` steps; `body(n)` is what each does. */
function makeApp(count, body, options = {}) {
	const app = new FlowForge({ id: "shop", url: "http://127.0.0.1:9", ...options });
	app.createFunction({ id: "many" }, async ({ step }) => {
		const done = [];
		for (let n = 0; n < count; n++) done.push(await step.run(`s${n}`, () => body(n)));
		return done.length;
	});
	return app;
}

/** Calls the function; the answer has not been read. */
async function call(url, ctx = reported, signal = undefined) {
	return fetch(`${url}?fnId=shop-many&stepId=step`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(callOf({}, ctx)), signal });
}

/** The lines of an answer, as they come. */
async function* linesOf(response) {
	const decoder = new TextDecoder();
	let text = "";
	for await (const chunk of response.body) {
		text += decoder.decode(chunk, { stream: true });
		for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
			yield text.slice(0, end);
			text = text.slice(end + 1);
		}
	}
	assert.equal(text, "", "the last line is whole");
}

const opsOf = async (response) => {
	const ops = [];
	for await (const line of linesOf(response)) ops.push(JSON.parse(line));
	return ops;
};

for (const [name, start] of Object.entries(adapters)) {
	describe(`steps told by ${name}`, () => {
		it("have arrived before the next begins", async () => {
			const begun = [];
			const mayGo = [];
			const app = makeApp(3, (n) => (begun.push(n), new Promise((resolve) => (mayGo[n] = resolve))));
			const { url, stop } = await start(app);
			try {
				const asked = call(url);
				await until("the first step has begun", () => mayGo[0]);
				mayGo[0]("a");
				const response = await asked;
				assert.equal(response.status, 206);
				assert.equal(response.headers.get("content-type"), "application/x-ndjson");
				assert.match(response.headers.get("cache-control"), /no-transform/);
				assert.equal(response.headers.get("x-inngest-req-version"), "2");
				assert.ok(response.headers.get("x-inngest-sdk"));
				if (name === "Fastify") assert.equal(response.headers.get("x-hooked"), "yes", "hooks have their say");
				const lines = linesOf(response);
				for (const n of [0, 1, 2]) {
					const op = JSON.parse((await lines.next()).value);
					assert.deepEqual([op.op, op.id, op.data], ["StepRun", stepId(`s${n}`), "abc"[n]]);
					if (n === 2) break;
					await until("the next step begins", () => mayGo[n + 1]);
					assert.deepEqual(begun, [...Array(n + 2).keys()]);
					mayGo[n + 1]("abc"[n + 1]);
				}
				const last = JSON.parse((await lines.next()).value);
				assert.deepEqual([last.op, last.id, last.data], ["RunComplete", stepId("complete"), 3]);
				assert.equal((await lines.next()).done, true);
			} finally {
				await stop();
			}
		});

		// The others write as these do.
		if (!["the standard library", "Fastify", "fetch handlers"].includes(name)) return;

		it("end with whoever has asked", async () => {
			const begun = [];
			let go;
			const { url, stop } = await start(makeApp(3, (n) => (begun.push(n), n === 0 ? n : new Promise((resolve) => (go = resolve)))));
			try {
				const client = new AbortController();
				const response = await call(url, reported, client.signal);
				const lines = linesOf(response);
				assert.equal(JSON.parse((await lines.next()).value).data, 0);
				await until("the second step has begun", () => go);
				client.abort();
				await assert.rejects(lines.next());
				// More than the buffers of a connection hold that nobody reads from.
				go("x".repeat(50_000_000));
				await pause(300);
				assert.deepEqual(begun, [0, 1], "nothing begins that nobody wants");
				assert.equal((await fetch(url)).status, 200, "the app is well");
			} finally {
				await stop();
			}
		});

		it("come no faster than they are read", async () => {
			// More than all buffers on the way can hold.
			const [count, size] = [64, 1_000_000];
			let begun = 0;
			const { url, stop } = await start(makeApp(count, () => (begun++, "x".repeat(size))));
			try {
				const asked = request(`${url}?fnId=shop-many&stepId=step`, { method: "POST", headers: { "content-type": "application/json" } });
				const answered = new Promise((resolve, reject) => asked.once("response", resolve).once("error", reject));
				asked.end(JSON.stringify(callOf({}, reported)));
				const response = await answered;
				await pause(300);
				assert.ok(begun < count, `${begun} steps although nobody reads`);
				let length = 0;
				for await (const chunk of response) length += chunk.length;
				assert.equal(begun, count);
				assert.ok(length > count * size);
			} finally {
				await stop();
			}
		});
	});
}

describe("an answer of lines", () => {
	const stops = [];
	after(() => stops.forEach((stop) => stop()));

	/** Asks a function what its answer is. */
	async function answer(handler, { ctx = reported, ...options } = {}) {
		const app = new FlowForge({ id: "shop", url: "http://127.0.0.1:9", ...options });
		app.createFunction({ id: "many" }, handler);
		const { url, stop } = await listen(serve(app));
		stops.push(stop);
		return call(url, ctx);
	}

	it("signs each line by itself", async () => {
		const body = JSON.stringify(callOf({}, reported));
		const { sign } = await import("../../dist/esm/sign.js");
		const app = makeApp(2, (n) => `é 日本 🚀 ${n}`, { signingKey: key });
		const response = await serveFetch(app)(
			new Request("http://localhost/?fnId=shop-many&stepId=step", { method: "POST", headers: { "x-inngest-signature": sign(key, body) }, body }),
		);
		assert.equal(response.headers.get("x-inngest-signature"), null);
		const lines = [];
		for await (const line of linesOf(response)) lines.push(line);
		assert.equal(lines.length, 3);
		for (const line of lines) {
			const space = line.indexOf(" ");
			assert.ok(verify(key, line.slice(space + 1), line.slice(0, space)), line);
		}
		assert.equal(JSON.parse(lines[1].slice(lines[1].indexOf(" ") + 1)).data, "é 日本 🚀 1");
	});

	it("is given only when a step has finished before the call has", async () => {
		const whole = async (handler, options) => {
			const response = await answer(handler, options);
			assert.equal(response.headers.get("content-type"), "application/json");
			return [response.status, await response.json()];
		};
		assert.deepEqual(await whole(() => 7), [200, 7]);
		assert.equal((await whole(() => { throw new Error("no"); }))[0], 500);
		const [status, ops] = await whole(({ step }) => Promise.all([step.run("a", () => 1), step.run("b", () => 2)]));
		assert.deepEqual([status, ops.map((op) => op.op)], [206, ["StepPlanned", "StepPlanned"]]);
		assert.equal((await whole(({ step }) => step.run("a", () => { throw new Error("no"); })))[1][0].op, "StepError");
		// A server that takes no reports, and an app that gives none.
		assert.equal((await whole(({ step }) => step.run("a", () => 1), { ctx: {} }))[1][0].op, "StepRun");
		assert.equal((await whole(({ step }) => step.run("a", () => 1), { streaming: "off" }))[1][0].op, "StepRun");
	});

	it("says in the end what the call has come to", async () => {
		const last = async (then) => {
			const ops = await opsOf(await answer(async ({ step }) => {
				await step.run("first", () => 1);
				return then(step);
			}));
			assert.equal(ops[0].op, "StepRun");
			return ops.slice(1);
		};
		const fail = (error) => () => { throw error; };
		const complete = stepId("complete");
		const [returned] = await last(() => undefined);
		assert.deepEqual([returned.op, returned.data], ["RunComplete", null]);
		const [again] = await last(fail(new Error("no", { cause: new Error("why") })));
		assert.deepEqual([again.op, again.id, again.error.message, again.error.cause.message], ["StepError", complete, "no", "why"]);
		const [later] = await last(fail(new RetryAfterError("busy", "30s")));
		assert.deepEqual([later.op, later.retry_after], ["StepError", "30"]);
		const [never] = await last(fail(new NonRetryableError("never")));
		assert.deepEqual([never.op, never.id], ["StepFailed", complete]);
		const [step] = await last((tools) => tools.run("second", fail(new RetryAfterError("busy", "5s"))));
		assert.deepEqual([step.op, step.id, step.retry_after], ["StepError", stepId("second"), "5"]);
		const [failed, caught] = await last((tools) => tools.run("second", fail(new NonRetryableError("never"))).catch(() => "caught"));
		assert.deepEqual([failed.op, failed.id, caught.data], ["StepFailed", stepId("second"), "caught"]);
		assert.equal((await last((tools) => tools.sleep("nap", "1h")))[0].op, "Sleep");
		const several = await last((tools) => Promise.all([tools.sleep("nap", "1h"), tools.run("beside", () => 1)]));
		assert.deepEqual(several.map((op) => op.op), ["Sleep", "StepPlanned"]);
	});

	it("ends with an error, too, where what a step asks for is no JSON", async () => {
		const asks = [
			(step) => step.fetch("post", "http://localhost/", { method: "POST", body: { id: 1n } }),
			(step) => step.approve("ask", { prompt: "Well?", form: { id: 1n } }),
			(step) => step.sleep({ id: "nap", name: 1n }, "1h"),
		];
		for (const ask of asks) {
			const response = await answer(async ({ step }) => (await step.run("first", () => 1), ask(step)));
			const [first, last] = await opsOf(response);
			assert.deepEqual([first.op, last.id], ["StepRun", stepId("complete")]);
			assert.match(last.error.message, /bigint/i);
		}
	});

	it("is given up for a request a step where the framework cannot stream", async () => {
		const told = [];
		const app = makeApp(2, (n) => n, { fetch: async (url, { body }) => (told.push([new URL(url).pathname, JSON.parse(body).steps[0].data]), Response.json({})) });
		let route;
		const old = { removeAllContentTypeParsers() {}, addContentTypeParser() {}, route: (given) => (route = given) };
		await flowforgePlugin(old, { client: app });
		const answered = {};
		const reply = { code: (status) => ((answered.status = status), reply), headers: () => reply, send: (body) => ((answered.body = body), reply) };
		const raw = { method: "POST", url: "/?fnId=shop-many&stepId=step", headers: {}, socket: {} };
		await route.handler({ raw, body: JSON.stringify(callOf({}, reported)) }, reply);
		assert.deepEqual(answered, { status: 200, body: "2" });
		assert.deepEqual(told, [0, 1].map((n) => [`/v1/checkpoint/${callOf({}).ctx.run_id}/async`, n]));
	});

	it("is a request a step, and one answer, where calls are asked for", async () => {
		const told = [];
		const response = await answer(({ step }) => step.run("a", () => 1), { streaming: "calls", fetch: async (url) => (told.push(url.pathname), Response.json({})) });
		assert.deepEqual([response.status, await response.json(), told.length], [200, 1, 1]);
		assert.throws(() => new FlowForge({ id: "a", streaming: "sometimes" }), /streaming is "lines", "calls" or "off"/);
	});

	it("goes on under middleware that forgets who waits for a write", async () => {
		const forgetful = (_request, response, next) => {
			const write = response.write;
			response.write = (chunk, encoding) => write.call(response, chunk, typeof encoding === "string" ? encoding : undefined);
			next();
		};
		const { url, stop } = await listen(express().use(forgetful).use(serveExpress(makeApp(20, (n) => "x".repeat(n * 10_000)))));
		stops.push(stop);
		assert.equal((await opsOf(await call(url))).length, 21);
	});

	it("is not begun where somebody else has answered meanwhile", async () => {
		let go;
		const begun = [];
		const impatient = (_request, response, next) => (next(), response.status(503).send("too slow"));
		const { url, stop } = await listen(express().use(impatient).use(serveExpress(makeApp(2, (n) => (begun.push(n), new Promise((resolve) => (go = resolve)))))));
		stops.push(stop);
		const response = await call(url);
		assert.deepEqual([response.status, await response.text()], [503, "too slow"]);
		await until("the step is under way", () => go);
		go();
		await pause(100);
		assert.deepEqual(begun, [0]);
	});
});

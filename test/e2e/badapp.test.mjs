// Apps that are down, hang or answer nonsense: each is a clear error on its own run, and nobody else's.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { freePort, logOnFailure, pause, startApp, startServer, until } from "./harness.mjs";
import { Rogue, sdkHeaders, signature } from "./rogue.mjs";

const settings = { "flowforge.request_timeout": 1500, "flowforge.connect_timeout": 1000, "flowforge.unreachable_limit": "3s" };
const ok = (body) => [200, sdkHeaders, body];

/** Answers with a status, headers and a body. */
const plain = (status, headers, body) => (request, response) => {
	response.writeHead(status, headers);
	response.end(body);
};

describe("an app that does not behave", () => {
	let server;
	let good;
	const rogues = [];
	before(async () => {
		server = await startServer({ settings });
		good = await startApp(server);
	});
	after(async () => {
		for (const rogue of rogues) rogue.stop();
		await server?.stop();
	});
	logOnFailure(() => server);

	let count = 0;
	async function rogue(answer, options) {
		const id = `rogue${++count}`;
		const made = await Rogue.start(server, id, answer, options);
		rogues.push(made);
		made.id = id;
		return made;
	}

	/** Starts a run of the rogue beside one of a good app; the good one completes, the rogue's failed run is returned. */
	async function failed(app, ms = 20_000) {
		const bad = await server.start(`${app.id}/go`, {});
		const neighbour = await server.start("e2e-v4/sequence", { n: 1 });
		const neighbourRun = await server.finished(neighbour.id, 5_000);
		assert.deepEqual(neighbourRun.output, { c: [2, 4], attempt: 0 }, "the neighbour is not disturbed");
		const run = await server.finished(bad.id, ms);
		assert.equal(run.status, "failed");
		assert.equal(typeof run.error.name, "string");
		assert.ok(run.error.message.length > 10 && run.error.message.length < 2000, "the message is one a person can read");
		return run;
	}

	const nonsense = [
		["a page of HTML", plain(200, { "content-type": "text/html" }, "<!doctype html><title>Welcome</title>"), /SDK/],
		["a 200 without the SDK's header", plain(200, { "content-type": "application/json" }, '{"fine":true}'), /SDK/],
		["404 from a proxy", plain(404, { "content-type": "text/plain" }, "no such page"), /404|SDK/],
		["502 from a proxy", plain(502, { "content-type": "text/html" }, "<h1>Bad Gateway</h1>"), /502|SDK/],
		["a redirect", plain(302, { location: "http://127.0.0.1:9/" }, ""), /302|SDK|redirect/i],
		["nothing", plain(204, {}, ""), /SDK|204/],
		["bytes that are no text", plain(206, sdkHeaders, Buffer.from([0, 1, 2, 255, 254, 128])), /JSON|UTF-8/i],
		["invalid UTF-8 in JSON", plain(200, sdkHeaders, Buffer.from('"\xff\xfe"', "latin1")), /JSON|UTF-8|encoding/i],
		["NUL in JSON", plain(200, sdkHeaders, '{"a":"\\u0000"}'), /NUL|\\u0000|JSON/i],
		["truncated JSON", plain(206, sdkHeaders, '[{"op":"StepRun","id":"e7d8'), /JSON/],
		["ops that are no list", plain(206, sdkHeaders, '"hello"'), /op|list|array|JSON/i],
		["an op without an id", plain(206, sdkHeaders, '[{"op":"StepRun","data":1}]'), /id/],
		["an unknown op", plain(206, sdkHeaders, `[{"op":"Teleport","id":"${"a".repeat(40)}","name":"x"}]`), /Teleport/],
		["a list of numbers", plain(206, sdkHeaders, "[1,2,3]"), /op|object/i],
		["a sleep of nonsense", plain(206, sdkHeaders, `[{"op":"Sleep","id":"${"a".repeat(40)}","name":"soon"}]`), /soon|duration|time/i],
		["a status nobody knows", plain(299, sdkHeaders, '"?"'), /299/],
		["a body of 10 MB", plain(200, sdkHeaders, JSON.stringify("x".repeat(10 << 20))), /large|limit|size/i],
		["JSON nested a hundred thousand deep", plain(200, sdkHeaders, "[".repeat(100_000) + "]".repeat(100_000)), /deep|nest|JSON/i],
	];
	for (const [what, answer, message] of nonsense) {
		it(`fails a run that is answered with ${what}`, async () => {
			const run = await failed(await rogue(answer));
			assert.match(run.error.message, message);
		});
	}

	it("fails a run whose app hangs", async () => {
		const app = await rogue(() => {});
		const run = await failed(app);
		assert.match(run.error.message, /time|timed/i);
		assert.equal(app.calls.length, 1);
	});

	it("fails a run whose app begins an answer and stops", async () => {
		const run = await failed(
			await rogue((request, response) => {
				response.writeHead(200, { ...sdkHeaders, "content-length": "1000" });
				response.write('{"half":');
			}),
		);
		assert.match(run.error.message, /time|timed/i);
	});

	it("fails a run whose app closes the connection without an answer", async () => {
		const run = await failed(await rogue((request) => request.socket.destroy()));
		assert.ok(run.error.message);
	});

	it("fails a run whose app speaks something that is not HTTP", async () => {
		await failed(await rogue((request) => request.socket.end("SSH-2.0-OpenSSH_9.2\r\n")));
	});

	it("tries a wrong answer again and goes on when the app has come to its senses", async () => {
		const app = await rogue(plain(502, { "content-type": "text/html" }, "<h1>Bad Gateway</h1>"), { retries: 3 });
		const { id } = await server.start(`${app.id}/go`, {});
		await until("two calls", () => app.calls.length >= 2);
		app.answer = plain(...ok('{"well":"again"}'));
		const run = await server.finished(id);
		assert.equal(run.status, "completed");
		assert.deepEqual(run.output, { well: "again" });
	});

	it("says which address does not answer when the app is down for long", async () => {
		const app = await rogue(plain(...ok("1")));
		app.stop();
		const run = await failed(app, 30_000);
		assert.match(run.error.message, new RegExp(`127\\.0\\.0\\.1:${app.port}|connect|refused|reach`, "i"));
	});

	it("goes on with a run when an app that was down is back", async () => {
		const port = await freePort();
		const app = await startApp(server, { id: "phoenix", port });
		await app.stop();
		const { id } = await server.start("phoenix/sequence", { n: 1 });
		await pause(800);
		assert.equal((await server.run(id)).ended_at, null, "the run waits for its app");
		await startApp(server, { id: "phoenix", port });
		assert.deepEqual((await server.finished(id)).output, { c: [2, 4], attempt: 0 });
	});

	it("keeps executing other runs while twenty apps hang", async () => {
		const app = await rogue(() => {});
		const hanging = await Promise.all([...Array(20)].map(() => server.start(`${app.id}/go`, {})));
		const started = Date.now();
		const { id } = await server.start("e2e-v4/sequence", { n: 1 });
		await server.finished(id, 3_000);
		assert.ok(Date.now() - started < 1400, `a run beside them took ${Date.now() - started} ms`);
		for (const run of hanging) assert.equal((await server.finished(run.id)).status, "failed");
	});

	it("sends each call as the protocol has it", async () => {
		const app = await rogue(plain(...ok("null")));
		const { id } = await server.start(`${app.id}/go`, { z: 1, a: [1.0, "é"], "": null });
		const run = await server.finished(id);
		const { headers, body } = app.calls[0];
		assert.equal(headers["content-type"], "application/json");
		assert.equal(headers["x-inngest-signature"], "", "present and empty in development mode");
		assert.equal(headers["x-inngest-server-kind"], "dev");
		assert.equal(headers["x-run-id"], run.ulid);
		assert.equal(headers["x-inngest-req-version"], "-1");
		const call = JSON.parse(body);
		assert.match(body, /"data":\{"":null,"a":\[1,"é"\],"z":1\}/, "canonical JSON");
		assert.deepEqual(call.events, [call.event]);
		assert.deepEqual(call.event.user, {});
		assert.equal(call.ctx.run_id, run.ulid);
		assert.equal(call.ctx.attempt, 0);
		assert.equal(call.ctx.max_attempts, 1);
		assert.deepEqual(call.ctx.stack, { stack: [], current: 0 });
		assert.equal(call.ctx.fn_id, undefined);
		assert.deepEqual(call.steps, {});
		assert.equal(call.version, -1);
	});

	it("is still ready after all of it", async () => {
		const { body, status } = await server.request("GET", "/ready");
		assert.equal(status, 200, JSON.stringify(body));
		assert.ok(good.child.exitCode === null);
		assert.deepEqual((await server.sql("select count(*) from flowforge.runs where status in ('pending', 'running')")), ["0"]);
	});
});

describe("signatures", () => {
	let server;
	const rogues = [];
	before(async () => {
		server = await startServer({ signed: true, settings });
	});
	after(async () => {
		for (const rogue of rogues) rogue.stop();
		await server?.stop();
	});
	logOnFailure(() => server);

	async function result(id, headersFor) {
		const app = await Rogue.start(server, id, (request, response) => {
			const body = '{"secret":"\u00e9"}';
			response.writeHead(200, { ...sdkHeaders, ...headersFor(body) });
			response.end(body);
		});
		rogues.push(app);
		const run = await server.start(`${id}/go`, {});
		return { run: await server.finished(run.id), app };
	}

	it("accepts an answer signed with the key, and signs calls with it", async () => {
		const { run, app } = await result("signed", (body) => ({ "x-inngest-signature": signature(body, server.signingKey) }));
		assert.equal(run.status, "completed", JSON.stringify(run.error));
		const { headers, body } = app.calls[0];
		const at = Number(new URLSearchParams(headers["x-inngest-signature"]).get("t"));
		assert.ok(Math.abs(at - Date.now() / 1000) < 60);
		assert.equal(headers["x-inngest-signature"], signature(body, server.signingKey, at));
		assert.equal(headers["x-inngest-server-kind"], "cloud");
	});

	const wrong = [
		["another key", (body) => ({ "x-inngest-signature": signature(body, "signkey-test-ffffffffffffffffffffffffffffffff") })],
		["another body", () => ({ "x-inngest-signature": signature("{}", "signkey-test-0123456789abcdef0123456789abcdef") })],
		["the time of yesterday", (body) => ({ "x-inngest-signature": signature(body, "signkey-test-0123456789abcdef0123456789abcdef", Math.floor(Date.now() / 1000) - 86400) })],
		["nonsense", () => ({ "x-inngest-signature": "t=now&s=me" })],
		["nothing", () => ({})],
	];
	for (const [index, [what, headers]] of wrong.entries()) {
		it(`refuses an answer signed with ${what}`, async () => {
			const { run } = await result(`wrong${index}`, headers);
			assert.equal(run.status, "failed");
			assert.match(run.error.message, /sign/i);
			assert.equal(run.output, null);
		});
	}

	it("refuses to register an app that does not know the key", async () => {
		const registration = { url: "http://127.0.0.1:9/", appName: "thief", sdk: "js:v4.24.0", functions: [] };
		for (const authorization of ["", "Bearer undefined", "Bearer signkey-test-00"]) {
			const { status } = await server.request("POST", "/fn/register", registration, { authorization });
			assert.equal(status, 401, authorization);
		}
	});

	it("refuses events under an unknown key and takes them under each known one", async () => {
		const event = [{ name: "a/b", data: {} }];
		const bad = await server.request("POST", "/e/unknown", event, { authorization: "" });
		assert.ok(bad.status === 401 || bad.status === 403, String(bad.status));
		assert.deepEqual(bad.body.ids, []);
		assert.ok(bad.body.error);
		for (const key of ["key1", "key2"]) {
			const good = await server.request("POST", `/e/${key}`, event, { authorization: "" });
			assert.equal(good.status, 200);
			assert.equal(good.body.ids.length, 1);
		}
	});

	it("shows runs only to who knows the key", async () => {
		for (const path of ["/api/v1/runs", "/api/v1/functions", "/api/v1/events"]) {
			const { status, body } = await server.request("GET", path, undefined, { authorization: "" });
			assert.equal(status, 401, path);
			assert.equal(body.status, 401);
			assert.equal((await server.request("GET", path)).status, 200);
		}
	});
});

// Apps that are down, hang or answer nonsense: each is a clear error on its own run, and nobody else's.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { freePort, logOnFailure, pause, startApp, startServer, until } from "./harness.mjs";
import { Rogue, sdkHeaders, signature } from "./rogue.mjs";

const settings = { "flowforge.request_timeout": 8000, "flowforge.connect_timeout": 1000, "flowforge.unreachable_limit": "6s" };
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
	async function failed(app) {
		const bad = await server.start(`${app.id}/go`, {});
		const neighbour = await server.start("e2e-v4/sequence", { n: 1 });
		const neighbourRun = await server.finished(neighbour.id);
		assert.deepEqual(neighbourRun.output, { c: [2, 4], attempt: 0 }, "the neighbour is not disturbed");
		const run = await server.finished(bad.id);
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
		const run = await failed(app);
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
		await server.finished(id);
		assert.ok(Date.now() - started < 7500, `a run beside them took ${Date.now() - started} ms`);
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
		assert.equal(headers["x-inngest-step-id"], "step");
		assert.match(headers["x-request-id"], /^[0-9A-HJKMNP-TV-Z]{26}$/);
		assert.equal(headers["x-inngest-job-id"], `${run.ulid}.step`);
		assert.equal(headers["x-inngest-generation-id"], "1");
		assert.match(headers.traceparent, new RegExp(`^00-${id.replaceAll("-", "")}-[0-9a-f]{16}-01$`));
		const call = JSON.parse(body);
		assert.match(body, /"data":\{"":null,"a":\[1,"é"\],"z":1\}/, "canonical JSON");
		assert.deepEqual(call.events, [call.event]);
		assert.deepEqual(call.event.user, {});
		assert.equal(call.ctx.run_id, run.ulid);
		assert.equal(call.ctx.attempt, 0);
		assert.equal(call.ctx.max_attempts, 1);
		assert.deepEqual(call.ctx.stack, { stack: [], current: 0 });
		assert.equal(call.ctx.fn_id, `${app.id}-f`);
		assert.equal(call.ctx.qi_id, run.ulid);
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

describe("an app that answers with odd operations", () => {
	let server;
	const rogues = [];
	before(async () => {
		server = await startServer({ settings });
	});
	after(async () => {
		for (const rogue of rogues) rogue.stop();
		await server?.stop();
	});
	logOnFailure(() => server);

	const id = (letter) => letter.repeat(40);
	const op = (kind, letter, more = {}) => ({ op: kind, id: id(letter), name: letter, displayName: letter, opts: {}, userland: { id: letter }, ...more });
	const stepRun = (letter, data) => op("StepRun", letter, { data });

	let count = 0;
	/**
	 * Starts a run of an app that answers each call with what `script` says: given the call's body and number, it returns
	 * [status, body] or [status, body, headers], where a body that is text is sent as it is.  Gives the run when it has ended, the app, and the run's steps.
	 */
	async function played(script, { retries = 0, data = {} } = {}) {
		const name = `odd${++count}`;
		const app = await Rogue.start(server, name, (request, response, text) => {
			const [status, body, headers] = script(JSON.parse(text), app.calls.length, new URL(request.url, "http://x").searchParams);
			response.writeHead(status, { ...sdkHeaders, ...headers });
			response.end(typeof body === "string" ? body : JSON.stringify(body));
		}, { retries });
		rogues.push(app);
		const { id: runId } = await server.start(`${name}/go`, data);
		const run = await server.finished(runId);
		return { run, app, name, steps: await server.steps(runId) };
	}
	const done = (value = "done") => [200, JSON.stringify(value)];

	it("ends a run whose app finds nothing to do again and again", async () => {
		const { run, app } = await played(() => [206, []]);
		assert.equal(run.status, "failed");
		assert.ok(app.calls.length <= 3, `${app.calls.length} calls`);
		assert.match(run.error.message, /neither finished nor asked for a step/);
	});

	it("ends a run whose app reports the same finished step again and again", async () => {
		const { run, app } = await played(() => [206, [stepRun("a", 1)]]);
		assert.equal(run.status, "failed");
		assert.ok(app.calls.length <= 12, `${app.calls.length} calls`);
	});

	it("takes a step that is reported twice in one answer once", async () => {
		const { run, steps } = await played((call) => (call.steps[id("a")] === undefined ? [206, [stepRun("a", 1), stepRun("a", 2)]] : done()));
		assert.equal(run.output, "done");
		assert.equal(steps.length, 1);
	});

	it("keeps the first result of a step when the app changes its mind", async () => {
		const { run } = await played((call, turn) => {
			if (turn === 1) return [206, [stepRun("a", "first")]];
			if (turn === 2) return [206, [stepRun("a", "second"), stepRun("b", 1)]];
			return done(call.steps[id("a")].data);
		});
		assert.equal(run.status, "completed", JSON.stringify(run.error));
		assert.equal(run.output, "first");
	});

	it("takes one operation that is not in a list", async () => {
		const { run } = await played((call) => (call.steps[id("a")] === undefined ? [206, stepRun("a", 7)] : done(call.steps[id("a")].data)));
		assert.equal(run.output, 7);
	});

	it("runs 300 parallel steps", async () => {
		const ids = [...Array(300).keys()].map((n) => n.toString(16).padStart(40, "0"));
		const executed = new Map();
		const { run } = await played((call, turn, query) => {
			const target = query.get("stepId");
			if (target !== "step") {
				executed.set(target, (executed.get(target) ?? 0) + 1);
				return [206, [{ ...stepRun("x", target), id: target }]];
			}
			return Object.keys(call.steps).length === 300
				? done(call.ctx.stack.stack.length)
				: [206, ids.filter((i) => call.steps[i] === undefined).map((i) => ({ ...op("StepPlanned", "x"), id: i }))];
		});
		assert.equal(run.status, "completed", JSON.stringify(run.error));
		assert.equal(run.output, 300);
		assert.deepEqual([...executed.values()], Array(300).fill(1));
	});

	it("drops late results of parallel steps when the run has ended", async () => {
		const held = [];
		const app = await Rogue.start(server, "early", (request, response) => {
			const target = new URL(request.url, "http://x").searchParams.get("stepId");
			const answer = (status, body) => {
				response.writeHead(status, { ...sdkHeaders, "x-inngest-req-version": "1" });
				response.end(JSON.stringify(body));
			};
			if (target === id("a")) answer(206, [stepRun("a", 1)]);
			else if (target === id("b")) held.push(() => answer(206, [stepRun("b", 2)]));
			else if (app.calls.length === 1) answer(206, [op("StepPlanned", "a"), op("StepPlanned", "b"), op("Sleep", "c", { name: "1h" }), op("WaitForEvent", "d", { name: "early/never", opts: { timeout: "1h" } })]);
			else answer(200, "won");
		});
		rogues.push(app);
		const { id: runId } = await server.start("early/go");
		assert.equal((await server.finished(runId)).output, "won");
		const before = (await server.events(runId)).length;
		await until("the late call was made", () => held.length > 0);
		for (const answer of held) answer();
		await pause(500);
		assert.equal((await server.events(runId)).length, before, "the log ends with the run");
		for (const table of ["run_hot", "run_parked", "wait"]) {
			assert.deepEqual(await server.sql(`select count(*) from flowforge.${table} where run_id = '${runId}'`), ["0"], table);
		}
	});

	const answersThatFail = [
		["a sleep beyond every calendar", [op("Sleep", "a", { name: "99999999999999999999w" })]],
		["a sleep until a day that is none", [op("Sleep", "a", { name: "2026-02-31T00:00:00.000Z" })]],
		["a wait without a timeout that is a time", [op("WaitForEvent", "a", { name: "x/y", opts: { timeout: "later" } })]],
		["a wait for an expression that is none", [op("WaitForEvent", "a", { name: "x/y", opts: { timeout: "1h", if: "event.data. == (" } })]],
		["a wait for no event", [op("WaitForEvent", "a", { name: undefined, opts: { timeout: "1h" } })]],
		["an id that is a number", [{ ...stepRun("a", 1), id: 7 }]],
		["an id of 10,000 characters", [{ ...stepRun("a", 1), id: "x".repeat(10_000) }]],
		["an operation that is a number", [{ ...stepRun("a", 1), op: 5 }]],
		["options that are a list", [op("InvokeFunction", "a", { opts: [1] })]],
		["an invocation of nothing", [op("InvokeFunction", "a", { opts: {} })]],
	];
	for (const [what, ops] of answersThatFail) {
		it(`fails the run, or the step, for ${what}`, async () => {
			const { run } = await played((call) => (call.steps[id("a")] === undefined ? [206, ops] : [200, call.steps[id("a")]]));
			const error = run.error ?? run.output?.error;
			assert.ok(error?.message?.length > 10, JSON.stringify(run));
		});
	}

	it("keeps a step's error whose parts are of other types", async () => {
		for (const error of ["just text", 7, null, { message: { deep: true } }, { name: 5, message: null, stack: [] }, []]) {
			const { run } = await played((call) =>
				call.steps[id("a")] === undefined ? [206, [op("StepFailed", "a", { error })], { "x-inngest-no-retry": "true" }] : done("went on"));
			assert.equal(run.output, "went on", `${JSON.stringify(error)}: ${JSON.stringify(run.error)}`);
		}
	});

	it("fails a run with an error of any type", async () => {
		for (const error of ["just text", 7, null, [], { message: { deep: true } }, { name: "E".repeat(100_000), message: "m".repeat(100_000) }]) {
			const { run } = await played(() => [400, JSON.stringify(error), { "x-inngest-no-retry": "true" }]);
			assert.equal(run.status, "failed");
			assert.equal(typeof run.error.message, "string", JSON.stringify(error));
		}
	});

	it("says what is wrong with characters that PostgreSQL cannot store", async () => {
		for (const text of ["\\u0000", "a\\u0000b", "\\ud800", "\\udc00\\ud800"]) {
			const result = await played(() => [206, `[{"op":"StepRun","id":"${id("a")}","name":"a","data":"${text}"}]`]);
			assert.equal(result.run.status, "failed", text);
			const thrown = await played(() => [500, `{"name":"Error","message":"x${text}"}`, { "x-inngest-no-retry": "true" }]);
			assert.equal(thrown.run.status, "failed", text);
		}
	});

	it("does not choke on numbers beyond JavaScript's", async () => {
		const { run } = await played((call) => done(call.event.data.n > 1e300 || call.event.data.n === null ? "big" : call.event.data.n), {
			data: { n: 1e308 },
		});
		assert.equal(run.output, "big");
		const answer = await server.request("POST", "/api/v1/events", '{"name":"odd/huge","data":{"n":1e400}}');
		assert.ok(answer.status === 200 || answer.status === 400, String(answer.status));
		const returned = await played((call) => (call.steps[id("a")] === undefined ? [206, `[{"op":"StepRun","id":"${id("a")}","name":"a","data":1e400}]`] : done("went on")));
		assert.ok(returned.run.ended_at);
	});

	it("clamps a retry-after that is absurd, and ignores one that is none", async () => {
		for (const value of ["-5", "0", "soon", "NaN", "", "Mon, 01 Jan 1990 00:00:00 GMT", "x".repeat(5000)]) {
			const { run } = await played((call, turn) => (turn === 1 ? [500, '{"name":"E","message":"later"}', { "retry-after": value }] : done()), {
				retries: 1,
			});
			assert.equal(run.output, "done", value);
		}
		const name = `far${process.pid}`;
		const app = await Rogue.start(server, name, (request, response) => {
			response.writeHead(500, { ...sdkHeaders, "retry-after": "9999999999" });
			response.end('{"name":"E","message":"much later"}');
		}, { retries: 1 });
		rogues.push(app);
		const { id: runId } = await server.start(`${name}/go`);
		const { wake_at } = await until("it backs off", async () => {
			const run = await server.run(runId);
			return run.wake_at && run;
		});
		assert.ok(Date.parse(wake_at) - Date.now() <= 24 * 3600_000 + 60_000, "a day at most");
		await server.request("POST", `/api/v1/runs/${runId}/cancel`);
		assert.equal((await server.finished(runId)).status, "cancelled", "a run that backs off can be cancelled");
	});

	it("obeys x-inngest-no-retry against the status", async () => {
		const never = await played(() => [500, '{"name":"E","message":"never"}', { "x-inngest-no-retry": "true" }], { retries: 3 });
		assert.equal(never.app.calls.length, 1);
		const again = await played((call, turn) => (turn === 1 ? [400, '{"name":"E","message":"again"}', { "x-inngest-no-retry": "false" }] : done()), { retries: 3 });
		assert.equal(again.run.output, "done");
	});

	it("unwraps the answer of a streaming SDK", async () => {
		const { run } = await played(() => [201, `     ${JSON.stringify({ status: 200, headers: sdkHeaders, body: '"streamed"' })}`]);
		assert.equal(run.status, "completed", JSON.stringify(run.error));
		assert.equal(run.output, "streamed");
	});

	it("leaves a state of more than 4 MB to be fetched", async () => {
		const piece = "x".repeat(600_000);
		const large = [];
		const { run } = await played((call) => {
			const have = call.ctx.stack.stack.length;
			large.push(call.ctx.use_api);
			return have === 10 ? done("whole") : [206, [stepRun("abcdef0123"[have], piece)]];
		});
		assert.equal(run.output, "whole", JSON.stringify(run.error));
		assert.deepEqual(large, [...Array(7).fill(false), ...Array(4).fill(true)]);
	});

	it("waits for an event only when both sides have the field that must match", async () => {
		const name = `match${process.pid}`;
		const app = await Rogue.start(server, name, (request, response, text) => {
			const call = JSON.parse(text);
			const waiting = op("WaitForEvent", "a", { name: `${name}/answer`, opts: { timeout: "2s", if: "event.data.key == async.data.key" } });
			const known = id("a") in call.steps;
			response.writeHead(known ? 200 : 206, sdkHeaders);
			response.end(JSON.stringify(known ? call.steps[id("a")] : [waiting]));
		});
		rogues.push(app);
		const { id: runId } = await server.start(`${name}/go`, { other: 1 });
		await until("it waits", async () => (await server.steps(runId)).some((s) => s.status === "waiting"));
		await server.send(`${name}/answer`, { other: 1 });
		const run = await server.finished(runId);
		assert.equal(run.output, null, "timed out");
	});

	it("ends a function that invokes itself for ever", async () => {
		const name = `loop${process.pid}`;
		const app = await Rogue.start(server, name, (request, response, text) => {
			const call = JSON.parse(text);
			const known = call.steps[id("a")];
			response.writeHead(known ? 200 : 206, sdkHeaders);
			response.end(JSON.stringify(known ?? [op("InvokeFunction", "a", { opts: { function_id: `${name}-f`, payload: { data: {} } } })]));
		});
		rogues.push(app);
		const { id: runId } = await server.start(`${name}/go`);
		await server.finished(runId);
		const calls = app.calls.length;
		await pause(500);
		assert.equal(app.calls.length, calls, "no run goes on");
		assert.ok(calls < 3000, `${calls} calls`);
	});

	it("refuses to register an address that is no HTTP address", async () => {
		for (const url of ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/x", "//127.0.0.1/x", "http://", "javascript:1", "http://a b/", "unix:/tmp/x"]) {
			const runtime = { type: "http", url };
			const functions = [{ id: "evil-f", name: "f", triggers: [{ event: "evil/go" }], steps: { step: { id: "step", name: "step", runtime } } }];
			const { status, body } = await server.request("POST", "/fn/register", { url: "http://127.0.0.1:9/", appName: "evil", sdk: "js:v4.24.0", functions });
			assert.equal(status, 400, url);
			assert.match(body.error, /url/i, url);
		}
	});

	it("has nothing left to do after all of it", async () => {
		assert.equal((await server.request("GET", "/ready")).status, 200);
		assert.deepEqual(await server.sql("select run_id, function, status from flowforge.runs where status in ('pending', 'running')"), []);
		for (const table of ["run_hot", "run_parked", "wait", "inbox"]) {
			assert.deepEqual(await server.sql(`select count(*) from flowforge.${table}`), ["0"], table);
		}
		assert.doesNotMatch(server.cluster.logTail(5000), /PANIC|signal (6|11)|TRAP/);
	});
});

describe("signatures", () => {
	const fallback = "signkey-test-00112233445566778899aabbccddeeff";
	let server;
	const rogues = [];
	before(async () => {
		server = await startServer({ signed: true, settings: { ...settings, "flowforge.signing_key_fallback": fallback } });
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

	const now = () => Math.floor(Date.now() / 1000);
	const right = [
		["the key that is about to go", (body) => signature(body, fallback)],
		["a clock four minutes late", (body) => signature(body, server.signingKey, now() - 240)],
		["a clock four minutes early", (body) => signature(body, server.signingKey, now() + 240)],
	];
	for (const [index, [what, sign]] of right.entries()) {
		it(`accepts an answer signed with ${what}`, async () => {
			const { run } = await result(`right${index}`, (body) => ({ "x-inngest-signature": sign(body) }));
			assert.equal(run.status, "completed", JSON.stringify(run.error));
		});
	}

	const wrong = [
		["another key", (body) => ({ "x-inngest-signature": signature(body, "signkey-test-ffffffffffffffffffffffffffffffff") })],
		["another body", () => ({ "x-inngest-signature": signature("{}", "signkey-test-0123456789abcdef0123456789abcdef") })],
		["the time of yesterday", (body) => ({ "x-inngest-signature": signature(body, "signkey-test-0123456789abcdef0123456789abcdef", Math.floor(Date.now() / 1000) - 86400) })],
		["a clock six minutes early", (body) => ({ "x-inngest-signature": signature(body, "signkey-test-0123456789abcdef0123456789abcdef", now() + 360) })],
		["the time of yesterday and the key that is about to go", (body) => ({ "x-inngest-signature": signature(body, fallback, now() - 86400) })],
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

	/** Adds an app that answers in-band with a body and headers for it; gives what the server says. */
	async function added(id, told, headersFor) {
		const app = await Rogue.start(server, id, (request, response) => {
			const body = JSON.stringify(told(app.url));
			response.writeHead(200, { ...sdkHeaders, "x-inngest-sync-kind": "in_band", ...headersFor(body) });
			response.end(body);
		});
		rogues.push(app);
		app.url = `http://127.0.0.1:${app.port}/api/inngest`;
		const { status, body } = await server.request("POST", "/api/v1/apps", { url: app.url });
		assert.equal(status, 200);
		return { ...body, call: app.calls[0] };
	}

	it("asks an app in-band with a signature, and takes over what it tells under one", async () => {
		const sign = (body) => ({ "x-inngest-signature": signature(body, server.signingKey) });
		const told = (url) => ({ app_id: "told", url, sdk: "js:v4", functions: [] });
		const { ok, error, app, call } = await added("told", told, sign);
		assert.deepEqual([ok, error, app.name, app.functions], [true, null, "told", 0]);
		assert.equal(call.method, "PUT");
		assert.equal(call.headers["x-inngest-sync-kind"], "in_band");
		const at = Number(new URLSearchParams(call.headers["x-inngest-signature"]).get("t"));
		assert.equal(call.headers["x-inngest-signature"], signature(call.body, server.signingKey, at));
	});

	it("takes over nothing that an app tells in-band without a signature", async () => {
		const { ok, error, app } = await added("unsigned", (url) => ({ app_id: "unsigned", url, functions: [] }), () => ({}));
		assert.equal(ok, false);
		assert.match(error, /signature/);
		assert.equal(app.functions, 1, "the function it registered before is still there");
	});

	it("says what is wrong with what an app tells in-band", async () => {
		const sign = (body) => ({ "x-inngest-signature": signature(body, server.signingKey) });
		const told = (url) => ({ app_id: "wrong", url, functions: [{ id: "wrong-f", triggers: [{ cron: "never" }] }] });
		const { ok, error } = await added("wrong", told, sign);
		assert.equal(ok, false);
		assert.match(error, /"never" is not a schedule/);
		for (const nonsense of [[], null, 7, "in-band"]) {
			const { ok, error } = await added(`nonsense-${typeof nonsense}-${nonsense}`, () => nonsense, sign);
			assert.equal(ok, false);
			assert.ok(error, JSON.stringify(nonsense));
		}
	});

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

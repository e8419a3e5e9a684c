// The protocol where the published packages do not go: other spellings, large state, limits, lost requests. A scripted app
// answers; the package joins in where it can.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { digest, largeText } from "./functions.mjs";
import { freePort, logOnFailure, pause, startApp, startServer, until } from "./harness.mjs";
import { Host } from "./host.mjs";
import { functionId, id, op, runComplete, startPlayed, stepRun } from "./played.mjs";

const planned = (letter) => op("StepPlanned", letter);

describe("the protocol", () => {
	let server;
	let host;
	const apps = [];
	before(async () => {
		server = await startServer();
		host = await Host.start();
	});
	after(async () => {
		for (const app of apps) app.stop();
		host?.stop();
		await server?.stop();
	});
	logOnFailure(() => server);

	async function played(script, options) {
		const app = await startPlayed(server, script, options);
		apps.push(app);
		return app;
	}
	/** Plays a script to its end. */
	async function play(script, options) {
		const app = await played(script, options);
		return { app, run: await app.play() };
	}

	describe("spells operations as the specification does, too:", () => {
		const spelled = [
			["Step", op("Step", "a", { data: 7 }), { data: 7 }],
			["Sleep with opts.duration", op("Sleep", "a", { name: "nap", opts: { duration: "100ms" } }), null],
			["Sleep until an instant that is past", op("Sleep", "a", { name: "2020-01-01T00:00:00.000Z" }), null],
			["WaitForEvent with opts.event", op("WaitForEvent", "a", { name: "wait", opts: { event: "spelled/never", timeout: "100ms" } }), null],
			["WaitForSignal with only a name", op("WaitForSignal", "a", { name: "spelled", opts: { timeout: "100ms" } }), null],
			["StepFailed without an error", op("StepFailed", "a"), { error: { name: "Error", message: "the step failed and did not say why" } }],
		];
		for (const [what, operation, memo] of spelled) {
			it(what, async () => {
				const { run } = await play((call) => (call.has("a") ? call.done({ memo: call.memo("a") }) : call.ops(operation)));
				assert.deepEqual(run.output, { memo }, JSON.stringify(run.error));
			});
		}

		it("AiGateway", async () => {
			const opts = { url: `${host.url}/ai/spelled`, format: "openai-chat", auth_key: "abcdefgh", body: { model: "m" }, headers: { "x-a": "b" } };
			const { run } = await play((call) => (call.has("a") ? call.done(call.memo("a").data.model) : call.ops(op("AiGateway", "a", { opts }))));
			assert.equal(run.output, "m-1", JSON.stringify(run.error));
			assert.equal(host.at("/ai/spelled")[0].headers["x-a"], "b");
		});

		it("AIGateway whose own headers win over its key", async () => {
			const opts = { url: `${host.url}/ai/own`, format: "openai-chat", auth_key: "abcdefgh", body: {}, headers: { Authorization: "Mine" } };
			await play((call) => (call.has("a") ? call.done() : call.ops(op("AIGateway", "a", { opts }))));
			assert.equal(host.at("/ai/own")[0].headers.authorization, "Mine");
		});

		it("None, and operations that are nothing", async () => {
			const { run, app } = await play((call) => (call.has("a") ? call.done(1) : call.ops(op("None", "x"), stepRun("a"))));
			assert.equal(run.output, 1);
			assert.equal(app.calls.length, 2);
		});

		it("RunComplete and SyncRunComplete, whatever else is reported with them", async () => {
			for (const kind of ["RunComplete", "SyncRunComplete"]) {
				const { run } = await play((call) => call.ops(stepRun("a"), op("Sleep", "b", { name: "1h" }), { op: kind, id: functionId, data: { kind } }));
				assert.deepEqual(run.output, { kind });
				assert.deepEqual(await server.sql(`select count(*) from flowforge.run_parked where run_id = '${run.id}'`), ["0"]);
			}
		});

		it("DiscoveryRequest: the function is asked again", async () => {
			const { run, app } = await play((call) => (call.number === 1 ? call.ops(op("DiscoveryRequest", "d")) : call.done(call.number)));
			assert.equal(run.output, 2);
			assert.equal(app.calls.length, 2);
		});

		it("the function's own failure, with what rides along", async () => {
			const error = { name: "Flaky", message: "once more" };
			const { run, app } = await play(
				(call) => (call.number === 1 ? call.ops(op("DeferAdd", "d", { opts: { fn_slug: "nobody", input: {} } }), { op: "StepError", id: functionId, error }) : call.done(call.body.ctx.attempt)),
				{ retries: 1 },
			);
			assert.equal(run.output, 1, JSON.stringify(run.error));
			assert.deepEqual(JSON.parse(app.calls[1].body).defers, { [id("d")]: { abortable: true } });
			const final = await play((call) => call.ops(op("DeferAdd", "d", { opts: { fn_slug: "nobody" } }), { op: "StepFailed", id: functionId, error }), { retries: 3 });
			assert.equal(final.run.status, "failed");
			assert.equal(final.run.error.message, "once more");
			assert.equal(final.app.calls.length, 1);
		});

		it("StepNotFound: tried again, then failed", async () => {
			const { run, app } = await play((call) => call.ops(op("StepNotFound", "x")), { retries: 1 });
			assert.match(run.error.message, /has no step "x"/);
			assert.equal(app.calls.length, 2);
		});

		it("what is noted about a step, but not nonsense", async () => {
			const metadata = [{ kind: "userland.score", scope: "step", op: "set", values: { n: 1 } }, { kind: 5 }, 7, { kind: "big", op: "set", values: { x: "y".repeat(20_000) } }];
			const { run } = await play((call) => (call.has("a") ? call.done("noted") : call.ops({ ...stepRun("a"), metadata })));
			assert.equal(run.output, "noted", JSON.stringify(run.error));
			assert.deepEqual(run.steps[0].detail.metadata, metadata);
			const noted = await server.sql(`select step, kind, values ->> 'n' from flowforge.run_metadata where run_id = '${run.id}'`);
			assert.deepEqual(noted, ["a|userland.score|1"]);
		});

		it("an unknown step: tried again, then failed with the SDK's words", async () => {
			const { run, app } = await play((call) => call.answer(500, { error: "Could not find step x", requestedStep: "x", foundSteps: [], totalFoundSteps: 0 }), { retries: 1 });
			assert.match(run.error.message, /Could not find step/);
			assert.equal(app.calls.length, 2);
		});
	});

	describe("retries", () => {
		const failing = (headers) => (call) =>
			call.number === 1 ? call.answer(500, { name: "Error", message: "busy" }, { "x-inngest-no-retry": "false", ...headers }) : call.done(call.number);
		async function waited(headers) {
			const { run } = await play(failing(headers), { retries: 1 });
			assert.equal(run.output, 2);
			return Date.parse(run.ended_at) - Date.parse(run.started_at);
		}

		it("wait as many seconds as Retry-After says, at least one", async () => {
			const [two, one, ...usual] = await Promise.all([waited({ "retry-after": "2" }), waited({ "retry-after": "0" }), waited({}), waited({}), waited({})]);
			assert.ok(two >= 1950 && two < 30_000, `${two}`);
			assert.ok(one >= 950 && one < 30_000, `${one}`);
			assert.ok(Math.min(...usual) < 950, `${usual}`);
		});

		it("wait until Retry-After's instant, of either form", async () => {
			const at = new Date(Date.now() + 3000);
			const [iso, http] = await Promise.all([waited({ "retry-after": at.toISOString() }), waited({ "retry-after": at.toUTCString() })]);
			assert.ok(iso >= 1500 && iso < 30_000, `${iso}`);
			assert.ok(http >= 950 && http < 30_000, `${http}`);
		});

		it("pass over a Retry-After that is nonsense", async () => {
			assert.ok((await waited({ "retry-after": "later" })) < 950);
		});

		it("do not happen when x-inngest-no-retry says so, of a function and of a step", async () => {
			const headers = { "x-inngest-no-retry": "true" };
			const whole = await play((call) => call.answer(500, { name: "Error", message: "never" }, headers), { retries: 5 });
			assert.equal(whole.run.error.message, "never");
			assert.equal(whole.app.calls.length, 1);
			const step = await play(
				(call) => (call.has("a") ? call.done(call.memo("a").error.message) : call.answer(206, [op("StepError", "a", { error: { name: "E", message: "never" } })], headers)),
				{ retries: 5 },
			);
			assert.equal(step.run.output, "never");
			assert.equal(step.app.calls.length, 2);
		});

		it("of a step begin anew with the next step", async () => {
			const attempts = [];
			const { run } = await play((call) => {
				attempts.push(call.body.ctx.attempt);
				const next = ["a", "b"].find((letter) => !call.has(letter));
				if (!next) return call.done();
				if (call.body.ctx.attempt === 0) return call.ops(op("StepError", next, { error: { name: "E", message: "again" } }));
				call.ops(stepRun(next));
			}, { retries: 1 });
			assert.equal(run.status, "completed", JSON.stringify(run.error));
			assert.deepEqual(attempts, [0, 1, 0, 1, 0]);
		});
	});

	describe("parallel steps", () => {
		/** Two planned steps of which b takes longer; notes what the function was asked when. */
		const two = (version, asked, opts = {}) => async (call) => {
			const answer = (...ops) => call.answer(206, ops, { "x-inngest-req-version": String(version) });
			if (call.target !== "step") {
				assert.equal(call.body.ctx.disable_immediate_execution, true);
				if (call.target === id("b")) await pause(400);
				return answer({ ...stepRun("x", call.target[0]), id: call.target });
			}
			asked.push([...call.body.ctx.stack.stack.map((s) => s[0]), call.body.ctx.disable_immediate_execution].join());
			if (!call.has("a") || !call.has("b")) return answer(op("StepPlanned", "a", { opts }), op("StepPlanned", "b", { opts }));
			if (!call.has("c")) return answer(stepRun("c"));
			call.answer(200, JSON.stringify(call.body.version), { "x-inngest-req-version": String(version) });
		};

		it("of version 2 are waited for, all of them, and then steps run at once again", async () => {
			const asked = [];
			const { run } = await play(two(2, asked));
			assert.equal(run.output, 2, JSON.stringify(run.error));
			assert.deepEqual(asked, ["false", "a,b,false", "a,b,c,false"]);
		});

		it("of version 1 are asked about after each, and steps stay planned", async () => {
			const asked = [];
			const { run } = await play(two(1, asked));
			assert.equal(run.output, 1, JSON.stringify(run.error));
			assert.deepEqual(asked, ["false", "a,true", "a,b,true", "a,b,c,true"]);
		});

		it("that race are asked about after each, in version 2", async () => {
			const asked = [];
			const { run } = await play(two(2, asked, { parallelMode: "race" }));
			assert.equal(run.output, 2, JSON.stringify(run.error));
			assert.equal(asked[1], "a,true");
		});

		it("that are a step and what rides along do not count as two", async () => {
			const flags = [];
			await play((call) => {
				flags.push(call.body.ctx.disable_immediate_execution);
				return call.has("a") ? call.done() : call.ops(stepRun("a"), op("DeferAdd", "d", { opts: { fn_slug: "x" } }));
			});
			assert.deepEqual(flags, [false, false]);
		});

		it("hear the signal and the event that are sent beside their waits", async () => {
			const { run } = await play(async (call) => {
				if (call.target !== "step") {
					await server.request("POST", "/v1/signals", { signal: "beside", data: 1 });
					await server.send("beside/event", { n: 2 });
					return call.ops({ ...stepRun("c"), id: call.target });
				}
				if (call.has("a") && call.has("b")) return call.done([call.memo("a"), call.memo("b").data]);
				call.ops(planned("c"), op("WaitForSignal", "a", { opts: { signal: "beside", timeout: "10s" } }), op("WaitForEvent", "b", { name: "beside/event", opts: { timeout: "10s" } }));
			});
			assert.deepEqual(run.output, [{ data: { signal: "beside", data: 1 } }, { n: 2 }], JSON.stringify(run.error));
		});
	});

	describe("requests", () => {
		const get = (letter, url, more = {}) => op("Gateway", letter, { opts: { url, method: "GET", headers: {}, ...more } });

		it("that were lost with their executor are asked of the function again, and made", async () => {
			const { run, app } = await play((call) => {
				if (call.has("a")) return call.done(call.memo("a").data.status_code);
				call.ops(get("a", `${host.url}/slow/lost`, { headers: { authorization: "Bearer only-in-memory" } }));
				if (call.number === 1) setTimeout(() => server.sql("select pg_terminate_backend(pid) from flowforge.executors()"), 300);
			});
			assert.equal(run.output, 200, JSON.stringify(run.error));
			assert.equal(app.calls.length, 3, "planned, asked again, done");
			assert.equal(host.at("/slow/lost").length, 2);
			assert.equal(host.at("/slow/lost")[1].headers.authorization, "Bearer only-in-memory");
		});

		it("that the function no longer makes are dropped", async () => {
			const { run } = await play((call) => {
				if (call.number > 1) return call.ops(stepRun("b"), runComplete("without it"));
				call.ops(get("a", `${host.url}/slow/dropped`));
				setTimeout(() => server.sql("select pg_terminate_backend(pid) from flowforge.executors()"), 300);
			});
			assert.equal(run.output, "without it", JSON.stringify(run.error));
			assert.deepEqual(run.steps.map((s) => s.name), ["b"]);
		});

		it("that were lost beside other steps are made, and those are not run again", async () => {
			const ran = [];
			const { run } = await play(async (call) => {
				if (call.target !== "step") {
					ran.push(call.target[0]);
					return call.ops({ ...stepRun("x"), id: call.target });
				}
				if (call.has("a") && call.has("b")) return call.done("both");
				call.ops(get("a", `${host.url}/slow/beside`), planned("b"));
				if (call.number === 1) setTimeout(() => server.sql("select pg_terminate_backend(pid) from flowforge.executors()"), 500);
			});
			assert.equal(run.output, "both", JSON.stringify(run.error));
			assert.deepEqual(ran, ["b"]);
		});

		it("are cancelled with their run", async () => {
			const app = await played((call) => call.ops(get("a", `${host.url}/slow/cancelled`)));
			const { id: runId } = await app.start();
			await until("it asks", () => host.at("/slow/cancelled").length > 0);
			await server.request("POST", `/api/v1/runs/${runId}/cancel`, {});
			assert.equal((await server.finished(runId)).status, "cancelled");
			await pause(1200);
			assert.deepEqual((await server.steps(runId)).map((s) => s.status), []);
		});

		it("to a host that hangs do not hold up others", async () => {
			const hanging = await played((call) => (call.has("a") ? call.done() : call.ops(...[..."abcdefgh"].map((l) => get(l, `${host.url}/slow/hang`)))));
			const runs = await Promise.all([...Array(20)].map(() => hanging.start()));
			await until("they hang", () => host.at("/slow/hang").length >= 100);
			const started = Date.now();
			const { run } = await play((call) => call.done("quick"));
			assert.equal(run.output, "quick");
			assert.ok(Date.now() - started < 900, `${Date.now() - started} ms`);
			for (const { id: runId } of runs) await server.finished(runId);
		});

		const wrong = [
			["no URL", {}, /no http or https URL/],
			["a file's URL", { url: "file:///etc/passwd" }, /no http or https URL/],
			["a header with a line break", { url: "http://127.0.0.1:9", headers: { a: "b\r\nc: d" } }, /header that HTTP does not allow/],
			["a header whose name is none", { url: "http://127.0.0.1:9", headers: { "a b": "c" } }, /header that HTTP does not allow/],
			["a header that is a list", { url: "http://127.0.0.1:9", headers: { a: ["b"] } }, /not text/],
			["headers that are a list", { url: "http://127.0.0.1:9", headers: ["a"] }, /not an object/],
			["a method with a blank", { url: "http://127.0.0.1:9", method: "GET /" }, /method that HTTP does not allow/],
		];
		for (const [what, opts, message] of wrong) {
			it(`with ${what} fail the run`, async () => {
				const { run } = await play((call) => call.ops(op("Gateway", "a", { opts })));
				assert.equal(run.status, "failed");
				assert.match(run.error.message, message);
			});
		}

		it("to nobody fail the step", async () => {
			const nobody = `http://127.0.0.1:${await freePort()}/`;
			const { run } = await play((call) => (call.has("a") ? call.done(call.memo("a").error) : call.ops(get("a", nobody))));
			assert.equal(run.output.name, "FetchError");
			assert.match(run.output.message, /request failed: .*(connect|refused)/i);
		});

		it("to where steps may not go fail the step, once", async () => {
			const { run } = await play((call) => (call.has("a") ? call.done(call.memo("a").error) : call.ops(get("a", "http://10.0.0.1/"))));
			assert.deepEqual([run.output.name, run.output.code], ["OutboundRefused", "FF420"]);
			assert.match(run.output.message, /10\.0\.0\.0\/8 is private, and flowforge\.outbound_allow/);
		});
	});

	describe("signals and defers that are wrong", () => {
		const wrong = [
			["a signal without a name", op("WaitForSignal", "a", { name: "", opts: {} }), /names no signal/],
			["a signal of 600 bytes", op("WaitForSignal", "a", { opts: { signal: "x".repeat(600) } }), /512 bytes/],
			["a signal with another rule", op("WaitForSignal", "a", { opts: { signal: "x", conflict: "share" } }), /neither fail nor replace/],
			["a signal with a timeout that is none", op("WaitForSignal", "a", { opts: { signal: "x", timeout: "later" } }), /neither a duration/],
			["a defer of no function", op("DeferAdd", "a", { opts: {} }), /names no function/],
			["an abort of nothing", op("DeferAbort", "a", { opts: {} }), /what to abort/],
		];
		for (const [what, operation, message] of wrong) {
			it(`${what} fails the run`, async () => {
				const { run } = await play((call) => call.ops(operation));
				assert.match(run.error.message, message);
			});
		}
	});
});

describe("limits", () => {
	let server;
	const apps = [];
	before(async () => {
		server = await startServer({
			settings: {
				"flowforge.request_limit": "20kB",
				"flowforge.output_limit": "400kB",
				"flowforge.state_limit": "1MB",
				"flowforge.step_limit": 60,
			},
		});
	});
	after(async () => {
		for (const app of apps) app.stop();
		await server?.stop();
	});
	logOnFailure(() => server);
	async function play(script, options) {
		const app = await startPlayed(server, script, options);
		apps.push(app);
		return { app, run: await app.play() };
	}
	const nth = (n) => ({ ...stepRun("x", n), id: n.toString(16).padStart(40, "0") });

	describe("of a call's size:", () => {
		for (const major of [4, 3]) {
			it(`SDK v${major} fetches what a call leaves out`, async () => {
				const app = await startApp(server, { major });
				const { id: runId } = await server.start(`e2e-v${major}/large`);
				const run = await server.finished(runId);
				assert.equal(run.status, "completed", JSON.stringify(run.error));
				assert.equal(run.output.sum, digest(largeText()));
				assert.deepEqual(await app.calls(run), { make: 1, measure: 1 });
			});
		}

		it("a call that leaves out its state says so, and the state is there", async () => {
			const { run, app } = await play(async (call) => {
				if (call.number === 1) return call.ops(stepRun("b", "x".repeat(30_000)));
				if (call.number === 2) return call.ops(op("Sleep", "a", { name: "10ms" }));
				const ask = async (what) => (await server.request("GET", `/v0/runs/${call.body.ctx.run_id}/${what}`)).body;
				const steps = await ask("actions");
				call.done({ steps, order: Object.keys(steps), events: await ask("batch"), event: call.body.event });
			});
			const [first, second] = app.calls.map((c) => JSON.parse(c.body));
			assert.equal(first.use_api, false);
			assert.equal(second.use_api, true);
			assert.equal(second.ctx.use_api, true);
			assert.deepEqual([second.steps, second.events], [{}, []]);
			assert.deepEqual(second.ctx.stack, { stack: [id("b")], current: 1 });
			assert.deepEqual(run.output.order, [id("b"), id("a")], "in order of completion");
			assert.equal(run.output.steps[id("b")].data.length, 30_000);
			assert.equal(run.output.steps[id("a")], null);
			assert.deepEqual(run.output.events, [run.output.event]);
		});
	});

	it("a step's result that is too large fails the step, which the code may catch", async () => {
		const { run } = await play((call) =>
			call.number > 1 ? call.done(1) : call.ops(stepRun("a", "x".repeat(500_000))));
		assert.equal(run.output, 1);
		const [step] = run.steps;
		assert.equal(step.status, "failed");
		assert.equal(step.error.name, "OutputTooLarge");
		assert.match(step.error.message, /the step "a" has 5000\d\d bytes; flowforge.output_limit allows 409600/);
	});

	it("a result that is too large fails the run", async () => {
		const { run } = await play((call) => call.done("x".repeat(500_000)));
		assert.equal(run.status, "failed");
		assert.equal(run.error.name, "OutputTooLarge");
		assert.match(run.error.message, /the result of the run/);
	});

	it("results that together are too large fail the run", async () => {
		const { run } = await play((call) => call.ops(nth(0), { ...nth(call.number), data: "x".repeat(300_000) }));
		assert.equal(run.status, "failed");
		assert.equal(run.error.name, "StateTooLarge");
		assert.match(run.error.message, /flowforge.state_limit allows 1048576/);
		assert.equal(run.steps.length, 5);
	});

	it("more steps than may be fail the run, planned or done", async () => {
		const many = (make) => [...Array(61).keys()].map(make);
		const done = await play((call) => call.ops(...many(nth)));
		assert.equal(done.run.error.name, "TooManySteps");
		assert.match(done.run.error.message, /more than 60 steps/);
		const asked = await play((call) => call.ops(...many((n) => ({ ...op("Sleep", "x", { name: "1h" }), id: n.toString(16).padStart(40, "0") }))));
		assert.equal(asked.run.error.name, "TooManySteps");
		const one = await play((call) => (call.number <= 60 ? call.ops(nth(call.number)) : call.done("60 steps")));
		assert.equal(one.run.output, "60 steps");
	});

	it("more than twenty deferred functions fail the run", async () => {
		const defers = (n) => [...Array(n).keys()].map((d) => ({ ...op("DeferAdd", "d", { opts: { fn_slug: "x" } }), id: d.toString(16).padStart(40, "0") }));
		assert.equal((await play((call) => call.ops(...defers(20), runComplete("twenty")))).run.output, "twenty");
		assert.equal((await play((call) => call.ops(...defers(21), runComplete("more")))).run.error.name, "TooManyDefers");
	});

	for (const [what, operation] of [
		["a sleep", op("Sleep", "a", { name: "367d" })],
		["a sleep until", op("Sleep", "a", { name: "2999-01-01T00:00:00.000Z" })],
		["a wait", op("WaitForEvent", "a", { name: "x/y", opts: { timeout: "53w" } })],
		["a wait for a signal", op("WaitForSignal", "a", { opts: { signal: "x", timeout: "2999-01-01T00:00:00.000Z" } })],
	]) {
		it(`${what} of more than 366 days fails the run`, async () => {
			const { run } = await play((call) => call.ops(operation));
			assert.match(run.error.message, /more than 366 days/);
		});
	}

	it("a sleep of 366 days is one", async () => {
		const app = await startPlayed(server, (call) => call.ops(op("Sleep", "a", { name: "366d" })));
		apps.push(app);
		const { id: runId } = await app.start();
		const step = await until("it sleeps", async () => (await server.steps(runId)).find((s) => s.status === "sleeping"));
		assert.ok(Date.parse(step.due_at) > Date.now() + 365.9 * 86400_000);
		await server.request("POST", `/api/v1/runs/${runId}/cancel`, {});
		await server.finished(runId);
	});
});

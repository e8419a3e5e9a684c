// Each feature of the SDK protocol by itself, through the published package: both majors and Python, in development mode and signed.
// Every test looks at the run's result and at how often each step body was entered.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { digest, largeText } from "./functions.mjs";
import { logOnFailure, pause, startApp, startPythonApp, startServer, until } from "./harness.mjs";

let unique = 0;
const fresh = (word) => `${word}-${process.pid}-${++unique}`;

/** A number that equals both ways of counting attempts would hide a mistake, so attempts are compared by step name. */
const attemptsOf = (steps) => Object.fromEntries(steps.map((step) => [step.name, step.attempt]));
const statusesOf = (steps) => Object.fromEntries(steps.map((step) => [step.name, step.status]));

const elapsed = (run) => Date.parse(run.ended_at) - Date.parse(run.created_at);

/** An SDK: `id` of its app; `major` of the TypeScript package, or `python`, where tests must tell them apart. */
const sdks = [
	...[4, 3].map((major) => ({ name: `SDK v${major}`, id: `e2e-v${major}`, major, start: (server) => startApp(server, { major }) })),
	...["fastapi", "flask"].map((framework) => ({
		name: `the Python SDK in ${framework}`,
		id: `e2e-${framework}`,
		python: true,
		start: (server) => startPythonApp(server, { framework }),
	})),
];

// FLOWFORGE_E2E_MODES names the modes if not both are to be tested.
for (const mode of (process.env.FLOWFORGE_E2E_MODES ?? "dev signed").split(" ")) {
	describe(`an app in ${mode} mode`, () => {
		let server;
		before(async () => {
			server = await startServer({ signed: mode === "signed" });
		});
		after(() => server?.stop());
		logOnFailure(() => server);
		// Most tests wait for time to pass: four at once leave the machine idle enough.
		for (const sdk of sdks) describe(`with ${sdk.name}`, { concurrency: 4 }, () => features(() => server, sdk));
	});
}

function features(serverOf, { id: appId, major, python, start }) {
	let server;
	let app;
	before(async () => {
		server = serverOf();
		app = await start(server);
	});

	const name = (event) => `${appId}/${event}`;

	/** Sends the event of a function, waits for the run, asserts its status; gives it with steps and calls. */
	async function ended(event, data, status = "completed") {
		const { id } = await server.start(name(event), data);
		const run = await server.finished(id);
		assert.equal(run.status, status, JSON.stringify(run.error));
		return { ...run, steps: await server.steps(id), calls: await app.calls(run) };
	}

	it("registers its functions with their triggers and retries", async () => {
		const functions = (await server.get("/api/v1/functions")).data.filter((f) => f.function.startsWith(`${appId}-`));
		const one = functions.find((f) => f.function === `${appId}-context`);
		assert.equal(one.retries, 2);
		assert.deepEqual(one.triggers, [{ event: name("context") }]);
		assert.ok(functions.some((f) => f.function === `${appId}-fails-failure`), "onFailure is a function of its own");
	});

	it("runs steps one after another, each once, and returns their result", async () => {
		const run = await ended("sequence", { n: 1 });
		assert.deepEqual(run.output, { c: [2, 4], attempt: 0 });
		assert.deepEqual(run.calls, { a: 1, b: 1, c: 1 });
		assert.deepEqual(run.steps.map((s) => [s.name, s.status, s.output]), [
			["a", "completed", { n: 2 }],
			["b", "completed", { n: 4 }],
			["c", "completed", [2, 4]],
		]);
	});

	it("starts a function at the time its cron trigger names, once", async () => {
		const slug = `${appId}-timed`;
		const { data: functions } = await server.get("/api/v1/functions");
		const at = functions.find((f) => f.function === slug).triggers.find((t) => t.cron).next_run_at;
		const fire = () => server.sql(`select flowforge.run_schedule(s.tenant_id, s.schedule_id, '${at}') from flowforge.schedules s where s.function = '${slug}'`);
		assert.match(new Date(at).toISOString(), /-02-29T01:30:00.000Z$/);
		await fire();
		await fire();
		const runs = await server.runsOf(slug);
		assert.equal(runs.length, 1);
		const { output } = await server.finished(runs[0].id);
		const scheduled = new Date(at).toISOString().replace(".000Z", "Z");
		assert.deepEqual(output, { name: "inngest/scheduled.timer", id: scheduled, ts: Date.parse(scheduled),
			data: { cron: "TZ=Europe/Paris 30 2 29 2 *", scheduledAt: scheduled, fireAt: scheduled } });
		assert.equal((await ended("also-timed")).status, "completed");
	});

	it("completes a function without steps", async () => {
		assert.deepEqual((await ended("no-steps", { value: [1, null, "x"] })).output, { echo: [1, null, "x"] });
	});

	it("gives the function its event, run id and attempts", async () => {
		const run = await ended("context", { key: "k", deep: { list: [1.5, -0, 1e21] } });
		assert.equal(run.output.runId, run.ulid);
		assert.equal(run.output.attempt, 0);
		if (major) assert.equal(run.output.maxAttempts, 3);
		const { event, events } = run.output;
		assert.equal(event.name, name("context"));
		assert.deepEqual(event.data, { key: "k", deep: { list: [1.5, 0, 1e21] } });
		assert.equal(typeof event.id, "string");
		assert.ok(Math.abs(Date.now() - event.ts) < 60_000);
		assert.deepEqual(event.user ?? {}, {});
		assert.deepEqual(events, [event]);
	});

	it("tries a failing step again and nothing else", async () => {
		const run = await ended("retried-step");
		assert.equal(run.output.value, "third time lucky");
		assert.deepEqual(run.calls, { before: 1, flaky: 3, after: 1 });
		const attempts = attemptsOf(run.steps);
		assert.equal(attempts.flaky - attempts.before, 2);
		assert.equal(attempts.after, attempts.before);
		const retries = (await server.events(run.id)).filter((e) => /retr/.test(e.type));
		assert.equal(retries.length, 2, "the log tells both retries");
	});

	it("tries a function again that fails between steps", async () => {
		const run = await ended("retried-function");
		assert.deepEqual(run.calls, { before: 1, between: 3, after: 1 });
	});

	it("fails a run whose step fails on every attempt, with the step's error", async () => {
		const run = await ended("exhausted", {}, "failed");
		assert.deepEqual(run.calls, { before: 1, always: 2 });
		assert.equal(run.error.message, "card declined");
		if (major !== 3) assert.equal(run.error.name, "PaymentRefused");
		assert.match(run.error.stack, /PaymentRefused/);
		if (major) assert.equal(run.error.cause.message, "limit reached");
		assert.equal(statusesOf(run.steps).always, "failed");
		assert.equal(run.steps.find((s) => s.name === "always").error.message, "card declined");
	});

	it("sleeps as long as it was told", async () => {
		const run = await ended("sleep");
		assert.deepEqual(run.calls, { start: 1, middle: 1, end: 1 });
		for (const slept of [run.output.nap, run.output.until]) {
			assert.ok(slept >= 990 && slept < 10_000, `slept ${slept} ms instead of 1000`);
		}
		assert.deepEqual(run.steps.map((s) => s.status), Array(5).fill("completed"));
	});

	it("shows a sleeping step and when it is due", async () => {
		const { id } = await server.start(name("sleep"));
		const step = await until("the step sleeps", async () => (await server.steps(id)).find((s) => s.status === "sleeping"));
		assert.ok(Date.parse(step.due_at) > Date.now() - 500);
		await server.finished(id);
	});

	it("runs parallel steps, each once, and goes on when all have finished", async () => {
		const run = await ended("parallel");
		assert.deepEqual(run.output, { values: ["p1", "p2", "p3"], after: "p1+p2+p3" });
		assert.deepEqual(run.calls, { p1: 1, p2: 1, p3: 1, after: 1 });
	});

	it("gives each parallel step its own attempts", async () => {
		const run = await ended("parallel-retry");
		assert.deepEqual(run.output, ["steady", "shaky"]);
		assert.deepEqual(run.calls, { steady: 1, shaky: 3 });
		const attempts = attemptsOf(run.steps);
		assert.equal(attempts.shaky - attempts.steady, 2);
	});

	it("runs parallel chains of steps of different lengths", async () => {
		const run = await ended("chains");
		assert.deepEqual(run.output, [["a1", "a2", "a3"], ["b1", "b2"], ["c1"]]);
		assert.deepEqual(run.calls, { a1: 1, a2: 1, a3: 1, b1: 1, b2: 1, c1: 1 });
	});

	it("lets the code look at a failed parallel step beside a good one", async () => {
		const run = await ended("settled");
		assert.deepEqual(run.output, ["good", "bad step"]);
		assert.deepEqual(run.calls, { good: 1, bad: 1, after: 1 });
	});

	if (major) it("lets the first of a race win", async () => {
		const run = await ended("race");
		assert.deepEqual(run.output, { winner: "fast" });
		assert.deepEqual(run.calls, { fast: 1, after: 1 });
		if (major === 3) assert.ok(elapsed(run) < 5500, "v3 ends the run without the loser");
	});

	if (major === 4) {
		it("goes on after a declared race without its losers", async () => {
			const run = await ended("declared-race");
			assert.deepEqual(run.output, { winner: "fast" });
			assert.deepEqual(run.calls, { fast: 1, after: 1 });
			const after = run.steps.find((s) => s.name === "after");
			assert.ok(elapsed({ ...run, ended_at: after.ended_at }) < 5500, "the step after the race does not wait");
		});
	}

	if (python) {
		it("lets the chains of a declared race run ahead of each other", async () => {
			const run = await ended("declared-chains");
			assert.deepEqual(run.output, ["slow", ["fast1", "fast2", "fast3"]]);
			assert.deepEqual(run.calls, { fast1: 1, fast2: 1, fast3: 1 });
			const last = run.steps.find((s) => s.name === "fast3");
			assert.ok(elapsed({ ...run, ended_at: last.ended_at }) < 2900, "the fast chain does not wait for the slow one");
		});
	}

	it("runs a sleep and a step side by side", async () => {
		const run = await ended("sleep-and-run");
		assert.deepEqual(run.output, { slept: null, value: "work" });
		assert.deepEqual(run.calls, { work: 1, after: 1 });
	});

	it("remembers results that are null, false, zero or empty", async () => {
		const run = await ended("null-memo");
		assert.deepEqual(run.output, {
			nothing: null,
			missing: null,
			no: false,
			zero: 0,
			empty: "",
			data: { data: { data: null }, error: null },
		});
		assert.deepEqual(run.calls, { nothing: 1, missing: 1, no: 1, zero: 1, empty: 1, data: 1 });
	});

	it("tells repeated step ids apart in a loop", async () => {
		const run = await ended("loop");
		assert.deepEqual(run.output, [0, 10, 20, 30]);
		assert.deepEqual(run.calls, { "turn 0": 1, "turn 1": 1, "turn 2": 1, "turn 3": 1 });
		assert.equal(new Set(run.steps.map((s) => s.step_id)).size, 4);
	});

	it("gives null when nothing arrives in time", async () => {
		const run = await ended("wait-timeout");
		assert.deepEqual(run.output, { answer: null });
		assert.ok(elapsed(run) >= 990);
	});

	it("wakes the one waiting run whose data matches, with the raw event", async () => {
		const [mine, other] = [fresh("mine"), fresh("other")];
		const runs = await Promise.all([mine, other].map((key) => server.start(name("wait-match"), { key })));
		for (const { id } of runs) {
			await until("it waits", async () => (await server.steps(id)).some((s) => s.status === "waiting"));
		}
		await server.send(name("answer"), { key: fresh("nobody") });
		await server.send(name("other"), { key: mine });
		const { id } = await server.send(name("answer"), { key: mine, amount: 5 }, { id: fresh("event") });
		const run = await server.finished(runs[0].id);
		assert.equal(run.status, "completed", JSON.stringify(run.error));
		const { answer } = run.output;
		assert.equal(answer.name, name("answer"));
		assert.deepEqual(answer.data, { key: mine, amount: 5 });
		assert.equal(typeof answer.ts, "number");
		assert.equal(typeof answer.id, "string");
		assert.ok(id);
		assert.deepEqual(await app.calls(run), { before: 1, after: 1 });
		assert.equal((await server.run(runs[1].id)).ended_at, null, "the other run goes on waiting");
		await server.send(name("answer"), { key: other });
		assert.equal((await server.finished(runs[1].id)).status, "completed");
	});

	it("waits for an event that an expression accepts", async () => {
		const key = fresh("if");
		const { id } = await server.start(name("wait-if"), { key });
		await until("it waits", async () => (await server.steps(id)).some((s) => s.status === "waiting"));
		await server.send(name("answer"), { key, amount: 99 });
		await server.send(name("answer"), { key });
		await pause(300);
		assert.equal((await server.run(id)).ended_at, null);
		await server.send(name("answer"), { key, amount: 100 });
		assert.deepEqual((await server.finished(id)).output, { amount: 100 });
	});

	it("hears the answer to an event it sends while it waits", async () => {
		const key = fresh("echo");
		assert.deepEqual((await ended("wait-and-send", { key })).output, { heard: key });
	});

	it("invokes another function and gets its result", async () => {
		const run = await ended("invoke", { n: 21 });
		assert.deepEqual(run.output, { doubled: 42 });
		assert.deepEqual(run.calls, { before: 1, after: 1 });
		const children = (await server.runsOf(`${appId}-child`)).filter((r) => r.parent_run_id === run.id);
		assert.equal(children.length, 1);
		assert.deepEqual(await app.calls(children[0]), { double: 1 });
	});

	it("invokes three functions side by side", async () => {
		assert.deepEqual((await ended("invoke-parallel")).output, [2, 4, 6]);
	});

	it("catches the failure of an invoked function", async () => {
		assert.equal((await ended("invoke-failing")).output.caught, "the child refused");
	});

	it("catches the invocation of a function that does not exist", async () => {
		assert.match((await ended("invoke-unknown")).output.caught, /could not find function/);
	});

	it("sends events from a step, each once", async () => {
		const key = fresh("tell");
		const run = await ended("send", { key });
		assert.equal(run.output.ids.length, 2);
		assert.deepEqual(run.calls, { before: 1, after: 1 });
		const heard = [];
		for (const id of run.output.ids) {
			const { data } = await until("the event's run", async () => {
				const found = await server.get(`/api/v1/events/${id}/runs`);
				return found.data.length === 1 && found;
			});
			heard.push((await server.finished(data[0].id)).output);
		}
		assert.deepEqual(heard, [{ key, n: 1 }, { key, n: 2 }]);
	});

	it("sends events from outside a run with the SDK's client", async () => {
		const { status, body } = await app.send([{ name: name("no-steps"), data: { value: "from outside" } }]);
		assert.equal(status, 200, JSON.stringify(body));
		const { data } = await server.get(`/api/v1/events/${body.ids[0]}/runs`);
		assert.deepEqual((await server.finished(data[0].id)).output, { echo: "from outside" });
	});

	it("starts one run for an event id sent twice", async () => {
		const id = fresh("once");
		const first = await server.send(name("no-steps"), {}, { id });
		const second = await server.send(name("no-steps"), {}, { id });
		assert.equal(first.runs.length, 1);
		assert.equal(second.id, first.id);
		assert.deepEqual((await server.get(`/api/v1/events/${first.id}/runs`)).data.map((r) => r.id), [first.runs[0].id]);
	});

	it("calls onFailure with the event and the error when a run has failed", async () => {
		const key = fresh("failure");
		const run = await ended("fails", { key }, "failed");
		const seen = await until("onFailure ran", () => app.seen(key));
		assert.equal(seen.event.name, "inngest/function.failed");
		assert.equal(seen.event.data.function_id, `${appId}-fails`);
		assert.equal(seen.event.data.run_id, run.ulid);
		assert.deepEqual(seen.event.data.event.data, { key });
		assert.equal(seen.event.data.error.message, "refused on purpose");
		assert.equal(seen.error.message, "refused on purpose");
		assert.equal(seen.cleanups, 1);
	});

	it("does not try a step again that says it is not worth it", async () => {
		const run = await ended("non-retriable", {}, "failed");
		assert.deepEqual(run.calls, { refuse: 1 });
		assert.equal(run.error.message, "never");
		if (major) assert.equal(run.error.cause.message, "because");
	});

	it("does not try a function again that says it is not worth it", async () => {
		const run = await ended("non-retriable-function", {}, "failed");
		assert.deepEqual(run.calls, { body: 1 });
		assert.equal(run.error.message, "not even once more");
	});

	it("waits as long as a RetryAfterError asks", async () => {
		const run = await ended("retry-after");
		assert.deepEqual(run.calls, { later: 2 });
		assert.ok(run.output.waited >= 1900 && run.output.waited < 20_000, `waited ${run.output.waited} ms instead of 2000`);
	});

	it("lets the code catch a step's error after its last attempt", async () => {
		const run = await ended("caught");
		assert.equal(run.output.message, "card declined");
		assert.equal(run.output.undone, "undo");
		if (major !== 3) assert.equal(run.output.name, "PaymentRefused");
		assert.deepEqual(run.calls, { charge: 2, undo: 1 });
		assert.deepEqual(statusesOf(run.steps), { charge: "failed", undo: "completed" });
	});

	it("completes a function that returns undefined with null", async () => {
		const run = await ended("undefined");
		assert.equal(run.output, null);
		assert.deepEqual(run.calls, { only: 1 });
	});

	it("keeps a step result of 300 KB whole", async () => {
		const run = await ended("large");
		const text = largeText();
		assert.equal(run.output.length, text.length);
		assert.equal(run.output.sum, digest(text));
		assert.equal(digest(run.output.text), digest(text));
		assert.deepEqual(run.calls, { make: 1, measure: 1 });
	});

	it("keeps every character of texts, keys and step ids", async () => {
		const text = "é ñ 日本語 🚀👩‍👩‍👧 \u2028\u2029 \u0001\u001f \"quoted\" back\\slash \ud7ff\ue000 zero\u200bwidth </script> \u007f";
		const run = await ended("unicode", { text });
		assert.equal(run.output.text, text);
		assert.deepEqual(run.output.back, { [text]: text });
		assert.deepEqual(run.calls, { "füße 日本 🚀": 1, again: 1 });
		assert.equal(run.steps[0].name, "füße 日本 🚀");
	});

	it("starts only functions whose trigger's expression holds", async () => {
		const started = async (data) => (await server.send(name("priced"), data)).runs.map((r) => r.function.replace(`${appId}-`, "")).sort();
		assert.deepEqual(await started({ total: 11, kind: "book" }), ["any-price", "expensive"]);
		assert.deepEqual(await started({ total: 10, kind: "book" }), ["any-price"]);
		assert.deepEqual(await started({ total: 11, kind: "pen" }), ["any-price"]);
		assert.deepEqual(await started({ kind: "book" }), ["any-price"]);
		assert.deepEqual(await started({ total: "many", kind: "book" }), ["any-price"]);
	});

	it("starts a function by any of its triggers", async () => {
		assert.equal((await ended("left")).output, name("left"));
		assert.equal((await ended("right")).output, name("right"));
	});

	it("runs 50 steps in order", async () => {
		const run = await ended("many-steps");
		assert.equal(run.output, 1225);
		assert.deepEqual(Object.values(run.calls), Array(50).fill(1));
		assert.deepEqual(run.steps.map((s) => s.name), [...Array(50).keys()].map((i) => `s${i}`));
	});

	it("runs 20 runs at once, none of them disturbing another", async () => {
		const runs = await Promise.all([...Array(20).keys()].map((n) => server.start(name("busy"), { n })));
		await Promise.all(
			runs.map(async ({ id }, n) => {
				const run = await server.finished(id);
				assert.deepEqual(run.output, { n, sum: n * 6, zero: 0 }, JSON.stringify(run.error));
				assert.deepEqual(await app.calls(run), { "add 1": 1, "add 2": 1, "add 3": 1, x: 1, y: 1 });
			}),
		);
	});

	it("numbers the log of a run without a gap, from created to completed", async () => {
		const run = await ended("sequence", { n: 1 });
		const log = await server.events(run.id);
		assert.deepEqual(log.map((e) => e.seq), log.map((_, i) => i + 1));
		assert.equal(log[0].type, "run.created");
		assert.equal(log.at(-1).type, "run.completed");
		assert.equal(log.filter((e) => e.type === "step.completed").length, 3);
		const times = log.map((e) => Date.parse(e.at));
		assert.deepEqual(times, [...times].sort((a, b) => a - b));
	});

	it("registers again without a change, and with the same functions", async () => {
		const before = (await server.get("/api/v1/functions")).data.length;
		const { modified } = await server.register(app.url);
		assert.equal(modified, false);
		assert.equal((await server.get("/api/v1/functions")).data.length, before);
	});

	describe("in the whole order workflow", () => {
		it("does every kind of step once and ships the order", async () => {
			const id = fresh("order");
			const run = await ended("order.created", { id, total: 42 });
			assert.deepEqual(run.output, {
				charge: `C-${id}`,
				shelf: 7,
				label: `L-${id}`,
				paid: 42,
				receipt: `R-${id}`,
				gift: "voucher",
			});
			// An error that is not worth another attempt ends a Python run, so there the gift is tried four times.
			assert.deepEqual(run.calls, { validate: 1, charge: 2, reserve: 1, print: 1, gift: python ? 4 : 1, voucher: 1 });
			const statuses = statusesOf(run.steps);
			assert.equal(statuses.gift, "failed");
			delete statuses.gift;
			assert.ok(Object.values(statuses).every((s) => s === "completed"), JSON.stringify(statuses));
			await until("the parcel is delivered", async () =>
				(await server.runsOf(`${appId}-ship`)).some((r) => r.status === "completed"),
			);
		});

		it("tells the failure handler of a lost parcel", async () => {
			const id = fresh("lost");
			await ended("order.created", { id, total: 1 });
			assert.deepEqual(await until("onFailure ran", () => app.seen(id)), { shipping: "the parcel is lost" });
		});
	});
}

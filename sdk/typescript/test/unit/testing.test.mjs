// flowforge/testing: functions run to their end in memory.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FlowForge, NonRetryableError, RetryAfterError, StepError } from "flowforge";
import { run, TestError } from "flowforge/testing";

const app = new FlowForge({ id: "shop", url: "http://127.0.0.1:9" });
let made = 0;
const make = (handler, options = {}) => app.createFunction({ id: `f${made++}`, trigger: "shop/order", ...options }, handler);

describe("a run in memory", () => {
	it("ends with what the function returns, its steps, and the time that would have gone by", async () => {
		const order = make(async ({ event, events, step }) => {
			const price = await step.run("price", (amount) => amount * 2.5, event.data.amount);
			await step.sleep("cool off", "1h");
			await step.sleepUntil("new year", "2026-01-02T00:00:00Z");
			for (const n of [1, 2]) await step.run("again", () => n);
			return { price, name: event.name, events: events.length };
		});
		const result = await run(order, { amount: 4 });
		assert.deepEqual([result.status, result.output, result.error], ["completed", { price: 10, name: "shop/order", events: 1 }, null]);
		assert.deepEqual(result.steps, { price: 10, "cool off": null, "new year": null, again: 1, "again:1": 2 });
		assert.equal(result.elapsed, 86_400_000);
		assert.deepEqual(result.attempts, { price: 1, again: 1, "again:1": 1 });
		assert.equal((await run(order, [{ amount: 1 }, { amount: 2 }])).output.events, 2);
	});

	it("takes steps side by side, and races, as the server does", async () => {
		const ran = [];
		const both = make(({ step }) =>
			step.parallel(step.run("a", () => ran.push("a")), async () => [await step.run("b", () => ran.push("b")), await step.sleep("c", "1m")], step.sleep("d", "1h")));
		const result = await run(both);
		assert.deepEqual([ran, Object.keys(result.steps), result.elapsed], [["a", "b"], ["a", "b", "d", "c"], 3_660_000]);
		const raced = make(async ({ step }) => {
			const winner = await step.race(step.sleep("slow", "1h").then(() => "slow"), async () => (await step.sleep("fast", "1s"), "fast"));
			return [winner, await step.run("after", () => "after")];
		});
		const race = await run(raced);
		assert.deepEqual([race.output, race.elapsed], [["fast", "after"], 1000]);
	});

	it("tries again what fails, as often as it may", async () => {
		let tries = 0;
		const flaky = make(({ step }) => step.run("flaky", () => {
			if (++tries < 3) throw new RetryAfterError("not yet", "1m");
			return tries;
		}));
		const result = await run(flaky);
		assert.deepEqual([result.output, result.attempts.flaky, result.elapsed], [3, 3, 120_000]);
		const caught = make(async ({ step }) => {
			const error = await step.run({ id: "charge", retries: 1 }, () => { throw new Error("declined"); }).catch((e) => e);
			return [error instanceof StepError, error.message];
		});
		const refused = await run(caught);
		assert.deepEqual([refused.output, refused.attempts.charge], [[true, "declined"], 2]);
		assert.ok(refused.steps.charge instanceof StepError);
		const beside = make(({ step }) => Promise.allSettled([step.run("x", () => { throw new Error("no"); }), step.run("y", () => "y")]).then((all) => all.map((one) => one.status)), { retries: 2 });
		const settled = await run(beside);
		assert.deepEqual([settled.output, settled.attempts], [["rejected", "fulfilled"], { x: 3, y: 1 }]);
		let calls = 0;
		const between = await run(make(() => { calls++; throw new Error("broken"); }, { retries: { attempts: 2 } }));
		assert.deepEqual([between.status, between.error.message, between.output, calls], ["failed", "broken", null, 3]);
		const final = await run(make(() => { throw new NonRetryableError("never"); }));
		assert.deepEqual([final.error.message, final.calls], ["never", 1]);
	});

	it("puts what the test says in the place of steps", async () => {
		const served = make(async ({ step }) => {
			const { rows, count } = await step.sql("sql", "select 1");
			const { approved, by } = await step.approve("ask", { prompt: "Well?" });
			const response = await step.fetch("get", "http://localhost/");
			const answer = await step.ai("ai", { model: "m", prompt: "p" });
			const charged = await step.run("charge", (n) => assert.fail(`it ran with ${n}`), 5);
			const refused = await step.run("refuse", () => 0).catch((error) => error.message);
			const { locked } = await step.lock("lock", { key: "k" });
			await step.sendEvent("tell", [{ name: "a", data: { n: 1 } }, { name: "b" }]);
			return { rows, count, approved, by, status: response.status, body: await response.json(), content: answer.content, charged, refused, locked };
		});
		const steps = { sql: [{ id: 1 }], ask: { approved: true, by: "ann" }, get: { ok: 1 }, ai: async () => ({ content: "4" }), charge: (n) => n * 2, refuse: new NonRetryableError("out of gifts") };
		const result = await run(served, {}, { steps });
		assert.deepEqual(result.output, {
			rows: [{ id: 1 }], count: 1, approved: true, by: "ann", status: 200, body: { ok: 1 }, content: "4", charged: 10, refused: "out of gifts", locked: true,
		});
		assert.deepEqual(result.sent, [{ name: "a", data: { n: 1 } }, { name: "b" }]);
		assert.equal((await run(served, {}, { steps: { ...steps, ask: false } })).output.approved, false);
		await assert.rejects(run(served), (error) => error instanceof TestError && /say what step "sql" \(Sql\) gives/.test(error.message));
	});

	it("gives waits what the test says, and lets others be over in time", async () => {
		const waits = make(async ({ step }) => {
			const paid = await step.waitForEvent("payment", { event: "shop/paid", match: "data.id", timeout: "1d" });
			const signal = await step.waitForSignal("signal", { signal: "go", timeout: "1h" });
			return [paid?.name ?? null, paid?.data ?? null, signal?.data ?? null];
		});
		assert.deepEqual((await run(waits, {}, { events: { payment: { id: 1 }, go: "now" } })).output, ["shop/paid", { id: 1 }, "now"]);
		assert.deepEqual((await run(waits, {}, { events: { "shop/paid": { id: 2 } } })).output, ["shop/paid", { id: 2 }, null]);
		const nobody = await run(waits);
		assert.deepEqual([nobody.output, nobody.elapsed], [[null, null, null], 90_000_000]);
	});

	it("invokes functions that it is given", async () => {
		const double = make(({ event }) => ({ n: event.data.n * 2 }));
		const failing = make(() => { throw new NonRetryableError("the child refused"); });
		const parent = make(async ({ step }) => {
			const { n } = await step.invoke("double", { function: double, data: { n: 21 } });
			return [n, await step.invoke("fail", { function: failing }).catch((error) => error.message)];
		});
		assert.deepEqual((await run(parent, {}, { functions: [double, failing] })).output, [42, "the child refused"]);
		await assert.rejects(run(parent), /say what step "double" \(InvokeFunction\) gives/);
	});

	it("says that a function never ends, or takes another way each time", async () => {
		await assert.rejects(run(make(() => { throw new Error("again"); }), {}, { retries: Infinity }), /called 1000 times/);
		let turn = 0;
		const fickle = make(({ step }) => (turn++ === 0 ? Promise.all([step.run("a", () => 1), step.run("b", () => 2)]) : step.run("c", () => 3)));
		await assert.rejects(run(fickle), /did not come to step "a"/);
	});
});

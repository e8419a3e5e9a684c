// One call of a function, without a server: what is handed out, run, planned, and how the call ends.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { NonRetryableError, RetryAfterError, StepError } from "flowforge";
import { Execution } from "../../dist/esm/execution.js";
import { stepId } from "../../dist/esm/sign.js";
import { stepTools } from "../../dist/esm/step.js";

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Calls a function; `kept` are the results of steps by name, in the order in which they finished. */
async function call(body, { kept = [], target = null, planOnly = false, report, patience } = {}) {
	const execution = new Execution({
		memos: Object.fromEntries(kept.map(([name, memo]) => [stepId(...[name].flat()), memo])),
		order: kept.map(([name]) => stepId(...[name].flat())),
		target: target && stepId(target),
		planOnly,
		reporter: report ? { report } : null,
		patience,
	});
	return execution.run(() => body(stepTools(execution, { slug: (of) => of, sendSignal: async () => null })));
}

const names = (outcome) => outcome.ops.map((op) => `${op.op} ${op.displayName}`);
const keep = () => Promise.resolve("kept");

describe("a call of a function", () => {
	it("ends with what the function returns", async () => {
		assert.deepEqual(await call(() => ({ at: new Date(0) })), { kind: "returned", value: { at: "1970-01-01T00:00:00.000Z" } });
		assert.deepEqual(await call(async () => {}), { kind: "returned", value: null });
	});

	it("runs the only new step, and ends with it when it cannot report", async () => {
		const outcome = await call(async (step) => step.run("a", () => ({ n: 1 })));
		assert.deepEqual(names(outcome), ["StepRun a"]);
		assert.deepEqual(outcome.ops[0].data, { n: 1 });
	});

	it("goes on after each report that is kept", async () => {
		const reported = [];
		const report = async ([op]) => (reported.push(op.displayName), "kept");
		const outcome = await call(async (step) => [await step.run("a", () => 1), await step.run("b", () => 2)], { report });
		assert.deepEqual(outcome, { kind: "returned", value: [1, 2] });
		assert.deepEqual(reported, ["a", "b"]);
	});

	it("answers a step whose report is refused, and stops when the call is over", async () => {
		const twoSteps = async (step) => [await step.run("a", () => 1), await step.run("b", () => assert.fail("b ran"))];
		assert.deepEqual(names(await call(twoSteps, { report: async () => "refused" })), ["StepRun a"]);
		assert.deepEqual(await call(twoSteps, { report: async () => "stale" }), { kind: "stale" });
	});

	it("begins no step when it is known that the call is over", async () => {
		const reporter = { over: false, report: async () => "kept" };
		const execution = new Execution({ memos: {}, order: [], target: null, planOnly: false, reporter });
		const step = stepTools(execution, { slug: (of) => of, sendSignal: async () => null });
		const outcome = await execution.run(async () => {
			await step.run("a", () => 1);
			reporter.over = true;
			await step.run("b", () => assert.fail("b ran"));
		});
		assert.deepEqual(outcome, { kind: "stale" });
	});

	it("plans steps that are begun together, and runs the one that is called for", async () => {
		const ran = [];
		const body = (step) => Promise.all(["a", "b"].map((id) => step.run(id, () => ran.push(id))));
		assert.deepEqual(names(await call(body, { report: keep })), ["StepPlanned a", "StepPlanned b"]);
		assert.deepEqual(ran, []);
		assert.deepEqual(names(await call(body, { target: "b", planOnly: true })), ["StepRun b"]);
		assert.deepEqual(ran, ["b"]);
	});

	it("runs nothing when it is only to plan", async () => {
		assert.deepEqual(names(await call((step) => step.run("a", () => assert.fail("it ran")), { planOnly: true })), ["StepPlanned a"]);
	});

	it("hands out what was kept in the order in which it finished: a race has the same winner", async () => {
		const body = async (step) => {
			const winner = await Promise.race([step.run("a", () => "a"), step.run("b", () => "b")]);
			return step.run(`after ${winner}`, () => winner);
		};
		for (const order of [["a", "b"], ["b", "a"]]) {
			const kept = order.map((id) => [id, { data: id }]);
			assert.deepEqual(names(await call(body, { kept })), [`StepRun after ${order[0]}`]);
		}
	});

	it("tells ids apart that come again, also from one that looks like it", async () => {
		const ids = [];
		const report = async ([op]) => (ids.push([op.id, op.userland]), "kept");
		await call(async (step) => {
			for (const id of ["a", "a:1", "a", "a"]) await step.run(id, () => 1);
		}, { report });
		assert.deepEqual(ids, [
			[stepId("a"), { id: "a" }],
			[stepId("a:1"), { id: "a:1" }],
			[stepId("a:2"), { id: "a", index: 2 }],
			[stepId("a:3"), { id: "a", index: 3 }],
		]);
	});

	it("leaves steps that others finish as they are: no catch and no finally of the function sees them", async () => {
		const outcome = await call(async (step) => {
			try {
				await step.sleep("nap", "1h");
			} catch {
				assert.fail("caught");
			} finally {
				assert.fail("finally");
			}
		});
		assert.deepEqual(names(outcome), ["Sleep nap"]);
	});

	it("tells a null, an error, an event and a value that was kept", async () => {
		const event = { name: "e", data: { n: 1 }, id: "1", ts: 1, user: {} };
		const body = async (step) => {
			const results = [await step.sleep("s", "1s"), await step.run("n", () => 0), await step.waitForEvent("e", { event: "e" }), await step.waitForEvent("none", { event: "e" })];
			const error = await step.run("x", () => 0).catch((caught) => caught);
			return [...results.map((value) => value ?? null), error instanceof StepError, error.name, error.message, error.stepId, error.cause.message, error.sqlstate];
		};
		const kept = [["s", null], ["n", { data: null }], ["e", event], ["none", null], ["x", { error: { name: "Refused", message: "no", cause: { name: "E", message: "why" }, sqlstate: "23505" } }]];
		const { value } = await call(body, { kept });
		assert.deepEqual(value, [null, null, event, null, true, "Refused", "no", "x", "why", "23505"]);
	});

	it("gives a step the input that somebody has put in place of its own", async () => {
		const outcome = await call((step) => step.run("double", (n) => n * 2, 21), { kept: [["double", { input: [4] }]] });
		assert.equal(outcome.ops[0].data, 8);
		assert.deepEqual(outcome.ops[0].opts.input, [21]);
	});

	it("says how a failed step is to be tried again", async () => {
		const failing = (error) => call((step) => step.run({ id: "a", retries: 2, timeout: "5s" }, () => { throw error; }));
		const plain = await failing(new Error("no", { cause: new Error("why") }));
		assert.deepEqual(names(plain), ["StepError a"]);
		assert.deepEqual(plain.ops[0].opts, { retries: { attempts: 2 } }, "a limit of time is kept here");
		assert.deepEqual([plain.retry, plain.ops[0].error.message, plain.ops[0].error.cause.message], [true, "no", "why"]);
		const final = await failing(new NonRetryableError("never"));
		assert.deepEqual([names(final), final.retry], [["StepFailed a"], false]);
		assert.equal((await failing(new RetryAfterError("later", "90s"))).retryAfter, "90");
		assert.equal((await failing(new RetryAfterError("later", 1500))).retryAfter, "2");
		assert.equal((await failing(new RetryAfterError("then", new Date(0)))).retryAfter, "1970-01-01T00:00:00.000Z");
		assert.match((await failing("a text")).ops[0].error.message, /a text/);
		assert.match((await failing({ odd: 1 })).ops[0].error.message, /no error was thrown: \{"odd":1\}/);
	});

	it("goes on with the error of a step that is not worth another attempt", async () => {
		const outcome = await call(async (step) => {
			const error = await step.run("a", () => { throw new NonRetryableError("never"); }).catch((caught) => caught);
			return [error.message, await step.run("b", () => "b")];
		}, { report: keep });
		assert.deepEqual(outcome.value, ["never", "b"]);
	});

	it("ends with what the function throws: again, later, or never", async () => {
		const thrown = async (error) => {
			const { kind, retry, retryAfter } = await call(() => { throw error; });
			return [kind, retry, retryAfter];
		};
		assert.deepEqual(await thrown(new Error("no")), ["threw", true, undefined]);
		assert.deepEqual(await thrown(new NonRetryableError("never")), ["threw", false, undefined]);
		assert.deepEqual(await thrown(new RetryAfterError("later", "30s")), ["threw", true, "30"]);
		const uncaught = await call((step) => step.run("a", () => 0), { kept: [["a", { error: { name: "E", message: "no" } }]] });
		assert.deepEqual([uncaught.kind, uncaught.retry], ["threw", false], "a step has had its attempts");
	});

	it("says what JSON cannot hold", async () => {
		const circle = {};
		circle.circle = circle;
		const step = await call((tools) => tools.run("a", () => circle));
		assert.deepEqual([names(step), step.retry], [["StepFailed a"], false]);
		assert.match(step.ops[0].error.message, /step "a" returned what JSON cannot hold/);
		const whole = await call(() => 1n);
		assert.match(whole.error.message, /the function returned what JSON cannot hold/);
		assert.equal(whole.retry, false);
	});

	it("refuses what would be kept as something else, and says where it is", async () => {
		const refused = async (value) => {
			const outcome = await call((step) => step.run("a", () => value));
			assert.deepEqual([names(outcome), outcome.retry], [["StepFailed a"], false]);
			return outcome.ops[0].error.message.replace('step "a" returned what JSON cannot hold: ', "");
		};
		assert.match(await refused(2n ** 60n), /^it is a bigint, which JSON has not; keep it as text: String\(1152921504606846976\)$/);
		assert.match(await refused({ rows: [{ id: 1 }, { id: 5n }] }), /^rows\[1\]\.id is a bigint/);
		assert.match(await refused([{ deep: { id: 2 ** 53 } }]), /^\[0\]\.deep\.id is the integer 9007199254740992, beyond 2\^53/);
		assert.match(await refused(-(2 ** 62)), /^it is the integer -4611686018427388000, beyond/);
		assert.match(await refused({ toJSON: () => ({ n: 2 ** 63 }) }), /^n is the integer/);
		assert.match(await refused({ text: "a\0b" }), /^text is a text with the character U\+0000/);
		assert.match(await refused(["\ud800"]), /^\[0\] is a text with half a surrogate pair/);
		assert.match(await refused({ "\ud800": 1 }), /has a name that is a text with half a surrogate pair/);
		const kept = [2 ** 53 - 1, -(2 ** 53) + 1, 1e21, Number.MAX_VALUE, 0.1 + 0.2, 12345678901234567890.5 / 3e10, "9007199254740993", "\\u0000 \\ud800", "🚀"];
		assert.deepEqual((await call((step) => step.run("a", () => kept))).ops[0].data, kept);
		const given = await call((step) => step.sendEvent("tell", { name: "e", data: { id: 2n } }));
		assert.deepEqual([given.kind, given.retry], ["threw", false]);
		assert.match(given.error.message, /step "tell" is given what JSON cannot hold: \[0\]\.data\.id is a bigint/);
		const told = await call((step) => step.run("a", () => { throw new Error("a\0b", { cause: { id: 2n ** 60n, text: "\ud800" } }); }));
		assert.deepEqual([told.ops[0].error.message, told.ops[0].error.cause], ["a\ufffdb", { id: "1152921504606846976", text: "\ufffd" }]);
	});

	it("refuses a step inside a step", async () => {
		const outcome = await call((step) => step.run("outer", () => step.run("inner", () => 1)));
		assert.match(outcome.ops[0].error.message, /step "inner" was begun inside step "outer"/);
	});

	it("waits for what is no step", async () => {
		const body = async (step) => {
			await pause(30);
			const a = await step.run("a", () => 1);
			await pause(30);
			return a;
		};
		assert.deepEqual(await call(body, { report: keep }), { kind: "returned", value: 1 });
		assert.deepEqual(names(await call(body, { target: "a" })), ["StepRun a"]);
	});

	it("says which step it has not, and which it has", async () => {
		const outcome = await call((step) => step.run("new name", () => 1), { target: "old name", patience: 30 });
		assert.deepEqual(outcome, { kind: "missing", target: stepId("old name"), found: ["new name"] });
	});

	it("says no more of the losers of a race that is over, unless it waits for one", async () => {
		const body = async (step) => {
			const slow = step.sleep("slow", "1h");
			const first = await step.race(slow, () => step.race(step.run("quick", () => 1), step.sleep("slower", "2h")));
			const then = await step.run("then", () => first + 1);
			await slow;
			return then;
		};
		const quick = ["quick", { data: 1 }];
		const begun = await call(body);
		assert.deepEqual(names(begun), ["Sleep slow", "StepPlanned quick", "Sleep slower"]);
		assert.ok(begun.ops.every((op) => op.opts.parallelMode === "race"));
		assert.deepEqual(names(await call(body, { kept: [quick] })), ["StepRun then"]);
		assert.deepEqual(names(await call(body, { kept: [quick, ["then", { data: 2 }]] })), ["Sleep slow", "Sleep slower"]);
		assert.equal((await call(body, { kept: [quick, ["then", { data: 2 }], ["slow", null]] })).value, 2);
	});

	it("marks what races, and gives the winner", async () => {
		const body = (step) => step.race(step.run("a", () => 1), async () => (await step.sleep("b", "1s"), step.run("c", () => 2)));
		const first = await call(body);
		assert.deepEqual(names(first), ["StepPlanned a", "Sleep b"]);
		assert.ok(first.ops.every((op) => op.opts.parallelMode === "race"));
		assert.deepEqual(await call(body, { kept: [["a", { data: 1 }]] }), { kind: "returned", value: 1 });
		assert.deepEqual(names(await call(body, { kept: [["b", null]] })), ["StepPlanned a", "StepPlanned c"]);
	});

	it("does not end the process for a failed step that nobody awaits yet", async () => {
		const body = async (step) => {
			const bad = step.run("bad", () => 0);
			await step.run("good", () => 0);
			await pause(20);
			return bad.catch((error) => error.message);
		};
		const kept = [["bad", { error: { name: "E", message: "later" } }], ["good", { data: 1 }]];
		assert.equal((await call(body, { kept })).value, "later");
	});

	it("refuses what cannot be asked for, where it is asked", async () => {
		for (const [body, message] of [
			[(step) => step.sleep("s", "soon"), /"soon" is not a duration/],
			[(step) => step.sleepUntil("s", "never"), /"never" is not a time/],
			[(step) => step.run("", () => 1), /needs an id/],
			[(step) => step.waitForEvent("w", { event: "e", if: "true", match: "data.id" }), /either if or match/],
		]) {
			const outcome = await call(body);
			assert.equal(outcome.kind, "threw");
			assert.match(outcome.error.message, message);
		}
	});

	it("goes through a thousand kept steps without being slow", async () => {
		const kept = [...Array(1000).keys()].map((i) => [["s", i], { data: i }]);
		const outcome = await call(async (step) => {
			let sum = 0;
			for (let i = 0; i < 1000; i++) sum += await step.run("s", () => assert.fail("it ran"));
			return sum;
		}, { kept });
		assert.equal(outcome.value, 499_500);
	});
});

// One suite of scenarios for this package and the published one, on the same server, side by side: what a run returns and how often
// each step body was entered must be as expected, and so be the same for both.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { digest, largeText } from "../../../../test/e2e/functions.mjs";
import { logOnFailure, startApp, startServer, until } from "../../../../test/e2e/harness.mjs";
import { shared, startOurs } from "./harness.mjs";

let unique = 0;
const fresh = (word) => `${word}-${process.pid}-${++unique}`;
const times = (n, value) => Object.fromEntries([...Array(n).keys()].map((i) => [`s${i}`, value]));
const text = "é ñ 日本語 🚀👩‍👩‍👧 \u2028\u2029 \u0001\u001f \"quoted\" back\\slash \ud7ff\ue000 zero\u200bwidth </script> \u007f";

// [what it does, function, data, how it ends]
const scenarios = [
	["steps one after another", "sequence", { n: 1 }, { output: { c: [2, 4], attempt: 0 }, calls: { a: 1, b: 1, c: 1 } }],
	["no steps at all", "no-steps", { value: [1, null, "x"] }, { output: { echo: [1, null, "x"] }, calls: {} }],
	["a result of nothing", "undefined", {}, { output: null, calls: { only: 1 } }],
	["results that are null, false, zero or empty", "null-memo", {}, {
		output: { nothing: null, missing: null, no: false, zero: 0, empty: "", data: { data: { data: null }, error: null } },
		calls: { nothing: 1, missing: 1, no: 1, zero: 1, empty: 1, data: 1 },
	}],
	["ids that come again", "loop", {}, { output: [0, 10, 20, 30], calls: { "turn 0": 1, "turn 1": 1, "turn 2": 1, "turn 3": 1 } }],
	["a sleep, and one until a time", "sleep", {}, {
		output: (output) => Object.values(output).every((slept) => slept >= 990),
		calls: { start: 1, middle: 1, end: 1 },
	}],
	["steps side by side", "parallel", {}, { output: { values: ["p1", "p2", "p3"], after: "p1+p2+p3" }, calls: { p1: 1, p2: 1, p3: 1, after: 1 } }],
	["chains side by side", "chains", {}, {
		output: [["a1", "a2", "a3"], ["b1", "b2"], ["c1"]],
		calls: { a1: 1, a2: 1, a3: 1, b1: 1, b2: 1, c1: 1 },
	}],
	["a step beside a sleep", "sleep-and-run", {}, { output: { slept: null, value: "work" }, calls: { work: 1, after: 1 } }],
	["a failed step beside a good one", "settled", {}, { output: ["good", "bad step"], calls: { good: 1, bad: 1, after: 1 } }],
	["attempts of a parallel step of its own", "parallel-retry", {}, { output: ["steady", "shaky"], calls: { steady: 1, shaky: 3 } }],
	["a race", "race", {}, { output: { winner: "fast" }, calls: { fast: 1, after: 1 } }],
	["a race whose losers are not waited for", "declared-race", {}, { output: { winner: "fast" }, calls: { fast: 1, after: 1 } }],
	["a step that is tried again", "retried-step", {}, { output: (output) => output.value === "third time lucky", calls: { before: 1, flaky: 3, after: 1 } }],
	["code between steps that is tried again", "retried-function", {}, {
		output: "done",
		calls: ({ between, ...calls }) => assert.deepEqual([calls, between >= 2], [{ before: 1, after: 1 }, true]),
	}],
	["a step that fails every time", "exhausted", {}, {
		status: "failed",
		error: { name: "PaymentRefused", message: "card declined", cause: "limit reached" },
		calls: { before: 1, always: 2 },
	}],
	["a step that is not worth another attempt", "non-retriable", {}, { status: "failed", error: { message: "never", cause: "because" }, calls: { refuse: 1 } }],
	["a function that is not worth another attempt", "non-retriable-function", {}, { status: "failed", error: { message: "not even once more" }, calls: { body: 1 } }],
	["a step whose error is caught", "caught", {}, {
		output: { undone: "undo", name: "PaymentRefused", message: "card declined" },
		calls: { charge: 2, undo: 1 },
	}],
	["an attempt that is to come later", "retry-after", {}, { output: ({ waited }) => waited >= 1900, calls: { later: 2 } }],
	["a wait that is over in time", "wait-timeout", {}, { output: { answer: null }, calls: {} }],
	["an answer to an event of its own", "wait-and-send", () => ({ key: fresh("echo") }), { output: ({ heard }, { key }) => heard === key, calls: {} }],
	["another function's result", "invoke", { n: 21 }, { output: { doubled: 42 }, calls: { before: 1, after: 1 } }],
	["three invocations side by side", "invoke-parallel", {}, { output: [2, 4, 6], calls: {} }],
	["another function's failure", "invoke-failing", {}, { output: { caught: "the child refused" }, calls: {} }],
	["a function that is not there", "invoke-unknown", {}, { output: ({ caught }) => /could not find function/.test(caught), calls: {} }],
	["events from a step", "send", () => ({ key: fresh("tell") }), { output: ({ ids }) => ids.length === 2, calls: { before: 1, after: 1 } }],
	["a large result", "large", {}, { output: ({ sum, length }) => sum === digest(largeText()) && length === largeText().length, calls: { make: 1, measure: 1 } }],
	["every character", "unicode", { text }, { output: { text, back: { [text]: text } }, calls: { "füße 日本 🚀": 1, again: 1 } }],
	["ten steps in one call", "ten", {}, { output: [...Array(10).keys()], calls: times(10, 1), requests: 1 }],
	["a state that is too large for a call", "heavy", {}, {
		output: { sizes: Array(5).fill(1_000_000), last: "end" },
		calls: { "part 0": 1, "part 1": 1, "part 2": 1, "part 3": 1, "part 4": 1, last: 1 },
	}],
	["a thousand steps", "thousand", {}, { output: (997 * 998) / 2 + 1, calls: { add: 998, last: 1 } }],
	["the whole order workflow", "order.created", () => ({ id: fresh("order"), total: 42 }), {
		output: ({ paid, shelf, gift }) => paid === 42 && shelf === 7 && gift === "voucher",
		calls: { validate: 1, charge: 2, reserve: 1, print: 1, gift: 1, voucher: 1 },
	}],
];

// FLOWFORGE_E2E_MODES names the modes if not both are to be tested.
for (const mode of (process.env.FLOWFORGE_E2E_MODES ?? "dev signed").split(" ")) {
	describe(`scenarios in ${mode} mode`, () => {
		let server;
		const apps = {};
		before(async () => {
			server = await startServer({ signed: mode === "signed" });
			apps.ours = await startOurs(server, { id: "ours" });
			apps.published = await startApp(server, { id: "published", environment: { FUNCTIONS: shared } });
		});
		after(() => server?.stop());
		logOnFailure(() => server);

		for (const who of ["ours", "published"]) {
			describe(who, { concurrency: 3 }, () => {
				for (const [what, event, given, expected] of scenarios) {
					it(what, async () => {
						const data = typeof given === "function" ? given() : given;
						const { id } = await server.start(`${who}/${event}`, data);
						const run = await server.finished(id, 120_000);
						assert.equal(run.status, expected.status ?? "completed", JSON.stringify(run.error));
						if (typeof expected.output === "function") assert.ok(expected.output(run.output, data), JSON.stringify(run.output));
						else if (expected.output !== undefined) assert.deepEqual(run.output, expected.output);
						if (expected.error) {
							const { cause, ...error } = expected.error;
							for (const [member, value] of Object.entries(error)) assert.equal(run.error[member], value);
							assert.equal(run.error.cause?.message, cause);
						}
						const calls = await apps[who].calls(run);
						if (typeof expected.calls === "function") expected.calls(calls);
						else assert.deepEqual(calls, expected.calls);
						if (expected.requests) assert.equal(await apps[who].seen(`requests ${run.ulid}`), expected.requests);
					});
				}

				it("an event that is waited for, by the one run it is for", async () => {
					const [mine, other] = [fresh("mine"), fresh("other")];
					const runs = [await server.start(`${who}/wait-match`, { key: mine }), await server.start(`${who}/wait-match`, { key: other })];
					for (const { id } of runs) await until("it waits", async () => (await server.steps(id)).some((s) => s.status === "waiting"));
					await server.send(`${who}/answer`, { key: mine, amount: 5 });
					const run = await server.finished(runs[0].id);
					assert.deepEqual(run.output.answer.data, { key: mine, amount: 5 });
					assert.equal(run.output.answer.name, `${who}/answer`);
					assert.deepEqual(await apps[who].calls(run), { before: 1, after: 1 });
					assert.equal((await server.run(runs[1].id)).ended_at, null);
					await server.request("POST", `/api/v1/runs/${runs[1].id}/cancel`, {});
					const cancelled = await server.finished(runs[1].id);
					assert.equal(cancelled.status, "cancelled");
					assert.deepEqual(await apps[who].calls(cancelled), { before: 1 });
				});

				it("a replay from a step", async () => {
					const { id } = await server.start(`${who}/replayed`, { n: 5 });
					assert.deepEqual((await server.finished(id)).output, [5, 6]);
					const { status, body } = await server.request("POST", `/api/v1/runs/${id}/replay`, { from_step: "b" });
					assert.equal(status, 201, JSON.stringify(body));
					const replay = await server.finished(body.id);
					assert.deepEqual(replay.output, [5, 6]);
					assert.deepEqual(await apps[who].calls(replay), { b: 1, c: 1 });
				});

				it("a handler of failures", async () => {
					const key = fresh("failure");
					const { id } = await server.start(`${who}/fails`, { key });
					await server.finished(id);
					const seen = await until("onFailure ran", () => apps[who].seen(key));
					assert.deepEqual([seen.error.message, seen.event.data.event.data, seen.cleanups], ["refused on purpose", { key }, 1]);
				});

				it("an event sent from outside a run", async () => {
					const sent = await fetch(`http://127.0.0.1:${apps[who].port}/send`, {
						method: "POST",
						headers: { "content-type": "application/json" },
						body: JSON.stringify([{ name: `${who}/no-steps`, data: { value: "from outside" } }]),
					});
					const { ids } = await sent.json();
					const { data } = await server.get(`/api/v1/events/${ids[0]}/runs`);
					assert.deepEqual((await server.finished(data[0].id)).output, { echo: "from outside" });
				});
			});
		}
	});
}

// The functions of the scenarios for both packages of JavaScript, in the words they share; `words` has those they do not (typescript.mjs,
// inngest.mjs). functions.py has the same functions for Python: same ids, same steps, same results.

import { createHash } from "node:crypto";

class PaymentRefused extends Error {
	name = "PaymentRefused";
}

const digest = (text) => createHash("sha256").update(text).digest("hex");

/** 300 KB that do not become nothing when they are compressed. */
const largeText = () => [...Array(4800).keys()].map((i) => digest(`part ${i}`)).join("");

export function defineFunctions(words, side) {
	const { app, NonRetryable, RetryAfter } = words;

	/** Defines a function that the event of its name starts; each call of it is counted. */
	const on = (id, handler, options = {}) =>
		words.define({ id, retries: 1, ...options }, `${app}/${id}`, (context) => {
			side.enter(context.runId, "()");
			return handler(context);
		});
	/** A step whose code is counted; it gives its id if it gives nothing else. */
	const counted = (step, run, id, body = () => id) => step.run(id, () => body(side.enter(run, id)));

	const fail = (error) => {
		throw error;
	};

	defineSteps();
	defineParallel();
	defineFailures();
	defineWaits();
	defineOthers();
	defineOrder();
	if (words.own) defineOwn();

	function defineSteps() {
		on("sequence", async ({ event, runId, step, attempt }) => {
			const a = await counted(step, runId, "a", () => ({ n: event.data.n + 1 }));
			const b = await counted(step, runId, "b", () => ({ n: a.n * 2 }));
			const c = await counted(step, runId, "c", () => [a.n, b.n]);
			return { c, attempt };
		});

		on("no-steps", async ({ event }) => ({ echo: event.data.value ?? null }));

		on("nothing", async ({ runId, step }) => {
			await counted(step, runId, "only");
		});

		on("empty", async ({ runId, step }) => {
			const nothing = await counted(step, runId, "nothing", () => null);
			const missing = await counted(step, runId, "missing", () => undefined);
			const no = await counted(step, runId, "no", () => false);
			const zero = await counted(step, runId, "zero", () => 0);
			const text = await counted(step, runId, "text", () => "");
			const data = await counted(step, runId, "data", () => ({ data: { data: null }, error: null }));
			await step.sleep("nap", "50ms");
			return { nothing, missing: missing ?? null, no, zero, text, data };
		});

		on("loop", async ({ runId, step }) => {
			const turns = [];
			for (let i = 0; i < 4; i++) turns.push(await counted(step, runId, "turn", (before) => before + i * 10));
			return turns;
		});

		on("ten", async ({ runId, step }) => {
			const done = [];
			for (let i = 0; i < 10; i++) done.push(await counted(step, runId, `s${i}`, () => i));
			return done;
		});

		// With the sleep and the last one as many as flowforge.step_limit allows.
		on("thousand", async ({ runId, step }) => {
			let sum = 0;
			for (let i = 0; i < 998; i++) sum += await counted(step, runId, "add", () => i);
			await step.sleep("nap", "50ms");
			return sum + (await counted(step, runId, "last", () => 1));
		});

		on("large", async ({ runId, step }) => {
			const text = await counted(step, runId, "make", largeText);
			await step.sleep("nap", "50ms");
			return { length: text.length, sum: await counted(step, runId, "measure", () => digest(text)), text };
		});

		// More than a call carries: the state is fetched.
		on("heavy", async ({ runId, step }) => {
			const sizes = [];
			for (let i = 0; i < 5; i++) sizes.push((await counted(step, runId, `part ${i}`, () => String(i).repeat(1_000_000))).length);
			await step.sleep("nap", "50ms");
			return { sizes, last: await counted(step, runId, "last") };
		});

		on("unicode", async ({ event, runId, step }) => {
			const text = await counted(step, runId, "füße 日本 🚀", () => event.data.text);
			await step.sleep("nap", "50ms");
			return { text, back: await counted(step, runId, "again", () => ({ [text]: text })) };
		});

		on("sleep", async ({ runId, step }) => {
			const start = await counted(step, runId, "start", () => Date.now());
			await step.sleep("nap", "1s");
			const middle = await counted(step, runId, "middle", () => Date.now());
			await step.sleepUntil("until", new Date(middle + 1000));
			const end = await counted(step, runId, "end", () => Date.now());
			return { nap: middle - start, until: end - middle };
		});

		on("held", async ({ event, runId, step }) => {
			await counted(step, runId, "first");
			await counted(step, runId, "second", async () => {
				await side.passed(event.data.key);
				side.leave(event.data.key, "passed");
				return "second";
			});
			await counted(step, runId, "third");
			return "done";
		});

		on("replayed", async ({ event, runId, step }) => {
			const a = await counted(step, runId, "a", () => event.data.n);
			const b = await counted(step, runId, "b", () => a + 1);
			return counted(step, runId, "c", () => [a, b]);
		});

		on("wrapped", async ({ runId, step }) => {
			const loud = await step.ai.wrap("loud", async (text) => (side.enter(runId, "loud"), text.toUpperCase()), "abc");
			return { loud, last: await counted(step, runId, "last") };
		});

		on("swallows", async ({ runId, step }) => {
			try {
				await counted(step, runId, "before");
				await step.sleep("nap", "50ms");
				await step.waitForEvent("never", { event: `${app}/never`, timeout: "100ms" });
				await Promise.all([counted(step, runId, "p"), counted(step, runId, "q")]);
			} catch (error) {
				return { swallowed: String(error) };
			}
			return "not disturbed";
		});
	}

	function defineParallel() {
		on("parallel", async ({ runId, step }) => {
			const values = await Promise.all(["p1", "p2", "p3"].map((id) => counted(step, runId, id)));
			return { values, after: await counted(step, runId, "after", () => values.join("+")) };
		});

		on("chains", async ({ runId, step }) => {
			const chain = async (name, length) => {
				const done = [];
				for (let i = 1; i <= length; i++) done.push(await counted(step, runId, `${name}${i}`));
				return done;
			};
			return Promise.all([chain("a", 3), chain("b", 2), chain("c", 1)]);
		});

		on("sleep-and-run", async ({ runId, step }) => {
			const [slept, value] = await Promise.all([step.sleep("nap", "300ms"), counted(step, runId, "work")]);
			return { slept: slept ?? null, value, after: await counted(step, runId, "after") };
		});

		on("settled", async ({ runId, step }) => {
			const results = await Promise.allSettled([
				counted(step, runId, "good"),
				counted(step, runId, "bad", () => fail(new PaymentRefused("bad step é日本🚀"))),
			]);
			await counted(step, runId, "after");
			return results.map((r) => (r.status === "fulfilled" ? r.value : r.reason.message));
		}, { retries: 0 });

		on("parallel-retry", async ({ runId, step }) =>
			Promise.all([
				counted(step, runId, "steady"),
				counted(step, runId, "shaky", (before) => (before < 2 ? fail(new Error("shaky")) : "shaky")),
			]), { retries: 2 });

		on("race", async ({ event, runId, step, group }) => {
			const slow = async () => {
				await step.sleep("slow", event.data.slow);
				return event.data.more && counted(step, runId, "slow end");
			};
			const winner = await words.race({ step, group }, [slow, () => counted(step, runId, "fast")]);
			await step.sleep("nap", "50ms");
			return { winner, after: await counted(step, runId, "after") };
		});

		on("timed-race", async ({ runId, step, group }) => {
			const event = { event: `${app}/never`, timeout: "1h" };
			const winner = await words.race({ step, group }, [() => step.waitForEvent("never", event), () => step.sleep("limit", "100ms")]);
			return { winner: winner ?? null, after: await counted(step, runId, "after") };
		});
	}

	function defineFailures() {
		on("retried-step", async ({ runId, step }) => {
			await counted(step, runId, "before");
			const value = await counted(step, runId, "flaky", (before) => (before < 2 ? fail(new Error("not yet")) : "third time lucky"));
			await counted(step, runId, "after");
			return value;
		}, { retries: 3 });

		on("retried-function", async ({ runId, step }) => {
			await counted(step, runId, "before");
			if (side.enter(runId, "between") === 0) throw new Error("between steps");
			return counted(step, runId, "after");
		}, { retries: 2 });

		on("exhausted", async ({ runId, step }) => {
			await counted(step, runId, "before");
			await counted(step, runId, "always", () => fail(new PaymentRefused("card declined", { cause: new Error("limit reached") })));
		});

		on("caught", async ({ runId, step }) => {
			try {
				await counted(step, runId, "charge", () => fail(new PaymentRefused("card declined")));
			} catch (error) {
				return { undone: await counted(step, runId, "undo"), name: error.name, message: error.message };
			}
			return "charged";
		});

		on("final-step", async ({ runId, step }) => {
			await counted(step, runId, "refuse", () => fail(new NonRetryable("never", { cause: new Error("because") })));
		}, { retries: 5 });

		on("final-function", async () => fail(new NonRetryable("not even once more")), { retries: 5 });

		on("retry-after", async ({ runId, step }) => {
			await counted(step, runId, "later", (before) => (before === 0 ? fail(new RetryAfter("busy", 2000)) : "now"));
			return "done";
		}, { retries: 3 });

		on("mended", async ({ event, runId, step }) => {
			await counted(step, runId, "before");
			return counted(step, runId, "broken", () => (side.isOpen(event.data.key) ? "mended" : fail(new NonRetryable("broken"))));
		});

		on("fails", async () => fail(new PaymentRefused("refused on purpose")), {
			retries: 0,
			onFailure: async ({ event, error, runId, step }) => {
				const cleaned = await counted(step, runId, "clean up");
				side.leave(event.data.event.data.key, { message: error.message, told: event.data.error.message, run: event.data.run_id, cleaned });
			},
		});
	}

	function defineWaits() {
		on("wait", async ({ runId, step }) => {
			await counted(step, runId, "before");
			const answer = await step.waitForEvent("answer", { event: `${app}/answer`, timeout: "1m", match: "data.key" });
			await counted(step, runId, "after");
			return { name: answer?.name, data: answer?.data };
		});

		on("wait-if", async ({ step }) => {
			const enough = "event.data.key == async.data.key && async.data.amount >= 100";
			const answer = await step.waitForEvent("answer", { event: `${app}/answer`, timeout: "1m", if: enough });
			return { amount: answer?.data.amount ?? null };
		});

		on("wait-timeout", async ({ step }) => ({ answer: await step.waitForEvent("answer", { event: `${app}/never`, timeout: "300ms" }) }));

		on("wait-and-send", async ({ event, step }) => {
			const [answer] = await Promise.all([
				step.waitForEvent("answer", { event: `${app}/echo`, timeout: "1m", match: "data.key" }),
				step.sendEvent("ask", { name: `${app}/echo`, data: { key: event.data.key } }),
			]);
			return { heard: answer?.data.key ?? null };
		});

		on("signal", async ({ event, step }) => {
			const got = await step.waitForSignal("signal", { signal: event.data.key, timeout: event.data.timeout });
			return { got: got?.data ?? null };
		});

		on("signals", async ({ event, step }) => {
			const told = await step.sendSignal("tell", { signal: event.data.key, data: { from: "a step" } });
			return { told: told !== null };
		});

		on("sleeper", async ({ runId, step }) => {
			await counted(step, runId, "before");
			await step.sleep("long", "1h");
			return counted(step, runId, "after");
		}, { cancelOn: [{ event: `${app}/stop`, match: "data.key" }] });
	}

	function defineOthers() {
		const child = on("child", async ({ event, runId, step }) => {
			const doubled = await counted(step, runId, "double", () => event.data.n * 2);
			if (event.data.fail) throw new NonRetryable("the child refused");
			return { doubled };
		}, { retries: 0 });

		const caught = async (work) => {
			try {
				return { value: await work() };
			} catch (error) {
				return { caught: error.message };
			}
		};

		on("invoke", async ({ event, runId, step }) => {
			await counted(step, runId, "before");
			const result = await step.invoke("call", { function: child, data: { n: event.data.n } });
			await counted(step, runId, "after");
			return result;
		});

		on("invoke-parallel", async ({ step }) => {
			const results = await Promise.all([1, 2, 3].map((n) => step.invoke(`call ${n}`, { function: child, data: { n } })));
			return results.map((r) => r.doubled);
		});

		on("invoke-failing", async ({ step }) => caught(() => step.invoke("call", { function: child, data: { n: 1, fail: true } })), { retries: 0 });

		on("invoke-unknown", async ({ step }) => caught(() => step.invoke("call", { function: words.reference("nobody"), data: {} })), { retries: 0 });

		on("send", async ({ event, runId, step }) => {
			await counted(step, runId, "before");
			const { ids } = await step.sendEvent("tell", [1, 2].map((n) => ({ name: `${app}/told`, data: { key: event.data.key, n } })));
			await counted(step, runId, "after");
			return { ids };
		});

		on("told", async ({ event }) => event.data);

		on("batch", async ({ event, events }) => ({ first: event.data.n, all: events.map((one) => one.data.n).sort() }), {
			batchEvents: { maxSize: 3, timeout: "1m" },
		});

		on("fetch", async ({ event, step }) => {
			const response = await words.fetch(step, "ask", event.data.url, { a: "ä" });
			const { method, body, headers } = await response.json();
			return { status: response.status, answer: response.headers.get("x-answer"), method, body: JSON.parse(body), type: headers["content-type"] };
		});

		on("ai", async ({ event, step }) => ({ content: await words.ask(step, "ask", event.data.url, "2 + 2?") }));
	}

	// Every kind of step in one run.
	function defineOrder() {
		const receipt = on("make-receipt", async ({ event, runId, step }) => counted(step, runId, "number", () => ({ receipt: `R-${event.data.id}` })));

		on("pay", async ({ event, step }) => {
			await step.sendEvent("received", { name: `${app}/payment`, data: { id: event.data.id, amount: event.data.total } });
		});

		on("order", async ({ event, runId, step }) => {
			const { id, total } = event.data;
			await counted(step, runId, "validate");
			const charge = await counted(step, runId, "charge", (before) => (before === 0 ? fail(new Error("the bank did not answer")) : `C-${id}`));
			await step.sleep("cool off", "100ms");
			const [shelf, label] = await Promise.all([counted(step, runId, "reserve", () => 7), counted(step, runId, "print", () => `L-${id}`)]);
			const [payment] = await Promise.all([
				step.waitForEvent("payment", { event: `${app}/payment`, timeout: "1m", match: "data.id" }),
				step.sendEvent("invoice", { name: `${app}/pay`, data: { id, total } }),
			]);
			const paper = await step.invoke("receipt", { function: receipt, data: { id } });
			let gift = "given";
			try {
				await counted(step, runId, "gift", () => fail(new NonRetryable("out of gifts")));
			} catch {
				gift = await counted(step, runId, "voucher");
			}
			return { charge, shelf, label, paid: payment?.data.amount ?? null, receipt: paper.receipt, gift };
		}, { retries: 3 });
	}

	// What only FlowForge has.
	function defineOwn() {
		on("sql", async ({ event, step }) => {
			const insert = "insert into orders (id, total) values ($1, $2) returning id, total::float8";
			const { rows } = await step.sql("insert", insert, [event.data.key, 42.5]);
			try {
				await step.sql("again", insert, [event.data.key, 1]);
			} catch (error) {
				return { rows, refused: error.message };
			}
			return { rows };
		}, { retries: 0 });

		on("approve", async ({ event, step }) => {
			const form = { type: "object", required: ["carrier"] };
			const { approved, data, by, reason } = await step.approve("ask", { prompt: `Ship ${event.data.key}?`, form, timeout: event.data.timeout });
			return { approved, data, by, reason };
		});

		on("lock", async ({ event, runId, step }) => {
			await step.lock("lock", { key: event.data.key });
			await counted(step, runId, "alone");
			await step.unlock("unlock", { key: event.data.key });
			return "done";
		});

		on("groups", async ({ runId, step }) =>
			step.parallel(
				counted(step, runId, "a"),
				async () => [await counted(step, runId, "b1"), await counted(step, runId, "b2")],
				step.sleep("c", "50ms").then(() => null),
			));
	}
}

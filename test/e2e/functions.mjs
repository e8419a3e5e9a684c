// The functions the end-to-end tests drive: one per feature of the SDK protocol, written once for both majors.
//
// `calls` counts how often each step body was entered, by run: a finished step that is entered again is the
// one thing a durable engine must never do, so nearly every test looks at it.  Event names begin with the app's
// id, so that several apps (majors) share a server without hearing each other.

import { createHash } from "node:crypto";

export class Calls {
	#byRun = new Map();

	/** Notes one entry into `name` of `run`; returns how many entries there were before. */
	hit(run, name) {
		const counts = this.#byRun.get(run) ?? {};
		const before = counts[name] ?? 0;
		counts[name] = before + 1;
		this.#byRun.set(run, counts);
		return before;
	}

	of(run) {
		return this.#byRun.get(run) ?? {};
	}
}

class PaymentRefused extends Error {
	constructor(message, options) {
		super(message, options);
		this.name = "PaymentRefused";
	}
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** sha256 of a text, to compare large values without sending them twice. */
export const digest = (text) => createHash("sha256").update(text).digest("hex");

/** The 300 KB text of the `large` function: not compressible to nothing, the same every time. */
export function largeText() {
	const parts = [];
	let size = 0;
	for (let i = 0; size < 300 * 1024; i++) {
		parts.push(digest(`part ${i}`));
		size += 64;
	}
	return parts.join("");
}

/**
 * Defines every function on `client`.
 *
 * @param sdk   the `inngest` package, v3 or v4
 * @param client its client; `client.id` prefixes the event names
 * @param calls  a Calls
 * @param seen   a Map where functions without a caller leave what they saw
 */
export function defineFunctions(sdk, client, calls, seen, major) {
	const { NonRetriableError, RetryAfterError, referenceFunction } = sdk;
	const app = client.id;
	const functions = [];

	// v3 takes (options, trigger, handler); v4 has the triggers among the options.
	function on(id, trigger, options, handler) {
		const triggers = (Array.isArray(trigger) ? trigger : [trigger]).map((t) =>
			typeof t === "string" ? { event: `${app}/${t}` } : t,
		);
		const made =
			major === 3
				? client.createFunction({ id, ...options }, triggers.length === 1 ? triggers[0] : triggers, handler)
				: client.createFunction({ id, ...options, triggers }, handler);
		functions.push(made);
		return made;
	}

	// A step whose body is counted.
	const counted = (step, run, id, body = () => id) => step.run(id, () => body(calls.hit(run, id)));

	on("sequence", "sequence", {}, async ({ event, runId, step, attempt }) => {
		const a = await counted(step, runId, "a", () => ({ n: event.data.n + 1 }));
		const b = await counted(step, runId, "b", () => ({ n: a.n * 2 }));
		const c = await counted(step, runId, "c", () => [a.n, b.n]);
		return { c, attempt };
	});

	on("timed", [{ cron: "TZ=Europe/Paris 30 2 29 2 *" }, "also-timed"], {}, async ({ event, runId, step }) => {
		await counted(step, runId, "tick");
		return { name: event.name, id: event.id, data: event.data, ts: event.ts };
	});

	on("context", "context", { retries: 2 }, async ({ event, events, runId, attempt, maxAttempts, step }) => {
		await counted(step, runId, "look");
		return { event, events, runId, attempt, maxAttempts };
	});

	on("retried-step", "retried-step", { retries: 3 }, async ({ runId, step, attempt }) => {
		await counted(step, runId, "before");
		const value = await step.run("flaky", () => {
			if (calls.hit(runId, "flaky") < 2) throw new Error("not yet");
			return "third time lucky";
		});
		await counted(step, runId, "after");
		return { value, attempt };
	});

	on("retried-function", "retried-function", { retries: 2 }, async ({ runId, step }) => {
		await counted(step, runId, "before");
		if (calls.hit(runId, "between") === 0) throw new Error("between steps");
		await counted(step, runId, "after");
		return "done";
	});

	on("exhausted", "exhausted", { retries: 1 }, async ({ runId, step }) => {
		await counted(step, runId, "before");
		await step.run("always", () => {
			calls.hit(runId, "always");
			throw new PaymentRefused("card declined", { cause: new Error("limit reached") });
		});
	});

	on("sleep", "sleep", {}, async ({ runId, step }) => {
		const start = await counted(step, runId, "start", () => Date.now());
		await step.sleep("nap", "1s");
		const middle = await counted(step, runId, "middle", () => Date.now());
		await step.sleepUntil("until", new Date(middle + 1000));
		const end = await counted(step, runId, "end", () => Date.now());
		return { nap: middle - start, until: end - middle };
	});

	on("parallel", "parallel", {}, async ({ runId, step }) => {
		const values = await Promise.all(
			["p1", "p2", "p3"].map((id) =>
				counted(step, runId, id, async () => {
					await pause(100);
					return id;
				}),
			),
		);
		const after = await counted(step, runId, "after", () => values.join("+"));
		return { values, after };
	});

	on("parallel-retry", "parallel-retry", { retries: 2 }, async ({ runId, step }) => {
		return Promise.all([
			counted(step, runId, "steady"),
			counted(step, runId, "shaky", (before) => {
				if (before < 2) throw new Error("shaky");
				return "shaky";
			}),
		]);
	});

	on("chains", "chains", {}, async ({ runId, step }) => {
		const chain = async (name, length) => {
			const done = [];
			for (let i = 1; i <= length; i++) done.push(await counted(step, runId, `${name}${i}`));
			return done;
		};
		return Promise.all([chain("a", 3), chain("b", 2), chain("c", 1)]);
	});

	on("settled", "settled", { retries: 0 }, async ({ runId, step }) => {
		const results = await Promise.allSettled([
			counted(step, runId, "good"),
			counted(step, runId, "bad", () => {
				throw new Error("bad step");
			}),
		]);
		await counted(step, runId, "after");
		return results.map((r) => (r.status === "fulfilled" ? r.value : r.reason.message));
	});

	on("race", "race", {}, async ({ runId, step }) => {
		const winner = await Promise.race([
			counted(step, runId, "fast"),
			step.sleep("slow", "6s").then(() => "slow"),
		]);
		await counted(step, runId, "after");
		return { winner };
	});

	if (major === 4) {
		on("declared-race", "declared-race", {}, async ({ runId, step, group }) => {
			const winner = await group.parallel(() =>
				Promise.race([counted(step, runId, "fast"), step.sleep("slow", "6s").then(() => "slow")]),
			);
			await counted(step, runId, "after");
			return { winner };
		});
	}

	on("sleep-and-run", "sleep-and-run", {}, async ({ runId, step }) => {
		const [slept, value] = await Promise.all([step.sleep("nap", "1s"), counted(step, runId, "work")]);
		await counted(step, runId, "after");
		return { slept: slept ?? null, value };
	});

	on("null-memo", "null-memo", {}, async ({ runId, step }) => {
		const nothing = await counted(step, runId, "nothing", () => null);
		const missing = await counted(step, runId, "missing", () => undefined);
		const no = await counted(step, runId, "no", () => false);
		const zero = await counted(step, runId, "zero", () => 0);
		const empty = await counted(step, runId, "empty", () => "");
		const data = await counted(step, runId, "data", () => ({ data: { data: null }, error: null }));
		return { nothing, missing: missing ?? null, no, zero, empty, data };
	});

	on("loop", "loop", {}, async ({ runId, step }) => {
		const seenTurns = [];
		for (let i = 0; i < 4; i++) {
			seenTurns.push(await step.run("turn", () => calls.hit(runId, `turn ${i}`) + i * 10));
		}
		return seenTurns;
	});

	on("wait-timeout", "wait-timeout", {}, async ({ step }) => {
		const answer = await step.waitForEvent("answer", { event: `${app}/never`, timeout: "1s" });
		return { answer };
	});

	on("wait-match", "wait-match", {}, async ({ runId, step }) => {
		await counted(step, runId, "before");
		const answer = await step.waitForEvent("answer", {
			event: `${app}/answer`,
			timeout: "30s",
			match: "data.key",
		});
		await counted(step, runId, "after");
		return { answer };
	});

	on("wait-if", "wait-if", {}, async ({ step }) => {
		const answer = await step.waitForEvent("answer", {
			event: `${app}/answer`,
			timeout: "30s",
			if: "event.data.key == async.data.key && async.data.amount >= 100",
		});
		return { amount: answer?.data.amount ?? null };
	});

	on("wait-and-send", "wait-and-send", {}, async ({ event, step }) => {
		const [answer] = await Promise.all([
			step.waitForEvent("answer", { event: `${app}/echo`, timeout: "20s", match: "data.key" }),
			step.sendEvent("ask", { name: `${app}/echo`, data: { key: event.data.key } }),
		]);
		return { heard: answer?.data.key ?? null };
	});

	const child = on("child", "child", { retries: 0 }, async ({ event, runId, step }) => {
		const doubled = await counted(step, runId, "double", () => event.data.n * 2);
		if (event.data.fail) throw new NonRetriableError("the child refused");
		return { doubled };
	});

	on("invoke", "invoke", {}, async ({ event, runId, step }) => {
		await counted(step, runId, "before");
		const result = await step.invoke("call child", { function: child, data: { n: event.data.n } });
		await counted(step, runId, "after");
		return result;
	});

	on("invoke-failing", "invoke-failing", { retries: 0 }, async ({ step }) => {
		try {
			await step.invoke("call child", { function: child, data: { n: 1, fail: true } });
			return { caught: null };
		} catch (error) {
			return { caught: error.message };
		}
	});

	on("invoke-unknown", "invoke-unknown", { retries: 0 }, async ({ step }) => {
		try {
			await step.invoke("call nobody", { function: referenceFunction({ functionId: "nobody" }), data: {} });
			return { caught: null };
		} catch (error) {
			return { caught: error.message };
		}
	});

	on("invoke-parallel", "invoke-parallel", {}, async ({ step }) => {
		const results = await Promise.all(
			[1, 2, 3].map((n) => step.invoke(`call ${n}`, { function: child, data: { n } })),
		);
		return results.map((r) => r.doubled);
	});

	on("send", "send", {}, async ({ event, runId, step }) => {
		await counted(step, runId, "before");
		const { ids } = await step.sendEvent("tell", [
			{ name: `${app}/told`, data: { key: event.data.key, n: 1 } },
			{ name: `${app}/told`, data: { key: event.data.key, n: 2 } },
		]);
		await counted(step, runId, "after");
		return { ids };
	});

	on("told", "told", {}, async ({ event, runId, step }) => {
		await counted(step, runId, "hear");
		return event.data;
	});

	on(
		"fails",
		"fails",
		{
			retries: 0,
			onFailure: async ({ event, error, runId, step }) => {
				await counted(step, runId, "clean up");
				seen.set(event.data.event.data.key, {
					event,
					error: { name: error.name, message: error.message },
					cleanups: calls.of(runId)["clean up"],
				});
				return "cleaned";
			},
		},
		async () => {
			throw new PaymentRefused("refused on purpose");
		},
	);

	on("non-retriable", "non-retriable", { retries: 5 }, async ({ runId, step }) => {
		await step.run("refuse", () => {
			calls.hit(runId, "refuse");
			throw new NonRetriableError("never", { cause: new Error("because") });
		});
	});

	on("non-retriable-function", "non-retriable-function", { retries: 5 }, async ({ runId }) => {
		calls.hit(runId, "body");
		throw new NonRetriableError("not even once more");
	});

	on("retry-after", "retry-after", { retries: 3 }, async ({ runId, step }) => {
		const times = seen.get(runId) ?? [];
		seen.set(runId, times);
		await step.run("later", () => {
			times.push(Date.now());
			if (calls.hit(runId, "later") === 0) throw new RetryAfterError("busy", 2000);
			return "now";
		});
		return { waited: times[1] - times[0] };
	});

	on("caught", "caught", { retries: 1 }, async ({ runId, step }) => {
		try {
			await step.run("charge", () => {
				calls.hit(runId, "charge");
				throw new PaymentRefused("card declined");
			});
		} catch (error) {
			const undone = await counted(step, runId, "undo");
			return { undone, name: error.name, message: error.message };
		}
		return "charged";
	});

	on("undefined", "undefined", {}, async ({ runId, step }) => {
		await counted(step, runId, "only");
	});

	on("no-steps", "no-steps", {}, async ({ event }) => ({ echo: event.data.value ?? null }));

	on("large", "large", {}, async ({ runId, step }) => {
		const text = await counted(step, runId, "make", largeText);
		const sum = await counted(step, runId, "measure", () => digest(text));
		return { length: text.length, sum, text };
	});

	on("unicode", "unicode", {}, async ({ event, runId, step }) => {
		const text = await counted(step, runId, "füße 日本 🚀", () => event.data.text);
		const back = await counted(step, runId, "again", () => ({ [text]: text }));
		return { text, back };
	});

	on("busy", "busy", {}, async ({ event, runId, step }) => {
		let sum = 0;
		for (let i = 1; i <= 3; i++) sum += await counted(step, runId, `add ${i}`, () => event.data.n * i);
		const [x, y] = await Promise.all([
			counted(step, runId, "x", () => sum),
			counted(step, runId, "y", () => -sum),
		]);
		return { n: event.data.n, sum, zero: x + y };
	});

	on("slow", "slow", { retries: 0 }, async ({ event, runId, step }) => {
		await counted(step, runId, "long", () => pause(event.data.ms ?? 2000));
		await counted(step, runId, "next");
		return "late";
	});

	on("expensive", { event: `${app}/priced`, if: "event.data.total > 10 && event.data.kind == 'book'" }, {}, () => "expensive");
	on("any-price", "priced", {}, () => "any");

	on("two-triggers", ["left", "right"], {}, async ({ event }) => event.name);

	on("many-steps", "many-steps", {}, async ({ runId, step }) => {
		let sum = 0;
		for (let i = 0; i < 50; i++) sum += await counted(step, runId, `s${i}`, () => i);
		return sum;
	});

	defineOrders(sdk, client, on, counted, calls, seen);
	return functions;
}

// The whole order workflow, as in examples/orders-typescript: every kind of step in one run.
function defineOrders({ NonRetriableError }, client, on, counted, calls, seen) {
	const app = client.id;

	const receipt = on("make-receipt", "receipt.requested", {}, async ({ event, runId, step }) => {
		return counted(step, runId, "number", () => ({ receipt: `R-${event.data.id}` }));
	});

	on("pay", "invoice.sent", {}, async ({ event, step }) => {
		await step.sendEvent("received", {
			name: `${app}/payment.received`,
			data: { id: event.data.id, amount: event.data.total },
		});
	});

	on("order", "order.created", { retries: 3 }, async ({ event, runId, step }) => {
		const { id, total } = event.data;
		await counted(step, runId, "validate", () => ({ ok: true }));
		const charge = await counted(step, runId, "charge", (before) => {
			if (before === 0) throw new Error("the bank did not answer");
			return { charge: `C-${id}` };
		});
		await step.sleep("cool off", "1s");
		const [stock, label] = await Promise.all([
			counted(step, runId, "reserve", () => ({ shelf: 7 })),
			counted(step, runId, "print", () => ({ label: `L-${id}` })),
		]);
		const [payment] = await Promise.all([
			step.waitForEvent("payment", { event: `${app}/payment.received`, timeout: "1m", match: "data.id" }),
			step.sendEvent("invoice", { name: `${app}/invoice.sent`, data: { id, total } }),
		]);
		const paper = await step.invoke("receipt", { function: receipt, data: { id } });
		let gift = "given";
		try {
			await step.run("gift", () => {
				calls.hit(runId, "gift");
				throw new NonRetriableError("out of gifts");
			});
		} catch {
			gift = await counted(step, runId, "voucher", () => "voucher");
		}
		await step.sendEvent("shipped", { name: `${app}/order.shipped`, data: { id } });
		return { charge: charge.charge, shelf: stock.shelf, label: label.label, paid: payment?.data.amount ?? null, receipt: paper.receipt, gift };
	});

	on(
		"ship",
		"order.shipped",
		{
			retries: 0,
			onFailure: async ({ event, error }) => {
				seen.set(event.data.event.data.id, { shipping: error.message });
			},
		},
		async ({ event }) => {
			if (String(event.data.id).startsWith("lost")) throw new Error("the parcel is lost");
			return "delivered";
		},
	);
}

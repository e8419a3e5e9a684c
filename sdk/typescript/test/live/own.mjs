// Functions with what this package promises beside the protocol, and some to ask the client about. What every client can is in sdk/scenarios.

import { NonRetryableError } from "flowforge";

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export function defineOwn(flowforge, calls, note) {
	const app = flowforge.id;
	const on = (id, handler, options = {}) => flowforge.createFunction({ id, trigger: `${app}/${id}`, retries: 0, ...options }, handler);
	const counted = (step, run, id, body = () => id) => step.run(id, () => body(calls.hit(run, id)));

	on("no-steps", ({ event }) => ({ echo: event.data.value ?? null }), { retries: undefined });

	on("ten", async ({ step }) => {
		const done = [];
		for (let i = 0; i < 10; i++) done.push(await step.run(`s${i}`, () => i));
		return done;
	});

	on("replayed", async ({ event, step }) => {
		const a = await step.run("a", () => event.data.n);
		const b = await step.run("b", () => a + 1);
		return step.run("c", () => [a, b]);
	});

	on("asks", async ({ event, step }) =>
		step.approve("ask", { prompt: "Well?", form: { type: "object", required: ["carrier"] }, timeout: event.data.timeout }));

	on("slow-ten", async ({ event, step }) => {
		for (let i = 0; i < 10; i++) {
			await step.run(`s${i}`, async () => {
				note(`s${i}`);
				await pause(event.data.ms);
			});
		}
		return "done";
	}, { retries: 5 });

	on("swallow", async ({ event, runId, step }) => {
		let finals = 0;
		try {
			await counted(step, runId, "before");
			await step.sleep("nap", "200ms");
			await step.waitForEvent("never", { event: `${app}/never`, timeout: "200ms" });
			await Promise.all([counted(step, runId, "p"), counted(step, runId, "q")]);
		} catch (error) {
			return { swallowed: String(error), event };
		} finally {
			finals++;
		}
		return { finals };
	});

	on("nested", async ({ step }) => {
		return step.run("outer", () => step.run("inner", () => 1));
	});

	on("unserializable", async ({ step }) => step.run("big", () => 1n));

	on("large-integers", async ({ event, step }) => {
		if (event.data.n === 1) return step.run("row", () => ({ rows: [{ id: 9007199254740993 }] }));
		return step.run("text", () => ({ exact: Number.isSafeInteger(event.data.n), text: event.data.text }));
	});

	on("values", async ({ step }) => {
		const made = await step.run("made", () => ({ at: new Date(0), gone: undefined, list: [undefined, 1], nan: Number.NaN }));
		await step.sleep("nap", "100ms");
		return { made, text: typeof made.at };
	});

	on("step-options", async ({ runId, step }) => {
		const tried = await step.run({ id: "stubborn", name: "A stubborn step", retries: { attempts: 2, backoff: "fixed", base: "50ms" } }, () => {
			if (calls.hit(runId, "stubborn") < 2) throw new Error("not yet");
			return "third";
		});
		let late;
		try {
			await step.run({ id: "late", timeout: "100ms" }, () => pause(5_000));
		} catch (error) {
			late = error.name;
		}
		return { tried, late };
	});

	on("input", async ({ step }) => {
		const doubled = await step.run("double", (n) => n * 2, 21);
		const wrapped = await step.ai.wrap("wrap", async (text) => text.toUpperCase(), "loud");
		return { doubled, wrapped, last: await step.run("last", () => "end") };
	});

	on("signalled", async ({ event, step }) => {
		const got = await step.waitForSignal("wait", { signal: event.data.signal, timeout: "30s" });
		return { got: got?.data };
	});

	on("final", async ({ step }) => {
		await step.run("fine", () => 1);
		throw new NonRetryableError("over", { cause: new Error("because") });
	}, { retries: 5 });

	on("cancellable", async ({ step }) => {
		await step.sleep("long", "1h");
	});

	on("limited", async () => "ran", {
		concurrency: [{ limit: 5 }, { limit: 1, key: "event.data.account", scope: "fn" }],
		throttle: "100/1m",
		rate: "60/min",
		priority: "event.data.vip ? 120 : 0",
		idempotency: "event.data.key",
		timeouts: { start: "10m", finish: "1h", step: "1m" },
		retries: { attempts: 2, backoff: ["1s", "2s"] },
	});
	on("debounced", async ({ event }) => event.data.n, { debounce: "1s" });
	on("single", async () => "ran", { singleton: "skip" });
	flowforge.createFunction({ id: "scheduled", name: "Timed by the clock", trigger: [{ cron: "TZ=Europe/Paris 0 9 * * 1", jitter: "30s", catchUp: "last" }, { event: `${app}/timed-too`, if: "event.data.n > 1" }] }, async () => "tick");
}

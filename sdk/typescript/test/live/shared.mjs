// The functions that this package and the published one both serve: those of test/e2e/functions.mjs, and a few more of the same kind.
// They are written in the words of the published package; app.mjs says them in ours.

import { defineFunctions as defineCommon } from "../../../../test/e2e/functions.mjs";

export { Calls } from "../../../../test/e2e/functions.mjs";

export function defineFunctions(sdk, client, calls, seen, major) {
	const functions = defineCommon(sdk, client, calls, seen, major);
	const on = (id, handler, options = {}) =>
		functions.push(client.createFunction({ id, retries: 1, ...options, triggers: [{ event: `${client.id}/${id}` }] }, handler));
	const counted = (step, run, id, body = () => id) => step.run(id, () => body(calls.hit(run, id)));

	on("ten", async ({ runId, step }) => {
		const done = [];
		for (let i = 0; i < 10; i++) done.push(await counted(step, runId, `s${i}`, () => i));
		return done;
	});

	// With the sleep and the last one as many as flowforge.step_limit allows.
	on("thousand", async ({ runId, step }) => {
		let sum = 0;
		for (let i = 0; i < 998; i++) sum += await step.run("add", () => (calls.hit(runId, "add"), i));
		await step.sleep("nap", "100ms");
		return sum + (await counted(step, runId, "last", () => 1));
	});

	// More than a call carries: the state is fetched.
	on("heavy", async ({ runId, step }) => {
		const sizes = [];
		for (let i = 0; i < 5; i++) sizes.push((await counted(step, runId, `part ${i}`, () => String(i).repeat(1_000_000))).length);
		await step.sleep("nap", "100ms");
		return { sizes, last: await counted(step, runId, "last", () => "end") };
	});

	on("replayed", async ({ event, runId, step }) => {
		const a = await counted(step, runId, "a", () => event.data.n);
		const b = await counted(step, runId, "b", () => a + 1);
		return counted(step, runId, "c", () => [a, b]);
	});

	return functions;
}

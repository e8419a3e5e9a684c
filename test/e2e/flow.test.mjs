// Flow control as the packages register it: which of their events start a run.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { logOnFailure, startApp, startServer, until } from "./harness.mjs";

for (const major of [4, 3]) {
	describe(`flow control, with SDK v${major}`, () => {
		let server;
		const id = `flow${major}`;
		before(async () => {
			server = await startServer();
			await startApp(server, { major, id, environment: { FUNCTIONS: "./flow.mjs" } });
		});
		after(() => server?.stop());
		logOnFailure(() => server);

		/** Sends an event; gives the run it started, or why it started none. */
		async function send(event, data) {
			const sent = await server.send(`${id}/${event}`, data);
			const { data: runs, skipped } = await server.get(`/api/v1/events/${sent.id}/runs`);
			assert.equal(runs.length + skipped.length, 1);
			return runs[0] ?? skipped[0];
		}
		const done = async (run) => (await server.finished(run.id)).output;

		it("runs once for a value", async () => {
			const run = await send("once", { id: "a" });
			assert.equal(await done(run), "a");
			const again = await send("once", { id: "a" });
			assert.deepEqual([again.status, again.reason, again.function, again.detail], ["skipped", "idempotency", `${id}-once`, { key: "a", run: run.ulid }]);
			assert.equal(await done(await send("once", { id: "b" })), "b");
		});

		it("starts no more runs than the rate limit of a key", async () => {
			const answers = [];
			for (const [n, customer] of ["x", "x", "y", "x"].entries()) answers.push(await send("rated", { n, customer }));
			assert.deepEqual(await Promise.all(answers.slice(0, 3).map(done)), [0, 1, 2]);
			assert.deepEqual([answers[3].reason, answers[3].detail], ["rate_limit", { key: "x", limit: 2, period_ms: 3_600_000 }]);
		});

		it("starts no second run of a singleton until the first has ended", async () => {
			const first = await send("skip", { n: 1, customer: "x" });
			assert.equal((await send("skip", { n: 2, customer: "x" })).reason, "singleton");
			const other = await send("skip", { n: 3, customer: "y" });
			await until("both wait", async () => (await Promise.all([first, other].map((r) => server.steps(r.id)))).every((s) => s.some((x) => x.status === "waiting")));
			await server.send(`${id}/go`, { customer: "x" });
			assert.equal(await done(first), 1);
			assert.equal((await server.run(other.id)).status, "running");
			const next = await send("skip", { n: 4, customer: "x" });
			assert.equal(next.function, `${id}-skip`);
			assert.notEqual(next.status, "skipped");
		});

		it("cancels the run before, if the singleton says so", async () => {
			const first = await send("cancel", { n: 1, customer: "x" });
			const second = await send("cancel", { n: 2, customer: "x" });
			const ended = await server.finished(first.id);
			assert.equal(ended.status, "cancelled");
			assert.match(ended.error.message, new RegExp(second.ulid));
			await until("it waits", async () => (await server.steps(second.id)).some((s) => s.status === "waiting"));
			await server.send(`${id}/go`, { customer: "x" });
			assert.equal(await done(second), 2);
		});

		it("runs what has a priority", async () => {
			assert.equal(await done(await send("ahead", { n: 1, vip: true })), 1);
		});
	});
}

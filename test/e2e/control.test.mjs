// Runs that are timed, cancelled by events, retried, replayed, paused, and asked why they do not run: with both majors of the package.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { logOnFailure, pause, startApp, startServer, until } from "./harness.mjs";

for (const major of [4, 3]) {
	describe(`control, with SDK v${major}`, () => {
		let server;
		let app;
		const id = `ctl${major}`;
		before(async () => {
			server = await startServer({ settings: { "flowforge.retry_interval": 0, timezone: "UTC" } });
			app = await startApp(server, { major, id, environment: { FUNCTIONS: "./control.mjs" } });
		});
		after(() => server?.stop());
		logOnFailure(() => server);

		const start = (event, data) => server.start(`${id}/${event}`, data);
		const post = async (path, body, expected = [200, 201, 202]) => {
			const answer = await server.request("POST", `/api/v1${path}`, body);
			assert.ok([expected].flat().includes(answer.status), `POST ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
			return answer.body;
		};
		const explain = (run) => server.get(`/api/v1/runs/${run.id}/explain`);

		/** Waits until a run is not running for this cause; gives that cause and the whole sentence. */
		const cause = (run, wanted) =>
			until(`the cause is "${wanted}"`, async () => {
				const { causes, explanation } = await explain(run);
				const found = causes.find((c) => c.cause === wanted);
				return found && { ...found, explanation };
			}, 15_000);
		const time = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`;
		const says = (text, ...parts) => assert.match(text, new RegExp(parts.join("")));

		it("cancels a run that does not end within timeouts.finish", async () => {
			const run = await server.finished((await start("finish", {})).id);
			assert.equal(run.status, "cancelled");
			assert.deepEqual(run.error, { name: "Timeout", message: "the run did not end within 1 s (timeouts.finish)" });
			assert.ok(Date.parse(run.ended_at) - Date.parse(run.started_at) < 30_000);
		});

		it("lets a run that has started within timeouts.start take its time", async () => {
			assert.equal((await server.finished((await start("start", {})).id)).output, "it may take its time");
		});

		it("cancels the runs that an event of cancelOn is about, and says so in an event", async () => {
			const [one, two, three] = await Promise.all([1, 2, 3].map((n) => start("order", { id: n, total: 10 })));
			await Promise.all([one, two, three].map((run) => cause(run, "waiting for an event")));
			await server.send(`${id}/order.cancelled`, { id: 2, total: 5 });
			const { id: event } = await server.send(`${id}/order.cancelled`, { id: 2, total: 50 });
			const run = await server.finished(two.id);
			assert.equal(run.status, "cancelled");
			assert.match(run.error.message, new RegExp(`^the event ${id}/order.cancelled \\(\\w+\\) cancels this run`));
			assert.equal(typeof event, "string");
			const seen = await until("the handler ran", () => app.seen(`cancelled ${run.ulid}`));
			assert.deepEqual([seen.function_id, seen.error, seen.event.data], [`${id}-order`, run.error, { id: 2, total: 10 }]);
			assert.equal((await server.run(one.id)).status, "running");
			await server.send(`${id}/all.cancelled`);
			for (const left of [one, three]) assert.equal((await server.finished(left.id)).status, "cancelled");
		});

		it("retries a failed run as the same run", async () => {
			const { id: run } = await start("flaky", {});
			assert.equal((await server.finished(run)).status, "failed");
			assert.equal((await post(`/runs/${run}/retry`)).result, "retrying");
			const end = await until("it has completed", async () => {
				const now = await server.run(run);
				return now.status === "completed" && now;
			});
			assert.deepEqual(end.output, { entered: 0 });
			assert.deepEqual(await app.calls(end), { first: 1, fragile: 2 });
			const types = (await server.events(run)).map((e) => e.type);
			assert.deepEqual(types.slice(types.indexOf("run.failed"), types.indexOf("run.failed") + 2), ["run.failed", "run.retried"]);
			await post(`/runs/${run}/retry`, undefined, 409);
		});

		it("replays a run from a step, with the arguments it is given", async () => {
			const { id: run } = await start("editable", { n: 2 });
			assert.equal((await server.finished(run)).output, "twice is 4");
			const again = await server.finished((await post(`/runs/${run}/replay`)).id);
			assert.equal(again.output, "twice is 4");
			const edited = await server.finished((await post(`/runs/${run}/replay`, { input: { n: 5 } })).id);
			assert.equal(edited.output, "twice is 10");
			const last = await server.finished((await post(`/runs/${run}/replay`, { from_step: "say" })).id);
			assert.deepEqual([last.output, await app.calls(last)], ["twice is 4", { say: 1 }]);
			if (major === 4) {
				const other = await server.finished((await post(`/runs/${run}/replay`, { from_step: "double", input: [21] })).id);
				assert.deepEqual([other.output, await app.calls(other)], ["twice is 42", { double: 1, say: 1 }]);
			}
		});

		it("runs a function without an event", async () => {
			const { id: run } = await post(`/functions/${id}-editable/run`, { input: { n: 7 }, idempotency_key: "once" });
			assert.equal((await post(`/functions/${id}-editable/run`, { input: { n: 8 }, idempotency_key: "once" })).id, run);
			assert.equal((await server.finished(run)).output, "twice is 14");
		});

		it("cancels and retries many by a filter, after a dry run", async () => {
			for (let n = 0; n < 3; n++) await start("child", { n });
			const filter = { function: `${id}-child`, if: "event.data.n >= 1" };
			await until("they sleep", async () => (await server.runsOf(`${id}-child`, "&status=running")).length === 3);
			const dry = await post("/runs/cancel", { ...filter, dry_run: true });
			assert.deepEqual([dry.count, dry.dry_run, dry.data[0].result], [2, true, "would be cancelled"]);
			assert.equal((await post("/runs/cancel", filter)).data[0].result, "cancelling");
			await until("two are cancelled", async () => (await server.runsOf(`${id}-child`, "&status=cancelled")).length === 2);
			assert.equal((await post("/runs/retry", { ...filter, status: "cancelled", limit: 1 })).more, true);
			await until("one sleeps again", async () => (await server.runsOf(`${id}-child`, "&status=running")).length === 2);
			await post("/runs/cancel", { function: `${id}-child` });
			await until("none is left", async () => (await server.runsOf(`${id}-child`, "&status=running")).length === 0);
		});

		it("explains a run that has ended", async () => {
			const { id: run } = await start("editable", { n: 1 });
			await server.finished(run);
			says((await explain({ id: run })).explanation, "^it completed at ", time, "$");
		});

		it("explains a run that sleeps, and one that waits for it", async () => {
			const run = await start("parent", {});
			const waits = await cause(run, "waiting for a run");
			says(waits.explanation, `^step "call the child" waits for run \\w{26} of "${id}-child", which is (running|pending) until `, time, " at the latest$");
			const child = (await server.runsOf(`${id}-child`, "&status=running"))[0];
			const sleeps = await cause(child, "sleeping");
			says(sleeps.explanation, '^step "nap" sleeps until ', time, "$");
			assert.ok(Date.parse(sleeps.until) > Date.now() + 3_000_000);
			await post(`/runs/${run.id}/cancel`);
			await post(`/runs/${child.id}/cancel`);
		});

		it("explains a run that waits for an event", async () => {
			const run = await start("order", { id: 9, total: 1 });
			const { explanation } = await cause(run, "waiting for an event");
			says(explanation, `^step "paid" waits for the event "${id}/order.paid" that meets event.data.id == async.data.id until `, time, " at the latest$");
			await post(`/runs/${run.id}/cancel`);
		});

		it("explains a run that waits for a signal", async () => {
			const run = await start("signalled", {});
			const { explanation } = await cause(run, "waiting for a signal");
			says(explanation, `^step "go" waits for the signal "${id}-go" until `, time, " at the latest$");
			await post(`/runs/${run.id}/cancel`);
		});

		it("explains a run that backs off after an error, and until when it may", async () => {
			const run = await start("failing", {});
			const { explanation, until: due } = await cause(run, "backing off");
			says(explanation, '^step "pay" failed at attempt \\d of 4 \\(RangeError: the card is declined\\) and is tried again at ', time, "$");
			assert.ok(due);
			await post(`/runs/${run.id}/cancel`);
		});

		it("explains a run that is being called", async () => {
			const run = await start("hanging", {});
			const { explanation } = await cause(run, "being called");
			says(explanation, `^the app "${id}" has been working on the function since `, time, " \\(attempt 1 of [45]\\)$");
			await post(`/runs/${run.id}/cancel`);
		});

		it("explains a run with a deadline", async () => {
			const run = await start("finish", {});
			await cause(run, "sleeping");
			const { explanation } = await cause(run, "deadline");
			says(explanation, `^step "long" sleeps until ${time}; it is cancelled at ${time} if it is not done by then`);
			await server.finished(run.id);
		});

		it("explains a run whose function, and app, is paused; its resumption lets it go on", async () => {
			assert.equal((await post(`/functions/${id}-editable/pause`, { reason: "repairs" })).result, "paused");
			const run = await start("editable", { n: 3 });
			says((await cause(run, "function paused")).explanation, `^the function "${id}-editable" has been paused since ${time}: repairs; `);
			await post(`/apps/${id}/pause`, {});
			await post(`/functions/${id}-editable/resume`);
			says((await cause(run, "app paused")).explanation, `^the app "${id}" has been paused since ${time}; `);
			await pause(300);
			assert.equal((await server.run(run.id)).status, "pending");
			await post(`/apps/${id}/resume`);
			assert.equal((await server.finished(run.id)).output, "twice is 6");
		});

		it("explains a run that waits for its turn", async () => {
			await server.sql("alter system set flowforge.max_in_flight_per_app = 1");
			await server.sql("select pg_reload_conf()");
			await pause(500);
			const runs = await Promise.all(Array.from({ length: 6 }, () => start("hanging", {})));
			const queued = await until("one waits", async () => {
				for (const run of runs) {
					const { causes } = await explain(run);
					if (causes[0].cause === "queued") return causes[0];
				}
			});
			says(queued.sentence, `^the function waits for its turn: the app "${id}" has \\d calls under way, 1 at most for each executor, \\d+ runs of its tenant come before it, and the tenant's share of the executors is [\\d.]+ %$`);
			await post("/runs/cancel", { function: `${id}-hanging` });
			await server.sql("alter system reset flowforge.max_in_flight_per_app");
			await server.sql("select pg_reload_conf()");
			await until("none is left", async () => (await server.runsOf(`${id}-hanging`, "&status=running")).length === 0);
		});

		it("explains a run whose app cannot be reached", async () => {
			await app.stop();
			const run = await start("editable", { n: 4 });
			const { explanation } = await cause(run, "app unreachable");
			says(explanation, `^the app "${id}" at http://127.0.0.1:${app.port}/api/inngest cannot be reached since ${time} \\(AppUnreachable: .+\\); `,
				`it is tried again at ${time} and given up at ${time}$`);
			const late = await server.finished((await start("start", {})).id);
			assert.deepEqual([late.status, late.error.message], ["cancelled", "the run did not start within 1 s (timeouts.start)"]);
			app = await startApp(server, { major, id, environment: { FUNCTIONS: "./control.mjs" }, port: app.port });
			assert.equal((await server.finished(run.id)).output, "twice is 8");
		});

		it("explains a run nobody works on", async () => {
			await server.sql("alter database flow set flowforge.restoring = on");
			await server.sql("select pg_reload_conf()");
			await server.sql("select pg_terminate_backend(pid) from flowforge.executors()");
			await until("no executor works", async () => (await server.sql("select count(*) from flowforge.executors() where state = 'working'"))[0] === "0");
			const [run] = (await server.sql(`select ff_run('${id}-editable', '{"n": 5}')`)).map((row) => ({ id: row }));
			const { explanation } = await cause(run, "no executor");
			says(explanation, "^its executor, \\d, does not work: .+; the function waits for its turn: ");
			await server.sql("alter database flow reset flowforge.restoring");
			await server.sql("select pg_reload_conf()");
			await server.sql("select pg_terminate_backend(pid) from flowforge.executors()");
			assert.equal((await server.finished(run.id)).output, "twice is 10");
		});
	});
}

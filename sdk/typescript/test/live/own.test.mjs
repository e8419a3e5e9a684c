// What this package does beside the protocol, against a running server: the steps the server takes, what happens when the process is
// killed, and the promises of the README.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { freePort, logOnFailure, startServer, until } from "../../../../test/e2e/harness.mjs";
import { Host } from "../../../../test/e2e/host.mjs";
import { add, startOurs } from "./harness.mjs";

let unique = 0;
const fresh = (word) => `${word}-${process.pid}-${++unique}`;

for (const mode of (process.env.FLOWFORGE_E2E_MODES ?? "dev signed").split(" ")) {
	describe(`in ${mode} mode`, () => {
		let server;
		let app;
		let host;
		before(async () => {
			server = await startServer({ signed: mode === "signed" });
			host = await Host.start();
			app = await startOurs(server);
			await server.sql("create role clerk login; create table orders (id text primary key, total numeric); alter table orders owner to clerk");
			await server.sql("select ff_set_app_role('ts', 'clerk')");
		});
		after(async () => {
			host?.stop();
			await server?.stop();
		});
		logOnFailure(() => server);

		async function ended(name, data = {}, status = "completed") {
			const { id } = await server.start(`ts/${name}`, data);
			const run = await server.finished(id);
			assert.equal(run.status, status, JSON.stringify(run.error));
			return run;
		}
		const waiting = (id) => until("it waits", async () => (await server.steps(id)).some((s) => s.status === "waiting"));

		it("registers every option, and knows when nothing has changed", async () => {
			const { data } = await server.get("/api/v1/functions");
			const config = async (id) => (await server.get(`/api/v1/functions/ts-${id}`)).config;
			const limited = await config("limited");
			assert.deepEqual([limited.rateLimit, limited.throttle, limited.idempotency], ["60/min", "100/1m", "event.data.key"]);
			assert.deepEqual(limited.concurrency, [{ limit: 5 }, { limit: 1, key: "event.data.account", scope: "fn" }]);
			assert.deepEqual(limited.timeouts, { start: "10m", finish: "1h", step: "1m" });
			const scheduled = data.find((f) => f.function === "ts-scheduled");
			assert.equal(scheduled.name, "Timed by the clock");
			assert.ok(scheduled.triggers.some((t) => t.cron === "TZ=Europe/Paris 0 9 * * 1"));
			assert.equal((await add(server, `${app.url}/api/flowforge`)).modified, false);
		});

		it("goes through all steps that the server takes", async () => {
			const key = fresh("order");
			const { id } = await server.start("ts/served", { key });
			const [asked] = await until("it asks", async () => {
				const { body } = await server.request("GET", `/api/v1/approvals?status=pending&run=${id}`);
				return body.data.length > 0 && body.data;
			});
			assert.equal(asked.prompt, `Ship ${key}?`);
			const decided = await server.request("POST", `/api/v1/approvals/${asked.id}/approve`, { data: { carrier: "post" }, by: "ann" });
			assert.equal(decided.status, 200, JSON.stringify(decided.body));
			const { status, output, error } = await server.finished(id);
			assert.equal(status, "completed", JSON.stringify(error));
			assert.deepEqual([output.locked, output.unlocked, output.count], [true, true, 1]);
			assert.deepEqual(output.rows, [{ id: key, total: 42.5 }]);
			assert.deepEqual({ ...output.decision, at: null }, { approved: true, by: "ann", data: { carrier: "post" }, reason: null, at: null });
			assert.equal(output.refused.step, "again");
			assert.match(output.refused.message, /duplicate key/);
			assert.equal((await server.get(`/api/v1/events/${output.ids[0]}`)).name, "ts/shipped");
			assert.deepEqual(await server.sql(`select id from orders where id = '${key}'`), [key]);
		});

		it("says no for somebody who does not answer", async () => {
			const { output } = await ended("unanswered");
			assert.deepEqual([output.approved, output.by], [false, null]);
		});

		it("has the server fetch, and gives a Response", async () => {
			const { output } = await ended("fetch", { url: `${host.url}/echo/${fresh("post")}` });
			assert.deepEqual([output.status, output.answer], [200, "yes"]);
			assert.deepEqual([output.body.method, output.body.headers["x-one"], JSON.parse(output.body.body)], ["POST", "1", { a: 1 }]);
			assert.equal(output.body.headers["content-type"], "application/json");
		});

		it("hands a signal to the run that waits for it", async () => {
			const signal = fresh("signal");
			const { id } = await server.start("ts/signalled", { signal });
			await waiting(id);
			assert.ok((await ended("signals", { signal })).output.runId);
			assert.deepEqual((await server.finished(id)).output, { got: { from: "a step" } });
			assert.equal((await ended("signals", { signal })).output, null, "nobody waits");
		});

		it("runs a race and a parallel of steps and of functions that take steps", async () => {
			const race = await ended("own-race");
			assert.deepEqual(race.output, { winner: "fast", after: "after" });
			assert.deepEqual(await app.calls(race), { after: 1 });
			const parallel = await ended("own-parallel");
			assert.deepEqual(parallel.output, ["a", ["b1", "b2"], null]);
			assert.deepEqual(await app.calls(parallel), { a: 1, b1: 1, b2: 1 });
		});

		it("cannot be swallowed: a function that catches everything still sleeps, waits and goes on", async () => {
			const run = await ended("swallow");
			assert.deepEqual(run.output, { finals: 1 });
			assert.deepEqual(await app.calls(run), { before: 1, p: 1, q: 1 });
		});

		it("gives values as JSON keeps them, before and after a wait", async () => {
			assert.deepEqual((await ended("values")).output, { made: { at: "1970-01-01T00:00:00.000Z", list: [null, 1], nan: null }, text: "string" });
		});

		it("tells a step inside a step, and a result that cannot be kept, from what is worth another attempt", async () => {
			assert.match((await ended("nested", {}, "failed")).error.message, /step "inner" was begun inside step "outer"/);
			assert.match((await ended("unserializable", {}, "failed")).error.message, /what JSON cannot hold/);
			const final = await ended("final", {}, "failed");
			assert.deepEqual([final.error.name, final.error.message, final.error.cause.message], ["NonRetryableError", "over", "because"]);
		});

		it("keeps to a step's own retries and time limit", async () => {
			const run = await ended("step-options");
			assert.deepEqual(run.output, { tried: "third", late: "StepTimeout" });
			assert.equal((await app.calls(run)).stubborn, 3);
			const steps = await server.steps(run.id);
			assert.equal(steps[0].name, "A stubborn step");
		});

		it("shows the input of steps, and replays one with another", async () => {
			const run = await ended("input");
			assert.deepEqual(run.output, { doubled: 42, wrapped: "LOUD", last: "end" });
			const [double] = await server.steps(run.id);
			assert.deepEqual(double.detail.input, [21]);
			const { body } = await server.request("POST", `/api/v1/runs/${run.id}/replay`, { from_step: "double", input: [4] });
			assert.deepEqual((await server.finished(body.id)).output, { doubled: 8, wrapped: "LOUD", last: "end" });
		});

		it("makes one run of many events, and ends one by an event", async () => {
			const sent = await Promise.all([1, 2, 3].map((n) => server.send("ts/batch", { n })));
			const [started] = sent.flatMap((s) => s.runs);
			const { output } = await server.finished(started.id);
			assert.deepEqual([...output.all].sort(), [1, 2, 3]);
			assert.equal(output.first, output.all[0]);
			const key = fresh("stop");
			const { id } = await server.start("ts/cancellable", { key });
			await until("it sleeps", async () => (await server.steps(id)).some((s) => s.status === "sleeping"));
			await server.send("ts/stop", { key });
			assert.equal((await server.finished(id)).status, "cancelled");
		});

		it("makes a call a step when checkpoints are off", async () => {
			const other = await startOurs(server, { id: "plain", environment: { CHECKPOINTS: "0" } });
			const { id } = await server.start("plain/ten", {});
			const run = await server.finished(id);
			assert.deepEqual(run.output, [...Array(10).keys()]);
			assert.equal(await other.seen(`requests ${run.ulid}`), 11);
			await other.stop();
		});

		it("repeats no step that has finished when the process is killed, after whichever step", async () => {
			const directory = mkdtempSync(join(tmpdir(), "flowforge-calls-"));
			const calls = join(directory, "calls");
			const entered = () => {
				try {
					return readFileSync(calls, "utf8").split("\n").filter(Boolean);
				} catch {
					return [];
				}
			};
			const options = { id: "killed", port: await freePort(), environment: { CALLS: calls } };
			let killed = await startOurs(server, options);
			try {
				const { id } = await server.start("killed/slow-ten", { ms: 150 });
				// Each time in the middle of a step: what was finished before it has to stay finished.
				for (const step of ["s1", "s4", "s8"]) {
					await until(`${step} is under way`, () => entered().includes(step));
					await killed.stop("SIGKILL");
					const [doing] = entered().slice(-1);
					const finished = entered().filter((s) => s !== doing);
					killed = await startOurs(server, options);
					await until("it goes on", () => entered().length > finished.length + 1);
					assert.deepEqual(entered().filter((s) => finished.includes(s)), finished, "each once");
				}
				const run = await server.finished(id);
				assert.equal(run.output, "done", JSON.stringify(run.error));
				const again = entered().length - new Set(entered()).size;
				assert.ok(again <= 3, `only what was under way came again: ${entered()}`);
			} finally {
				await killed.stop("SIGKILL");
				rmSync(directory, { recursive: true });
			}
		});

		if (mode === "signed") {
			it("answers nobody but the server", async () => {
				const post = (headers) => fetch(`${app.url}/api/flowforge?fnId=ts-ten&stepId=step`, { method: "POST", body: "{}", headers });
				for (const headers of [{}, { "x-inngest-signature": `t=${Math.floor(Date.now() / 1000)}&s=${"0".repeat(64)}` }]) {
					const response = await post(headers);
					assert.equal(response.status, 401);
					assert.deepEqual(await response.json(), { message: "Unauthorized" });
					assert.equal(response.headers.get("x-inngest-sdk"), null);
				}
				assert.equal((await fetch(app.url, { method: "PUT" })).status, 401, "nobody says where the app is");
				const { has_signing_key: key, app_id: id } = await (await fetch(app.url)).json();
				assert.deepEqual([key, id], [true, undefined]);
			});
		}
	});
}

// What this package promises beside what every client can (sdk/scenarios), against a running server.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { freePort, logOnFailure, startServer, until } from "../../../../test/e2e/harness.mjs";
import { add, startOurs } from "./harness.mjs";

for (const mode of (process.env.FLOWFORGE_E2E_MODES ?? "dev signed").split(" ")) {
	describe(`in ${mode} mode`, () => {
		let server;
		let app;
		before(async () => {
			server = await startServer({ signed: mode === "signed" });
			app = await startOurs(server);
		});
		after(() => server?.stop());
		logOnFailure(() => server);

		async function ended(name, data = {}, status = "completed") {
			const { id } = await server.start(`ts/${name}`, data);
			const run = await server.finished(id);
			assert.equal(run.status, status, JSON.stringify(run.error));
			return run;
		}

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

		for (const [streaming, requests] of [["lines", 1], ["calls", 1], ["off", 11]]) {
			it(`asks for ten steps in ${requests === 1 ? "one call" : `${requests} calls`} with streaming: "${streaming}"`, async () => {
				const id = `streaming-${streaming}`;
				const other = await startOurs(server, { id, environment: { STREAMING: streaming } });
				const run = await server.finished((await server.start(`${id}/ten`, {})).id);
				assert.deepEqual(run.output, [...Array(10).keys()], JSON.stringify(run.error));
				assert.equal(await other.requests(run), requests);
				const [first, second] = await server.steps(run.id);
				assert.ok(first.ended_at <= second.ended_at && first.status === "completed");
				await other.stop();
			});
		}

		it("refuses integers that would be rounded, and says where; an event's have been rounded already", async () => {
			const refused = await ended("large-integers", { n: 1 }, "failed");
			assert.match(refused.error.message, /step "row" returned what JSON cannot hold: rows\[0\]\.id is the integer 9007199254740992, beyond 2\^53/);
			await server.sql(`select ff_send_event('ts/large-integers', '{"n": 9007199254740993, "text": "9007199254740993"}')`);
			const { output } = await until("it has ended", async () => {
				const { data } = await server.get("/api/v1/runs?function=ts-large-integers&status=completed");
				return data[0] && server.run(data[0].id);
			});
			assert.deepEqual(output, { exact: false, text: "9007199254740993" });
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

		if (mode === "dev") {
			it("ends a call whose run was cancelled: no step begins after it", async () => {
				const directory = mkdtempSync(join(tmpdir(), "flowforge-calls-"));
				const calls = join(directory, "calls");
				const id = "cancelled";
				const other = await startOurs(server, { id, environment: { CALLS: calls } });
				try {
					const entered = () => readFileSync(calls, { encoding: "utf8", flag: "a+" }).split("\n").filter(Boolean);
					const { id: run } = await server.start(`${id}/slow-ten`, { ms: 400 });
					await until("the third step is under way", () => entered().includes("s2"));
					await server.request("POST", `/api/v1/runs/${run}/cancel`, {});
					assert.equal((await server.finished(run)).status, "cancelled");
					// As long as it would go on if nobody stopped it.
					await new Promise((resolve) => setTimeout(resolve, 4000));
					assert.ok(entered().length < 10, `${entered()}`);
				} finally {
					await other.stop();
					rmSync(directory, { recursive: true });
				}
			});
		}

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

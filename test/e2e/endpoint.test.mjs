// Durable endpoints: runs that begin in the app, with a request of somebody's, through the published package (v4); and what a
// scripted app may say of such runs.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { logOnFailure, pause, startEndpoints, startServer, until } from "./harness.mjs";
import { functionId, op, stepRun } from "./played.mjs";

let unique = 0;

for (const mode of ["dev", "signed"]) {
	describe(`endpoints in ${mode} mode`, () => {
		let server;
		let app;
		before(async () => {
			server = await startServer({ signed: mode === "signed", settings: { "flowforge.endpoint_lease": "2s", "flowforge.state_limit": "100kB" } });
			app = await startEndpoints(server);
		});
		after(() => server?.stop());
		logOnFailure(() => server);

		/** Asks an endpoint as anybody would, following where it leads. */
		async function ask(path, init) {
			const key = `key-${++unique}`;
			const response = await fetch(`http://127.0.0.1:${app.port}${path}?key=${key}`, init);
			const text = await response.text();
			const calls = await (await fetch(`http://127.0.0.1:${app.port}/calls/${key}`)).json();
			return { key, response, status: response.status, body: text && JSON.parse(text), calls };
		}
		async function runOf(key) {
			const [id] = await server.sql(`select r.run_id from flowforge.runs r join flowforge.events e using (event_id) where e.data ->> 'query_params' = 'key=${key}'`);
			return { ...(await server.finished(id)), steps: await server.steps(id) };
		}

		it("answer at once when nothing makes them wait, and leave a run with its steps", async () => {
			const { key, status, body, calls } = await ask("/quick");
			assert.equal(status, 200);
			assert.deepEqual(body, { a: "a", b: "b" });
			assert.deepEqual(calls, { a: 1, b: 1 });
			const run = await runOf(key);
			assert.equal(run.status, "completed");
			assert.equal(run.function, "GET /quick");
			assert.equal(run.event_name, "inngest/http.request");
			assert.equal(run.output.body, "null", "of a Response that was answered at once the SDK reports nothing");
			assert.deepEqual(run.steps.map((s) => s.name), ["a", "b"]);
		});

		it("answer after a sleep what they answer then", async () => {
			const { key, response, status, body, calls } = await ask("/sleepy");
			assert.equal(status, 200, JSON.stringify(body));
			assert.deepEqual(body, { after: "after", key });
			assert.equal(response.headers.get("content-type"), "application/json");
			assert.match(response.url, /\/v1\/http\/runs\/[0-9A-Z]{26}\/output\?token=/);
			assert.deepEqual(calls, { before: 1, after: 1 });
			const run = await runOf(key);
			assert.deepEqual(run.steps.map((s) => s.name), ["before", "nap", "after"]);
		});

		it("take a body and another method along", async () => {
			const { key, status, body } = await ask("/sleepy", { method: "POST", headers: { "content-type": "application/json" }, body: '{"b":1,"a":[2]}' });
			assert.equal(status, 200, JSON.stringify(body));
			assert.equal((await runOf(key)).function, "POST /sleepy");
		});

		it("try a failing step again", async () => {
			const { status, body, calls } = await ask("/flaky");
			assert.equal(status, 200, JSON.stringify(body));
			assert.deepEqual(body, { value: "at last" });
			assert.deepEqual(calls, { before: 1, flaky: 2 });
		});

		it("run parallel steps", async () => {
			const { status, body, calls } = await ask("/parallel");
			assert.equal(status, 200, JSON.stringify(body));
			assert.deepEqual(body, { both: ["a", "b"] });
			assert.deepEqual(calls, { a: 1, b: 1 });
		});

		it("are gone on with by the engine when the app falls silent", async () => {
			const key = `key-${++unique}`;
			const abort = new AbortController();
			const lost = fetch(`http://127.0.0.1:${app.port}/lost?key=${key}`, { signal: abort.signal }).catch(() => null);
			await until("the run is there", async () => (await server.sql("select 1 from flowforge.step where name = 'a' and run_id in (select run_id from flowforge.run_parked)")).length > 0);
			abort.abort();
			await lost;
			const run = await runOf(key);
			assert.equal(run.status, "completed", JSON.stringify(run.error));
			assert.deepEqual(JSON.parse(JSON.parse(run.output.body)), { found: true });
			assert.deepEqual(await (await fetch(`http://127.0.0.1:${app.port}/calls/${key}`)).json(), { a: 1, between: 3, b: 1 }, "once by the app, twice by the engine");
		});

		it("that fail in the end say so to who waits", async () => {
			const { key, status, body } = await ask("/fails");
			assert.equal(status, 500);
			assert.equal(body.error.message, "no answer");
			assert.equal((await runOf(key)).status, "failed");
		});

		it("show a result only to who has the token", async () => {
			const { key } = await ask("/quick");
			const run = await runOf(key);
			for (const token of ["", "?token=", "?token=00", `?token=${"0".repeat(64)}`]) {
				const { status } = await server.request("GET", `/v1/http/runs/${run.ulid}/output${token}`, undefined, { authorization: "" });
				assert.equal(status, 401, token);
			}
		});

		describe("of a scripted app", () => {
			const ulid = (n) => `01M7X48DDQY5A8AA99DV${String(++unique * 100 + n).padStart(6, "0")}`;
			const event = { name: "inngest/http.request", data: { domain: "http://127.0.0.1:9", path: "/scripted", method: "GET", query_params: "", body: "", content_type: "" } };
			const start = (runId, more = {}) => server.request("POST", "/v1/checkpoint", { run_id: runId, event, steps: [], request_version: 2, retries: 1, ...more });
			const report = (runId, steps) => server.request("POST", `/v1/checkpoint/${runId}/steps`, { run_id: runId, steps });
			const finish = (runId, data) => report(runId, [{ op: "RunComplete", id: functionId, data }]);

			it("begin once, however often that is said", async () => {
				const runId = ulid(1);
				const answers = await Promise.all([1, 2, 3].map(() => start(runId, { steps: [stepRun("a")] })));
				for (const { status, body } of answers) {
					assert.equal(status, 200, JSON.stringify(body));
					assert.deepEqual(body, answers[0].body);
				}
				assert.equal((await report(runId, [stepRun("b")])).status, 200);
				assert.equal((await finish(runId, "end")).status, 200);
				assert.equal((await server.finished(runId)).output, "end");
				assert.deepEqual((await server.steps(runId)).map((s) => s.name), ["a", "b"]);
				const late = await report(runId, [stepRun("c")]);
				assert.equal(late.status, 409);
			});

			it("are the engine's when the app lets go", async () => {
				const runId = ulid(2);
				await start(runId);
				assert.equal((await report(runId, [op("Sleep", "s", { name: "1h" })])).status, 200);
				await until("it sleeps", async () => (await server.steps(runId)).some((s) => s.status === "sleeping"));
				const { status, body } = await report(runId, [stepRun("a")]);
				assert.equal(status, 409);
				assert.match(body.error, /no longer in its app's hands/);
				await server.request("POST", `/api/v1/runs/${runId}/cancel`, {});
				assert.equal((await server.finished(runId)).status, "cancelled");
			});

			it("keep no more than they may", async () => {
				const large = (name) => stepRun(name, "x".repeat(60_000));
				const refused = (answer) => {
					assert.equal(answer.status, 413, JSON.stringify(answer.body));
					assert.match(answer.body.error, /flowforge.state_limit allows 102400/);
				};
				refused(await start(ulid(6), { steps: [large("a"), large("b")] }));
				const runId = ulid(7);
				assert.equal((await start(runId, { steps: [large("a")] })).status, 200);
				refused(await report(runId, [large("b")]));
				assert.equal((await finish(runId, "x".repeat(60_000))).status, 200, "a run's result is not what its steps keep");
				assert.equal((await server.finished(runId)).status, "completed");
			});

			it("are refused when they are not what they should be", async () => {
				const refused = async (status, message, answer) => {
					assert.equal(answer.status, status, JSON.stringify(answer.body));
					assert.match(answer.body.error, message);
				};
				await refused(400, /run_id and the event/, await start(undefined));
				await refused(400, /not an id/, await start("nonsense"));
				await refused(400, /run_id and the event/, await start(ulid(3), { event: { name: "x" } }));
				await refused(400, /run_id and the event/, await start(ulid(3), { event: { ...event, data: { ...event.data, domain: "file:///etc" } } }));
				await refused(400, /not a list/, await start(ulid(3), { steps: 1 }));
				await refused(404, /does not exist/, await report(ulid(4), []));
				if (mode === "signed") {
					const { status } = await server.request("POST", "/v1/checkpoint", { run_id: ulid(5), event }, { authorization: "" });
					assert.equal(status, 401);
				}
			});
		});

		it("leave nothing behind", async () => {
			await pause(200);
			for (const table of ["run_hot", "run_parked", "inbox"]) {
				assert.deepEqual(await server.sql(`select count(*) from flowforge.${table}`), ["0"], table);
			}
		});
	});
}

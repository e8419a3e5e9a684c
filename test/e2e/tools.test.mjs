// What tests and tools of SDKs ask a server about runs that an app with the published package served: REST v1 and GraphQL.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { logOnFailure, startApp, startServer, until } from "./harness.mjs";

for (const mode of ["dev", "signed"]) {
	describe(`a server in ${mode} mode`, () => {
		let server;
		before(async () => {
			server = await startServer({ signed: mode === "signed" });
			await startApp(server);
		});
		after(() => server?.stop());
		logOnFailure(() => server);

		const send = async (name, data) => (await server.request("POST", `/e/${server.eventKey}`, { name: `e2e-v4/${name}`, data })).body.ids[0];

		/** Polls as the documentation of SDKs says, until the one run of an event has the status. */
		const ended = (event, status) =>
			until(`the run is ${status}`, async () => {
				const { data } = await server.get(`/v1/events/${event}/runs`);
				return data.length === 1 && data[0].status === status && data[0];
			});

		async function gql(query, variables) {
			const { status, body } = await server.request("POST", "/v0/gql", { query, variables });
			assert.equal(status, 200);
			assert.equal(body.errors, undefined, JSON.stringify(body.errors));
			return body.data;
		}

		const traceQuery = `query ($runId: String!) {
			run(runID: $runId) { status trace(preview: true) { ...Span childrenSpans { ...Span } } }
		}
		fragment Span on RunTraceSpan { name stepType attempts status stepID spanID outputID }`;
		const outputQuery = "query ($id: String!) { runTraceSpanOutputByID(outputID: $id) { data error { name message stack } } }";

		it("tells over REST how the runs of an event ended", async () => {
			const run = await ended(await send("sequence", { n: 1 }), "Completed");
			assert.deepEqual(run.output, { c: [2, 4], attempt: 0 });
			assert.equal(run.function_id, "e2e-v4-sequence");
			assert.ok(Date.parse(run.run_started_at) <= Date.parse(run.ended_at));
			assert.deepEqual((await server.get(`/v1/runs/${run.run_id}`)).data, run);
			assert.deepEqual((await server.get(`/v1/runs/${run.run_id}/jobs`)).data, []);
			const failed = await ended(await send("non-retriable-function"), "Failed");
			assert.equal(failed.output.message, "not even once more");
		});

		it("shows over REST what a run waits for, and cancels it", async () => {
			const event = await send("nobody");
			assert.deepEqual((await server.get(`/v1/events/${event}/runs`)).data, []);
			const waiting = await send("wait-match", { key: "rest" });
			const { run_id } = await ended(waiting, "Running");
			const [job] = await until("it waits", async () => {
				const { data } = await server.get(`/v1/runs/${run_id}/jobs`);
				return data.some((j) => j.status === "waiting") && data;
			});
			assert.equal(job.kind, "wait");
			assert.ok(Date.parse(job.run_at) > Date.now());
			const { status } = await server.request("DELETE", `/v1/runs/${run_id}`);
			assert.equal(status, 202);
			await ended(waiting, "Cancelled");
			const again = await server.request("DELETE", `/v1/runs/${run_id}`);
			assert.deepEqual([again.status, again.body.data.result], [200, "already cancelled"]);
		});

		it("cancels the runs of a function whose events meet an expression", async () => {
			const events = await Promise.all([1, 2, 3].map((n) => send("wait-if", { key: `bulk-${n}`, n })));
			await Promise.all(events.map((event) => ended(event, "Running")));
			const { status, body } = await server.request("POST", "/v1/cancellations", {
				app_id: "e2e-v4",
				function_id: "wait-if",
				started_before: new Date().toISOString(),
				if: "event.data.n >= 2",
			});
			assert.equal(status, 200, JSON.stringify(body));
			assert.equal(body.data.runs, 2);
			await ended(events[1], "Cancelled");
			await ended(events[2], "Cancelled");
			await ended(events[0], "Running");
			const { data } = await server.get("/v1/cancellations");
			assert.equal(data[0].id, body.data.id);
			assert.equal((await server.request("DELETE", `/v1/cancellations/${data[0].id}`)).status, 200);
		});

		it("tells in GraphQL what each step of a run left", async () => {
			const { run_id } = await ended(await send("sequence", { n: 1 }), "Completed");
			const { run } = await gql(traceQuery, { runId: run_id });
			assert.equal(run.status, "COMPLETED");
			const spans = run.trace.childrenSpans;
			assert.deepEqual(spans.map((s) => [s.name, s.stepType, s.status, s.attempts]), [
				["a", "RUN", "COMPLETED", 1],
				["b", "RUN", "COMPLETED", 1],
				["c", "RUN", "COMPLETED", 1],
				["Finalization", "FINALIZATION", "COMPLETED", 1],
			]);
			const outputs = [];
			for (const { outputID } of [...spans, run.trace]) {
				outputs.push(JSON.parse((await gql(outputQuery, { id: outputID })).runTraceSpanOutputByID.data));
			}
			const result = { c: [2, 4], attempt: 0 };
			assert.deepEqual(outputs, [{ n: 2 }, { n: 4 }, [2, 4], result, result]);
		});

		it("tells in GraphQL why a step and a run failed", async () => {
			const { run_id } = await ended(await send("exhausted"), "Failed");
			const { run } = await gql(traceQuery, { runId: run_id });
			const always = run.trace.childrenSpans.find((s) => s.name === "always");
			assert.deepEqual([run.status, always.status, always.attempts], ["FAILED", "FAILED", 2]);
			for (const id of [always.outputID, run.trace.outputID]) {
				const { data, error } = (await gql(outputQuery, { id })).runTraceSpanOutputByID;
				assert.equal(data, null);
				assert.deepEqual([error.name, error.message], ["PaymentRefused", "card declined"]);
				assert.match(error.stack, /PaymentRefused/);
			}
		});

		it("lists in GraphQL the events received and what they started", async () => {
			const event = await send("sequence", { n: 5 });
			await ended(event, "Completed");
			const { stream } = await gql("{ stream(query: {limit: 999, includeInternalEvents: false}) { id trigger runs { id function { name } } } }");
			const mine = stream.find((e) => e.id === event);
			assert.equal(mine.trigger, "e2e-v4/sequence");
			assert.equal(mine.runs.length, 1);
			assert.ok(stream.every((e) => !e.trigger.startsWith("inngest/")));
			const { eventV2 } = await gql("query ($id: ULID!) { eventV2(id: $id) { idempotencyKey name raw } }", { id: event });
			assert.equal(eventV2.name, "e2e-v4/sequence");
			const raw = JSON.parse(eventV2.raw);
			assert.deepEqual([raw.name, raw.data, raw.user], ["e2e-v4/sequence", { n: 5 }, {}]);
		});

		if (mode === "dev") {
			it("shows at /dev the functions and what registered them", async () => {
				const { authed, functions, handlers } = await server.get("/dev");
				assert.equal(authed, false);
				assert.ok(functions.some((f) => f.slug === "e2e-v4-sequence" && f.steps[0].uri.startsWith("http")));
				assert.equal(handlers[0].appName, "e2e-v4");
				assert.equal(handlers[0].functions.length, functions.length);
			});
		} else {
			it("shows nothing to who has no key", async () => {
				assert.equal((await fetch(`${server.url}/dev`)).status, 404);
				for (const path of ["/v1/events", "/v1/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/v1/cancellations"]) {
					assert.equal((await fetch(server.url + path)).status, 401, path);
				}
				assert.equal((await fetch(`${server.url}/v0/gql`, { method: "POST", body: "{}" })).status, 401);
			});
		}
	});
}

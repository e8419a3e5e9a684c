// What the Python package registers beside its functions' triggers, and what its apps are told that others are not.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { logOnFailure, startPythonApp, startServer } from "./harness.mjs";

describe("an app with the Python SDK", () => {
	let server;
	let app;
	before(async () => {
		server = await startServer();
		app = await startPythonApp(server, { id: "py", environment: { APP_VERSION: "1.2.3" } });
	});
	after(() => server?.stop());
	logOnFailure(() => server);

	/** A function's configuration as it is kept: what the app sent, but for the address. */
	async function config(id) {
		const [json] = await server.sql(`select v.config from flowforge.function f join flowforge.function_version v
			using (tenant_id, function_id, version) where f.slug = 'py-${id}'`);
		return JSON.parse(json);
	}

	it("is known with its version and framework", async () => {
		const [known] = (await server.get("/api/v1/apps")).data;
		assert.equal(known.name, "py");
		assert.equal(known.version, "1.2.3");
		assert.equal(known.framework, "fast_api");
		assert.match(known.sdk, /^py:v\d/);
	});

	it("registers a schedule with a time zone and jitter", async () => {
		const { data } = await server.get("/api/v1/functions?app=py");
		const nightly = data.find((f) => f.function === "py-nightly");
		assert.equal(nightly.triggers[0].cron, "TZ=Europe/Paris 30 3 * * 1-5");
		assert.deepEqual((await config("nightly")).triggers, [{ cron: "TZ=Europe/Paris 30 3 * * 1-5", jitter: "10s" }]);
	});

	it("registers batches", async () => {
		const { batchEvents } = await config("batched");
		assert.deepEqual(batchEvents, { maxSize: 3, timeout: "1m", key: "event.data.customer", if: "event.data.n > 0" });
	});

	it("registers every kind of flow control", async () => {
		const { concurrency, debounce, priority, rateLimit, throttle, timeouts, singleton, idempotency, name } = await config("controlled");
		const key = "event.data.customer";
		assert.deepEqual(concurrency, [{ limit: 2, key, scope: "fn" }, { limit: 10, scope: "account" }]);
		assert.deepEqual(debounce, { period: "1s", key, timeout: "1m" });
		assert.deepEqual(priority, { run: "event.data.vip ? 120 : 0" });
		assert.deepEqual(rateLimit, { limit: 100, period: "1m", key });
		assert.deepEqual(throttle, { limit: 100, period: "1m", burst: 10, key });
		assert.deepEqual(timeouts, { start: "1m", finish: "1h" });
		assert.deepEqual(singleton, { mode: "skip", key });
		assert.equal(idempotency, "event.data.id");
		assert.equal(name, "All the controls");
	});

	it("registers what cancels a run", async () => {
		assert.deepEqual((await config("cancellable")).cancel, [
			{ event: "py/cancelled", if: "event.data.id == async.data.id", timeout: "1d" },
		]);
	});

	it("gives a function that fails a second one, which is tried once", async () => {
		const { data } = await server.get("/api/v1/functions?app=py");
		const failure = data.find((f) => f.function === "py-fails-failure");
		assert.equal(failure.retries, 0);
		assert.deepEqual(failure.triggers, [
			{ event: "inngest/function.failed", expression: "event.data.function_id == 'py-fails'" },
		]);
	});

	it("is told why its functions are refused", async () => {
		const refused = await startPythonApp(server, { id: "py-refused", environment: { BAD_CRON: "every other tuesday" }, register: false });
		const response = await fetch(refused.url, { method: "PUT" });
		const { error } = await response.json();
		assert.match(error, /py-refused-nightly.*"every other tuesday" is not a schedule/);
		assert.deepEqual((await server.get("/api/v1/functions?app=py-refused")).data, []);
	});

	it("sends an event once when it sends it again", async () => {
		const event = { name: "py/no-steps", data: { value: 1 }, id: "py-once" };
		const first = await app.send([event]);
		const second = await app.send([event]);
		assert.deepEqual(second, first);
		assert.equal((await server.get(`/v1/events/${first.body.ids[0]}/runs`)).data.length, 1);
	});

	it("is told when its event is refused", async () => {
		const { status, body } = await app.send([{ name: "inngest/function.failed", data: {} }]);
		assert.equal(status, 502);
		assert.match(body.message, /reserved/);
	});
});

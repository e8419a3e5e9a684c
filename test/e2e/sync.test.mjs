// How apps and the server get to know each other, with the published packages: both majors and Python, in development mode and signed.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { logOnFailure, startApp, startPythonApp, startServer } from "./harness.mjs";

const sdks = [
	{ name: "SDK v4", id: "e2e-v4", sdk: /^js:v4\./, start: (server, more) => startApp(server, { major: 4, ...more }) },
	{ name: "SDK v3", id: "e2e-v3", sdk: /^js:v3\./, start: (server, more) => startApp(server, { major: 3, ...more }) },
	{ name: "the Python SDK", id: "e2e-fastapi", sdk: /^py:v/, start: (server, more) => startPythonApp(server, more) },
];

for (const mode of ["dev", "signed"]) {
	describe(`a server in ${mode} mode`, () => {
		let server;
		before(async () => {
			server = await startServer({ signed: mode === "signed" });
		});
		after(() => server?.stop());
		logOnFailure(() => server);

		const apps = async () => (await server.get("/api/v1/apps")).data;
		const functionsOf = async (app) => (await server.get(`/api/v1/functions?app=${app}`)).data;

		for (const { name, id, sdk, start } of sdks) {
			describe(`and an app with ${name}`, () => {
				let app;
				before(async () => {
					app = await start(server, { register: false });
				});

				it("learns the app's functions when it is added by its URL", async () => {
					const { status, body } = await server.request("POST", "/api/v1/apps", { url: app.url });
					assert.equal(status, 200, JSON.stringify(body));
					assert.deepEqual([body.ok, body.modified, body.error], [true, true, null]);
					assert.equal(body.app.name, id);
					assert.match(body.app.sdk, sdk);
					assert.ok(body.app.functions > 40);
					assert.equal((await functionsOf(id)).length, body.app.functions);
				});

				it("finds nothing new when it asks again, over HTTP or in SQL", async () => {
					const known = (await apps()).find((a) => a.name === id);
					const { body } = await server.request("POST", `/api/v1/apps/${known.id}/sync`);
					assert.deepEqual([body.ok, body.modified], [true, false]);
					assert.equal(body.app.id, known.id);
					const [again] = await server.sql(`select ff_sync_app('${app.url}')`);
					const { ok, modified, app_id } = JSON.parse(again);
					assert.deepEqual({ ok, modified, app_id }, { ok: true, modified: false, app_id: known.id });
				});

				it("takes over what the app tells it of its own accord, too", async () => {
					const { modified } = await server.register(app.url);
					assert.equal(typeof modified, "boolean");
					assert.equal((await apps()).filter((a) => a.name === id).length, 1);
				});

				it("runs a function by its id, whatever its triggers", async () => {
					const { status, body } = await server.request("POST", `/invoke/${id}-no-steps`, { data: { value: 5 }, id: `invoke-${id}` });
					assert.equal(status, 200, JSON.stringify(body));
					assert.deepEqual((await server.finished(body.run_id)).output, { echo: 5 });
					const again = await server.request("POST", `/invoke/${id}-no-steps`, { data: { value: 6 }, id: `invoke-${id}` });
					assert.deepEqual(again.body, body, "a repeat is given the same run");
				});

				it("archives the functions of an app that is removed, and gets them back", async () => {
					const known = (await apps()).find((a) => a.name === id);
					assert.equal((await server.request("DELETE", `/api/v1/apps/${known.id}`)).status, 200);
					assert.deepEqual(await functionsOf(id), []);
					assert.deepEqual((await server.send(`${id}/no-steps`)).runs, []);
					const { body } = await server.request("POST", "/api/v1/apps", { url: app.url });
					assert.deepEqual([body.ok, body.modified], [true, true]);
					const { id: run } = await server.start(`${id}/no-steps`, { value: 1 });
					assert.equal((await server.finished(run)).status, "completed");
				});

				it("follows an app that moves to another address", async () => {
					await app.stop();
					app = await start(server);
					assert.equal((await apps()).find((a) => a.name === id).url.replace("localhost", "127.0.0.1"), app.url);
					const { id: run } = await server.start(`${id}/no-steps`, { value: 2 });
					assert.deepEqual((await server.finished(run)).output, { echo: 2 });
				});
			});
		}

		it("says why an app could not be added, and keeps it in sight", async () => {
			const url = "http://127.0.0.1:9/api/inngest";
			const { status, body } = await server.request("POST", "/api/v1/apps", { url });
			assert.equal(status, 200);
			assert.match(body.error, /could not be reached/);
			assert.equal((await apps()).find((a) => a.url === url).sync_error, body.error);
			assert.equal((await server.request("DELETE", `/api/v1/apps/${body.app.id}`)).status, 200);
		});

		it("says that an address is no app's", async () => {
			const { body } = await server.request("POST", "/api/v1/apps", { url: `${server.url}/health` });
			assert.match(body.error, /did not come from an SDK/);
		});
	});
}

describe("keys that are being changed", () => {
	const [before_, after_] = ["signkey-test-00112233445566778899aabbccddeeff", "signkey-test-ffeeddccbbaa99887766554433221100"];
	let server;
	before(async () => {
		// The server has the new key already, the apps still start with the old one.
		server = await startServer({ signed: true, settings: { "flowforge.signing_key": after_, "flowforge.signing_key_fallback": before_ } });
		server.signingKey = after_;
	});
	after(() => server?.stop());
	logOnFailure(() => server);
	const environment = { INNGEST_SIGNING_KEY: before_, INNGEST_SIGNING_KEY_FALLBACK: after_ };

	for (const { name, id, start } of sdks) {
		it(`stop no run of an app with ${name}`, async () => {
			await start(server, { environment });
			const run = await server.start(`${id}/sequence`, { n: 1 });
			const ended = await server.finished(run.id);
			assert.equal(ended.status, "completed", JSON.stringify(ended.error));
		});
	}

	for (const { name, id, start } of sdks) {
		it(`do not keep an app with ${name} that knows only the old one from being added`, async () => {
			const app = await start(server, { environment: { INNGEST_SIGNING_KEY: before_ }, register: false });
			const { status, body } = await server.request("POST", "/api/v1/apps", { url: app.url });
			assert.deepEqual([status, body.ok, body.error], [200, true, null]);
			assert.equal(body.app.name, id);
			const [again] = await server.sql(`select ff_sync_app('${app.url}')`);
			assert.equal(JSON.parse(again).modified, false);
		});
	}

	it("refuse an app that has neither", async () => {
		const environment = { INNGEST_SIGNING_KEY: "signkey-test-abcd" };
		const app = await startApp(server, { id: "stranger", environment, register: false });
		const { body } = await server.request("POST", "/api/v1/apps", { url: app.url });
		assert.equal(body.ok, false);
		assert.match(body.error, /401/);
		const response = await fetch(app.url, { method: "PUT" });
		assert.notEqual(response.status, 200);
	});
});

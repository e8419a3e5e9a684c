// Steps the server takes itself, from an app's answer through the real gateway to a person's decision over HTTP.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { logOnFailure, startServer, until } from "./harness.mjs";
import { Rogue, sdkHeaders, signature } from "./rogue.mjs";

const id = (name) => name.padEnd(40, "0");
const op = (kind, name, opts) => ({ op: kind, id: id(name), name, displayName: name, opts });

/** The function: each step in turn, then it returns what it was handed. */
const steps = [
	op("Lock", "lock", { key: "orders" }),
	op("Sql", "insert", { query: "insert into orders (id, total) values ($1, $2) returning id", params: ["o1", 42.5] }),
	op("Approval", "ask", { prompt: "Ship order o1?", form: { type: "object", required: ["carrier"] } }),
	op("SendEvent", "tell", { events: [{ name: "order/shipped", data: { id: "o1" } }] }),
	op("Unlock", "unlock", { key: "orders" }),
];

for (const mode of ["dev", "signed"]) {
	describe(`steps the server takes, in ${mode} mode`, () => {
		let server;
		let app;
		before(async () => {
			server = await startServer({ signed: mode === "signed" });
			app = await Rogue.start(server, "served", (request, response, body) => {
				const done = JSON.parse(body).steps;
				const next = steps.find((step) => !(step.id in done));
				const answer = JSON.stringify(next ? [next] : Object.fromEntries(steps.map((step) => [step.name, done[step.id]])));
				const signed = server.signingKey ? { "x-inngest-signature": signature(answer, server.signingKey) } : {};
				response.writeHead(next ? 206 : 200, { ...sdkHeaders, ...signed }).end(answer);
			});
			await server.sql("create role clerk login; create table orders (id text primary key, total numeric); alter table orders owner to clerk");
			await server.sql("select ff_set_app_role('served', 'clerk')");
		});
		after(async () => {
			app?.stop();
			await server?.stop();
		});
		logOnFailure(() => server);

		it("goes through all of them", async () => {
			const { id: run } = await server.start("served/go", {});
			const [asked] = await until("it asks", async () => {
				const { body } = await server.request("GET", `/api/v1/approvals?status=pending&run=${run}`);
				return body.data.length > 0 && body.data;
			});
			assert.equal(asked.prompt, "Ship order o1?");
			assert.equal(asked.function, "served-f");
			const bad = await server.request("POST", `/api/v1/approvals/${asked.id}/approve`, { data: {}, by: "ann" });
			assert.equal(bad.status, 422);
			assert.match(bad.body.errors[0]?.detail ?? bad.body.detail, /carrier|form/);
			const good = await server.request("POST", `/api/v1/approvals/${asked.id}/approve`, { data: { carrier: "post" }, by: "ann" });
			assert.equal(good.status, 200);
			assert.equal(good.body.result, "approved");
			const again = await server.request("POST", `/api/v1/approvals/${asked.id}/reject`, { by: "bob" });
			assert.equal(again.status, 409);
			const ended = await server.finished(run);
			assert.equal(ended.status, "completed", JSON.stringify(ended.error));
			const { insert, ask, tell, lock, unlock } = ended.output;
			assert.deepEqual(insert, { data: { count: 1, rows: [{ id: "o1" }] } });
			assert.deepEqual({ ...ask.data, at: null }, { approved: true, at: null, by: "ann", data: { carrier: "post" }, reason: null });
			assert.equal(tell.data.ids.length, 1);
			assert.deepEqual([lock.data.locked, unlock.data.unlocked], [true, true]);
			assert.deepEqual(await server.sql("select id, total::text from orders"), ["o1|42.5"]);
			const { body: event } = await server.request("GET", `/api/v1/events/${tell.data.ids[0]}`);
			assert.equal(event.name, "order/shipped");
		});

		it("keeps decisions from those who may not make them", async () => {
			const { status } = await fetch(`${server.url}/api/v1/approvals`, {});
			assert.equal(status, mode === "signed" ? 401 : 200);
		});
	});
}

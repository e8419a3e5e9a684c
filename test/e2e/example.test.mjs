// examples/orders-typescript as its README says: npm start, PUT, an event, a shipped order.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { freePort, logOnFailure, startServer, until } from "./harness.mjs";

const example = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "examples", "orders-typescript");
const tsx = join(example, "node_modules", "tsx", "dist", "cli.mjs");

describe("the orders example", { skip: !existsSync(tsx) && "npm install in examples/orders-typescript comes first" }, () => {
	let server;
	let app;
	before(async () => {
		server = await startServer();
		const port = await freePort();
		app = spawn(process.execPath, [tsx, "src/app.ts"], {
			cwd: example,
			env: { PATH: process.env.PATH, HOME: process.env.HOME, INNGEST_DEV: server.url, PORT: String(port) },
			stdio: ["ignore", "pipe", "ignore"],
		});
		await once(createInterface(app.stdout), "line");
		await server.register(`http://127.0.0.1:${port}/api/inngest`);
	});
	after(async () => {
		if (app) {
			app.kill();
			await once(app, "exit");
		}
		await server?.stop();
	});
	logOnFailure(() => server);

	it("ships an order", async () => {
		const { id } = await server.start("shop/order.created", { id: "o1", total: 42 });
		const run = await server.finished(id);
		assert.deepEqual(run.output, {
			order: "o1",
			status: "shipped",
			charge: "charge-o1",
			shelf: 2,
			label: "label-o1",
			paid: 42,
			receipt: "receipt-o1",
			gift: "voucher-o1",
		});
		await until("it is delivered", async () => (await server.runsOf("orders-deliver")).some((r) => r.status === "completed"));
	});

	it("apologises for a lost parcel", async () => {
		const { id } = await server.start("shop/order.created", { id: "o2", total: 5, lost: true });
		assert.equal((await server.finished(id)).status, "completed");
		await until("the delivery has failed", async () => (await server.runsOf("orders-deliver")).some((r) => r.status === "failed"));
		await until("the apology is made", async () => (await server.runsOf("orders-deliver-failure")).some((r) => r.status === "completed"));
	});
});

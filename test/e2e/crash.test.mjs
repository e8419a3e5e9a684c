// Whatever is killed in the middle of orders, every order is shipped and no finished step is entered again.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, logOnFailure, pause, startApp, startServer, until } from "./harness.mjs";

for (const major of [4, 3]) {
	describe(`with orders of SDK v${major} under way`, () => {
		let server;
		let app;
		let port;
		before(async () => {
			// Orders send events through the gateway: it has a moment to find the server again before their attempts are used up.
			server = await startServer({ settings: { "flowforge.retry_interval": 1500 } });
			port = await freePort();
			app = await startApp(server, { major, id: "shop", port });
		});
		after(() => server?.stop());
		logOnFailure(() => server);

		/** Starts `count` orders, spread over their course, so that each kind of step is under way at the kill. */
		async function orders(count) {
			const runs = [];
			for (let i = 0; i < count; i++) {
				runs.push(await server.start("shop/order.created", { id: `o${i}`, total: i + 1 }));
				await pause(80);
			}
			return runs;
		}

		/** Which steps of the runs have finished, and how often the app has entered each. */
		async function finishedSteps(runs) {
			const finished = [];
			for (const { id, ulid } of runs) {
				const names = (await server.sql(`select name from flowforge.steps where run_id = '${id}' and status in ('completed', 'failed')`)).filter(Boolean);
				const calls = await app.calls({ ulid });
				for (const name of names) if (calls[name]) finished.push({ ulid, name, calls: calls[name] });
			}
			return finished;
		}

		async function shipped(runs, finished) {
			for (const { id } of runs) {
				const run = await server.finished(id);
				assert.equal(run.status, "completed", JSON.stringify(run.error));
				assert.equal(run.output.gift, "voucher");
			}
			for (const { ulid, name, calls } of finished) {
				assert.equal((await app.calls({ ulid }))[name], calls, `finished step ${name} was entered again`);
			}
			for (const table of ["run_hot", "run_parked", "wait", "inbox"]) {
				await until(`${table} is empty`, async () => (await server.sql(`select count(*) from flowforge.${table}`))[0] === "0");
			}
		}

		const ready = () => until("the server is ready", async () => (await fetch(`${server.url}/ready`)).ok, 30_000);

		it("survives the kill of an executor", async () => {
			const runs = await orders(15);
			const finished = await finishedSteps(runs);
			assert.ok(finished.length > 10, "steps had finished");
			const [pid] = await server.sql("select pid from flowforge.executors() order by executor");
			process.kill(Number(pid), "SIGKILL");
			await pause(300);
			await ready();
			await shipped(runs, finished);
		});

		it("survives the kill of the postmaster", async () => {
			const runs = await orders(15);
			const finished = await finishedSteps(runs);
			const pid = Number(readFileSync(join(server.cluster.data, "postmaster.pid"), "utf8").split("\n")[0]);
			process.kill(pid, "SIGKILL");
			// Its children notice by themselves; the next start must find them gone.
			await pause(500);
			await until("it starts again", () => server.cluster.start().then(() => true));
			await ready();
			await shipped(runs, finished);
		});

		it("survives the kill of the gateway", async () => {
			const runs = await orders(15);
			const finished = await finishedSteps(runs);
			server.gateway.kill("SIGKILL");
			await pause(700);
			await server.startGateway();
			await shipped(runs, finished);
		});

		it("survives the kill of the app", async () => {
			const runs = await orders(15);
			app.child.kill("SIGKILL");
			await pause(700);
			// The app's counts die with it: what had finished before must not be entered in the new one at all.
			const finished = [];
			for (const { id, ulid } of runs) {
				const names = await server.sql(`select name from flowforge.steps where run_id = '${id}' and status in ('completed', 'failed') and op = 'run'`);
				finished.push(...names.map((name) => ({ ulid, name })));
			}
			assert.ok(finished.length > 10, "steps had finished");
			app = await startApp(server, { major, id: "shop", port });
			await shipped(runs, []);
			for (const { ulid, name } of finished) assert.equal((await app.calls({ ulid }))[name], undefined, `${name} was entered again`);
		});
	});
}

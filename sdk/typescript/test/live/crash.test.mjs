// Applications that die: a process that is killed at the beginning of each step has repeated none that had finished.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { freePort, logOnFailure, startServer, until } from "../../../../test/e2e/harness.mjs";
import { environmentOf } from "./harness.mjs";

const program = join(dirname(fileURLToPath(import.meta.url)), "dying.mjs");
const steps = [...Array(10).keys()];

/** Keeps a program running: whenever it has ended it is started again. Gives what stops that, and says how often it was started. */
function keep(environment) {
	let child;
	let over = false;
	const running = (async () => {
		let starts = 0;
		while (!over) {
			child = spawn(process.execPath, [program], { env: environment, stdio: ["ignore", "inherit", "inherit"] });
			starts++;
			await once(child, "exit");
		}
		return starts;
	})();
	return () => {
		over = true;
		child.kill("SIGKILL");
		return running;
	};
}

describe("an application that is killed in every step", { concurrency: 4 }, () => {
	let server;
	before(async () => {
		server = await startServer();
	});
	after(() => server?.stop());
	logOnFailure(() => server);

	for (const [adapter, streaming] of [["node", "lines"], ["node", "calls"], ["fetch", "lines"]]) {
		it(`repeats none that has finished: ${adapter}, ${streaming}`, async () => {
			const app = `dying-${adapter}-${streaming}`;
			const here = mkdtempSync(join(tmpdir(), "flowforge-dying-"));
			const stop = keep(environmentOf(server, { APP: app, PORT: String(await freePort()), HERE: here, STREAMING: streaming, ADAPTER: adapter }));
			try {
				await until("it is registered", async () => (await server.get("/api/v1/functions")).data.some((one) => one.function === `${app}-dying`));
				const { id } = await server.start(`${app}/start`, {});
				const run = await server.finished(id, 120_000);
				assert.deepEqual(run.output, steps, JSON.stringify(run.error));
				assert.deepEqual(readFileSync(join(here, "log"), "utf8").trim().split("\n").map(Number), steps, "each once");
				assert.equal(await stop(), steps.length + 1);
			} finally {
				await stop();
				rmSync(here, { recursive: true, force: true });
			}
		});
	}
});

// Every snippet of the README, compiled as it stands and run against a server.

import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { serve } from "flowforge/node";
import { freePort, logOnFailure, startServer, until } from "../../../../test/e2e/harness.mjs";
import { environmentOf } from "./harness.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const directory = join(root, "test", ".readme");
const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");

describe("the README", () => {
	let server;
	const stops = [];
	before(async () => {
		server = await startServer();
		rmSync(directory, { recursive: true, force: true });
		mkdirSync(directory, { recursive: true });
		const snippets = [...readFileSync(join(root, "README.md"), "utf8").matchAll(/```ts\n\/\/ ([\w.]+\.ts)\n([\s\S]*?)```/g)];
		assert.equal(snippets.length, readFileSync(join(root, "README.md"), "utf8").split("```ts").length - 1, "each has a name");
		for (const [, name, text] of snippets) writeFileSync(join(directory, name), text);
		const compilerOptions = { target: "es2022", module: "nodenext", strict: true, noUncheckedIndexedAccess: true, skipLibCheck: true, types: ["node"] };
		writeFileSync(join(directory, "tsconfig.json"), JSON.stringify({ compilerOptions }));
		execFileSync(process.execPath, [compiler, "-p", directory], { stdio: "inherit" });
	});
	after(async () => {
		for (const stop of stops) await stop();
		rmSync(directory, { recursive: true, force: true });
		await server?.stop();
	});
	logOnFailure(() => server);

	const run = async (name) => (await promisify(execFile)(process.execPath, [join(directory, name)], { env: environmentOf(server) })).stdout;

	it("has an app and a sender that do what they say", async () => {
		const child = spawn(process.execPath, [join(directory, "app.js")], { env: environmentOf(server, { PORT: String(await freePort()) }), stdio: "inherit" });
		const gone = once(child, "exit");
		stops.push(async () => {
			child.kill();
			await gone;
		});
		await until("it is registered", async () => (await server.get("/api/v1/functions")).data.some((f) => f.function === "shop-process-order"));
		const lines = (await run("send.js")).trim().split("\n");
		assert.equal(lines[0], "snapshot");
		assert.ok(lines.includes("step.waiting") && lines.includes("run.completed"), lines.join());
		assert.deepEqual(JSON.parse(lines.at(-1)), { charge: "C-o1", shelf: 7, label: "label for o1", paid: 42 });
		assert.deepEqual((await run("client.js")).trim().split("\n"), ["completed", "FF010"]);
	});

	it("has a test of a function", async () => {
		assert.equal(await run("order.test.js"), "tested\n");
	});

	it("has a tour of the steps", async () => {
		process.env.FLOWFORGE_URL = server.url;
		const { flowforge, later } = await import(pathToFileURL(join(directory, "tour.js")).href);
		delete process.env.FLOWFORGE_URL;
		const app = createServer(serve(flowforge)).listen(0, "127.0.0.1");
		stops.push(() => (app.closeAllConnections(), app.close()));
		await once(app, "listening");
		await flowforge.register(`http://127.0.0.1:${app.address().port}/`);
		const { id } = await server.start("tour/start", {});
		const { status, output, error } = await server.finished(id);
		assert.equal(status, "completed", JSON.stringify(error));
		assert.deepEqual(output, { n: 42, squares: [1, 4, 9], first: "quick", caught: "refuse: out of gifts", attempt: 0 });
		assert.equal(later, "30");
	});

	it("serves in every framework", async () => {
		const { app, fastify, handler, GET, POST, PUT } = await import(pathToFileURL(join(directory, "serving.js")).href);
		const listening = app.listen(0, "127.0.0.1");
		stops.push(() => (listening.closeAllConnections(), listening.close()));
		await once(listening, "listening");
		const asked = await fetch(`http://127.0.0.1:${listening.address().port}/api/flowforge`);
		assert.equal((await asked.json()).mode, "dev");
		const at = await fastify.listen({ port: 0, host: "127.0.0.1" });
		assert.equal((await (await fetch(`${at}/api/flowforge`)).json()).mode, "dev");
		await fastify.close();
		for (const one of [handler, GET]) assert.equal((await (await one(new Request("http://localhost/"))).json()).mode, "dev");
		assert.deepEqual([typeof POST, typeof PUT], ["function", "function"]);
	});
});

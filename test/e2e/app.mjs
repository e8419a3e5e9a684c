// An Express application around functions.mjs, started as a child process by the harness: its environment
// (INNGEST_DEV, or INNGEST_BASE_URL with keys) is all it knows about the server.
//
//   SDK=3|4  APP_ID=name  PORT=0  FUNCTIONS=./functions.mjs  node app.mjs
//
// Prints one line of JSON, {"port": n}, when it listens.  Beside /api/inngest it answers
// GET /calls/{run}  how often each step body of a run was entered, and
// GET /seen/{key}   what a function without a caller left under a key.

import express from "express";
import { Calls } from "./functions.mjs";
import { defineStepKinds } from "./stepkinds.mjs";

const major = Number(process.env.SDK ?? 4);
const sdk = await import(`inngest-v${major}`);
const { serve } = await import(`inngest-v${major}/express`);
const { defineFunctions } = await import(process.env.FUNCTIONS ?? "./functions.mjs");

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const client = new sdk.Inngest({ id: process.env.APP_ID ?? `e2e-v${major}`, logger: quiet });
const calls = new Calls();
const seen = new Map();
const functions = [
	...defineFunctions(sdk, client, calls, seen, major),
	...(await defineStepKinds(sdk, client, calls, seen, major)),
];

const app = express();
app.use("/api/inngest", (request, response, next) => {
	const key = `requests ${request.headers["x-run-id"]}`;
	if (request.method === "POST") seen.set(key, (seen.get(key) ?? 0) + 1);
	next();
});
app.use("/api/inngest", express.json({ limit: "8mb" }), serve({ client, functions }));
app.get("/calls/:run", (request, response) => response.json(calls.of(request.params.run)));
app.get("/seen/:key", (request, response) => response.json(seen.get(request.params.key) ?? null));
app.post("/send", express.json(), async (request, response) => {
	try {
		response.json(await client.send(request.body));
	} catch (error) {
		response.status(502).json({ message: error.message });
	}
});

const server = app.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
	console.log(JSON.stringify({ port: server.address().port }));
});
server.keepAliveTimeout = 60_000;
process.on("SIGTERM", () => process.exit(0));

// An application of this package as a child process, served by the HTTP server of the standard library: the functions of own.mjs. Its
// environment is all it knows of the server.
//
//   APP_ID=name  PORT=0  STREAMING=lines  node app.mjs
//
// Prints {"port": n} when it listens. GET /calls/{run} tells how often each step body of a run was entered, GET /requests/{run} how often the
// server has called for it, and CALLS names a file to which each entry is written, for what happens when the process is killed.

import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import { FlowForge } from "flowforge";
import { serve } from "flowforge/node";
import { Calls } from "../../../../test/e2e/functions.mjs";
import { defineOwn } from "./own.mjs";

const flowforge = new FlowForge({ id: process.env.APP_ID ?? "ts", streaming: process.env.STREAMING });
const calls = new Calls();
const requests = new Map();

defineOwn(flowforge, calls, (entry) => process.env.CALLS && appendFileSync(process.env.CALLS, `${entry}\n`));

const handler = serve(flowforge);
const server = createServer((request, response) => {
	const [, place, key] = request.url.split("/");
	const json = (value) => response.setHeader("content-type", "application/json").end(JSON.stringify(value));
	if (place === "calls") return json(calls.of(key));
	if (place === "requests") return json(requests.get(key) ?? 0);
	const run = request.headers["x-run-id"];
	if (request.method === "POST") requests.set(run, (requests.get(run) ?? 0) + 1);
	return handler(request, response);
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
process.on("SIGTERM", () => process.exit(0));

// An application of this package as a child process, served by the HTTP server of the standard library: the functions of
// shared.mjs, which the published package serves as well, and those of own.mjs. Its environment is all it knows of
// the server.
//
//   APP_ID=name  PORT=0  STREAMING=lines  node app.mjs
//
// Prints {"port": n} when it listens. GET /calls/{run} tells how often each step body of a run was entered, GET /seen/{key} what was
// left under a key, and CALLS names a file to which each entry is written, for what happens when the process is killed.

import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import { FlowForge, NonRetryableError, RetryAfterError } from "flowforge";
import { serve } from "flowforge/node";
import { Calls, defineFunctions } from "./shared.mjs";
import { defineOwn } from "./own.mjs";

const flowforge = new FlowForge({ id: process.env.APP_ID ?? "ts", streaming: process.env.STREAMING });
const calls = new Calls();
const seen = new Map();

// The words of the other package, where ours are different.
const words = { NonRetriableError: NonRetryableError, RetryAfterError, referenceFunction: ({ functionId }) => `${flowforge.id}-${functionId}` };
const client = {
	id: flowforge.id,
	createFunction: ({ triggers, ...options }, handler) =>
		flowforge.createFunction({ ...options, trigger: triggers }, (context) => handler({ ...context, group: { parallel: (body) => context.step.race(body) } })),
};
defineFunctions(words, client, calls, seen, 4);
defineOwn(flowforge, calls, (entry) => process.env.CALLS && appendFileSync(process.env.CALLS, `${entry}\n`));

const handler = serve(flowforge);
const server = createServer((request, response) => {
	const [, place, key] = request.url.split("/");
	const json = (value) => response.setHeader("content-type", "application/json").end(JSON.stringify(value));
	if (place === "calls") return json(calls.of(key));
	if (place === "seen") return json(seen.get(decodeURIComponent(key)) ?? null);
	if (place === "send") return flowforge.send({ name: `${flowforge.id}/no-steps`, data: { value: "from outside" } }).then(json);
	if (request.method === "POST") seen.set(`requests ${request.headers["x-run-id"]}`, (seen.get(`requests ${request.headers["x-run-id"]}`) ?? 0) + 1);
	return handler(request, response);
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
process.on("SIGTERM", () => process.exit(0));

// An HTTP server whose handlers are durable endpoints of the published package (v4), started as a child process by
// endpoint.test.mjs. Prints {"port": n}; GET /calls/{key} says how often what was entered for the requests with ?key=.

import { createServer } from "node:http";
import { Inngest, NonRetriableError, step } from "inngest-v4";
import { endpointAdapter, serveEndpoint } from "inngest-v4/node";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const client = new Inngest({ id: process.env.APP_ID, endpointAdapter, logger: quiet });
const calls = new Map();
const hit = (key, name) => {
	const counts = calls.get(key) ?? {};
	calls.set(key, { ...counts, [name]: (counts[name] ?? 0) + 1 });
	return counts[name] ?? 0;
};
const keyOf = (request) => new URL(request.url).searchParams.get("key");
const counted = (key, id, body = () => id) => step.run(id, () => body(hit(key, id)));

const handlers = {
	"/quick": async (request) => {
		const key = keyOf(request);
		const a = await counted(key, "a");
		const b = await counted(key, "b");
		return Response.json({ a, b });
	},
	"/sleepy": async (request) => {
		const key = keyOf(request);
		await counted(key, "before");
		await step.sleep("nap", "500ms");
		const after = await counted(key, "after");
		return Response.json({ after, key }, { status: 201, headers: { "x-answer": "yes" } });
	},
	"/flaky": async (request) => {
		const key = keyOf(request);
		await counted(key, "before");
		const value = await counted(key, "flaky", (before) => {
			if (before === 0) throw new Error("not yet");
			return "at last";
		});
		return Response.json({ value });
	},
	"/parallel": async (request) => {
		const key = keyOf(request);
		const both = await Promise.all([counted(key, "a"), counted(key, "b")]);
		return Response.json({ both });
	},
	"/lost": async (request) => {
		const key = keyOf(request);
		await counted(key, "a");
		if (hit(key, "between") === 0) await new Promise(() => {});
		await counted(key, "b");
		return Response.json({ found: true });
	},
	"/fails": async (request) => {
		const key = keyOf(request);
		await counted(key, "a");
		await step.sleep("nap", "100ms");
		throw new NonRetriableError("no answer");
	},
};
const endpoints = Object.fromEntries(Object.entries(handlers).map(([path, handler]) => [path, serveEndpoint(client.endpoint(handler))]));

const server = createServer((request, response) => {
	const { pathname } = new URL(request.url, "http://x");
	if (pathname.startsWith("/calls/")) return response.end(JSON.stringify(calls.get(decodeURIComponent(pathname.slice(7))) ?? {}));
	const endpoint = endpoints[pathname];
	if (endpoint) return endpoint(request, response);
	response.writeHead(404).end();
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
process.on("SIGTERM", () => process.exit(0));

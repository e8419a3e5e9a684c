// Apps as frameworks serve them, and calls as the server makes them.

import { once } from "node:events";
import { createServer } from "node:http";
import express from "express";
import Fastify from "fastify";
import { serve as serveExpress } from "flowforge/express";
import { flowforgePlugin } from "flowforge/fastify";
import { serve as serveFetch } from "flowforge/fetch";
import { serve as serveNext, servePages } from "flowforge/next";
import { serve } from "flowforge/node";
import { viaFetch } from "./bridge.mjs";

export const key = "signkey-test-0123456789abcdef0123456789abcdef";
const path = "/api/flowforge";

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits for what must come. */
export async function until(what, probe) {
	for (let i = 0; !probe(); i++) {
		if (i > 1500) throw new Error(`${what}: it does not come`);
		await pause(20);
	}
}

/** A call for the first time; `ctx` has what is to be different. */
export const callOf = (data, ctx = {}) => ({
	ctx: { run_id: "01M7X48DDQY5A8AA99DVBKTVDC", attempt: 0, max_attempts: 4, stack: { stack: [], current: 0 }, disable_immediate_execution: false, use_api: false, ...ctx },
	event: { id: "1", name: "shop/echo", data, ts: 1, user: {} },
	events: [],
	steps: {},
	version: -1,
});

/** An HTTP server around a listener; gives where the app is. */
export async function listen(listener) {
	const server = createServer(listener).listen(0, "127.0.0.1");
	await once(server, "listening");
	return { url: `http://127.0.0.1:${server.address().port}${path}`, stop: () => (server.closeAllConnections(), server.close()) };
}

/** Starts an app in a framework: gives its URL, and what stops it. */
export const adapters = {
	"the standard library": (app) => listen(serve(app)),
	Express: (app) => listen(express().use(path, serveExpress(app))),
	"Express, after express.json()": (app) => listen(express().use(express.json()).use(path, serveExpress(app))),
	"Express, after express.text()": (app) => listen(express().use(express.text({ type: "*/*" })).use(path, serveExpress(app))),
	Fastify: async (app) => {
		const fastify = Fastify({ forceCloseConnections: true });
		fastify.addHook("onRequest", async (_request, reply) => void reply.header("x-hooked", "yes"));
		await fastify.register(flowforgePlugin, { client: app, path });
		const url = await fastify.listen({ port: 0, host: "127.0.0.1" });
		return { url: url + path, stop: () => fastify.close() };
	},
	"fetch handlers": (app) => listen(viaFetch(serveFetch(app))),
	"the app router of Next.js": (app) => listen(viaFetch(serveNext(app))),
	"the pages router of Next.js": (app) => {
		// Next.js parses the body before it calls the page.
		const page = servePages(app);
		return listen(express().use(express.json()).use((request, response) => page(request, response)));
	},
};

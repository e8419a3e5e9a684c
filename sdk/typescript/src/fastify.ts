// Fastify, as a plugin.

import type { IncomingMessage, ServerResponse } from "node:http";

import { serveWith, type AnyFlowForge, type ServeOptions } from "./handler.js";
import { respond, serveRequest, type NodeRequest } from "./listener.js";

export type { ServeOptions } from "./handler.js";

/** What the plugin needs of a request and a reply. */
type Request = { raw: IncomingMessage; body?: unknown };
type Reply = {
	raw: ServerResponse;
	code(status: number): Reply;
	headers(headers: Record<string, string>): Reply;
	getHeaders(): { [name: string]: number | string | string[] | undefined };
	send(body: string): unknown;
	/** Says that the response is written by us. */
	hijack?(): unknown;
};

/** What the plugin needs of Fastify, whose own types are not needed to install this package. */
type Instance = {
	removeAllContentTypeParsers(): void;
	addContentTypeParser(type: string, options: { parseAs: "string"; bodyLimit?: number }, parser: (request: never, body: string, done: (error: null, body: string) => void) => void): unknown;
	route(route: { method: string[]; url: string; bodyLimit?: number; handler: (request: Request, reply: Reply) => unknown }): unknown;
};

/** Where the plugin serves which app. */
export type FastifyOptions = ServeOptions & { client: AnyFlowForge; path?: string };

const bodyLimit = 64 * 1024 * 1024;

/**
 * A plugin for `fastify.register`; `path` is `/api/flowforge` when it is left out.
 *
 * @example
 * fastify.register(flowforgePlugin, { client: flowforge, path: "/api/flowforge" });
 */
export async function flowforgePlugin(instance: object, { client, path = "/api/flowforge", ...options }: FastifyOptions): Promise<void> {
	const serve = serveWith(client, "fastify", options);
	const fastify = instance as Instance;
	// In the plugin's own scope: the body as it came, because that is what is signed.
	fastify.removeAllContentTypeParsers();
	fastify.addContentTypeParser("*", { parseAs: "string", bodyLimit }, (_request, body, done) => done(null, body));
	fastify.route({
		method: ["GET", "PUT", "POST"],
		url: path,
		bodyLimit,
		handler: async (request, reply) => {
			const raw: NodeRequest = Object.create(request.raw, { rawBody: { value: typeof request.body === "string" ? request.body : "" } });
			const answer = await serve({ ...serveRequest(raw), canStream: typeof reply.hijack === "function" });
			const { status, headers, body } = answer;
			if (typeof body === "string") return reply.code(status).headers(headers).send(body);
			// Fastify's own streams read ahead; what hooks have set is sent nevertheless.
			reply.hijack?.();
			for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) reply.raw.setHeader(name, value);
			await respond(reply.raw, answer);
			return reply;
		},
	});
}

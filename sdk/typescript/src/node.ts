// The standard library's HTTP server.

import type { IncomingMessage, ServerResponse } from "node:http";

import { serveWith, type AnyFlowForge, type ServeOptions, type ServeRequest } from "./handler.js";
import { canonical } from "./jcs.js";

export type { ServeOptions } from "./handler.js";

/** A request that a framework may have parsed already, and whose URL it may have shortened. */
export type NodeRequest = IncomingMessage & { body?: unknown; rawBody?: unknown; originalUrl?: string; protocol?: string };

/** What is read of a body at most: the server fetches state that is larger than a call may be. */
const most = 64 * 1024 * 1024;

async function readBody(request: IncomingMessage): Promise<string> {
	const chunks: Buffer[] = [];
	let size = 0;
	for await (const chunk of request) {
		size += (chunk as Buffer).length;
		if (size > most) throw new Error(`a body of more than ${most} bytes is not read`);
		chunks.push(chunk as Buffer);
	}
	return Buffer.concat(chunks).toString("utf8");
}

/** The body: as it came where that is known, else the canonical text of what was parsed. */
export async function bodyText(request: NodeRequest): Promise<string> {
	const { rawBody, body } = request;
	if (Buffer.isBuffer(rawBody) || typeof rawBody === "string") return rawBody.toString();
	if (Buffer.isBuffer(body) || typeof body === "string") return body.toString();
	// What could still be read has not been parsed.
	if (body === undefined || body === null || !request.readableEnded) return request.readableEnded ? "" : readBody(request);
	return isEmpty(body) && !(Number(request.headers["content-length"]) > 0) && request.headers["transfer-encoding"] === undefined ? "" : canonical(body);
}

// Body parsers say {} of a request without a body.
const isEmpty = (body: unknown): boolean => typeof body === "object" && body !== null && Object.keys(body).length === 0;

/** A framework's request as the handler reads it. */
export function serveRequest(request: NodeRequest): ServeRequest {
	const header = (name: string): string | undefined => {
		const value = request.headers[name];
		return Array.isArray(value) ? value[0] : value;
	};
	// Whoever asks chooses host and path: neither may be what a URL cannot be made of.
	const urlOf = (path: string, origin: string): URL => {
		try {
			return new URL(origin + (path.startsWith("/") ? path : "/"));
		} catch {
			return new URL("http://localhost/");
		}
	};
	const encrypted = "encrypted" in request.socket || request.protocol === "https" || header("x-forwarded-proto") === "https";
	const host = header("x-forwarded-host") ?? header("host") ?? "localhost";
	return {
		method: request.method ?? "GET",
		url: urlOf(request.originalUrl ?? request.url ?? "/", `${encrypted ? "https" : "http"}://${host}`),
		header,
		text: () => bodyText(request),
	};
}

/** @internal A listener that says which framework it stands in. */
export function listener(app: AnyFlowForge, framework: string, options?: ServeOptions): (request: NodeRequest, response: ServerResponse) => Promise<void> {
	const serve = serveWith(app, framework, options);
	return async (request, response) => {
		const { status, headers, body } = await serve(serveRequest(request));
		response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) }).end(body);
	};
}

/**
 * A listener for `http.createServer`. It answers every path: ask for one before it where other things are served, too.
 *
 * @example
 * createServer(serve(flowforge)).listen(3000, () => flowforge.register("http://localhost:3000/"));
 */
export function serve(app: AnyFlowForge, options?: ServeOptions): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
	return listener(app, "nodejs", options);
}

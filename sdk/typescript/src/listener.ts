// What stands on Node's own HTTP server, whatever framework is between: requests as they came or as a body parser left them, and answers at
// once or line by line.

import type { IncomingMessage, ServerResponse } from "node:http";

import { serveWith, type AnyFlowForge, type ServeOptions, type ServeRequest, type ServeResponse } from "./handler.js";
import { canonical } from "./jcs.js";

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
		canStream: true,
	};
}

const glance = 20;

/**
 * Writes a line, and comes back when it has left the process, or nobody is there to take it. The callback of `write` says that; middleware
 * that wraps `write` may forget it, so that we look ourselves, too, whether anything is left to be written.
 */
function written(response: ServerResponse, line: string): Promise<void> {
	return new Promise((resolve) => {
		const look = (): void => {
			if (response.writableLength === 0) done();
		};
		const done = (): void => {
			clearInterval(looking);
			response.off("close", done);
			resolve();
		};
		const looking = setInterval(look, glance);
		response.once("close", done);
		response.write(line, done);
		// The first line is held back to the end of this turn, with the headers.
		setImmediate(look);
	});
}

/** @internal Writes an answer: at once, or line by line. */
export async function respond(response: ServerResponse, { status, headers, body }: ServeResponse): Promise<void> {
	// Somebody else may have answered, a time limit for instance, or nobody be there any more.
	const isOver = response.headersSent || response.destroyed;
	if (typeof body === "string") {
		if (!isOver) response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) }).end(body);
		return;
	}
	if (isOver) return body.close();
	response.once("close", () => body.close());
	response.writeHead(status, headers);
	for (let line = await body.next(); line !== null; line = await body.next()) await written(response, line);
	response.end();
}

/** @internal A listener that says which framework it stands in. */
export function listener(app: AnyFlowForge, framework: string, options?: ServeOptions): (request: NodeRequest, response: ServerResponse) => Promise<void> {
	const serve = serveWith(app, framework, options);
	return async (request, response) => {
		await respond(response, await serve(serveRequest(request)));
	};
}

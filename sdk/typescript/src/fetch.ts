// Handlers that take a Request and give a Response: Bun, Deno, Hono, Remix, SvelteKit, and what else speaks fetch.

import { serveWith, type AnyFlowForge, type ServeOptions } from "./handler.js";
import type { Lines } from "./lines.js";

export type { ServeOptions } from "./handler.js";

/** A body that asks for a line when the one before has been taken. */
function streamOf(lines: Lines): ReadableStream<Uint8Array> {
	const encoder = new TextEncoder();
	return new ReadableStream<Uint8Array>(
		{
			async pull(controller) {
				const line = await lines.next();
				if (line === null) controller.close();
				else controller.enqueue(encoder.encode(line));
			},
			cancel: () => lines.close(),
		},
		// Nothing is asked for before somebody reads: a line that waits here has not left.
		{ highWaterMark: 0 },
	);
}

/** @internal A handler that says which framework it stands in. */
export function responder(app: AnyFlowForge, framework: string, options?: ServeOptions): (request: Request) => Promise<Response> {
	const serve = serveWith(app, framework, options);
	return async (request) => {
		const { status, headers, body } = await serve({
			method: request.method,
			url: new URL(request.url),
			header: (name) => request.headers.get(name) ?? undefined,
			text: () => request.text(),
			canStream: typeof ReadableStream === "function",
		});
		if (typeof body === "string") return new Response(body, { status, headers });
		// Who has gone need not have begun to read.
		request.signal?.addEventListener("abort", () => body.close(), { once: true });
		if (request.signal?.aborted) body.close();
		return new Response(streamOf(body), { status, headers });
	};
}

/**
 * A handler for one URL.
 *
 * @example
 * Bun.serve({ port: 3000, fetch: serve(flowforge) });
 */
export function serve(app: AnyFlowForge, options?: ServeOptions): (request: Request) => Promise<Response> {
	return responder(app, "fetch", options);
}

// Handlers that take a Request and give a Response: Bun, Deno, Hono, Remix, SvelteKit, and what else speaks fetch.

import { serveWith, type AnyFlowForge, type ServeOptions } from "./handler.js";

export type { ServeOptions } from "./handler.js";

/** @internal A handler that says which framework it stands in. */
export function responder(app: AnyFlowForge, framework: string, options?: ServeOptions): (request: Request) => Promise<Response> {
	const serve = serveWith(app, framework, options);
	return async (request) => {
		const { status, headers, body } = await serve({
			method: request.method,
			url: new URL(request.url),
			header: (name) => request.headers.get(name) ?? undefined,
			text: () => request.text(),
		});
		return new Response(body, { status, headers });
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

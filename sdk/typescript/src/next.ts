// Next.js: the app router and the pages router.

import type { ServerResponse } from "node:http";

import { responder } from "./fetch.js";
import type { AnyFlowForge, ServeOptions } from "./handler.js";
import { listener, type NodeRequest } from "./listener.js";

export type { ServeOptions } from "./handler.js";

type Handler = (request: Request) => Promise<Response>;

/**
 * The exports of a route of the app router, `app/api/flowforge/route.ts`.
 *
 * @example
 * export const { GET, POST, PUT } = serve(flowforge);
 */
export function serve(app: AnyFlowForge, options?: ServeOptions): { GET: Handler; POST: Handler; PUT: Handler } {
	const handler = responder(app, "nextjs", options);
	return { GET: handler, POST: handler, PUT: handler };
}

/**
 * The default export of a route of the pages router, `pages/api/flowforge.ts`.
 *
 * @example
 * export default servePages(flowforge);
 */
export function servePages(app: AnyFlowForge, options?: ServeOptions): (request: NodeRequest, response: ServerResponse) => Promise<void> {
	return listener(app, "nextjs", options);
}

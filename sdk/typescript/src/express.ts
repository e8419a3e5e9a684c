// Express, and what takes its middleware. Bodies may be parsed before it or not.

import type { ServerResponse } from "node:http";

import type { AnyFlowForge, ServeOptions } from "./handler.js";
import { listener, type NodeRequest } from "./listener.js";

export type { ServeOptions } from "./handler.js";

/**
 * A handler for `app.use`.
 *
 * @example
 * app.use("/api/flowforge", serve(flowforge));
 */
export function serve(app: AnyFlowForge, options?: ServeOptions): (request: NodeRequest, response: ServerResponse) => Promise<void> {
	return listener(app, "express", options);
}

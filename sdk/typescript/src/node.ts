// The standard library's HTTP server.

import type { IncomingMessage, ServerResponse } from "node:http";

import type { AnyFlowForge, ServeOptions } from "./handler.js";
import { listener } from "./listener.js";

export type { ServeOptions } from "./handler.js";
export { work, type Worker, type WorkOptions } from "./work.js";

/**
 * A listener for `http.createServer`. It answers every path: ask for one before it where other things are served, too.
 *
 * @example
 * createServer(serve(flowforge)).listen(3000, () => flowforge.register("http://localhost:3000/"));
 */
export function serve(app: AnyFlowForge, options?: ServeOptions): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
	return listener(app, "nodejs", options);
}

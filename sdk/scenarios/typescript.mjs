// The scenarios' functions, served by FlowForge's package for TypeScript: APP_ID=name node typescript.mjs. What else it needs to know is in
// the environment that the package reads. Prints {"url": of the functions, "side": of side.mjs}.

import { createServer } from "node:http";
import { FlowForge, NonRetryableError, RetryAfterError } from "../typescript/dist/esm/index.js";
import { serve } from "../typescript/dist/esm/node.js";
import { defineFunctions } from "./functions.mjs";
import { Side } from "./side.mjs";

const flowforge = new FlowForge({ id: process.env.APP_ID });
const side = new Side((event) => flowforge.send(event));

const words = {
	app: flowforge.id,
	own: true,
	NonRetryable: NonRetryableError,
	RetryAfter: RetryAfterError,
	define: (options, event, handler) => flowforge.createFunction({ ...options, trigger: event }, handler),
	reference: (id) => `${flowforge.id}-${id}`,
	// Steps that have begun race as well as functions do.
	race: ({ step }, entries) => step.race(...entries.map((entry, i) => (i % 2 ? entry() : entry))),
	fetch: (step, id, url, body) => step.fetch(id, url, { method: "POST", body }),
	ask: async (step, id, url, prompt) => (await step.ai(id, { provider: "fake", model: "small", prompt })).content,
};
defineFunctions(words, side);

const functions = serve(flowforge);
const server = createServer((request, response) => side.serves(request, response) || functions(request, response));
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => {
	const url = `http://127.0.0.1:${server.address().port}`;
	console.log(JSON.stringify({ url: `${url}/api/flowforge`, side: url }));
});
process.on("SIGTERM", () => process.exit(0));

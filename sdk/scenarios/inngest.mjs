// The scenarios' functions, served by the published `inngest` package as it is: APP_ID=name node inngest.mjs. As typescript.mjs.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { defineFunctions } from "./functions.mjs";
import { Side } from "./side.mjs";

// It is installed for the end-to-end tests.
const require = createRequire(new URL("../../test/e2e/package.json", import.meta.url));
const sdk = require("inngest-v4");
const { serve } = require("inngest-v4/node");

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const client = new sdk.Inngest({ id: process.env.APP_ID, logger: quiet });
const side = new Side((event) => client.send(event));
const made = [];

const words = {
	app: client.id,
	own: false,
	NonRetryable: sdk.NonRetriableError,
	RetryAfter: sdk.RetryAfterError,
	define(options, event, handler) {
		made.push(client.createFunction({ ...options, triggers: [{ event }] }, handler));
		return made.at(-1);
	},
	reference: (functionId) => sdk.referenceFunction({ functionId }),
	race: ({ group }, entries) => group.parallel(() => Promise.race(entries.map((entry) => entry()))),
	fetch: (step, _id, url, body) =>
		step.fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
	async ask(step, id, url, prompt) {
		const model = step.ai.models.openai({ model: "small", apiKey: "key", baseUrl: `${url}/` });
		const answer = await step.ai.infer(id, { model, body: { messages: [{ role: "user", content: prompt }] } });
		return answer.choices[0].message.content;
	},
};
defineFunctions(words, side);

const functions = serve({ client, functions: made });
const server = createServer((request, response) => side.serves(request, response) || functions(request, response));
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => {
	const url = `http://127.0.0.1:${server.address().port}`;
	console.log(JSON.stringify({ url: `${url}/api/inngest`, side: url }));
});
process.on("SIGTERM", () => process.exit(0));

// The app of streaming.py in TypeScript: a function of so many steps, told in the way that STREAMING names.

import { createServer } from "node:http";
import { FlowForge } from "../../sdk/typescript/dist/esm/index.js";
import { serve } from "../../sdk/typescript/dist/esm/node.js";

const streaming = process.env.STREAMING;
const app = new FlowForge({ id: `typescript-${streaming}`, streaming });
app.createFunction({ id: "many", trigger: `typescript-${streaming}/many` }, async ({ event, step }) => {
	for (let n = 0; n < event.data.steps; n++) await step.run(`s${n}`, () => null);
});

const server = createServer(serve(app)).listen(0, "127.0.0.1", async () => {
	await app.register(`http://127.0.0.1:${server.address().port}/`);
	console.log("registered");
});

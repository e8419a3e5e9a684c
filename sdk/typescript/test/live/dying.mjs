// An application whose process is killed at the beginning of each step that it has not been killed in yet.
//
//   APP=name  PORT=n  HERE=directory  STREAMING=lines|calls  ADAPTER=node|fetch  node dying.mjs
//
// HERE/log has a line for each step body that has come to its end.

import { appendFileSync, closeSync, openSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { FlowForge } from "flowforge";
import { serve as serveFetch } from "flowforge/fetch";
import { serve } from "flowforge/node";
import { viaFetch } from "../unit/bridge.mjs";

const { APP, PORT, HERE, STREAMING, ADAPTER } = process.env;
const flowforge = new FlowForge({ id: APP, streaming: STREAMING });

function body(n) {
	try {
		closeSync(openSync(join(HERE, `died-${n}`), "wx"));
	} catch {
		appendFileSync(join(HERE, "log"), `${n}\n`);
		return n;
	}
	process.kill(process.pid, "SIGKILL");
	for (;;); // until the signal has come
}

flowforge.createFunction({ id: "dying", trigger: `${APP}/start`, retries: 20 }, async ({ step }) => {
	const done = [];
	for (let n = 0; n < 10; n++) done.push(await step.run(`s${n}`, () => body(n)));
	return done;
});

const handler = ADAPTER === "fetch" ? viaFetch(serveFetch(flowforge)) : serve(flowforge);
await new Promise((resolve) => createServer(handler).listen(Number(PORT), "127.0.0.1", resolve));
await flowforge.register(`http://127.0.0.1:${PORT}/api/flowforge`);

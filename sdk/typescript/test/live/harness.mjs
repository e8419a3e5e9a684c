// Starts applications of this package beside a server of test/e2e/harness.mjs.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

/** What an application needs to know of a server, and nothing else that this process may have been told. */
export function environmentOf(server, more = {}) {
	const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(INNGEST|FLOWFORGE|NODE_TEST)_/.test(name)));
	const keys = server.signingKey ? { FLOWFORGE_SIGNING_KEY: server.signingKey, FLOWFORGE_EVENT_KEY: server.eventKey } : {};
	return { ...clean, FLOWFORGE_URL: server.url, ...keys, ...more };
}

/** Starts a program that prints {"port": n}; gives it with its port. */
export async function launch(server, program, environment = {}) {
	const child = spawn(process.execPath, [program], { env: environmentOf(server, environment), stdio: ["ignore", "pipe", "inherit"] });
	const [line] = await once(createInterface(child.stdout), "line");
	const gone = once(child, "exit");
	const app = {
		child,
		port: JSON.parse(line).port,
		async stop(signal = "SIGTERM") {
			child.kill(signal);
			await gone;
		},
	};
	app.url = `http://127.0.0.1:${app.port}`;
	app.calls = async (run) => (await fetch(`${app.url}/calls/${run.ulid}`)).json();
	app.requests = async (run) => (await fetch(`${app.url}/requests/${run.ulid}`)).json();
	server.apps.push(app);
	return app;
}

/** Asks the server to add an application by its URL. */
export async function add(server, url) {
	const { status, body } = await server.request("POST", "/api/v1/apps", { url });
	if (status !== 200 || !body.ok) throw new Error(`the app at ${url} was not added: ${JSON.stringify(body)}`);
	return body;
}

/** Starts app.mjs and has the server add it. */
export async function startOurs(server, { id = "ts", port = 0, environment = {} } = {}) {
	const app = await launch(server, join(here, "app.mjs"), { APP_ID: id, PORT: String(port), ...environment });
	app.id = id;
	await add(server, `${app.url}/api/flowforge`);
	return app;
}


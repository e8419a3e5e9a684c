// The clients that play the scenarios: an application each, as a child process beside a server of test/e2e/harness.mjs.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const python = join(here, "..", "python", ".venv", "bin", "python");

/** What an application is told of the server; nothing else of this process's environment may tell it more. */
function environment(server, named) {
	const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(INNGEST|FLOWFORGE|NODE_TEST)_/.test(name)));
	return { ...clean, ...named(server) };
}

const ours = ({ url, signingKey, eventKey }) => ({
	FLOWFORGE_URL: url,
	...(signingKey ? { FLOWFORGE_SIGNING_KEY: signingKey, FLOWFORGE_EVENT_KEY: eventKey } : {}),
});

const theirs = ({ url, signingKey, eventKey }) =>
	signingKey ? { INNGEST_DEV: "0", INNGEST_BASE_URL: url, INNGEST_SIGNING_KEY: signingKey, INNGEST_EVENT_KEY: eventKey } : { INNGEST_DEV: url };

const applications = [
	{ name: "python", program: python, file: "python.py", named: ours },
	{ name: "typescript", program: process.execPath, file: "typescript.mjs", named: ours },
	{ name: "inngest", program: process.execPath, file: "inngest.mjs", named: theirs },
];

class Client {
	constructor(name, child, { url, side }) {
		this.name = name;
		this.id = `${name}-app`;
		this.child = child;
		this.url = url;
		this.side = side;
	}

	async #ask(place, key) {
		const response = await fetch(`${this.side}/${place}/${encodeURIComponent(key)}`);
		const answer = await response.json();
		if (!response.ok) throw new Error(`${place} ${key}: ${answer.message}`);
		return answer;
	}

	/** How often each step's code of a run was entered; packages know runs by their ULID. */
	entered(run) {
		return this.#ask("entered", run);
	}

	seen(key) {
		return this.#ask("seen", key);
	}

	open(gate) {
		return this.#ask("open", gate);
	}

	/** Sends an event with the package's client; gives {ids}. */
	send(event) {
		return this.#ask("send", event);
	}

	/** The harness stops what is among the server's apps. */
	async stop() {
		if (this.child.exitCode !== null || this.child.signalCode !== null) return;
		const gone = once(this.child, "exit");
		this.child.kill("SIGKILL");
		await gone;
	}
}

async function start(server, { name, program, file, named }) {
	const more = { APP_ID: `${name}-app`, PYTHONDONTWRITEBYTECODE: "1" };
	const child = spawn(program, [join(here, file)], { env: { ...environment(server, named), ...more }, stdio: ["ignore", "pipe", "inherit"] });
	const [line] = await Promise.race([
		once(createInterface(child.stdout), "line"),
		once(child, "exit").then(([code]) => Promise.reject(new Error(`${file} ended with ${code}`))),
	]);
	const client = new Client(name, child, JSON.parse(line));
	server.apps.push(client);
	const { status, body } = await server.request("POST", "/api/v1/apps", { url: client.url });
	if (status !== 200 || !body.ok) throw new Error(`the app of ${file} was not added: ${JSON.stringify(body)}`);
	return client;
}

/** Starts all of them, registered with the server. */
export function startClients(server) {
	return Promise.all(applications.map((application) => start(server, application)));
}

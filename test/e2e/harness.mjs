// What the end-to-end tests stand on: a private PostgreSQL cluster with the extension, the gateway in front of it, and
// apps as child processes.  Everything is started on free ports in a temporary directory and stopped by process id.
//
//   const server = await startServer({ settings: { "flowforge.retry_interval": 100 } });
//   const app = await startApp(server, { major: 4 });
//   const run = await server.start("e2e-v4/sequence", { n: 1 });     // an event, and the one run it starts
//   assert.equal((await server.finished(run.id)).status, "completed");
//   await server.stop();                                             // apps, gateway, cluster, directory
//
// FLOWFORGE_BIN names the gateway's program; PG_BINDIR the directory of PostgreSQL's programs.

import { execFile, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmodSync, chownSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const repository = join(here, "..", "..");
const gatewayProgram = process.env.FLOWFORGE_BIN ?? join(repository, "src", "gateway", "flowforge");
const run = promisify(execFile);

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `probe`, asked every so often, gives something truthy and returns that; an error that names `what` after `ms`. */
export async function until(what, probe, ms = 40_000, every = 50) {
	const end = Date.now() + ms;
	let last;
	for (;;) {
		try {
			const value = await probe();
			if (value) return value;
			last = undefined;
		} catch (error) {
			last = error;
		}
		if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`, { cause: last });
		await pause(every);
	}
}

export async function freePort() {
	const server = createServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address();
	server.close();
	await once(server, "close");
	return port;
}

/** The bearer token the protocol derives from a signing key. */
export function keyHash(key) {
	const [, prefix, hex] = key.match(/^(signkey-\w+-)([0-9a-f]+)$/);
	return prefix + createHash("sha256").update(Buffer.from(hex, "hex")).digest("hex");
}

// PostgreSQL refuses to run as root: as root, its programs run as the user postgres.
const isRoot = process.getuid() === 0;
const bindir = process.env.PG_BINDIR ?? execFileSync("pg_config", ["--bindir"], { encoding: "utf8" }).trim();
const asPostgres = (program, args) =>
	isRoot
		? ["runuser", ["-u", "postgres", "--", join(bindir, program), ...args]]
		: [join(bindir, program), args];

class Cluster {
	constructor(directory, port) {
		this.directory = directory;
		this.port = port;
		this.data = join(directory, "data");
		this.log = join(directory, "postgres.log");
	}

	static async create(settings) {
		const directory = mkdtempSync(join(tmpdir(), "flowforge-e2e-"));
		const cluster = new Cluster(directory, await freePort());
		if (isRoot) {
			const [uid, gid] = ["-u", "-g"].map((flag) => Number(execFileSync("id", [flag, "postgres"])));
			chownSync(directory, uid, gid);
		} else {
			chmodSync(directory, 0o700);
		}
		await run(...asPostgres("initdb", ["-D", cluster.data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]));
		const lines = Object.entries({
			shared_preload_libraries: "flowforge,pg_cron",
			"cron.database_name": "flow",
			listen_addresses: "127.0.0.1",
			port: cluster.port,
			unix_socket_directories: directory,
			fsync: "off",
			log_min_messages: "info",
			"flowforge.databases": "flow",
			"flowforge.outbound_allow": "127.0.0.1, ::1, localhost", // what steps call here
			...settings,
		}).map(([name, value]) => `${name} = '${value}'`);
		writeFileSync(join(cluster.data, "postgresql.conf"), `${lines.join("\n")}\n`);
		await cluster.start();
		return cluster;
	}

	async start() {
		await run(...asPostgres("pg_ctl", ["-D", this.data, "-l", this.log, "-w", "-t", "30", "start"]));
	}

	async stop() {
		await run(...asPostgres("pg_ctl", ["-D", this.data, "-w", "-m", "immediate", "stop"])).catch(() => {});
	}

	/** Runs SQL in psql and gives its output, one string a row, columns separated by "|". */
	async psql(sql, { database = "flow", user = "postgres" } = {}) {
		const args = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", this.port, "-U", user, "-d", database, "-c", sql];
		const { stdout } = await run(join(bindir, "psql"), args.map(String), { maxBuffer: 64 << 20 });
		return stdout.split("\n").filter((line) => line !== "");
	}

	logTail(lines = 40) {
		try {
			return readFileSync(this.log, "utf8").split("\n").slice(-lines).join("\n");
		} catch {
			return "(no log)";
		}
	}
}

async function stopChild(child) {
	if (child.exitCode !== null || child.signalCode !== null) return;
	const gone = once(child, "exit");
	child.kill("SIGTERM");
	const late = setTimeout(() => child.kill("SIGKILL"), 3000);
	await gone;
	clearTimeout(late);
}

export class Server {
	apps = [];

	constructor(cluster, port, signingKey, eventKey) {
		this.cluster = cluster;
		this.port = port;
		this.url = `http://127.0.0.1:${port}`;
		this.signingKey = signingKey;
		this.eventKey = eventKey;
	}

	startGateway() {
		const log = openSync(join(this.cluster.directory, "gateway.log"), "a");
		const database = `host=127.0.0.1 port=${this.cluster.port} dbname=flow user=flowforge_gateway`;
		const args = ["serve", "--host", "127.0.0.1", "--port", String(this.port), "--db", database];
		this.gateway = spawn(gatewayProgram, args, { stdio: ["ignore", log, log] });
		const exited = once(this.gateway, "exit").then(([code]) => Promise.reject(new Error(`the gateway exited with ${code}`)));
		exited.catch(() => {});
		return Promise.race([exited, until("the server is ready", async () => (await fetch(`${this.url}/ready`)).ok, 30_000)]);
	}

	get authorization() {
		return this.signingKey ? { authorization: `Bearer ${keyHash(this.signingKey)}` } : {};
	}

	/** An HTTP request to the server, authorised; gives {status, headers, body}, the body parsed where it is JSON. */
	async request(method, path, body, headers = {}) {
		const response = await fetch(this.url + path, {
			method,
			headers: { ...this.authorization, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
			body: body === undefined || typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
		});
		const text = await response.text();
		const isJson = /json/.test(response.headers.get("content-type") ?? "");
		return { status: response.status, headers: response.headers, body: isJson && text !== "" ? JSON.parse(text) : text };
	}

	async get(path) {
		const { status, body } = await this.request("GET", path);
		if (status !== 200) throw new Error(`GET ${path}: ${status} ${JSON.stringify(body)}`);
		return body;
	}

	/** Sends an event; gives {id, runs}. */
	async send(name, data = {}, more = {}) {
		const { status, body } = await this.request("POST", "/api/v1/events", { name, data, ...more });
		if (status !== 200) throw new Error(`event ${name}: ${status} ${JSON.stringify(body)}`);
		return body;
	}

	/** Sends an event that starts one run; gives {id, function}. */
	async start(name, data) {
		const { runs } = await this.send(name, data);
		if (runs.length !== 1) throw new Error(`event ${name} started ${runs.length} runs`);
		return runs[0];
	}

	run(id) {
		return this.get(`/api/v1/runs/${id}`);
	}

	async steps(id) {
		return (await this.get(`/api/v1/runs/${id}/steps`)).data;
	}

	async events(id) {
		return (await this.get(`/api/v1/runs/${id}/events`)).data;
	}

	/** Runs of a function, newest first. */
	async runsOf(name, filter = "") {
		return (await this.get(`/api/v1/runs?limit=200&function=${encodeURIComponent(name)}${filter}`)).data;
	}

	/** Waits until a run has ended. */
	async finished(id, ms = 40_000, every = 50) {
		let run;
		try {
			return await until("the run has ended", async () => {
				run = await this.run(id);
				return run.ended_at && run;
			}, ms, every);
		} catch (error) {
			const steps = await this.steps(id).catch(() => []);
			throw new Error(`${error.message}\n${JSON.stringify({ run, steps }, null, 1)}`, { cause: error.cause });
		}
	}

	sql(text, options) {
		return this.cluster.psql(text, options);
	}

	/** Registers an app by the PUT that anybody may send it. */
	async register(url) {
		const response = await fetch(url, { method: "PUT" });
		const body = await response.json();
		if (response.status !== 200 || body.error) throw new Error(`PUT ${url}: ${response.status} ${JSON.stringify(body)}`);
		return body;
	}

	logTail() {
		let gateway = "";
		try {
			gateway = readFileSync(join(this.cluster.directory, "gateway.log"), "utf8").split("\n").slice(-15).join("\n");
		} catch {}
		return `--- server log\n${this.cluster.logTail()}\n--- gateway log\n${gateway}`;
	}

	/** What flowforge.fsck() finds: nothing, at any time. */
	broken() {
		return this.sql("select invariant, run_id, detail from flowforge.fsck()");
	}

	async stop() {
		const broken = this.gateway ? await this.broken().catch((error) => [String(error)]) : [];
		await this.#stopAll();
		if (broken.length > 0) throw new Error(`flowforge.fsck():\n${broken.join("\n")}`);
	}

	async #stopAll() {
		await Promise.all(this.apps.map((app) => app.stop()));
		if (this.gateway) await stopChild(this.gateway);
		await this.cluster.stop();
		if (!process.env.FLOWFORGE_E2E_KEEP) rmSync(this.cluster.directory, { recursive: true, force: true });
	}
}

const signingKey = "signkey-test-0123456789abcdef0123456789abcdef";

/** Starts a cluster with the extension, and the gateway; `signed` sets keys, which ends development mode. */
export async function startServer({ signed = false, settings = {} } = {}) {
	const cluster = await Cluster.create({
		"flowforge.retry_interval": 200,
		"flowforge.executors": 2,
		...(signed ? { "flowforge.signing_key": signingKey, "flowforge.event_keys": "key1,key2" } : {}),
		...settings,
	});
	const server = new Server(cluster, await freePort(), signed ? signingKey : null, signed ? "key1" : "any");
	try {
		await cluster.psql("create database flow", { database: "postgres" });
		await cluster.psql("create extension pg_cron; create extension flowforge");
		await server.startGateway();
	} catch (error) {
		console.error(server.logTail());
		await server.stop();
		throw error;
	}
	return server;
}

class App {
	constructor(child, port, id) {
		this.child = child;
		this.port = port;
		this.id = id;
		this.url = `http://127.0.0.1:${port}/api/inngest`;
	}

	/** How often each step body of a run was entered; SDKs know runs by their ULID. */
	async calls(run) {
		return (await fetch(`http://127.0.0.1:${this.port}/calls/${run.ulid}`)).json();
	}

	async seen(key) {
		return (await fetch(`http://127.0.0.1:${this.port}/seen/${encodeURIComponent(key)}`)).json();
	}

	/** Has the app send events with its SDK. */
	async send(events) {
		const response = await fetch(`http://127.0.0.1:${this.port}/send`, {
			method: "POST",
			headers: { "content-type": "application/json" },
			body: JSON.stringify(events),
		});
		return { status: response.status, body: await response.json() };
	}

	stop() {
		return stopChild(this.child);
	}
}

/** The environment of an app that is to find the server: nothing else tells it where that is. */
function appEnvironment(server, more) {
	const { INNGEST_DEV, INNGEST_BASE_URL, INNGEST_EVENT_KEY, INNGEST_SIGNING_KEY, NODE_TEST_CONTEXT, ...environment } = process.env;
	if (!server.signingKey) return { ...environment, ...more, INNGEST_DEV: server.url };
	return {
		...environment,
		// INNGEST_DEV=0 because SDK v3 takes itself for a development app unless NODE_ENV says production.
		INNGEST_DEV: "0",
		INNGEST_BASE_URL: server.url,
		INNGEST_EVENT_KEY: server.eventKey,
		INNGEST_SIGNING_KEY: server.signingKey,
		...more,
	};
}

/** Starts a program that prints {"port": n} when it serves, and registers what it serves unless told not to. */
async function launchApp(server, { id, register = true }, program, args, environment) {
	const child = spawn(program, args, { env: appEnvironment(server, environment), stdio: ["ignore", "pipe", "inherit"] });
	const [line] = await once(createInterface(child.stdout), "line");
	const app = new App(child, JSON.parse(line).port, id);
	server.apps.push(app);
	if (register) await server.register(app.url);
	return app;
}

/** Starts app.mjs with the SDK of a major version, pointed at the server by its environment alone, and registers it. */
export function startApp(server, { major = 4, id = `e2e-v${major}`, port = 0, environment = {}, register } = {}) {
	const settings = { SDK: String(major), APP_ID: id, PORT: String(port), ...environment };
	return launchApp(server, { id, register }, process.execPath, [join(here, "app.mjs")], settings);
}

/** Starts endpointapp.mjs, whose endpoints register themselves. */
export function startEndpoints(server, { id = "endpoints" } = {}) {
	return launchApp(server, { id, register: false }, process.execPath, [join(here, "endpointapp.mjs")], { APP_ID: id });
}

/** Starts python/app.py in a framework, `fastapi` (async handlers) or `flask` (blocking ones), and registers it. */
export async function startPythonApp(server, { framework = "fastapi", id = `e2e-${framework}`, port = 0, environment = {}, register } = {}) {
	await run(join(here, "python", "venv.sh"));
	const python = join(here, "python", ".venv", "bin", "python");
	const settings = { FRAMEWORK: framework, APP_ID: id, PORT: String(port), PYTHONDONTWRITEBYTECODE: "1", ...environment };
	return launchApp(server, { id, register }, python, [join(here, "python", "app.py")], settings);
}

/** Prints the end of the server's log after each failed test of the suite it is called in. */
export function logOnFailure(server) {
	afterEach((context) => {
		if (context.passed === false || context.error) console.error(`${context.name}\n${server().logTail()}`);
	});
}

// An app that is nothing else: it serves its functions, and keeps them registered.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout } from "node:timers/promises";

import type { AnyFlowForge, ServeOptions } from "./handler.js";
import { listener } from "./listener.js";

/** Where an app works. */
export interface WorkOptions extends ServeOptions {
	/** A free one when it is left out, or 0. */
	port?: number;
	/** `127.0.0.1` when it is left out. */
	host?: string;
	/** `/api/flowforge` when it is left out. */
	path?: string;
	/** Where the server reaches the app; `http://host:port/path` when it is left out. */
	url?: string;
}

/** An app at work. */
export interface Worker {
	/** Where it is registered. */
	readonly url: string;
	/** Ends it; steps that are under way end with their connections. */
	stop(): Promise<void>;
}

const pauses = { look: 1_000, again: 30_000, first: 250, longest: 10_000 };

/**
 * Serves an app and registers it: as soon as the server is there, again when its functions change, and now and then, because a server may have
 * lost it.
 *
 * @example
 * await work(flowforge, { port: 3000 });
 */
export async function work(app: AnyFlowForge, { port = 0, host = "127.0.0.1", path = "/api/flowforge", url, ...options }: WorkOptions = {}): Promise<Worker> {
	const server = createServer(listener(app, "nodejs", options)).listen(port, host);
	await once(server, "listening");
	const { port: taken } = server.address() as AddressInfo;
	const at = url ?? `http://${host.includes(":") ? `[${host}]` : host}:${taken}${path}`;
	const over = new AbortController();
	const kept = keep(app, at, options, over.signal);
	return {
		url: at,
		async stop() {
			over.abort();
			server.close();
			server.closeAllConnections();
			await kept;
		},
	};
}

/** Keeps the app registered until it is over. */
async function keep(app: AnyFlowForge, url: string, { functions }: ServeOptions, over: AbortSignal): Promise<void> {
	let told = "";
	let due = 0;
	let pause = pauses.first;
	while (!over.aborted) {
		const served = functions ?? app.functions;
		const wanted = JSON.stringify(app.registration(url, served, "nodejs"));
		if (wanted === told && Date.now() < due) {
			await wait(pauses.look, over);
			continue;
		}
		try {
			await app.register(url, { functions: served });
			if (wanted !== told) console.log(`flowforge: ${app.id} is registered with ${served.length} function${served.length === 1 ? "" : "s"}, served at ${url}`);
			[told, due, pause] = [wanted, Date.now() + pauses.again, pauses.first];
		} catch (error) {
			console.warn(`flowforge: not registered: ${(error as Error).message}`);
			told = "";
			await wait(pause, over);
			pause = Math.min(pauses.longest, pause * 2);
		}
	}
}

/** Time, or the end. The HTTP server keeps the process alive, not we. */
const wait = (ms: number, signal: AbortSignal): Promise<void> => setTimeout(ms, undefined, { signal, ref: false }).catch(() => {});

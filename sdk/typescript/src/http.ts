// Requests to the server: time limits, the second key while keys are being changed, and errors that say what the server said.

import { FlowForgeError } from "./error.js";
import { isObject, parseJson, type Json } from "./json.js";
import { keyHash } from "./sign.js";

/** The same as the global `fetch`. */
export type Fetch = typeof fetch;

/** The server's answer: its status, and the body where that was JSON. */
export type Answer = { status: number; body: Json };

/** The server, as an app reaches it. */
export interface Server {
	url: string;
	fetch: Fetch;
	signingKey?: string;
	signingKeyFallback?: string;
	headers: Record<string, string>;
}

const timeout = 30_000;

async function once(server: Server, method: string, path: string, text: string | undefined, key: string | undefined, headers: Record<string, string>): Promise<Answer> {
	const hash = key === undefined ? null : keyHash(key);
	const response = await server.fetch(new URL(path, server.url), {
		method,
		headers: {
			...server.headers,
			...(text === undefined ? {} : { "content-type": "application/json" }),
			...(hash === null ? {} : { authorization: `Bearer ${hash}` }),
			...headers,
		},
		body: text,
		signal: AbortSignal.timeout(timeout),
	});
	const body = await response.text();
	try {
		return { status: response.status, body: body === "" ? null : parseJson(body) };
	} catch {
		return { status: response.status, body };
	}
}

/** Asks the server as the app. @throws what `fetch` throws when the server cannot be reached. */
export async function request(server: Server, method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
	const text = body === undefined ? undefined : JSON.stringify(body);
	const answer = await once(server, method, path, text, server.signingKey, headers);
	if ((answer.status !== 401 && answer.status !== 403) || server.signingKeyFallback === undefined) return answer;
	return once(server, method, path, text, server.signingKeyFallback, headers);
}

/** What went wrong, in the server's words. */
export function failure(what: string, { status, body }: Answer): FlowForgeError {
	const said = isObject(body) ? (body.error ?? body.detail ?? body.message) : body;
	return new FlowForgeError(`${what}: ${typeof said === "string" && said !== "" ? said : `the server answered ${status}`}`);
}

const pauses = [100, 200, 400, 800];

/** Asks until the server answers anything but that it cannot, five times at most. */
export async function persist(ask: () => Promise<Answer>): Promise<Answer> {
	for (let attempt = 0; ; attempt++) {
		const pause = pauses[attempt];
		try {
			const answer = await ask();
			if (answer.status < 500 || pause === undefined) return answer;
		} catch (error) {
			if (pause === undefined) throw error;
		}
		await new Promise((resolve) => setTimeout(resolve, (pause as number) * (1 + Math.random())));
	}
}

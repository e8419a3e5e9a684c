// Requests of the client: the key, the query, and no exception.

import type { Fetch } from "../http.js";
import { jsonText, parseJson } from "../json.js";
import { keyHash } from "../sign.js";
import { version } from "../version.js";
import { done, failed, problem, type Result } from "./result.js";

/** How the client reaches the server. */
export interface ClientOptions {
	/** `FLOWFORGE_API_KEY` when it is left out; a development server needs none. */
	apiKey?: string;
	/** An app's key instead; it may do everything. */
	signingKey?: string;
	/** Instead of the global `fetch`. */
	fetch?: Fetch;
	/** How long a request may take, in milliseconds; 30,000 when it is left out. */
	timeout?: number;
}

/** A value of a query; what is undefined is left out. */
export type QueryValue = string | number | boolean | Date | undefined;

/** What a request may carry. */
export interface Carried {
	query?: { [name: string]: QueryValue };
	body?: unknown;
	headers?: Record<string, string>;
	signal?: AbortSignal;
}

export class Transport {
	readonly #url: string;
	readonly #fetch: Fetch;
	readonly #headers: Record<string, string>;
	readonly timeout: number;

	constructor(url: string, options: ClientOptions) {
		const key = options.apiKey ?? process.env.FLOWFORGE_API_KEY;
		const bearer = options.signingKey === undefined ? key : keyHash(options.signingKey);
		this.#url = url.replace(/\/+$/, "");
		this.#fetch = options.fetch ?? ((...asked) => fetch(...asked));
		this.#headers = { "x-flowforge-sdk": `js:v${version}`, ...(bearer ? { authorization: `Bearer ${bearer}` } : {}) };
		this.timeout = options.timeout ?? 30_000;
	}

	/** An open response, for streams; its body has not been read. */
	async open(method: string, path: string, { query = {}, body, headers = {}, signal }: Carried): Promise<Result<Response>> {
		try {
			const url = new URL(this.#url + path);
			for (const [name, value] of Object.entries(query)) {
				if (value !== undefined) url.searchParams.set(name, value instanceof Date ? value.toISOString() : String(value));
			}
			const text = this.#text(body);
			if (typeof text === "object") return text;
			const sent = { ...this.#headers, ...(text === undefined ? {} : { "content-type": "application/json" }), ...headers };
			const response = await this.#fetch(url, { method, headers: sent, body: text, signal });
			if (response.ok) return done(response);
			return problem(response.status, await this.#read(response));
		} catch (error) {
			return this.#unreached(error);
		}
	}

	/** Asks, and reads the JSON that is answered. */
	async ask<T>(method: string, path: string, carried: Carried = {}): Promise<Result<T>> {
		const limit = AbortSignal.timeout(this.timeout);
		const opened = await this.open(method, path, { ...carried, signal: carried.signal ?? limit });
		if (opened.error !== null) return opened;
		try {
			const text = await opened.data.text();
			return done((text === "" ? null : parseJson(text)) as T);
		} catch (error) {
			if (error instanceof SyntaxError) return failed("NOT_JSON", `${this.#url} answered something else than JSON`, { status: opened.data.status, cause: error });
			return this.#unreached(error);
		}
	}

	#text(body: unknown): string | undefined | ReturnType<typeof failed> {
		try {
			return jsonText(body);
		} catch (error) {
			return failed("UNSUPPORTED", `the body cannot be sent: ${(error as Error).message}`, { cause: error });
		}
	}

	async #read(response: Response): Promise<unknown> {
		const text = await response.text();
		try {
			return parseJson(text);
		} catch {
			return text;
		}
	}

	#unreached(error: unknown): { data: null; error: NonNullable<Result<never>["error"]> } {
		const { name, message } = error instanceof Error ? error : { name: "Error", message: String(error) };
		if (name === "TimeoutError") return failed("TIMEOUT", `the server at ${this.#url} did not answer in time`, { cause: error });
		if (name === "AbortError") return failed("ABORTED", "the request was given up", { cause: error });
		return failed("NETWORK", `the server at ${this.#url} could not be asked: ${message}`, { cause: error });
	}
}

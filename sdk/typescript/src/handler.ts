// The app's side of the protocol: what GET, PUT and POST of its URL do. Adapters make a framework's request a ServeRequest.

import type { FlowForge } from "./client.js";
import { serializeError } from "./error.js";
import { Execution, type Call, type Outcome, type Reporter } from "./execution.js";
import type { Event, EventMap } from "./event.js";
import type { FlowForgeFunction } from "./function.js";
import { failure, request as ask } from "./http.js";
import { isObject, parseJson, type Json } from "./json.js";
import { Lines } from "./lines.js";
import type { Memo } from "./op.js";
import { checkpoints } from "./report.js";
import { keyHash, sign, verify } from "./sign.js";
import { stepTools } from "./step.js";
import { version } from "./version.js";

/** How an app is served. */
export interface ServeOptions {
	/** The functions to serve; all of the app's when it is left out. */
	functions?: FlowForgeFunction[];
	/** Where the server reaches the app, like `https://shop.example`; `FLOWFORGE_SERVE_ORIGIN`. From the request when it is left out. */
	serveOrigin?: string;
	/** The path at which the app is served; `FLOWFORGE_SERVE_PATH`. From the request when it is left out. */
	servePath?: string;
}

/** A request, whatever framework it came through. */
export interface ServeRequest {
	method: string;
	/** With its origin. */
	url: URL;
	header(name: string): string | undefined;
	/** The body as it came, or its canonical form where a framework has parsed it. */
	text(): Promise<string>;
	/** Whether the framework can answer bit by bit. */
	canStream: boolean;
}

/** What is answered. */
export interface ServeResponse {
	status: number;
	headers: Record<string, string>;
	/** All of it, or lines that come one by one: then it is closed by who can write no more of them. */
	body: string | Lines;
}

/** Answers one request; it never throws. */
export type Serve = (request: ServeRequest) => Promise<ServeResponse>;

/** Any app: what serves it does not look at its events. */
export type AnyFlowForge = Pick<FlowForge<EventMap>, "id" | "server" | "open" | "closed" | "streaming" | "functions" | "registration" | "register" | "sendSignal" | "slug" | "appVersion">;

/** The protocol's way of asking, version 2: several steps are planned, and asked for when all have finished. */
const protocol = "2";

class Refusal extends Error {
	constructor(
		readonly status: number,
		message: string,
	) {
		super(message);
	}
}

/** What serves an app in a framework. */
export function serveWith(app: AnyFlowForge, framework: string, options: ServeOptions = {}): Serve {
	const server = new Served(app, framework, options);
	return (request) => server.answer(request);
}

class Served {
	readonly #functions: Map<string, FlowForgeFunction> | undefined;
	readonly #origin: string | undefined;
	readonly #path: string | undefined;

	constructor(
		readonly app: AnyFlowForge,
		readonly framework: string,
		readonly options: ServeOptions,
	) {
		this.#functions = options.functions && new Map(options.functions.map((made) => [made.slug, made]));
		this.#origin = options.serveOrigin ?? process.env.FLOWFORGE_SERVE_ORIGIN;
		this.#path = options.servePath ?? process.env.FLOWFORGE_SERVE_PATH;
	}

	async answer(request: ServeRequest): Promise<ServeResponse> {
		try {
			if (this.app.closed !== undefined) throw new Refusal(500, this.app.closed);
			const body = request.method === "GET" ? "" : await request.text();
			switch (request.method) {
				case "GET":
					return this.#introspect(request);
				case "PUT":
					return await this.#sync(request, body);
				case "POST":
					this.#authenticate(request, body);
					if (request.url.searchParams.get("probe") === "trust") return this.#reply(200, null);
					return await this.#execute(request, parseJson(body));
				default:
					return this.#reply(405, { message: `${request.method} is not served here` }, { allow: "GET, PUT, POST" });
			}
		} catch (error) {
			if (!(error instanceof Refusal)) return this.#reply(500, serializeError(error), { "x-inngest-no-retry": "false" });
			if (error.status !== 401) return this.#reply(error.status, { message: error.message }, { "x-inngest-no-retry": "false" });
			// Who is not the server learns nothing of the app.
			return { status: 401, headers: { "content-type": "application/json", "x-inngest-sdk-handled": "true" }, body: '{"message":"Unauthorized"}' };
		}
	}

	#reply(status: number, value: unknown, headers: Record<string, string> = {}): ServeResponse {
		const body = JSON.stringify(value) ?? "null";
		const key = this.app.server.signingKey;
		const signature: Record<string, string> = key === undefined ? {} : { "x-inngest-signature": sign(key, body) };
		return { status, headers: { "content-type": "application/json", ...this.#identity, ...signature, ...headers }, body };
	}

	/** What every answer says of who gives it. */
	get #identity(): Record<string, string> {
		return { ...this.app.server.headers, "x-inngest-framework": this.framework, "x-inngest-req-version": protocol };
	}

	#isSigned(request: ServeRequest, body: string): boolean {
		const header = request.header("x-inngest-signature") ?? "";
		const { signingKey, signingKeyFallback } = this.app.server;
		return [signingKey, signingKeyFallback].some((key) => key !== undefined && verify(key, body, header));
	}

	#authenticate(request: ServeRequest, body: string): void {
		if (!this.app.open && !this.#isSigned(request, body)) throw new Refusal(401, "Unauthorized");
	}

	get #served(): FlowForgeFunction[] {
		return this.options.functions ?? this.app.functions;
	}

	/** Where the server is to call the app. */
	#url(request: ServeRequest): string {
		const url = new URL(this.#path ?? request.url.pathname, this.#origin ?? request.url.origin);
		return url.href;
	}

	#introspect(request: ServeRequest): ServeResponse {
		const known = {
			extra: { native_crypto: true },
			function_count: this.#served.length,
			has_event_key: true,
			has_signing_key: !this.app.open,
			mode: this.app.open ? "dev" : "cloud",
			schema_version: "2024-05-24",
		};
		if (this.app.open || !this.#isSigned(request, "")) return this.#reply(200, known);
		const { signingKey, signingKeyFallback, url } = this.app.server;
		// Enough to tell two keys apart.
		const shown = (key: string | undefined): string | null => (key === undefined ? null : (keyHash(key) ?? "").replace(/^signkey-\w+-/, "").slice(0, 12));
		return this.#reply(200, {
			...known,
			authentication_succeeded: true,
			app_id: this.app.id,
			api_origin: url,
			event_api_origin: url,
			framework: this.framework,
			sdk_language: "js",
			sdk_version: version,
			serve_origin: this.#origin ?? null,
			serve_path: this.#path ?? null,
			signing_key_hash: shown(signingKey),
			signing_key_fallback_hash: shown(signingKeyFallback),
		});
	}

	async #sync(request: ServeRequest, body: string): Promise<ServeResponse> {
		const inBand = request.header("x-inngest-sync-kind") === "in_band";
		const signed = this.app.open || this.#isSigned(request, body);
		// Whoever may say where the app is may have its calls sent there: with a key, only the server or the app itself says it.
		if (!signed && (inBand || this.#origin === undefined)) throw new Refusal(401, "Unauthorized");
		if (!inBand) return this.#register(request);
		const asked = body === "" ? null : parseJson(body);
		const asks = isObject(asked) && typeof asked.url === "string" ? asked.url : undefined;
		const url = this.#origin === undefined && asks !== undefined ? asks : this.#url(request);
		const { functions, sdk, capabilities } = this.app.registration(url, this.#served, this.framework);
		const answer = {
			app_id: this.app.id,
			...(this.app.appVersion === undefined ? {} : { appVersion: this.app.appVersion }),
			capabilities,
			env: null,
			framework: this.framework,
			functions,
			platform: null,
			sdk,
			sdk_author: "flowforge",
			sdk_language: "js",
			sdk_version: version,
			url,
		};
		return this.#reply(200, answer, { "x-inngest-sync-kind": "in_band" });
	}

	async #register(request: ServeRequest): Promise<ServeResponse> {
		const headers = { "x-inngest-sync-kind": "out_of_band" };
		const deployId = request.url.searchParams.get("deployId") ?? undefined;
		try {
			const { modified, appId } = await this.app.register(this.#url(request), { functions: this.#served, framework: this.framework, deployId });
			return this.#reply(200, { message: "Successfully registered", modified, app_id: appId }, headers);
		} catch (error) {
			return this.#reply(500, { message: (error as Error).message, modified: false }, headers);
		}
	}

	#find(slug: string | null): FlowForgeFunction {
		const made = this.#functions?.get(slug ?? "") ?? (this.#functions === undefined ? this.app.functions.find((one) => one.slug === slug) : undefined);
		if (made === undefined) throw new Refusal(404, `this app serves no function "${slug ?? ""}"; was it renamed?`);
		return made;
	}

	async #execute(request: ServeRequest, body: Json): Promise<ServeResponse> {
		const made = this.#find(request.url.searchParams.get("fnId"));
		const called = await this.#read(request, body);
		const execution = new Execution(called.call);
		const context = {
			event: called.event,
			events: called.events,
			step: stepTools(execution, this.app),
			runId: called.runId,
			attempt: called.attempt,
			maxAttempts: called.maxAttempts,
		};
		const running = execution.run(() => made.handler(context as never));
		const { reporter } = called.call;
		return reporter instanceof Lines ? this.#stream(reporter, running) : this.#conclude(await running);
	}

	/** Answers line by line, unless the call has come to its end before a step has finished. */
	async #stream(lines: Lines, running: Promise<Outcome>): Promise<ServeResponse> {
		const outcome = await Promise.race([running, lines.begun]);
		if (outcome !== undefined) return this.#conclude(outcome);
		running.then((ended) => lines.end(ended)).catch((error: unknown) => lines.end({ kind: "threw", error, retry: true }));
		// Nobody on the way is to keep lines back, or to compress them: that would be to keep them back.
		const unbuffered = { "content-type": "application/x-ndjson", "cache-control": "no-store, no-transform", "x-accel-buffering": "no" };
		return { status: 206, headers: { ...this.#identity, ...unbuffered }, body: lines };
	}

	#conclude(outcome: Outcome): ServeResponse {
		const again = (retry: boolean, after?: string): Record<string, string> => ({
			"x-inngest-no-retry": String(!retry),
			...(after === undefined ? {} : { "retry-after": after }),
		});
		switch (outcome.kind) {
			case "returned":
				return this.#reply(200, outcome.value);
			case "threw":
				return this.#reply(outcome.retry ? 500 : 400, serializeError(outcome.error), again(outcome.retry, outcome.retryAfter));
			case "ops":
				return this.#reply(206, outcome.ops, again(outcome.retry, outcome.retryAfter));
			case "missing":
				return this.#reply(500, {
					name: "StepNotFoundError",
					message: `the function has no step ${outcome.target} any more; it has ${outcome.found.map((name) => `"${name}"`).join(", ") || "none"}`,
				}, again(true));
			case "stale":
				return this.#reply(409, { name: "StaleCallError", message: "this call is over; the run goes on without it" }, again(true));
		}
	}

	async #read(request: ServeRequest, body: Json): Promise<Called> {
		if (!isObject(body) || !isObject(body.ctx) || !isObject(body.event)) throw new Refusal(400, "the body is not that of a call");
		const { ctx } = body;
		const runId = String(ctx.run_id);
		const whole = ctx.use_api === true || body.use_api === true;
		const [steps, events] = whole ? await this.#fetchState(runId) : [body.steps, body.events];
		const event = body.event as unknown as Event;
		const target = request.url.searchParams.get("stepId") ?? "step";
		return {
			runId,
			event,
			events: Array.isArray(events) && events.length > 0 ? (events as Event[]) : [event],
			attempt: typeof ctx.attempt === "number" ? ctx.attempt : 0,
			maxAttempts: typeof ctx.max_attempts === "number" ? ctx.max_attempts : 1,
			call: {
				memos: (isObject(steps) ? steps : {}) as { [id: string]: Memo },
				order: isObject(ctx.stack) && Array.isArray(ctx.stack.stack) ? ctx.stack.stack.map(String) : [],
				target: target === "step" ? null : target,
				planOnly: ctx.disable_immediate_execution === true,
				reporter: this.#reporter(request, ctx, runId),
			},
		};
	}

	/** The server says by `fn_id` that it takes reports. */
	#reporter(request: ServeRequest, ctx: { [name: string]: unknown }, runId: string): Reporter | null {
		const { streaming } = this.app;
		if (streaming === "off" || typeof ctx.fn_id !== "string") return null;
		if (streaming === "lines" && request.canStream) return new Lines(this.app.server.signingKey);
		return checkpoints(this.app.server, {
			runId,
			functionId: ctx.fn_id,
			queueId: String(ctx.qi_id ?? ""),
			requestId: request.header("x-request-id") ?? "",
			generation: Number(request.header("x-inngest-generation-id") ?? 0),
		});
	}

	/** State that is too large for a call is asked for. */
	async #fetchState(runId: string): Promise<[unknown, unknown]> {
		const path = `/v0/runs/${encodeURIComponent(runId)}`;
		const [steps, events] = await Promise.all(["actions", "batch"].map((what) => ask(this.app.server, "GET", `${path}/${what}`)));
		for (const answer of [steps, events]) if (answer?.status !== 200) throw failure("the state of the run could not be read", answer ?? { status: 0, body: null });
		return [steps?.body, events?.body];
	}
}

type Called = { runId: string; event: Event; events: Event[]; attempt: number; maxAttempts: number; call: Call };


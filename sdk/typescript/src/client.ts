// FlowForge: an app's functions, and its way to the server.

import { FlowForgeError, readError, StepError } from "./error.js";
import type { AnyEvents, Event, EventMap, EventOfTriggers, FailureEvent, NewEventOf, Trigger, TriggerName } from "./event.js";
import { FlowForgeFunction, type Context, type FailureContext } from "./function.js";
import { failure, persist, request, type Fetch, type Server } from "./http.js";
import { isObject, toJson, type Json } from "./json.js";
import { functionConfig, listOf, type FunctionOptions } from "./options.js";
import { eventSeed, keyHash } from "./sign.js";
import type { Invocable } from "./step.js";
import { version } from "./version.js";

/** How finished steps are told while a call goes on. */
export type Streaming = "lines" | "calls" | "off";

/** Where the server is and what the app shows it; what is left out is taken from the environment. */
export interface FlowForgeOptions {
	/** The app's id; functions are called `id-function`. */
	id: string;
	/** `FLOWFORGE_URL`; `http://localhost:8288` when neither is given. */
	url?: string;
	/** `FLOWFORGE_EVENT_KEY`: what events are sent with. */
	eventKey?: string;
	/** `FLOWFORGE_SIGNING_KEY`: signs calls and answers. Without it the app talks to a development server, and anybody may call it. */
	signingKey?: string;
	/** `FLOWFORGE_SIGNING_KEY_FALLBACK`: the other key, while keys are being changed. */
	signingKeyFallback?: string;
	/** `FLOWFORGE_DEV=1`: serve without a signing key although `NODE_ENV` is `production`. */
	dev?: boolean;
	/** For people: which version of the app this is. */
	appVersion?: string;
	/**
	 * How finished steps are told while a call goes on: a line of the answer each (`"lines"`, when it is left out), a request each (`"calls"`,
	 * where a proxy holds answers back), or not: then each step is a call (`"off"`).
	 */
	streaming?: Streaming;
	/** Instead of the global `fetch`. */
	fetch?: Fetch;
}

type Handler<Events extends EventMap, T, Output> = (context: Context<Events, EventOfTriggers<Events, T>>) => Output;

type OptionsWithFailure<Events extends EventMap, T> = FunctionOptions<Events, T> & {
	/** Runs when a run of the function has failed for good. */
	onFailure?: (context: FailureContext<Events>) => unknown;
};

type Triggers<Events extends EventMap> = Trigger<TriggerName<Events>> | readonly Trigger<TriggerName<Events>>[];

const blank = (text: string | undefined): string | undefined => (text === undefined || text === "" ? undefined : text);

/**
 * An app. `Events` says which events there are and what their data is; without it every event's data is a record of unknown values.
 *
 * @example
 * type Events = { "shop/order.created": { id: string; total: number } };
 * const flowforge = new FlowForge<Events>({ id: "shop" });
 */
export class FlowForge<Events extends EventMap = AnyEvents> {
	readonly id: string;
	/** Whatever `createFunction` has made, in that order. */
	readonly functions: FlowForgeFunction[] = [];
	readonly appVersion: string | undefined;
	/** @internal */
	readonly server: Server;
	/** @internal Whether calls need no signature. */
	readonly open: boolean;
	/** @internal Why nothing is served, if it is not. */
	readonly closed: string | undefined;
	/** @internal */
	readonly streaming: Streaming;
	readonly #eventKey: string;

	/** @throws TypeError for an id, a key or an option that is none. */
	constructor(options: FlowForgeOptions) {
		const environment = process.env;
		if (typeof options.id !== "string" || options.id === "") throw new TypeError("an app needs an id, a text that is not empty");
		const signingKey = blank(options.signingKey ?? environment.FLOWFORGE_SIGNING_KEY);
		const signingKeyFallback = blank(options.signingKeyFallback ?? environment.FLOWFORGE_SIGNING_KEY_FALLBACK);
		for (const key of [signingKey, signingKeyFallback]) {
			if (key !== undefined && keyHash(key) === null) throw new TypeError("a signing key is hex digits, perhaps after signkey-<name>-");
		}
		this.id = options.id;
		this.appVersion = options.appVersion;
		this.streaming = options.streaming ?? "lines";
		if (!["lines", "calls", "off"].includes(this.streaming)) throw new TypeError('streaming is "lines", "calls" or "off"');
		this.open = signingKey === undefined;
		const dev = options.dev ?? ["1", "true"].includes(environment.FLOWFORGE_DEV ?? "");
		if (this.open && !dev && environment.NODE_ENV === "production") {
			this.closed = "This app has no signing key, so anybody could call it. Set FLOWFORGE_SIGNING_KEY, or FLOWFORGE_DEV=1 for a development server.";
		}
		this.#eventKey = blank(options.eventKey ?? environment.FLOWFORGE_EVENT_KEY) ?? "dev";
		this.server = {
			url: blank(options.url ?? environment.FLOWFORGE_URL) ?? "http://localhost:8288",
			fetch: options.fetch ?? ((...asked) => fetch(...asked)),
			signingKey,
			signingKeyFallback,
			headers: { "x-inngest-sdk": `flowforge-js:v${version}`, "x-flowforge-sdk": `js:v${version}` },
		};
	}

	/**
	 * Makes a function. Its handler is called again for whatever has to be waited for, and finished steps give at once what they gave.
	 *
	 * @throws TypeError for options that are none, or an id that another function has.
	 * @example
	 * flowforge.createFunction({ id: "hello", trigger: "shop/order.created", concurrency: 5 }, async ({ event, step }) => {
	 * 	return step.run("greet", () => `hello ${event.data.id}`);
	 * });
	 */
	createFunction<const T extends Triggers<Events> | undefined = undefined, Output = unknown>(
		options: OptionsWithFailure<Events, T>,
		handler: Handler<Events, T, Output>,
	): FlowForgeFunction<Awaited<Output>> {
		const { onFailure, ...own } = options;
		const made = this.#add<Awaited<Output>>(own as FunctionOptions<EventMap, Trigger | readonly Trigger[]>, handler);
		if (onFailure !== undefined) this.#addFailure(made.slug, options.id, onFailure);
		return made;
	}

	#add<Output>(options: FunctionOptions<EventMap, Trigger | readonly Trigger[]>, handler: (context: never) => unknown): FlowForgeFunction<Output> {
		if (typeof options.id !== "string" || options.id === "") throw new TypeError("a function needs an id, a text that is not empty");
		const slug = `${this.id}-${options.id}`;
		if (this.functions.some((other) => other.slug === slug)) throw new TypeError(`there are two functions "${options.id}"`);
		functionConfig(slug, "http://localhost/", options);
		const made = new FlowForgeFunction<Output>(slug, options, handler);
		this.functions.push(made);
		return made;
	}

	#addFailure(slug: string, id: string, handler: (context: FailureContext<Events>) => unknown): void {
		const expression = `event.data.function_id == ${JSON.stringify(slug)}`;
		this.#add(
			{ id: `${id}-failure`, name: `${id} (failure)`, trigger: { event: "flowforge/function.failed", if: expression }, retries: 1 },
			(context: Context<Events, FailureEvent>) => handler({ ...context, error: new StepError("", readError(context.event.data.error)) }),
		);
	}

	/**
	 * Sends events. Inside a function use `step.sendEvent`, which a later call does not repeat.
	 *
	 * @returns their ids, in their order
	 * @throws TypeError for data that would not be kept as it is; FlowForgeError when the server cannot be reached or refuses them.
	 */
	async send(events: NewEventOf<Events> | NewEventOf<Events>[]): Promise<{ ids: string[] }> {
		const list = toJson(listOf(events));
		// The same seed for each attempt: an event that has arrived is not recorded again.
		const seed = { "x-inngest-event-id-seed": eventSeed() };
		const path = `/e/${encodeURIComponent(this.#eventKey)}`;
		const answer = await persist(() => request(this.server, "POST", path, list, seed)).catch((error: unknown) => {
			throw new FlowForgeError(`the events could not be sent to ${this.server.url}`, { cause: error });
		});
		if (answer.status !== 200 || !isObject(answer.body) || answer.body.status !== 200) throw failure("the events were refused", answer);
		return { ids: answer.body.ids as string[] };
	}

	/**
	 * Sends a signal.
	 *
	 * @returns the run that waited for it, or null when none did
	 * @throws TypeError for data that would not be kept as it is; FlowForgeError when the server cannot be reached or refuses it.
	 */
	async sendSignal(signal: string, data: Json = null): Promise<{ runId: string } | null> {
		const body = toJson({ signal, data });
		const answer = await request(this.server, "POST", "/v1/signals", body).catch((error: unknown) => {
			throw new FlowForgeError(`the signal could not be sent to ${this.server.url}`, { cause: error });
		});
		if (answer.status === 404) return null;
		const found = isObject(answer.body) && isObject(answer.body.data) ? answer.body.data.run_id : undefined;
		if (answer.status !== 200 || typeof found !== "string") throw failure("the signal was refused", answer);
		return { runId: found };
	}

	/**
	 * Tells the server which functions the app serves, and where. Call it when the app has begun to listen.
	 *
	 * @param url where `serve` answers, as the server reaches it
	 * @throws FlowForgeError when the server cannot be reached, or refuses them and says why.
	 */
	async register(url: string, options: { functions?: FlowForgeFunction[]; framework?: string; deployId?: string } = {}): Promise<{ modified: boolean; appId: string }> {
		const body = this.registration(url, options.functions ?? this.functions, options.framework ?? "nodejs");
		const path = options.deployId === undefined ? "/fn/register" : `/fn/register?deployId=${encodeURIComponent(options.deployId)}`;
		const answer = await persist(() => request(this.server, "POST", path, body)).catch((error: unknown) => {
			throw new FlowForgeError(`the server at ${this.server.url} could not be reached`, { cause: error });
		});
		if (answer.status !== 200 || !isObject(answer.body)) throw failure("the functions were refused", answer);
		return { modified: answer.body.modified === true, appId: String(answer.body.app_id) };
	}

	/** @internal What is registered. */
	registration(url: string, functions: FlowForgeFunction[], framework: string): { [member: string]: Json } {
		return {
			url,
			deployType: "ping",
			framework,
			appName: this.id,
			...(this.appVersion === undefined ? {} : { appVersion: this.appVersion }),
			sdk: `flowforge-js:v${version}`,
			v: "0.1",
			capabilities: {},
			functions: functions.map((made) => functionConfig(made.slug, url, made.options)),
		};
	}

	/** @internal The name of what is invoked. */
	slug(of: Invocable): string {
		return typeof of === "string" ? of : of.slug;
	}
}

export type { Event };

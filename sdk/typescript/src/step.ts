// The steps a function can take. Each is a promise; several begun before one is awaited run side by side.

import { durationText, instantText, limitText, type Duration } from "./duration.js";
import type { EventMap, EventName, EventOf, NewEventOf } from "./event.js";
import type { Execution, StepSettings } from "./execution.js";
import type { FlowForgeFunction } from "./function.js";
import { toJson, type Json, type JsonObject, type Jsonify } from "./json.js";
import { conditionOf, listOf } from "./options.js";

/** A step's name, or its name with settings of its own. */
export type StepId = string | StepSettings;

/** What `step.waitForEvent` waits for. */
export interface WaitOptions<Name extends string = string> {
	event: Name;
	/** How long, or until when; a year when it is left out. */
	timeout?: Duration | Date;
	/** An expression over `event`, which started the run, and `async`, which has come. */
	if?: string;
	/** The path to a member that both events must have alike, like `data.id`. */
	match?: string;
}

/** A message of a conversation with a model. */
export interface AiMessage {
	role: "system" | "developer" | "user" | "assistant" | "tool";
	content?: Json;
	[member: string]: Json | undefined;
}

/** What `step.ai` asks of a model; the server calls its provider, with the key that it keeps. */
export interface AiOptions {
	model: string;
	/** One message of the user; or `messages`. */
	prompt?: string;
	messages?: AiMessage[];
	system?: string;
	tools?: JsonObject[];
	tool_choice?: Json;
	max_tokens?: number;
	temperature?: number;
	stop?: string | string[];
	response_format?: JsonObject;
	provider?: string;
	stream?: boolean;
	num_retries?: number;
}

/** What a model has answered. */
export interface AiAnswer {
	content: string | null;
	finish_reason: string | null;
	model: string;
	provider: string;
	tool_calls: JsonObject[] | null;
	usage: JsonObject | null;
	/** The content as JSON, where `response_format` asked for it. */
	parsed: Json;
}

/** A decision somebody has made, or the time has: then `approved` is false and `by` null. */
export interface Decision<Data = Json> {
	approved: boolean;
	/** What the form asked for. */
	data: Data | null;
	by: string | null;
	reason: string | null;
	at: string;
}

/** What `step.fetch` sends. */
export interface FetchOptions {
	method?: string;
	headers?: Record<string, string>;
	/** Text as it is; anything else as JSON. */
	body?: string | JsonObject | Json[];
}

/** What can be invoked: a function of this app, or the name of any (`app-function`). */
export type Invocable<Output = unknown> = FlowForgeFunction<Output> | string;

type Results<T extends readonly unknown[]> = { -readonly [I in keyof T]: T[I] extends () => infer R ? Awaited<R> : Awaited<T[I]> };

/** `step`: everything that a run remembers once it has been done. */
export interface StepTools<Events extends EventMap> {
	/**
	 * Runs code once and keeps what it returns. What it throws is tried again as often as the function, or the step, says;
	 * then it is thrown here as a {@link StepError}.
	 *
	 * @param input arguments of the body: they are shown with the step, and a replay can change them.
	 * @example
	 * const order = await step.run("load", () => database.order(event.data.id));
	 */
	run<Result, Input extends unknown[]>(id: StepId, body: (...input: Input) => Result, ...input: Input): Promise<Jsonify<Awaited<Result>>>;

	/** Sleeps; for a year at most. */
	sleep(id: StepId, duration: Duration): Promise<void>;

	/** Sleeps until then. */
	sleepUntil(id: StepId, at: Date | string | number): Promise<void>;

	/**
	 * Waits for an event; gives it, or null when the time is over.
	 *
	 * @example
	 * const paid = await step.waitForEvent("payment", { event: "payment/received", match: "data.orderId", timeout: "24h" });
	 */
	waitForEvent<Name extends EventName<Events>>(id: StepId, options: WaitOptions<Name>): Promise<EventOf<Events, Name> | null>;

	/** Waits for a signal; gives it, or null when the time is over. One run waits for a signal of a name. */
	waitForSignal<Data = Json>(
		id: StepId,
		options: { signal: string; timeout?: Duration | Date; onConflict?: "fail" | "replace" },
	): Promise<{ signal: string; data: Data } | null>;

	/** Sends a signal; gives the run that waited for it, or null when none did. */
	sendSignal(id: StepId, options: { signal: string; data?: Json }): Promise<{ runId: string } | null>;

	/** Runs another function and waits for its result. What it fails with is thrown here. */
	invoke<Output>(
		id: StepId,
		options: { function: Invocable<Output>; data?: object; timeout?: Duration | Date },
	): Promise<Jsonify<Output>>;

	/** Sends events, in the transaction that finishes the step: exactly once. */
	sendEvent(id: StepId, events: NewEventOf<Events> | NewEventOf<Events>[]): Promise<{ ids: string[] }>;

	/** Asks a model. */
	ai: {
		(id: StepId, options: AiOptions): Promise<AiAnswer>;
		/** Runs a call of a model that the app makes itself; its arguments are shown with the step. */
		wrap<Result, Input extends unknown[]>(
			id: StepId,
			body: (...input: Input) => Result,
			...input: Input
		): Promise<Jsonify<Awaited<Result>>>;
	};

	/** Has the server make a request; any answer that comes is the result. */
	fetch(id: StepId, url: string | URL, options?: FetchOptions): Promise<Response>;

	/**
	 * One SQL statement in the server's database, as the app's role: its effect and the end of the step are one transaction.
	 *
	 * @example
	 * const { rows } = await step.sql<{ id: string }>("ship", "update orders set state = $1 where id = $2 returning id", ["shipped", id]);
	 */
	sql<Row = JsonObject>(
		id: StepId,
		query: string,
		params?: readonly unknown[],
		options?: { role?: string; timeout?: Duration },
	): Promise<{ rows: Row[]; count: number }>;

	/** Waits until somebody has decided. */
	approve<Data = Json>(
		id: StepId,
		options: { prompt: string; approvers?: string[]; form?: JsonObject; timeout?: Duration | Date },
	): Promise<Decision<Data>>;

	/** Waits for a lock; the run has it until it unlocks it, or ends. */
	lock(id: StepId, options: { key: string; timeout?: Duration | Date }): Promise<{ key: string; locked: boolean }>;

	/** Gives a lock back. */
	unlock(id: StepId, options: { key: string }): Promise<{ key: string; unlocked: boolean }>;

	/** Several side by side: steps, or functions that take steps. As `Promise.all`. */
	parallel<const T extends readonly (Promise<unknown> | (() => Promise<unknown>))[]>(...entries: T): Promise<Results<T>>;

	/** The first of several to finish; the run goes on without the others. */
	race<T>(...entries: (Promise<T> | (() => Promise<T>))[]): Promise<T>;
}

/** How steps reach the server by themselves. */
export interface StepHost {
	slug(of: Invocable): string;
	sendSignal(signal: string, data: Json): Promise<{ runId: string } | null>;
}

const settingsOf = (id: StepId): StepSettings => (typeof id === "string" ? { id } : id);

/** Options without those that are not given. */
function given(options: { [name: string]: Json | undefined }): JsonObject {
	return Object.fromEntries(Object.entries(options).filter((entry): entry is [string, Json] => entry[1] !== undefined));
}

const limit = (timeout: Duration | Date | undefined): string | undefined => (timeout === undefined ? undefined : limitText(timeout));

/** The headers of a request whose body may be JSON, which they then say. */
function typed(headers: Record<string, string> = {}, body: FetchOptions["body"]): Record<string, string> {
	const said = Object.keys(headers).some((name) => name.toLowerCase() === "content-type");
	return said || body === undefined || typeof body === "string" ? headers : { ...headers, "content-type": "application/json" };
}

type Fetched = { status_code: number; headers: Record<string, string | string[]>; body: string };

function responseOf(data: Json): Response {
	const { status_code: status, headers, body } = data as Fetched;
	const empty = [101, 103, 204, 205, 304].includes(status);
	const response = new Response(empty ? null : body, { status: status >= 200 && status <= 599 ? status : 200 });
	for (const [name, value] of Object.entries(headers)) for (const one of listOf(value)) response.headers.append(name, one);
	return response;
}

/** The tools for one call of a function. */
export function stepTools<Events extends EventMap>(execution: Execution, host: StepHost): StepTools<Events> {
	/** A step that the server does. */
	const ask = (id: StepId, kind: Parameters<Execution["begin"]>[0]["kind"], opts: JsonObject, name?: string) =>
		execution.begin({ settings: settingsOf(id), kind, opts, name });
	/** A step that the app does. */
	const run = (id: StepId, body: (...input: never[]) => unknown, input: unknown[], opts: JsonObject = {}) =>
		execution.begin({
			settings: settingsOf(id),
			kind: "StepRun",
			body: (edited) => body(...(edited as never[])),
			input,
			opts: input.length === 0 ? opts : { ...opts, input: toJson(input) },
		});

	const ai = Object.assign((id: StepId, options: AiOptions) => ask(id, "Ai", toJson(options) as JsonObject), {
		wrap: (id: StepId, body: (...input: never[]) => unknown, ...input: unknown[]) => run(id, body, input, { type: "step.ai.wrap" }),
	});

	const tools: { [Tool in keyof StepTools<EventMap>]: unknown } = {
		ai,
		run: (id: StepId, body: (...input: never[]) => unknown, ...input: unknown[]) => run(id, body, input),
		sleep: (id: StepId, duration: Duration) => asVoid(ask(id, "Sleep", {}, durationText(duration))),
		sleepUntil: (id: StepId, at: Date | string | number) => asVoid(ask(id, "Sleep", {}, instantText(at))),
		waitForEvent: (id: StepId, options: WaitOptions) =>
			ask(id, "WaitForEvent", given({ timeout: limit(options.timeout), if: conditionOf(options) }), options.event),
		waitForSignal: (id: StepId, { signal, timeout, onConflict }: { signal: string; timeout?: Duration | Date; onConflict?: string }) =>
			ask(id, "WaitForSignal", given({ signal, timeout: limit(timeout), conflict: onConflict }), signal),
		sendSignal: (id: StepId, { signal, data }: { signal: string; data?: Json }) => run(id, () => host.sendSignal(signal, data ?? null), []),
		invoke: (id: StepId, options: { function: Invocable; data?: object; timeout?: Duration | Date }) =>
			ask(id, "InvokeFunction", given({
				function_id: host.slug(options.function),
				payload: { data: toJson(options.data ?? {}) },
				timeout: limit(options.timeout),
			})),
		sendEvent: (id: StepId, events: unknown) => ask(id, "SendEvent", { events: toJson(listOf(events)) }),
		fetch: (id: StepId, url: string | URL, { method, headers, body }: FetchOptions = {}) =>
			execution.begin({
				settings: settingsOf(id),
				kind: "Gateway",
				opts: given({ url: String(url), method, headers: typed(headers, body), body }),
				read: responseOf,
			}),
		sql: (id: StepId, query: string, params: readonly unknown[] = [], options: { role?: string; timeout?: Duration } = {}) =>
			ask(id, "Sql", given({
				query,
				params: toJson(params),
				role: options.role,
				timeout: options.timeout === undefined ? undefined : durationText(options.timeout),
			})),
		approve: (id: StepId, { timeout, ...options }: { prompt: string; timeout?: Duration | Date; approvers?: string[]; form?: JsonObject }) =>
			ask(id, "Approval", given({ ...options, timeout: limit(timeout) })),
		lock: (id: StepId, { key, timeout }: { key: string; timeout?: Duration | Date }) => ask(id, "Lock", given({ key, timeout: limit(timeout) })),
		unlock: (id: StepId, { key }: { key: string }) => ask(id, "Unlock", { key }),
		parallel: (...entries: (Promise<unknown> | (() => Promise<unknown>))[]) =>
			Promise.all(entries.map((entry) => (typeof entry === "function" ? entry() : entry))),
		race: (...entries: (Promise<unknown> | (() => Promise<unknown>))[]) => execution.race(entries),
	};
	// What a step gives is known by its kind, on the wire and here; the interface says it to people.
	return tools as unknown as StepTools<Events>;
}

function asVoid(promise: Promise<unknown>): Promise<void> {
	const slept = promise.then(() => undefined);
	slept.catch(() => {});
	return slept;
}

// The options of a function, and the configuration that is registered for them.

import { durationText, type Duration } from "./duration.js";
import type { CronTrigger, EventMap, EventName, EventTrigger, Trigger } from "./event.js";
import type { Json, JsonObject } from "./json.js";

/** How often what fails is tried again, and when. */
export interface Retries {
	/** Attempts after the first, 0 to 20. */
	attempts?: number;
	/** How the pauses grow, or the pauses themselves. */
	backoff?: "fixed" | "linear" | "exponential" | Duration[];
	/** The first pause. */
	base?: Duration;
	/** The longest. */
	cap?: Duration;
	/** The part of a pause that is left to chance, 0 to 1. */
	jitter?: number;
}

/** So many steps at once. */
export interface Concurrency {
	limit: number;
	/** An expression over `event`: the limit is of each of its values. */
	key?: string;
	scope?: "fn" | "env" | "account";
}

/** So many runs in any stretch of time as long as the period; events beyond that start none. */
export interface RateLimit {
	limit: number;
	period: Duration;
	key?: string;
}

/** So many runs in each period, evenly; others wait. */
export interface Throttle {
	limit: number;
	period: Duration;
	/** How many may come at once when there were none before. */
	burst?: number;
	key?: string;
}

/** The latest event starts its run when no other has come for the period. */
export interface Debounce {
	period: Duration;
	key?: string;
	/** The longest an event is held back. */
	timeout?: Duration;
}

/** One run for many events. */
export interface BatchEvents {
	maxSize: number;
	timeout?: Duration;
	key?: string;
	if?: string;
}

/** One live run a key: a second event starts none, or ends the first run. */
export interface Singleton {
	mode: "skip" | "cancel";
	key?: string;
}

/** The run is cancelled when this event comes. */
export interface CancelOn<Name extends string = string> {
	event: Name;
	/** An expression over `event`, which started the run, and `async`, which has come. */
	if?: string;
	/** The path to a member that both events must have alike, like `data.id`. */
	match?: string;
	/** Only within this time. */
	timeout?: Duration;
}

/** Everything that decides when a function runs. */
export interface FunctionOptions<Events extends EventMap = EventMap, Triggers = unknown> {
	/** Unique within the app; the function's name everywhere is `app-id`. */
	id: string;
	/** For people. */
	name?: string;
	/** What starts it: one trigger or up to ten. Without any it is started by name only. */
	trigger?: Triggers;
	/** Attempts after the first, of each step and of the code between steps. Four when it is left out. */
	retries?: number | Retries;
	/** So many steps at once, in all or by key; two limits at most. */
	concurrency?: number | Concurrency | Concurrency[];
	/** `"60/min"`, or the limit in full. */
	rate?: string | RateLimit;
	/** As `rate`. */
	rateLimit?: string | RateLimit;
	/** `"10s"` (one in ten seconds), `"10/1m"`, or the limit in full. */
	throttle?: string | Throttle;
	/** `"2s"`, or the rule in full. */
	debounce?: string | Debounce;
	batchEvents?: BatchEvents;
	/** Seconds of head start, −600 to 600: a number, or an expression over `event`. */
	priority?: number | string | { run: string };
	singleton?: "skip" | "cancel" | Singleton;
	/** An expression over `event`: one run for each of its values in a day. */
	idempotency?: string;
	/** How long a run may wait to begin, may last, and a step may take. */
	timeouts?: { start?: Duration; finish?: Duration; step?: Duration };
	/** The events that end a run. */
	cancelOn?: CancelOn<EventName<Events>> | CancelOn<EventName<Events>>[];
}

/** A list of one is as good as the one. */
export function listOf<T>(value: T | readonly T[] | undefined): T[] {
	if (value === undefined) return [];
	return Array.isArray(value) ? [...(value as readonly T[])] : [value as T];
}

/** `data.id` → `event.data.id == async.data.id`. */
export function matchExpression(match: string): string {
	return `event.${match} == async.${match}`;
}

/** `if` and `match` of a wait, as one expression. @throws TypeError when both are given. */
export function conditionOf(options: { if?: string; match?: string }): string | undefined {
	if (options.if !== undefined && options.match !== undefined) throw new TypeError("give either if or match, not both");
	return options.match === undefined ? options.if : matchExpression(options.match);
}

// Members that are durations are written as such; everything else as it is.
function withDurations(value: object, names: readonly string[]): JsonObject {
	const entries = Object.entries(value).filter(([, member]) => member !== undefined);
	return Object.fromEntries(entries.map(([key, member]) => [key, names.includes(key) ? durationText(member as Duration) : (member as Json)]));
}

function triggerConfig(trigger: Trigger): JsonObject {
	if (typeof trigger === "string") return { event: trigger };
	if ("cron" in trigger) return withDurations(trigger satisfies CronTrigger, ["jitter", "catchUpWindow"]);
	const { event, if: expression } = trigger satisfies EventTrigger;
	return expression === undefined ? { event } : { event, expression };
}

function cancelConfig(cancel: CancelOn): JsonObject {
	const condition = conditionOf(cancel);
	return {
		event: cancel.event,
		...(condition === undefined ? {} : { if: condition }),
		...(cancel.timeout === undefined ? {} : { timeout: durationText(cancel.timeout) }),
	};
}

/** How a function or a step is tried again, as it is registered. */
export function retriesConfig(retries: number | Retries): JsonObject {
	if (typeof retries === "number") return { attempts: retries };
	const { backoff, ...rest } = retries;
	const config = withDurations(rest, ["base", "cap"]);
	return backoff === undefined ? config : { ...config, backoff: Array.isArray(backoff) ? backoff.map(durationText) : backoff };
}

// An option, and how it is registered; what is not given is not registered.
const writers: { [name: string]: (value: never) => Json } = {
	concurrency: (value: number | Concurrency | Concurrency[]) =>
		typeof value === "number" ? value : listOf(value).map((limit) => withDurations(limit, [])),
	rateLimit: (value: string | RateLimit) => (typeof value === "string" ? value : withDurations(value, ["period"])),
	throttle: (value: string | Throttle) => (typeof value === "string" ? value : withDurations(value, ["period"])),
	debounce: (value: string | Debounce) => (typeof value === "string" ? value : withDurations(value, ["period", "timeout"])),
	batchEvents: (value: BatchEvents) => withDurations(value, ["timeout"]),
	priority: (value: number | string | { run: string }) => (typeof value === "object" ? value : { run: String(value) }),
	singleton: (value: "skip" | "cancel" | Singleton) => (typeof value === "string" ? { mode: value } : withDurations(value, [])),
	idempotency: (value: string) => value,
	timeouts: (value: object) => withDurations(value, ["start", "finish", "step"]),
};

/**
 * The configuration of a function as the server is told it.
 *
 * @param slug `app-function`
 * @param url where the app is called
 * @throws TypeError for what cannot be a configuration, naming the option.
 */
export function functionConfig(slug: string, url: string, options: FunctionOptions<EventMap, Trigger | readonly Trigger[]>): JsonObject {
	const given: { [name: string]: unknown } = { ...options };
	if (given.rate !== undefined && given.rateLimit !== undefined) throw new TypeError(`function "${slug}": rate and rateLimit are the same; give one`);
	given.rateLimit ??= given.rate;
	const config: JsonObject = {
		id: slug,
		name: options.name ?? slug,
		triggers: listOf<Trigger>(options.trigger).map(triggerConfig),
		steps: {
			step: {
				id: "step",
				name: "step",
				runtime: { type: "http", url: stepUrl(url, slug) },
				...(options.retries === undefined ? {} : { retries: retriesConfig(options.retries) }),
			},
		},
	};
	for (const [name, write] of Object.entries(writers)) {
		try {
			if (given[name] !== undefined) config[name] = write(given[name] as never);
		} catch (error) {
			throw new TypeError(`function "${slug}": ${name}: ${(error as Error).message}`);
		}
	}
	const cancels = listOf<CancelOn>(options.cancelOn).map(cancelConfig);
	return cancels.length === 0 ? config : { ...config, cancel: cancels };
}

function stepUrl(url: string, slug: string): string {
	const address = new URL(url);
	address.searchParams.set("fnId", slug);
	address.searchParams.set("stepId", "step");
	return address.href;
}

// Events, triggers, and their types.

import type { Duration } from "./duration.js";
import type { JsonObject } from "./json.js";

/** The events of an application: the type of the data, by the event's name. */
export type EventMap = { [name: string]: object };

/** What is known of events nobody has described. */
export type AnyEvents = Record<string, Record<string, unknown>>;

/** An event as a function is handed it. */
export interface Event<Name extends string = string, Data = Record<string, unknown>> {
	name: Name;
	data: Data;
	/** A ULID, or what the sender said. */
	id: string;
	/** Milliseconds since 1970. */
	ts: number;
	user: JsonObject;
	v?: string;
}

/** An event to be sent. */
export interface NewEvent<Name extends string = string, Data = Record<string, unknown>> {
	name: Name;
	data?: Data;
	/** Makes repeats harmless for a day: an event of the same id is recorded once. */
	id?: string;
	/** Milliseconds since 1970; now, when it is left out. */
	ts?: number;
	v?: string;
}

/** The event of a run that a cron schedule has started. */
export type CronEvent = Event<"inngest/scheduled.timer", { cron: string; scheduledAt: string; fireAt: string }>;

/** The event of a run that another function, the API or a person has started by name. */
export type InvokedEvent<Data = Record<string, unknown>> = Event<"inngest/function.invoked", Data>;

/** What an `onFailure` function is handed. */
export type FailureEvent = Event<
	"flowforge/function.failed",
	{
		function_id: string;
		run_id: string;
		error: { name: string; message: string; stack?: string };
		event: Event;
		events: Event[];
	}
>;

/** Starts a function by an event: its name, or all names below a prefix like `shop/*`. */
export interface EventTrigger<Name extends string = string> {
	event: Name;
	/** An expression over `event` that must hold, like `event.data.total > 100`. */
	if?: string;
}

/** Starts a function by the clock. */
export interface CronTrigger {
	/** Five fields, or six with seconds first, or `@daily`; `TZ=Europe/Paris ` before them if it is not UTC. */
	cron: string;
	/** Start up to so much later, at random. */
	jitter?: Duration;
	/** What becomes of times that were missed: none, the last, or all of them. */
	catchUp?: "skip" | "last" | "all";
	/** How far back times that were missed count. */
	catchUpWindow?: Duration;
}

/** What starts a function; a text is the name of an event. */
export type Trigger<Name extends string = string> = Name | EventTrigger<Name> | CronTrigger;

/** The names of events. */
export type EventName<Events extends EventMap> = string extends keyof Events ? string : keyof Events & string;

/** The names that may trigger: those of the map, and prefixes. */
export type TriggerName<Events extends EventMap> = string extends keyof Events ? string : (keyof Events & string) | `${string}*`;

type Named<Events extends EventMap, Name extends string> = Name extends keyof Events & string ? Event<Name, Events[Name]> : never;

/** The event of a name: of each name below a prefix, and untyped when the map does not know it. */
export type EventOf<Events extends EventMap, Name extends string> = string extends keyof Events
	? Event<Name, Events[string]>
	: Name extends `${infer Prefix}*`
		? Named<Events, Extract<keyof Events & string, `${Prefix}${string}`>>
		: Named<Events, Name>;

type EventOfTrigger<Events extends EventMap, T> = T extends string
	? EventOf<Events, T>
	: T extends { event: infer Name extends string }
		? EventOf<Events, Name>
		: T extends { cron: string }
			? CronEvent
			: never;

/** The event that a function with these triggers is handed. */
export type EventOfTriggers<Events extends EventMap, T> = [T] extends [readonly []]
	? InvokedEvent
	: T extends readonly (infer One)[]
		? EventOfTrigger<Events, One>
		: [T] extends [undefined]
			? InvokedEvent
			: EventOfTrigger<Events, T>;

/** An event to be sent, of one of the names of the map. */
export type NewEventOf<Events extends EventMap> = string extends keyof Events
	? NewEvent<string, Events[string]>
	: { [Name in keyof Events & string]: NewEvent<Name, Events[Name]> & { data: Events[Name] } }[keyof Events & string];

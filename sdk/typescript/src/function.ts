// A function of an app: its options, its handler, and what it returns.

import type { Event, EventMap, FailureEvent, Trigger } from "./event.js";
import type { FunctionOptions } from "./options.js";
import type { StepTools } from "./step.js";

/** What a function is handed. */
export interface Context<Events extends EventMap, E> {
	/** What started the run; the first of a batch. */
	event: E;
	/** All of a batch. */
	events: E[];
	step: StepTools<Events>;
	/** The run's id, a ULID. */
	runId: string;
	/** 0, and one more each time that this call has failed and is made again. */
	attempt: number;
	/** How often it is made at most. */
	maxAttempts: number;
}

/** What an `onFailure` handler is handed: the run that failed is in `event.data`, its error in `error`. */
export interface FailureContext<Events extends EventMap> extends Context<Events, FailureEvent> {
	error: Error;
}

/** A handler, whatever it is handed; the execution knows. */
export type AnyHandler = (context: never) => unknown;

/** A function that `createFunction` has made. `Output` is the type of its result. */
export class FlowForgeFunction<Output = unknown> {
	/** @internal Only for the type. */
	declare readonly output?: Output;

	/**
	 * @param slug `app-function`: its name everywhere.
	 * @param options what was registered for it.
	 * @param handler its code.
	 */
	constructor(
		readonly slug: string,
		readonly options: FunctionOptions<EventMap, Trigger | readonly Trigger[]>,
		readonly handler: AnyHandler,
	) {}
}

/** The events of a call, whatever their type. */
export type CalledEvents = { event: Event; events: Event[] };

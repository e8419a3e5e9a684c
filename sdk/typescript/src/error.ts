// The errors of functions, and how they travel: an error that a run keeps is {name, message, stack, cause}.

import { instantText, microseconds } from "./duration.js";
import { isObject, parseJson, type Json } from "./json.js";

// The package may be loaded twice, as a module and by require: errors are known by a mark, not by their class.
const finalMark: unique symbol = Symbol.for("flowforge.final");
const laterMark: unique symbol = Symbol.for("flowforge.later");
const stepMark: unique symbol = Symbol.for("flowforge.step");

const has = (value: unknown, key: symbol): boolean => typeof value === "object" && value !== null && key in value;

/** Something went wrong between this process and the server, or in how the SDK is used. */
export class FlowForgeError extends Error {
	override name = "FlowForgeError";
}

/**
 * Thrown in a step: the step has failed and is not tried again. Thrown between steps: the run has failed.
 *
 * @example
 * throw new NonRetryableError("the card is stolen", { cause: error });
 */
export class NonRetryableError extends Error {
	override name = "NonRetryableError";
	/** @internal */
	readonly [finalMark] = true;
}

/**
 * Thrown in a step, or between steps: try again, but not before then.
 *
 * @example
 * throw new RetryAfterError("too many requests", "30s");
 */
export class RetryAfterError extends Error {
	override name = "RetryAfterError";
	/** The value of the header `retry-after`: seconds, or a date. */
	readonly retryAfter: string;
	/** @internal */
	readonly [laterMark] = true;

	/** @param after a duration like `"30s"`, milliseconds, or the time itself. */
	constructor(message: string, after: string | number | Date, options?: ErrorOptions) {
		super(message, options);
		const span = typeof after === "number" ? after * 1000 : typeof after === "string" ? microseconds(after) : null;
		this.retryAfter = span === null ? instantText(after) : String(Math.ceil(span / 1e6));
	}
}

/**
 * A step that has failed for good, as the function sees it. `name`, `message`, `stack` and `cause` are those of the error that the step
 * ended with.
 */
export class StepError extends Error {
	/** The id of the step, as the function names it. */
	readonly stepId: string;
	/** @internal */
	readonly [stepMark] = true;

	constructor(step: string, error: SerializedError) {
		super(error.message, error.cause === undefined ? undefined : { cause: reviveCause(error.cause) });
		this.name = error.name;
		this.stepId = step;
		if (error.stack) this.stack = error.stack;
		// What else the server says of it: an SQLSTATE, a constraint.
		for (const [key, value] of Object.entries(error)) if (!(key in this) && key !== "__serialized") Object.assign(this, { [key]: value });
	}
}

/** The body of a step took longer than the step's `timeout`. The step is tried again. */
export class StepTimeoutError extends Error {
	override name = "StepTimeout";
}

/** Whether an error says that nothing is to be tried again. */
export function isFinal(error: unknown): boolean {
	return has(error, finalMark);
}

/** Whether an error is the failure of a step: whatever there was to try has been tried. */
export function isStepError(error: unknown): boolean {
	return has(error, stepMark);
}

/** When an error says that it is worth another attempt, as the header `retry-after`. */
export function retryAfterOf(error: unknown): string | undefined {
	return has(error, laterMark) ? (error as RetryAfterError).retryAfter : undefined;
}

/** An error as a run keeps it. */
export type SerializedError = { name: string; message: string; stack?: string; cause?: Json; __serialized?: boolean };

const deepest = 8;

/** An error as a run keeps it; anything may be thrown, and becomes one. */
export function serializeError(thrown: unknown, depth = 0): SerializedError {
	if (!(thrown instanceof Error) && !(isObject(thrown) && typeof thrown.message === "string")) {
		return { name: "Error", message: typeof thrown === "string" ? clean(thrown) : describe(thrown), __serialized: true };
	}
	const error = thrown as Error;
	const result: SerializedError = { name: clean(String(error.name || "Error")), message: clean(String(error.message)), __serialized: true };
	if (typeof error.stack === "string") result.stack = clean(error.stack);
	if (error.cause !== undefined && depth < deepest) {
		result.cause = error.cause instanceof Error ? serializeError(error.cause, depth + 1) : tolerant(error.cause);
	}
	return result;
}

// An error is told even where it has what a result may not have.
const clean = (text: string): string => text.replace(/[\0\p{Surrogate}]/gu, "\ufffd");

function tolerant(value: unknown): Json {
	const told = (_key: string, member: unknown): unknown => (typeof member === "bigint" ? String(member) : typeof member === "string" ? clean(member) : member);
	try {
		return parseJson(JSON.stringify(value, told) ?? "null");
	} catch {
		return clean(String(value));
	}
}

function describe(value: unknown): string {
	const json = tolerant(value);
	return `something that is no error was thrown: ${typeof json === "string" ? json : JSON.stringify(json)}`;
}

/** An error from what a run has kept; whatever it has kept. */
export function readError(kept: unknown): SerializedError {
	if (!isObject(kept)) return { name: "Error", message: describe(kept) };
	return {
		...kept,
		name: typeof kept.name === "string" ? kept.name : "Error",
		message: typeof kept.message === "string" ? kept.message : "the step failed and did not say why",
		stack: typeof kept.stack === "string" ? kept.stack : undefined,
	} as SerializedError;
}

function reviveCause(cause: Json): unknown {
	if (!isObject(cause) || typeof cause.message !== "string") return cause;
	const kept = readError(cause);
	const error = new Error(kept.message, kept.cause === undefined ? undefined : { cause: reviveCause(kept.cause) });
	error.name = kept.name;
	if (kept.stack) error.stack = kept.stack;
	return error;
}

// The operations of an answer, as they stand on the wire.

import type { SerializedError } from "./error.js";
import type { Json, JsonObject } from "./json.js";

/** What a step asks the server for, or reports. */
export type Op = {
	/** The hash of the step's name (`stepId`). */
	id: string;
	op: OpKind;
	name: string;
	displayName: string;
	opts: JsonObject;
	userland: { id: string; index?: number };
	data?: Json;
	error?: SerializedError;
	/** Nanoseconds: when it began, and how long it took. */
	timing?: { a: number; b: number };
	/** When to try again, in an answer of lines: others have a header for it. */
	retry_after?: string;
};

export type OpKind =
	| "StepRun"
	| "StepError"
	| "StepFailed"
	| "StepPlanned"
	| "Sleep"
	| "WaitForEvent"
	| "WaitForSignal"
	| "InvokeFunction"
	| "Gateway"
	| "Sql"
	| "Approval"
	| "Ai"
	| "SendEvent"
	| "Lock"
	| "Unlock";

/** The end of the function itself, where an answer has no status that could tell of it. */
export type EndOp = {
	op: "RunComplete" | "StepError" | "StepFailed";
	id: string;
	name: string;
	displayName: string;
	opts: JsonObject;
	data?: Json;
	error?: SerializedError;
	retry_after?: string;
};

/** What the server has kept of a step: `{data}`, `{error}`, `{input}`, or a value as it is (an event, null). */
export type Memo = Json;

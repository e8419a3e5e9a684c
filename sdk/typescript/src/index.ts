// What the package exports. How an app is served is in ./node, ./express, ./fastify, ./next and ./fetch.

export { FlowForge, type FlowForgeOptions } from "./client.js";
export { FlowForgeError, NonRetryableError, RetryAfterError, StepError, StepTimeoutError } from "./error.js";
export type {
	AnyEvents,
	CronEvent,
	CronTrigger,
	Event,
	EventMap,
	EventOf,
	EventTrigger,
	FailureEvent,
	InvokedEvent,
	NewEvent,
	Trigger,
} from "./event.js";
export { FlowForgeFunction, type Context, type FailureContext } from "./function.js";
export type { Duration } from "./duration.js";
export type { StepSettings } from "./execution.js";
export type { Json, JsonObject, Jsonify } from "./json.js";
export type { BatchEvents, CancelOn, Concurrency, Debounce, FunctionOptions, RateLimit, Retries, Singleton, Throttle } from "./options.js";
export type { AiAnswer, AiMessage, AiOptions, Decision, FetchOptions, Invocable, StepId, StepTools, WaitOptions } from "./step.js";
export { version } from "./version.js";

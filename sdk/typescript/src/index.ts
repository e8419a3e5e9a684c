// What the package exports. How an app is served is in ./node, ./express, ./fastify, ./next and ./fetch.

export { FlowForge, type FlowForgeOptions, type Streaming } from "./client.js";
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
export { createClient, type FlowForgeClient } from "./rest/client.js";
export type { ApprovalFilters, BulkFilter, BulkResult, EventFilters, FunctionFilters, RunFilters, WorkflowFilters } from "./rest/client.js";
export type { ListResult, Query } from "./rest/query.js";
export type { ApiError, Result } from "./rest/result.js";
export type { RunMessage } from "./rest/stream.js";
export type { ClientOptions } from "./rest/transport.js";
export type * from "./rest/types.js";

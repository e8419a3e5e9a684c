// What the API answers, as its OpenAPI document describes it. Times are texts like 2026-01-31T12:00:00Z.

import type { Json, JsonObject } from "../json.js";

export type RunStatus = "pending" | "running" | "paused" | "completed" | "failed" | "cancelled";

/** A run in a list. */
export interface Run {
	id: string;
	/** The same id as functions see it. */
	ulid: string;
	function: string;
	version: number;
	status: RunStatus;
	event_id: string;
	event_name: string | null;
	/** The run that invoked this one. */
	parent_run_id: string | null;
	created_at: string;
	started_at: string | null;
	ended_at: string | null;
	/** Nothing is to be done before. */
	wake_at: string | null;
}

/** One run with its event and result. */
export interface RunDetail extends Run {
	event: EventRow | null;
	event_ids: string[];
	output: Json;
	error: { name: string; message: string; stack?: string; cause?: Json } | null;
	metadata: JsonObject[];
	context: JsonObject | null;
	timing: { queued_ms: number; running_ms: number | null; total_ms: number; steps: number; steps_ms: number };
	cost: { model_calls: number; prompt_tokens: number; completion_tokens: number; usd: number; unpriced_calls: number };
}

export type StepStatus = "pending" | "running" | "sleeping" | "waiting" | "retrying" | "completed" | "failed" | "skipped" | "cancelled";

export interface StepRow {
	step_id: string;
	name: string | null;
	op: string;
	status: StepStatus;
	attempt: number | null;
	output: Json;
	error: Json;
	detail: JsonObject | null;
	started_at: string | null;
	ended_at: string | null;
	due_at: string | null;
}

/** An entry of a run's log. */
export interface RunEvent {
	run_id: string;
	/** From 1, without a gap. */
	seq: number;
	type: string;
	at: string;
	step_id: string | null;
	name: string | null;
	attempt: number | null;
	data: JsonObject | null;
}

export interface EventRow {
	id: string;
	ulid: string;
	name: string;
	data: JsonObject;
	user: JsonObject | null;
	external_id: string | null;
	v: string | null;
	sessions: JsonObject;
	ts: string;
	received_at: string;
}

/** A run that an event has started. */
export interface StartedRun {
	id: string;
	ulid: string;
	function: string;
	event_id: string;
}

/** A run that flow control has kept an event from starting. */
export interface SkippedRun {
	function: string | null;
	status: "skipped";
	reason: "idempotency" | "rate_limit" | "singleton" | "debounced";
	detail: JsonObject | null;
	at: string;
}

export interface FunctionRow {
	/** Its id, `app-function`. */
	function: string;
	name: string;
	kind: "sdk" | "graph" | "sql";
	app: string | null;
	version: number;
	retries: number;
	url: string;
	triggers: { event?: string; expression?: string; cron?: string }[];
	paused: boolean;
	archived_at: string | null;
	filter_errors: number;
	last_filter_error: string | null;
	last_filter_error_at: string | null;
}

export interface FunctionDetail extends FunctionRow {
	etag: string;
	created_at: string;
	role: string | null;
	pause: { reason: string | null; paused_at: string } | null;
	config: JsonObject | null;
	versions: { version: number; current: boolean; retries: number; created_at: string }[];
	stats: JsonObject;
}

export interface AppRow {
	id: string;
	ulid: string;
	name: string;
	url: string;
	sdk: string | null;
	framework: string | null;
	version: string | null;
	functions: number;
	paused: boolean;
	registered_at: string;
	synced_at: string | null;
	sync_error: string | null;
	sync_failed_at: string | null;
}

export interface WorkflowRow {
	id: string;
	ulid: string;
	workflow: string;
	name: string;
	description: string;
	status: "draft" | "published" | "archived";
	version: number | null;
	has_draft: boolean;
	draft_version: number | null;
	etag: string;
	role: string | null;
	created_by: string | null;
	created_at: string;
	updated_at: string;
	published_at: string | null;
}

/** What a workflow is. */
export interface WorkflowContent {
	definition?: { nodes: JsonObject[]; edges: JsonObject[] };
	input_schema?: JsonObject | boolean | null;
	settings?: JsonObject;
	triggers?: JsonObject[];
}

export type WorkflowDetail = WorkflowRow & Required<WorkflowContent>;

export interface Finding {
	code: string;
	message: string;
	node_id?: string;
	edge_id?: string;
	path?: string;
	hint?: string | null;
}

export interface Validation {
	valid: boolean;
	errors: Finding[];
	warnings: Finding[];
}

export interface ApprovalRow {
	id: string;
	ulid: string;
	run_id: string;
	function: string | null;
	step_id: string;
	name: string;
	prompt: string;
	approvers: string[] | null;
	form: JsonObject | null;
	status: "pending" | "approved" | "rejected" | "expired" | "cancelled";
	requested_at: string;
	expires_at: string;
	decided_at: string | null;
	decided_by: string | null;
	data: Json;
	reason: string | null;
}

export type DecidedApproval = ApprovalRow & { result: "approved" | "already approved" | "rejected" | "already rejected" };

/** What is started by the time. */
export interface ScheduleRow {
	id: number;
	name: string | null;
	/** It starts a function, or sends an event. */
	function: string | null;
	event: string | null;
	data: Json;
	cron: string;
	jitter_s: number;
	catch_up: "skip" | "last" | "all";
	last_at: string | null;
	next_run_at: string | null;
	fired_by: string;
	last_error: string | null;
}

/** A secret; nobody reads its value. */
export interface SecretRow {
	name: string;
	/** How often it has been set. */
	version: number;
	created_by: string;
	created_at: string;
	updated_at: string;
	/** Exact to about a minute. */
	last_used_at: string | null;
}

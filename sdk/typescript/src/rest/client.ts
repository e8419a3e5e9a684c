// createClient: the API as functions that give {data, error}.

import type { NewEvent } from "../event.js";
import type { Json, JsonObject } from "../json.js";
import { Query, type Route } from "./query.js";
import { failed, type Result } from "./result.js";
import { followRun, type RunMessage } from "./stream.js";
import { Transport, type ClientOptions } from "./transport.js";
import type {
	AppRow,
	ApprovalRow,
	DecidedApproval,
	EventRow,
	FunctionDetail,
	FunctionRow,
	Run,
	RunDetail,
	RunEvent,
	RunStatus,
	ScheduleRow,
	SecretRow,
	SkippedRun,
	StartedRun,
	StepRow,
	Validation,
	WorkflowContent,
	WorkflowDetail,
	WorkflowRow,
} from "./types.js";

type Time = Date | string | number;

/** By what runs can be filtered. */
export type RunFilters = { function?: string; workflow?: string; status?: RunStatus; event?: string; since?: Time; until?: Time; search?: string };
/** By what events can be filtered. */
export type EventFilters = { name?: string; since?: Time; until?: Time };
/** By what functions can be filtered. */
export type FunctionFilters = { app?: string; kind?: FunctionRow["kind"]; archived?: boolean; search?: string };
/** By what workflows can be filtered. */
export type WorkflowFilters = { status?: WorkflowRow["status"]; search?: string };
/** By what requests for decisions can be filtered. */
export type ApprovalFilters = { status?: ApprovalRow["status"]; run?: string; since?: Time; until?: Time };

/** Which runs a bulk operation means; every condition holds of them, and at least one is needed. */
export type BulkFilter = {
	function?: string;
	app?: string;
	event?: string;
	status?: RunStatus;
	error?: string;
	if?: string;
	since?: Time;
	until?: Time;
	runs?: string[];
	limit?: number;
	dry_run?: boolean;
};

/** What a bulk operation has done, or would do. */
export type BulkResult = { data: { id: string; ulid: string; result: string; replay?: string | null }[]; count: number; dry_run: boolean; more: boolean };

type Started = { id: string; ulid: string };
type Paged = { limit?: number; cursor?: string };

const newest = (path: string, column = "created_at"): Route => ({ path, order: { column, ascending: false }, page: 200 });
const byName = (path: string, column: string): Route => ({ path, order: { column, ascending: true }, page: 1000 });

const at = (path: string, id: string, rest = ""): string => `/api/v1/${path}/${encodeURIComponent(id)}${rest}`;

function listed<Row, Filters extends object>(transport: Transport, route: Route, { limit, cursor, ...filters }: Filters & Paged): Query<Row, Filters> {
	const query = new Query<Row, Filters>(transport, route, filters as unknown as Partial<Filters>).after(cursor);
	return limit === undefined ? query : query.limit(limit);
}

/** Events. */
class Events {
	constructor(private readonly transport: Transport) {}

	/** Sends events; gives their ids and the runs they have started. Several are recorded all or none. */
	send(events: NewEvent | NewEvent[]): Promise<Result<{ ids: string[]; runs: StartedRun[] }>> {
		const path = Array.isArray(events) ? "/api/v1/events/batch" : "/api/v1/events";
		return this.transport.ask("POST", path, { body: events });
	}

	/** One event. */
	get(id: string): Promise<Result<EventRow>> {
		return this.transport.ask("GET", at("events", id));
	}

	/** The runs an event has started, and those that flow control has kept it from starting. */
	runs(id: string): Promise<Result<{ data: Run[]; skipped: SkippedRun[] }>> {
		return this.transport.ask("GET", at("events", id, "/runs"));
	}

	/** Newest first. */
	list(filters: EventFilters & Paged = {}): Query<EventRow, EventFilters> {
		return listed(this.transport, newest("/api/v1/events", "received_at"), filters);
	}

	/** The list with only these columns; all when none is named. */
	select<Column extends keyof EventRow>(...columns: Column[]) {
		return this.list().select(...columns);
	}
}

/** Runs. */
class Runs {
	constructor(private readonly transport: Transport) {}

	/** One run, with its event and its result. */
	get(id: string): Promise<Result<RunDetail>> {
		return this.transport.ask("GET", at("runs", id));
	}

	/** Newest first. */
	list(filters: RunFilters & Paged = {}): Query<Run, RunFilters> {
		return listed(this.transport, newest("/api/v1/runs"), filters);
	}

	/** The list with only these columns; all when none is named. */
	select<Column extends keyof Run>(...columns: Column[]) {
		return this.list().select(...columns);
	}

	/** Its steps, in the order in which they finished. */
	async steps(id: string): Promise<Result<StepRow[]>> {
		const { data, error } = await this.transport.ask<{ data: StepRow[] }>("GET", at("runs", id, "/steps"));
		return error === null ? { data: data.data, error } : { data: null, error };
	}

	/** Its log, oldest first: a thousand entries after `since`. */
	async log(id: string, { since }: { since?: number } = {}): Promise<Result<RunEvent[]>> {
		const { data, error } = await this.transport.ask<{ data: RunEvent[] }>("GET", at("runs", id, "/events"), { query: { since } });
		return error === null ? { data: data.data, error } : { data: null, error };
	}

	/** Waits until a run has ended; its error has the code `TIMEOUT` when it has not in time (a minute, when nothing is said). */
	async waitFor(id: string, { timeout = 60_000, signal }: { timeout?: number; signal?: AbortSignal } = {}): Promise<Result<RunDetail>> {
		const over = new AbortController();
		const giveUp = (): void => over.abort();
		const timer = setTimeout(giveUp, timeout);
		signal?.addEventListener("abort", giveUp);
		try {
			for await (const message of followRun(this.transport, id, signal?.aborted ? AbortSignal.abort() : over.signal)) {
				if (message.type === "error") return { data: null, error: message.error };
			}
		} finally {
			clearTimeout(timer);
			signal?.removeEventListener("abort", giveUp);
		}
		if (signal?.aborted) return failed("ABORTED", "the wait was given up");
		const run = await this.get(id);
		return run.error === null && run.data.ended_at === null ? failed("TIMEOUT", `run ${id} has not ended within ${timeout} ms`) : run;
	}

	/** Follows a run live, to its end; a broken connection is mended. */
	stream(id: string, { signal }: { signal?: AbortSignal } = {}): AsyncGenerator<RunMessage, void> {
		return followRun(this.transport, id, signal);
	}

	/** Ends it. What it is doing is given up. */
	cancel(id: string, { reason }: { reason?: string } = {}): Promise<Result<Started & { result: string }>> {
		return this.transport.ask("POST", at("runs", id, "/cancel"), { body: { reason } });
	}

	/** Lets a run that has failed or was cancelled go on. */
	retry(id: string): Promise<Result<Started & { result: string }>> {
		return this.transport.ask("POST", at("runs", id, "/retry"));
	}

	/** Runs it again, as a new run: what finished before `fromStep` is kept. */
	replay(id: string, { fromStep, input }: { fromStep?: string; input?: Json } = {}): Promise<Result<Started & { replay_of: string }>> {
		return this.transport.ask("POST", at("runs", id, "/replay"), { body: { from_step: fromStep, input } });
	}

	/** Lets a waiting step go on, with data. */
	resume(id: string, { step, data, by }: { step?: string; data?: Json; by?: string } = {}): Promise<Result<Started & { result: string }>> {
		return this.transport.ask("POST", at("runs", id, "/resume"), { body: { step_id: step, data, by } });
	}

	/** Why a run is not running. */
	explain(id: string): Promise<Result<Started & { explanation: string; causes: JsonObject[] }>> {
		return this.transport.ask("GET", at("runs", id, "/explain"));
	}

	/** Cancels the live runs that are meant. */
	cancelWhere(filter: BulkFilter & { reason?: string }): Promise<Result<BulkResult>> {
		return this.transport.ask("POST", "/api/v1/runs/cancel", { body: filter });
	}

	/** Retries the failed runs that are meant. */
	retryWhere(filter: BulkFilter): Promise<Result<BulkResult>> {
		return this.transport.ask("POST", "/api/v1/runs/retry", { body: filter });
	}

	/** Replays the ended runs that are meant. */
	replayWhere({ fromStep, ...filter }: BulkFilter & { fromStep?: string }): Promise<Result<BulkResult>> {
		return this.transport.ask("POST", "/api/v1/runs/replay", { body: { ...filter, from_step: fromStep } });
	}
}

/** Functions. */
class Functions {
	constructor(private readonly transport: Transport) {}

	/** One function, by its id `app-function`, with its versions and how its runs went. */
	get(id: string): Promise<Result<FunctionDetail>> {
		return this.transport.ask("GET", at("functions", id));
	}

	/** By id. */
	list(filters: FunctionFilters & Paged = {}): Query<FunctionRow, FunctionFilters> {
		return listed(this.transport, byName("/api/v1/functions", "function"), filters);
	}

	/** The list with only these columns; all when none is named. */
	select<Column extends keyof FunctionRow>(...columns: Column[]) {
		return this.list().select(...columns);
	}

	/** Starts a run, without an event. */
	run(id: string, { input, idempotencyKey }: { input?: object; idempotencyKey?: string } = {}): Promise<Result<Started>> {
		return this.transport.ask("POST", at("functions", id, "/run"), { body: { input, idempotency_key: idempotencyKey } });
	}

	/** Its runs are kept and not called. */
	pause(id: string, { reason }: { reason?: string } = {}): Promise<Result<{ id: string; result: string }>> {
		return this.transport.ask("POST", at("functions", id, "/pause"), { body: { reason } });
	}

	/** Ends the pause. */
	resume(id: string): Promise<Result<{ id: string; result: string }>> {
		return this.transport.ask("POST", at("functions", id, "/resume"));
	}

	/** Changes what is said, all of it or nothing; with `etag` only if nobody else has meanwhile. `archived: false` puts one back. */
	change(
		id: string,
		change: { name?: string; paused?: boolean; reason?: string; archived?: boolean },
		{ etag }: { etag?: string } = {},
	): Promise<Result<FunctionDetail>> {
		return this.transport.ask("PATCH", at("functions", id), { body: change, headers: etag === undefined ? {} : { "if-match": etag } });
	}

	/** Takes it out of use, until its app registers a change or somebody puts it back. */
	archive(id: string): Promise<Result<FunctionDetail>> {
		return this.transport.ask("DELETE", at("functions", id));
	}
}

/** Apps. */
class Apps {
	constructor(private readonly transport: Transport) {}

	/** One app. */
	get(id: string): Promise<Result<AppRow>> {
		return this.transport.ask("GET", at("apps", id));
	}

	/** By name. */
	list(page: Paged = {}): Query<AppRow, Record<never, never>> {
		return listed(this.transport, byName("/api/v1/apps", "name"), page);
	}

	/** The list with only these columns; all when none is named. */
	select<Column extends keyof AppRow>(...columns: Column[]) {
		return this.list().select(...columns);
	}

	/** Asks the app at a URL which functions it serves. */
	add(url: string): Promise<Result<{ ok: boolean; modified: boolean; error: string | null; app: AppRow | null }>> {
		return this.transport.ask("POST", "/api/v1/apps", { body: { url } });
	}

	/** Asks it again. */
	sync(id: string): Promise<Result<{ ok: boolean; modified: boolean; error: string | null; app: AppRow | null }>> {
		return this.transport.ask("POST", at("apps", id, "/sync"));
	}

	/** Pauses all its functions. */
	pause(id: string, { reason }: { reason?: string } = {}): Promise<Result<{ id: string; result: string }>> {
		return this.transport.ask("POST", at("apps", id, "/pause"), { body: { reason } });
	}

	/** Ends the pause. */
	resume(id: string): Promise<Result<{ id: string; result: string }>> {
		return this.transport.ask("POST", at("apps", id, "/resume"));
	}

	/** Forgets it and takes its functions out of use; their runs go on. */
	remove(id: string): Promise<Result<AppRow>> {
		return this.transport.ask("DELETE", at("apps", id));
	}
}

/** Workflows. */
class Workflows {
	constructor(private readonly transport: Transport) {}

	/** By slug, id or name. */
	get(id: string, { version }: { version?: number } = {}): Promise<Result<WorkflowDetail>> {
		return this.transport.ask("GET", at("workflows", id), { query: { version } });
	}

	/** Newest first. */
	list(filters: WorkflowFilters & Paged = {}): Query<WorkflowRow, WorkflowFilters> {
		return listed(this.transport, newest("/api/v1/workflows"), filters);
	}

	/** The list with only these columns; all when none is named. */
	select<Column extends keyof WorkflowRow>(...columns: Column[]) {
		return this.list().select(...columns);
	}

	/** Makes one, as a draft. */
	create(workflow: WorkflowContent & { name: string; description?: string; created_by?: string }): Promise<Result<WorkflowDetail>> {
		return this.transport.ask("POST", "/api/v1/workflows", { body: workflow });
	}

	/** Changes the draft; with `etag` only if nobody else has meanwhile. */
	update(id: string, change: WorkflowContent & { name?: string; description?: string }, { etag }: { etag?: string } = {}): Promise<Result<WorkflowDetail>> {
		return this.transport.ask("PUT", at("workflows", id), { body: change, headers: etag === undefined ? {} : { "if-match": etag } });
	}

	/** Deletes a draft or an archived workflow. */
	delete(id: string): Promise<Result<{ id: string; name: string; result: string }>> {
		return this.transport.ask("DELETE", at("workflows", id));
	}

	/** Freezes the draft as the next version. */
	publish(id: string): Promise<Result<WorkflowDetail>> {
		return this.transport.ask("POST", at("workflows", id, "/publish"));
	}

	/** Says what is wrong with the draft, or with another content for it. */
	validate(id: string, content?: WorkflowContent): Promise<Result<Validation>> {
		return this.transport.ask("POST", at("workflows", id, "/validate"), { body: content });
	}

	/** Makes a draft of it under another name. */
	duplicate(id: string, { name }: { name?: string } = {}): Promise<Result<WorkflowDetail>> {
		return this.transport.ask("POST", at("workflows", id, "/duplicate"), { body: { name } });
	}

	/** Takes it out of use. */
	archive(id: string): Promise<Result<WorkflowDetail>> {
		return this.transport.ask("POST", at("workflows", id, "/archive"));
	}

	/** Runs the published version. */
	run(id: string, { input, idempotencyKey }: { input?: object; idempotencyKey?: string } = {}): Promise<Result<Started>> {
		return this.transport.ask("POST", at("workflows", id, "/run"), { body: { input, idempotency_key: idempotencyKey } });
	}

	/** Runs the draft, once. */
	testRun(id: string, { input }: { input?: object } = {}): Promise<Result<Started>> {
		return this.transport.ask("POST", at("workflows", id, "/test-run"), { body: { input } });
	}

	/** Its published versions, newest first. */
	async versions(id: string): Promise<Result<{ version: number; current: boolean; name: string; nodes: number; edges: number; published_at: string }[]>> {
		type Version = { version: number; current: boolean; name: string; nodes: number; edges: number; published_at: string };
		const { data, error } = await this.transport.ask<{ data: Version[] }>("GET", at("workflows", id, "/versions"));
		return error === null ? { data: data.data, error } : { data: null, error };
	}

	/** What is different between two versions. */
	diff(id: string, { from, to }: { from?: number; to?: number } = {}): Promise<Result<JsonObject>> {
		return this.transport.ask("GET", at("workflows", id, "/diff"), { query: { from, to } });
	}
}

/** Requests for decisions. */
class Approvals {
	constructor(private readonly transport: Transport) {}

	/** One request for a decision. */
	get(id: string): Promise<Result<ApprovalRow>> {
		return this.transport.ask("GET", at("approvals", id));
	}

	/** Newest first. */
	list(filters: ApprovalFilters & Paged = {}): Query<ApprovalRow, ApprovalFilters> {
		return listed(this.transport, newest("/api/v1/approvals", "requested_at"), filters);
	}

	/** The list with only these columns; all when none is named. */
	select<Column extends keyof ApprovalRow>(...columns: Column[]) {
		return this.list().select(...columns);
	}

	/** Approves; `data` is what the form asks for. */
	approve(id: string, decision: { data?: Json; comment?: string; by?: string } = {}): Promise<Result<DecidedApproval>> {
		return this.transport.ask("POST", at("approvals", id, "/approve"), { body: decision });
	}

	/** Rejects. */
	reject(id: string, decision: { reason?: string; by?: string } = {}): Promise<Result<DecidedApproval>> {
		return this.transport.ask("POST", at("approvals", id, "/reject"), { body: decision });
	}
}

/** What is started by the time: cron triggers of functions, and what `ff_schedule` has made. */
class Schedules {
	constructor(private readonly transport: Transport) {}

	/** By id. */
	list(page: Paged = {}): Query<ScheduleRow, Record<never, never>> {
		return listed(this.transport, byName("/api/v1/schedules", "id"), page);
	}

	/** The list with only these columns; all when none is named. */
	select<Column extends keyof ScheduleRow>(...columns: Column[]) {
		return this.list().select(...columns);
	}
}

/** Secrets: what workflows send and nobody reads. */
class Secrets {
	constructor(private readonly transport: Transport) {}

	/** By name, without their values. */
	list(page: Paged = {}): Query<SecretRow, Record<never, never>> {
		return listed(this.transport, byName("/api/v1/secrets", "name"), page);
	}

	/** Stores one, or another value of it. */
	set(name: string, value: string): Promise<Result<SecretRow>> {
		return this.transport.ask("PUT", at("secrets", name), { body: { value } });
	}

	/** Deletes one. */
	delete(name: string): Promise<Result<{ name: string; result: string }>> {
		return this.transport.ask("DELETE", at("secrets", name));
	}
}

/** The API of a server. Nothing in it throws: everything gives `{data, error}`. */
export class FlowForgeClient {
	readonly events: Events;
	readonly runs: Runs;
	readonly functions: Functions;
	readonly workflows: Workflows;
	readonly approvals: Approvals;
	readonly apps: Apps;
	readonly schedules: Schedules;
	readonly secrets: Secrets;
	readonly #transport: Transport;

	/** @internal */
	constructor(url: string, options: ClientOptions) {
		const transport = new Transport(url, options);
		this.#transport = transport;
		this.events = new Events(transport);
		this.runs = new Runs(transport);
		this.functions = new Functions(transport);
		this.workflows = new Workflows(transport);
		this.approvals = new Approvals(transport);
		this.apps = new Apps(transport);
		this.schedules = new Schedules(transport);
		this.secrets = new Secrets(transport);
	}

	/** Any other route: `client.request("GET", "/api/v1/status")`. */
	request<T = Json>(method: string, path: string, body?: unknown): Promise<Result<T>> {
		return this.#transport.ask<T>(method, path, { body });
	}

	/** Sends a signal to the run that waits for it; an error of status 404 when none does. */
	async sendSignal(signal: string, data: Json = null): Promise<Result<{ run_id: string }>> {
		const { data: answer, error } = await this.#transport.ask<{ data: { run_id: string } }>("POST", "/v1/signals", { body: { signal, data } });
		return error === null ? { data: answer.data, error } : { data: null, error };
	}
}

/**
 * A client of the server at a URL (`FLOWFORGE_URL`, or `http://localhost:8288`, when it is left out).
 *
 * @example
 * const client = createClient("https://flows.example", { apiKey: process.env.FLOWFORGE_API_KEY });
 * const { data, error } = await client.runs.get(id);
 */
export function createClient(url?: string, options: ClientOptions = {}): FlowForgeClient {
	return new FlowForgeClient(url ?? process.env.FLOWFORGE_URL ?? "http://localhost:8288", options);
}

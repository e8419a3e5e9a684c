// Runs a function to its end in memory: no server, no waiting.
//
// The function is called as the server calls it: again after each step that ends a call, with retries; parallel steps are planned and called
// for one by one. Time is virtual: what sleeps or waits ends at once, and `elapsed` says how much time would have gone by.

import { microseconds } from "./duration.js";
import { FlowForgeError, readError, serializeError, StepError, type SerializedError } from "./error.js";
import type { Event } from "./event.js";
import { Execution, type Outcome, type StepRequest } from "./execution.js";
import type { FlowForgeFunction } from "./function.js";
import { isObject, toJson, type Json, type JsonObject, type Jsonify } from "./json.js";
import type { Memo, Op } from "./op.js";
import { listOf, type Retries } from "./options.js";
import { stepTools, type StepHost } from "./step.js";

/** What a test says of a run. */
export interface RunOptions {
	/**
	 * What steps give instead of what they would do, by id (`s`, then `s:1` for its next use): a value; a function, handed the arguments of the
	 * step; an error, with which the step then fails. Steps that only the server can take (ai, fetch, sql, approve) must be here: the rows of
	 * `sql`, whether it is approved, the body of `fetch`.
	 */
	steps?: { [id: string]: unknown };
	/** What waits are given, by step id, event or signal: the data, or null. A wait that is not here is over in time. */
	events?: { [name: string]: unknown };
	/** Functions that may be invoked. */
	functions?: FlowForgeFunction[];
	/** The server's default of attempts after the first; 4 when it is left out. */
	retries?: number;
	/** When the run begins. */
	now?: Date;
}

/** How a run has ended. */
export interface TestRun<Output = unknown> {
	status: "completed" | "failed";
	/** What the function has returned; null when it has failed. */
	output: Jsonify<Output> | null;
	error: SerializedError | null;
	/** What each finished step gave, by its id; of one that has failed, the StepError. */
	steps: { [id: string]: unknown };
	/** How often each step that runs in the app was tried. */
	attempts: { [id: string]: number };
	/** The events that were sent. */
	sent: JsonObject[];
	/** How often the function was called. */
	calls: number;
	/** The time that has gone by, in milliseconds. */
	elapsed: number;
}

/** The test has not said what a step gives, or says what cannot be. */
export class TestError extends FlowForgeError {
	override name = "TestError";
}

/** A step that has not finished: when it will have, and how, if it is not the app that has to be called for it. */
type Pending = { op: Op; due: number; memo?: Memo; called: boolean };

const mostCalls = 1_000;
const year = 366 * 86_400_000;

/**
 * Runs a function until it has ended.
 *
 * @param data of the event that starts it; of several, when it is a list
 * @throws TestError when the test has not said what a step gives.
 * @example
 * const { output } = await run(processOrder, { id: "o1" }, { steps: { charge: "C-1" }, events: { payment: { id: "o1" } } });
 */
export async function run<Output>(made: FlowForgeFunction<Output>, data: object | object[] = {}, options: RunOptions = {}): Promise<TestRun<Output>> {
	return (await new Rehearsal(made, listOf(data), options).run()) as TestRun<Output>;
}

/** A call in which steps of the app may have a stand-in. */
class Call extends Execution {
	readonly #uses = new Map<string, number>();

	constructor(call: ConstructorParameters<typeof Execution>[0], private readonly steps: { [id: string]: unknown }) {
		super(call);
	}

	override begin(request: StepRequest): Promise<unknown> {
		const { id } = request.settings;
		const index = this.#uses.get(id) ?? 0;
		this.#uses.set(id, index + 1);
		const name = numbered(id, index);
		if (request.body === undefined || !(name in this.steps)) return super.begin(request);
		return super.begin({ ...request, body: (input) => standIn(this.steps[name], input) });
	}
}

const numbered = (id: string, index = 0): string => (index === 0 ? id : `${id}:${index}`);

function standIn(given: unknown, input: unknown[] = []): unknown {
	if (given instanceof Error) throw given;
	return typeof given === "function" ? (given as (...input: unknown[]) => unknown)(...input) : given;
}

/** The server, as far as one run needs it. */
class Rehearsal {
	readonly #events: Event[];
	readonly #retries: number;
	readonly #start: number;
	readonly #result: TestRun = { status: "completed", output: null, error: null, steps: {}, attempts: {}, sent: [], calls: 0, elapsed: 0 };
	readonly #memos: { [id: string]: Memo } = {};
	readonly #order: string[] = [];
	readonly #pending = new Map<string, Pending>();
	readonly #tries = new Map<string, number>();
	#now: number;
	#attempt = 0;
	#planOnly = false;
	#race = false;
	#over = false;

	constructor(
		readonly made: FlowForgeFunction,
		data: object[],
		readonly options: RunOptions,
	) {
		this.#start = this.#now = options.now?.getTime() ?? Date.UTC(2026, 0, 1);
		this.#retries = attemptsOf(made.options.retries) ?? options.retries ?? 4;
		const [trigger] = listOf(made.options.trigger);
		const event = typeof trigger === "string" ? trigger : trigger !== undefined && "event" in trigger ? trigger.event : "test/event";
		this.#events = data.map((each, n) => ({ name: event, data: toJson(each) as JsonObject, id: `event-${n}`, ts: this.#now, user: {} }));
	}

	async run(): Promise<TestRun> {
		while (!this.#over) {
			this.#take(await this.#call(null, this.#attempt));
			await this.#serveNew();
			while (!this.#over && this.#pending.size > 0 && !(await this.#next()));
			if (this.#pending.size === 0) this.#planOnly = this.#race = false;
		}
		this.#result.elapsed = this.#now - this.#start;
		return this.#result;
	}

	// --- calls ---

	#call(target: string | null, attempt: number): Promise<Outcome> {
		if (++this.#result.calls > mostCalls) throw new TestError(`the function was called ${mostCalls} times; does it ever end?`);
		const planOnly = this.#planOnly || target !== null;
		const reporter = { report: async (ops: Op[]) => (ops.forEach((op) => this.#tried(op)), "kept" as const) };
		const memos = toJson(this.#memos) as { [id: string]: Memo };
		const call = { memos, order: [...this.#order], target, planOnly, reporter: planOnly ? null : reporter, patience: 1000 };
		const execution = new Call(call, this.options.steps ?? {});
		const events = toJson(this.#events) as unknown as Event[];
		const host: StepHost = { slug: (of) => (typeof of === "string" ? of : of.slug), sendSignal: async () => null };
		const context = { event: events[0], events, step: stepTools(execution, host), runId: "01KDXZ00000000000000000000", attempt, maxAttempts: this.#retries + 1 };
		return execution.run(() => this.made.handler(context as never));
	}

	/** Takes the answer to a call of the function. */
	#take(outcome: Outcome): void {
		switch (outcome.kind) {
			case "returned":
				return this.#end({ output: outcome.value });
			case "threw":
				if (!outcome.retry || this.#attempt >= this.#retries) return this.#end({ status: "failed", error: serializeError(outcome.error) });
				this.#now += pauseOf(this.#attempt++, outcome.retryAfter);
				return;
			case "ops":
				if (outcome.ops.length > 1) this.#planOnly = true;
				for (const op of outcome.ops) this.#begin(op, outcome.retryAfter);
				return;
			case "missing":
			case "stale":
				throw new TestError("the function has not come to a step that it was called for: does it take the same way each time?");
		}
	}

	#end(how: { status?: "failed"; output?: Json; error?: SerializedError }): void {
		Object.assign(this.#result, how);
		this.#over = true;
	}

	#begin(op: Op, retryAfter?: string): void {
		if (["StepRun", "StepError", "StepFailed"].includes(op.op)) {
			if (!this.#tried(op)) this.#now += pauseOf((this.#tries.get(op.id) ?? 1) - 1, retryAfter);
		} else if (!this.#pending.has(op.id) && !(op.id in this.#memos)) {
			this.#race ||= op.opts.parallelMode === "race";
			this.#pending.set(op.id, { op, due: this.#now, called: op.op === "StepPlanned" });
		}
	}

	/** A step was tried in the app; false when it is to be tried again. */
	#tried(op: Op): boolean {
		const tries = (this.#tries.get(op.id) ?? 0) + 1;
		this.#tries.set(op.id, tries);
		this.#result.attempts[nameOf(op)] = tries;
		const retries = attemptsOf(op.opts.retries as Retries | undefined) ?? this.#retries;
		this.#attempt = op.op === "StepError" && tries <= retries ? tries : 0;
		if (this.#attempt > 0) return false;
		this.#finish(op, op.error === undefined ? { data: op.data ?? null } : { error: op.error as unknown as Json });
		return true;
	}

	#finish(op: Op, memo: Memo): void {
		this.#memos[op.id] = memo;
		this.#order.push(op.id);
		this.#pending.delete(op.id);
		const wrapped = isObject(memo) && Object.keys(memo).length === 1 ? memo : {};
		const error = "error" in wrapped ? new StepError(nameOf(op), readError(wrapped.error)) : undefined;
		this.#result.steps[nameOf(op)] = error ?? ("data" in wrapped ? wrapped.data : memo);
	}

	/** Lets the first thing happen that is due; says whether the function is to be called. */
	async #next(): Promise<boolean> {
		const [first] = [...this.#pending.values()].sort((a, b) => a.due - b.due);
		const { op, due, memo, called } = first as Pending;
		this.#now = Math.max(this.#now, due);
		if (!called) {
			this.#finish(op, memo ?? null);
			return this.#race || this.#pending.size === 0;
		}
		const outcome = await this.#call(op.id, this.#tries.get(op.id) ?? 0);
		const answered = outcome.kind === "ops" ? outcome.ops[0] : undefined;
		if (answered === undefined) throw new TestError(`the function did not come to step "${nameOf(op)}" when it was called for it`);
		const attempt = this.#attempt;
		const done = this.#tried(answered);
		if (!done) (first as Pending).due = this.#now + pauseOf(this.#tries.get(op.id) as number - 1, outcome.kind === "ops" ? outcome.retryAfter : undefined);
		this.#attempt = attempt;
		return done && (this.#race || this.#pending.size === 0);
	}

	// --- steps that the server takes ---

	/** Says of steps that have been begun when they finish, and how. */
	async #serveNew(): Promise<void> {
		for (const pending of this.#pending.values()) {
			if (pending.called || pending.memo !== undefined) continue;
			const { memo, after = 0 } = await this.#served(pending.op);
			Object.assign(pending, { memo, due: pending.due + after });
		}
	}

	async #served(op: Op): Promise<{ memo: Memo; after?: number }> {
		const { steps = {}, functions = [] } = this.options;
		const name = nameOf(op);
		if (op.op === "WaitForEvent" || op.op === "WaitForSignal") return this.#awaited(op, name);
		if (name in steps) return { memo: await mocked(op, steps[name]) };
		switch (op.op) {
			case "Sleep":
				return { memo: null, after: this.#span(op.name) };
			case "SendEvent": {
				const events = op.opts.events as JsonObject[];
				this.#result.sent.push(...events);
				return { memo: { data: { ids: events.map((_, n) => `sent-${this.#result.sent.length - events.length + n}`) } } };
			}
			case "Lock":
				return { memo: { data: { key: op.opts.key ?? null, locked: true } } };
			case "Unlock":
				return { memo: { data: { key: op.opts.key ?? null, unlocked: true } } };
			case "InvokeFunction": {
				const child = functions.find((one) => one.slug === op.opts.function_id);
				if (child !== undefined) return this.#invoked(child, op);
			}
		}
		throw new TestError(`say what step "${name}" (${op.op}) gives: run(..., { steps: { ${JSON.stringify(name)}: ... } })`);
	}

	#awaited(op: Op, name: string): { memo: Memo; after?: number } {
		const { events = {} } = this.options;
		const given = events[name] ?? events[op.name];
		if (given === undefined || given === null) {
			const { timeout } = op.opts;
			return { memo: null, after: typeof timeout === "string" ? this.#span(timeout) : year };
		}
		const data = toJson(given);
		if (op.op === "WaitForSignal") return { memo: { data: { signal: op.name, data } } };
		return { memo: { name: op.name, data, id: `event-${name}`, ts: this.#now, user: {} } };
	}

	async #invoked(child: FlowForgeFunction, op: Op): Promise<{ memo: Memo; after: number }> {
		const { data = {} } = op.opts.payload as { data?: JsonObject };
		const ended = await new Rehearsal(child, [data], { ...this.options, now: new Date(this.#now) }).run();
		this.#result.sent.push(...ended.sent);
		const memo: Memo = ended.status === "failed" ? { error: ended.error as unknown as Json } : { data: ended.output as Json };
		return { memo, after: ended.elapsed };
	}

	/** Milliseconds to the end of a duration, or until then. */
	#span(text: string): number {
		const span = microseconds(text);
		return span === null ? Math.max(0, Date.parse(text) - this.#now) : span / 1000;
	}
}

const nameOf = ({ userland }: Op): string => numbered(userland.id, userland.index);

function attemptsOf(retries: number | Retries | undefined): number | undefined {
	return typeof retries === "number" ? retries : retries?.attempts;
}

/** Milliseconds until the next attempt. */
function pauseOf(attempt: number, retryAfter: string | undefined): number {
	return retryAfter !== undefined && /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1000 : Math.min(2 ** attempt, 300) * 1000;
}

/** What the server would keep of a step for which the test has said what it gives. */
async function mocked(op: Op, given: unknown): Promise<Memo> {
	let value: Json;
	try {
		value = toJson(await standIn(given));
	} catch (error) {
		return { error: serializeError(error) as unknown as Json };
	}
	switch (op.op) {
		case "Sleep":
			return null;
		case "Sql":
			return { data: Array.isArray(value) ? { rows: value, count: value.length } : value };
		case "Approval":
			return { data: { approved: value === true, data: null, by: null, reason: null, at: null, ...(isObject(value) ? (value as JsonObject) : {}) } };
		case "Gateway":
			return { data: { status_code: 200, headers: {}, body: typeof value === "string" ? value : JSON.stringify(value) } };
		case "SendEvent":
			return { data: { ids: value } };
		default:
			return { data: value };
	}
}

// One call of a function: what is remembered is handed out, what is new is run or planned.
//
// A step is a promise. One that has finished in an earlier call is settled with what the server has kept, in the order in which the
// steps finished then, so that a race is won by the same step each time. One that is new is run here and now when it is the only one;
// several are planned, and the server calls for each. A step that somebody else has to finish leaves its promise as it is, for ever:
// nothing is thrown through the function to stop it, so there is nothing that a catch of its own could catch, and no finally runs
// before its time. The call just ends, and the function with it, when nothing holds it any more.

import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";

import { durationText, microseconds } from "./duration.js";
import { isFinal, isStepError, NonRetryableError, readError, retryAfterOf, serializeError, StepError, StepTimeoutError } from "./error.js";
import { isObject, toJson, type Json, type JsonObject } from "./json.js";
import type { Memo, Op, OpKind } from "./op.js";
import { retriesConfig, type Retries } from "./options.js";
import type { Duration } from "./duration.js";
import { stepId } from "./sign.js";

/** A step's name, or its name with settings of its own. */
export type StepSettings = {
	/** The name within the function. A name that comes again gets a number. */
	id: string;
	/** For people; the id when it is left out. */
	name?: string;
	/** Attempts after the first, instead of the function's. */
	retries?: number | Retries;
	/** How long the step may take. */
	timeout?: Duration;
};

/** What a step tool asks of the execution. */
export interface StepRequest {
	settings: StepSettings;
	kind: OpKind;
	/** The operation's name, where the protocol wants another one than the step's. */
	name?: string;
	opts?: JsonObject;
	/** What the app does itself; without it the server does the step. */
	body?: (input: unknown[]) => unknown;
	input?: unknown[];
	/** Makes what the function is handed of what was kept. */
	read?: (data: Json) => unknown;
}

/** Says what has finished while the call goes on. */
export interface Reporter {
	/** `kept`: the server has it, or it is on its way. `stale`: the call is over. `refused`: it has to be answered instead. */
	report(ops: Op[]): Promise<"kept" | "stale" | "refused">;
	/** Whether it is known already that the call is over. */
	readonly over?: boolean;
}

/** What the server has called for. */
export interface Call {
	memos: { [id: string]: Memo };
	/** The ids of finished steps, as they finished. */
	order: string[];
	/** The step that is called for; null: what comes next. */
	target: string | null;
	/** Run nothing that was not called for. */
	planOnly: boolean;
	reporter: Reporter | null;
	/** How long a step that is called for may stay away, in milliseconds. */
	patience?: number;
}

/** How the call ends. */
export type Outcome =
	| { kind: "returned"; value: Json }
	| { kind: "threw"; error: unknown; retry: boolean; retryAfter?: string }
	| { kind: "ops"; ops: Op[]; retry: boolean; retryAfter?: string }
	| { kind: "missing"; target: string; found: string[] }
	| { kind: "stale" };

interface Step {
	op: Op;
	request: StepRequest;
	/** The innermost race that it is begun in. */
	race: Race | undefined;
	memo?: Memo;
	known: boolean;
	/** The arguments that somebody has put in the place of the function's. */
	editedInput?: unknown[];
	settle: (memo: Memo) => void;
	inContext: <T>(body: () => T) => T;
}

/** A race; when it is over, what is still to be done in it is of no use. */
interface Race {
	over: boolean;
	outer: Race | undefined;
}

const isLost = (race: Race | undefined): boolean => race !== undefined && (race.over || isLost(race.outer));

type Settled = { value: unknown } | { error: unknown };

const insideStep = new AsyncLocalStorage<string>();
const insideRace = new AsyncLocalStorage<Race>();
const defaultPatience = 10_000;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function only(memo: Memo, key: string): memo is JsonObject {
	return isObject(memo) && key in memo && Object.keys(memo).length === 1;
}

export class Execution {
	readonly #call: Call;
	readonly #known: Map<string, Memo>;
	readonly #order: string[];
	readonly #steps = new Map<string, Step>();
	readonly #byPromise = new WeakMap<Promise<unknown>, Step>();
	readonly #names = new Map<string, number>();
	#new: Step[] = [];
	#handedOut = new Set<string>();
	#next = 0;
	#settled: Settled | undefined;
	#wake: () => void = () => {};

	constructor(call: Call) {
		this.#call = call;
		this.#known = new Map(Object.entries(call.memos).filter(([, memo]) => !only(memo, "input")));
		const ordered = new Set(call.order.filter((id) => this.#known.has(id)));
		for (const id of this.#known.keys()) ordered.add(id);
		this.#order = [...ordered];
	}

	/** A new step: gives the promise of its result. */
	begin(request: StepRequest): Promise<unknown> {
		const outer = insideStep.getStore();
		if (outer !== undefined) {
			throw new NonRetryableError(`step "${request.settings.id}" was begun inside step "${outer}"; begin steps in the function itself`);
		}
		const op = this.#operation(request);
		let settle: Step["settle"] = () => {};
		const promise = new Promise<unknown>((resolve, reject) => {
			settle = (memo) => {
				if (only(memo, "error")) reject(new StepError(request.settings.id, readError(memo.error)));
				else if (request.read === undefined) resolve(only(memo, "data") ? memo.data : memo);
				else resolve(request.read(only(memo, "data") ? (memo.data as Json) : memo));
			};
		});
		// One that nobody awaits yet must not end the process when it is settled.
		promise.catch(() => {});
		const context = new AsyncResource("flowforge.step");
		const step: Step = {
			op,
			request,
			race: insideRace.getStore(),
			known: this.#known.has(op.id),
			memo: this.#known.get(op.id),
			editedInput: this.#editedInput(op.id),
			settle,
			inContext: (body) => context.runInAsyncScope(body),
		};
		this.#steps.set(op.id, step);
		this.#byPromise.set(promise, step);
		if (!step.known) this.#new.push(step);
		this.#wake();
		return promise;
	}

	/** The first of several; the others are not waited for. */
	race<T>(entries: readonly (Promise<T> | (() => Promise<T>))[]): Promise<T> {
		const race: Race = { over: false, outer: insideRace.getStore() };
		const winner = Promise.race(
			entries.map((entry) => {
				if (typeof entry === "function") return insideRace.run(race, entry);
				const step = this.#byPromise.get(entry);
				if (step !== undefined) step.race = race;
				return entry;
			}),
		);
		const end = () => {
			race.over = true;
		};
		winner.then(end, end);
		return winner;
	}

	/** Runs the function as far as it goes. */
	async run(body: () => unknown): Promise<Outcome> {
		const running = new Promise((resolve) => resolve(body()));
		running.then(
			(value) => this.#end({ value }),
			(error: unknown) => this.#end({ error }),
		);
		let outcome: Outcome | undefined;
		while (outcome === undefined) {
			// After a turn of the event loop everything that waited for promises only has gone on.
			await turn();
			if (this.#settled !== undefined) return this.#finish(this.#settled);
			if (!this.#handOut()) outcome = await this.#advance();
		}
		return outcome;
	}

	#end(settled: Settled): void {
		this.#settled = settled;
		this.#wake();
	}

	#finish(settled: Settled): Outcome {
		if ("error" in settled) {
			const { error } = settled;
			return { kind: "threw", error, retry: !isFinal(error) && !isStepError(error), retryAfter: retryAfterOf(error) };
		}
		try {
			return { kind: "returned", value: toJson(settled.value) };
		} catch (error) {
			const reason = `the function returned what JSON cannot hold: ${(error as Error).message}`;
			return { kind: "threw", error: new NonRetryableError(reason, { cause: error }), retry: false };
		}
	}

	#editedInput(id: string): unknown[] | undefined {
		const memo = this.#call.memos[id];
		return memo !== undefined && only(memo, "input") && Array.isArray(memo.input) ? memo.input : undefined;
	}

	#operation({ settings, kind, name, opts = {} }: StepRequest): Op {
		const { id } = settings;
		if (typeof id !== "string" || id === "") throw new NonRetryableError("a step needs an id, a text that is not empty");
		let index = this.#names.get(id) ?? 0;
		// "a" twice is "a" and "a:1", and somebody may have named a step "a:1".
		while (this.#steps.has(stepId(id, index))) index++;
		this.#names.set(id, index + 1);
		const terms: JsonObject = {
			...(settings.retries === undefined ? {} : { retries: retriesConfig(settings.retries) }),
			...(settings.timeout === undefined ? {} : { timeout: durationText(settings.timeout) }),
		};
		return {
			id: stepId(id, index),
			op: kind,
			name: name ?? id,
			displayName: settings.name ?? id,
			opts: { ...terms, ...opts },
			userland: index === 0 ? { id } : { id, index },
		};
	}

	/** Hands out the next result that was kept; false when the function has asked for none. */
	#handOut(): boolean {
		for (let i = this.#next; i < this.#order.length; i++) {
			const id = this.#order[i] as string;
			const step = this.#steps.get(id);
			if (this.#handedOut.has(id) || step === undefined) continue;
			this.#handedOut.add(id);
			while (this.#handedOut.has(this.#order[this.#next] ?? "")) this.#next++;
			step.settle(step.memo as Memo);
			return true;
		}
		return false;
	}

	/** Goes on with what is new; gives nothing when the function can go on, too. */
	async #advance(): Promise<Outcome | undefined> {
		const { target, planOnly } = this.#call;
		// Unless the function waits for a loser after all, and for nothing else.
		const wanted = this.#new.filter((step) => !isLost(step.race));
		const [first, ...others] = wanted.length > 0 ? wanted : this.#new;
		if (target !== null) return this.#answerTarget(target);
		if (first === undefined) {
			await this.#somethingNew();
			return undefined;
		}
		if (others.length === 0 && first.request.body !== undefined && !planOnly) return this.#runHere(first);
		return { kind: "ops", ops: [first, ...others].map(planned), retry: true };
	}

	/** The function waits for something that is no step. */
	#somethingNew(ms?: number): Promise<boolean> {
		return new Promise((resolve) => {
			const timer = ms === undefined ? undefined : setTimeout(() => resolve(false), ms);
			this.#wake = () => {
				clearTimeout(timer);
				resolve(true);
			};
		});
	}

	async #answerTarget(target: string): Promise<Outcome | undefined> {
		if (this.#known.has(target)) return { kind: "ops", ops: [], retry: true };
		const step = this.#steps.get(target);
		if (step !== undefined) return this.#ended(step.request.body === undefined ? { op: planned(step) } : await perform(step));
		if (await this.#somethingNew(this.#call.patience ?? defaultPatience)) return undefined;
		return { kind: "missing", target, found: [...this.#steps.values()].map((s) => s.op.displayName) };
	}

	#ended({ op, thrown }: Performed): Outcome {
		return { kind: "ops", ops: [op], retry: op.op !== "StepFailed", retryAfter: retryAfterOf(thrown) };
	}

	/** Runs the only new step. When the server takes the report the function goes on with it. */
	async #runHere(step: Step): Promise<Outcome | undefined> {
		if (this.#call.reporter?.over === true) return { kind: "stale" };
		const performed = await perform(step);
		const { op } = performed;
		// The step's time limit is kept here: the call that tries it again is one of many steps.
		delete op.opts.timeout;
		if (op.op === "StepError" || this.#call.reporter === null) return this.#ended(performed);
		const reported = await this.#call.reporter.report([op]);
		if (reported === "stale") return { kind: "stale" };
		if (reported === "refused") return this.#ended(performed);
		this.#new = this.#new.filter((other) => other !== step);
		step.settle(op.op === "StepRun" ? { data: op.data ?? null } : { error: op.error as unknown as Json });
		return undefined;
	}
}

function planned({ op, race, request }: Step): Op {
	const opts = race ? { ...op.opts, parallelMode: "race" } : op.opts;
	return request.body === undefined ? { ...op, opts } : { ...op, op: "StepPlanned", opts, data: null };
}

type Performed = { op: Op; thrown?: unknown };

/** Runs a step's body. */
async function perform(step: Step): Promise<Performed> {
	const began = Date.now();
	const clock = performance.now();
	const timing = () => ({ a: began * 1e6, b: Math.round((performance.now() - clock) * 1e6) });
	const opts: JsonObject = step.race ? { ...step.op.opts, parallelMode: "race" } : { ...step.op.opts };
	try {
		const value = await inTime(step);
		return { op: { ...step.op, opts, op: "StepRun", data: kept(step, value), timing: timing() } };
	} catch (thrown) {
		const op = isFinal(thrown) ? "StepFailed" : "StepError";
		return { op: { ...step.op, opts, op, error: serializeError(thrown), timing: timing() }, thrown };
	}
}

function kept(step: Step, value: unknown): Json {
	try {
		return toJson(value);
	} catch (error) {
		const reason = `step "${step.request.settings.id}" returned what JSON cannot hold: ${(error as Error).message}`;
		throw new NonRetryableError(reason, { cause: error });
	}
}

async function inTime(step: Step): Promise<unknown> {
	const { settings, body, input = [] } = step.request;
	const edited = step.editedInput ?? input;
	const running = step.inContext(() => insideStep.run(settings.id, async () => body?.(edited)));
	if (settings.timeout === undefined) return running;
	let timer: ReturnType<typeof setTimeout> | undefined;
	const late = new Promise<never>((_, reject) => {
		const ms = (microseconds(durationText(settings.timeout as Duration)) as number) / 1000;
		const over = () => reject(new StepTimeoutError(`step "${settings.id}" took longer than ${settings.timeout}`));
		timer = setTimeout(over, ms);
	});
	try {
		return await Promise.race([running, late]);
	} finally {
		clearTimeout(timer);
	}
}

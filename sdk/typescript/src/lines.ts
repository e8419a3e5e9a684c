// An answer that comes line by line: each step when it has finished, and in the end what the call has come to.
//
// The function goes on when the line of its step has left the process: who kills the process then kills no finished step, and a reader that
// is slow slows the function down. When nobody reads any more the call is over: no further step begins.

import { serializeError } from "./error.js";
import type { Outcome, Reporter } from "./execution.js";
import type { EndOp, Op } from "./op.js";
import { sign, stepId } from "./sign.js";

/** A text on its way, and who waits for it to have left. */
type Item = { text: string; left: (outcome: "kept" | "stale") => void };

/** The lines of one answer: a call writes them, an adapter reads them. */
export class Lines implements Reporter {
	/** Settled when there is a line: from then on the answer is one of lines. */
	readonly begun: Promise<void>;
	#begin: () => void = () => {};
	#items: Item[] = [];
	/** What the reader has and has not said to be written. */
	#handed: Item | undefined;
	#ended = false;
	#closed = false;
	#wake: () => void = () => {};

	/** @param key with it each line is signed by itself. */
	constructor(private readonly key: string | undefined) {
		this.begun = new Promise((resolve) => (this.#begin = resolve));
	}

	get over(): boolean {
		return this.#closed;
	}

	report(ops: Op[]): Promise<"kept" | "stale"> {
		return new Promise((resolve) => this.#put({ text: this.#lines(ops), left: resolve }));
	}

	/** The last lines: what the call has come to. */
	end(outcome: Outcome): void {
		const ops = lastOps(outcome);
		if (ops.length > 0) this.#put({ text: this.#lines(ops), left: () => {} });
		this.#ended = true;
		this.#wake();
	}

	/** What is to be written next, or null when there is nothing more. To ask says that what was given before has been written. */
	async next(): Promise<string | null> {
		this.#handed?.left("kept");
		this.#handed = undefined;
		while (this.#items.length === 0 && !this.#ended && !this.#closed) await new Promise<void>((resolve) => (this.#wake = resolve));
		this.#handed = this.#closed ? undefined : this.#items.shift();
		return this.#handed?.text ?? null;
	}

	/** Nobody reads any more. */
	close(): void {
		this.#closed = true;
		this.#handed?.left("stale");
		this.#handed = undefined;
		for (const item of this.#items.splice(0)) item.left("stale");
		this.#wake();
	}

	#put(item: Item): void {
		if (this.#closed) return item.left("stale");
		this.#items.push(item);
		this.#begin();
		this.#wake();
	}

	#lines(ops: (Op | EndOp)[]): string {
		return ops.map((op) => `${this.#signed(JSON.stringify(op))}\n`).join("");
	}

	#signed(text: string): string {
		return this.key === undefined ? text : `${sign(this.key, text)} ${text}`;
	}
}

/** What a call has come to, in operations: the status has been told before. */
function lastOps(outcome: Outcome): (Op | EndOp)[] {
	const later = (op: Op | EndOp, after: string | undefined): Op | EndOp => (after === undefined ? op : { ...op, retry_after: after });
	const whole = { id: stepId("complete"), name: "function", displayName: "function", opts: {} };
	switch (outcome.kind) {
		case "returned":
			return [{ ...whole, op: "RunComplete", data: outcome.value }];
		case "threw":
			return [later({ ...whole, op: outcome.retry ? "StepError" : "StepFailed", error: serializeError(outcome.error) }, outcome.retryAfter)];
		case "ops":
			return outcome.ops.map((op) => later(op, outcome.retryAfter));
		// A step that is called for is answered as a whole, and one that is not called for cannot be missed.
		case "missing":
		case "stale":
			return [];
	}
}

// A run, live: server-sent events, and the way back to them when the connection breaks.

import { isObject, parseJson, type JsonObject } from "../json.js";
import type { ApiError } from "./result.js";
import type { Transport } from "./transport.js";
import type { RunDetail, RunEvent, RunStatus, StepRow } from "./types.js";

/** What a run has told: a snapshot first, then each event of its log; text of a model's answer as it comes; an error when it is over too early. */
export type RunMessage =
	| { type: "snapshot"; run_id: string; run_status: RunStatus; seq: number; run: RunDetail; steps: StepRow[]; context: JsonObject | null }
	| { type: "step.delta"; run_id: string; step_id: string; attempt: number; offset: number; text: string }
	| (RunEvent & { type: "run.created" | "run.started" | "run.completed" | "run.failed" | "run.cancelled" | `step.${string}` })
	| { type: "error"; error: ApiError };

type Sent = { event: string; id: string | undefined; data: string };

const ended = ["run.completed", "run.failed", "run.cancelled"];
const pauses = [100, 500, 1000, 2000, 5000];

/** The messages of a stream of server-sent events. */
export async function* serverSent(body: AsyncIterable<Uint8Array>): AsyncGenerator<Sent> {
	const decoder = new TextDecoder();
	let text = "";
	for await (const chunk of body) {
		text += decoder.decode(chunk, { stream: true });
		for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
			const message = parse(text.slice(0, end));
			text = text.slice(end + 2);
			if (message !== undefined) yield message;
		}
	}
}

function parse(block: string): Sent | undefined {
	const sent: Sent = { event: "message", id: undefined, data: "" };
	const data: string[] = [];
	for (const line of block.split("\n")) {
		const colon = line.indexOf(":");
		const [name, value] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
		if (name === "data") data.push(value);
		if (name === "event") sent.event = value;
		if (name === "id") sent.id = value;
	}
	return data.length === 0 ? undefined : { ...sent, data: data.join("\n") };
}

const isOver = (message: RunMessage): boolean =>
	ended.includes(message.type) || (message.type === "snapshot" && ["completed", "failed", "cancelled"].includes(message.run_status));

/** Follows a run to its end, and comes back when the connection breaks. */
export async function* followRun(transport: Transport, id: string, signal?: AbortSignal): AsyncGenerator<RunMessage, void> {
	let last: string | undefined;
	for (let broken = 0; broken <= pauses.length; broken++) {
		const opened = await transport.open("GET", `/api/v1/runs/${encodeURIComponent(id)}/stream`, {
			headers: last === undefined ? {} : { "last-event-id": last },
			signal,
		});
		if (opened.error !== null && (opened.error.code !== "NETWORK" || broken === pauses.length)) {
			if (opened.error.code !== "ABORTED") yield { type: "error", error: opened.error };
			return;
		}
		try {
			for await (const sent of serverSent((opened.data?.body ?? []) as AsyncIterable<Uint8Array>)) {
				const message = parseJson(sent.data);
				if (!isObject(message)) continue;
				last = sent.id ?? last;
				broken = 0;
				yield message as unknown as RunMessage;
				if (isOver(message as unknown as RunMessage)) return;
			}
		} catch {
			// The connection broke: what was missed is asked for.
		}
		if (signal?.aborted) return;
		await new Promise((resolve) => setTimeout(resolve, pauses[broken] ?? 0));
	}
	yield { type: "error", error: { code: "NETWORK", message: `the stream of run ${id} broke off again and again`, status: 0 } };
}

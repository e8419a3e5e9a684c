// Checkpoints: each finished step is told by a request of its own, and kept by the server before the next one begins.

import type { Reporter } from "./execution.js";
import { persist, request, type Server } from "./http.js";
import type { Op } from "./op.js";

/** The call that is reported about. */
export interface Reported {
	runId: string;
	functionId: string;
	queueId: string;
	requestId: string;
	generation: number;
}

/** Reports to `POST /v1/checkpoint/{run}/async`. */
export function checkpoints(server: Server, call: Reported): Reporter {
	return {
		async report(steps: Op[]) {
			const body = {
				run_id: call.runId,
				fn_id: call.functionId,
				qi_id: call.queueId,
				request_id: call.requestId,
				generation_id: call.generation,
				steps,
				ts: Date.now(),
			};
			try {
				const { status } = await persist(() => request(server, "POST", `/v1/checkpoint/${call.runId}/async`, body));
				// 409: this call was given up or made again, and that one goes on.
				return status === 409 ? "stale" : status < 300 ? "kept" : "refused";
			} catch {
				return "refused";
			}
		},
	};
}

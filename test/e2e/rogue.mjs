// An app that is no SDK app: it is registered by hand and answers calls with whatever a test gives it.

import { once } from "node:events";
import { createServer } from "node:http";
import { createHmac } from "node:crypto";

/** The headers by which an SDK says that an answer is its own. */
export const sdkHeaders = {
	"content-type": "application/json",
	"x-inngest-sdk": "inngest-js:v4.24.0",
	"x-inngest-req-version": "2",
};

/** The signature of an answer; `key` without its prefix. */
export function signature(body, key, at = Math.floor(Date.now() / 1000)) {
	const bare = key.replace(/^signkey-\w+-/, "");
	return `t=${at}&s=${createHmac("sha256", bare).update(body).update(String(at)).digest("hex")}`;
}

export class Rogue {
	/** Calls it was sent, as {headers, body}. */
	calls = [];

	/** `answer(request, response, body)` answers every call. */
	static async start(server, id, answer, { retries = 0 } = {}) {
		const rogue = new Rogue();
		rogue.answer = answer;
		rogue.http = createServer(async (request, response) => {
			const chunks = [];
			for await (const chunk of request) chunks.push(chunk);
			const body = Buffer.concat(chunks).toString();
			rogue.calls.push({ method: request.method, headers: request.headers, body });
			rogue.answer(request, response, body);
		});
		rogue.http.listen(0, "127.0.0.1");
		await once(rogue.http, "listening");
		rogue.port = rogue.http.address().port;
		const url = `http://127.0.0.1:${rogue.port}/api/inngest`;
		const runtime = { type: "http", url: `${url}?fnId=${id}-f&stepId=step` };
		const { status, body } = await server.request("POST", "/fn/register", {
			url,
			deployType: "ping",
			framework: "none",
			appName: id,
			sdk: "js:v4.24.0",
			v: "0.1",
			functions: [
				{
					id: `${id}-f`,
					name: "f",
					triggers: [{ event: `${id}/go` }],
					steps: { step: { id: "step", name: "step", runtime, retries: { attempts: retries } } },
				},
			],
		});
		if (status !== 200) throw new Error(`registering ${id}: ${status} ${JSON.stringify(body)}`);
		return rogue;
	}

	stop() {
		this.http.closeAllConnections();
		this.http.close();
	}
}

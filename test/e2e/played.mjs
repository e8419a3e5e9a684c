// An app that plays a script: what the published packages do not say, and when they do not say it.

import { Rogue, sdkHeaders, signature } from "./rogue.mjs";

export const id = (letter) => letter.repeat(40);
export const op = (kind, letter, more = {}) => ({ op: kind, id: id(letter), name: letter, displayName: letter, opts: {}, userland: { id: letter }, ...more });
export const stepRun = (letter, data = letter) => op("StepRun", letter, { data });
/** sha1("complete"): the id of the function itself. */
export const functionId = "0737c22d3bfae812339732d14d8c7dbd6dc4e09c";
export const runComplete = (data) => ({ op: "RunComplete", id: functionId, data });

let count = 0;

/** One call as the app sees it. */
class Call {
	constructor(server, request, response, body, number) {
		this.server = server;
		this.request = request;
		this.response = response;
		this.body = JSON.parse(body);
		this.number = number;
		this.headers = request.headers;
		this.target = new URL(request.url, "http://x").searchParams.get("stepId");
	}

	has(letter) {
		return this.body.steps[id(letter)] !== undefined;
	}

	memo(letter) {
		return this.body.steps[id(letter)];
	}

	signed(text) {
		return this.server.signingKey ? { "x-inngest-signature": signature(text, this.server.signingKey) } : {};
	}

	answer(status, value, headers = {}) {
		const text = typeof value === "string" ? value : JSON.stringify(value);
		this.response.writeHead(status, { ...sdkHeaders, ...this.signed(text), ...headers });
		this.response.end(text);
	}

	ops(...ops) {
		this.answer(206, ops);
	}

	done(value = "done") {
		this.answer(200, JSON.stringify(value));
	}

	/** Reports steps while the call goes on, as `more` overrides. */
	checkpoint(steps, more = {}) {
		return this.server.request("POST", `/v1/checkpoint/${this.body.ctx.run_id}/async`, {
			run_id: this.body.ctx.run_id,
			fn_id: this.body.ctx.fn_id,
			qi_id: this.body.ctx.qi_id,
			request_id: this.headers["x-request-id"],
			generation_id: Number(this.headers["x-inngest-generation-id"]),
			steps,
			ts: Date.now(),
			...more,
		});
	}

	beginLines() {
		this.response.writeHead(206, { ...sdkHeaders, "content-type": "application/x-ndjson" });
	}

	line(value) {
		const text = typeof value === "string" ? value : JSON.stringify(value);
		const key = this.server.signingKey;
		this.response.write(key ? `${signature(text, key)} ${text}\n` : `${text}\n`);
	}
}

/** Starts an app whose calls `script(call)` answers; `play(data)` starts a run of it and gives its end. */
export async function startPlayed(server, script, { retries = 0 } = {}) {
	const name = `played${++count}`;
	const app = await Rogue.start(
		server,
		name,
		(request, response, body) => {
			const call = new Call(server, request, response, body, app.calls.length);
			Promise.resolve(script(call)).catch((error) => {
				console.error(error);
				response.destroy();
			});
		},
		{ retries },
	);
	app.name = name;
	app.start = (data) => server.start(`${name}/go`, data);
	app.play = async (data, ms) => {
		const { id: runId } = await app.start(data);
		const run = await server.finished(runId, ms);
		return { ...run, steps: await server.steps(runId) };
	};
	return app;
}

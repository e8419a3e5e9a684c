// Signals, requests the engine makes for steps, and deferred functions, through the published package: both majors, in
// development mode and signed.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { logOnFailure, pause, startApp, startServer, until } from "./harness.mjs";
import { Host } from "./host.mjs";

let unique = 0;
const fresh = (word) => `${word}-${process.pid}-${++unique}`;
const secret = "sk-very-secret-0123456789";

for (const mode of ["dev", "signed"]) {
	describe(`in ${mode} mode`, () => {
		let server;
		let host;
		before(async () => {
			server = await startServer({ signed: mode === "signed" });
			host = await Host.start();
		});
		after(async () => {
			host?.stop();
			await server?.stop();
		});
		logOnFailure(() => server);
		for (const major of [4, 3]) describe(`with SDK v${major}`, { concurrency: 4 }, () => stepKinds(() => server, () => host, major));

		it("has stored no secret anywhere", async () => {
			const tables = await server.sql(
				"select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'flowforge' and c.relkind in ('r', 'p') and not c.relispartition");
			assert.ok(tables.length > 10);
			for (const table of tables) {
				assert.deepEqual(await server.sql(`select * from ${table} t where t::text like '%very-secret%'`), [], table);
			}
			assert.doesNotMatch(server.cluster.logTail(100_000), /very-secret/);
			assert.ok(host.asked.some((a) => JSON.stringify(a).includes(secret)), "it was sent, though");
		});
	});
}

function stepKinds(serverOf, hostOf, major) {
	let server;
	let host;
	let app;
	before(async () => {
		server = serverOf();
		host = hostOf();
		app = await startApp(server, { major, environment: { EXPERIMENTAL: "1" } });
	});

	const name = (event) => `e2e-v${major}/${event}`;
	async function ended(event, data, status = "completed") {
		const { id } = await server.start(name(event), data);
		const run = await server.finished(id);
		assert.equal(run.status, status, JSON.stringify(run.error));
		return { ...run, steps: await server.steps(id), calls: await app.calls(run) };
	}
	const waiting = (id) => until("it waits", async () => (await server.steps(id)).some((s) => s.status === "waiting"));
	const signal = (signal, data) => server.request("POST", "/v1/signals", { signal, data });

	describe("signals", () => {
		it("hands a signal with its data to the run that waits for it, and to no other", async () => {
			const [mine, other] = [fresh("signal"), fresh("signal")];
			const runs = [await server.start(name("signal-wait"), { signal: mine }), await server.start(name("signal-wait"), { signal: other })];
			for (const { id } of runs) await waiting(id);
			const { status, body } = await signal(mine, { n: [1, null] });
			assert.equal(status, 200, JSON.stringify(body));
			const run = await server.finished(runs[0].id);
			assert.deepEqual(body, { data: { run_id: run.ulid } });
			assert.deepEqual(run.output, { got: { signal: mine, data: { n: [1, null] } } });
			assert.deepEqual(await app.calls(run), { before: 1, after: 1 });
			assert.equal((await server.run(runs[1].id)).ended_at, null);
			await signal(other);
			assert.deepEqual((await server.finished(runs[1].id)).output, { got: { signal: other, data: null } });
		});

		it("says 404 when nobody waits, and keeps nothing", async () => {
			const nobody = fresh("signal");
			const { status, body } = await signal(nobody, 1);
			assert.equal(status, 404);
			assert.equal(body.status, 404);
			assert.match(body.error, /no run waits/);
			const run = await ended("signal-wait", { signal: nobody, timeout: "1s" });
			assert.deepEqual(run.output, { got: null }, "a signal sent before does not arrive");
		});

		it("gives null when no signal comes in time, and frees the name", async () => {
			const again = fresh("signal");
			assert.deepEqual((await ended("signal-wait", { signal: again, timeout: "1s" })).output, { got: null });
			const { id } = await server.start(name("signal-wait"), { signal: again });
			await waiting(id);
			await signal(again, "second");
			assert.deepEqual((await server.finished(id)).output.got.data, "second");
		});

		it("fails a run that waits for a signal another waits for", async () => {
			const taken = fresh("signal");
			const first = await server.start(name("signal-wait"), { signal: taken });
			await waiting(first.id);
			const second = await ended("signal-wait", { signal: taken, rule: "fail" }, "failed");
			assert.equal(second.error.name, "SignalConflictError");
			assert.ok(second.error.message.includes(taken), second.error.message);
			await signal(taken, "for the first");
			assert.equal((await server.finished(first.id)).output.got.data, "for the first");
		});

		it("takes the signal from a run that waits for it when told to replace it", async () => {
			const taken = fresh("signal");
			const first = await server.start(name("signal-wait"), { signal: taken, timeout: "3s" });
			await waiting(first.id);
			const second = await server.start(name("signal-wait"), { signal: taken, rule: "replace" });
			await waiting(second.id);
			await signal(taken, "for the second");
			assert.equal((await server.finished(second.id)).output.got.data, "for the second");
			assert.deepEqual((await server.finished(first.id)).output, { got: null });
		});

		it("sends a signal from SQL with the transaction that sends it", async () => {
			const sql = fresh("signal");
			const { id } = await server.start(name("signal-wait"), { signal: sql });
			await waiting(id);
			await server.sql(`begin; select ff_send_signal('${sql}', '"undone"'); rollback`);
			await pause(300);
			assert.equal((await server.run(id)).ended_at, null);
			await server.sql(`select ff_send_signal('${sql}', '"done"')`);
			assert.equal((await server.finished(id)).output.got.data, "done");
			assert.deepEqual(await server.sql(`select count(*) from flowforge.signal where name = '${sql}'`), ["0"]);
		});

		if (major === 4) {
			it("sends a signal from a step", async () => {
				const sent = fresh("signal");
				const { id } = await server.start(name("signal-wait"), { signal: sent });
				await waiting(id);
				const sender = await ended("signal-send", { signal: sent, data: { from: "a step" } });
				assert.deepEqual(sender.calls, { before: 1 });
				assert.deepEqual((await server.finished(id)).output.got.data, { from: "a step" });
			});
		}
	});

	describe("requests", () => {
		it("fetches for a step, with method, headers and body, once", async () => {
			const path = `/echo/${fresh("post")}`;
			const run = await ended("fetch", { url: `${host.url}${path}?a=1`, method: "PUT", headers: { "x-one": "1", "content-type": "application/json" }, body: '{"b":2}' });
			const { status, text, answer } = run.output.value;
			assert.equal(status, 200);
			assert.equal(answer, "yes");
			const echo = JSON.parse(text);
			assert.equal(echo.method, "PUT");
			assert.equal(echo.body, '{"b":2}');
			assert.equal(echo.query, "?a=1");
			assert.equal(echo.headers["x-one"], "1");
			assert.equal(echo.headers["content-type"], "application/json");
			assert.deepEqual(run.calls, { before: 1, after: 1 });
			assert.equal(host.at(path).length, 1);
			const step = run.steps.find((s) => s.op === "fetch");
			assert.equal(step.status, "completed");
			assert.equal(step.output.status_code, 200);
			assert.equal(step.detail.input.method, "PUT");
		});

		it("gets when no method is given, without a body", async () => {
			const path = `/echo/${fresh("get")}`;
			await ended("fetch", { url: host.url + path });
			assert.equal(host.at(path)[0].method, "GET");
			assert.equal(host.at(path)[0].headers["content-length"], undefined);
		});

		it("hands on an answer of 404 as it is", async () => {
			const run = await ended("fetch", { url: `${host.url}/missing/x` });
			assert.equal(run.output.value.status, 404);
			assert.match(run.output.value.text, /nothing here/);
		});

		it("follows a redirect, unpacks a body, and keeps bytes that are no text from doing harm", async () => {
			const redirected = await ended("fetch", { url: `${host.url}/redirect/x` });
			assert.equal(redirected.output.value.status, 200);
			assert.match(redirected.steps.find((s) => s.op === "fetch").output.url, /echo\/redirected$/);
			assert.equal((await ended("fetch", { url: `${host.url}/packed/x` })).output.value.text, "packed text");
			assert.equal((await ended("fetch", { url: `${host.url}/bytes/x` })).output.value.text, "a\ufffd\ufffdb");
		});

		it("tries a request that fails again, and lets the code catch its error", async () => {
			const path = `/gone/${fresh("gone")}`;
			const run = await ended("fetch", { url: host.url + path });
			assert.match(run.output.caught.message, /request failed/);
			assert.deepEqual(run.calls, { before: 1, after: 1 });
			assert.ok(host.at(path).length >= 2, "each attempt asked");
			const step = run.steps.find((s) => s.op === "fetch");
			assert.equal(step.status, "failed");
			assert.equal(step.attempt, 1);
			assert.deepEqual(await server.sql(`select started_at < ended_at from flowforge.step where run_id = '${run.id}' and op = 'fetch'`), ["t"]);
		});

		it("fails the run of a request that is none, saying why", async () => {
			const run = await ended("fetch", { url: "ftp://127.0.0.1/x" }, "failed");
			assert.match(run.error.message, /no http or https URL/);
		});

		it("keeps what a request is authorised with to itself", async () => {
			const path = `/echo/${fresh("auth")}`;
			const url = new URL(`${host.url}${path}?api_key=${secret}&page=2`);
			const run = await ended("fetch", { url: url.href, headers: { authorization: `Bearer ${secret}`, "x-api-key": `${secret}-2` } });
			const [asked] = host.at(path);
			assert.equal(asked.headers.authorization, `Bearer ${secret}`);
			assert.match(asked.path, new RegExp(`api_key=${secret}&page=2`));
			const step = run.steps.find((s) => s.op === "fetch");
			assert.equal(step.detail.input.headers.authorization, "[redacted]");
			assert.match(step.detail.input.url, /\?api_key=\[redacted\]&page=2$/);
			assert.match(run.output.value.text, /Bearer \[redacted\]|\[redacted\]/, "an answer that repeats it is cleaned");
			// The event itself is the sender's: this test's secret in it is not what is looked for afterwards.
			await server.sql(`update flowforge.event set data = '{}' where event_id = '${run.event_id}'`);
		});

		it("makes requests side by side with a step", async () => {
			const base = `${host.url}/echo/${fresh("parallel")}`;
			const run = await ended("fetch-parallel", { url: base });
			assert.deepEqual(run.output, { one: 200, two: 200, work: "work" });
			assert.deepEqual(run.calls, { work: 1 });
			for (const part of ["one", "two"]) assert.equal(host.at(`${new URL(base).pathname}/${part}`).length, 1);
		});
	});

	describe("inference", () => {
		const ask = (path, more = {}) => ({ provider: "openai", model: "gpt-4o", apiKey: secret, baseUrl: `${host.url}${path}/`, ...more });
		/** Runs the function and takes the key out of the event, where the test itself has put it. */
		async function inferred(data) {
			const run = await ended("infer", data);
			await server.sql(`update flowforge.event set data = '{}' where event_id = '${run.event_id}'`);
			return run;
		}

		it("asks the provider with the function's key and notes what was used", async () => {
			const path = `/ai/${fresh("openai")}`;
			const run = await inferred(ask(path));
			assert.equal(run.output.value.choices[0].message.content, "four");
			assert.deepEqual(run.calls, { before: 1, after: 1 });
			const [asked] = host.at(`${path}/chat/completions`);
			assert.equal(asked.method, "POST");
			assert.equal(asked.headers.authorization, `Bearer ${secret}`);
			assert.equal(JSON.parse(asked.body).model, "gpt-4o");
			const step = run.steps.find((s) => s.op === "ai");
			assert.deepEqual(step.detail.usage, { model: "gpt-4o-1", input_tokens: 11, output_tokens: 2 });
			assert.match(step.detail.input.body, /2 \+ 2/);
		});

		it("authorises as each provider wants it", async () => {
			const anthropic = `/ai/${fresh("anthropic")}`;
			await inferred(ask(anthropic, { provider: "anthropic", model: "claude-3-5-haiku-latest", defaultParameters: { max_tokens: 10 } }));
			const asked = host.asked.find((a) => a.path.startsWith(anthropic));
			assert.equal(asked.headers["x-api-key"], secret);
			assert.equal(asked.headers.authorization, undefined);
			assert.ok(asked.headers["anthropic-version"]);
			const gemini = `/ai/${fresh("gemini")}`;
			await inferred(ask(gemini, { provider: "gemini", model: "gemini-1.5-flash" }));
			const other = host.asked.find((a) => a.path.startsWith(gemini));
			assert.equal(new URL(other.path, host.url).searchParams.getAll("key").join(), secret);
		});

		it("tries again when the provider says later", async () => {
			const path = `/busy/${fresh("busy")}`;
			const run = await inferred(ask(path));
			assert.equal(run.output.value.choices[0].message.content, "four");
			assert.equal(host.at(`${path}/chat/completions`).length, 2);
			assert.equal(run.steps.find((s) => s.op === "ai").attempt, 1);
			assert.ok(Date.parse(run.ended_at) - Date.parse(run.created_at) >= 990, "as late as it said");
		});

		it("lets the code catch a refusal, cleaned of the key the provider repeats", async () => {
			const run = await inferred(ask(`/broken/${fresh("broken")}`));
			assert.match(run.output.caught.message, /provider answered 500/);
			const step = run.steps.find((s) => s.op === "ai");
			assert.equal(step.error.name, "AIGatewayError");
			assert.match(step.error.stack, /the key .*\[redacted\] is not worth much/);
			assert.equal(step.attempt, 2);
		});

		it("says so when the answer is no JSON", async () => {
			const run = await inferred(ask(`/page/${fresh("page")}`));
			assert.match(run.output.caught.message, /not JSON/);
		});

		it("keeps the input of a wrapped call beside its result", async () => {
			const run = await ended("wrap");
			assert.deepEqual(run.output, { value: 42 });
			assert.deepEqual(run.calls, { double: 1 });
			assert.deepEqual(run.steps[0].detail.input, [21]);
		});
	});

	if (major === 4) {
		describe("deferred functions", () => {
			const followed = (key) => until("the deferred function ran", () => app.seen(`deferred ${key}`));

			it("start when the run has ended, each once", async () => {
				const key = fresh("defer");
				const run = await ended("defer", { key });
				const { data, parents } = await followed(key);
				assert.deepEqual(data, { key, n: 1 });
				assert.deepEqual(parents, [{ fnSlug: "e2e-v4-defer", runId: run.ulid }]);
				await pause(200);
				const runs = await server.sql(`select count(*) from flowforge.event where name = 'inngest/deferred.schedule' and data ->> 'key' = '${key}'`);
				assert.deepEqual(runs, ["1"]);
			});

			it("start when the run has failed, too", async () => {
				const key = fresh("defer");
				const run = await ended("defer", { key, fail: true }, "failed");
				assert.equal(run.error.message, "failed after deferring");
				assert.equal((await followed(key)).parents[0].runId, run.ulid);
			});

			it("start when the function defers and returns at once", async () => {
				const key = fresh("defer");
				assert.equal((await ended("defer-last", { key })).output, "at once");
				assert.deepEqual((await followed(key)).data, { key, n: 2 });
			});

			it("do not start when they were aborted", async () => {
				const key = fresh("defer");
				const run = await ended("defer-aborted", { key });
				assert.deepEqual(run.output, { abortable: "function" });
				await pause(500);
				assert.equal(await app.seen(`deferred ${key}`), null);
			});
		});
	}
}

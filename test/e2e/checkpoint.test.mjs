// Steps that are reported while a call goes on: by the package (v4), by messages of a scripted app, and line by line.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { logOnFailure, pause, startApp, startServer, until } from "./harness.mjs";
import { functionId, op, runComplete, startPlayed, stepRun } from "./played.mjs";

for (const mode of ["dev", "signed"]) {
	describe(`in ${mode} mode`, () => {
		let server;
		const apps = [];
		before(async () => {
			server = await startServer({ signed: mode === "signed", settings: { "flowforge.output_limit": "100kB", "flowforge.state_limit": "200kB" } });
		});
		after(async () => {
			for (const app of apps) app.stop();
			await server?.stop();
		});
		logOnFailure(() => server);

		async function played(script, options) {
			const app = await startPlayed(server, script, options);
			apps.push(app);
			return app;
		}
		const kinds = async (runId) => (await server.events(runId)).map((e) => e.type);

		describe("the package", () => {
			let app;
			before(async () => {
				app = await startApp(server);
			});
			const requests = (run) => app.seen(`requests ${run.ulid}`);
			async function ended(event, data) {
				const { id } = await server.start(`e2e-v4/${event}`, data);
				const run = await server.finished(id);
				assert.equal(run.status, "completed", JSON.stringify(run.error));
				return run;
			}

			it("runs fifty steps in one call, each once and in order", async () => {
				const run = await ended("many-steps");
				assert.equal(run.output, 1225);
				assert.deepEqual(Object.values(await app.calls(run)), Array(50).fill(1));
				assert.equal(await requests(run), 1);
				const steps = await server.steps(run.id);
				assert.deepEqual(steps.map((s) => s.name), [...Array(50).keys()].map((i) => `s${i}`));
				assert.ok(steps.every((s) => s.status === "completed" && Date.parse(s.started_at) <= Date.parse(s.ended_at)));
			});

			it("shows a step while the call goes on", async () => {
				const { id: runId } = await server.start("e2e-v4/slow-last", { ms: 1500 });
				const steps = await until("the first step is there", async () => {
					const found = await server.steps(runId);
					return found.length > 0 && found;
				});
				assert.equal(steps[0].name, "first");
				assert.equal((await server.run(runId)).ended_at, null);
				const run = await server.finished(runId);
				assert.equal(run.output, "late");
				assert.deepEqual(await app.calls(run), { first: 1, last: 1 });
			});

			it("makes a call a step when checkpointing is off", async () => {
				await server.sql("alter system set flowforge.checkpointing = off");
				await server.sql("select pg_reload_conf()");
				await pause(300);
				try {
					const run = await ended("many-steps");
					assert.deepEqual(Object.values(await app.calls(run)), Array(50).fill(1));
					assert.equal(await requests(run), 51);
				} finally {
					await server.sql("alter system reset flowforge.checkpointing");
					await server.sql("select pg_reload_conf()");
				}
			});
		});

		describe("messages", () => {
			it("keep what a call has done when it breaks off, and give the next one all attempts", async () => {
				const attempts = [];
				const app = await played(async (call) => {
					attempts.push(call.body.ctx.attempt);
					const next = ["a", "b", "c"].find((letter) => !call.has(letter));
					if (next === undefined) return call.done(["a", "b", "c"].map((letter) => call.memo(letter).data));
					assert.equal((await call.checkpoint([stepRun(next)])).status, 200);
					call.request.socket.destroy();
				}, { retries: 1 });
				const run = await app.play();
				assert.deepEqual(run.output, ["a", "b", "c"], JSON.stringify(run.error));
				assert.deepEqual(attempts, [0, 1, 1, 1]);
				assert.deepEqual(run.steps.map((s) => s.name), ["a", "b", "c"]);
			});

			it("that tell of several steps at once have the failed attempts of the first only", async () => {
				const app = await played(async (call) => {
					if (call.number === 1) return call.ops(op("StepError", "a", { error: { name: "E", message: "not yet" } }));
					assert.equal((await call.checkpoint([stepRun("a"), stepRun("b")])).status, 200);
					call.done("end");
				}, { retries: 1 });
				const run = await app.play();
				assert.equal(run.output, "end", JSON.stringify(run.error));
				assert.deepEqual(run.steps.map((s) => [s.name, s.attempt]), [["a", 1], ["b", 0]]);
			});

			it("come before the answer that follows them, every time", async () => {
				const app = await played(async (call) => {
					await call.checkpoint([stepRun("a", 1)]);
					await call.checkpoint([stepRun("b", 2), op("StepFailed", "c", { error: { name: "E", message: "no" } })]);
					call.ops(stepRun("d"), runComplete("end"));
				});
				const started = await Promise.all([...Array(40)].map(() => app.start()));
				for (const { id: runId } of started) {
					assert.equal((await server.finished(runId)).output, "end");
					assert.deepEqual((await server.steps(runId)).map((s) => [s.name, s.status]), [["a", "completed"], ["b", "completed"], ["c", "failed"], ["d", "completed"]]);
				}
			});

			it("that come twice count once", async () => {
				const app = await played(async (call) => {
					await Promise.all([call.checkpoint([stepRun("a", 1)]), call.checkpoint([stepRun("a", 2)])]);
					call.ops(stepRun("a", 3), runComplete(null));
				});
				const run = await app.play();
				assert.equal(run.steps.length, 1);
				assert.ok([1, 2].includes(run.steps[0].output));
			});

			it("of a call that is over, of another run, or of a run that is over are refused with 409", async () => {
				const calls = [];
				const app = await played((call) => void calls.push(call));
				const { id: runId } = await app.start();
				await until("the call", () => calls.length === 1);
				const { id: otherId } = await app.start();
				await until("both calls", () => calls.length === 2);
				const [call, other] = calls;
				const stale = async (more) => {
					const { status, body } = await call.checkpoint([stepRun("a")], more);
					assert.equal(status, 409, JSON.stringify(body));
					assert.equal(body.status, 409);
					assert.match(body.error, /is over/);
				};
				await stale({ request_id: other.headers["x-request-id"] });
				await stale({ request_id: undefined, generation_id: 99 });
				call.ops(op("Sleep", "z", { name: "1h" }));
				await until("it sleeps", async () => (await server.steps(runId)).some((s) => s.status === "sleeping"));
				await stale();
				await server.request("POST", `/api/v1/runs/${runId}/cancel`, {});
				await server.finished(runId);
				await stale();
				assert.deepEqual((await server.steps(runId)).filter((s) => s.name === "a"), []);
				other.done();
				await server.finished(otherId);
			});

			it("of an executor that is gone are refused, and its call is made again after what it accepted", async () => {
				const calls = [];
				const app = await played((call) => void calls.push(call));
				const { id: runId } = await app.start();
				await until("the call", () => calls.length === 1);
				assert.equal((await calls[0].checkpoint([stepRun("a")])).status, 200);
				await server.sql("select pg_terminate_backend(pid) from flowforge.executors()");
				await until("the call is made again", () => calls.length === 2);
				assert.equal((await calls[0].checkpoint([stepRun("b", "old")])).status, 409);
				assert.deepEqual(calls[1].memo("a"), { data: "a" });
				assert.equal((await calls[1].checkpoint([stepRun("b", "new")])).status, 200);
				calls[1].ops(runComplete("end"));
				assert.equal((await server.finished(runId)).output, "end");
				assert.deepEqual((await server.steps(runId)).map((s) => s.output), ["a", "new"]);
			});

			it("that are wrong are refused with what is wrong", async () => {
				const calls = [];
				const app = await played((call) => void calls.push(call));
				const { id: runId } = await app.start();
				await until("the call", () => calls.length === 1);
				const [call] = calls;
				const refused = async (status, message, steps, more) => {
					const answer = await call.checkpoint(steps, more);
					assert.equal(answer.status, status, JSON.stringify(answer.body));
					assert.match(answer.body.error, message);
				};
				await refused(400, /not a list/, { op: "StepRun" });
				await refused(400, /without op or id/, [{ op: "StepRun" }]);
				await refused(400, /Teleport/, [op("Teleport", "a")]);
				await refused(400, /not finished/, [stepRun("a"), op("Sleep", "b", { name: "1s" })]);
				await refused(400, /request_id/, [stepRun("a")], { request_id: "nonsense" });
				await refused(413, /100|102400/, [stepRun("a", "x".repeat(200_000))]);
				const unknown = await server.request("POST", "/v1/checkpoint/01M7X48DDQY5A8AA99DVBKTVDC/async", { steps: [] });
				assert.equal(unknown.status, 404);
				if (mode === "signed") {
					const { status } = await server.request("POST", `/v1/checkpoint/${runId}/async`, { steps: [] }, { authorization: "Bearer no" });
					assert.equal(status, 401);
				}
				assert.deepEqual(await server.steps(runId), []);
				call.done();
				await server.finished(runId);
			});

			it("that the run has no room for are refused with 413, and what it has is kept", async () => {
				const calls = [];
				const app = await played((call) => void calls.push(call));
				const { id: runId } = await app.start();
				await until("the call", () => calls.length === 1);
				const [call] = calls;
				const large = (name) => stepRun(name, "x".repeat(60_000));
				for (const name of ["a", "b", "c"]) assert.equal((await call.checkpoint([large(name)])).status, 200, name);
				const full = await call.checkpoint([large("d")]);
				assert.equal(full.status, 413, JSON.stringify(full.body));
				assert.match(full.body.error, /flowforge.state_limit allows 204800/);
				assert.equal((await call.checkpoint([large("c")])).status, 200, "what comes twice counts once");
				assert.equal((await call.checkpoint([stepRun("e", "small")])).status, 200);
				await until("the steps are kept", async () => (await server.steps(runId)).length === 4);
				const kept = await call.checkpoint([large("d")]);
				assert.equal(kept.status, 413, "once they are rows, too");
				call.done("end");
				const run = await server.finished(runId);
				assert.equal(run.output, "end");
				assert.deepEqual((await server.steps(runId)).map((s) => s.name), ["a", "b", "c", "e"]);
			});

			it("let a function that fails after them be tried again after them", async () => {
				const app = await played(async (call) => {
					if (call.has("a")) return call.done(call.body.ctx.attempt);
					await call.checkpoint([stepRun("a")]);
					call.answer(500, { name: "Error", message: "between steps" }, { "x-inngest-no-retry": "false" });
				}, { retries: 1 });
				assert.equal((await app.play()).output, 1);
			});
		});

		/** What steps took, in microseconds as the database knows them. */
		const took = async (run) =>
			Object.fromEntries((await server.sql(`select name, extract(epoch from ended_at - started_at) * 1000000 from flowforge.step where run_id = '${run.id}'`))
				.map((row) => row.split("|")).map(([name, time]) => [name, Number(time)]));

		it("a step's time is its own, however it is told, and no other step's", async () => {
			const timing = { a: Date.now() * 1e6, b: 7_000_000 };
			const app = await played(async (call) => {
				call.beginLines();
				await pause(300);
				call.line(stepRun("a"));
				await pause(300);
				call.line({ ...stepRun("b"), timing });
				call.line({ ...op("StepFailed", "c", { error: { name: "E", message: "no" } }), timing });
				await pause(300);
				await call.checkpoint([{ ...stepRun("d"), timing }, stepRun("e")]);
				call.line(runComplete("end"));
				call.response.end();
			});
			const run = await app.play();
			assert.equal(run.output, "end", JSON.stringify(run.error));
			const { b, c, d, ...unsaid } = await took(run);
			assert.deepEqual([b, c, d], [7_000, 7_000, 7_000], "as the app has measured it");
			assert.deepEqual(Object.keys(unsaid).sort(), ["a", "e"]);
			// What nobody has measured took as long as the call has lasted since it last told of a step.
			assert.ok(unsaid.a >= 290_000, "since the call was made");
			assert.ok(unsaid.a + unsaid.e <= 1000 * (run.timing.running_ms + 1), `${JSON.stringify(unsaid)} in ${run.timing.running_ms} ms`);
		});

		describe("lines", () => {
			it("are kept as they arrive, and the last says how it ends", async () => {
				let go;
				const held = new Promise((resolve) => (go = resolve));
				const app = await played(async (call) => {
					call.beginLines();
					call.line(stepRun("a", { n: 1 }));
					await held;
					call.line(stepRun("b", 2));
					call.line(runComplete({ all: true }));
					call.response.end();
				});
				const { id: runId } = await app.start();
				const [step] = await until("the first step is there", async () => {
					const found = await server.steps(runId);
					return found.length > 0 && found;
				});
				assert.deepEqual(step.output, { n: 1 });
				assert.equal((await server.run(runId)).ended_at, null);
				go();
				assert.deepEqual((await server.finished(runId)).output, { all: true });
				assert.deepEqual((await server.steps(runId)).map((s) => s.name), ["a", "b"]);
				assert.equal(app.calls.length, 1);
				assert.deepEqual((await kinds(runId)).slice(-3), ["step.completed", "step.completed", "run.completed"]);
			});

			it("are kept when the connection breaks, and the next call goes on after them", async () => {
				const app = await played(async (call) => {
					call.beginLines();
					if (!call.has("a")) {
						call.line(stepRun("a"));
						await pause(300);
						return call.response.destroy();
					}
					call.line(stepRun("b", call.memo("a").data));
					call.line(runComplete("end"));
					call.response.end();
				}, { retries: 1 });
				const run = await app.play();
				assert.equal(run.output, "end", JSON.stringify(run.error));
				assert.deepEqual(run.steps.map((s) => s.output), ["a", "a"]);
				assert.equal(app.calls.length, 2);
			});

			it("may end with a sleep, or with nothing: then the function is asked again", async () => {
				const app = await played((call) => {
					call.beginLines();
					if (!call.has("a")) {
						call.line(stepRun("a"));
						call.line(op("Sleep", "s", { name: "100ms" }));
					} else if (!call.has("b")) {
						assert.equal(call.memo("s"), null);
						call.line(stepRun("b"));
					} else call.line(runComplete(call.body.ctx.stack.stack.length));
					call.response.end();
				});
				assert.equal((await app.play()).output, 3);
			});

			it("need not end with a newline, may be cut anywhere, and may be empty", async () => {
				const app = await played(async (call) => {
					call.beginLines();
					const sign = (text) => (server.signingKey ? `${call.signed(text)["x-inngest-signature"]} ${text}` : text);
					const text = `${sign(JSON.stringify(stepRun("a", "é日本🚀")))}\n\n\r\n${sign(JSON.stringify(runComplete("ü")))}`;
					for (const byte of Buffer.from(text)) {
						call.response.write(Buffer.of(byte));
						if (byte % 16 === 0) await pause(1);
					}
					call.response.end();
				});
				const run = await app.play();
				assert.equal(run.output, "ü", JSON.stringify(run.error));
				assert.equal(run.steps[0].output, "é日本🚀");
			});

			it("may be many", async () => {
				const many = 500;
				const app = await played((call) => {
					call.beginLines();
					for (let n = 0; n < many; n++) call.line({ ...stepRun("a", n), id: n.toString(16).padStart(40, "0") });
					call.line(runComplete("end"));
					call.response.end();
				});
				const run = await app.play();
				assert.equal(run.output, "end");
				assert.deepEqual(run.steps.map((s) => s.output), [...Array(many).keys()]);
			});

			it("that are wrong fail the call with what is wrong, and keep those before", async () => {
				for (const [line, message] of [
					["{nonsense", /not JSON/],
					["[1]", /without op or id/],
					[JSON.stringify(op("Teleport", "b")), /Teleport/],
				]) {
					const app = await played((call) => {
						call.beginLines();
						call.line(stepRun("a"));
						call.line(line);
						call.line(runComplete("end"));
						call.response.end();
					});
					const run = await app.play();
					assert.equal(run.status, "failed");
					assert.match(run.error.message, message);
					assert.deepEqual(run.steps.map((s) => s.name), ["a"]);
				}
			});

			if (mode === "signed") {
				it("that are not signed are not believed", async () => {
					const app = await played((call) => {
						call.beginLines();
						call.response.write(`${JSON.stringify(stepRun("a"))}\n`);
						call.response.end();
					});
					const run = await app.play();
					assert.equal(run.status, "failed");
					assert.match(run.error.message, /not signed/);
					assert.deepEqual(run.steps, []);
				});
			}

			it("answer a call for one step, too", async () => {
				const app = await played((call) => {
					if (call.target !== "step") {
						call.beginLines();
						call.line({ ...stepRun("x", call.target[0]), id: call.target });
						return call.response.end();
					}
					if (call.has("a") && call.has("b")) return call.done("both");
					call.ops(op("StepPlanned", "a"), op("StepPlanned", "b"));
				});
				const run = await app.play();
				assert.equal(run.output, "both", JSON.stringify(run.error));
				assert.deepEqual(run.steps.map((s) => s.output).sort(), ["a", "b"]);
			});

			it("may fail the function, with what rides along", async () => {
				const app = await played((call) => {
					call.beginLines();
					call.line(stepRun("a"));
					call.line({ op: "StepFailed", id: functionId, error: { name: "Fatal", message: "that is all" } });
					call.response.end();
				}, { retries: 3 });
				const run = await app.play();
				assert.equal(run.status, "failed");
				assert.equal(run.error.message, "that is all");
				assert.equal(app.calls.length, 1);
			});
		});

		it("leaves nothing behind", async () => {
			for (const table of ["run_hot", "run_parked", "inbox", "wait", "signal"]) {
				assert.deepEqual(await server.sql(`select count(*) from flowforge.${table}`), ["0"], table);
			}
		});
	});
}

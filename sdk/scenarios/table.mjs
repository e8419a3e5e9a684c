// What every client has to do with every server: one row a scenario. scenarios.test.mjs plays each row with each client and compares what the
// server has recorded with the row, and the clients with each other.
//
//   what        what is tried
//   function    its id in functions.mjs and functions.py; the event that starts it has this name, too
//   data        of that event: a value, or a function of the scene
//   without     {client: why it cannot}
//   start       starts the run and gives its id, where that takes more than one event
//   meanwhile   what happens while the run goes on
//   then        what happens when it has ended; gives the run that is looked at if that is another one, or the same again
//   status, output, error   how the run ends: completed if nothing else is said
//   steps       what the server shows of it, in the order in which the steps finished; of those side by side the order does not matter
//   apart       what of it clients may differ in, beside values that are functions: steps, log
//   calls       how often the function was called
//   entered     how often code between the steps was entered
//   check       what else must be so
//
// A value may be a function that says whether it is right: then the clients may differ in it. A scene is {server, client, host, key, data, run}:
// `key` is a text that no other run has, `run` the id of the run.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { isDeepStrictEqual as equal } from "node:util";
import { pause, until } from "../../test/e2e/harness.mjs";

const text = "é ñ 日本語 🚀👩‍👩‍👧 \u2028\u2029 \u0001\u001f \"quoted\" back\\slash \ud7ff\ue000 zero\u200bwidth </script> \u007f";
const values = [1, null, "x", true, -0.5, 1e21, 9007199254740991, {}, [], [null]];
const digest = (value) => createHash("sha256").update(value).digest("hex");
const largeText = [...Array(4800).keys()].map((i) => digest(`part ${i}`)).join("");
const range = (n) => [...Array(n).keys()];
const oneOf = (...values) => (value) => values.includes(value);

// --- steps ---

const ran = (name, output = name, times = 1) => ({ name, op: "run", status: "completed", output, times });
const failed = (name, error, times = 1) => ({ name, op: "run", status: "failed", error, times });
const served = (op, name, output) => ({ name, op, status: "completed", output });
const refused = (op, name, error) => ({ name, op, status: "failed", error });
const slept = (name) => served("sleep", name, null);
// The package sends events itself, in a step; ours leave it to the server, which does it once.
const sent = (name, count) => served(oneOf("run", "send_event"), name, ({ ids }) => ids.length === count);

// --- what happens meanwhile ---

const steps = async ({ server, run }) => server.steps(run);
const inStep = (status) => (scene) => until(`a step is ${status}`, async () => (await steps(scene)).some((step) => step.status === status));
const waits = inStep("waiting");
const sleeps = inStep("sleeping");
const send = ({ server, client }, name, data) => server.send(`${client.id}/${name}`, data);

async function ask({ server }, method, path, body) {
	const { status, body: answer } = await server.request(method, path, body);
	assert.ok(status < 300, `${method} ${path}: ${status} ${JSON.stringify(answer)}`);
	return answer;
}

const decide = (decision, body) => async (scene) => {
	const pending = () => ask(scene, "GET", `/api/v1/approvals?status=pending&run=${scene.run}`);
	const [asked] = await until("it asks", async () => (await pending()).data.length > 0 && (await pending()).data);
	assert.equal(asked.prompt, `Ship ${scene.key}?`);
	await ask(scene, "POST", `/api/v1/approvals/${asked.id}/${decision}`, body);
};

const replay = (body) => async (scene, run) => scene.server.finished((await ask(scene, "POST", `/api/v1/runs/${run.id}/replay`, body)).id);

export const scenarios = [
	// It takes the longest: the others are played beside it.
	{
		what: "a thousand steps",
		function: "thousand",
		output: (997 * 998) / 2 + 1,
		steps: [...range(998).map((i) => ran("add", i)), slept("nap"), ran("last", 1)],
		// The package ends a call that has taken some seconds.
		calls: (calls, { client }) => calls === 2 || client.name === "inngest",
		apart: ["log"],
	},
	{
		what: "steps one after another",
		function: "sequence",
		data: { n: 1 },
		output: { c: [2, 4], attempt: 0 },
		steps: [ran("a", { n: 2 }), ran("b", { n: 4 }), ran("c", [2, 4])],
		calls: 1,
	},
	{ what: "no steps at all", function: "no-steps", data: { value: values }, output: { echo: values }, steps: [], calls: 1 },
	{ what: "a result of nothing", function: "nothing", output: null, steps: [ran("only")] },
	{
		what: "results that are null, false, zero or empty",
		function: "empty",
		output: { nothing: null, missing: null, no: false, zero: 0, text: "", data: { data: { data: null }, error: null } },
		steps: [
			ran("nothing", null), ran("missing", null), ran("no", false), ran("zero", 0), ran("text", ""),
			ran("data", { data: { data: null }, error: null }), slept("nap"),
		],
		calls: 2,
	},
	{ what: "an id that comes again", function: "loop", output: [0, 11, 22, 33], steps: range(4).map((i) => ran("turn", 11 * i)) },
	{ what: "ten steps in one call", function: "ten", output: range(10), steps: range(10).map((i) => ran(`s${i}`, i)), calls: 1 },
	{
		what: "a large result",
		function: "large",
		output: { length: largeText.length, sum: digest(largeText), text: largeText },
		steps: [ran("make", largeText), slept("nap"), ran("measure", digest(largeText))],
	},
	{
		what: "a state that is too large for a call",
		function: "heavy",
		output: { sizes: Array(5).fill(1_000_000), last: "last" },
		steps: [...range(5).map((i) => ran(`part ${i}`, String(i).repeat(1_000_000))), slept("nap"), ran("last")],
	},
	{
		what: "every character",
		function: "unicode",
		data: { text },
		output: { text, back: { [text]: text } },
		steps: [ran("füße 日本 🚀", text), slept("nap"), ran("again", { [text]: text })],
	},
	{
		what: "a sleep, and one until a time",
		function: "sleep",
		output: ({ nap, until }) => nap >= 990 && until >= 990,
		steps: [ran("start", Number.isInteger), slept("nap"), ran("middle", Number.isInteger), slept("until"), ran("end", Number.isInteger)],
	},
	{
		what: "a step that is kept while the call goes on",
		function: "held",
		data: ({ key }) => ({ key }),
		async meanwhile(scene) {
			await until("the first step is there", async () => (await steps(scene)).some((step) => step.name === "first" && step.status === "completed"));
			assert.equal((await scene.server.run(scene.run)).ended_at, null);
			await scene.client.open(scene.key);
		},
		output: "done",
		steps: [ran("first"), ran("second"), ran("third")],
		calls: 1,
	},
	{
		what: "a function that catches everything",
		function: "swallows",
		output: "not disturbed",
		sideBySide: true,
		steps: [ran("before"), slept("nap"), served("wait", "never", null), ran("p"), ran("q")],
	},

	// Side by side.
	{
		what: "steps side by side",
		function: "parallel",
		sideBySide: true,
		output: { values: ["p1", "p2", "p3"], after: "p1+p2+p3" },
		steps: [ran("p1"), ran("p2"), ran("p3"), ran("after", "p1+p2+p3")],
	},
	{
		what: "chains side by side",
		function: "chains",
		sideBySide: true,
		output: [["a1", "a2", "a3"], ["b1", "b2"], ["c1"]],
		steps: ["a1", "a2", "a3", "b1", "b2", "c1"].map((name) => ran(name)),
	},
	{
		what: "a step beside a sleep",
		function: "sleep-and-run",
		sideBySide: true,
		output: { slept: null, value: "work", after: "after" },
		steps: [slept("nap"), ran("work"), ran("after")],
	},
	{
		what: "a failed step beside a good one",
		function: "settled",
		sideBySide: true,
		output: ["good", "bad step é日本🚀"],
		steps: [ran("good"), failed("bad", "bad step é日本🚀"), ran("after")],
	},
	{
		what: "attempts of a parallel step of its own",
		function: "parallel-retry",
		sideBySide: true,
		output: ["steady", "shaky"],
		steps: [ran("steady"), ran("shaky", "shaky", 3)],
	},
	{
		what: "a race, whose loser is not waited for, and whose winner stays the same",
		function: "race",
		output: { winner: "fast", after: "after" },
		without: { inngest: "it says that it waits for the loser until that is over, and its run ends then" },
		data: { slow: "1h", more: true },
		steps: [ran("fast"), slept("nap"), ran("after")],
	},
	{
		what: "a race against time",
		function: "timed-race",
		output: { winner: null, after: "after" },
		without: { inngest: "as above" },
		steps: [slept("limit"), ran("after")],
	},
	{
		what: "a race",
		function: "race",
		data: { slow: "2s", more: false },
		sideBySide: true,
		output: { winner: "fast", after: "after" },
		// See above.
		steps: ({ client }) => [ran("fast"), slept("nap"), ran("after"), ...(client.name === "inngest" ? [slept("slow")] : [])],
		apart: ["steps", "log"],
	},

	// What fails.
	{
		what: "a step that is tried again",
		function: "retried-step",
		output: "third time lucky",
		steps: [ran("before"), ran("flaky", "third time lucky", 3), ran("after")],
	},
	{
		what: "code between steps that is tried again",
		function: "retried-function",
		output: "after",
		steps: [ran("before"), ran("after")],
		entered: ({ between }) => between >= 2,
	},
	{
		what: "a step that fails every time",
		function: "exhausted",
		status: "failed",
		error: { name: "PaymentRefused", message: "card declined", cause: "limit reached" },
		steps: [ran("before"), failed("always", "card declined", 2)],
	},
	{
		what: "a step whose error is caught",
		function: "caught",
		output: { undone: "undo", name: "PaymentRefused", message: "card declined" },
		steps: [failed("charge", "card declined", 2), ran("undo")],
	},
	{
		what: "a step that is not worth another attempt",
		function: "final-step",
		status: "failed",
		error: { message: "never", cause: "because" },
		steps: [failed("refuse", "never")],
	},
	{
		what: "a function that is not worth another attempt",
		function: "final-function",
		status: "failed",
		error: { message: "not even once more" },
		steps: [],
		calls: 1,
	},
	{
		what: "an attempt that is to come later",
		function: "retry-after",
		output: "done",
		steps: [ran("later", "now", 2)],
		check: (_, { run }) => assert.ok(Date.parse(run.ended_at) - Date.parse(run.created_at) >= 1990, "two seconds later"),
	},
	{
		what: "a failed run that is made to go on",
		function: "mended",
		data: ({ key }) => ({ key }),
		async then(scene, run) {
			assert.equal(run.status, "failed");
			await scene.client.open(scene.key);
			await ask(scene, "POST", `/api/v1/runs/${run.id}/retry`, {});
			return until("it has gone on", async () => {
				const again = await scene.server.run(run.id);
				return again.status === "completed" && again;
			});
		},
		output: "mended",
		steps: [ran("before"), ran("broken", "mended", 2)],
	},
	{
		what: "a handler of failures",
		function: "fails",
		data: ({ key }) => ({ key }),
		status: "failed",
		error: { name: "PaymentRefused", message: "refused on purpose" },
		steps: [],
		async check({ client, key }, { run }) {
			const seen = await until("it was called", () => client.seen(key));
			assert.deepEqual(seen, { message: "refused on purpose", told: "refused on purpose", run: run.ulid, cleaned: "clean up" });
		},
	},

	// Waits.
	{
		what: "an event that is waited for, by the one run it is for",
		function: "wait",
		data: ({ key }) => ({ key }),
		async meanwhile(scene) {
			await waits(scene);
			await send(scene, "answer", { key: "somebody else's" });
			await send(scene, "answer", { key: scene.key, amount: 5 });
		},
		output: (found, { client, key }) => equal(found, { name: `${client.id}/answer`, data: { key, amount: 5 } }),
		steps: [ran("before"), served("wait", "answer", ({ amount }) => amount === 5), ran("after")],
	},
	{
		what: "an event that an expression accepts",
		function: "wait-if",
		data: ({ key }) => ({ key }),
		async meanwhile(scene) {
			await waits(scene);
			for (const amount of [99, undefined, 100]) await send(scene, "answer", { key: scene.key, amount });
		},
		output: { amount: 100 },
		steps: [served("wait", "answer", ({ amount }) => amount === 100)],
	},
	{ what: "a wait that is over in time", function: "wait-timeout", output: { answer: null }, steps: [served("wait", "answer", null)] },
	{
		what: "an answer to an event of its own",
		function: "wait-and-send",
		sideBySide: true,
		data: ({ key }) => ({ key }),
		output: (found, { key }) => equal(found, { heard: key }),
		steps: [served("wait", "answer", ({ key }) => key !== undefined), sent("ask", 1)],
	},
	{
		what: "a signal",
		function: "signal",
		data: ({ key }) => ({ key, timeout: "1m" }),
		async meanwhile(scene) {
			await waits(scene);
			await ask(scene, "POST", "/v1/signals", { signal: scene.key, data: { by: text } });
		},
		output: { got: { by: text } },
		steps: [served("signal", "signal", ({ data }) => data.by === text)],
	},
	{
		what: "a signal that does not come",
		function: "signal",
		data: ({ key }) => ({ key, timeout: "300ms" }),
		output: { got: null },
		steps: [served("signal", "signal", null)],
	},
	{
		what: "a signal from a step",
		function: "signals",
		without: { python: "its steps have no sendSignal; the client sends them" },
		data: ({ key }) => ({ key }),
		async start(scene) {
			const { server, client } = scene;
			scene.waiting = await server.start(`${client.id}/signal`, { ...scene.data, timeout: "1m" });
			await waits({ server, run: scene.waiting.id });
			return (await server.start(`${client.id}/signals`, scene.data)).id;
		},
		output: { told: true },
		steps: [ran("tell", (told) => told !== null, 0)],
		check: async ({ server, waiting }) => assert.deepEqual((await server.finished(waiting.id)).output, { got: { from: "a step" } }),
	},

	// Other functions, and the world.
	{
		what: "another function's result",
		function: "invoke",
		data: { n: 21 },
		output: { doubled: 42 },
		steps: [ran("before"), served("invoke", "call", { doubled: 42 }), ran("after")],
	},
	{
		what: "three invocations side by side",
		function: "invoke-parallel",
		sideBySide: true,
		output: [2, 4, 6],
		steps: [1, 2, 3].map((n) => served("invoke", `call ${n}`, { doubled: 2 * n })),
	},
	{
		what: "another function's failure",
		function: "invoke-failing",
		output: { caught: "the child refused" },
		steps: [refused("invoke", "call", "the child refused")],
	},
	{
		what: "a function that is not there",
		function: "invoke-unknown",
		output: ({ caught }) => /could not find function/.test(caught),
		steps: [refused("invoke", "call", (message) => /could not find function/.test(message))],
	},
	{
		what: "events from a step, each once",
		function: "send",
		data: ({ key }) => ({ key }),
		output: ({ ids }) => ids.length === 2,
		steps: [ran("before"), sent("tell", 2), ran("after")],
		async check({ server, key }, { run }) {
			const told = [];
			for (const event of run.output.ids) {
				const [started] = await until("its run", async () => {
					const { data } = await server.get(`/api/v1/events/${event}/runs`);
					return data.length === 1 && data;
				});
				told.push((await server.finished(started.id)).output);
			}
			assert.deepEqual(told, [{ key, n: 1 }, { key, n: 2 }]);
		},
	},
	{
		what: "an event from outside of a run",
		function: "no-steps",
		async start({ server, client }) {
			const { ids } = await client.send(`${client.id}/no-steps`);
			return (await server.get(`/api/v1/events/${ids[0]}/runs`)).data[0].id;
		},
		output: { echo: "from outside" },
		steps: [],
	},
	{
		what: "one run of many events",
		function: "batch",
		async start(scene) {
			const all = [];
			for (const n of [1, 2, 3]) all.push(await send(scene, "batch", { n }));
			return all.flatMap(({ runs }) => runs)[0].id;
		},
		output: { first: 1, all: [1, 2, 3] },
		steps: [],
	},
	{
		what: "a request of the server's",
		function: "fetch",
		data: ({ host, key }) => ({ url: `${host.url}/echo/${key}` }),
		output: { status: 200, answer: "yes", method: "POST", body: { a: "ä" }, type: "application/json" },
		// The package names the step by the host.
		steps: [served("fetch", oneOf("ask", "step.fetch: 127.0.0.1"), ({ status_code: status }) => status === 200)],
		check: ({ host, key }) => assert.equal(host.at(`/echo/${key}`).length, 1),
	},
	{
		what: "a question to a model",
		function: "ai",
		data: ({ host }) => ({ url: `${host.url}/v1` }),
		output: { content: "four" },
		// The package's model says where it is; ours is a provider that the server knows.
		steps: [served(oneOf("ai", "model"), "ask", (answer) => JSON.stringify(answer).includes("four"))],
	},
	{
		what: "a model that the app asks itself",
		function: "wrapped",
		output: { loud: "ABC", last: "last" },
		steps: [ran("loud", "ABC"), ran("last")],
	},
	{
		what: "the whole order workflow",
		function: "order",
		sideBySide: true,
		data: ({ key }) => ({ id: key, total: 42 }),
		output: (found, { key }) => equal(found, { charge: `C-${key}`, shelf: 7, label: `L-${key}`, paid: 42, receipt: `R-${key}`, gift: "voucher" }),
		steps: [
			ran("validate"), ran("charge", (charge) => charge.startsWith("C-"), 2), slept("cool off"), ran("reserve", 7),
			ran("print", (label) => label.startsWith("L-")), served("wait", "payment", ({ amount }) => amount === 42), sent("invoice", 1),
			served("invoke", "receipt", ({ receipt }) => receipt.startsWith("R-")), failed("gift", "out of gifts"), ran("voucher"),
		],
	},

	// What is done to runs.
	{
		what: "a sleeping run that is cancelled",
		function: "sleeper",
		data: ({ key }) => ({ key }),
		async meanwhile(scene) {
			await sleeps(scene);
			await ask(scene, "POST", `/api/v1/runs/${scene.run}/cancel`, { reason: "enough" });
		},
		status: "cancelled",
		steps: [ran("before")],
	},
	{
		what: "a sleeping run that an event cancels",
		function: "sleeper",
		data: ({ key }) => ({ key }),
		async meanwhile(scene) {
			await sleeps(scene);
			await send(scene, "stop", { key: "somebody else's" });
			await send(scene, "stop", { key: scene.key });
		},
		status: "cancelled",
		steps: [ran("before")],
	},
	{
		what: "a run that is cancelled in the middle of a step, whose late answer is dropped",
		function: "held",
		data: ({ key }) => ({ key }),
		async meanwhile(scene) {
			const { ulid } = await scene.server.run(scene.run);
			await until("the second step is under way", async () => (await scene.client.entered(ulid)).second === 1);
			await ask(scene, "POST", `/api/v1/runs/${scene.run}/cancel`, {});
			await scene.server.finished(scene.run);
			await scene.client.open(scene.key);
			await until("the step has ended", () => scene.client.seen(scene.key));
			await pause(200);
		},
		status: "cancelled",
		steps: [ran("first")],
		entered: ({ second }) => second === 1,
	},
	{
		what: "a replay",
		function: "replayed",
		data: { n: 5 },
		then: replay({}),
		output: [5, 6],
		steps: [ran("a", 5), ran("b", 6), ran("c", [5, 6])],
	},
	{
		what: "a replay from a step",
		function: "replayed",
		data: { n: 5 },
		then: replay({ from_step: "b" }),
		output: [5, 6],
		steps: [ran("a", 5, 0), ran("b", 6), ran("c", [5, 6])],
	},
	{
		what: "a replay from a step with another input",
		function: "wrapped",
		then: replay({ from_step: "loud", input: ["xyz"] }),
		output: { loud: "XYZ", last: "last" },
		steps: [ran("loud", "XYZ"), ran("last")],
	},

	// What only FlowForge has.
	{
		what: "a statement in the server's database",
		function: "sql",
		without: { inngest: "its steps have no sql" },
		data: ({ key }) => ({ key }),
		output: ({ rows, refused }, { key }) => rows[0].id === key && rows[0].total === 42.5 && /duplicate key/.test(refused),
		steps: [served("sql", "insert", ({ count }) => count === 1), refused("sql", "again", (message) => /duplicate key/.test(message))],
		check: async ({ server, key }) => assert.deepEqual(await server.sql(`select total from orders where id = '${key}'`), ["42.5"]),
	},
	{
		what: "a decision that is a yes",
		function: "approve",
		without: { inngest: "its steps have no approve" },
		data: ({ key }) => ({ key, timeout: "1h" }),
		meanwhile: decide("approve", { data: { carrier: "post" }, by: "ann" }),
		output: { approved: true, data: { carrier: "post" }, by: "ann", reason: null },
		steps: [served("approval", "ask", ({ approved }) => approved)],
	},
	{
		what: "a decision that is a no",
		function: "approve",
		without: { inngest: "its steps have no approve" },
		data: ({ key }) => ({ key, timeout: "1h" }),
		meanwhile: decide("reject", { reason: "too dear", by: "bob" }),
		output: { approved: false, data: null, by: "bob", reason: "too dear" },
		steps: [served("approval", "ask", ({ approved }) => !approved)],
	},
	{
		what: "a decision that nobody makes",
		function: "approve",
		without: { inngest: "its steps have no approve" },
		data: ({ key }) => ({ key, timeout: "300ms" }),
		output: ({ approved, by }) => !approved && by === null,
		steps: [served("approval", "ask", ({ approved }) => !approved)],
	},
	{
		what: "a lock",
		function: "lock",
		without: { inngest: "its steps have no lock" },
		data: ({ key }) => ({ key }),
		output: "done",
		steps: [served("lock", "lock", ({ locked }) => locked), ran("alone"), served("unlock", "unlock", ({ unlocked }) => unlocked)],
	},
	{
		what: "chains and steps in step.parallel",
		function: "groups",
		without: { inngest: "its steps have no parallel; it uses Promise.all, as above" },
		sideBySide: true,
		output: ["a", ["b1", "b2"], null],
		steps: [ran("a"), ran("b1"), ran("b2"), slept("c")],
	},
];

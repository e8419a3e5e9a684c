// What the types promise. It is compiled and never run: a line after "@ts-expect-error" must be an error, all others must not.

import { createServer } from "node:http";
import {
	createClient,
	FlowForge,
	type CronEvent,
	type Event,
	type FlowForgeFunction,
	type InvokedEvent,
	type Json,
	type JsonObject,
	type Jsonify,
	type RunDetail,
	type RunStatus,
	type Streaming,
} from "flowforge";
import { serve as serveExpress } from "flowforge/express";
import { flowforgePlugin } from "flowforge/fastify";
import { serve as serveFetch } from "flowforge/fetch";
import { serve as serveNext, servePages } from "flowforge/next";
import { serve, work, type Worker } from "flowforge/node";
import { run } from "flowforge/testing";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Same<A, B>): void {}

type Events = {
	"shop/order.created": { id: string; total: number };
	"shop/order.paid": { id: string; at: string };
	"user/created": { email: string };
};

const flowforge = new FlowForge<Events>({ id: "shop" });

// What JSON makes of a type.
same<Jsonify<Date>, string>(true);
same<Jsonify<{ at: Date; gone: undefined; maybe?: number; call(): void }>, { at: string; maybe?: number }>(true);
same<Jsonify<[1, Date, undefined]>, [1, string, null]>(true);
same<Jsonify<Map<string, number>>, Record<string, never>>(true);
same<Jsonify<undefined>, null>(true);
same<Jsonify<void>, null>(true);
same<Jsonify<bigint>, never>(true);
same<Jsonify<unknown>, unknown>(true);
same<Jsonify<string | Date | null>, string | null>(true);

const child = flowforge.createFunction({ id: "child", trigger: "user/created" }, async ({ event }) => ({ mail: event.data.email, at: new Date() }));
same<typeof child, FlowForgeFunction<{ mail: string; at: Date }>>(true);

flowforge.createFunction(
	{
		id: "order",
		trigger: { event: "shop/order.created", if: "event.data.total > 0" },
		retries: { attempts: 3, backoff: ["1s", 2000] },
		concurrency: [{ limit: 5 }, { limit: 1, key: "event.data.id", scope: "fn" }],
		rate: "60/min",
		throttle: { limit: 1, period: "10s" },
		debounce: "2s",
		cancelOn: { event: "shop/order.paid", match: "data.id" },
		onFailure: ({ error, event, step }) => {
			same<typeof error, Error>(true);
			same<typeof event.data.run_id, string>(true);
			void step.run("note", () => 1);
		},
	},
	async ({ event, events, step, runId, attempt }) => {
		same<typeof event, Event<"shop/order.created", { id: string; total: number }>>(true);
		same<typeof events, (typeof event)[]>(true);
		same<typeof runId, string>(true);
		same<typeof attempt, number>(true);

		const made = await step.run("make", async () => ({ at: new Date(), n: 1 }));
		same<typeof made, { at: string; n: number }>(true);
		const nothing = await step.run("nothing", () => {});
		same<typeof nothing, null>(true);
		const doubled = await step.run({ id: "double", retries: 1, timeout: "5s" }, (n: number) => n * 2, 21);
		same<typeof doubled, number>(true);
		// @ts-expect-error the input is not what the body takes
		void step.run("double", (n: number) => n * 2, "21");

		const paid = await step.waitForEvent("paid", { event: "shop/order.paid", match: "data.id", timeout: "1d" });
		same<typeof paid, Event<"shop/order.paid", { id: string; at: string }> | null>(true);
		// @ts-expect-error there is no such event
		void step.waitForEvent("lost", { event: "shop/order.lost" });
		// @ts-expect-error one event is waited for
		void step.waitForEvent("any", { event: "shop/*" });

		const signal = await step.waitForSignal<{ n: number }>("signal", { signal: "go" });
		same<typeof signal, { signal: string; data: { n: number } } | null>(true);

		const invoked = await step.invoke("child", { function: child, data: { email: "a@b" } });
		same<typeof invoked, { mail: string; at: string }>(true);
		const other = await step.invoke("other", { function: "shop-other" });
		same<typeof other, unknown>(true);

		await step.sendEvent("tell", { name: "user/created", data: { email: "a@b" } });
		// @ts-expect-error the data is not that of the event
		void step.sendEvent("tell", { name: "user/created", data: { mail: "a@b" } });
		// @ts-expect-error the event has data
		void step.sendEvent("tell", [{ name: "user/created" }]);

		const { rows, count } = await step.sql<{ id: string }>("sql", "select id from orders where id = $1", [event.data.id]);
		same<typeof rows, { id: string }[]>(true);
		same<typeof count, number>(true);
		const decision = await step.approve<{ carrier: string }>("ask", { prompt: "Ship?" });
		same<typeof decision.data, { carrier: string } | null>(true);
		const answer = await step.ai("ask model", { model: "gpt-4o", prompt: "2 + 2?" });
		same<typeof answer.content, string | null>(true);
		const wrapped = await step.ai.wrap("wrap", async (text: string) => ({ text, at: new Date() }), "x");
		same<typeof wrapped, { text: string; at: string }>(true);
		const response = await step.fetch("get", "https://shop.example", { body: { a: 1 } });
		same<typeof response.status, number>(true);
		await step.sleep("nap", "1h");
		await step.sleep("nap", 1000);
		await step.sleepUntil("until", new Date());
		// @ts-expect-error a step has an id
		void step.sleep({ name: "nap" }, "1h");

		const together = await step.parallel(step.run("a", () => 1), async () => "b", step.sleep("c", "1s"));
		same<typeof together, [number, string, void]>(true);
		const first = await step.race(step.run("d", () => 1), async () => 2);
		same<typeof first, number>(true);
		return made.n;
	},
);

// Several triggers: any of their events. A prefix: all below it. The clock, and nothing at all.
flowforge.createFunction({ id: "two", trigger: ["shop/order.paid", { event: "user/created" }, { cron: "@daily" }] }, ({ event }) => {
	same<typeof event, Event<"shop/order.paid", { id: string; at: string }> | Event<"user/created", { email: string }> | CronEvent>(true);
	if (event.name === "user/created") same<typeof event.data.email, string>(true);
});
flowforge.createFunction({ id: "prefix", trigger: "shop/*" }, ({ event }) => {
	same<typeof event.name, "shop/order.created" | "shop/order.paid">(true);
});
flowforge.createFunction({ id: "clock", trigger: { cron: "0 9 * * 1", jitter: "30s" } }, ({ event }) => {
	same<typeof event, CronEvent>(true);
});
flowforge.createFunction({ id: "by name" }, ({ event }) => {
	same<typeof event, InvokedEvent>(true);
});
// @ts-expect-error there is no such event
flowforge.createFunction({ id: "lost", trigger: "shop/order.lost" }, () => 1);
// @ts-expect-error a limit is a number
flowforge.createFunction({ id: "limit", concurrency: "5" }, () => 1);
// @ts-expect-error there is no such option
flowforge.createFunction({ id: "option", retry: 5 }, () => 1);

void flowforge.send({ name: "user/created", data: { email: "a@b" }, id: "once" });
// @ts-expect-error there is no such event
void flowforge.send({ name: "user/lost", data: {} });

// Without a map of events, any event's data is a record of what nobody has described.
const open = new FlowForge({ id: "open" });
open.createFunction({ id: "any", trigger: "whatever/happens" }, async ({ event, step }) => {
	same<typeof event.data, Record<string, unknown>>(true);
	await step.sendEvent("tell", { name: "anything" });
});
void open.send([{ name: "a" }, { name: "b", data: { n: 1 } }]);

// The client gives data or an error, never both.
async function client(): Promise<RunStatus | undefined> {
	const { runs, events, approvals, functions, schedules, secrets } = createClient("http://localhost:8288", { apiKey: "ff_live_x" });
	const { data, error } = await runs.get("id");
	if (error !== null) {
		same<typeof data, null>(true);
		return undefined;
	}
	same<typeof data, RunDetail>(true);
	same<typeof data.output, Json>(true);
	const listed = await runs.select("id", "status").eq("status", "failed").order("created_at", { ascending: false }).limit(20);
	if (listed.error === null) same<(typeof listed.data)[number], { id: string; status: RunStatus }>(true);
	// @ts-expect-error there is no such column
	void runs.select("colour");
	// @ts-expect-error runs cannot be filtered by it
	void runs.select().eq("version", 1);
	// @ts-expect-error there is no such status
	void runs.list({ status: "happy" });
	void events.list({ since: new Date(), limit: 5 });
	void approvals.approve("id", { data: { carrier: "post" } });
	const scheduled = await schedules.select("function", "cron");
	if (scheduled.error === null) same<(typeof scheduled.data)[number], { function: string | null; cron: string }>(true);
	void functions.change("id", { paused: true, reason: "moving" }, { etag: "x" });
	// @ts-expect-error a secret is a text
	void secrets.set("token", 1);
	for await (const message of runs.stream("id")) {
		if (message.type === "snapshot") same<typeof message.run_status, RunStatus>(true);
		if (message.type === "error") same<typeof message.error.code, string>(true);
	}
	return data.status;
}
void client;

// A run in memory has the type of the function's result.
async function tested(): Promise<void> {
	const { status, output, sent, elapsed } = await run(child, { email: "a@b" }, { steps: { s: 1 }, events: { paid: null }, functions: [child], now: new Date() });
	same<typeof status, "completed" | "failed">(true);
	same<typeof output, { mail: string; at: string } | null>(true);
	same<[typeof sent, typeof elapsed], [JsonObject[], number]>(true);
	// @ts-expect-error there is no such option
	void run(child, {}, { step: {} });
	const worker: Worker = await work(flowforge, { port: 3000, path: "/flows" });
	await worker.stop();
}
void tested;

// How finished steps are told is one of three ways.
void new FlowForge({ id: "lines", streaming: "calls" satisfies Streaming });
// @ts-expect-error there is no such way
void new FlowForge({ id: "lines", streaming: true });

// Every adapter takes an app, whatever its events.
createServer(serve(flowforge, { functions: [child], serveOrigin: "https://shop.example" }));
void [serveExpress(flowforge), serveFetch(open)(new Request("http://localhost")), serveNext(flowforge).POST, servePages(flowforge), flowforgePlugin];

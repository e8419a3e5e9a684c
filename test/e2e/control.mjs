// Functions that control.test.mjs times, cancels, repeats and asks about.

export function defineFunctions(sdk, client, calls, seen, major) {
	const app = client.id;
	const functions = [];

	function on(id, trigger, options, handler) {
		const triggers = [typeof trigger === "string" ? { event: `${app}/${trigger}` } : trigger];
		functions.push(
			major === 3
				? client.createFunction({ id, ...options }, triggers[0], handler)
				: client.createFunction({ id, ...options, triggers }, handler),
		);
	}

	on("finish", "finish", { timeouts: { finish: "1s" } }, async ({ runId, step }) => {
		await step.run("first", () => calls.hit(runId, "first"));
		await step.sleep("long", "1h");
	});

	on("start", "start", { timeouts: { start: "1s" } }, async ({ step }) => {
		await step.sleep("short", "2s");
		return "it may take its time";
	});

	const cancelOn = [
		{ event: `${app}/order.cancelled`, if: "event.data.id == async.data.id && async.data.total > event.data.total", timeout: "1h" },
		{ event: `${app}/all.cancelled` },
	];
	on("order", "order", { cancelOn }, async ({ runId, step }) => {
		await step.run("first", () => calls.hit(runId, "first"));
		await step.waitForEvent("paid", { event: `${app}/order.paid`, timeout: "1h", if: "event.data.id == async.data.id" });
		return "paid";
	});

	on("cancelled", { event: "inngest/function.cancelled", if: `event.data.function_id == '${app}-order'` }, {}, async ({ event }) => {
		seen.set(`cancelled ${event.data.run_id}`, event.data);
	});

	on("flaky", "flaky", { retries: 0 }, async ({ runId, step }) => {
		const first = await step.run("first", () => ({ entered: calls.hit(runId, "first") }));
		await step.run("fragile", () => {
			if (calls.hit(runId, "fragile") < 1) throw new Error("not yet");
		});
		return first;
	});

	on("editable", "editable", {}, async ({ event, runId, step }) => {
		const base = await step.run("base", () => (calls.hit(runId, "base"), event.data.n));
		const doubled = await step.run("double", (n) => (calls.hit(runId, "double"), n * 2), base);
		return step.run("say", () => (calls.hit(runId, "say"), `twice is ${doubled}`));
	});

	on("child", "child", {}, async ({ step }) => {
		await step.sleep("nap", "1h");
	});

	on("parent", "parent", {}, async ({ step }) => {
		await step.invoke("call the child", { function: sdk.referenceFunction({ appId: app, functionId: "child" }), timeout: "2h" });
	});

	on("signalled", "signalled", {}, async ({ step }) => {
		await step.waitForSignal("go", { signal: `${app}-go`, timeout: "1h", onConflict: "fail" });
	});

	on("failing", "failing", { retries: 3 }, async ({ step }) => {
		await step.run("pay", () => {
			throw new RangeError("the card is declined");
		});
	});

	on("hanging", "hanging", {}, async ({ step }) => {
		await step.run("think", () => new Promise((resolve) => setTimeout(resolve, 8000)));
	});

	return functions;
}

// Functions with flow control, for flow.test.mjs.

export function defineFunctions(sdk, client, calls, seen, major) {
	const app = client.id;
	const key = "event.data.customer";
	const functions = [];

	function on(id, options, handler) {
		const triggers = [{ event: `${app}/${id}` }];
		functions.push(
			major === 3
				? client.createFunction({ id, ...options }, triggers[0], handler)
				: client.createFunction({ id, ...options, triggers }, handler),
		);
	}

	on("once", { idempotency: "event.data.id" }, async ({ event }) => event.data.id);
	on("rated", { rateLimit: { limit: 2, period: "1h", key } }, async ({ event }) => event.data.n);
	on("ahead", { priority: { run: "event.data.vip ? 120 : 0" } }, async ({ event }) => event.data.n);
	for (const mode of ["skip", "cancel"]) {
		on(mode, { singleton: { mode, key } }, async ({ event, step }) => {
			await step.waitForEvent("go", { event: `${app}/go`, timeout: "1h", if: "event.data.customer == async.data.customer" });
			return event.data.n;
		});
	}
	return functions;
}

// Functions that use the less usual kinds of steps: signals, requests the engine makes, deferred functions.

/** As defineFunctions of functions.mjs, whose parameters these are. */
export async function defineStepKinds(sdk, client, calls, seen, major) {
	const functions = [];
	const on = (id, options, handler) => {
		const trigger = { event: `${client.id}/${id}` };
		const made =
			major === 3
				? client.createFunction({ id, ...options }, trigger, handler)
				: client.createFunction({ id, ...options, triggers: [trigger] }, handler);
		functions.push(made);
		return made;
	};
	const counted = (step, runId, id, body = () => id) => step.run(id, () => body(calls.hit(runId, id)));
	const caught = async (work) => {
		try {
			return { value: await work() };
		} catch (error) {
			return { caught: { name: error.name, message: error.message, stack: error.stack } };
		}
	};

	on("signal-wait", { retries: 0 }, async ({ event, runId, step }) => {
		await counted(step, runId, "before");
		const got = await step.waitForSignal("wait", {
			signal: event.data.signal,
			timeout: event.data.timeout ?? "30s",
			onConflict: event.data.rule ?? "fail",
		});
		await counted(step, runId, "after");
		return { got };
	});

	if (major === 4) {
		on("signal-send", {}, async ({ event, runId, step }) => {
			await counted(step, runId, "before");
			return step.sendSignal("send", { signal: event.data.signal, data: event.data.data });
		});
	}

	on("fetch", { retries: 1 }, async ({ event, runId, step }) => {
		await counted(step, runId, "before");
		const { url, ...init } = event.data;
		const result = await caught(async () => {
			const response = await step.fetch(url, init);
			return { status: response.status, text: await response.text(), answer: response.headers.get("x-answer") };
		});
		await counted(step, runId, "after");
		return result;
	});

	on("fetch-parallel", {}, async ({ event, runId, step }) => {
		const [one, two, work] = await Promise.all([
			step.fetch(`${event.data.url}/one`).then((r) => r.status),
			step.fetch(`${event.data.url}/two`).then((r) => r.status),
			counted(step, runId, "work"),
		]);
		return { one, two, work };
	});

	on("infer", { retries: 2 }, async ({ event, runId, step }) => {
		await counted(step, runId, "before");
		const { provider, ...options } = event.data;
		const model = step.ai.models[provider](options);
		const body =
			provider === "gemini"
				? { contents: [{ role: "user", parts: [{ text: "2 + 2" }] }] }
				: { max_tokens: 10, messages: [{ role: "user", content: "2 + 2" }] };
		const result = await caught(() => step.ai.infer("ask", { model, body }));
		await counted(step, runId, "after");
		return result;
	});

	on("wrap", {}, async ({ runId, step }) => {
		const value = await step.ai.wrap("double", async (n) => {
			calls.hit(runId, "double");
			return n * 2;
		}, 21);
		return { value };
	});

	on("slow-last", {}, async ({ event, runId, step }) => {
		await counted(step, runId, "first");
		await counted(step, runId, "last", () => new Promise((resolve) => setTimeout(resolve, event.data.ms)));
		return "late";
	});

	// The package is slow to load what is experimental.
	if (major === 4 && process.env.EXPERIMENTAL) {
		const { createDefer } = await import("inngest-v4/experimental");
		const follow = createDefer(client, { id: "follow" }, async ({ event, parents }) => {
			seen.set(`deferred ${event.data.key}`, { data: event.data, parents });
			return "followed";
		});
		functions.push(follow);
		on("defer", { retries: 1 }, async ({ event, runId, step, defer }) => {
			await counted(step, runId, "before");
			defer("later", { function: follow, data: { key: event.data.key, n: 1 } });
			await counted(step, runId, "between");
			if (event.data.fail) throw new sdk.NonRetriableError("failed after deferring");
			await counted(step, runId, "after");
			return "done";
		});
		on("defer-last", {}, async ({ event, defer }) => {
			defer("later", { function: follow, data: { key: event.data.key, n: 2 } });
			return "at once";
		});
		on("defer-aborted", {}, async ({ event, runId, step, defer }) => {
			const handle = defer("later", { function: follow, data: { key: event.data.key, n: 3 } });
			await counted(step, runId, "between");
			handle?.abort?.();
			await counted(step, runId, "after");
			return { abortable: typeof handle?.abort };
		});
	}
	return functions;
}

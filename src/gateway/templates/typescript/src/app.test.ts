// Runs the function to its end in memory: no server, no waiting.

import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "flowforge/testing";
import { takeOrder } from "./app.js";

test("an order is priced", async () => {
	const { status, output, steps } = await run(takeOrder, { id: "o1", item: "pen", amount: 4 });
	assert.equal(status, "completed");
	assert.deepEqual(output, { order: "o1", due: 10 });
	assert.equal(steps.price, 10);
});

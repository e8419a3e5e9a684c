// The app @name@: one function that takes orders.

import { FlowForge } from "flowforge";

/** The events, and what their data is. */
type Events = {
	"@name@/order.created": { id: string; item: string; amount: number };
};

export const flowforge = new FlowForge<Events>({ id: "@name@" });
const prices: Record<string, number> = { pen: 2.5, book: 12 };

function priceOf(item: string, amount: number): number {
	return amount * (prices[item] ?? 5);
}

/** Prices an order, waits a moment, and answers. What a step gave is kept: nothing that has finished runs again. */
export const takeOrder = flowforge.createFunction({ id: "take-order", trigger: "@name@/order.created" }, async ({ event, step }) => {
	const { id, item, amount } = event.data;
	const due = await step.run("price", priceOf, item, amount);
	await step.sleep("pause", "1s");
	return { order: id, due };
});

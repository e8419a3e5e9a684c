import { invoke, staticSchema } from "inngest";
import { type Order, invoiceSent, inngest, orderCreated, orderShipped, paymentReceived } from "./client.js";
import * as shop from "./shop.js";

/**
 * An order from click to parcel.  Each step's result is kept in PostgreSQL the moment it is known: stop the app, the
 * server or the machine at any line, and the order goes on from that line, with no finished step done twice.
 */
const fulfilOrder = inngest.createFunction(
  { id: "fulfil-order", triggers: [orderCreated], retries: 3 },
  async ({ event, step }) => {
    const order = await step.run("validate", () => shop.validate(event.data));

    // Fails at first, because the bank does not answer.  Only this step is tried again.
    const { charge } = await step.run("charge", () => shop.charge(order));

    // Takes no memory, no thread and no connection, for two seconds or two months.
    await step.sleep("let the customer change their mind", "2s");

    // Side by side, each with its own retries.
    const [stock, label] = await Promise.all([
      step.run("reserve stock", () => shop.reserveStock(order)),
      step.run("print label", () => shop.printLabel(order)),
    ]);

    // Ask for the money and wait for the payment that carries the same order id.
    const [payment] = await Promise.all([
      step.waitForEvent("payment", { event: paymentReceived, match: "data.id", timeout: "1h" }),
      step.sendEvent("send invoice", invoiceSent.create(order)),
    ]);
    if (payment === null) return { order: order.id, status: "not paid" };

    // Another function, as one step of this one.
    const receipt = await step.invoke("receipt", { function: makeReceipt, data: order });

    // A step that fails for good is an error like any other: catch it, and make amends.
    const gift = await step
      .run("add gift", () => shop.addGift())
      .catch(() => step.run("send voucher", () => shop.sendVoucher(order)));

    await step.sendEvent("shipped", orderShipped.create(order));
    return { order: order.id, status: "shipped", charge, ...stock, ...label, paid: payment.data.amount, ...receipt, gift };
  },
);

/** Has no trigger: it runs when another function invokes it. */
const makeReceipt = inngest.createFunction({ id: "make-receipt", triggers: [invoke(staticSchema<Order>())] }, async ({ event, step }) => {
  return step.run("number", () => ({ receipt: `receipt-${event.data.id}` }));
});

/** Stands for the customer: pays every invoice. */
const payInvoice = inngest.createFunction({ id: "pay-invoice", triggers: [invoiceSent] }, async ({ event, step }) => {
  await step.sendEvent("pay", paymentReceived.create({ id: event.data.id, amount: event.data.total }));
});

/** Loses the parcel of an order with `"lost": true`; `onFailure` runs when all tries are used up. */
const deliver = inngest.createFunction(
  {
    id: "deliver",
    triggers: [orderShipped],
    retries: 1,
    onFailure: async ({ event, error, step }) => {
      const order = event.data.event.data;
      await step.run("apologise", () => `order ${String(order.id)}: ${error.message}`);
    },
  },
  async ({ event, step }) => {
    return step.run("hand over", () => {
      if (event.data.lost) throw new Error("the parcel is lost");
      return "delivered";
    });
  },
);

export const functions = [fulfilOrder, makeReceipt, payInvoice, deliver];

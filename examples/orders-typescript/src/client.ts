import { Inngest, eventType, staticSchema } from "inngest";

/** The client finds the server through INNGEST_DEV, or INNGEST_BASE_URL with keys. */
export const inngest = new Inngest({ id: "orders" });

export type Order = { id: string; total: number; lost?: boolean };

/** The events of this application, by name, with the type of their data. */
export const orderCreated = eventType("shop/order.created", { schema: staticSchema<Order>() });
export const invoiceSent = eventType("shop/invoice.sent", { schema: staticSchema<Order>() });
export const paymentReceived = eventType("shop/payment.received", { schema: staticSchema<{ id: string; amount: number }>() });
export const orderShipped = eventType("shop/order.shipped", { schema: staticSchema<Order>() });

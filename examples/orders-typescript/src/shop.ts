import { NonRetriableError } from "inngest";
import type { Order } from "./client.js";

/** What a shop would have elsewhere: a bank, a warehouse, a printer.  Here they pretend, and one of them misbehaves. */

const calledBank = new Set<string>();

export function validate(order: Order): Order {
  if (!(order.total > 0)) throw new NonRetriableError(`order ${order.id} has no total`);
  return order;
}

/** The bank does not answer the first call about an order: the engine calls again. */
export function charge(order: Order): { charge: string } {
  if (!calledBank.has(order.id)) {
    calledBank.add(order.id);
    throw new Error("the bank did not answer");
  }
  return { charge: `charge-${order.id}` };
}

export const reserveStock = (order: Order): { shelf: number } => ({ shelf: order.id.length });

export const printLabel = (order: Order): { label: string } => ({ label: `label-${order.id}` });

/** Gifts have run out; trying again would not bring any. */
export function addGift(): never {
  throw new NonRetriableError("out of gifts");
}

export const sendVoucher = (order: Order): string => `voucher-${order.id}`;

/** What is on the shelves: how many of each article are missing, and what one costs. */
export const stock = [
  { article: "lamp", missing: 3, price: 24.5 },
  { article: "chair", missing: 0, price: 80 },
  { article: "vase", missing: 2, price: 12.25 },
];

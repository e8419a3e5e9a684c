// Hashes and signatures of the protocol.

import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";

const prefix = /^signkey-[\w]+-/;
const tolerance = 5 * 60;

/** The id of a step on the wire: the SHA-1 of its name, of `name:1` where the name comes again. */
export function stepId(name: string, index = 0): string {
	return createHash("sha1").update(index === 0 ? name : `${name}:${index}`).digest("hex");
}

/** What an SDK shows the server instead of its signing key; null when the key is none. */
export function keyHash(key: string): string | null {
	const [start] = prefix.exec(key) ?? [""];
	const hex = key.slice(start.length);
	if (hex.length === 0 || hex.length % 2 === 1 || !/^[0-9a-f]+$/i.test(hex)) return null;
	return start + createHash("sha256").update(Buffer.from(hex, "hex")).digest("hex");
}

function mac(key: string, body: string, seconds: string): string {
	return createHmac("sha256", key.replace(prefix, "")).update(body).update(seconds).digest("hex");
}

/** The header that signs a body: `t=<seconds>&s=<hex>`. */
export function sign(key: string, body: string, seconds = Math.floor(Date.now() / 1000)): string {
	return `t=${seconds}&s=${mac(key, body, String(seconds))}`;
}

/** Whether a header signs a body with the key, and is at most five minutes old or ahead. */
export function verify(key: string, body: string, header: string, now = Math.floor(Date.now() / 1000)): boolean {
	const match = /^t=(\d{1,12})&s=([0-9a-f]{64})$/.exec(header);
	if (match === null || Math.abs(Number(match[1]) - now) > tolerance) return false;
	return timingSafeEqual(Buffer.from(mac(key, body, match[1] as string), "hex"), Buffer.from(match[2] as string, "hex"));
}

/** What makes the ids of events the same when a request has to be repeated: `x-inngest-event-id-seed`. */
export function eventSeed(): string {
	return `${Date.now()},${randomBytes(10).toString("base64")}`;
}

// Webhooks as their senders send them, through the gateway of a signed server: no bearer, only what the hook verifies.

import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { logOnFailure, startServer } from "./harness.mjs";

const now = () => Math.floor(Date.now() / 1000);
const hmac = (key, text, form = "hex") => createHmac("sha256", key).update(text).digest(form);

describe("webhooks", () => {
	let server;
	before(async () => {
		server = await startServer({ signed: true });
	});
	after(() => server?.stop());
	logOnFailure(() => server);

	/** What a sender gets: {status, body}. */
	async function post(path, body, headers = {}) {
		const response = await fetch(`${server.url}/hooks/${path}`, { method: "POST", headers: { "content-type": "application/json", ...headers }, body });
		return { status: response.status, body: await response.json() };
	}
	const events = async (name) => JSON.parse(await server.sql(`select coalesce(json_agg(data order by event_id), '[]') from flowforge.event where name = '${name}'`));
	const create = (...args) => server.sql(`select ff_create_hook(${args.join(", ")})`);

	it("take Standard Webhooks, each delivery once, on the body as it came", async () => {
		const key = randomBytes(24);
		await create("'standard'", "'standard/came'", "'standard'", `'whsec_${key.toString("base64")}'`);
		const body = '{ "z": 1,  "a": "ü" }\n';
		const send = (id, at, text = body, signed = body) =>
			post("standard", text, { "webhook-id": id, "webhook-timestamp": String(at), "webhook-signature": `v1,${hmac(key, `${id}.${at}.${signed}`, "base64")}` });
		const answers = await Promise.all(Array.from({ length: 8 }, () => send("msg_1", now())));
		assert.deepEqual(answers.map((a) => a.status), Array(8).fill(200));
		assert.equal(new Set(answers.map((a) => a.body.id)).size, 1, "all deliveries are the same event");
		assert.deepEqual(await events("standard/came"), [{ z: 1, a: "ü" }]);
		assert.equal((await send("msg_2", now(), body.replace("1", "2"))).status, 401, "another body than was signed");
		assert.equal((await send("msg_2", now() - 400)).status, 401, "an old request sent again");
		assert.equal((await post("standard", body)).status, 401, "no signature");
		assert.equal((await events("standard/came")).length, 1);
	});

	it("take GitHub's, with the event's name from a header", async () => {
		await create("'gh'", "'github/other'", "'github'", "'s3cret'", `transform => '{"name": "github/{{ headers.x-github-event }}", "data": "{{ body }}"}'`);
		const body = JSON.stringify({ ref: "refs/heads/main" });
		const sent = { "x-github-event": "push", "x-github-delivery": "72d3162e", "x-hub-signature-256": `sha256=${hmac("s3cret", body)}` };
		assert.equal((await post("gh", body, sent)).status, 200);
		assert.deepEqual(await events("github/push"), [{ ref: "refs/heads/main" }]);
		const form = `payload=${encodeURIComponent(body)}`;
		const answer = await post("gh", form, { ...sent, "x-github-delivery": "72d3162f", "content-type": "application/x-www-form-urlencoded",
			"x-hub-signature-256": `sha256=${hmac("s3cret", form)}` });
		assert.equal(answer.status, 200);
		assert.equal((await events("github/push")).length, 2);
		assert.equal((await post("gh", body, { ...sent, "x-hub-signature-256": `sha256=${hmac("other", body)}` })).status, 401);
	});

	it("take Stripe's, with either secret while it is replaced", async () => {
		await create("'stripe'", "'stripe/came'", "'stripe'", "'whsec_new'", "previous_secret => 'whsec_old'");
		const send = (secret, id, at = now()) => {
			const body = JSON.stringify({ id, type: "charge.succeeded" });
			return post("stripe", body, { "stripe-signature": `t=${at},v1=${hmac("elsewhere", body)},v1=${hmac(secret, `${at}.${body}`)},v0=aa` });
		};
		assert.equal((await send("whsec_new", "evt_1")).status, 200);
		assert.equal((await send("whsec_old", "evt_2")).status, 200);
		assert.equal((await send("whsec_old", "evt_2")).status, 200, "sent again");
		assert.equal((await send("whsec_older", "evt_3")).status, 401);
		assert.equal((await send("whsec_new", "evt_3", now() - 3600)).status, 401);
		assert.deepEqual((await events("stripe/came")).map((e) => e.id), ["evt_1", "evt_2"]);
	});

	it("take a shared header or an HMAC of any header's", async () => {
		await create("'token'", "'token/came'", "'header'", "'Bearer abc'", "'Authorization'");
		assert.equal((await post("token", '{"n": 1}', { authorization: "Bearer abc" })).status, 200);
		assert.equal((await post("token", '{"n": 2}', { authorization: "Bearer abd" })).status, 401);
		await create("'shop'", "'shop/came'", "'hmac'", "'k'", "'X-Shop-Hmac'");
		assert.equal((await post("shop", '{"n": 1}', { "x-shop-hmac": hmac("k", '{"n": 1}', "base64") })).status, 200);
		assert.equal((await post("shop", '{"n": 2}', { "x-shop-hmac": hmac("k", '{"n": 1}', "base64") })).status, 401);
		assert.deepEqual([...(await events("token/came")), ...(await events("shop/came"))], [{ n: 1 }, { n: 1 }]);
	});

	it("say what is wrong without a secret in it, and leave other requests alone", async () => {
		assert.equal((await post("nowhere", "{}")).status, 404);
		assert.equal((await post("token", "{", { authorization: "Bearer abc" })).status, 400);
		const { status, body } = await post("token", "{}", { authorization: "guess" });
		assert.equal(status, 401);
		assert.equal(body.code, "FF313");
		assert.doesNotMatch(JSON.stringify(body), /abc|guess/);
		assert.doesNotMatch(server.logTail(), /Bearer abc|whsec_new|s3cret/);
		const mixed = await Promise.all(Array.from({ length: 20 }, (_, n) => post("token", `{"n": ${n}}`, { authorization: n % 2 ? "Bearer abc" : "no" })));
		assert.deepEqual(mixed.map((a) => a.status), Array.from({ length: 20 }, (_, n) => (n % 2 ? 200 : 401)));
	});
});

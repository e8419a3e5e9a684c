// The vectors of sdk/vectors, which every SDK reads.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { describe, it } from "node:test";
import { instantText, microseconds } from "../../dist/esm/duration.js";
import { Execution } from "../../dist/esm/execution.js";
import { canonical } from "../../dist/esm/jcs.js";
import { functionConfig } from "../../dist/esm/options.js";
import { keyHash, sign, stepId, verify } from "../../dist/esm/sign.js";
import { stepTools } from "../../dist/esm/step.js";

const vectors = (name) => JSON.parse(readFileSync(new URL(`../../../vectors/${name}.json`, import.meta.url), "utf8"));

describe("the shared vectors", () => {
	it("of step ids", () => {
		for (const { id, hash } of vectors("step_id").ids) assert.equal(stepId(id), hash);
		assert.equal(stepId("my-step-id", 1), stepId("my-step-id:1"));
	});

	it("of keys", () => {
		for (const { key, hash } of vectors("key_hash").keys) assert.equal(keyHash(key), hash, key);
	});

	it("of signatures", () => {
		const { sign: signed, tolerance_seconds: tolerance } = vectors("signature");
		for (const { key, body, t, header } of signed) {
			assert.equal(sign(key, body, t), header);
			assert.ok(verify(key, body, header, t + tolerance));
			assert.ok(verify(key, body, header, t - tolerance));
			assert.ok(!verify(key, body, header, t + tolerance + 1), "too old");
			assert.ok(!verify(key, body, header, t - tolerance - 1), "from the future");
			assert.ok(!verify(key, `${body} `, header, t), "another body");
			assert.ok(!verify("signkey-prod-87654321", body, header, t), "another key");
		}
		for (const header of ["", "t=1&s=2", "s=abc", `t=1700000000&s=${"0".repeat(64)}`]) assert.ok(!verify("12345678", "", header, 1_700_000_000));
	});

	it("of canonical JSON", () => {
		const { documents, numbers } = vectors("jcs");
		for (const { json, canonical: text } of documents) assert.equal(canonical(JSON.parse(json)), text);
		for (const { bits, canonical: text } of numbers) {
			if (text === null) continue;
			assert.equal(canonical(Buffer.from(bits, "hex").readDoubleBE()), text, bits);
		}
	});

	it("of durations", () => {
		for (const { text, usec } of vectors("time").durations) assert.equal(microseconds(text), usec, text);
	});

	it("of instants", () => {
		for (const { text, utc } of vectors("time").instants) {
			if (utc === null) assert.throws(() => instantText(text), /is not a time/, text);
			else assert.equal(instantText(text), utc);
		}
	});

	it("of configurations", () => {
		const { configs, refused } = vectors("wire_config");
		for (const { options, config } of configs) {
			const { id, name, ...rest } = functionConfig("shop-f", "http://localhost:3000/api", { id: "f", ...options });
			assert.deepEqual([id, name], ["shop-f", "shop-f"]);
			assert.deepEqual(rest.steps.step.runtime, { type: "http", url: "http://localhost:3000/api?fnId=shop-f&stepId=step" });
			delete rest.steps.step.runtime;
			assert.deepEqual(rest, config);
		}
		for (const { options, message } of refused) {
			assert.throws(() => functionConfig("shop-f", "http://localhost", { id: "f", ...options }), (error) => error instanceof TypeError && error.message.includes(message));
		}
	});

	it("are all read, here or against a server", () => {
		const directory = new URL("../../../vectors/", import.meta.url);
		const sources = ["vectors.test.mjs", "../live/client.test.mjs"].map((name) => readFileSync(new URL(name, import.meta.url), "utf8")).join("");
		const unread = readdirSync(directory).filter((file) => !sources.includes(`vectors("${file.replace(".json", "")}")`));
		assert.deepEqual(unread, []);
	});

	it("of operations", async () => {
		for (const { call: [tool, id, ...args], planned, op } of vectors("wire_ops").ops) {
			const execution = new Execution({ memos: {}, order: [], target: null, planOnly: planned === true, reporter: null });
			const step = stepTools(execution, { slug: (of) => of, sendSignal: async () => null });
			const outcome = await execution.run(() => (tool === "run" ? step.run(id, () => 1) : step[tool](id, ...args)));
			assert.equal(outcome.kind, "ops");
			assert.deepEqual(outcome.ops, [{ id: stepId(id), displayName: id, userland: { id }, ...op }]);
		}
	});
});

// Events that are not what they should be: each is an error that says why, to whoever sent it, and none is stored.

import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { after, before, describe, it } from "node:test";
import { logOnFailure, startServer } from "./harness.mjs";

const deep = (levels) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;

// [what it is, the body, the message, the status]
const events = [
	["without a name", '{"data":{}}', /name/, 400],
	["with an empty name", '{"name":"","data":{}}', /name/, 400],
	["whose name is a number", '{"name":5}', /name/, 400],
	["whose name has 600 characters", JSON.stringify({ name: "n".repeat(600) }), /name|512/, 400],
	["with a reserved name", '{"name":"inngest/function.failed","data":{}}', /inngest|reserved/, 400],
	["with a reserved name in capitals", '{"name":"INNGEST/function.invoked","data":{}}', /inngest|reserved/i, 400],
	["whose data is a list", '{"name":"a/b","data":[1]}', /data/, 400],
	["whose data is a text", '{"name":"a/b","data":"x"}', /data/, 400],
	["whose user is a number", '{"name":"a/b","user":7}', /user/, 400],
	["whose time is a text", '{"name":"a/b","ts":"yesterday"}', /ts|time/, 400],
	["from the year 1500", '{"name":"a/b","ts":-14831769600000}', /ts|time/, 400],
	["from the year 9000", '{"name":"a/b","ts":221845392000000}', /ts|time/, 400],
	["with NUL in its data", '{"name":"a/b","data":{"x":"a\\u0000b"}}', /NUL|u0000|null character/i, 400],
	["with NUL in its name", '{"name":"a\\u0000b"}', /NUL|u0000|null character/i, 400],
	["with half a surrogate pair", '{"name":"a/b","data":{"x":"\\ud800"}}', /surrogate|unicode/i, 400],
	["with a raw NUL byte", Buffer.from('{"name":"a/b","data":{"x":"\0"}}'), /NUL|0x00|JSON|UTF-?8|encoding/i, 400],
	["in invalid UTF-8", Buffer.from('{"name":"a/b","data":{"x":"\xff\xfe"}}', "latin1"), /UTF-?8|encoding/i, 400],
	["with overlong UTF-8", Buffer.from([...Buffer.from('{"name":"'), 0xc0, 0xaf, ...Buffer.from('"}')]), /UTF-?8|encoding/i, 400],
	["nested 100 deep", `{"name":"a/b","data":${deep(100)}}`, /deep|nest/, 400],
	["nested 100,000 deep", `{"name":"a/b","data":${deep(100_000)}}`, /deep|nest|depth/, 400],
	["of 600 KB", JSON.stringify({ name: "a/b", data: { x: "x".repeat(600 * 1024) } }), /large|limit|size/, 413],
	["that is a number", "7", /object|array|JSON|form/, 400],
	["that is null", "null", /object|array|JSON|form/, 400],
	["that is no JSON", "name=a/b", /JSON|json/, 400],
	["that is half JSON", '{"name":"a/b","data":{', /JSON|json/, 400],
	["with something after it", '{"name":"a/b"} trailing', /JSON|json/, 400],
	["that is empty", "", /JSON|json|empty/, 400],
];

describe("an event that is not what it should be", () => {
	let server;
	before(async () => {
		server = await startServer();
	});
	after(() => server?.stop());
	logOnFailure(() => server);

	for (const [what, body, message, status] of events) {
		it(`is refused on the API: one ${what}`, async () => {
			const answer = await server.request("POST", "/api/v1/events", body);
			assert.equal(answer.status, status, JSON.stringify(answer.body));
			assert.match(answer.headers.get("content-type"), /^application\/problem\+json/);
			const problem = answer.body;
			assert.equal(problem.status, status);
			assert.match(`${problem.title} ${problem.detail}`, message);
			for (const field of ["type", "title", "detail", "code"]) assert.equal(typeof problem[field], "string", field);
			assert.ok(!/\bC function|SPI|PL\/pgSQL|line \d+ at/.test(JSON.stringify(problem)), "no internals");
		});

		it(`is refused from an SDK: one ${what}`, async () => {
			const answer = await server.request("POST", "/e/key", body);
			assert.equal(answer.status, status, JSON.stringify(answer.body));
			assert.deepEqual(answer.body.ids, []);
			assert.equal(answer.body.status, status);
			assert.match(answer.body.error, message);
		});
	}

	it("takes no event of a list in which one is bad", async () => {
		const list = [{ name: "list/good" }, { name: "" }, { name: "list/good" }];
		assert.equal((await server.request("POST", "/e/key", list)).status, 400);
		assert.equal((await server.request("POST", "/api/v1/events/batch", list)).status, 400);
		assert.deepEqual(await server.sql("select count(*) from flowforge.events where name like 'list/%'"), ["0"]);
	});

	it("refuses more than 5,000 events at once and takes 5,000", async () => {
		const many = Array(5001).fill({ name: "many/e" });
		const refused = await server.request("POST", "/e/key", many);
		assert.ok(refused.status >= 400 && refused.status < 500, String(refused.status));
		assert.match(refused.body.error, /5,?000|many/);
		const { status, body } = await server.request("POST", "/e/key", many.slice(1));
		assert.equal(status, 200);
		assert.equal(new Set(body.ids).size, 5000);
	});

	it("refuses a body over 4 MB with 413", async () => {
		// Written by hand: fetch fails when it is answered before it has sent all.
		const status = await new Promise((resolve, reject) => {
			const outgoing = httpRequest(`${server.url}/api/v1/events`, { method: "POST", headers: { "content-length": 5 << 20 } });
			outgoing.on("response", (response) => {
				resolve(response.statusCode);
				response.resume();
				outgoing.destroy();
			});
			outgoing.on("error", (error) => (error.code === "EPIPE" ? undefined : reject(error)));
			outgoing.write(Buffer.alloc(64 << 10, "x"));
		});
		assert.equal(status, 413);
	});

	it("takes an empty list, a name alone, and every kind of value", async () => {
		assert.deepEqual((await server.request("POST", "/e/key", [])).body, { ids: [], status: 200 });
		const plain = await server.send("plain/name");
		assert.deepEqual((await server.get(`/api/v1/events/${plain.id}`)).data, {});
		const data = { n: null, t: true, i: 12345678901234, f: 0.1, s: "", l: [], o: {}, "": "empty key", "é.ü": "ñ" };
		const sent = await server.send("plain/values", data);
		assert.deepEqual((await server.get(`/api/v1/events/${sent.id}`)).data, data);
	});

	it("gives the same ids for the same seed, so that an SDK's repeated send is harmless", async () => {
		const seed = `${Date.now()},3K/hRekIR9ZPLQ==`;
		const send = () => server.request("POST", "/e/key", [{ name: "seed/one" }, { name: "seed/two" }], { "x-inngest-event-id-seed": seed });
		const first = await send();
		assert.deepEqual(first.body.ids, await server.sql(`select flowforge.ulid(flowforge.seed_id('${seed}', n)) from generate_series(1, 2) n`));
		assert.deepEqual((await send()).body.ids, first.body.ids);
		assert.deepEqual(await server.sql("select count(*) from flowforge.events where name like 'seed/%'"), ["2"]);
	});

	it("ignores a seed that is none", async () => {
		for (const seed of ["x", "1,2", "-5,3K/hRekIR9ZPLQ==", "99999999999999999999,3K/hRekIR9ZPLQ==", "1795200139106,????"]) {
			const { status, body } = await server.request("POST", "/e/key", { name: "seed/bad" }, { "x-inngest-event-id-seed": seed });
			assert.equal(status, 200, `${seed}: ${JSON.stringify(body)}`);
		}
	});

	it("stored none of the bad ones", async () => {
		assert.deepEqual(await server.sql("select count(*) from flowforge.events where name = 'a/b' or name ilike 'inngest/%'"), ["0"]);
	});
});

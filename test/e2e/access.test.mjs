// Who may do what over HTTP: development servers, keys, users and their second factors, as clients of the real gateway meet them.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { chmodSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { networkInterfaces } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { freePort, logOnFailure, startServer, until } from "./harness.mjs";

const program = process.env.FLOWFORGE_BIN ?? join(dirname(fileURLToPath(import.meta.url)), "..", "..", "src", "gateway", "flowforge");
const secret = "a secret of the tests that is long enough";
const password = "correct horse battery";

const bearer = (token) => ({ authorization: `Bearer ${token}` });

/** What an authenticator app shows at a time (RFC 6238), of a secret in base32. */
function totp(base32, ms = Date.now()) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	const bits = [...base32].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, "0")).join("");
	const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
	const counter = Buffer.alloc(8);
	counter.writeBigUInt64BE(BigInt(Math.floor(ms / 30_000)));
	const digest = createHmac("sha1", key).update(counter).digest();
	const offset = digest.at(-1) & 15;
	return String((digest.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

/** Another gateway of the same database. */
async function startGateway(server, host) {
	const port = await freePort();
	const database = `host=127.0.0.1 port=${server.cluster.port} dbname=flow user=flowforge_gateway`;
	const child = spawn(program, ["serve", "--host", host, "--port", String(port), "--db", database], { stdio: "ignore" });
	await until("the other gateway is ready", async () => (await fetch(`http://127.0.0.1:${port}/ready`)).ok, 30_000);
	return {
		port,
		async stop() {
			const gone = once(child, "exit");
			child.kill("SIGTERM");
			await gone;
		},
	};
}

function statusOf(host, port, path, headers = {}) {
	return new Promise((resolve, reject) => {
		httpRequest({ host, port, path, headers }, (response) => {
			response.resume();
			resolve(response.statusCode);
		})
			.on("error", reject)
			.end();
	});
}

describe("a development server", () => {
	let server;
	let open;
	const outside = Object.values(networkInterfaces())
		.flat()
		.find((each) => each.family === "IPv4" && !each.internal)?.address;

	before(async () => {
		server = await startServer();
		open = await startGateway(server, "0.0.0.0");
	});
	logOnFailure(() => server);
	after(async () => {
		await open?.stop();
		await server?.stop();
	});

	it("answers its own machine, whatever address a client claims to have", async () => {
		assert.equal(await statusOf("127.0.0.1", open.port, "/api/v1/functions"), 200);
		assert.equal(await statusOf("127.0.0.1", open.port, "/api/v1/functions", { "x-flowforge-address": "10.0.0.1" }), 200);
	});

	it("answers nobody else, whatever address they claim to have", { skip: outside === undefined }, async () => {
		assert.equal(await statusOf(outside, open.port, "/health"), 200);
		assert.equal(await statusOf(outside, open.port, "/api/v1/functions"), 403);
		assert.equal(await statusOf(outside, open.port, "/api/v1/functions", { "x-flowforge-address": "127.0.0.1" }), 403);
		const [key] = await server.cluster.psql("select key from ff_key_create('outside', 'ro', '{functions:read}')");
		assert.equal(await statusOf(outside, open.port, "/api/v1/functions", bearer(key)), 200);
	});
});

describe("a server with flowforge.auth = on", () => {
	let server;
	let other;
	let admin; // tokens of ann

	before(async () => {
		server = await startServer({ settings: { "flowforge.auth": "on", "flowforge.jwt_secret": secret } });
		const keyFile = join(server.cluster.directory, "secret.key");
		writeFileSync(keyFile, `${"0123456789abcdef".repeat(4)}\n`);
		chmodSync(keyFile, 0o644);
		await server.cluster.psql(`alter system set flowforge.secret_key_file = '${keyFile}'`);
		await server.cluster.psql("select pg_reload_conf()");
		await server.cluster.psql(`select ff_user_create('ann@example.com', '${password}', 'Ann', 'admin')`);
		other = await startGateway(server, "127.0.0.1");
	});
	logOnFailure(() => server);
	after(async () => {
		await other?.stop();
		await server?.stop();
	});

	const signIn = (email, given = password) => server.request("POST", "/api/v1/auth/login", { email, password: given });

	it("asks who is there, and says how to prove it", async () => {
		const { status, headers, body } = await server.request("GET", "/api/v1/runs");
		assert.equal(status, 401);
		assert.match(headers.get("www-authenticate"), /^Bearer/);
		assert.equal(body.code, "FF205");
		assert.equal((await server.request("GET", "/health")).status, 200);
	});

	it("lets users in, and out", async () => {
		assert.equal((await signIn("ann@example.com", "wrong horse")).status, 401);
		const answer = await signIn("Ann@Example.com");
		assert.equal(answer.status, 200);
		assert.equal(answer.headers.get("cache-control"), "no-store");
		const out = await signIn("ann@example.com");
		assert.equal((await server.request("POST", "/api/v1/auth/logout", {}, bearer(out.body.access_token))).status, 200);
		assert.equal((await server.request("GET", "/api/v1/users/me", undefined, bearer(out.body.access_token))).status, 401);
		// The first session goes on after a refresh.
		assert.equal((await server.request("GET", "/api/v1/users/me", undefined, bearer(answer.body.access_token))).status, 401);
		const refreshed = await server.request("POST", "/api/v1/auth/refresh", { refresh_token: answer.body.refresh_token });
		assert.equal(refreshed.status, 200);
		admin = refreshed.body;
		assert.equal((await server.request("GET", "/api/v1/users/me", undefined, bearer(admin.access_token))).body.email, "ann@example.com");
	});

	it("takes a refresh token once of many that come at once", async () => {
		const { body } = await signIn("ann@example.com");
		const answers = await Promise.all(
			Array.from({ length: 5 }, () => server.request("POST", "/api/v1/auth/refresh", { refresh_token: body.refresh_token })),
		);
		assert.equal(answers.filter((each) => each.status === 200).length, 1);
		const won = answers.find((each) => each.status === 200);
		assert.equal((await server.request("POST", "/api/v1/auth/refresh", { refresh_token: won.body.refresh_token })).status, 401, "the session has ended");
		admin = (await signIn("ann@example.com")).body;
	});

	it("knows a key on every gateway, and a revoked one on none", async () => {
		const made = await server.request("POST", "/api/v1/api-keys", { name: "reader", type: "ro", scopes: ["runs:read"] }, bearer(admin.access_token));
		assert.equal(made.status, 201);
		const key = { "x-flowforge-api-key": made.body.key };
		assert.equal((await server.request("GET", "/api/v1/runs", undefined, key)).status, 200);
		assert.equal(await statusOf("127.0.0.1", other.port, "/api/v1/runs", key), 200);
		const refused = await server.request("POST", "/api/v1/events", { name: "a/b" }, key);
		assert.equal(refused.status, 403);
		assert.match(refused.headers.get("content-type"), /problem\+json/);
		assert.match(refused.body.hint, /events:send/);
		assert.equal((await server.request("DELETE", `/api/v1/api-keys/${made.body.id}`, undefined, bearer(admin.access_token))).status, 200);
		// Each gateway has several connections; all of them are asked.
		for (const port of [server.port, other.port]) {
			const answers = await Promise.all(Array.from({ length: 40 }, () => statusOf("127.0.0.1", port, "/api/v1/runs", key)));
			assert.deepEqual([...new Set(answers)], [401]);
		}
	});

	it("asks for a second factor once it is set up, takes each code once, and backup codes too", async () => {
		const me = (path, body) => server.request("POST", `/api/v1/users/me/2fa${path}`, body, bearer(admin.access_token));
		const { status, body: setup } = await me("", undefined);
		assert.equal(status, 200);
		assert.match(setup.otpauth_url, new RegExp(`secret=${setup.secret}`));
		assert.equal((await signIn("ann@example.com")).body.requires_2fa, false, "not before it is confirmed");
		assert.equal((await me("/confirm", { code: "000000x" })).status, 401);
		const code = totp(setup.secret);
		const confirmed = await me("/confirm", { code });
		assert.equal(confirmed.status, 200);
		const codes = confirmed.body.backup_codes;
		assert.equal(new Set(codes).size, 10);
		assert.equal((await me("", undefined)).status, 409);

		await server.cluster.psql("delete from flowforge.login_try");
		const half = (await signIn("ann@example.com")).body;
		assert.equal(half.requires_2fa, true);
		assert.equal(half.access_token, undefined);
		assert.equal((await server.request("GET", "/api/v1/users/me", undefined, bearer(half.temp_token))).status, 401);
		const verify = (given) => server.request("POST", "/api/v1/auth/verify-2fa", { temp_token: half.temp_token, code: given });
		assert.equal((await verify(code)).status, 401, "it was taken before");
		assert.equal((await verify(totp(setup.secret, Date.now() + 30_000))).status, 200, "the next one, of a clock that is ahead");
		assert.equal((await verify(totp(setup.secret, Date.now() + 300_000))).status, 401);
		assert.equal((await verify(codes[0].toLowerCase())).status, 200);
		assert.equal((await verify(codes[0])).status, 401);
		const stored = await server.cluster.psql("select encode(totp_secret, 'escape') || array_to_string(backup_codes, ',') from flowforge.user_account");
		assert.ok(!stored.join().includes(setup.secret) && !stored.join().includes(codes[1]));

		await server.cluster.psql("delete from flowforge.login_try");
		const renewed = await me("/backup-codes", { code: codes[1] });
		assert.equal(renewed.status, 200);
		assert.equal((await me("/disable", { code: codes[2] })).status, 401, "there are others now");
		assert.equal((await me("/disable", { code: renewed.body.backup_codes[0] })).body.two_factor, false);
		assert.equal((await signIn("ann@example.com")).body.requires_2fa, false);
	});

	it("locks an account after five failures, wherever they come from", async () => {
		await server.cluster.psql("delete from flowforge.login_try");
		await server.cluster.psql(`select ff_user_create('vic@example.com', '${password}', 'Vic', 'viewer')`);
		const answers = await Promise.all(Array.from({ length: 5 }, () => signIn("vic@example.com", "wrong horse")));
		assert.deepEqual([...new Set(answers.map((each) => each.status))], [401]);
		const right = await signIn("vic@example.com");
		assert.equal(right.status, 401);
		assert.deepEqual(right.body, answers[0].body);
		await server.cluster.psql("update flowforge.user_account set locked_until = now()");
		assert.equal((await signIn("vic@example.com")).status, 200);
	});

	it("keeps passwords, keys and tokens out of its log", async () => {
		const log = server.cluster.logTail(100_000);
		assert.ok(log.length > 0);
		assert.doesNotMatch(log, /ff_ro_[0-9a-z]{39}|eyJ[\w-]+\.|wrong horse/);
	});
});

describe("a server that is not configured", () => {
	it("answers nobody, and its gateway does not start again", async () => {
		const server = await startServer();
		try {
			await server.cluster.psql("alter system set flowforge.auth = 'on'");
			await server.cluster.psql("select pg_reload_conf()");
			const refused = await until("the setting is read", async () => {
				const answer = await server.request("GET", "/api/v1/runs");
				return answer.status === 503 && answer;
			});
			assert.equal(refused.body.code, "FF602");
			assert.match(refused.body.hint, /openssl rand/);
			const database = `host=127.0.0.1 port=${server.cluster.port} dbname=flow user=flowforge_gateway`;
			const child = spawn(program, ["serve", "--port", "0", "--db", database], { stdio: ["ignore", "ignore", "pipe"] });
			let said = "";
			child.stderr.on("data", (bytes) => (said += bytes));
			const [code] = await once(child, "exit");
			assert.equal(code, 1);
			assert.match(said, /flowforge\.jwt_secret is not set/);
		} finally {
			await server.stop();
		}
	});
});

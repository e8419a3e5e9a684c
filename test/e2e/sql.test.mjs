// FlowForge from psql: an event is part of the transaction that sends it.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { logOnFailure, pause, startApp, startServer, until } from "./harness.mjs";
import { Rogue, sdkHeaders } from "./rogue.mjs";

describe("in SQL", () => {
	let server;
	let app;
	let sql;
	before(async () => {
		server = await startServer();
		app = await startApp(server, { id: "shop" });
		sql = (text) => server.sql(text);
		await sql("create table orders (id int)");
	});
	after(() => server?.stop());
	logOnFailure(() => server);

	const one = async (text) => (await sql(text))[0];
	const runOf = (event) => one(`select run_id from ff_event_runs('${event}')`);
	const idsOf = (text) => text.filter((line) => /^[0-9a-f]{8}-/.test(line));

	it("starts a run with the transaction that stores the order", async () => {
		const out = await sql(`begin; insert into orders values (1); select ff_send_event('shop/sequence', '{"n": 1}'); commit`);
		const [event] = idsOf(out);
		const run = await runOf(event);
		assert.equal(await one(`select status from ff_wait('${run}', '20 s')`), "completed");
		assert.equal(await one(`select output from flowforge.runs where run_id = '${run}'`), '{"c": [2, 4], "attempt": 0}');
	});

	it("starts nothing when the transaction rolls back", async () => {
		const before = await one("select count(*) from flowforge.runs");
		const [event] = idsOf(await sql(`begin; insert into orders values (2); select ff_send_event('shop/sequence', '{"n": 1}'); rollback`));
		await pause(300);
		assert.equal(await one("select count(*) from flowforge.runs"), before);
		assert.equal(await one(`select count(*) from flowforge.events where event_id = '${event}'`), "0");
		assert.equal(await one("select count(*) from orders where id = 2"), "0");
	});

	it("starts only what was not rolled back to a savepoint", async () => {
		const out = await sql(`begin; select ff_send_event('shop/sequence', '{"n": 1}'); savepoint s; select ff_send_event('shop/sequence', '{"n": 2}');
			rollback to s; select ff_send_event('shop/sequence', '{"n": 3}'); commit`);
		const [kept, gone, third] = idsOf(out);
		assert.equal(await runOf(gone), undefined);
		for (const event of [kept, third]) {
			assert.equal(await one(`select status from ff_wait('${await runOf(event)}', '20 s')`), "completed");
		}
	});

	it("waits for a run without polling, and gives up after the timeout", async () => {
		const [event] = idsOf(await sql(`select ff_send_event('shop/wait-match', '{"key": "sql"}')`));
		const run = await runOf(event);
		const start = Date.now();
		assert.match(await one(`select status from ff_wait('${run}', '500 ms')`), /running|pending/);
		const waited = Date.now() - start;
		assert.ok(waited >= 480 && waited < 15_000, `${waited} ms`);
		const done = one(`select status || ' ' || (clock_timestamp() - ended_at < '10 s') from ff_wait('${run}', '20 s')`);
		await until("it waits", async () => (await one(`select count(*) from flowforge.steps where run_id = '${run}' and status = 'waiting'`)) === "1");
		await sql(`select ff_send_event('shop/answer', '{"key": "sql"}')`);
		assert.equal(await done, "completed true");
	});

	it("says that a run of the same transaction cannot be waited for", async () => {
		const block = `do $$ declare e uuid := ff_send_event('shop/sequence', '{"n": 1}'); begin perform ff_wait(run_id, '5 s') from ff_event_runs(e); end $$`;
		await assert.rejects(sql(block), /FF011|commit/i);
	});

	it("sends many events in one statement", async () => {
		const ids = idsOf(await sql(`select ff_send_events('[{"name": "shop/no-steps", "data": {"value": 1}}, {"name": "shop/no-steps", "data": {"value": 2}}]')`));
		assert.equal(ids.length, 2);
		for (const [i, event] of ids.entries()) {
			assert.equal(await one(`select output ->> 'echo' from ff_wait('${await runOf(event)}', '20 s')`), String(i + 1));
		}
	});

	it("shows steps and log of a run", async () => {
		const [event] = idsOf(await sql(`select ff_send_event('shop/retried-step')`));
		const run = await runOf(event);
		await sql(`select ff_wait('${run}', '20 s')`);
		assert.deepEqual(await sql(`select name, status, output from flowforge.steps where run_id = '${run}' order by ended_at`), [
			'before|completed|"before"',
			'flaky|completed|"third time lucky"',
			'after|completed|"after"',
		]);
		const log = await sql(`select seq, type from flowforge.run_event where run_id = '${run}' order by seq`);
		assert.deepEqual(log.map((l) => Number(l.split("|")[0])), log.map((_, i) => i + 1));
		assert.match(log[0], /run\.created$/);
		assert.match(log.at(-1), /run\.completed$/);
	});

	it("cancels a waiting run, once", async () => {
		const run = await runOf(idsOf(await sql(`select ff_send_event('shop/wait-match', '{"key": "cancel"}')`))[0]);
		await until("it waits", async () => (await one(`select count(*) from flowforge.steps where run_id = '${run}' and status = 'waiting'`)) === "1");
		assert.match(await one(`select ff_cancel('${run}')`), /cancel/);
		assert.equal(await one(`select status from ff_wait('${run}', '10 s')`), "cancelled");
		assert.match(await one(`select ff_cancel('${run}')`), /already/);
		await sql(`select ff_send_event('shop/answer', '{"key": "cancel"}')`);
		await pause(300);
		assert.equal(await one(`select status from flowforge.runs where run_id = '${run}'`), "cancelled");
		assert.equal(await one("select count(*) from flowforge.wait"), "0", "nothing waits for a cancelled run's event");
	});

	it("drops the late answer of a cancelled run", async () => {
		const run = await runOf(idsOf(await sql(`select ff_send_event('shop/slow', '{"ms": 1500}')`))[0]);
		await until("the step runs", async () => (await one(`select count(*) from flowforge.calls() where run_id = '${run}'`)) === "1");
		await sql(`select ff_cancel('${run}')`);
		assert.equal(await one(`select status from ff_wait('${run}', '1 s')`), "cancelled", "it does not wait for the app");
		await pause(2000);
		const ulid = await one(`select ulid from flowforge.runs where run_id = '${run}'`);
		assert.deepEqual(await app.calls({ ulid }), { long: 1 }, "the step after it was not called");
		assert.equal(await one(`select status from flowforge.runs where run_id = '${run}'`), "cancelled");
		assert.equal(await one(`select count(*) from flowforge.steps where run_id = '${run}' and status = 'completed'`), "0");
	});

	it("cancels nothing when the cancelling transaction rolls back", async () => {
		const run = await runOf(idsOf(await sql(`select ff_send_event('shop/wait-match', '{"key": "kept"}')`))[0]);
		await until("it waits", async () => (await one(`select count(*) from flowforge.steps where run_id = '${run}' and status = 'waiting'`)) === "1");
		await sql(`begin; select ff_cancel('${run}'); rollback`);
		await pause(300);
		await sql(`select ff_send_event('shop/answer', '{"key": "kept"}')`);
		assert.equal(await one(`select status from ff_wait('${run}', '10 s')`), "completed");
	});

	it("tells the state of the engine", async () => {
		const status = Object.fromEntries((await sql("select item, value from ff_status()")).map((line) => line.split("|")));
		assert.match(Object.keys(status).join(), /executor/);
		for (const table of ["run_hot", "run_parked", "wait", "inbox"]) {
			await until(`${table} is empty`, async () => (await one(`select count(*) from flowforge.${table}`)) === "0", 5000);
		}
	});

	it("refuses bad events with an error that says what to do", async () => {
		for (const [call, code] of [
			["ff_send_event('')", "FF001"],
			["ff_send_event(null)", "FF001"],
			["ff_send_event('inngest/x')", "FF001"],
			["ff_send_event('a', '[]')", "FF002"],
			["ff_send_event('a', ts => '1066-10-14')", "FF004"],
			["ff_wait('00000000-0000-7000-8000-000000000000')", "FF010"],
			["ff_cancel('00000000-0000-7000-8000-000000000000')", "FF010"],
		]) {
			const state = await sql(`do $$ begin perform ${call}; raise notice 'none'; exception when others then
				create temp table caught as select sqlstate as s; end $$; select s from caught`);
			assert.deepEqual(state, [code], call);
		}
	});

	it("forbids to change the log", async () => {
		await assert.rejects(sql("delete from flowforge.run_event_batch"), /append/i);
		await assert.rejects(sql("update flowforge.run_event_batch set seq = 7"), /append/i);
	});

	it("has a comment on every function and view people use", async () => {
		assert.deepEqual(
			await sql(`select p.oid::regprocedure from pg_proc p where p.proname like 'ff\\_%' and p.pronamespace = 'public'::regnamespace
				and obj_description(p.oid, 'pg_proc') is null`),
			[],
		);
		assert.deepEqual(
			await sql(`select c.oid::regclass from pg_class c where c.relnamespace = 'flowforge'::regnamespace and c.relkind in ('v', 'r', 'p')
				and not c.relispartition and obj_description(c.oid, 'pg_class') is null`),
			[],
		);
	});

	it("makes one call of a run that has a message when the server starts", async () => {
		const restart = async () => {
			await server.cluster.stop();
			await server.cluster.start();
			await until("the database is back", () => server.sql("select 1"));
		};
		await server.sql("alter database flow set flowforge.restoring = on");
		await restart();
		const [event] = await server.sql(`select ff_send_event('shop/sequence', '{"n": 1}')`);
		const [id] = await server.sql(`select run_id from flowforge.run where event_id = '${event}'`);
		await server.sql(`select flowforge.post(1, '${id}', 'event', '{"step": "nobody", "event": null}')`);
		await server.sql("alter database flow reset flowforge.restoring");
		await restart();
		await until("the server is back", async () => (await fetch(`${server.url}/ready`)).ok);
		const run = await server.finished(id);
		assert.equal(run.status, "completed", JSON.stringify(run.error));
		assert.deepEqual(await app.calls(run), { a: 1, b: 1, c: 1 });
	});

	it("finishes a call that was under way when the server stopped, without repeating what had finished", async () => {
		let held = [];
		const rogue = await Rogue.start(server, "held", (request, response) => held.push(response));
		const sequence = await runOf(idsOf(await sql(`select ff_send_event('shop/wait-match', '{"key": "restart"}')`))[0]);
		const run = await runOf(idsOf(await sql(`select ff_send_event('held/go')`))[0]);
		await until("it waits", async () => (await one(`select count(*) from flowforge.steps where run_id = '${sequence}' and status = 'waiting'`)) === "1");
		await until("the call arrives", () => held.length === 1);
		await server.cluster.stop();
		held = [];
		await server.cluster.start();
		await until("the call is made again", () => held.length === 1);
		held[0].writeHead(200, sdkHeaders);
		held[0].end('"after the restart"');
		assert.equal(await one(`select output from ff_wait('${run}', '10 s')`), '"after the restart"');
		const attempts = rogue.calls.map((call) => JSON.parse(call.body).ctx.attempt);
		assert.deepEqual(attempts, [0, 0], "a restart consumes no attempt");
		await sql(`select ff_send_event('shop/answer', '{"key": "restart"}')`);
		assert.equal(await one(`select status from ff_wait('${sequence}', '10 s')`), "completed");
		const ulid = await one(`select ulid from flowforge.runs where run_id = '${sequence}'`);
		assert.deepEqual(await app.calls({ ulid }), { before: 1, after: 1 });
		await until("the gateway is back", async () => (await fetch(`${server.url}/ready`)).ok);
		rogue.stop();
	});
});

// Plays table.mjs: each scenario with three clients side by side on one server, our Python, our TypeScript and the published `inngest` package as it
// is. What the server has recorded must be as the table says, and the same for all.
//
// FLOWFORGE_SCENARIO_MODES names the modes of the server, "dev", "signed" or both; signed is all of dev and more.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { logOnFailure, startServer } from "../../test/e2e/harness.mjs";
import { Host } from "../../test/e2e/host.mjs";
import { startClients } from "./clients.mjs";
import { scenarios } from "./table.mjs";

/** Plays a scenario with one client; gives what the server and the client know of its run. */
async function play(scenario, scene) {
	const { server, client } = scene;
	scene.steps = typeof scenario.steps === "function" ? scenario.steps(scene) : scenario.steps;
	scene.data = typeof scenario.data === "function" ? scenario.data(scene) : (scenario.data ?? {});
	scene.run = scenario.start ? await scenario.start(scene) : (await server.start(`${client.id}/${scenario.function}`, scene.data)).id;
	await scenario.meanwhile?.(scene);
	const first = await server.finished(scene.run, 240_000, 150);
	const run = (await scenario.then?.(scene, first)) ?? first;
	const [steps, log, { "()": calls, ...entered }] = await Promise.all([server.steps(run.id), server.events(run.id), client.entered(run.ulid)]);
	return { run, steps: inOrder(scenario, steps, "name"), log, calls, entered };
}

/** Steps that stand side by side finish in any order. */
function inOrder(scenario, list, member) {
	return scenario.sideBySide ? [...list].sort((a, b) => (a[member] < b[member] ? -1 : Number(a[member] > b[member]))) : list;
}

// --- as the table says ---

function same(found, expected, scene, what) {
	if (typeof expected === "function") assert.ok(expected(found, scene), `${what} is ${JSON.stringify(found)}`);
	else assert.deepEqual(found, expected, what);
}

function checkSteps(scenario, { steps }, scene) {
	const expected = inOrder(scenario, scene.steps, "name");
	const list = steps.map(({ name, op, status }) => `${name} (${op}, ${status})`).join(", ");
	assert.equal(steps.length, expected.length, `the steps are ${list.slice(0, 2000)}`);
	for (const [i, { times, error, ...step }] of expected.entries()) {
		for (const [member, value] of Object.entries(step)) same(steps[i][member], value, scene, `${member} of step ${i}, ${steps[i].name}`);
		if (error !== undefined) same(steps[i].error?.message, error, scene, `error of step ${i}, ${steps[i].name}`);
	}
}

function checkEntered(scenario, { entered }, scene) {
	const expected = {};
	for (const { name, times } of scene.steps) if (times > 0) expected[name] = (expected[name] ?? 0) + times;
	const ofSteps = Object.fromEntries(Object.entries(entered).filter(([name]) => name in expected));
	assert.deepEqual(ofSteps, expected, "how often the code of each step was entered");
	const beside = Object.fromEntries(Object.entries(entered).filter(([name]) => !(name in expected)));
	same(beside, scenario.entered ?? {}, scene, "what else was entered");
}

async function check(scenario, record, scene) {
	const { run, calls } = record;
	assert.equal(run.status, scenario.status ?? "completed", JSON.stringify(run.error));
	if ("output" in scenario) same(run.output, scenario.output, scene, "output");
	const { cause, ...error } = scenario.error ?? {};
	for (const [member, value] of Object.entries(error)) assert.equal(run.error[member], value, `${member} of the error`);
	if (scenario.error) assert.equal(run.error.cause?.message, cause, "cause of the error");
	checkSteps(scenario, record, scene);
	checkEntered(scenario, record, scene);
	if (scenario.calls !== undefined) same(calls, scenario.calls, scene, "calls of the function");
	await scenario.check?.(scene, record);
}

// --- the same for all ---

/** What clients may not differ in: everything that the table does not leave to them. */
function portrait(scenario, { client, steps: said }, { run, steps, log, entered }) {
	const fixed = (expected, member) => typeof expected?.[member] !== "function";
	const expected = inOrder(scenario, said, "name");
	const names = expected.every((step) => fixed(step, "name"));
	// Whether a step is planned before it runs is for the package to say.
	const events = log.filter(({ type }) => type !== "step.planned").map(({ type, name }) => (names ? `${type} ${name ?? ""}` : type));
	const told = {
		status: run.status,
		output: fixed(scenario, "output") ? run.output : null,
		error: run.error && [run.error.message, run.error.cause?.message],
		steps: steps.map((step, i) => [
			...["name", "op", "status", "output"].map((member) => (fixed(expected[i], member) ? step[member] : null)),
			step.attempt,
			fixed(expected[i], "error") ? step.error?.message : null,
		]),
		log: scenario.sideBySide ? events.sort() : events,
		entered: fixed(scenario, "entered") ? entered : null,
	};
	for (const member of scenario.apart ?? []) delete told[member];
	return JSON.parse(JSON.stringify(told).replaceAll(client.id, "app").replaceAll(/\b[0-9A-HJKMNP-TV-Z]{26}\b/g, "<ulid>"));
}

/** Where two values differ first, and how; undefined when they do not. */
function difference(one, other, path = "") {
	if (isDeepStrictEqual(one, other)) return undefined;
	const both = [one, other];
	if (both.some((value) => value === null || typeof value !== "object")) return `${path}: ${both.map((v) => JSON.stringify(v)?.slice(0, 500)).join(", ")}`;
	for (const key of new Set(both.flatMap(Object.keys))) {
		const found = difference(one[key], other[key], `${path}.${key}`);
		if (found !== undefined) return found;
	}
	return path;
}

for (const mode of (process.env.FLOWFORGE_SCENARIO_MODES ?? "signed").split(" ")) {
	describe(`scenarios in ${mode} mode`, { concurrency: 4 }, () => {
		let server;
		let host;
		let clients;
		before(async () => {
			[server, host] = await Promise.all([startServer({ signed: mode === "signed" }), Host.start()]);
			clients = await startClients(server);
			await server.sql("create role clerk login; create table orders (id text primary key, total numeric); alter table orders owner to clerk");
			for (const { id } of clients.filter(({ name }) => name !== "inngest")) await server.sql(`select ff_set_app_role('${id}', 'clerk')`);
			await server.sql(`select ff_set_ai_provider('fake', base_url => '${host.url}/v1')`);
		});
		after(async () => {
			host?.stop();
			await server?.stop();
		});
		logOnFailure(() => server);

		for (const [number, scenario] of scenarios.entries()) {
			const without = Object.entries(scenario.without ?? {});
			const title = [scenario.what, ...without.map(([name, why]) => `without ${name}: ${why}`)].join("; ");
			it(title, async () => {
				const scenes = clients
					.filter(({ name }) => scenario.without?.[name] === undefined)
					.map((client) => ({ server, host, client, key: `${client.id}-${number}` }));
				const portraits = await Promise.all(scenes.map(async (scene) => {
					try {
						const record = await play(scenario, scene);
						await check(scenario, record, scene);
						return portrait(scenario, scene, record);
					} catch (error) {
						error.message = `${scene.client.name}: ${error.message}`;
						throw error;
					}
				}));
				for (const [i, found] of portraits.entries()) {
					const where = difference(portraits[0], found);
					assert.equal(where, undefined, `${scenes[0].client.name} and ${scenes[i].client.name} differ in ${where}`);
				}
			});
		}
	});
}

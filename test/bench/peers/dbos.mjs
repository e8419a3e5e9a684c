// DBOS Transact.  Workflows and their steps are recorded; queues are polled.
import { DBOS } from "@dbos-inc/dbos-sdk";
import pg from "pg";
import { Peer, chunks, now } from "./peer.mjs";

export default class Dbos extends Peer {
	static kinds = ["one", "five", "timer", "fan"];
	static script = `select dbos.enqueue_workflow('one', 'work', array['1'::json]);`;
	static durable = true;

	static async install(url) {
		await DBOS.migrate(url);
	}

	async open() {
		this.client = new pg.Client(this.url);
		await this.client.connect();
	}

	async send(kind, n) {
		await this.client.query({ name: "send", text: "select dbos.enqueue_workflow($1, 'work', array[to_json($2::int)])", values: [kind, n] });
	}

	async sendMany(kind, n, due) {
		const text = "select count(dbos.enqueue_workflow($1, 'work', array[to_json(i), to_json($3::float8)])) from unnest($2::int[]) i";
		for (const list of chunks(n)) await this.client.query({ name: "batch", text, values: [kind, list, due ?? 0] });
	}

	async work({ busy }) {
		const quiet = () => {};
		DBOS.setConfig({
			name: "peers",
			systemDatabaseUrl: this.url,
			systemDatabasePoolSize: 20,
			logger: { info: quiet, debug: quiet, warn: console.error, error: console.error },
		});
		this.register();
		await DBOS.launch();
		await DBOS.registerQueue("work", { minPollingIntervalMs: 10, ...(busy ? { workerConcurrency: 500 } : {}) });
		this.launched = true;
	}

	register() {
		const step = (n) => DBOS.runStep(async () => ({ n }), { name: `step ${n}` });
		const child = DBOS.registerWorkflow(async (n) => step(n), { name: "child" });
		DBOS.registerWorkflow(async (n) => {
			this.begin(n);
			await step(n);
			this.end();
		}, { name: "one" });
		DBOS.registerWorkflow(async (n) => {
			this.begin(n);
			for (let i = 0; i < 5; i++) await step(i);
			this.end();
		}, { name: "five" });
		DBOS.registerWorkflow(async (n, due) => {
			await DBOS.sleepms(Math.max(0, due - now()));
			this.begin(n);
			await step(n);
			this.end();
		}, { name: "timer" });
		DBOS.registerWorkflow(async (n) => {
			const handles = await Promise.all(Array.from({ length: n }, (_, i) => DBOS.startWorkflow(child)(i)));
			await Promise.all(handles.map((handle) => handle.getResult()));
			this.end();
		}, { name: "fan" });
	}

	async unfinished() {
		const { rows } = await this.client.query("select count(*)::int as n from dbos.workflow_status where status in ('ENQUEUED', 'PENDING', 'DELAYED')");
		return rows[0].n;
	}

	async close() {
		if (this.launched) await DBOS.shutdown();
		await this.client.end();
	}
}

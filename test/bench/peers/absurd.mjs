// absurd: tasks and their steps are recorded by SQL functions; workers poll.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { Absurd } from "absurd-sdk";
import pg from "pg";
import { Peer, chunks } from "./peer.mjs";

const QUIET = { log() {}, info() {}, warn: console.error, error: console.error };

export default class AbsurdPeer extends Peer {
	static kinds = ["one", "five", "timer", "fan"];
	static script = `select absurd.spawn_task('work', 'one', '{"n": 1}');`;
	static durable = true;

	static async install(url) {
		const control = join(import.meta.dirname, ".venv", "bin", "absurdctl");
		for (const command of [["init"], ["create-queue", "work"], ["create-queue", "children"]])
			execFileSync(control, [command[0], "--database", url, ...command.slice(1)], { stdio: ["ignore", "ignore", "inherit"] });
	}

	apps = [];

	async open() {
		this.client = new pg.Client(this.url);
		await this.client.connect();
	}

	async send(kind, n) {
		await this.client.query({ name: "send", text: "select absurd.spawn_task('work', $1, jsonb_build_object('n', $2::int))", values: [kind, n] });
	}

	async sendMany(kind, n, due) {
		const text = "select count(*) from unnest($2::int[]) i, absurd.spawn_task('work', $1, jsonb_build_object('n', i, 'due', $3::float8))";
		for (const list of chunks(n)) await this.client.query({ name: "batch", text, values: [kind, list, due ?? 0] });
	}

	async work({ busy }) {
		const options = { concurrency: 100, batchSize: 100, pollInterval: busy ? 0.25 : 0.01 };
		const works = this.app("work");
		this.register(works);
		await works.startWorker(options);
		if (busy) return;
		const children = this.app("children");
		children.registerTask({ name: "child" }, async ({ n }, context) => context.step("step", async () => ({ n })));
		await children.startWorker(options);
		this.children = children;
	}

	app(queueName) {
		const pool = new pg.Pool({ connectionString: this.url, max: 20 });
		const app = new Absurd({ db: pool, queueName, log: QUIET });
		this.apps.push({ app, pool });
		return app;
	}

	register(app) {
		app.registerTask({ name: "one" }, async ({ n }, context) => {
			this.begin(n);
			await context.step("step", async () => ({ n }));
			this.end();
		});
		app.registerTask({ name: "five" }, async ({ n }, context) => {
			this.begin(n);
			for (let i = 0; i < 5; i++) await context.step(`step ${i}`, async () => ({ i }));
			this.end();
		});
		app.registerTask({ name: "timer" }, async ({ n, due }, context) => {
			await context.sleepUntil("sleep", new Date(due));
			this.begin(n);
			await context.step("step", async () => ({ n }));
			this.end();
		});
		app.registerTask({ name: "fan" }, async ({ n }, context) => {
			const tasks = await context.step("start", () => Promise.all(Array.from({ length: n }, async (_, i) => (await this.children.spawn("child", { n: i })).taskID)));
			await Promise.all(tasks.map((task) => context.awaitTaskResult(task, { queue: "children" })));
			this.end();
		});
	}

	async unfinished() {
		const { rows } = await this.client.query("select count(*)::int as n from absurd.t_work where state not in ('completed', 'failed', 'cancelled')");
		return rows[0].n;
	}

	async close() {
		for (const { app, pool } of this.apps) {
			await app.close();
			await pool.end();
		}
		await this.client.end();
	}
}

// pg-boss.  A queue that keeps finished jobs for a week, and can let a job wait for others.
import { PgBoss } from "pg-boss";
import pg from "pg";
import { Peer, chunks, pause, until } from "./peer.mjs";

const QUIET = { schedule: false, supervise: false };

export default class Boss extends Peer {
	static kinds = ["one", "timer", "fan"];

	static async install(url) {
		const boss = await new PgBoss({ connectionString: url, ...QUIET }).start();
		await boss.createQueue("one");
		for (const name of ["prompt", "child", "join"]) await boss.createQueue(name, { notify: true });
		await boss.stop({ graceful: false });
	}

	/** Notifications make sending slow; they are for workers that wait. */
	queue = "one";

	async open() {
		this.client = new pg.Client(this.url);
		await this.client.connect();
		this.boss = new PgBoss({ connectionString: this.url, ...QUIET, migrate: false, useListenNotify: true, max: 8 });
		this.boss.on("error", (error) => console.error(error.message));
		await this.boss.start();
	}

	async send(kind, n) {
		if (kind === "one") return this.boss.send(this.queue, { n });
		const children = Array.from({ length: n }, (_, i) => ({ ref: `c${i}`, name: "child", data: { n: i } }));
		return this.boss.flow([...children, { ref: "join", name: "join", data: {}, dependsOn: children.map((c) => c.ref) }]);
	}

	async sendMany(kind, n, due) {
		for (const list of chunks(n))
			await this.boss.insert(this.queue, list.map((i) => ({ data: { n: i }, ...(due ? { startAfter: new Date(due) } : {}) })));
	}

	async work({ busy }) {
		const options = { pollingIntervalSeconds: 0.5, notifyPollingIntervalSeconds: 0.5, batchSize: 500, burstWhenBatchFull: true, localConcurrency: busy ? 4 : 1 };
		const each = async (jobs) => {
			for (const { data } of jobs) this.begin(data.n);
			for (const _ of jobs) this.end();
		};
		this.queue = busy ? "one" : "prompt";
		await this.boss.work(this.queue, options, each);
		if (busy) return;
		await this.boss.work("child", { ...options, localConcurrency: 4 }, async (jobs) => {
			this.children -= jobs.length;
		});
		await this.boss.work("join", options, async () => this.end());
	}

	/** Joins are looked for every second at most, or when asked to: as soon as the last child is done. */
	async fan(kind, children) {
		this.children = children;
		const resolve = until("children end", () => this.children === 0).then(async () => {
			const ended = this.ended;
			while (this.ended === ended) await this.boss.resolveFlow().then(() => pause(10));
		});
		const took = await super.fan(kind, children);
		await resolve;
		return took;
	}

	async unfinished() {
		const { rows } = await this.client.query("select count(*)::int as n from pgboss.job where state < 'completed'");
		return rows[0].n;
	}

	async close() {
		await this.boss.stop({ graceful: true, timeout: 5000 });
		await this.client.end();
	}
}

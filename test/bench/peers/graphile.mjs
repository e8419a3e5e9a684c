// graphile-worker.  A pure queue: jobs are deleted when they are done.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";
import { Peer, chunks } from "./peer.mjs";

const logger = new Logger(() => () => {});

export default class Graphile extends Peer {
	static script = `select graphile_worker.add_job('one', '{"n": 1}');`;

	static async install(url) {
		const utils = await makeWorkerUtils({ connectionString: url, logger });
		await utils.migrate();
		await utils.release();
	}

	async open() {
		this.client = new pg.Client(this.url);
		await this.client.connect();
	}

	async send(kind, n) {
		await this.client.query({ name: "send", text: "select graphile_worker.add_job('one', $1)", values: [JSON.stringify({ n })] });
	}

	async sendMany(kind, n, due) {
		const text = `select count(*) from graphile_worker.add_jobs(array(
			select row('one', json_build_object('n', i), null, $2::timestamptz, null, null, null, null)::graphile_worker.job_spec from unnest($1::int[]) i))`;
		for (const list of chunks(n)) await this.client.query({ name: "batch", text, values: [list, due ? new Date(due) : null] });
	}

	async work({ busy }) {
		this.runner = await run({
			logger,
			noHandleSignals: true,
			taskList: {
				one: async ({ n }) => {
					this.begin(n);
					this.end();
				},
			},
			preset: {
				worker: {
					connectionString: this.url,
					maxPoolSize: 12,
					concurrentJobs: busy ? 24 : 10,
					pollInterval: busy ? 2000 : 10,
					...(busy ? { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } : {}),
				},
			},
		});
	}

	async unfinished() {
		const { rows } = await this.client.query("select count(*)::int as n from graphile_worker.jobs");
		return rows[0].n;
	}

	async close() {
		await this.runner?.stop();
		await this.client.end();
	}
}

// FlowForge, through the same client as the others.  "In process" work is a graph of transform nodes.
import pg from "pg";
import { Peer, chunks, now, pause, until } from "./peer.mjs";

const node = (id, mapping) => ({ id, type: "transform", data: { config: { mapping } } });
const edge = (source, target) => ({ id: `${source}-${target}`, source, target });
const names = ["a", "b", "c", "d", "e"];
const each = (handler, config) => ({ nodes: [{ id: "each", type: "for_each", data: { config: { items: "{{ input.items }}", handler, item_config: config, max_parallel: 1000 } } },
	node("join", { count: "{{ each.count }}" })], edges: [edge("each", "join")], settings: { max_concurrency: 1000 } });

const WORKFLOWS = {
	one: { nodes: [node("a", { n: "{{ input.n }}" })], edges: [] },
	five: {
		nodes: names.map((name, i) => node(name, { n: i === 0 ? "{{ input.n }}" : `{{ ${names[i - 1]}.n + 1 }}` })),
		edges: names.slice(1).map((name, i) => edge(names[i], name)),
	},
	timer: {
		nodes: [{ id: "sleep", type: "delay", data: { config: { until: "{{ input.due }}" } } }, node("a", { n: "{{ input.n }}" })],
		edges: [edge("sleep", "a")],
	},
	child: { nodes: [node("a", { n: "{{ input.n }}" })], edges: [] },
	fan: each("function_call", { function: "child", args: { n: "{{ _item }}" }, wait: true }),
	items: each("transform", { mapping: { n: "{{ _item }}" } }),
};

export default class FlowForge extends Peer {
	static kinds = ["one", "five", "timer", "fan", "items", "http"];
	static script = `select ff_send_event('bench/one', '{"n": 1}');`;
	static durable = true;

	static async install(url) {
		const client = new pg.Client(url);
		await client.connect();
		await client.query("create extension flowforge");
		for (const [name, graph] of Object.entries(WORKFLOWS)) {
			await client.query("select ff_workflow_create($1, $2, triggers => jsonb_build_array(jsonb_build_object('event', 'bench/' || $1::text)))", [name, JSON.stringify(graph)]);
			await client.query("select ff_workflow_publish($1)", [name]);
		}
		for (const table of ["event", "run", "step", "run_end", "run_event_batch"]) await client.query("select flowforge.maintain($1, 1, interval '0')", [table]);
		await client.end();
	}

	async open() {
		this.client = new pg.Client(this.url);
		await this.client.connect();
		const { rows } = await this.client.query("select count(*)::int as n from flowforge.executors()");
		if (rows[0].n > 0) await until("all executors work", () => this.one("select bool_and(state = 'working') from flowforge.executors()"), 20, 60_000);
		this.before = await this.runsEnded();
	}

	async one(text, values) {
		const { rows } = await this.client.query({ text, values, rowMode: "array" });
		return rows[0][0];
	}

	async runsEnded() {
		return Number(await this.one("select coalesce(sum(runs_ended), 0) from flowforge.executors()"));
	}

	async send(kind, n) {
		const data = kind === "fan" || kind === "items" ? { items: Array.from({ length: n }, (_, i) => i) } : { n };
		return this.client.query({ name: "send", text: "select ff_send_event($1, $2)", values: [`bench/${kind}`, JSON.stringify(data)] });
	}

	/** What is to be drained waits while its function is paused. */
	async sendMany(kind, n, due) {
		if (kind !== "timer") await this.client.query("select ff_pause($1)", [this.slug(kind)]);
		for (const list of chunks(n)) {
			const events = list.map((i) => ({ name: `bench/${kind}`, data: { n: i, ...(due ? { due: new Date(due).toISOString() } : {}) } }));
			await this.client.query({ name: "batch", text: "select count(*) from ff_send_events($1)", values: [JSON.stringify(events)] });
		}
	}

	slug(kind) {
		return kind === "http" ? "bench-http" : kind;
	}

	async drain(kind, n) {
		const before = await this.runsEnded();
		const at = now();
		await this.client.query("select ff_resume($1)", [this.slug(kind)]);
		await until(`${n} runs end`, async () => (await this.runsEnded()) - before >= n, 10);
		return now() - at;
	}

	/** Its steps tell when they began. */
	async begins(n) {
		await until(`${n} runs end`, async () => (await this.runsEnded()) - this.before >= n, 20);
		await pause(100);
		const { rows } = await this.client.query(`select (e.data->>'n')::int as n, extract(epoch from s.started_at)::float8 * 1000 as at
			from flowforge.step s join flowforge.run r using (tenant_id, run_id) join flowforge.event e using (tenant_id, event_id) where s.step_id = 'a'`);
		const times = new Map(rows.map((row) => [row.n, row.at]));
		return Array.from({ length: n }, (_, i) => times.get(i));
	}

	async fan(kind, children) {
		const before = await this.runsEnded();
		const at = now();
		await this.send(kind, children);
		await until("the join", async () => (await this.runsEnded()) - before >= (kind === "fan" ? children + 1 : 1), 2);
		return now() - at;
	}

	/** All that has ended has done its work. */
	async close() {
		const failed = await this.one("select count(*)::int from flowforge.run_end where status <> 'completed'");
		await this.client.end();
		if (failed > 0) throw new Error(`${failed} runs have failed`);
	}
}

// PGMQ, by its SQL alone.  A pure queue: messages are read in hundreds and archived, so that history is kept as the others keep it.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { Peer, chunks } from "./peer.mjs";

const packages = join(import.meta.dirname, ".venv", "lib");
const schema = () => readFileSync(join(packages, readdirSync(packages)[0], "site-packages", "pgmq", "sql", "pgmq.sql"), "utf8");

export default class Pgmq extends Peer {
	static script = `select pgmq.send('work', '{"n": 1}');`;

	static async install(url) {
		const client = new pg.Client(url);
		await client.connect();
		await client.query(schema());
		await client.query("select pgmq.create('work')");
		await client.end();
	}

	readers = [];

	async open() {
		this.client = new pg.Client(this.url);
		await this.client.connect();
	}

	async send(kind, n) {
		await this.client.query({ name: "send", text: "select pgmq.send('work', $1)", values: [JSON.stringify({ n })] });
	}

	async sendMany(kind, n, due) {
		const text = "select count(*) from pgmq.send_batch('work', $1::jsonb[], $2::timestamptz)";
		for (const list of chunks(n))
			await this.client.query({ name: "batch", text, values: [list.map((i) => JSON.stringify({ n: i })), new Date(due ?? Date.now() - 1000)] });
	}

	async work({ busy }) {
		for (let i = 0; i < (busy ? 2 : 1); i++) this.readers.push(this.read(busy ? "select * from pgmq.read('work', 60, 100)" :
			"select * from pgmq.read_with_poll('work', 60, 1000, 1, 1)"));
	}

	async read(text) {
		const client = new pg.Client(this.url);
		await client.connect();
		while (!this.closed) {
			const { rows } = await client.query({ name: "read", text });
			for (const { message } of rows) this.begin(message.n);
			if (rows.length > 0)
				await client.query({ name: "archive", text: "select count(*) from pgmq.archive('work', $1::bigint[])", values: [rows.map((r) => r.msg_id)] });
			for (const _ of rows) this.end();
			if (rows.length === 0 && text.includes("pgmq.read(")) break;
		}
		await client.end();
	}

	async unfinished() {
		const { rows } = await this.client.query("select count(*)::int as n from pgmq.q_work");
		return rows[0].n;
	}

	async close() {
		this.closed = true;
		await Promise.all(this.readers);
		await this.client.end();
	}
}

// The limit of the idle row:  commits.mjs COUNT  prints the median milliseconds of single inserts through one connection.
import pg from "pg";
import { now, pause } from "./peer.mjs";
import { percentile } from "./rows.mjs";

const client = new pg.Client(process.env.DATABASE_URL);
await client.connect();
const times = [];
for (let i = 0; i < Number(process.argv[2]) + 20; i++) {
	const at = now();
	await client.query({ name: "insert", text: "insert into plain (v) values ('x')" });
	times.push(now() - at);
	await pause(50);
}
await client.end();
console.log(JSON.stringify(percentile(times.slice(20), 50)));

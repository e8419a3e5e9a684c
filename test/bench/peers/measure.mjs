// One measurement in a process of its own:  measure.mjs PEER ROW COUNT  with the database's URL in DATABASE_URL prints what came out as
// JSON.  `measure.mjs PEER install` makes the peer's schema; `measure.mjs PEER describe` says what it can do.
import { rows } from "./rows.mjs";

const [name, row, count] = process.argv.slice(2);
const { default: Peer } = await import(`./${name}.mjs`);
const url = process.env.DATABASE_URL;

let said;
if (row === "describe") said = { kinds: Peer.kinds, script: Peer.script, durable: Peer.durable };
else if (row === "install") said = (await Peer.install(url)) ?? null;
else said = await rows[row](new Peer(url), Number(count));
process.stdout.write(`${JSON.stringify(said)}\n`, () => process.exit(0));

// What the systems under test have in common.  A module a system extends this class and says how that system is installed, sent
// work and made to do it; rows.mjs measures through it and knows none of them.  The kinds of work:
//
//   one     a job of one step                       fan     a job that starts children, waits for all of them and ends
//   five    a job of five steps, each memoized      timer   a job of one step that starts at a given time
//   items   a job that does one thing for each item of a list, where that is something else than children
//
// Handlers call begin(n) where the work of job n starts and end() where it is over, in the process that measures.

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Milliseconds since 1970 on the server's clock, to the microsecond. */
export const now = () => performance.timeOrigin + performance.now();

/** Waits until `probe` gives true, asking every `ms`. */
export async function until(what, probe, ms = 5, limit = 300_000) {
	const end = now() + limit;
	while (!(await probe())) {
		if (now() > end) throw new Error(`${what}: not within ${limit / 1000} s`);
		await pause(ms);
	}
}

/** 0 .. n-1 in lists of at most `size`. */
export function chunks(n, size = 1000) {
	const lists = [];
	for (let from = 0; from < n; from += size) lists.push(Array.from({ length: Math.min(size, n - from) }, (_, i) => from + i));
	return lists;
}

export class Peer {
	/** The kinds of work it can do. */
	static kinds = ["one", "timer"];
	/** A pgbench script that sends one job of kind `one`, if the system has a function for that. */
	static script;
	/** Whether steps are memoized: whether a job that has died goes on where it was. */
	static durable = false;

	/** Makes its schema in the empty database at `url`. */
	static async install(url) {}

	begun = new Map();
	ended = 0;

	constructor(url) {
		this.url = url;
	}

	begin(n) {
		this.begun.set(n, now());
	}

	end() {
		this.ended++;
	}

	/** Gets ready to send. */
	async open() {}

	/** Sends one job. */
	async send(kind, n) {}

	/** Sends n jobs, a thousand a call; those of kind `timer` are due at the instant `due`. */
	async sendMany(kind, n, due) {}

	/** Starts doing what is sent: `busy` when much is queued, otherwise as soon as possible. */
	async work({ busy }) {}

	/** How many jobs are not done yet, as the database knows it. */
	async unfinished() {
		return 0;
	}

	async close() {}

	/** Does the n jobs that are queued; milliseconds from when the first of them began. */
	async drain(kind, n) {
		await this.work({ busy: true });
		await until(`${n} jobs end`, () => this.ended >= n);
		await until(`no job is left`, async () => (await this.unfinished()) === 0);
		return now() - Math.min(...this.begun.values());
	}

	/** When the jobs 0 .. n-1 began. */
	async begins(n) {
		await until(`${n} jobs begin`, () => this.begun.size >= n);
		return Array.from({ length: n }, (_, i) => this.begun.get(i));
	}

	/** Does one job of kind `fan` or `items`; milliseconds from before it was sent until it has ended. */
	async fan(kind, children) {
		const ended = this.ended;
		const at = now();
		await this.send(kind, children);
		await until("the join", () => this.ended > ended, 1);
		return now() - at;
	}
}

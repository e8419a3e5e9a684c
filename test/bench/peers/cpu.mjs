// What a measurement has used of the machine: this process, and the server whose postmaster POSTMASTER names.
import { readFileSync, readdirSync } from "node:fs";

const TICK = 10_000; // microseconds; Linux tells programs hundredths of a second

/** A process' parent, and the microseconds that it and its children that have ended have used. */
function times(pid) {
	const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").pop().split(" ");
	const [user, system, reapedUser, reapedSystem] = fields.slice(11, 15).map((ticks) => Number(ticks) * TICK);
	return { parent: fields[1], own: user + system, reaped: reapedUser + reapedSystem };
}

/** The same of all processes whose parent is `parent`. */
function childrenOf(parent) {
	let total = 0;
	for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
		try {
			const child = times(pid);
			if (child.parent === parent) total += child.own + child.reaped;
		} catch {
			// it has ended meanwhile
		}
	}
	return total;
}

/** Microseconds of CPU so far. When a process of the server ends while they are added up, they are added up anew. */
export function cpu() {
	const postmaster = process.env.POSTMASTER;
	const { user, system } = process.cpuUsage();
	for (;;) {
		const { own, reaped } = times(postmaster);
		const total = user + system + own + reaped + childrenOf(postmaster);
		if (times(postmaster).reaped === reaped) return total;
	}
}

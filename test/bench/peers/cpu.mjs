// What a measurement has used of the machine: this process, and the server whose postmaster POSTMASTER names.
import { readFileSync, readdirSync } from "node:fs";

const TICK = 10_000; // microseconds; Linux tells programs hundredths of a second

/** A process' parent, and the microseconds it has used, without and with those of children that have ended. */
function times(pid) {
	const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").pop().split(" ");
	const [own, reaped] = [Number(fields[11]) + Number(fields[12]), Number(fields[13]) + Number(fields[14])];
	return { parent: fields[1], own: own * TICK, all: (own + reaped) * TICK };
}

/** Microseconds of CPU so far. */
export function cpu() {
	const postmaster = process.env.POSTMASTER;
	const { user, system } = process.cpuUsage();
	let total = user + system + times(postmaster).all;
	for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
		try {
			const { parent, all } = times(pid);
			if (parent === postmaster) total += all;
		} catch {
			// it has ended meanwhile, and its parent has its times
		}
	}
	return total;
}

// What is measured: a function a row of the table, each through peer.mjs's interface alone.
import { cpu } from "./cpu.mjs";
import { now, pause } from "./peer.mjs";

export const percentile = (values, p) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor((values.length * p) / 100))];

/** Runs `work` after the peer was opened, and closes it whatever happens. */
async function opened(peer, work) {
	await peer.open();
	try {
		return await work();
	} finally {
		await peer.close();
	}
}

/** n jobs in so many milliseconds: the jobs a second, and what each cost since the CPU's meter was at `before`, in microseconds. */
const rate = (n, ms, before) => ({ rate: n / (ms / 1000), cpu: (cpu() - before) / n });

/** How many jobs of a kind that were queued before are done in a second. */
const drain = (kind) => (peer, n) =>
	opened(peer, async () => {
		await peer.sendMany(kind, n);
		await pause(500);
		const before = cpu();
		return rate(n, await peer.drain(kind, n), before);
	});

/** Milliseconds until a job has started n children and all of them are done, the median of five. */
const fan = (kind) => (peer, n) =>
	opened(peer, async () => {
		await peer.work({ busy: false });
		await pause(1500);
		const times = [];
		for (let i = 0; i < 6; i++) {
			times.push(await peer.fan(kind, n));
			await pause(300);
		}
		return percentile(times.slice(1), 50);
	});

export const rows = {
	/** Jobs sent in a second by eight loops in so many seconds, for those that no SQL client can send to. */
	send: (peer, seconds) =>
		opened(peer, async () => {
			const before = cpu();
			const at = now();
			let sent = 0;
			await Promise.all(Array.from({ length: 8 }, async () => {
				while (now() < at + seconds * 1000) await peer.send("one", sent++);
			}));
			return rate(sent, now() - at, before);
		}),

	/** Jobs sent in a second, a thousand a call. */
	batch: (peer, n) =>
		opened(peer, async () => {
			await peer.sendMany("one", 1000);
			const before = cpu();
			const at = now();
			await peer.sendMany("one", n);
			return rate(n, now() - at, before);
		}),

	drain: drain("one"),
	five: drain("five"),
	http: drain("http"),

	/** Milliseconds from before a job is sent until its step starts, one at a time. */
	idle: (peer, n) =>
		opened(peer, async () => {
			await peer.work({ busy: false });
			await pause(1500);
			const warm = 20;
			const sent = [];
			for (let i = 0; i < n + warm; i++) {
				sent.push(now());
				await peer.send("one", i);
				await pause(50);
			}
			const late = (await peer.begins(n + warm)).map((at, i) => at - sent[i]).slice(warm);
			return { p50: percentile(late, 50), p99: percentile(late, 99) };
		}),

	fan: fan("fan"),
	items: fan("items"),

	/** Milliseconds that n steps start late that are all due at one instant. */
	timers: (peer, n) =>
		opened(peer, async () => {
			await peer.work({ busy: false });
			await pause(1000);
			const due = Math.round(now() + 5000);
			await peer.sendMany("timer", n, due);
			if (now() > due - 500) throw new Error(`sending ${n} timers took until they were due`);
			const late = (await peer.begins(n)).map((at) => at - due);
			if (Math.min(...late) < -1) throw new Error(`a timer began ${-Math.min(...late)} ms too early`);
			return { p50: percentile(late, 50), p99: percentile(late, 99) };
		}),
};

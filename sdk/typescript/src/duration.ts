// Durations and instants, as the server writes them: "30s", "1h30m", "2026-11-20T18:42:19.074Z".

/** A duration: `"500ms"`, `"30s"`, `"1h30m"`, `"1.5h"`, `"2d"`, `"1w"`, or milliseconds. */
export type Duration = string | number;

const units: Record<string, number> = { ns: 1e-3, us: 1, ms: 1e3, s: 1e6, m: 6e7, h: 3.6e9, d: 8.64e10, w: 6.048e11 };
const part = /(\d+(?:\.\d+)?)(ns|us|ms|[smhdw])/y;

/** The microseconds of a duration, or null when the text is none. */
export function microseconds(text: string): number | null {
	let total = 0;
	part.lastIndex = 0;
	while (part.lastIndex < text.length) {
		const match = part.exec(text);
		if (match === null) return null;
		total += Number(match[1]) * (units[match[2] as string] as number);
	}
	return text === "" ? null : Math.round(total);
}

/**
 * A duration as the server reads it; a number is milliseconds.
 *
 * @throws TypeError when it is none.
 */
export function durationText(duration: Duration): string {
	const text = typeof duration === "number" ? `${Math.round(duration)}ms` : duration;
	if (microseconds(text) === null) throw new TypeError(`"${duration}" is not a duration; write it like "30s", "10m" or "1h30m"`);
	return text;
}

/**
 * A time limit: a duration, or the instant at which it is over.
 *
 * @throws TypeError when it is neither.
 */
export function limitText(limit: Duration | Date): string {
	if (limit instanceof Date) return instantText(limit);
	if (typeof limit === "string" && /^\d{4}-/.test(limit)) return instantText(limit);
	return durationText(limit);
}

/**
 * An instant as the server reads it; a number is milliseconds since 1970.
 *
 * @throws TypeError when it is none.
 */
export function instantText(instant: Date | string | number): string {
	const date = new Date(instant);
	// Date takes the 29th of February of any year for the 1st of March; who writes that means something else.
	const day = typeof instant === "string" ? /^\d{4}-\d\d-\d\d/.exec(instant)?.[0] : undefined;
	const exists = day === undefined || new Date(`${day}T00:00:00Z`).toJSON()?.startsWith(day);
	if (!exists || Number.isNaN(date.getTime())) throw new TypeError(`"${String(instant)}" is not a time; give a Date or a text like "2026-11-20T18:42:19Z"`);
	return date.toISOString();
}

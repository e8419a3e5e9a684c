// Canonical JSON (RFC 8785): the text that a signature is about when a framework has parsed the body already.

/**
 * The canonical text of a value that JSON can hold.
 *
 * @example
 * canonical({ b: 1, a: [1.0, 1e21] }); // {"a":[1,1e+21],"b":1}
 */
export function canonical(value: unknown): string {
	if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
	if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
	const members = Object.entries(value).filter(([, member]) => member !== undefined);
	// The order of UTF-16 code units is that of JavaScript's own comparison of strings.
	members.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
	return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(",")}}`;
}

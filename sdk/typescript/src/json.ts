// What JSON can hold, as types and as values: everything that a run keeps has been through it.

/** A value that JSON can hold. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** An object that JSON can hold. */
export type JsonObject = { [key: string]: Json };

type Dropped = undefined | symbol | ((...args: never[]) => unknown);

/**
 * What `T` is after it has been written as JSON and read again: a `Date` is a string, a `Map` an empty object, a method is gone.
 * Results of steps have this type, because a later call of the function is handed them from the database.
 *
 * @example
 * type A = Jsonify<{ at: Date; n?: number; f(): void }>; // { at: string; n?: number }
 */
export type Jsonify<T> = unknown extends T
	? T
	: T extends { toJSON(): infer U }
		? Jsonify<U>
		: T extends string | number | boolean | null
			? T
			: T extends bigint
				? never
				: T extends undefined | void
					? null
					: T extends Dropped
						? null
						: T extends readonly unknown[]
							? { -readonly [I in keyof T]: Jsonify<T[I]> }
							: T extends ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>
								? Record<string, never>
								: T extends object
									? JsonifyObject<T>
									: never;

type Keeps<V> = unknown extends V ? true : [Exclude<V, Dropped>] extends [never] ? false : true;

type JsonifyObject<T> = {
	[K in keyof T as K extends symbol ? never : Keeps<T[K]> extends true ? K : never]: Jsonify<
		unknown extends T[K] ? T[K] : Exclude<T[K], Dropped>
	>;
};

// What a text of JSON has when there may be something in it that is not kept as it is; a closer look says whether.
const suspicious = /\d{16}|\\u(?:0000|d[89a-f])/;
const loneSurrogate = /\p{Surrogate}/u;

/** Why a value is not kept as it is, as the end of a sentence that begins with its name. */
function fault(value: unknown): string | undefined {
	if (typeof value === "bigint") return `is a bigint, which JSON has not; keep it as text: String(${value})`;
	// From 1e21 on JSON writes numbers with an exponent, and nobody takes them for exact.
	if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21) {
		return `is the integer ${value}, beyond 2^53, where numbers of JavaScript and of JSON are not exact any more; keep it as text`;
	}
	if (typeof value !== "string") return undefined;
	if (value.includes("\0")) return "is a text with the character U+0000, which PostgreSQL cannot hold";
	return loneSurrogate.test(value) ? "is a text with half a surrogate pair, which PostgreSQL cannot hold" : undefined;
}

/** Throws for what would be kept as something else, and says where it is. */
function refuse(value: unknown): void {
	const places = new Map<unknown, string>();
	JSON.stringify(value, function (this: unknown, key, member: unknown) {
		const holder = places.get(this);
		const place = holder === undefined ? "" : Array.isArray(this) ? `${holder}[${key}]` : `${holder}.${key}`.replace(/^\./, "");
		const wrong = fault(member) ?? (fault(key) === undefined ? undefined : `has a name that ${fault(key)}`);
		if (wrong !== undefined) throw new TypeError(`${place === "" ? "it" : place} ${wrong}`);
		if (typeof member === "object" && member !== null) places.set(member, place);
		return member;
	});
}

/**
 * The value as a text of JSON; `undefined` for what has none.
 *
 * @throws TypeError for what would not be kept as it is, and says where it stands: a circle, a `bigint`, an integer beyond 2^53, a text with
 * the character U+0000 or half a surrogate pair.
 */
export function jsonText(value: unknown): string | undefined {
	let text: string | undefined;
	try {
		text = JSON.stringify(value);
	} catch (error) {
		refuse(value);
		throw error;
	}
	if (text !== undefined && suspicious.test(text)) refuse(value);
	return text;
}

/**
 * The value as JSON keeps it; `undefined` becomes `null`.
 *
 * @throws TypeError as `jsonText` does.
 */
export function toJson(value: unknown): Json {
	const text = jsonText(value);
	return text === undefined ? null : parseJson(text);
}

/** Reads JSON. @throws SyntaxError */
export function parseJson(text: string): Json {
	return JSON.parse(text) as Json;
}

/** Whether a value is an object with members, and neither null nor a list. */
export function isObject(value: unknown): value is { [key: string]: unknown } {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

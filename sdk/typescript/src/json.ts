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

/**
 * The value as JSON keeps it; `undefined` becomes `null`.
 *
 * @throws TypeError for what JSON cannot hold: a circle, a `bigint`.
 */
export function toJson(value: unknown): Json {
	const text = JSON.stringify(value);
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

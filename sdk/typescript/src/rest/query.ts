// Builders of lists: what the API can filter, page and order, and nothing it cannot.

import { done, failed, type ApiError } from "./result.js";
import type { QueryValue, Transport } from "./transport.js";

/** A list: its rows, and the cursor of what follows, null on the last page. */
export type ListResult<Row> = { data: Row[]; error: null; nextCursor: string | null } | { data: null; error: ApiError; nextCursor: null };

/** What a route can be asked for. */
export interface Route {
	path: string;
	/** The column by which the rows come, and which way. */
	order: { column: string; ascending: boolean };
	/** The most rows of one answer. */
	page: number;
}

type Page<Row> = { data: Row[]; next_cursor: string | null };

/**
 * A list to be asked for. It is asked for when it is awaited.
 *
 * @example
 * const { data, error } = await client.runs.select("id", "status").eq("status", "failed").order("created_at", { ascending: false }).limit(20);
 */
export class Query<Row, Filters extends object, Shown = Row> implements PromiseLike<ListResult<Shown>> {
	readonly #query: { [name: string]: QueryValue };
	#columns: readonly string[] | undefined;
	#limit: number | undefined;
	#cursor: string | undefined;
	#fault: ApiError | undefined;

	/** @internal */
	constructor(
		private readonly transport: Transport,
		private readonly route: Route,
		filters: Partial<Filters> = {},
	) {
		this.#query = { ...(filters as { [name: string]: QueryValue }) };
	}

	/** Only these columns; all when none is named. */
	select<Column extends keyof Row & string = keyof Row & string>(...columns: Column[]): Query<Row, Filters, Pick<Row, Column>> {
		this.#columns = columns.length === 0 ? undefined : columns;
		return this as unknown as Query<Row, Filters, Pick<Row, Column>>;
	}

	/** Only rows of this value. What cannot be filtered by is no member of `Filters`. */
	eq<Name extends keyof Filters & string>(name: Name, value: NonNullable<Filters[Name]>): this {
		this.#query[name] = value as QueryValue;
		return this;
	}

	/** The order of the rows. The API knows one for each list; another one is an error. */
	order(column: string, { ascending = true }: { ascending?: boolean } = {}): this {
		const { order } = this.route;
		if (column !== order.column || ascending !== order.ascending) {
			const message = `${this.route.path} is listed by ${order.column}, ${order.ascending ? "ascending" : "descending"}, and in no other order`;
			this.#fault = failed("UNSUPPORTED", message).error;
		}
		return this;
	}

	/** So many rows at most, over as many pages as that takes. */
	limit(rows: number): this {
		if (!Number.isInteger(rows) || rows < 1) this.#fault = failed("UNSUPPORTED", `a limit is a whole number from 1 on, not ${rows}`).error;
		this.#limit = rows;
		return this;
	}

	/** What follows the page whose `nextCursor` this is. */
	after(cursor: string | null | undefined): this {
		this.#cursor = cursor ?? undefined;
		return this;
	}

	then<A = ListResult<Shown>, B = never>(
		fulfilled?: ((result: ListResult<Shown>) => A | PromiseLike<A>) | null,
		rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
	): Promise<A | B> {
		return this.#ask().then(fulfilled, rejected);
	}

	async #ask(): Promise<ListResult<Shown>> {
		if (this.#fault !== undefined) return { data: null, error: this.#fault, nextCursor: null };
		const rows: Row[] = [];
		let cursor = this.#cursor;
		for (;;) {
			const left = this.#limit === undefined ? undefined : this.#limit - rows.length;
			const limit = left === undefined ? undefined : Math.min(left, this.route.page);
			const answer = await this.transport.ask<Page<Row>>("GET", this.route.path, { query: { ...this.#query, limit, cursor } });
			if (answer.error !== null) return { ...answer, nextCursor: null };
			rows.push(...answer.data.data);
			cursor = answer.data.next_cursor ?? undefined;
			if (cursor === undefined || this.#limit === undefined || rows.length >= this.#limit) break;
		}
		return { ...done(rows.map((row) => this.#shown(row))), nextCursor: cursor ?? null };
	}

	#shown(row: Row): Shown {
		if (this.#columns === undefined) return row as unknown as Shown;
		const members = row as { [column: string]: unknown };
		return Object.fromEntries(this.#columns.map((column) => [column, members[column]])) as Shown;
	}
}

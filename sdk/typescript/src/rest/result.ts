// {data, error}: what every call of the client gives. Nothing is thrown.

import { isObject } from "../json.js";

/** Why a call has failed. */
export interface ApiError {
	/** The server's SQLSTATE, like `FF010`; `NETWORK`, `ABORTED`, `TIMEOUT`, `NOT_JSON` or `UNSUPPORTED` for what no server has said. */
	code: string;
	/** What is wrong, in a sentence. */
	message: string;
	/** The HTTP status; 0 when there was none. */
	status: number;
	hint?: string;
	/** By field. */
	errors?: { field?: string; detail?: string }[];
	cause?: unknown;
}

/** The data, or the error. */
export type Result<T> = { data: T; error: null } | { data: null; error: ApiError };

export const done = <T>(data: T): { data: T; error: null } => ({ data, error: null });

export const failed = (code: string, message: string, more: Partial<ApiError> = {}): { data: null; error: ApiError } => ({
	data: null,
	error: { code, message, status: 0, ...more },
});

/** An error from what the server has answered: a problem, or `{error}` of the routes that SDKs call. */
export function problem(status: number, body: unknown): { data: null; error: ApiError } {
	if (!isObject(body)) return failed(`HTTP_${status}`, `the server answered ${status}`, { status });
	const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);
	return failed(text(body.code) ?? `HTTP_${status}`, text(body.detail) ?? text(body.error) ?? text(body.title) ?? `the server answered ${status}`, {
		status,
		...(text(body.hint) === undefined ? {} : { hint: text(body.hint) }),
		...(Array.isArray(body.errors) ? { errors: body.errors as NonNullable<ApiError["errors"]> } : {}),
	});
}

/*
 * What a call's code finds around it, and how it is run. Evaluated once, before the zygote forks.
 *
 * Code may change every object it can reach; so what is used after it has begun is taken beforehand, and no method of an
 * object that code can change is called.
 */
(function (log, random, compile, settle) {
	'use strict';
	const AsyncFunction = (async () => {}).constructor;
	const stringify = JSON.stringify;
	const string = String;
	const apply = Reflect.apply;
	const slice = String.prototype.slice;
	const indexOf = String.prototype.indexOf;
	const ErrorClass = Error;
	const RETURNED = 1, THREW = 2, UNREADABLE = 3;

	const OPENING = '(async function () {';
	const CLOSING = '\n;return typeof result === "undefined" ? undefined : result;\n';

	/* Lines that a function made of text has before its body. */
	const OFFSET = 2;
	const MAX_LINE = 8000, MAX_NAME = 200, MAX_MESSAGE = 4000, MAX_STACK = 100000, MAX_FRAMES = 20;

	function show(value) {
		try {
			if (typeof value === 'string')
				return value;
			if (typeof value === 'bigint')
				return string(value) + 'n';
			if (typeof value !== 'object' || value === null)
				return string(value);
			if (value instanceof ErrorClass)
				return string(value);
			return stringify(value) ?? string(value);
		} catch {
			return 'something that cannot be shown';
		}
	}

	function line(...values) {
		let text = '';
		for (let i = 0; i < values.length; i++)
			text += (i === 0 ? '' : ' ') + show(values[i]);
		return text.length > MAX_LINE ? apply(slice, text, [0, MAX_LINE]) + '…' : text;
	}

	function member(value, key, longest) {
		try {
			const text = value[key];
			return typeof text === 'string' ? apply(slice, text, [0, longest]) : undefined;
		} catch {
			return undefined;
		}
	}

	/* One frame of the engine's, "name@code:line:column", as "at name line line:column"; '' when it is not of the code. */
	function place(frame) {
		const at = apply(indexOf, frame, ['@code:']);
		if (at < 0)
			return '';
		const name = apply(slice, frame, [0, at]), where = apply(slice, frame, [at + 6]);
		const colon = apply(indexOf, where, [':']), line = apply(slice, where, [0, colon]);
		const column = apply(slice, where, [colon + 1]) - (line === '1' ? OPENING.length : 0);
		if (!(column > 0))
			return '';
		return 'at ' + (name === '' ? '' : name + ' ') + 'line ' + line + ':' + column;
	}

	function places(stack) {
		let found = '', count = 0, from = 0;
		while (from < stack.length && count < MAX_FRAMES) {
			let to = apply(indexOf, stack, ['\n', from]);
			if (to < 0)
				to = stack.length;
			const text = place(apply(slice, stack, [from, to]));
			if (text !== '')
				found += (count++ ? '\n' : '') + text;
			from = to + 1;
		}
		return found;
	}

	function lineOf(places) {
		const at = apply(indexOf, places, ['line ']);
		return at < 0 ? undefined : +apply(slice, places, [at + 5, apply(indexOf, places, [':', at])]);
	}

	/* What is known of an error, as texts, and its line in the code as a number. */
	function describe(error) {
		const about = { __proto__: null };
		if ((typeof error !== 'object' && typeof error !== 'function') || error === null) {
			about.name = 'Error';
			about.message = apply(slice, show(error), [0, MAX_MESSAGE]);
			return about;
		}
		about.name = member(error, 'name', MAX_NAME) ?? 'Error';
		about.message = member(error, 'message', MAX_MESSAGE) ?? apply(slice, show(error), [0, MAX_MESSAGE]);
		const stack = places(member(error, 'stack', MAX_STACK) ?? '');
		if (stack !== '') {
			about.stack = stack;
			about.line = lineOf(stack);
		}
		return about;
	}

	const console = {};
	for (const level of ['log', 'info', 'warn', 'error', 'debug', 'trace'])
		console[level] = (...values) => { log(level, line(...values)); };
	globalThis.console = console;
	globalThis.result = undefined;
	Object.defineProperty(Math, 'random', { value: { random() { return random(); } }.random });
	delete globalThis.WebAssembly;

	/* The code alone has to be the body of a function: then it is, too, where it is put between OPENING and CLOSING, which
	 * gives its lines the numbers they have. */
	function read(code) {
		try {
			new AsyncFunction(code + CLOSING);
		} catch (error) {
			const about = describe(error);
			about.line = error.line - OFFSET;
			settle(UNREADABLE, about);
			return undefined;
		}
		return compile(OPENING + code + CLOSING + '})');
	}

	/* Says by settle(how, value) how the code ended, at once when it is known. */
	return async function run(code) {
		const main = read(code);
		try {
			settle(RETURNED, await main());
		} catch (error) {
			settle(THREW, describe(error));
		}
	};
})

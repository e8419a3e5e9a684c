/*
 * What a call's code finds around it, and how it is run. Evaluated once, before the zygote forks.
 *
 * Code may change every object it can reach; so what is used after it has begun is taken beforehand, and no method of an
 * object that code can change is called.
 */
(function (log, random, settle) {
	'use strict';
	const AsyncFunction = (async () => {}).constructor;
	const stringify = JSON.stringify;
	const string = String;
	const apply = Reflect.apply;
	const slice = String.prototype.slice;
	const indexOf = String.prototype.indexOf;
	const classOf = Object.prototype.toString;
	const isArray = Array.isArray;
	const ErrorClass = Error;
	const RETURNED = 1, THREW = 2, UNREADABLE = 3;

	/* Lines that JavaScriptCore puts before the body of a function made of text. */
	const OFFSET = 2;
	const MAX_NAME = 200, MAX_MESSAGE = 4000, MAX_FRAMES = 20;

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
			return apply(classOf, value, []);
		}
	}

	function line(...values) {
		let text = '';
		for (let i = 0; i < values.length; i++)
			text += (i === 0 ? '' : ' ') + show(values[i]);
		return text;
	}

	function member(value, key, longest) {
		try {
			const text = value[key];
			return typeof text === 'string' ? apply(slice, text, [0, longest]) : undefined;
		} catch {
			return undefined;
		}
	}

	/* The places in the code, as "name:line:column", of the engine's "name@code:line:column". */
	function places(stack) {
		let found = '', frame = '', count = 0;
		for (let i = 0; i <= stack.length && count < MAX_FRAMES; i++) {
			if (i < stack.length && stack[i] !== '\n') {
				frame += stack[i];
				continue;
			}
			const at = apply(indexOf, frame, ['@code:']);
			if (at >= 0) {
				const name = apply(slice, frame, [0, at]), place = apply(slice, frame, [at + 6]);
				const colon = apply(indexOf, place, [':']);
				const number = +apply(slice, place, [0, colon]) - OFFSET;
				if (number > 0) {
					found += (count++ ? '\n' : '') + 'at ' + (name === '' || name === 'anonymous' ? '' : name + ' ') +
						'line ' + number + apply(slice, place, [colon]);
				}
			}
			frame = '';
		}
		return found;
	}

	function describe(error) {
		const about = { __proto__: null };
		if ((typeof error !== 'object' && typeof error !== 'function') || error === null) {
			about.name = 'Error';
			about.message = apply(slice, show(error), [0, MAX_MESSAGE]);
			return about;
		}
		about.name = member(error, 'name', MAX_NAME) ?? 'Error';
		about.message = member(error, 'message', MAX_MESSAGE) ?? apply(slice, show(error), [0, MAX_MESSAGE]);
		about.stack = places(member(error, 'stack', 100000) ?? '');
		try {
			about.line = error.line - OFFSET;
		} catch {
			/* a getter or proxy that throws: then the line is not known */
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

	/* Says by settle(how, value) how the code ended, at once when it is known. */
	return async function run(code) {
		let main;
		try {
			main = new AsyncFunction(code + '\n;return typeof result === "undefined" ? undefined : result;\n//# sourceURL=code');
		} catch (error) {
			settle(UNREADABLE, describe(error));
			return;
		}
		try {
			settle(RETURNED, await main());
		} catch (error) {
			settle(THREW, describe(error));
		}
	};
})

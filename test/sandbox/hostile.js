//// an endless loop | error TimeoutError
for (;;);
//// an endless loop that catches all it can | error TimeoutError
for (;;) try { null.x } catch { continue } finally { continue }
//// an endless loop in a getter of the result | error TimeoutError
return { get x() { for (;;); } }
//// an endless loop in toJSON | error TimeoutError
return { toJSON() { for (;;); } }
//// an endless generator | error TimeoutError
function* all() { for (;;) yield 1 }
return [...(function* () { for (const x of all()) if (x === 2) yield x })()]
//// errors that are thrown and caught are no memory bomb | result {"result": 300000}
let n = 0;
for (let i = 0; i < 3e5; i++) try { null.x } catch { n++ }
return n;
//// promises that beget promises | error TimeoutError
const next = () => Promise.resolve().then(next);
await next();
//// an await in an endless loop | error TimeoutError
for (;;) await 0;
//// jobs that are left running after the return do not count | result {"result": 1}
(async () => { for (;;) await 0 })();
return 1;
//// a promise nobody settles | error PromiseError
await new Promise(() => {});
//// a result that is a promise nobody settles | error PromiseError
return new Promise(() => {});
//// a thenable that never calls back | error PromiseError
return { then() {} };
//// a thenable that calls back twice | result {"result": 1}
return { then(done) { done(1); done(2) } };
//// a thenable that throws | error Error: inside
return { then() { throw new Error('inside') } };
//// a thenable that gives itself, forever | error TimeoutError
const me = { then(done) { done(me) } };
return me;
//// a promise that is refused with nothing | error Error: undefined
await Promise.reject();
//// waiting for ever on shared memory | error
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
//// catastrophic backtracking | error TimeoutError
return /(a+)+$/.test('a'.repeat(60) + 'b');
//// catastrophic backtracking with back references | error TimeoutError
return /^(?:(a+)\1*)*$/.test('a'.repeat(60) + 'b');
//// a pattern nested too deeply | error
return new RegExp('('.repeat(1e6) + ')'.repeat(1e6)).test('a');
//// a pattern with a huge count | error
return new RegExp('(?:a{99999}){99999}').test('a'.repeat(1e6));
//// a list that grows for ever | error MemoryError
const a = [];
for (;;) a.push({ n: a.length });
//// a string that doubles for ever | error RangeError
let s = 'x';
for (;;) s += s;
//// many large strings | error MemoryError
const s = [];
for (;;) s.push(('x' + s.length).repeat(1e6) + 'y');
//// typed arrays for ever | error
const b = [];
for (;;) b.push(new Uint8Array(1e6).fill(1));
//// one buffer of a terabyte | error RangeError
return new ArrayBuffer(2 ** 40).byteLength;
//// one array beyond memory | error
return new Array(2 ** 28).fill(0).length;
//// a map that grows for ever | error
const m = new Map();
for (let i = 0; ; i++) m.set(i, { i });
//// a set of strings that grows for ever | error
const m = new Set();
for (let i = 0; ; i++) m.add('k' + i);
//// one object with members for ever | error MemoryError
const o = {};
for (let i = 0; ; i++) o['k' + i] = i;
//// objects of ever new shapes | error MemoryError
const o = [];
for (let i = 0; ; i++) {
	const x = {};
	for (let k = 0; k < 50; k++) x['k' + i + '_' + k] = 1;
	o.push(x);
}
//// symbols for ever | error
const o = {};
for (;;) o[Symbol()] = 1;
//// closures for ever | error
const f = [];
for (let i = 0; ; i++) f.push(() => i);
//// functions made of text for ever | error
const f = [];
for (let i = 0; ; i++) f.push(new Function('return ' + i));
//// a number beyond all bounds | error
let n = 2n;
for (;;) n = n * n;
//// garbage is no memory bomb | result {"result": 3000000}
let last;
for (let i = 0; i <= 3e6; i++) last = { i, s: 'x' + i };
return last.i;
//// many large strings that are let go | result {"result": 300}
let count = 0;
for (let i = 0; i < 300; i++) if (('x' + i).repeat(1e6).length > 0) count++;
return count;
//// recursion without end | error RangeError: call stack
function f() { return f() + 1 }
return f();
//// recursion by getters | error RangeError: call stack
const o = { get x() { return this.x } };
return o.x;
//// recursion by proxies | error RangeError
const p = new Proxy({}, { get(target, key, self) { return self[key] } });
return p.x;
//// recursion by toString | error RangeError
const o = { toString() { return '' + this } };
return '' + o;
//// recursion that catches itself | result {"result": "done"}
function f(n) { try { return f(n + 1) } catch { return 'done' } }
return f(0);
//// a list too deep to be written | error
let a = [];
for (let i = 0; i < 1e6; i++) a = [a];
return a;
//// JSON too deep to be read | error
return JSON.parse('['.repeat(1e7));
//// a program nested too deeply | error
return eval('('.repeat(1e5) + ')'.repeat(1e5));
//// sorting with a comparison that lies | result {"result": 1000}
return Array.from({ length: 1000 }, (_, i) => i).sort(() => Math.random() - 0.5).length;
//// a result that refers to itself | error ResultError: cyclic
const a = {};
a.a = a;
return a;
//// a result with a BigInt | error ResultError: BigInt
return { n: 10n };
//// a result that is nothing | result {"result": null}
return undefined;
//// a result that is a function | result {"result": null}
return () => 1;
//// a result that is a symbol | result {"result": null}
return Symbol('x');
//// a result that is no number | result {"result": null}
return NaN;
//// a result of maps, sets and patterns | result {"m": {}, "s": {}, "r": {}}
return { m: new Map([[1, 2]]), s: new Set([1]), r: /x/ };
//// a result with holes and functions | result {"a": [null, 1, null]}
return { a: [, 1, () => 1], f() {} };
//// a result that is a date | result {"result": "1970-01-01T00:00:00.000Z"}
return new Date(0);
//// a getter that throws | error ResultError: from inside
return { get x() { throw new Error('from inside') } };
//// toJSON that throws | error ResultError: no
return { toJSON() { throw 'no' } };
//// toJSON that gives something else | result {"other": 1}
return { toJSON() { return { other: 1 } } };
//// toJSON on all objects | result {"result": "mine"}
Object.prototype.toJSON = () => 'mine';
return { x: 1 };
//// a proxy that throws whatever is done | error
return new Proxy({}, { get() { throw new Error('no') }, ownKeys() { throw new Error('no') }, getPrototypeOf() { throw 1 } });
//// a proxy of a result that lists a million members | error
return new Proxy({}, { ownKeys: () => Array.from({ length: 1e6 }, (_, i) => 'k' + i),
	getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true, value: 1 }), get: () => 'x'.repeat(10) });
//// a revoked proxy | error
const { proxy, revoke } = Proxy.revocable({}, {});
revoke();
return proxy;
//// half of a surrogate pair | error ResultError: surrogate
return '\ud800';
//// the other half, in a key | error ResultError: surrogate
return { 'a\udc00b': 1 };
//// a whole surrogate pair | result {"result": "😀"}
return '\ud83d\ude00';
//// a backslash before the letters of half a pair | result {"result": "\\ud800 \\u0000"}
return '\\ud800 \\u0000';
//// U+0000 | error ResultError: U+0000
return 'a\0b';
//// a result of ten megabytes | error ResultError: 4194304
return 'x'.repeat(1e7);
//// a result that is too large only as UTF-8 | error ResultError: 4194304
return '€'.repeat(2e6);
//// a result of escapes that is too large only as JSON | error ResultError: 4194304
return '\x01'.repeat(1e6);
//// a result just as large as it may be | result-length 4194304
return 'x'.repeat(4194304 - 2);
//// a console beyond its cap | console 1000
for (let i = 0; i < 1e5; i++) console.log(i);
//// a console of large lines | console 8
for (let i = 0; i < 100; i++) console.log('x'.repeat(1e6));
//// a console that is given what cannot be shown | console 1
console.log({ get a() { throw 1 } }, new Proxy({}, { get() { throw 1 } }), Object.create(null), Symbol('x'), 1n, '\ud800\0');
//// a console that has been overwritten | result {"result": 1}
console.log = 5;
globalThis.console = null;
return 1;
//// throwing null | error Error: null
throw null;
//// throwing a proxy that throws | error Error: cannot be shown
throw new Proxy({}, { get() { throw 1 } });
//// an error whose members are getters that throw | error Error
const e = new Error('x');
for (const key of ['name', 'message', 'stack', 'line']) Object.defineProperty(e, key, { get() { throw e } });
throw e;
//// an error with a name and a message of megabytes | error
const e = new Error('y'.repeat(1e6));
e.name = 'x'.repeat(1e6);
e.stack = 'f@code:1:1\n'.repeat(1e5);
throw e;
//// an error whose texts are no valid UTF-16 | error Error: a
const e = new Error('a\ud800\0');
throw e;
//// an error whose name is no text | error Error
const e = new Error('x');
e.name = { toString() { for (;;); } };
throw e;
//// code that closes the function it is in | error SyntaxError
return 1 }); (async function () {
//// code that ends in a comment | result {"result": 1}
return 1 // }
//// code that ends inside a comment | error SyntaxError
return 1 /*
//// code that is no JavaScript | error SyntaxError
print "hello"
//// an import | error SyntaxError
import fs from 'fs';
//// an import while it runs | error
await import('fs');
//// no module, process or file is there | result {"result": ["undefined", "undefined", "undefined", "undefined", "undefined", "undefined"]}
return [typeof require, typeof process, typeof Deno, typeof fetch, typeof XMLHttpRequest, typeof load];
//// nothing of the engine's own is there | result {"result": []}
return ['$vm', 'gc', 'print', 'readFile', 'run', 'quit', 'WebAssembly', 'SharedArrayBuffer', 'setTimeout', 'Loader'].filter(name => name in globalThis);
//// promises that have been overwritten | error Error: mine
Promise.prototype.then = () => { throw new Error('mine') };
Promise.prototype.constructor = null;
Promise.resolve = null;
return await (async () => 3)();
//// everything that has been overwritten | result {"a": [1, 2]}
const keys = Reflect.ownKeys;
for (const what of [Object, Array, String, Function, Promise, JSON, Reflect, Math, Error])
	for (const key of keys(what))
		try { what[key] = () => { throw new Error('mine') } } catch {}
for (const what of [String.prototype, Function.prototype, Array.prototype])
	for (const key of ['slice', 'indexOf', 'call', 'apply', 'toString', 'join', 'push'])
		what[key] = () => { throw new Error('mine') };
globalThis.Promise = globalThis.Object = globalThis.JSON = null;
return { a: [1, 2] };
//// members that all objects inherit | result {"result": 1}
Object.prototype.error = { name: 'mine' };
Object.prototype.then = undefined;
Object.defineProperty(Object.prototype, 'code', { get() { throw 1 } });
return 1;
//// an error's members that all objects inherit | error TypeError: bad
Object.prototype.stack = 'mine';
Object.prototype.line = 99;
throw new TypeError('bad');
//// a setter on all objects | result {"result": 1}
for (const key of ['name', 'message', 'stack', 'line', 'level'])
	Object.defineProperty(Object.prototype, key, { set() { throw new Error('mine') }, configurable: true });
return 1;
//// the global object in pieces | result {"result": 1}
try { Object.setPrototypeOf(globalThis, null) } catch {}
for (const key of Object.getOwnPropertyNames(globalThis)) try { delete globalThis[key] } catch {}
return 1;
//// the frozen global object | result {"result": 1}
Object.freeze(globalThis);
Object.freeze(Object.prototype);
return 1;
//// a context with a prototype among its keys | result {"polluted": false}
const copy = Object.assign({}, JSON.parse('{"__proto__": {"polluted": true}}'));
return { polluted: ({}).polluted === true };
//// the functions of the sandbox itself | result {"result": "undefined"}
return typeof settle;
//// the arguments of the function around it | result {"result": 0}
return arguments.length;
//// result as a constant, a function and a global | result {"result": 7}
const result = 7;
//// result that nobody declared | result {"x": 1}
result = { x: 1 };
//// result in strict code | result {"result": 5}
'use strict';
result = 5;
//// input as a name of one's own | result {"result": 2}
const input = 1, context = 1;
return input + context;
//// dates are of this day and in UTC | result {"result": [true, "UTC", 0]}
return [Math.abs(Date.now() - input.now) < 60000, Intl.DateTimeFormat().resolvedOptions().timeZone, new Date().getTimezoneOffset()];
//// random numbers are between 0 and 1 | result {"result": true}
const all = Array.from({ length: 1e4 }, Math.random);
return all.every(x => x >= 0 && x < 1) && new Set(all).size > 9990 && Math.abs(all.reduce((a, b) => a + b) / 1e4 - 0.5) < 0.05;
//// modern JavaScript | result {"result": [1, null, "8", 3, "b", 3, [3, 1], "x"]}
class A { #x = 1; static y = 3; get x() { return this.#x } }
const { a, ...rest } = { a: 1, b: 2 };
label: for (const x of [1, 2]) { if (x) continue label }
return [new A().x, ({})?.no?.such ?? null, String(2n ** 3n), A.y, /(?<y>b)/.exec('abc').groups.y, [1, [2, 3]].flat().at(-1),
	[1, 3].toReversed(), Object.groupBy(['x'], v => v).x[0]];

// The package as users get it: packed, installed into an empty project, loaded both ways, and its types read. And what the types promise.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { version } from "flowforge";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const modules = dirname(dirname(createRequire(import.meta.url).resolve("typescript/package.json")));
const compile = (...options) => spawnSync(process.execPath, [join(modules, "typescript", "bin", "tsc"), ...options], { encoding: "utf8" });

describe("the types", () => {
	it("promise what test/types says", () => {
		const { status, stdout } = compile("-p", join(root, "test", "types"));
		assert.equal(status, 0, stdout);
	});

	it("say nothing is any, and say what each public name is for", () => {
		for (const file of readdirSync(join(root, "src"), { recursive: true }).filter((name) => name.endsWith(".ts"))) {
			const text = readFileSync(join(root, "src", file), "utf8");
			const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*|`[^`]*`|"[^"\n]*"/g, "");
			assert.doesNotMatch(code, /[:<|&,(]\s*any\b|\bas any\b/, file);
			assert.match(text, /^\/\/ |^\/\*\* /, `${file} says what it is`);
		}
	});
});

describe("the package", () => {
	let project;
	before(() => {
		project = mkdtempSync(join(tmpdir(), "flowforge-package-"));
		const npm = (cwd, ...args) => execFileSync("npm", [...args, "--loglevel=error"], { cwd, encoding: "utf8" });
		const packed = npm(root, "pack", "--ignore-scripts", "--json", "--pack-destination", project);
		const [{ filename, files }] = JSON.parse(packed);
		assert.ok(files.every(({ path }) => /^(dist\/|README\.md$|package\.json$)/.test(path)), "nothing but what is built");
		writeFileSync(join(project, "package.json"), '{"name": "empty", "private": true}');
		npm(project, "install", "--offline", "--no-audit", "--no-fund", join(project, filename));
	});
	after(() => rmSync(project, { recursive: true, force: true }));

	const node = (file, text) => {
		writeFileSync(join(project, file), text);
		return execFileSync(process.execPath, [file], { cwd: project, encoding: "utf8" }).trim();
	};
	const parts = ["", "/node", "/express", "/fastify", "/next", "/fetch", "/testing"];

	it("needs nothing else", () => {
		assert.deepEqual(readdirSync(join(project, "node_modules")).filter((name) => !name.startsWith(".")), ["flowforge"]);
		assert.equal(version, JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version);
	});

	it("is loaded as ES modules and by require, every part of it", () => {
		const names = parts.map((part) => `flowforge${part}`);
		const imported = node("a.mjs", `for (const name of ${JSON.stringify(names)}) console.log(Object.keys(await import(name)).sort().join());`);
		const required = node("a.cjs", `for (const name of ${JSON.stringify(names)}) console.log(Object.keys(require(name)).sort().join());`);
		assert.equal(required, imported);
		assert.match(imported, /FlowForge,.*createClient/);
	});

	it("knows the errors of its other half", () => {
		const text = `
			const { NonRetryableError } = require("flowforge");
			import("flowforge").then(async ({ FlowForge }) => {
				const { serve } = await import("flowforge/fetch");
				const app = new FlowForge({ id: "a" });
				app.createFunction({ id: "f" }, () => { throw new NonRetryableError("no"); });
				const body = JSON.stringify({ ctx: { run_id: "r" }, event: { name: "e", data: {} }, steps: {}, events: [] });
				const answer = await serve(app)(new Request("http://x/?fnId=a-f&stepId=step", { method: "POST", body }));
				console.log(answer.status, answer.headers.get("x-inngest-no-retry"));
			});`;
		assert.equal(node("b.cjs", text), "400 true");
	});

	it("has types for both ways", () => {
		const text = 'import { FlowForge, type Result } from "flowforge";\nimport { serve } from "flowforge/node";\nconst f: (a: never, b: never) => Promise<void> = serve(new FlowForge({ id: "a" }));\nexport const r: Result<1> = { data: 1, error: null };\nvoid f;\n';
		mkdirSync(join(project, "node_modules", "@types"), { recursive: true });
		for (const name of ["@types/node", "undici-types"]) symlinkSync(join(modules, name), join(project, "node_modules", name));
		for (const name of ["c.mts", "c.cts"]) writeFileSync(join(project, name), text);
		const compilerOptions = { noEmit: true, strict: true, module: "nodenext", target: "es2022", types: ["node"] };
		writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["c.mts", "c.cts"] }));
		const { status, stdout } = compile("-p", project);
		assert.equal(status, 0, stdout);
	});
});

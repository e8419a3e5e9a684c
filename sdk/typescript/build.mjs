// Compiles src twice: dist/esm for import, dist/cjs for require. The types of each stand beside it.

import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
const compile = (...options) => execFileSync(process.execPath, [compiler, "-p", here, ...options], { stdio: "inherit" });

rmSync(join(here, "dist"), { recursive: true, force: true });
compile();
compile("--module", "commonjs", "--moduleResolution", "bundler", "--outDir", "dist/cjs");
mkdirSync(join(here, "dist", "cjs"), { recursive: true });
writeFileSync(join(here, "dist", "cjs", "package.json"), '{"type": "commonjs"}\n');

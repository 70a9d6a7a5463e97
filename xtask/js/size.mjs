// Prints `name raw gzip brotli` for the wasm and every script that a page loads when it imports the package.

import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const pkg = resolve(import.meta.dirname, "../../pkg");

/** The entry that a browser takes, by the package's own conditions; wasm-bindgen's glue where there is no package yet. */
function browserEntry() {
  const manifest = join(pkg, "package.json");
  if (!existsSync(manifest)) return join(pkg, "wasm/edgewise.js");
  let target = JSON.parse(readFileSync(manifest, "utf8")).exports["."];
  while (typeof target === "object") {
    const condition = Object.keys(target).find((name) => ["browser", "import", "default"].includes(name));
    if (!condition) throw new Error("pkg/package.json has no export for browsers");
    target = target[condition];
  }
  return join(pkg, target);
}

/** A script and what it imports statically; `import()` is what a page loads later, or never. */
function scripts(entry, seen = new Set()) {
  if (seen.has(entry)) return seen;
  seen.add(entry);
  const code = readFileSync(entry, "utf8").replace(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, "");
  for (const [, specifier] of code.matchAll(/\b(?:from|import)\s*["'](\.[^"']+)["']/g)) {
    scripts(join(dirname(entry), specifier), seen);
  }
  return seen;
}

function print(path) {
  const bytes = readFileSync(path);
  const gzip = gzipSync(bytes, { level: 9 }).length;
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  console.log(relative(pkg, path), bytes.length, gzip, brotliCompressSync(bytes, { params }).length);
}

for (const path of scripts(browserEntry())) print(path);
print(join(pkg, "wasm/edgewise_bg.wasm"));
print(join(pkg, "wasm/edgewise_parts.js"));
print(join(pkg, "wasm/edgewise_parts_bg.wasm"));

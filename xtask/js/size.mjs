// Prints `name raw gzip brotli` for the wasm, the script of an app as a bundler makes it, and every script that a page loads
// when it imports the package without one.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
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
  measure(relative(pkg, path), readFileSync(path));
}

function measure(name, bytes) {
  const gzip = gzipSync(bytes, { level: 9 }).length;
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  console.log(name, bytes.length, gzip, brotliCompressSync(bytes, { params }).length);
}

/** An app that runs an agent, and nothing else of the package, bundled as a page loads it first: without what comes by `import()`. */
function bundle() {
  const esbuild = createRequire(join(pkg, "../tests/package.json"))("esbuild");
  const app = `import { init, Agent } from ${JSON.stringify(browserEntry())};
    await init();
    for await (const event of new Agent(options).run(prompt)) show(event);`;
  const { outputFiles } = esbuild.buildSync({
    stdin: { contents: app, resolveDir: pkg },
    outdir: "/app", bundle: true, splitting: true, minify: true, write: false,
    format: "esm", target: "es2022", legalComments: "none", logLevel: "warning",
  });
  const loaded = new Set();
  const load = (file) => {
    if (loaded.has(file)) return;
    loaded.add(file);
    for (const [, name] of file.text.matchAll(/\b(?:from|import)\s*["']\.\/([^"']+)["']/g)) load(outputFiles.find(({ path }) => path.endsWith(name)));
  };
  load(outputFiles.find(({ path }) => path.endsWith("stdin.js")));
  return Buffer.concat([...loaded].map(({ contents }) => contents));
}

measure("app.js", bundle());
for (const path of scripts(browserEntry())) print(path);
print(join(pkg, "wasm/edgewise_bg.wasm"));
print(join(pkg, "wasm/edgewise_rest.wasm"));
print(join(pkg, "wasm/edgewise_parts.js"));
print(join(pkg, "wasm/edgewise_parts_bg.wasm"));

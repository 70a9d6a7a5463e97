// What is in the package, and whether its manifest leads to it.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

import { exec, manifest, project, root } from "./lib.mjs";

const { path, contents } = await project();

test("the package holds what it needs and nothing else", () => {
  const wanted = [
    "LICENSE-APACHE", "LICENSE-MIT", "README.md", "agent.js", "authorize.js", "browser.js", "client.js", "core.js", "embeddings.bin", "embeddings.md", "error.js", "host.js", "index.d.ts", "inline.js", "later.js", "models.js",
    "node.js", "options.js", "otlp.d.ts", "otlp.js", "package.json", "page.d.ts", "page.js", "rest.js", "run.js", "secrets.js", "service-worker.js", "shell.js", "storage.js", "store.js", "transport.js", "transports.js", "wasm.d.ts", "wasm/edgewise.js", "wasm/edgewise_bg.wasm",
    "wasm/edgewise_parts.js", "wasm/edgewise_parts_bg.wasm", "wasm/edgewise_rest.wasm", "wasm/inline-parts.js", "wasm/inline-rest.js", "wasm/inline.js", "workerd.js",
  ];
  assert.deepEqual(contents.toSorted(), wanted);
});

test("publint has nothing to say", async () => {
  const { messages } = await publint({ pkgDir: join(path, "node_modules/edgewise"), strict: true });
  const pkg = await manifest(path);
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg)), []);
});

test("package, crate and script are of one version", async () => {
  const { version } = await manifest(path);
  const cargo = await readFile(join(root, "Cargo.toml"), "utf8");
  assert.equal(/^version = "(.+)"$/m.exec(cargo)[1], version);
  const printed = await exec(process.execPath, ["-e", 'import("edgewise").then((m) => console.log(m.version))'], { cwd: path });
  assert.equal(printed.trim(), version);
});

test("nothing depends on anything", async () => {
  const pkg = await manifest(path);
  assert.deepEqual([pkg.dependencies, pkg.peerDependencies, pkg.scripts], [undefined, undefined, undefined]);
});

test("every module may be evaluated where nothing may happen at module scope", async () => {
  // Workers forbid timers, randomness and requests there; the wasm itself is compiled later.
  const code = `
    for (const name of ["setTimeout", "fetch", "queueMicrotask"]) globalThis[name] = () => { throw new Error(name); };
    crypto.getRandomValues = () => { throw new Error("getRandomValues"); };
    Math.random = Date.now = () => { throw new Error("Math.random or Date.now"); };
    WebAssembly.Instance = function () { throw new Error("WebAssembly.Instance"); };
    await import("edgewise"); await import("edgewise/inline"); await import("edgewise/service-worker");`;
  await exec(process.execPath, ["--input-type=module", "-e", code], { cwd: path });
});

test("the codes of the types are those of the core", async () => {
  const rust = await readFile(join(root, "src/error.rs"), "utf8");
  const types = await readFile(join(path, "node_modules/edgewise/index.d.ts"), "utf8");
  const ours = [...rust.matchAll(/^ {12}Code::\w+ => "(\w+)",$/gm)].map(([, code]) => code);
  const union = /export type Code =([^;]+);/.exec(types)[1];
  const theirs = [...union.matchAll(/"(\w+)"/g)].map(([, code]) => code);
  assert.ok(ours.length >= 14);
  assert.deepEqual(theirs, ours);
});

// The installed package in a page, by hand and without any tool, and in a Web Worker of the page.

import assert from "node:assert/strict";
import { test } from "node:test";

import { assertScenario, browse, manifest, project, serve } from "./lib.mjs";

const page = (script, head = "") => `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">${head}<script type="module">${script}</script>`;

const files = {
  "map.html": page(
    'import * as edgewise from "edgewise"; import { scenario } from "./scenario.mjs"; globalThis.outcome = scenario(edgewise);',
    '<script type="importmap">{ "imports": { "edgewise": "./node_modules/edgewise/browser.js" } }</script>',
  ),
  "path.html": page(
    'import * as edgewise from "./node_modules/edgewise/browser.js"; import { scenario } from "./scenario.mjs"; globalThis.outcome = scenario(edgewise);',
  ),
  "worker.html": page(
    `const worker = new Worker("./worker.js", { type: "module" });
     globalThis.outcome = new Promise((resolve, reject) => { worker.onmessage = (event) => resolve(event.data); worker.onerror = (event) => reject(new Error(event.message)); });`,
  ),
  "worker.js":
    'import * as edgewise from "./node_modules/edgewise/browser.js"; import { scenario } from "./scenario.mjs"; postMessage(await scenario(edgewise));',
  "late.html": page(
    `import { Agent, EdgewiseError, init } from "./node_modules/edgewise/browser.js";
     const early = await Promise.resolve().then(() => new Agent({ model: { provider: "offline" } })).catch((error) => error);
     const failed = await init("./nothing.wasm").catch((error) => error);
     const noWasm = await init("./late.html").catch((error) => error);
     const [one, two] = [init(), init()];
     await one;
     await init("./nothing.wasm");
     const agent = new Agent({ model: { provider: "offline" } });
     globalThis.outcome = { early: early.code, message: early.message, failed: failed.code, noWasm: noWasm.code, isError: failed instanceof EdgewiseError, shared: one === two, tools: agent.tools() };`,
  ),
};

const { path } = await project(files);
const { version } = await manifest(path);
// The strictest policy that still lets wasm run; no script of the package may need more.
const policy = { "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; img-src data:" };
const server = await serve(path, policy);
const open = await browse();

for (const name of ["map", "path", "worker"]) {
  test(`${name}.html`, async () => {
    const { outcome } = await open(`${server.url}${name}.html`);
    assertScenario(await outcome(), version);
  });
}

test("init() is needed, shared, and may be tried again", async () => {
  const { outcome } = await open(`${server.url}late.html`, { expect: [/404/] });
  const { message, ...rest } = await outcome();
  assert.match(message, /await init\(\)/);
  assert.deepEqual(rest, { early: "misuse", failed: "network", noWasm: "network", isError: true, shared: true, tools: [] });
});

// What would be deployed: the static files with their types, and the bundle with its size.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { root, startWorker } from "./harness.mjs";

test("the page and the package are served as what they are", async (t) => {
  const worker = await startWorker();
  t.after(worker.close);
  const types = {
    "/": "text/html",
    "/edgewise/browser.js": "text/javascript",
    "/edgewise/wasm/edgewise.js": "text/javascript",
    "/edgewise/wasm/edgewise_bg.wasm": "application/wasm",
  };
  const page = await (await worker.fetch("/")).text();
  // Whatever the page loads by itself must be there too.
  for (const [, path] of page.matchAll(/(?:src|href)="(?!https?:|data:|#)([^"]+)"/g)) {
    const url = new URL(path, worker.url).pathname;
    types[url] ??= { js: "text/javascript", css: "text/css", svg: "image/svg+xml" }[url.split(".").at(-1)] ?? "";
  }
  assert.ok(Object.keys(types).length > 4, "the page loads files of its own");
  for (const [path, type] of Object.entries(types)) {
    const response = await worker.fetch(path);
    assert.equal(response.status, 200, path);
    assert.ok(response.headers.get("content-type").startsWith(type), `${path}: ${response.headers.get("content-type")}`);
  }
  const served = Buffer.from(await (await worker.fetch("/edgewise/wasm/edgewise_bg.wasm")).arrayBuffer());
  assert.ok(served.equals(await readFile(join(root, "pkg/wasm/edgewise_bg.wasm"))), "the wasm is that of the package");
  assert.equal((await worker.fetch("/nothing-here")).status, 404);
});

test("wrangler deploy --dry-run bundles it", async (t) => {
  const wrangler = join(dirname(createRequire(import.meta.url).resolve("wrangler/package.json")), "bin/wrangler.js");
  // Without the banner wrangler does not ask the registry for a newer version of itself.
  const env = { ...process.env, WRANGLER_HIDE_BANNER: "true" };
  const out = await promisify(execFile)(process.execPath, [wrangler, "deploy", "--dry-run"], { cwd: root, env });
  const [, total, gzip] = out.stdout.match(/Total Upload: ([\d.]+) KiB \/ gzip: ([\d.]+) KiB/) ?? [];
  assert.ok(gzip, out.stdout + out.stderr);
  t.diagnostic(`the worker's bundle: ${total} KiB, gzip ${gzip} KiB`);
  // What Cloudflare takes on the free plan; size-budget.txt is the tighter limit, for the parts that pages load too.
  assert.ok(Number(gzip) < 3 * 1024, `gzip ${gzip} KiB`);
});

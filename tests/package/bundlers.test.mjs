// The installed package through bundlers, with their defaults.

import { build as esbuild } from "esbuild";
import assert from "node:assert/strict";
import { copyFile, cp, readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { build as vite } from "vite";

import { assertScenario, browse, manifest, project, root, serve } from "./lib.mjs";

const html = (script) => `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module" src="${script}"></script>`;
const app = (entry, init = "edgewise.init") =>
  `import * as edgewise from "${entry}"; import { scenario } from "./scenario.mjs"; globalThis.outcome = scenario({ ...edgewise, init: ${init} });`;

const { path } = await project({
  "index.html": html("./main.js"),
  "main.js": app("edgewise"),
  "given.js": app("edgewise", '() => edgewise.init(new URL("./edgewise_bg.wasm", import.meta.url), { rest: new URL("./edgewise_rest.wasm", import.meta.url), parts: new URL("./edgewise_parts_bg.wasm", import.meta.url) })'),
  "inline.js": app("edgewise/inline"),
  "out/given.html": html("./given.js"),
  "out/inline.html": html("./inline.js"),
});
const { version } = await manifest(path);
const open = await browse();

test("Vite", async () => {
  await vite({ root: path, base: "./", logLevel: "error", build: { outDir: "dist" } });
  const assets = await readdir(join(path, "dist/assets"));
  assert.equal(assets.filter((name) => name.endsWith(".wasm")).length, 3, `the wasm files among ${assets}`);
  const server = await serve(join(path, "dist"));
  const { outcome } = await open(server.url);
  assertScenario(await outcome(), version);
});

test("the example web app, built by Vite", async () => {
  const app = join(path, "web-app");
  await cp(join(root, "examples/web-app"), app, { recursive: true });
  await vite({ root: app, logLevel: "error", build: { outDir: "dist" } });
  const server = await serve(join(app, "dist"));
  // A slow network: someone presses the button before the core is there.
  const prepare = (page) => page.route("**/*.wasm", (route) => setTimeout(() => route.continue(), 500));
  const { page } = await open(server.url, { prepare });
  await page.getByRole("button", { name: "Ask" }).click();
  await page.waitForFunction(() => document.querySelector("#answer").value.includes("42"));
  assert.deepEqual(await page.locator("#tools li").allTextContents(), ['add {"a":17,"b":25}', "ok"]);
});

for (const [name, note] of [["given", "with the wasm's URL given to init()"], ["inline", "with the wasm inside"]]) {
  test(`esbuild, ${note}`, async () => {
    const { warnings } = await esbuild({
      absWorkingDir: path,
      entryPoints: [`${name}.js`],
      bundle: true,
      format: "esm",
      minify: true,
      outdir: "out",
      logLevel: "silent",
    });
    assert.deepEqual(warnings, []);
    if (name === "given") {
      for (const file of ["edgewise_bg.wasm", "edgewise_rest.wasm", "edgewise_parts_bg.wasm"]) {
        await copyFile(join(path, "node_modules/edgewise/wasm", file), join(path, "out", file));
      }
    }
    const server = await serve(join(path, "out"));
    const { outcome } = await open(`${server.url}${name}.html`);
    assertScenario(await outcome(), version);
  });
}

// The second wasm: loaded when first used and not before, by each entry's own way; and what happens when it cannot be.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import * as llm from "../servers/llm.mjs";
import { browse, exec, project, serve } from "./lib.mjs";

const page = (script) => `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
  import { Agent, init } from "./node_modules/edgewise/browser.js";
  import { adder, laws, scenario } from "./scenario.mjs";
  ${script}
</script>`;

const { path } = await project({
  "plain.html": page(`
    await init();
    const model = { provider: "anthropic", id: "m", apiKey: "k", baseUrl: new URLSearchParams(location.search).get("model") };
    globalThis.outcome = (await new Agent({ model }).run("hi").result).text;`),
  "offline.html": page(`
    await init();
    const [one, two] = [adder({ Agent }), adder({ Agent })];
    const results = await Promise.all([one.agent.run("What is 17 + 25?").result, two.agent.run("What is 2 + 3?").result]);
    globalThis.outcome = results.map((result) => result.text);`),
  "missing.html": page(`
    await init();
    const { agent } = adder({ Agent }, { limits: { maxAttempts: 1 } });
    const fails = async () => { const { code, message } = await agent.run("What is 17 + 25?").result.catch((error) => error); return { code, message }; };
    globalThis.outcome = { error: await fails() };
    globalThis.again = async () => (await agent.run("What is 17 + 25?").result).text;`),
  "elsewhere.html": page(`
    await init(undefined, { parts: new URL("./moved.wasm", location.href) });
    globalThis.outcome = (await adder({ Agent }).agent.run("What is 17 + 25?").result).text;`),
});
const wasm = join(path, "node_modules/edgewise/wasm/edgewise_parts_bg.wasm");
const open = await browse();

/** Paths of what a page asked of the server that belong to the second wasm. */
const loaded = (server) => server.requests.map((request) => request.path).filter((path) => path.includes("parts"));

test("a page that needs none of it does not load it", async (t) => {
  const [server, model] = await Promise.all([serve(path), llm.start({ turns: [{ text: "hello" }] })]);
  t.after(model.close);
  const { outcome } = await open(`${server.url}plain.html?model=${encodeURIComponent(model.url)}`);
  assert.equal(await outcome(), "hello");
  assert.deepEqual(loaded(server), []);
});

test("any number of first uses load it once", async () => {
  const server = await serve(path);
  const { outcome } = await open(`${server.url}offline.html`);
  const [one, two] = await outcome();
  assert.match(one, /42/);
  assert.match(two, /5/);
  const folder = "/node_modules/edgewise/wasm/";
  assert.deepEqual(loaded(server).toSorted(), [`${folder}edgewise_parts.js`, `${folder}edgewise_parts_bg.wasm`]);
});

test("where it cannot be loaded, the model fails in words, and may be asked again", async () => {
  const server = await serve(path);
  await rename(wasm, `${wasm}.away`);
  const opened = await open(`${server.url}missing.html`, { expect: [/404/] });
  const { error } = await opened.outcome().finally(() => rename(`${wasm}.away`, wasm));
  assert.equal(error.code, "network");
  assert.match(error.message, /^the offline model: /);
  assert.match(await opened.page.evaluate(() => globalThis.again()), /42/);
});

test("init() takes its URL", async () => {
  const server = await serve(path);
  await rename(wasm, join(path, "moved.wasm"));
  const { outcome } = await open(`${server.url}elsewhere.html`);
  assert.match(await outcome().finally(() => rename(join(path, "moved.wasm"), wasm)), /42/);
});

test("the file can be found", async () => {
  const resolved = createRequire(join(path, "package.json")).resolve("edgewise/wasm/parts");
  assert.equal(resolved, wasm);
});

test("a crash in it fails what waits for it, and nothing else", async () => {
  // An exception that passes through the second wasm leaves it in an unknown state.
  const printed = await exec(process.execPath, ["--input-type=module", "-e", `
    import { Agent } from "edgewise";
    import { adder } from "./scenario.mjs";
    const { agent } = adder({ Agent }, { limits: { maxAttempts: 1 } });
    await agent.run("What is 17 + 25?").result;
    const schedule = globalThis.queueMicrotask;
    globalThis.queueMicrotask = (task) => {
      if (new Error().stack.includes("edgewise_parts")) throw new Error("out of luck");
      schedule(task);
    };
    const error = await agent.run("What is 1 + 2?").result.catch((error) => error);
    globalThis.queueMicrotask = schedule;
    const after = await agent.run("What is 17 + 25?").result;
    console.log(JSON.stringify({ code: error.code, message: error.message, after: after.text }));
  `], { cwd: path });
  const { code, message, after } = JSON.parse(printed);
  assert.deepEqual([code, after.includes("42")], ["network", true]);
  assert.match(message, /crashed.*out of luck/);
});

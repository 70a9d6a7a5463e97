// The half of the core that is loaded when first used: not before, once, into each instance, and what happens when it cannot be.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import * as llm from "../servers/llm.mjs";
import { start as startModern } from "../servers/modern.mjs";
import { browse, installed, project, serve } from "./lib.mjs";

const page = (script) => `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
  import { Agent, diagnose, init, McpClient } from "./node_modules/edgewise/browser.js";
  const given = Object.fromEntries(new URLSearchParams(location.search));
  const model = { provider: "openai", id: "m", baseUrl: given.model };
  ${script}
</script>`;

const { path } = await project({
  "simple.html": page(`
    await init();
    const agent = new Agent({ model, servers: [{ name: "s", url: given.mcp }], approval: "never" });
    await agent.connect();
    const { text } = await agent.run("What is 17 + 25?").result;
    const { structuredContent } = await agent.callTool("s.add", { a: 17, b: 25 });
    const client = new McpClient({ url: given.mcp });
    const { tools } = await client.listTools();
    await Promise.all([agent.close(), client.close()]);
    globalThis.outcome = { text, sum: structuredContent, tools: tools.length };`),
  "first.html": page(`
    await init();
    const agents = [1, 2].map(() => new Agent({ model }));
    const [one, two] = await Promise.all(agents.map((agent) => agent.cache.stats()));
    globalThis.outcome = [one.entries, two.entries, await agents[0].openRuns()];`),
  "missing.html": page(`
    await init();
    const agent = new Agent({ model });
    const fails = (promise) => promise.then(() => "it worked", ({ code, message }) => ({ code, message }));
    const events = [];
    for await (const event of agent.resume("run_1")) events.push(event);
    globalThis.outcome = { call: await fails(agent.cache.stats()), run: events.map(({ type, error }) => [type, error?.code]), look: await fails(diagnose("https://a.test/mcp")) };
    globalThis.again = async () => (await agent.cache.stats()).entries;`),
  "elsewhere.html": page(`
    await init(undefined, { rest: new URL("./moved.wasm", location.href) });
    globalThis.outcome = (await new Agent({ model }).cache.stats()).entries;`),
});
const wasm = join(path, "node_modules/edgewise/wasm/edgewise_rest.wasm");
const open = await browse();

/** What a page asked of the server besides the scripts and the first wasm. */
const loaded = (server) => server.requests.map((request) => request.path).filter((path) => path.endsWith(".wasm") && !path.endsWith("edgewise_bg.wasm"));
const query = (given) => `?${new URLSearchParams(given)}`;

test("who runs an agent with tools, or calls a server, does not load it", async (t) => {
  const turns = [{ toolCalls: [{ name: "add", input: { a: 17, b: 25 } }] }, { text: "42" }];
  const [server, model, mcp] = await Promise.all([serve(path), llm.start({ turns }), startModern()]);
  t.after(() => Promise.all([model.close(), mcp.close()]));
  const { outcome } = await open(`${server.url}simple.html${query({ model: `${model.url}/v1`, mcp: mcp.url })}`);
  const { text, sum, tools } = await outcome();
  assert.equal(text, "42");
  assert.deepEqual(Object.values(sum), [42]);
  assert.ok(tools > 0);
  assert.deepEqual(loaded(server), []);
});

test("any number of first uses load it once", async () => {
  const server = await serve(path);
  const { outcome } = await open(`${server.url}first.html`);
  assert.deepEqual(await outcome(), [0, 0, []]);
  assert.deepEqual(loaded(server), ["/node_modules/edgewise/wasm/edgewise_rest.wasm"]);
});

test("where it cannot be loaded, all that wants it fails in words, and may be asked again", async () => {
  const server = await serve(path);
  await rename(wasm, `${wasm}.away`);
  const opened = await open(`${server.url}missing.html`, { expect: [/404/] });
  const { call, run, look } = await opened.outcome().finally(() => rename(`${wasm}.away`, wasm));
  assert.deepEqual(call, { code: "network", message: "the rest of the wasm could not be loaded: rest: HTTP status 404" });
  assert.deepEqual(look, call);
  assert.deepEqual(run, [["run_start", undefined], ["error", "network"]]);
  assert.equal(await opened.page.evaluate(() => globalThis.again()), 0);
});

test("init() takes its URL", async () => {
  const server = await serve(path);
  await rename(wasm, join(path, "moved.wasm"));
  const { outcome } = await open(`${server.url}elsewhere.html`);
  assert.equal(await outcome().finally(() => rename(join(path, "moved.wasm"), wasm)), 0);
});

test("the file can be found", () => {
  assert.equal(createRequire(join(path, "package.json")).resolve("edgewise/wasm/rest"), wasm);
});

test("an instance that takes the place of a crashed one has its own", async (t) => {
  const { Agent } = await installed(path);
  const agent = new Agent({ model: { provider: "offline" } });
  assert.equal((await agent.cache.stats()).entries, 0);
  const before = crypto.getRandomValues;
  t.after(() => (crypto.getRandomValues = before));
  crypto.getRandomValues = () => {
    throw new Error("no entropy");
  };
  assert.throws(() => agent.run("hi"), { code: "crashed" });
  crypto.getRandomValues = before;
  const [stats, runs] = await Promise.all([agent.cache.stats(), agent.openRuns()]);
  assert.deepEqual([stats.entries, runs], [0, []]);
});

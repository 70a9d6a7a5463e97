// The installed package against real MCP servers of both eras, in Node and in a page.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";

import * as everything from "../servers/everything.mjs";
import * as modern from "../servers/modern.mjs";
import { browse, installed, project, rejected, serve, started } from "./lib.mjs";
import { laws } from "./scenario.mjs";

const { path } = await project({
  "mcp.html": `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
    import { Agent, init } from "./node_modules/edgewise/browser.js";
    await init();
    const [modern, legacy, closed, nobody] = new URLSearchParams(location.search).getAll("url");
    const agent = new Agent({ model: { provider: "offline" }, servers: [
      { name: "modern", url: modern }, { name: "legacy", url: legacy }, { name: "closed", url: closed }, { name: "nobody", url: nobody }] });
    const servers = await agent.connect();
    const progress = [];
    const results = [
      await agent.callTool("modern.add", { a: 17, b: 25 }),
      await agent.callTool("modern.slow", { steps: 3 }, { onProgress: (notice) => progress.push(notice.progress) }),
      await agent.callTool("legacy.echo", { message: "héllo" }),
    ];
    const events = [];
    for await (const event of agent.run("echo \\"from the page\\"")) {
      events.push(event);
    }
    await agent.close();
    globalThis.outcome = { servers, progress, results, events };
  </script>`,
});
const { Agent } = await installed(path);
const model = { provider: "offline" };

for (const [era, module] of [["modern", modern], ["legacy", everything]]) {
  test(`${era}: connect, list, call, be told of errors, close`, async (t) => {
    const { url } = await started(t, module);
    const agent = new Agent({ model, servers: [{ name: "s", url }] });
    assert.deepEqual(agent.servers().map(({ name, state }) => [name, state]), [["s", "idle"]]);
    const [info] = await agent.connect();
    assert.deepEqual([info.state, info.era, info.error], ["ready", era, undefined]);
    assert.match(info.protocolVersion, /^20\d\d-\d\d-\d\d$/);
    assert.ok(info.tools > 5);
    assert.equal(typeof info.serverInfo.name, "string");

    const tools = agent.tools();
    assert.equal(tools.length, info.tools);
    const echo = tools.find((tool) => tool.name === "s.echo");
    assert.equal(echo.server, "s");
    assert.equal(echo.inputSchema.properties.message.type, "string");
    for (const tool of agent.toolDefinitions("anthropic")) assert.match(tool.name, /^[A-Za-z0-9_-]{1,64}$/);
    assert.equal(agent.toolDefinitions("openai").length, tools.length);

    const { content, isError } = await agent.callTool("s.echo", { message: "héllo ✓" });
    assert.equal(isError, false);
    assert.match(content[0].text, /héllo ✓/);
    assert.equal((await rejected(agent.callTool("s.nothing"))).code, "misuse");
    await agent.close();
    assert.equal((await rejected(agent.callTool("s.echo", { message: "x" }))).code, "misuse");
  });
}

test("modern: progress, a tool that fails, cancel by signal", async (t) => {
  const server = await started(t, modern);
  const agent = new Agent({ model, servers: [{ name: "s", url: server.url }] });
  const notices = [];
  const result = await agent.callTool("s.slow", { steps: 3 }, { onProgress: (notice) => notices.push(notice) });
  assert.match(result.content[0].text, /3 steps/);
  assert.deepEqual(notices, [1, 2, 3].map((progress) => ({ progress, total: 3, message: `step ${progress} of 3` })));

  const failed = await agent.callTool("s.fail", { reason: "rain" });
  assert.deepEqual([failed.isError, failed.content[0].text], [true, "failed: rain"]);
  assert.deepEqual((await agent.callTool("s.add", { a: 1, b: 2 })).structuredContent, { sum: 3 });

  const controller = new AbortController();
  const call = rejected(agent.callTool("s.slow", { steps: 1000 }, { signal: controller.signal, onProgress: () => controller.abort() }));
  assert.equal((await call).code, "cancelled");
  while (server.state.aborted === 0) await sleep(5);

  const thrown = new RangeError("from the app");
  const refuse = () => {
    throw thrown;
  };
  await assert.rejects(agent.callTool("s.slow", { steps: 1000 }, { onProgress: refuse }), thrown);
  while (server.state.aborted === 1) await sleep(5);
  assert.equal((await rejected(agent.callTool("s.add", {}, { signal: AbortSignal.abort() }))).code, "cancelled");
});

test("legacy: progress and cancel", async (t) => {
  const { url } = await started(t, everything);
  const agent = new Agent({ model, servers: [{ name: "s", url }] });
  const notices = [];
  const args = { duration: 1, steps: 4 };
  const long = agent.connect().then(() => agent.tools().find((tool) => /longRunning|long-running/.test(tool.name)).name);
  const result = await agent.callTool(await long, args, { onProgress: ({ progress, total }) => notices.push([progress, total]) });
  assert.equal(result.isError, false);
  assert.deepEqual(notices.at(-1), [4, 4]);
  const controller = new AbortController();
  const begun = performance.now();
  const onProgress = () => controller.abort();
  const call = agent.callTool(await long, { duration: 60, steps: 600 }, { signal: controller.signal, onProgress });
  assert.equal((await rejected(call)).code, "cancelled");
  assert.ok(performance.now() - begun < 10_000);
  await agent.close();
});

test("tokens: given, asked for, missing, and never shown", async (t) => {
  const server = await started(t, modern, { token: "t-secret" });
  const agentWith = (token) => new Agent({ model, servers: [{ name: "s", url: server.url, token }] });
  assert.equal((await agentWith("t-secret").connect())[0].state, "ready");
  let asked = 0;
  const callback = async ({ server }, { signal }) => {
    assert.deepEqual([server, signal.aborted], ["s", false]);
    asked += 1;
    return "t-secret";
  };
  assert.equal((await agentWith(callback).connect())[0].state, "ready");
  assert.ok(asked > 0);
  for (const token of [undefined, "wrong-secret", () => Promise.reject(new Error("no key at hand"))]) {
    const [info] = await agentWith(token).connect();
    assert.equal(info.state, "failed");
    assert.equal(info.error.code, "auth_required", JSON.stringify(info.error));
    assert.ok(!JSON.stringify(info).includes("secret"));
  }
});

test("one server that is not there never stops the others", async (t) => {
  const { url } = await started(t, modern);
  const gone = await modern.start();
  await gone.close();
  const agent = new Agent({ model, servers: [{ name: "gone", url: gone.url }, { name: "here", url }] });
  const states = (await agent.connect()).map(({ name, state, error }) => [name, state, error?.code]);
  assert.deepEqual(states, [["gone", "failed", "network"], ["here", "ready", undefined]]);
  assert.equal(agent.servers()[0].error.maybeCors, undefined, "Node has no CORS");
  agent.addServer({ name: "late", url });
  await agent.removeServer("gone");
  const events = [];
  for await (const event of agent.run('echo "hello"')) events.push(event);
  assert.equal(laws(events).type, "done");
  assert.deepEqual(agent.servers().map(({ name, state }) => [name, state]), [["here", "ready"], ["late", "ready"]]);
  assert.ok(events.some((event) => event.type === "server_status" && event.server === "late" && event.state === "ready"));
});

test("a page uses servers of both eras, and says where CORS may be the reason", async (t) => {
  const gone = await modern.start();
  await gone.close();
  const urls = [await started(t, modern), await started(t, everything), await started(t, modern, { cors: false }), gone].map(({ url }) => url);
  const site = await serve(path);
  const open = await browse();
  const query = new URLSearchParams(urls.map((url) => ["url", url]));
  const { outcome } = await open(`${site.url}mcp.html?${query}`, { expect: [/CORS|ERR_FAILED|ERR_CONNECTION_REFUSED/, /400|404|405/, /ERR_ABORTED/] });
  const { servers, progress, results, events } = await outcome();
  const states = servers.map(({ name, state, era, error }) => [name, state, era, error?.code, error?.maybeCors]);
  assert.deepEqual(states, [
    ["modern", "ready", "modern", undefined, undefined],
    ["legacy", "ready", "legacy", undefined, undefined],
    ["closed", "failed", undefined, "network", true],
    ["nobody", "failed", undefined, "network", true],
  ]);
  assert.deepEqual(progress, [1, 2, 3]);
  assert.deepEqual(results[0].structuredContent, { sum: 42 });
  assert.match(results[2].content[0].text, /héllo/);
  assert.equal(laws(events).type, "done");
  assert.match(JSON.stringify(events), /from the page/);
});

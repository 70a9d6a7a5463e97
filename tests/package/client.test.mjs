// `McpClient` of the installed package, and what an agent has of it, against real servers of both eras.

import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";

import * as everything from "../servers/everything.mjs";
import * as modern from "../servers/modern.mjs";
import { exec, installed, project, rejected, root, started } from "./lib.mjs";

const { path } = await project();
const { Agent, McpClient } = await installed(path);

test("modern: everything a server has, as it sent it", async (t) => {
  const { url, requests } = await started(t, modern);
  const client = new McpClient({ url });
  assert.equal(client.info().state, "idle");
  const info = await client.connect();
  assert.deepEqual([info.state, info.era, info.name], ["ready", "modern", new URL(url).host]);
  assert.deepEqual(info.capabilities, { tools: {}, resources: {}, prompts: {}, completions: {} });

  const { tools } = await client.listTools();
  assert.deepEqual(tools.map((tool) => tool.name), ["add", "echo", "slow", "fail", "write_note", "list_notes"]);
  assert.deepEqual(tools[0].annotations, { readOnlyHint: true, idempotentHint: true }, "not in our words");
  const added = await client.callTool("add", { a: 17, b: 25 });
  assert.deepEqual([added.structuredContent, added.content], [{ sum: 42 }, [{ type: "text", text: "42" }]]);
  assert.equal("isError" in added, false, "nothing is added");
  assert.equal((await client.callTool("fail")).isError, true);

  const listed = await client.listResources();
  assert.deepEqual(listed.resources.map(({ name, _meta }) => [name, _meta]), ["alpha", "beta", "gamma"].map((name) => [name, { "test.example/shelf": name[0] }]));
  assert.deepEqual([listed.ttlMs, listed.cacheScope], [1000, "private"], "the least and the narrowest over the pages");
  const { resourceTemplates, ttlMs, cacheScope } = await client.listResourceTemplates();
  assert.deepEqual([resourceTemplates[0].uriTemplate, ttlMs, cacheScope], ["docs://library/{name}.md", 5000, "public"]);
  const read = await client.readResource("docs://library/beta.md");
  assert.deepEqual([read.contents[0].text, read.ttlMs, read.cacheScope], ["# beta\n\nGrüße aus beta.", 700, "private"]);
  assert.equal((await rejected(client.readResource("docs://library/none.md"))).rpcCode, -32602);

  assert.equal((await client.listPrompts()).prompts[0].arguments[0].required, true);
  const prompt = await client.getPrompt("greet", { who: "Ada", city: "Bergen" });
  assert.equal(prompt.messages[0].content.text, "Greet Ada in Bergen.");
  const ref = { type: "ref/prompt", name: "greet" };
  const completed = await client.complete(ref, { name: "city", value: "Os" });
  assert.deepEqual(completed.completion, { values: ["Oslo", "Osaka"], total: 2, hasMore: false });
  const context = { arguments: { not: "Oslo" } };
  assert.deepEqual((await client.complete(ref, { name: "city", value: "Os" }, { context })).completion.values, ["Osaka"]);

  await client.ping();
  const page = await client.request("tools/list", { cursor: "4" });
  assert.deepEqual(page.tools.map((tool) => tool.name), ["write_note", "list_notes"], "a raw request is one page");
  assert.equal((await rejected(client.request("own/method"))).rpcCode, -32601);
  assert.ok(requests.every(({ method }) => method === "POST"));
  await client.close();
  assert.equal((await rejected(client.ping())).code, "misuse");
});

test("modern: progress, cancel, and what the app says beside", async (t) => {
  const server = await started(t, modern);
  const client = new McpClient({ url: server.url, name: "own" });
  const notices = [];
  await client.callTool("slow", { steps: 3 }, { onProgress: (notice) => notices.push(notice.progress), meta: { traceparent: "00" } });
  assert.deepEqual(notices, [1, 2, 3]);
  const controller = new AbortController();
  const options = { signal: controller.signal, onProgress: () => controller.abort() };
  assert.equal((await rejected(client.callTool("slow", { steps: 1000 }, options))).code, "cancelled");
  while (server.state.aborted === 0) await sleep(5);
  const late = await rejected(client.callTool("slow", { steps: 1, stepMs: 5000 }, { timeoutMs: 50 }));
  assert.deepEqual([late.code, late.message], ["timeout", "tools/call slow on own: nothing came for 50 ms"]);
});

test("legacy: the same surface over a session", async (t) => {
  const { url } = await started(t, everything);
  const client = new McpClient({ url });
  const listed = await client.listTools();
  assert.deepEqual(Object.keys(listed), ["tools"], "older servers say nothing of freshness");
  assert.ok(listed.tools.length > 5);
  assert.equal(client.info().era, "legacy");
  const echo = await client.callTool("echo", { message: "héllo" });
  assert.match(echo.content[0].text, /héllo/);
  const { resources } = await client.listResources();
  const { contents } = await client.readResource(resources[0].uri);
  assert.equal(contents[0].uri, resources[0].uri);
  assert.ok((await client.listResourceTemplates()).resourceTemplates.length > 0);
  const { prompts } = await client.listPrompts();
  const simple = prompts.find((prompt) => !prompt.arguments?.some((argument) => argument.required));
  assert.ok((await client.getPrompt(simple.name)).messages.length > 0);
  await client.ping();
  await client.close();
});

test("an agent has the resources and prompts of all its servers", async (t) => {
  const [one, two] = [await started(t, modern), await started(t, everything)];
  const gone = await modern.start();
  await gone.close();
  const servers = [{ name: "one", url: one.url }, { name: "two", url: two.url }, { name: "gone", url: gone.url }];
  const agent = new Agent({ model: { provider: "offline" }, servers });
  const resources = await agent.listResources();
  assert.deepEqual([...new Set(resources.map(({ server }) => server))], ["one", "two"]);
  assert.equal(resources[0].uri, "docs://library/alpha.md");
  assert.ok((await agent.listResourceTemplates()).every(({ server }) => server === "one" || server === "two"));
  const prompts = await agent.listPrompts();
  assert.deepEqual([prompts[0].server, prompts[0].name], ["one", "greet"]);
  assert.match((await agent.readResource("one", "docs://library/alpha.md")).contents[0].text, /^# alpha/);
  assert.match((await agent.getPrompt("one", "greet", { who: "Ada" })).messages[0].content.text, /Greet Ada/);
  const completed = await agent.complete("one", { type: "ref/resource", uri: "docs://library/{name}.md" }, { name: "name", value: "g" });
  assert.deepEqual(completed.completion.values, ["gamma"]);
  assert.equal((await rejected(agent.readResource("nobody", "docs://x"))).code, "misuse");
  assert.equal((await rejected(agent.readResource("gone", "docs://x"))).code, "network");
  await agent.close();
});

test("mistakes are named before anything is sent", async () => {
  const path = (call) => {
    try {
      call();
    } catch (error) {
      return error.path;
    }
  };
  assert.equal(path(() => new McpClient()), "options");
  assert.equal(path(() => new McpClient({})), "url");
  assert.equal(path(() => new McpClient({ url: "/mcp", name: "a b" })), "name");
  assert.equal(path(() => new McpClient({ url: "/mcp", tokn: "t" })), "tokn");
  const client = new McpClient({ url: "http://127.0.0.1:9/mcp" });
  const paths = async (promise) => (await rejected(promise)).path;
  assert.equal(await paths(client.callTool(7)), "name");
  assert.equal(await paths(client.callTool("a", { a: 1n })), "params.arguments.a");
  assert.equal(await paths(client.callTool("a", {}, { timeout: 5 })), "timeout");
  assert.equal(await paths(client.callTool("a", {}, { timeoutMs: -5 })), "timeoutMs");
  assert.equal(await paths(client.callTool("a", {}, { meta: { progressToken: 1 } })), "meta.progressToken");
  assert.equal(await paths(client.request("", {})), "method");
  assert.equal(await paths(client.request("a", [])), "params");
  assert.equal(await paths(client.listTools({ onProgress() {} })), "onProgress");
});

test("a client survives a crash of the instance", async (t) => {
  const { url } = await started(t, modern);
  const client = new McpClient({ url, token: async () => "t" });
  await client.connect();
  const fetch = globalThis.fetch;
  t.after(() => (globalThis.fetch = fetch));
  globalThis.fetch = async () => new Response(new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(2 ** 31)) }), { headers: { "content-type": "application/json" } });
  assert.equal((await rejected(client.ping())).code, "crashed");
  globalThis.fetch = fetch;
  assert.deepEqual((await client.callTool("add", { a: 1, b: 2 })).structuredContent, { sum: 3 });
});

test("what a server logs reaches whoever listens, and a listener that throws harms nobody", async () => {
  const sent = [];
  const transport = {
    async start() {},
    async close() {},
    async send({ id, method, params }) {
      sent.push([method, params._meta["io.modelcontextprotocol/logLevel"]]);
      const discovered = { resultType: "complete", supportedVersions: ["2026-07-28"], capabilities: {} };
      const say = (message) => queueMicrotask(() => transport.onmessage({ jsonrpc: "2.0", ...message }));
      if (method === "own/method") say({ method: "notifications/message", params: { level: "error", logger: "db", data: ["lost"] } });
      say({ id, result: method === "server/discover" ? discovered : {} });
    },
  };
  const entries = [];
  const onLog = (entry) => {
    entries.push(entry);
    throw new Error("from the listener");
  };
  const client = new McpClient({ transport, name: "own", onLog, logLevel: "warning" });
  await client.request("own/method");
  await client.setLogLevel("debug");
  await client.request("own/method");
  const entry = { server: "own", level: "error", logger: "db", data: ["lost"] };
  assert.deepEqual(entries, [entry, entry]);
  assert.deepEqual(sent, [["server/discover", undefined], ["own/method", "warning"], ["own/method", "debug"]]);
  assert.equal((await rejected(new McpClient({ transport }).setLogLevel("debug"))).code, "misuse");
  await client.close();
});

test("the example runs", async (t) => {
  const { url } = await started(t, modern);
  await cp(join(root, "examples/node/client.ts"), join(path, "client.ts"));
  const printed = await exec(process.execPath, ["--no-warnings", "client.ts", url], { cwd: path });
  assert.match(printed, /^modern speaks the modern protocol\nadd: Adds two numbers\./);
  assert.match(printed, /docs:\/\/library\/gamma\.md/);
  assert.match(printed, /text: 'hello'/);
});

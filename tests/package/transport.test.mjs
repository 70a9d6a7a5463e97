// The option `transport`: the official client's own transports in place of a URL.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { InMemoryTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { serveStdio } from "@modelcontextprotocol/server/stdio";

import * as modern from "../servers/modern.mjs";
import { installed, project, rejected } from "./lib.mjs";

const { path } = await project();
const { Agent, McpClient } = await installed(path);
const require = createRequire(import.meta.url);
const everything = join(dirname(require.resolve("@modelcontextprotocol/server-everything/package.json")), "dist/index.js");
const stdio = () => new StdioClientTransport({ command: process.execPath, args: [everything, "stdio"], stderr: "ignore" });

/** A modern server in this process, and the transport that leads to it. */
function inMemory(t, state) {
  const [ours, theirs] = InMemoryTransport.createLinkedPair();
  const server = serveStdio(() => modern.make({ state }), { transport: theirs });
  t.after(() => server.close());
  const sent = [];
  const send = ours.send.bind(ours);
  ours.send = (message, options) => {
    sent.push(message);
    return send(message, options);
  };
  return { transport: ours, sent };
}

test("stdio: server-everything as a child process", { timeout: 60_000 }, async () => {
  const transport = stdio();
  const client = new McpClient({ transport, name: "child" });
  const info = await client.connect();
  assert.deepEqual([info.state, info.era, info.name, "url" in info], ["ready", "legacy", "child", false]);
  const { tools } = await client.listTools();
  assert.ok(tools.length > 5);
  assert.match((await client.callTool("echo", { message: "héllo" })).content[0].text, /héllo/);
  const both = await Promise.all([client.callTool("get-sum", { a: 1, b: 2 }), client.listPrompts(), client.listResources()]);
  assert.match(both[0].content[0].text, /3/);
  const notices = [];
  const long = { duration: 0.4, steps: 4 };
  await client.callTool("trigger-long-running-operation", long, { onProgress: ({ progress }) => notices.push(progress) });
  assert.deepEqual(notices, [1, 2, 3, 4]);
  const controller = new AbortController();
  const options = { signal: controller.signal, onProgress: () => controller.abort() };
  assert.equal((await rejected(client.callTool("trigger-long-running-operation", { duration: 60, steps: 600 }, options))).code, "cancelled");
  assert.ok(transport.pid);
  await client.close();
  assert.equal(transport.pid, null, "the child is gone");
  assert.equal((await rejected(client.listTools())).code, "misuse");
});

test("stdio: a child that is not there, and one that dies", { timeout: 60_000 }, async () => {
  const missing = new McpClient({ transport: new StdioClientTransport({ command: "/nonexistent/server" }) });
  const error = await rejected(missing.connect());
  assert.equal(error.code, "network");
  assert.match(error.message, /ENOENT/);
  await missing.close();
  const transport = stdio();
  const client = new McpClient({ transport });
  await client.connect();
  const call = rejected(client.callTool("trigger-long-running-operation", { duration: 60, steps: 60 }, { onProgress: () => process.kill(transport.pid) }));
  assert.equal((await call).code, "truncated");
  assert.match((await rejected(client.listTools())).message, /the transport is closed/);
  await client.close();
});

test("memory: a modern server in the same process", async (t) => {
  const state = { notes: [], aborted: 0 };
  const { transport, sent } = inMemory(t, state);
  const versions = [];
  transport.setProtocolVersion = (version) => versions.push(version);
  let heard = 0;
  transport.onmessage = () => (heard += 1);
  const client = new McpClient({ transport });
  assert.equal((await client.connect()).era, "modern");
  assert.equal(versions[0], "2026-07-28");
  assert.ok(heard > 0, "a handler that was there before still hears");
  assert.equal((await client.listTools()).tools.length, 6);
  assert.equal((await client.listResources()).resources.length, 3);
  const notices = [];
  const slow = client.callTool("slow", { steps: 3 }, { onProgress: ({ progress }) => notices.push(progress) });
  const [, added] = await Promise.all([slow, client.callTool("add", { a: 1, b: 2 })]);
  assert.deepEqual([notices, added.structuredContent], [[1, 2, 3], { sum: 3 }]);
  assert.equal((await rejected(client.callTool("none"))).rpcCode, -32602);
  assert.ok(!sent.some(({ method }) => method === "notifications/cancelled"), "what was answered is not cancelled");

  const controller = new AbortController();
  const options = { signal: controller.signal, onProgress: () => controller.abort() };
  assert.equal((await rejected(client.callTool("slow", { steps: 1000 }, options))).code, "cancelled");
  while (state.aborted === 0) await sleep(5);
  const { params } = sent.find(({ method }) => method === "notifications/cancelled");
  assert.equal(params.requestId, sent.findLast(({ method }) => method === "tools/call").id);
  await client.close();
});

test("an agent uses servers behind transports like any other", async (t) => {
  const servers = [{ name: "memory", transport: inMemory(t).transport }, { name: "child", transport: stdio() }];
  const agent = new Agent({ model: { provider: "offline" }, servers });
  const states = await agent.connect();
  assert.deepEqual(states.map(({ name, state, era }) => [name, state, era]), [["memory", "ready", "modern"], ["child", "ready", "legacy"]]);
  assert.deepEqual((await agent.callTool("memory.add", { a: 17, b: 25 })).structuredContent, { sum: 42 });
  const resources = await agent.listResources();
  assert.deepEqual([...new Set(resources.map(({ server }) => server))], ["memory", "child"]);
  const child = servers[1].transport;
  assert.ok(child.pid);
  await agent.removeServer("child");
  assert.equal(child.pid, null);
  const late = inMemory(t);
  agent.addServer({ name: "late", transport: late.transport });
  assert.equal((await agent.callTool("late.echo", { message: "hi" })).content[0].text, "hi");
  await agent.close();
});

test("a server that is silent before it was greeted counts as an older one", { timeout: 30_000 }, async () => {
  const transport = {
    async start() {},
    async close() {},
    async send({ id, method }) {
      const results = {
        initialize: { protocolVersion: "2025-06-18", capabilities: { tools: {} }, serverInfo: { name: "shy", version: "0" } },
        "tools/list": { tools: [{ name: "a" }] },
      };
      if (results[method]) queueMicrotask(() => transport.onmessage({ jsonrpc: "2.0", id, result: results[method] }));
    },
  };
  const client = new McpClient({ transport });
  assert.deepEqual((await client.listTools()).tools, [{ name: "a" }]);
  assert.equal(client.info().era, "legacy");
  await client.close();
});

test("what a server says of itself is not lost before somebody listens", async () => {
  // Requests of the server that belong to no request of ours are answered, whatever stream they come on.
  const answers = [];
  let asked;
  const transport = {
    async start() {},
    async close() {},
    async send(message) {
      const { id, method } = message;
      const reply = (more) => queueMicrotask(() => transport.onmessage({ jsonrpc: "2.0", ...more }));
      if (method === "server/discover") reply({ id, error: { code: -32601, message: "Method not found" } });
      if (method === "initialize") reply({ id, result: { protocolVersion: "2025-11-25", capabilities: {} } });
      if (method === "own/method") {
        asked = id;
        reply({ id: "s1", method: "ping" });
      }
      if (id === "s1") {
        answers.push(message.result);
        reply({ id: asked, result: { done: true } });
      }
    },
  };
  const client = new McpClient({ transport });
  assert.deepEqual(await client.request("own/method"), { done: true });
  assert.deepEqual(answers, [{}]);
  await client.close();
});

test("mistakes are named", () => {
  const wrong = (options) => {
    try {
      new McpClient(options);
    } catch (error) {
      return [error.code, error.path];
    }
  };
  const transport = { async start() {}, async send() {}, async close() {} };
  assert.deepEqual(wrong({ transport: {} }), ["config", "transport"]);
  assert.deepEqual(wrong({ transport, url: "/mcp" }), ["config", "url"]);
  assert.deepEqual(wrong({ transport, headers: { a: "b" } }), ["config", "headers"]);
  assert.deepEqual(wrong({ transport, oauth: {} }), ["config", "oauth"]);
});

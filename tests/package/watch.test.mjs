// `client.watch()` of the installed package against real servers of both eras, and the transport of 2024-11-05.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";

import * as counting from "../servers/counting.mjs";
import * as everything from "../servers/everything.mjs";
import * as gateway from "../servers/gateway.mjs";
import * as modern from "../servers/modern.mjs";
import { installed, project, started } from "./lib.mjs";

const { path } = await project();
const { EdgewiseError, McpClient } = await installed(path);

/** What a watch tells, and a way to wait for what it tells next. */
function reading(changes) {
  const told = [];
  let wake = () => {};
  const done = (async () => {
    for await (const change of changes) {
      told.push(change);
      wake();
    }
  })();
  const upTo = async (count) => {
    const late = AbortSignal.timeout(20_000);
    while (told.length < count) {
      assert.ok(!late.aborted, `told only ${JSON.stringify(told)}`);
      await Promise.race([new Promise((resolve) => (wake = resolve)), sleep(100), done]);
    }
    return told;
  };
  return { told, upTo, done };
}

const listens = (requests) => requests.filter(({ headers }) => headers["mcp-method"] === "subscriptions/listen").length;

test("modern: watches share a stream, survive a broken one, and end with their iteration", async (t) => {
  const server = await started(t, modern, { changes: true });
  const client = new McpClient({ url: server.url });
  const uri = "docs://library/alpha.md";
  const stop = new AbortController();
  const one = reading(client.watch({ tools: true, uris: [uri] }, { signal: stop.signal }));
  const two = reading(client.watch({ uris: [uri] }));
  await Promise.all([one.upTo(1), two.upTo(1)]);
  assert.deepEqual(one.told[0], { type: "watching", tools: true, prompts: false, resources: false, uris: [uri], tasks: [] });
  const opened = listens(server.requests);
  assert.ok(opened <= 2, `${opened} streams`);

  server.notify.toolsChanged();
  server.notify.resourceUpdated(uri);
  server.notify.resourceUpdated("docs://library/beta.md");
  await one.upTo(3);
  assert.deepEqual(one.told.slice(1), [{ type: "tools_changed" }, { type: "resource_updated", uri }]);
  assert.deepEqual((await two.upTo(2))[1], { type: "resource_updated", uri });

  server.drop();
  await Promise.all([one.upTo(4), two.upTo(3)]);
  assert.deepEqual([one.told[3], two.told[2]], [{ type: "gap" }, { type: "gap" }]);
  assert.equal(listens(server.requests), opened + 1);
  server.notify.toolsChanged();
  assert.deepEqual((await one.upTo(5))[4], { type: "tools_changed" });

  stop.abort();
  await one.done;
  await client.close();
  await two.done;
});

test("modern: what goes wrong is thrown where it is iterated", async (t) => {
  const { url } = await started(t, modern, { token: "secret" });
  const thrown = async (client, filter) => {
    try {
      for await (const change of client.watch(filter)) assert.fail(JSON.stringify(change));
    } catch (error) {
      assert.ok(error instanceof EdgewiseError, String(error));
      return [error.code, error.message];
    }
    return assert.fail("it ended well");
  };
  const client = new McpClient({ url });
  assert.equal((await thrown(client, { tools: true }))[0], "auth_required");
  assert.deepEqual(await thrown(client, {}), ["config", "filter: names nothing to be told of"]);
  assert.deepEqual(await thrown(client, { uris: [1] }), ["config", "filter.uris[0]: expected a string, got 1"]);
  for await (const change of new McpClient({ url, token: "secret" }).watch({ tools: true })) {
    assert.equal(change.type, "watching");
    break;
  }
});

test("legacy: resource subscriptions of server-everything", async (t) => {
  const { url } = await started(t, everything);
  const client = new McpClient({ url });
  const { resources } = await client.listResources();
  const [{ uri }] = resources;
  const watch = reading(client.watch({ tools: true, uris: [uri] }));
  await watch.upTo(1);
  assert.deepEqual([watch.told[0].tools, watch.told[0].uris], [true, [uri]]);
  await client.callTool("toggle-subscriber-updates");
  // server-everything also adds tools once it knows its client.
  const updated = () => watch.told.some((change) => change.type === "resource_updated" && change.uri === uri);
  for (let count = 2; !updated(); count++) await watch.upTo(count);
  await client.callTool("toggle-subscriber-updates");
  await client.close();
  await watch.done;
});

for (const [who, options, after] of [
  ["nobody could be asked", {}, [false, false]],
  ["the app answers questions", { onInput: () => ({ action: "decline" }) }, [false, true, false]],
]) {
  test(`legacy: what comes after a stream broke off is heard where ${who}`, async (t) => {
    const { url: target } = await started(t, everything);
    const server = await started(t, counting, { target });
    const client = new McpClient({ url: server.url, ...options });
    const uri = "demo://resource/dynamic/text/1";
    const watch = reading(client.watch({ uris: [uri] }));
    await watch.upTo(1);
    // From now on it tells of the resource every five seconds, with ids for what it tells.
    await client.callTool("toggle-subscriber-updates");
    const afterGap = () => watch.told.slice(watch.told.findLastIndex(({ type }) => type === "gap") + 1);
    const updated = (changes) => changes.some(({ type }) => type === "resource_updated");
    for (let count = 2; !updated(watch.told); count += 1) await watch.upTo(count);
    server.drop();
    for (let count = watch.told.length + 1; !watch.told.some(({ type }) => type === "gap") || !updated(afterGap()); count += 1) await watch.upTo(count);
    const gets = server.seen.filter(({ http }) => http === "GET");
    assert.deepEqual(gets.map(({ last }) => last !== undefined), after);
    assert.deepEqual([server.sessions.length, server.mostStreams], [1, 1]);
    await client.close();
    await watch.done;
  });
}

test("2024-11-05: a server behind supergateway with HTTP+SSE", async (t) => {
  const { url } = await started(t, gateway, { transport: "sse" });
  const client = new McpClient({ url });
  const info = await client.connect();
  assert.deepEqual([info.state, info.era], ["ready", "legacy"]);
  const { tools } = await client.listTools();
  assert.ok(tools.some((tool) => tool.name === "read_graph"));
  const entities = [1, 2, 3].map((n) => ({ name: `e${n}`, entityType: "test", observations: ["héllo ✓"] }));
  await client.callTool("create_entities", { entities });
  const [graph, node] = await Promise.all([client.callTool("read_graph"), client.callTool("open_nodes", { names: ["e2"] })]);
  assert.equal(JSON.parse(graph.content[0].text).entities.length, 3);
  assert.match(node.content[0].text, /héllo ✓/);
  await client.close();
});

test("legacy: a stream that ends early is taken up when the server said", async (t) => {
  const gets = [];
  let call;
  let closed;
  const server = createServer(async (request, response) => {
    if (request.method === "GET") {
      gets.push({ after: performance.now() - closed, last: request.headers["last-event-id"] });
      response.writeHead(200, { "content-type": "text/event-stream" });
      const result = { content: [{ type: "text", text: "taken up" }] };
      response.end(`id: 2\ndata: ${JSON.stringify({ jsonrpc: "2.0", id: call, result })}\n\n`);
      return;
    }
    let body = "";
    for await (const chunk of request) body += chunk;
    const { id, method } = JSON.parse(body || "{}");
    if (method === "server/discover") return response.writeHead(400).end();
    if (method === "initialize") {
      response.setHeader("content-type", "application/json");
      return response.end(JSON.stringify({ jsonrpc: "2.0", id, result: { protocolVersion: "2025-11-25", capabilities: {} } }));
    }
    if (method !== "tools/call") return response.writeHead(202).end();
    assert.equal(call, undefined, "called twice");
    call = id;
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end("id: 1\nretry: 500\ndata: \n\n", () => (closed = performance.now()));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close().closeAllConnections());
  const client = new McpClient({ url: `http://127.0.0.1:${server.address().port}/mcp` });
  const { content } = await client.callTool("anything");
  assert.equal(content[0].text, "taken up");
  assert.equal(gets.length, 1);
  assert.equal(gets[0].last, "1");
  assert.ok(gets[0].after > 450 && gets[0].after < 1000, `${gets[0].after} ms`);
  await client.close();
});

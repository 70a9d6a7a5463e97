// The fixtures themselves, asked as a client or a page would.

import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "./lib.mjs";
import * as everything from "./everything.mjs";
import * as llm from "./llm.mjs";
import * as modern from "./modern.mjs";
import * as statics from "./static.mjs";

const ACCEPT = "application/json, text/event-stream";

function ask(url, method, params = {}, { signal, headers } = {}) {
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    ...params._meta,
  };
  return fetch(url, {
    method: "POST",
    signal,
    headers: {
      "Content-Type": "application/json",
      Accept: ACCEPT,
      "MCP-Protocol-Version": "2026-07-28",
      "Mcp-Method": method,
      ...(params.name && { "Mcp-Name": params.name }),
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { ...params, _meta } }),
  });
}

test("modern: pages of tools, a call, progress, a failing tool, an unknown one", async (t) => {
  const server = await modern.start();
  t.after(server.close);
  const names = [];
  for (let cursor; ; ) {
    const { result } = await (await ask(server.url, "tools/list", cursor === undefined ? {} : { cursor })).json();
    names.push(...result.tools.map((tool) => tool.name));
    cursor = result.nextCursor;
    if (cursor === undefined) break;
  }
  assert.deepEqual(names, ["add", "echo", "slow", "fail", "write_note", "list_notes"]);
  assert.equal(server.requests.length, 2);

  const sum = await (await ask(server.url, "tools/call", { name: "add", arguments: { a: 17, b: 25 } })).json();
  assert.deepEqual(sum.result.structuredContent, { sum: 42 });
  const slow = await ask(server.url, "tools/call", { name: "slow", arguments: { steps: 2 }, _meta: { progressToken: "p" } });
  assert.match(slow.headers.get("content-type"), /^text\/event-stream/);
  assert.equal((await slow.text()).match(/notifications\/progress/g).length, 2);
  const failed = await (await ask(server.url, "tools/call", { name: "fail", arguments: {} })).json();
  assert.equal(failed.result.isError, true);
  const unknown = await (await ask(server.url, "tools/call", { name: "toString", arguments: {} })).json();
  assert.equal(unknown.error.code, -32602);
});

test("modern: an aborted call stops the tool; notes are kept", async (t) => {
  const server = await modern.start();
  t.after(server.close);
  const abort = new AbortController();
  const params = { name: "slow", arguments: { steps: 1000 }, _meta: { progressToken: 1 } };
  const response = await ask(server.url, "tools/call", params, { signal: abort.signal });
  abort.abort();
  await assert.rejects(response.text());
  for (let tries = 0; tries < 100 && server.state.aborted === 0; tries++) await sleep(20);
  assert.equal(server.state.aborted, 1);
  await ask(server.url, "tools/call", { name: "write_note", arguments: { note: "milk" } });
  assert.deepEqual(server.state.notes, ["milk"]);
});

test("modern: a token is demanded, preflights are answered or refused", async (t) => {
  const server = await modern.start({ token: "secret" });
  t.after(server.close);
  const refused = await ask(server.url, "server/discover");
  assert.equal(refused.status, 401);
  assert.match(refused.headers.get("www-authenticate"), /^Bearer/);
  const headers = { Authorization: "Bearer secret" };
  assert.equal((await ask(server.url, "server/discover", {}, { headers })).status, 200);
  const preflight = await fetch(server.url, { method: "OPTIONS", headers: { "Access-Control-Request-Headers": "mcp-method" } });
  assert.equal(preflight.headers.get("access-control-allow-headers"), "mcp-method");

  const closed = await modern.start({ cors: false });
  t.after(closed.close);
  assert.equal((await fetch(closed.url, { method: "OPTIONS" })).status, 405);
});

test("everything: a session of the 2025 era that a page may use", async (t) => {
  const server = await everything.start();
  t.after(server.close);
  const headers = { "Content-Type": "application/json", Accept: ACCEPT, Origin: "http://page.example" };
  const params = { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "test", version: "0" } };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params });
  const response = await fetch(server.url, { method: "POST", headers, body });
  assert.equal(response.status, 200);
  assert.ok(response.headers.get("mcp-session-id"));
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
  assert.match(response.headers.get("access-control-expose-headers"), /mcp-session-id/);
  assert.match(await response.text(), /"protocolVersion":"2025-06-18"/);
});

const messages = { model: "m", stream: true, messages: [{ role: "user", content: "hi" }] };
const post = (url, value, signal) => fetch(url, { method: "POST", signal, body: JSON.stringify(value) });
const data = (text) => text.split("\n").filter((line) => line.startsWith("data: {")).map((line) => JSON.parse(line.slice(6)));

test("llm: both wires stream text and tool calls, at any chunk size", async (t) => {
  const turn = { text: "Grüße, I will add.", toolCalls: [{ id: "c1", name: "add", input: { a: 17, b: 25 } }] };
  const server = await llm.start({ turns: [turn, { ...turn, chunkBytes: 1 }, turn, { ...turn, splitAt: [3, 40] }] });
  t.after(server.close);
  const anthropic = [];
  for (let round = 0; round < 2; round++) anthropic.push(await (await post(`${server.url}/v1/messages`, messages)).text());
  assert.equal(anthropic[0], anthropic[1]);
  const deltas = data(anthropic[0]).filter((event) => event.type === "content_block_delta").map((event) => event.delta);
  assert.equal(deltas.map((delta) => delta.text ?? "").join(""), turn.text);
  assert.deepEqual(JSON.parse(deltas.map((delta) => delta.partial_json ?? "").join("")), { a: 17, b: 25 });

  const openai = [];
  for (let round = 0; round < 2; round++) openai.push(await (await post(`${server.url}/v1/chat/completions`, messages)).text());
  assert.equal(openai[0], openai[1]);
  const choices = data(openai[0]).map((chunk) => chunk.choices[0].delta);
  assert.equal(choices.map((delta) => delta.content ?? "").join(""), turn.text);
  const json = choices.map((delta) => delta.tool_calls?.[0].function.arguments ?? "").join("");
  assert.deepEqual(JSON.parse(json), { a: 17, b: 25 });
  assert.ok(openai[0].endsWith("data: [DONE]\n\n"));
  assert.deepEqual(server.requests[0].body, messages);
});

test("llm: scripted failures, a broken stream, the end of the script", async (t) => {
  const turns = [{ status: 529, headers: { "retry-after": "2" } }, { text: "never whole", cutAt: 300 }, { hold: true, text: "x" }];
  const server = await llm.start({ turns });
  t.after(server.close);
  const overloaded = await post(`${server.url}/v1/messages`, messages);
  assert.equal(overloaded.status, 529);
  assert.equal(overloaded.headers.get("retry-after"), "2");
  assert.equal((await overloaded.json()).error.type, "overloaded_error");
  await assert.rejects(async () => (await post(`${server.url}/v1/messages`, messages)).text());
  const abort = new AbortController();
  const held = await post(`${server.url}/v1/messages`, messages, abort.signal);
  abort.abort();
  await assert.rejects(held.text());
  for (let tries = 0; tries < 100 && !server.requests[2].aborted; tries++) await sleep(20);
  assert.equal(server.requests[2].aborted, true);
  const over = await post(`${server.url}/v1/messages`, messages);
  assert.equal(over.status, 500);
  assert.match(await over.text(), /no further turn/);
});

test("static: files by mount and type, nothing outside", async (t) => {
  const mounts = { "/": import.meta.dirname, "/up/": `${import.meta.dirname}/..` };
  const server = await statics.start({ mounts, files: { "/hello.json": ["application/json", "{}"] } });
  t.after(server.close);
  const own = await fetch(`${server.url}static.mjs`);
  assert.equal(own.headers.get("content-type"), "text/javascript; charset=utf-8");
  assert.equal((await fetch(`${server.url}up/package.json`)).headers.get("content-type"), "application/json");
  assert.equal(await (await fetch(`${server.url}hello.json`)).text(), "{}");
  assert.equal((await fetch(`${server.url}..%2fpackage.json`)).status, 404);
  assert.equal((await fetch(`${server.url}missing`)).status, 404);
});

// The page's own tools as a server, and remote tools lent to the page: in Chromium with its WebMCP, and with a scripted
// `modelContext` where the browser has none.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";

import * as modern from "../servers/modern.mjs";
import { start as serveFiles } from "../servers/static.mjs";
import { launch, project, started } from "./lib.mjs";

const { path } = await project();
const IMPORTS = '<script type="importmap">{"imports":{"edgewise":"/edgewise/browser.js","edgewise/page":"/edgewise/page.js"}}</script>';

/** Pages in a Chromium with these flags. */
async function pages(flags) {
  const browser = await launch(flags);
  const site = await serveFiles({
    mounts: { "/edgewise/": join(path, "node_modules/edgewise") },
    files: { "/": ["text/html", `<!doctype html><title>page tools</title>${IMPORTS}`] },
  });
  after(() => site.close());
  return async () => {
    const page = await browser.newPage();
    page.setDefaultTimeout(20_000);
    await page.goto(site.url);
    return page;
  };
}

/** A model context by the shape that Chromium has, for browsers without one. */
function polyfill() {
  class Context extends EventTarget {
    #tools = new Map();
    #changed = () => queueMicrotask(() => this.dispatchEvent(new Event("toolchange")));
    async registerTool(tool, { signal } = {}) {
      if (this.#tools.has(tool.name)) throw new DOMException("a tool of that name is registered", "InvalidStateError");
      this.#tools.set(tool.name, tool);
      signal?.addEventListener("abort", () => this.#tools.delete(tool.name) && this.#changed());
      this.#changed();
    }
    async getTools() {
      return [...this.#tools.values()].map(({ execute, ...tool }) => ({ ...tool, inputSchema: JSON.stringify(tool.inputSchema ?? {}), origin: location.origin }));
    }
    async executeTool({ name }, input, { signal } = {}) {
      const aborted = new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
      const value = await Promise.race([this.#tools.get(name).execute(input, {}), aborted]);
      return typeof value === "string" ? value : JSON.stringify(value);
    }
  }
  Object.defineProperty(document, "modelContext", { value: new Context() });
}

/** What all tests need in the page: some tools, an agent with them, and a way to see what its run does. */
async function prepare(page) {
  await page.evaluate(async () => {
    const { init, Agent } = await import("edgewise");
    const { pageServer, lendTools } = await import("edgewise/page");
    await init();
    const context = document.modelContext;
    const done = [];
    const number = { type: "number" };
    const add = {
      name: "add", title: "Add", description: "Adds two numbers.", annotations: { readOnlyHint: true },
      inputSchema: { type: "object", properties: { a: number, b: number }, required: ["a", "b"] },
      execute: async ({ a, b }) => ({ content: [{ type: "text", text: `the sum is ${a + b}` }] }),
    };
    const store = { name: "store_note", description: "Stores a note.", inputSchema: { type: "object", properties: { note: { type: "string" } } }, execute: async ({ note }) => (done.push(note), { stored: done.length }) };
    globalThis.world = { Agent, pageServer, lendTools, context, done, add, store };
    world.agent = (options) => new Agent({ model: { provider: "offline" }, servers: [pageServer()], ...options });
    world.run = async (agent, prompt, onApproval) => {
      const events = [];
      const run = agent.run(prompt);
      for await (const event of run) {
        events.push(event);
        if (event.type === "approval_request") onApproval?.(run, event);
      }
      return events;
    };
  });
}

const kinds = [
  ["Chromium's own", ["--enable-features=WebMCP"], false],
  ["a scripted one", [], true],
];
for (const [label, args, scripted] of kinds) {
  const open = await pages(args);
  const fresh = async () => {
    const page = await open();
    if (scripted) await page.evaluate(polyfill);
    assert.ok(await page.evaluate(() => typeof document.modelContext?.getTools === "function"), "there is a model context");
    await prepare(page);
    return page;
  };

  test(`the page's tools are a server's, ${label}`, async () => {
    const page = await fresh();
    const outcome = await page.evaluate(async () => {
      const { agent: make, context, add, store, run, done } = world;
      await context.registerTool(add);
      await context.registerTool(store);
      const agent = make();
      await agent.connect();
      const tools = agent.tools().map(({ name, title, annotations }) => [name, title, annotations.readOnly]);
      const events = await run(agent, "What is 17 + 25?");
      const asked = [];
      const stored = await run(agent, 'store note "milk"', (it, event) => (asked.push(event.name), it.approve(event.id)));
      const denied = await run(agent, 'store note "beer"', (it, event) => it.deny(event.id));
      const by = await agent.callTool("page.store_note", { note: "tea" });
      return { tools, events, asked, stored, denied, done, by, info: agent.servers()[0] };
    });
    assert.deepEqual(outcome.tools, [["page.add", "Add", true], ["page.store_note", undefined, false]]);
    assert.deepEqual([outcome.info.name, outcome.info.state], ["page", "ready"]);
    assert.match(outcome.events.find(({ type }) => type === "tool_result").content[0].text, /the sum is 42/);
    assert.ok(!outcome.events.some(({ type }) => type === "approval_request"), "it only reads");
    assert.deepEqual(outcome.asked, ["page.store_note"]);
    assert.equal(outcome.denied.find(({ type }) => type === "tool_result").outcome, "denied");
    assert.deepEqual(outcome.done, ["milk", "tea"]);
    assert.deepEqual(outcome.by.structuredContent, { stored: 2 });
    await page.close();
  });

  test(`tools come and go with the page, fail and are cancelled, ${label}`, async () => {
    const page = await fresh();
    const outcome = await page.evaluate(async () => {
      const { agent: make, context, add, run } = world;
      const agent = make({ approval: "never" });
      await agent.connect();
      const names = () => agent.tools().map(({ name }) => name);
      const before = names();
      const registered = new AbortController();
      await context.registerTool(add, { signal: registered.signal });
      await run(agent, "What is 1 + 2?");
      const during = names();
      registered.abort();
      await run(agent, "What is 1 + 2?");
      const afterwards = names();
      const gone = await agent.callTool("page.add", { a: 1, b: 2 }).catch((error) => error.code);
      await context.registerTool({ name: "fail", description: "Fails.", execute: async () => Promise.reject(new Error("not today")) });
      await context.registerTool({ name: "hang", description: "Hangs.", execute: () => new Promise(() => {}) });
      await context.registerTool({ name: "say", description: "Says.", execute: async () => "plain words" });
      await context.registerTool({ name: "nothing", description: "Says nothing.", execute: async () => null });
      await run(agent, "hello");
      const failed = await agent.callTool("page.fail", {});
      const said = await agent.callTool("page.say", {});
      const nothing = await agent.callTool("page.nothing", {});
      const hung = agent.callTool("page.hang", {}, { signal: AbortSignal.timeout(200) }).catch((error) => error.code);
      return { before, during, afterwards, gone, failed: failed.isError, said: said.content[0].text, nothing: nothing.content.length, hung: await hung };
    });
    assert.deepEqual(outcome, {
      before: [], during: ["page.add"], afterwards: [], gone: outcome.gone, failed: true, said: "plain words", nothing: 1, hung: "cancelled",
    });
    assert.match(outcome.gone, /misuse|protocol|provider/);
    await page.close();
  });

  test(`remote tools are lent to the page, ${label}`, async (t) => {
    const { url, state } = await started(t, modern);
    const page = await fresh();
    const outcome = await page.evaluate(async (url) => {
      const { Agent, pageServer, lendTools, context, add } = world;
      await context.registerTool({ ...add, name: "notes.echo", description: "The page's own.", execute: async () => "mine" });
      const agent = new Agent({ model: { provider: "offline" }, servers: [{ name: "notes", url }, pageServer()] });
      await agent.connect();
      const asked = [];
      const lending = lendTools(agent, { tools: () => true, approve: (call) => (asked.push(call.name), call.input.note !== "no") });
      const lent = await lending.update();
      const tools = await context.getTools();
      const call = async (name, input) => context.executeTool(tools.find((tool) => tool.name === name), input).then(String, () => "refused");
      const sum = await call("notes.add", { a: 40, b: 2 });
      const own = await call("notes.echo", { message: "x" });
      const written = await call("notes.write_note", { note: "yes" });
      const refused = await call("notes.write_note", { note: "no" });
      // What was lent is not offered to the agent that lent it.
      const again = new Agent({ model: { provider: "offline" }, servers: [pageServer()] });
      await again.connect();
      const seen = again.tools().map(({ name }) => name);
      await agent.removeServer("notes");
      const left = await lending.update();
      const reading = lendTools(again);
      lending.stop();
      const end = (await context.getTools()).map(({ name }) => name);
      return { lent, asked, sum, own, written, refused, seen, left, reads: await reading.update(), end };
    }, url);
    assert.deepEqual(outcome.lent.toSorted(), ["notes.add", "notes.fail", "notes.list_notes", "notes.slow", "notes.write_note"]);
    assert.match(outcome.sum, /42/);
    assert.equal(outcome.own, "mine");
    assert.match(outcome.written, /stored note 1/);
    assert.equal(outcome.refused, "refused");
    assert.deepEqual(state.notes, ["yes"]);
    assert.deepEqual(outcome.asked, ["notes.add", "notes.write_note", "notes.write_note"]);
    assert.deepEqual([outcome.seen, outcome.left, outcome.reads, outcome.end], [["page.notes.echo"], [], [], ["notes.echo"]]);
    await page.close();
  });
}

test("where no tools can be had, the server has none", async () => {
  const open = await pages([]);
  const page = await open();
  const outcome = await page.evaluate(async () => {
    const { init, Agent } = await import("edgewise");
    const { pageServer, lendTools } = await import("edgewise/page");
    await init();
    const agent = new Agent({ model: { provider: "offline" }, servers: [pageServer({ name: "here" })] });
    await agent.connect();
    return { state: agent.servers()[0].state, tools: agent.tools(), lent: await lendTools(agent).update(), context: typeof document.modelContext };
  });
  assert.deepEqual(outcome, { state: "ready", tools: [], lent: [], context: "undefined" });
});

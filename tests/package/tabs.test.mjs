// The tabs of an origin in Chromium: one listens to a server for all of them, until it goes or is killed.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";

import * as everything from "../servers/everything.mjs";
import * as modern from "../servers/modern.mjs";
import { kill, launch, project, serve, started, visit } from "./lib.mjs";

const script = `
  import { Agent, init, McpClient } from "./node_modules/edgewise/browser.js";
  await init();
  const told = [];
  const sent = [];
  const model = { async *generate({ messages }) {
    sent.push(messages.at(-1).content.map(({ text }) => text).join(" "));
    yield "ok";
  } };
  Object.assign(globalThis, { told, sent, async follow(url, uri) {
    const agent = new Agent({ model, servers: [{ name: "library", url }], context: { embed: false } });
    globalThis.chat = agent.conversation("c");
    await chat.subscribe("library", uri);
    for await (const change of chat.changes()) told.push(change.difference);
  }, async watch(url, filter, headers) {
    globalThis.client = new McpClient({ url, headers });
    const stop = (globalThis.stop = new AbortController());
    for await (const change of client.watch(filter, { signal: stop.signal })) told.push(change.type + (change.uri ? " " + change.uri : ""));
  } });
  globalThis.ready = true;`;
const { path } = await project({ "tab.html": `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">${script}</script>` });
const site = await serve(path);
const browser = await launch();

/** A browser of its own, whose tabs share what tabs share. */
async function tabs(t, before) {
  const context = await visit(t, browser, { before });
  return async (url, filter, headers) => {
    const page = await context.newPage();
    await page.goto(`${site.url}tab.html`);
    await page.waitForFunction(() => globalThis.ready);
    await page.evaluate(([url, filter, headers]) => void watch(url, filter, headers).catch(() => {}), [url, filter, headers]);
    const upTo = async (count) => {
      await page.waitForFunction((count) => told.length >= count, count, { timeout: 15_000 });
      return page.evaluate(() => told);
    };
    return { page, upTo };
  };
}

const listens = (server) => server.requests.filter(({ headers }) => headers["mcp-method"] === "subscriptions/listen").length;
const uri = "docs://library/alpha.md";

test("ten tabs have one stream, more than the connections that a browser gives a server", async (t) => {
  const server = await started(t, modern, { changes: true });
  const open = await tabs(t);
  const all = [];
  for (let count = 0; count < 10; count += 1) {
    const tab = await open(server.url, { tools: true });
    await tab.upTo(1);
    all.push(tab);
  }
  assert.equal(listens(server), 1);
  server.notify.toolsChanged();
  for (const tab of all) assert.deepEqual(await tab.upTo(2), ["watching", "tools_changed"]);
  const names = await all[9].page.evaluate(async () => (await client.listTools()).tools.map(({ name }) => name));
  assert.ok(names.includes("add"));
});

for (const [how, end] of [["goes", ({ page }) => page.close()], ["stops watching", ({ page }) => page.evaluate(() => stop.abort())], ["is killed mid-stream", ({ page }) => kill(page)]]) {
  test(`when the tab that listens ${how}, another one listens, and all are told of the gap`, async (t) => {
    const server = await started(t, modern, { changes: true });
    const open = await tabs(t);
    const first = await open(server.url, { tools: true, uris: [uri] });
    await first.upTo(1);
    const others = [await open(server.url, { tools: true }), await open(server.url, { uris: [uri] })];
    for (const other of others) await other.upTo(1);
    assert.equal(listens(server), 1);
    await end(first);
    for (const other of others) assert.deepEqual(await other.upTo(2), ["watching", "gap"]);
    server.notify.resourceUpdated(uri);
    server.notify.toolsChanged();
    assert.deepEqual(await others[0].upTo(3), ["watching", "gap", "tools_changed"]);
    assert.deepEqual(await others[1].upTo(3), ["watching", "gap", `resource_updated ${uri}`]);
    assert.ok(listens(server) <= 3, `${listens(server)} streams`);
  });
}

test("tabs with different credentials share nothing", async (t) => {
  const server = await started(t, modern, { changes: true });
  const open = await tabs(t);
  for (const key of ["a", "b"]) await (await open(server.url, { tools: true }, { "x-key": key })).upTo(1);
  assert.equal(listens(server), 2);
});

test("an older server with sessions has one stream for all tabs too", async (t) => {
  const server = await started(t, everything);
  const open = await tabs(t);
  const resource = "demo://resource/dynamic/text/1";
  const first = await open(server.url, { uris: [resource] });
  await first.upTo(1);
  const second = await open(server.url, { uris: [resource] });
  await second.upTo(1);
  await kill(first.page);
  assert.deepEqual((await second.upTo(2)).slice(0, 2), ["watching", "gap"]);
});

const missing = {
  "Web Locks": () => Object.defineProperty(Navigator.prototype, "locks", { value: undefined }),
  BroadcastChannel: () => delete globalThis.BroadcastChannel,
  "either of them": () => {
    Object.defineProperty(Navigator.prototype, "locks", { value: undefined });
    delete globalThis.BroadcastChannel;
  },
};
for (const [what, remove] of Object.entries(missing)) {
  test(`tabs without ${what} each watch for themselves, and none minds the end of another`, async (t) => {
    const server = await started(t, modern, { changes: true });
    const open = await tabs(t, remove);
    const all = [await open(server.url, { tools: true }), await open(server.url, { uris: [uri] })];
    for (const tab of all) await tab.upTo(1);
    const gone = await all[0].page.evaluate(() => [Boolean(navigator.locks), Boolean(globalThis.BroadcastChannel)]);
    assert.deepEqual(gone, [what === "BroadcastChannel", what === "Web Locks"], "the page has what the test says");
    assert.equal(listens(server), 2);
    server.notify.toolsChanged();
    server.notify.resourceUpdated(uri);
    assert.deepEqual(await all[0].upTo(2), ["watching", "tools_changed"]);
    assert.deepEqual(await all[1].upTo(2), ["watching", `resource_updated ${uri}`]);
    await kill(all[0].page);
    server.notify.resourceUpdated(uri);
    assert.deepEqual(await all[1].upTo(3), ["watching", `resource_updated ${uri}`, `resource_updated ${uri}`]);
    assert.equal(listens(server), 2, "and nobody had to listen anew");
  });

  test(`what a conversation follows is told and shown in a tab without ${what}`, async (t) => {
    const server = await started(t, modern, { changes: true });
    const context = await visit(t, browser, { before: remove });
    const page = await context.newPage();
    await page.goto(`${site.url}tab.html`);
    await page.waitForFunction(() => globalThis.ready);
    await page.evaluate(([url, uri]) => void follow(url, uri), [server.url, "docs://library/beta.md"]);
    for (let tries = 0; listens(server) === 0 && tries < 500; tries += 1) await sleep(20);
    server.state.texts.beta = "# beta\n\nGrüße aus gamma.";
    server.notify.resourceUpdated("docs://library/beta.md");
    await page.waitForFunction(() => told.length > 0, undefined, { timeout: 15_000 });
    assert.deepEqual(await page.evaluate(() => told), ["@ # beta\n- Grüße aus beta.\n+ Grüße aus gamma.\n"]);
    await page.evaluate(() => chat.send("Thank you!", { signal: AbortSignal.timeout(15_000) }).result);
    // It was shown nothing of it before, so it is shown all of it.
    assert.match(await page.evaluate(() => sent.at(-1)), /<source change [^]*Grüße aus gamma\.[^]*Thank you!$/);
  });
}

// The tabs of an origin in Chromium: one listens to a server for all of them, until it goes or is killed.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as everything from "../servers/everything.mjs";
import * as modern from "../servers/modern.mjs";
import { launch, project, serve, started } from "./lib.mjs";

const script = `
  import { init, McpClient } from "./node_modules/edgewise/browser.js";
  await init();
  const told = [];
  Object.assign(globalThis, { told, async watch(url, filter, headers) {
    globalThis.client = new McpClient({ url, headers });
    const stop = (globalThis.stop = new AbortController());
    for await (const change of client.watch(filter, { signal: stop.signal })) told.push(change.type + (change.uri ? " " + change.uri : ""));
  } });
  globalThis.ready = true;`;
const { path } = await project({ "tab.html": `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">${script}</script>` });
const site = await serve(path);
const browser = await launch();

/** A browser of its own, whose tabs share what tabs share. */
async function tabs(t) {
  const context = await browser.newContext();
  t.after(() => context.close());
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

/** Kills the tab's process, without a chance to say goodbye. */
async function kill({ page }) {
  const session = await page.context().newCDPSession(page);
  const crashed = page.waitForEvent("crash");
  session.send("Page.crash").catch(() => {});
  await crashed;
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

for (const [how, end] of [["goes", ({ page }) => page.close()], ["stops watching", ({ page }) => page.evaluate(() => stop.abort())], ["is killed mid-stream", kill]]) {
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
  await kill(first);
  assert.deepEqual((await second.upTo(2)).slice(0, 2), ["watching", "gap"]);
});

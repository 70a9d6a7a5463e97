// The tabs of an origin in Chromium: one session of an older server for all of them.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as counting from "../servers/counting.mjs";
import * as everything from "../servers/everything.mjs";
import { kill, launch, project, serve, started, visit } from "./lib.mjs";

const script = `
  import { init, McpClient } from "./node_modules/edgewise/browser.js";
  await init();
  const told = [];
  Object.assign(globalThis, {
    told,
    /** Answers forms with its own name, if it has one. */
    connect(url, options, name) {
      const onInput = name && (() => ({ action: "accept", content: { name } }));
      globalThis.client = new McpClient({ url, ...options, ...(name && { onInput }) });
    },
    async call(tool, args) {
      const { content } = await client.callTool(tool, args);
      return content.map(({ text }) => text).join("\\n");
    },
    async watch(uris) {
      for await (const { type } of client.watch({ uris })) told.push(type);
    },
  });
  globalThis.ready = true;`;
const { path } = await project({ "tab.html": `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">${script}</script>` });
const site = await serve(path);
const browser = await launch();

const uri = "demo://resource/dynamic/text/1";

/** server-everything behind what counts, and a browser of its own. */
async function world(t) {
  const { url: target } = await started(t, everything);
  const server = await started(t, counting, { target });
  const context = await visit(t, browser);
  const open = async (options, name) => {
    const page = await context.newPage();
    await page.goto(`${site.url}tab.html`);
    await page.waitForFunction(() => globalThis.ready);
    await page.evaluate(([url, options, name]) => connect(url, options, name), [server.url, options, name]);
    return {
      page,
      call: (tool, args = {}) => page.evaluate(([tool, args]) => call(tool, args), [tool, args]),
      close: () => page.evaluate(() => client.close()),
      async watch() {
        await page.evaluate((uri) => void watch([uri]).catch(() => {}), uri);
        await page.waitForFunction(() => told.includes("watching"), null, { timeout: 15_000 });
      },
      told: () => page.evaluate(() => told),
    };
  };
  return { server, open };
}

/** No request id was used twice in a session. */
function assertIdsDiffer({ seen }) {
  const all = seen.filter(({ id, session, method }) => method && session && id !== undefined).map(({ id, session }) => `${session} ${id}`);
  assert.ok(all.length > 1);
  assert.deepEqual(all.filter((one, at) => all.indexOf(one) !== at), []);
}

test("tabs that come at once have one session, and the last one ends it", async (t) => {
  const { server, open } = await world(t);
  const tabs = await Promise.all(Array.from({ length: 6 }, () => open()));
  const said = await Promise.all(tabs.map((tab, at) => tab.call("echo", { message: `tab ${at}` })));
  said.forEach((text, at) => assert.match(text, new RegExp(`tab ${at}$`)));
  assert.deepEqual([server.count("initialize"), server.count("notifications/initialized"), server.sessions.length], [1, 1, 1]);
  assertIdsDiffer(server);
  for (const tab of tabs.slice(1)) await tab.close();
  assert.equal(server.count("DELETE"), 0);
  assert.match(await tabs[0].call("echo", { message: "still there" }), /still there/);
  await tabs[0].close();
  assert.equal(server.count("DELETE"), 1);
  // Whoever comes now begins a session of its own.
  assert.match(await (await open()).call("echo", { message: "again" }), /again/);
  assert.equal(server.sessions.length, 2);
});

test("the tab that listens is killed mid-stream: the next one goes on in the same session", async (t) => {
  const { server, open } = await world(t);
  const tabs = [await open(), await open(), await open()];
  for (const tab of tabs) await tab.watch();
  await tabs[0].call("toggle-subscriber-updates");
  for (const { page } of tabs) await page.waitForFunction(() => told.includes("resource_updated"), null, { timeout: 15_000 });
  const long = tabs[1].call("trigger-long-running-operation", { duration: 3, steps: 3 });
  await kill(tabs[0].page);
  for (const { page } of tabs.slice(1)) {
    await page.waitForFunction(() => told.lastIndexOf("resource_updated") > told.indexOf("gap") && told.includes("gap"), null, { timeout: 20_000 });
  }
  assert.match(await long, /completed/);
  assert.deepEqual([server.count("initialize"), server.sessions.length, server.mostStreams], [1, 1, 1]);
  // One that comes now joins what the first one began.
  assert.match(await (await open()).call("echo", { message: "late" }), /late/);
  assert.equal(server.sessions.length, 1);
  assertIdsDiffer(server);
});

test("a session that the server forgot is begun anew once for all tabs", async (t) => {
  const { server, open } = await world(t);
  const tabs = [await open(), await open(), await open()];
  for (const tab of tabs) await tab.call("echo", { message: "before" });
  await server.forget(server.sessions[0]);
  const said = await Promise.all(tabs.map((tab, at) => tab.call("echo", { message: `after ${at}` })));
  said.forEach((text, at) => assert.match(text, new RegExp(`after ${at}$`)));
  assert.deepEqual([server.count("initialize"), server.sessions.length], [2, 2]);
  assertIdsDiffer(server);
});

test("what a server asks during a call is put to the tab of that call", async (t) => {
  const { server, open } = await world(t);
  const tabs = [await open({}, "Ada"), await open({}, "Bob")];
  const said = await Promise.all(tabs.map((tab) => tab.call("trigger-elicitation-request")));
  assert.match(said[0], /Ada/);
  assert.match(said[1], /Bob/);
  assert.deepEqual([server.count("initialize"), server.sessions.length], [1, 1]);
  assert.ok(server.mostStreams <= 1, `${server.mostStreams} streams`);
  await kill(tabs[0].page);
  assert.match(await tabs[1].call("trigger-elicitation-request"), /Bob/);
  assert.equal(server.sessions.length, 1);
});

test("who wants a session of its own has one, and so have other credentials and other options", async (t) => {
  const { server, open } = await world(t);
  const tabs = [await open({ session: "own" }), await open({ session: "own" }), await open({ headers: { "x-key": "a" } }), await open({}, "Ada"), await open()];
  for (const tab of tabs) await tab.call("echo", { message: "hello" });
  assert.equal(server.sessions.length, 5);
  for (const tab of tabs) await tab.close();
  assert.equal(server.count("DELETE"), 5);
});

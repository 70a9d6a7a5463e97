// Tools of the page itself (WebMCP, by Chromium's own), remote tools lent to it, and tools that a server has changed.

import assert from "node:assert/strict";
import { start as startModern } from "../servers/modern.mjs";
import { body, cors, listen } from "../servers/lib.mjs";
import { until } from "../package/lib.mjs";
import { addServer, answered, ask, card, cardState, openTab, scene, serverState, shot, withServers } from "./page.mjs";

const flags = ["--enable-features=WebMCP"];

scene("tools that the page registers can be called, under the same policy", { flags }, async ({ page }) => {
  await page.evaluate(() =>
    document.modelContext.registerTool({
      name: "store_note", description: "Stores a note.",
      inputSchema: { type: "object", properties: { note: { type: "string" } }, required: ["note"] },
      execute: async ({ note }) => ((document.title = note), "stored"),
    }),
  );
  // It is there without a run.
  const entry = await serverState(page, "page", "ready");
  assert.match(await entry.innerText(), /1 tool/);
  await ask(page, 'store note "milk"');
  const waiting = await cardState(page, "store_note", "waiting");
  assert.match(await waiting.innerText(), /Allow store_note\?/);
  await shot(page, "page-tools");
  await waiting.getByRole("button", { name: "Allow", exact: true }).click();
  await cardState(page, "store_note", "ok");
  await answered(page);
  assert.equal(await page.title(), "milk");
});

scene("reading tools of servers are lent to the page and taken back", { flags }, ({ page }) =>
  withServers({ modern: startModern() }, async ({ modern }) => {
    await addServer(page, { url: modern.url, name: "notes" });
    await serverState(page, "notes", "ready");
    await page.check("#lend");
    const names = () => page.evaluate(async () => (await document.modelContext.getTools()).map(({ name }) => name).sort());
    await until(page, async () => (await document.modelContext.getTools()).length === 4);
    assert.deepEqual(await names(), ["notes.add", "notes.echo", "notes.list_notes", "notes.slow"]);
    const sum = await page.evaluate(async () => {
      const tools = await document.modelContext.getTools();
      return document.modelContext.executeTool(tools.find(({ name }) => name === "notes.add"), { a: 40, b: 2 });
    });
    assert.match(sum, /42/);
    await page.uncheck("#lend");
    await until(page, async () => (await document.modelContext.getTools()).length === 0);
  }),
);

scene("a tool that has changed is told of and asked for", {}, ({ page }) => {
  const tool = { name: "note", description: "Notes something.", annotations: { readOnlyHint: true }, inputSchema: { type: "object", properties: {} } };
  const started = listen(async (request, response) => {
    if (cors(request, response, "")) return;
    const { id, method } = JSON.parse(await body(request));
    const results = {
      "server/discover": { supportedVersions: ["2026-07-28"], capabilities: { tools: {} } },
      "tools/list": { tools: [tool] },
      "tools/call": { content: [{ type: "text", text: "noted" }] },
    };
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ jsonrpc: "2.0", id, result: { resultType: "complete", ...results[method] } }));
  });
  return withServers({ changing: started }, async ({ changing }) => {
    await addServer(page, { url: `${changing.origin}/mcp`, name: "changing" });
    await serverState(page, "changing", "ready");
    await ask(page, "note");
    await cardState(page, "note", "ok");
    await answered(page);
    tool.description = "Notes something, and tells everybody.";
    await page.reload();
    await page.waitForSelector("html[data-ready]", { state: "attached" });
    await addServer(page, { url: `${changing.origin}/mcp`, name: "changing" });
    await serverState(page, "changing", "ready");
    await ask(page, "note");
    const told = page.locator(".notice.changed");
    await told.waitFor();
    assert.equal(await told.innerText(), "changing has changed its tool note: its description is not as before. Its next call waits for your approval.");
    await shot(page, "tool-changed");
    await card(page, "note").getByRole("button", { name: "Allow", exact: true }).click();
    await cardState(page, "note", "ok");
    await answered(page);
    await openTab(page, "servers");
  });
});

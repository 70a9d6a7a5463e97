// What is kept in the browser: how much, what the cache has saved, a file to take along, and removal.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { start as startLlm } from "../servers/llm.mjs";
import { start as startModern } from "../servers/modern.mjs";
import { addServer, answered, ask, cardState, openTab, PHONE, scene, serverState, shot, useModel, withServers } from "./page.mjs";

const shows = (page, pattern, selector = "#storage") =>
  page.waitForFunction(([selector, source]) => new RegExp(source).test(document.querySelector(selector).innerText), [selector, pattern.source]);

for (const [label, options] of [["desktop", {}], ["phone", { viewport: PHONE, theme: "dark" }]]) {
  scene(`what is kept is shown, taken along, removed and brought back, ${label}`, options, ({ page }) =>
    withServers({ modern: startModern() }, async ({ modern }) => {
      await addServer(page, { url: modern.url, name: "notes" });
      await serverState(page, "notes", "ready");
      if (await page.isVisible("#panel-close")) await page.click("#panel-close");
      await ask(page, 'Echo the message "hello"');
      await cardState(page, "echo", "ok");
      await answered(page);
      await openTab(page, "storage");
      await shows(page, /are kept in this browser \(IndexedDB\)/);
      await shows(page, /Answers of servers\s+[1-9]/);
      await shows(page, /notes\s+\d+ of \d+ answered/, "#cache-servers");
      await shot(page, `storage-${label}`);

      const [download] = await Promise.all([page.waitForEvent("download"), page.click("#storage-export")]);
      assert.equal(download.suggestedFilename(), "edgewise.ndjson");
      const file = await download.path();
      assert.match(await readFile(file, "utf8"), /^\{"edgewise":"archive"/);
      await page.click("#cache-clear");
      await shows(page, /The cache is empty/);
      await page.click("#storage-remove");
      await page.getByRole("button", { name: "Really remove everything" }).click();
      await shows(page, /Everything was removed/);
      await shows(page, /0 bytes are kept/);
      await page.setInputFiles("#storage-file", file);
      await shows(page, /\d+ records were brought back/);
      await shows(page, /Answers of servers\s+[1-9]/);
      await page.setInputFiles("#storage-file", { name: "x.ndjson", mimeType: "application/x-ndjson", buffer: Buffer.from("hello") });
      await shows(page, /file: it is no archive of this package/);
    }),
  );
}

for (const [label, options] of [["light", {}], ["dark", { theme: "dark" }], ["phone", { viewport: PHONE }]]) {
  scene(`a conversation is removed, brought back and gone on with, ${label}`, options, ({ page }) =>
    withServers({ llm: startLlm() }, async ({ llm }) => {
      const questions = () => page.locator(".question").allTextContents();
      await useModel(page, llm);
      await page.locator("#panel-close").waitFor({ state: "hidden" });
      llm.push({ text: "It is blue." }, { text: "I have told you: blue." });
      await ask(page, "What colour is the sea?");
      await answered(page);
      await openTab(page, "storage");
      await shows(page, /Conversations\s+page-\S+ 3 records/);
      await shot(page, `conversations-${label}`);
      const [download] = await Promise.all([page.waitForEvent("download"), page.click("#storage-export")]);
      const file = await download.path();

      await page.getByRole("button", { name: "Remove the conversation page-" }).click();
      await shows(page, /The conversation page-\S+ was removed/);
      await page.locator("#hero").waitFor({ state: "attached" });
      assert.deepEqual(await questions(), []);
      await page.locator("#storage-chats li").waitFor({ state: "detached" });

      await page.setInputFiles("#storage-file", file);
      await shows(page, /\d+ records were brought back/);
      await page.locator(".question").waitFor({ state: "attached" });
      assert.deepEqual(await questions(), ["You: What colour is the sea?"]);
      if (await page.isVisible("#panel-close")) await page.click("#panel-close");
      await ask(page, "And now?");
      await answered(page);
      assert.deepEqual(llm.requests.at(-1).body.messages.filter(({ role }) => role !== "system").map(({ role }) => role), ["user", "assistant", "user"]);
      assert.deepEqual(await questions(), ["You: What colour is the sea?", "You: And now?"]);

      await openTab(page, "storage");
      await page.click("#storage-remove");
      await page.getByRole("button", { name: "Really remove everything" }).click();
      await shows(page, /0 bytes are kept/);
      assert.deepEqual(await questions(), []);
      await shot(page, `conversations-removed-${label}`);
      await page.reload();
      await page.waitForSelector("html[data-ready]", { state: "attached" });
      assert.deepEqual(await questions(), []);
    }),
  );
}

// Runs that outlive a reload of the page, and their logs as files.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { start as startLlm } from "../servers/llm.mjs";
import { start as startModern } from "../servers/modern.mjs";
import { addServer, answered, ask, calls, cardState, PHONE, scene, serverState, shot, useModel, withServers } from "./page.mjs";

const note = { note: "Call Ada at five" };

for (const [label, options] of [["desktop", {}], ["phone", { viewport: PHONE, theme: "dark" }]]) {
  scene(`an approval outlives a reload, ${label}`, options, ({ page }) =>
    withServers({ llm: startLlm(), modern: startModern() }, async ({ llm, modern }) => {
      await useModel(page, llm);
      await addServer(page, { url: modern.url, name: "modern", remember: true });
      await serverState(page, "modern", "ready");
      if (await page.isVisible("#panel-close")) await page.click("#panel-close");
      llm.push(calls("write_note", note, { text: "I will store that." }), { text: "Stored." });
      await ask(page, "Remember to call Ada at five");
      await cardState(page, "write_note", "waiting");

      await page.reload();
      await page.waitForSelector("html[data-ready]", { state: "attached" });
      const waiting = await cardState(page, "write_note", "waiting");
      assert.equal(await page.locator(".question").textContent(), "You: Remember to call Ada at five");
      assert.equal(await page.locator(".answer .prose").first().textContent(), "I will store that.");
      assert.deepEqual(modern.state.notes, []);
      await shot(page, `resumed-${label}`);
      await waiting.getByRole("button", { name: "Allow", exact: true }).click();
      const answer = await answered(page);
      assert.equal(await answer.locator(".prose").last().textContent(), "Stored.");
      assert.deepEqual(modern.state.notes, [note.note]);
      assert.equal(llm.requests.length, 2, "the model was not asked again for what it had said");

      // The log is that of the whole run, from before the reload on.
      const [download] = await Promise.all([page.waitForEvent("download"), answer.getByRole("button", { name: "Save log" }).click()]);
      const lines = (await readFile(await download.path(), "utf8")).trimEnd().split("\n").map((line) => JSON.parse(line));
      assert.equal(lines[0].edgewise, 1);
      const facts = lines.slice(1).flatMap(([, ...facts]) => facts.map(([name]) => name));
      assert.equal(facts.filter((name) => name === "tool_ended").length, 1);
      assert.ok(facts.indexOf("resumed") < facts.indexOf("approved"), facts.join());

      // What has ended is not gone on with, and stays what was said.
      await page.reload();
      await page.waitForSelector("html[data-ready]", { state: "attached" });
      await cardState(page, "write_note", "ok");
      assert.deepEqual(await page.locator(".question").allTextContents(), ["You: Remember to call Ada at five"]);
      assert.deepEqual(await page.locator(".answer .prose").allTextContents(), ["I will store that.", "Stored."]);
      assert.equal(await page.locator("#live").textContent(), "", "what is long known is not announced");
      await shot(page, `recalled-${label}`);
      assert.equal(llm.requests.length, 2);
      llm.push({ text: "At five." });
      await ask(page, "When?");
      await answered(page);
      assert.equal(llm.requests.at(-1).body.messages.filter(({ role }) => role === "user").length, 2, "the model knows what was said");

      await page.getByRole("button", { name: "New chat" }).click();
      await page.reload();
      await page.waitForSelector("html[data-ready]", { state: "attached" });
      await page.locator("#hero").waitFor();
      assert.equal(await page.locator(".question").count(), 0);
    }),
  );
}

scene("a run whose server the page has forgotten waits for it, or is dropped", {}, ({ page }) =>
  withServers({ llm: startLlm(), modern: startModern() }, async ({ llm, modern }) => {
    const reload = async () => {
      await page.reload();
      await page.waitForSelector("html[data-ready]", { state: "attached" });
    };
    const add = async () => {
      await addServer(page, { url: modern.url, name: "modern" });
      await serverState(page, "modern", "ready");
    };
    await useModel(page, llm);
    await add();
    llm.push(calls("write_note", note), { text: "Stored." });
    await ask(page, "Remember to call Ada at five");
    await cardState(page, "write_note", "waiting");

    await reload();
    const left = page.locator(".left-open");
    assert.match(await left.innerText(), /“Remember to call Ada at five” was left open, and this page does not remember modern any more/);
    await shot(page, "left-open");
    await add();
    await left.getByRole("button", { name: "Go on" }).click();
    const waiting = await cardState(page, "write_note", "waiting");
    await waiting.getByRole("button", { name: "Allow", exact: true }).click();
    await answered(page);
    assert.deepEqual(modern.state.notes, [note.note]);

    llm.push(calls("write_note", note));
    await ask(page, "Once more");
    await cardState(page, "write_note", "waiting");
    await reload();
    await left.getByRole("button", { name: "Drop it" }).click();
    await reload();
    await cardState(page, "write_note", "ok");
    assert.deepEqual(await page.locator(".question").allTextContents(), ["You: Remember to call Ada at five"]);
    assert.equal(await left.count(), 0);
    assert.deepEqual(modern.state.notes, [note.note]);
  }),
);

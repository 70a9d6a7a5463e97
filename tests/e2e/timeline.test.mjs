// The timeline of an answer: what it was spent on, drawn and in words, and saved as spans.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { start as startLlm } from "../servers/llm.mjs";
import { start as startModern } from "../servers/modern.mjs";
import { addServer, answered, ask, calls, cardState, DESKTOP, PHONE, scene, serverState, shot, useModel, withServers } from "./page.mjs";

/** The rows as `[step, facts, took]`. */
const rows = (answer) =>
  answer.locator(".timeline tbody tr").evaluateAll((all) =>
    all.map((row) => [row.querySelector(".timeline-name").textContent, row.querySelector(".timeline-facts").textContent, row.lastChild.textContent]),
  );

for (const [theme, viewport, label] of [["light", DESKTOP, "desktop"], ["dark", DESKTOP, "desktop"], ["light", PHONE, "phone"], ["dark", PHONE, "phone"]]) {
  scene(`an answer shows what it was spent on, ${theme}, ${label}`, { theme, viewport }, ({ page }) =>
    withServers({ llm: startLlm(), modern: startModern() }, async ({ llm, modern }) => {
      await useModel(page, llm);
      await addServer(page, { url: modern.url, name: "notes" });
      await serverState(page, "notes", "ready");
      if (await page.isVisible("#panel-close")) await page.click("#panel-close");
      const both = (request) => ({ text: "Let me see.", delayMs: 60, toolCalls: ["slow", "write_note"].map((tool) => calls(tool, tool === "slow" ? { steps: 8, stepMs: 40 } : { note: "Ada" })(request).toolCalls[0]) });
      llm.push({ status: 529, message: "busy" }, both, { text: "All done, and your note is stored.", delayMs: 40 });
      await ask(page, "Store a note about Ada");
      const waiting = await cardState(page, "write_note", "waiting");
      await page.waitForTimeout(400);
      await waiting.getByRole("button", { name: "Allow", exact: true }).click();
      const answer = await answered(page);
      assert.match(await answer.locator(".timeline summary").innerText(), /Timeline/);
      assert.match(await answer.locator(".timeline summary .unseen").textContent(), /^: 2 turns, 2 tool calls, [\d.]+ m?s$/);
      await answer.locator(".timeline summary").click();
      await answer.locator(".timeline tbody tr").first().waitFor();
      const table = await rows(answer);
      const steps = table.map(([step]) => step);
      const [first, pause, slow] = ["Model, turn 1", "Pause before trying again", "slow"].map((step) => table[steps.indexOf(step)]);
      // What begins within one millisecond may come in either order.
      const begun = ["Waiting for your approval", "slow"].sort((one, other) => steps.indexOf(one) - steps.indexOf(other));
      assert.deepEqual(steps, ["Whole answer", "Model, turn 1", "Pause before trying again", ...begun, "write_note", "Model, turn 2"]);
      assert.match(first[1], /^2 tries · 10 in, 5 out$/);
      assert.match(pause[1], /overloaded/);
      assert.equal(slow[1], "notes");
      for (const [step, , took] of table) assert.match(took, /^[\d.]+ m?s$/, step);
      // What is drawn is where the words say it is: the second turn begins where the tools have ended.
      const [tool, turn] = await Promise.all([steps.indexOf("slow"), 6].map((row) => answer.locator(".timeline tbody .timeline-bar").nth(row).boundingBox()));
      assert.ok(turn.x >= tool.x + tool.width - 2 && turn.width >= 2, JSON.stringify({ tool, turn }));
      const wide = await answer.evaluate((element) => element.scrollWidth - element.clientWidth);
      assert.ok(wide <= 0, `${wide} px too wide`);
      await answer.locator(".timeline").scrollIntoViewIfNeeded();
      await shot(page, `timeline-${label}-${theme}`);
    }),
  );
}

scene("the timeline grows while the answer does, and can be saved", {}, ({ page }) =>
  withServers({ llm: startLlm(), modern: startModern() }, async ({ llm, modern }) => {
    await useModel(page, llm);
    await addServer(page, { url: modern.url, name: "notes" });
    await serverState(page, "notes", "ready");
    llm.push(calls("add", { a: 1, b: 2 }), { text: "word ".repeat(60), delayMs: 40 });
    await ask(page, "Add");
    await cardState(page, "add", "ok");
    const answer = page.locator(".answer").last();
    await answer.locator(".timeline summary").click();
    await answer.locator(".timeline tr[data-kind=tool]").waitFor();
    assert.equal(await answer.getAttribute("aria-busy"), "true");
    assert.equal(await answer.locator(".timeline tr[data-kind=run]").count(), 0);
    await page.click("#stop");
    await answered(page);
    assert.match(await answer.locator(".timeline tr[data-kind=run]").innerText(), /stopped/);
    const [download] = await Promise.all([page.waitForEvent("download"), answer.getByRole("button", { name: "Save as OTLP" }).click()]);
    assert.match(download.suggestedFilename(), /^run_[0-9a-f]{32}\.otlp\.json$/);
    const { resourceSpans } = JSON.parse(await readFile(await download.path(), "utf8"));
    const { spans } = resourceSpans[0].scopeSpans[0];
    assert.deepEqual(spans.map(({ name }) => name).filter((name) => !name.startsWith("wait")), ["execute_tool add", "chat scripted", "chat scripted", "invoke_agent"]);
    assert.equal(new Set(spans.map(({ traceId }) => traceId)).size, 1);
  }),
);

// The model's further options: who takes over, what it costs, and answers as data.

import assert from "node:assert/strict";
import { start as startLlm } from "../servers/llm.mjs";
import { answered, ask, openTab, PHONE, scene, shot, useModel, withServers } from "./page.mjs";

const SCHEMA = { type: "object", properties: { sum: { type: "number" } }, required: ["sum"], additionalProperties: false };

async function save(page, fields) {
  await openTab(page, "model");
  for (const [name, value] of Object.entries(fields)) await page.fill(`#model-${name}`, typeof value === "string" ? value : JSON.stringify(value));
  await page.click("#model-form button[type=submit]");
}
const saved = (page) => page.locator("#model-saved", { hasText: "Saved" }).waitFor();
const close = async (page) => {
  if (await page.isVisible("#panel-close")) await page.click("#panel-close");
};

for (const [label, options] of [["desktop", {}], ["phone", { viewport: PHONE, theme: "dark" }]]) {
  scene(`an answer is data, and says what it costs, ${label}`, options, ({ page }) =>
    withServers({ llm: startLlm() }, async ({ llm }) => {
      await useModel(page, llm);
      await save(page, { more: { prices: { input: 1_000_000, output: 0 } }, output: SCHEMA });
      await saved(page);
      await shot(page, `model-more-${label}`);
      await close(page);
      llm.push({ text: '{"sum":42}' });
      await ask(page, "What is 17 + 25?");
      const answer = await answered(page);
      assert.equal(await answer.locator("pre.data").textContent(), '{\n  "sum": 42\n}');
      assert.equal(await answer.locator(".prose").count(), 0);
      assert.match(await answer.locator(".usage").textContent(), /10 tokens in, 5 out · costs 10(?!\d)/);
      assert.match(JSON.stringify(llm.requests[0].body), /additionalProperties/, "the model is told the schema");
      await shot(page, `answer-as-data-${label}`);
    }));
}

scene("the next model takes over", {}, ({ page }) =>
  withServers({ llm: startLlm(), other: startLlm() }, async ({ llm, other }) => {
    await useModel(page, llm);
    await save(page, { more: { fallbacks: [{ provider: "openai", id: "second", baseUrl: `${other.url}/v1`, apiKey: "sk-second" }] } });
    await saved(page);
    await close(page);
    llm.push({ status: 401, body: { error: { message: "no" } } });
    other.push({ text: "Here I am." });
    await ask(page, "Is anybody there?");
    const answer = await answered(page);
    assert.equal(await answer.locator(".prose").textContent(), "Here I am.");
    assert.equal(other.requests[0].headers.authorization, "Bearer sk-second");
    const kept = await page.evaluate(() => JSON.stringify(localStorage));
    assert.ok(!kept.includes("sk-second"), "a key is kept only where that is wanted");
  }));

scene("what is wrong with them is said at their field", {}, ({ page }) =>
  withServers({ llm: startLlm() }, async ({ llm }) => {
    await useModel(page, llm);
    for (const [name, value, words] of [
      ["more", "{", "Expected an object in JSON."],
      ["more", { fallbacks: [{ provider: "nobody" }] }, /fallbacks\[0\]\.provider/i],
      ["output", "[]", "Expected an object in JSON."],
    ]) {
      await save(page, { more: "", output: "", [name]: value });
      await page.locator(`#model-${name}-error`, { hasText: words }).waitFor();
      assert.equal(await page.locator(`#model-${name}`).getAttribute("aria-invalid"), "true");
    }
  }));

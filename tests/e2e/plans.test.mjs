// Plans: written by a person, looked at and run; and those that the model writes.

import assert from "node:assert/strict";
import { start as startLlm } from "../servers/llm.mjs";
import { start as startModern } from "../servers/modern.mjs";
import { addServer, answered, ask, calls, card, cardState, openTab, PHONE, scene, serverState, shot, useModel, withServers } from "./page.mjs";

const rows = (page) => page.locator(".plan tbody tr").evaluateAll((all) => all.map((row) => [row.cells[0].innerText, row.dataset.state]));
const write = async (page, plan) => page.fill("#plan-text", typeof plan === "string" ? plan : JSON.stringify(plan, null, 2));

const plan = {
  steps: [
    { id: "sum", tool: "modern.add", input: { a: 17, b: 25 } },
    { id: "note", tool: "modern.write_note", forEach: ["one", "two"], input: { note: "{{item}}: {{sum.sum}}" } },
    { id: "never", tool: "modern.echo", when: { value: { $from: "sum", path: "/sum" }, equals: 1 }, input: { message: "x" } },
  ],
};

for (const [label, options] of [["desktop", {}], ["phone", { viewport: PHONE, theme: "dark" }]]) {
  scene(`a plan is looked at, run, and asks for what writes, ${label}`, options, ({ page }) =>
    withServers({ modern: startModern() }, async ({ modern }) => {
      await addServer(page, { url: modern.url, name: "modern" });
      await serverState(page, "modern", "ready");
      await openTab(page, "plan");
      assert.match(await page.inputValue("#plan-text"), /"tool": "modern.add"/, "the example is of tools that are there");
      await write(page, plan);
      await page.click("#plan-preview");
      await page.locator(".waves > li").nth(1).waitFor();
      assert.deepEqual(await page.locator(".waves > li").evaluateAll((all) => all.map((wave) => [...wave.querySelectorAll("strong")].map(({ innerText }) => innerText))), [["sum"], ["note", "never"]]);
      assert.match(await page.locator(".waves").innerText(), /note\s+modern\.write_note\s+for each\s+asks first/);
      await shot(page, `plan-preview-${label}`);
      await page.click("#plan-form button[type=submit]");
      for (const _ of ["one", "two"]) {
        await page.getByRole("button", { name: "Allow", exact: true }).first().click();
      }
      await answered(page);
      assert.deepEqual(await rows(page), [["sum", "ok"], ["note", "ok"], ["never", "skipped"]]);
      assert.match(await page.locator(".plan").innerText(), /2 calls/);
      assert.deepEqual(modern.state.notes.toSorted(), ["one: 42", "two: 42"]);
      assert.equal(await page.locator(".plan-calls .card").count(), 3, "the calls of its steps are in its card");
      await shot(page, `plan-${label}`);
    }),
  );
}

scene("a plan that is wrong is told of with every mistake, and nothing is called", {}, ({ page }) =>
  withServers({ modern: startModern() }, async ({ modern }) => {
    await addServer(page, { url: modern.url, name: "modern" });
    await serverState(page, "modern", "ready");
    await openTab(page, "plan");
    await write(page, "{");
    await page.click("#plan-form button[type=submit]");
    await page.locator("#plan-shown .fault", { hasText: "This is no JSON" }).waitFor();
    await write(page, { steps: [{ id: "a", tool: "modern.ad", input: { a: { $from: "b" } } }] });
    await page.click("#plan-preview");
    const fault = page.locator("#plan-shown .fault", { hasText: "It cannot be run" });
    await fault.waitFor();
    assert.equal(await fault.locator("li").count(), 2, await fault.innerText());
    await page.click("#plan-form button[type=submit]");
    const answer = await answered(page);
    assert.match(await answer.innerText(), /the plan cannot be run/i);
    assert.deepEqual(modern.state.notes, []);
  }),
);

scene("a model that may plan has its plan done in one round", {}, ({ page }) =>
  withServers({ llm: startLlm(), modern: startModern() }, async ({ llm, modern }) => {
    await addServer(page, { url: modern.url, name: "modern" });
    await serverState(page, "modern", "ready");
    await useModel(page, llm);
    await openTab(page, "model");
    await page.check("#model-form [name=plans]");
    await page.click("#model-form button[type=submit]");
    llm.push(calls("run_plan", { steps: plan.steps.slice(0, 1) }), { text: "It is 42." });
    await ask(page, "17 + 25?");
    await cardState(page, "run_plan", "ok");
    await answered(page);
    assert.deepEqual(await rows(page), [["sum", "ok"]]);
    assert.equal(await card(page, "add").count(), 1);
    assert.equal(llm.requests.length, 2);
  }),
);

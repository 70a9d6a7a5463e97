// What servers know goes before the model, and the page tells when it has changed since.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { start as startLlm } from "../servers/llm.mjs";
import { start as startModern } from "../servers/modern.mjs";
import { addServer, answered, ask, DESKTOP, openTab, PHONE, scene, serverState, shot, useModel, withServers } from "./page.mjs";

const uri = "docs://library/beta.md";

for (const [theme, viewport, label] of [["light", DESKTOP, "desktop"], ["dark", PHONE, "phone"]]) {
  scene(`a source that changes is shown with its difference, and the answer can be had again, ${label}`, { theme, viewport }, ({ page }) =>
    withServers({ llm: startLlm(), modern: startModern({ changes: true }) }, async ({ llm, modern }) => {
      await openTab(page, "model");
      await page.setChecked("#model-form [name=context]", true);
      await useModel(page, llm);
      await addServer(page, { url: modern.url, name: "library" });
      await serverState(page, "library", "ready");
      if (await page.isVisible("#panel-close")) await page.click("#panel-close");
      llm.push({ text: "It greets from beta." }, { text: "It greets from gamma." });
      await ask(page, "What does the document beta say?");
      const answer = await answered(page);
      assert.match(await answer.locator(".sources summary").innerText(), /Read 1 resource, \d+ tokens/);
      await answer.locator(".sources summary").click();
      assert.equal(await answer.locator(".sources code").innerText(), uri);
      assert.match(JSON.stringify(llm.requests.at(-1).body), /Grüße aus beta/);
      // Nobody says when the page has begun to follow; until then nothing has changed for it.
      await sleep(1500);
      modern.state.texts.beta = "# beta\n\nGrüße aus gamma.";
      modern.notify.resourceUpdated(uri);
      const change = answer.locator(".change");
      await change.waitFor();
      assert.match(await change.locator("pre").innerText(), /^@ # beta\n- Grüße aus beta\.\n\+ Grüße aus gamma\.\n?$/);
      const wide = await answer.evaluate((element) => element.scrollWidth - element.clientWidth);
      assert.ok(wide <= 0, `${wide} px too wide`);
      await shot(page, `sources-${label}-${theme}`);
      await change.getByRole("button", { name: "Answer again" }).click();
      const second = await answered(page);
      assert.match(await second.innerText(), /It greets from gamma\./);
      assert.match(JSON.stringify(llm.requests.at(-1).body), /Grüße aus gamma/);
      assert.equal(await page.locator(".answer").count(), 2, "what was answered before stays");
    }),
  );
}

scene("without the option no resource is read", {}, ({ page }) =>
  withServers({ llm: startLlm(), modern: startModern() }, async ({ llm, modern }) => {
    await useModel(page, llm);
    await addServer(page, { url: modern.url, name: "library" });
    await serverState(page, "library", "ready");
    llm.push({ text: "I do not know." });
    await ask(page, "What does the document beta say?");
    const answer = await answered(page);
    assert.equal(await answer.locator(".sources").count(), 0);
    assert.ok(!JSON.stringify(llm.requests.at(-1).body).includes("Grüße"));
  }),
);

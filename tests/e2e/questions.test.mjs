// What servers ask of the person: forms, pages to open, declining, and answers that do not fit.

import assert from "node:assert/strict";
import { start as startLlm } from "../servers/llm.mjs";
import { start as startModern } from "../servers/modern.mjs";
import { addServer, answered, ask, calls, cardState, PHONE, scene, serverState, shot, useModel, withServers } from "./page.mjs";

/** A page with a scripted model and a server whose tool asks. */
function asking(name, options, body) {
  scene(name, options, ({ page, context }) =>
    withServers({ llm: startLlm(), modern: startModern({ asks: true }) }, async ({ llm, modern }) => {
      await useModel(page, llm);
      await addServer(page, { url: modern.url, name: "trips" });
      await serverState(page, "trips", "ready");
      if (await page.isVisible("#panel-close")) await page.click("#panel-close");
      llm.push(calls("plan_trip", { place: "Bergen" }), { text: "Have a good trip." });
      await ask(page, "Plan a trip to Bergen");
      await cardState(page, "plan_trip", "waiting");
      await body({ page, context, form: page.locator("form.asked") });
    }),
  );
}

const result = (page) => page.locator(".card", { hasText: "plan_trip" }).locator("pre").last().textContent();

for (const [label, options] of [["desktop", {}], ["phone", { viewport: PHONE, theme: "dark" }]]) {
  asking(`a form is filled in, a page is opened only by consent, ${label}`, options, async ({ page, context, form }) => {
    assert.match(await form.innerText(), /trips asks: How many days in Bergen\?/);
    assert.equal(await form.getByLabel("hotel").isChecked(), true, "the default");
    await form.getByRole("button", { name: "Send" }).click();
    assert.match(await form.getByRole("alert").innerText(), /days: is required/);
    await form.getByLabel("days").fill("31");
    await form.getByRole("button", { name: "Send" }).click();
    assert.match(await form.getByRole("alert").innerText(), /days: must be at most 30/);
    await shot(page, `asked-${label}`);
    await form.getByLabel("days").fill("4");
    await form.getByLabel("days").press("Enter");
    await form.getByText("Please pay.").waitFor();
    assert.equal(await form.locator("code").innerText(), "https://pay.test/?trip=1");
    assert.equal(context.pages().length, 1, "nothing is opened unasked");
    await context.route("https://pay.test/**", (route) => route.fulfill({ body: "paid", contentType: "text/plain" }));
    const popup = context.waitForEvent("page");
    await form.getByRole("button", { name: "Open the page" }).click();
    assert.equal(await (await popup).evaluate(() => opener), null);
    await cardState(page, "plan_trip", "ok");
    await answered(page);
    assert.equal(await result(page), 'Bergen: {"days":{"action":"accept","content":{"days":4,"hotel":true}}}, paid: accept');
    assert.equal(await form.count(), 0);
  });
}

asking("declining is an answer, and so is leaving it", {}, async ({ page, form }) => {
  await form.getByRole("button", { name: "Decline" }).click();
  await form.getByText("Please pay.").waitFor();
  await form.getByRole("button", { name: "Not now" }).click();
  await cardState(page, "plan_trip", "ok");
  await answered(page);
  assert.equal(await result(page), 'Bergen: {"days":{"action":"decline"}}, paid: cancel');
});

asking("stopping takes the question away", {}, async ({ page, form }) => {
  await page.keyboard.press("Escape");
  await cardState(page, "plan_trip", "cancelled");
  assert.equal(await form.count(), 0);
});

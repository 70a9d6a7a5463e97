// Approvals: who is asked when, allowing, denying with a reason, stopping while one waits, and all of it by keyboard.

import assert from "node:assert/strict";
import { start as startLlm } from "../servers/llm.mjs";
import { start as startModern } from "../servers/modern.mjs";
import { addServer, answered, ask, calls, card, cardState, openTab, PHONE, scene, serverState, shot, useModel, withServers } from "./page.mjs";

const note = { note: "Call Ada at five" };

/** A page with a scripted model and a server that has a tool that writes. */
function approval(name, options, body) {
  scene(name, options, ({ page }) =>
    withServers({ llm: startLlm(), modern: startModern() }, async ({ llm, modern }) => {
      await useModel(page, llm);
      await addServer(page, { url: modern.url, name: "modern" });
      await serverState(page, "modern", "ready");
      if (await page.isVisible("#panel-close")) await page.click("#panel-close");
      await body({ page, llm, modern });
    }),
  );
}

for (const [label, options] of [["desktop", {}], ["phone", { viewport: PHONE, theme: "dark" }]]) {
  approval(`a tool that writes waits until it is allowed, ${label}`, options, async ({ page, llm, modern }) => {
    llm.push(calls("write_note", note, { text: "I will store that." }), { text: "Stored." });
    await ask(page, "Remember to call Ada at five");
    const waiting = await cardState(page, "write_note", "waiting");
    assert.match(await waiting.innerText(), /Allow write_note\?/);
    assert.match(await waiting.innerText(), /"note": "Call Ada at five"/);
    await page.locator("#live-urgent", { hasText: /^Approval needed: write_note of modern\./ }).waitFor({ state: "attached" });
    await shot(page, `approval-${label}`);
    assert.deepEqual(modern.state.notes, []);
    await waiting.getByRole("button", { name: "Allow", exact: true }).click();
    await cardState(page, "write_note", "ok");
    assert.equal(await (await answered(page)).locator(".prose").last().textContent(), "Stored.");
    assert.deepEqual(modern.state.notes, [note.note]);
    assert.equal(await page.locator(".approval").count(), 0);
  });
}

approval("a denied tool is not called, and the model is told why", {}, async ({ page, llm, modern }) => {
  llm.push(calls("write_note", note), { text: "Then I leave it." });
  await ask(page, "Remember to call Ada at five");
  const waiting = await cardState(page, "write_note", "waiting");
  await waiting.getByRole("textbox").fill("not on my calendar");
  await waiting.getByRole("button", { name: "Deny" }).click();
  await cardState(page, "write_note", "denied");
  assert.equal(await (await answered(page)).locator(".prose").last().textContent(), "Then I leave it.");
  assert.deepEqual(modern.state.notes, []);
  assert.match(JSON.stringify(llm.requests[1].body.messages), /not on my calendar/);
  await shot(page, "denied");
});

approval("the policy decides who is asked", {}, async ({ page, llm, modern }) => {
  llm.push(calls("echo", { message: "a" }), { text: "one" }, calls("echo", { message: "b" }), { text: "two" }, calls("write_note", note), { text: "three" });
  await ask(page, "Echo a");
  await cardState(page, "echo", "ok");
  await answered(page);

  await page.selectOption("#approval", "always");
  await serverState(page, "modern", "ready");
  await ask(page, "Echo b");
  await cardState(page, "echo", "waiting");
  await page.getByRole("button", { name: "Allow", exact: true }).click();
  await answered(page);

  await page.selectOption("#approval", "never");
  await serverState(page, "modern", "ready");
  await ask(page, "Write");
  await answered(page);
  await cardState(page, "write_note", "ok");
  assert.deepEqual(modern.state.notes, [note.note]);
});

approval("what is allowed for the answer lets go what waits already", {}, async ({ page, llm, modern }) => {
  const notes = ["one", "two", "three"];
  const three = (request) => ({ toolCalls: notes.map((note) => ({ ...calls("write_note", { note })(request).toolCalls[0], id: `call_${note}` })) });
  llm.push(three, { text: "Stored." });
  await ask(page, "Remember all of it");
  await page.waitForFunction(() => document.querySelectorAll(".approval").length === 3);
  const first = page.locator(".card").first();
  await first.getByRole("combobox").selectOption("run");
  await first.getByRole("button", { name: "Allow", exact: true }).click();
  await answered(page);
  assert.equal(await page.locator(".approval").count(), 0);
  assert.deepEqual(modern.state.notes.toSorted(), notes.toSorted());
});

approval("what was always allowed is asked for again once it is forgotten", {}, async ({ page, llm, modern }) => {
  llm.push(...Array.from({ length: 3 }, () => [calls("write_note", note), { text: "Stored." }]).flat());
  await ask(page, "Remember it");
  const waiting = await cardState(page, "write_note", "waiting");
  await waiting.getByRole("combobox").selectOption("always");
  await waiting.getByRole("button", { name: "Allow", exact: true }).click();
  await answered(page);
  await ask(page, "Once more");
  await answered(page);
  assert.equal(modern.state.notes.length, 2);
  await openTab(page, "storage");
  await page.click("#approvals-forget");
  await page.locator("#storage-said", { hasText: "asked for again" }).waitFor();
  await shot(page, "approvals-forgotten");
  if (await page.isVisible("#panel-close")) await page.click("#panel-close");
  await ask(page, "And again");
  await cardState(page, "write_note", "waiting");
  await page.keyboard.press("Escape");
});

scene("private data do not go to a server that is not trusted, unless somebody says so", {}, ({ page }) =>
  withServers({ llm: startLlm(), mail: startModern(), web: startModern() }, async ({ llm, mail, web }) => {
    await useModel(page, llm);
    await addServer(page, { url: mail.url, name: "mail", labels: ["private"], privateResources: "file:///home/, mail://" });
    await addServer(page, { url: web.url, name: "web", labels: ["untrusted"] });
    for (const name of ["mail", "web"]) await serverState(page, name, "ready");
    await page.selectOption("#approval", "never");
    for (const name of ["mail", "web"]) await serverState(page, name, "ready");
    llm.push(calls("mail__echo", { message: "a" }), calls("web__echo", { message: "b" }), { text: "Done." });
    await ask(page, "Tell the web");
    const asked = page.locator(".approval");
    await asked.waitFor();
    assert.match(await asked.innerText(), /[Pp]rivate data of mail may leave through web\.echo/);
    await page.getByRole("button", { name: "Deny" }).click();
    await answered(page);
    await openTab(page, "servers");
    await shot(page, "labels");
  }),
);

approval("a call that waits is over when the run is stopped", {}, async ({ page, llm, modern }) => {
  llm.push(calls("write_note", note), { text: "Going on." });
  await ask(page, "Remember to call Ada at five");
  await cardState(page, "write_note", "waiting");
  await page.keyboard.press("Escape");
  await cardState(page, "write_note", "cancelled");
  await answered(page);
  assert.equal(await page.locator(".approval").count(), 0);
  assert.deepEqual(modern.state.notes, []);
  await ask(page, "And now?");
  assert.equal(await (await answered(page)).locator(".prose").textContent(), "Going on.");
});

approval("by keyboard alone: the card gets the focus, and no stray Enter allows anything", {}, async ({ page, llm, modern }) => {
  llm.push(calls("write_note", note), { text: "Stored." });
  await page.focus("#prompt");
  await page.keyboard.type("Remember to call Ada at five");
  await page.keyboard.press("Enter");
  await cardState(page, "write_note", "waiting");
  await page.waitForFunction(() => document.activeElement.matches(".card"));
  await page.keyboard.press("Enter");
  assert.deepEqual(modern.state.notes, []);
  assert.equal(await card(page, "write_note").getAttribute("data-state"), "waiting");
  const focused = () => page.evaluate(() => document.activeElement.textContent);
  for (let presses = 0; (await focused()) !== "Allow"; presses += 1) {
    assert.ok(presses < 5, "Allow is not reached by Tab");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await answered(page);
  assert.deepEqual(modern.state.notes, [note.note]);
  assert.equal(await page.evaluate(() => document.activeElement.id), "prompt");
});

approval("whoever is typing keeps the focus when an approval comes", {}, async ({ page, llm }) => {
  llm.push(calls("write_note", note, { delayMs: 60 }), { text: "Fine." });
  await ask(page, "Remember");
  await page.keyboard.type("my next question");
  await cardState(page, "write_note", "waiting");
  assert.equal(await page.evaluate(() => document.activeElement.id), "prompt");
  await page.keyboard.press("Enter");
  // It joins the run; nothing is approved by it.
  assert.equal(await page.inputValue("#prompt"), "");
  await cardState(page, "write_note", "waiting");
  await page.keyboard.press("Shift+Tab");
  assert.ok(await page.evaluate(() => document.activeElement.matches(".approval .why")));
  await page.keyboard.type("no");
  await page.keyboard.press("Enter");
  await cardState(page, "write_note", "denied");
  await answered(page);
});

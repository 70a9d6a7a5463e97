// The side panel: servers that are added, fail, come back and go, model settings, and what is remembered.

import assert from "node:assert/strict";
import { start as startEverything } from "../servers/everything.mjs";
import { start as startLlm } from "../servers/llm.mjs";
import { start as startModern } from "../servers/modern.mjs";
import { addServer, answered, ask, cardState, openTab, PHONE, scene, server, serverState, shot, stored, useModel, withServers } from "./page.mjs";

scene("a server is added by URL with a token, which goes to that server only", {}, async ({ page }) => {
  await withServers({ modern: startModern({ token: "s3cret-token" }) }, async ({ modern }) => {
    await addServer(page, { url: modern.url, name: "notes", token: "s3cret-token" });
    const entry = await serverState(page, "notes", "ready");
    assert.match(await entry.innerText(), /Ready[\s\S]*modern MCP[\s\S]*2026-07-28[\s\S]*6 tools/);
    await entry.locator("summary").click();
    const tools = await entry.locator(".tools > li").allInnerTexts();
    assert.match(tools.find((text) => text.startsWith("list_notes")), /reads only[\s\S]*Lists the stored notes/);
    assert.match(tools.find((text) => text.startsWith("write_note")), /writes[\s\S]*Stores a note/);
    await shot(page, "server-added");
    const posts = modern.requests.filter(({ method }) => method === "POST");
    assert.ok(posts.length && posts.every(({ headers }) => headers.authorization === "Bearer s3cret-token"));
    assert.equal(await page.inputValue("#server-token"), "");
    for (const place of [page.url(), await stored(page), await page.content()]) assert.ok(!place.includes("s3cret-token"), place);

    await ask(page, 'Echo the message "still here"');
    await cardState(page, "echo", "ok");
    await answered(page);

    await entry.getByRole("button", { name: "Remove notes" }).click();
    await server(page, "notes").waitFor({ state: "detached" });
    assert.equal(await page.evaluate(() => document.activeElement.id), "server-url");
  });
});

scene("a missing token is put into words", {}, async ({ page }) => {
  await withServers({ modern: startModern({ token: "s3cret-token" }) }, async ({ modern }) => {
    await addServer(page, { url: modern.url, name: "notes" });
    const entry = await serverState(page, "notes", "failed");
    assert.match(await entry.innerText(), /notes wants a valid token[\s\S]*add it again with a token/);
    assert.match(await entry.locator(".diagnosis li").first().innerText(), /publishes no metadata/);
  });
});

for (const [label, options] of [["desktop", {}], ["phone", { viewport: PHONE }]]) {
  scene(`one unreachable server is explained, the other works, ${label}`, { ...options, allow: [/ERR_CONNECTION_REFUSED/] }, async ({ page }) => {
    const gone = await startModern();
    await gone.close();
    await withServers({ everything: startEverything() }, async ({ everything }) => {
      await addServer(page, { url: gone.url, name: "gone" });
      await addServer(page, { url: everything.url, name: "everything" });
      await serverState(page, "everything", "ready");
      const entry = await serverState(page, "gone", "failed");
      assert.match(await entry.innerText(), /The server gone cannot be reached[\s\S]*Is it running at 127\.0\.0\.1:\d+\?/);
      await entry.locator(".fault summary").click();
      assert.match(await entry.locator(".fault details pre").innerText(), /^network: /);
      await shot(page, `server-failed-${label}`);
      if (await page.isVisible("#panel-close")) await page.click("#panel-close");
      await ask(page, "What is 17 + 25?");
      await cardState(page, "get-sum", "ok");
      await answered(page);
    });
  });
}

for (const [label, options] of [["light", {}], ["dark", { theme: "dark" }], ["phone", { viewport: PHONE }]]) {
  scene(`a server that does not allow the page: the headers to paste, ${label}`, { ...options, allow: [/blocked by CORS policy/] }, async ({ page, origin }) => {
    await withServers({ closed: startModern({ cors: false }) }, async ({ closed }) => {
      await addServer(page, { url: closed.url, name: "closed" });
      const entry = await serverState(page, "closed", "failed");
      const fix = await entry.locator(".diagnosis pre").innerText();
      assert.ok(fix.startsWith(`Access-Control-Allow-Origin: ${new URL(origin).origin}\n`), fix);
      assert.match(fix, /^Access-Control-Allow-Headers: .*mcp-protocol-version/m);
      assert.match(await entry.locator(".diagnosis").innerText(), /does not let pages of this origin/);
      await entry.scrollIntoViewIfNeeded();
      await shot(page, `server-diagnosis-${label}`);
    });
  });
}

scene("a failed server is tried again when it is back", { allow: [/ERR_CONNECTION_REFUSED/] }, async ({ page }) => {
  const gone = await startModern();
  await gone.close();
  await addServer(page, { url: gone.url, name: "back" });
  const entry = await serverState(page, "back", "failed");
  await withServers({ back: startModern({ port: Number(new URL(gone.url).port) }) }, async () => {
    await entry.getByRole("button", { name: "Try again to connect to back" }).click();
    await serverState(page, "back", "ready");
    assert.equal(await entry.locator(".fault").count(), 0);
  });
});

scene("mistakes in a server's form are shown at the field", {}, async ({ page }) => {
  await withServers({ modern: startModern() }, async ({ modern }) => {
    const invalid = () => page.locator("#add-server [aria-invalid]").evaluateAll((all) => all.map(({ id }) => id));
    await addServer(page, { url: "example.com/mcp" });
    assert.deepEqual(await invalid(), ["server-url"]);
    assert.match(await page.textContent("#server-url-error"), /http or https/);
    await addServer(page, { url: modern.url, name: "my server" });
    assert.deepEqual(await invalid(), ["server-name"]);
    assert.match(await page.textContent("#server-name-error"), /letters, digits/);
    assert.equal(await page.evaluate(() => document.activeElement.id), "server-name");
    await shot(page, "server-form-error");
    await addServer(page, { url: modern.url, name: "notes" });
    await serverState(page, "notes", "ready");
    assert.deepEqual(await invalid(), []);
    await addServer(page, { url: modern.url, name: "notes" });
    assert.deepEqual(await invalid(), ["server-name"]);
    assert.equal(await server(page, "notes").count(), 1);
  });
});

scene("mistakes in the model settings are shown at the field", {}, async ({ page }) => {
  await openTab(page, "model");
  await page.click("[data-preset=ollama]");
  assert.equal(await page.inputValue("#model-base"), "http://localhost:11434/v1");
  await page.click("#model-form button[type=submit]");
  assert.equal(await page.getAttribute("#model-id", "aria-invalid"), "true");
  assert.match(await page.textContent("#model-id-error"), /^(Is required|Must not be empty)\.$/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "model-id");
  await shot(page, "settings-error");
  await page.fill("#model-id", "some-model");
  await page.fill("#model-turns", "0");
  await page.click("#model-form button[type=submit]");
  assert.equal(await page.getAttribute("#model-turns", "aria-invalid"), "true");
  assert.equal(await page.getAttribute("#model-id", "aria-invalid"), null);
  assert.match(await page.textContent("#model-turns-error"), /1/);
  // What was wrong does not hold: the page still works with the settings before.
  assert.equal(await page.textContent("#model-chip"), "Offline model");
  await page.fill("#model-turns", "3");
  await page.click("#model-form button[type=submit]");
  await page.locator("#model-saved", { hasText: "Saved" }).waitFor();
  assert.equal(await page.textContent("#model-chip"), "some-model");
  await shot(page, "settings");
});

scene("the limit of turns holds and is put into words", {}, async ({ page }) => {
  await withServers({ llm: startLlm() }, async ({ llm }) => {
    const again = { toolCalls: [{ name: "local_time", input: {} }] };
    llm.push(again, again, again);
    await openTab(page, "model");
    await page.fill("#model-turns", "2");
    await useModel(page, llm);
    await ask(page, "Again and again");
    const fault = (await answered(page)).locator(".fault");
    assert.equal(await fault.getAttribute("data-code"), "limit");
    assert.match(await fault.innerText(), /Allow more turns/);
    assert.equal(llm.requests.length, 2);
  });
});

scene("a key is gone with the page unless it is to be remembered", {}, async ({ page }) => {
  await withServers({ llm: startLlm(), modern: startModern({ token: "t0ken" }) }, async ({ llm, modern }) => {
    await useModel(page, llm, { key: "sk-fleeting" });
    await addServer(page, { url: modern.url, name: "fleeting", token: "t0ken" });
    await serverState(page, "fleeting", "ready");
    assert.ok(!(await stored(page)).includes("sk-fleeting"));
    await page.reload();
    await page.waitForSelector("html[data-ready]", { state: "attached" });
    assert.equal(await page.textContent("#model-chip"), "scripted");
    assert.equal(await server(page, "fleeting").count(), 0);
    await openTab(page, "model");
    assert.equal(await page.inputValue("#model-base"), `${llm.url}/v1`);
    assert.equal(await page.inputValue("#model-key"), "");

    await page.fill("#model-key", "sk-lasting");
    await page.check("#model-form [name=rememberKey]");
    await page.click("#model-form button[type=submit]");
    await addServer(page, { url: modern.url, name: "lasting", token: "t0ken", remember: true });
    await serverState(page, "lasting", "ready");
    await page.reload();
    await page.waitForSelector("html[data-ready]", { state: "attached" });
    await serverState(page, "lasting", "ready");
    llm.push({ text: "Hello." });
    await ask(page, "Hello");
    await answered(page);
    assert.equal(llm.requests.at(-1).headers.authorization, "Bearer sk-lasting");
    assert.ok(!page.url().includes("?") && !page.url().includes("#"));

    // Forgetting works too.
    await openTab(page, "model");
    await page.uncheck("#model-form [name=rememberKey]");
    await page.click("#model-form button[type=submit]");
    await openTab(page, "servers");
    await server(page, "lasting").getByRole("button", { name: "Remove lasting" }).click();
    await server(page, "lasting").waitFor({ state: "detached" });
    const kept = await stored(page);
    assert.ok(!kept.includes("sk-lasting") && !kept.includes("t0ken"), kept);
  });
});

scene("a key of one provider is not carried to another", {}, async ({ page }) => {
  await openTab(page, "model");
  await page.click("[data-preset=anthropic]");
  await page.fill("#model-key", "sk-one");
  await page.click("[data-preset=openai]");
  assert.equal(await page.inputValue("#model-key"), "");
});

scene(
  "what an older page stored does not keep the page from starting",
  {
    prepare: (page) =>
      page.addInitScript(() => {
        localStorage.setItem("edgewise.settings", JSON.stringify({ provider: "gone", maxTurns: "many", approval: "sometimes" }));
        localStorage.setItem("edgewise.servers", "{ broken");
        localStorage.setItem("edgewise.theme", "7");
      }),
  },
  async ({ page }) => {
    assert.equal(await page.textContent("#model-chip"), "Offline model");
    await ask(page, "What is the local time?");
    await cardState(page, "local_time", "ok");
    await answered(page);
  },
);

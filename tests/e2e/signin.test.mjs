// A server that wants its user to sign in: the button, the window, and what is left when the page is loaded anew.

import assert from "node:assert/strict";
import { start as startAuthority, startProtected } from "../servers/oauth.mjs";
import { addServer, answered, ask, cardState, PHONE, scene, server, serverState, shot, stored } from "./page.mjs";

async function withProtected(options, body) {
  const authority = await startAuthority(options);
  const protectedServer = await startProtected(authority);
  try {
    await body({ authority, url: protectedServer.url });
  } finally {
    await Promise.all([authority.close(), protectedServer.close()]);
  }
}

async function open(page, entry) {
  const [popup] = await Promise.all([page.context().waitForEvent("page"), entry.getByRole("button", { name: "Sign in to notes" }).click()]);
  await popup.waitForSelector("#allow");
  return popup;
}

for (const [label, options] of [["light", {}], ["dark", { theme: "dark" }], ["phone", { viewport: PHONE }]]) {
  scene(`a server is signed in to by a button, ${label}`, options, async ({ page }) => {
    await withProtected({}, async ({ authority, url }) => {
      await addServer(page, { url, name: "notes", remember: true });
      const entry = await serverState(page, "notes", "auth_required");
      assert.match(await entry.innerText(), /Sign-in needed[\s\S]*wants to know who you are/);
      assert.equal(await entry.locator(".fault").count(), 0);
      assert.equal(await page.isVisible("#panel-badge"), false);
      await shot(page, `sign-in-${label}`);

      const popup = await open(page, entry);
      await popup.click("#allow");
      await serverState(page, "notes", "ready");
      assert.equal(await entry.getByRole("button", { name: "Sign in to notes" }).isVisible(), false);
      await shot(page, `signed-in-${label}`);
      assert.ok(!/access-|refresh-|code-/.test(await stored(page)));
      if (await page.isVisible("#panel-close")) await page.click("#panel-close");
      await ask(page, 'Echo the message "still here"');
      await cardState(page, "echo", "ok");
      await answered(page);

      await page.reload();
      await page.waitForSelector("html[data-ready]", { state: "attached" });
      await serverState(page, "notes", "ready");
      assert.deepEqual([authority.authorizations.length, authority.violations], [1, []]);
    });
  });
}

scene("a window that is closed changes nothing, and is put into words", {}, async ({ page }) => {
  await withProtected({}, async ({ url }) => {
    await addServer(page, { url, name: "notes" });
    const entry = await serverState(page, "notes", "auth_required");
    await (await open(page, entry)).close();
    await entry.locator(".fault").waitFor();
    assert.match(await entry.innerText(), /You are not signed in to notes/);
    await shot(page, "sign-in-closed");
    const popup = await open(page, entry);
    await popup.click("#allow");
    await serverState(page, "notes", "ready");
    assert.equal(await server(page, "notes").locator(".fault").count(), 0);
  });
});

scene("the callback page by itself says what is the matter", { allow: [] }, async ({ page, origin }) => {
  await page.goto(new URL("callback.html?code=x&state=unknown", origin).href);
  await page.getByText("Nobody is waiting for this sign-in").waitFor();
  assert.ok(!page.url().includes("code="));
  await shot(page, "callback");
});

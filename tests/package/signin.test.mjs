// Signing in from a page of one origin to an MCP server of another through an authorization server of a third, in Chromium.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as oauth from "../servers/oauth.mjs";
import { launch, project, serve, visit } from "./lib.mjs";

const EDGEWISE = "./node_modules/edgewise";
const { path } = await project({
  "callback.html": `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
    import { completeAuthorization } from "${EDGEWISE}/authorize.js";
    globalThis.outcome = await completeAuthorization() ?? null;
  </script>`,
  "app.html": `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><button>Sign in</button><script type="module">
    import * as edgewise from "${EDGEWISE}/browser.js";
    const { Agent, authorizeInPopup, authorizeByRedirect, completeAuthorization, init } = edgewise;
    await init();
    const query = new URLSearchParams(location.search);
    const oauth = { redirectUrl: new URL(query.get("callback") ?? "callback.html", location.href).href };
    const popup = authorizeInPopup();
    if (query.get("authorize") === "popup") oauth.authorize = popup;
    if (query.get("authorize") === "redirect") oauth.authorize = authorizeByRedirect();
    const server = { name: "s", url: query.get("server"), oauth, timeoutMs: 5000 };
    const agent = new Agent({ model: { provider: "offline" }, servers: [server], approval: "never" });
    const plain = (promise) => promise.then((value) => ({ value }), ({ code, message, authorizationUrl }) => ({ error: { code, message, authorizationUrl } }));
    globalThis.edgewise = edgewise;
    globalThis.connect = async () => (await agent.connect())[0];
    globalThis.info = () => agent.servers()[0];
    globalThis.add = (a, b) => plain(agent.callTool("s.add", { a, b }).then((result) => result.structuredContent.sum));
    globalThis.finish = (url) => plain(agent.finishAuthorization(url));
    globalThis.returned = await completeAuthorization() ?? null;
    // As an app does it: the click opens the window itself.
    document.querySelector("button").onclick = () => {
      const { error } = agent.servers()[0];
      globalThis.signedIn = oauth.authorize ? connect() : plain(popup(error.authorizationUrl).then((url) => agent.finishAuthorization(url)));
    };
    globalThis.ready = true;
  </script>`,
});
const site = await serve(path);
const browser = await launch();

async function world(t, options = {}, { prepare, explains } = {}) {
  const authority = await oauth.start(options);
  const server = await oauth.startProtected(authority, { explains });
  const context = await visit(t, browser, { timeout: 15_000, before: prepare });
  t.after(() => Promise.all([authority.close(), server.close()]));
  const app = async (query = {}) => {
    const page = await context.newPage();
    await page.goto(`${site.url}app.html?${new URLSearchParams({ server: server.url, ...query })}`);
    await page.waitForFunction(() => globalThis.ready);
    return page;
  };
  return { authority, server, context, app };
}

/** Clicks the button, and then that link in the window that opens. */
async function signIn(context, page, choice = "#allow") {
  const [popup] = await Promise.all([context.waitForEvent("page"), page.click("button")]);
  await popup.waitForLoadState();
  await Promise.all([popup.waitForEvent("close"), popup.click(choice)]);
  return page.evaluate(() => globalThis.signedIn);
}

/** Everything that this browser keeps for the app, as one text. */
const kept = (page) => page.evaluate(async () => {
  const texts = [JSON.stringify({ ...localStorage, ...sessionStorage })];
  for (const { name } of await indexedDB.databases()) {
    const database = await new Promise((resolve) => { const open = indexedDB.open(name); open.onsuccess = () => resolve(open.result); });
    for (const store of database.objectStoreNames) {
      const rows = await new Promise((resolve) => { const all = database.transaction(store).objectStore(store).getAll(); all.onsuccess = () => resolve(all.result); });
      for (const row of rows) {
        const bytes = row instanceof Uint8Array ? row : row?.data ? new Uint8Array(row.data) : [];
        texts.push(new TextDecoder("latin1").decode(new Uint8Array(bytes)), JSON.stringify(row));
      }
    }
    database.close();
  }
  return texts.join(" ");
});

for (const explains of [false, true]) {
  test(`from the refusal to the refresh, headers ${explains ? "exposed" : "hidden"}`, async (t) => {
    const { authority, server, context, app } = await world(t, {}, { explains });
    const page = await app();
    const refused = await page.evaluate(() => connect());
    assert.equal(refused.state, "auth_required");
    assert.equal(refused.error.code, "auth_required");
    assert.equal(refused.tools, 0);
    assert.ok(refused.error.authorizationUrl.startsWith(`${authority.issuer}/authorize?`));

    const { value: info } = await signIn(context, page);
    assert.deepEqual([info.state, info.tools], ["ready", 6]);
    assert.deepEqual(await page.evaluate(() => add(17, 25)), { value: 42 });
    assert.deepEqual(authority.grants, ["authorization_code"]);

    const everything = await kept(page);
    for (const secret of ["access-", "refresh-", "verifier", "code-"]) assert.ok(!everything.includes(secret), secret);

    await page.reload();
    await page.waitForFunction(() => globalThis.ready);
    assert.equal((await page.evaluate(() => connect())).state, "ready", "still signed in");
    assert.deepEqual(authority.grants, ["authorization_code"]);

    authority.revoke();
    assert.deepEqual(await page.evaluate(() => add(1, 2)), { value: 3 });
    assert.deepEqual(authority.grants, ["authorization_code", "refresh_token"]);

    // Nothing helps any more: the user has to sign in again, and is told so by the same state.
    authority.revoke({ all: true });
    const { error } = await page.evaluate(() => add(1, 2));
    assert.equal(error.code, "auth_required");
    assert.ok(error.authorizationUrl);
    assert.equal((await page.evaluate(() => info())).state, "auth_required");
    assert.equal((await signIn(context, page)).value.state, "ready");
    assert.deepEqual(await page.evaluate(() => add(1, 2)), { value: 3 });

    assert.deepEqual([authority.registered.length, authority.violations], [1, []]);
    const preflights = server.requests.filter(({ method }) => method === "OPTIONS");
    assert.ok(preflights.length > 0);
  });
}

test("the option authorize opens the window within the click", async (t) => {
  const { authority, context, app } = await world(t);
  const page = await app({ authorize: "popup" });
  assert.equal((await signIn(context, page)).state, "ready");
  assert.deepEqual([authority.grants, authority.violations], [["authorization_code"], []]);
});

test("a user who says no, or closes the window, gives a typed error soon", async (t) => {
  const { context, app } = await world(t);
  const page = await app();
  await page.evaluate(() => connect());
  const { error: denied } = await signIn(context, page, "#deny");
  assert.deepEqual([denied.code, denied.message], ["auth_required", "authorization for s: the authorization server refused: access_denied"]);

  await page.evaluate(() => connect());
  const [popup] = await Promise.all([context.waitForEvent("page"), page.click("button")]);
  await popup.close();
  const began = Date.now();
  const { error: closed } = await page.evaluate(() => globalThis.signedIn);
  assert.deepEqual([closed.code, closed.message], ["auth_required", "sign-in: the window was closed"]);
  assert.ok(Date.now() - began < 5000);

  const other = await app({ authorize: "popup" });
  const [second] = await Promise.all([context.waitForEvent("page"), other.click("button")]);
  await second.close();
  const info = await other.evaluate(() => globalThis.signedIn);
  assert.deepEqual([info.state, info.error.message], ["failed", "authorization for s: the user did not sign in"]);
});

test("a sign-in page that cuts the tie to its opener is no obstacle", async (t) => {
  // In a headless browser every page believes that it has the focus.
  const { authority, context, app } = await world(t, { coop: true }, { prepare: () => { document.hasFocus = () => !location.pathname.includes("app.html"); } });
  const page = await app();
  await page.evaluate(() => connect());
  const [popup] = await Promise.all([context.waitForEvent("page"), page.click("button")]);
  await popup.waitForSelector("#allow");
  await page.waitForTimeout(2500);
  await popup.click("#allow");
  const { value } = await page.evaluate(() => globalThis.signedIn);
  assert.equal(value.state, "ready");
  assert.deepEqual(authority.violations, []);
});

for (const [name, query, prepare] of [
  ["a window that is blocked", { authorize: "popup" }, () => { if (location.pathname.includes("app.html")) window.open = () => null; }],
  ["the redirect helper", { authorize: "redirect" }, undefined],
  ["a callback that is the app itself", { authorize: "redirect", callback: "app.html" }, undefined],
]) {
  test(`by redirect: ${name}`, async (t) => {
    const { authority, server, context, app } = await world(t, {}, { prepare });
    const page = await app({ ...query, ...(query.callback && { callback: `app.html?${new URLSearchParams({ server: server.url })}` }) });
    void page.evaluate(() => void connect());
    await page.waitForSelector("#allow");
    await page.click("#allow");
    await page.waitForURL(/app\.html/);
    await page.waitForFunction(() => globalThis.ready);
    assert.ok(!/code=|state=|iss=/.test(page.url()), page.url());
    const callback = await page.evaluate(() => globalThis.returned);
    assert.match(callback, /code=/);
    const { value } = await page.evaluate((url) => finish(url), callback);
    assert.equal(value.state, "ready");
    assert.deepEqual(await page.evaluate(() => add(40, 2)), { value: 42 });
    assert.equal((await page.evaluate((url) => finish(url), callback)).error.code, "misuse", "it counts once");
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    assert.deepEqual([authority.grants, authority.violations], [["authorization_code"], []]);
    await context.close();
  });
}

test("a callback that nobody waits for is no sign-in, and leaves no code in the address", async (t) => {
  const { context, app } = await world(t);
  const page = await app();
  await page.evaluate(() => connect());
  const callback = await context.newPage();
  await callback.goto(`${site.url}callback.html?code=forged&state=forged&iss=x&kept=1#part`);
  await callback.waitForFunction(() => "outcome" in globalThis, undefined, { timeout: 10_000 });
  assert.equal(callback.url(), `${site.url}callback.html?kept=1#part`);
  assert.equal((await page.evaluate((url) => finish(url), await callback.evaluate(() => globalThis.outcome))).error.code, "misuse");
  assert.equal((await page.evaluate(() => info())).state, "auth_required");
});

test("nothing but an http address is opened", async (t) => {
  const { app } = await world(t);
  const page = await app();
  const codes = await page.evaluate(() => Promise.all(["javascript:globalThis.evil = 1", "data:text/html,x", "", "x"].flatMap((url) =>
    [edgewise.authorizeInPopup(), edgewise.authorizeByRedirect()].map((authorize) => authorize(url).catch(({ code }) => code)))));
  assert.deepEqual([...new Set(codes)], ["config"]);
  assert.equal(await page.evaluate(() => globalThis.evil), undefined);
});

async function twoTabs(t, prepare) {
  const made = await world(t, { latency: 400 }, { prepare });
  const first = await made.app();
  await first.evaluate(() => connect());
  await signIn(made.context, first);
  const second = await made.app();
  assert.equal((await second.evaluate(() => connect())).state, "ready");
  made.authority.revoke();
  const sums = await Promise.all([first, second, first, second].map((page, at) => page.evaluate((at) => add(at, 1), at)));
  return { ...made, sums };
}

test("two tabs, one refresh", async (t) => {
  const { authority, sums } = await twoTabs(t);
  assert.deepEqual(sums, [{ value: 1 }, { value: 2 }, { value: 3 }, { value: 4 }]);
  assert.deepEqual(authority.grants, ["authorization_code", "refresh_token"]);
  assert.deepEqual([authority.authorizations.length, authority.violations], [1, []]);
});

test("where there are no locks, a tab alone still refreshes", async (t) => {
  const { authority, context, app } = await world(t, {}, { prepare: () => Object.defineProperty(navigator, "locks", { value: undefined }) });
  const page = await app();
  await page.evaluate(() => connect());
  await signIn(context, page);
  authority.revoke();
  assert.deepEqual(await page.evaluate(() => add(1, 1)), { value: 2 });
  assert.deepEqual(authority.violations, []);
});

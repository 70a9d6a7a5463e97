// What the tests of the demo page share: a Chromium, a fresh site for each test, and the rules that hold in all of
// them: no error on the console, no violation of the page's policy, no request to anywhere but this machine.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { start as startSite } from "../servers/static.mjs";

const root = process.env.EDGEWISE_ROOT ?? fileURLToPath(new URL("../../", import.meta.url));
const artefacts = join(root, "test-artefacts/e2e");

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };
export const SMALL = { width: 360, height: 740 };

// By the flags that they were started with.
const browsers = new Map();
after(() => Promise.all([...browsers.values()].map(async (browser) => (await browser).close())));

async function launch(flags) {
  const args = [...flags, "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run"];
  const executablePath = process.env.CHROME ?? "/usr/bin/chromium";
  const key = flags.join(" ");
  if (!browsers.has(key)) browsers.set(key, chromium.launch({ executablePath, args }));
  return browsers.get(key);
}

// Chromium reports each failed exchange on the console, whoever handles it. Those with servers are for the page to
// show; those with the page's own site would be mistakes.
const handled = (message, origin) => message.text().startsWith("Failed to load resource") && !message.location().url.startsWith(origin);

/**
 * A test on a freshly opened page.
 *
 * `options`: `demo()` (gives the servers of demo.json), `viewport`, `theme`, `reducedMotion`, `allow` (patterns of console errors
 * that belong to the test), `flags` for the browser, `prepare(page)` before the page is loaded, `ready: false` when it will not become ready.
 * `body` gets `{ page, origin, context, t }`.
 */
export function scene(name, options, body) {
  test(name, { timeout: 60_000 }, async (t) => {
    const { demo, viewport = DESKTOP, theme = "light", reducedMotion = "no-preference", allow = [], flags = [], prepare, ready = true } = options;
    const site = await startSite({
      mounts: { "/": join(root, "www"), "/edgewise/": join(root, "pkg") },
      files: { "/demo.json": ["application/json", JSON.stringify({ servers: (await demo?.()) ?? [] })] },
    });
    const context = await (await launch(flags)).newContext({ viewport, isMobile: viewport.width < 600, hasTouch: viewport.width < 600, colorScheme: theme, reducedMotion });
    context.setDefaultTimeout(15_000);
    const problems = [];
    try {
      await context.addInitScript(() => {
        addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
          console.error(`policy violated: ${violatedDirective} ${blockedURI}`);
        });
      });
      const page = await context.newPage();
      page.on("console", (message) => {
        if (message.type() !== "error" || handled(message, site.url)) return;
        if (!allow.some((pattern) => pattern.test(message.text()))) problems.push(message.text());
      });
      page.on("pageerror", (error) => problems.push(error.stack));
      page.on("request", (request) => {
        const { protocol, hostname } = new URL(request.url());
        if (!["data:", "blob:"].includes(protocol) && !["127.0.0.1", "localhost"].includes(hostname)) problems.push(`request to ${request.url()}`);
      });
      await prepare?.(page);
      await page.goto(site.url);
      if (ready) await page.waitForSelector("html[data-ready]", { state: "attached" });
      await body({ page, origin: site.url, context, t });
      assert.deepEqual(problems, []);
    } catch (error) {
      // What the page complained about is most often why the test failed.
      if (problems.length) error.message += `\non the page: ${problems.join("\n")}`;
      await context.pages()[0]?.screenshot({ path: join(artefacts, `failed-${name.replace(/\W+/g, "-")}.png`) }).catch(() => {});
      throw error;
    } finally {
      await context.close();
      await site.close();
    }
  });
}

/** Keeps a picture for people; nothing is asserted on it. */
export async function shot(page, name) {
  await mkdir(artefacts, { recursive: true });
  // What lies under the pointer looks different.
  await page.mouse.move(0, 0);
  await page.screenshot({ path: join(artefacts, `${name}.png`), animations: "disabled" });
}

/** Types a message and sends it with Enter. */
export async function ask(page, prompt) {
  await page.fill("#prompt", prompt);
  await page.press("#prompt", "Enter");
}

/** Waits until no answer is under way; gives the last answer. */
export async function answered(page) {
  const last = page.locator(".answer").last();
  await page.waitForFunction(() => [...document.querySelectorAll(".answer")].at(-1)?.getAttribute("aria-busy") === "false");
  await page.waitForSelector("body:not([data-running])");
  return last;
}

/** The card of the call of that tool; the last one of several. */
export const card = (page, tool) => page.locator(".card", { has: page.locator(".card-name", { hasText: new RegExp(`^${tool}$`) }) }).last();

/** Waits for a card's state. */
export async function cardState(page, tool, state) {
  await card(page, tool).and(page.locator(`[data-state="${state}"]`)).waitFor();
  return card(page, tool);
}

/** The entry of a server in the panel. */
export const server = (page, name) => page.locator("li.server", { has: page.locator(".server-name", { hasText: new RegExp(`^${name}$`) }) });

/** Waits for a server's state. */
export async function serverState(page, name, state) {
  await server(page, name).and(page.locator(`[data-state="${state}"]`)).waitFor({ state: "attached" });
  return server(page, name);
}

/** Shows a tab of the side panel, opening the drawer where it is one. */
export async function openTab(page, name) {
  if (await page.isVisible("#panel-toggle")) {
    if ((await page.getAttribute("#panel-toggle", "aria-expanded")) === "false") await page.click("#panel-toggle");
  }
  await page.click(`#tab-${name}`);
}

/** Connects the page to a scripted model server by its form. */
export async function useModel(page, llm, { provider = "openai", key = "" } = {}) {
  await openTab(page, "model");
  await page.selectOption("#model-provider", provider);
  await page.fill("#model-id", "scripted");
  await page.fill("#model-base", provider === "openai" ? `${llm.url}/v1` : llm.url);
  await page.fill("#model-key", key);
  await page.click("#model-form button[type=submit]");
  await page.locator("#model-saved", { hasText: "Saved" }).waitFor();
  await page.click("#tab-servers");
  if (await page.isVisible("#panel-close")) await page.click("#panel-close");
}

/** Adds a server by its form. */
export async function addServer(page, { url, name = "", token = "", remember = false, labels = [], privateResources = "" }) {
  await openTab(page, "servers");
  await page.fill("#server-url", url);
  await page.fill("#server-name", name);
  await page.fill("#server-token", token);
  await page.setChecked("#add-server [name=remember]", remember);
  await page.setChecked("#add-server [name=secluded]", labels.includes("private"));
  await page.setChecked("#add-server [name=untrusted]", labels.includes("untrusted"));
  await page.fill("#server-private", privateResources);
  await page.click("#add-server button[type=submit]");
}

/** Everything that the page keeps in this browser, as one text. */
export const stored = (page) => page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));

/** Runs `body` with servers that are closed afterwards, whatever happens. */
export async function withServers(starting, body) {
  const servers = await Promise.all(Object.values(starting));
  const named = Object.fromEntries(Object.keys(starting).map((name, index) => [name, servers[index]]));
  try {
    await body(named);
  } finally {
    await Promise.all(servers.map((server) => server.close()));
  }
}

/** A turn in which the scripted model calls that tool: by the wire name that it was told. */
export const calls = (tool, input, more = {}) => (request) => {
  const names = request.tools.map((definition) => definition.function?.name ?? definition.name);
  const name = names.find((candidate) => candidate === tool || candidate.endsWith(`_${tool}`));
  assert.ok(name, `no ${tool} among ${names}`);
  return { toolCalls: [{ name, input }], ...more };
};

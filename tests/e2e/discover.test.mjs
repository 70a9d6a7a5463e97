// Models on this computer: found at their usual ports and offered first, with what to do where they do not let the page in.

import assert from "node:assert/strict";
import { answered, ask, openTab, PHONE, scene, shot } from "./page.mjs";

const PORTS = { ollama: 11434, llamacpp: 8080, lmstudio: 1234 };
const sse = (pieces) => `${pieces.map((piece) => `data: ${JSON.stringify(piece)}\n\n`).join("")}data: [DONE]\n\n`;

/** Answers at the usual ports: a list of models, "refused" (it runs and allows nothing), or nobody. */
const computer = (has) => async (page) => {
  let refused = 0;
  for (const [name, port] of Object.entries(PORTS)) {
    await page.route(new RegExp(`^http://(localhost|127\\.0\\.0\\.1):${port}/`), async (route) => {
      const headers = { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*" };
      const models = has[name];
      if (!models) return route.abort("connectionrefused");
      if (models === "refused") {
        // What the browser makes of an answer without CORS headers; the second look does not want to read it.
        refused += 1;
        return refused === 1 ? route.abort("failed") : route.fulfill({ status: 200, body: "" });
      }
      if (route.request().method() === "OPTIONS") return route.fulfill({ status: 204, headers });
      if (route.request().url().endsWith("/models")) return route.fulfill({ json: { data: models.map((id) => ({ id })) }, headers });
      const chunk = (delta, finish_reason = null) => ({ choices: [{ index: 0, delta, finish_reason }] });
      const body = sse([chunk({ content: `${name} says hello` }), chunk({}, "stop")]);
      return route.fulfill({ body, headers: { ...headers, "Content-Type": "text/event-stream" } });
    });
  }
};

for (const [label, options] of [["desktop", {}], ["phone", { viewport: PHONE, theme: "dark" }]]) {
  scene(`what is found is offered first and answers, ${label}`, { ...options, prepare: computer({ ollama: ["llama3.2:3b", "nomic-embed-text", "qwen3:4b"], lmstudio: ["gemma-3-4b"] }) }, async ({ page }) => {
    const hint = page.locator(".found-hint");
    await hint.waitFor();
    assert.deepEqual(await hint.locator("button").allTextContents(), ["llama3.2:3b · Ollama", "gemma-3-4b · LM Studio"]);
    await shot(page, `found-hero-${label}`);
    await openTab(page, "model");
    const places = page.locator("#found .found-place");
    assert.deepEqual(await places.locator("h3").allTextContents(), ["Ollama", "LM Studio"]);
    assert.deepEqual(await places.first().locator("button").allTextContents(), ["llama3.2:3b", "qwen3:4b"]);
    const [found, presets] = await Promise.all(["#found", "#presets"].map((id) => page.locator(id).boundingBox()));
    assert.ok(found.y < presets.y, "before the others");
    await shot(page, `found-panel-${label}`);
    await places.first().getByRole("button", { name: "qwen3:4b" }).click();
    assert.equal(await page.locator("#model-chip").textContent(), "qwen3:4b");
    assert.equal(await page.inputValue("#model-base"), "http://localhost:11434/v1");
    if (await page.isVisible("#panel-close")) await page.click("#panel-close");
    await ask(page, "hello");
    assert.equal(await (await answered(page)).locator(".prose").textContent(), "ollama says hello");
  });
}

scene("a server that does not let the page read is told of, with what to do", { prepare: computer({ ollama: "refused" }) }, async ({ page, origin }) => {
  await openTab(page, "model");
  const place = page.locator("#found .found-place");
  await place.waitFor();
  const text = await place.innerText();
  assert.match(text, /^Ollama\s+It is running, but does not allow this page to read its answers \(CORS\)\. Ollama allows this page when started like this:/);
  assert.ok(text.includes(`OLLAMA_ORIGINS=${new URL(origin).origin} ollama serve`), text);
  assert.equal(await page.locator(".found-hint").isVisible(), false);
  await shot(page, "found-refused");
});

scene("nothing is offered where nothing is, and one can look again", { prepare: computer({}) }, async ({ page }) => {
  await openTab(page, "model");
  await page.getByRole("button", { name: "None found. Look again" }).waitFor();
  assert.equal(await page.locator("#found").isVisible(), false);
  await page.unrouteAll();
  await computer({ llamacpp: ["tiny"] })(page);
  await page.click("#look");
  await page.locator("#found h3", { hasText: "llama.cpp" }).waitFor();
});

scene("the browser's own model is offered where there is one", {
  async prepare(page) {
    await computer({})(page);
    await page.addInitScript(() => {
      globalThis.LanguageModel = { availability: async () => "downloadable" };
    });
  },
}, async ({ page }) => {
  await openTab(page, "model");
  const place = page.locator("#found .found-place");
  await place.waitFor();
  assert.match(await place.innerText(), /This browser[\s\S]*loads it once/);
  await place.getByRole("button", { name: "Use it" }).click();
  assert.equal(await page.locator("#model-chip").textContent(), "This browser");
});

scene("the browser's own model is offered beside servers, however many there are", {
  viewport: PHONE,
  async prepare(page) {
    await computer({ ollama: ["llama3.2:3b"], llamacpp: ["tiny"], lmstudio: ["gemma-3-4b"] })(page);
    await page.addInitScript(() => {
      globalThis.LanguageModel = { availability: async () => "available" };
    });
  },
}, async ({ page }) => {
  const hint = page.locator(".found-hint");
  await hint.waitFor();
  assert.deepEqual(await hint.locator("button").allTextContents(), ["llama3.2:3b · Ollama", "tiny · llama.cpp", "the model · This browser"]);
  await shot(page, "found-hero-browser");
  await openTab(page, "model");
  assert.deepEqual(await page.locator("#found h3").allTextContents(), ["Ollama", "llama.cpp", "LM Studio", "This browser"]);
});

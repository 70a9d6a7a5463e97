// The conversation: the demo sentence, streamed text, stopping, going on, errors in words, and safe text.

import assert from "node:assert/strict";
import { after } from "node:test";
import { start as startEverything } from "../servers/everything.mjs";
import { start as startLlm } from "../servers/llm.mjs";
import { start as startModern } from "../servers/modern.mjs";
import { answered, ask, calls, cardState, DESKTOP, openTab, PHONE, scene, serverState, shot, useModel, withServers } from "./page.mjs";

let everything = null;
after(async () => (await everything)?.close());
const demo = async () => {
  everything ??= startEverything();
  return [{ name: "everything", url: (await everything).url }];
};

for (const [theme, viewport, label] of [["light", DESKTOP, "desktop"], ["dark", DESKTOP, "desktop"], ["light", PHONE, "phone"]]) {
  scene(`the demo sentence, offline, on server-everything, ${theme}, ${label}`, { demo, theme, viewport }, async ({ page }) => {
    await serverState(page, "everything", "ready");
    await shot(page, `empty-${label}-${theme}`);
    await page.click("text=What is 17 + 25? Then echo the result");
    const answer = await answered(page);
    const sum = await cardState(page, "get-sum", "ok");
    const echo = await cardState(page, "echo", "ok");
    assert.match(await sum.locator(".brief").textContent(), /42/);
    assert.match(await echo.locator(".brief").textContent(), /42/);
    assert.match(await answer.locator(".prose").last().textContent(), /42/);
    await sum.locator("summary").click();
    assert.deepEqual(JSON.parse(await sum.locator("section:has-text('Arguments') pre").textContent()), { a: 17, b: 25 });
    await sum.locator("summary").click();
    assert.match(await answer.locator(".usage").textContent(), /\d turns · 2 tool calls · [\d.]+ m?s/);
    await shot(page, `demo-${label}-${theme}`);
  });
}

scene("a tool's image is shown", { demo }, async ({ page }) => {
  await serverState(page, "everything", "ready");
  await ask(page, "Get the tiny image");
  const image = (await cardState(page, "get-tiny-image", "ok")).locator(".card-images img");
  await image.waitFor();
  assert.ok(await image.evaluate(async (element) => (await element.decode(), element.naturalWidth > 0)));
  await answered(page);
  await shot(page, "image");
});

scene("every suggestion calls the tool that it is about", { demo }, async ({ page }) => {
  await serverState(page, "everything", "ready");
  await page.selectOption("#approval", "never");
  await serverState(page, "everything", "ready");
  const prompts = await page.locator("#suggestions .chip").allTextContents();
  assert.equal(prompts.length, 5, prompts.join());
  const expected = ["get-sum", "get-tiny-image", "set_theme", "trigger-long-running-operation", "get-structured-content"];
  for (const [index, prompt] of prompts.entries()) {
    await page.click("#new-chat");
    await page.locator("#suggestions .chip", { hasText: prompt }).click();
    await answered(page);
    await cardState(page, expected[index], "ok");
  }
});

scene("text streams in, Stop keeps what came, and the conversation goes on", {}, async ({ page }) => {
  await withServers({ llm: startLlm() }, async ({ llm }) => {
    const text = "word ".repeat(200).trim();
    llm.push({ text, delayMs: 30 }, { text: "We were at **words**." });
    await useModel(page, llm);
    await ask(page, "Say many words");
    const prose = page.locator(".prose").first();
    await prose.waitFor();
    const early = await prose.textContent();
    await page.waitForFunction((before) => document.querySelector(".prose").textContent.length > before, early.length + 20);
    assert.ok(text.startsWith(early), early);
    await shot(page, "streaming");
    await page.click("#stop");
    const answer = await answered(page);
    const kept = await prose.textContent();
    assert.ok(kept.length < text.length && text.startsWith(kept), kept);
    assert.equal(await answer.locator(".fault-title").textContent(), "Stopped");
    assert.ok(await page.isVisible("#send"));
    await shot(page, "stopped");

    await ask(page, "Where were we?");
    const next = await answered(page);
    assert.equal(await next.locator(".prose").textContent(), "We were at words.");
    assert.equal(await next.locator(".prose strong").textContent(), "words");
    assert.ok(llm.requests[0].aborted, "the stopped answer was not aborted");
    const said = JSON.stringify(llm.requests[1].body.messages);
    assert.ok(said.includes("Say many words") && said.includes("Where were we?"), said);
  });
});

scene("what is said while the answer comes joins it, and what is asked afterwards is answered last", {}, async ({ page }) => {
  await withServers({ llm: startLlm() }, async ({ llm }) => {
    let speak = null;
    const heard = new Promise((resolve) => (speak = resolve));
    llm.push(async () => (await heard, { text: "Oslo is wet." }), { text: "Bergen is wetter." }, { text: "Take a coat." });
    await useModel(page, llm);
    await ask(page, "Will it rain in Oslo?");
    await page.locator("#stop").waitFor();
    await page.fill("#prompt", "What do I wear?");
    await page.press("#prompt", "Control+Enter");
    await ask(page, "also Bergen");
    assert.equal(await page.locator(".question.waiting").count(), 2);
    await shot(page, "steering");
    speak();
    const answer = await answered(page);
    assert.deepEqual(await answer.locator(".prose, .question").evaluateAll((all) => all.map((one) => one.textContent.slice(0, 22).trim())), [
      "Oslo is wet.",
      "You: also Bergen",
      "Bergen is wetter.",
      "You: What do I wear?",
      "Take a coat.",
    ]);
    assert.equal(await page.locator(".question.waiting").count(), 0);
    const said = (request) => request.body.messages.filter(({ role }) => role === "user").map(({ content }) => JSON.stringify(content)).join();
    assert.ok(said(llm.requests[1]).includes("also Bergen") && !said(llm.requests[1]).includes("What do I wear?"));
    assert.ok(said(llm.requests[2]).includes("What do I wear?"));
    await shot(page, "steered");
  });
});

scene("the tokens of a question are counted before it is asked", {}, async ({ page }) => {
  const tokens = async () => {
    await page.click("#count:text('Count tokens')");
    const text = await page.locator("#count:text('tokens'):not(:text('Count'))").textContent();
    return Number(/^about ([\d,]+) tokens$/.exec(text)[1].replace(",", ""));
  };
  const empty = await tokens();
  await page.fill("#prompt", "word ".repeat(400));
  const long = await tokens();
  assert.ok(long > empty + 400 && long < empty + 600, `${empty} ${long}`);
  await shot(page, "count");
});

scene("a goal is worked on until the model ends it", {}, async ({ page }) => {
  await withServers({ llm: startLlm() }, async ({ llm }) => {
    const end = { name: "end_goal", input: { met: false, summary: "Looked at the sky.", left: "Ask the sea." } };
    llm.push({ text: "I begin." }, { toolCalls: [{ name: "local_time", input: {} }] }, { text: "So far.", toolCalls: [end] });
    await useModel(page, llm);
    await page.click("#goal");
    await ask(page, "Find out everything");
    const answer = await answered(page);
    assert.equal(await answer.locator(".goal").getAttribute("data-met"), "false");
    assert.match(await answer.locator(".goal").textContent(), /Goal not met.*Looked at the sky\..*Left: Ask the sea\./);
    assert.equal(llm.requests.length, 3);
    await shot(page, "goal");
  });
});

scene("the history goes on until New chat", {}, async ({ page }) => {
  await withServers({ llm: startLlm() }, async ({ llm }) => {
    llm.push({ text: "Hello Ada." }, { text: "You are Ada." }, { text: "I do not know." });
    await useModel(page, llm, { provider: "anthropic", key: "k" });
    await ask(page, "I am Ada");
    await answered(page);
    await ask(page, "Who am I?");
    assert.equal(await (await answered(page)).locator(".prose").textContent(), "You are Ada.");
    const roles = (request) => request.body.messages.map(({ role }) => role).join();
    assert.equal(roles(llm.requests[1]), "user,assistant,user");
    await page.click("#new-chat");
    assert.ok(await page.isVisible("#hero"));
    assert.equal(await page.locator(".question, .answer").count(), 0);
    await ask(page, "Who am I?");
    await answered(page);
    assert.equal(roles(llm.requests[2]), "user");
  });
});

scene("New chat in mid-answer leaves nothing behind", {}, async ({ page }) => {
  await withServers({ llm: startLlm() }, async ({ llm }) => {
    llm.push({ text: "slow ".repeat(100), delayMs: 30 }, { text: "Fresh." });
    await useModel(page, llm);
    await ask(page, "First");
    await page.locator(".prose").waitFor();
    await page.click("#new-chat");
    await ask(page, "Second");
    assert.equal(await (await answered(page)).locator(".prose").textContent(), "Fresh.");
    assert.equal(await page.locator(".answer").count(), 1);
    assert.ok(!JSON.stringify(llm.requests[1].body.messages).includes("First"));
  });
});

scene("a tool that takes its time shows how far it is", {}, async ({ page }) => {
  await withServers({ llm: startLlm(), modern: startModern() }, async ({ llm, modern }) => {
    llm.push(calls("slow", { steps: 8, stepMs: 150 }), { text: "It is through." });
    await useModel(page, llm);
    await page.fill("#server-url", modern.url);
    await page.fill("#server-name", "modern");
    await page.press("#server-name", "Enter");
    await serverState(page, "modern", "ready");
    await ask(page, "Take your time");
    const bar = page.locator(".card progress");
    await bar.waitFor();
    await page.waitForFunction(() => document.querySelector(".card progress")?.value >= 2);
    assert.equal(await bar.evaluate((element) => element.max), 8);
    assert.match(await page.locator(".card-progress").textContent(), /^step \d of 8$/);
    await shot(page, "tool-running");
    const slow = await cardState(page, "slow", "ok");
    assert.match(await slow.locator(".took").textContent(), /s$/);
    assert.equal(await bar.count(), 0);
    assert.equal(await (await answered(page)).locator(".prose").textContent(), "It is through.");
  });
});

scene("a tool that fails is marked, opened, and the model goes on", {}, async ({ page }) => {
  await withServers({ llm: startLlm(), modern: startModern() }, async ({ llm, modern }) => {
    llm.push(calls("fail", { reason: "the printer is on fire" }), { text: "It did not work." });
    await useModel(page, llm);
    await page.selectOption("#approval", "never");
    await page.fill("#server-url", modern.url);
    await page.press("#server-url", "Enter");
    await serverState(page, "127-0-0-1", "ready");
    await ask(page, "Fail");
    const failed = await cardState(page, "fail", "failed");
    assert.match(await failed.locator(".card-body").innerText(), /the printer is on fire/);
    assert.equal(await (await answered(page)).locator(".prose").textContent(), "It did not work.");
  });
});

scene("a refused key is put into words that lead to the settings", {}, async ({ page }) => {
  await withServers({ llm: startLlm() }, async ({ llm }) => {
    llm.push({ status: 401 });
    await useModel(page, llm, { key: "wrong-key" });
    await ask(page, "Hello");
    const fault = (await answered(page)).locator(".fault");
    assert.equal(await fault.getAttribute("data-code"), "auth_required");
    assert.match(await fault.innerText(), /wants a valid key[\s\S]*Check the API key/);
    await fault.locator("summary").click();
    assert.match(await fault.locator("details pre").innerText(), /^auth_required: /);
    assert.ok(!(await page.content()).includes("wrong-key"));
    await shot(page, "error-key");
    await fault.getByRole("button", { name: "Model settings" }).click();
    assert.ok(await page.isVisible("#model-form"));
    assert.equal(await page.evaluate(() => document.activeElement.id), "tab-model");
  });
});

scene("a model that cannot be reached: what to do, and trying again works", { allow: [/ERR_CONNECTION_REFUSED/] }, async ({ page }) => {
  const gone = await startLlm();
  await gone.close();
  await useModel(page, gone);
  await ask(page, "Are you there?");
  const fault = (await answered(page)).locator(".fault");
  assert.equal(await fault.getAttribute("data-code"), "network");
  assert.match(await fault.innerText(), /cannot be reached[\s\S]*Is it running at 127\.0\.0\.1:\d+\?/);
  assert.match(await fault.locator("pre").first().innerText(), /Access-Control-Allow-Origin: http:\/\/127\.0\.0\.1:\d+/);
  await shot(page, "error-unreachable-model");
  await withServers({ llm: startLlm({ port: Number(new URL(gone.url).port) }) }, async ({ llm }) => {
    llm.push({ text: "Here I am." });
    await fault.getByRole("button", { name: "Try again" }).click();
    assert.equal(await (await answered(page)).locator(".prose").textContent(), "Here I am.");
    assert.equal(await page.locator(".question").count(), 1);
    assert.equal(llm.requests[0].body.messages.filter(({ role }) => role === "user").length, 1);
  });
});

scene("an overloaded model is asked again, and the page says so", {}, async ({ page }) => {
  await withServers({ llm: startLlm() }, async ({ llm }) => {
    llm.push({ status: 503, headers: { "Retry-After": "1", "Access-Control-Expose-Headers": "*" } }, { text: "Now." });
    await useModel(page, llm);
    await ask(page, "Hello");
    await page.locator(".notice", { hasText: /overloaded\. Trying again in .* \(attempt 2\)/ }).waitFor();
    assert.equal(await (await answered(page)).locator(".prose").textContent(), "Now.");
  });
});

scene("text of models and tools stays text", {}, async ({ page }) => {
  await withServers({ llm: startLlm(), modern: startModern() }, async ({ llm, modern }) => {
    const attack = '<img src=x onerror="window.hit=1"><script>window.hit=2</script>';
    const links = "[run](javascript:window.hit=3) [data](data:text/html,hi) [fine](https://example.com/a?b=1)";
    llm.push(calls("echo", { message: attack }), { text: `${attack}\n\n${links}\n\n\`\`\`html\n${attack}\n\`\`\`\n\n- **${attack}**` });
    await useModel(page, llm);
    await page.fill("#server-url", modern.url);
    await page.fill("#server-name", "modern");
    await page.press("#server-name", "Enter");
    await serverState(page, "modern", "ready");
    await ask(page, attack);
    const answer = await answered(page);
    const echo = await cardState(page, "echo", "ok");
    await echo.locator("summary").click();
    assert.ok((await echo.locator(".card-body").innerText()).includes(attack));
    assert.ok((await answer.locator(".prose").innerText()).includes(attack));
    assert.equal(await page.locator("#messages :is(img, script, iframe)").count(), 0);
    assert.deepEqual(await page.locator(".prose a").evaluateAll((all) => all.map(({ href, rel }) => [href, rel])), [
      ["https://example.com/a?b=1", "noopener noreferrer"],
    ]);
    assert.equal(await page.evaluate(() => window.hit), undefined);
    await shot(page, "markup-stays-text");
  });
});

scene("the page's own tool asks before it changes the theme", { allow: [] }, async ({ page }) => {
  await ask(page, "Switch the theme of this page to dark");
  await cardState(page, "set_theme", "waiting");
  assert.equal(await page.getAttribute("html", "data-theme"), null);
  await page.getByRole("button", { name: "Allow", exact: true }).click();
  await cardState(page, "set_theme", "ok");
  await answered(page);
  assert.equal(await page.getAttribute("html", "data-theme"), "dark");
});

scene(
  "a core that does not load is said so, and loading it again works",
  {
    ready: false,
    allow: [/ERR_FAILED/],
    prepare: (page) => page.route("**/*.wasm", (route) => route.abort()),
  },
  async ({ page }) => {
    const fault = page.locator("#load-fault .fault");
    await fault.waitFor();
    assert.match(await fault.innerText(), /could not be loaded/);
    await shot(page, "core-not-loaded");
    // Without the core nothing can be sent, and a token typed too early goes nowhere.
    assert.ok(await page.isDisabled("#send"));
    await page.evaluate(() => {
      const form = document.getElementById("add-server");
      form.elements.token.value = "too-early";
      form.requestSubmit();
    });
    assert.ok(!page.url().includes("too-early"));
    await page.unroute("**/*.wasm");
    await fault.getByRole("button", { name: "Try again" }).click();
    await page.waitForSelector("html[data-ready]", { state: "attached" });
    assert.equal(await page.locator("#load-fault .fault").count(), 0);
    await ask(page, "What is the local time?");
    await cardState(page, "local_time", "ok");
    await openTab(page, "servers");
  },
);

// For everyone: by keyboard alone, on a phone, in light and dark with enough contrast, without motion, and for ears.

import assert from "node:assert/strict";
import { start as startLlm } from "../servers/llm.mjs";
import { start as startModern } from "../servers/modern.mjs";
import { addServer, answered, ask, calls, cardState, DESKTOP, openTab, PHONE, scene, serverState, shot, SMALL, useModel, withServers } from "./page.mjs";

/** How the page's styles and labels name what has the focus. */
const focus = (page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    return element.id || element.getAttribute("aria-label") || element.getAttribute("name") || element.textContent.trim();
  });

scene("the whole way by keyboard", {}, async ({ page }) => {
  assert.equal(await focus(page), "prompt");
  await page.focus(".skip");
  const order = ["Skip to the message field"];
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press("Tab");
    const name = await focus(page);
    if (name === order[0] || (await page.evaluate(() => document.activeElement === document.body))) break;
    order.push(name);
    const outline = await page.evaluate(() => {
      const style = getComputedStyle(document.activeElement);
      const around = getComputedStyle(document.activeElement.closest("form") ?? document.body);
      return style.outlineStyle !== "none" || around.boxShadow !== "none";
    });
    assert.ok(outline, `no focus to be seen on ${name}`);
  }
  const expected = ["Skip to the message field", "new-chat", "theme", "log", "connect-model", "prompt", "model-chip", "approval", "goal", "send", "count", "tab-servers", "server-url", "server-name", "server-token", "remember"];
  const places = expected.map((name) => order.indexOf(name));
  assert.ok(places.every((place, index) => place > (places[index - 1] ?? -1)), `order of focus: ${order.join(", ")}`);

  await page.focus("#tab-servers");
  await page.keyboard.press("ArrowRight");
  assert.equal(await focus(page), "tab-model");
  assert.ok(await page.isVisible("#model-form"));
  await page.keyboard.press("Home");
  assert.ok(await page.isVisible("#add-server"));
});

scene("Enter sends, Shift+Enter breaks the line, Escape stops", {}, async ({ page }) => {
  await withServers({ llm: startLlm() }, async ({ llm }) => {
    llm.push({ text: "word ".repeat(200), delayMs: 30 });
    await useModel(page, llm);
    await page.focus("#prompt");
    await page.keyboard.type("first line");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("second line");
    assert.equal(await page.locator(".answer").count(), 0);
    await page.keyboard.press("Enter");
    await page.locator(".prose").waitFor();
    await page.keyboard.press("Escape");
    await answered(page);
    assert.match(JSON.stringify(llm.requests[0].body.messages), /first line\\nsecond line/);
    assert.equal(await focus(page), "prompt");
  });
});

scene("streamed text is announced once, not piece by piece", {}, async ({ page }) => {
  await withServers({ llm: startLlm() }, async ({ llm }) => {
    llm.push({ text: "one two three four five six seven eight nine ten", delayMs: 20 });
    await useModel(page, llm);
    await page.waitForTimeout(100);
    await page.evaluate(() => {
      window.heard = [];
      const watch = () => [...document.querySelectorAll("[aria-live]")].forEach((region) => region.textContent && window.heard.push(region.textContent));
      for (const region of document.querySelectorAll("[aria-live]")) new MutationObserver(watch).observe(region, { childList: true });
    });
    await ask(page, "Count");
    const answer = await answered(page);
    await page.waitForFunction(() => window.heard.length > 0);
    assert.deepEqual(await page.evaluate(() => window.heard), ["Answer: one two three four five six seven eight nine ten"]);
    assert.equal(await answer.getAttribute("aria-busy"), "false");
  });
});

for (const [label, viewport] of [["390", PHONE], ["360", SMALL]]) {
  scene(`a phone of ${label} pixels: nothing sticks out, the panel is a drawer`, { viewport }, async ({ page }) => {
    const fits = async (what) => {
      const wide = await page.evaluate((width) => [...document.querySelectorAll("body *")]
        .filter((element) => element.checkVisibility({ visibilityProperty: true }) && element.getBoundingClientRect().right > width + 0.5)
        .filter((element) => !element.closest("pre, .unseen"))
        .map((element) => `${element.tagName} ${element.className}`), viewport.width);
      assert.deepEqual(wide, [], what);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), viewport.width, what);
    };
    await fits("first view");
    await withServers({ llm: startLlm(), modern: startModern() }, async ({ llm, modern }) => {
      const long = "averyveryverylongword".repeat(8);
      llm.push(calls("echo", { message: long }), { text: `${long}\n\n\`\`\`\n${"code ".repeat(60)}\n\`\`\`` }, calls("write_note", { note: long }));
      await useModel(page, llm);
      await addServer(page, { url: modern.url, name: "a-server-with-quite-a-long-name-for-a-phone" });
      await serverState(page, "a-server-with-quite-a-long-name-for-a-phone", "ready");
      await page.locator(".tool-list summary").first().click();
      await page.waitForTimeout(300);
      await fits("servers");
      await shot(page, `drawer-servers-${label}`);
      await openTab(page, "model");
      await fits("model");
      await shot(page, `drawer-model-${label}`);

      // The drawer keeps the focus, and gives it back.
      await page.focus("#tab-model");
      await page.keyboard.press("Shift+Tab");
      assert.ok(await page.evaluate(() => document.activeElement.closest("#panel") !== null));
      for (let presses = 0; presses < 15; presses += 1) {
        await page.keyboard.press("Tab");
        assert.ok(await page.evaluate(() => document.activeElement.closest("#panel") !== null), "the focus left the drawer");
      }
      await page.keyboard.press("Escape");
      assert.equal(await page.getAttribute("#panel-toggle", "aria-expanded"), "false");
      assert.equal(await focus(page), "panel-toggle");

      await ask(page, long);
      await answered(page);
      await (await cardState(page, "echo", "ok")).locator("summary").click();
      await fits("answer");
      await shot(page, `answer-${label}`);
      await ask(page, "write");
      await cardState(page, "write_note", "waiting");
      await fits("approval");
      await shot(page, `approval-${label}`);
      const small = await page.locator(".approval button, #stop, #bar button").evaluateAll((all) =>
        all.filter((element) => element.getClientRects().length && element.getBoundingClientRect().height < 36).map(({ textContent }) => textContent));
      assert.deepEqual(small, [], "too small for a thumb");
      await page.keyboard.press("Escape");
      await answered(page);
    });
  });
}

scene("the theme follows the system until one is chosen, and the choice lasts", { theme: "dark" }, async ({ page }) => {
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await background();
  await page.emulateMedia({ colorScheme: "light" });
  const light = await background();
  assert.notEqual(light, dark);
  await page.getByRole("button", { name: "Switch to the dark theme" }).click();
  assert.equal(await background(), dark);
  await page.reload();
  assert.equal(await background(), dark);
  await page.getByRole("button", { name: "Switch to the light theme" }).click();
  assert.equal(await background(), light);
  await page.emulateMedia({ colorScheme: "dark" });
  assert.equal(await background(), dark);
});

/** Texts whose contrast with what is behind them is below WCAG AA, in the page as it is. */
function lowContrast() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((part, index) => part * a + below[index] * (1 - a));
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, behind(element.parentElement));
  };
  const luminance = (color) => {
    const [r, g, b] = color.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !element.checkVisibility({ visibilityProperty: true }) || element.closest(".unseen, .skip, noscript, option, :disabled")) continue;
    seen += 1;
    const style = getComputedStyle(element);
    const background = behind(element);
    const [a, b] = [luminance(over(rgba(style.color), background)), luminance(background)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) bad.push(`${node.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return { bad, seen };
}

for (const theme of ["light", "dark"]) {
  scene(`enough contrast everywhere, ${theme}`, { theme, allow: [/ERR_CONNECTION_REFUSED/] }, async ({ page }) => {
    const check = async (what) => {
      await page.waitForTimeout(250);
      const { bad, seen } = await page.evaluate(lowContrast);
      assert.deepEqual(bad, [], what);
      assert.ok(seen > 10, `${what}: only ${seen} texts seen`);
    };
    await check("first view");
    await withServers({ llm: startLlm(), modern: startModern() }, async ({ llm, modern }) => {
      llm.push(
        calls("echo", { message: "hi" }, { thinking: "Let me think." }),
        { text: "# Head\n\nText, `code`, [link](https://example.com)\n\n> quote\n\n- item" },
        calls("fail", {}),
        { text: "Oh." },
        { status: 401 },
        calls("write_note", { note: "x" }),
      );
      await addServer(page, { url: "http://127.0.0.1:1/mcp", name: "gone" });
      await serverState(page, "gone", "failed");
      await useModel(page, llm);
      await addServer(page, { url: modern.url, name: "modern" });
      await serverState(page, "modern", "ready");
      await page.locator(".tool-list summary").nth(1).click();
      await page.selectOption("#approval", "never");
      await serverState(page, "modern", "ready");
      await ask(page, "Echo");
      await answered(page);
      await ask(page, "Fail");
      await answered(page);
      await ask(page, "Key");
      await answered(page);
      for (const summary of await page.locator(".card summary, .thinking summary").all()) await summary.click();
      await check("answers and servers");
      await page.selectOption("#approval", "writes");
      await serverState(page, "modern", "ready");
      await ask(page, "Write");
      await cardState(page, "write_note", "waiting");
      await page.locator("#tab-model").click();
      await page.click("[data-preset=anthropic]");
      await page.click("#model-form button[type=submit]");
      await check("approval and settings");
      await shot(page, `approval-and-settings-${theme}`);
      await page.keyboard.press("Escape");
      await answered(page);
    });
  });
}

scene("nothing moves for those who asked for it", { reducedMotion: "reduce" }, async ({ page }) => {
  await withServers({ llm: startLlm() }, async ({ llm }) => {
    llm.push({ text: "word ".repeat(100), delayMs: 30 });
    await useModel(page, llm);
    await ask(page, "Go");
    await page.locator(".prose").waitFor();
    assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
    await page.keyboard.press("Escape");
    await answered(page);
  });
});

scene("every control has a name", { viewport: DESKTOP }, async ({ page }) => {
  await openTab(page, "model");
  await page.click("[data-preset=ollama]");
  const nameless = () =>
    page.evaluate(() => [...document.querySelectorAll("button, input, select, textarea, summary, img, [role=tabpanel], section, form")]
      .filter((element) => {
        const by = (element.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join("");
        const labels = [...(element.labels ?? [])].map((label) => label.textContent).join("");
        const text = element.matches("button, summary") ? element.textContent : "";
        const name = by || element.getAttribute("aria-label") || labels || text;
        return !name.trim() && element.getAttribute("alt") === null && !element.matches(".card-body section, form#model-form");
      })
      .map((element) => element.outerHTML.slice(0, 80)));
  assert.deepEqual(await nameless(), []);
  assert.equal(await page.evaluate(() => document.querySelectorAll("h1").length), 1);
  assert.equal(await page.getAttribute("html", "lang"), "en");
});

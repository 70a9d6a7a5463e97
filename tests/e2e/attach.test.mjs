// Pictures and recordings that go with a prompt: chosen, pasted, taken back, sent, and there again after a reload.

import assert from "node:assert/strict";
import { start as startLlm } from "../servers/llm.mjs";
import { answered, ask, PHONE, scene, shot, useModel, withServers } from "./page.mjs";

// One dot.
const DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const picture = { name: "dot.png", mimeType: "image/png", buffer: Buffer.from(DOT, "base64") };
const recording = { name: "words.wav", mimeType: "audio/wav", buffer: Buffer.from("RIFF") };

for (const [label, options] of [["desktop", {}], ["phone", { viewport: PHONE, theme: "dark" }]]) {
  scene(`a picture and a recording go with a prompt, ${label}`, options, ({ page }) =>
    withServers({ llm: startLlm() }, async ({ llm }) => {
      await useModel(page, llm);
      await page.setInputFiles("#attach-file", [picture, recording, { ...picture, name: "other.png" }]);
      const attached = page.locator("#attached li");
      await attached.nth(2).waitFor();
      await page.getByRole("button", { name: "Remove other.png" }).click();
      assert.equal(await attached.count(), 2);
      await page.fill("#prompt", "What is this?");
      await shot(page, `attached-${label}`);
      llm.push({ text: "A dot." });
      await ask(page, "What is this?");
      await answered(page);
      assert.equal(await attached.count(), 0);
      const { content } = llm.requests[0].body.messages.findLast(({ role }) => role === "user");
      assert.deepEqual(content.map(({ type }) => type), ["image_url", "input_audio", "text"]);
      assert.equal(content[0].image_url.url, `data:image/png;base64,${DOT}`);
      assert.equal(content[1].input_audio.data, "UklGRg==");

      const question = page.locator(".question");
      const drawn = () => question.locator("img.attachment").evaluate(async (image) => (await image.decode(), image.naturalWidth));
      assert.equal(await drawn(), 1);
      await shot(page, `asked-with-picture-${label}`);
      await page.reload();
      await page.waitForSelector("html[data-ready]", { state: "attached" });
      await question.waitFor();
      assert.equal(await drawn(), 1);
      assert.equal(await question.textContent(), "You: RecordingWhat is this?");
    }));
}

scene("what cannot go with a prompt is named", {}, async ({ page }) => {
  await page.setInputFiles("#attach-file", { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("hi") });
  const fault = page.locator("#attach-fault");
  await fault.filter({ hasText: "notes.txt is neither a picture nor a recording." }).waitFor();
  await page.setInputFiles("#attach-file", { ...picture, name: "huge.png", buffer: Buffer.alloc(9 * 1024 * 1024) });
  await fault.filter({ hasText: "huge.png is too large: all together may have 8 MB." }).waitFor();
  await page.setInputFiles("#attach-file", Array.from({ length: 9 }, (_, number) => ({ ...picture, name: `${number}.png` })));
  await fault.filter({ hasText: "No more than 8 at once." }).waitFor();
  assert.equal(await page.locator("#attached li").count(), 8);
});

scene("a picture is pasted", {}, async ({ page }) => {
  await page.locator("#prompt").evaluate((field, data) => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([Uint8Array.from(atob(data), (char) => char.charCodeAt(0))], "pasted.png", { type: "image/png" }));
    field.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
  }, DOT);
  await page.getByRole("button", { name: "Remove pasted.png" }).waitFor();
});

// The safe part of Markdown: what it makes of texts, and that it makes the same of them however they arrive.

import assert from "node:assert/strict";
import { scene } from "./page.mjs";

const FENCE = "```";
const CASES = [
  ["plain *text* with **bold *and* more** and `co*d*e`", "<p>plain <em>text</em> with <strong>bold <em>and</em> more</strong> and <code>co*d*e</code></p>"],
  ["2 * 3 * 4 and snake_case_name and a ** b", "<p>2 * 3 * 4 and snake_case_name and a ** b</p>"],
  ["one\ntwo\n\nthree", "<p>one<br>two</p><p>three</p>"],
  ["# One\n### Three ###\ntext", "<h3>One</h3><h5>Three</h5><p>text</p>"],
  ["- a\n- b\n  - c\n- d", "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>"],
  ["3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'],
  ["> said\n> so\n\nend", "<blockquote><p>said<br>so</p></blockquote><p>end</p>"],
  ["a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"],
  [`${FENCE}js\nlet a = "<b>";\n\n- no list\n${FENCE}\nafter`, '<pre tabindex="0" role="group" aria-label="Code, js"><code>let a = "&lt;b&gt;";\n\n- no list</code></pre><p>after</p>'],
  [`1. do:\n   ${FENCE}\n   a\n\n   b\n   ${FENCE}\n2. done`, '<ol><li>do:<pre tabindex="0" role="group" aria-label="Code"><code>a\n\nb</code></pre></li><li>done</li></ol>'],
  [`${FENCE}\nnever closed`, '<pre tabindex="0" role="group" aria-label="Code"><code>never closed</code></pre>'],
  ["[a](https://example.com/b_(c)) [d](javascript:alert(1)) [e](/f)", '<p><a href="https://example.com/b_(c)" target="_blank" rel="noopener noreferrer">a</a> [d](javascript:alert(1)) [e](/f)</p>'],
  ["<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"],
  ["", ""],
  ["**", "<p>**</p>"],
  ["🙂 ünï **çödé** 漢字", "<p>🙂 ünï <strong>çödé</strong> 漢字</p>"],
];

scene("texts become nodes, the same however they arrive", {}, async ({ page }) => {
  const results = await page.evaluate(async (texts) => {
    const { Prose } = await import("/markdown.js");
    const html = (parts) => {
      const prose = new Prose();
      for (const part of parts) {
        prose.append(part);
        prose.flush();
      }
      return prose.element.innerHTML;
    };
    return texts.map((text) => {
      const whole = html([text]);
      const pieces = [html([...text])];
      for (let at = 1; at < text.length; at += 1) pieces.push(html([text.slice(0, at), text.slice(at)]));
      return { whole, differing: pieces.filter((other) => other !== whole) };
    });
  }, CASES.map(([text]) => text));
  for (const [index, [text, expected]] of CASES.entries()) {
    assert.equal(results[index].whole, expected, text);
    assert.deepEqual(results[index].differing, [], text);
  }
});

scene("long answers are drawn in linear time", {}, async ({ page }) => {
  const took = (blocks) =>
    page.evaluate(async (count) => {
      const { Prose } = await import("/markdown.js");
      const prose = new Prose();
      const start = performance.now();
      for (let block = 0; block < count; block += 1) {
        for (const word of `Block ${block} has **some** words.\n\n`.match(/\S+\s*/g)) {
          prose.append(word);
          prose.flush();
        }
      }
      return performance.now() - start;
    }, blocks);
  await took(100);
  const [short, long] = [await took(200), await took(1600)];
  // Eight times the text: linear is 8, quadratic 64.
  assert.ok(long < Math.max(short, 5) * 30, `${short} ms, ${long} ms`);
});

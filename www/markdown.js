// A small, safe part of Markdown, built as DOM nodes while the text is still arriving.
//
// Known: paragraphs, headings, fenced code, bullet and numbered lists, quotes, rules, `code`, **bold**, *italic* and
// [links](https://...). Everything else, HTML included, is text.

import { h } from "./dom.js";

/** Where a model's text grows. Finished blocks are built once; only the last one is built anew as text arrives. */
export class Prose {
  #text = "";
  #settled = 0;
  #tail = [];
  #scheduled = false;
  #onchange;

  /** `onchange` is called after the nodes changed. */
  constructor(onchange = () => {}) {
    this.element = h("div", { class: "prose" });
    this.#onchange = onchange;
  }

  /** All text so far. */
  get text() {
    return this.#text;
  }

  /** Adds text; it is drawn with the next frame, however many pieces come until then. */
  append(text) {
    this.#text += text;
    if (this.#scheduled) return;
    this.#scheduled = true;
    // A hidden tab gets no frames; a timer makes sure that nothing waits for one.
    const draw = () => this.flush();
    requestAnimationFrame(draw);
    setTimeout(draw, 250);
  }

  /** Draws what has been added. */
  flush() {
    if (!this.#scheduled) return;
    this.#scheduled = false;
    for (const node of this.#tail) node.remove();
    const end = settledUntil(this.#text, this.#settled);
    if (end > this.#settled) {
      this.element.append(...blocks(this.#text.slice(this.#settled, end)));
      this.#settled = end;
    }
    this.#tail = blocks(this.#text.slice(this.#settled));
    this.element.append(...this.#tail);
    this.#onchange();
  }
}

/** End of the last block that no further text can change: after a blank line outside of a code fence. */
function settledUntil(text, from) {
  let end = from;
  let fence = null;
  let start = from;
  for (let next = text.indexOf("\n", start); next !== -1; next = text.indexOf("\n", start)) {
    const line = text.slice(start, next);
    fence = fenceAfter(line, fence);
    start = next + 1;
    if (fence === null && line.trim() === "") end = start;
  }
  return end;
}

/** The mark of the code fence that is open after that line, null for none; fences of list items are indented. */
function fenceAfter(line, fence) {
  const [, mark, info] = /^\s*(`{3,}|~{3,})(.*)$/.exec(line) ?? [];
  if (!mark) return fence;
  if (fence === null) return info.includes("`") ? null : mark;
  return info.trim() === "" && closes(mark, fence) ? null : fence;
}

const closes = (mark, fence) => mark[0] === fence[0] && mark.length >= fence.length;

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`\s]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;
const ITEM = /^(\s*)(?:([-*+])|(\d{1,9})[.)])\s+(.*)$/;
const QUOTE = /^ {0,3}>\s?(.*)$/;

/** The blocks of a text, as nodes. */
function blocks(text) {
  const lines = text.split("\n");
  const nodes = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    let match;
    if (line.trim() === "") {
      at += 1;
    } else if ((match = FENCE.exec(line))) {
      const code = [];
      for (at += 1; at < lines.length; at += 1) {
        const mark = /^ {0,3}(`{3,}|~{3,})\s*$/.exec(lines[at])?.[1];
        if (mark && closes(mark, match[1])) break;
        code.push(lines[at]);
      }
      at += 1;
      nodes.push(codeBlock(code.join("\n"), match[2]));
    } else if ((match = HEADING.exec(line))) {
      // The page's own headings end at level 2; a model's begin below.
      nodes.push(h(`h${Math.min(6, match[1].length + 2)}`, null, ...inline(match[2])));
      at += 1;
    } else if (RULE.test(line)) {
      nodes.push(h("hr"));
      at += 1;
    } else if (QUOTE.test(line)) {
      const quoted = [];
      for (; at < lines.length && (match = QUOTE.exec(lines[at])); at += 1) quoted.push(match[1]);
      nodes.push(h("blockquote", null, ...blocks(quoted.join("\n"))));
    } else if (ITEM.test(line)) {
      // Code within an item may hold blank lines; elsewhere they end the list.
      let fence = null;
      let end = at + 1;
      for (; end < lines.length; end += 1) {
        if (fence === null && !ITEM.test(lines[end]) && !/^\s+\S/.test(lines[end])) break;
        fence = fenceAfter(lines[end], fence);
      }
      nodes.push(list(lines.slice(at, end)));
      at = end;
    } else {
      const paragraph = [];
      for (; at < lines.length && lines[at].trim() !== "" && (!paragraph.length || !startsBlock(lines[at])); at += 1) {
        paragraph.push(lines[at]);
      }
      nodes.push(h("p", null, ...inline(paragraph.join("\n").trim())));
    }
  }
  return nodes;
}

const startsBlock = (line) => [FENCE, HEADING, RULE, ITEM, QUOTE].some((pattern) => pattern.test(line));

function codeBlock(code, language) {
  // Code that is wider than the column scrolls, and what scrolls must be reachable by keyboard.
  const label = language ? `Code, ${language}` : "Code";
  return h("pre", { tabindex: "0", role: "group", "aria-label": label }, h("code", null, code));
}

/** A list from lines that are items or, indented, belong to the item above. */
function list(lines) {
  const [, indent, bullet, number] = ITEM.exec(lines[0]);
  const element = bullet ? h("ul") : h("ol", { start: number === "1" ? null : number });
  let item = null;
  const close = () => {
    if (!item) return;
    const [first, ...rest] = item;
    element.append(h("li", null, ...inline(first), ...blocks(dedent(rest))));
  };
  let fence = null;
  for (const line of lines) {
    const match = fence === null && ITEM.exec(line);
    fence = fenceAfter(line, fence);
    if (match && match[1].length <= indent.length) {
      close();
      item = [match[4]];
    } else {
      item.push(line);
    }
  }
  close();
  return element;
}

function dedent(lines) {
  const widths = lines.filter((line) => line.trim() !== "").map((line) => /^\s*/.exec(line)[0].length);
  const width = widths.length ? Math.min(...widths) : 0;
  return lines.map((line) => line.slice(width)).join("\n");
}

// Code first: nothing inside of it is marked up. A mark without its partner is text.
const INLINE =
  /(`+)(?<code>[^`]|[^`][\s\S]*?[^`])\1(?!`)|\*\*(?<bold>\S(?:[\s\S]*?\S)?)\*\*|(?<![\w*])\*(?<italic>[^\s*](?:[^*]*[^\s*])?)\*(?![\w*])|\[(?<label>[^[\]]+)\]\((?<target>[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)/g;

function inline(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    const { code, bold, italic, label, target } = match.groups;
    nodes.push(...lineBreaks(text.slice(end, match.index)));
    if (code !== undefined) nodes.push(h("code", null, code.trim() || code));
    else if (bold !== undefined) nodes.push(h("strong", null, ...inline(bold)));
    else if (italic !== undefined) nodes.push(h("em", null, ...inline(italic)));
    else nodes.push(link(label, target) ?? match[0]);
    end = match.index + match[0].length;
  }
  nodes.push(...lineBreaks(text.slice(end)));
  return nodes;
}

/** Models break lines where they mean it, so a single line break is kept. */
function lineBreaks(text) {
  return text.split("\n").flatMap((line, index) => (index === 0 ? [line] : [h("br"), line]));
}

/** A link that opens apart from this page; null for anything but http, https and mailto. */
function link(label, target) {
  let url;
  try {
    url = new URL(target);
  } catch {
    return null;
  }
  if (!["http:", "https:", "mailto:"].includes(url.protocol)) return null;
  return h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer" }, ...inline(label));
}

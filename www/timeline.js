// A run drawn as a timeline: what the package tells as spans, one row each, by when it began and how long it took.

import { count, duration, h, icon, setText } from "./dom.js";

/** Bars narrower than this part of the whole are drawn as wide. */
const LEAST = 0.004;

export class Timeline {
  #spans = [];
  #strip = h("span", { class: "timeline-strip", "aria-hidden": "true" });
  #body = h("tbody");
  #end = h("span");
  #summary = h("span", { class: "unseen" });
  #run = null;

  constructor() {
    this.element = h(
      "details",
      { class: "timeline", hidden: true },
      h("summary", null, icon("chevron"), h("span", null, "Timeline"), this.#strip, this.#summary),
      h(
        "table",
        null,
        h("caption", { class: "unseen" }, "What this answer spent its time on, in the order in which it began"),
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "Step"), h("th", { scope: "col", class: "timeline-axis" }, h("span", null, "0"), this.#end), h("th", { scope: "col" }, "Took"))),
        this.#body,
      ),
      h(
        "div",
        { class: "timeline-foot" },
        h("ul", { class: "timeline-key", "aria-hidden": "true" }, ...["model", "tool", "wait"].map((kind) => h("li", { dataset: { kind } }, h("i"), KEYS[kind]))),
        h("button", { type: "button", class: "link copy", onclick: () => this.#save() }, icon("down"), "Save as OTLP"),
      ),
    );
    this.element.addEventListener("toggle", () => this.#draw());
  }

  /** Takes a span of the run; those of another run are left out. */
  add(span) {
    this.#run ??= span.attributes["edgewise.run.id"];
    if (span.attributes["edgewise.run.id"] !== this.#run) return;
    this.#spans.push(span);
    this.element.hidden = false;
    this.#draw();
  }

  #draw() {
    const spans = ordered(this.#spans);
    const start = Math.min(...spans.map(({ span }) => span.startTimeMs));
    const end = Math.max(...spans.map(({ span }) => span.endTimeMs), start + 1);
    const scale = { start, length: end - start };
    const drawn = spans.filter(({ kind }) => kind !== "run");
    this.#strip.replaceChildren(...drawn.map((row) => bar(row, scale)));
    const of = (wanted) => drawn.filter(({ kind }) => kind === wanted).length;
    setText(this.#summary, `: ${count(of("model"), "turn")}, ${count(of("tool"), "tool call")}, ${duration(scale.length)}`);
    setText(this.#end, duration(scale.length));
    if (this.element.open) this.#body.replaceChildren(...spans.map((row) => tableRow(row, scale)));
  }

  async #save() {
    const { toOtlp } = await import("edgewise/otlp");
    const resource = { "service.name": "edgewise-demo" };
    const url = URL.createObjectURL(new Blob([JSON.stringify(toOtlp(this.#spans, resource), null, 2)], { type: "application/json" }));
    h("a", { href: url, download: `${this.#run}.otlp.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
}

const KEYS = { model: "Model", tool: "Tool", wait: "Waiting" };
const WAITS = {
  servers: "Connecting to servers",
  retry: "Pause before trying again",
  approval: "Waiting for your approval",
  input: "Waiting for your answer",
};

/** Rows by start, each below what it is part of: `{ span, kind, depth }`. */
function ordered(spans) {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const below = (parent) =>
    spans
      .filter((span) => (parent ? span.parentSpanId === parent : !ids.has(span.parentSpanId)))
      .sort((one, other) => one.startTimeMs - other.startTimeMs || other.endTimeMs - one.endTimeMs);
  const rows = [];
  const walk = (parent, depth) => {
    for (const span of below(parent)) {
      rows.push({ span, kind: kindOf(span), depth });
      walk(span.spanId, depth + 1);
    }
  };
  walk(undefined, 0);
  return rows;
}

function kindOf({ attributes }) {
  if (attributes["edgewise.wait"]) return "wait";
  return { invoke_agent: "run", chat: "model", execute_tool: "tool" }[attributes["gen_ai.operation.name"]] ?? "other";
}

function title({ span: { name, attributes }, kind }) {
  if (kind === "run") return "Whole answer";
  if (kind === "model") return `Model, turn ${attributes["edgewise.turn"]}`;
  if (kind === "tool") return attributes["gen_ai.tool.name"];
  return WAITS[attributes["edgewise.wait"]] ?? name;
}

/** What is worth knowing besides, in words. */
function facts({ span: { attributes, status }, kind }) {
  const words = [];
  if (kind === "tool") words.push(attributes["edgewise.server"] ?? "this page");
  if (attributes["edgewise.outcome"] === "cached") words.push("from the cache");
  if (kind === "model") {
    if (attributes["edgewise.tries"]) words.push(`${attributes["edgewise.tries"]} tries`);
    const [given, taken] = [attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]];
    if (given || taken) words.push(`${given.toLocaleString("en")} in, ${taken.toLocaleString("en")} out`);
  }
  if (attributes["edgewise.approval"] === "denied") words.push("denied");
  if (status.code === "error" || (kind === "wait" && attributes["error.type"])) words.push(ERRORS[attributes["error.type"]] ?? attributes["error.type"]);
  return words.join(" · ");
}

const ERRORS = { tool_error: "failed", cancelled: "stopped" };

function tableRow(row, scale) {
  const { span, kind, depth } = row;
  const name = h("th", { scope: "row" }, h("span", { class: "timeline-name" }, title(row)), h("span", { class: "timeline-facts" }, facts(row)));
  name.style.setProperty("--depth", depth);
  const after = span.startTimeMs - scale.start;
  return h(
    "tr",
    { dataset: { kind, status: span.status.code } },
    name,
    h("td", { class: "timeline-track" }, h("span", { class: "unseen" }, `after ${duration(after)}`), bar(row, scale)),
    h("td", { class: "timeline-took" }, duration(span.endTimeMs - span.startTimeMs)),
  );
}

function bar({ span, kind }, { start, length }) {
  const from = (span.startTimeMs - start) / length;
  const wide = Math.max((span.endTimeMs - span.startTimeMs) / length, LEAST);
  const element = h("i", { class: "timeline-bar", dataset: { kind, status: span.status.code } });
  element.style.setProperty("--from", Math.min(from, 1 - LEAST).toFixed(4));
  element.style.setProperty("--wide", wide.toFixed(4));
  // Up to here nothing of the answer was there yet.
  const first = span.attributes["gen_ai.response.time_to_first_chunk"];
  const took = span.endTimeMs - span.startTimeMs;
  if (first !== undefined && took > 0) element.style.setProperty("--silent", `${Math.min((first * 100_000) / took, 100).toFixed(1)}%`);
  return element;
}

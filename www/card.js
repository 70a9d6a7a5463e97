// One tool call as a card: who is called with what, whether it may, how far it is, and what came of it.

import { announce, duration, h, icon, setText } from "./dom.js";
import { question } from "./question.js";
import { CALL_STATES } from "./words.js";

const STATE_ICONS = { running: "run", waiting: "hand", ok: "check", failed: "alert", unknown: "alert", denied: "close", cancelled: "minus" };

let serial = 0;

export class Card {
  #decide;
  #state = "running";
  #mark = h("span", { class: "mark" });
  #word = h("span", { class: "word" });
  #took = h("span", { class: "took" });
  #brief = h("span", { class: "brief" });
  #body;
  #details;
  #approval = null;
  #questions = [];
  #progress = null;

  /** `call` is a `tool_call` event; `decide` is `{ approve(id, remember), deny(id, why), answer(id, value),
   * decided(), whole(handle) }`. */
  constructor(call, decide) {
    this.call = call;
    this.#decide = decide;
    const plain = call.server && call.name.startsWith(`${call.server}.`) ? call.name.slice(call.server.length + 1) : call.name;
    this.title = plain;
    const id = `call-${(serial += 1)}`;
    this.#body = h("div", { class: "card-body" }, part("Arguments", json(call.input)));
    this.#details = h(
      "details",
      null,
      h(
        "summary",
        null,
        this.#mark,
        h("span", { class: "card-name", id }, plain),
        h("span", { class: "tag" }, call.server ?? "this page"),
        h("span", { class: "card-state" }, this.#word, this.#took),
        icon("chevron"),
        this.#brief,
      ),
      this.#body,
    );
    this.element = h("article", { class: "card", tabindex: "-1", "aria-labelledby": id }, this.#details);
    setText(this.#brief, compact(call.input));
    this.#show("running");
  }

  get settled() {
    return !["running", "waiting"].includes(this.#state);
  }

  #show(state) {
    this.#state = state;
    this.element.dataset.state = state;
    this.#mark.replaceChildren(icon(STATE_ICONS[state]));
    setText(this.#word, CALL_STATES[state]);
  }

  /** Asks the person; `reason` is why the policy wants it. */
  ask({ id, reason }) {
    this.#show("waiting");
    this.#details.open = true;
    const why = h("input", { type: "text", class: "why", placeholder: "Reason for the model (optional)", "aria-label": `Reason for denying ${this.title}, optional` });
    const alike = h(
      "select",
      { class: "alike", "aria-label": `How long ${this.title} is allowed` },
      h("option", { value: "" }, "this once"),
      h("option", { value: "run" }, "for this answer"),
      h("option", { value: "always" }, "always with these arguments"),
    );
    const answer = (deny) => {
      this.#endApproval();
      this.#show("running");
      if (deny) this.#decide.deny(id, why.value.trim() || undefined);
      else this.#decide.approve(id, alike.value || undefined);
      announce(deny ? `${this.title} denied.` : `${this.title} allowed.`);
      this.#decide.decided();
    };
    this.#approval = h(
      "form",
      { class: "approval", method: "dialog", "aria-label": `Approval of ${this.title}`, onsubmit: (event) => (event.preventDefault(), answer(true)) },
      h("p", null, icon("hand"), h("span", null, h("strong", null, `Allow ${this.title}?`), reason ? ` ${sentence(reason)}` : "")),
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", class: "button primary", onclick: () => answer(false) }, "Allow"),
        h("span", { class: "select" }, alike),
        h("button", { type: "submit", class: "button" }, "Deny"),
        why,
      ),
    );
    this.element.append(this.#approval);
    announce(`Approval needed: ${this.title} of ${this.call.server ?? "this page"}. ${sentence(reason ?? "")}`, true);
  }

  /** Puts what the server wants to the person; `request` is an `input_request` event. */
  question(request) {
    this.#show("waiting");
    const answer = (value) => this.#decide.answer(request.id, value);
    const element = question(request, answer, (action) => {
      element.remove();
      this.#questions.splice(this.#questions.indexOf(element), 1);
      if (this.#questions.length === 0) this.#show("running");
      announce(action === "accept" ? "Sent." : "Declined.");
      this.#decide.decided();
    });
    this.#questions.push(element);
    this.element.append(element);
    announce(`${request.server} asks: ${request.message}`, true);
  }

  /** One like it was allowed. */
  allowed() {
    this.#endApproval();
    if (!this.settled) this.#show("running");
  }

  #endApproval() {
    this.#approval?.remove();
    this.#approval = null;
  }

  /** Shows how far the tool is. */
  progress({ progress, total, message }) {
    if (this.settled) return;
    if (!this.#progress) {
      const bar = h("progress", { "aria-label": `Progress of ${this.title}` });
      const text = h("span");
      this.#progress = { bar, text, element: h("div", { class: "card-progress" }, bar, text) };
      this.element.append(this.#progress.element);
    }
    const { bar, text } = this.#progress;
    if (total > 0) {
      bar.max = total;
      bar.value = Math.min(progress, total);
    }
    const number = total > 0 ? `${format(progress)} of ${format(total)}` : format(progress);
    // Most messages say the numbers themselves.
    if (message) setText(text, /\d/.test(message) ? message : `${message} · ${number}`);
    else setText(text, number);
  }

  /** Shows what came of the call; `outcome`, `content` and `durationMs` are those of `tool_result`. */
  settle({ outcome, content, structuredContent, durationMs, handle }) {
    this.#endApproval();
    for (const element of this.#questions.splice(0)) element.remove();
    this.#progress?.element.remove();
    this.#show(CALL_STATES[outcome] ? outcome : "failed");
    // That of an earlier visit is not known.
    if (durationMs > 0 || (durationMs === 0 && outcome === "ok")) setText(this.#took, duration(durationMs));
    const images = content.filter((block) => block.type === "image").map(image).filter(Boolean);
    this.#body.append(part("Result", ...content.map(block)));
    if (handle) this.#body.append(this.#whole(handle));
    if (structuredContent !== undefined) this.#body.append(part("Structured result", json(structuredContent)));
    setText(this.#brief, firstLine(content) || compact(this.call.input));
    this.#details.open = outcome === "failed";
    if (images.length) this.element.append(h("div", { class: "card-images" }, ...images));
  }

  /** What the model was told of was too long for it; people may see all of it. */
  #whole(handle) {
    const button = h("button", { type: "button", class: "link" }, "Show all of it");
    const place = h("p", null, button);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const { content } = await this.#decide.whole(handle);
        place.replaceWith(part("The whole result", ...content.map(block)));
      } catch (error) {
        place.replaceChildren(h("span", { class: "quiet" }, error.code === "misuse" ? "It is not kept any more." : error.message));
      }
    });
    return place;
  }

  /** Marks a call that will get no result any more. */
  abandon() {
    if (!this.settled) this.settle({ outcome: "cancelled", content: [], durationMs: 0 });
  }
}

function part(title, ...nodes) {
  const empty = h("p", { class: "quiet" }, "Nothing");
  return h("section", null, h("h4", null, title), ...(nodes.length ? nodes : [empty]));
}

function json(value) {
  return code(JSON.stringify(value, null, 2) ?? "");
}

function code(text) {
  return h("pre", { tabindex: "0" }, h("code", null, text));
}

/** One content block of a result, in MCP's shape; what is not known is shown as the data it is. */
function block(content) {
  switch (content.type) {
    case "text":
      return code(content.text ?? "");
    case "image":
      return h("p", { class: "quiet" }, `Image, ${content.mimeType ?? "type unknown"}, shown below`);
    case "audio": {
      return h("p", { class: "quiet" }, `Audio, ${content.mimeType ?? "type unknown"}`);
    }
    case "resource_link":
      return h("p", null, h("strong", null, content.title ?? content.name ?? "Resource"), " ", h("code", null, content.uri ?? ""), content.description ? ` ${content.description}` : "");
    case "resource": {
      const { uri, text } = content.resource ?? {};
      return h("div", null, h("p", null, h("code", null, uri ?? "")), typeof text === "string" ? code(text) : h("p", { class: "quiet" }, "Binary data"));
    }
    default:
      return json(content);
  }
}

// Raster types only: an SVG from outside is drawn by none of these.
const IMAGES = /^image\/(png|jpeg|gif|webp|avif|bmp)$/;

function image({ data, mimeType }) {
  if (!IMAGES.test(mimeType) || typeof data !== "string") return null;
  return h("img", { src: `data:${mimeType};base64,${data}`, alt: "Image that the tool returned", decoding: "async" });
}

function firstLine(content) {
  const text = content.find((block) => block.type === "text")?.text ?? "";
  const line = text.trim().split("\n")[0] ?? "";
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}

function compact(input) {
  const text = JSON.stringify(input) ?? "";
  if (text === "{}") return "";
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

const format = (number) => (Number.isInteger(number) ? String(number) : number.toFixed(1));

/** Made a sentence; a name at its start, such as `server.tool`, stays as it is. */
function sentence(text) {
  if (!text) return "";
  const start = /^[a-z]+ /.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
  return /[.!?]$/.test(start) ? start : `${start}.`;
}

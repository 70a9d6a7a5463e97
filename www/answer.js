// One answer of the agent: text, tool calls and notices in the order in which they happen.

import { Card } from "./card.js";
import { announce, count, duration, h, icon, setText } from "./dom.js";
import { Prose } from "./markdown.js";
import { PlanCard } from "./plan.js";
import { Changes, sourcesRead } from "./sources.js";
import { Timeline } from "./timeline.js";
import { explain, technical } from "./words.js";

export class Answer {
  #parts = h("div", { class: "parts" });
  #working = h("div", { class: "working" }, h("span", { class: "dots" }, h("i"), h("i"), h("i")), h("span", { class: "working-text" }));
  #foot = h("footer", { class: "usage" });
  #timeline = new Timeline();
  #changes = new Changes();
  #hooks;
  #prose = null;
  #thinking = null;
  #notice = null;
  #cards = new Map();
  #said = [];
  #past = false;
  #texts = [];
  #turns = 0;
  #calls = 0;
  #started = performance.now();

  /**
   * `hooks`: `changed()` after the nodes grew, `decide` for the cards, `asked(card)` when one waits, `peer()` for
   * the words of an error, `act(action)` for the button beside them.
   */
  constructor(hooks) {
    this.#hooks = hooks;
    this.element = h("article", { class: "answer", "aria-label": "Answer", "aria-busy": "true" }, this.#parts, this.#working, this.#changes.element, this.#foot, this.#timeline.element);
    this.#work("Starting");
  }

  #work(text) {
    setText(this.#working.lastChild, text);
  }

  /** Takes one span of the run. */
  span(span) {
    this.#timeline.add(span);
    this.#hooks.changed();
  }

  /** Takes the events of an earlier visit; `whole` when no more will come. */
  recall(events, whole) {
    this.#past = true;
    for (const event of events) this.apply(event);
    if (whole && !events.some(({ type }) => type === "done")) this.apply({ type: "done" });
    this.#past = false;
  }

  /** Says something to assistive technology, unless it is long known. */
  #announce(words) {
    if (!this.#past) announce(words);
  }

  /** Takes one event of the run; types it does not know are ignored. */
  apply(event) {
    switch (event.type) {
      case "turn_start":
        this.#turns = event.turn;
        this.#work("Thinking");
        break;
      case "server_status":
        if (event.state === "connecting") this.#work(`Connecting to ${event.server}`);
        break;
      case "context": {
        const read = sourcesRead(event);
        if (read) this.#parts.append(read);
        break;
      }
      case "context_changed":
        this.#changes.show(event);
        break;
      case "text_delta":
        this.#text(event.text);
        break;
      case "thinking_delta":
        this.#think(event.text);
        break;
      case "tool_call":
        this.#call(event);
        break;
      case "approval_request": {
        const card = this.#cards.get(event.id);
        card?.ask(event);
        this.#work("Waiting for your approval");
        if (card) this.#hooks.asked(card);
        break;
      }
      case "approved":
        this.#cards.get(event.id)?.allowed();
        break;
      case "input_request": {
        const card = this.#cards.get(event.callId);
        card?.question(event);
        this.#work(`Waiting for your answer to ${event.server}`);
        if (card) this.#hooks.asked(card);
        break;
      }
      case "plan_step":
        this.#cards.get(event.callId)?.step(event);
        break;
      case "tool_progress":
        this.#cards.get(event.id)?.progress(event);
        break;
      case "tool_result":
        this.#cards.get(event.id)?.settle(event);
        if ([...this.#cards.values()].every((card) => card.settled)) this.#work("Thinking");
        break;
      case "retry":
        this.#retry(event);
        break;
      case "turn_end":
        this.#endText();
        break;
      case "said":
        this.say(event.text, false);
        this.#joined(event.text);
        break;
      case "steered":
        this.#joined(event.text);
        break;
      case "compacted":
        this.#compacted(event);
        break;
      case "tool_changed":
        this.#changed(event);
        break;
      case "done":
        if (event.output !== undefined) this.#data(event.output);
        if (event.goal) this.#goal(event.goal);
        this.#finish(event.usage);
        this.#announce(`Answer: ${shorten(this.#texts.at(-1) ?? "")}`);
        break;
      case "error":
        this.#finish(event.usage);
        this.fail(event.error);
        break;
      default:
        return;
    }
    this.#hooks.changed();
  }

  /** Takes a change of a source that came after the answer; `again` asks anew. */
  outdated(change, again) {
    this.#changes.show(change, again);
    if (!change.same) this.#announce(`${change.uri} has changed since it was read.`);
    this.#hooks.changed();
  }

  #text(text) {
    this.#notice = null;
    this.#thinking = null;
    if (!this.#prose) {
      this.#prose = new Prose(() => this.#hooks.changed());
      this.#parts.append(this.#prose.element);
    }
    this.#prose.append(text);
    this.#work("Writing");
  }

  #endText() {
    this.#thinking = null;
    if (!this.#prose) return;
    this.#prose.flush();
    this.#texts.push(this.#prose.text);
    this.#prose = null;
  }

  #think(text) {
    this.#endText();
    if (!this.#thinking) {
      this.#thinking = h("div", { class: "thinking-text" });
      this.#parts.append(h("details", { class: "thinking" }, h("summary", null, icon("chevron"), "Thinking"), this.#thinking));
    }
    this.#thinking.append(text);
  }

  #call(event) {
    this.#endText();
    this.#calls += 1;
    const plan = event.server === undefined && event.name === "run_plan";
    const card = new (plan ? PlanCard : Card)(event, this.#hooks.decide);
    // Ids are unique within a turn only, so a later call may take the place of an earlier one.
    this.#cards.set(event.id, card);
    const parent = event.callId === undefined ? undefined : this.#cards.get(event.callId);
    if (parent) parent.nest(card);
    else this.#parts.append(card.element);
    this.#work(`Calling ${card.title}`);
    this.#announce(`Calling ${card.title}.`);
  }

  /** Shows what the person says meanwhile; `later` when it waits until the model is done. */
  say(text, later) {
    const when = h("small", null, later ? "asked afterwards" : "joins at the next turn");
    const element = h("div", { class: "question waiting" }, h("span", { class: "unseen" }, "You: "), text, when);
    this.#said.push({ text, element, when });
    this.#parts.append(element);
    this.#hooks.changed();
  }

  #joined(text) {
    this.#endText();
    const place = this.#said.findIndex((said) => said.text === text);
    if (place < 0) return;
    const [{ element, when }] = this.#said.splice(place, 1);
    when.remove();
    element.classList.remove("waiting");
    // Where it joined is where it stands.
    this.#parts.append(element);
  }

  #compacted({ tokensBefore, tokensAfter, summary }) {
    this.#endText();
    const what = summary === undefined ? "Long results were set aside" : "Earlier messages were summed up for the model";
    const tokens = (number) => number.toLocaleString("en");
    const size = `about ${tokens(tokensBefore)} tokens before, ${tokens(tokensAfter)} now`;
    const more = summary === undefined ? null : h("details", null, h("summary", null, icon("chevron"), "Summary"), h("pre", { tabindex: "0" }, summary));
    this.#parts.append(h("div", { class: "notice" }, `${what}: ${size}.`, more));
  }

  /** The answer as data, in place of the text that it came as. */
  #data(output) {
    this.#endText();
    const data = h("pre", { class: "data", tabindex: "0", "aria-label": "Answer as data" }, JSON.stringify(output, null, 2));
    const text = [...this.#parts.querySelectorAll(".prose")].at(-1);
    if (text) text.replaceWith(data);
    else this.#parts.append(data);
  }

  #goal({ met, summary, left }) {
    this.#endText();
    const known = this.#texts.at(-1);
    const words = [summary, left && left !== known ? `Left: ${left}` : undefined].filter(Boolean);
    const title = h("p", { class: "goal-title" }, icon(met ? "check" : "minus"), met ? "Goal met" : "Goal not met");
    this.#parts.append(h("div", { class: "goal", dataset: { met: String(met) } }, title, words.map((text) => h("p", null, text))));
    this.#announce(met ? "Goal met." : "Goal not met.");
  }

  #retry({ attempt, delayMs, code }) {
    this.#endText();
    if (!this.#notice) {
      this.#notice = h("p", { class: "notice" });
      this.#parts.append(this.#notice);
    }
    // An error of the provider's own that is worth a second try is no refusal: a call of a tool that there is not, most often.
    const what = code === "provider" ? "The model provider reported an error" : explain({ code }, this.#hooks.peer()).title;
    setText(this.#notice, `${what}. Trying again in ${duration(delayMs)} (attempt ${attempt}).`);
    this.#announce(this.#notice.textContent);
  }

  /** A description is an instruction to the model, so whoever changes one is named. */
  #changed({ server, name, parts, needsApproval }) {
    const words = `${server} has changed its tool ${name.slice(server.length + 1)}: ${listing(parts.map((part) => PARTS[part] ?? part))} ${parts.length > 1 || parts[0] === "inputSchema" || parts[0] === "outputSchema" ? "are" : "is"} not as before.`;
    const next = needsApproval ? " Its next call waits for your approval." : "";
    this.#parts.append(h("p", { class: "notice changed" }, icon("alert"), h("span", null, words + next)));
    this.#announce(words + next);
  }

  #finish(usage) {
    this.#endText();
    for (const card of this.#cards.values()) card.abandon();
    for (const { when } of this.#said.splice(0)) setText(when, "was not heard");
    this.#working.remove();
    this.element.setAttribute("aria-busy", "false");
    const facts = [count(this.#turns, "turn")];
    if (this.#calls) facts.push(count(this.#calls, "tool call"));
    if (!this.#past) facts.push(duration(performance.now() - this.#started));
    if (usage?.inputTokens || usage?.outputTokens) {
      facts.push(`${count(usage.inputTokens, "token")} in, ${usage.outputTokens.toLocaleString("en")} out`);
    }
    // In the currency of the prices that were given.
    if (usage?.cost !== undefined) facts.push(`costs ${usage.cost.toLocaleString("en", { maximumSignificantDigits: 3 })}`);
    this.#foot.append(h("span", null, facts.join(" · ")));
    const text = this.#texts.join("\n\n");
    if (text && navigator.clipboard) this.#foot.append(copyButton(text));
  }

  /** Offers the log of the run as a file. */
  log(text, name) {
    const save = () => {
      const url = URL.createObjectURL(new Blob([text], { type: "application/jsonl" }));
      h("a", { href: url, download: `${name}.jsonl` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    };
    this.#foot.append(h("button", { type: "button", class: "link copy", onclick: save }, icon("down"), h("span", null, "Save log")));
  }

  /** Shows an error in words, the technical line behind a disclosure. */
  fail(error) {
    this.#working.remove();
    this.element.setAttribute("aria-busy", "false");
    // That it was being tried again is no news any more.
    this.#notice?.remove();
    const words = explain(error, this.#hooks.peer());
    this.#parts.append(errorBox(error, words, this.#hooks.act));
    if (error.code === "cancelled") this.#announce("Stopped.");
    this.#hooks.changed();
  }
}

const ACTIONS = { model: "Model settings", servers: "Servers", retry: "Try again", reload: "Reload the page" };

/** An error in words: what happened, what to do, what to paste, and the core's own message behind a disclosure. */
export function errorBox(error, { title, advice, fix, action }, act) {
  const quiet = error.code === "cancelled";
  return h(
    "div",
    { class: quiet ? "fault quiet-fault" : "fault", role: quiet ? null : "alert", dataset: { code: error.code ?? "" } },
    h("p", { class: "fault-title" }, icon(quiet ? "minus" : "alert"), title),
    h("p", null, advice),
    fix ? h("pre", { tabindex: "0" }, h("code", null, fix)) : null,
    quiet ? null : h("details", null, h("summary", null, icon("chevron"), "Details"), h("pre", { tabindex: "0" }, h("code", null, technical(error)))),
    action ? h("button", { type: "button", class: "button", onclick: () => act(action) }, ACTIONS[action]) : null,
  );
}

/** A button that copies the text and says so. */
export function copyButton(text) {
  const label = h("span", null, "Copy");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setText(label, "Copied");
    } catch {
      setText(label, "Not allowed");
    }
    setTimeout(() => setText(label, "Copy"), 2000);
  };
  return h("button", { type: "button", class: "link copy", onclick: copy }, icon("copy"), label);
}

const PARTS = { description: "its description", inputSchema: "its arguments", outputSchema: "its results", annotations: "what it says it may do" };

const listing = (items) => (items.length > 1 ? `${items.slice(0, -1).join(", ")} and ${items.at(-1)}` : items.join(""));

const shorten = (text) => (text.length > 800 ? `${text.slice(0, 800)} …` : text);

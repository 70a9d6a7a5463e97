// The conversation: composer, messages, and the run that is under way.

import { Answer } from "./answer.js";
import { Attachments, shown } from "./attach.js";
import { announce, h, icon, isDark } from "./dom.js";
import { ADDRESSES } from "./settings.js";
import { exchanges } from "./past.js";
import { loadOpenRun, saveOpenRun } from "./store.js";

const SUGGESTIONS = [
  { prompt: "What is 17 + 25? Then echo the result", needs: "get-sum" },
  { prompt: "Get the tiny image", needs: "get-tiny-image" },
  { prompt: `Switch the theme of this page to ${isDark() ? "light" : "dark"}`, needs: "set_theme" },
  { prompt: "Trigger a long running operation, duration: 4, steps: 8", needs: "trigger-long-running-operation" },
  { prompt: "Get structured content for Chicago", needs: "get-structured-content" },
  { prompt: "What is the local time?", needs: "local_time" },
];
const MOST_SUGGESTIONS = 5;

export class Chat {
  #session;
  #open;
  #scroller = document.getElementById("log");
  #list = document.getElementById("messages");
  #hero = document.getElementById("hero");
  #form = document.getElementById("composer");
  #field = document.getElementById("prompt");
  #send = document.getElementById("send");
  #stop = document.getElementById("stop");
  #goal = document.getElementById("goal");
  #count = document.getElementById("count");
  #latest = document.getElementById("latest");
  #attached;
  #run = null;
  #answer = null;
  #following = true;
  #height = 0;

  /** `open(panel)` shows the side panel's tab of that name. */
  constructor(session, open) {
    this.#session = session;
    this.#open = open;
    this.#attached = new Attachments(this.#form, this.#field);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener("keydown", (event) => {
      // Enter that ends the choice of an input method is not meant for us.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit(event.ctrlKey || event.metaKey);
    });
    this.#goal.addEventListener("click", () => {
      this.#goal.setAttribute("aria-pressed", String(!this.#pursues));
      this.#show(this.running);
    });
    this.#field.addEventListener("input", () => {
      this.#grow();
      this.#count.textContent = "Count tokens";
    });
    this.#count.addEventListener("click", () => this.#counts());
    this.#stop.addEventListener("click", () => this.stop());
    this.#latest.addEventListener("click", () => this.#follow());
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    session.addEventListener("change", () => this.#suggest());
    session.addEventListener("kept", () => this.#again().catch((error) => console.warn("edgewise: kept", error)));
    this.#send.disabled = false;
    this.#suggest();
  }

  get #pursues() {
    return this.#goal.getAttribute("aria-pressed") === "true";
  }

  get running() {
    return this.#run !== null;
  }

  /** Stops the run; what was said so far stays. */
  stop() {
    this.#run?.cancel();
  }

  /** Forgets the conversation. */
  clear() {
    this.stop();
    this.#run = null;
    saveOpenRun(null);
    this.#session.newChat();
    this.#list.replaceChildren();
    this.#hero.hidden = false;
    this.#show(false);
    this.#follow();
    this.home();
    announce("New chat.");
  }

  /** Gives the focus to the composer; on touch screens to the conversation, since the keyboard would cover it. */
  home() {
    const touch = matchMedia("(pointer: coarse)").matches;
    (touch ? this.#scroller : this.#field).focus({ preventScroll: true });
  }

  #suggest() {
    const tools = new Set(this.#session.tools().map((tool) => tool.name.split(".").at(-1)));
    // Until the servers have answered, what they will most likely offer is shown, so that nothing jumps.
    const waiting = this.#session.connecting;
    const known = SUGGESTIONS.filter(({ needs }) => waiting || tools.has(needs)).slice(0, MOST_SUGGESTIONS);
    const box = document.getElementById("suggestions");
    const key = known.map(({ prompt }) => prompt).join("\n");
    if (box.dataset.key === key) return;
    box.dataset.key = key;
    const chip = ({ prompt }) => h("li", null, h("button", { type: "button", class: "chip", onclick: () => this.#ask(prompt) }, prompt));
    box.replaceChildren(...known.map(chip));
  }

  #submit(later = false) {
    const prompt = this.#field.value.trim();
    if (!prompt) return;
    this.#field.value = "";
    this.#grow();
    if (this.running) this.#add(prompt, later);
    else this.#ask(prompt, { attachments: this.#attached.take() });
  }

  /** Says how many tokens the model would be asked with. */
  async #counts() {
    this.#count.disabled = true;
    const counted = this.#session.count(this.#field.value, this.#pursues ? "goal" : "chat");
    const words = await counted.catch((error) => `Not counted: ${error.code}`);
    this.#count.disabled = false;
    this.#count.textContent = words;
    announce(words);
  }

  /** Says something while the answer comes: it joins at the next turn, or is asked afterwards. */
  #add(text, later) {
    this.#answer.say(text, later);
    try {
      if (later) this.#run.followUp(text);
      else this.#run.steer(text);
    } catch (error) {
      // The run ended this instant; the answer shows that it was not heard.
      if (error.code !== "misuse") throw error;
    }
    announce(later ? "Asked afterwards." : "Joins at the next turn.");
    this.#follow();
  }

  /** Shows what is kept by now: it was removed, or brought back. A run that is under way stays. */
  async #again() {
    if (this.running) return;
    this.#list.replaceChildren();
    await this.resume();
  }

  /** Shows what was said in this tab before it was reloaded, and goes on with the run that was open then, if there is one. */
  async resume() {
    const left = loadOpenRun();
    const [messages, open] = await Promise.all([this.#session.messages(), left ? this.#session.isOpen(left.runId) : false]);
    if (this.running || this.#list.childElementCount) return;
    const past = exchanges(messages, (wire) => this.#session.toolOf(wire));
    const begun = open && past.at(-1)?.open ? past.pop() : undefined;
    for (const { prompt, attachments, events } of past) {
      const { question, answer } = this.#exchange(prompt, {}, undefined, attachments);
      this.#list.append(question, answer.element);
      answer.recall(events, true);
    }
    this.#hero.hidden = past.length > 0;
    this.#follow();
    if (!open) return;
    const go = () => void this.#ask(left.prompt, { runId: left.runId, begun: begun?.events });
    const missing = left.servers.filter((name) => !this.#session.has(name));
    if (missing.length === 0) {
      go();
      return;
    }
    // Without their tools its calls would fail; whoever added them can do so again.
    const notice = h("div", { class: "answer left-open", role: "status" });
    const end = (then) => () => (notice.remove(), then());
    const servers = missing.join(" and ");
    notice.append(
      h("p", { class: "notice" }, `“${left.prompt}” was left open, and this page does not remember ${servers} any more. Add ${missing.length > 1 ? "them" : "it"} under the same name to go on.`),
      h("button", { type: "button", class: "button", onclick: end(go) }, "Go on"),
      h("button", { type: "button", class: "link", onclick: end(() => this.#session.forget(left.runId).finally(() => saveOpenRun(null))) }, "Drop it"),
    );
    this.#hero.hidden = true;
    this.#list.append(notice);
  }

  /** Shows a plan at work; false while an answer is under way. */
  runPlan(plan) {
    if (this.running) return false;
    const steps = Array.isArray(plan?.steps) ? plan.steps.length : 0;
    this.#ask(`Run a plan of ${steps === 1 ? "one step" : `${steps} steps`}`, { plan });
    return true;
  }

  /** A question with an answer to come; `state.run` is what decides about calls, `again` asks once more. */
  #exchange(prompt, state, again, attachments = []) {
    const question = h("div", { class: "question" }, h("span", { class: "unseen" }, "You: "), attachments.map((block) => shown(block)), prompt);
    const decide = (tell) => {
      try {
        tell();
      } catch (error) {
        // Too late: the call is over, and its result says how.
        if (error.code !== "misuse") throw error;
      }
    };
    const answer = new Answer({
      changed: () => this.#grown(),
      asked: (card) => this.#asked(card),
      decide: {
        approve: (id, remember) => decide(() => state.run.approve(id, { remember })),
        deny: (id, why) => decide(() => state.run.deny(id, why)),
        answer: (id, value) => decide(() => state.run.answer(id, value)),
        decided: () => this.home(),
        whole: (handle) => this.#session.whole(handle),
      },
      peer: () => this.#peer(),
      act: (action) => {
        if (action === "reload") location.reload();
        else if (action !== "retry") this.#open(action);
        else again();
      },
    });
    return { question, answer };
  }

  /**
   * @param instead A run that is gone on with (`runId`), behind the turns that it has `begun` with, or a `plan`, instead of
   * asking anew; `attachments` go with the prompt.
   */
  async #ask(prompt, instead = {}) {
    if (this.running) return;
    this.#hero.hidden = true;
    const state = { run: null, kept: false };
    const again = () => {
      if (this.running) return;
      // What came to nothing is no part of the conversation, so it goes from the page too.
      if (!state.kept) {
        question.remove();
        answer.element.remove();
      }
      this.#ask(prompt, { plan: instead.plan, attachments: instead.attachments });
    };
    const { question, answer } = this.#exchange(prompt, state, again, instead.attachments);
    this.#list.append(question, answer.element);
    if (instead.begun) answer.recall(instead.begun, false);
    this.#follow();
    let run = null;
    try {
      const onSpan = (span) => answer.span(span);
      if (instead.runId) run = this.#session.resume(instead.runId, onSpan);
      else if (instead.plan) run = this.#session.runPlan(instead.plan, onSpan);
      else run = this.#session.start(prompt, onSpan, this.#pursues ? "goal" : "chat", instead.attachments);
    } catch (error) {
      answer.fail(error);
      return;
    }
    this.#run = state.run = run;
    this.#answer = answer;
    this.#show(true);
    this.home();
    let sources = [];
    for await (const event of run) {
      if (event.type === "server_status") this.#session.changed();
      if (event.type === "context") sources = event.sources;
      if (event.type === "run_start") saveOpenRun({ runId: event.runId, prompt, servers: this.#session.names() });
      if (event.type === "done" || event.type === "error") state.kept = event.messages.length > 1;
      answer.apply(event);
    }
    if (run.log) answer.log(run.log, "run");
    this.#session.finish(run);
    // Another conversation has begun meanwhile.
    if (this.#run !== run) return;
    saveOpenRun(null);
    this.#run = null;
    this.#show(false);
    this.#session.changed();
    if (sources.length) void this.#session.follow((change) => answer.outdated(change, again));
  }

  #peer() {
    const { provider, id, baseUrl } = this.#session.settings;
    return { kind: "model", provider, name: id || provider, url: baseUrl || ADDRESSES[provider] || "" };
  }

  /** Brings an approval to the person, unless that would tear them away from what they are typing. */
  #asked(card) {
    card.element.scrollIntoView({ block: "nearest" });
    const idle = [document.body, this.#scroller].includes(document.activeElement) || (document.activeElement === this.#field && !this.#field.value);
    // The card and not its button: an Enter meant for the composer must not allow anything.
    if (idle) card.element.focus({ preventScroll: true });
  }

  #show(running) {
    this.#stop.hidden = !running;
    document.getElementById("keys-idle").hidden = running;
    document.getElementById("keys-running").hidden = !running;
    const idle = this.#pursues ? "A goal to work on, turn by turn" : "Ask something that needs a tool";
    this.#field.placeholder = running ? "Say more while it answers" : idle;
    document.body.toggleAttribute("data-running", running);
  }

  #grow() {
    this.#field.style.height = "auto";
    this.#field.style.height = `${Math.min(this.#field.scrollHeight, 200)}px`;
  }

  #follow() {
    this.#following = true;
    this.#grown();
  }

  #grown() {
    if (this.#following) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#height = this.#scroller.scrollHeight;
    this.#latest.hidden = this.#following;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const atEnd = scrollHeight - scrollTop - clientHeight < 48;
    // Content that grew by itself scrolls nobody away; only a person does.
    if (!atEnd && scrollHeight !== this.#height) return;
    this.#following = atEnd;
    this.#latest.hidden = atEnd;
  }
}

/** The icons of the composer's buttons. */
export function dressComposer() {
  document.getElementById("attach").append(icon("attach"));
  document.getElementById("send").append(icon("up"));
  document.getElementById("stop").append(icon("stop"));
  document.getElementById("latest").prepend(icon("down"));
}

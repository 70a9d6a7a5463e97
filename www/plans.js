// Plans that a person writes: checked, looked at before they run, and run in the chat.

import { announce, h, setText } from "./dom.js";

export class PlansPanel {
  #session;
  #run;
  #form = document.getElementById("plan-form");
  #text = document.getElementById("plan-text");
  #shown = document.getElementById("plan-shown");
  #touched = false;

  /** `run(plan)` shows a plan at work in the chat; false when it cannot. */
  constructor(session, run) {
    this.#session = session;
    this.#run = run;
    this.#text.addEventListener("input", () => {
      this.#touched = true;
      this.#shown.replaceChildren();
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const plan = this.#read();
      if (plan && !this.#run(plan)) this.#tell("An answer is under way", ["Wait for its end, or stop it."]);
    });
    document.getElementById("plan-preview").addEventListener("click", () => this.#preview());
    session.addEventListener("change", () => this.#suggest());
    this.#suggest();
  }

  /** An example of the tools that are there, until somebody writes their own. */
  #suggest() {
    if (!this.#touched) this.#text.value = JSON.stringify(example(this.#session.tools()), null, 2);
  }

  #read() {
    try {
      return JSON.parse(this.#text.value);
    } catch (error) {
      this.#tell("This is no JSON", [error.message]);
      return null;
    }
  }

  #tell(title, problems) {
    const list = h("ul", null, problems.map((problem) => h("li", null, problem)));
    this.#shown.replaceChildren(h("div", { class: "fault", role: "alert" }, h("p", { class: "fault-title" }, title), list));
  }

  async #preview() {
    const plan = this.#read();
    if (!plan) return;
    setText(this.#shown, "Looking …");
    try {
      const { ok, problems, waves, steps } = await this.#session.previewPlan(plan);
      if (!ok) {
        this.#tell("It cannot be run", problems);
        return;
      }
      const known = new Map(steps.map((step) => [step.id, step]));
      const items = waves.map((wave) => h("li", null, wave.map((id) => row(known.get(id)))));
      this.#shown.replaceChildren(h("p", { class: "note" }, `What stands together runs at once.`), h("ol", { class: "waves" }, items));
      announce(`The plan can be run, in ${waves.length === 1 ? "one wave" : `${waves.length} waves`}.`);
    } catch (error) {
      this.#tell("It could not be looked at", [error.message]);
    }
  }
}

function row({ id, tool, approval, forEach, when }) {
  const tags = [forEach && "for each", when && "if", approval && "asks first"].filter(Boolean);
  return h("p", { title: approval ?? null }, h("strong", null, id), " ", h("code", null, tool), tags.map((tag) => h("span", { class: tag === "asks first" ? "tag writes" : "tag" }, tag)));
}

/** A plan that these tools can do. */
function example(tools) {
  const named = (end) => tools.find(({ name }) => name === end || name.endsWith(`.${end}`))?.name;
  const [sum, echo] = [named("get-sum") ?? named("add"), named("echo")];
  if (sum && echo) {
    const said = { id: "say", tool: echo, forEach: ["first", "second"], input: { message: "{{item}}: {{sum.content.0.text}}" } };
    return { steps: [{ id: "sum", tool: sum, input: { a: 17, b: 25 } }, said], return: { $from: "say" } };
  }
  const theme = { id: "theme", tool: named("set_theme") ?? "set_theme", input: { theme: "dark" } };
  return { steps: [{ id: "time", tool: named("local_time") ?? "local_time" }, { ...theme, dependsOn: ["time"] }], return: { $from: "time" } };
}

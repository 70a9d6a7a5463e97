// A plan as a card: its steps as a table that fills while they run, with the calls that they make below.

import { Card } from "./card.js";
import { count, duration, h, setText } from "./dom.js";

export const STEP_STATES = { waiting: "Waits", running: "Running", retrying: "Trying again", ok: "Done", failed: "Failed", skipped: "Skipped", defaulted: "Default taken", not_run: "Not run" };

export class PlanCard extends Card {
  #rows = new Map();
  #calls = h("div", { class: "plan-calls" });

  constructor(call, decide) {
    super({ ...call, name: "run_plan" }, decide);
    const steps = Array.isArray(call.input?.steps) ? call.input.steps : [];
    const rows = steps.map((step) => this.#row(String(step?.id ?? ""), String(step?.tool ?? "")));
    if (rows.length) {
      const head = h("tr", null, ...["Step", "Tool", "State"].map((name) => h("th", { scope: "col" }, name)));
      this.element.append(h("table", { class: "plan", "aria-label": "Steps of the plan" }, h("thead", null, head), h("tbody", null, rows)));
    }
    this.element.append(this.#calls);
  }

  #row(id, tool) {
    const state = h("span", null, STEP_STATES.waiting);
    const note = h("span", { class: "plan-note" });
    const row = h("tr", { dataset: { state: "waiting" } }, h("th", { scope: "row" }, id), h("td", null, h("code", null, tool)), h("td", null, state, note));
    this.#rows.set(id, { row, state, note, began: 0 });
    return row;
  }

  /** Takes a `plan_step` event of this plan. */
  step({ id, state, items, attempt, reason }) {
    const known = this.#rows.get(id);
    if (!known) return;
    if (state === "running" && !known.began) known.began = performance.now();
    known.items = items ?? known.items;
    known.row.dataset.state = state;
    setText(known.state, STEP_STATES[state] ?? state);
    const took = known.began && ["ok", "failed", "defaulted"].includes(state) ? duration(performance.now() - known.began) : null;
    const facts = [known.items === undefined ? null : count(known.items, "call"), attempt > 1 ? `attempt ${attempt}` : null, took, reason];
    setText(known.note, facts.filter(Boolean).join(" · "));
  }

  /** Shows the card of a call that a step makes. */
  nest(card) {
    this.#calls.append(card.element);
  }

  settle(result) {
    super.settle(result);
    // What its steps did is not told of a plan of an earlier visit.
    const told = [...this.#rows.values()].some(({ row }) => row.dataset.state !== "waiting");
    for (const { row, state } of this.#rows.values()) {
      if (row.dataset.state !== "waiting" && row.dataset.state !== "running") continue;
      row.dataset.state = "not_run";
      setText(state, told || result.outcome !== "ok" ? STEP_STATES.not_run : "");
    }
  }
}

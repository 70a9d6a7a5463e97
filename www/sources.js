// What the servers' resources gave to an answer, and what has become of them since.

import { count, h, icon } from "./dom.js";

/** What was put before the model, behind a line that says how much; null when it was nothing. */
export function sourcesRead({ sources, tokens, reason }) {
  if (reason) return h("p", { class: "notice" }, "What the servers know could not be read: the answer goes on without it.");
  if (sources.length === 0) return null;
  const row = ({ server, uri, name, tokens, stale }) => h("li", null, h("span", { class: "source-name" }, name), ` ${server} · ${count(tokens, "token")}${stale ? " · may be outdated" : ""}`, name === uri ? null : h("code", null, uri));
  return h(
    "details",
    { class: "sources" },
    h("summary", null, icon("chevron"), `Read ${count(sources.length, "resource")}, ${count(tokens, "token")}`),
    h("ul", null, ...sources.map(row)),
  );
}

/** Changes of sources, the newest of each. */
export class Changes {
  element = h("div", { class: "changes", role: "status" });
  #rows = new Map();

  /** `again`: asks the question anew; without it the model is told by itself. */
  show(change, again) {
    const key = `${change.server}\n${change.uri}`;
    this.#rows.get(key)?.remove();
    this.#rows.delete(key);
    if (change.same) return;
    const words = again ? "has changed since it was read" : "has changed: the model is told";
    const row = h(
      "div",
      { class: "change" },
      h("p", null, icon("alert"), h("span", null, h("strong", null, change.uri), ` of ${change.server} ${words}.`)),
      change.difference ? h("pre", { tabindex: "0" }, h("code", null, change.difference)) : null,
    );
    if (again) {
      const button = h("button", { type: "button", class: "button", onclick: again }, "Answer again");
      row.append(button);
    }
    this.#rows.set(key, row);
    this.element.append(row);
  }
}

// What the package found out about a server that failed, below its error.

import { copyButton } from "./answer.js";
import { h, icon } from "./dom.js";

/**
 * A box that fills itself with the report that `look` resolves to; `look` is given a signal. The report replaces the
 * guesses of the error's advice, so `done` is told when it is there. `stop` ends it.
 */
export function diagnosis(look, done) {
  const controller = new AbortController();
  const element = h("div", { class: "diagnosis", "aria-busy": "true" }, h("p", { class: "diagnosis-busy" }, "Finding out why …"));
  look(controller.signal).then(
    ({ findings }) => {
      if (controller.signal.aborted) return;
      element.removeAttribute("aria-busy");
      element.replaceChildren(h("p", { class: "diagnosis-title" }, "What was found"), h("ul", null, ...findings.map(finding)));
      done(findings);
    },
    () => element.remove(),
  );
  return { element, stop: () => controller.abort() };
}

function finding({ code, level, message, fix }) {
  return h(
    "li",
    { dataset: { level, code } },
    h("p", null, icon(level === "info" ? "check" : "alert"), h("span", null, message)),
    fix ? h("div", { class: "diagnosis-fix" }, h("pre", { tabindex: "0", "aria-label": "To paste" }, h("code", null, fix)), navigator.clipboard ? copyButton(fix) : null) : null,
  );
}

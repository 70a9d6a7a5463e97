// What a server wants of the person, as a form or a page to open. Everything in it was written by the server: its name
// stands above, nothing is opened or sent unasked, and declining is always there.

import { h, icon, setText } from "./dom.js";

let serial = 0;

/**
 * The element for an `input_request` event. `answer(value)` gives the answer to the run; it throws an EdgewiseError with
 * a path where the person can do better, and the form stays. `done()` is called once the answer was taken.
 */
export function question({ server, message, schema, url }, answer, done) {
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  const fields = Object.entries(schema?.properties ?? {}).map(([name, property]) => field(name, property, schema.required ?? []));
  const give = (value) => {
    try {
      answer(value);
    } catch (error) {
      const at = fields.find(({ name }) => error.path === `value.content.${name}`);
      setText(wrong, at ? `${at.title}: ${error.message.slice(error.path.length + 2)}` : error.message);
      wrong.hidden = false;
      at?.focus();
      return;
    }
    done(value.action);
  };
  const accept = () => {
    if (url) window.open(url, "_blank", "noopener,noreferrer");
    give(url ? { action: "accept" } : { action: "accept", content: Object.fromEntries(fields.map(({ name, value }) => [name, value()])) });
  };
  return h(
    "form",
    { class: "approval asked", novalidate: true, "aria-label": `Request of ${server}`, onsubmit: (event) => (event.preventDefault(), accept()) },
    h("p", null, icon("hand"), h("span", null, h("strong", null, `${server} asks: `), h("span", { class: "asks" }, message))),
    url ? page(url) : null,
    fields.map(({ element }) => element),
    wrong,
    h(
      "div",
      { class: "row" },
      h("button", { type: "submit", class: "button primary" }, url ? "Open the page" : "Send"),
      h("button", { type: "button", class: "button", onclick: () => give({ action: "decline" }) }, "Decline"),
      h("button", { type: "button", class: "link", onclick: () => give({ action: "cancel" }) }, "Not now"),
    ),
  );
}

/** The whole address, its host made plain. */
function page(url) {
  const host = new URL(url).host;
  const at = url.indexOf(host);
  return h("p", { class: "address" }, h("code", null, url.slice(0, at), h("strong", null, host), url.slice(at + host.length)));
}

/** One field: `{ name, title, element, value(), focus() }`; a value of null leaves it empty. */
function field(name, property, required) {
  const id = `asked-${(serial += 1)}`;
  const title = property.title ?? name;
  const { control, value } = make(id, property, required.includes(name));
  const note = property.description ? h("span", { class: "quiet" }, property.description) : null;
  const label = h("label", { for: id }, title, required.includes(name) ? "" : h("span", { class: "quiet" }, " (optional)"));
  const element = h("div", { class: "asked-field", dataset: { field: name } }, property.type === "boolean" ? [control, label] : [label, control], note);
  return { name, title, element, value, focus: () => control.focus() };
}

function make(id, property, required) {
  const given = property.default;
  if (property.type === "boolean") {
    const control = h("input", { type: "checkbox", id, checked: given === true });
    return { control, value: () => control.checked };
  }
  if (property.type === "array") {
    const chosen = (option) => Array.isArray(given) && given.includes(option);
    const boxes = choices(property.items ?? {}).map(([option, title]) => [option, h("input", { type: "checkbox", checked: chosen(option) }), title]);
    const control = h("div", { id, role: "group", tabindex: "-1", class: "choices" }, boxes.map(([, box, title]) => h("label", null, box, " ", title)));
    const value = () => boxes.filter(([, box]) => box.checked).map(([option]) => option);
    return { control, value: () => (value().length || required ? value() : null) };
  }
  const options = choices(property);
  if (options.length) {
    const empty = given === undefined ? h("option", { value: "" }, "Choose …") : null;
    const control = h("select", { id }, empty, options.map(([option, title], at) => h("option", { value: String(at), selected: option === given }, title)));
    return { control, value: () => (control.value === "" ? null : options[Number(control.value)][0]) };
  }
  const numeric = property.type === "number" || property.type === "integer";
  const type = numeric ? "number" : ({ email: "email", uri: "url", date: "date" }[property.format] ?? "text");
  const control = h("input", { type, id, value: given, step: numeric ? (property.type === "integer" ? 1 : "any") : null, min: property.minimum, max: property.maximum, maxlength: property.maxLength });
  const value = () => (control.value === "" ? null : numeric ? Number(control.value) : control.value);
  return { control, value };
}

/** What there is to choose from, each as `[value, title]`; empty when the field is free. */
function choices({ enum: values, enumNames, oneOf, anyOf }) {
  if (Array.isArray(values)) return values.map((value, at) => [value, enumNames?.[at] ?? value]);
  return (oneOf ?? anyOf ?? []).map((option) => [option.const, option.title ?? option.const]);
}

// Building DOM nodes. Text only ever becomes text nodes; nothing here parses HTML.

/**
 * Makes an element. `onclick` and the like are listeners, `dataset` is merged, booleans set or leave out an
 * attribute, null leaves it out.
 */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// One stroke language for all: 24 by 24, round ends, drawn in the colour of the text.
const SHAPES = {
  add: ["M12 5v14", "M5 12h14"],
  alert: ["M12 8v5", "M12 16.5v.01", "M10.3 4.2 2.7 17.5A2 2 0 0 0 4.4 20.5h15.2a2 2 0 0 0 1.7-3L13.7 4.2a2 2 0 0 0-3.4 0z"],
  attach: ["m20 11.5-8.3 8.3a5 5 0 0 1-7-7l8.6-8.6a3.4 3.4 0 0 1 4.8 4.8l-8.6 8.6a1.7 1.7 0 0 1-2.4-2.4l7.9-7.9"],
  check: ["m5 12.5 4.5 4.5L19 7.5"],
  chevron: ["m9 6 6 6-6 6"],
  close: ["M6 6l12 12", "M18 6 6 18"],
  copy: ["M9 9h10v11H9z", "M15 9V4H5v11h4"],
  down: ["M12 5v14", "m6 13 6 6 6-6"],
  hand: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", "M10 9v6", "M14 9v6"],
  minus: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", "M8 12h8"],
  retry: ["M19.5 12A7.5 7.5 0 1 1 17 6.4", "M19.5 4v4.5H15"],
  run: ["M12 3a9 9 0 1 1-9 9"],
  stop: ["M6 6h12v12H6z"],
  trash: ["M5 7h14", "M9 7V4.5h6V7", "M7 7l1 12.5h8L17 7"],
  up: ["M12 19V5", "m6 11 6-6 6 6"],
};

/** An icon that assistive technology does not see. */
export function icon(name) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon", `icon-${name}`);
  for (const shape of SHAPES[name]) {
    const path = document.createElementNS(namespace, "path");
    path.setAttribute("d", shape);
    svg.append(path);
  }
  return svg;
}

/** Sets the text of an element only when it differs, so that a live region is not announced again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Says something to assistive technology; `urgently` interrupts what is being read. */
export function announce(text, urgently = false) {
  const region = document.getElementById(urgently ? "live-urgent" : "live");
  region.textContent = "";
  // A region that is emptied and filled in one go may stay silent when the text is the same as before.
  setTimeout(() => {
    region.textContent = text;
  }, 30);
}

/** `340 ms`, `2.1 s`, `3 min 20 s`. */
export function duration(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${Math.floor(milliseconds / 60_000)} min ${Math.round((milliseconds % 60_000) / 1000)} s`;
}

/** `1 tool`, `2 tools`. */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** Whether the page is dark now, by choice or by the system's. */
export function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

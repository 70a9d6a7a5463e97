// The side panel: tabs, beside the chat on wide screens and a drawer on narrow ones.

const NARROW = matchMedia("(max-width: 960px)");

export class Panel {
  #panel = document.getElementById("panel");
  #tabs = [...document.querySelectorAll('[role="tab"]')];
  #opener = null;

  constructor() {
    for (const tab of this.#tabs) {
      tab.addEventListener("click", () => this.#select(tab));
      tab.addEventListener("keydown", (event) => this.#move(event, tab));
    }
    document.getElementById("panel-toggle").addEventListener("click", () => this.open());
    document.getElementById("panel-close").addEventListener("click", () => this.close());
    document.getElementById("backdrop").addEventListener("click", () => this.close());
    this.#panel.addEventListener("keydown", (event) => this.#trap(event));
    NARROW.addEventListener("change", () => this.#arrange(false));
    this.#arrange(false);
  }

  /** True while the drawer covers the chat. */
  get covering() {
    return NARROW.matches && document.body.hasAttribute("data-panel");
  }

  /** Shows a tab, `servers`, `model`, `plan` or `storage`, and gives it the focus. */
  open(name) {
    const tab = this.#tabs.find((candidate) => candidate.id === `tab-${name}`) ?? this.#selected();
    this.#opener = document.activeElement;
    this.#select(tab);
    this.#arrange(true);
    tab.focus();
  }

  /** Closes the drawer and gives the focus back. */
  close() {
    if (!this.covering) return;
    this.#arrange(false);
    this.#opener?.focus();
  }

  #arrange(open) {
    const drawer = NARROW.matches;
    document.body.toggleAttribute("data-panel", drawer && open);
    // A closed drawer is out of reach; while one is open, what it covers is.
    this.#panel.inert = drawer && !open;
    document.getElementById("chat").inert = drawer && open;
    document.getElementById("bar").inert = drawer && open;
    document.getElementById("panel-toggle").setAttribute("aria-expanded", String(drawer && open));
    if (drawer) {
      this.#panel.setAttribute("role", "dialog");
      this.#panel.setAttribute("aria-modal", "true");
    } else {
      this.#panel.removeAttribute("role");
      this.#panel.removeAttribute("aria-modal");
    }
  }

  #selected() {
    return this.#tabs.find((tab) => tab.getAttribute("aria-selected") === "true");
  }

  #select(chosen) {
    for (const tab of this.#tabs) {
      const selected = tab === chosen;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !selected;
    }
  }

  #move(event, tab) {
    const steps = { ArrowRight: 1, ArrowLeft: -1 };
    const at = this.#tabs.indexOf(tab);
    let next;
    if (event.key in steps) next = this.#tabs[(at + steps[event.key] + this.#tabs.length) % this.#tabs.length];
    else if (event.key === "Home") next = this.#tabs[0];
    else if (event.key === "End") next = this.#tabs.at(-1);
    else return;
    event.preventDefault();
    this.#select(next);
    next.focus();
  }

  /** Keeps Tab inside of the drawer. */
  #trap(event) {
    if (event.key !== "Tab" || !this.covering) return;
    const stops = [...this.#panel.querySelectorAll("button, input, select, textarea, summary, a[href], [tabindex='0']")].filter(
      (element) => element.tabIndex >= 0 && element.getClientRects().length > 0,
    );
    const [from, to] = event.shiftKey ? [stops[0], stops.at(-1)] : [stops.at(-1), stops[0]];
    if (document.activeElement !== from) return;
    event.preventDefault();
    to.focus();
  }
}

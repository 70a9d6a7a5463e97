// The panel of servers: what each one is doing, which tools it has, and how to add, retry and remove one.

import { errorBox } from "./answer.js";
import { diagnosis } from "./diagnosis.js";
import { announce, count, h, icon, setText } from "./dom.js";
import { forgetServer, rememberServer } from "./store.js";
import { explain, SERVER_STATES } from "./words.js";

export class ServersPanel {
  #session;
  #list = document.getElementById("server-list");
  #count = document.getElementById("server-count");
  #form = document.getElementById("add-server");
  #views = new Map();
  #own = null;

  constructor(session) {
    this.#session = session;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#add();
    });
    session.addEventListener("change", () => this.#update());
    const lend = document.getElementById("lend");
    lend.closest("label").hidden = !session.mayLend;
    lend.addEventListener("change", async () => {
      const names = await session.lend(lend.checked);
      announce(lend.checked ? `${count(names.length, "tool")} lent to this page.` : "Nothing is lent any more.");
    });
    this.#update();
  }

  #update() {
    const { servers, own } = this.#session.servers();
    for (const [name, view] of this.#views) {
      if (servers.some((server) => server.name === name)) continue;
      view.element.remove();
      this.#views.delete(name);
    }
    for (const server of servers) {
      let view = this.#views.get(server.name);
      if (!view) {
        view = new ServerView(this.#session, () => this.#form.elements.url.focus());
        this.#views.set(server.name, view);
        this.#list.insertBefore(view.element, this.#own);
      }
      view.update(server);
    }
    if (!this.#own) {
      this.#own = h("li", { class: "server", dataset: { state: "ready" } }, ownHead(), toolList(own).element);
      this.#list.append(this.#own);
    }
    const ready = servers.filter((server) => server.state === "ready").length;
    const failed = servers.filter((server) => server.state === "failed").length;
    setText(this.#count, String(servers.length));
    const summary = `${count(ready, "server")} ready${failed ? `, ${failed} failed` : ""}`;
    document.getElementById("tab-servers").setAttribute("aria-label", `Servers: ${summary}`);
    const badge = document.getElementById("panel-badge");
    badge.hidden = failed === 0;
    document.getElementById("no-servers").hidden = servers.length > 0;
  }

  #add() {
    const { url, name, token, remember, secluded, untrusted, privateResources } = this.#form.elements;
    const address = url.value.trim();
    const server = { name: name.value.trim() || this.#session.suggestName(address), url: address };
    if (token.value) server.token = token.value;
    const labels = [secluded.checked && "private", untrusted.checked && "untrusted"].filter(Boolean);
    if (labels.length) server.labels = labels;
    const prefixes = privateResources.value.split(/[\s,]+/).filter(Boolean);
    if (prefixes.length) server.privateResources = prefixes;
    clearFieldErrors(this.#form);
    try {
      this.#session.addServer(server);
    } catch (error) {
      showFieldError(this.#form, error, "url");
      return;
    }
    if (remember.checked) rememberServer(server);
    this.#form.reset();
    url.focus();
    announce(`Server ${server.name} added.`);
  }
}

class ServerView {
  #session;
  #left;
  #name = h("h3", { class: "server-name" });
  #state = h("span", { class: "server-state" });
  #facts = h("span", { class: "server-facts" });
  #url = h("p", { class: "server-url" });
  #retry = h("button", { type: "button", class: "icon-button", onclick: () => this.#again() }, icon("retry"));
  #remove = h("button", { type: "button", class: "icon-button", onclick: () => this.#drop() }, icon("trash"));
  #fault = h("div", { class: "server-fault" });
  #signIn = h("button", { type: "button", class: "button primary", onclick: () => this.#authorize() }, "Sign in");
  #entry = h("div", { class: "sign-in", hidden: true }, h("p", null, "This server wants to know who you are. You sign in on a page of its own, and this page is let in."), this.#signIn);
  #tools = toolList([]);
  #server = null;
  #diagnosis = null;
  #shown = "";

  /** `left` is called when the view is gone and the focus needs another place. */
  constructor(session, left) {
    this.#session = session;
    this.#left = left;
    this.element = h(
      "li",
      { class: "server" },
      h("div", { class: "server-head" }, h("span", { class: "dot" }), this.#name, this.#state, this.#retry, this.#remove),
      this.#url,
      this.#facts,
      this.#entry,
      this.#fault,
      this.#tools.element,
    );
  }

  update(server) {
    // Polled while connecting: what has not changed is left alone, focus and open lists with it.
    const shown = JSON.stringify(server);
    if (shown === this.#shown) return;
    const before = this.#server?.state;
    this.#shown = shown;
    this.#server = server;
    this.element.dataset.state = server.state;
    setText(this.#name, server.name);
    setText(this.#state, SERVER_STATES[server.state] ?? server.state);
    setText(this.#url, server.url);
    this.#url.title = server.url;
    setText(this.#facts, facts(server));
    for (const [button, verb] of [[this.#retry, "Try again to connect to"], [this.#remove, "Remove"]]) {
      button.setAttribute("aria-label", `${verb} ${server.name}`);
      button.title = `${verb} ${server.name}`;
    }
    this.#retry.hidden = !["failed", "closed"].includes(server.state);
    this.#remove.hidden = server.builtIn === true;
    this.#fault.replaceChildren();
    this.#diagnosis?.stop();
    this.#diagnosis = null;
    this.#entry.hidden = server.state !== "auth_required";
    this.#signIn.setAttribute("aria-label", `Sign in to ${server.name}`);
    if (server.state === "auth_required") {
      if (before !== "auth_required") announce(`${server.name} wants you to sign in.`);
    } else if (server.error) {
      const peer = { kind: "server", name: server.name, url: server.url };
      // The buttons are beside the name already.
      const words = { ...explain(server.error, peer), action: null };
      const box = errorBox(server.error, words, () => {});
      box.removeAttribute("role");
      this.#fault.append(box);
      this.#diagnosis = diagnosis(
        (signal) => this.#session.diagnose(server.name, signal),
        (findings) => {
          const [first] = findings;
          // It is known now, so nothing has to be guessed.
          if (server.error.code === "network" && first?.code !== "unreachable") box.querySelector(".fault-title + p")?.remove();
          announce(`${server.name}: ${first?.message ?? ""}`);
        },
      );
      box.append(this.#diagnosis.element);
      if (before !== "failed") announce(`${words.title}.`);
    } else if (["connecting", "auth_required"].includes(before) && server.state === "ready") {
      announce(`${server.name} is ready: ${count(server.list.length, "tool")}.`);
    }
    this.#tools.update(server.list);
  }

  async #authorize() {
    const { name, url } = this.#server;
    this.#fault.replaceChildren();
    this.#signIn.disabled = true;
    try {
      await this.#session.signIn(name);
    } catch (error) {
      const words = { ...explain(error, { kind: "server", name, url }), title: `You are not signed in to ${name}`, advice: "Nothing has changed. You can try again.", action: null };
      this.#fault.replaceChildren(errorBox(error, words, () => {}));
    } finally {
      this.#signIn.disabled = false;
    }
  }

  async #again() {
    this.#remove.focus();
    await this.#session.retryServer(this.#server.name);
  }

  async #drop() {
    this.#diagnosis?.stop();
    const { name } = this.#server;
    forgetServer(name);
    this.#left();
    announce(`Server ${name} removed.`);
    await this.#session.removeServer(name);
  }
}

const ERAS = { modern: "modern MCP", legacy: "2025-era MCP" };

function facts({ era, protocolVersion, serverInfo }) {
  const product = serverInfo && [serverInfo.title ?? serverInfo.name, serverInfo.version].filter(Boolean).join(" ");
  return [product, ERAS[era], protocolVersion].filter(Boolean).join(" · ");
}

function ownHead() {
  return h("div", { class: "server-head" }, h("span", { class: "dot" }), h("h3", { class: "server-name" }, "This page"), h("span", { class: "server-state" }, "Built in"));
}

/** A disclosure with one entry for each tool. */
function toolList(tools) {
  const label = h("span");
  const entries = h("ul", { class: "tools" });
  const element = h("details", { class: "tool-list" }, h("summary", null, icon("chevron"), label), entries);
  let shown = null;
  const update = (next) => {
    const key = JSON.stringify(next);
    if (key === shown) return;
    shown = key;
    element.hidden = next.length === 0;
    setText(label, count(next.length, "tool"));
    entries.replaceChildren(...next.map(toolEntry));
  };
  update(tools);
  return { element, update };
}

function toolEntry({ name, server, title, description, annotations }) {
  const plain = server && name.startsWith(`${server}.`) ? name.slice(server.length + 1) : name;
  const marks = [];
  if (annotations?.readOnly) marks.push(h("span", { class: "tag reads", title: "The server says that this tool only reads" }, "reads only"));
  else marks.push(h("span", { class: "tag writes", title: "The server does not say that this tool only reads" }, annotations?.destructive ? "writes, may destroy" : "writes"));
  return h(
    "li",
    null,
    h("div", { class: "tool-head" }, h("code", null, plain), ...marks),
    title && title !== plain ? h("p", { class: "tool-title" }, title) : null,
    description ? h("p", null, description) : null,
  );
}

/** Takes away what `showFieldError` said. */
export function clearFieldErrors(form) {
  for (const note of form.querySelectorAll(".field-error")) setText(note, "");
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

/**
 * Says what is wrong at the field that the error's path names, by its last part; at `fallback` when there is no such
 * field or no path. The field gets the focus.
 */
export function showFieldError(form, error, fallback) {
  const name = /([A-Za-z]+)(?:\[\d+\])?$/.exec(error.path ?? "")?.[1];
  const field = form.elements[name] ?? form.elements[fallback];
  const message = error.path ? error.message.replace(`${error.path}: `, "") : error.message;
  const note = document.getElementById(`${field.id}-error`);
  // For programs a string is required, for people a value.
  const plain = message.replace(" (a string)", "");
  setText(note, `${plain[0].toUpperCase()}${plain.slice(1)}.`);
  field.setAttribute("aria-invalid", "true");
  field.focus();
}

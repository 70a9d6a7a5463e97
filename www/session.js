// The page's one Agent: made from the settings, with the servers that the person chose, and the conversation of
// this tab. Tells its listeners by `change` events.

import { loadChatId, newChatId } from "./store.js";
import { pageTools } from "./tools.js";

export class Session extends EventTarget {
  #library;
  #setTheme;
  #settings;
  #agent;
  #servers = new Map();
  #chatId = loadChatId() ?? newChatId();
  #run = null;
  #onSpan = null;
  #stale = false;
  #watch = null;
  #connecting = 0;
  #page = null;
  #lending = null;
  /** The agent whose page tools are followed. */
  #followed = null;

  /** `library` is the package's module; throws its EdgewiseError when the settings do not do. */
  constructor(library, settings, servers, setTheme, page = null) {
    super();
    this.#library = library;
    this.#page = page;
    this.#setTheme = setTheme;
    for (const server of servers) this.#servers.set(server.name, server);
    this.#agent = this.#make(settings);
    this.#settings = settings;
  }

  #make(settings) {
    const { provider, id, baseUrl, apiKey, contextWindow, maxTurns, approval, context, plans, more } = settings;
    const model = { provider };
    this.#read(settings, "output");
    if (provider !== "offline") {
      if (id) model.id = id;
      if (baseUrl) model.baseUrl = baseUrl;
      if (apiKey) model.apiKey = apiKey;
      if (contextWindow) model.contextWindow = contextWindow;
      if (more) Object.assign(model, this.#read(settings, "more"));
    }
    const servers = [...this.#servers.values()].map(serverOptions);
    if (this.#page && !this.#servers.has("page")) servers.push(this.#page.pageServer());
    return new this.#library.Agent({ model, servers, tools: pageTools(this.#setTheme), approval, context: context ? {} : undefined, plans, limits: { maxTurns }, journal: true, onSpan: (span) => this.#onSpan?.(span) });
  }

  /** A field of the settings that is JSON, of an object; undefined for an empty one. */
  #read(settings, name) {
    if (!settings[name]) return undefined;
    let value;
    try {
      value = JSON.parse(settings[name]);
    } catch {
      // No JSON is no object either.
    }
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return value;
    throw new this.#library.EdgewiseError({ code: "config", path: name, message: `${name}: expected an object in JSON` });
  }

  get settings() {
    return this.#settings;
  }

  get version() {
    return this.#library.version;
  }

  /** What servers answered before; see the package. */
  get cache() {
    return this.#agent.cache;
  }

  /** Forgets what was allowed for good. */
  forgetApprovals() {
    return this.#agent.forgetApprovals();
  }

  /** All that is kept; see the package. */
  get storage() {
    return this.#agent.storage;
  }

  get running() {
    return this.#run !== null;
  }

  get connecting() {
    return this.#connecting > 0;
  }

  /**
   * Takes new settings; a running answer is finished with the old ones.
   *
   * Throws EdgewiseError with code `config` and the path of the field, and then keeps the old ones.
   */
  configure(settings) {
    const agent = this.#make(settings);
    this.#settings = settings;
    if (this.#run) {
      this.#stale = true;
      void agent.close();
    } else {
      this.#replace(agent);
    }
  }

  #replace(agent) {
    this.#stale = false;
    void this.#agent.close();
    this.#agent = agent;
    if (this.#lending) this.lend(true);
    void this.connect();
  }

  /** Servers in the order of adding, each with its state and tools; the page's own tools last. */
  servers() {
    const tools = this.#agent.tools();
    const own = tools.filter((tool) => !tool.server);
    const infos = this.#agent.servers();
    // A server that is tried anew is out of the agent for a moment, and stays in the list all the same.
    const servers = [...this.#servers.values()].map(({ name, url }) => {
      const info = infos.find((candidate) => candidate.name === name) ?? { name, url, state: "idle" };
      return { ...info, list: tools.filter((tool) => tool.server === name) };
    });
    const page = infos.find(({ name }) => name === "page" && !this.#servers.has(name));
    const offered = tools.filter((tool) => tool.server === "page");
    // The page's own tools by WebMCP; a server that has none is not worth a line.
    if (page && offered.length) servers.push({ ...page, url: "document.modelContext", builtIn: true, list: offered });
    return { servers, own };
  }

  /** Whether tools can be lent to this page. */
  get mayLend() {
    return this.#page !== null;
  }

  /** Lends the servers' reading tools to the page, or takes them back. */
  lend(on) {
    this.#lending?.stop();
    this.#lending = on ? this.#page.lendTools(this.#agent) : null;
    return this.#lend();
  }

  async #lend() {
    try {
      return (await this.#lending?.update()) ?? [];
    } catch (error) {
      console.warn("edgewise: lend", error);
      return [];
    }
  }

  /** All tools that the model is told of. */
  tools() {
    return this.#agent.tools();
  }

  /** All of a result that was too long for the model. */
  whole(handle) {
    return this.#agent.readResult(handle);
  }

  /** Connects to whatever is not connected yet; never rejects. */
  async connect() {
    const agent = this.#agent;
    this.#connecting += 1;
    this.changed();
    // States change while connecting, and only a run has events for that.
    const timer = setInterval(() => this.changed(), 200);
    try {
      await agent.connect();
    } catch (error) {
      // Bad servers do not reject; a closed agent may, and then another one has taken its place.
      if (agent === this.#agent) console.warn("edgewise: connect", error);
    } finally {
      clearInterval(timer);
      this.#connecting -= 1;
      this.changed();
      void this.#lend();
      void this.#followPage(agent);
    }
  }

  /** Shows the tools that the page offers as they come and go, also while no run goes on. */
  async #followPage(agent) {
    if (this.#followed === agent || agent !== this.#agent || !this.#page || this.#servers.has("page")) return;
    this.#followed = agent;
    try {
      for await (const _ of agent.toolChanges({ server: "page" })) this.changed();
    } catch {
      // Closed: another agent has taken its place, and is followed then.
    }
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  /** Adds a server and connects to it. Throws EdgewiseError `config` when an option does not do. */
  addServer(server) {
    this.#agent.addServer(serverOptions(server));
    this.#servers.set(server.name, server);
    void this.connect();
  }

  /** Removes a server and closes its connection. */
  async removeServer(name) {
    this.#servers.delete(name);
    const closed = this.#agent.removeServer(name);
    this.changed();
    await closed;
    this.changed();
    void this.#lend();
  }

  /** Lets the person sign in to a server that asks for it. To be called right in a click: it opens a window. */
  async signIn(name) {
    const { error } = this.#agent.servers().find((server) => server.name === name);
    const back = this.#library.authorizeInPopup({ onBlocked: "fail" })(error.authorizationUrl);
    // The settings may have made another agent meanwhile; the sign-in is kept for that one as well.
    await this.#agent.finishAuthorization(await back);
    this.changed();
  }

  /** Tries a failed server anew. */
  async retryServer(name) {
    const server = this.#servers.get(name);
    if (!server) return;
    await this.#agent.removeServer(name);
    this.#agent.addServer(serverOptions(server));
    await this.connect();
  }

  /** Why a server cannot be used from this page: a report as the package gives it. */
  diagnose(name, signal) {
    const { url, token } = this.#servers.get(name);
    return this.#library.diagnose(url, { signal, ...(token && { token }) });
  }

  /** A name for a server at that URL that no other has. */
  suggestName(url) {
    let base = "server";
    try {
      base = new URL(url, location.href).hostname.replace(/^(www|mcp|api)\./, "").replace(/[^A-Za-z0-9_-]+/g, "-");
    } catch {
      // The core says what is wrong with the URL.
    }
    base = base.replace(/^-+|-+$/g, "").slice(0, 48) || "server";
    let name = base;
    for (let number = 2; this.#servers.has(name); number += 1) name = `${base}-${number}`;
    return name;
  }

  get #chat() {
    return this.#agent.conversation(this.#chatId);
  }

  /** What was said in the chat of this tab, also before it was reloaded. */
  messages() {
    return this.#chat.messages();
  }

  /** Name and server of a tool by the name that models know it by. */
  toolOf(wire) {
    // A server may be gone by now; the page's own tools have no such names.
    const [server, ...rest] = wire.split("__");
    return rest.length ? { server, name: `${server}.${rest.join("__")}` } : { name: wire };
  }

  /** Says something in the chat; throws EdgewiseError when it cannot. `onSpan` is told what the run spends its time on. */
  start(prompt, onSpan, mode = "chat", attachments = []) {
    const output = this.#read(this.#settings, "output");
    return this.#began(this.#chat.send(prompt, { mode, attachments, output }), onSpan);
  }

  /** Goes on with a run whose page is gone. */
  resume(runId, onSpan) {
    return this.#began(this.#agent.resume(runId), onSpan);
  }

  /** Runs a plan, as something that was said in the chat. */
  runPlan(plan, onSpan) {
    return this.#began(this.#chat.runPlan(plan), onSpan);
  }

  /** What a plan would do. */
  previewPlan(plan) {
    return this.#agent.previewPlan(plan);
  }

  #began(run, onSpan) {
    this.#watch?.abort();
    this.#run = run;
    this.#onSpan = onSpan;
    return run;
  }

  /** Tells of changes of what the chat's answers were made from, until the next one begins. */
  async follow(tell) {
    this.#watch?.abort();
    const { signal } = (this.#watch = new AbortController());
    try {
      for await (const change of this.#chat.changes({ signal })) tell(change);
    } catch (error) {
      if (!signal.aborted) console.warn("edgewise: follow", error);
    }
  }

  /** Whether a run of that id was left open. */
  async isOpen(runId) {
    return (await this.#agent.openRuns()).some((run) => run.runId === runId);
  }

  /** Forgets a run that was left open. */
  async forget(runId) {
    await this.#agent.forgetRun(runId);
  }

  /** The names of the servers that were added to the page. */
  names() {
    return [...this.#servers.keys()];
  }

  /** Whether there is a server of that name. */
  has(name) {
    return this.#servers.has(name);
  }

  /** Tokens of what such a run would begin with, in words. */
  async count(prompt, mode) {
    const { inputTokens, estimated } = await this.#chat.countTokens(prompt, { mode, output: this.#read(this.#settings, "output") });
    return `${estimated ? "about " : ""}${inputTokens.toLocaleString("en")} tokens`;
  }

  /** Ends that run, and makes what was changed meanwhile hold. An overtaken run changes nothing. */
  finish(run) {
    if (this.#run !== run) return;
    this.#run = null;
    if (this.#stale) this.#replace(this.#make(this.#settings));
  }

  /** Forgets the chat, once its run has ended, and begins another. */
  newChat() {
    this.#watch?.abort();
    this.#chat.clear().catch((error) => console.warn("edgewise: clear", error));
    this.#chatId = newChatId();
  }
}

// A server that wants a user to sign in says so when it is asked; the panel then shows a button.
function serverOptions({ name, url, token, labels, privateResources }) {
  const options = { name, url, labels, privateResources };
  if (token) return { ...options, token };
  const redirectUrl = new URL("callback.html", document.baseURI);
  const safe = redirectUrl.protocol === "https:" || /^(localhost|127\.[\d.]+|\[::1\])$/.test(redirectUrl.hostname);
  if (!safe || !/^https?:/i.test(url)) return options;
  return { ...options, oauth: { redirectUrl: redirectUrl.href } };
}

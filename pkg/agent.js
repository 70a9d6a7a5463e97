// An agent as the app sees it. The instance that holds its core may crash; the next call makes a new one.

import { config } from "./error.js";
import { addTable } from "./host.js";
import { callOptions, encode, encodePlain, text } from "./options.js";
import { Run } from "./run.js";

export class Agent {
  // Plain data, kept up to date with the list of servers, so that a new instance can be told.
  #options;
  #functions = [];
  #table;
  #live;
  #host;
  #core;
  #closed = false;

  /** @param live Gives the living instance: `{ host, glue }`. */
  constructor(options, live) {
    this.#live = live;
    this.#options = encode(options, this.#functions);
    this.#table = addTable(this.#functions);
    this.#enter(() => {});
  }

  connect(options) {
    return this.#ask(options, ["signal"], (ticket) => this.#core.connect(ticket));
  }

  servers() {
    return JSON.parse(this.#enter(() => this.#core.servers()));
  }

  tools() {
    return JSON.parse(this.#enter(() => this.#core.tools()));
  }

  toolDefinitions(format) {
    return JSON.parse(this.#enter(() => this.#core.definitions(text(format, "format"))));
  }

  addServer(server) {
    const data = encode(server, this.#functions, "server");
    this.#enter(() => this.#core.addServer(JSON.stringify(data) ?? "null"));
    this.#options.servers = [...(this.#options.servers ?? []), data];
  }

  async removeServer(name) {
    text(name, "name");
    await this.#ask(undefined, [], (ticket) => this.#core.removeServer(ticket, name));
    this.#options.servers = this.#options.servers?.filter((server) => server.name !== name);
  }

  async callTool(name, input = {}, options) {
    text(name, "name");
    const json = encodePlain(input, "input");
    return this.#ask(options, ["signal", "onProgress"], (ticket) => this.#core.callTool(ticket, name, json));
  }

  async acceptTool(name) {
    text(name, "name");
    await this.#ask(undefined, [], (ticket) => this.#core.acceptTool(ticket, name));
  }

  run(prompt, options) {
    const { signal, rest } = callOptions(options);
    const { unattended = false, ...data } = rest ?? {};
    if (typeof unattended !== "boolean") throw config("unattended", "expected true or false");
    const json = encodePlain(data, "options");
    const core = this.#enter(() => this.#core.run(text(prompt, "prompt"), json));
    const host = this.#host;
    const cancel = () => run.cancel();
    const history = [...(data.messages ?? []), { role: "user", content: [{ type: "text", text: prompt }] }];
    const run = new Run(host, core, !unattended, history);
    // Lasts as long as the run, and holds the functions that the run may call.
    const over = host.ask((ticket) => core.over(ticket), { keep: this.#functions });
    over.catch(() => {}).then(() => signal?.removeEventListener("abort", cancel));
    signal?.addEventListener("abort", cancel);
    if (signal?.aborted) cancel();
    return run;
  }

  async close() {
    this.#closed = true;
    await this.#ask(undefined, [], (ticket) => this.#core.close(ticket));
  }

  /** Calls the core, in a new instance when the old one has crashed. */
  #enter(call) {
    const { host, glue } = this.#live();
    if (host !== this.#host) {
      const options = JSON.stringify(this.#options) ?? "null";
      this.#core = host.enter(() => new glue.AgentCore(this.#table, options));
      this.#host = host;
      if (this.#closed) host.ask((ticket) => this.#core.close(ticket)).catch(() => {});
    }
    return host.enter(call);
  }

  async #ask(options, known, start) {
    const { signal, onProgress, rest = {} } = callOptions(options);
    const all = { signal, onProgress, ...rest };
    for (const name of Object.keys(all)) {
      if (all[name] !== undefined && !known.includes(name)) throw config(name, `unknown option; known are ${known.join(", ")}`);
    }
    this.#enter(() => {});
    return this.#host.ask(start, { signal, onProgress, keep: this.#functions });
  }
}

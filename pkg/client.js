// A client of one MCP server as the app sees it.

import { CALL_OPTIONS, Core } from "./core.js";
import { config } from "./error.js";
import { encode, encodePlain, text } from "./options.js";

export class McpClient {
  #core;
  #closed = false;

  /** @param live Gives the living instance: `{ host, glue }`. */
  constructor(options, live) {
    const functions = [];
    const json = JSON.stringify(encode(options, functions)) ?? "null";
    this.#core = new Core(live, functions, (glue, table, host) => {
      const core = new glue.ClientCore(table, json);
      if (this.#closed) host.ask((ticket) => core.close(ticket)).catch(() => {});
      return core;
    });
  }

  connect(options) {
    return this.#core.ask(options, ["signal"], (core, ticket) => core.connect(ticket));
  }

  info() {
    return JSON.parse(this.#core.enter((core) => core.info()));
  }

  listTools(options) {
    return this.#list("tools", options);
  }

  listResources(options) {
    return this.#list("resources", options);
  }

  listResourceTemplates(options) {
    return this.#list("resourceTemplates", options);
  }

  listPrompts(options) {
    return this.#list("prompts", options);
  }

  async callTool(name, input, options) {
    return this.request("tools/call", { name: text(name, "name"), arguments: input ?? {} }, options);
  }

  async readResource(uri, options) {
    return this.request("resources/read", { uri: text(uri, "uri") }, options);
  }

  async getPrompt(name, args, options) {
    return this.request("prompts/get", { name: text(name, "name"), arguments: args ?? undefined }, options);
  }

  async complete(ref, argument, options) {
    const { context, ...rest } = options ?? {};
    return this.request("completion/complete", { ref, argument, context }, rest);
  }

  ping(options) {
    return this.#core.ask(options, ["signal", "timeoutMs", "meta"], (core, ticket, json) => core.ping(ticket, json));
  }

  async request(method, params, options) {
    if (text(method, "method") === "") throw config("method", "must not be empty");
    const data = encodePlain(params ?? {}, "params");
    return this.#core.ask(options, CALL_OPTIONS, (core, ticket, json) => core.ask(ticket, method, data, json));
  }

  async close() {
    this.#closed = true;
    await this.#core.hold((core, ticket) => core.close(ticket));
  }

  #list(key, options) {
    const known = ["signal", "timeoutMs", "meta"];
    return this.#core.ask(options, known, (core, ticket, json) => core.list(ticket, key, json));
  }
}

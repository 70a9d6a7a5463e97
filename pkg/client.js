// A client of one MCP server as the app sees it.

import { CALL_OPTIONS, Core } from "./core.js";
import { config } from "./error.js";
import { callOptions, encode, encodePlain, text } from "./options.js";
import { closeAll } from "./transport.js";

/** In Workers what a request has opened ends with it, so that there streams are opened for each call. */
const LASTING = globalThis.navigator?.userAgent !== "Cloudflare-Workers";

export class McpClient {
  #core;
  #functions = [];
  #closed = false;

  /** @param live Gives the living instance: `{ host, glue }`. */
  constructor(options, live) {
    const json = JSON.stringify(encode(options, this.#functions)) ?? "null";
    this.#core = new Core(live, this.#functions, (glue, table, host) => {
      const core = new glue.ClientCore(table, json, LASTING);
      if (this.#closed) host.ask((ticket) => core.close(ticket)).catch(() => {});
      return core;
    });
  }

  connect(options) {
    return this.#core.ask(options, ["signal"], (core, ticket) => core.connect(ticket));
  }

  async finishAuthorization(callbackUrl, options) {
    const callback = text(callbackUrl instanceof URL ? callbackUrl.href : callbackUrl, "callbackUrl");
    return this.#core.ask(options, ["signal"], (core, ticket) => core.finishAuthorization(ticket, callback));
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
    const json = encodePlain({ name: text(name, "name"), arguments: input ?? {} }, "params");
    return this.#core.ask(options, [...CALL_OPTIONS, "onTask"], (core, ticket, more) => core.ask(ticket, "tools/call", json, more));
  }

  async rootsChanged() {
    await this.#core.hold((core, ticket) => core.rootsChanged(ticket));
  }

  tasks() {
    return this.#core.hold((core, ticket) => core.tasks(ticket));
  }

  async resumeTask(taskId, options) {
    text(taskId, "taskId");
    return this.#core.ask(options, ["signal", "onProgress", "timeoutMs"], (core, ticket, json) => core.resumeTask(ticket, taskId, json));
  }

  async getTask(taskId, options) {
    return this.request("tasks/get", { taskId: text(taskId, "taskId") }, options);
  }

  async cancelTask(taskId, options) {
    text(taskId, "taskId");
    await this.#core.ask(options, ["signal"], (core, ticket) => core.cancelTask(ticket, taskId));
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

  async acceptTool(name) {
    text(name, "name");
    await this.#core.ask(undefined, [], (core, ticket) => core.acceptTool(ticket, name));
  }

  ping(options) {
    return this.#core.ask(options, ["signal", "timeoutMs", "meta"], (core, ticket, json) => core.ping(ticket, json));
  }

  async setLogLevel(level, options) {
    text(level, "level");
    await this.#core.ask(options, ["signal"], (core, ticket) => core.setLogLevel(ticket, level));
  }

  async request(method, params, options) {
    if (text(method, "method") === "") throw config("method", "must not be empty");
    const data = encodePlain(params ?? {}, "params");
    return this.#core.ask(options, CALL_OPTIONS, (core, ticket, json) => core.ask(ticket, method, data, json));
  }

  watch(filter, options) {
    const json = encodePlain(filter, "filter");
    return changes((onProgress, signal) => this.#core.hold((core, ticket) => core.watch(ticket, json), { onProgress, signal }), callOptions(options).signal);
  }

  async close() {
    this.#closed = true;
    await this.#core.hold((core, ticket) => core.close(ticket));
    await closeAll(this.#functions);
  }

  #list(key, options) {
    const known = ["signal", "timeoutMs", "meta"];
    return this.#core.ask(options, known, (core, ticket, json) => core.list(ticket, key, json));
  }
}

/**
 * What `start` tells of, until it ends or the reader does.
 *
 * @param start Begins to tell, gets a callback and a signal; its promise is the end.
 */
async function* changes(start, signal) {
  const unread = [];
  const stop = new AbortController();
  const cancel = () => stop.abort();
  let over = false;
  let failed;
  let wake;
  const told = (change) => {
    // A reader that is slow is told of the same change once.
    const text = JSON.stringify(change);
    if (!unread.some((known) => JSON.stringify(known) === text)) unread.push(change);
    wake?.();
  };
  const end = (error) => {
    over = true;
    failed = error;
    wake?.();
  };
  signal?.addEventListener("abort", cancel);
  if (signal?.aborted) cancel();
  const done = start(told, stop.signal).then(() => end(), (error) => end(error ?? new Error("unknown")));
  try {
    for (;;) {
      while (unread.length > 0) yield unread.shift();
      if (failed) throw failed;
      if (over) return;
      await new Promise((resolve) => (wake = resolve));
    }
  } finally {
    signal?.removeEventListener("abort", cancel);
    cancel();
    await done;
  }
}

// A client of one MCP server as the app sees it.

import { CALL_OPTIONS, Core } from "./core.js";
import { config } from "./error.js";
import { callOptions, encode, encodePlain, text } from "./options.js";
import { storeOf } from "./store.js";
import { closeAll } from "./transports.js";

/** In Workers what a request has opened ends with it, so that there streams are opened for each call. */
const LASTING = globalThis.navigator?.userAgent !== "Cloudflare-Workers";

export class McpClient {
  #core;
  #functions = [];
  #store;
  #closed = false;

  /** @param live Gives the living instance: `{ host, glue }`. */
  constructor(options, live) {
    const { cache, ...rest } = options ?? {};
    const asked = cache !== null && typeof cache === "object";
    if (cache !== undefined && !asked && typeof cache !== "boolean") throw config("cache", "expected a boolean or an object");
    for (const name of asked ? Object.keys(cache) : []) if (name !== "store") throw config(`cache.${name}`, "unknown option; known is store");
    this.#store = storeOf(asked ? cache.store : undefined);
    const data = options === undefined || options === null ? options : encode(rest, this.#functions);
    const json = JSON.stringify(asked || cache ? { ...data, cache: true } : data) ?? "null";
    this.#core = new Core(live, this.#functions, (glue, table, host) => {
      const core = new glue.ClientCore(table, json, LASTING);
      if (this.#closed) host.ask((ticket) => core.call(ticket, "close", "{}")).catch(() => {});
      return core;
    }, this.#store);
  }

  /** What the server answered before. */
  get cache() {
    return {
      stats: async () => {
        const stats = await this.#core.call("cacheStats", {});
        return stats && { store: this.#store.kind, ...(this.#store.why && { fallback: this.#store.why }), ...stats };
      },
      clear: async () => {
        await this.#core.call("clearCache", {});
      },
    };
  }

  connect(options) {
    return this.#core.call("connect", {}, options, ["signal"]);
  }

  async finishAuthorization(callbackUrl, options) {
    const callback = text(callbackUrl instanceof URL ? callbackUrl.href : callbackUrl, "callbackUrl");
    return this.#core.call("finishAuthorization", { callback }, options, ["signal"]);
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
    const params = { name: text(name, "name"), arguments: input ?? {} };
    return this.#core.call("ask", { method: "tools/call", params }, options, [...CALL_OPTIONS, "onTask"]);
  }

  async rootsChanged() {
    await this.#core.call("rootsChanged", {});
  }

  tasks() {
    return this.#core.call("tasks", {});
  }

  async resumeTask(taskId, options) {
    text(taskId, "taskId");
    return this.#core.call("resumeTask", { id: taskId }, options, ["signal", "onProgress", "timeoutMs"]);
  }

  async getTask(taskId, options) {
    return this.request("tasks/get", { taskId: text(taskId, "taskId") }, options);
  }

  async cancelTask(taskId, options) {
    text(taskId, "taskId");
    await this.#core.call("cancelTask", { id: taskId }, options, ["signal"]);
  }

  async readResource(uri, options) {
    const params = { uri: text(uri, "uri") };
    return this.#core.call("ask", { method: "resources/read", params }, options, [...CALL_OPTIONS, "cache"]);
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
    await this.#core.call("acceptTool", { name });
  }

  ping(options) {
    return this.#core.call("ping", {}, options, ["signal", "timeoutMs", "meta"]);
  }

  async setLogLevel(level, options) {
    text(level, "level");
    await this.#core.call("setLogLevel", { level }, options, ["signal"]);
  }

  async request(method, params, options) {
    if (text(method, "method") === "") throw config("method", "must not be empty");
    return this.#core.call("ask", { method, params: params ?? {} }, options, CALL_OPTIONS);
  }

  watch(filter, options) {
    // A copy: what the app does to its own later does not count.
    const wanted = JSON.parse(encodePlain(filter, "filter") ?? "null");
    const start = (onProgress, signal) => this.#core.follow("watch", { filter: wanted }, signal, onProgress);
    return changes(start, callOptions(options).signal);
  }

  async close() {
    this.#closed = true;
    await this.#core.call("close", {});
    await closeAll(this.#functions);
  }

  #list(key, options) {
    return this.#core.call("list", { key }, options, ["signal", "timeoutMs", "meta", "cache"]);
  }
}

/**
 * What `start` tells of, until it ends or the reader does.
 *
 * @param start Begins to tell, gets a callback and a signal; its promise is the end.
 */
export async function* changes(start, signal) {
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

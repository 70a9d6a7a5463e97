// An agent as the app sees it.

import { config } from "./error.js";
import { changes } from "./client.js";
import { CALL_OPTIONS, Core } from "./core.js";
import { later } from "./later.js";
import { callOptions, encode, encodePlain, text } from "./options.js";
import { Run } from "./run.js";
import { storeOf } from "./store.js";
import { closeAll } from "./transports.js";

export class Agent {
  // Plain data, kept up to date with the list of servers, so that a new instance can be told.
  #options;
  #functions = [];
  #core;
  #store;
  #closed = false;

  /** @param live Gives the living instance: `{ host, glue }`. */
  constructor(options, live) {
    const { store, ...cache } = options?.cache || {};
    this.#store = storeOf(store);
    this.#options = encode(store === undefined ? options : { ...options, cache }, this.#functions);
    this.#core = new Core(live, this.#functions, (glue, table, host) => {
      const core = new glue.AgentCore(table, JSON.stringify(this.#options) ?? "null");
      if (this.#closed) host.ask((ticket) => core.call(ticket, "close", "{}")).catch(() => {});
      return core;
    }, this.#store);
  }

  /** What servers answered before. */
  get cache() {
    return {
      stats: async () => {
        const stats = await this.#core.call("cacheStats", {});
        return { store: this.#store.kind, ...(this.#store.why && { fallback: this.#store.why }), ...stats };
      },
      clear: async (server) => {
        await this.#core.call("clearCache", server === undefined ? {} : { server: text(server, "server") });
      },
    };
  }

  /** All that is kept. */
  get storage() {
    const ask = (what) => async (given) => (await later("storage", () => import("./storage.js")))[what](this.#core, this.#store, given);
    return { sizes: ask("sizes"), export: ask("take"), import: ask("bring"), remove: ask("remove") };
  }

  connect(options) {
    return this.#core.call("connect", {}, options, ["signal"]);
  }

  async finishAuthorization(callbackUrl, options) {
    const callback = text(callbackUrl instanceof URL ? callbackUrl.href : callbackUrl, "callbackUrl");
    return this.#core.call("finishAuthorization", { callback }, options, ["signal"]);
  }

  servers() {
    return JSON.parse(this.#core.enter((core) => core.servers()));
  }

  tools() {
    return JSON.parse(this.#core.enter((core) => core.tools()));
  }

  toolDefinitions(format) {
    return JSON.parse(this.#core.enter((core) => core.definitions(text(format, "format"))));
  }

  addServer(server) {
    const data = encode(server, this.#functions, "server");
    this.#core.enter((core) => core.addServer(JSON.stringify(data) ?? "null"));
    this.#options.servers = [...(this.#options.servers ?? []), data];
  }

  async removeServer(name) {
    text(name, "name");
    await this.#core.call("removeServer", { name });
    const gone = this.#options.servers?.find((server) => server.name === name);
    this.#options.servers = this.#options.servers?.filter((server) => server.name !== name);
    if (gone?.transport) await closeAll([this.#functions[gone.transport.$function]]);
  }

  async callTool(name, input = {}, options) {
    text(name, "name");
    return this.#core.call("callTool", { name, input }, options, ["signal", "onProgress", "onTask", "meta", "cache"]);
  }

  toolChanges(options) {
    const { server, ...rest } = options ?? {};
    const given = server === undefined ? {} : { server: text(server, "server") };
    return changes((tell, signal) => this.#core.follow("toolChanges", given, signal, tell), callOptions(rest).signal);
  }

  async rootsChanged() {
    await this.#core.call("rootsChanged", {});
  }

  tasks() {
    return this.#core.call("tasks", {});
  }

  async resumeTask(server, taskId, options) {
    text(server, "server");
    text(taskId, "taskId");
    return this.#core.call("resumeTask", { server, task: taskId }, options, ["signal", "onProgress"]);
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

  async readResource(server, uri, options) {
    return this.#ask(server, "resources/read", { uri: text(uri, "uri") }, options, [...CALL_OPTIONS, "cache"]);
  }

  async getPrompt(server, name, args, options) {
    return this.#ask(server, "prompts/get", { name: text(name, "name"), arguments: args }, options);
  }

  async complete(server, ref, argument, options) {
    const { context, ...rest } = options ?? {};
    return this.#ask(server, "completion/complete", { ref, argument, context }, rest);
  }

  async acceptTool(name) {
    text(name, "name");
    await this.#core.call("acceptTool", { name });
  }

  async buildContext(query, options) {
    const { signal, ...context } = options ?? {};
    return this.#core.call("buildContext", { query: text(query, "query"), context }, { signal }, ["signal"]);
  }

  async findTools(query, options) {
    const { limit = 5, ...rest } = options ?? {};
    return this.#core.call("findTools", { query: text(query, "query"), limit }, rest, ["signal"]);
  }

  async forgetApprovals() {
    await this.#core.call("forgetApprovals", {});
  }

  async readResult(handle, options) {
    return this.#core.call("readResult", { handle: text(handle, "handle") }, options, ["signal"]);
  }

  countTokens(prompt, options) {
    return this.#count(prompt, options);
  }

  run(prompt, options) {
    return this.#start(prompt, options, (agent, json) => agent.run(text(prompt, "prompt"), json));
  }

  conversation(id) {
    const given = { id: text(id, "id") };
    if (!id) throw config("id", "must not be empty");
    return {
      id,
      send: (prompt, options) => {
        return this.#start(prompt, ofConversation(options), (agent, json) => agent.run(text(prompt, "prompt"), json, id));
      },
      runPlan: (plan, options) => this.#plan(plan, ofConversation(options), id),
      countTokens: async (prompt, options) => this.#count(prompt, ofConversation(options), id),
      messages: () => this.#core.call("messages", given),
      clear: async (options) => {
        await this.#core.call("clearConversation", given, options, ["signal"]);
      },
      subscribe: async (server, uri, options) => {
        await this.#core.call("subscribe", { ...given, ...source(server, uri) }, options, ["signal"]);
      },
      unsubscribe: (server, uri) => this.#core.call("unsubscribe", { ...given, ...source(server, uri) }),
      subscriptions: () => this.#core.call("subscriptions", given),
      changes: (options) => {
        const start = (tell, signal) => this.#core.follow("changes", given, signal, tell);
        return changes(start, callOptions(options).signal);
      },
    };
  }

  resume(from, options) {
    const { decisions, ...rest } = options ?? {};
    const given = encodePlain(decisions ?? null, "decisions");
    const unknown = Object.keys(rest).find((name) => !["signal", "unattended"].includes(name));
    if (unknown) throw config(unknown, "unknown option; known are decisions, signal, unattended");
    return this.#start("", rest, (agent) => agent.resume(text(from, "from"), given));
  }

  openRuns() {
    return this.#core.call("openRuns", {});
  }

  async forgetRun(runId) {
    await this.#core.call("forgetRun", { id: text(runId, "runId") });
  }

  runPlan(plan, options) {
    return this.#plan(plan, options);
  }

  #plan(plan, options, conversation) {
    const data = encodePlain(plan ?? null, "plan");
    return this.#start("Run this plan.", options, (agent, json) => agent.runPlan(data, json, conversation));
  }

  async previewPlan(plan, options) {
    return this.#core.call("previewPlan", { plan: plan ?? null }, options, ["signal"]);
  }

  #start(prompt, options, begin) {
    const { signal, rest } = callOptions(options);
    const { unattended = false, ...data } = rest ?? {};
    if (typeof unattended !== "boolean") throw config("unattended", "expected true or false");
    const json = encodePlain(data, "options");
    return this.#core.enter((agent, host) => {
      const core = begin(agent, json);
      const cancel = () => run.cancel();
      const history = [...(data.messages ?? []), { role: "user", content: [...(data.attachments ?? []), { type: "text", text: prompt }] }];
      const run = new Run(host, core, !unattended, history);
      // Lasts as long as the run, and holds the functions that the run may call.
      const over = host.ask((ticket) => core.next(ticket, true), { keep: this.#functions });
      over.catch(() => {}).then(() => signal?.removeEventListener("abort", cancel));
      signal?.addEventListener("abort", cancel);
      if (signal?.aborted) cancel();
      return run;
    });
  }

  async #count(prompt, options, id) {
    const { signal, rest } = callOptions(options);
    // The options of a run, of which this one says nothing here.
    const { unattended, ...run } = rest ?? {};
    return this.#core.call("countTokens", { prompt: text(prompt, "prompt"), run, id }, { signal }, ["signal"]);
  }

  async close() {
    this.#closed = true;
    await this.#core.call("close", {});
    await closeAll(this.#functions);
  }

  #list(key, options) {
    return this.#core.call("list", { key }, options, ["signal", "cache"]);
  }

  #ask(server, method, params, options, known = CALL_OPTIONS) {
    text(server, "server");
    return this.#core.call("ask", { server, method, params }, options, known);
  }
}

function ofConversation(options) {
  if (options?.messages !== undefined) throw config("messages", "is not for a conversation, which has its own");
  return options;
}

function source(server, uri) {
  return { server: text(server, "server"), uri: text(uri, "uri") };
}

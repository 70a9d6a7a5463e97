// The tools of the page itself (WebMCP, `document.modelContext`) as an MCP server, and remote tools lent to the page. Apart
// from the rest, since few apps want it.

const VERSION = "2026-07-28";
const META = "io.modelcontextprotocol/";

/** Names of what was lent, by the context that it was lent to: a page's tools are not offered its own agent's. */
const lent = new WeakMap();

const contextOf = (given) => given ?? globalThis.document?.modelContext ?? globalThis.navigator?.modelContext;

/** Options of a server `page` that offers the page's tools; see page.d.ts. */
export function pageServer({ name = "page", modelContext, origins = [], ...rest } = {}) {
  return { ...rest, name, transport: new PageTransport(contextOf(modelContext), [globalThis.location?.origin, ...origins]) };
}

/** The MCP server itself: what the client sends comes to `send`, what it is answered goes to `onmessage`. */
class PageTransport {
  #context;
  #origins;
  #calls = new Map();
  #subscriptions = new Set();
  #changed = () => this.#tellChange();

  constructor(context, origins) {
    this.#context = context;
    this.#origins = origins;
  }

  async start() {
    this.#context?.addEventListener?.("toolchange", this.#changed);
  }

  async close() {
    this.#context?.removeEventListener?.("toolchange", this.#changed);
    for (const call of this.#calls.values()) call.abort();
    this.onclose?.();
  }

  async send({ id, method, params }) {
    if (method === "notifications/cancelled") {
      this.#calls.get(params?.requestId)?.abort();
      this.#subscriptions.delete(params?.requestId);
    }
    if (id === undefined) return;
    // The answer comes later, as from any server.
    this.#answer(id, method, params ?? {}).catch((error) => this.#tell({ id, error: { code: error.rpcCode ?? -32603, message: words(error) } }));
  }

  async #answer(id, method, params) {
    const complete = (result) => this.#tell({ id, result: { resultType: "complete", ...result } });
    switch (method) {
      case "server/discover":
        return complete({
          supportedVersions: [VERSION],
          capabilities: { tools: { listChanged: true } },
          _meta: { [`${META}serverInfo`]: { name: "page", version: "1" } },
        });
      case "tools/list":
        return complete({ tools: (await this.#tools()).map(listed), ttlMs: 0, cacheScope: "private" });
      case "tools/call":
        return complete(await this.#call(id, params));
      case "subscriptions/listen":
        this.#subscriptions.add(id);
        return this.#notify("subscriptions/acknowledged", id, { notifications: { toolsListChanged: true } });
      default:
        throw refused(-32601, `there is no method ${method}`);
    }
  }

  async #tools() {
    const tools = (await this.#context?.getTools?.()) ?? [];
    const ours = lent.get(this.#context);
    return [...tools].filter((tool) => !ours?.has(tool.name) && (tool.origin === undefined || this.#origins.includes(tool.origin)));
  }

  async #call(id, { name, arguments: input = {} }) {
    const tool = (await this.#tools()).find((candidate) => candidate.name === name);
    if (!tool) throw refused(-32602, `the page has no tool ${name} any more`);
    const call = new AbortController();
    this.#calls.set(id, call);
    try {
      return result(await this.#context.executeTool(tool, input, { signal: call.signal }));
    } catch (error) {
      return { content: [{ type: "text", text: words(error) }], isError: true };
    } finally {
      this.#calls.delete(id);
    }
  }

  #tellChange() {
    for (const id of this.#subscriptions) this.#notify("tools/list_changed", id);
  }

  #notify(what, id, params) {
    this.#tell({ method: `notifications/${what}`, params: { ...params, _meta: { [`${META}subscriptionId`]: id } } });
  }

  #tell(message) {
    this.onmessage?.({ jsonrpc: "2.0", ...message });
  }
}

const refused = (rpcCode, message) => Object.assign(new Error(message), { rpcCode });

const words = (error) => (typeof error?.message === "string" && error.message !== "" ? error.message : String(error));

/** A tool of the page as MCP lists it. */
function listed({ name, title, description, inputSchema, annotations }) {
  // Text in the drafts, an object in browsers.
  const schema = typeof inputSchema === "string" ? parse(inputSchema) : inputSchema;
  const { readOnlyHint, consequentialHint, untrustedContentHint } = annotations ?? {};
  return {
    name,
    ...(title && { title }),
    description,
    inputSchema: schema ?? { type: "object" },
    annotations: {
      readOnlyHint: readOnlyHint === true,
      ...(consequentialHint === true && { destructiveHint: true }),
      openWorldHint: untrustedContentHint === true,
    },
  };
}

/** What the page's function returned, which browsers give as text. */
function result(given) {
  const value = typeof given === "string" ? parse(given) ?? given : given;
  if (Array.isArray(value?.content) && value.content.every((block) => typeof block?.type === "string")) {
    const { content, structuredContent, isError } = value;
    return { content, ...(structuredContent !== undefined && { structuredContent }), ...(isError === true && { isError }) };
  }
  if (value === undefined || value === null) return { content: [{ type: "text", text: "(no result)" }] };
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const data = typeof value === "object" && !Array.isArray(value) ? { structuredContent: value } : {};
  return { content: [{ type: "text", text }], ...data };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Lends tools of the agent's servers to the page; see page.d.ts. */
export function lendTools(agent, { modelContext, tools: wanted = isHarmless, approve } = {}) {
  const context = contextOf(modelContext);
  const given = new Map();
  let stopped = false;
  const take = (name) => {
    given.get(name)?.stop.abort();
    given.delete(name);
    lent.get(context)?.delete(name);
  };
  const give = async (tool, name, key) => {
    const stop = new AbortController();
    given.set(name, { stop, key });
    if (!lent.has(context)) lent.set(context, new Set());
    lent.get(context).add(name);
    const execute = async (input) => {
      // As it is by now: its definition may have changed since it was lent.
      const now = agent.tools().find(({ name }) => name === tool.name);
      if (!now) throw new Error("this tool is gone");
      const call = { name: tool.name, server: tool.server, input, ...(now.asks && { reason: now.asks }), ...(now.private && { private: true }) };
      if (approve ? (await approve(call)) !== true : now.asks || now.private) throw new Error("the user did not allow this call");
      const { content, structuredContent, isError } = await agent.callTool(tool.name, input, { signal: stop.signal });
      return { content, ...(structuredContent !== undefined && { structuredContent }), ...(isError && { isError }) };
    };
    const { title = tool.name, description, inputSchema } = tool;
    const annotations = { readOnlyHint: isReadOnly(tool), untrustedContentHint: true };
    try {
      await context.registerTool({ name, title, description: description || title, inputSchema, annotations, execute }, { signal: stop.signal });
    } catch (error) {
      take(name);
      // Its name is taken by a tool of the page, which comes first.
      if (!stopped && error?.name !== "InvalidStateError" && error?.name !== "AbortError") throw error;
    }
  };
  let following;
  /** Lends anew whenever a server has listed its tools anew. */
  const follow = async () => {
    try {
      const servers = agent.servers().map(({ name }) => name).join();
      if (following?.servers === servers) return;
      following?.stop.abort();
      const own = (following = { servers, stop: new AbortController() });
      for await (const _ of agent.toolChanges({ signal: own.stop.signal })) if (following === own) await lend();
    } catch {
      // The agent was closed; or a tool cannot be lent, which the next update() says.
    }
  };
  const update = async () => {
    if (stopped || !context?.registerTool) return [];
    follow();
    return lend();
  };
  // One after the other, or a tool would be lent twice.
  let lending = Promise.resolve();
  const lend = () => (lending = lending.catch(() => {}).then(lendNow));
  const lendNow = async () => {
    if (stopped) return [];
    const offered = agent.tools().filter((tool) => tool.server !== undefined && tool.server !== "page" && wanted(tool));
    const now = new Map(offered.map((tool) => [nameFor(tool.name), tool]));
    const keyOf = ({ title, description, inputSchema, annotations }) => JSON.stringify([title, description, inputSchema, annotations]);
    for (const [name, { key }] of [...given]) {
      if (!now.has(name) || keyOf(now.get(name)) !== key) take(name);
    }
    await Promise.all([...now].filter(([name]) => !given.has(name)).map(([name, tool]) => give(tool, name, keyOf(tool))));
    return [...given.keys()];
  };
  const stop = () => {
    stopped = true;
    following?.stop.abort();
    for (const name of [...given.keys()]) take(name);
  };
  return { update, stop };
}

const isReadOnly = ({ annotations }) => annotations?.readOnly === true;

/** A page may have what a run would call without asking, and what is nobody's own. */
const isHarmless = (tool) => isReadOnly(tool) && tool.asks === undefined && tool.private === undefined;

/** 1 to 128 letters, digits, `_`, `-` and `.` are what a page's tool may be called. */
const nameFor = (name) => name.replace(/[^\w.-]/g, "_").slice(0, 128);

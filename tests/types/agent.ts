// What must compile, and, after `@ts-expect-error`, what must not.

import {
  Agent,
  type AgentEvent,
  type AgentOptions,
  type CallToolResult,
  type Code,
  diagnose,
  EdgewiseError,
  init,
  type Json,
  McpClient,
  type Message,
  type Plan,
  Run,
  type ServerInfo,
  type Span,
  type ToolInfo,
  version,
} from "edgewise";
import { toOtlp } from "edgewise/otlp";
import { lendTools, pageServer } from "edgewise/page";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Equal<A, B>) => {};

// init
same<ReturnType<typeof init>, Promise<void>>(true);
await init();
await init("/edgewise_bg.wasm");
await init(new URL("https://a.test/edgewise_bg.wasm"));
await init(fetch("/edgewise_bg.wasm"));
await init(new Uint8Array(8));
await init(await WebAssembly.compile(new ArrayBuffer(8)));
// @ts-expect-error null is no wasm
await init(null);
same<typeof version, string>(true);

// options
new Agent({ model: { provider: "offline" } });
// @ts-expect-error the model is required
new Agent({});
// @ts-expect-error no such provider
new Agent({ model: { provider: "openia", id: "m" } });
// @ts-expect-error a remote model needs its id
new Agent({ model: { provider: "openai" } });
// @ts-expect-error misspelt
new Agent({ model: { provider: "openai", id: "m", baseURL: "/llm" } });
// @ts-expect-error unknown option
new Agent({ model: { provider: "offline" }, server: [] });
// @ts-expect-error changes are approved, reported or ignored
new Agent({ model: { provider: "offline" }, servers: [{ name: "a", url: "/mcp", trust: { changes: "never" } }] });
new Agent({ model: { provider: "offline" }, servers: [{ name: "a", url: "/mcp", session: "own" }] });
// @ts-expect-error a session is shared or one's own
new McpClient({ url: "/mcp", session: "mine" });
// models that are no endpoint
const ai = { run: async (model: string, input: unknown) => new ReadableStream() };
new Agent({
  model: {
    async *generate({ messages, tools }, { signal }) {
      if (signal.aborted) return;
      yield "text";
      yield { type: "tool_call", name: tools[0]?.name ?? "", input: { at: messages.length } };
    },
    countTokens: async ({ system, messages }) => (system ?? "").length + messages.length,
    prices: { input: 3, output: 15 },
    fallbacks: [{ provider: "browser" }, { provider: "workers-ai", id: "@cf/x", binding: ai }, { provider: "offline" }],
  },
});
// @ts-expect-error the binding is required
new Agent({ model: { provider: "workers-ai", id: "@cf/x" } });
// @ts-expect-error fallbacks have no fallbacks
new Agent({ model: { provider: "offline", fallbacks: [{ provider: "offline", fallbacks: [] }] } });
// @ts-expect-error a count is a number
new Agent({ model: { generate: () => "", countTokens: () => "many" } });
// @ts-expect-error no such delta
new Agent({ model: { generate: () => [{ type: "video" }] } });
const typed = await new Agent({ model: { provider: "offline" } }).run("x", {
  output: { type: "object" },
  attachments: [{ type: "image", data: "AA==", mimeType: "image/png" }],
}).result;
typed.output;
// @ts-expect-error an attachment needs its type
new Agent({ model: { provider: "offline" } }).run("x", { attachments: [{ data: "AA==" }] });

// diagnose
const { usable, findings } = await diagnose("https://a.test/mcp", { token: "t", headers: { x: "y" }, timeoutMs: 1000 });
same<typeof usable, boolean>(true);
findings.map(({ code, level, message, fix }): string => (level === "error" ? `${code}: ${message}${fix ?? ""}` : code));
// @ts-expect-error misspelt
await diagnose("/mcp", { tokn: "t" });

// @ts-expect-error approval is never, writes, always or a function
new Agent({ model: { provider: "offline" }, approval: "sometimes" });

const options: AgentOptions = {
  model: { provider: "anthropic", id: "m", apiKey: "k", baseUrl: "/llm", headers: { a: "b" }, maxTokens: 100, temperature: 0 },
  servers: [
    { name: "a", url: "https://a.test/mcp", token: "t", headers: { x: "y" }, timeoutMs: 1000 },
    { name: "b", url: new URL("https://b.test/mcp"), token: async () => "t", validate: false, trust: { changes: "report" } },
    {
      name: "asks",
      url: "/mcp",
      onInput: ({ server, message, schema, url }, { signal }) =>
        signal.aborted || !schema ? { action: "decline" } : { action: "accept", content: { server, message, tags: ["a"], none: url ?? null } },
      onSampling: async ({ messages }) => ({ content: { type: "text", text: JSON.stringify(messages) }, model: "m" }),
      roots: [{ uri: "file:///a", name: "A" }],
    },
    // @ts-expect-error an answer says what the user did
    { name: "wrong", url: "/mcp", onInput: () => ({ content: {} }), roots: async () => [{ uri: "file:///a" }] },
  ],
  tools: [
    { name: "plain", execute: () => "done" },
    {
      name: "typed",
      description: "d",
      inputSchema: { type: "object" },
      annotations: { readOnlyHint: true },
      execute: async ({ city }: { city: string }, { signal }) => {
        same<typeof signal, AbortSignal>(true);
        return { city };
      },
    },
  ],
  system: "s",
  approval: ({ name, input }) => name === "a.delete" && input.all === true,
  onInput: async ({ url }) => (url ? { action: "cancel" } : null),
  limits: { maxTurns: 3, turnTimeoutMs: 1, toolTimeoutMs: 1, maxParallelTools: 1, maxAttempts: 1 },
};
// @ts-expect-error a tool needs execute
const noExecute: AgentOptions = { model: { provider: "offline" }, tools: [{ name: "t" }] };
// @ts-expect-error a server needs its url
const noUrl: AgentOptions = { model: { provider: "offline" }, servers: [{ name: "t" }] };

// the agent
const agent = new Agent(options);
same<Awaited<ReturnType<Agent["connect"]>>, ServerInfo[]>(true);
same<ReturnType<Agent["tools"]>, ToolInfo[]>(true);
await agent.connect({ signal: AbortSignal.timeout(1) });
agent.addServer({ name: "c", url: "/mcp" });
await agent.removeServer("c");
for (const tool of agent.toolDefinitions("anthropic")) same<typeof tool.input_schema, { [keyword: string]: unknown }>(true);
for (const tool of agent.toolDefinitions("openai")) same<typeof tool.function.name, string>(true);
// @ts-expect-error no such format
agent.toolDefinitions("gemini");
const progressed: number[] = [];
const outcome: CallToolResult = await agent.callTool(
  "a.add",
  { a: 1 },
  { signal: new AbortController().signal, onProgress: ({ progress, total }) => progressed.push(progress / (total ?? 1)) },
);
for (const block of outcome.content) if (block.type === "text") same<typeof block.text, string>(true);
await agent.callTool("a.none");
// @ts-expect-error the input is an object
await agent.callTool("a.add", "1");

same<Awaited<ReturnType<typeof agent.listResources>>[number]["server"], string>(true);
for (const prompt of await agent.listPrompts()) same<typeof prompt.name, string>(true);
for (const { uri, text } of (await agent.readResource("a", "doc://1", { timeoutMs: 1 })).contents) same<typeof uri, string>(true), text?.length;
await agent.getPrompt("a", "greet", { who: "you" });
await agent.complete("a", { type: "ref/resource", uri: "doc://{name}" }, { name: "name", value: "a" }, { context: { arguments: {} } });
// @ts-expect-error which server?
await agent.readResource("doc://1");
new Agent({ model: { provider: "offline" }, context: { maxTokens: 500, resources: ["doc://1"], embed: (texts) => texts.map(() => new Float32Array(2)) } });
new Agent({ model: { provider: "offline" }, context: { resources: "auto", embed: { baseUrl: "/llm", id: "m" } } });
// @ts-expect-error no such choice
new Agent({ model: { provider: "offline" }, context: { resources: "all" } });
const built = await agent.buildContext("rain?", { maxTokens: 100, signal: AbortSignal.timeout(1) });
for (const { server, uri, score } of built.sources) same<[typeof server, typeof uri, typeof score], [string, string, number]>(true);
same<[typeof built.omitted, typeof built.meaningError], [number, string | undefined]>(true);
for (const { stale, shown } of built.sources) same<[typeof stale, typeof shown[0]["from"], typeof shown[0]["heading"]], [true | undefined, number, string | undefined]>(true);
for (const { reason, passages } of built.dropped) same<[typeof reason, typeof passages], [string, number | undefined]>(true);
same<Awaited<ReturnType<typeof agent.findTools>>, string[]>(true);
same<Awaited<ReturnType<typeof agent.countTokens>>, { inputTokens: number; estimated: boolean }>(true);
await agent.conversation("c").countTokens("x", { mode: "goal" });
// @ts-expect-error A conversation has its own history.
await agent.conversation("c").countTokens("x", { messages: [] });
new Agent({ model: { provider: "anthropic", id: "m", threads: true } });
// @ts-expect-error The built-in model holds no conversations.
new Agent({ model: { provider: "offline", threads: true } });

// a client
const client = new McpClient({ url: new URL("https://a.test/mcp"), token: "t", timeoutMs: 1 });
// @ts-expect-error the url is required
new McpClient({ name: "a" });
const transport = { start: async () => {}, send: async (_: unknown) => {}, close: async () => {} };
new McpClient({ transport });
new Agent({ model: { provider: "offline" }, servers: [{ name: "local", transport, timeoutMs: 1 }] });
// @ts-expect-error one of the two
new McpClient({ transport, url: "/mcp" });
// @ts-expect-error a transport has credentials of its own
new McpClient({ transport, token: "t" });
same<Awaited<ReturnType<typeof client.connect>>, ServerInfo>(true);
same<ReturnType<typeof client.info>, ServerInfo>(true);
const { tools, ttlMs, cacheScope } = await client.listTools({ meta: { traceparent: "00" } });
same<(typeof tools)[number]["name"], string>(true);
same<typeof ttlMs, number | undefined>(true);
same<typeof cacheScope, "public" | "private" | undefined>(true);
for (const { uriTemplate } of (await client.listResourceTemplates()).resourceTemplates) same<typeof uriTemplate, string>(true);
same<Awaited<ReturnType<typeof client.callTool>>["isError"], boolean | undefined>(true);
await client.callTool("add", { a: 1 }, { signal: AbortSignal.timeout(1), onProgress: ({ progress }) => progress, timeoutMs: 5, meta: {} });
await client.callTool("dig", {}, { onTask: (taskId) => same<typeof taskId, string>(true) });
for (const { taskId, tool, startedAt } of await client.tasks()) same<[typeof taskId, typeof tool, typeof startedAt], [string, string, number]>(true);
same<Awaited<ReturnType<typeof client.resumeTask>>["isError"], boolean | undefined>(true);
const { status, result: dug } = await client.getTask("t1", { timeoutMs: 5 });
if (status === "completed") same<typeof dug, typeof dug>(true);
await client.cancelTask("t1", { signal: AbortSignal.timeout(1) });
await client.rootsChanged();
// @ts-expect-error a task has an id
await client.resumeTask();
await client.getPrompt("greet", { who: "you" });
// @ts-expect-error arguments of prompts are text
await client.getPrompt("greet", { who: 1 });
await client.complete({ type: "ref/prompt", name: "greet" }, { name: "city", value: "Os" });
await client.ping();
await client.setLogLevel("debug");
// @ts-expect-error no such level
await client.setLogLevel("loud");
new McpClient({ url: "/mcp", logLevel: "info", onLog: ({ server, level, data }) => console.log(server, level, data) });
same<Awaited<ReturnType<typeof client.request<{ own: number }>>>["own"], number>(true);
await client.close();

// a run
const run = agent.run("hello", { signal: AbortSignal.timeout(1), maxTurns: 2, messages: [], unattended: true, meta: { traceparent: "00-1" } });
same<typeof run, Run>(true);
// @ts-expect-error runs come from agents
new Run();
// @ts-expect-error unknown option
agent.run("hello", { turns: 2 });
for await (const event of run) {
  same<typeof event, AgentEvent>(true);
  switch (event.type) {
    case "text_delta":
      same<typeof event.text, string>(true);
      break;
    case "tool_call":
      same<typeof event.server, string | undefined>(true);
      break;
    case "approval_request":
      run.approve(event.id);
      run.approve(event.id, { remember: "always" });
      // @ts-expect-error only "run" and "always"
      run.approve(event.id, { remember: "ever" });
      run.deny(event.id, "no");
      break;
    case "plan_step":
      same<typeof event.state, "running" | "retrying" | "ok" | "failed" | "skipped" | "defaulted">(true);
      break;
    case "tool_task":
      await agent.resumeTask(event.server, event.taskId, { onProgress: ({ message }) => message });
      for (const { server, taskId, tool, startedAt } of await agent.tasks()) same<[typeof server, typeof taskId, typeof tool, typeof startedAt], [string, string, string, number]>(true);
      break;
    case "input_request":
      if (event.schema) run.answer(event.id, { action: "accept", content: { days: 3 } });
      else same<typeof event.url, string>(true);
      run.answer(event.id, { action: "decline" });
      run.answer(event.id, null);
      // @ts-expect-error only these three
      run.answer(event.id, { action: "later" });
      break;
    case "tool_result":
      if (event.handle) await agent.readResult(event.handle);
      same<typeof event.handle, string | undefined>(true);
      same<typeof event.outcome, "ok" | "cached" | "failed" | "unknown" | "denied" | "cancelled">(true);
      break;
    case "context":
      same<[typeof event.tokens, (typeof event.sources)[number]["uri"]], [number, string]>(true);
      break;
    case "retry":
      same<typeof event.code, Code>(true);
      break;
    case "turn_end":
      same<typeof event.message, Message>(true);
      break;
    case "done":
      same<typeof event.messages, Message[]>(true);
      // @ts-expect-error only `error` has an error
      event.error;
      break;
    case "error":
      same<typeof event.error.code, Code>(true);
      break;
    // @ts-expect-error no such event
    case "nothing":
      break;
  }
}
const { text, messages, usage } = await run.result;
same<typeof text, string>(true);
agent.run("and then?", { messages });
same<typeof usage.inputTokens, number>(true);

// a plan
{
  const plan: Plan = {
    steps: [
      { id: "a", tool: "t.list", select: { path: "/items", fields: ["id"] }, filter: { path: "/open", equals: true }, take: 3, retry: 2 },
      { id: "b", tool: "t.get", forEach: { $from: "a" }, input: { id: "{{item.id}}" }, onError: { default: null } },
      { id: "c", tool: "t.say", when: { all: [{ $from: "a" }, { not: { value: { $from: "b" }, contains: 1 } }] }, dependsOn: ["b"] },
    ],
    return: [{ $from: "b", path: "/0", default: "none" }],
  };
  const planned = agent.runPlan(plan, { unattended: true });
  const { ok, value, steps } = await planned.result;
  same<[typeof ok, typeof value, (typeof steps)[number]["calls"]], [boolean, Json, number]>(true);
  const { problems, waves } = await agent.previewPlan(plan, { signal: AbortSignal.timeout(1) });
  same<[typeof problems, typeof waves], [string[], string[][]]>(true);
  // @ts-expect-error a step has a tool
  agent.runPlan({ steps: [{ id: "a" }] });
}

const response: Response = run.toResponse({ status: 200, headers: { "x-own": "1" } });
run.cancel();
await agent.close();

// errors
try {
  await run.result;
} catch (error) {
  if (error instanceof EdgewiseError) {
    same<typeof error.code, Code>(true);
    same<typeof error.retryAfterMs, number | undefined>(true);
    // @ts-expect-error no such code
    if (error.code === "oops") throw error;
  }
}
new EdgewiseError({ code: "timeout", message: "too late", cause: new Error("why") });
export { noExecute, noUrl, response };

// spans
const spans: Span[] = [];
new Agent({ model: { provider: "offline" }, onSpan: (span) => void spans.push(span), spanContent: true });
same<ReturnType<typeof toOtlp>, { resourceSpans: unknown[] }>(true);
toOtlp(spans, { "service.name": "mine" });
// @ts-expect-error a span is no text
toOtlp(["chat"]);

// the page's tools
const lending = lendTools(new Agent({ model: { provider: "offline" }, servers: [pageServer({ origins: ["https://a.test"] })] }), {
  tools: (tool) => tool.annotations.readOnly,
  approve: async (call) => call.server === "notes",
});
same<typeof lending, { update(): Promise<string[]>; stop(): void }>(true);
// @ts-expect-error the transport is its own
pageServer({ transport: undefined as any });

// what is kept
const keeping = new Agent({ model: { provider: "offline" }, cache: { store: "memory" } });
same<Awaited<ReturnType<typeof keeping.storage.export>>, Blob>(true);
same<Awaited<ReturnType<typeof keeping.storage.import>>, { records: number }>(true);
await keeping.storage.remove({ conversation: "c1" });
await keeping.storage.export({ spaces: ["conversations", "journal"] });
// @ts-expect-error no such kind
await keeping.storage.export({ spaces: ["secrets"] });
await keeping.listResources({ cache: "reload" });
same<NonNullable<Awaited<ReturnType<typeof keeping.readResource>>["cached"]>["stale"], boolean>(true);
// @ts-expect-error no such mode
await keeping.listPrompts({ cache: "force-cache" });
await new McpClient({ url: "https://a.test/mcp", cache: { store: "memory" } }).listResources({ cache: "only-if-cached" });
// @ts-expect-error a client caches no results of tools
new McpClient({ url: "https://a.test/mcp", cache: { ttlMs: 5 } });

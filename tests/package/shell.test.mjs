// What the JavaScript shell adds to the core: iteration, results, streams, signals, functions, memory.

import assert from "node:assert/strict";
import { once } from "node:events";
import { setImmediate as tick, setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";

import * as llm from "../servers/llm.mjs";
import { exec, installed, project, rejected } from "./lib.mjs";
import { adder, laws } from "./scenario.mjs";

const { path } = await project();
const edgewise = await installed(path);
const { Agent, EdgewiseError, Run } = edgewise;

const collect = async (run) => {
  const events = [];
  for await (const event of run) events.push(event);
  laws(events);
  return events;
};
const thrown = (call) => {
  try {
    call();
  } catch (error) {
    assert.ok(error instanceof EdgewiseError, String(error));
    return error;
  }
  assert.fail("nothing was thrown");
};

const model = { provider: "offline" };
/** An answer that takes seconds. */
const SLOW = { text: "one piece after the other, with all the time in the world", delayMs: 300 };

/** An agent on the scripted model server. */
async function scripted(t, turns, more) {
  const server = await llm.start({ turns });
  t.after(server.close);
  const agent = new Agent({ model: { provider: "anthropic", id: "m", apiKey: "sk-secret", baseUrl: server.url }, ...more });
  return { server, agent };
}

test("options that are wrong name their path", () => {
  const path = (options) => {
    const error = thrown(() => new Agent(options));
    assert.equal(error.code, "config");
    return error.path;
  };
  assert.equal(path(undefined), "options");
  assert.equal(path({}), "model");
  assert.equal(path({ model, servers: [{ name: "a", url: "https://a.test" }, { name: "a", url: "https://a.test" }] }), "servers[1].name");
  assert.equal(path({ model, tools: [{ name: "t", execute: () => 1, inputSchema: { deep: [{ $function: 0 }] } }] }), "tools[0].inputSchema.deep[0].$function");
  assert.equal(path({ model: { provider: "openai", id: "m", temperature: NaN } }), "model.temperature");
  assert.equal(path({ model, system: 7n }), "system");
  assert.equal(path({ model, system: () => 1 }), "system");
  const round = { model };
  round.limits = round;
  assert.equal(path(round), "limits");
  const error = thrown(() => new Agent({ model: { provider: "openai", id: 7, apiKey: "sk-secret" } }));
  assert.deepEqual(JSON.parse(JSON.stringify(error)), { code: "config", message: "model.id: expected a string, got 7", path: "model.id" });
});

test("calls with wrong arguments are refused, and what is refused harms nothing", async () => {
  const { agent } = adder(edgewise);
  assert.equal(thrown(() => agent.run(7)).path, "prompt");
  assert.equal(thrown(() => agent.run("hi", { turns: 1 })).path, "turns");
  assert.equal(thrown(() => agent.run("hi", { maxTurns: 0 })).path, "maxTurns");
  assert.equal(thrown(() => agent.run("hi", { signal: {} })).path, "signal");
  assert.equal(thrown(() => agent.run("hi", { unattended: 1 })).path, "unattended");
  assert.equal(thrown(() => agent.run("hi", { messages: [{ role: "user" }] })).path, "messages[0]");
  assert.equal(thrown(() => agent.toolDefinitions("gemini")).path, "format");
  assert.equal(thrown(() => agent.addServer({ name: "a" })).code, "config");
  assert.equal((await rejected(agent.callTool("add", { a: () => 1 }))).path, "input");
  assert.equal((await rejected(agent.callTool("add", {}, { retries: 1 }))).path, "retries");
  assert.equal((await rejected(agent.callTool("nothing"))).code, "misuse");
  assert.equal((await rejected(agent.removeServer("nothing"))).code, "misuse");
  laws(await collect(agent.run("What is 17 + 25?")));
});

test("a run gives its result without a loop, and its events to one reader", async () => {
  const { agent } = adder(edgewise);
  const run = agent.run("What is 17 + 25?");
  assert.ok(run instanceof Run);
  const result = await run.result;
  assert.match(result.text, /42/);
  // Nothing was lost meanwhile.
  const events = await collect(run);
  assert.equal(events.at(-1).text, result.text);
  assert.equal(thrown(() => run[Symbol.asyncIterator]()).code, "misuse");
  assert.equal(thrown(() => run.toResponse()).code, "misuse");
  run.cancel();
  const next = await agent.run("And 1 + 2?", { messages: result.messages }).result;
  assert.ok(next.messages.length > result.messages.length);
});

test("leaving the loop cancels, and nobody who did not ask sees a rejection", async (t) => {
  const unhandled = [];
  const note = (error) => unhandled.push(error);
  process.on("unhandledRejection", note);
  t.after(() => process.off("unhandledRejection", note));
  const { server, agent } = await scripted(t, [SLOW, SLOW, { status: 400 }]);
  for await (const event of agent.run("hi")) if (event.type === "text_delta") break;
  while (!server.requests[0].aborted) await sleep(5);

  const run = agent.run("hi");
  const result = rejected(run.result);
  for await (const event of run) if (event.type === "text_delta") run.cancel();
  assert.equal((await result).code, "cancelled");

  // Fails, and nobody looks.
  agent.run("hi");
  await sleep(100);
  assert.equal(server.requests.length, 3);
  assert.deepEqual(unhandled, []);
});

test("signals cancel, also before the start", async (t) => {
  const { agent } = await scripted(t, [SLOW]);
  const early = await collect(agent.run("hi", { signal: AbortSignal.abort() }));
  assert.equal(early.at(-1).error.code, "cancelled");
  const controller = new AbortController();
  const run = agent.run("hi", { signal: controller.signal });
  const events = [];
  for await (const event of run) {
    events.push(event);
    if (event.type === "text_delta") controller.abort();
  }
  assert.equal(laws(events).error.code, "cancelled");
  const error = await rejected(run.result);
  assert.equal(error.code, "cancelled");
});

test("approvals: asked for writes, denied when nobody can answer", async (t) => {
  const wrote = [];
  const tools = [{ name: "write", execute: ({ text }) => void wrote.push(text) }];
  const call = { toolCalls: [{ name: "write", input: { text: "x" } }] };
  const { agent } = await scripted(t, [call, { text: "ok" }, call, { text: "ok" }, call, { text: "ok" }, call, { text: "ok" }], { tools });
  const outcomes = async (run, answer) => {
    const seen = [];
    for await (const event of run) {
      if (event.type === "approval_request") answer(event.id);
      if (event.type === "tool_result") seen.push(event.outcome);
    }
    return seen;
  };
  const run = agent.run("write");
  assert.deepEqual(await outcomes(run, (id) => run.approve(id)), ["ok"]);
  assert.deepEqual(wrote, ["x"]);
  const denied = agent.run("write");
  let why;
  for await (const event of denied) {
    if (event.type === "approval_request") denied.deny(event.id, "not today");
    if (event.type === "tool_result") why = event.content[0].text;
  }
  assert.match(why, /not today/);
  assert.equal(thrown(() => denied.approve("nothing")).code, "misuse");
  assert.deepEqual(await outcomes(agent.run("write", { unattended: true }), assert.fail), ["denied"]);
  await agent.run("write").result;
  assert.deepEqual(wrote, ["x"]);
});

test("a function of the app may come back into the agent, throw, and return anything", async (t) => {
  const outcomes = [];
  const calls = ["again", "throws", "nothing", "circle", "own"].map((name) => ({ name, input: {} }));
  const circle = {};
  circle.circle = circle;
  const tools = [
    { name: "again", execute: async () => (await agent.callTool("own")).content[0].text + agent.tools().length },
    { name: "throws", execute: () => Promise.reject(new Error("no luck")) },
    { name: "nothing", execute: () => undefined },
    { name: "circle", execute: () => circle },
    { name: "own", note: undefined, execute() { return this.name; } },
  ];
  const { agent } = await scripted(t, [{ toolCalls: calls }, { text: "ok" }], { tools, approval: ({ name }) => name === "none" });
  const events = await collect(agent.run("go"));
  const results = new Map(events.filter((event) => event.type === "tool_call").map(({ id, name }) => [name, events.find((event) => event.type === "tool_result" && event.id === id)]));
  assert.equal(results.get("again").content[0].text, "own5");
  assert.deepEqual([results.get("throws").isError, results.get("throws").content[0].text], [true, "no luck"]);
  assert.equal(results.get("nothing").outcome, "ok");
  assert.equal(results.get("circle").isError, true);
  assert.equal(results.get("own").content[0].text, "own");
  assert.deepEqual(outcomes, []);
});

test("cancelling from inside a tool ends the run and aborts the tool's signal", async (t) => {
  let signal;
  const tools = [{ name: "stop", execute: (_, context) => { signal = context.signal; run.cancel(); return new Promise(() => {}); } }];
  const { agent } = await scripted(t, [{ toolCalls: [{ name: "stop", input: {} }] }], { tools, approval: "never" });
  const run = agent.run("go");
  const events = await collect(run);
  assert.equal(events.at(-1).error.code, "cancelled");
  await tick();
  assert.equal(signal.aborted, true);
});

test("toResponse streams events as its reader asks for them, and cancels with it", async (t) => {
  const { agent, server } = await scripted(t, [{ text: "one two three" }, SLOW]);
  const answer = agent.run("hi").toResponse({ status: 201, headers: { "x-own": "1", "cache-control": "no-cache" } });
  assert.deepEqual([answer.status, answer.headers.get("x-own"), answer.headers.get("cache-control")], [201, "1", "no-cache"]);
  assert.equal(answer.headers.get("content-type"), "text/event-stream");
  const blocks = (await answer.text()).split("\n\n");
  assert.equal(blocks.pop(), "");
  const events = blocks.map((block) => JSON.parse(/^data: (.*)$/.exec(block)[1]));
  assert.equal(laws(events).type, "done");

  const held = agent.run("hi").toResponse();
  assert.equal(held.headers.get("cache-control"), "no-store");
  const reader = held.body.getReader();
  for (let text = ""; !text.includes("text_delta"); ) text += new TextDecoder().decode((await reader.read()).value);
  await reader.cancel();
  while (!server.requests[1].aborted) await sleep(5);
});

test("a slow reader holds up the model's stream", async (t) => {
  let sent = 0;
  const { createServer } = await import("node:http");
  const server = createServer(async (_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const write = (event) => response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`) || Promise.race([once(response, "drain"), once(response, "close")]);
    const message = { id: "m", type: "message", role: "assistant", model: "m", content: [], stop_reason: null, usage: { input_tokens: 1, output_tokens: 1 } };
    await write({ type: "message_start", message });
    await write({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } });
    for (; sent < 64 && !response.destroyed; sent++) await write({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "x".repeat(1 << 20) } });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.closeAllConnections() || server.close());
  const agent = new Agent({ model: { provider: "anthropic", id: "m", baseUrl: `http://127.0.0.1:${server.address().port}` } });
  for await (const event of agent.run("hi")) {
    if (event.type !== "text_delta") continue;
    // The reader takes its time; meanwhile only buffers on the way may fill.
    let before = -1;
    for (let waited = 0; before !== sent && waited < 50; waited++) {
      before = sent;
      await sleep(100);
    }
    break;
  }
  assert.ok(sent < 32, `${sent} MiB were sent to a reader who stopped at the first`);
});

test("what nobody holds is collected, what is still running is not disturbed", async () => {
  const code = `
    import { Agent } from "edgewise";
    import { setTimeout as sleep } from "node:timers/promises";
    const gone = new Set();
    const registry = new FinalizationRegistry((name) => gone.add(name));
    function start() {
      const agent = new Agent({ model: { provider: "offline" }, tools: [
        { name: "add", description: "Adds two numbers", annotations: { readOnlyHint: true },
          inputSchema: { type: "object", properties: { a: { type: "number" }, b: { type: "number" } }, required: ["a", "b"] },
          async execute({ a, b }) { for (let i = 0; i < 5; i++) { await sleep(20); gc(); } return String(a + b + 0 * agent.tools().length); } }] });
      registry.register(agent, "agent");
      return agent.run("What is 17 + 25?").result;
    }
    console.log((await start()).text.includes("42"));
    for (let i = 0; i < 50 && !gone.has("agent"); i++) { await sleep(10); gc(); }
    console.log(gone.has("agent"));`;
  const printed = await exec(process.execPath, ["--expose-gc", "--input-type=module", "-e", code], { cwd: path });
  assert.equal(printed, "true\ntrue\n");
});

test("an error is an Error with everything that was learnt", async (t) => {
  const { agent } = await scripted(t, [{ status: 401 }]);
  const error = await rejected(agent.run("hi").result);
  assert.deepEqual([error.name, error.code, error.status], ["EdgewiseError", "auth_required", 401]);
  assert.ok(!JSON.stringify(error).includes("sk-secret") && !error.stack.includes("sk-secret"));
  const made = new EdgewiseError({ code: "timeout", message: "late", retry: { after: 1500 }, cause: { code: "network", message: "gone" } });
  assert.deepEqual([made.retryAfterMs, made.cause.code, made.cause instanceof EdgewiseError], [1500, "network", true]);
});

test("after close() nothing is started any more", async () => {
  const { agent } = adder(edgewise);
  await agent.close();
  await agent.close();
  assert.equal((await collect(agent.run("What is 17 + 25?"))).at(-1).error.code, "cancelled");
  assert.equal((await rejected(agent.connect())).code, "misuse");
});

// The instance really crashes: what was open ends with `crashed`, the process lives, the next call has a new instance.
//
// Nothing in the wasm helps with that. A stream whose chunk is larger than the address space of wasm makes Rust panic; a
// clock that throws makes an exception pass through Rust, which leaves it in an unknown state.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as llm from "../servers/llm.mjs";
import { browse, installed, project, serve } from "./lib.mjs";
import { adder, laws, scenario } from "./scenario.mjs";

const { path } = await project({
  "crash.html": `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
    import * as edgewise from "./node_modules/edgewise/browser.js";
    import { scenario } from "./scenario.mjs";
    await edgewise.init();
    const fetch = globalThis.fetch;
    globalThis.fetch = async () => new Response(new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(2 ** 31)) }));
    const agent = new edgewise.Agent({ model: { provider: "openai", id: "m", baseUrl: "/llm" } });
    const error = await agent.run("hi").result.catch((error) => error);
    globalThis.fetch = fetch;
    globalThis.outcome = { code: error.code, again: await scenario(edgewise) };
  </script>`,
});
const edgewise = await installed(path);
const { Agent, EdgewiseError } = edgewise;

/** Replaces a property until the test ends. */
function replace(t, object, name, value) {
  const before = object[name];
  object[name] = value;
  const restore = () => (object[name] = before);
  t.after(restore);
  return restore;
}

const tooLarge = async () =>
  new Response(new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(2 ** 31)) }));

test("a panic ends every open run and call with `crashed`; the next ones work", async (t) => {
  const server = await llm.start({ turns: [{ text: "some text that takes its time to be written", delayMs: 500 }, { toolCalls: [{ name: "wait", input: {} }] }] });
  t.after(server.close);
  const uncaught = [];
  const note = (error) => uncaught.push(error);
  process.on("uncaughtException", note).on("unhandledRejection", note);
  t.after(() => process.off("uncaughtException", note).off("unhandledRejection", note));

  let waiting;
  let signal;
  const wait = { name: "wait", execute: (_, context) => new Promise(() => { signal = context.signal; waiting?.(); }) };
  const model = { provider: "openai", id: "m", baseUrl: `${server.url}/v1` };
  const bystander = new Agent({ model, tools: [wait], approval: "never" });

  // One run in mid-text, one in the middle of a tool, one call of a tool, one run that nobody watches.
  const text = [];
  const reading = (async () => { for await (const event of bystander.run("hi")) text.push(event); })();
  while (!text.some((event) => event.type === "text_delta")) await new Promise((resolve) => setTimeout(resolve, 5));
  const tool = [];
  const inTool = new Promise((resolve) => (waiting = resolve));
  const calling = (async () => { for await (const event of bystander.run("hi", { messages: [{ role: "user", content: [{ type: "text", text: "before" }] }] })) tool.push(event); })();
  await inTool;
  const call = bystander.callTool("wait").catch((error) => error);
  bystander.run("unwatched");

  const restore = replace(t, globalThis, "fetch", tooLarge);
  const crasher = new Agent({ model });
  const error = await crasher.run("hi").result.catch((error) => error);
  restore();
  assert.ok(error instanceof EdgewiseError);
  assert.equal(error.code, "crashed");
  assert.match(error.message, /^the wasm instance crashed: RuntimeError: /, "a panic is a trap");
  assert.ok(error.cause instanceof WebAssembly.RuntimeError);

  await reading;
  await calling;
  assert.equal(laws(text).error.code, "crashed");
  assert.equal(laws(tool).error.code, "crashed");
  assert.equal(tool.at(-1).messages[0].content[0].text, "before");
  assert.equal(tool.find((event) => event.type === "tool_result").outcome, "failed");
  assert.equal((await call).code, "crashed");
  assert.equal(signal.aborted, true, "the tool is told");
  while (!server.requests[0].aborted) await new Promise((resolve) => setTimeout(resolve, 5));

  // The same agents go on, in a new instance; late answers to the old one reach nobody.
  server.push({ text: "alive" }, { text: "alive" });
  assert.equal((await bystander.run("hi").result).text, "alive");
  assert.equal((await crasher.run("hi").result).text, "alive");
  await scenario(edgewise);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(uncaught, []);
});

test("an exception that passes through the core is a crash of the call that it ended", async (t) => {
  const { agent } = adder(edgewise);
  const restore = replace(t, crypto, "getRandomValues", () => { throw new Error("no entropy"); });
  assert.throws(() => agent.run("What is 17 + 25?"), { code: "crashed", message: /no entropy/ });
  restore();
  agent.addServer({ name: "later", url: "https://later.test/mcp" });
  assert.deepEqual(agent.servers().map((server) => server.name), ["later"]);
  await agent.removeServer("later");
  const again = replace(t, crypto, "getRandomValues", () => { throw new Error("no entropy"); });
  assert.throws(() => agent.run("What is 17 + 25?"), { code: "crashed" });
  again();
  assert.deepEqual(agent.servers(), [], "a new instance knows what was added and removed");
  assert.match((await agent.run("What is 17 + 25?").result).text, /42/);
});

test("in a page", async () => {
  const server = await serve(path);
  const open = await browse();
  const { outcome } = await open(`${server.url}crash.html`);
  const { code, again } = await outcome();
  assert.equal(code, "crashed");
  assert.match(again.text, /42/);
});

// A conversation that is held for a thousand turns, in the installed package: what it costs, and what it keeps in memory.

import assert from "node:assert/strict";
import { test } from "node:test";

import { installed, project, Shelf } from "./lib.mjs";

// The memories of the wasm files, as they are made. They never shrink, so what they are is the most that was needed.
const memories = new Set();
const note = (instance) => {
  if (instance?.exports?.memory instanceof WebAssembly.Memory) memories.add(instance.exports.memory);
  return instance;
};
const { Instance, instantiate } = WebAssembly;
WebAssembly.Instance = new Proxy(Instance, { construct: (target, values) => note(Reflect.construct(target, values)) });
WebAssembly.instantiate = async (...values) => {
  const made = await instantiate.apply(WebAssembly, values);
  note(made.instance ?? made);
  return made;
};
const bytes = () => [...memories].reduce((sum, { buffer }) => sum + buffer.byteLength, 0);

const { path } = await project();
const { Agent } = await installed(path);

test("a thousand turns take time and memory as a few do", async (t) => {
  const turns = 1000;
  let asked = 0;
  let sent = 0;
  const model = {
    contextWindow: 4000,
    maxTokens: 200,
    async *generate({ messages }) {
      asked += 1;
      sent += JSON.stringify(messages).length;
      const last = messages.at(-1).content;
      if (JSON.stringify(last).includes("Summarise our conversation")) yield "They counted.";
      else if (last.some(({ type }) => type === "tool_result")) yield "Seen, and counted. ".repeat(5);
      else yield { type: "tool_call", id: `t${asked}`, name: "look", input: {} };
    },
  };
  const tools = [{ name: "look", description: "Looks.", annotations: { readOnlyHint: true }, execute: () => "something seen, ".repeat(150) }];
  const store = new Shelf();
  const agent = new Agent({ model, tools, cache: { store }, journal: true });
  t.after(() => agent.close());
  const marks = [];
  const mark = () => {
    const { user, system } = process.cpuUsage();
    marks.push({ ms: (user + system) / 1000, bytes: bytes(), asked, sent });
  };
  for (let turn = 0; turn <= turns; turn += 1) {
    if (turn % (turns / 4) === 0) mark();
    if (turn === turns) break;
    const { text } = await agent.conversation("held").send(`count ${turn}`).result;
    assert.match(text, /counted/);
  }
  const quarters = marks.slice(1).map((now, place) => ({
    ms: Math.round(now.ms - marks[place].ms),
    bytes: now.bytes,
    asked: now.asked - marks[place].asked,
    sent: now.sent - marks[place].sent,
  }));
  t.diagnostic(JSON.stringify(quarters));
  const [first, second, , last] = quarters;
  assert.ok(last.sent < second.sent * 1.1, `${second.sent} bytes, and then ${last.sent}`);
  // The first quarter warms up. The machine may be busy with other things, but not quadratically.
  assert.ok(last.ms < second.ms * 1.6 + 100, `${second.ms} ms, and then ${last.ms}`);
  assert.ok(bytes() > 0 && last.bytes - first.bytes <= 1024 * 1024, `${first.bytes} bytes, and then ${last.bytes}`);
  const messages = await agent.conversation("held").messages();
  const said = messages.flatMap(({ role, content }) => (role === "user" ? content : [])).filter(({ type, text }) => type === "text" && /^count \d+$/.test(text));
  assert.equal(said.length, turns);
});

// Plans of tool calls through the installed package, against a real server and tools of the app.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as modern from "../servers/modern.mjs";
import { installed, project } from "./lib.mjs";

const { path } = await project();
const { Agent, EdgewiseError } = await installed(path);

async function start(t, options = {}) {
  const server = await modern.start();
  t.after(server.close);
  const notes = [];
  const note = {
    name: "note",
    description: "Writes down a line.",
    inputSchema: { type: "object", properties: { line: { type: "string" } }, required: ["line"] },
    execute: ({ line }) => (notes.push(line), { count: notes.length }),
  };
  const model = { provider: "offline" };
  const agent = new Agent({ model, servers: [{ name: "m", url: server.url }], tools: [note], ...options });
  t.after(() => agent.close());
  return { agent, notes };
}

const plan = {
  steps: [
    { id: "sum", tool: "m.add", input: { a: 17, b: 25 } },
    { id: "note", tool: "note", forEach: ["one", "two"], input: { line: "{{item}}: {{sum.content.0.text}}" } },
  ],
  return: { notes: { $from: "note" }, last: "{{note.1.count}}" },
};

test("a plan runs, asks for what writes, and tells what came of each step", async (t) => {
  const { agent, notes } = await start(t);
  const run = agent.runPlan(plan);
  const events = [];
  for await (const event of run) {
    events.push(event);
    if (event.type === "approval_request") run.approve(event.id);
  }
  const { ok, value, steps, messages } = await run.result;
  assert.deepEqual(notes.map((line) => line.replace(/: .*42.*/s, ": 42")), ["one: 42", "two: 42"]);
  assert.deepEqual([ok, value], [true, { notes: [{ count: 1 }, { count: 2 }], last: 2 }]);
  assert.deepEqual(steps.map(({ id, state, calls }) => [id, state, calls]), [["sum", "ok", 1], ["note", "ok", 2]]);
  assert.deepEqual(messages.map(({ role }) => role), ["user", "assistant", "user"]);
  const asked = events.filter(({ type }) => type === "approval_request").map(({ id, name }) => [id, name]);
  assert.deepEqual(asked, [["plan/note/0", "note"], ["plan/note/1", "note"]]);
  const calls = events.filter(({ type, callId }) => type === "tool_call" && callId === "plan").map(({ step }) => step);
  assert.deepEqual(calls, ["sum", "note", "note"]);
  const states = events.filter(({ type }) => type === "plan_step").map(({ id, state }) => `${id} ${state}`);
  assert.deepEqual(states, ["sum running", "sum ok", "note running", "note ok"]);
});

test("nobody is there to approve: the plan says so and what it did", async (t) => {
  const { agent, notes } = await start(t);
  const { ok, text, steps } = await agent.runPlan(plan, { unattended: true }).result;
  assert.deepEqual([ok, notes, steps[1].state], [false, [], "failed"]);
  assert.match(text, /^the plan failed at step `note`: element 0: not called: .*nobody is there to approve it\n- sum ok: /s);
});

test("a preview calls nothing, and a plan that is wrong is refused with every mistake", async (t) => {
  const { agent, notes } = await start(t, { approval: "never" });
  const preview = await agent.previewPlan(plan);
  assert.deepEqual([preview.ok, preview.problems, preview.waves], [true, [], [["sum"], ["note"]]]);
  assert.deepEqual(preview.steps[0], { id: "sum", tool: "m.add", dependsOn: [], server: "m", input: { a: 17, b: 25 } });
  const wrong = { steps: [{ id: "a", tool: "m.ad", input: { a: { $from: "b" } } }, { id: "c", tool: "note", when: { is: 1 } }] };
  const { problems } = await agent.previewPlan(wrong);
  assert.equal(problems.length, 4, problems.join("\n"));
  const error = await agent.runPlan(wrong).result.catch((error) => error);
  assert.ok(error instanceof EdgewiseError);
  assert.deepEqual([error.code, error.message], ["config", `the plan cannot be run:\n- ${problems.join("\n- ")}`]);
  assert.deepEqual(notes, []);
  assert.throws(() => agent.runPlan({ steps: () => {} }), { code: "config" });
});

// What an app says while a run is under way, and runs that pursue a goal, against a real model wire.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as llm from "../servers/llm.mjs";
import { installed, project } from "./lib.mjs";
import { laws } from "./scenario.mjs";

const { path } = await project();
const { Agent } = await installed(path);

/** An agent on a scripted model, with one tool that runs `execute`. */
async function agentOf(turns, execute, t) {
  const model = await llm.start({ turns });
  t.after(() => model.close());
  const tools = [{ name: "look", description: "Looks.", annotations: { readOnlyHint: true }, execute }];
  const agent = new Agent({ model: { provider: "anthropic", id: "m", apiKey: "k", baseUrl: model.url }, tools });
  t.after(() => agent.close());
  return { agent, model };
}

test("what is said meanwhile joins at the next turn, and follow-ups when the model is done", async (t) => {
  const turns = [{ toolCalls: [{ name: "look", input: {} }] }, { text: "Oslo and Bergen: rain." }, { text: "Take a coat." }];
  let run;
  const { agent, model } = await agentOf(turns, () => {
    run.followUp("What do I wear?");
    run.steer("also Bergen");
    return "rain";
  }, t);
  run = agent.run("Will it rain in Oslo?");
  const events = [];
  for await (const event of run) events.push(event);
  assert.equal(laws(events).type, "done", JSON.stringify(events.at(-1)));
  assert.deepEqual(events.filter((event) => event.type === "steered").map((event) => event.text), ["also Bergen", "What do I wear?"]);
  assert.equal(events.at(-1).text, "Take a coat.");
  const said = (request) => JSON.stringify(request.body?.messages ?? request.messages);
  assert.match(said(model.requests[1]), /also Bergen/);
  assert.doesNotMatch(said(model.requests[1]), /What do I wear/);
  assert.match(said(model.requests[2]), /What do I wear/);
  assert.throws(() => run.steer("late"), { code: "misuse" });
  assert.throws(() => agent.run("x", { mode: "dream" }), { code: "config", path: "mode" });
});

test("a goal ends when the model says so, and never goes on past the last turn", async (t) => {
  const turns = [
    { text: "I will look." },
    { toolCalls: [{ name: "look", input: {} }] },
    { text: "There.", toolCalls: [{ name: "end_goal", input: { met: true, summary: "looked" } }] },
  ];
  const { agent } = await agentOf(turns, () => "seen", t);
  const { text, goal } = await agent.run("Look around", { mode: "goal" }).result;
  assert.deepEqual([text, goal], ["There.", { met: true, summary: "looked" }]);

  const endless = [{ toolCalls: [{ name: "look", input: {} }] }, { text: "Half is left.", toolCalls: [{ name: "look", input: {} }] }];
  let looked = 0;
  const { agent: other } = await agentOf(endless, () => `${(looked += 1)}`, t);
  const { goal: left } = await other.run("Look everywhere", { mode: "goal", maxTurns: 2 }).result;
  assert.deepEqual(left, { met: false, left: "Half is left." });
  assert.equal(looked, 1);
});

// A history that outgrows the model's window, against a real model wire.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as llm from "../servers/llm.mjs";
import { installed, project } from "./lib.mjs";
import { laws } from "./scenario.mjs";

const { path } = await project();
const { Agent } = await installed(path);

test("a history past the window is kept under handles and summed up, and none of it is lost", async (t) => {
  let left = 12;
  let read = false;
  const answer = (asked) => {
    const [handle] = /result:[0-9a-f]{20}/.exec(JSON.stringify(asked.messages)) ?? [];
    if (JSON.stringify(asked.messages.at(-1)).includes("Summarise our conversation")) return { text: `We looked at many things. ${handle ?? ""}` };
    if (read) {
      read = false;
      return { toolCalls: [{ name: "read_result", input: { handle, grep: "^view" } }] };
    }
    if (left-- > 0) return { text: "I look.", toolCalls: [{ name: "look", input: {} }] };
    return { text: "All seen." };
  };
  const model = await llm.start({ turns: Array(60).fill(answer) });
  t.after(() => model.close());
  const long = (number) => `view ${number}: ${"something seen, ".repeat(150)}\nend of ${number}`;
  let looked = 0;
  const agent = new Agent({
    model: { provider: "anthropic", id: "m", apiKey: "k", baseUrl: model.url, maxTokens: 200, contextWindow: 3000 },
    tools: [{ name: "look", description: "Looks.", annotations: { readOnlyHint: true }, execute: () => long((looked += 1)) }],
    limits: { maxTurns: 30 },
  });
  t.after(() => agent.close());
  const all = [];
  for await (const event of agent.run("Look around and remember the colour teal")) all.push(event);
  const end = laws(all);
  assert.equal(end.type, "done", JSON.stringify(end.error));
  const compacted = all.filter(({ type }) => type === "compacted");
  assert.ok(compacted.length > 0 && compacted.every(({ tokensBefore, tokensAfter }) => tokensAfter < tokensBefore), JSON.stringify(compacted));
  assert.ok(compacted.some(({ results }) => results > 0) || compacted.some(({ summary }) => summary?.includes("We looked at many things.")));
  // What the model is asked with stays small, and the user's words stay in it.
  for (const { body } of model.requests) {
    const text = JSON.stringify(body.messages);
    assert.ok(text.length < 4 * 3200, `${text.length}`);
    assert.match(text, /remember the colour teal/);
  }
  // What was said is all there, and hides nothing from whoever reads it.
  const history = JSON.stringify(end.messages);
  for (let number = 1; number <= looked; number += 1) assert.ok(history.includes(`view ${number}: `), `view ${number} is gone`);
  // What was taken out is under a handle, in the same run and for the app.
  const taken = Object.entries(Object.assign({}, ...end.messages.flatMap(({ content }) => content).filter(({ type }) => type === "compaction").map(({ results }) => results)));
  assert.ok(taken.length > 0, JSON.stringify(compacted));
  for (const [id, told] of taken) {
    const [handle] = /result:[0-9a-f]{20}/.exec(told);
    const result = end.messages.flatMap(({ content }) => content).find(({ type, toolUseId }) => type === "tool_result" && toolUseId === id);
    const whole = await agent.readResult(handle);
    assert.equal(whole.content[0].text, result.content[0].text);
  }
  assert.ok(model.requests.at(-1).body.tools.some(({ name }) => name === "read_result"));
  assert.equal(end.messages.flatMap(({ content }) => content).filter(({ type }) => type === "compaction").length, compacted.length);

  // The next run reads on what only a handle in the history tells of.
  read = true;
  left = 0;
  const { text: spoken, messages } = await agent.run("What did you see first?", { messages: end.messages }).result;
  assert.equal(spoken, "All seen.");
  assert.match(JSON.stringify(messages.at(-2)), /view \d+: something seen/);

  const asked = model.requests.length;
  left = 0;
  const { text } = await agent.run("And the colour?", { messages: end.messages }).result;
  assert.equal(text, "All seen.");
  assert.equal(model.requests.length, asked + 1, "the next run paid for a summary again");
  assert.ok(JSON.stringify(model.requests[asked].body.messages).length < 4 * 3200);
});

test("a window that the app does not know is learned from the provider's refusal", async (t) => {
  const window = 3000;
  let left = 12;
  const refused = [];
  const answer = (asked) => {
    const tokens = Math.ceil(JSON.stringify(asked).length / 3);
    if (tokens > window) {
      refused.push(tokens);
      const error = { message: `This model's maximum context length is ${window} tokens. However, your messages resulted in ${tokens} tokens.`, type: "invalid_request_error", code: "context_length_exceeded" };
      return { status: 400, body: { error } };
    }
    if (JSON.stringify(asked.messages.at(-1)).includes("Summarise our conversation")) return { text: "We looked at many things." };
    if (left-- > 0) return { text: "I look.", toolCalls: [{ name: "look", input: {} }] };
    return { text: "All seen." };
  };
  const model = await llm.start({ turns: Array(60).fill(answer) });
  t.after(() => model.close());
  const agent = new Agent({
    model: { provider: "openai", id: "m", apiKey: "k", baseUrl: `${model.url}/v1`, maxTokens: 200 },
    tools: [{ name: "look", description: "Looks.", annotations: { readOnlyHint: true }, execute: () => "something seen, ".repeat(150) }],
    limits: { maxTurns: 30 },
  });
  t.after(() => agent.close());
  const all = [];
  for await (const event of agent.run("Look around")) all.push(event);
  const end = laws(all);
  assert.equal(end.type, "done", JSON.stringify(end.error));
  assert.ok(all.some(({ type }) => type === "compacted"));
  assert.equal(refused.length, 1, `${refused}`);
  assert.ok(all.some(({ type, of, code }) => type === "retry" && of === "model" && code === "provider"));
});

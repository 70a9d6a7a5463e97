// What holds on every wire: answers by a schema with exactly one repair, calls before them, and what they cost.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as llm from "../servers/llm.mjs";
import { installed, project } from "./lib.mjs";

const { path } = await project();
const { Agent } = await installed(path);

/** A model server of that wire: the option `model`, and the requests as text. */
const served = (provider, base) => async (t, turns) => {
  const server = await llm.start({ turns });
  t.after(server.close);
  return {
    model: { provider, id: "m", apiKey: "k", baseUrl: server.url + base },
    asked: () => server.requests.map(({ body }) => JSON.stringify(body)),
  };
};

const event = (data) => `data: ${JSON.stringify(data)}\n\n`;

const wires = {
  anthropic: served("anthropic", ""),
  openai: served("openai", "/v1"),
  "openai-responses": served("openai-responses", "/v1"),
  gemini: served("gemini", ""),
  app: async (t, turns) => {
    const asked = [];
    const generate = (request) => {
      asked.push(JSON.stringify(request));
      const { text, toolCalls = [] } = turns[asked.length - 1];
      return [...(text ? [text] : []), ...toolCalls.map(({ name, input }) => ({ type: "tool_call", name, input }))];
    };
    return { model: { generate }, asked: () => asked };
  },
  "workers-ai": async (t, turns) => {
    const asked = [];
    const run = async (model, input) => {
      asked.push(JSON.stringify(input));
      const { text = "", toolCalls = [] } = turns[asked.length - 1];
      const tool_calls = toolCalls.map(({ name, input }) => ({ name, arguments: input }));
      return new Blob([event({ response: text, ...(tool_calls.length && { tool_calls }) }), "data: [DONE]\n\n"]).stream();
    };
    return { model: { provider: "workers-ai", id: "@cf/x", binding: { run } }, asked: () => asked };
  },
  browser: async (t, turns) => {
    const asked = [];
    globalThis.LanguageModel = {
      async create(options) {
        return {
          promptStreaming(prompt, { responseConstraint }) {
            asked.push(JSON.stringify({ options, prompt }));
            const { text = "", toolCalls = [] } = turns[asked.length - 1];
            // Only a constraint for calls has the answer in an object.
            const wrapped = responseConstraint?.properties?.calls;
            return ReadableStream.from([wrapped ? JSON.stringify({ say: text, calls: toolCalls }) : text]);
          },
          destroy() {},
        };
      },
    };
    t.after(() => delete globalThis.LanguageModel);
    return { model: { provider: "browser" }, asked: () => asked };
  },
};

const output = { type: "object", properties: { city: { type: "string" }, mm: { type: "number" } }, required: ["city", "mm"], additionalProperties: false };
const look = { name: "look", description: "Looks out.", inputSchema: { type: "object", properties: {} }, annotations: { readOnlyHint: true }, execute: () => "rain" };
const call = { toolCalls: [{ name: "look", input: {} }] };
const right = { text: '{"city":"Oslo","mm":4}' };
const wrong = { text: '{"city":"Oslo"}' };

for (const [name, start] of Object.entries(wires)) {
  for (const tools of [[], [look]]) {
    const before = tools.length ? [call] : [];
    const how = tools.length ? "beside tools" : "alone";
    test(`${name}: a wrong answer is mended in exactly one round, ${how}`, async (t) => {
      const { model, asked } = await start(t, [...before, wrong, right]);
      const agent = new Agent({ model, tools });
      t.after(() => agent.close());
      const result = await agent.run("rain?", { output }).result;
      assert.deepEqual(result.output, { city: "Oslo", mm: 4 });
      const told = asked();
      assert.equal(told.length, before.length + 2);
      const says = (text) => /`mm` is missing/.test(text);
      assert.deepEqual(told.map(says), [...before.map(() => false), false, true]);
    });
  }

  test(`${name}: what is wrong again ends the run, and nobody is asked a third time`, async (t) => {
    const { model, asked } = await start(t, [{ text: "Gladly!" }, wrong, right]);
    const agent = new Agent({ model });
    t.after(() => agent.close());
    await assert.rejects(agent.run("rain?", { output }).result, { code: "provider", message: /JSON Schema of `output`/ });
    assert.equal(asked().length, 2);
  });
}

// A thousand tokens in, of which 600 from the cache; a hundred out, of which 40 were reasoning.
const used = {
  anthropic: { input_tokens: 400, cache_read_input_tokens: 600, output_tokens: 100, output_tokens_details: { thinking_tokens: 40 } },
  openai: { prompt_tokens: 1000, prompt_tokens_details: { cached_tokens: 600 }, completion_tokens: 100, completion_tokens_details: { reasoning_tokens: 40 } },
  "openai-responses": { input_tokens: 1000, input_tokens_details: { cached_tokens: 600 }, output_tokens: 100, output_tokens_details: { reasoning_tokens: 40 } },
  gemini: { promptTokenCount: 1000, cachedContentTokenCount: 600, candidatesTokenCount: 60, thoughtsTokenCount: 40, totalTokenCount: 1100 },
};

for (const [name, usage] of Object.entries(used)) {
  test(`${name}: what an answer costs goes by the kind of each token`, async (t) => {
    const { model } = await wires[name](t, [{ text: "Yes.", usage }]);
    const agent = new Agent({ model: { ...model, prices: { input: 3, output: 15, cacheRead: 0.3 } } });
    t.after(() => agent.close());
    const { inputTokens, outputTokens, cacheReadTokens, reasoningTokens, cost } = (await agent.run("Well?").result).usage;
    assert.deepEqual([inputTokens, outputTokens, cacheReadTokens, reasoningTokens], [1000, 100, 600, 40]);
    assert.equal(cost, (400 * 3 + 600 * 0.3 + 100 * 15) / 1e6);
  });
}

// Tokens of what a model would be asked, counted before it is asked.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as llm from "../servers/llm.mjs";
import { installed, project } from "./lib.mjs";

const { path } = await project();
const { Agent } = await installed(path);

const add = {
  name: "add",
  description: "Adds two numbers.",
  inputSchema: { type: "object", properties: { a: { type: "number" }, b: { type: "number" } } },
  execute: ({ a, b }) => a + b,
};
const characters = (body) => JSON.stringify(body).length;

async function server(t, given) {
  const model = await llm.start(given);
  t.after(() => model.close());
  return model;
}

const wires = [
  ["anthropic", "", "/v1/messages/count_tokens"],
  ["openai", "/v1", "/v1/chat/completions/input_tokens"],
  ["openai-responses", "/v1", "/v1/responses/input_tokens"],
  ["gemini", "", "/v1beta/models/m:countTokens"],
];

for (const [provider, base, endpoint] of wires) {
  test(`${provider}: the provider counts all that would be sent, and nothing is asked`, async (t) => {
    const model = await server(t, { count: characters });
    const agent = new Agent({ model: { provider, id: "m", apiKey: "k", baseUrl: model.url + base, maxTokens: 50 }, tools: [add], system: "Be kind." });
    t.after(() => agent.close());
    const counted = await agent.countTokens("What is 17 + 25?", { unattended: true });
    const [{ path, body }] = model.counts;
    assert.deepEqual([path, counted], [endpoint, { inputTokens: characters(body), estimated: false }]);
    for (const part of ["Be kind.", "Adds two numbers.", "What is 17 + 25?"]) assert.ok(JSON.stringify(body).includes(part), part);
    assert.equal(body.stream, undefined);
    assert.equal(model.requests.length, 0);
  });
}

test("a conversation is counted with what was said in it, and nothing is left in it", async (t) => {
  const model = await server(t, { turns: [{ text: "Hello." }, { text: "Bye." }], count: characters });
  const agent = new Agent({ model: { provider: "anthropic", id: "m", apiKey: "k", baseUrl: model.url }, tools: [add] });
  t.after(() => agent.close());
  const chat = agent.conversation("c");
  await chat.send("Good morning").result;
  await chat.countTokens("Good night");
  assert.equal((await chat.messages()).length, 2);
  await chat.send("Good night").result;
  const plain = ({ model, messages, tools }) => ({ model, messages, tools });
  assert.deepEqual(plain(model.counts[0].body), plain(model.requests[1].body));
  await assert.rejects(chat.countTokens("x", { messages: [] }), { code: "config" });
});

test("where nobody counts, it is estimated and says so", async (t) => {
  const model = await server(t, {});
  const baseUrl = model.url;
  const models = [
    { provider: "anthropic", id: "m", baseUrl },
    { provider: "openai", id: "m", baseUrl },
    { provider: "gemini", id: "m", baseUrl },
    { generate: () => assert.fail("the model was asked") },
    { provider: "offline" },
  ];
  for (const model of models) {
    const agent = new Agent({ model });
    const { inputTokens, estimated } = await agent.countTokens("word ".repeat(400));
    assert.ok(estimated && inputTokens > 450 && inputTokens < 650, `${JSON.stringify(model)}: ${inputTokens}`);
    await agent.close();
  }
});

test("the browser's own model measures what it would be given, and is not fetched for it", async (t) => {
  let availability = "available";
  const given = [];
  globalThis.LanguageModel = {
    availability: async () => availability,
    create: async (options) => ({
      contextUsage: 100,
      measureContextUsage: async (prompt, { responseConstraint }) => (given.push({ ...options, prompt, responseConstraint }), prompt.length),
      promptStreaming: () => assert.fail("the model was asked"),
      destroy: () => given.push("destroyed"),
    }),
  };
  t.after(() => delete globalThis.LanguageModel);
  const agent = new Agent({ model: { provider: "browser" }, tools: [add], system: "Be kind." });
  t.after(() => agent.close());
  assert.deepEqual(await agent.countTokens("How are you?"), { inputTokens: 100 + "How are you?".length, estimated: false });
  const [asked, end] = given;
  assert.match(asked.initialPrompts[0].content, /^Be kind[^]*Adds two numbers/);
  assert.ok(asked.responseConstraint.properties.calls);
  assert.equal(end, "destroyed");
  availability = "downloadable";
  assert.equal((await agent.countTokens("How are you?")).estimated, true);
  assert.equal(given.length, 2);
});

test("a model of the app counts what it would be asked by a function of its own", async (t) => {
  const given = [];
  let counts = (request) => 3.4 + request.messages[0].content[0].text.length;
  const model = {
    id: "mine",
    generate: (request) => (given.push(request), "Yes."),
    async countTokens(request, { signal }) {
      assert.ok(this.id === "mine" && signal instanceof AbortSignal);
      given.push(request);
      return counts(request);
    },
  };
  const agent = new Agent({ model, tools: [add], system: "Be kind." });
  t.after(() => agent.close());
  assert.deepEqual(await agent.countTokens("How are you?"), { inputTokens: 15, estimated: false });
  await agent.run("How are you?").result;
  assert.deepEqual(given[0], given[1]);
  assert.ok(given[0].system === "Be kind." && given[0].tools[0].name === "add");
  counts = () => Number.NaN;
  await assert.rejects(agent.countTokens("x"), { code: "provider", message: /^countTokens\(\) \(model mine\): .*no number of tokens/ });
  counts = () => { throw new Error("out of order"); };
  await assert.rejects(agent.countTokens("x"), { code: "provider", message: /out of order/ });
  counts = () => new Promise(() => {});
  await assert.rejects(agent.countTokens("x", { signal: AbortSignal.timeout(50) }), { code: "cancelled" });
  assert.throws(() => new Agent({ model: { provider: "offline", countTokens: () => 1 } }), { code: "config", path: "model.countTokens" });
});

test("what is wrong is told, and a signal ends it", async (t) => {
  const model = await server(t, { count: characters });
  const agent = new Agent({ model: { provider: "anthropic", id: "m", baseUrl: model.url } });
  await assert.rejects(agent.countTokens(7), { code: "config" });
  await assert.rejects(agent.countTokens("x", { maxTurn: 1 }), { code: "config", message: /maxTurns/ });
  await assert.rejects(agent.countTokens("x", { signal: AbortSignal.abort() }), { code: "cancelled" });
  await agent.close();
  await assert.rejects(agent.countTokens("x"), { code: "misuse" });
  const away = new Agent({ model: { provider: "anthropic", id: "m", baseUrl: "http://127.0.0.1:9" } });
  await assert.rejects(away.countTokens("x"), { code: "network" });
});

// Models that are no endpoint, what goes with a prompt, and what is demanded of an answer.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as llm from "../servers/llm.mjs";
import { installed, project } from "./lib.mjs";

const { path } = await project();
const { Agent } = await installed(path);

const add = {
  name: "add",
  description: "Adds two numbers.",
  inputSchema: { type: "object", properties: { a: { type: "number" }, b: { type: "number" } }, required: ["a", "b"] },
  annotations: { readOnlyHint: true },
  execute: ({ a, b }) => a + b,
};

async function all(run) {
  const events = [];
  for await (const event of run) events.push(event);
  return events;
}
const shown = (events) => events.filter((event) => event.type === "text_delta").map((event) => event.text).join("");

test("a generate() of the app's own is asked with history and tools, and streams", async () => {
  const requests = [];
  async function* generate(request, { signal }) {
    assert.ok(signal instanceof AbortSignal);
    requests.push(request);
    if (requests.length === 1) {
      yield "Let me ";
      yield { type: "text", text: "add." };
      yield { type: "tool_call", name: "add", input: { a: 17, b: 25 } };
      yield { type: "usage", inputTokens: 1_000_000, outputTokens: 0 };
    } else {
      const result = request.messages.at(-1).content[0];
      yield `It is ${result.content[0].text}.`;
    }
  }
  const agent = new Agent({ model: { generate, id: "mine", prices: { input: 3 } }, tools: [add], system: "Be kind." });
  const events = await all(agent.run("17 + 25?"));
  assert.equal(shown(events), "Let me add.It is 42.");
  assert.equal(events.at(-1).usage.cost, 3);
  assert.equal(requests[0].system, "Be kind.");
  assert.equal(requests[0].model, "mine");
  assert.deepEqual(requests[0].tools.map((tool) => tool.name), ["add", "read_result"]);
  assert.equal(requests[1].messages[1].content[1].type, "tool_use");
});

test("a generate() that throws in the middle is asked for the rest", async () => {
  let asked = 0;
  async function* generate({ messages }) {
    asked += 1;
    if (asked === 1) {
      yield "It will rain in Oslo to";
      throw new Error("the tab was asleep");
    }
    assert.match(messages.at(-1).content[0].text, /its last words, "It will rain in Oslo to"/);
    yield "It will rain in Oslo tonight.";
  }
  const events = await all(new Agent({ model: { generate } }).run("rain?"));
  assert.equal(shown(events), "It will rain in Oslo tonight.");
  assert.deepEqual(events.filter((event) => event.type === "retry").map((event) => event.of), ["model"]);
  assert.equal(events.at(-1).type, "done");
});

test("a cancel ends the app's iterable", async () => {
  let ended;
  const over = new Promise((resolve) => (ended = resolve));
  const generate = (request, { signal }) => (async function* () {
    try {
      yield "one";
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    } finally {
      ended();
    }
  })();
  const run = new Agent({ model: { generate } }).run("go");
  for await (const event of run) if (event.type === "text_delta") break;
  await over;
});

test("the next model takes over, and what was shown is not repeated", async () => {
  const down = async function* () {
    yield "It will rain in Os";
    throw Object.assign(new Error("no credit"), { status: 402 });
  };
  const up = async function* () {
    yield "It will rain in Oslo.";
  };
  const model = { generate: down, fallbacks: [{ generate: up, id: "second" }] };
  const events = await all(new Agent({ model }).run("rain?"));
  assert.equal(shown(events), "It will rain in Oslo.");
  assert.equal(events.find((event) => event.type === "retry").model, "second");
});

test("a stream that is cut is gone on with", async (t) => {
  const text = "It will rain in Oslo tonight, about four millimetres until midnight.";
  const server = await llm.start({ turns: [{ text, cutAt: 700 }, { text }] });
  t.after(server.close);
  const model = { provider: "anthropic", id: "m", baseUrl: server.url };
  const events = await all(new Agent({ model }).run("rain?"));
  assert.equal(shown(events), text);
  assert.equal(server.requests.length, 2);
  assert.deepEqual(server.requests[1].body.messages.map((message) => message.role), ["user", "assistant", "user"]);
  assert.equal((await server.requests[1].body.messages[1].content[0].text).length > 0, true);
});

test("further fields of the app go with each request", async (t) => {
  const server = await llm.start({ turns: [{ text: "Hello." }] });
  t.after(server.close);
  const model = { provider: "anthropic", id: "m", baseUrl: server.url, body: { thinking: { type: "adaptive" }, max_tokens: 77 } };
  const agent = new Agent({ model });
  t.after(() => agent.close());
  await agent.run("hi").result;
  const [{ body }] = server.requests;
  assert.deepEqual([body.thinking, body.max_tokens, body.stream], [{ type: "adaptive" }, 77, true]);
  assert.throws(() => new Agent({ model: { ...model, body: { messages: [] } } }), { code: "config", path: "model.body.messages" });
});

test("an answer is checked against its schema, with one repair", async () => {
  const output = { type: "object", properties: { city: { type: "string" }, mm: { type: "number" } }, required: ["city", "mm"], additionalProperties: false };
  const answers = ["Gladly!", '{"city":"Oslo"}', "```json\n{\"city\":\"Oslo\",\"mm\":4}\n```"];
  const run = (answers) => {
    const asked = [];
    async function* generate(request) {
      asked.push(request);
      yield answers[asked.length - 1];
    }
    return { asked, run: new Agent({ model: { generate } }).run("rain?", { output }) };
  };
  const good = run(answers.slice(1));
  const result = await good.run.result;
  assert.deepEqual(result.output, { city: "Oslo", mm: 4 });
  assert.match(good.asked[0].system, /JSON Schema/);
  assert.match(good.asked[1].messages.at(-1).content[0].text, /`mm` is missing/);
  await assert.rejects(run(answers).run.result, { code: "provider" });
  assert.throws(() => new Agent({ model: { provider: "offline" } }).run("x", { output: 7 }), { code: "config", path: "output" });
});

test("a provider holds the answer to the schema, and one that refuses to is asked without", async (t) => {
  const output = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
  const text = '{"city":"Oslo"}';
  const server = await llm.start({ turns: [{ text }, { status: 400 }, { text }] });
  t.after(server.close);
  const ask = () => new Agent({ model: { provider: "openai", id: "m", baseUrl: server.url + "/v1" } }).run("Where?", { output }).result;
  assert.deepEqual((await ask()).output, { city: "Oslo" });
  assert.deepEqual((await ask()).output, { city: "Oslo" });
  const demanded = { type: "json_schema", json_schema: { name: "answer", strict: true, schema: output } };
  assert.deepEqual(server.requests.map(({ body }) => body.response_format), [demanded, demanded, undefined]);
});

test("images and recordings go with the prompt", async (t) => {
  const server = await llm.start({ turns: [{ text: "A cat." }, { text: "A cat." }] });
  t.after(server.close);
  const attachments = [{ type: "image", data: "iVBO", mimeType: "image/png" }, { type: "audio", data: "UklG", mimeType: "audio/wav" }];
  const ask = (model) => new Agent({ model: { id: "m", ...model } }).run("What is this?", { attachments }).result;
  await ask({ provider: "openai", baseUrl: `${server.url}/v1` });
  assert.deepEqual(server.requests[0].body.messages[0].content, [
    { type: "image_url", image_url: { url: "data:image/png;base64,iVBO" } },
    { type: "input_audio", input_audio: { data: "UklG", format: "wav" } },
    { type: "text", text: "What is this?" },
  ]);
  await ask({ provider: "anthropic", baseUrl: server.url });
  assert.deepEqual(server.requests[1].body.messages[0].content[0], { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBO" } });
  const bad = () => new Agent({ model: { provider: "offline" } }).run("x", { attachments: [{ type: "video" }] });
  assert.throws(bad, { code: "config", path: "attachments[0]" });
});

test("a binding of Workers AI is asked, in its old and its new form", async () => {
  const asked = [];
  const stream = (...lines) => new Blob(lines.map((line) => `data: ${typeof line === "string" ? line : JSON.stringify(line)}\n\n`)).stream();
  class Binding {
    async run(model, input) {
      asked.push({ model, input });
      if (asked.length === 1) {
        return stream({ response: "", tool_calls: [{ name: "add", arguments: { a: 17, b: 25 } }] }, "[DONE]");
      }
      if (asked.length === 2) {
        return stream({ response: "It is " }, { response: "42." }, { response: "", usage: { prompt_tokens: 9, completion_tokens: 3 } }, "[DONE]");
      }
      return { response: "Whole." };
    }
  }
  const model = { provider: "workers-ai", id: "@cf/meta/llama", binding: new Binding() };
  const agent = new Agent({ model, tools: [add] });
  const events = await all(agent.run("17 + 25?"));
  assert.equal(shown(events), "It is 42.");
  assert.equal(asked[0].model, "@cf/meta/llama");
  assert.equal(asked[0].input.stream, true);
  assert.equal(asked[1].input.messages[1].content, "");
  assert.equal((await agent.run("again").result).text, "Whole.");
  assert.throws(() => new Agent({ model: { provider: "workers-ai", id: "x" } }), { code: "config", path: "model.binding" });
});

test("the browser's own model calls tools by constrained JSON", async (t) => {
  const created = [];
  const destroyed = [];
  const answers = [
    '{"say":"Let me add.","calls":[{"name":"add","input":{"a":17,"b":25}}]}',
    '{"say":"It is 42.","calls":[]}',
    "Hello!",
  ];
  globalThis.LanguageModel = {
    async create(options) {
      const at = created.push({ options }) - 1;
      return {
        inputUsage: 12,
        promptStreaming(prompt, options) {
          Object.assign(created[at], { prompt, constraint: options.responseConstraint });
          return ReadableStream.from(answers[at].match(/[^]{1,5}/g));
        },
        destroy: () => destroyed.push(at),
      };
    },
  };
  t.after(() => delete globalThis.LanguageModel);
  const events = await all(new Agent({ model: { provider: "browser" }, tools: [add] }).run("17 + 25?"));
  assert.equal(shown(events), "Let me add.It is 42.");
  assert.deepEqual(events.find((event) => event.type === "tool_call").input, { a: 17, b: 25 });
  assert.ok(created[0].constraint.properties.calls);
  assert.match(created[1].prompt, /^add gave:\n42/);
  assert.deepEqual(destroyed, [0, 1]);
  assert.equal((await new Agent({ model: { provider: "browser" } }).run("hi").result).text, "Hello!");
  assert.equal(created[2].constraint, undefined);
  delete globalThis.LanguageModel;
  await assert.rejects(new Agent({ model: { provider: "browser" } }).run("hi").result, /no model of its own/);
});

test("the browser's own model sees images and hears recordings, if it can", async (t) => {
  const made = [];
  let able = true;
  globalThis.LanguageModel = {
    availability: async (options) => (options?.expectedInputs && !able ? "unavailable" : "available"),
    async create(options) {
      const session = { options };
      made.push(session);
      return {
        promptStreaming: (prompt) => ((session.prompt = prompt), ReadableStream.from(["A lake."])),
        destroy() {},
      };
    },
  };
  t.after(() => delete globalThis.LanguageModel);
  const attachments = [
    { type: "image", data: btoa("png"), mimeType: "image/png" },
    { type: "audio", data: btoa("wav"), mimeType: "audio/wav" },
  ];
  const agent = new Agent({ model: { provider: "browser" } });
  t.after(() => agent.close());
  assert.equal((await agent.run("What is this?", { attachments }).result).text, "A lake.");
  const [{ options, prompt }] = made;
  assert.deepEqual(options.expectedInputs, [{ type: "text" }, { type: "image" }, { type: "audio" }]);
  const [{ role, content: [image, audio, text] }] = prompt;
  assert.deepEqual([role, image.type, image.value.type, await image.value.text()], ["user", "image", "image/png", "png"]);
  assert.deepEqual([audio.type, audio.value.type, await audio.value.text(), text], ["audio", "audio/wav", "wav", { type: "text", value: "What is this?" }]);
  able = false;
  await agent.run("What is this?", { attachments }).result;
  assert.equal(made[1].options.expectedInputs, undefined);
  assert.match(made[1].prompt[0].content[0].value, /left out: an image/);
});

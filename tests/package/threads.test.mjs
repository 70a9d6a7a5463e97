// Conversations that the provider holds: only what is new is sent, and all of it where the provider has forgotten.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import * as llm from "../servers/llm.mjs";
import { installed, project } from "./lib.mjs";

const { path } = await project();
const { Agent } = await installed(path);

const look = { name: "look", description: "Looks.", annotations: { readOnlyHint: true }, execute: () => "a lake" };
const gone = (message) => ({ status: 404, body: { type: "error", error: { type: "not_found_error", message } } });
const words = (body) => body.messages.flatMap(({ content }) => content).map(({ text, type }) => text ?? type);

test("Anthropic: the next turn and the next prompt send only what is new", async (t) => {
  const turns = [
    gone("thread_not_found: msg_0"),
    { id: "msg_a", toolCalls: [{ id: "toolu_1", name: "look" }] },
    { id: "msg_b", text: "A lake." },
    { id: "msg_c", text: "Deep." },
    gone("thread_not_found: msg_c"),
    { id: "msg_d", text: "Cold." },
    { id: "msg_e", text: "Yes." },
  ];
  const model = await llm.start({ turns });
  t.after(() => model.close());
  const options = { provider: "anthropic", id: "m", apiKey: "k", baseUrl: model.url, threads: true };
  const agent = new Agent({ model: options, tools: [look], system: "Be kind." });
  t.after(() => agent.close());
  const chat = agent.conversation("c");
  const said = [];
  const retries = [];
  for (const prompt of ["What is there?", "How deep?", "How cold?", "Sure?"]) {
    const run = chat.send(prompt);
    for await (const event of run) if (event.type === "retry") retries.push(event);
    said.push((await run.result).text);
  }
  assert.deepEqual(said, ["A lake.", "Deep.", "Cold.", "Yes."]);
  const threads = model.requests.map(({ body }) => body.thread.previous_message_id ?? body.thread.type);
  // Whether the host has threads at all is asked first, with all of it.
  assert.deepEqual(threads, ["msg_0", "create", "msg_a", "msg_b", "msg_c", "create", "msg_d"]);
  assert.deepEqual(model.requests.map(({ body }) => words(body)), [
    ["What is there?"],
    ["What is there?"],
    ["tool_result"],
    ["How deep?"],
    ["How cold?"],
    ["What is there?", "tool_use", "tool_result", "A lake.", "How deep?", "Deep.", "How cold?"],
    ["Sure?"],
  ]);
  for (const { body, headers } of model.requests.slice(1)) {
    assert.equal(headers["anthropic-beta"], "message-threads-2026-08-12");
    assert.equal(body.thread.type === "create", body.system !== undefined && body.tools !== undefined);
  }
  // Whoever looks at the run need not know of it.
  assert.deepEqual(retries, []);
});

test("a host without threads is asked without them from then on", async (t) => {
  const refused = { status: 400, body: { type: "error", error: { type: "invalid_request_error", message: "thread: unknown" } } };
  const model = await llm.start({ turns: [refused, refused, { text: "One." }, { text: "Two." }] });
  t.after(() => model.close());
  const agent = new Agent({ model: { provider: "anthropic", id: "m", apiKey: "k", baseUrl: model.url, threads: true } });
  t.after(() => agent.close());
  assert.equal((await agent.run("one").result).text, "One.");
  assert.equal((await agent.run("two").result).text, "Two.");
  assert.deepEqual(model.requests.map(({ body, headers }) => [body.thread?.type, headers["anthropic-beta"]]), [
    ["continue", "message-threads-2026-08-12"],
    ["create", "message-threads-2026-08-12"],
    [undefined, undefined],
    [undefined, undefined],
  ]);
});

test("a host that passes over threads is found out before anything is left out", async (t) => {
  const model = await llm.start({ turns: [{ id: "msg_a", text: "One." }, { id: "msg_b", text: "Two." }] });
  t.after(() => model.close());
  const agent = new Agent({ model: { provider: "anthropic", id: "m", apiKey: "k", baseUrl: model.url, threads: true }, system: "Be kind." });
  t.after(() => agent.close());
  const chat = agent.conversation("c");
  assert.equal((await chat.send("one").result).text, "One.");
  assert.equal((await chat.send("two").result).text, "Two.");
  assert.deepEqual(model.requests.map(({ body }) => words(body)), [["one"], ["one", "One.", "two"]]);
  assert.ok(model.requests.every(({ body }) => body.system));
  assert.equal(model.requests[1].body.thread, undefined);
});

test("OpenAI Responses: what is stored there is gone on with, and sent again when it is gone", async (t) => {
  const asked = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const body = JSON.parse(text);
    asked.push(body);
    if (["resp_0", "resp_2"].includes(body.previous_response_id)) {
      const error = { type: "invalid_request_error", code: "previous_response_not_found", param: "previous_response_id", message: "Previous response not found." };
      response.writeHead(400, { "content-type": "application/json" });
      return void response.end(JSON.stringify({ error }));
    }
    const output = [{ type: "message", role: "assistant", content: [{ type: "output_text", text: `Answer ${asked.length}.` }] }];
    const answer = { id: `resp_${asked.length}`, status: "completed", output, usage: { input_tokens: 1, output_tokens: 1 } };
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(`data: ${JSON.stringify({ type: "response.completed", response: answer })}\n\n`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const baseUrl = `http://127.0.0.1:${server.address().port}/v1`;
  const agent = new Agent({ model: { provider: "openai-responses", id: "gpt-4o", apiKey: "k", baseUrl, threads: true }, tools: [look], system: "Be kind." });
  t.after(() => agent.close());
  let messages = [];
  for (const prompt of ["one", "two", "three"]) ({ messages } = await agent.run(prompt, { messages }).result);
  assert.deepEqual(asked.map(({ previous_response_id: id, input }) => [id, input.length]), [
    ["resp_0", 1],
    [undefined, 1],
    ["resp_2", 1],
    [undefined, 3],
    ["resp_4", 1],
  ]);
  for (const { store, tools, instructions } of asked) assert.deepEqual([store, tools.length, instructions], [true, 2, "Be kind."]);
});

test("threads are off unless they are wanted, and only for providers that have them", async (t) => {
  const model = await llm.start({ turns: [{ text: "Hi." }] });
  t.after(() => model.close());
  await new Agent({ model: { provider: "anthropic", id: "m", apiKey: "k", baseUrl: model.url } }).run("hi").result;
  assert.equal(model.requests[0].body.thread, undefined);
  assert.throws(() => new Agent({ model: { provider: "openai", id: "m", threads: true } }), { code: "config", path: "model.threads" });
});

// Runs with a real small model behind a real llama.cpp server, which speaks three wires. `EDGEWISE_LOCAL_MODEL` is its origin,
// such as `http://127.0.0.1:8080`; without it nothing here is run.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import { installed, project } from "./lib.mjs";

const origin = process.env.EDGEWISE_LOCAL_MODEL?.replace(/\/$/, "");
const options = { skip: origin ? false : "EDGEWISE_LOCAL_MODEL is not set: no model server to test with", timeout: 240_000 };
const { Agent } = origin ? await installed((await project()).path) : {};

const wires = [["openai", "/v1"], ["openai-responses", "/v1"], ["anthropic", ""]];
const model = (provider, base, at = origin) => ({ provider, id: "local", baseUrl: at + base, temperature: 0, maxTokens: 150 });

async function all(run) {
  const events = [];
  for await (const event of run) events.push(event);
  assert.equal(events.at(-1).type, "done", JSON.stringify(events.at(-1)));
  return events;
}
const shown = (events) => events.filter((event) => event.type === "text_delta").map((event) => event.text).join("");

/** Passes everything on, but breaks the first answer off after so many bytes. */
async function cutting(after) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    requests.push(JSON.parse(Buffer.concat(parts)));
    const { host, "content-length": length, connection, ...headers } = request.headers;
    const answer = await fetch(origin + request.url, { method: "POST", headers, body: Buffer.concat(parts) });
    response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") });
    let left = requests.length === 1 ? after : Infinity;
    for await (const chunk of answer.body) {
      response.write(chunk.subarray(0, left));
      left -= chunk.length;
      if (left <= 0) return void setTimeout(() => response.destroy(), 50);
    }
    response.end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { requests, url: `http://127.0.0.1:${server.address().port}`, close: () => (server.closeAllConnections(), server.close()) };
}

for (const [provider, base] of wires) {
  test(`${provider}: what is counted before is what a real server counts`, options, async () => {
    const agent = new Agent({ model: model(provider, base), system: "Answer in one word." });
    const counted = await agent.countTokens("Which colour has the sky?");
    const { usage } = await agent.run("Which colour has the sky?").result;
    assert.deepEqual(counted, { inputTokens: usage.inputTokens, estimated: false });
  });
}

for (const [provider, base] of wires) {
  test(`${provider}: a real model calls a tool and words its result`, options, async () => {
    const add = {
      name: "add",
      description: "Adds two numbers.",
      inputSchema: { type: "object", properties: { a: { type: "number" }, b: { type: "number" } }, required: ["a", "b"] },
      annotations: { readOnlyHint: true },
      execute: ({ a, b }) => a + b,
    };
    const events = await all(new Agent({ model: model(provider, base), tools: [add] }).run("What is 17 plus 25? Use the tool."));
    assert.deepEqual(events.find((event) => event.type === "tool_call").input, { a: 17, b: 25 });
    assert.match(events.at(-1).text, /42/);
    assert.ok(events.at(-1).usage.outputTokens > 0);
  });

  test(`${provider}: an answer that is cut is gone on with, no number twice`, options, async (t) => {
    const proxy = await cutting(provider === "openai" ? 4000 : 2500);
    t.after(proxy.close);
    const prompt = "Write the whole numbers from 1 to 25 in order, separated by commas, and nothing else.";
    const events = await all(new Agent({ model: model(provider, base, proxy.url) }).run(prompt));
    assert.equal(events.filter((event) => event.type === "retry").length, 1, "it was cut");
    t.diagnostic(`shown: ${shown(events)}`);
    assert.deepEqual(shown(events).match(/\d+/g).map(Number), Array.from({ length: 25 }, (_, at) => at + 1));
    assert.equal(events.at(-1).text, shown(events));
  });
}

test("a real model answers by a schema", options, async () => {
  const output = { type: "object", properties: { city: { type: "string" }, country: { type: "string" } }, required: ["city", "country"] };
  const result = await new Agent({ model: model("openai", "/v1") }).run("What is the capital of Norway?", { output }).result;
  assert.match(result.output.city, /Oslo/);
  assert.match(result.output.country, /Norway/);
});

for (const [provider, base] of wires.slice(1)) {
  test(`${provider}: a real server without threads is told all of it, and remembers`, options, async () => {
    const agent = new Agent({ model: { ...model(provider, base), threads: true }, system: "Answer in one short sentence." });
    const chat = agent.conversation("c");
    await chat.send("My cat is called Mimi.").result;
    assert.match((await chat.send("What is the name of my cat?").result).text, /Mimi/);
    await agent.close();
  });
}

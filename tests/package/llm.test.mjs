// Whole runs over both model wires: a scripted model calls tools of a real MCP server.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as llm from "../servers/llm.mjs";
import * as modern from "../servers/modern.mjs";
import { browse, installed, project, serve } from "./lib.mjs";
import { laws } from "./scenario.mjs";

const { path } = await project({
  "llm.html": `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
    import { Agent, init } from "./node_modules/edgewise/browser.js";
    await init();
    const query = new URLSearchParams(location.search);
    const agent = new Agent({ model: { provider: query.get("provider"), id: "m", apiKey: "k", baseUrl: query.get("model") },
      servers: [{ name: "s", url: query.get("server") }], approval: "never" });
    const events = [];
    for await (const event of agent.run("go")) events.push(event);
    globalThis.outcome = events;
  </script>`,
});
const { Agent } = await installed(path);

const providers = [["anthropic", (url) => url], ["openai", (url) => `${url}/v1`]];

/** Two calls at once, then one that depends on them, then the answer. The model uses the names that it was given. */
const script = () => {
  const called = (request, tool) => request.tools.map((given) => given.name ?? given.function.name).find((name) => name.endsWith(tool));
  return [
    (request) => ({
      thinking: "Two at once.",
      text: "Let me see. ✓",
      chunkBytes: 7,
      toolCalls: [
        { name: called(request, "add"), input: { a: 17, b: 25 } },
        { name: called(request, "fail"), input: { reason: "rain" } },
        { name: "made_up", input: {} },
        { name: called(request, "echo"), input: '{"message": ' },
      ],
    }),
    { status: 529, headers: { "retry-after": "0" } },
    (request) => ({ toolCalls: [{ name: called(request, "write_note"), input: { note: "42" } }] }),
    { text: "It is 42.", usage: {} },
  ];
};

function assertRun(events, server, model) {
  assert.equal(laws(events).type, "done", JSON.stringify(events.at(-1)));
  assert.equal(events.at(-1).text, "It is 42.");
  assert.deepEqual(server.state.notes, ["42"]);
  const names = events.filter((event) => event.type === "tool_call").map((event) => event.name);
  assert.deepEqual(names, ["s.add", "s.fail", "made_up", "s.echo", "s.write_note"]);
  const first = events.filter((event) => event.type === "tool_call").map((event) => event.id);
  const outcome = (id) => events.find((event) => event.type === "tool_result" && event.id === id).outcome;
  assert.deepEqual(first.map(outcome), ["ok", "failed", "failed", "failed", "ok"]);
  assert.equal(events.filter((event) => event.type === "retry").length, 1);
  assert.equal(events.filter((event) => event.type === "turn_end").length, 3);
  assert.match(events.filter((event) => event.type === "thinking_delta").map((event) => event.text).join(""), /Two at once/);
  assert.equal(model.requests.length, 4);
  assert.equal(model.pending(), 0);
  // Results go back in the order of the calls, whatever order they came in.
  const last = events.at(-1).messages.find((message) => message.content.some((block) => block.type === "tool_result"));
  assert.deepEqual(last.content.map((block) => block.toolUseId), first.slice(0, 4));
}

for (const [provider, base] of providers) {
  test(`${provider}, in Node`, async (t) => {
    const server = await modern.start();
    const model = await llm.start({ turns: script() });
    t.after(() => Promise.all([server.close(), model.close()]));
    const agent = new Agent({
      model: { provider, id: "m", apiKey: "sk-secret", baseUrl: base(model.url) },
      servers: [{ name: "s", url: server.url }],
      system: "Be brief.",
      approval: "never",
    });
    const events = [];
    for await (const event of agent.run("go")) events.push(event);
    assertRun(events, server, model);
    const [{ headers, body }] = model.requests;
    assert.ok(headers["x-api-key"] === "sk-secret" || headers.authorization === "Bearer sk-secret");
    assert.ok(JSON.stringify(body).includes("Be brief."));
    assert.ok(!JSON.stringify(events).includes("sk-secret"));
  });

  test(`${provider}, in a page`, async (t) => {
    const server = await modern.start();
    const model = await llm.start({ turns: script() });
    t.after(() => Promise.all([server.close(), model.close()]));
    const site = await serve(path);
    const open = await browse();
    const query = new URLSearchParams({ provider, model: base(model.url), server: server.url });
    const { outcome } = await open(`${site.url}llm.html?${query}`, { expect: [/529/, /ERR_ABORTED/] });
    assertRun(await outcome(), server, model);
  });
}

test("a run goes on from the history of another, over another wire", async (t) => {
  const model = await llm.start({ turns: [{ text: "I am one." }, { text: "I am two." }] });
  t.after(model.close);
  const agentOn = ([provider, base]) => new Agent({ model: { provider, id: "m", baseUrl: base(model.url) } });
  const { messages } = await agentOn(providers[0]).run("who?").result;
  const result = await agentOn(providers[1]).run("and now?", { messages }).result;
  assert.equal(result.text, "I am two.");
  assert.ok(JSON.stringify(model.requests[1].body.messages).includes("I am one."));
});

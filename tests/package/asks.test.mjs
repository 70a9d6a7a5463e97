// What real servers of both eras ask of the installed package, and calls that they make tasks of.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as everything from "../servers/everything.mjs";
import * as modern from "../servers/modern.mjs";
import { installed, project, started } from "./lib.mjs";
import { laws } from "./scenario.mjs";

const { path } = await project();
const { Agent, EdgewiseError, McpClient } = await installed(path);
const model = { provider: "offline" };

/** Answers forms with these contents, one after the other, and agrees to open pages. */
function answers(contents, asked = []) {
  return (request, { signal }) => {
    assert.ok(signal instanceof AbortSignal);
    asked.push(request);
    return { action: "accept", ...(request.schema && { content: contents.shift() }) };
  };
}

test("modern: forms, roots and pages, round after round", async (t) => {
  const { url, state } = await started(t, modern, { asks: true });
  const asked = [];
  const roots = [{ uri: "file:///home/ada", name: "Ada" }];
  const client = new McpClient({ url, name: "trips", onInput: answers([{ days: 4 }], asked), roots: async () => roots });
  const result = await client.callTool("plan_trip", { place: "Bergen" });
  const told = { days: { action: "accept", content: { days: 4, hotel: true } }, roots: { roots } };
  assert.equal(result.content[0].text, `Bergen: ${JSON.stringify(told)}, paid: accept`);
  assert.deepEqual(asked.map(({ server, message, url }) => [server, message, url]), [
    ["trips", "How many days in Bergen?", undefined],
    ["trips", "Please pay.", "https://pay.test/?trip=1"],
  ]);
  assert.deepEqual(state.rounds.map(({ requestState }) => requestState), [undefined, undefined, JSON.stringify({ told, end: "ü\u2028 " })]);

  const wrong = new McpClient({ url, onInput: () => ({ action: "accept", content: { days: 31 } }) });
  await assert.rejects(wrong.callTool("plan_trip", { place: "Bergen" }), (error) => {
    assert.ok(error instanceof EdgewiseError);
    assert.equal(error.code, "misuse");
    assert.match(error.message, /onInput answered wrongly: `content.days`: must be at most 30/);
    return true;
  });
  const mute = new McpClient({ url });
  await assert.rejects(mute.callTool("plan_trip", { place: "Bergen" }), EdgewiseError);
  assert.throws(() => new McpClient({ url, roots: [{ uri: "https://a.test" }] }), (error) => error.path === "roots[0].uri");
});

test("a run puts what servers ask to its reader, and waits for nobody", async (t) => {
  const { url } = await started(t, modern, { asks: true });
  const servers = [{ name: "trips", url }];
  const prompt = 'plan trip to "Bergen"';
  const run = new Agent({ model, servers }).run(prompt);
  const events = [];
  for await (const event of run) {
    events.push(event);
    if (event.type !== "input_request") continue;
    assert.equal(event.server, "trips");
    assert.equal(event.callId, events.find(({ type }) => type === "tool_call").id);
    if (event.schema) {
      assert.throws(() => run.answer(event.id, { action: "accept", content: {} }), (error) => error.code === "config" && error.path === "value.content.days");
      run.answer(event.id, { action: "accept", content: { days: 2, hotel: null } });
      assert.throws(() => run.answer(event.id, { action: "decline" }), (error) => error.code === "misuse");
    } else {
      assert.equal(event.url, "https://pay.test/?trip=1");
      run.answer(event.id, { action: "decline" });
    }
  }
  assert.equal(laws(events).type, "done");
  const text = (events) => events.find(({ type }) => type === "tool_result").content[0].text;
  assert.equal(text(events), 'Bergen: {"days":{"action":"accept","content":{"days":2}}}, paid: decline');

  const unattended = [];
  for await (const event of new Agent({ model, servers }).run(prompt, { unattended: true })) unattended.push(event);
  assert.equal(laws(unattended).type, "done");
  assert.equal(text(unattended), 'Bergen: {"days":{"action":"cancel"}}, paid: cancel');
  assert.ok(!unattended.some(({ type }) => type === "input_request"));

  const agent = new Agent({ model, servers, onInput: answers([{ days: 7 }]) });
  assert.match((await agent.run(prompt).result).messages.map((message) => JSON.stringify(message)).join(), /paid: accept/);
  const called = await agent.callTool("trips.plan_trip", { place: "Oslo" }).catch((error) => error);
  assert.match(called.message, /content.days/, "the second form has no answer left");
});

test("legacy: a form with its defaults, a model's answer, pages", async (t) => {
  const { url } = await started(t, everything);
  const asked = [];
  const onSampling = (params) => {
    assert.equal(params.maxTokens, 5);
    return { content: { type: "text", text: `echo of ${params.messages.at(-1).content.text}` }, model: "test" };
  };
  const client = new McpClient({ url, onInput: answers([{ name: "Ada", check: true }], asked), onSampling });
  t.after(() => client.close());
  const form = await client.callTool("trigger-elicitation-request");
  const given = JSON.parse(/\{.*\}/s.exec(form.content.at(-1).text)[0]);
  assert.deepEqual([given.action, given.content.name, given.content.check], ["accept", "Ada", true]);
  for (const [name, field] of Object.entries(asked[0].schema.properties)) {
    if (field.default !== undefined) assert.deepEqual(given.content[name], field.default, name);
  }
  const sampled = await client.callTool("trigger-sampling-request", { prompt: "hello", maxTokens: 5 });
  assert.match(sampled.content[0].text, /echo of .*hello/);
  asked.length = 0;
  const page = { url: "https://a.test/x", message: "Open it." };
  assert.match((await client.callTool("trigger-url-elicitation", page)).content[0].text, /completed/);
  assert.match((await client.callTool("trigger-url-elicitation", { ...page, errorPath: true })).content[0].text, /completed/);
  assert.deepEqual(asked.map(({ url }) => url), ["https://a.test/x", "https://modelcontextprotocol.io", "https://a.test/x"]);
  const nobody = new McpClient({ url });
  t.after(() => nobody.close());
  const names = (await nobody.listTools()).tools.map(({ name }) => name);
  assert.ok(!names.some((name) => /elicitation|sampling/.test(name)), "nothing is declared that nobody answers");
});

test("legacy: a server asks and logs while no request is open", { timeout: 30_000 }, async (t) => {
  const { url } = await started(t, everything);
  const asked = new Promise((resolve) => {
    const roots = ({ server }) => {
      resolve(server);
      return [{ uri: "file:///work", name: "work" }];
    };
    const client = new McpClient({ url, name: "every", roots });
    t.after(() => client.close());
    client.connect();
  });
  assert.equal(await asked, "every", "it asks as soon as it is connected");
  const entries = [];
  let two;
  const logged = new Promise((resolve) => (two = resolve));
  const onLog = (entry) => entries.push(entry) === 2 && two();
  const listener = new McpClient({ url, name: "every", onLog, logLevel: "debug" });
  t.after(() => listener.close());
  await listener.callTool("toggle-simulated-logging");
  await logged;
  assert.ok(entries.every(({ server, level, data }) => server === "every" && level && /message/.test(data)), JSON.stringify(entries));
});

test("legacy: a call as a task, with a question, its progress, resumed and cancelled", async (t) => {
  const { url } = await started(t, everything);
  const client = new McpClient({ url, onInput: answers([{ interpretation: "snake" }]) });
  t.after(() => client.close());
  await client.listTools();
  const ids = [];
  const messages = [];
  let again;
  const onTask = (id) => {
    ids.push(id);
    again = client.resumeTask(id);
  };
  const arguments_ = { topic: "python", ambiguous: true };
  const result = await client.callTool("simulate-research-query", arguments_, { onTask, onProgress: ({ message }) => messages.push(message) });
  assert.match(result.content[0].text, /python \(snake\)/);
  assert.ok(messages.some((message) => /Gathering|Analyzing/.test(message)), String(messages));
  assert.equal(ids.length, 1);
  assert.deepEqual((await again).content, result.content);
  assert.equal((await client.getTask(ids[0])).status, "completed");
  assert.deepEqual(await client.tasks(), []);

  const controller = new AbortController();
  let second;
  const aborted = client.callTool("simulate-research-query", { topic: "rust" }, {
    signal: controller.signal,
    async onTask(id) {
      second = id;
      assert.deepEqual((await client.tasks()).map(({ taskId, tool }) => [taskId, tool]), [[id, "simulate-research-query"]]);
      controller.abort();
    },
  });
  await assert.rejects(aborted, (error) => error.code === "cancelled");
  assert.equal((await client.getTask(second)).status, "cancelled");
  assert.deepEqual(await client.tasks(), []);
});

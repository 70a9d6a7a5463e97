// Conversations in Durable Objects, and approvals that outlive the isolate, through the worker under real workerd.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import * as modern from "../servers/modern.mjs";
import { allEvents, errorOf, runInit, startWorker, TOKEN } from "./harness.mjs";

const authorization = { headers: { authorization: `Bearer ${TOKEN}` } };

describe("a worker that keeps conversations", () => {
  let now, worker;
  const start = () => startWorker({
    AUTH_TOKEN: TOKEN,
    SNAPSHOT_SECRET: "a secret for tests",
    MCP_SERVERS: JSON.stringify([{ name: "modern", url: now.url }]),
  });
  const post = async (path, body) => worker.fetch(path, runInit(body));
  before(async () => {
    now = await modern.start();
    worker = await start();
  });
  after(() => Promise.all([worker?.close(), now?.close()]));

  test("its history is that of its id, and two at once come one after the other", async () => {
    const say = async (id, prompt) => (await allEvents(await post(`/v1/conversations/${id}`, { prompt }))).at(-1);
    const [one, two] = await Promise.all([say("a", "What is 17 + 25?"), say("a", "What is 1 + 2?"), say("b%20c", "hello")]);
    assert.deepEqual([one.type, two.type], ["done", "done"]);
    const messages = async (id) => (await (await worker.fetch(`/v1/conversations/${id}`, authorization)).json()).messages;
    const prompts = (all) => all.filter(({ role, content }) => role === "user" && content[0].type === "text").map(({ content }) => content[0].text);
    const all = await messages("a");
    assert.deepEqual(prompts(all).sort(), ["What is 1 + 2?", "What is 17 + 25?"]);
    const first = all[0].content[0].text === "What is 17 + 25?";
    assert.deepEqual(all, (first ? [one, two] : [two, one]).flatMap((end) => end.messages));
    assert.deepEqual(prompts(await messages("b%20c")), ["hello"]);
    const cleared = await worker.fetch("/v1/conversations/a", { ...authorization, method: "DELETE" });
    assert.deepEqual(await cleared.json(), { messages: [] });
    assert.deepEqual(await messages("a"), []);
  });

  test("a run is put away for an approval, and another isolate goes on with it", async () => {
    const prompt = 'write note "buy milk"';
    const { type, snapshot, waitingFor } = (await allEvents(await post("/v1/run", { prompt, suspend: true }))).at(-1);
    assert.equal(type, "suspended");
    assert.deepEqual(now.state.notes, []);
    await worker.close();
    worker = await start();
    const decisions = { [waitingFor[0].id]: true };
    const events = await allEvents(await post("/v1/resume", { snapshot, decisions }));
    assert.deepEqual([events[0].resumed, events.at(-1).type], [true, "done"], JSON.stringify(events.at(-1)));
    assert.equal(now.state.notes.length, 1);
    const forged = await allEvents(await post("/v1/resume", { snapshot: snapshot.replace("buy milk", "buy gold"), decisions }));
    assert.equal(forged.at(-1).error.code, "protocol");
    assert.equal(now.state.notes.length, 1);
    const denied = await allEvents(await post("/v1/resume", { snapshot, decisions: { [waitingFor[0].id]: "not now" } }));
    assert.equal(denied.find((event) => event.type === "tool_result").outcome, "denied");
  });

  test("a run moves from an app to the edge and back", async () => {
    const { Agent } = await import("../../pkg/node.js");
    const here = new Agent({
      model: { provider: "offline" },
      servers: [{ name: "modern", url: now.url }],
      snapshotSecret: "a secret for tests",
    });
    try {
      const begun = now.state.notes.length;
      const run = here.run('write note "from here" and write note "from there"');
      run.onSuspend(() => {});
      const { snapshot, waitingFor } = await run.result;
      assert.equal(waitingFor.length, 2);
      const [first, second] = waitingFor.map(({ id }) => id);
      const there = (await allEvents(await post("/v1/resume", { snapshot, decisions: { [first]: true } }))).at(-1);
      assert.deepEqual([there.type, there.waitingFor.map(({ id }) => id)], ["suspended", [second]]);
      assert.equal(now.state.notes.length, begun + 1);
      const { text } = await here.resume(there.snapshot, { decisions: { [second]: true } }).result;
      assert.ok(text.length > 0);
      assert.deepEqual(now.state.notes.slice(begun), ["from here", "from there"]);
    } finally {
      await here.close();
    }
  });

  test("tokens are counted before anybody is asked, with the history of a conversation", async () => {
    const count = async (path, body) => (await post(path, body)).json();
    const { inputTokens, estimated } = await count("/v1/count", { prompt: "word ".repeat(400) });
    assert.ok(estimated && inputTokens > 450 && inputTokens < 650, `${inputTokens}`);
    const before = await count("/v1/conversations/counted/count", { prompt: "hello" });
    await allEvents(await post("/v1/conversations/counted", { prompt: "What is 17 + 25?" }));
    const after = await count("/v1/conversations/counted/count", { prompt: "hello" });
    assert.ok(after.inputTokens > before.inputTokens, JSON.stringify([before, after]));
    const kept = await (await worker.fetch("/v1/conversations/counted", authorization)).json();
    assert.ok(!JSON.stringify(kept).includes("hello"));
    assert.equal((await errorOf(await post("/v1/count", { prompt: "x", maxTurns: 2 }))).path, "maxTurns");
  });

  test("the same within a conversation", async () => {
    const prompt = 'write note "buy bread"';
    const { snapshot, waitingFor } = (await allEvents(await post("/v1/conversations/d", { prompt, suspend: true }))).at(-1);
    const resumed = await post("/v1/conversations/d/resume", { snapshot, decisions: { [waitingFor[0].id]: true } });
    assert.equal((await allEvents(resumed)).at(-1).type, "done");
    const { messages } = await (await worker.fetch("/v1/conversations/d", authorization)).json();
    assert.equal(messages.length, 4, JSON.stringify(messages));
  });

  test("a conversation remembers what was allowed for good, and no other one does", async () => {
    const path = "/v1/conversations/remembers";
    const say = async (path) => (await allEvents(await post(path, { prompt: 'write note "buy tea"', suspend: true }))).at(-1);
    const { snapshot, waitingFor } = await say(path);
    const decisions = { [waitingFor[0].id]: { approve: true, remember: "always" } };
    assert.equal((await allEvents(await post(`${path}/resume`, { snapshot, decisions }))).at(-1).type, "done");
    assert.equal((await say(path)).type, "done");
    assert.equal((await say("/v1/conversations/another")).type, "suspended");
    await worker.fetch(path, { ...authorization, method: "DELETE" });
    assert.equal((await say(path)).type, "suspended", "it is forgotten with the conversation");
  });

  test("what is wrong is named", async () => {
    for (const [path, body, status, code, at] of [
      ["/v1/conversations/e", { prompt: "x", messages: [] }, 400, "config", "messages"],
      ["/v1/conversations/e/resume", { snapshot: 7 }, 400, "config", "snapshot"],
      ["/v1/resume", {}, 400, "config", "snapshot"],
      ["/v1/resume", { snapshot: "x", decisions: { a: 7 } }, 400, "config", "decisions.a"],
      ["/v1/resume", { snapshot: "x", decisions: { a: { approve: true, remember: "always" } } }, 400, "config", "decisions.a.remember"],
      ["/v1/run", { prompt: "x", suspend: "yes" }, 400, "config", "suspend"],
      ["/v1/conversations/", { prompt: "x" }, 404, "misuse", undefined],
    ]) {
      const error = await errorOf(await post(path, body));
      assert.deepEqual([error.status, error.code, error.path], [status, code, at], path);
    }
    const open = await worker.fetch("/v1/conversations/a", { headers: {} });
    assert.equal(open.status, 401);
  });
});

test("without a secret nothing is put away", async () => {
  const worker = await startWorker({ AUTH_TOKEN: TOKEN });
  try {
    const error = await errorOf(await worker.run({ prompt: "x", suspend: true }));
    assert.deepEqual([error.status, error.path], [500, "SNAPSHOT_SECRET"]);
  } finally {
    await worker.close();
  }
});

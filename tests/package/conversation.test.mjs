// Conversations through the installed package: kept in the app's store, one run after the other.

import assert from "node:assert/strict";
import { test } from "node:test";

import { installed, project, rejected, Shelf } from "./lib.mjs";

const { path } = await project();
const { Agent } = await installed(path);

function agentOn(t, store, asked) {
  const model = {
    async *generate({ messages }) {
      asked.push(messages.map(({ content }) => content.map(({ text }) => text).join("")));
      yield `answer ${asked.length}`;
    },
  };
  const agent = new Agent({ model, cache: { store } });
  t.after(() => agent.close());
  return agent;
}

test("the same id later has the same history, and a run tells only of itself", async (t) => {
  const [store, asked] = [new Shelf(), []];
  const first = agentOn(t, store, asked).conversation("c1");
  assert.equal((await first.send("one").result).text, "answer 1");
  const second = agentOn(t, store, asked);
  const { messages } = await second.conversation("c1").send("two").result;
  assert.deepEqual(asked[1], ["one", "answer 1", "two"]);
  assert.deepEqual(messages.map(({ content }) => content[0].text), ["two", "answer 2"]);
  const all = await first.messages();
  assert.deepEqual(all.map(({ role, content }) => [role, content[0].text]), [
    ["user", "one"], ["assistant", "answer 1"], ["user", "two"], ["assistant", "answer 2"],
  ]);
  await second.conversation("c1").clear();
  assert.deepEqual(await first.messages(), []);
  assert.ok(![...store.records.keys()].some((key) => key.includes("/conversations/c1/")));
});

test("two at once come one after the other, also of a run whose events nobody reads", async (t) => {
  const asked = [];
  const agent = agentOn(t, new Shelf(), asked);
  const runs = ["one", "two", "three"].map((prompt) => agent.conversation("c").send(prompt));
  await Promise.all(runs.map((run) => run.result));
  assert.deepEqual(asked[2], ["one", "answer 1", "two", "answer 2", "three"]);
  assert.equal((await agent.conversation("c").messages()).length, 6);
});

test("what is no conversation or no option of one is refused by name", async (t) => {
  const agent = agentOn(t, new Shelf(), []);
  assert.throws(() => agent.conversation(""), { code: "config" });
  assert.throws(() => agent.conversation(7), { code: "config" });
  const chat = agent.conversation("c");
  assert.throws(() => chat.send("hi", { messages: [] }), { code: "config", path: "messages" });
  assert.throws(() => chat.send("hi", { maxTurn: 1 }), { code: "config" });
  assert.equal((await rejected(agent.conversation("x".repeat(300)).messages())).path, "id");
});

// Sources that stay fresh, through the installed package and real servers: followed, compared, told, shown to the model.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";

import * as counting from "../servers/counting.mjs";
import * as everything from "../servers/everything.mjs";
import * as modern from "../servers/modern.mjs";
import { installed, project, rejected, started } from "./lib.mjs";

const { path } = await project();
const { Agent } = await installed(path);
const uri = "docs://library/beta.md";

/** An agent whose model says `ok`, and what it was asked. */
function agentOf(t, server, more) {
  const asked = [];
  const model = {
    async *generate({ messages }) {
      asked.push(messages.map(({ content }) => content.map(({ text }) => text).join("\n")));
      yield "ok";
    },
  };
  const servers = [{ name: "library", url: server.url }];
  const agent = new Agent({ model, servers, cache: { store: "memory" }, context: { embed: false }, ...more });
  t.after(() => agent.close());
  return { agent, asked };
}

async function collect(run) {
  const events = [];
  for await (const event of run) events.push(event);
  return events;
}

test("what a conversation was shown is followed between runs, and the model is shown the difference once", async (t) => {
  const server = await started(t, modern, { changes: true });
  const { agent, asked } = agentOf(t, server);
  const chat = agent.conversation("c1");
  const first = await collect(chat.send("What does the document beta say?"));
  assert.deepEqual(first.find(({ type }) => type === "context").sources.map((source) => source.uri), [uri]);
  assert.deepEqual(await chat.subscriptions(), [{ server: "library", uri, asked: false }]);

  const told = [];
  const stop = new AbortController();
  const reading = (async () => {
    for await (const change of chat.changes({ signal: stop.signal })) {
      told.push(change);
      break;
    }
  })();
  const late = AbortSignal.timeout(20_000);
  // Nobody says when the watch has begun; until then the change is found by comparing.
  await sleep(300);
  server.state.texts.beta = "# beta\n\nGrüße aus gamma.";
  server.notify.resourceUpdated(uri);
  await Promise.race([reading, new Promise((resolve) => late.addEventListener("abort", resolve))]);
  stop.abort();
  assert.deepEqual(told.map(({ readAt, ...change }) => [typeof readAt, change]), [["number", {
    type: "context_changed", server: "library", uri, added: 1, removed: 1, cited: true, same: false,
    difference: "@ # beta\n- Grüße aus beta.\n+ Grüße aus gamma.\n",
  }]]);

  const second = await collect(chat.send("Thank you!"));
  assert.equal(second.filter(({ type }) => type === "context_changed").length, 1);
  assert.match(asked[1].at(-1), /\+ Grüße aus gamma\.[^]*\nThank you!$/);
  assert.equal(asked[1][0], asked[0][0], "what was sent stays as it was");
  const third = await collect(chat.send("Thank you again!"));
  assert.equal(third.filter(({ type }) => type === "context_changed").length, 0);
  assert.equal(asked[2].at(-1), "Thank you again!");
  await chat.clear();
  assert.deepEqual(await chat.subscriptions(), []);
});

test("a resource of an older server is subscribed to and given up", async (t) => {
  const server = await started(t, everything);
  const { agent } = agentOf(t, server);
  const chat = agent.conversation("c2");
  const resources = await agent.listResources();
  const texts = resources.find(({ mimeType }) => mimeType?.startsWith("text/"));
  await chat.subscribe("library", texts.uri);
  assert.deepEqual(await chat.subscriptions(), [{ server: "library", uri: texts.uri, asked: true }]);
  assert.equal(await chat.unsubscribe("library", texts.uri), true);
  assert.equal(await chat.unsubscribe("library", texts.uri), false);
});

test("what an older server tells of is read, compared and told, also after its stream broke off", async (t) => {
  const { url: target } = await started(t, everything);
  const server = await started(t, counting, { target });
  const { agent } = agentOf(t, server);
  const chat = agent.conversation("c5");
  // Its text says when it was read.
  const source = "demo://resource/dynamic/text/1";
  await chat.subscribe("library", source);
  const stop = AbortSignal.timeout(60_000);
  const changes = chat.changes({ signal: stop })[Symbol.asyncIterator]();
  const next = async () => {
    const { value } = await changes.next();
    assert.deepEqual([value?.type, value?.uri, value?.same], ["context_changed", source, false]);
    return value.difference;
  };
  await agent.callTool("library.toggle-subscriber-updates");
  const first = await next();
  assert.match(first, /\n\+ .*created at/);
  assert.equal(server.count("resources/subscribe"), 1);
  server.drop();
  const [second, third] = [await next(), await next()];
  assert.equal(new Set([first, second, third]).size, 3);
  assert.equal(server.sessions.length, 1);
  await changes.return();
  await agent.close();
});

test("what cannot be followed says why", async (t) => {
  const server = await started(t, modern);
  const { agent, asked } = agentOf(t, server);
  const chat = agent.conversation("c3");
  const mute = await rejected(chat.subscribe("library", uri));
  assert.equal(mute.code, "misuse");
  assert.match(mute.message, /does not tell of changes/);
  assert.equal((await rejected(chat.subscribe("nowhere", uri))).code, "misuse");
  assert.throws(() => agent.conversation("c3").unsubscribe(7, uri), { code: "config" });
  // A server that does not tell is used all the same.
  await chat.send("What does the document beta say?").result;
  assert.match(asked[0][0], /Grüße aus beta/);
  assert.deepEqual(await chat.subscriptions(), []);
  const { agent: still } = agentOf(t, await started(t, modern, { changes: true }), { context: { embed: false, live: false } });
  await still.conversation("c4").send("What does the document beta say?").result;
  assert.deepEqual(await still.conversation("c4").subscriptions(), []);
});

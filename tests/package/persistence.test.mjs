// All that a page keeps, written by real runs in Chromium over IndexedDB: taken along as one file, gone on with by a browser that
// knows nothing, and removed.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";

import * as counting from "../servers/counting.mjs";
import * as everything from "../servers/everything.mjs";
import * as llm from "../servers/llm.mjs";
import * as modern from "../servers/modern.mjs";
import { start as serveFiles } from "../servers/static.mjs";
import { installed, launch, project, started, visit } from "./lib.mjs";

const { path } = await project();
const { Agent } = await installed(path);
const site = await serveFiles({ mounts: { "/edgewise/": join(path, "node_modules/edgewise") }, files: { "/": ["text/html", "<!doctype html><title>persistence</title>"] } });
after(() => site.close());
const browser = await launch();

/** A browser that nobody has used before; gives pages of it, each with an agent `world.agent`. */
async function visitor(t, options) {
  const context = await visit(t, browser);
  return async () => {
    const page = await context.newPage();
    await page.goto(site.url);
    await page.evaluate(async (options) => {
      const { init, Agent } = await import("/edgewise/browser.js");
      await init();
      const agent = new Agent({ ...options, journal: true, approval: "writes" });
      globalThis.world = {
        agent,
        chat: (id) => agent.conversation(id),
        /** The events of a run up to the first of that type. */
        async events(run, last, asked = () => {}) {
          const events = [];
          // Not to its end by `for await`, which would cancel it.
          const iterator = run[Symbol.asyncIterator]();
          for (;;) {
            const { done, value } = await iterator.next();
            if (done) return events;
            events.push(value);
            asked(value);
            if (value.type === last) return events;
          }
        },
        said: async (id) => (await agent.conversation(id).messages()).filter(({ role }) => role === "user").flatMap(({ content }) => content.flatMap(({ type, text }) => (type === "text" && !text.startsWith("<context>") ? [text] : []))),
        /** The code that it rejects with, or what it gives. */
        told: (promise) => promise.catch(({ code }) => code),
      };
    }, options);
    return page;
  };
}

/** A turn that calls that tool of the server, by whatever name the model was told. */
const call = (tool, input, text) => (request) => ({ text, toolCalls: [{ id: tool, name: request.tools.find(({ name }) => name.endsWith(tool)).name, input }] });

test("what real runs have kept goes along as one file, is gone on with elsewhere, and goes when it is removed", async (t) => {
  const notes = await started(t, modern);
  const long = Array.from({ length: 6000 }, (_, at) => `${at}. The ferry leaves at ${at % 24} o'clock.`).join("\n");
  notes.state.notes.push(long);
  // What a text is about: the letters that it has most of.
  const embed = (text) => [..."abcdefghijklmnop"].map((letter) => text.split(letter).length);
  const model = await started(t, llm, { embed, turns: [call("list_notes", {}), { text: "Many ferries." }, { text: "Hello." }, call("write_note", { note: "Call Ada" }, "I will store that.")] });
  const options = {
    model: { provider: "anthropic", id: "m", apiKey: "never stored", baseUrl: model.url },
    servers: [{ name: "notes", url: notes.url }],
    context: { embed: { baseUrl: `${model.url}/v1`, id: "letters", apiKey: "never stored" } },
  };

  const here = await visitor(t, options);
  const first = await here();
  const handle = await first.evaluate(async () => {
    const events = await world.events(world.chat("trip").send("What does the document beta say of ferries?"));
    await world.events(world.chat("other").send("Hello"));
    return events.find(({ type }) => type === "tool_result").handle;
  });
  assert.match(handle, /^result:[0-9a-f]{20}$/);
  // The page goes while the user is asked.
  await first.evaluate(() => world.events(world.chat("trip").send("Note that I call Ada"), "approval_request"));
  await first.close();
  assert.equal(notes.state.notes.length, 1);

  const second = await here();
  const [sizes, file, open] = await second.evaluate(async () => [await world.agent.storage.sizes(), await (await world.agent.storage.export()).text(), await world.agent.openRuns()]);
  assert.equal(sizes.store, "indexeddb");
  for (const space of ["conversations", "journal", "handles", "servers", "embeddings", "cache"]) {
    const { entries, bytes } = sizes.spaces[space];
    assert.ok(entries > 0 && bytes > 0, `${space}: ${JSON.stringify(sizes.spaces)}`);
  }
  assert.ok(sizes.spaces.handles.bytes > long.length && sizes.entries > 10);
  assert.deepEqual([sizes.conversations.map(({ id }) => id), open.length], [["other", "trip"], 1]);
  assert.equal(sizes.bytes, Object.values(sizes.spaces).reduce((sum, { bytes }) => sum + bytes, 0));
  const records = file.trim().split("\n").slice(1, -1).map((line) => JSON.parse(line));
  const era = records.find(({ space, key }) => space === "servers" && key === `${notes.url.replaceAll("/", "%2F")}/era`);
  assert.equal(era?.text, "modern");
  assert.ok(!file.includes("never stored"));
  await second.context().close();

  // Another browser.
  const there = await visitor(t, options);
  const page = await there();
  const bring = (page) => page.evaluate((file) => world.agent.storage.import(file), file);
  assert.equal((await page.evaluate(() => world.agent.storage.sizes())).entries, 0);
  assert.deepEqual(await bring(page), { records: sizes.entries });
  assert.deepEqual((await page.evaluate(() => world.agent.storage.sizes())).spaces, sizes.spaces);
  const asked = { embedded: model.embedded.length, model: model.requests.length };
  assert.ok(asked.embedded > 0);
  const result = await page.evaluate((handle) => world.agent.readResult(handle), handle);
  assert.equal(result.content[0].text, `1. ${long}`);
  const context = await page.evaluate(() => world.agent.buildContext("What does the document beta say of ferries?"));
  assert.equal(context.meaning, true);
  assert.equal(model.embedded.length, asked.embedded, "what texts are about was brought along");

  // The run goes on where it stood: the model is only told how the call went.
  model.push({ text: "Stored." });
  const events = await page.evaluate(async (id) => {
    const run = world.agent.resume(id);
    return world.events(run, undefined, (event) => event.type === "approval_request" && run.approve(event.id));
  }, open[0].runId);
  assert.deepEqual([events[0].resumed, events.at(-1).type], [true, "done"]);
  assert.deepEqual([notes.state.notes.slice(1), model.requests.length], [["Call Ada"], asked.model + 1]);
  assert.deepEqual(await page.evaluate(() => world.agent.openRuns()), []);
  const before = ["What does the document beta say of ferries?", "Note that I call Ada"];
  assert.deepEqual(await page.evaluate(() => world.said("trip")), before);
  model.push({ text: "Both." });
  assert.equal((await page.evaluate(() => world.events(world.chat("trip").send("What have I asked?")))).at(-1).type, "done");
  const told = JSON.stringify(model.requests.at(-1).body.messages);
  assert.ok(before.every((prompt) => told.includes(prompt)) && told.includes("Many ferries."));

  // One conversation, with what is its own.
  await page.evaluate(() => world.agent.storage.remove({ conversation: "trip" }));
  const left = await page.evaluate(() => world.agent.storage.sizes());
  assert.deepEqual([left.conversations.map(({ id }) => id), left.spaces.handles.entries, left.spaces.journal.entries], [["other"], 0, 0]);
  assert.deepEqual(await page.evaluate((handle) => Promise.all([world.said("trip"), world.said("other"), world.told(world.agent.readResult(handle))]), handle), [[], ["Hello"], "misuse"]);
  model.push({ text: "Nothing." });
  await page.evaluate(() => world.events(world.chat("trip").send("What have I asked before?")));
  assert.ok(!JSON.stringify(model.requests.at(-1).body).includes("ferries"), "it begins anew");

  // Everything, for other pages too; and it can be brought back.
  await page.evaluate(() => world.agent.storage.remove());
  const last = await there();
  for (const one of [page, last]) {
    const gone = await one.evaluate(async () => [(await world.agent.storage.sizes()).entries, await world.said("trip"), await world.said("other"), await world.agent.openRuns()]);
    assert.deepEqual(gone, [0, [], [], []]);
  }
  const databases = await last.evaluate(async () => {
    const { IndexedDbStore } = await import("/edgewise/store.js");
    const all = await new IndexedDbStore().list("");
    return all.filter((key) => typeof key === "string" && /^[vmu]\//.test(key));
  });
  assert.deepEqual(databases, [], "nothing lies about in the database");
  assert.deepEqual(await bring(last), { records: sizes.entries });
  assert.deepEqual(await page.evaluate(() => world.said("trip")), [before[0]], "a prompt without an answer is in the log of its run");
});

test("whoever brings a file along does not ask a server again of which era it is", async (t) => {
  const older = await started(t, everything);
  const server = await started(t, counting, { target: older.url });
  const agent = () => {
    const agent = new Agent({ model: { provider: "offline" }, servers: [{ name: "everything", url: server.url }], cache: { store: "memory" } });
    t.after(() => agent.close());
    return agent;
  };
  const asked = () => [server.count("server/discover"), server.count("initialize")];
  const first = agent();
  await first.connect();
  assert.deepEqual(asked(), [1, 1]);
  const file = await (await first.storage.export({ spaces: ["servers"] })).text();
  const era = file.split("\n").filter((line) => line.includes("/era\"")).map((line) => JSON.parse(line));
  assert.deepEqual(era, [{ space: "servers", key: `${server.url.replaceAll("/", "%2F")}/era`, text: "legacy" }]);
  const second = agent();
  await second.storage.import(file);
  await second.connect();
  assert.deepEqual(asked(), [1, 2], "it knows");
  assert.deepEqual(second.servers().map(({ state, era }) => [state, era]), [["ready", "legacy"]]);
  await agent().connect();
  assert.deepEqual(asked(), [2, 3], "one that knows nothing asks");
});

test("of one conversation the file holds what is its own", async (t) => {
  const notes = await started(t, modern);
  notes.state.notes.push("long ".repeat(40_000));
  const model = await started(t, llm, { turns: [call("list_notes", {}), { text: "Long." }, { text: "Hello." }] });
  const options = { model: { provider: "anthropic", id: "m", apiKey: "k", baseUrl: model.url }, servers: [{ name: "notes", url: notes.url }] };
  const page = await (await visitor(t, options))();
  const [handle, file] = await page.evaluate(async () => {
    const events = await world.events(world.chat("a").send("List the notes"));
    await world.events(world.chat("b").send("Hello"));
    return [events.find(({ type }) => type === "tool_result").handle, await (await world.agent.storage.export({ conversation: "a" })).text()];
  });
  const other = await (await visitor(t, options))();
  const told = await other.evaluate(
    async ([file, handle]) => {
      await world.agent.storage.import(file);
      const { conversations, spaces } = await world.agent.storage.sizes();
      return [conversations.map(({ id }) => id), Object.keys(spaces).filter((space) => spaces[space].entries > 0), await world.said("a"), (await world.agent.readResult(handle)).content[0].text.length];
    },
    [file, handle],
  );
  assert.deepEqual(told, [["a"], ["handles", "conversations"], ["List the notes"], 200_003]);
});

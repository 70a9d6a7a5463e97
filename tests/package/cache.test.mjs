// What is kept of the results of a server's tools, through the installed package and real servers.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as modern from "../servers/modern.mjs";
import { installed, project, started } from "./lib.mjs";

const { path } = await project();
const { Agent } = await installed(path);

/** An agent of two servers, whose notes are cached by the app's word: they do not say that they reach no further than themselves. */
async function notes(t, write) {
  const [own, other] = [await started(t, modern), await started(t, modern)];
  const cached = Object.fromEntries(["own.list_notes", "own.echo", "other.list_notes"].map((name) => [name, true]));
  const servers = [{ name: "own", url: own.url }, { name: "other", url: other.url }];
  const cache = { store: "memory", tools: { ...cached, ...write } };
  const agent = new Agent({ model: { provider: "offline" }, servers, cache, approval: "never" });
  t.after(() => agent.close());
  await agent.connect();
  const read = async (tool, args = {}) => {
    const { content, cached } = await agent.callTool(tool, args);
    return [content[0].text, cached ? "cached" : "asked"];
  };
  return { agent, own, other, read, write: (note) => agent.callTool("own.write_note", { note }) };
}

/** Asks for everything twice, so that it is kept. */
async function fill(read) {
  for (const how of ["asked", "cached"]) {
    assert.deepEqual(await read("own.list_notes"), ["no notes", how]);
    assert.deepEqual(await read("own.echo", { message: "hi" }), ["hi", how]);
    assert.deepEqual(await read("other.list_notes"), ["no notes", how]);
  }
}

test("a tool that writes makes worthless what the tools of its server gave, and of no other server", async (t) => {
  const { own, read, write } = await notes(t);
  await fill(read);
  await write("rain");
  assert.deepEqual(await read("own.list_notes"), ["1. rain", "asked"]);
  assert.deepEqual(await read("own.list_notes"), ["1. rain", "cached"]);
  assert.deepEqual(await read("own.echo", { message: "hi" }), ["hi", "asked"]);
  assert.deepEqual(await read("other.list_notes"), ["no notes", "cached"]);
  await write("rain");
  assert.deepEqual(own.state.notes, ["rain", "rain"], "an equal write is a write");
});

test("unless the app says otherwise: then it is as old as before, and the write is a write all the same", async (t) => {
  const { own, read, write, agent } = await notes(t, { "own.write_note": { invalidates: false } });
  await fill(read);
  for (const count of [1, 2]) {
    const { content, cached } = await write("rain");
    assert.deepEqual([content[0].text, cached], [`stored note ${count}`, undefined]);
  }
  assert.deepEqual(own.state.notes, ["rain", "rain"]);
  assert.deepEqual(await read("own.list_notes"), ["no notes", "cached"]);
  assert.deepEqual(await read("own.echo", { message: "hi" }), ["hi", "cached"]);
  const { content, cached } = await agent.callTool("own.list_notes", {}, { cache: "reload" });
  assert.deepEqual([content[0].text, cached], ["1. rain\n2. rain", undefined]);
});

test("a write of a run counts as well", async (t) => {
  const { agent, own, read } = await notes(t);
  await fill(read);
  const events = [];
  for await (const event of agent.run('Use own.write_note with the note "rain".')) events.push(event);
  assert.deepEqual(events.filter(({ type }) => type === "tool_call").map(({ name }) => name), ["own.write_note"]);
  assert.equal(own.state.notes.length, 1);
  assert.deepEqual(await read("own.list_notes"), [`1. ${own.state.notes[0]}`, "asked"]);
});

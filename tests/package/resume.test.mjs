// Runs that are put away and taken up again, through the installed package: in another agent, and from a page to a Worker and back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";

import { installed, project, Shelf } from "./lib.mjs";

const { path } = await project();
const { Agent } = await installed(path);

const options = (notes, more) => ({
  model: { provider: "offline" },
  tools: ["shout", "whisper"].map((name) => ({
    name,
    description: `${name[0].toUpperCase()}${name.slice(1)} a text`,
    inputSchema: { type: "object", properties: { text: { type: "string" } }, required: ["text"] },
    annotations: { readOnlyHint: name === "whisper" },
    execute: ({ text }) => (notes.push(`${name} ${text}`), { done: text }),
  })),
  ...more,
});
const PROMPT = 'shout "one" and whisper "two"';

async function all(run, decide) {
  const events = [];
  for await (const event of run) {
    events.push(event);
    if (event.type === "approval_request") decide?.(event);
  }
  return events;
}

test("a run is put away for an approval, and goes on with the user's decision", async (t) => {
  const notes = [];
  const make = () => {
    const agent = new Agent(options(notes, { snapshotSecret: "a secret of the app" }));
    t.after(() => agent.close());
    return agent;
  };
  const run = make().run(PROMPT);
  let told;
  run.onSuspend((suspended) => (told = suspended));
  const events = await all(run);
  const { type, snapshot, waitingFor, runId } = events.at(-1);
  assert.equal(type, "suspended");
  assert.deepEqual(told, { runId, snapshot, waitingFor });
  assert.deepEqual((await run.result).waitingFor, waitingFor);
  assert.deepEqual([notes, waitingFor.map(({ name, input }) => [name, input])], [["whisper two"], [["shout", { text: "one" }]]]);
  const [{ id }] = waitingFor;
  const resumed = make().resume(snapshot, { decisions: { [id]: true } });
  const again = await all(resumed);
  assert.deepEqual([again[0].type, again[0].runId, again[0].resumed, again.at(-1).type], ["run_start", runId, true, "done"]);
  assert.deepEqual(notes, ["whisper two", "shout one"]);
  assert.match(resumed.log, /^\{"edgewise":1/);
  const forged = await all(make().resume(snapshot.replace('"one"', '"ONE"').replace("one", "ONE"), { decisions: { [id]: true } }));
  assert.equal(forged.at(-1).error.code, "protocol");
  assert.throws(() => make().resume(snapshot, { decisions: { [id]: 7 } }), { code: "config", path: `decisions.${id}` });
  const late = make().run("hello");
  await late.result;
  assert.throws(() => late.onSuspend(() => {}), { code: "misuse" });
  assert.equal(late.log, undefined);
});

test("a run whose process is gone is found in the store and goes on", async (t) => {
  const store = new Shelf();
  const notes = [];
  const make = () => {
    const agent = new Agent(options(notes, { journal: true, cache: { store } }));
    t.after(() => agent.close());
    return agent;
  };
  // Its events are read until it waits for the user, and then no more, as by a process that is gone.
  const iterator = make().run(PROMPT)[Symbol.asyncIterator]();
  let id;
  while (id === undefined) {
    const { value } = await iterator.next();
    if (value.type === "approval_request") id = value.id;
  }
  while (notes.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const second = make();
  const [open, ...others] = await second.openRuns();
  assert.deepEqual(others, []);
  assert.ok(open.bytes > 100 && open.at > 0);
  const asked = [];
  const run = second.resume(open.runId);
  const events = await all(run, (event) => (asked.push(event.id), run.approve(event.id)));
  assert.deepEqual([asked, events.at(-1).type, notes], [[id], "done", ["whisper two", "shout one"]]);
  assert.deepEqual(await second.openRuns(), []);
  assert.equal((await all(second.resume(open.runId))).at(-1).error.code, "misuse");
  await second.forgetRun("run_of_nobody");
});

test("a run moves from here to a Worker and back", async (t) => {
  const notes = [];
  const here = new Agent(options(notes));
  t.after(() => here.close());
  const run = here.run(PROMPT);
  run.onSuspend(() => {});
  const { snapshot, waitingFor } = await run.result;
  // The Worker has the same tools; the user's decision is taken there, and what it had to put away comes back.
  const worker = new Worker(
    `import { parentPort, workerData } from "node:worker_threads";
     const { Agent } = await import(workerData.entry);
     const notes = [];
     const tool = (name, readOnlyHint) => ({
       name, description: name, annotations: { readOnlyHint },
       inputSchema: { type: "object", properties: { text: { type: "string" } }, required: ["text"] },
       execute: ({ text }) => (notes.push(name + " " + text), { done: text }),
     });
     const agent = new Agent({ model: { provider: "offline" }, tools: [tool("shout", false), tool("whisper", true)] });
     const run = agent.resume(workerData.snapshot);
     run.onSuspend(() => {});
     const { snapshot, waitingFor } = await run.result;
     parentPort.postMessage({ snapshot, waitingFor, notes });
     await agent.close();`,
    { eval: true, workerData: { entry: `file://${path}/node_modules/edgewise/node.js`, snapshot } },
  );
  const back = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  await worker.terminate();
  assert.deepEqual([back.waitingFor, back.notes], [waitingFor, []]);
  const { text } = await here.resume(back.snapshot, { decisions: { [waitingFor[0].id]: true } }).result;
  assert.ok(text.length > 0);
  assert.deepEqual(notes, ["whisper two", "shout one"]);
});

// A run that moves between a page and its Web Worker, in real Chromium: put away and sent, and found in the store they share.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browse, project, serve } from "./lib.mjs";

const files = {
  "make.js": `
import { Agent, init } from "./node_modules/edgewise/browser.js";

export async function make(notes, more) {
  await init();
  const tool = (name, readOnlyHint, execute) => ({
    name, description: name[0].toUpperCase() + name.slice(1) + " a text", annotations: { readOnlyHint },
    inputSchema: { type: "object", properties: { text: { type: "string" } }, required: ["text"] },
    execute: async (input) => (notes.push(name + " " + input.text), await execute?.(input), { done: input.text }),
  });
  const tools = [tool("shout", false, more?.shout), tool("whisper", true, more?.whisper)];
  return new Agent({ model: { provider: "offline" }, tools, ...more?.options });
}

export async function until(found) {
  for (;;) {
    const value = await found();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
`,
  "worker.js": `
import { make } from "./make.js";

const notes = [];
onmessage = async ({ data: { snapshot, prompt, decisions } }) => {
  // The second time it hangs in its tool until somebody ends it.
  const tell = () => postMessage({ notes });
  const hang = () => (tell(), new Promise(() => {}));
  const agent = await make(notes, prompt && { shout: tell, whisper: hang, options: { journal: true, approval: "never" } });
  if (prompt) return void agent.run(prompt).result.catch(() => {});
  const run = agent.resume(snapshot, { decisions });
  run.onSuspend(() => {});
  const { snapshot: again, waitingFor } = await run.result;
  postMessage({ snapshot: again, waitingFor, notes });
};
`,
  "index.html": `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
import { make, until } from "./make.js";

async function sent() {
  const notes = [];
  const agent = await make(notes);
  const run = agent.run('shout "one" and whisper "two" and shout "three"');
  run.onSuspend(() => {});
  const { snapshot, waitingFor } = await run.result;
  const worker = new Worker("./worker.js", { type: "module" });
  // The user allows one of them there, and the other one here.
  const there = new Promise((resolve, reject) => { worker.onmessage = ({ data }) => resolve(data); worker.onerror = ({ message }) => reject(new Error(message)); });
  worker.postMessage({ snapshot, decisions: { [waitingFor[0].id]: true } });
  const back = await there;
  worker.terminate();
  const { text } = await agent.resume(back.snapshot, { decisions: { [waitingFor[1].id]: true } }).result;
  return { here: notes, there: back.notes, waited: waitingFor.length, waits: back.waitingFor.map(({ input }) => input.text), text };
}

async function found() {
  const worker = new Worker("./worker.js", { type: "module" });
  const hangs = new Promise((resolve, reject) => { worker.onmessage = ({ data }) => data.notes.length === 2 && resolve(data); worker.onerror = ({ message }) => reject(new Error(message)); });
  worker.postMessage({ prompt: 'shout "one" and whisper "two"' });
  const there = (await hangs).notes;
  const notes = [];
  const agent = await make(notes, { options: { journal: true, approval: "never" } });
  // Until its log is in the store, as far as it has come.
  let [bytes, same] = [0, 0];
  const runId = await until(async () => {
    const [open] = await agent.openRuns();
    same = open?.bytes === bytes ? same + 1 : 0;
    bytes = open?.bytes;
    return same > 20 && open.runId;
  });
  // It waits for whoever has the run: nothing is done twice as long as the Worker lives.
  const events = [];
  const over = (async () => { for await (const event of agent.resume(runId)) events.push(event); })();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const early = events.length;
  worker.terminate();
  await over;
  const results = events.filter(({ type }) => type === "tool_result").map(({ outcome }) => outcome);
  return { there: there.sort(), here: notes, early, results, last: events.at(-1).type, left: (await agent.openRuns()).length };
}

globalThis.outcome = (async () => ({ sent: await sent(), found: await found() }))();
</script>`,
};

const { path } = await project(files);
const server = await serve(path);
const open = await browse();

test("a run moves from the page to its Worker and back", async () => {
  const { outcome } = await open(`${server.url}index.html`);
  const { sent, found } = await outcome();
  assert.deepEqual({ ...sent, text: sent.text.length > 0 }, { here: ["whisper two", "shout three"], there: ["shout one"], waited: 2, waits: ["three"], text: true });
  // The call that was complete is not made again, and the one that only reads is.
  assert.deepEqual(found, { there: ["shout one", "whisper two"], here: ["whisper two"], early: 0, results: ["ok", "ok"], last: "done", left: 0 });
});

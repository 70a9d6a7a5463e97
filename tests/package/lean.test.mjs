// `edgewise/lean`: the same package with a smaller wasm, which refuses in words what it does not hold.

import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import * as llm from "../servers/llm.mjs";
import * as modern from "../servers/modern.mjs";
import { browse, exec, project, serve } from "./lib.mjs";
import { laws } from "./scenario.mjs";

const body = (entry) => `
  import { Agent, init } from "${entry}";
  export async function outcome({ model, server }) {
    await init();
    const refused = [];
    for (const options of [
      { model: { provider: "offline" } },
      { model: { provider: "openai", id: "m" }, servers: [{ name: "s", url: server, oauth: { authorize() {}, redirectUrl: "https://a.test/" } }] },
    ]) {
      try { new Agent(options); } catch (error) { refused.push([error.code, error.path, error.message]); }
    }
    const agent = new Agent({ model: { provider: "anthropic", id: "m", apiKey: "k", baseUrl: model }, servers: [{ name: "s", url: server }], approval: "never" });
    const events = [];
    for await (const event of agent.run("go")) events.push(event);
    await agent.close();
    return { refused, events };
  }`;

const { path } = await project({
  "lean.html": `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
    import { outcome } from "./page.mjs";
    globalThis.outcome = outcome(Object.fromEntries(new URLSearchParams(location.search)));
  </script>`,
  "page.mjs": body("./node_modules/edgewise/lean.js"),
  "node.mjs": `${body("edgewise/lean")} console.log(JSON.stringify(await outcome(JSON.parse(process.argv[2]))));`,
});

async function world(t) {
  const server = await modern.start();
  const add = (request) => request.tools.map((tool) => tool.name).find((name) => name.endsWith("add"));
  const model = await llm.start({ turns: [(request) => ({ toolCalls: [{ name: add(request), input: { a: 17, b: 25 } }] }), { text: "It is 42." }] });
  t.after(() => Promise.all([server.close(), model.close()]));
  return { model: model.url, server: server.url };
}

function check({ refused, events }) {
  assert.deepEqual(refused, [
    ["config", "model.provider", "model.provider: the offline model is not in `edgewise/lean`; import `edgewise`"],
    ["config", "servers[0].oauth", "servers[0].oauth: is not in `edgewise/lean`; import `edgewise`"],
  ]);
  laws(events);
  assert.equal(events.at(-1).text, "It is 42.");
  const result = events.find((event) => event.type === "tool_result");
  assert.match(JSON.stringify(result.content), /42/);
}

test("in Node", async (t) => {
  check(JSON.parse(await exec(process.execPath, ["node.mjs", JSON.stringify(await world(t))], { cwd: path })));
});

test("in a page", async (t) => {
  const files = await serve(path);
  const open = await browse();
  const { outcome } = await open(`${files.url}lean.html?${new URLSearchParams(await world(t))}`);
  check(await outcome());
});

test("it is smaller by a quarter at least", async () => {
  const bytes = async (name) => (await stat(join(path, "node_modules/edgewise/wasm", name))).size;
  const [full, lean] = [await bytes("edgewise_bg.wasm"), await bytes("edgewise_lean_bg.wasm")];
  assert.ok(lean < full * 0.75, `${lean} of ${full}`);
});

// The example of a user's own Worker, as it stands in `examples/worker`.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import * as llm from "../servers/llm.mjs";
import * as modern from "../servers/modern.mjs";
import { allEvents, readConfig, root, runInit, startWorker, TOKEN } from "./harness.mjs";

test("examples/worker streams a run, and only to whom it knows", async (t) => {
  const [model, server] = await Promise.all([llm.start(), modern.start()]);
  t.after(() => Promise.all([model.close(), server.close()]));
  const { compatibility_date, compatibility_flags } = readConfig({ config: join(root, "examples/worker/wrangler.toml") });
  const main = "examples/worker/worker.ts";
  // The package of this repository; `tests/package` installs it from a tarball instead.
  const { alias } = readConfig({ config: join(root, "wrangler.toml") });
  const vars = { AUTH_TOKEN: TOKEN, MODEL_ID: "scripted", MODEL_API_KEY: "k", MODEL_BASE_URL: model.url, MCP_URL: server.url };
  const config = { name: "example", main, compatibility_date, compatibility_flags, alias };
  const worker = await startWorker(vars, { config });
  t.after(worker.close);

  model.push((asked) => ({ toolCalls: [{ name: asked.tools[0].name, input: { a: 17, b: 25 } }] }), { text: "It is 42." });
  const all = await allEvents(await worker.fetch("/", runInit({ prompt: "17 + 25?" })));
  assert.equal(all.at(-1).text, "It is 42.", JSON.stringify(all.at(-1)));
  assert.equal(all.find(({ type }) => type === "tool_result").outcome, "ok");

  for (const authorization of ["", "Bearer undefined", "Bearer wrong"]) {
    assert.equal((await worker.fetch("/", runInit({ prompt: "hello" }, { headers: { authorization } }))).status, 401);
  }
});

// The installed package in a minimal Cloudflare Worker, under workerd; `tests/workerd/` has the rest.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { assertScenario, manifest, project } from "./lib.mjs";

// Miniflare would ask the internet for the data centre's facts.
process.env.CLOUDFLARE_CF_FETCH_ENABLED = "false";
process.env.WRANGLER_SEND_METRICS = "false";
const { createTestHarness } = await import("wrangler");

const { path } = await project({
  "worker.js": `import * as edgewise from "edgewise";
import { adder, laws, scenario } from "./scenario.mjs";
export default {
  async fetch(request) {
    if (new URL(request.url).pathname === "/run") return adder(edgewise).agent.run("What is 17 + 25?").toResponse();
    return Response.json(await scenario(edgewise));
  },
};`,
});
const { version } = await manifest(path);

test("a worker that imports the package", async () => {
  const config = { name: "stranger", main: "worker.js", compatibility_date: "2026-01-01" };
  const harness = createTestHarness({ root: path, workers: [{ config }] });
  after(() => harness.close());
  const { url } = await harness.listen();
  assertScenario(await (await fetch(url)).json(), version);
  // Again, since an instance serves many requests.
  assertScenario(await (await fetch(url)).json(), version);

  const answer = await fetch(new URL("/run", url));
  assert.equal(answer.headers.get("content-type"), "text/event-stream");
  const data = (await answer.text()).split("\n\n").filter((event) => event.startsWith("data: "));
  const events = data.map((event) => JSON.parse(event.slice("data: ".length)));
  assert.equal(events.at(-1).type, "done");
});

// The store of an agent in the storage of a Durable Object, in real workerd: both kinds, beyond the life of an instance.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";

import * as modern from "../servers/modern.mjs";
import { readConfig, root, startWorker } from "./harness.mjs";

let worker;
let server;

before(async () => {
  server = await modern.start();
  const { alias, compatibility_date } = readConfig({ config: join(root, "wrangler.toml") });
  const durable_objects = { bindings: ["Lite", "Older"].map((name) => ({ name, class_name: name })) };
  const migrations = [{ tag: "v1", new_sqlite_classes: ["Lite"], new_classes: ["Older"] }];
  const config = { name: "durable", main: "tests/workerd/durable-worker.mjs", compatibility_date, alias, durable_objects, migrations };
  worker = await startWorker({}, { config });
});
after(() => Promise.all([worker?.close(), server?.close()]));

for (const kind of ["Lite", "Older"]) {
  const ask = async (what, ...given) => {
    const body = JSON.stringify({ what, given, servers: [{ name: "notes", url: server.url }] });
    return (await worker.fetch(`/${kind}/one`, { method: "POST", body })).json();
  };
  /** A new instance on the same storage. */
  const restart = () => worker.fetch(`/${kind}/one`, { method: "POST", body: JSON.stringify({ what: "abort" }) }).catch(() => {});
  const calls = () => server.requests.filter(({ headers }) => headers["mcp-method"] === "tools/call").length;

  test(`${kind}: what is cached answers another agent, and one in a new instance`, async () => {
    const first = await ask("callTool", "notes.echo", { message: "hello" });
    assert.equal(first.value?.cached, undefined, JSON.stringify(first));
    const asked = calls();
    const second = await ask("callTool", "notes.echo", { message: "hello" });
    assert.deepEqual(second.value.content, first.value.content);
    assert.equal(second.value.cached.stale, false);
    await restart();
    const third = await ask("callTool", "notes.echo", { message: "hello" });
    assert.equal(third.value.cached.stale, false, JSON.stringify(third));
    assert.equal(calls(), asked);
    const { value } = await ask("cache.stats");
    assert.equal(value.store, "durable-object");
    assert.ok(value.entries >= 1 && value.servers[0].entries === value.entries);
  });

  test(`${kind}: its storage keeps the laws of a place for records`, async () => {
    assert.deepEqual(await ask("laws"), { broken: [] });
  });

  test(`${kind}: long records come back whole, and what the object itself keeps stays`, async () => {
    const message = "x".repeat(700_000);
    assert.deepEqual(await ask("own", 7), { keys: ["own"] });
    await ask("callTool", "notes.echo", { message });
    await restart();
    const again = await ask("callTool", "notes.echo", { message }, { cache: "only-if-cached" });
    assert.equal(again.value?.content?.[0]?.text?.length, first(again), JSON.stringify(again).slice(0, 300));
    const file = await ask("storage.export");
    const sizes = await ask("storage.sizes");
    assert.equal(file.value.trim().split("\n").length, sizes.value.entries + 2);
    await ask("storage.remove");
    assert.equal((await ask("storage.sizes")).value.entries, 0);
    assert.deepEqual(await ask("storage.import", file.value), { value: { records: sizes.value.entries } });
    assert.deepEqual((await ask("storage.sizes")).value.spaces, sizes.value.spaces);
    assert.equal((await ask("storage.import", "half a file")).error.code, "config");
    assert.deepEqual(await ask("own", 7), { keys: ["own"] });

    /** As long as what was sent, with what the tool puts before it. */
    function first({ value }) {
      return value.content[0].text.indexOf("x") + message.length;
    }
  });

  test(`${kind}: two agents at once in one object keep what both store`, async () => {
    const messages = Array.from({ length: 12 }, (_, at) => `at once ${at}`);
    await Promise.all(messages.map((message) => ask("callTool", "notes.echo", { message })));
    for (const message of messages) {
      const { value, error } = await ask("callTool", "notes.echo", { message }, { cache: "only-if-cached" });
      assert.ok(value?.cached, `${message}: ${JSON.stringify(error)}`);
    }
  });
}

// Where a browser keeps tokens: encrypted in IndexedDB, and nowhere in clear.

import assert from "node:assert/strict";
import { test } from "node:test";

import { launch, project, serve, visit } from "./lib.mjs";

const MODULE = "./node_modules/edgewise/secrets.js";
const { path } = await project({
  "page.html": `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
    import * as secrets from "${MODULE}";
    globalThis.secrets = secrets;
    globalThis.all = (store) => new Promise((resolve, reject) => {
      const open = indexedDB.open("edgewise-secrets");
      open.onerror = () => reject(open.error);
      open.onsuccess = () => {
        const request = open.result.transaction(store).objectStore(store).getAll();
        request.onsuccess = () => { open.result.close(); resolve(request.result); };
      };
    });
    globalThis.change = (names, how) => new Promise((resolve) => {
      const open = indexedDB.open("edgewise-secrets");
      open.onsuccess = () => {
        const transaction = open.result.transaction("records", "readwrite");
        const records = transaction.objectStore("records");
        const found = names.map((name) => records.get(name));
        found.at(-1).onsuccess = () => how(found.map((request) => request.result), (record, name) => records.put(record, name));
        transaction.oncomplete = () => { open.result.close(); resolve(); };
      };
    });
    globalThis.ready = true;
  </script>`,
  "worker.js": `import { loadSecret, saveSecret } from "${MODULE}";
    const work = async () => { await saveSecret(new Map(), "from-worker", "w"); return loadSecret(new Map(), "a"); };
    self.onmessage = async (event) => (event.ports[0] ?? self).postMessage(await work());`,
});
const server = await serve(path);
const browser = await launch();

async function open(t, { prepare } = {}) {
  const context = await visit(t, browser);
  const page = async () => {
    const page = await context.newPage();
    if (prepare) await page.addInitScript(prepare);
    await page.goto(`${server.url}page.html`);
    await page.waitForFunction(() => globalThis.ready);
    return page;
  };
  return { context, page };
}

test("what is kept is read in another tab, and lies there encrypted, each time differently", async (t) => {
  const { page } = await open(t);
  const [first, second] = [await page(), await page()];
  await first.evaluate(async () => {
    const memory = new Map();
    await Promise.all([secrets.saveSecret(memory, "a", "s3cret \u2713"), secrets.saveSecret(memory, "b", "s3cret \u2713")]);
    if (memory.size) throw new Error("kept in memory");
  });
  assert.equal(await second.evaluate(() => secrets.loadSecret(new Map(), "a")), "s3cret \u2713");
  const records = await second.evaluate(async () => (await all("records")).map(({ iv, data }) => ({ iv: [...iv], data: [...new Uint8Array(data)] })));
  assert.equal(records.length, 2);
  assert.notDeepEqual(records[0].iv, records[1].iv);
  assert.notDeepEqual(records[0].data, records[1].data);
  for (const { iv, data } of records) {
    assert.equal(iv.length, 12);
    assert.ok(!Buffer.from(data).includes("s3cret"));
  }
  const keys = await second.evaluate(async () => {
    const kept = await all("keys");
    const outcome = await crypto.subtle.exportKey("raw", kept[0]).catch((error) => error.name);
    return { count: kept.length, outcome, extractable: kept[0].extractable };
  });
  assert.deepEqual(keys, { count: 1, outcome: "InvalidAccessError", extractable: false });
  await first.evaluate(() => secrets.saveSecret(new Map(), "a", undefined));
  assert.equal(await second.evaluate(() => secrets.loadSecret(new Map(), "a")), undefined);
});

test("two tabs that begin at once end up with one key", async (t) => {
  const { page } = await open(t);
  const pages = await Promise.all([page(), page(), page()]);
  await Promise.all(pages.map((page, at) => page.evaluate((at) => secrets.saveSecret(new Map(), `k${at}`, `v${at}`), at)));
  for (const page of pages) {
    const read = await page.evaluate(() => Promise.all([0, 1, 2].map((at) => secrets.loadSecret(new Map(), `k${at}`))));
    assert.deepEqual(read, ["v0", "v1", "v2"]);
  }
});

test("a record that was changed, or stands under another name, is dropped and hurts nothing else", async (t) => {
  const { page } = await open(t);
  const one = await page();
  const read = await one.evaluate(async () => {
    const memory = new Map();
    for (const name of ["a", "b", "c", "d", "e", "f"]) await secrets.saveSecret(memory, name, `secret of ${name}`);
    await change(["a", "b"], ([a, b], put) => (put(a, "b"), put(b, "a")));
    await change(["c"], ([{ iv, data }], put) => { new Uint8Array(data)[0] ^= 1; put({ iv, data }, "c"); });
    await change(["d"], (_, put) => put("nonsense", "d"));
    await change(["e"], ([{ data }], put) => put({ data }, "e"));
    const values = {};
    for (const name of ["a", "b", "c", "d", "e", "f"]) values[name] = await secrets.loadSecret(memory, name);
    await secrets.saveSecret(memory, "a", "again");
    return { values, again: await secrets.loadSecret(memory, "a"), left: (await all("records")).length, memory: memory.size };
  });
  assert.deepEqual(read, { values: { a: undefined, b: undefined, c: undefined, d: undefined, e: undefined, f: "secret of f" }, again: "again", left: 2, memory: 0 });
});

test("workers share what pages keep", async (t) => {
  const { page } = await open(t);
  const one = await page();
  await one.evaluate(() => secrets.saveSecret(new Map(), "a", "from the page"));
  const web = await one.evaluate(() => new Promise((resolve) => {
    const worker = new Worker("./worker.js", { type: "module" });
    worker.onmessage = (event) => resolve(event.data);
    worker.postMessage("go");
  }));
  assert.equal(web, "from the page");
  const service = await one.evaluate(async () => {
    const registration = await navigator.serviceWorker.register("./worker.js", { type: "module" });
    const worker = registration.installing ?? registration.active;
    const { port1, port2 } = new MessageChannel();
    const answer = new Promise((resolve) => (port1.onmessage = (event) => resolve(event.data)));
    worker.postMessage("go", [port2]);
    return answer;
  });
  assert.equal(service, "from the page");
  assert.equal(await one.evaluate(() => secrets.loadSecret(new Map(), "from-worker")), "w");
});

for (const [name, prepare] of [
  ["no WebCrypto", () => Object.defineProperty(globalThis.crypto, "subtle", { value: undefined })],
  ["no IndexedDB", () => Object.defineProperty(globalThis, "indexedDB", { value: undefined })],
  ["an IndexedDB that is refused", () => { IDBFactory.prototype.open = () => { throw new DOMException("no", "SecurityError"); }; }],
  ["keys that cannot be stored", () => { const put = IDBObjectStore.prototype.put; IDBObjectStore.prototype.put = function (value, key) { if (value instanceof CryptoKey) throw new DOMException("no", "DataCloneError"); return put.call(this, value, key); }; }],
]) {
  test(`${name}: in the memory of the agent, and not in clear`, async (t) => {
    const { page } = await open(t, { prepare });
    const one = await page();
    const read = await one.evaluate(async () => {
      const [mine, other] = [new Map(), new Map()];
      await secrets.saveSecret(mine, "a", "s3cret");
      const values = [await secrets.loadSecret(mine, "a"), await secrets.loadSecret(other, "a")];
      await secrets.saveSecret(mine, "a", undefined);
      return [...values, await secrets.loadSecret(mine, "a")];
    });
    assert.deepEqual(read, ["s3cret", undefined, undefined]);
    if (name === "keys that cannot be stored") assert.deepEqual(await one.evaluate(() => all("records")), []);
  });
}

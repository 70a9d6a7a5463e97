// What is kept: sizes, a file to take along and bring back, removal. In Chromium over IndexedDB also what other tabs and the
// disk may do to it: writing at once, an upgrade with an old tab open, blocked and aborted transactions, a full disk.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { after, test } from "node:test";

import * as modern from "../servers/modern.mjs";
import { start as serveFiles } from "../servers/static.mjs";
import { assertScenario, installed, launch, manifest, project, rejected, Shelf, started, until, visit } from "./lib.mjs";

const { path } = await project();
const { Agent } = await installed(path);
// Before the first test: what begins between two of them is ended with those before it.
const mounts = { "/edgewise/": join(path, "node_modules/edgewise"), "/app/": path, "/tests/": import.meta.dirname };
// What a worker answers to `{ bring }` and `{}`: what is kept, of which kind. To `{ run }`, how a run went; to `{ laws }`, which
// laws of records.mjs its database breaks.
const worker = (entry, listen) => `import * as edgewise from "/edgewise/${entry}.js";
import { IndexedDbStore } from "/edgewise/store.js";
import { scenario } from "/app/scenario.mjs";
import { brokenLaws } from "/tests/records.mjs";
const { init, Agent } = edgewise;
const ready = init().then(() => new Agent({ model: { provider: "offline" } }));
async function answer({ bring, run, laws }) {
  if (laws) return brokenLaws(new IndexedDbStore());
  if (run) return scenario(edgewise);
  const { storage } = await ready;
  if (bring) await storage.import(bring);
  return storage.sizes();
}
${listen}`;
const files = {
  "/": ["text/html", "<!doctype html><title>storage</title>"],
  "/worker.js": ["text/javascript", worker("browser", "onmessage = async ({ data }) => postMessage(await answer(data).catch(String));")],
  "/service.js": ["text/javascript", worker("service-worker", "onmessage = (event) => event.waitUntil(answer(event.data).catch(String).then((told) => event.ports[0].postMessage(told)));")],
};
const site = await serveFiles({ mounts, files });
after(() => site.close());
// A site whose pages have no origin of their own, like a frame with the attribute `sandbox`: no database is opened for them.
const nowhere = await serveFiles({ mounts, files, headers: { "Content-Security-Policy": "sandbox allow-scripts", "Access-Control-Allow-Origin": "*" } });
after(() => nowhere.close());
const browser = await launch();
const offline = (options) => new Agent({ model: { provider: "offline" }, ...options });

/** A file of these records, as `export()` would write it. */
function archive(records) {
  const lines = [{ edgewise: "archive", version: 1, at: 0 }, ...records].map((line) => `${JSON.stringify(line)}\n`).join("");
  return `${lines}${JSON.stringify({ records: records.length, sum: createHash("sha256").update(lines).digest("base64url") })}\n`;
}

const message = (key, text = key) => ({ space: "conversations", key, text });

test("what is kept can be taken along, removed and brought back", async (t) => {
  const { url, requests } = await started(t, modern);
  const servers = [{ name: "notes", url }];
  // The server does not say that it reaches no further than itself.
  const cache = { store: "memory", tools: { "notes.echo": true } };
  const agent = offline({ servers, cache });
  await agent.callTool("notes.echo", { message: "grüße" });
  await agent.storage.import(archive([message("c/1/000001"), message("c%2F1/000001"), message("c%2F1/000002", "ü")]));
  const sizes = await agent.storage.sizes();
  assert.equal(sizes.store, "memory");
  assert.deepEqual(sizes.conversations, [
    { id: "c/1", entries: 2, bytes: 14 },
    { id: "c", entries: 1, bytes: 10 },
  ]);
  assert.ok(sizes.spaces.cache.entries > 0 && sizes.spaces.servers.entries > 0);
  assert.equal(sizes.bytes, Object.values(sizes.spaces).reduce((sum, { bytes }) => sum + bytes, 0));

  const file = await agent.storage.export();
  assert.equal(file.type, "application/x-ndjson");
  const other = offline({ servers, cache });
  assert.deepEqual(await other.storage.import(file), { records: sizes.entries });
  assert.deepEqual((await other.storage.sizes()).spaces, sizes.spaces);
  const asked = requests.length;
  const result = await other.callTool("notes.echo", { message: "grüße" }, { cache: "only-if-cached" });
  assert.equal(result.cached.stale, false);
  assert.equal(requests.length, asked);

  const one = await (await agent.storage.export({ conversation: "c/1" })).text();
  assert.equal(one.trim().split("\n").length, 4);
  await agent.storage.remove({ conversation: "c/1" });
  assert.deepEqual((await agent.storage.sizes()).conversations.map(({ id }) => id), ["c"]);
  await agent.storage.remove({ spaces: ["cache"] });
  assert.deepEqual((await agent.storage.sizes()).spaces.cache, { entries: 0, bytes: 0 });
  await agent.storage.remove();
  assert.equal((await agent.storage.sizes()).entries, 0);
  await Promise.all([agent.close(), other.close()]);
});

/** An agent whose model answers when it is let. */
function slowly(t, store) {
  let answer;
  const may = new Promise((resolve) => (answer = resolve));
  const asked = [];
  const model = {
    async *generate({ messages }) {
      asked.push(messages.map(({ content }) => content.map(({ text }) => text).join("")));
      if (asked.length === 2) await may;
      yield `answer ${asked.length}`;
    },
  };
  const agent = new Agent({ model, cache: { store } });
  t.after(() => agent.close());
  return { agent, asked, answer };
}

for (const [what, choice] of [["a conversation", { conversation: "c" }], ["everything", undefined]]) {
  test(`${what} that is removed while a run goes on in it stays removed`, async (t) => {
    const { agent, asked, answer } = slowly(t, new Shelf());
    const chat = agent.conversation("c");
    await chat.send("one").result;
    const run = chat.send("two");
    const events = run[Symbol.asyncIterator]();
    for (let type; type !== "turn_start"; ) type = (await events.next()).value.type;
    await agent.storage.remove(choice);
    answer();
    assert.equal((await run.result).text, "answer 2", "the run goes on");
    assert.deepEqual(await chat.messages(), []);
    assert.deepEqual((await agent.storage.sizes()).conversations, []);
    await chat.send("three").result;
    assert.deepEqual(asked.at(-1), ["three"]);
    assert.equal((await chat.messages()).length, 2);
  });

  test(`${what} that could not be stored is removed as well`, async (t) => {
    const store = new Shelf();
    const { agent, answer } = slowly(t, store);
    answer();
    await agent.conversation("other").send("one").result;
    const { write } = store;
    store.write = async () => {
      throw new Error("the disk is gone");
    };
    const chat = agent.conversation("c");
    await chat.send("two").result;
    assert.equal((await chat.messages()).length, 2, "in memory");
    store.write = write;
    await agent.storage.remove(choice);
    assert.deepEqual(await chat.messages(), []);
    await agent.conversation("later").send("four").result;
    const ids = (await agent.storage.sizes()).conversations.map(({ id }) => id).sort();
    assert.deepEqual(ids, choice ? ["later", "other"] : ["later"]);
    assert.ok(![...store.records.keys()].some((key) => key.includes("/conversations/c/")));
  });
}

test("what is no whole archive changes nothing and says why", async () => {
  const agent = offline({ cache: { store: "memory" } });
  const whole = archive([message("a"), message("b")]);
  for (const [file, words] of [
    ["hello", /^file: it is no archive of this package$/],
    [whole.slice(0, -20), /^file: it is damaged in line 4$/],
    [whole.split("\n").slice(0, 2).join("\n"), /^file: it is not whole$/],
    [whole.replace('"text":"a"', '"text":"x"'), /^file: it is damaged in line 4$/],
    [whole.replace('"version":1', '"version":7'), /another version/],
    [archive([{ space: "secrets", key: "k", text: "v" }]), /^file: it is damaged in line 2$/],
  ]) {
    const error = await rejected(agent.storage.import(file));
    assert.equal(error.code, "config");
    assert.match(error.message, words);
  }
  assert.equal((await agent.storage.sizes()).entries, 0);
  assert.match((await rejected(agent.storage.export({ spaces: ["secrets"] }))).message, /there is no space "secrets"/);
  assert.equal((await rejected(agent.storage.remove({ all: true }))).path, "all");
  assert.equal((await rejected(agent.storage.import(7))).path, "file");
  await agent.close();
});

// In a browser.

/** Tabs of one origin that nobody has used before. */
async function tabs(t) {
  const context = await visit(t, browser);
  return async () => {
    const page = await context.newPage();
    await page.goto(site.url);
    return page;
  };
}

/** Gives the page an agent, `world.agent`. */
const prepare = (page) =>
  page.evaluate(async () => {
    const { init, Agent } = await import("/edgewise/browser.js");
    await init();
    const agent = new Agent({ model: { provider: "offline" } });
    globalThis.world = { agent, sizes: () => agent.storage.sizes(), bring: (file) => agent.storage.import(file).catch(({ code, message }) => ({ code, message })) };
  });

const sizesOf = (page) => page.evaluate(() => world.sizes());

test("two tabs that write at once lose nothing and mix nothing", async (t) => {
  const open = await tabs(t);
  const pages = [await open(), await open()];
  await Promise.all(pages.map(prepare));
  const rounds = 40;
  const write = (page, tab) => {
    const pair = (round) => ["pair/a", "pair/b"].map((key) => message(key, `${tab} ${round}`));
    const files = Array.from({ length: rounds }, (_, round) => archive([message(`${tab}/${round}`), ...pair(round)]));
    return page.evaluate((files) => Promise.all(files.map(world.bring)), files);
  };
  // What is stored together is there together, whoever looks in between.
  const look = pages[0].evaluate(async () => {
    const { IndexedDbStore } = await import("/edgewise/store.js");
    const store = new IndexedDbStore();
    const seen = [];
    for (let look = 0; look < 60; look += 1) {
      const texts = (await store.read(["v/conversations/pair/a", "v/conversations/pair/b"])).map((record) => record && new TextDecoder().decode(record));
      if (texts[0] !== texts[1]) seen.push(texts);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return seen;
  });
  const [one, two, mixed] = await Promise.all([write(pages[0], "one"), write(pages[1], "two"), look]);
  assert.deepEqual(mixed, []);
  assert.ok([...one, ...two].every(({ records }) => records === 3), JSON.stringify([one, two].flat().find(({ records }) => !records)));
  for (const page of pages) {
    const { entries, store } = await sizesOf(page);
    assert.deepEqual([entries, store], [2 * rounds + 2, "indexeddb"]);
  }
  const file = await pages[1].evaluate(async () => (await world.agent.storage.export()).text());
  assert.equal(file.trim().split("\n").length, 2 * rounds + 4, "none is broken");
});

test("an upgrade waits for an old tab in memory, and brings over what it has left", async (t) => {
  for (const makesWay of [true, false]) {
    const open = await tabs(t);
    const old = await open();
    await old.evaluate(async (makesWay) => {
      const request = indexedDB.open("edgewise", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("kv");
      await new Promise((resolve) => (request.onsuccess = resolve));
      const transaction = request.result.transaction("kv", "readwrite");
      transaction.objectStore("kv").put(new TextEncoder().encode("modern"), "era/https://a.test/mcp");
      await new Promise((resolve) => (transaction.oncomplete = resolve));
      request.result.onversionchange = () => makesWay && request.result.close();
    }, makesWay);
    const page = await open();
    await prepare(page);
    // The old tab stays: whatever is answered, nobody has waited for it. One that makes way does so in its own time.
    if (makesWay) await until(page, async () => (await world.sizes()).spaces.servers.entries === 1);
    else assert.equal((await sizesOf(page)).spaces.servers.entries, 0);
    if (!makesWay) {
      await page.evaluate(() => world.agent.conversation("meanwhile").send("hello").result);
      assert.deepEqual((await sizesOf(page)).conversations.map(({ id }) => id), ["meanwhile"], "in memory");
      const kept = await page.evaluate((file) => world.bring(file), archive([message("c/1")]));
      assert.deepEqual(kept, { code: "network", message: "storage: the store cannot be used now" });
    }
    await old.close();
    // What was kept in memory is stored though the page asks for nothing: others find it.
    const other = await open();
    await prepare(other);
    const ids = makesWay ? [] : ["meanwhile"];
    await until(other, async (ids) => {
      const { spaces, conversations } = await world.sizes();
      return spaces.servers.entries === 1 && String(conversations.map(({ id }) => id)) === String(ids);
    }, ids);
    assert.deepEqual(await page.evaluate((file) => world.bring(file), archive([message("c/1")])), { records: 1 });
    assert.deepEqual((await sizesOf(page)).conversations.map(({ id }) => id), ["c", ...ids]);
  }
});

test("a newer version of the package takes over, and the older one goes on without it", async (t) => {
  const open = await tabs(t);
  const page = await open();
  await prepare(page);
  assert.deepEqual(await page.evaluate((file) => world.bring(file), archive([message("c/1")])), { records: 1 });
  const newer = await open();
  const opened = await newer.evaluate(async () => {
    const request = indexedDB.open("edgewise", 99);
    return new Promise((resolve) => {
      for (const type of ["success", "error", "blocked"]) request.addEventListener(type, () => resolve(type));
    });
  });
  assert.equal(opened, "success", "the older tab makes way");
  const { entries, events } = await page.evaluate(async () => {
    const run = world.agent.run("hello");
    const events = [];
    for await (const { type } of run) events.push(type);
    return { entries: (await world.sizes()).entries, events };
  });
  assert.deepEqual([entries, events.at(-1)], [0, "done"]);
});

test("aborted and blocked transactions cost time, and never a record", async (t) => {
  const open = await tabs(t);
  const page = await open();
  await prepare(page);
  const aborted = await page.evaluate(
    async ([once, always, later]) => {
      const { transaction } = IDBDatabase.prototype;
      let left = 1;
      IDBDatabase.prototype.transaction = function (...given) {
        const made = transaction.apply(this, given);
        if (given[1] === "readwrite" && left-- > 0) queueMicrotask(() => made.abort());
        return made;
      };
      const outcomes = [await world.bring(once)];
      left = 100;
      outcomes.push(await world.bring(always));
      IDBDatabase.prototype.transaction = transaction;
      outcomes.push(await world.bring(later), (await world.sizes()).entries);
      return outcomes;
    },
    [archive([message("once")]), archive([message("always")]), archive([message("later")])],
  );
  assert.deepEqual(aborted, [{ records: 1 }, { code: "network", message: "storage: the store cannot be used now" }, { records: 1 }, 2]);

  const other = await open();
  await other.evaluate(async () => {
    const request = indexedDB.open("edgewise");
    await new Promise((resolve) => (request.onsuccess = resolve));
    const records = request.result.transaction("records", "readwrite").objectStore("records");
    const until = performance.now() + 1500;
    // Goes on as long as it has something to do.
    const hold = () => performance.now() < until && (records.get("x").onsuccess = hold);
    hold();
  });
  const held = await page.evaluate(async (file) => {
    const begun = performance.now();
    const outcome = await world.bring(file);
    return { outcome, ms: performance.now() - begun };
  }, archive([message("held")]));
  assert.deepEqual(held.outcome, { records: 1 });
  assert.ok(held.ms > 500, `it waited for the other tab: ${held.ms} ms`);
  assert.equal((await sizesOf(page)).entries, 3);
});

test("on a full disk the cache makes room, what cannot be made again stays, and what does not fit is refused", async (t) => {
  const open = await tabs(t);
  const page = await open();
  const devtools = await page.context().newCDPSession(page);
  const quota = (quotaSize) => devtools.send("Storage.overrideQuotaForOrigin", { origin: new URL(site.url).origin, quotaSize });
  // Before anything is written: for some seconds the browser goes by the room that there was.
  await quota(12 << 20);
  await prepare(page);
  assert.deepEqual(await page.evaluate((file) => world.bring(file), archive([message("kept")])), { records: 1 });
  // Not of one letter: the database compresses.
  const noise = (seed) => Array.from({ length: 16_000 }, (_, at) => createHash("sha256").update(`${seed} ${at}`).digest("hex")).join("");
  const outcomes = [];
  for (let round = 0; round < 16; round += 1) {
    const file = archive([{ space: "cache", key: `server/m/${round}`, text: noise(round) }]);
    outcomes.push(await page.evaluate((file) => world.bring(file), file));
  }
  const full = await sizesOf(page);
  assert.deepEqual([full.spaces.conversations.entries, full.store], [1, "indexeddb"]);
  assert.ok(full.spaces.cache.entries < 16, `${full.spaces.cache.entries} of 16 are left`);
  assert.ok(outcomes.some(({ records }) => records === 1));
  const big = await page.evaluate((file) => world.bring(file), archive(Array.from({ length: 16 }, (_, at) => message(`big/${at}`, noise(at)))));
  assert.deepEqual(big, { code: "limit", message: "storage: there is no room for it" });
  const after = await sizesOf(page);
  assert.deepEqual(after.conversations.map(({ id }) => id), ["kept"], "all of it or nothing");
  await quota(undefined);
  assert.deepEqual(await page.evaluate((file) => world.bring(file), archive([message("later")])), { records: 1 });
});

test("where the browser has no database for a page, it is kept in memory, which is said", async (t) => {
  const refuse = (how) => `(${String((how) => {
    const open = indexedDB.open.bind(indexedDB);
    if (how === "missing") Object.defineProperty(globalThis, "indexedDB", { value: undefined });
    // As private windows have done it: the request fails.
    if (how === "fails") IDBFactory.prototype.open = () => {
      const request = open("other", 1);
      request.addEventListener("upgradeneeded", () => request.transaction.abort());
      return request;
    };
  })})(${JSON.stringify(how)})`;
  for (const [how, url, words] of [
    ["sandboxed", nowhere.url, /^IndexedDB was refused: SecurityError$/],
    ["missing", site.url, /^there is no IndexedDB here$/],
    ["fails", site.url, /^IndexedDB was refused: AbortError$/],
  ]) {
    const context = await visit(t, browser);
    const page = await context.newPage();
    if (how !== "sandboxed") await page.addInitScript(refuse(how));
    await page.goto(url);
    await prepare(page);
    const outcome = await page.evaluate(async (file) => {
      const told = await world.bring(file);
      const chat = world.agent.conversation("here");
      await chat.send("hello").result;
      const { fallback } = await world.agent.cache.stats();
      return { told, fallback, sizes: await world.sizes(), said: (await chat.messages()).length };
    }, archive([message("c/1")]));
    assert.deepEqual([outcome.told, outcome.sizes.store, outcome.said], [{ records: 1 }, "memory", 2], how);
    assert.match(outcome.sizes.fallback, words);
    assert.equal(outcome.fallback, outcome.sizes.fallback);
    assert.deepEqual(outcome.sizes.conversations.map(({ id }) => id).sort(), ["c", "here"]);
    // Which goes with the page.
    await page.reload();
    await prepare(page);
    assert.equal((await sizesOf(page)).entries, 0);
  }
});

test("a page, a Web Worker and a Service Worker keep it in one database", async (t) => {
  const open = await tabs(t);
  const page = await open();
  await prepare(page);
  await page.evaluate(async () => {
    const thread = new Worker("/worker.js", { type: "module" });
    world.inWorker = (data) => new Promise((resolve, reject) => {
      thread.onmessage = (event) => resolve(event.data);
      thread.onerror = ({ message }) => reject(new Error(message));
      thread.postMessage(data);
    });
    await navigator.serviceWorker.register("/service.js", { type: "module" });
    const { active } = await navigator.serviceWorker.ready;
    world.inService = (data) => new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = (event) => resolve(event.data);
      active.postMessage(data, [port2]);
    });
  });
  const inPage = page.evaluate(async () => {
    const { IndexedDbStore } = await import("/edgewise/store.js");
    return (await import("/tests/records.mjs")).brokenLaws(new IndexedDbStore());
  });
  assert.deepEqual(await inPage, []);
  for (const place of ["inWorker", "inService"]) assert.deepEqual(await page.evaluate((place) => world[place]({ laws: true }), place), [], place);
  const entries = { page: 0, inWorker: 1, inService: 2 };
  for (const place of ["inWorker", "inService"]) {
    const sizes = await page.evaluate(([place, bring]) => world[place]({ bring }), [place, archive([message(`${place}/1`)])]);
    assert.deepEqual([sizes.store, sizes.fallback, sizes.entries], ["indexeddb", undefined, entries[place]], JSON.stringify(sizes));
  }
  const { version } = await manifest(path);
  for (const place of ["inWorker", "inService"]) assertScenario(await page.evaluate((place) => world[place]({ run: true }), place), version);
  assert.deepEqual(await page.evaluate((file) => world.bring(file), archive([message("page/1")])), { records: 1 });
  const all = await page.evaluate(() => Promise.all([world.sizes(), world.inWorker({}), world.inService({})]));
  for (const sizes of all) assert.deepEqual([sizes.store, sizes.conversations.map(({ id }) => id).sort()], ["indexeddb", ["inService", "inWorker", "page"]]);
});

test("a record that is broken on the disk is dropped, and not the run", async (t) => {
  const open = await tabs(t);
  const page = await open();
  await prepare(page);
  const say = (page, prompt) => page.evaluate(async (prompt) => (await world.agent.conversation("c").send(prompt).result).messages.length > 0, prompt);
  for (const prompt of ["one", "two", "three"]) assert.ok(await say(page, prompt));
  const broken = await page.evaluate(async () => {
    const { IndexedDbStore } = await import("/edgewise/store.js");
    const store = new IndexedDbStore();
    const key = "v/conversations/c/000003";
    const [record] = await store.read([key]);
    record[record.length - 3] ^= 1;
    await store.write([key, record]);
    return record.length;
  });
  assert.ok(broken > 10);
  const next = await open();
  await prepare(next);
  const said = () => next.evaluate(async () => (await world.agent.conversation("c").messages()).map(({ role }) => role));
  assert.deepEqual(await said(), ["user", "assistant", "user", "user", "assistant"]);
  assert.ok(await say(next, "four"));
  assert.equal((await said()).length, 7);
  const left = await next.evaluate(async () => {
    const { IndexedDbStore } = await import("/edgewise/store.js");
    return (await new IndexedDbStore().read(["v/conversations/c/000003"]))[0] === undefined;
  });
  assert.ok(left, "it is gone");
});

// The places for records (`pkg/store.js`), which the core takes to be all alike: one set of laws for each.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { root, Shelf } from "./lib.mjs";

const { MemoryStore, storeOf } = await import(join(root, "pkg/store.js"));

/** A Durable Object's storage as far as it goes: values are cloned, of bounded size, and a transaction that throws is none. */
function durable() {
  let values = new Map([["own", "the object's"]]);
  const access = (map) => ({
    get: async (key) => structuredClone(map.get(key)),
    put: async (key, value) => {
      if (value.length > 128 * 1024) throw new Error("Values cannot be larger than 131072 bytes.");
      if (value.length === 13) throw new Error("database or disk is full: SQLITE_FULL");
      map.set(key, structuredClone(value));
    },
    delete: async (key) => map.delete(key),
    list: async ({ prefix = "" } = {}) => new Map([...map].filter(([key]) => key.startsWith(prefix)).sort()),
  });
  const storage = {
    values: () => values,
    transaction: async (closure) => {
      const copy = new Map(values);
      const result = await closure(access(copy));
      values = copy;
      return result;
    },
  };
  for (const name of ["get", "put", "delete", "list"]) storage[name] = (...given) => access(values)[name](...given);
  return storage;
}

/** A store that has no room for records of 13 bytes. */
class Own extends Shelf {
  async write(changes) {
    if (changes.some(({ value }) => value?.length === 13)) throw Object.assign(new Error("full"), { name: "QuotaExceededError" });
    await super.write(changes);
  }
}

const bytes = (length, seed = 1) => Uint8Array.from({ length }, (_, at) => (at * 31 + seed) & 255);

for (const [kind, make] of [
  ["memory", () => new MemoryStore()],
  ["durable-object", () => storeOf(durable())],
  ["app", () => storeOf(new Own())],
]) {
  test(`${kind}: records are what was written last, in the order of the batch`, async () => {
    const store = make();
    assert.equal(store.kind, kind);
    await store.write(["a/1", bytes(3), "a/2", bytes(0), "b/1", bytes(4)]);
    assert.deepEqual(await store.read(["a/2", "none", "a/1"]), [bytes(0), undefined, bytes(3)]);
    await store.write(["a/1", bytes(5), "a/", null, "a/3", bytes(6), "b/1", undefined, "none", undefined]);
    assert.deepEqual(await store.read(["a/1", "a/2", "a/3", "b/1"]), [undefined, undefined, bytes(6), undefined]);
    const listed = await store.list("a/");
    assert.deepEqual(listed, ["a/3", bytes(6)]);
  });

  test(`${kind}: long records come back whole and leave nothing behind`, async () => {
    const storage = kind === "durable-object" ? durable() : undefined;
    const store = storage ? storeOf(storage) : make();
    for (const length of [100 * 1024, 100 * 1024 + 1, 1024 * 1024 + 7, 200 * 1024]) {
      await store.write(["v/long", bytes(length, length)]);
      const [record] = await store.read(["v/long"]);
      assert.ok(Buffer.from(bytes(length, length)).equals(record), `${length}`);
    }
    await store.write(["v/long", bytes(1)]);
    assert.deepEqual(await store.list("v/"), ["v/long", bytes(1)]);
    await store.write(["v/long", bytes(300 * 1024)]);
    await store.write(["v/", null]);
    assert.deepEqual(await store.read(["v/long"]), [undefined]);
    if (storage) assert.deepEqual([...storage.values().keys()], ["own"], "what the object itself keeps stays");
  });
}

for (const [kind, place] of [["durable-object", durable()], ["app", new Own()]]) {
  test(`${kind}: a batch that does not fit changes nothing and says so`, async () => {
    const store = storeOf(place);
    await store.write(["k", bytes(1)]);
    await assert.rejects(store.write(["k", bytes(2), "big", bytes(13)]), (thrown) => thrown === "full");
    assert.deepEqual(await store.read(["k", "big"]), [bytes(1), undefined]);
  });
}

test("what is no store is refused by its path", () => {
  for (const wrong of ["disk", 7, {}, { read() {}, list() {} }]) {
    assert.throws(() => storeOf(wrong), { code: "config", message: /^cache\.store: / });
  }
  assert.throws(() => storeOf("indexeddb"), { message: "cache.store: there is no IndexedDB here" });
  assert.equal(storeOf("auto").kind, "memory");
});
